# SPDX-License-Identifier: BSD-3-Clause
"""Block descent for group penalties, on a Gram matrix or on columns.

    min_{w >= lower}  |y - X w|^2 / 2 + sum_g lam_g ||w_g|| + sum_j l1_j |w_j|,

group g being the coordinates starts[g]:starts[g + 1], lower 0 or -inf. A cycle is
one pass over all groups and a few over those in use, which Anderson's method
extrapolates. ``curvature`` is a diagonal that bounds the block of a group from above:
its largest eigenvalue everywhere, or all eigenvalues, ascending, where coordinates are
along the eigenvectors; then a step minimises over the block exactly.
"""

import math

import numpy as np

from numopt._kernels.jit import jit_kernel
from numopt.coordinate._kernels_cpu.cholesky import axpy, combine, copy, dot

__all__ = ["descend_gram_groups", "descend_groups"]

BISECTIONS = 60
#: Newton steps for the length of a block, and its relative accuracy.
LENGTH_STEPS, LENGTH_TOL = 30, 1e-3
#: Passes over the groups in use in a cycle: the depth of the extrapolation.
DEPTH = 5


@jit_kernel
def _push(slope, lower):
    """How hard a slope pushes; a bound at 0 holds against one side."""
    return abs(slope) if lower < 0.0 else max(-slope, 0.0)


@jit_kernel
def _ratio(q, lo, hi, lam, l1, lower):
    """Dual norm of a group: root t of ||soft(q_g, t l1)|| = t lam."""
    norm, top, plain = 0.0, 0.0, True
    for j in range(lo, hi):
        push = _push(q[j], lower[j])
        norm += push * push
        if l1[j] > 0.0:
            top = max(top, push / l1[j])
            plain = False
    norm = math.sqrt(norm)
    high = norm / lam if lam > 0.0 else np.inf
    if plain:
        return high
    high = min(high, top)
    low = 0.0
    for _ in range(BISECTIONS):
        t = 0.5 * (low + high)
        rest = 0.0
        for j in range(lo, hi):
            over = _push(q[j], lower[j]) - t * l1[j]
            if over > 0.0:
                rest += over * over
        if rest > (t * lam) ** 2:
            low = t
        else:
            high = t
    return high


@jit_kernel
def _penalty(starts, w, lam, l1, lower):
    """Sum of the group norms and of the absolute values; inf below a bound."""
    total = 0.0
    for j in range(starts[-1]):
        if w[j] < lower[j]:
            return np.inf
    for g in range(lam.size):
        lo, hi = starts[g], starts[g + 1]
        squares = 0.0
        for j in range(lo, hi):
            squares += w[j] * w[j]
            total += l1[j] * abs(w[j])
        if squares > 0.0:
            total += lam[g] * math.sqrt(squares)
    return total


@jit_kernel
def _measure(starts, w, q, c, lam, l1, lower, yy, curvature):
    """Primal value, dual value of the scaled residual, and what scaling leaves."""
    m = starts[-1]
    fit, slope = dot(c, w, 0, m), dot(w, q, 0, m)
    top, rest = 0.0, 0.0
    for g in range(lam.size):
        lo, hi = starts[g], starts[g + 1]
        penalised = lam[g] > 0.0
        for j in range(lo, hi):
            penalised = penalised or l1[j] > 0.0
        if penalised:
            top = max(top, _ratio(q, lo, hi, lam[g], l1, lower))
        elif curvature[hi - 1] > 0.0:
            reach = math.sqrt(dot(w, w, lo, hi))
            reach += math.sqrt(dot(c, c, lo, hi)) / curvature[hi - 1]
            left = 0.0
            for j in range(lo, hi):
                left += _push(q[j], lower[j]) ** 2
            rest += math.sqrt(left) * reach
    ry = yy - fit
    rr = max(ry + slope, 0.0)
    s = ry / rr if rr > 0.0 else 1.0
    if top > 0.0:
        s = min(s, 1.0 / top)
    s = max(s, 0.0)
    primal = 0.5 * rr + _penalty(starts, w, lam, l1, lower)
    return primal, s * ry - 0.5 * s * s * rr, rest


@jit_kernel
def _shrink(lo, hi, w, q, curvature, lam, l1, lower, new):
    """Step of a group into ``new``; returns whether its zeros changed."""
    if curvature[lo] < curvature[hi - 1]:
        return _minimise(lo, hi, w, q, curvature, lam, new)
    lipschitz = curvature[lo]
    norm = 0.0
    for j in range(lo, hi):
        z = w[j] - q[j] / lipschitz
        t = l1[j] / lipschitz
        z = max(z - t if z > t else (z + t if z < -t else 0.0), lower[j])
        new[j] = z
        norm += z * z
    norm = math.sqrt(norm)
    scale = 1.0 - lam / (lipschitz * norm) if norm * lipschitz > lam else 0.0
    flipped = False
    for j in range(lo, hi):
        new[j] *= scale
        flipped = flipped or (w[j] == 0.0) != (new[j] == 0.0) or w[j] * new[j] < 0.0
    return flipped


