# SPDX-License-Identifier: BSD-3-Clause
"""
Total variation with a learned weight
=====================================

Weight and smoothing of total variation are learned on a piece of one photograph and
tried on another. The training error comes with an estimated bound.
"""

import matplotlib.pyplot as plt
import numpy as np

from numopt.bilevel import TVDenoiser
from numopt.datasets import load_photographs

china, flower = (image.mean(axis=2) for image in load_photographs())
train, test = china[120:216, 200:296], flower[100:228, 220:348]
rng = np.random.default_rng(0)
noisy_train = train + 0.1 * rng.standard_normal(train.shape)
noisy_test = test + 0.1 * rng.standard_normal(test.shape)

# %%
# Learn, and look at the bounds of the outer run.
model = TVDenoiser().fit(noisy_train, train)
result = model.result_
print(f"weight {model.weight_:.4f}, smoothing {model.smoothing_:.4f}")
print(f"upper-level value {result.value:.4f} +- {result.value_bound:.1e}")
print(f"work {result.n_lower_grad} gradients, {result.n_hvp} Hessian products")

# %%
# The other photograph.
fig, axes = plt.subplots(1, 3, figsize=(9, 3.2))
titles = ("noisy", f"denoised, {model.score(noisy_test, test):.1f} dB", "clean")
images = (noisy_test, model.predict(noisy_test), test)
for ax, image, title in zip(axes, images, titles, strict=True):
    ax.imshow(image, cmap="gray", vmin=0, vmax=1)
    ax.set_title(title)
    ax.axis("off")
plt.show()
