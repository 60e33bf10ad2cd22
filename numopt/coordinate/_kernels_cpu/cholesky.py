# SPDX-License-Identifier: BSD-3-Clause
"""An updatable Cholesky factor of a principal submatrix.

``G[order, order] = U^T U`` with U upper triangular in row-major storage, so that every
inner loop (elimination, both solves, rotations) runs along rows.
"""

import math

import numpy as np

from numopt._kernels.jit import jit_kernel

__all__ = [
    "append",
    "axpy",
    "combine",
    "copy",
    "delete",
    "dot",
    "factor",
    "multiply",
    "price",
    "solve",
    "sync",
]

#: Relative diagonal shift: makes a dependent column harmless.
SHIFT = 1e-11
#: Regularisation of the extrapolation weights relative to the trace.
EXTRAPOLATION_SHIFT = 1e-12
#: Multiply-adds of a changed coordinate relative to the square of the size: measured.
UPDATE_WORK = 0.4
#: From this size on LAPACK's blocks beat the plain loop.
LAPACK_SIZE = 96


@jit_kernel
def axpy(out, x, a, lo, hi):
    """out[lo:hi] += a * x[lo:hi]."""
    # Offsets below a slice are never negative, which lets the loop be vectorised.
    to, by = out[lo:hi], x[lo:hi]
    for i in range(by.size):
        to[i] += a * by[i]


@jit_kernel
def copy(out, x):
    """out[:] = x, which numba compiles for seconds because of its error message."""
    for i in range(out.size):
        out[i] = x[i]


@jit_kernel
def dot(x, y, lo, hi):
    """Sum of x * y over lo:hi."""
    total = 0.0
    a, b = x[lo:hi], y[lo:hi]
    for i in range(a.size):
        total += a[i] * b[i]
    return total


@jit_kernel
def _eliminate(U, k):
    for i in range(k):
        row = U[i]
        pivot = math.sqrt(max(row[i], 1e-300))
        inverse = 1.0 / pivot
        for j in range(i, k):
            row[j] *= inverse
        row[i] = pivot
        for r in range(i + 1, k):
            axpy(U[r], row, -row[r], r, k)


@jit_kernel
def factor(G, order, k, U):
    """Factor G[order[:k], order[:k]] from scratch."""
    if k < LAPACK_SIZE:
        for i in range(k):
            source = G[order[i]]
            for j in range(i, k):
                U[i, j] = source[order[j]]
            U[i, i] *= 1.0 + SHIFT
        _eliminate(U, k)
        return
    block = np.empty((k, k))
    for i in range(k):
        source = G[order[i]]
        for j in range(k):
            block[i, j] = source[order[j]]
        block[i, i] *= 1.0 + SHIFT
    lower = np.linalg.cholesky(block)
    for i in range(k):
        for j in range(i, k):
            U[i, j] = lower[j, i]


@jit_kernel
def forward(U, k, x):
    """Solve U^T x = x in place."""
    for i in range(k):
        x[i] /= U[i, i]
        axpy(x, U[i], -x[i], i + 1, k)


@jit_kernel
def solve(U, k, x):
    """Solve U^T U x = x in place."""
    forward(U, k, x)
    for i in range(k - 1, -1, -1):
        x[i] = (x[i] - dot(U[i], x, i + 1, k)) / U[i, i]


@jit_kernel
def combine(points, k, weights):
    """Weights of Anderson's method for the rows 1.. of points[:, :k]; False if none.

    They minimise the norm of the combined differences and sum to 1.
    """
    depth = weights.size
    C = np.empty((depth, depth))
    for a in range(depth):
        for b in range(a, depth):
            total = 0.0
            for i in range(k):
                total += (points[a + 1, i] - points[a, i]) * (
                    points[b + 1, i] - points[b, i]
                )
            C[a, b] = total
    trace = 0.0
    for a in range(depth):
        trace += C[a, a]
    for a in range(depth):
        C[a, a] += EXTRAPOLATION_SHIFT * trace
        weights[a] = 1.0
    if not trace > 0.0:
        return False
    _eliminate(C, depth)
    solve(C, depth, weights)
    total = weights.sum()
    if not abs(total) > 0.0 or not np.isfinite(total):
        return False
    for a in range(depth):
        weights[a] /= total
    return True


@jit_kernel
def multiply(U, k, x, out):
    """Out = U^T U x."""
    for i in range(k):
        out[i] = 0.0
    for i in range(k):
        axpy(out, U[i], dot(U[i], x, i, k), i, k)


@jit_kernel
def append(G, order, k, j, U, work):
    """Add coordinate j at the end of a factor of size k."""
    source = G[j]
    for i in range(k):
        work[i] = source[order[i]]
    forward(U, k, work)
    for i in range(k):
        U[i, k] = work[i]
    corner = source[j] * (1.0 + SHIFT)
    rest = corner - dot(work, work, 0, k)
    U[k, k] = math.sqrt(max(rest, 0.5 * SHIFT * corner, 1e-300))
    order[k] = j


@jit_kernel
def _rotate(upper, lower, cosine, sine, lo, hi):
    top, bottom = upper[lo:hi], lower[lo:hi]
    for i in range(top.size):
        a, b = top[i], bottom[i]
        top[i] = cosine * a + sine * b
        bottom[i] = cosine * b - sine * a


@jit_kernel
def delete(order, k, position, U):
    """Remove the coordinate at a position of a factor of size k."""
    for i in range(position, k - 1):
        order[i] = order[i + 1]
    for r in range(k):
        row = U[r]
        for i in range(max(position, r - 1), k - 1):
            row[i] = row[i + 1]
    for r in range(position, k - 1):
        a, b = U[r, r], U[r + 1, r]
        length = math.hypot(a, b)
        _rotate(U[r], U[r + 1], a / length, b / length, r, k - 1)
        U[r + 1, r] = 0.0


@jit_kernel
def _updates(wanted, count, size, inside):
    """Work of turning a factor by updates into one of the wanted coordinates."""
    shared = 0
    for i in range(count):
        shared += inside[wanted[i]]
    leaving, entering = size - shared, count - shared
    return UPDATE_WORK * (1.0 * leaving * size * size + 1.0 * entering * count * count)


@jit_kernel
def _scratch(count):
    """Work of a new factor, in the same multiply-adds."""
    return count * count * count / (6.0 if count < LAPACK_SIZE else 12.0)


@jit_kernel
def price(wanted, count, size, inside):
    """Work of ``sync``."""
    return min(_updates(wanted, count, size, inside), _scratch(count))


@jit_kernel
def sync(G, wanted, count, order, size, U, inside, work):
    """Turn the factor of size ``size`` into one of the wanted coordinates.

    ``inside`` marks the coordinates in the factor. Cheap updates when few coordinates
    changed, a new factor otherwise. Returns the work in multiply-adds.
    """
    updates, scratch = _updates(wanted, count, size, inside), _scratch(count)
    if updates > scratch:
        for i in range(size):
            inside[order[i]] = 0
        for i in range(count):
            order[i] = wanted[i]
            inside[wanted[i]] = 1
        factor(G, order, count, U)
        return scratch
    for i in range(count):
        inside[wanted[i]] += 2
    for i in range(size - 1, -1, -1):
        j = order[i]
        if inside[j] == 1:
            inside[j] = 0
            delete(order, size, i, U)
            size -= 1
        else:
            inside[j] = 1
    for i in range(count):
        j = wanted[i]
        if inside[j] == 2:
            append(G, order, size, j, U, work)
            size += 1
            inside[j] = 1
    return updates
