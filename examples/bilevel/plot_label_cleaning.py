# SPDX-License-Identifier: BSD-3-Clause
"""
Labels that are wrong
=====================

Of the training digits, 30 % carry a random label. A weight for each training sample is
learned so that logistic regression does well on a small clean set: several hundred
hyper-parameters, which no grid can search.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score

from numopt.bilevel import HyperCleaningProblem, maid, solve_lower

X, y = load_digits(return_X_y=True)
X = X / 16
rng = np.random.default_rng(0)
order = rng.permutation(len(X))
train, clean, test = order[:500], order[500:750], order[750:]
labels = y[train].copy()
wrong = rng.uniform(size=len(train)) < 0.3
labels[wrong] = (labels[wrong] + rng.integers(1, 10, wrong.sum())) % 10

# %%
# The upper level is the loss on the clean set.
problem = HyperCleaningProblem(X[train], labels, X[clean], y[clean], alpha=1e-3)
result = maid(
    problem, problem.theta0, accuracy="estimate", max_iter=30, tau=0.1, warn=False
)
weights = 1 / (1 + np.exp(-result.theta))
print(f"loss on the clean set {result.history['value'][0]:.3f} -> {result.value:.3f}")
print(f"AUC of the weights against wrong labels {roc_auc_score(~wrong, weights):.3f}")

# %%
# Test accuracy before and after.


def accuracy(theta):
    """Share of test digits that the weighted model gets right."""
    W = solve_lower(problem, theta, tol=1e-2, warn=False).x
    return np.mean(np.argmax(X[test] @ W[: X.shape[1]], axis=1) == y[test])


print(f"test accuracy {accuracy(problem.theta0):.3f} -> {accuracy(result.theta):.3f}")

fig, ax = plt.subplots()
ax.hist([weights[~wrong], weights[wrong]], bins=20, label=["right", "wrong"])
ax.set_xlabel("learned weight of a training sample")
ax.legend()
plt.show()
