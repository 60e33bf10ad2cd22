# SPDX-License-Identifier: BSD-3-Clause
"""K-best search for the closest discrete point, one channel after the other."""

import numpy as np

from numopt._kernels.jit import jit_kernel
from numopt._kernels.threads import run_blocks

__all__ = ["k_best"]


@jit_kernel
def _continuations(tau, row, low, high, width, z, gap):
    """Write the ``width`` nearest values and their distances; return how many."""
    found = 0
    if row.shape[0] == 0:
        first = min(max(np.rint(tau), low), high)
        side = 1.0 if tau >= first else -1.0
        for i in range(width):
            value = first + side * ((i + 1) // 2 * (1 if i % 2 else -1))
            if low <= value <= high:
                z[found] = value
                gap[found] = tau - value
                found += 1
        return found
    right = 0
    while right < row.shape[0] and row[right] < tau:
        right += 1
    left = right - 1
    while found < width:
        far_left = np.inf if left < 0 else tau - row[left]
        far_right = np.inf if right >= row.shape[0] else row[right] - tau
        if min(far_left, far_right) == np.inf:
            break
        if far_left <= far_right:
            z[found] = row[left]
            gap[found] = far_left
            left -= 1
        else:
            z[found] = row[right]
            gap[found] = far_right
            right += 1
        found += 1
    return found


@jit_kernel
def _smallest(values, count, rank):
    """Value of that rank (from 0) among the first ``count``, which are re-ordered."""
    left, right = 0, count - 1
    while left < right:
        pivot = values[(left + right) // 2]
        i, j = left, right
        while i <= j:
            while values[i] < pivot:
                i += 1
            while values[j] > pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if rank <= j:
            right = j
        elif rank >= i:
            left = i
        else:
            break
    return values[rank]


@jit_kernel
def _k_best(R, target, table, low, high, keep, width, points, costs, lo, hi):
    n = R.shape[0]
    dtype = R.dtype
    rest = np.empty((keep, n), dtype)
    spare = np.empty((keep, n), dtype)
    parents = np.empty((n, keep), np.int64)
    chosen = np.empty((n, keep), dtype)
    child = np.empty(keep * width, dtype)
    owner = np.empty(keep * width, np.int64)
    total = np.empty(keep * width, dtype)
    ranked = np.empty(keep * width, dtype)
    cost = np.empty(keep, dtype)
    z = np.empty(width, dtype)
    gap = np.empty(width, dtype)
    column = np.empty(n, dtype)
    for c in range(lo, hi):
        rest[0] = target[c]
        cost[0] = 0
        alive = 1
        for j in range(n - 1, -1, -1):
            diagonal = R[j, j]
            candidates = 0
            for a in range(alive):
                tau = rest[a, j] / diagonal
                found = _continuations(tau, table[j], low[j], high[j], width, z, gap)
                for i in range(found):
                    child[candidates] = z[i]
                    owner[candidates] = a
                    total[candidates] = cost[a] + (diagonal * gap[i]) ** 2
                    candidates += 1
            survivors = min(keep, candidates)
            bar = dtype.type(np.inf)
            if survivors < candidates:
                for i in range(candidates):
                    ranked[i] = total[i]
                bar = _smallest(ranked, candidates, survivors - 1)
            places = 0
            equal = survivors
            for i in range(candidates):
                equal -= total[i] < bar
            for i in range(candidates):
                if total[i] < bar or (total[i] == bar and equal > 0):
                    equal -= total[i] == bar
                    parents[j, places] = owner[i]
                    chosen[j, places] = child[i]
                    cost[places] = total[i]
                    places += 1
            for i in range(j):
                column[i] = R[i, j]
            for a in range(places):
                parent = parents[j, a]
                value = chosen[j, a]
                for i in range(j):
                    spare[a, i] = rest[parent, i] - value * column[i]
            rest, spare = spare, rest
            alive = places
        for a in range(keep):
            if a >= alive:
                points[c, a] = points[c, 0]
                costs[c, a] = np.inf
                continue
            costs[c, a] = cost[a]
            at = a
            for j in range(n):
                points[c, a, j] = chosen[j, at]
                at = parents[j, at]


def k_best(R, target, table, low, high, keep, width):
    """K-best search of a whole batch; see ``_kernels``."""
    channels, n = target.shape
    points = np.empty((channels, keep, n), R.dtype)
    costs = np.empty((channels, keep), R.dtype)
    data = map(np.ascontiguousarray, (R, target, table, low, high))
    args = (*data, keep, width, points, costs)
    run_blocks(_k_best, channels, args, work=channels * keep * n * (n + 40 * width))
    order = np.argsort(costs, axis=1)
    points = np.take_along_axis(points, order[:, :, None], axis=1)
    return points, np.take_along_axis(costs, order, axis=1)
