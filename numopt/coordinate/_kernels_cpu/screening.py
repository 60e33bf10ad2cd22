# SPDX-License-Identifier: BSD-3-Clause
"""One pass over all coordinates: which products with a residual matter, and how much.

Along a path these passes, not the solves on the few columns in use, take the time:
each is fused and makes no array of the length of all coordinates.
"""

import math

import numpy as np

from numopt._kernels.jit import jit_kernel

__all__ = ["find_beyond", "find_near", "find_reaching", "norm_ratios", "sort_units"]

#: Coordinates that are looked at together: a test for all of them is one vector loop.
CHUNK = 64


@jit_kernel
def _count_reaching(products, slack, limits, wanted, share):
    """How many of some coordinates are wanted or reach the share of their limit."""
    count = 0
    for j in range(products.size):
        near = abs(products[j]) + slack[j] >= share * limits[j]
        count += 1 if near or wanted[j] else 0
    return count


@jit_kernel
def find_reaching(products, slack, limits, wanted, share):
    """Coordinates that are wanted or may be beyond the share of their limit."""
    out = np.empty(products.size, np.int64)
    count = 0
    for lo in range(0, products.size, CHUNK):
        hi = min(lo + CHUNK, products.size)
        # Offsets below a slice are never negative, which lets the loop be vectorised.
        if not _count_reaching(
            products[lo:hi], slack[lo:hi], limits[lo:hi], wanted[lo:hi], share
        ):
            continue
        for j in range(lo, hi):
            if wanted[j] or abs(products[j]) + slack[j] >= share * limits[j]:
                out[count] = j
                count += 1
    return out[:count].copy()


@jit_kernel
def find_beyond(products, limits, inside, most):
    """Largest ratio of a product to its limit, the number beyond, the largest of these.

    Both are counted outside a working set only.
    """
    out = np.empty(products.size, np.int64)
    top, count = 0.0, 0
    for j in range(products.size):
        push, limit = abs(products[j]), limits[j]
        # Divisions are slow, and the largest ratio changes a few times only.
        if push > top * limit:
            top = push / limit
        # No branch: which way one goes would be hard to predict.
        out[count] = j
        count += (push > limit) & (not inside[j])
    found = out[:count].copy()
    if count <= most:
        return top, count, found
    ratios = np.empty(count)
    for k in range(count):
        j = found[k]
        ratios[k] = abs(products[j]) / limits[j]
    return top, count, _largest(found, ratios, most)


@jit_kernel
def _largest(found, ratios, most):
    """Those with the largest ratios, in their order."""
    last = ratios.size - most
    least, out, count = np.partition(ratios, last)[last], np.empty(most, np.int64), 0
    ties = most
    for k in range(ratios.size):
        ties -= ratios[k] > least
    for k in range(ratios.size):
        tied = ratios[k] == least and ties > 0
        if ratios[k] > least or tied:
            out[count] = found[k]
            count += 1
            ties -= tied
    return out[:count]


@jit_kernel
def find_near(w, slope, lam, share):
    """Coordinates in use, or whose slope reaches a share of their threshold."""
    out = np.empty(w.size, np.int64)
    count = 0
    for j in range(w.size):
        if w[j] != 0.0 or abs(slope[j]) >= share * lam[j]:
            out[count] = j
            count += 1
    return out[:count].copy()


@jit_kernel
def norm_ratios(products, indptr, indices, limits):
    """Norms of the products of every group relative to its limit, 0 without one."""
    out = np.zeros(limits.size)
    for g in range(limits.size):
        squares = 0.0
        for k in range(indptr[g], indptr[g + 1]):
            squares += products[indices[k]] ** 2
        if limits[g] > 0.0:
            out[g] = math.sqrt(squares) / limits[g]
    return out


@jit_kernel
def sort_units(score, used, inside, free, near, entry):
    """Units that stay in a working set, and those that are to enter it."""
    kept, found = np.empty(score.size, np.int64), np.empty(score.size, np.int64)
    stay, come = 0, 0
    for g in range(score.size):
        if used[g] or (inside[g] and (free[g] or score[g] >= near)):
            kept[stay] = g
            stay += 1
        elif score[g] > entry:
            found[come] = g
            come += 1
    return kept[:stay].copy(), found[:come].copy()
