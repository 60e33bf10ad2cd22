# SPDX-License-Identifier: BSD-3-Clause
"""Numba bodies: conjugate gradients with a row-sum preserving incomplete factor."""

import numpy as np

from numopt._kernels.jit import jit_exact, jit_kernel

__all__ = ["mic_cg"]

#: Share of the dropped fill that is moved to the diagonal (1 keeps the row sums).
RELAXATION = 0.99
#: A pivot below this share of its diagonal entry is put back to it.
SMALLEST_PIVOT = 1e-3


@jit_exact
def _factor(values, cols, ptr, diag, scale, low, up):
    """Pivots d of (d + L) d^-1 (d + U), whose row sums are those of the matrix.

    The rows of strict lower and upper entries are scaled to d^-1/2 A d^-1/2.
    """
    n = diag.size
    upper_sum = np.zeros(n)
    pivot = diag.copy()
    for i in range(n):
        total = 0.0
        for e in range(ptr[i], ptr[i + 1]):
            if cols[e] > i:
                total += values[e]
        upper_sum[i] = total
    for i in range(n):
        d = diag[i]
        for e in range(ptr[i], ptr[i + 1]):
            k = cols[e]
            if k < i:
                a = values[e]
                dropped = a * (RELAXATION * upper_sum[k] + (1.0 - RELAXATION) * a)
                d -= dropped / pivot[k]
        if not d > SMALLEST_PIVOT * diag[i]:
            d = SMALLEST_PIVOT * diag[i]
        pivot[i] = d
    for i in range(n):
        scale[i] = 1.0 / np.sqrt(pivot[i])
    low_values, low_cols, low_ptr = low
    up_values, up_cols, up_ptr = up
    a = 0
    b = 0
    for i in range(n):
        for e in range(ptr[i], ptr[i + 1]):
            k = cols[e]
            v = values[e] * scale[i] * scale[k]
            if k < i:
                low_values[a], low_cols[a] = v, k
                a += 1
            else:
                up_values[b], up_cols[b] = v, k
                b += 1
        low_ptr[i + 1], up_ptr[i + 1] = a, b


@jit_exact
def _backward_1(up_values, up_cols, up_ptr, p, t):
    """T = (I + U)^-1 p for one column; the running sum stays in a register.

    Here and below sums over rows are exactly as written: re-ordered they would be
    vectorised, which for a few entries takes three times as long. One entry number
    runs through all rows, and columns are unsigned.
    """
    e = up_ptr[p.shape[0]] - 1
    for i in range(p.shape[0] - 1, -1, -1):
        total, end = p[i, 0], up_ptr[i]
        while e >= end:
            total -= up_values[e] * t[np.uint32(up_cols[e]), 0]
            e -= 1
        t[i, 0] = total


@jit_exact
def _forward_1(low_values, low_cols, low_ptr, p, t, excess, h, q):
    """Q = t + (I + L)^-1 (p + excess t); returns p . q."""
    product, e = 0.0, 0
    for i in range(p.shape[0]):
        total, end = p[i, 0] + excess[i] * t[i, 0], low_ptr[i + 1]
        while e < end:
            total -= low_values[e] * h[np.uint32(low_cols[e]), 0]
            e += 1
        h[i, 0] = total
        total += t[i, 0]
        q[i, 0] = total
        product += p[i, 0] * total
    return np.full(1, product)


@jit_exact
def _backward_4(up_values, up_cols, up_ptr, p, t):
    """T = (I + U)^-1 p for four columns."""
    e = up_ptr[p.shape[0]] - 1
    for i in range(p.shape[0] - 1, -1, -1):
        a, b, c, d = p[i, 0], p[i, 1], p[i, 2], p[i, 3]
        end = up_ptr[i]
        while e >= end:
            j, v = np.uint32(up_cols[e]), up_values[e]
            a -= v * t[j, 0]
            b -= v * t[j, 1]
            c -= v * t[j, 2]
            d -= v * t[j, 3]
            e -= 1
        t[i, 0], t[i, 1], t[i, 2], t[i, 3] = a, b, c, d


