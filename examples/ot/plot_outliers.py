# SPDX-License-Identifier: BSD-3-Clause
"""
Outliers: unbalanced and partial transport
==========================================

Balanced transport must serve every point. Two ways to leave outliers alone: a price of
missing mass, or a given mass.
"""

# %%
# A ring and a shifted copy, with a far group of outliers in the copy.
import matplotlib.pyplot as plt
import numpy as np

from numopt.ot import partial_sinkhorn, sinkhorn, sinkhorn_unbalanced

rng = np.random.default_rng(0)
angle = rng.uniform(0, 2 * np.pi, 150)
ring = np.column_stack([np.cos(angle), np.sin(angle)])
X = ring + 0.05 * rng.standard_normal(ring.shape)
Y = ring[:135] + np.array([0.5, 0.0]) + 0.05 * rng.standard_normal((135, 2))
Y = np.concatenate([Y, np.array([4.0, 3.0]) + 0.1 * rng.standard_normal((15, 2))])
M = ((X[:, None] - Y) ** 2).sum(axis=-1)

# %%
# The three plans, and the mass that each sends to the outliers.
plans = {
    "balanced": sinkhorn(None, None, M, reg=0.01).plan,
    "unbalanced": sinkhorn_unbalanced(None, None, M, reg=0.01, reg_m=1.0).plan,
    "partial": partial_sinkhorn(None, None, M, reg=0.01, m=0.9).plan,
}
figure, axes = plt.subplots(1, 3, figsize=(12, 3.6), sharey=True)
for ax, (name, plan) in zip(axes, plans.items(), strict=True):
    outliers = plan[:, 135:].sum()
    print(f"{name:10} mass {plan.sum():.3f}, to the outliers {outliers:.4f}")
    rows, columns = np.nonzero(plan > 0.3 * plan.max())
    for i, j in zip(rows, columns, strict=True):
        ax.plot(*np.column_stack([X[i], Y[j]]), color="0.8", lw=0.6, zorder=0)
    ax.scatter(*X.T, s=6, label="source")
    ax.scatter(*Y.T, s=6, label="target")
    ax.set_title(f"{name}: {outliers:.2f} to outliers")
axes[0].legend()
figure.tight_layout()
plt.show()
