# SPDX-License-Identifier: BSD-3-Clause
"""Numba bodies of Newton systems on a truncated plan; see ``_kernels.laplacian``.

Conjugate gradients leave for last what varies slowly over the graph of the columns:
differences between groups of columns that hardly exchange mass. With labels of such
groups these are solved for directly in every iteration (an additive two-level method).
"""

import numpy as np

from numopt._kernels.jit import jit_exact, jit_kernel
from numopt._kernels.threads import SERIAL_WORK, WORK_PER_BLOCK, reduce_blocks

#: Of the mass of the groups: keep their Laplacian definite in floating point. Sums of a
#: plan are wrong by rounding of its exponents, which grows as ``reg`` falls.
_RIDGES = (1e-12, 1e-9, 1e-6)
#: A difference of masses below this part of them may be rounding.
_ROUNDING = 1e-10
#: Entries this much below one that a group refused do not enlarge it.
_WEAK = 0.03
#: Groups share labels where there are more of them.
_MOST_GROUPS = 1024
#: Blocks of a product, each of which adds up columns of its own, have at least this
#: many entries a column.
_BLOCK = 16
#: Supports of more entries a column than this join only those above a fraction of the
#: largest in their row or in their column.
_MANY, _STRONG = 64, 0.3


@jit_exact
def _row_dot(index, value, x, first, last):
    """Sum of value_k x[index_k] in four scalar chains: vector gathers can be slow."""
    one, two, three, four = np.uintp(1), np.uintp(2), np.uintp(3), np.uintp(4)
    t0 = t1 = t2 = t3 = 0.0
    k = first
    while k + four <= last:
        t0 += value[k] * x[np.uintp(index[k])]
        t1 += value[k + one] * x[np.uintp(index[k + one])]
        t2 += value[k + two] * x[np.uintp(index[k + two])]
        t3 += value[k + three] * x[np.uintp(index[k + three])]
        k += four
    while k < last:
        t0 += value[k] * x[np.uintp(index[k])]
        k += one
    return (t0 + t1) + (t2 + t3)


@jit_exact
def _normal_product(start, stop, index, value, inv_a, x, part, lo, hi, block):
    """P^T diag(1/a) P x; gather and scatter in the same visit of a row."""
    out = part[block]
    for i in range(lo, hi):
        first, last = np.uintp(start[i]), np.uintp(stop[i])
        total = _row_dot(index, value, x, first, last) * inv_a[i]
        for k in range(first, last):
            out[np.uintp(index[k])] += value[k] * total


@jit_exact
def _schur_diagonal(start, stop, index, value, inv_a, diagonal, out):
    out[:] = diagonal
    for i in range(start.size):
        for k in range(np.uintp(start[i]), np.uintp(stop[i])):
            out[np.uintp(index[k])] -= value[k] * value[k] * inv_a[i]


@jit_exact
def _root(parent, node):
    """Root of a node; the path to it is halved."""
    while parent[node] != node:
        parent[node] = parent[parent[node]]
        node = parent[node]
    return node


@jit_exact
def _join_columns(
    rows, columns, values, order, m, largest, small, parent, size, refused
):
    """Join the ends of entries, in an order: up to a size, and to what is small.

    The first m nodes are columns, of size 1, the others rows, of size 0. A group that
    refused an entry takes no much weaker ones: the piece of a strong cluster that is
    left over would end up with pieces of others.
    """
    for k in order:
        i, j = _root(parent, m + rows[k]), _root(parent, np.int64(columns[k]))
        if i == j:
            continue
        # the smaller number: a group with columns has a column for its root
        i, j = min(i, j), max(i, j)
        value, most = values[k], max(refused[i], refused[j])
        fits = size[i] + size[j] <= largest or min(size[i], size[j]) <= small
        if fits and value >= _WEAK * most:
            parent[j] = i
            size[i] += size[j]
            refused[i] = most
        else:
            refused[i] = max(refused[i], value)
            refused[j] = max(refused[j], value)


