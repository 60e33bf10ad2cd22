# SPDX-License-Identifier: BSD-3-Clause
"""Numba bodies for graph systems: reduction of the data, partial elimination."""

import numpy as np

from numopt._kernels.jit import jit_exact, jit_kernel
from numopt.coordinate._kernels_cpu.graph import _checksum

__all__ = [
    "eliminate_low_degrees",
    "extract_core",
    "reach",
    "reduce_to_unlabelled",
    "restore_eliminated",
    "symmetry_defect",
]

#: A node of degree two stays when both neighbours have more neighbours than this.
SEARCH_LIMIT = 64


@jit_exact
def _symmetry(bits, data, indices, indptr):
    """Sum over the edges of a hash that a mirrored edge cancels."""
    total = np.int64(0)
    for i in range(indptr.size - 1):
        for e in range(indptr[i], indptr[i + 1]):
            j = np.int64(indices[e])
            if j != i and data[e] != 0.0:
                total += _checksum(np.int64(i), j, bits[e])
    return total


def symmetry_defect(data, indices, indptr):
    """Zero when the matrix equals its transpose bit for bit."""
    return int(_symmetry(data.view(np.int64), data, indices, indptr))


@jit_kernel
def _reach(data, indices, indptr, seen, queue, head):
    """Breadth-first search from the seeds at the head of the queue."""
    done = 0
    while done < head:
        i = queue[done]
        done += 1
        for e in range(indptr[i], indptr[i + 1]):
            j = indices[e]
            if data[e] != 0.0 and not seen[j]:
                seen[j] = True
                queue[head] = j
                head += 1
    return head


def reach(data, indices, indptr, seeds):
    """Mask of the nodes connected to a seed."""
    n = indptr.size - 1
    seen = np.zeros(n, np.bool_)
    seen[seeds] = True
    queue = np.empty(n, np.int64)
    head = int(np.count_nonzero(seen))
    queue[:head] = np.flatnonzero(seen)
    _reach(data, indices, indptr, seen, queue, head)
    return seen


@jit_kernel
def _reduce(
    data, indices, indptr, nodes, position, known, ridge, values, cols, ptr, diag, rhs
):
    """Fill the rows of the unlabelled nodes."""
    filled = 0
    for t in range(nodes.size):
        i = nodes[t]
        degree = ridge
        for e in range(indptr[i], indptr[i + 1]):
            j = indices[e]
            w = data[e]
            if j == i or w == 0.0:
                continue
            degree += w
            target = position[j]
            if target >= 0:
                values[filled] = -w
                cols[filled] = target
                filled += 1
            else:
                row = -1 - target
                for c in range(known.shape[1]):
                    rhs[t, c] += w * known[row, c]
        diag[t] = degree
        ptr[t + 1] = filled
    return filled


def reduce_to_unlabelled(data, indices, indptr, nodes, position, known, ridge):
    """Off-diagonal CSR, diagonal and right-hand sides of D - W + ridge I on ``nodes``.

    ``position`` is the row of a node in the answer, or -1 - its row in ``known``.
    """
    m = nodes.size
    most = int(np.sum(indptr[nodes + 1] - indptr[nodes]))
    values, cols = np.empty(most), np.empty(most, indices.dtype)
    ptr = np.zeros(m + 1, indptr.dtype)
    diag, rhs = np.empty(m), np.zeros((m, known.shape[1]))
    filled = _reduce(
        data,
        indices,
        indptr,
        nodes,
        position,
        known,
        ridge,
        values,
        cols,
        ptr,
        diag,
        rhs,
    )
    return values[:filled], cols[:filled], ptr, diag, rhs


@jit_kernel
def _twins(cols, ptr, twin):
    """Slot of the mirrored entry: rows are sorted, so mirrors come in row order."""
    met = np.zeros(ptr.size - 1, np.int64)
    for i in range(ptr.size - 1):
        for e in range(ptr[i], ptr[i + 1]):
            j = cols[e]
            twin[e] = ptr[j] + met[j]
            met[j] += 1


@jit_kernel
def _drop(slot, owner, values, cols, twin, start, length):
    """Remove a slot of ``owner``; its last slot takes the place."""
    length[owner] -= 1
    last = start[owner] + length[owner]
    values[slot] = values[last]
    cols[slot] = cols[last]
    twin[slot] = twin[last]
    twin[twin[slot]] = slot


@jit_kernel
def _slot_of(target, owner, cols, start, length):
    """Slot of a neighbour in the list of ``owner``, or -1."""
    for e in range(start[owner], start[owner] + length[owner]):
        if cols[e] == target:
            return e
    return -1


@jit_kernel
def _join(a, b, at_a, at_b, weight, values, cols, twin, start, length):
    """Replace the slots of an eliminated node by the edge a - b; merge duplicates."""
    if length[a] <= length[b]:
        slot = _slot_of(b, a, cols, start, length)
    else:
        slot = _slot_of(a, b, cols, start, length)
    if slot >= 0:
        values[slot] += weight
        values[twin[slot]] += weight
        _drop(at_a, a, values, cols, twin, start, length)
        _drop(at_b, b, values, cols, twin, start, length)
        return
    values[at_a], values[at_b] = weight, weight
    cols[at_a], cols[at_b] = b, a
    twin[at_a], twin[at_b] = at_b, at_a


