# SPDX-License-Identifier: BSD-3-Clause
"""The inner solver on a Gram matrix for group penalties.

    min_w  yy/2 - c^T w + w^T G w / 2 + sum_g lam_g ||w_g|| + sum_j l1_j |w_j|,

group g being the coordinates starts[g]:starts[g + 1], with q = G w - c kept up to date.
"""

import math

import numpy as np

from numopt._kernels.jit import jit_kernel
from numopt.coordinate._kernels_cpu.cholesky import axpy, dot

__all__ = ["solve_gram_groups"]

BISECTIONS = 60


@jit_kernel
def _ratio(q, lo, hi, lam, l1):
    """Dual norm of a group: root t of ||soft(q_g, t l1)|| = t lam."""
    norm, top, plain = 0.0, 0.0, True
    for j in range(lo, hi):
        norm += q[j] * q[j]
        if l1[j] > 0.0:
            top = max(top, abs(q[j]) / l1[j])
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
            over = abs(q[j]) - t * l1[j]
            if over > 0.0:
                rest += over * over
        if rest > (t * lam) ** 2:
            low = t
        else:
            high = t
    return high


@jit_kernel
def _measure(starts, w, q, c, lam, l1, yy, lipschitz):
    """Primal value, dual value of the scaled residual, and what scaling leaves."""
    m = starts[-1]
    fit, slope = dot(c, w, 0, m), dot(w, q, 0, m)
    penalty, top, rest = 0.0, 0.0, 0.0
    for g in range(lam.size):
        lo, hi = starts[g], starts[g + 1]
        penalty += lam[g] * math.sqrt(dot(w, w, lo, hi))
        penalised = lam[g] > 0.0
        for j in range(lo, hi):
            penalty += l1[j] * abs(w[j])
            penalised = penalised or l1[j] > 0.0
        if penalised:
            top = max(top, _ratio(q, lo, hi, lam[g], l1))
        elif lipschitz[g] > 0.0:
            size = math.sqrt(dot(w, w, lo, hi))
            reach = size + math.sqrt(dot(c, c, lo, hi)) / lipschitz[g]
            rest += math.sqrt(dot(q, q, lo, hi)) * reach
    ry = yy - fit
    rr = max(ry + slope, 0.0)
    s = ry / rr if rr > 0.0 else 1.0
    if top > 0.0:
        s = min(s, 1.0 / top)
    s = max(s, 0.0)
    return 0.5 * rr + penalty, s * ry - 0.5 * s * s * rr, rest


@jit_kernel
def _epoch(G, starts, w, q, lam, l1, lipschitz, new):
    """One pass of proximal steps over the groups; returns (flips, moves)."""
    m = starts[-1]
    flips, moves = 0, 0
    for g in range(lam.size):
        lo, hi = starts[g], starts[g + 1]
        L = lipschitz[g]
        if L <= 0.0:
            continue
        norm = 0.0
        for j in range(lo, hi):
            z = w[j] - q[j] / L
            t = l1[j] / L
            z = z - t if z > t else (z + t if z < -t else 0.0)
            new[j] = z
            norm += z * z
        norm = math.sqrt(norm)
        scale = 1.0 - lam[g] / (L * norm) if norm * L > lam[g] else 0.0
        for j in range(lo, hi):
            change = scale * new[j] - w[j]
            if change != 0.0:
                if (w[j] == 0.0) != (scale * new[j] == 0.0) or w[j] * new[j] < 0.0:
                    flips += 1
                w[j] = scale * new[j]
                axpy(q, G[j], change, 0, m)
                moves += 1
    return flips, moves


@jit_kernel
def _value_change(starts, w, d, t, q, change, lam, l1):
    """Objective change along t d, with change = G d."""
    m = starts[-1]
    total = t * dot(d, q, 0, m) + 0.5 * t * t * dot(d, change, 0, m)
    for g in range(lam.size):
        old, new = 0.0, 0.0
        for j in range(starts[g], starts[g + 1]):
            x = w[j] + t * d[j]
            old += w[j] * w[j]
            new += x * x
            total += l1[j] * (abs(x) - abs(w[j]))
        total += lam[g] * (math.sqrt(new) - math.sqrt(old))
    return total


