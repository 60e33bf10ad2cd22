# SPDX-License-Identifier: BSD-3-Clause
"""Numba bodies of the spanning trees; formulas in ``_kernels.simplex``."""

import numpy as np

from numopt._kernels.jit import jit_exact, jit_finite, jit_kernel
from numopt._kernels.threads import run_blocks

#: Arcs priced at a time are this many times the root of their number.
_BLOCK = 2

#: What the table of a tree holds of each node: its parent and the arc between both, its
#: first child, its neighbours among its siblings and the size of its subtree.
_PARENT, _ARC, _FIRST, _AFTER, _BEFORE, _SIZE = range(6)


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
def _meeting(u, w, parent, stamp, mark):
    """The first node above two others, -1 in different trees; both go up in turn."""
    while u >= 0 or w >= 0:
        if u >= 0:
            if stamp[u] == mark:
                return u
            stamp[u], u = mark, parent[u]
        u, w = w, u
    return -1


@jit_exact
def _insert(k, i, j, x, price, left_over, cost, parent, arc, flow, stamp, mark, n):
    """Add an arc of flow x from node i to node j to a forest."""
    root = parent.size - 1
    meet = _meeting(i, j, parent, stamp, mark)
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
def _hang(v, p, links):
    """Make a node the first child of another."""
    head = links[p, _FIRST]
    links[v, _PARENT], links[v, _AFTER], links[v, _BEFORE] = p, head, -1
    if head >= 0:
        links[head, _BEFORE] = v
    links[p, _FIRST] = v


@jit_exact
def _unhang(v, links):
    """Take a node from the children of its parent."""
    left, right = links[v, _BEFORE], links[v, _AFTER]
    if left >= 0:
        links[left, _AFTER] = right
    else:
        links[links[v, _PARENT], _FIRST] = right
    if right >= 0:
        links[right, _BEFORE] = left


@jit_exact
def _next(v, top, links):
    """The node after v in its subtree, parents before their children; -1 at the end."""
    if links[v, _FIRST] >= 0:
        return links[v, _FIRST]
    while v != top and links[v, _AFTER] < 0:
        v = links[v, _PARENT]
    return -1 if v == top else links[v, _AFTER]


@jit_exact
def _linked(parent, arc):
    """Children, neighbours and sizes of the subtrees of a tree with the last root."""
    root = parent.size - 1
    links = np.full((root + 1, 6), -1, np.int32)
    links[:, _ARC], links[:, _SIZE] = arc, 1
    for v in range(root):
        _hang(v, parent[v], links)
    order, v = np.empty(root + 1, np.int64), root
    for place in range(root + 1):
        order[place] = v
        v = _next(v, root, links)
    for v in order[:0:-1]:
        links[links[v, _PARENT], _SIZE] += links[v, _SIZE]
    return links


@jit_exact
def _potentials(base, links, cost, left_over, n, out):
    """Differences along the arcs are the costs; 0 at the first node.

    The price of what is left over, large beside the costs, is counted apart: it cancels
    without rounding between nodes that need it equally often.
    """
    root = links.shape[0] - 1
    times = np.zeros(root + 1, np.int64)
    out[base], v = 0.0, _next(base, base, links)
    while v >= 0:
        p, a = links[v, _PARENT], links[v, _ARC]
        sign = 1 if _is_tail(v, p, n, root) else -1
        times[v] = times[p] + (sign if a < 0 else 0)
        out[v] = out[p] + (sign * cost[a] if a >= 0 else 0.0)
        v = _next(v, base, links)
    for v in range(root, -1, -1):
        out[v] = (out[v] - out[0]) + (times[v] - times[0]) * left_over


@jit_exact
def _cycle(i, j, links, flow, n):
    """Push as much as goes around the cycle that an arc closes.

    Returns the amount, the node whose arc to its parent is emptied first, whether that
    node is on the side of j, and where both sides meet.
    """
    root = links.shape[0] - 1
    u, w = i, j
    amount, leaving, turned = np.inf, -1, False
    while u != w:
        # The node with the smaller subtree cannot be above the other.
        if links[u, _SIZE] <= links[w, _SIZE]:
            p = links[u, _PARENT]
            if flow[u] < amount and _is_tail(u, p, n, root):
                amount, leaving, turned = flow[u], u, False
            u = p
        else:
            p = links[w, _PARENT]
            if flow[w] < amount and not _is_tail(w, p, n, root):
                amount, leaving, turned = flow[w], w, True
            w = p
    parent = links[:, _PARENT]
    _push(i, u, amount, False, parent, flow, n, root)
    _push(j, u, amount, True, parent, flow, n, root)
    return amount, leaving, turned, u


