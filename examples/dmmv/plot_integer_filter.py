# SPDX-License-Identifier: BSD-3-Clause
"""
An 8-bit filter that rounding cannot find
=========================================

A multiband filter of 35 taps is designed for multipliers of 8 bits. Rounding the taps
of ``scipy.signal.remez`` gives a ripple of 0.047; choosing the integers together gives
0.018, which mixed-integer programming proves to be the optimum.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy import signal

from numopt.dmmv import design_fir, fir_ripple
from numopt.plotting import FrequencyResponseDisplay

bands, desired = [0, 0.24, 0.4, 0.68, 0.84, 1], [1, 0, 1]
result = design_fir(35, bands, desired, word_length=8, time_limit=2)

# %%
# The ripple is exact: extrema between grid points are found by Newton's method. The
# bound belongs to real taps; no choice of integers can do better than that.
remez = signal.remez(35, bands, desired, fs=2.0, maxiter=100)
rounded = np.rint(remez * 128) / 128
print(f"real taps          {fir_ripple(remez, bands, desired):.5f}")
print(f"rounded to 8 bits  {fir_ripple(rounded, bands, desired):.5f}")
print(f"chosen together    {result.ripple:.5f}  (bound {result.lower_bound:.5f})")
print(result.taps)

# %%
# The response, inside the band that the ripple promises.
display = FrequencyResponseDisplay.from_result(result, bands, desired)
_, H = signal.freqz(rounded, worN=np.pi * np.linspace(0, 1, 561))
display.ax_.plot(np.linspace(0, 1, 561), abs(H), lw=0.8, label="rounded remez")
display.ax_.legend()
plt.show()
