# SPDX-License-Identifier: BSD-3-Clause
"""
Stability selection by two hundred reweighted fits
==================================================

With many more features than samples, one Lasso fit says little about which of them
matter. Stability selection fits random half samples, here as weights, and counts.
"""

# %%
# Data of the shape of a gene expression study: 100 samples, 3000 correlated features.
import matplotlib.pyplot as plt
import numpy as np

from numopt.coordinate import L1, Lasso, Quadratic, alpha_max

rng = np.random.default_rng(0)
n, p, true = 100, 3000, 5
X = np.empty((n, p), order="F")
X[:, 0] = rng.standard_normal(n)
for j in range(1, p):
    X[:, j] = 0.5 * X[:, j - 1] + np.sqrt(0.75) * rng.standard_normal(n)
support = rng.choice(p, true, replace=False)
y = X[:, support] @ rng.choice([-1.0, 1.0], true) + 0.3 * rng.standard_normal(n)

# %%
# A weight of 0 removes a sample without copying the data.
model = Lasso(0.2 * alpha_max(X, y, Quadratic(), L1(), fit_intercept=True), tol=1e-4)
counts = np.zeros(p)
for _ in range(200):
    half = np.zeros(n)
    half[rng.choice(n, n // 2, replace=False)] = 1.0
    counts += model.fit(X, y, sample_weight=half).coef_ != 0
frequency = counts / 200

# %%
# Chance selections spread over many features; true ones return.
fig, ax = plt.subplots(layout="constrained")
ax.plot(frequency, ".", color="0.6", label="features")
ax.plot(support, frequency[support], "o", label="true features")
ax.axhline(0.6, color="0.3", linestyle="--")
ax.set(xlabel="feature", ylabel="share of half samples that select it")
ax.legend()
stable = np.flatnonzero(frequency > 0.6)
near = np.abs(stable[:, None] - support).min(axis=1) <= 1
print(f"{stable.size} stable features, {near.sum()} at or next to a true one")
