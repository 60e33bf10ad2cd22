# SPDX-License-Identifier: BSD-3-Clause
"""Numba bodies on a truncated support: row i holds the entries start[i]:stop[i].

Gathers stay scalar, with indices read as ``np.uintp``: processors that guard the AVX
gather instruction in microcode execute it slowly. Exponents stay above the denormal
range: products of denormals are slow.
"""

import numpy as np

from numopt._kernels.jit import jit_kernel
from numopt._kernels.simd import exp, log
from numopt._kernels.threads import reduce_blocks, run_blocks

_LEAST, _LOW, _HIGH = -500.0, 1e-150, 1e200


@jit_kernel
def _support_count(M, h, s, inv_eps, out, lo, hi):
    for i in range(lo, hi):
        row, shift = M[i], s[i]
        count = np.int32(0)
        for j in range(h.size):
            count += np.int32((h[j] + shift) - row[j] * inv_eps > 0)
        out[i] = count


@jit_kernel
def _support_entries(M, h, s, inv_eps, start, stop, out_index, out_cost, lo, hi):
    # Branch-free: write every entry, advance past those that stay.
    index = np.empty(h.size + 1, np.int32)
    cost = np.empty(h.size + 1, out_cost.dtype)
    for i in range(lo, hi):
        row, shift = M[i], s[i]
        k = np.uintp(0)
        for j in range(h.size):
            index[k] = j
            cost[k] = row[j]
            k += np.uintp((h[j] + shift) - row[j] * inv_eps > 0)
        first = np.uintp(start[i])
        for q in range(np.uintp(stop[i]) - first):
            out_index[first + q] = index[q]
            out_cost[first + q] = cost[q]


@jit_kernel
def _filter_count(start, stop, index, cost, h, s, inv_eps, out, lo, hi):
    for i in range(lo, hi):
        shift = s[i]
        count = 0
        for q in range(np.uintp(start[i]), np.uintp(stop[i])):
            count += (h[np.uintp(index[q])] + shift) - cost[q] * inv_eps > 0
        out[i] = count


@jit_kernel
def _support_filter(
    start, stop, index, cost, h, s, inv_eps, place, out_index, out_cost, lo, hi
):
    for i in range(lo, hi):
        shift = s[i]
        k, end = np.uintp(place[i]), np.uintp(place[i + 1])
        for q in range(np.uintp(start[i]), np.uintp(stop[i])):
            # Branch-free but for the end of the row: the next is another thread's.
            if k == end:
                break
            j = index[q]
            value = cost[q]
            out_index[k] = j
            out_cost[k] = value
            k += np.uintp((h[np.uintp(j)] + shift) - value * inv_eps > 0)


@jit_kernel
def _support_pass(
    start,
    stop,
    index,
    cost,
    gamma,
    phi,
    log_a,
    inv_eps,
    out_phi,
    out_plan,
    part,
    lo,
    hi,
    block,
):
    c = part[block]
    work = np.empty(gamma.size)
    for i in range(lo, hi):
        first = np.uintp(start[i])
        size = np.uintp(stop[i]) - first
        shift = phi[i]
        out_phi[i] = shift
        if size == 0:
            continue
        for k in range(size):
            work[k] = gamma[np.uintp(index[first + k])]
        total = 0.0
        for k in range(size):
            e = exp(max((work[k] + shift) - cost[first + k] * inv_eps, _LEAST))
            out_plan[first + k] = e
            total += e
        if not (_LOW < total < _HIGH):
            shift = cost[first] * inv_eps - work[0]
            for k in range(size):
                shift = min(shift, cost[first + k] * inv_eps - work[k])
            total = 0.0
            for k in range(size):
                e = exp(max((work[k] + shift) - cost[first + k] * inv_eps, _LEAST))
                out_plan[first + k] = e
                total += e
        out_phi[i] = log_a[i] + shift - log(total)
        scale = exp(log_a[i]) / total
        for k in range(size):
            p = out_plan[first + k] * scale
            out_plan[first + k] = p
            c[np.uintp(index[first + k])] += p


@jit_kernel
def _prune_count(start, stop, index, plan, floor, weight, out, lo, hi):
    for i in range(lo, hi):
        count = 0
        for q in range(np.uintp(start[i]), np.uintp(stop[i])):
            count += plan[q] > floor[i] * weight[np.uintp(index[q])]
        out[i] = count


@jit_kernel
def _support_prune(
    start, stop, index, plan, floor, weight, place, out_index, out_plan, lo, hi
):
    for i in range(lo, hi):
        k, end = np.uintp(place[i]), np.uintp(place[i + 1])
        for q in range(np.uintp(start[i]), np.uintp(stop[i])):
            if k == end:
                break
            j = index[q]
            p = plan[q]
            out_index[k] = j
            out_plan[k] = p
            k += np.uintp(p > floor[i] * weight[np.uintp(j)])


def support_count(M, h, s, inv_eps):
    """Entries of the support, by row."""
    out = np.empty(M.shape[0], np.int64)
    args = (M, h, s, M.dtype.type(inv_eps), out)
    run_blocks(_support_count, M.shape[0], args, M.size // 2)
    return out


def support_entries(M, h, s, inv_eps, count):
    """The support, given its count."""
    bounds = np.concatenate([np.zeros(1, np.int64), np.cumsum(count)])
    start, stop = bounds[:-1], bounds[1:]
    index, cost = np.empty(bounds[-1], np.int32), np.empty(bounds[-1])
    args = (M, h, s, M.dtype.type(inv_eps), start, stop, index, cost)
    run_blocks(_support_entries, M.shape[0], args, M.size)
    return start, stop, index, cost


def _compact(count_body, body, support, *args):
    """Entries of a support that stay: counted first, so that none is stored in vain."""
    start, _, index, values = support
    count = np.empty(start.size, np.int64)
    run_blocks(count_body, start.size, (*support, *args, count), 2 * index.size)
    place = np.concatenate([np.zeros(1, np.int64), np.cumsum(count)])
    out = np.empty(place[-1], index.dtype), np.empty(place[-1], values.dtype)
    run_blocks(body, start.size, (*support, *args, place, *out), 2 * index.size)
    return place[:-1], place[1:], *out


def support_filter(start, stop, index, cost, h, s, inv_eps):
    """The entries that stay."""
    support = start, stop, index, cost
    return _compact(_filter_count, _support_filter, support, h, s, inv_eps)


def support_pass(start, stop, index, cost, gamma, phi, log_a, inv_eps, out_plan):
    """Row update and column sums over the support."""
    out_phi = np.empty(start.size)
    args = (start, stop, index, cost, gamma, phi, log_a, inv_eps, out_phi, out_plan)
    c = reduce_blocks(
        _support_pass, start.size, args, 4 * index.size, shape=gamma.shape
    )
    return out_phi, c


def support_prune(start, stop, index, plan, floor, weight):
    """The entries of the plan that matter for the Hessian."""
    support = start, stop, index, plan
    return _compact(_prune_count, _support_prune, support, floor, weight)