@jit_exact
def _mark_strong(start, stop, index, value, column_top, out):
    """Mark entries that are large for their row or for their column."""
    for k in range(index.size):
        column_top[index[k]] = max(column_top[index[k]], value[k])
    for i in range(start.size):
        top = 0.0
        for k in range(start[i], stop[i]):
            top = max(top, value[k])
        for k in range(start[i], stop[i]):
            out[k] = value[k] >= _STRONG * min(top, column_top[index[k]])


@jit_exact
def _number_groups(parent, size, shared, out):
    """Number groups of several columns in the order of their roots, -1: none.

    Up to a size neighbours share a number.
    """
    count, filled = 0, shared
    label = np.full(out.size, np.int32(-1))
    for j in range(out.size):
        if parent[j] == j and size[j] > 1:
            filled += size[j]
            if filled > shared:
                count += 1
                filled = size[j]
            label[j] = count - 1
    for j in range(out.size):
        out[j] = label[_root(parent, j)]
    return count


@jit_exact
def _add_group_products(start, stop, index, value, inv_a, labels, out):
    """Z^T P^T diag(1/a) P Z, where Z sums over groups, as a sum with its transpose."""
    mass = np.zeros(out.shape[0])
    met = np.empty(out.shape[0], np.int64)
    for i in range(start.size):
        count = 0
        for k in range(start[i], stop[i]):
            group = labels[index[k]]
            if group < 0:
                continue
            if mass[group] == 0.0:
                met[count] = group
                count += 1
            mass[group] += value[k]
        for p in range(count):
            scale = mass[met[p]] * inv_a[i]
            row = out[met[p]]
            for q in range(p):
                row[met[q]] += scale * mass[met[q]]
            row[met[p]] += 0.5 * scale * mass[met[p]]
        for p in range(count):
            mass[met[p]] = 0.0


@jit_kernel
def _substitute(L, x):
    """Solve L L^T x = x in place."""
    for i in range(L.shape[0]):
        row, total = L[i], x[i]
        for k in range(i):
            total -= row[k] * x[k]
        x[i] = total / row[i]
    for i in range(L.shape[0] - 1, -1, -1):
        row = L[i]
        x[i] /= row[i]
        scale = x[i]
        for k in range(i):
            x[k] -= scale * row[k]


@jit_kernel
def _precondition(r, inverse, labels, L, work, out):
    """Inverse diagonal, plus the inverse of the matrix of the groups."""
    for j in range(r.size):
        out[j] = r[j] * inverse[j]
    if L.size > 0:
        # columns without a group, of label -1, use the last entry
        work[:] = 0.0
        for j in range(r.size):
            work[labels[j]] += r[j]
        work[-1] = 0.0
        _substitute(L, work)
        for j in range(r.size):
            out[j] += work[labels[j]]


@jit_kernel
def _cg_start(rhs, inverse, labels, L, work, out, r, z, p):
    """The first residual and direction; return r'z."""
    out[:] = 0.0
    r[:] = rhs
    _precondition(r, inverse, labels, L, work, z)
    p[:] = z
    return np.dot(r, z)


@jit_kernel
def _cg_step(q, diagonal, inverse, labels, L, work, rz, goal, out, r, z, p):
    """Iterate with the product q = P^T diag(1/a) P p; return r'z.

    NaN where the curvature is not positive: nothing has changed.
    """
    for j in range(p.size):
        q[j] = diagonal[j] * p[j] - q[j]
    curvature = np.dot(p, q)
    if not curvature > 0.0:
        return np.nan
    alpha = rz / curvature
    for j in range(p.size):
        out[j] += alpha * p[j]
        r[j] -= alpha * q[j]
    _precondition(r, inverse, labels, L, work, z)
    new = np.dot(r, z)
    if new > goal:
        beta = new / rz
        for j in range(p.size):
            p[j] = z[j] + beta * p[j]
    return new


