# SPDX-License-Identifier: BSD-3-Clause
"""Numba bodies: exact elimination of the nodes of a graph by minimum degree."""

import numpy as np

from numopt._kernels.jit import jit_kernel
from numopt.coordinate._kernels_cpu.elimination import extract_core

__all__ = ["clustering", "eliminate_nodes", "restore_nodes"]

#: Free places of a new list of neighbours, and growth of a list or pool that is full.
SPARE, GROWTH = 4, 2
#: A node stays when a neighbour has more neighbours than this: lists are searched.
CROWDED = 256
#: Neighbours of a node that are looked at to tell whether they know each other.
LOOKED_AT = 32


@jit_kernel
def _clustering(cols, ptr, nodes):
    """Share of the pairs of neighbours of the nodes that are neighbours themselves."""
    pairs, joined = 0, 0
    for i in nodes:
        lo, hi = ptr[i], min(ptr[i + 1], ptr[i] + LOOKED_AT)
        for e in range(lo, hi):
            a = cols[e]
            for g in range(e + 1, hi):
                pairs += 1
                for h in range(ptr[a], min(ptr[a + 1], ptr[a] + CROWDED)):
                    if cols[h] == cols[g]:
                        joined += 1
                        break
    return joined / max(pairs, 1)


def clustering(cols, ptr, nodes):
    """Share of the pairs of neighbours of some nodes that are neighbours themselves.

    At most a few of the neighbours of each node are looked at.
    """
    return float(_clustering(cols, ptr, nodes))


@jit_kernel
def _link(i, bucket, heads, after, before):
    """Put a node at the head of a bucket of equal degree."""
    head = heads[bucket]
    after[i], before[i] = head, -1 - bucket
    if head >= 0:
        before[head] = i
    heads[bucket] = i


@jit_kernel
def _unlink(i, heads, after, before):
    """Take a node out of its bucket."""
    if before[i] >= 0:
        after[before[i]] = after[i]
    else:
        heads[-1 - before[i]] = after[i]
    if after[i] >= 0:
        before[after[i]] = before[i]


@jit_kernel
def _compact(cols, values, start, length, room, size):
    """Copy all lists to a new pool; returns it and the place behind the last list."""
    new_cols, new_values = np.empty(size, cols.dtype), np.empty(size)
    used = 0
    for i in range(start.size):
        room[i] = length[i] + SPARE if length[i] > 0 else 0
        for t in range(length[i]):
            new_cols[used + t] = cols[start[i] + t]
            new_values[used + t] = values[start[i] + t]
        start[i] = used
        used += room[i]
    return new_cols, new_values, used


@jit_kernel
def _couple(a, i, f, mates, weights, lo, hi, cols, values, start, length, where):
    """Remove node i from the list of a, and add -f times the weights of its mates."""
    s, size = start[a], length[a]
    for t in range(size):
        where[cols[s + t]] = t
    size -= 1
    hole, last = where[i], cols[s + size]
    cols[s + hole], values[s + hole] = last, values[s + size]
    where[last] = hole
    for g in range(lo, hi):
        b = mates[g]
        if b == a:
            continue
        t = where[b]
        if t < 0 or t >= size or cols[s + t] != b:
            cols[s + size], values[s + size] = b, -f * weights[g]
            where[b] = size
            size += 1
        else:
            values[s + t] -= f * weights[g]
    length[a] = size


