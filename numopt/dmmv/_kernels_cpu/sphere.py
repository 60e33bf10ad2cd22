# SPDX-License-Identifier: BSD-3-Clause
"""Depth-first enumeration of the discrete points of a sphere, in Numba."""

import numpy as np

from numopt._kernels.jit import jit_exact

__all__ = ["sphere_search"]


@jit_exact
def _worst(D, lower, upper, x):
    """The worst violation of a point."""
    worst = 0.0
    for i in range(D.shape[1]):
        y = 0.0
        for j in range(D.shape[0]):
            y += D[j, i] * x[j]
        worst = max(worst, y - upper[i], lower[i] - y)
    return worst


@jit_exact
def _nearest(levels, count, tau):
    """Index of the level nearest to ``tau``."""
    low, high = 0, count - 1
    while low < high:
        middle = (low + high) // 2
        if levels[middle] < tau:
            low = middle + 1
        else:
            high = middle
    if low > 0 and tau - levels[low - 1] <= levels[low] - tau:
        return low - 1
    return low


@jit_exact
def _next(levels, count, tau, down, up):
    """The nearer of the next level below and above, as (index, whether below)."""
    if down < 0:
        return up, False
    if up >= count:
        return down, True
    below = tau - levels[down] <= levels[up] - tau
    return (down if below else up), below


@jit_exact
def _sphere_search(R, c, D, levels, counts, lower, upper, square, best, max_nodes):
    n = R.shape[0]
    x, found = np.zeros(n), np.zeros(n)
    tau, cost = np.zeros(n), np.zeros(n + 1)
    down, up = np.zeros(n, np.int64), np.zeros(n, np.int64)
    nodes, better, enter = 0, False, True
    radius = square[0] + best * (square[1] + best * square[2])
    j = n - 1
    while j < n:
        if enter:
            rest = c[j]
            for i in range(j + 1, n):
                rest -= R[j, i] * x[i]
            tau[j] = rest / R[j, j]
            down[j] = _nearest(levels[j], counts[j], tau[j])
            up[j] = down[j] + 1
            enter = False
        inside = down[j] >= 0 or up[j] < counts[j]
        if inside:
            at, below = _next(levels[j], counts[j], tau[j], down[j], up[j])
            distance = R[j, j] * (tau[j] - levels[j, at])
            total = cost[j + 1] + distance * distance
            inside = total <= radius
        if not inside:
            # The other levels are farther still.
            j += 1
            continue
        nodes += 1
        if nodes > max_nodes:
            break
        if below:
            down[j] -= 1
        else:
            up[j] += 1
        x[j], cost[j] = levels[j, at], total
        if j > 0:
            j -= 1
            enter = True
            continue
        nodes += n
        worst = _worst(D, lower, upper, x)
        if worst < best:
            best, better = worst, True
            found[:] = x
            radius = square[0] + best * (square[1] + best * square[2])
    return found, better, nodes <= max_nodes


def sphere_search(R, c, D, levels, counts, lower, upper, square, best, max_nodes):
    """The best point of the sphere; see ``_kernels``."""
    found, better, complete = _sphere_search(
        np.ascontiguousarray(R), np.ascontiguousarray(c), np.ascontiguousarray(D),
        np.ascontiguousarray(levels), counts, lower, upper,
        np.asarray(square, np.float64), float(best), max_nodes,
    )  # fmt: skip
    return found, np.array(better), np.array(complete)