@jit_exact
def _forward_4(low_values, low_cols, low_ptr, p, t, excess, h, q):
    """Q = t + (I + L)^-1 (p + excess t); returns p . q column by column."""
    total, e = np.zeros(4), 0
    for i in range(p.shape[0]):
        x, end = excess[i], low_ptr[i + 1]
        a, b = p[i, 0] + x * t[i, 0], p[i, 1] + x * t[i, 1]
        c, d = p[i, 2] + x * t[i, 2], p[i, 3] + x * t[i, 3]
        while e < end:
            j, v = np.uint32(low_cols[e]), low_values[e]
            a -= v * h[j, 0]
            b -= v * h[j, 1]
            c -= v * h[j, 2]
            d -= v * h[j, 3]
            e += 1
        h[i, 0], h[i, 1], h[i, 2], h[i, 3] = a, b, c, d
        for k in range(4):
            q[i, k] = t[i, k] + h[i, k]
            total[k] += p[i, k] * q[i, k]
    return total


@jit_exact
def _backward(up_values, up_cols, up_ptr, p, t, lanes):
    """T = (I + U)^-1 p; the length of ``lanes`` is the (constant) column count."""
    if len(lanes) == 1:
        _backward_1(up_values, up_cols, up_ptr, p, t)
    else:
        _backward_4(up_values, up_cols, up_ptr, p, t)


@jit_kernel
def _advance(alpha, p, q, y, r, lanes):
    """One step along p; returns the squared norms of the new residuals."""
    K = len(lanes)
    total = np.zeros(K)
    for i in range(p.shape[0]):
        for c in range(K):
            y[i, c] += alpha[c] * p[i, c]
            r[i, c] -= alpha[c] * q[i, c]
            total[c] += r[i, c] * r[i, c]
    return total


@jit_kernel
def _turn(beta, r, p, lanes):
    """The next direction."""
    K = len(lanes)
    for i in range(p.shape[0]):
        for c in range(K):
            p[i, c] = r[i, c] + beta[c] * p[i, c]


@jit_exact
def _residual(values, cols, ptr, diag, x, rhs, out, lanes):
    """Out = rhs - A x; returns the squared norms of its columns."""
    K = len(lanes)
    total = np.zeros(K)
    for i in range(diag.size):
        for c in range(K):
            out[i, c] = rhs[i, c] - diag[i] * x[i, c]
        for e in range(ptr[i], ptr[i + 1]):
            j, v = cols[e], values[e]
            for c in range(K):
                out[i, c] -= v * x[j, c]
        for c in range(K):
            total[c] += out[i, c] * out[i, c]
    return total


@jit_exact
def _start(low_values, low_cols, low_ptr, scale, out, r, lanes):
    """R = (I + L)^-1 scale out; returns its squared norms."""
    K = len(lanes)
    total = np.zeros(K)
    for i in range(out.shape[0]):
        for c in range(K):
            r[i, c] = scale[i] * out[i, c]
        for e in range(low_ptr[i], low_ptr[i + 1]):
            j, v = low_cols[e], low_values[e]
            for c in range(K):
                r[i, c] -= v * r[j, c]
        for c in range(K):
            total[c] += r[i, c] * r[i, c]
    return total


@jit_exact
def _true_squares(low_values, low_cols, low_ptr, scale, r, lanes):
    """Squared norms of scale^-1 (I + L) r, the residual before scaling."""
    K = len(lanes)
    total = np.zeros(K)
    for i in range(r.shape[0]):
        for c in range(K):
            value = r[i, c]
            for e in range(low_ptr[i], low_ptr[i + 1]):
                value += low_values[e] * r[low_cols[e], c]
            value /= scale[i]
            total[c] += value * value
    return total


