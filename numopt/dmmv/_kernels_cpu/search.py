# SPDX-License-Identifier: BSD-3-Clause
"""Exact polishing of the maximum and the annealed power sum, in Numba."""

import math

import numpy as np

from numopt._kernels.jit import jit_exact, jit_finite

__all__ = ["anneal", "polish"]

#: Rows that rejected recent candidates, tried first.
KILLERS = 8
#: Rows at the maximum that are tried as the one to lower.
TOPS = 4


@jit_exact
def _value_change(table, k_low, k, d, amount):
    """Change of the value along direction d; uneven levels have unit directions."""
    if table.shape[1] == 0:
        return float(amount)
    a = k[d] - k_low[d]
    return table[d, a + amount] - table[d, a]


@jit_exact
def _legal(k, k_low, k_high, moves, d, amount, e, other):
    """Whether k + amount * moves[d] + other * moves[e] is in the box (e < 0: none)."""
    for i in range(k.shape[0]):
        new = k[i] + amount * moves[d, i]
        if e >= 0:
            new += other * moves[e, i]
        if new < k_low[i] or new > k_high[i]:
            return False
    return True


@jit_exact
def _maximum(y, lower, upper):
    top, row = 0.0, 0
    for i in range(y.shape[0]):
        e = max(y[i] - upper[i], lower[i] - y[i])
        if e > top:
            top, row = e, i
    return top, row


@jit_exact
def _attained(y, lower, upper, level, rows):
    """Count rows of excess at least ``level``; remember the first few."""
    count = 0
    for i in range(y.shape[0]):
        if max(y[i] - upper[i], lower[i] - y[i]) >= level:
            if count < rows.shape[0]:
                rows[count] = i
            count += 1
    return count


@jit_exact
def _judge(D, y, lower, upper, d, a, e, b, V, eps, count, killers):
    """1 when the candidate lowers the maximum, or how many rows attain it; else 0."""
    for t in range(killers.shape[0]):
        i = killers[t]
        z = y[i] + a * D[d, i] + b * D[e, i]
        if max(z - upper[i], lower[i] - z) > V + eps:
            for s in range(t, 0, -1):
                killers[s] = killers[s - 1]
            killers[0] = i
            return False
    attained = 0
    for i in range(y.shape[0]):
        z = y[i] + a * D[d, i] + b * D[e, i]
        excess = max(z - upper[i], lower[i] - z)
        if excess >= V - eps:
            attained += 1
            if excess > V + eps or attained >= count:
                for s in range(killers.shape[0] - 1, 0, -1):
                    killers[s] = killers[s - 1]
                killers[0] = i
                return False
    return True


@jit_exact
def _find(D, moves, k_low, k_high, lower, upper, k, y, dirs, amounts, steps, gains,
          row, V, eps, count, pairs, killers):  # fmt: skip
    """First move or pair that lowers row ``row`` and is accepted, as (a, b)."""
    q = dirs.shape[0]
    for a in range(-1, q):
        if a >= 0 and (not pairs or steps[a] == 0.0):
            continue
        for b in range(a + 1, q):
            if steps[b] == 0.0:
                continue
            if a >= 0:
                if dirs[a] == dirs[b]:
                    continue
                z = y[row] + gains[a] + gains[b]
            else:
                z = y[row] + gains[b]
            if max(z - upper[row], lower[row] - z) >= V - eps:
                continue
            first = dirs[a] if a >= 0 else dirs[b]
            size = steps[a] if a >= 0 else 0.0
            if not _judge(D, y, lower, upper, first, size, dirs[b], steps[b], V, eps,
                          count, killers):  # fmt: skip
                continue
            other = dirs[a] if a >= 0 else -1
            amount = amounts[a] if a >= 0 else 0
            if _legal(k, k_low, k_high, moves, dirs[b], amounts[b], other, amount):
                return a, b
    return -1, -1


@jit_exact
def _polish(D, moves, table, k_low, k_high, lower, upper, k, y, dirs, amounts, pairs,
            max_moves):  # fmt: skip
    q = dirs.shape[0]
    n = k.shape[0]
    m = y.shape[0]
    steps = np.zeros(q)
    gains = np.zeros(q)
    tops = np.zeros(TOPS, np.int64)
    V, row = _maximum(y, lower, upper)
    killers = np.full(KILLERS, row)
    uneven = table.shape[1] > 0
    made = 0
    while made < max_moves and V > 0.0:
        eps = 1e-11 * V
        count = _attained(y, lower, upper, V - eps, tops)
        for a in range(q):
            steps[a] = amounts[a]
            if uneven:
                j = dirs[a]
                new = k[j] + amounts[a]
                steps[a] = 0.0
                if k_low[j] <= new <= k_high[j]:
                    steps[a] = _value_change(table, k_low, k, j, amounts[a])
        a, b = -1, -1
        for t in range(min(count, TOPS)):
            row = tops[t]
            for c in range(q):
                gains[c] = steps[c] * D[dirs[c], row]
            a, b = _find(D, moves, k_low, k_high, lower, upper, k, y, dirs, amounts,
                         steps, gains, row, V, eps, count, pairs, killers)  # fmt: skip
            if b >= 0:
                break
        if b < 0:
            break
        for c in (a, b):
            if c >= 0:
                for i in range(n):
                    k[i] += amounts[c] * moves[dirs[c], i]
                for i in range(m):
                    y[i] += steps[c] * D[dirs[c], i]
        V, row = _maximum(y, lower, upper)
        made += 1
    return V, made


