# SPDX-License-Identifier: BSD-3-Clause
"""
A small panel of features for a diagnosis
=========================================

L1 logistic regression on the breast cancer data, with the strength chosen by
cross-validation: by the best log loss, and by the one-standard-error rule, which takes
the sparsest model that is not significantly worse.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.preprocessing import StandardScaler

from numopt.coordinate import SparseLogisticRegression, SparseLogisticRegressionCV

data = load_breast_cancer()
X = StandardScaler().fit_transform(data.data)
y = data.target

# %%
# One path a fold, on the same grid.
grid = np.geomspace(1e-2, 1e2, 20)
model = SparseLogisticRegressionCV(grid, cv=10, scoring="neg_log_loss", tol=1e-6)
model.fit(X, y)
mean = model.log_loss_path_.mean(axis=1)
error = model.log_loss_path_.std(axis=1) / np.sqrt(10)

# %%
# The smallest ``C`` within one standard error of the best.
best = int(np.argmin(mean))
simple = int(np.flatnonzero(mean <= mean[best] + error[best])[0])
small = SparseLogisticRegression(grid[simple]).fit(X, y)
for name, fitted in (("best", model), ("one standard error", small)):
    kept = np.flatnonzero(fitted.coef_[0])
    print(f"{name}: {kept.size} features, relative gap {fitted.dual_gap_:.0e}")
print(", ".join(data.feature_names[np.flatnonzero(small.coef_[0])]))

# %%
fig, ax = plt.subplots(layout="constrained")
ax.errorbar(grid, mean, error, marker=".", label="test log loss of 10 folds")
ax.plot(grid, model.train_log_loss_path_.mean(axis=1), label="training log loss")
ax.axvline(grid[best], color="0.3", linestyle="--", label="best")
ax.axvline(grid[simple], color="0.3", linestyle=":", label="one standard error")
ax.set(xscale="log", xlabel="C", ylabel="mean log loss")
ax.legend()
