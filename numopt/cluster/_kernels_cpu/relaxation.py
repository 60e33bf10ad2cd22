# SPDX-License-Identifier: BSD-3-Clause
"""Numba bodies of the bounds and of the ADMM: moments, splits, subspace steps."""

import numpy as np

from numopt._kernels.jit import jit_finite, jit_kernel
from numopt._kernels.threads import reduce_blocks, run_blocks

__all__ = [
    "clipped_moments",
    "fantope_dual",
    "fantope_mix",
    "fantope_split",
    "filtered_ritz",
]


@jit_finite
def _clipped_moments(X, halves, shift, part, lo, hi, block):
    p, K = X.shape[1], halves.shape[1]
    out = part[block]
    r = np.empty(K, X.dtype)
    zero = X.dtype.type(0)
    for i in range(lo, hi):
        for k in range(K):
            r[k] = max(halves[i, k] - shift[k], zero)
        for k in range(K):
            if r[k] > 0:
                weight = r[k]
                for j in range(p):
                    out[k, j] += weight * X[i, j]
                for j in range(K):
                    out[k, p + j] += weight * r[j]
                out[k, p + K] += weight


def clipped_moments(X, halves, shift):
    """One pass over the rows; clipped entries cost nothing."""
    n, p = X.shape
    K = halves.shape[1]
    args = (np.ascontiguousarray(X), np.ascontiguousarray(halves), shift)
    totals = reduce_blocks(
        _clipped_moments,
        n,
        args,
        work=n * K * (p + K + 2),
        shape=(K, p + K + 1),
        dtype=X.dtype,
    )
    gram, cross = totals[:, p : p + K].copy(), totals[:, :p].T.copy()
    return totals[:, p + K].copy(), gram, cross


@jit_finite
def _membership_row(left, right, shift, out_row):
    """``shift + left @ right`` for one row: four products to a pass."""
    q, n = right.shape
    for j in range(n):
        out_row[j] = shift
    k = 0
    while k + 4 <= q:
        a, b, c, d = left[k], left[k + 1], left[k + 2], left[k + 3]
        for j in range(n):
            out_row[j] += (a * right[k, j] + b * right[k + 1, j]) + (
                c * right[k + 2, j] + d * right[k + 3, j]
            )
        k += 4
    while k < q:
        a = left[k]
        for j in range(n):
            out_row[j] += a * right[k, j]
        k += 1


@jit_finite
def _fantope_split(left, right, V, last, alpha, out_V, out_change, part, lo, hi, block):
    n = V.shape[1]
    zero = V.dtype.type(0)
    beta = V.dtype.type(1) - alpha
    # A row goes through a buffer of its own: ``out_V`` may be ``last``, and loops over
    # memory that overlaps are not vectorised.
    row, moved = np.empty(n, V.dtype), np.empty(n, V.dtype)
    for i in range(lo, hi):
        _membership_row(left[i], right, V.dtype.type(1 / n), row)
        gap = zero
        change = zero
        move = zero
        for j in range(n):
            v = V[i, j]
            z = row[j]
            y = max(v, zero)
            next_v = alpha * z + beta * y + min(v, zero)
            y_next = max(next_v, zero)
            moved[j] = next_v
            gap += (z - y_next) * (z - y_next)
            change += (y_next - y) * (y_next - y)
            move += (next_v - v) * (next_v - v)
        for j in range(n):
            out_change[i, j] = moved[j] - last[i, j]
        for j in range(n):
            out_V[i, j] = moved[j]
        part[block, 0] += gap
        part[block, 1] += change
        part[block, 2] += move