@jit_exact
def _add_size(v, end, size, links):
    """Change the sizes of the subtrees from a node up to, not including, another."""
    while v != end:
        links[v, _SIZE] += size
        v = links[v, _PARENT]


@jit_exact
def _move(top, last, p, k, amount, size, links, flow):
    """Hang a part of the tree, turned so that ``top`` is its root, at a node.

    ``last`` is the root of the part so far, ``size`` the number of its nodes.
    """
    v, a, x, below = top, k, amount, 0
    while True:
        above, own, carried, under = (
            links[v, _PARENT], links[v, _ARC], flow[v], links[v, _SIZE]
        )  # fmt: skip
        if above >= 0:
            _unhang(v, links)
        _hang(v, p, links)
        links[v, _ARC], flow[v], links[v, _SIZE] = a, x, size - below
        if v == last:
            return
        p, a, x, v, below = v, own, carried, above, under


@jit_exact
def _pivot(k, i, j, reduced, base, links, flow, potential, n):
    """Exchange an arc for the first that a cycle empties; the root of the tree.

    The arc that leaves cuts the tree in two: the smaller part moves.
    """
    amount, leaving, turned, meet = _cycle(i, j, links, flow, n)
    top, stay = (j, i) if turned else (i, j)
    size, low = links[leaving, _SIZE], links[leaving, _PARENT]
    _unhang(leaving, links)
    links[leaving, _PARENT] = -1
    if 2 * size <= links.shape[0]:
        _add_size(low, meet, -size, links)
        last, end = leaving, meet
    else:
        _add_size(low, -1, -size, links)
        top, stay, last, end = stay, top, base, -1
        base, size = leaving, links.shape[0] - size
    _move(top, last, stay, k, amount, size, links, flow)
    _add_size(stay, end, size, links)
    change = reduced if top == i else -reduced
    v = top
    while v >= 0:
        potential[v] += change
        v = _next(v, top, links)
    return base


@jit_finite
def _lowest(cost, tails, heads, f, g, start, stop):
    """Least reduced cost of some arcs; vectorises, unlike the search for its place."""
    least = np.inf
    for k in range(start, stop):
        least = min(least, (cost[k] - f[tails[k]]) + g[heads[k]])
    return least


@jit_exact
def _cheapest(cost, tails, heads, f, g, start, stop, bar):
    """The arc of least reduced cost below a bar, -1 if there is none."""
    found, best = -1, bar
    if _lowest(cost, tails, heads, f, g, start, stop) < bar:
        for k in range(start, stop):
            reduced = (cost[k] - f[tails[k]]) + g[heads[k]]
            if reduced < best:
                found, best = k, reduced
    return found, best


@jit_exact
def _dearest(potential, left_over, bar, n):
    """The node whose left over mass is worth most, as an arc and its reduced cost."""
    root = potential.size - 1
    best, i, j = bar, -1, -1
    for v in range(root):
        reduced = left_over - (potential[v] if v < n else -potential[v])
        reduced += potential[root] if v < n else -potential[root]
        if reduced < best:
            best = reduced
            i, j = (v, root) if v < n else (root, v)
    return best, i, j


@jit_exact
def tree_pivots(cost, rows, columns, left_over, tol, most, n, parent, arc, flow):
    """Price arcs block by block; pivot on the cheapest of a block."""
    root = parent.size - 1
    links, base = _linked(parent, arc), root
    potential = np.empty(root + 1)
    _potentials(base, links, cost, left_over, n, potential)
    f, g = potential[:n], potential[n:]
    tails, heads = rows.astype(np.uint32), columns.astype(np.uint32)
    size = cost.size
    block = min(size, int(_BLOCK * np.sqrt(size)) + 1)
    pivots = start = seen = age = 0
    while pivots < most:
        if age >= root:
            # Changes add up rounding.
            _potentials(base, links, cost, left_over, n, potential)
            age = 0
        if seen < size:
            stop = min(start + block, size)
            k, reduced = _cheapest(cost, tails, heads, f, g, start, stop, -tol)
            seen += stop - start
            start = stop if stop < size else 0
            if k < 0:
                continue
            i, j = rows[k], n + columns[k]
        else:
            k = -1
            bar = -tol * max(1.0, left_over)
            reduced, i, j = _dearest(potential, left_over, bar, n)
            if i < 0:
                if age == 0:
                    break
                # Price once more with exact potentials.
                seen, age = 0, root
                continue
        base = _pivot(k, i, j, reduced, base, links, flow, potential, n)
        pivots += 1
        age += 1
        seen = 0
    parent[:], arc[:] = links[:, _PARENT], links[:, _ARC]
    _turn(root, parent, arc, flow)
    potential[n:] *= -1.0
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