@jit_kernel
def _minimise(lo, hi, w, q, curvature, lam, new):
    """Minimiser of a group along its eigenvectors; returns whether it left or came.

    With ``b = D w - q`` it is ``v b / (v D + lam)``, its length v being the root of
    ``||b / (v D + lam)|| = 1``. The inverse of that norm is concave in v, so that
    Newton's method rises to the root from its first step on.
    """
    # Offsets below a slice are never negative, which lets the loops be vectorised.
    D, b, slope, old = curvature[lo:hi], new[lo:hi], q[lo:hi], w[lo:hi]
    norm, before = 0.0, 0.0
    for j in range(b.size):
        b[j] = D[j] * old[j] - slope[j]
        norm += b[j] * b[j]
        before += old[j] * old[j]
    norm = math.sqrt(norm)
    if norm <= lam:
        for j in range(b.size):
            b[j] = 0.0
        return before > 0.0
    least = (norm - lam) / D[D.size - 1]
    length = max(math.sqrt(before), least)
    for _ in range(LENGTH_STEPS):
        total, fall = 0.0, 0.0
        for j in range(b.size):
            inverse = 1.0 / (D[j] * length + lam)
            part = (b[j] * inverse) ** 2
            total += part
            fall += part * inverse * D[j]
        root = math.sqrt(total)
        last = length
        length = max(length + (root - 1.0) * total / fall, least)
        if abs(length - last) <= LENGTH_TOL * length:
            break
    for j in range(b.size):
        b[j] *= length / (D[j] * length + lam)
    return before == 0.0


@jit_kernel
def _in_use(starts, w, curvature, out):
    """Groups that are not zero; returns their number."""
    count = 0
    for g in range(starts.size - 1):
        used = False
        for j in range(starts[g], starts[g + 1]):
            used = used or w[j] != 0.0
        if used and curvature[starts[g + 1] - 1] > 0.0:
            out[count] = g
            count += 1
    return count


@jit_kernel
def _correlate(rows, lo, hi, r, q):
    """q[lo:hi] = -rows[lo:hi] r, four rows at a time: r is read once for them."""
    j = lo
    while j + 4 <= hi:
        a, b, c, d = rows[j], rows[j + 1], rows[j + 2], rows[j + 3]
        ar, br, cr, dr = 0.0, 0.0, 0.0, 0.0
        for i in range(r.size):
            ar += a[i] * r[i]
            br += b[i] * r[i]
            cr += c[i] * r[i]
            dr += d[i] * r[i]
        q[j], q[j + 1], q[j + 2], q[j + 3] = -ar, -br, -cr, -dr
        j += 4
    while j < hi:
        q[j] = -dot(rows[j], r, 0, r.size)
        j += 1


@jit_kernel
def _add(out, rows, lo, hi, step):
    """Out += step[lo:hi] rows[lo:hi], four rows at a time."""
    j, n = lo, out.size
    while j + 4 <= hi:
        # Offsets below a slice are never negative, which lets the loop be vectorised.
        a, b, c, d = rows[j, :n], rows[j + 1, :n], rows[j + 2, :n], rows[j + 3, :n]
        u, v, x, y = step[j], step[j + 1], step[j + 2], step[j + 3]
        for i in range(n):
            out[i] += u * a[i] + v * b[i] + x * c[i] + y * d[i]
        j += 4
    while j < hi:
        axpy(out, rows[j], step[j], 0, n)
        j += 1


@jit_kernel
def _take(lo, hi, w, new, sign):
    """Go on to the new values, in whose place the signed step is left; if any moved."""
    moved = False
    for j in range(lo, hi):
        step = new[j] - w[j]
        moved = moved or step != 0.0
        w[j] = new[j]
        new[j] = sign * step
    return moved


@jit_kernel
def _gram_epoch(G, starts, idx, count, w, q, lam, l1, lower, curvature, new):
    """One pass on a Gram matrix; returns how many groups changed their zeros."""
    flips = 0
    for a in range(count):
        g = idx[a]
        lo, hi = starts[g], starts[g + 1]
        if curvature[hi - 1] <= 0.0:
            continue
        if _shrink(lo, hi, w, q, curvature, lam[g], l1, lower, new):
            flips += 1
        if _take(lo, hi, w, new, 1.0):
            _add(q, G, lo, hi, new)
    return flips


