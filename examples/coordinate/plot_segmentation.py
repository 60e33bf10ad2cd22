# SPDX-License-Identifier: BSD-3-Clause
"""
Seeded segmentation of a photograph
===================================

A few strokes mark sky, building and foreground; harmonic functions on the grid of
pixels spread them up to the edges of the image.
"""

# %%
# Every third pixel of a photograph that ships in scikit-learn.
import matplotlib.pyplot as plt
import numpy as np
import scipy.sparse as sp

from numopt.coordinate import label_propagation
from numopt.datasets import load_photograph

image = load_photograph("china")[::3, ::3]
rows, columns = image.shape[:2]
number = np.arange(rows * columns).reshape(rows, columns)

# %%
# Edges between neighbours, weak where colours differ.
colours = image.reshape(-1, 3)
i = np.concatenate([number[:, :-1].ravel(), number[:-1].ravel()])
j = np.concatenate([number[:, 1:].ravel(), number[1:].ravel()])
distance = ((colours[i] - colours[j]) ** 2).sum(axis=1)
weights = np.exp(-distance / (2 * 0.03**2)) + 1e-5
W = sp.coo_array((weights, (i, j)), shape=(number.size, number.size)).tocsr()
W = W + W.T

# %%
# Strokes: 0 sky, 1 building, 2 foreground; -1 is unknown.
seeds = np.full((rows, columns), -1)
seeds[5:8, 13:200] = 0
seeds[63:80, 80:133] = 1
seeds[131:136, 13:200] = 2
result = label_propagation(W, seeds.ravel())
print(f"{number.size} pixels, {result.n_iter} iterations, {result.message}")

# %%
fig, axes = plt.subplots(1, 3, figsize=(11, 2.8), layout="constrained")
axes[0].imshow(image)
axes[0].contour(seeds >= 0, levels=[0.5], colors="red")
axes[1].imshow(result.labels.reshape(rows, columns), cmap="viridis")
confidence = result.scores.max(axis=1).reshape(rows, columns)
axes[2].imshow(confidence, cmap="magma")
for ax, title in zip(axes, ("strokes", "labels", "largest score"), strict=True):
    ax.set_title(title)
    ax.set_axis_off()
