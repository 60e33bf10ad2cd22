# SPDX-License-Identifier: BSD-3-Clause
"""
A still background behind moving spots
======================================

Frames of a film that shows a photograph under slowly changing light, with spots that
move through it. Each frame is a row: the background has rank 2, the spots are
outliers.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np

from numopt.completion import complete
from numopt.datasets import load_photograph

photograph = load_photograph("flower").mean(axis=2)[::12, ::12]
height, width = photograph.shape
n_frames = 40
t = np.arange(n_frames)
shade = np.linspace(0, 1, width)[None, :] * np.ones((height, 1))
light = np.outer(1 + 0.2 * np.sin(t / 5), photograph.ravel())
background = light + np.outer(0.2 * np.cos(t / 7), shade.ravel())
frames = background.copy().reshape(n_frames, height, width)
for frame, image in enumerate(frames):
    for spot in range(3):
        row = int((5 + 9 * spot + frame) % (height - 6))
        column = int((3 * spot + (1.3 + 0.3 * spot) * frame) % (width - 6))
        image[row : row + 5, column : column + 5] = 1.5
frames = frames.reshape(n_frames, -1)
covered = frames != background

# %%
# A tenth of all entries is also unknown. Least squares smears the spots over the
# background; the absolute loss names them.
unknown = np.random.default_rng(0).random(frames.shape) < 0.1
X = np.where(unknown, np.nan, frames)
robust = complete(X, 2, loss="l1", random_state=0)
squares = complete(X, 2, alpha=1e-6, random_state=0)
for name, result in (("squares", squares), ("absolute values", robust)):
    error = np.abs(result.to_dense() - background)
    print(f"{name}: largest error {error.max():.1e}, mean {error.mean():.1e}")
found = np.zeros(frames.shape, dtype=bool)
found[~unknown] = robust.outlier_mask
print(f"spots found: {found[covered & ~unknown].mean():.1%}")
print(f"false alarms: {found[~covered & ~unknown].mean():.1%}")

# %%
pictures = {
    "frame": X[20],
    "least squares": squares.to_dense()[20],
    "absolute values": robust.to_dense()[20],
    "outliers": found[20],
}
fig, axes = plt.subplots(2, 2, figsize=(8, 6), layout="constrained")
for ax, (title, picture) in zip(axes.ravel(), pictures.items(), strict=True):
    ax.imshow(
        picture.reshape(height, width),
        cmap="gray",
        vmin=0,
        vmax=1.5 if title != "outliers" else 1,
    )
    ax.set_title(title)
    ax.axis("off")
