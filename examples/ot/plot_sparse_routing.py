# SPDX-License-Identifier: BSD-3-Clause
"""
Sparse routing of patches to experts
====================================

Every patch of an image goes to at most two experts, and all experts get equal loads.
"""

# %%
# Patches of digits, and experts that are the means of twelve clusters of them.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits

from numopt.ot import sinkhorn, sparse_ot

images = load_digits().images[:60] / 16
patches = np.stack(
    [
        image[i : i + 4, j : j + 4].ravel()
        for image in images
        for i in (0, 2, 4)
        for j in (0, 2, 4)
    ]
)
experts = KMeans(12, n_init=1, random_state=0).fit(patches).cluster_centers_
M = ((experts[:, None] - patches) ** 2).sum(axis=-1)

# %%
# Choosing the nearest expert overloads some. The entropic plan is balanced but dense,
# the sparse one is both, and its gap bounds what the choice of two costs.
nearest = np.bincount(M.argmin(axis=0), minlength=12) / len(patches)
dense = sinkhorn(None, None, M, reg=0.1)
sparse = sparse_ot(None, None, M, reg=100.0, max_nz=2)
per_patch = (sparse.plan > 0).sum(axis=0)
print("largest load over the mean, nearest expert:", round(12 * nearest.max(), 2))
print(
    "largest load over the mean, sparse plan:", round(12 * sparse.plan.sum(1).max(), 6)
)
print("experts per patch, entropic:", (dense.plan > 1e-6 / len(patches)).sum(0).mean())
print(
    "experts per patch, sparse:", per_patch.mean().round(2), "at most", per_patch.max()
)
print(f"cost {sparse.value:.5f}, gap {sparse.gap:.1e}")

# %%
figure, axes = plt.subplots(1, 2, figsize=(9, 3), sharey=True)
for ax, plan, name in zip(
    axes, (dense.plan, sparse.plan), ("entropic", "sparse"), strict=True
):
    ax.imshow(plan[:, :60] * len(patches), aspect="auto", cmap="magma", vmin=0, vmax=1)
    ax.set_title(name)
    ax.set_xlabel("patch")
axes[0].set_ylabel("expert")
figure.tight_layout()
plt.show()