@jit_kernel
def _epoch(rows, starts, idx, count, w, r, q, lam, l1, lower, curvature, new):
    """One pass on columns; returns how many groups changed their zeros."""
    flips = 0
    for a in range(count):
        g = idx[a]
        lo, hi = starts[g], starts[g + 1]
        if curvature[hi - 1] <= 0.0:
            continue
        _correlate(rows, lo, hi, r, q)
        if _shrink(lo, hi, w, q, curvature, lam[g], l1, lower, new):
            flips += 1
        if _take(lo, hi, w, new, -1.0):
            _add(r, rows, lo, hi, new)
    return flips


@jit_kernel
def _combined(history, weights, out):
    """Affine combination of the rows 1.. of the history."""
    for i in range(out.size):
        out[i] = 0.0
    for t in range(DEPTH):
        axpy(out, history[t + 1], weights[t], 0, out.size)


@jit_kernel
def descend_gram_groups(
    G, starts, w, q, c, lam, l1, lower, curvature, yy, target, max_epochs
):
    """Until gap <= target; returns (gap, epochs, flips in the last pass)."""
    m = starts[-1]
    everything, used = np.arange(lam.size), np.empty(lam.size, np.int64)
    new, weights = np.empty(m), np.empty(DEPTH)
    points, slopes = np.empty((DEPTH + 1, m)), np.empty((DEPTH + 1, m))
    trial, trial_q = np.empty(m), np.empty(m)
    best_dual, epoch, flips = -np.inf, 0, 0
    while True:
        primal, dual, rest = _measure(starts, w, q, c, lam, l1, lower, yy, curvature)
        best_dual = max(best_dual, dual)
        gap = primal - best_dual + rest
        if gap <= target or epoch >= max_epochs:
            return gap, epoch, flips
        _gram_epoch(
            G, starts, everything, lam.size, w, q, lam, l1, lower, curvature, new
        )
        count = _in_use(starts, w, curvature, used)
        copy(points[0], w)
        for t in range(DEPTH):
            flips = _gram_epoch(
                G, starts, used, count, w, q, lam, l1, lower, curvature, new
            )
            copy(points[t + 1], w)
            copy(slopes[t + 1], q)
        epoch += DEPTH + 1
        if combine(points, m, weights):
            _combined(points, weights, trial)
            _combined(slopes, weights, trial_q)
            now = 0.5 * (dot(w, q, 0, m) - dot(c, w, 0, m))
            then = 0.5 * (dot(trial, trial_q, 0, m) - dot(c, trial, 0, m))
            now += _penalty(starts, w, lam, l1, lower)
            if then + _penalty(starts, trial, lam, l1, lower) < now:
                copy(w, trial)
                copy(q, trial_q)


@jit_kernel
def descend_groups(
    rows, starts, w, r, q, c, lam, l1, lower, curvature, yy, target, max_epochs
):
    """The same on columns, row j of ``rows`` being column j; q is for the end."""
    m, n = starts[-1], r.size
    everything, used = np.arange(lam.size), np.empty(lam.size, np.int64)
    new, weights = np.empty(m), np.empty(DEPTH)
    points, residuals = np.empty((DEPTH + 1, m)), np.empty((DEPTH + 1, n))
    trial, trial_r = np.empty(m), np.empty(n)
    best_dual, epoch, flips = -np.inf, 0, 0
    while True:
        _correlate(rows, 0, m, r, q)
        primal, dual, rest = _measure(starts, w, q, c, lam, l1, lower, yy, curvature)
        best_dual = max(best_dual, dual)
        gap = primal - best_dual + rest
        if gap <= target or epoch >= max_epochs:
            return gap, epoch, flips
        _epoch(
            rows, starts, everything, lam.size, w, r, q, lam, l1, lower, curvature, new
        )
        count = _in_use(starts, w, curvature, used)
        copy(points[0], w)
        for t in range(DEPTH):
            flips = _epoch(
                rows, starts, used, count, w, r, q, lam, l1, lower, curvature, new
            )
            copy(points[t + 1], w)
            copy(residuals[t + 1], r)
        epoch += DEPTH + 1
        if combine(points, m, weights):
            _combined(points, weights, trial)
            _combined(residuals, weights, trial_r)
            now = 0.5 * dot(r, r, 0, n) + _penalty(starts, w, lam, l1, lower)
            then = 0.5 * dot(trial_r, trial_r, 0, n)
            if then + _penalty(starts, trial, lam, l1, lower) < now:
                copy(w, trial)
                copy(r, trial_r)
