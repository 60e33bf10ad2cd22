# SPDX-License-Identifier: BSD-3-Clause
"""
Two close sources from ten snapshots
====================================

Ten snapshots of a line of twelve antennas see two sources five degrees apart. The
snapshots share their prior variances, whose profile shows two lines where the
matched filter shows one hump. Orthogonal matching pursuit starts on that hump;
MUSIC finds both sources, but has to be told that there are two.
"""

import matplotlib.pyplot as plt
import numpy as np

from numopt.sbl import sbl

rng = np.random.default_rng(3)
grid = np.arange(-60.0, 60.5, 1.0)
steering = np.exp(
    1j * np.pi * np.outer(np.arange(12), np.sin(np.deg2rad(grid)))
) / np.sqrt(12)
truth = [np.flatnonzero(grid == angle)[0] for angle in (6.0, 11.0)]


def normal(shape):
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)) / np.sqrt(2)


clean = steering[:, truth] @ normal((2, 10))
snapshots = clean + 0.03 * normal(clean.shape)

# %%
# A complex dictionary and a matrix of measurements are all that is needed.
result = sbl(steering, snapshots)
print("directions:", grid[result.active], "noise variance:", result.noise_var)

# %%
# The peers: greedy choice of the atom that fits the residual best, and the spectrum of
# the noise subspace.
chosen = []
for _ in truth:
    fit = steering[:, chosen] @ np.linalg.pinv(steering[:, chosen]) @ snapshots
    residual = snapshots - fit if chosen else snapshots
    chosen.append(np.linalg.norm(steering.conj().T @ residual, axis=1).argmax())
print("matching pursuit:", np.sort(grid[chosen]))
left = np.linalg.svd(snapshots)[0][:, len(truth) :]
music = 1 / np.linalg.norm(left.conj().T @ steering, axis=0) ** 2
peaks = 1 + np.flatnonzero((music[1:-1] > music[:-2]) & (music[1:-1] > music[2:]))
print("MUSIC:", np.sort(grid[peaks[np.argsort(music[peaks])[-2:]]]))

# %%
power = np.mean(np.abs(steering.conj().T @ snapshots) ** 2, axis=1)
figure, ax = plt.subplots()
ax.plot(grid, power / power.max(), label="matched filter")
ax.plot(grid, music / music.max(), label="MUSIC")
ax.stem(grid[result.active], result.gamma[result.active] / result.gamma.max(), "C1")
for k in truth:
    ax.axvline(grid[k], color="0.7", linestyle=":")
ax.set_xlabel("direction in degrees")
ax.legend()
plt.show()
