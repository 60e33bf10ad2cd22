# SPDX-License-Identifier: BSD-3-Clause
"""
Seeded segmentation of a photograph
===================================

A few strokes mark sky, water, building and trees; harmonic functions on the grid of
pixels spread them up to the edges of the image.
"""

# %%
# Every second pixel of a photograph that ships in scikit-learn.
import matplotlib.pyplot as plt
import numpy as np
import scipy.sparse as sp

from numopt.coordinate import label_propagation
from numopt.datasets import load_photograph

image = load_photograph("china")[::2, ::2]
rows, columns = image.shape[:2]
number = np.arange(rows * columns).reshape(rows, columns)

# %%
# Edges between neighbours, weak where colours differ.
colours = image.reshape(-1, 3)
i = np.concatenate([number[:, :-1].ravel(), number[:-1].ravel()])
j = np.concatenate([number[:, 1:].ravel(), number[1:].ravel()])
distance = ((colours[i] - colours[j]) ** 2).sum(axis=1)
weights = np.exp(-distance / (2 * 0.1**2)) + 1e-4
W = sp.coo_array((weights, (i, j)), shape=(number.size, number.size)).tocsr()
W = W + W.T

# %%
# Strokes, as rows and columns from and to; -1 is unknown.
strokes = {
    "sky": [(9, 12, 10, 310), (75, 78, 190, 310), (30, 33, 10, 60)],
    "water": [(142, 145, 185, 270), (140, 142, 10, 35), (115, 118, 190, 240)],
    "building": [
        *((22, 65, 100, 103), (85, 88, 55, 155), (100, 103, 52, 155)),
        *((112, 115, 55, 155), (131, 134, 50, 165), (155, 158, 45, 165)),
        *((167, 169, 90, 160), (186, 188, 115, 145)),
    ],
    "trees": [
        *((202, 205, 5, 125), (200, 203, 180, 310), (85, 195, 298, 301)),
        *((95, 125, 5, 10), (150, 165, 2, 6)),
    ],
}
seeds = np.full((rows, columns), -1)
for label, boxes in enumerate(strokes.values()):
    for top, bottom, left, right in boxes:
        seeds[top:bottom, left:right] = label
result = label_propagation(W, seeds.ravel())
print(f"{number.size} pixels, {result.n_iter} iterations, {result.message}")

# %%
# The labels follow the eaves and the tops of the trees; the largest score is low where
# neither colours nor strokes tell, as in the haze over the water.
fig, axes = plt.subplots(1, 3, figsize=(11, 2.8), layout="constrained")
colour = {"cmap": "Set1", "vmin": 0, "vmax": 8, "interpolation": "nearest"}
axes[0].imshow(image)
axes[0].imshow(np.ma.masked_less(seeds, 0), **colour)
axes[1].imshow(image)
axes[1].imshow(result.labels.reshape(rows, columns), alpha=0.55, **colour)
confidence = result.scores.max(axis=1).reshape(rows, columns)
axes[2].imshow(confidence, cmap="magma")
for ax, title in zip(axes, ("strokes", "labels", "largest score"), strict=True):
    ax.set_title(title)
    ax.set_axis_off()