@jit_kernel
def _newton(G, starts, w, q, lam, l1, lipschitz, d, change):
    """A Newton step on the active groups; returns (length, size of the system)."""
    m = starts[-1]
    support = np.empty(m, np.int64)
    owner = np.empty(m, np.int64)
    norms = np.zeros(lam.size)
    k = 0
    for g in range(lam.size):
        norms[g] = math.sqrt(dot(w, w, starts[g], starts[g + 1]))
        penalised = lam[g] > 0.0
        for j in range(starts[g], starts[g + 1]):
            if lipschitz[g] > 0.0 and (
                (norms[g] > 0.0 and (w[j] != 0.0 or l1[j] == 0.0))
                or (not penalised and l1[j] == 0.0)
            ):
                support[k] = j
                owner[k] = g
                k += 1
    if k == 0:
        return 0.0, 0
    H = np.empty((k, k))
    slope = np.empty(k)
    for a in range(k):
        j, g = support[a], owner[a]
        row = G[j]
        for b in range(k):
            H[a, b] = row[support[b]]
        H[a, a] *= 1.0 + 1e-11
        slope[a] = -q[j] - (l1[j] * math.copysign(1.0, w[j]) if w[j] != 0.0 else 0.0)
        if lam[g] > 0.0:
            size = norms[g]
            slope[a] -= lam[g] * w[j] / size
            H[a, a] += lam[g] / size
            b = a
            while b >= 0 and owner[b] == g:
                bend = lam[g] * w[j] * w[support[b]] / size**3
                H[a, b] -= bend
                if a != b:
                    H[b, a] -= bend
                b -= 1
    step = np.linalg.solve(H, slope)
    d[:m] = 0.0
    change[:m] = 0.0
    limit = 1.0
    for a in range(k):
        j = support[a]
        d[j] = step[a]
        axpy(change, G[j], step[a], 0, m)
        if l1[j] > 0.0 and w[j] * step[a] < 0.0:
            limit = min(limit, -w[j] / step[a])
    for g in range(lam.size):
        if lam[g] > 0.0 and norms[g] > 0.0:
            along = dot(w, d, starts[g], starts[g + 1])
            # Past this length the group would turn round: it wants to leave.
            if along < -0.9 * norms[g] ** 2:
                limit = min(limit, -0.9 * norms[g] ** 2 / along)
    t = limit
    for _ in range(30):
        if _value_change(starts, w, d, t, q, change, lam, l1) <= 0.0:
            break
        t *= 0.5
    else:
        return 0.0, k
    for a in range(k):
        j = support[a]
        old = w[j]
        w[j] += t * d[j]
        if l1[j] > 0.0 and w[j] * old <= 0.0:
            w[j] = 0.0
        if w[j] != old + t * d[j]:
            axpy(q, G[j], w[j] - old - t * d[j], 0, m)
    axpy(q, change, t, 0, m)
    return t, k


@jit_kernel
def solve_gram_groups(
    G, starts, w, q, c, lam, l1, lipschitz, yy, target, max_epochs, balance
):
    """Minimise until gap <= target; returns (gap, epochs)."""
    m = starts[-1]
    new, d, change = np.empty(m), np.empty(m), np.empty(m)
    best_dual, gap = -np.inf, np.inf
    newton_work, descent_work = 0.0, 0.0
    epoch = 0
    while epoch < max_epochs:
        epoch += 1
        _, moves = _epoch(G, starts, w, q, lam, l1, lipschitz, new)
        descent_work += 1.0 * moves * m + 4.0 * m
        primal, dual, rest = _measure(starts, w, q, c, lam, l1, yy, lipschitz)
        best_dual = max(best_dual, dual)
        gap = primal - best_dual + rest
        if gap <= target:
            break
        size = 1.0 * np.count_nonzero(w[:m])
        cost = size * size * (size / 6.0 + 8.0)
        if newton_work + cost > balance * descent_work:
            continue
        for _ in range(8):
            t, k = _newton(G, starts, w, q, lam, l1, lipschitz, d, change)
            newton_work += 1.0 * k * k * (k / 6.0 + 8.0) + 2.0 * k * m
            primal, dual, rest = _measure(starts, w, q, c, lam, l1, yy, lipschitz)
            best_dual = max(best_dual, dual)
            gap = primal - best_dual + rest
            if t < 1.0 or gap <= target or newton_work > 2.0 * balance * descent_work:
                break
        if gap <= target:
            break
    return gap, epoch
