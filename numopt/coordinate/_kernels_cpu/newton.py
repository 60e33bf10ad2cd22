# SPDX-License-Identifier: BSD-3-Clause
"""Newton steps for the logistic loss with a separable penalty, in one compiled loop.

    min_x  sum_i share_i log(1 + exp(-y_i z_i)) + sum_j l1_j |x_j| + l2_j x_j^2 / 2

within bounds, ``z = X x + b``, row j of ``rows`` being column j of X. Only plain steps
are taken here; what is out of the ordinary is left to the caller.
"""

import math

import numpy as np

from numopt._kernels.jit import jit_kernel
from numopt.coordinate._kernels_cpu.cholesky import axpy, copy, dot
from numopt.coordinate._kernels_cpu.gram import solve_gram
from numopt.coordinate._kernels_cpu.losses import expand_logistic

__all__ = ["newton_logistic"]

#: Columns of small matrices that are multiplied at once, and room beyond a factor.
BLOCK, PADDING = 48, 8


@jit_kernel
def _penalty(x, l1, l2):
    """Value of the penalty."""
    total = 0.0
    for j in range(x.size):
        if x[j] != 0.0:
            total += l1[j] * abs(x[j]) + 0.5 * l2[j] * x[j] * x[j]
    return total


@jit_kernel
def _predict(rows, x, start, z):
    """Write start + X x to z, plus the last entry of x if there is one more."""
    m = rows.shape[0]
    copy(z, start)
    for j in range(m):
        if x[j] != 0.0:
            axpy(z, rows[j], x[j], 0, z.size)
    if x.size > m:
        for i in range(z.size):
            z[i] += x[m]


@jit_kernel
def _correlate(rows, gradient, slope):
    """Products of the columns, and of ones if there is one slope more."""
    m, n = rows.shape
    for j in range(m):
        slope[j] = dot(rows[j], gradient, 0, n)
    if slope.size > m:
        total = 0.0
        for i in range(n):
            total += gradient[i]
        slope[m] = total


@jit_kernel
def _prolong(x, new, length, m, step):
    """A longer step, but coordinates keep the signs that they have in ``new``."""
    for j in range(x.size):
        step[j] *= length
        if j < m and (x[j] + step[j]) * new[j] <= 0.0:
            step[j] = -x[j]


@jit_kernel
def _is_curved(curvature, diagonal, l2, straight):
    """Whether there is a sample, and every coordinate, with curvature."""
    top = 0.0
    for i in range(curvature.size):
        top = max(top, curvature[i])
    for j in range(diagonal.size):
        if not diagonal[j] + l2[j] > 0.0:
            return False
    return top > straight


@jit_kernel
def _losses(y, z, shares, out):
    """The mean loss; row k of ``out`` is the k-th derivative of every sample."""
    expand_logistic(y, z, out, 0, y.size)
    return dot(shares, out[0], 0, y.size)


@jit_kernel
def _are_near(weights, old, limit):
    """Whether no weight has changed much, relatively."""
    if old.size != weights.size:
        return False
    for i in range(weights.size):
        if not abs(weights[i] - old[i]) <= limit * weights[i]:
            return False
    return True


@jit_kernel
def _fill_products(rows, root, scaled, G):
    """Products of the rows, each multiplied by the root, in the precision of scaled."""
    m, n = rows.shape
    for j in range(m):
        row, out = rows[j], scaled[j]
        for i in range(n):
            out[i] = row[i] * root[i]
    size = BLOCK if m < 4 * BLOCK else 2 * BLOCK
    for first in range(0, m, size):
        last = min(first + size, m)
        product = np.dot(scaled[first:last], scaled[first:].T)
        for j in range(first, last):
            copy(G[j, first:m], product[j - first])
        for k in range(last, m):
            to = G[k, first:last]
            for j in range(last - first):
                to[j] = product[j, k - first]


@jit_kernel
def _fill_gram(rows, weights, rough, G):
    """G = X^T D X, with a column of ones last where G has one more."""
    m, n = rows.shape
    root, total = np.empty(n), 0.0
    for i in range(n):
        root[i] = math.sqrt(weights[i])
        total += weights[i]
    if rough:
        _fill_products(rows, root, np.empty((m, n), np.float32), G)
    else:
        _fill_products(rows, root, np.empty((m, n)), G)
    if G.shape[0] > m:
        for j in range(m):
            G[j, m] = G[m, j] = dot(rows[j], weights, 0, n)
        G[m, m] = total


