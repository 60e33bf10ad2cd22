# SPDX-License-Identifier: BSD-3-Clause
"""The inner solver on columns: coordinate descent that keeps the residual.

    min_w  |y - X w|^2 / 2 + sum_j ridge_j w_j^2 / 2 + lam_j |w_j| within bounds,

row j of ``rows`` being column j of X. It needs no Gram matrix; a coordinate
costs the length of a column instead of the number of columns.
"""

import numpy as np

from numopt._kernels.jit import jit_kernel
from numopt.coordinate._kernels_cpu.cholesky import axpy, combine, copy, dot
from numopt.coordinate._kernels_cpu.gram import (
    DEPTH,
    find_best,
    find_support,
    measure,
)

__all__ = ["column_products", "solve_residual", "standardize"]


@jit_kernel
def standardize(rows, share, root, least):
    """Centre and weight rows; returns their squared norms.

    ``share`` holds weights that sum to 1, empty without centring, ``root`` the factors,
    empty for ones. A row is 0 where its squares are at most ``least`` times those of
    its mean: no coefficient follows from rounding.
    """
    squares = np.empty(rows.shape[0])
    for a in range(rows.shape[0]):
        x, mean = rows[a], 0.0
        if share.size:
            mean = dot(x, share, 0, x.size)
            for i in range(x.size):
                x[i] -= mean
        if root.size:
            for i in range(x.size):
                x[i] *= root[i]
        squares[a] = dot(x, x, 0, x.size)
        if squares[a] < least * mean * mean:
            for i in range(x.size):
                x[i] = 0.0
            squares[a] = 0.0
    return squares


@jit_kernel
def column_products(rows, index, r):
    """Products of r with some rows."""
    out = np.empty(index.size)
    for a in range(index.size):
        out[a] = dot(rows[index[a]], r, 0, r.size)
    return out


@jit_kernel
def _epoch(rows, active, idx, count, r, diagonal, w, ridge, lam, lower, upper):
    """One cyclic pass; returns how many coordinates moved."""
    moves, n = 0, r.size
    # A step is not a function of its own: so many arrays cost ten times its arithmetic
    # to hand over.
    for a in range(count):
        j = idx[a]
        if diagonal[j] <= 0.0:
            continue
        x, old = rows[active[j]], w[j]
        slope = ridge[j] * old - dot(x, r, 0, n)
        new = find_best(j, diagonal[j], old, slope, lam, lower, upper)
        if new != old:
            axpy(r, x, old - new, 0, n)
            w[j] = new
            moves += 1
    return moves


@jit_kernel
def _objective(w, r, ridge, lam):
    """The objective, given the residual."""
    total = 0.5 * dot(r, r, 0, r.size)
    for j in range(w.size):
        x = w[j]
        if x != 0.0:
            total += 0.5 * ridge[j] * x * x + lam[j] * abs(x)
    return total


@jit_kernel
def _extrapolate(points, residuals, support, k, w, r, ridge, lam, lower, upper):
    """Move to the affine combination of the last iterates where it is better."""
    weights = np.empty(DEPTH)
    if not combine(points, k, weights):
        return
    trial, trial_r = w.copy(), np.zeros(r.size)
    for i in range(k):
        total = 0.0
        for t in range(DEPTH):
            total += weights[t] * points[t + 1, i]
        j = support[i]
        if not lower[j] <= total <= upper[j]:
            return
        trial[j] = total
    for t in range(DEPTH):
        axpy(trial_r, residuals[t + 1], weights[t], 0, r.size)
    if _objective(trial, trial_r, ridge, lam) < _objective(w, r, ridge, lam):
        copy(w, trial)
        copy(r, trial_r)


@jit_kernel
def solve_residual(
    rows,
    active,
    all_w,
    r,
    slope,
    squares,
    c,
    ridge,
    lam,
    lower,
    upper,
    yy,
    target,
    max_epochs,
):
    """Minimise over the active columns until gap <= target; returns (gap, epochs).

    ``squares`` holds the squared norms of the columns, ``c`` their products with y;
    their ``slope`` is without the ridge terms.
    """
    w, ridge, c = all_w[active], ridge[active], c[active]
    lam, lower, upper = lam[active], lower[active], upper[active]
    m, n = w.size, r.size
    diagonal, q = squares[active] + ridge, np.empty(m)
    everything, support = np.arange(m), np.empty(m, np.int64)
    points, residuals = np.empty((DEPTH + 1, m)), np.empty((DEPTH + 1, n))
    best_dual, gap = -np.inf, np.inf
    epoch = 0
    while True:
        for j in range(m):
            q[j] = ridge[j] * w[j] - dot(rows[active[j]], r, 0, n)
        primal, dual, rest = measure(diagonal, w, q, c, lam, lower, upper, yy)
        best_dual = max(best_dual, dual)
        gap = primal - best_dual + rest
        if gap <= target or epoch >= max_epochs:
            break
        _epoch(rows, active, everything, m, r, diagonal, w, ridge, lam, lower, upper)
        epoch += 1
        k = find_support(w, lam, lower, upper, diagonal, support)
        if k == 0:
            continue
        for i in range(k):
            points[0, i] = w[support[i]]
        for t in range(DEPTH):
            moves = _epoch(
                rows, active, support, k, r, diagonal, w, ridge, lam, lower, upper
            )
            epoch += 1
            if moves == 0:
                break
            for i in range(k):
                points[t + 1, i] = w[support[i]]
            copy(residuals[t + 1], r)
        else:
            _extrapolate(points, residuals, support, k, w, r, ridge, lam, lower, upper)
    for j in range(m):
        all_w[active[j]] = w[j]
        slope[active[j]] = q[j] - ridge[j] * w[j]
    return gap, epoch
