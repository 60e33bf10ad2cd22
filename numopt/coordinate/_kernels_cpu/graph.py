# SPDX-License-Identifier: BSD-3-Clause
"""Numba bodies for graphs: forests, partitions and the elimination of low degrees."""

import functools

import numpy as np

from numopt._kernels.jit import jit_exact, jit_kernel

__all__ = [
    "colour_labels",
    "forest_sweep",
    "greedy_forest_members",
    "peel_leaves",
    "tree_labels",
    "two_colours",
]

#: Words of a node record: degree, neighbour bits, weight bits, pivot; then the sides.
_DEGREE, _NEIGHBOUR, _WEIGHT, _PIVOT, _SIDE = 0, 1, 2, 3, 4
_LINE = 64

#: Odd 64-bit constants of the checksum, as signed integers.
_C1, _C2, _C3 = -7046029254386353131, -4417276706812531889, 1609587929392839161


@jit_exact
def _checksum(i, j, bits):
    """A term that the mirrored entry cancels exactly, and only that one."""
    low, high = min(i, j), max(i, j)
    key = low * _C1 + high * _C2
    key ^= key >> 29
    key *= _C3
    key ^= key >> 32
    term = (key | 1) * bits
    return term if i < j else -term


@jit_exact
def _link(data, bits, indices, indptr, b, words, values):
    """Fill the records; return whether the matrix is exactly symmetric."""
    total = np.int64(0)
    for i in range(indptr.size - 1):
        degree, neighbours, weights = np.int64(0), np.int64(0), np.int64(0)
        diagonal = 0.0
        for e in range(indptr[i], indptr[i + 1]):
            j = np.int64(indices[e])
            if j == i:
                diagonal += data[e]
            elif data[e] != 0.0:
                degree += 1
                neighbours ^= j
                weights ^= bits[e]
                total += _checksum(np.int64(i), j, bits[e])
        words[i, _DEGREE] = degree
        words[i, _NEIGHBOUR] = neighbours
        words[i, _WEIGHT] = weights
        values[i, _PIVOT] = diagonal
        for c in range(b.shape[1]):
            values[i, _SIDE + c] = b[i, c]
    return total == 0


@functools.cache
def _sweeps(K):
    """Elimination from the leaves and back substitution for K right-hand sides."""

    @jit_kernel
    def up(words, values, order):
        n = order.size
        count = 0
        for first in range(n):
            i = first
            while words[i, _DEGREE] == 1:
                pivot = values[i, _PIVOT]
                if not pivot > 0.0:
                    return count, i
                parent = words[i, _NEIGHBOUR]
                factor = values[i, _WEIGHT] / pivot
                words[i, _DEGREE] = -1
                values[parent, _PIVOT] -= factor * values[i, _WEIGHT]
                for c in range(K):
                    values[parent, _SIDE + c] -= factor * values[i, _SIDE + c]
                words[parent, _DEGREE] -= 1
                # What is left after removing every other edge is the last edge.
                words[parent, _NEIGHBOUR] ^= i
                words[parent, _WEIGHT] ^= words[i, _WEIGHT]
                order[count] = i
                count += 1
                if parent > first:
                    break
                i = parent
        return count, -1

    @jit_kernel
    def down(words, values, order, count, out):
        roots = 0
        bad = -1
        n = order.size
        for i in range(n):
            if words[i, _DEGREE] == 0:
                roots += 1
                if not values[i, _PIVOT] > 0.0:
                    bad = i
                inverse = 1.0 / values[i, _PIVOT]
                for c in range(K):
                    values[i, _SIDE + c] *= inverse
        if roots + count < n or bad >= 0:
            return roots, bad
        for t in range(count - 1, -1, -1):
            i = order[t]
            parent = words[i, _NEIGHBOUR]
            inverse = 1.0 / values[i, _PIVOT]
            weight = values[i, _WEIGHT]
            for c in range(K):
                values[i, _SIDE + c] = inverse * (
                    values[i, _SIDE + c] - weight * values[parent, _SIDE + c]
                )
        for i in range(n):
            for c in range(K):
                out[i, c] = values[i, _SIDE + c]
        return roots, bad

    return up, down


