# SPDX-License-Identifier: BSD-3-Clause
"""K-best search for the closest discrete point, one channel after the other.

Variables are decided in blocks. Of each of the K partial points a row is kept: the
right-hand sides of the variables of this block that are left, then the decisions made.
The rows of the next block follow from the tree of decisions so far: what all survivors
share enters once, and what some share once for them.
"""

import numpy as np

from numopt._kernels.jit import jit_finite, jit_kernel
from numopt._kernels.threads import run_blocks

__all__ = ["k_best"]

#: Variables of a block; a multiple of 8.
BLOCK = 32


@jit_kernel
def _integers(tau, low, high, diagonal, cost, alive, child, total):
    """Children of all lanes: nearest integers in zig-zag order, and their costs."""
    outside = child.dtype.type(np.inf)
    for a in range(alive):
        z = min(max(np.rint(tau[a]), low), high)
        gap = diagonal * (tau[a] - z)
        child[0, a] = z
        total[0, a] = cost[a] + gap * gap
    for i in range(1, child.shape[0]):
        step = child.dtype.type((i + 1) // 2 * (1 if i % 2 else -1))
        for a in range(alive):
            first = child[0, a]
            z = first + step if tau[a] >= first else first - step
            gap = diagonal * (tau[a] - z)
            child[i, a] = z
            total[i, a] = cost[a] + gap * gap if low <= z <= high else outside


@jit_kernel
def _listed(tau, row, diagonal, cost, alive, child, total):
    """Children of all lanes from a sorted list that is padded with infinity."""
    for a in range(alive):
        right = 0
        while right < row.shape[0] and row[right] < tau[a]:
            right += 1
        left = right - 1
        for i in range(child.shape[0]):
            far_left = np.inf if left < 0 else tau[a] - row[left]
            far_right = np.inf if right >= row.shape[0] else row[right] - tau[a]
            gap = diagonal * min(far_left, far_right)
            total[i, a] = cost[a] + gap * gap
            if min(far_left, far_right) == np.inf:
                child[i, a] = 0
                total[i, a] = np.inf
            elif far_left <= far_right:
                child[i, a] = row[left]
                left -= 1
            else:
                child[i, a] = row[right]
                right += 1


@jit_kernel
def _count(total, alive, bar):
    """Number of totals that do not exceed the bar; exact as a float up to 2**24."""
    one, none = total.dtype.type(1), total.dtype.type(0)
    found = none
    for i in range(total.shape[0]):
        for a in range(alive):
            found += one if total[i, a] <= bar else none
    return found


@jit_finite
def _range(cost, total, alive):
    """Least cost of a lane and largest total of a first child; all are finite."""
    low, high = cost[0], total[0, 0]
    for a in range(alive):
        low = min(low, cost[a])
        high = max(high, total[0, a])
    return low, high


@jit_kernel
def _bar(cost, total, alive, keep):
    """A total that at least ``keep`` do not exceed: the least one, or just ``keep``.

    Counting instead of sorting: no branch depends on single totals. The place of the
    next count is interpolated, and halves the interval every other time.
    """
    low, high = _range(cost, total, alive)
    if alive < keep:
        for i in range(total.shape[0]):
            for a in range(alive):
                if high < total[i, a] < np.inf:
                    high = total[i, a]
    above, below = _count(total, alive, high), _count(total, alive, low)
    if above <= keep:
        return high
    if below >= keep:
        return low
    half = total.dtype.type(0.5)
    halve = False
    while True:
        share = half
        if not halve:
            share = total.dtype.type((keep - below) / (above - below))
        middle = low + (high - low) * share
        if not low < middle < high:
            middle = low + (high - low) * half
            if not low < middle < high:
                return high
        found = _count(total, alive, middle)
        if found == keep:
            return middle
        if found < keep:
            low, below = middle, found
        else:
            high, above = middle, found
        halve = not halve


@jit_kernel
def _survive(child, total, alive, bar, keep, picked, ends, parent, cost, value):
    """Collect the children below the bar; return how many, at most ``keep``."""
    places = np.uint64(0)
    for i in range(child.shape[0]):
        for a in range(alive):
            # Without a branch: a child above the bar is overwritten by the next.
            picked[places] = a
            places += np.uint64(total[i, a] <= bar)
        ends[i] = places
    surplus = np.int64(places) - keep
    kept, s = 0, 0
    for i in range(child.shape[0]):
        while s < ends[i]:
            a = picked[s]
            s += 1
            if surplus > 0 and total[i, a] == bar:
                surplus -= 1
                continue
            parent[kept] = a
            value[kept] = child[i, a]
            cost[kept] = total[i, a]
            kept += 1
    return kept


@jit_kernel
def _advance(column, place, rest, spare, root, old_root, parent, value, alive):
    """Rows of the survivors, which decide the variable at ``place`` of the block."""
    for a in range(alive):
        origin, z = parent[a], value[a]
        for i in range(rest.shape[1]):
            spare[a, i] = rest[origin, i] - column[i] * z
        spare[a, place] = z
        root[a] = old_root[origin]


@jit_kernel
def _mark(block, shared, roots, sizes, needed):
    """Mark the nodes that have survivors; return the last block with a single one.

    Blocks from ``shared`` on are looked at, the latest first; ``shared - 1`` if all
    have several.
    """
    needed[block - 1, : sizes[block - 1]] = True
    for b in range(block - 1, shared - 1, -1):
        count = 0
        for a in range(sizes[b]):
            count += needed[b, a]
        if count == 1:
            return b
        if b > shared:
            needed[b - 1, : sizes[b - 1]] = False
            for a in range(sizes[b]):
                if needed[b, a]:
                    needed[b - 1, roots[b, a]] = True
    return shared - 1


@jit_kernel
def _share(panels, last, shared, right, history, roots, needed):
    """Move the decisions up to block ``last``, which all share, to the right."""
    at = 0
    while not needed[last, at]:
        at += 1
    n, size = panels.shape[1:]
    for b in range(last, shared - 1, -1):
        for t in range(size):
            z = history[b, at, t]
            j = n - (b + 1) * size + t
            for later in range(last + 1, panels.shape[0]):
                for i in range(right.shape[1]):
                    right[later, i] -= z * panels[later, j, i]
        at = roots[b, at]


@jit_kernel
def _add_block(panel, first, decisions, row):
    """Subtract what the decisions of a block contribute to a row, eight at a time."""
    for t in range(0, decisions.shape[0], 8):
        j = first + t
        z0, z1, z2, z3 = (
            decisions[t],
            decisions[t + 1],
            decisions[t + 2],
            decisions[t + 3],
        )
        z4, z5, z6, z7 = (
            decisions[t + 4],
            decisions[t + 5],
            decisions[t + 6],
            decisions[t + 7],
        )
        for i in range(row.shape[0]):
            row[i] -= (
                (z0 * panel[j, i] + z1 * panel[j + 1, i])
                + (z2 * panel[j + 2, i] + z3 * panel[j + 3, i])
            ) + (
                (z4 * panel[j + 4, i] + z5 * panel[j + 5, i])
                + (z6 * panel[j + 6, i] + z7 * panel[j + 7, i])
            )


@jit_kernel
def _start(panels, block, shared, right, history, roots, sizes, needed, rest, spare):
    """Find the right-hand sides of a block for all survivors.

    Returns the buffer that holds them, the other one, and the number of blocks that
    ``right`` takes care of.
    """
    if block == 0:
        rest[0] = right[0]
        return rest, spare, 0
    last = _mark(block, shared, roots, sizes, needed)
    if last >= shared:
        _share(panels, last, shared, right, history, roots, needed)
        shared = last + 1
    n, size = panels.shape[1:]
    if shared == block:
        rest[0] = right[block]
    for b in range(shared, block):
        for a in range(sizes[b]):
            if needed[b, a]:
                spare[a] = right[block] if b == shared else rest[roots[b, a]]
                _add_block(panels[block], n - (b + 1) * size, history[b, a], spare[a])
        rest, spare = spare, rest
    return rest, spare, shared


@jit_kernel
def _k_best(panels, target, table, low, high, keep, width, points, costs, lo, hi):
    blocks, n, size = panels.shape
    dtype = panels.dtype
    rest = np.empty((keep, size), dtype)
    spare = np.empty((keep, size), dtype)
    history = np.empty((blocks, keep, size), dtype)
    roots = np.empty((blocks, keep), np.uint32)
    needed = np.zeros((blocks, keep), np.bool_)
    sizes = np.zeros(blocks, np.int64)
    root = np.empty(keep, np.uint32)
    old_root = np.empty(keep, np.uint32)
    child = np.empty((width, keep), dtype)
    total = np.empty((width, keep), dtype)
    picked = np.empty(width * keep + 1, np.uint32)
    ends = np.empty(width, np.uint64)
    parent = np.empty(keep, np.uint32)
    value = np.empty(keep, dtype)
    cost = np.empty(keep, dtype)
    tau = np.empty(keep, dtype)
    for c in range(lo, hi):
        right = target[c].copy()
        cost[0] = 0
        alive = 1
        shared = 0
        for block in range(blocks):
            rest, spare, shared = _start(panels, block, shared, right, history, roots,
                                         sizes, needed, rest, spare)  # fmt: skip
            for a in range(alive):
                root[a] = a
            first = n - (block + 1) * size
            for place in range(size - 1, -1, -1):
                j = first + place
                if j < 0:
                    break
                diagonal = panels[block, j, place]
                for a in range(alive):
                    tau[a] = rest[a, place] / diagonal
                if table.shape[1]:
                    _listed(tau, table[j], diagonal, cost, alive, child, total)
                else:
                    _integers(tau, low[j], high[j], diagonal, cost, alive, child,
                              total)  # fmt: skip
                bar = _bar(cost, total, alive, keep)
                alive = _survive(child, total, alive, bar, keep, picked, ends, parent,
                                 cost, value)  # fmt: skip
                root, old_root = old_root, root
                _advance(panels[block, j], place, rest, spare, root, old_root, parent,
                         value, alive)  # fmt: skip
                rest, spare = spare, rest
            sizes[block] = alive
            history[block, :alive] = rest[:alive]
            roots[block, :alive] = root[:alive]
        order = np.argsort(cost[:alive])
        for a in range(points.shape[1]):
            costs[c, a] = cost[order[a]] if a < alive else dtype.type(np.inf)
            at = np.int64(order[a] if a < alive else order[0])
            for block in range(blocks - 1, -1, -1):
                first = n - (block + 1) * size
                for place in range(max(0, -first), size):
                    points[c, a, first + place] = history[block, at, place]
                at = np.int64(roots[block, at])


def _blocked(rows):
    """Blocks (blocks, channels, BLOCK) of the last axis, last first, zeros before."""
    channels, n = rows.shape
    missing = -n % BLOCK
    whole = np.concatenate([np.zeros((channels, missing), rows.dtype), rows], axis=1)
    parts = whole.reshape(channels, (n + missing) // BLOCK, BLOCK)[:, ::-1]
    return np.ascontiguousarray(np.moveaxis(parts, 1, 0))


def k_best(R, target, table, low, high, keep, width, count):
    """K-best search of a whole batch; see ``_kernels``."""
    channels, n = target.shape
    points = np.empty((channels, count, n), R.dtype)
    costs = np.empty((channels, count), R.dtype)
    right = np.ascontiguousarray(np.moveaxis(_blocked(target), 1, 0))
    data = map(np.ascontiguousarray, (table, low, high))
    args = (_blocked(np.triu(R).T), right, *data, keep, width, points, costs)
    work = channels * keep * n * (n // 8 + 10 * width)
    run_blocks(_k_best, channels, args, work=work)
    return points, costs
