# SPDX-License-Identifier: BSD-3-Clause
"""Numba bodies for columns of few nonzeros; see ``_kernels.sparse`` for formulas."""

import numpy as np

from numopt._kernels.jit import jit_kernel
from numopt._kernels.threads import reduce_blocks


@jit_kernel
def _largest_first(values, index, size, k):
    """Permute so that the k largest come first (quickselect); ties by index."""
    lo, hi = 0, size - 1
    while lo < hi:
        middle = (lo + hi) // 2
        pivot, pivot_index = values[middle], index[middle]
        i, j = lo, hi
        while i <= j:
            while values[i] > pivot or (values[i] == pivot and index[i] < pivot_index):
                i += 1
            while values[j] < pivot or (values[j] == pivot and index[j] > pivot_index):
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                index[i], index[j] = index[j], index[i]
                i += 1
                j -= 1
        if k - 1 <= j:
            hi = j
        elif k - 1 >= i:
            lo = i
        else:
            break


@jit_kernel
def _threshold(values, size, total):
    """Return tau with ``sum_i max(values_i - tau, 0) = total`` (Michelot)."""
    tau = -np.inf
    count = 0
    while True:
        kept = 0
        rest = -total
        for q in range(size):
            if values[q] > tau:
                kept += 1
                rest += values[q]
        if kept == count:
            return tau
        count = kept
        tau = rest / kept


@jit_kernel
def _respond(alpha, cost, total_mass, reg, k, gap, where, out_index, out_mass):
    """Best column of at most k nonzeros; returns their number and the maximum."""
    n, total = alpha.size, reg * total_mass
    top = alpha[0] - cost[0]
    for i in range(n):
        top = max(top, alpha[i] - cost[i])
    # The threshold is at least top - total: nothing below can be positive.
    # Branch-free: write every entry, advance past those that stay.
    size = np.uintp(0)
    for i in range(n):
        below = (alpha[i] - top) - cost[i]
        gap[size] = below
        where[size] = i
        size += np.uintp(below > -total)
    if size > k:
        _largest_first(gap, where, np.intp(size), k)
        size = np.uintp(k)
    tau = _threshold(gap, np.intp(size), total) if size > 0 else -total
    value = top * total_mass
    kept = 0
    for q in range(np.intp(size)):
        excess = gap[q] - tau
        if excess > 0:
            mass = excess / reg
            value += mass * (gap[q] - 0.5 * excess)
            out_index[kept] = where[q]
            out_mass[kept] = mass
            kept += 1
    return kept, value


@jit_kernel
def _sparse_response(
    alpha,
    cost_t,
    b,
    reg,
    out_index,
    out_mass,
    out_size,
    out_value,
    part,
    lo,
    hi,
    block,
):
    rows = part[block]
    n, k = alpha.size, out_index.shape[1]
    gap = np.empty(n + 1, alpha.dtype)
    where = np.empty(n + 1, np.int32)
    for j in range(lo, hi):
        index, mass = out_index[j], out_mass[j]
        kept, value = _respond(alpha, cost_t[j], b[j], reg, k, gap, where, index, mass)
        for q in range(kept):
            rows[index[q]] += mass[q]
        out_size[j] = kept
        out_value[j] = value


@jit_kernel
def _sparse_sweep(
    alpha, cost_t, b, reg, penalty, missing, out_index, out_mass, out_size
):
    n, k = alpha.size, out_index.shape[1]
    gap = np.empty(n + 1, alpha.dtype)
    where = np.empty(n + 1, np.int32)
    price = np.empty(n, alpha.dtype)
    for j in range(b.size):
        index, mass = out_index[j], out_mass[j]
        for q in range(out_size[j]):
            missing[index[q]] += mass[q]
        for i in range(n):
            price[i] = alpha[i] + penalty * missing[i]
        out_size[j], _ = _respond(
            price, cost_t[j], b[j], reg + penalty, k, gap, where, index, mass
        )
        for q in range(out_size[j]):
            missing[index[q]] -= mass[q]


@jit_kernel
def _sparse_hessian_product(index, size, x, part, lo, hi, block):
    out = part[block]
    for j in range(lo, hi):
        count = size[j]
        if count > 1:
            mean = 0.0
            for q in range(count):
                mean += x[np.uintp(index[j, q])]
            mean /= count
            for q in range(count):
                i = np.uintp(index[j, q])
                out[i] += x[i] - mean


def sparse_response(alpha, cost_t, b, reg, index, mass, size, value):
    """Best sparse columns and their row sums."""
    return reduce_blocks(
        _sparse_response,
        b.size,
        (alpha, cost_t, b, reg, index, mass, size, value),
        cost_t.size,
        shape=alpha.shape,
    )


def sparse_hessian_product(index, size, x):
    """Product with the graph Laplacian of the nonzeros."""
    args = (index, size, x)
    return reduce_blocks(
        _sparse_hessian_product, size.size, args, 4 * int(size.sum()), shape=x.shape
    )


def sparse_sweep(alpha, cost_t, b, reg, penalty, missing, index, mass, size):
    """Best sparse columns, one after the other; returns the rows' missing mass."""
    missing = missing.copy()
    _sparse_sweep(alpha, cost_t, b, reg, penalty, missing, index, mass, size)
    return missing
