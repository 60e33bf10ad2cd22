# SPDX-License-Identifier: BSD-3-Clause
"""
Which interactions matter: diabetes with pairwise features
==========================================================

Sixty-five features are made of ten: squares and products are added. A sparse Bayesian
regression keeps a handful, says how sure it is of each, and predicts as well as the
dense fit of ``ARDRegression``.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_diabetes
from sklearn.linear_model import ARDRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from numopt.plotting import EvidenceDisplay, RelevanceDisplay
from numopt.sbl import SBLRegressor

X, y = load_diabetes(return_X_y=True, as_frame=True)
expand = PolynomialFeatures(2, include_bias=False)
features = StandardScaler().fit_transform(expand.fit_transform(X))
names = expand.get_feature_names_out()

# %%
# Cross-validated R2 of both models, and the number of features in use.
for model in (SBLRegressor(), ARDRegression()):
    pipe = make_pipeline(expand, model)
    score = cross_val_score(pipe, X, y).mean()
    kept = (model.fit(features, y).coef_ != 0).sum()
    print(f"{type(model).__name__}: R2 {score:.3f}, {kept} features")

# %%
# The coefficients with two standard deviations of their posterior.
model = SBLRegressor().fit(features, y)
display = RelevanceDisplay.from_estimator(model, names=names)
display.ax_.set_title("relevance with error bars")
plt.show()

# %%
# The evidence along the way, with and without a prior on inclusion: the plain evidence
# ends higher and keeps more features.
results = {
    prior: SBLRegressor(sparsity_prior=prior).fit(features, y).result_
    for prior in ("beta", "none")
}
EvidenceDisplay.from_results(results)
plt.show()
