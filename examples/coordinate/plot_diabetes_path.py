# SPDX-License-Identifier: BSD-3-Clause
"""
A path with a certificate at every point
========================================

Second-order interactions of the diabetes data make many correlated columns. The
elastic-net path is computed to a relative duality gap, and the same audit is applied to
the coefficients of another library.
"""

# %%
# All squares and products of the ten measurements, standardised.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.linear_model import ElasticNet as Peer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from numopt.coordinate import ElasticNet, ElasticNetCV, Quadratic, dual_gap, enet_path
from numopt.plotting import PathDisplay

data = load_diabetes()
features = make_pipeline(PolynomialFeatures(2, include_bias=False), StandardScaler())
X = np.asfortranarray(features.fit_transform(data.data))
y = data.target - data.target.mean()
names = features[0].get_feature_names_out(data.feature_names)
print(X.shape)

# %%
# Fifty strengths; every one comes with its gap.
path = enet_path(X, y, l1_ratio=0.9, n_alphas=50, eps=1e-2, tol=1e-8)
print(f"largest relative gap on the path {path.dual_gaps.max():.1e}")

# %%
# Cross-validation shares the grid between the folds.
model = ElasticNetCV(0.9, n_alphas=50, eps=1e-2, cv=5).fit(X, y)
print(f"chosen alpha {model.alpha_:.3g}, {np.count_nonzero(model.coef_)} features")
PathDisplay.from_result(path, chosen=model.alpha_, feature_names=names)
plt.tight_layout()

# %%
# The audit takes coefficients from anywhere: a certificate needs no trust in a solver.
for tol in (1e-2, 1e-4, 1e-6):
    peer = Peer(model.alpha_, l1_ratio=0.9, tol=tol, fit_intercept=False).fit(X, y)
    penalty = ElasticNet(model.alpha_, 0.9)
    gap = dual_gap(X, y, peer.coef_, Quadratic(), penalty)
    print(f"scikit-learn, tol={tol:.0e}: verified relative gap {gap:.1e}")
