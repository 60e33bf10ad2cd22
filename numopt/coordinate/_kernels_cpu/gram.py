# SPDX-License-Identifier: BSD-3-Clause
"""The inner solver on a Gram matrix: coordinate descent, then Newton on the support.

    min_w  yy/2 - c^T w + w^T G w / 2 + sum_j lam_j |w_j|,   lower <= w <= upper,

with q = G w - c kept up to date. A cycle is one pass over all coordinates and a few
over the support, whose iterates Anderson's method extrapolates; q is affine in w and is
extrapolated with the same weights (Bertrand & Massias 2021, "Anderson acceleration of
coordinate descent").
"""

import numpy as np

from numopt._kernels.jit import jit_kernel
from numopt.coordinate._kernels_cpu.cholesky import (
    axpy,
    combine,
    copy,
    dot,
    multiply,
    price,
    solve,
    sync,
)

__all__ = ["DEPTH", "find_best", "find_support", "measure", "solve_gram"]


#: Passes over the support in a cycle, which is also the depth of the extrapolation.
DEPTH = 5
#: Work of a pass besides its moves, of a Newton step besides its factor: measured.
PASS_WORK, NEWTON_WORK = 8.0, 2.5


#: A Newton step replaces a cycle of so many times its price: it saves further ones.
SWIFT = 2.0

#: Descent between two tries of Newton, in units of a new factor.
RIPE = 0.3


@jit_kernel
def find_best(j, g, x, slope, lam, lower, upper):
    """Minimiser in coordinate j from x, all others fixed."""
    z = x * g - slope
    t = lam[j]
    if z > t:
        new = (z - t) / g
    elif z < -t:
        new = (z + t) / g
    else:
        new = 0.0
    return min(max(new, lower[j]), upper[j])


@jit_kernel
def _epoch(G, diagonal, idx, count, w, q, lam, lower, upper):
    """One cyclic pass; returns how many coordinates changed sign, and moved."""
    flips, moves = 0, 0
    m = w.size
    for a in range(count):
        j = idx[a]
        g = diagonal[j]
        if g <= 0.0:
            continue
        old = w[j]
        new = find_best(j, g, old, q[j], lam, lower, upper)
        if new != old:
            axpy(q, G[j], new - old, 0, m)
            w[j] = new
            moves += 1
            if new * old <= 0.0:
                flips += 1
    return flips, moves


@jit_kernel
def measure(diagonal, w, q, c, lam, lower, upper, yy):
    """Primal value, dual value of the scaled residual, rest that scaling leaves."""
    fit, slope, penalty, top, rest = 0.0, 0.0, 0.0, 0.0, 0.0
    exact = True
    for j in range(w.size):
        x, rho = w[j], -q[j]
        fit += c[j] * x
        slope += x * q[j]
        if x != 0.0:
            penalty += lam[j] * abs(x)
        bound = upper[j] if rho > 0.0 else lower[j]
        if bound != 0.0 and abs(bound) < np.inf:
            exact = False
        if lam[j] > 0.0 and abs(bound) == np.inf:
            top = max(top, abs(rho) / lam[j])
        elif diagonal[j] > 0.0:
            # Scaling does not help here: charge the slope times a reachable distance.
            distance = abs(x) + abs(c[j]) / diagonal[j]
            if abs(bound) < np.inf:
                distance = abs(bound - x)
            rest += max(abs(rho) - lam[j], 0.0) * distance
    ry = yy - fit
    rr = max(ry + slope, 0.0)
    primal = 0.5 * rr + penalty
    s = ry / rr if rr > 0.0 else 1.0
    if top > 0.0:
        s = min(s, 1.0 / top)
    s = max(s, 0.0)
    dual = s * ry - 0.5 * s * s * rr if exact else primal
    return primal, dual, rest


@jit_kernel
def _objective(w, q, c, lam):
    """Objective up to a constant: w^T (q - c) / 2 + sum_j lam_j |w_j|."""
    total = 0.0
    for j in range(w.size):
        x = w[j]
        if x != 0.0:
            total += 0.5 * x * (q[j] - c[j]) + lam[j] * abs(x)
    return total


@jit_kernel
def find_support(w, lam, lower, upper, diagonal, out):
    """Coordinates in which the problem is smooth at w."""
    k = 0
    for j in range(w.size):
        inside = lower[j] < w[j] < upper[j] and diagonal[j] > 0.0
        if inside and (w[j] != 0.0 or lam[j] == 0.0):
            out[k] = j
            k += 1
    return k