def polish(D, moves, table, k_low, k_high, lower, upper, k, y, dirs, amounts, pairs,
           max_moves):  # fmt: skip
    """Best improving moves until there is none; see ``_kernels``."""
    k, y = k.copy(), y.copy()
    V, made = _polish(D, moves, table, k_low, k_high, lower, upper, k, y, dirs,
                      amounts, pairs, max_moves)  # fmt: skip
    return k, np.array(V), np.array(made)


@jit_exact
def _next(state):
    """xorshift64*: the state advances, a number in [0, 1) comes back."""
    x = state[0]
    x ^= x >> np.uint64(12)
    x ^= x << np.uint64(25)
    x ^= x >> np.uint64(27)
    state[0] = x
    x *= np.uint64(2685821657736338717)
    return float(x >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@jit_finite
def _eighth(y, lower, upper, step, other, a, b, inv, i):
    """(excess / tau)^8 of one row of the candidate."""
    z = y[i] + a * step[i] + b * other[i]
    e = max(max(z - upper[i], lower[i] - z), 0.0) * inv
    f = e * e
    f *= f
    return f * f


@jit_finite
def _power_sum(y, lower, upper, step, other, a, b, inv, exponent):
    """Power sum of the candidate response ``y + a step + b other``.

    A loop for each exponent, without stores: both a branch inside and a work array
    keep the loop from being vectorised.
    """
    total = 0.0
    if exponent == 3:
        for i in range(y.shape[0]):
            total += _eighth(y, lower, upper, step, other, a, b, inv, i)
    elif exponent == 4:
        for i in range(y.shape[0]):
            f = _eighth(y, lower, upper, step, other, a, b, inv, i)
            total += f * f
    else:
        for i in range(y.shape[0]):
            f = _eighth(y, lower, upper, step, other, a, b, inv, i)
            f *= f
            total += f * f
    return total


@jit_exact
def _unit(moves):
    """Whether direction d changes variable d alone, by one step."""
    if moves.shape[0] != moves.shape[1]:
        return False
    for d in range(moves.shape[0]):
        for i in range(moves.shape[1]):
            if moves[d, i] != (i == d):
                return False
    return True


@jit_exact
def _inward(k, k_low, k_high, j, amount):
    """A step of variable j that stays in its range."""
    return amount if k_low[j] <= k[j] + amount <= k_high[j] else -amount


@jit_exact
def _draw(k, k_low, k_high, directions, unit, state):
    """A direction and its amount, in half of the cases a second one (else -1, 0)."""
    d = int(_next(state) * directions)
    amount = 1 if _next(state) < 0.5 else -1
    e, other = -1, 0
    if _next(state) < 0.5 and directions > 1:
        e = int(_next(state) * (directions - 1))
        e += e >= d
        other = 1 if _next(state) < 0.5 else -1
    if unit:
        # At an end of its range a variable has one way to go.
        amount = _inward(k, k_low, k_high, d, amount)
        if e >= 0:
            other = _inward(k, k_low, k_high, e, other)
    return d, amount, e, other


@jit_exact
def _anneal(D, moves, table, k_low, k_high, lower, upper, k, y, exponent, hot, cold,
            steps, state, best):  # fmt: skip
    m = y.shape[0]
    n = k.shape[0]
    directions = moves.shape[0]
    power = 2.0**exponent
    uneven = table.shape[1] > 0
    V, _ = _maximum(y, lower, upper)
    best[:] = k
    best_V = V
    if V <= 0.0 or directions == 0:
        return best_V
    tau = V
    phi = _power_sum(y, lower, upper, D[0], D[0], 0.0, 0.0, 1.0 / tau, exponent)
    cooling = (cold / hot) ** (1.0 / max(steps, 1))
    T = hot
    unit = _unit(moves)
    for _ in range(steps):
        T *= cooling
        d, amount, e, other = _draw(k, k_low, k_high, directions, unit, state)
        a, b = float(amount), float(other)
        if uneven:
            a = _value_change(table, k_low, k, d, amount)
            if e >= 0:
                b = _value_change(table, k_low, k, e, other)
        new = _power_sum(y, lower, upper, D[d], D[max(e, 0)], a, b, 1.0 / tau,
                         exponent)  # fmt: skip
        if new > phi:
            u = _next(state)
            if math.log(new / phi) > -power * T * math.log(u + 1e-300):
                continue
        if not unit and not _legal(k, k_low, k_high, moves, d, amount, e, other):
            continue
        phi = new
        if unit:
            k[d] += amount
            if e >= 0:
                k[e] += other
        else:
            for i in range(n):
                k[i] += amount * moves[d, i]
                if e >= 0:
                    k[i] += other * moves[e, i]
        step, partner = D[d], D[max(e, 0)]
        for i in range(m):
            y[i] += a * step[i] + b * partner[i]
        top, _ = _maximum(y, lower, upper)
        if top < best_V * (1.0 - 1e-12):
            best_V = top
            best[:] = k
            if best_V <= 0.0:
                break
        if top < 0.7 * tau or top > 1.4 * tau:
            tau = top
            phi = _power_sum(y, lower, upper, D[0], D[0], 0.0, 0.0, 1.0 / tau, exponent)
    return best_V


def seeded(seed):
    """State of the generator of random numbers."""
    return np.array([2 * seed + 1], np.uint64) * np.uint64(0x9E3779B97F4A7C15)


def anneal(D, moves, table, k_low, k_high, lower, upper, k, y, exponent, hot, cold,
           steps, seed):  # fmt: skip
    """Annealed search on the dense residual; see ``_kernels``."""
    k, y = k.copy(), y.copy()
    best = np.empty_like(k)
    state = seeded(seed)
    V = _anneal(D, moves, table, k_low, k_high, lower, upper, k, y, exponent, hot,
                cold, steps, state, best)  # fmt: skip
    return best, np.array(V)
