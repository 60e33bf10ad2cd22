# SPDX-License-Identifier: BSD-3-Clause
"""
How many components? Masked entries tell
========================================

Leaving out *entries* instead of rows makes cross-validation work for a model of the
table itself. The data: 500 genes in 189 samples of seven tissues.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np

from numopt.completion import LowRankImputer
from numopt.datasets import load_gene_expression

expression, tissue = load_gene_expression()
rng = np.random.default_rng(0)
ranks = (1, 2, 4, 7, 11, 16)
errors = np.empty((3, len(ranks)))
for fold in range(3):
    masked = rng.random(expression.shape) < 0.1
    X = np.where(masked, np.nan, expression)
    for place, rank in enumerate(ranks):
        filled = LowRankImputer(rank=rank, tol=1e-3).fit_transform(X)
        errors[fold, place] = np.sqrt(np.mean((filled - expression)[masked] ** 2))
for rank, error in zip(ranks, errors.mean(axis=0), strict=True):
    print(f"rank {rank:2d}: RMSE {error:.3f}")

# %%
# A column of its own noise variance a gene keeps surplus components from fitting it.
fig, ax = plt.subplots(layout="constrained")
ax.plot(ranks, errors.T, "o-")
ax.set_xlabel("rank")
ax.set_ylabel("RMSE of masked entries")

# %%
# Two components of the model, fitted to a table with a fifth of its entries missing,
# separate the tissues.
lost = rng.random(expression.shape) < 0.2
imputer = LowRankImputer(rank=7, tol=1e-3)
filled = imputer.fit_transform(np.where(lost, np.nan, expression))
U, s, _ = np.linalg.svd(filled - filled.mean(axis=0), full_matrices=False)
fig, ax = plt.subplots(layout="constrained")
for name in np.unique(tissue):
    mine = tissue == name
    ax.plot(U[mine, 0] * s[0], U[mine, 1] * s[1], "o", label=name, markersize=4)
ax.set_xlabel("first component")
ax.set_ylabel("second component")
ax.legend()