@jit_kernel
def _cycle(low, up, scale, excess, p, y, r, rho, goal, wanted, steps, work, lanes):
    """Conjugate gradient steps until every column is below what is wanted."""
    K = len(lanes)
    low_values, low_cols, low_ptr = low
    up_values, up_cols, up_ptr = up
    t, h, q = work
    taken = 0
    alpha, beta = np.zeros(K), np.zeros(K)
    while taken < steps:
        waiting = 0
        for c in range(K):
            if rho[c] > goal[c]:
                waiting += 1
        if waiting == 0:
            squares = _true_squares(low_values, low_cols, low_ptr, scale, r, lanes)
            for c in range(K):
                if squares[c] > wanted[c]:
                    waiting += 1
                    goal[c] = 0.5 * rho[c]
            if waiting == 0:
                break
        _backward(up_values, up_cols, up_ptr, p, t, lanes)
        if K == 1:
            curvature = _forward_1(low_values, low_cols, low_ptr, p, t, excess, h, q)
        else:
            curvature = _forward_4(low_values, low_cols, low_ptr, p, t, excess, h, q)
        for c in range(K):
            alpha[c] = rho[c] / curvature[c] if curvature[c] > 0.0 else 0.0
        new = _advance(alpha, p, q, y, r, lanes)
        for c in range(K):
            beta[c] = new[c] / rho[c] if rho[c] > 0.0 else 0.0
            rho[c] = new[c]
        _turn(beta, r, p, lanes)
        taken += 1
    return taken


@jit_kernel
def _finish(up_values, up_cols, up_ptr, scale, y, t, x, lanes):
    """Add the iterate, taken back to the scale of x."""
    K = len(lanes)
    _backward(up_values, up_cols, up_ptr, y, t, lanes)
    for i in range(x.shape[0]):
        for c in range(K):
            x[i, c] += scale[i] * t[i, c]


def _solve_columns(matrix, factor, rhs, tol, max_iter):
    """Solve for one or four columns; restart from the true residual until it holds."""
    values, cols, ptr, diag = matrix
    scale, excess, low, up = factor
    n, K = rhs.shape
    lanes = (0,) * K
    x = np.zeros((n, K))
    out, y, r, t, h, q = (np.empty((n, K)) for _ in range(6))
    squares = _residual(values, cols, ptr, diag, x, rhs, out, lanes)
    wanted = tol * np.sqrt(squares)
    size = np.where(squares > 0, np.sqrt(squares), 1.0)
    taken, last = 0, np.inf
    while True:
        norms = np.sqrt(squares)
        worst = float(np.max(norms / size))
        stalled = taken > 0 and worst > 0.5 * last
        if np.all(norms <= wanted) or taken >= max_iter or stalled:
            return x, norms / size, taken
        last = worst
        rho = _start(*low, scale, out, r, lanes)
        need = np.where(norms > wanted, wanted / np.maximum(norms, 1e-300), 1.0)
        goal = np.where(norms > wanted, rho * need**2, np.inf)
        y[:] = 0.0
        p = r.copy()
        # Below what is wanted, so that rounding in the update cannot undo it.
        below = np.where(norms > wanted, (0.9 * wanted) ** 2, np.inf)
        steps = max_iter - taken
        taken += _cycle(
            low, up, scale, excess, p, y, r, rho, goal, below, steps, (t, h, q), lanes
        )
        _finish(*up, scale, y, t, x, lanes)
        squares = _residual(values, cols, ptr, diag, x, rhs, out, lanes)


def mic_cg(values, cols, ptr, diag, rhs, tol, max_iter):
    """Solve A x = rhs column by column to ``norm(rhs - A x) <= tol norm(rhs)``.

    A is given by its off-diagonal CSR and its diagonal; rhs is (n, K). Returns x, the
    relative residuals (K,) and the iterations of the slowest column.
    """
    n, K = rhs.shape
    lower = int(values.size // 2)
    low = np.empty(lower), np.empty(lower, cols.dtype), np.zeros(n + 1, ptr.dtype)
    up = np.empty(lower), np.empty(lower, cols.dtype), np.zeros(n + 1, ptr.dtype)
    scale = np.empty(n)
    _factor(values, cols, ptr, diag, scale, low, up)
    excess = diag * scale * scale - 2.0
    factor = scale, excess, low, up
    x, residuals, most = np.empty((n, K)), np.empty(K), 0
    for lo in range(0, K, 4):
        width = min(4, K - lo)
        # Two or three columns ride in a loop for four, with columns of zeros.
        part = np.zeros((n, 1 if width == 1 else 4))
        part[:, :width] = rhs[:, lo : lo + width]
        solved = _solve_columns((values, cols, ptr, diag), factor, part, tol, max_iter)
        x[:, lo : lo + width] = solved[0][:, :width]
        residuals[lo : lo + width] = solved[1][:width]
        most = max(most, solved[2])
    return x, residuals, most