@jit_kernel
def _eliminate(values, cols, start, length, twin, diag, rhs, steps, weights):
    """Eliminate along chains with a stack; returns the count and a bad pivot."""
    n = diag.size
    stack = np.empty(n, np.int64)
    waiting = np.zeros(n, np.bool_)
    gone = np.zeros(n, np.bool_)
    count = 0
    for first in range(n):
        stack[0] = first
        height = 1
        while height > 0:
            height -= 1
            i = stack[height]
            waiting[i] = False
            if gone[i] or length[i] > 2:
                continue
            pivot = diag[i]
            if not pivot > 0.0:
                return count, i
            e = start[i]
            a = cols[e] if length[i] > 0 else -1
            b = cols[e + 1] if length[i] > 1 else -1
            if b >= 0 and min(length[a], length[b]) > SEARCH_LIMIT:
                continue
            weight_a = values[e] if a >= 0 else 0.0
            weight_b = values[e + 1] if b >= 0 else 0.0
            gone[i] = True
            steps[count, 0], steps[count, 1], steps[count, 2] = i, a, b
            weights[count, 0], weights[count, 1] = weight_a, weight_b
            count += 1
            if a >= 0:
                at_a = twin[e]
                diag[a] -= weight_a / pivot * weight_a
                for c in range(rhs.shape[1]):
                    rhs[a, c] -= weight_a / pivot * rhs[i, c]
                if b < 0:
                    _drop(at_a, a, values, cols, twin, start, length)
            if b >= 0:
                at_b = twin[e + 1]
                diag[b] -= weight_b / pivot * weight_b
                for c in range(rhs.shape[1]):
                    rhs[b, c] -= weight_b / pivot * rhs[i, c]
                fill = -weight_a / pivot * weight_b
                _join(a, b, at_a, at_b, fill, values, cols, twin, start, length)
            for k in (a, b):
                # Nodes further on are met by the scan itself.
                if 0 <= k <= first and length[k] <= 2 and not (gone[k] or waiting[k]):
                    waiting[k] = True
                    stack[height] = k
                    height += 1
    return count, -1


@jit_kernel
def _core(values, cols, start, length, diag, rhs, kept, position, out):
    """Copy what is left, with the nodes numbered anew."""
    core_values, core_cols, core_ptr, core_diag, core_rhs = out
    filled = 0
    for t in range(kept.size):
        i = kept[t]
        for e in range(start[i], start[i] + length[i]):
            core_values[filled] = values[e]
            core_cols[filled] = position[cols[e]]
            filled += 1
        core_ptr[t + 1] = filled
        core_diag[t] = diag[i]
        for c in range(rhs.shape[1]):
            core_rhs[t, c] = rhs[i, c]


def extract_core(values, cols, ptr, start, length, diag, rhs, gone):
    """What elimination leaves: (values, columns, pointers, diagonal, sides), nodes."""
    n = diag.size
    alive = np.ones(n, np.bool_)
    alive[gone] = False
    kept = np.flatnonzero(alive)
    position = np.full(n, -1, np.int64)
    position[kept] = np.arange(kept.size)
    size = int(np.sum(length[kept]))
    core = (
        np.empty(size),
        np.empty(size, cols.dtype),
        np.zeros(kept.size + 1, ptr.dtype),
        np.empty(kept.size),
        np.empty((kept.size, rhs.shape[1])),
    )
    _core(values, cols, start, length, diag, rhs, kept, position, core)
    return core, kept


def eliminate_low_degrees(values, cols, ptr, diag, rhs):
    """Eliminate nodes of degree at most two, repeatedly; the core stays symmetric.

    Returns the core (values, columns, row pointers, diagonal, right-hand sides), its
    nodes, the four arrays of ``restore_eliminated``, and a bad pivot or -1.
    """
    n = diag.size
    values, cols, diag, rhs = values.copy(), cols.copy(), diag.copy(), rhs.copy()
    twin = np.empty(cols.size, np.int64)
    _twins(cols, ptr, twin)
    start, length = ptr[:-1].astype(np.int64), np.diff(ptr).astype(np.int64)
    steps, weights = np.empty((n, 3), np.int64), np.empty((n, 2))
    count, bad = _eliminate(
        values, cols, start, length, twin, diag, rhs, steps, weights
    )
    steps, weights = steps[:count], weights[:count]
    core, kept = extract_core(values, cols, ptr, start, length, diag, rhs, steps[:, 0])
    pivots = diag[steps[:, 0]], rhs[steps[:, 0]]
    return (*core, kept, steps, weights, *pivots, bad)


@jit_kernel
def _restore(steps, weights, pivots, sides, x):
    """Back substitution, the last eliminated node first."""
    for t in range(steps.shape[0] - 1, -1, -1):
        i, a, b = steps[t, 0], steps[t, 1], steps[t, 2]
        for c in range(x.shape[1]):
            value = sides[t, c]
            if a >= 0:
                value -= weights[t, 0] * x[a, c]
            if b >= 0:
                value -= weights[t, 1] * x[b, c]
            x[i, c] = value / pivots[t]


def restore_eliminated(steps, weights, pivots, sides, x_core, kept):
    """Solution on all nodes from the solution on the core."""
    x = np.empty((kept.size + steps.shape[0], sides.shape[1]))
    x[kept] = x_core
    _restore(steps, weights, pivots, sides, x)
    return x
