# SPDX-License-Identifier: BSD-3-Clause
"""
Missing sensors on a river network
==================================

A river network is a tree: the values between the sensors that minimise the squared
differences along the reaches follow from one exact solve, without any iteration.
"""

# %%
# Every cell of a terrain drains into a neighbour closer to the outlet.
import matplotlib.pyplot as plt
import numpy as np
import scipy.sparse as sp

from numopt.coordinate import forest_solve, is_forest

rng = np.random.default_rng(0)
side = 60
x, y = np.meshgrid(np.arange(side), np.arange(side), indexing="ij")
noise = rng.random((side, side))
left = (x > 0) & ((noise < 0.5) | (y == 0))
parent = np.where(left, (x - 1) * side + y, x * side + y - 1).ravel()
cells = np.arange(1, side * side)
lengths = rng.uniform(0.5, 2.0, cells.size)
W = sp.coo_array((1 / lengths, (cells, parent[1:])), shape=(side**2, side**2))
W = (W + W.T).tocsr()
print("forest:", is_forest(W))

# %%
# A smooth quantity, for example the temperature of the water; sensors see 4% of it.
truth = np.sin(x / 12) + np.cos(y / 15)
truth = truth.ravel()
seen = rng.random(side**2) < 0.04
u = ~seen
A = sp.diags_array(W.sum(axis=1)) - W
A = A.tocsr()
b = W[u][:, seen] @ truth[seen]
guess = truth.copy()
guess[u] = forest_solve(A[u][:, u], b)
residual = np.linalg.norm(A[u][:, u] @ guess[u] - b) / np.linalg.norm(b)
print(f"relative residual {residual:.1e}")
print(f"mean absolute error {np.abs(guess - truth)[u].mean():.3f}")

# %%
fig, axes = plt.subplots(1, 3, figsize=(11, 3.6), layout="constrained")
for k in range(1, side * side):
    axes[0].plot(
        *zip(divmod(k, side), divmod(parent[k], side), strict=True), "0.6", lw=0.5
    )
axes[0].plot(x.ravel()[seen], y.ravel()[seen], "r.", markersize=4)
axes[1].imshow(truth.reshape(side, side).T, origin="lower")
axes[2].imshow(guess.reshape(side, side).T, origin="lower")
for ax, title in zip(
    axes, ("network and sensors", "truth", "reconstruction"), strict=True
):
    ax.set_title(title)
    ax.set_aspect("equal")
