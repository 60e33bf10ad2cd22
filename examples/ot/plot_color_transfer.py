# SPDX-License-Identifier: BSD-3-Clause
"""
Colour transfer between photographs
===================================

Give one photograph the colours of another: fit a transport map between samples of
their pixels, then apply it to every pixel of the image.
"""

# %%
# Two photographs that ship in scikit-learn. A pixel is a point in the colour cube.
import matplotlib.pyplot as plt
import numpy as np

from numopt.datasets import load_photographs
from numopt.ot import SinkhornTransport

china, flower = load_photographs()
rng = np.random.default_rng(0)


def sample(image, n=1000):
    pixels = image.reshape(-1, 3)
    return pixels[rng.choice(len(pixels), n, replace=False)]


# %%
# The map is fitted on 1000 pixels of each image. ``reg`` is relative to the median
# cost, so that it needs no knowledge of the scale of the data.
transport = SinkhornTransport(reg=0.02).fit(sample(china), X_target=sample(flower))
print(f"marginal error {transport.result_.marginal_error:.1e}")
print(f"fused passes   {transport.result_.n_passes}")

# %%
# The potentials extend to all of space: pixels that were not in the sample are
# mapped by the same formula.
recoloured = transport.transform(china.reshape(-1, 3)).reshape(china.shape)

# %%
# Every colour is a weighted mean of colours of the target, hence no clipping.
fig, axes = plt.subplots(1, 3, figsize=(12, 3), layout="constrained")
titles = ("source", "target", "source with the colours of the target")
for ax, image, title in zip(axes, (china, flower, recoloured), titles, strict=True):
    ax.imshow(np.clip(image, 0.0, 1.0))
    ax.set_title(title)
    ax.set_axis_off()

# %%
# The same as point clouds: red against blue.
fig, axes = plt.subplots(1, 3, figsize=(12, 4), sharex=True, sharey=True)
for ax, image, title in zip(axes, (china, flower, recoloured), titles, strict=True):
    points = np.clip(sample(image, 2000), 0.0, 1.0)
    ax.scatter(points[:, 0], points[:, 2], c=points, s=4)
    ax.set(title=title, xlabel="red", ylabel="blue")
fig.tight_layout()
