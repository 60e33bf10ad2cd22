# SPDX-License-Identifier: BSD-3-Clause
"""Numba bodies of the spanning trees; formulas in ``_kernels.simplex``."""

import numpy as np

from numopt._kernels.jit import jit_exact, jit_kernel
from numopt._kernels.threads import run_blocks

#: Arcs priced at a time are this many times the root of their number.
_BLOCK = 4


@jit_exact
def _is_tail(v, p, n, root):
    """Whether the arc between a node and its parent starts at the node."""
    return v < n or (v == root and p >= n)


@jit_exact
def _turn(v, parent, arc, flow):
    """Make a node the root of its tree."""
    p, a, x = -1, -1, 0.0
    while v >= 0:
        above, own, carried = parent[v], arc[v], flow[v]
        parent[v], arc[v], flow[v] = p, a, x
        p, a, x = v, own, carried
        v = above


@jit_exact
def _price(a, cost, left_over):
    """Cost of an arc."""
    return cost[a] if a >= 0 else left_over


@jit_exact
def _push(v, end, amount, side, parent, flow, n, root):
    """Change the flows from a node up to the end of a cycle."""
    while v != end:
        p = parent[v]
        flow[v] += amount if _is_tail(v, p, n, root) == side else -amount
        v = p


@jit_exact
def _insert(k, i, j, x, price, left_over, cost, parent, arc, flow, stamp, mark, n):
    """Add an arc of flow x from node i to node j to a forest."""
    root = parent.size - 1
    v = i
    while v >= 0:
        stamp[v] = mark
        v = parent[v]
    meet = j
    while meet >= 0 and stamp[meet] != mark:
        meet = parent[meet]
    if meet < 0:
        _turn(i, parent, arc, flow)
        parent[i], arc[i], flow[i] = j, k, x
        return
    # One more unit around the cycle: its cost, and how far it goes both ways.
    total, down, up = price, np.inf, x
    lower, upper = -1, -1
    lower_side, upper_side = False, False
    for side in (False, True):
        v = j if side else i
        while v != meet:
            p = parent[v]
            if _is_tail(v, p, n, root) == side:
                total += _price(arc[v], cost, left_over)
                if flow[v] < up:
                    up, upper, upper_side = flow[v], v, side
            else:
                total -= _price(arc[v], cost, left_over)
                if flow[v] < down:
                    down, lower, lower_side = flow[v], v, side
            v = p
    amount = down if total < 0 else -up
    leaving = lower if total < 0 else upper
    turned = lower_side if total < 0 else upper_side
    _push(i, meet, amount, False, parent, flow, n, root)
    _push(j, meet, amount, True, parent, flow, n, root)
    if leaving < 0:
        return
    parent[leaving] = -1
    low, high = (j, i) if turned else (i, j)
    _turn(low, parent, arc, flow)
    parent[low], arc[low], flow[low] = high, k, x + amount


@jit_exact
def tree_of_plan(cost, rows, columns, mass, order, spare, left_over, n):
    """Shift mass around cycles until a tree is left."""
    root = spare.size
    parent, arc = np.full(root + 1, -1), np.full(root + 1, -1)
    stamp, flow = np.full(root + 1, -1), np.zeros(root + 1)
    for place in range(order.size):
        k = order[place]
        if mass[k] > 0.0:
            _insert(
                k, rows[k], n + columns[k], mass[k], cost[k], left_over, cost,
                parent, arc, flow, stamp, place, n,
            )  # fmt: skip
    for v in range(root):
        if spare[v] > 0.0:
            i, j = (v, root) if v < n else (root, v)
            _insert(
                -1, i, j, spare[v], left_over, left_over, cost,
                parent, arc, flow, stamp, order.size + v, n,
            )  # fmt: skip
    _turn(root, parent, arc, flow)
    for v in range(root):
        if parent[v] < 0:
            parent[v], arc[v], flow[v] = root, -1, 0.0
    return parent, arc, flow


@jit_exact
def _hang(v, p, parent, first, after, before):
    """Make a node the first child of another."""
    parent[v] = p
    head = first[p]
    after[v], before[v] = head, -1
    if head >= 0:
        before[head] = v
    first[p] = v


@jit_exact
def _unhang(v, parent, first, after, before):
    """Take a node from the children of its parent."""
    left, right = before[v], after[v]
    if left >= 0:
        after[left] = right
    else:
        first[parent[v]] = right
    if right >= 0:
        before[right] = left