@jit_kernel
def _eliminate(values, cols, ptr, diag, rhs, limit, start, length, order, first):
    """Eliminate while some node has at most ``limit`` neighbours."""
    n = diag.size
    room = length + SPARE
    pool = int(GROWTH * room.sum())
    cols, values, used = _compact(cols, values, start, length, room, pool)
    heads = np.full(limit + 2, -1, np.int64)
    after, before = np.empty(n, np.int64), np.empty(n, np.int64)
    for i in range(n - 1, -1, -1):
        _link(i, min(length[i], limit + 1), heads, after, before)
    where = np.zeros(n, np.int64)
    mates, weights = np.empty(pool, cols.dtype), np.empty(pool)
    count, lo, least = 0, 0, 0
    while True:
        while least <= limit and heads[least] < 0:
            least += 1
        if least > limit:
            break
        i = heads[least]
        _unlink(i, heads, after, before)
        crowd = 0
        for e in range(start[i], start[i] + length[i]):
            crowd = max(crowd, length[cols[e]])
        if crowd > CROWDED:
            _link(i, limit + 1, heads, after, before)
            continue
        pivot = diag[i]
        if not pivot > 0.0:
            return count, i, cols, values, mates[:lo], weights[:lo]
        degree = length[i]
        hi = lo + degree
        if hi > mates.size:
            mates = np.concatenate((mates, np.empty_like(mates)))
            weights = np.concatenate((weights, np.empty_like(weights)))
        mates[lo:hi] = cols[start[i] : start[i] + degree]
        weights[lo:hi] = values[start[i] : start[i] + degree]
        order[count] = i
        count += 1
        first[count] = hi
        length[i] = 0
        for g in range(lo, hi):
            a = mates[g]
            f = weights[g] / pivot
            diag[a] -= f * weights[g]
            for c in range(rhs.shape[1]):
                rhs[a, c] -= f * rhs[i, c]
            need = length[a] + degree - 2
            if need > room[a]:
                if used + GROWTH * need > cols.size:
                    live = int(length.sum()) + n * SPARE + GROWTH * need
                    cols, values, used = _compact(
                        cols, values, start, length, room, GROWTH * live
                    )
                s = start[a]
                for t in range(length[a]):
                    cols[used + t] = cols[s + t]
                    values[used + t] = values[s + t]
                start[a], room[a] = used, GROWTH * need
                used += GROWTH * need
            _unlink(a, heads, after, before)
            _couple(a, i, f, mates, weights, lo, hi, cols, values, start, length, where)
            bucket = min(length[a], limit + 1)
            _link(a, bucket, heads, after, before)
            least = min(least, bucket)
        lo = hi
    return count, -1, cols, values, mates[:lo], weights[:lo]


def eliminate_nodes(values, cols, ptr, diag, rhs, limit):
    """Eliminate nodes of at most ``limit`` neighbours; the core stays symmetric.

    Returns the core (values, columns, row pointers, diagonal, right-hand sides), its
    nodes, the six arrays of ``restore_nodes``, and a bad pivot or -1.
    """
    n = diag.size
    diag, rhs = diag.copy(), rhs.copy()
    start, length = ptr[:-1].astype(np.int64), np.diff(ptr).astype(np.int64)
    order, first = np.empty(n, np.int64), np.zeros(n + 1, np.int64)
    count, bad, cols, values, mates, weights = _eliminate(
        values, cols, ptr, diag, rhs, limit, start, length, order, first
    )
    order, first = order[:count], first[: count + 1]
    core, kept = extract_core(values, cols, ptr, start, length, diag, rhs, order)
    return (*core, kept, order, first, mates, weights, diag[order], rhs[order], bad)


@jit_kernel
def _restore(order, first, mates, weights, pivots, sides, x):
    """Back substitution, the last eliminated node first."""
    for t in range(order.size - 1, -1, -1):
        i = order[t]
        for c in range(x.shape[1]):
            x[i, c] = sides[t, c]
        for g in range(first[t], first[t + 1]):
            a, w = mates[g], weights[g]
            for c in range(x.shape[1]):
                x[i, c] -= w * x[a, c]
        for c in range(x.shape[1]):
            x[i, c] /= pivots[t]


def restore_nodes(order, first, mates, weights, pivots, sides, x_core, kept):
    """Solution on all nodes from the solution on the core."""
    x = np.empty((kept.size + order.size, sides.shape[1]))
    x[kept] = x_core
    _restore(order, first, mates, weights, pivots, sides, x)
    return x
