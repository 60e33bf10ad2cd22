# SPDX-License-Identifier: BSD-3-Clause
"""
Means of digits, and a map of them
==================================

Images of one digit differ by small displacements of ink. The pixelwise mean blurs them;
the transport mean moves the ink, and the transport distance orders the images.
"""

# %%
# Digits that ship in scikit-learn, enlarged and scaled to sum 1.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from numopt.ot import barycenter_grid, sinkhorn_grid
from numopt.plotting import BarycenterDisplay

data = load_digits()


def images_of(label, count, factor=2):
    images = data.images[data.target == label][:count] + 1e-2
    images = images.repeat(factor, axis=1).repeat(factor, axis=2)
    return images / images.sum(axis=(1, 2), keepdims=True)


threes = images_of(3, 6, factor=2)

# %%
# The entropic mean is blurred by ``reg``; debiasing takes the blur back.
reg = 2e-3
blurred = barycenter_grid(threes, reg)
sharp = barycenter_grid(threes, reg, debiased=True, tol=1e-4)
for name, result in (("entropic", blurred), ("debiased", sharp)):
    print(f"{name}: {result.n_passes} passes, error {result.marginal_error:.1e}")

fig, axes = plt.subplots(1, 6, figsize=(12, 2.4), layout="constrained")
shown = [*threes[:3], threes.mean(axis=0), blurred.barycenter, sharp.barycenter]
titles = ("input", "input", "input", "pixelwise mean", "transport mean", "debiased")
for ax, image, title in zip(axes, shown, titles, strict=True):
    ax.imshow(image, cmap="magma")
    ax.set_title(title)
    ax.set_axis_off()

# %%
# Means of two images with changing weights are a path of images between them.
pair = np.stack([images_of(3, 1)[0], images_of(8, 1)[0]])
fig, axes = plt.subplots(1, 5, figsize=(10, 2.4), layout="constrained")
for ax, t in zip(axes, np.linspace(0, 1, 5), strict=True):
    middle = barycenter_grid(pair, reg, [1 - t, t], debiased=True, tol=1e-4)
    BarycenterDisplay.from_result(middle, ax=ax, cmap="magma")
    ax.set_title(f"t = {t:.2f}")
    ax.set_axis_off()

# %%
# Transport costs between images of three digits, as a map of the plane.
labels = (0, 1, 4)
images = np.concatenate([images_of(label, 6, factor=1) for label in labels])
count = len(images)
distances = np.zeros((count, count))
for i in range(count):
    for j in range(i):
        cost = sinkhorn_grid(images[i], images[j], 1e-2, tol=1e-4).value_linear
        distances[i, j] = distances[j, i] = np.sqrt(cost)

# %%
# Classical scaling: coordinates whose squared distances are closest to the costs.
centring = np.eye(count) - 1 / count
values, vectors = np.linalg.eigh(-0.5 * centring @ distances**2 @ centring)
points = vectors[:, -2:] * np.sqrt(values[-2:])
fig, ax = plt.subplots(figsize=(5, 5), layout="constrained")
for k, (x, y) in enumerate(points):
    label = labels[k // 6]
    ax.text(x, y, str(label), color=f"C{labels.index(label)}", fontsize=16)
margin = 0.1 * np.ptp(points)
ax.set_xlim(points[:, 0].min() - margin, points[:, 0].max() + margin)
ax.set_ylim(points[:, 1].min() - margin, points[:, 1].max() + margin)
ax.set_title("transport distances of digits")
ax.set_aspect("equal")
