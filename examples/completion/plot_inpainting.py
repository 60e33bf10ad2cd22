# SPDX-License-Identifier: BSD-3-Clause
"""
A photograph with most pixels lost
==================================

Rows and columns of an image are related enough for a low-rank model to fill in pixels
that were lost at random, up to a share that the picture shows.
"""

# %%
# Biases for rows and columns take up the light of the scene; the ridge keeps the
# factors from fitting single pixels.
import matplotlib.pyplot as plt
import numpy as np

from numopt.completion import complete
from numopt.datasets import load_photograph
from numopt.plotting import SingularValueDisplay

truth = load_photograph("china").mean(axis=2)[::3, ::3]
rng = np.random.default_rng(0)
shares = (0.5, 0.65, 0.8)
fits = {}
for share in shares:
    lost = rng.random(truth.shape) < share
    X = np.where(lost, np.nan, truth)
    result = complete(X, 20, alpha=0.4, bias="both", tol=1e-4, random_state=0)
    restored = np.where(lost, np.clip(result.to_dense(), 0, 1), truth)
    error = np.sqrt(np.mean((restored - truth)[lost] ** 2))
    print(f"{share:.0%} lost: RMSE {error:.3f}")
    fits[share] = X, restored, result

# %%
fig, axes = plt.subplots(2, 3, figsize=(11, 5), layout="constrained")
for (above, below), (share, (X, restored, _)) in zip(axes.T, fits.items(), strict=True):
    above.imshow(X, cmap="gray", vmin=0, vmax=1)
    above.set_title(f"{share:.0%} lost")
    below.imshow(restored, cmap="gray", vmin=0, vmax=1)
    for ax in (above, below):
        ax.axis("off")

# %%
# The ridge switches components off as the data get fewer: the effective rank is found
# by the penalty, not by the ``rank`` that was asked for.
spectra = {f"{share:.0%} lost": result for share, (_, _, result) in fits.items()}
display = SingularValueDisplay.from_results(spectra)
display.ax_.set_yscale("linear")