@jit_kernel
def _extrapolate(points, slopes, support, k, w, q, c, lam, lower, upper):
    """Move to the affine combination of the last iterates where it is better.

    Row t of ``points`` holds w on the support after t passes, row t of ``slopes`` q.
    """
    weights = np.empty(DEPTH)
    if not combine(points, k, weights):
        return
    trial, trial_q = w.copy(), np.zeros(w.size)
    for i in range(k):
        total = 0.0
        for t in range(DEPTH):
            total += weights[t] * points[t + 1, i]
        j = support[i]
        if not lower[j] <= total <= upper[j]:
            return
        trial[j] = total
    for t in range(DEPTH):
        axpy(trial_q, slopes[t + 1], weights[t], 0, w.size)
    if _objective(trial, trial_q, c, lam) < _objective(w, q, c, lam):
        copy(w, trial)
        copy(q, trial_q)


@jit_kernel
def _cycle(G, diagonal, support, k, w, q, c, lam, lower, upper, points, slopes):
    """Passes over the support, extrapolated; returns (flips of the last, moves)."""
    total = 0
    for i in range(k):
        points[0, i] = w[support[i]]
    for t in range(DEPTH):
        flips, moves = _epoch(G, diagonal, support, k, w, q, lam, lower, upper)
        total += moves
        if moves == 0:
            return flips, total
        for i in range(k):
            points[t + 1, i] = w[support[i]]
        copy(slopes[t + 1], q)
    _extrapolate(points, slopes, support, k, w, q, c, lam, lower, upper)
    return flips, total


@jit_kernel
def _settle(G, w, start, q):
    """Bring q up to date after w moved away from ``start``."""
    for j in range(w.size):
        if w[j] != start[j]:
            axpy(q, G[j], w[j] - start[j], 0, w.size)


@jit_kernel
def _project(order, k, w, lam, lower, upper, d, step):
    """Write the step to the projection of w + d on its orthant and box; count hits."""
    hits = 0
    for i in range(k):
        j = order[i]
        new = w[j] + d[i]
        if lam[j] > 0.0 and new * w[j] < 0.0:
            new = 0.0
            hits += 1
        if new < lower[j]:
            new = lower[j]
            hits += 1
        elif new > upper[j]:
            new = upper[j]
            hits += 1
        step[i] = new - w[j]
    return hits


@jit_kernel
def _line_search(order, k, w, lam, lower, upper, d, slope, curvature, times):
    """Exact minimiser of the piecewise quadratic along d; returns (t, hit)."""
    limit, hit = np.inf, -1
    for i in range(k):
        j = order[i]
        times[i] = np.inf
        if d[i] > 0.0 and upper[j] < np.inf:
            reach = (upper[j] - w[j]) / d[i]
        elif d[i] < 0.0 and lower[j] > -np.inf:
            reach = (lower[j] - w[j]) / d[i]
        else:
            reach = np.inf
        if reach < limit:
            limit, hit = reach, i
        if lam[j] > 0.0 and w[j] * d[i] < 0.0:
            times[i] = -w[j] / d[i]
    # Few breakpoints are passed: the next is searched for (sorting compiles slowly).
    while True:
        i = 0
        for a in range(1, k):
            if times[a] < times[i]:
                i = a
        t = times[i]
        if t >= limit or slope + t * curvature >= 0.0:
            break
        times[i] = np.inf
        slope += 2.0 * lam[order[i]] * abs(d[i])
        if slope + t * curvature >= 0.0:
            return t, i
    t = -slope / curvature if curvature > 0.0 else limit
    if t >= limit:
        return limit, hit
    return t, -1


@jit_kernel
def _gain(order, k, w, slopes, lam, step, U, change):
    """Decrease of the objective along ``step``; fills change = U^T U step."""
    multiply(U, k, step, change)
    gain = 0.0
    for i in range(k):
        j = order[i]
        gain -= step[i] * (slopes[j] + 0.5 * change[i])
        if lam[j] > 0.0:
            gain -= lam[j] * (abs(w[j] + step[i]) - abs(w[j]))
    return gain


