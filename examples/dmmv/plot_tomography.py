# SPDX-License-Identifier: BSD-3-Clause
"""
A binary image from six noisy projections
=========================================

Six projections of a particle leave most pixels undetermined. Thresholding a linear
reconstruction makes ragged edges; knowing that pixels are 0 or 1 and mostly like their
neighbours is worth more than more data.
"""

import matplotlib.pyplot as plt
import numpy as np

from numopt.dmmv import DiscreteTomography, parallel_beam_matrix

y, x = np.mgrid[:40, :40] - 20
image = ((x**2 + y**2 < 150) & ((x - 4) ** 2 + (y + 3) ** 2 > 20)).astype(float)
theta = np.arange(6) * 30.0
A = parallel_beam_matrix(image.shape, theta)
noise = np.random.default_rng(0).uniform(-1, 1, A.shape[0])
sinogram = (A @ image.ravel() + noise).reshape(-1, 6)

# %%
options = {"theta": theta, "image_shape": image.shape, "noise": 1.0}
start = DiscreteTomography(method="sirt", **options).fit(sinogram)
model = DiscreteTomography(**options).fit(sinogram)
for name, one in (("SIRT, thresholded", start), ("with a prior", model)):
    print(f"{name}: {-one.score(image):.2%} of pixels wrong")

# %%
_, axes = plt.subplots(1, 3, figsize=(9, 3))
for ax, picture, title in zip(
    axes,
    (image, start.image_, model.image_),
    ("truth", "SIRT, thresholded", "with a prior"),
    strict=True,
):
    ax.imshow(picture, cmap="gray")
    ax.set_title(title)
    ax.set_axis_off()
plt.show()
