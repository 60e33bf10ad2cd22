# SPDX-License-Identifier: BSD-3-Clause
"""Numba bodies: conjugate gradients scaled by the diagonal, eight rows at a time.

Rows are sorted by length and stored in chunks of eight, padded to the longest: no
branch depends on the length of a row, and eight sums run side by side (Kreutzer et al.
2014, "A unified sparse matrix data format", SELL-C-sigma).
"""

import numpy as np

from numopt._kernels.jit import jit_exact, jit_kernel
from numopt.coordinate._kernels_cpu.cholesky import dot

__all__ = ["jacobi_cg"]

#: Rows in a chunk; the product below is written out for it.
CHUNK = 8


@jit_exact
def _pack(values, cols, ptr, order, rank, inverse, starts, out_values, out_cols):
    """Fill the chunks with D^-1/2 off D^-1/2, rows and columns in the new order."""
    for a in range(out_cols.size):
        out_values[a], out_cols[a] = 0.0, 0
    for row in range(order.size):
        i = order[row]
        at = starts[row // CHUNK] + row % CHUNK
        for e in range(ptr[i], ptr[i + 1]):
            j = cols[e]
            out_values[at] = values[e] * inverse[i] * inverse[j]
            out_cols[at] = rank[j]
            at += CHUNK


@jit_exact
def _product(values, cols, starts, p, q):
    """Q = p + off p."""
    for chunk in range(starts.size - 1):
        i = CHUNK * chunk
        a, b, c, d = p[i], p[i + 1], p[i + 2], p[i + 3]
        f, g, h, k = p[i + 4], p[i + 5], p[i + 6], p[i + 7]
        for e in range(starts[chunk], starts[chunk + 1], CHUNK):
            a += values[e] * p[cols[e]]
            b += values[e + 1] * p[cols[e + 1]]
            c += values[e + 2] * p[cols[e + 2]]
            d += values[e + 3] * p[cols[e + 3]]
            f += values[e + 4] * p[cols[e + 4]]
            g += values[e + 5] * p[cols[e + 5]]
            h += values[e + 6] * p[cols[e + 6]]
            k += values[e + 7] * p[cols[e + 7]]
        q[i], q[i + 1], q[i + 2], q[i + 3] = a, b, c, d
        q[i + 4], q[i + 5], q[i + 6], q[i + 7] = f, g, h, k


@jit_kernel
def _advance(alpha, p, q, y, r, diag):
    """One step along p; squared norms of the new residual, scaled and true."""
    scaled, true = 0.0, 0.0
    for i in range(p.size):
        y[i] += alpha * p[i]
        r[i] -= alpha * q[i]
        scaled += r[i] * r[i]
        true += diag[i] * (r[i] * r[i])
    return scaled, true


@jit_kernel
def _turn(beta, r, p):
    """The next direction."""
    for i in range(p.size):
        p[i] = r[i] + beta * p[i]


@jit_kernel
def _solve(values, cols, starts, diag, rhs, tol, max_iter, y):
    """One scaled system; writes y, returns (relative residual, iterations).

    Restarts from the true residual until it holds, or stays.
    """
    n = rhs.size
    q, r, p = np.empty(n), np.empty(n), np.empty(n)
    size = np.sqrt(_advance(0.0, rhs, rhs, y, rhs, diag)[1])
    taken, last, norm = 0, np.inf, size
    while True:
        _product(values, cols, starts, y, q)
        for i in range(n):
            r[i] = rhs[i] - q[i]
        rho, true = _advance(0.0, r, r, y, r, diag)
        norm = np.sqrt(true)
        if norm <= tol * size or taken >= max_iter or not norm < 0.5 * last:
            return norm / size if size > 0.0 else 0.0, taken
        last = norm
        for i in range(n):
            p[i] = r[i]
        # Below what is wanted, so that rounding in the update cannot undo it.
        while true > (0.9 * tol * size) ** 2 and taken < max_iter:
            _product(values, cols, starts, p, q)
            before = rho
            rho, true = _advance(rho / dot(p, q, 0, p.size), p, q, y, r, diag)
            _turn(rho / before, r, p)
            taken += 1


def jacobi_cg(values, cols, ptr, diag, rhs, tol, max_iter):
    """Solve A x = rhs column by column to ``norm(rhs - A x) <= tol norm(rhs)``.

    A is given by its off-diagonal CSR and its diagonal; rhs is (n, K). Returns x, the
    relative residuals (K,) and the iterations of the slowest column.
    """
    n, K = rhs.shape
    room = -(-n // CHUNK) * CHUNK
    lengths = np.diff(ptr)
    order = np.argsort(lengths, kind="stable")
    rank = np.empty(n, cols.dtype)
    rank[order] = np.arange(n)
    # The last row of a chunk is its longest.
    longest = lengths[order[np.minimum(np.arange(CHUNK - 1, room, CHUNK), n - 1)]]
    starts = np.concatenate(([0], np.cumsum(CHUNK * longest.astype(np.int64))))
    inverse = 1.0 / np.sqrt(diag)
    # Unsigned: numba then does not look for negative positions.
    packed = np.empty(starts[-1]), np.empty(starts[-1], np.uint32)
    _pack(values, cols, ptr, order, rank, inverse, starts, *packed)
    padded = np.zeros(room)
    padded[:n] = diag[order]
    x, residuals, most = np.empty((n, K)), np.empty(K), 0
    for k in range(K):
        y, side = np.zeros(room), np.zeros(room)
        side[:n] = (inverse * rhs[:, k])[order]
        residuals[k], taken = _solve(*packed, starts, padded, side, tol, max_iter, y)
        x[order, k] = inverse[order] * y[:n]
        most = max(most, taken)
    return x, residuals, most
