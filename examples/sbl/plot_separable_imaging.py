# SPDX-License-Identifier: BSD-3-Clause
"""
An image from half of its measurements
======================================

Rows and columns of a patch of a photograph are mixed by random matrices, 36 x 36
numbers for 48 x 48 pixels. In the cosine basis the patch is compressible along both
axes, and the two-factor dictionary is never multiplied out.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.fft import idct

from numopt.datasets import load_photograph
from numopt.sbl import kronecker_sbl

n, m = 48, 36
patch = load_photograph("flower").mean(axis=2)[
    100 : 100 + 4 * n : 4, 200 : 200 + 4 * n : 4
]
basis = idct(np.eye(n), norm="ortho", axis=0)
rng = np.random.default_rng(0)
mix = [rng.standard_normal((m, n)) / np.sqrt(m) for _ in range(2)]
measured = mix[0] @ patch @ mix[1].T

# %%
result = kronecker_sbl([F @ basis for F in mix], measured, select="none", warn=False)
image = basis @ result.coef @ basis.T
error = np.linalg.norm(image - patch) / np.linalg.norm(patch)
print(f"relative error {error:.3f}, support {result.coef_support.shape}")

# %%
figure, axes = plt.subplots(1, 2)
for ax, picture, title in zip(axes, (patch, image), ("patch", "estimate"), strict=True):
    ax.imshow(picture, cmap="gray")
    ax.set_title(title)
    ax.axis("off")
plt.show()