@jit_exact
def _refresh(top, cost, left_over, parent, arc, first, after, depth, potential):
    """Depths and potentials of a subtree, from its top down."""
    v = top
    while True:
        p = parent[v]
        depth[v] = depth[p] + 1
        potential[v] = _price(arc[v], cost, left_over) - potential[p]
        if first[v] >= 0:
            v = first[v]
            continue
        while v != top and after[v] < 0:
            v = parent[v]
        if v == top:
            return
        v = after[v]


@jit_exact
def _pivot(k, i, j, parent, arc, flow, first, after, before, depth, n):
    """Exchange an arc for the first that a cycle empties; the moved node."""
    root = parent.size - 1
    u, w = i, j
    amount, leaving, turned = np.inf, -1, False
    while u != w:
        if depth[u] >= depth[w]:
            p = parent[u]
            if _is_tail(u, p, n, root) and flow[u] < amount:
                amount, leaving, turned = flow[u], u, False
            u = p
        else:
            p = parent[w]
            if not _is_tail(w, p, n, root) and flow[w] < amount:
                amount, leaving, turned = flow[w], w, True
            w = p
    _push(i, u, amount, False, parent, flow, n, root)
    _push(j, u, amount, True, parent, flow, n, root)
    top, p = (j, i) if turned else (i, j)
    v, a, x = top, k, amount
    while True:
        above, own, carried = parent[v], arc[v], flow[v]
        _unhang(v, parent, first, after, before)
        _hang(v, p, parent, first, after, before)
        arc[v], flow[v] = a, x
        if v == leaving:
            return top
        p, a, x = v, own, carried
        v = above


@jit_exact
def tree_pivots(cost, rows, columns, left_over, tol, most, n, parent, arc, flow):
    """Price arcs block by block; pivot on the cheapest of a block."""
    root = parent.size - 1
    first, after = np.full(root + 1, -1), np.full(root + 1, -1)
    before, depth = np.full(root + 1, -1), np.zeros(root + 1, np.int64)
    potential = np.zeros(root + 1)
    for v in range(root):
        _hang(v, parent[v], parent, first, after, before)
    v = first[root]
    while v >= 0:
        _refresh(v, cost, left_over, parent, arc, first, after, depth, potential)
        v = after[v]
    size = cost.size
    block = min(size, int(_BLOCK * np.sqrt(size)) + 1)
    pivots = start = seen = 0
    while pivots < most:
        best, k, i, j = -tol, -1, -1, -1
        if seen < size:
            stop = min(start + block, size)
            for at in range(start, stop):
                reduced = cost[at] - potential[rows[at]] - potential[n + columns[at]]
                if reduced < best:
                    best, k = reduced, at
            seen += stop - start
            start = stop if stop < size else 0
            if k < 0:
                continue
            i, j = rows[k], n + columns[k]
        else:
            for v in range(root):
                if left_over - potential[v] < best:
                    best = left_over - potential[v]
                    i, j = (v, root) if v < n else (root, v)
            if i < 0:
                break
        top = _pivot(k, i, j, parent, arc, flow, first, after, before, depth, n)
        _refresh(top, cost, left_over, parent, arc, first, after, depth, potential)
        pivots += 1
        seen = 0
    return potential[:root], pivots


@jit_exact
def tree_flows(parent, weights):
    """Leaves first: what a node needs comes through its parent."""
    root = weights.size
    children = np.zeros(root + 1, np.int64)
    for v in range(root):
        children[parent[v]] += 1
    flow = weights.copy()
    for v in range(root):
        u = v
        while u < root and children[u] == 0:
            children[u] = -1
            p = parent[u]
            children[p] -= 1
            if p < root:
                flow[p] -= flow[u]
            u = p
    return flow


@jit_kernel
def _reduced_minima(M, f, g, tol, out_minima, out_entries, lo, hi):
    m = g.size
    for i in range(lo, hi):
        row, shift = M[i], f[i]
        least = M.dtype.type(np.inf)
        for j in range(m):
            least = min(least, row[j] - g[j])
        out_minima[i] = least - shift
        found = 0
        out_entries[i, :] = -1
        if least - shift < -tol:
            # The worse half first: one place each, the rest of a row comes later.
            bar = 0.5 * (least - shift)
            for j in range(m):
                if row[j] - g[j] - shift <= bar and found < out_entries.shape[1]:
                    out_entries[i, found] = i * m + j
                    found += 1


def reduced_minima(M, f, g, tol, most):
    """Smallest reduced cost of each row, and the places of negative ones."""
    n, m = M.shape
    minima, entries = np.empty(n, M.dtype), np.empty((n, most), np.int64)
    run_blocks(_reduced_minima, n, (M, f, g, M.dtype.type(tol), minima, entries), n * m)
    return minima, entries