def _records(n, words):
    """Uninitialised records that start on a cache line, as integers."""
    raw = np.empty(n * words + _LINE // 8, np.int64)
    skip = (-raw.ctypes.data % _LINE) // 8
    return raw[skip : skip + n * words].reshape(n, words)


def forest_sweep(data, indices, indptr, b):
    """Solve on a forest; the status is 0, 1 cycle, 2 not symmetric, 3 not definite."""
    n, K = b.shape
    out = np.empty((n, K))
    bits = data.view(np.int64)
    order = np.empty(n, np.int32 if n < 2**31 else np.int64)
    bad = -1
    for lo in range(0, K, 4):
        part = np.ascontiguousarray(b[:, lo : lo + 4])
        width = part.shape[1]
        words = _records(n, 8)
        values = words.view(np.float64)
        if not _link(data, bits, indices, indptr, part, words, values):
            return out, 2, -1
        up, down = _sweeps(width)
        count, bad = up(words, values, order)
        if bad >= 0:
            return out, 3, bad
        solved = np.empty((n, width))
        roots, bad = down(words, values, order, count, solved)
        if roots + count < n:
            return out, 1, -1
        if bad >= 0:
            return out, 3, bad
        if width == K:
            return solved, 0, -1
        out[:, lo : lo + width] = solved
    return out, 0, -1


@jit_kernel
def _peel(data, indices, indptr, degree, neighbours):
    """Remove leaves until none is left."""
    n = indptr.size - 1
    edges = 0
    for i in range(n):
        for e in range(indptr[i], indptr[i + 1]):
            j = indices[e]
            if j != i and data[e] != 0.0:
                degree[i] += 1
                neighbours[i] ^= j
                edges += 1
    removed = 0
    for first in range(n):
        i = first
        while degree[i] == 1:
            parent = neighbours[i]
            degree[i] = 0
            degree[parent] -= 1
            neighbours[parent] ^= i
            removed += 2
            if parent > first:
                break
            i = parent
    return edges - removed


def peel_leaves(data, indices, indptr):
    """Number of stored off-diagonal entries left after removing leaves repeatedly."""
    n = indptr.size - 1
    return _peel(data, indices, indptr, np.zeros(n, np.int64), np.zeros(n, np.int64))


@jit_kernel
def _find(parent, i):
    """Root of a tree, with path halving."""
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@jit_kernel
def _tree_labels(data, indices, indptr, order, label, parent, seen, blocked):
    """Union-find, one for each forest."""
    used = 0
    for i in order:
        for e in range(indptr[i], indptr[i + 1]):
            j = indices[e]
            if j == i or label[j] < 0 or data[e] == 0.0:
                continue
            root = _find(parent, j)
            if seen[root] == i:
                blocked[label[j]] = i
            seen[root] = i
        chosen = 0
        while blocked[chosen] == i:
            chosen += 1
        used = max(used, chosen + 1)
        label[i] = chosen
        for e in range(indptr[i], indptr[i + 1]):
            j = indices[e]
            if j != i and label[j] == chosen and data[e] != 0.0:
                parent[_find(parent, j)] = i
    return used


def tree_labels(data, indices, indptr, order):
    """Label of the forest of each node, and the number of forests."""
    n = indptr.size - 1
    most = int(np.max(np.diff(indptr), initial=0)) + 2
    label = np.full(n, -1, np.int64)
    used = _tree_labels(
        data,
        indices,
        indptr,
        order,
        label,
        np.arange(n),
        np.full(n, -1, np.int64),
        np.full(most, -1, np.int64),
    )
    return label, used


@jit_kernel
def _greedy_forest(data, indices, indptr, order, member, parent, seen):
    """Union-find over the nodes in order."""
    for i in order:
        acyclic = True
        for e in range(indptr[i], indptr[i + 1]):
            j = indices[e]
            if j == i or not member[j] or data[e] == 0.0:
                continue
            root = _find(parent, j)
            if seen[root] == i:
                acyclic = False
                break
            seen[root] = i
        if not acyclic:
            continue
        member[i] = True
        for e in range(indptr[i], indptr[i + 1]):
            j = indices[e]
            if j != i and member[j] and data[e] != 0.0:
                parent[_find(parent, j)] = i


def greedy_forest_members(data, indices, indptr, order):
    """Mask of the nodes that, taken in order, close no cycle."""
    n = indptr.size - 1
    member = np.zeros(n, np.bool_)
    _greedy_forest(
        data, indices, indptr, order, member, np.arange(n), np.full(n, -1, np.int64)
    )
    return member


@jit_kernel
def _two_colours(data, indices, indptr, label, queue):
    """Alternate colours by breadth-first search."""
    for first in range(label.size):
        if label[first] >= 0:
            continue
        label[first] = 0
        queue[0] = first
        done, head = 0, 1
        while done < head:
            i = queue[done]
            done += 1
            for e in range(indptr[i], indptr[i + 1]):
                j = indices[e]
                if j == i or data[e] == 0.0:
                    continue
                if label[j] < 0:
                    label[j] = 1 - label[i]
                    queue[head] = j
                    head += 1
                elif label[j] == label[i]:
                    return False
    return True


def two_colours(data, indices, indptr):
    """Labels by breadth-first search, and whether they colour the graph."""
    n = indptr.size - 1
    label = np.full(n, -1, np.int64)
    return label, _two_colours(data, indices, indptr, label, np.empty(n, np.int64))


@jit_kernel
def _colour_labels(data, indices, indptr, order, label, uses, blocked):
    """The least used admissible colour, node by node."""
    used = 0
    for i in order:
        for e in range(indptr[i], indptr[i + 1]):
            j = indices[e]
            if j != i and data[e] != 0.0 and label[j] >= 0:
                blocked[label[j]] = i
        chosen = used
        for c in range(used):
            if blocked[c] != i and (chosen == used or uses[c] < uses[chosen]):
                chosen = c
        used = max(used, chosen + 1)
        label[i] = chosen
        uses[chosen] += 1
    return used


def colour_labels(data, indices, indptr, order):
    """Least used colour of no neighbour, node by node; labels and their number."""
    n = indptr.size - 1
    most = int(np.max(np.diff(indptr), initial=0)) + 2
    label = np.full(n, -1, np.int64)
    uses, blocked = np.zeros(most, np.int64), np.full(most, -1, np.int64)
    used = _colour_labels(data, indices, indptr, order, label, uses, blocked)
    return label, used
