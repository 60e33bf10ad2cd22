# SPDX-License-Identifier: BSD-3-Clause
"""
Unmixing of spectra with non-negative least squares
===================================================

A measured spectrum is a sum of known ones with amounts that cannot be negative.
"""

# %%
# A library of forty smooth spectra, and mixtures of a few of them.
import matplotlib.pyplot as plt
import numpy as np

from numopt.coordinate import NonNegativeRegression, nnls

rng = np.random.default_rng(0)
bands = np.linspace(0.0, 1.0, 200)
centres, widths = rng.random((40, 3)), rng.uniform(0.02, 0.08, (40, 3))
library = np.exp(-(((bands[:, None, None] - centres) / widths) ** 2)).sum(axis=2)
amounts = np.zeros(40)
amounts[[3, 11, 27]] = [1.0, 0.6, 0.3]
measured = library @ amounts + 0.02 * rng.standard_normal(200)

# %%
# The bare problem, and the same with an L1 penalty that removes traces.
plain = nnls(library, measured)
sparse = NonNegativeRegression(alpha=0.02).fit(library, measured)
print(f"nnls: {plain.support.size} substances, {plain.message}")
print(f"with penalty: {np.count_nonzero(sparse.coef_)} substances")
print(f"relative gap {sparse.dual_gap_:.0e}")

# %%
fig, axes = plt.subplots(1, 2, figsize=(10, 3.5), layout="constrained")
axes[0].plot(bands, measured, color="0.6", label="measured")
axes[0].plot(bands, library @ plain.coef, label="fitted")
axes[0].set(xlabel="wavelength", ylabel="intensity")
axes[0].legend()
# Amounts of all substances that a fit finds, on a scale that shows the traces.
found = np.flatnonzero((plain.coef > 0) | (sparse.coef_ > 0))
place = np.arange(found.size)
for shift, (label, x) in enumerate(
    {"truth": amounts, "nnls": plain.coef, "with penalty": sparse.coef_}.items()
):
    axes[1].bar(place + 0.27 * (shift - 1), x[found], 0.27, label=label)
axes[1].set_yscale("log")
axes[1].set_xticks(place, found)
axes[1].set(xlabel="substance", ylabel="amount", ylim=(None, 8.0))
axes[1].legend(ncols=3)