@jit_kernel
def _newton(order, k, w, slopes, lam, lower, upper, U, d, step, times, change):
    """One step on the support; returns 1 when it was the full Newton step.

    ``slopes`` is q, kept up to date on the support only.
    """
    for i in range(k):
        j = order[i]
        slope = slopes[j]
        if lam[j] > 0.0:
            slope += lam[j] if w[j] > 0.0 else -lam[j]
        step[i] = slope
        d[i] = -slope
    solve(U, k, d)
    descent = dot(d, step, 0, k)
    if not descent < 0.0:
        return 1
    hits = _project(order, k, w, lam, lower, upper, d, step)
    gain = _gain(order, k, w, slopes, lam, step, U, change)
    if gain > 0.0 or hits == 0:
        for i in range(k):
            j = order[i]
            free = w[j] + d[i]
            stopped = lam[j] > 0.0 and free * w[j] < 0.0
            w[j] = 0.0 if stopped else min(max(free, lower[j]), upper[j])
            slopes[j] += change[i]
        return 1 if hits == 0 else 0
    t, hit = _line_search(order, k, w, lam, lower, upper, d, descent, -descent, times)
    target = 0.0
    if hit >= 0:
        j = order[hit]
        if lower[j] > -np.inf and d[hit] < 0.0:
            target = lower[j]
        elif d[hit] > 0.0 and upper[j] < np.inf:
            target = upper[j]
        step[hit] = target - w[j]
    for i in range(k):
        step[i] = step[i] if i == hit else t * d[i]
    multiply(U, k, step, change)
    for i in range(k):
        j = order[i]
        w[j] = target if i == hit else w[j] + step[i]
        slopes[j] += change[i]
    return 0


@jit_kernel
def solve_gram(
    G,
    w,
    q,
    c,
    lam,
    lower,
    upper,
    yy,
    target,
    max_epochs,
    U,
    order,
    inside,
    meta,
    balance,
):
    """Minimise until gap <= target; returns (gap, epochs).

    ``U, order, inside`` hold the factor of the last support, of size ``meta[0]``; it
    stays valid while the rows of G that it uses do. Larger supports than U holds are
    left to descent.
    """
    m = w.size
    everything, support = np.arange(m), np.empty(m, np.int64)
    diagonal = np.empty(m)
    for j in range(m):
        diagonal[j] = G[j, j]
    d, step, times, change = np.empty(m), np.empty(m), np.empty(m), np.empty(m)
    start, slopes = np.empty(m), np.empty(m)
    points, history = np.empty((DEPTH + 1, m)), np.empty((DEPTH + 1, m))
    best_dual, gap = -np.inf, np.inf
    newton_work, descent_work, tried = 0.0, 0.0, 0.0
    epoch, trusted = 0, True
    while epoch < max_epochs:
        flips, moves = _epoch(G, diagonal, everything, m, w, q, lam, lower, upper)
        epoch += 1
        k = find_support(w, lam, lower, upper, diagonal, support)
        cost = NEWTON_WORK * k * k + price(support, k, meta[0], inside)
        # Where the factor is nearly there, a Newton step replaces the cycle.
        swift = trusted and 0 < k <= U.shape[0] and cost <= SWIFT * DEPTH * k * m
        if k > 0 and moves > 0 and not swift:
            last, more = _cycle(
                G, diagonal, support, k, w, q, c, lam, lower, upper, points, history
            )
            epoch += DEPTH
            flips += last
            moves += more
            k = find_support(w, lam, lower, upper, diagonal, support)
            cost = NEWTON_WORK * k * k + price(support, k, meta[0], inside)
        descent_work += PASS_WORK * m + 1.0 * moves * m
        primal, dual, rest = measure(diagonal, w, q, c, lam, lower, upper, yy)
        best_dual = max(best_dual, dual)
        gap = primal - best_dual + rest
        if gap <= target:
            break
        if flips == 0:
            ripe = descent_work - tried >= RIPE * cost
        else:
            ripe = newton_work <= balance * descent_work
        if k == 0 or k > U.shape[0] or not (ripe or swift):
            continue
        credit = newton_work + 3.0 * SWIFT * DEPTH * k * m if swift else 0.0
        tried = descent_work
        copy(start, w)
        copy(slopes, q)
        for _ in range(3 + k // 4):
            newton_work += sync(G, support, k, order, meta[0], U, inside, times)
            newton_work += NEWTON_WORK * k * k
            meta[0] = k
            clean = _newton(
                order, k, w, slopes, lam, lower, upper, U, d, step, times, change
            )
            trusted = clean == 1
            if trusted or newton_work > max(4.0 * balance * descent_work, credit):
                break
            k = find_support(w, lam, lower, upper, diagonal, support)
            if k == 0:
                break
        _settle(G, w, start, q)
        primal, dual, rest = measure(diagonal, w, q, c, lam, lower, upper, yy)
        best_dual = max(best_dual, dual)
        gap = primal - best_dual + rest
        if gap <= target:
            break
    return gap, epoch