def fantope_split(P, f, V, last, alpha, out=None):
    """One fused pass; rows of Z live for the pass only."""
    n = V.shape[0]
    moved, change = out or (np.empty_like(V), np.empty(V.shape, np.float32))
    # The same factor on both sides: products commute, so Z is symmetric to the bit.
    left = P * np.sqrt(f)
    squares = reduce_blocks(
        _fantope_split,
        n,
        (
            left,
            np.ascontiguousarray(left.T),
            V,
            last,
            V.dtype.type(alpha),
            moved,
            change,
        ),
        work=n * n * (2 + P.shape[1] // 4),
        shape=(3,),
        dtype=V.dtype,
    )
    return moved, change, squares


@jit_finite
def _fantope_mix(F, D, theta, shrink, G, inv_rho, out_V, out_A, lo, hi):
    zero = F.dtype.type(0)
    for i in range(lo, hi):
        for j in range(F.shape[1]):
            out_V[i, j] = F[i, j]
        k = 0
        while k + 4 <= D.shape[0]:
            a, b, c, d = theta[k], theta[k + 1], theta[k + 2], theta[k + 3]
            for j in range(F.shape[1]):
                out_V[i, j] -= (a * D[k, i, j] + b * D[k + 1, i, j]) + (
                    c * D[k + 2, i, j] + d * D[k + 3, i, j]
                )
            k += 4
        while k < D.shape[0]:
            weight = theta[k]
            for j in range(F.shape[1]):
                out_V[i, j] -= weight * D[k, i, j]
            k += 1
        for j in range(F.shape[1]):
            v = out_V[i, j]
            v = max(v, zero) + shrink * min(v, zero)
            out_V[i, j] = v
            out_A[i, j] = abs(v) + inv_rho * G[i, j]


def fantope_mix(F, D, theta, shrink, G, inv_rho, out=None):
    """Row by row: extrapolate, then the next matrix."""
    n, A = F.shape[0], np.empty_like(F)
    V = np.empty_like(F) if out is None else out
    factors = F.dtype.type(shrink), G, G.dtype.type(inv_rho)
    args = (F, D, theta, *factors, V, A)
    run_blocks(_fantope_mix, n, args, work=n * n * (2 + D.shape[0] // 2))
    return V, A


@jit_finite
def _fantope_dual(V, G, half, out_A, out_rows, part, lo, hi, block):
    n, zero, none = V.shape[1], V.dtype.type(0), G.dtype.type(0)
    both = np.empty(n, G.dtype)
    primal = square = none
    for i in range(lo, hi):
        # By itself: loads along a column are not vectorised.
        for j in range(n):
            both[j] = G.dtype.type(min(V[i, j], zero)) + G.dtype.type(
                min(V[j, i], zero)
            )
        total = inner = norm = none
        for j in range(n):
            g = G[i, j]
            a = g - half * both[j]
            out_A[i, j] = a
            total += a
            inner += g * G.dtype.type(max(V[i, j], zero))
            norm += a * a
        out_rows[i] = total
        primal += inner
        square += norm
    part[block, 0] += primal
    part[block, 1] += square


def fantope_dual(V, G, rho):
    """One pass over both matrices."""
    n = V.shape[0]
    A, rows = np.empty_like(G), np.empty(n, G.dtype)
    sums = reduce_blocks(
        _fantope_dual,
        n,
        (V, G, G.dtype.type(0.5 * rho), A, rows),
        work=4 * n * n,
        shape=(2,),
        dtype=G.dtype,
    )
    return A, rows, sums


#: A smaller pivot of the Gram matrix of unit columns would cost digits.
SAFE_PIVOT = 0.3


@jit_kernel
def _centred_product(A, means, V, out):
    """``J A V`` for columns orthogonal to the ones vector."""
    np.dot(A, V, out)
    shift = np.dot(means, V)
    for i in range(V.shape[0]):
        for j in range(V.shape[1]):
            out[i, j] -= shift[j]


@jit_kernel
def _centre_columns(V):
    for j in range(V.shape[1]):
        total = V.dtype.type(0)
        for i in range(V.shape[0]):
            total += V[i, j]
        total /= V.shape[0]
        for i in range(V.shape[0]):
            V[i, j] -= total


@jit_kernel
def _orthonormal(V):
    """An orthonormal basis: Cholesky for nearly orthogonal columns, otherwise QR."""
    n, q = V.shape
    for j in range(q):
        square = V.dtype.type(0)
        for i in range(n):
            square += V[i, j] * V[i, j]
        if square > 0:
            scale = 1 / np.sqrt(square)
            for i in range(n):
                V[i, j] *= scale
    gram = np.dot(V.T, V)
    inverse = np.zeros((q, q), V.dtype)
    for j in range(q):
        pivot = gram[j, j]
        for k in range(j):
            pivot -= gram[j, k] * gram[j, k]
        if not pivot > SAFE_PIVOT * SAFE_PIVOT:
            return np.linalg.qr(V)[0]
        pivot = np.sqrt(pivot)
        gram[j, j] = pivot
        for i in range(j + 1, q):
            entry = gram[i, j]
            for k in range(j):
                entry -= gram[i, k] * gram[j, k]
            gram[i, j] = entry / pivot
    for j in range(q):
        inverse[j, j] = 1 / gram[j, j]
        for i in range(j + 1, q):
            entry = V.dtype.type(0)
            for k in range(j, i):
                entry -= gram[i, k] * inverse[k, j]
            inverse[i, j] = entry / gram[i, i]
    return np.dot(V, np.ascontiguousarray(inverse.T))


@jit_kernel
def _filtered_ritz(A, V, low, cut, top, degree, centre):
    n, q = V.shape
    if centre:
        # By BLAS: sums along an axis are not vectorised here.
        means = np.dot(A, np.full(n, A.dtype.type(1 / n)))
        _centre_columns(V)
    else:
        means = np.zeros(n, A.dtype)
    half, middle = (cut - low) / 2, (cut + low) / 2
    after, before = np.empty_like(V), np.zeros_like(V)
    if degree > 0 and half > 0 and top > cut:
        first = half / (top - middle)
        sigma = first
        for turn in range(degree):
            ahead = sigma if turn == 0 else 1 / (2 / first - sigma)
            factor = V.dtype.type((ahead if turn == 0 else 2 * ahead) / half)
            back = V.dtype.type(0 if turn == 0 else sigma * ahead)
            shift = V.dtype.type(middle)
            _centred_product(A, means, V, after)
            for i in range(n):
                for j in range(q):
                    value = factor * (after[i, j] - shift * V[i, j])
                    after[i, j] = value - back * before[i, j]
            before, V, after = V, after, before
            sigma = ahead
    if centre:
        _centre_columns(V)
    Q = np.ascontiguousarray(_orthonormal(V))
    if centre:
        # Columns that were nearly dependent have lost digits of this one.
        _centre_columns(Q)
    _centred_product(A, means, Q, after)
    H = np.dot(Q.T, after)
    w, S = np.linalg.eigh((H + H.T) / 2)
    S = np.ascontiguousarray(S[:, ::-1])
    P, R = np.dot(Q, S), np.dot(after, S)
    values, residuals = np.empty(q, V.dtype), np.zeros(q, V.dtype)
    for j in range(q):
        values[j] = w[q - 1 - j]
        side = V.dtype.type(0)
        for i in range(n):
            difference = R[i, j] - P[i, j] * values[j]
            residuals[j] += difference * difference
            side += P[i, j] * abs(P[i, j])
        if side < 0:
            for i in range(n):
                P[i, j] = -P[i, j]
    return values, P, np.sqrt(residuals)


def filtered_ritz(A, V, low, cut, top, degree, centre=True):
    """The whole subspace step compiled: its products are small and many."""
    columns = np.array(V, order="C")
    interval = float(low), float(cut), float(top)
    A = np.ascontiguousarray(A)
    return _filtered_ritz(A, columns, *interval, int(degree), bool(centre))
