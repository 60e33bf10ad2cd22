# SPDX-License-Identifier: BSD-3-Clause
"""
Relevance vectors of a noisy sinc
=================================

Every point offers a Gaussian kernel around itself. The evidence keeps a handful of
them and learns the noise. Error bars hold the noise and the doubt about coefficients;
in a gap they hardly widen, since few kernels are left to be in doubt.
"""

import matplotlib.pyplot as plt
import numpy as np

from numopt.sbl import RVMRegressor

rng = np.random.default_rng(0)
x = np.sort(rng.uniform(-10, 10, 200))
x = x[(x < 3) | (x > 6)]  # a gap
y = np.sinc(x / np.pi) + 0.1 * rng.standard_normal(x.size)
model = RVMRegressor(gamma=0.1).fit(x[:, None], y)
print(f"{model.relevance_.size} of {x.size} points, noise {model.alpha_**-0.5:.3f}")

# %%
grid = np.linspace(-10, 10, 400)
mean, std = model.predict(grid[:, None], return_std=True)
error = np.sqrt(np.mean((mean - np.sinc(grid / np.pi)) ** 2))
print(f"root mean square error {error:.3f}")
figure, ax = plt.subplots()
ax.plot(x, y, ".", color="0.6", markersize=3)
ax.fill_between(grid, mean - 2 * std, mean + 2 * std, alpha=0.3)
ax.plot(grid, mean, label="mean and two standard deviations")
ax.plot(grid, np.sinc(grid / np.pi), "k:", label="truth")
points = model.relevance_vectors_[:, 0]
ax.plot(points, y[model.relevance_], "o", mfc="none", label="relevance vectors")
ax.legend()
plt.show()
