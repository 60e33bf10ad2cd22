# SPDX-License-Identifier: BSD-3-Clause
"""
Filters learned from photographs
================================

A field of experts penalises the responses to many filters, each with a weight and a
smoothing of its own. All of them are learned on one photograph, starting from total
variation, and tried on another.
"""

import matplotlib.pyplot as plt
import numpy as np

from numopt.bilevel import FoEDenoiser, TVDenoiser
from numopt.datasets import load_photographs
from numopt.plotting import FiltersDisplay

china, flower = (image.mean(axis=2)[::2, ::2] for image in load_photographs())
rng = np.random.default_rng(0)
noisy_china, noisy_flower = (
    image + 0.1 * rng.standard_normal(image.shape) for image in (china, flower)
)

# %%
# Steps are judged on patches held out, and the best one there is kept.
total_variation = TVDenoiser().fit(noisy_china, china)
experts = FoEDenoiser(
    n_filters=12,
    patch_size=48,
    n_patches=16,
    max_work=600,
    dtype="float32",
    random_state=0,
).fit(noisy_china, china)
first, last = experts.validation_error_start_, experts.validation_error_
print(f"error on patches held out: {first:.2e} -> {last:.2e}")

# %%
# Peak signal-to-noise ratios on the photograph seen, in part, and on the other.
for name, noisy, clean in (
    ("seen", noisy_china, china),
    ("unseen", noisy_flower, flower),
):
    values = [m.score(noisy, clean) for m in (total_variation, experts)]
    print(f"{name}: total variation {values[0]:.2f} dB, experts {values[1]:.2f} dB")

# %%
# The filters, the heaviest first.
FiltersDisplay.from_estimator(experts)
plt.show()