@jit_kernel
def _minimise(G, slope, x, l1, l2, lower, upper, shift, unit, accuracy, factor, rules):
    """Minimiser of the model plus the penalty; the diagonal of G gains ``l2``."""
    U, order, inside, meta = factor
    m = x.size
    q, c, new = np.empty(m), np.zeros(m), x.copy()
    for j in range(m):
        G[j, j] = (G[j, j] + l2[j]) * (1.0 + shift)
        q[j] = slope[j] + l2[j] * x[j]
    for j in range(m):
        if x[j] != 0.0:
            axpy(c, G[j], x[j], 0, m)
    squares = 2.0 * unit
    for j in range(m):
        c[j] -= q[j]
        squares += x[j] * (c[j] - q[j])
    solve_gram(
        G,
        new,
        q,
        c,
        l1,
        lower,
        upper,
        squares,
        unit * accuracy,
        rules.max_epochs,
        U,
        order,
        inside,
        meta,
        rules.balance,
    )
    return new


@jit_kernel
def newton_logistic(
    rows,
    y,
    shares,
    z,
    first,
    second,
    losses,
    x,
    l1,
    l2,
    lower,
    upper,
    G,
    weights,
    rough,
    unit,
    accuracy,
    enough,
    far,
    rules,
):
    """Newton steps until one brings at most ``enough``, or until one is not plain.

    ``G`` belongs to ``weights``, which are empty where it is yet to be filled; it is
    overwritten, and in single precision with ``rough``. ``first`` and ``second`` are
    the derivatives at z. Steps that bring more than ``far`` are prolonged.
    Returns (steps, whether this is the end, x, z, derivatives, mean loss, weights,
    decrease of the last step).
    """
    size, m, n = x.size, rows.shape[0], y.size
    x, z = x.copy(), z.copy()
    now, trial, longer = np.empty((3, n)), np.empty((3, n)), np.empty((3, n))
    copy(now[1], first)
    copy(now[2], second)
    slope, step, diagonal = np.empty(size), np.empty(size), np.empty(size)
    gradient, moved, z_new = np.empty(n), np.empty(n), np.empty(n)
    nothing = np.zeros(n)
    current, last = np.empty(n), 0.0
    shift = rules.rough_damping if rough else rules.damping
    factor = (
        np.empty((size, size + PADDING)),
        np.zeros(size, np.int64),
        np.zeros(size, np.int64),
        np.zeros(1, np.int64),
    )
    for j in range(size):
        diagonal[j] = G[j, j]
    for steps in range(rules.max_steps):
        for i in range(n):
            gradient[i] = shares[i] * now[1, i]
            current[i] = shares[i] * now[2, i]
        if not _are_near(current, weights, rules.reuse):
            weights = current.copy()
            _fill_gram(rows, weights, rough, G)
            factor[3][0] = 0
            for j in range(size):
                diagonal[j] = G[j, j]
                factor[2][j] = 0
        plain = _is_curved(now[2], diagonal, l2, rules.straight)
        if not plain:
            break
        _correlate(rows, gradient, slope)
        new = _minimise(
            G, slope, x, l1, l2, lower, upper, shift, unit, accuracy, factor, rules
        )
        start, end, descent = _penalty(x, l1, l2), _penalty(new, l1, l2), 0.0
        for j in range(size):
            G[j, j] = diagonal[j]
            step[j] = new[j] - x[j]
            plain = plain and abs(new[j]) < rules.unbounded
            descent += slope[j] * step[j]
        descent += end - start
        _predict(rows, step, nothing, moved)
        t, found = 1.0, False
        while plain and t >= rules.short:
            if t < 1.0:
                for j in range(size):
                    new[j] = x[j] + t * step[j]
                end = _penalty(new, l1, l2)
            for i in range(n):
                z_new[i] = z[i] + t * moved[i]
            now_losses = _losses(y, z_new, shares, trial)
            decrease = losses + start - now_losses - end
            slack = rules.rounding * (abs(now_losses) + start)
            found = decrease >= -rules.armijo * t * descent - slack
            if found:
                break
            t *= 0.5
        if not found:
            break
        if t == 1.0 and decrease > far:
            _prolong(x, new, rules.long, m, step)
            _predict(rows, step, z, moved)
            further = _losses(y, moved, shares, longer)
            for j in range(size):
                step[j] += x[j]
            gain = now_losses + end - further - _penalty(step, l1, l2)
            if gain > 0.0:
                copy(new, step)
                copy(z_new, moved)
                trial, longer = longer, trial
                now_losses = further
                decrease += gain
        copy(x, new)
        copy(z, z_new)
        now, trial = trial, now
        losses = now_losses
        if decrease <= enough or (t == 1.0 and decrease**2 <= enough * last):
            return steps + 1, True, x, z, now, losses, weights, last
        last = decrease
    else:
        return rules.max_steps, True, x, z, now, losses, weights, last
    return steps, False, x, z, now, losses, weights, last