@jit_kernel
def _small_cg(system, rhs, diagonal, inverse, labels, L, work, tol, max_iter, vectors):
    """Conjugate gradients in one call."""
    start, stop, index, value, inv_a = system
    rz = _cg_start(rhs, inverse, labels, L, work, *vectors)
    goal, q = tol * tol * rz, np.empty((1, rhs.size))
    p = vectors[3]
    for iteration in range(max_iter):
        q[:] = 0.0
        _normal_product(start, stop, index, value, inv_a, p, q, 0, start.size, 0)
        rz = _cg_step(q[0], diagonal, inverse, labels, L, work, rz, goal, *vectors)
        if not rz > goal:
            return iteration + 1 if rz <= goal else iteration
    return max_iter


def _large_cg(system, rhs, diagonal, inverse, labels, L, work, tol, max_iter, vectors):
    """Conjugate gradients with products in blocks of rows."""
    start, _, index, *_ = system
    rz = _cg_start(rhs, inverse, labels, L, work, *vectors)
    goal, p = tol * tol * rz, vectors[3]
    blocks = index.size // (_BLOCK * rhs.size)
    spent = min(index.size, WORK_PER_BLOCK * blocks)
    for iteration in range(max_iter):
        product = (_normal_product, start.size, (*system, p), spent)
        q = reduce_blocks(*product, shape=rhs.shape)
        rz = _cg_step(q, diagonal, inverse, labels, L, work, rz, goal, *vectors)
        if not rz > goal:
            return iteration + 1 if rz <= goal else iteration
    return max_iter


def column_groups(start, stop, index, value, m, largest):
    """Groups by the heaviest entries first, to a factor of about 1.2 in their mass."""
    n = start.size
    rows = np.repeat(np.arange(n, dtype=np.int32), stop - start)
    if value.size > _MANY * m:
        strong = np.empty(value.size, np.bool_)
        _mark_strong(start, stop, index, value, np.zeros(m), strong)
        rows, index, value = rows[strong], index[strong], value[strong]
    # exponent and two bits of the mantissa: 16-bit keys are sorted in linear time
    key = (value.view(np.int64) >> 50).astype(np.int16)
    order = np.argsort(-key, kind="stable")
    parent, size = np.arange(m + n), np.zeros(m + n, np.int64)
    size[:m] = 1
    forest = parent, size, np.zeros(m + n)
    # columns that are left over join the group they belong to, whatever its size
    for most, small in ((largest, 0), (0, 1)):
        _join_columns(rows, index, value, order, m, most, small, *forest)
    labels = np.empty(m, np.int32)
    if _number_groups(parent, size, 0, labels) > _MOST_GROUPS:
        _number_groups(parent, size, largest, labels)
    return labels


def laplacian_solve(
    start, stop, index, value, inv_a, diagonal, rhs, labels, tol, max_iter
):
    """Conjugate gradients with one or two levels."""
    exact, out = np.empty_like(diagonal), np.empty_like(rhs)
    _schur_diagonal(start, stop, index, value, inv_a, diagonal, exact)
    inverse = 1.0 / np.maximum(exact, _ROUNDING * diagonal)
    L = _group_factor(start, stop, index, value, inv_a, diagonal, labels)
    work = np.empty(L.shape[0] + 1)
    system = start, stop, index, value, inv_a
    vectors = out, *(np.empty_like(rhs) for _ in range(3))
    solve = _small_cg if index.size < SERIAL_WORK else _large_cg
    options = diagonal, inverse, labels, L, work, tol, max_iter, vectors
    return out, solve(system, rhs, *options)


def _group_factor(start, stop, index, value, inv_a, diagonal, labels):
    """Cholesky factor of the Laplacian of the groups; empty where there is none."""
    count = 1 + int(labels.max(initial=-1))
    A = np.zeros((count, count))
    if count == 0:
        return A
    _add_group_products(start, stop, index, value, inv_a, labels, A)
    mass = np.bincount(labels + 1, diagonal)[1:]
    for ridge in _RIDGES:
        try:
            return np.linalg.cholesky(np.diag((1.0 + ridge) * mass) - (A + A.T))
        except np.linalg.LinAlgError:
            continue
    return np.zeros((0, 0))
