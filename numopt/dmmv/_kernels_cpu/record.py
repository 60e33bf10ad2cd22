# SPDX-License-Identifier: BSD-3-Clause
"""Record-to-record walk on the maximum itself with tabu moves, in Numba."""

import numpy as np

from numopt._kernels.jit import jit_exact
from numopt.dmmv._kernels_cpu.search import (
    KILLERS,
    _draw,
    _legal,
    _maximum,
    _next,
    _unit,
    _value_change,
    seeded,
)

__all__ = ["record_walk"]

#: A move may not be taken back for so many accepted moves, and up to so many more.
TENURE, SPREAD = 7, 5


@jit_exact
def _height(y, lower, upper, step, other, a, b, bar, killers):
    """Maximum of the candidate ``y + a step + b other``; -1 above the bar.

    Rows that rejected recent candidates are looked at first.
    """
    for t in range(killers.shape[0]):
        i = killers[t]
        z = y[i] + a * step[i] + b * other[i]
        if max(z - upper[i], lower[i] - z) > bar:
            for s in range(t, 0, -1):
                killers[s] = killers[s - 1]
            killers[0] = i
            return -1.0
    top = 0.0
    for i in range(y.shape[0]):
        z = y[i] + a * step[i] + b * other[i]
        excess = max(z - upper[i], lower[i] - z)
        if excess > bar:
            for s in range(killers.shape[0] - 1, 0, -1):
                killers[s] = killers[s - 1]
            killers[0] = i
            return -1.0
        top = max(top, excess)
    return top


@jit_exact
def _record_walk(D, moves, table, k_low, k_high, lower, upper, k, y, hot, cold, tabu,
                 steps, state, best):  # fmt: skip
    n = k.shape[0]
    directions = moves.shape[0]
    uneven = table.shape[1] > 0
    unit = _unit(moves)
    best_V, row = _maximum(y, lower, upper)
    best[:] = k
    if directions == 0 or best_V <= 0.0:
        return best_V
    killers = np.full(KILLERS, row)
    barred = np.zeros((directions, 2), np.int64)
    cooling = (cold / hot) ** (1.0 / max(steps, 1))
    T, made = hot, 1
    for _ in range(steps):
        T *= cooling
        d, amount, e, other = _draw(k, k_low, k_high, directions, unit, state)
        a, b = float(amount), float(other)
        if uneven:
            a = _value_change(table, k_low, k, d, amount)
            if e >= 0:
                b = _value_change(table, k_low, k, e, other)
        partner = max(e, 0)
        bar = best_V * (1.0 + T)
        if tabu and (barred[d, (amount + 1) // 2] > made
                     or (e >= 0 and barred[e, (other + 1) // 2] > made)):  # fmt: skip
            # Only a new best may take a recent move back.
            bar = best_V * (1.0 - 1e-12)
        top = _height(y, lower, upper, D[d], D[partner], a, b, bar, killers)
        if top < 0.0:
            continue
        if not unit and not _legal(k, k_low, k_high, moves, d, amount, e, other):
            continue
        for i in range(n):
            k[i] += amount * moves[d, i]
            if e >= 0:
                k[i] += other * moves[e, i]
        for i in range(y.shape[0]):
            y[i] += a * D[d, i] + b * D[partner, i]
        made += 1
        if tabu:
            barred[d, (1 - amount) // 2] = made + TENURE + int(_next(state) * SPREAD)
            if e >= 0:
                barred[e, (1 - other) // 2] = barred[d, (1 - amount) // 2]
        if top < best_V * (1.0 - 1e-12):
            best_V = top
            best[:] = k
            if best_V <= 0.0:
                break
    return best_V


def record_walk(D, moves, table, k_low, k_high, lower, upper, k, y, hot, cold, tabu,
                steps, seed):  # fmt: skip
    """Walk below a bar above the best maximum so far; see ``_kernels``."""
    k, y = k.copy(), y.copy()
    best = np.empty_like(k)
    state = seeded(seed)
    V = _record_walk(D, moves, table, k_low, k_high, lower, upper, k, y, hot, cold,
                     tabu, steps, state, best)  # fmt: skip
    return best, np.array(V)
