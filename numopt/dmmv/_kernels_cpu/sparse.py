# SPDX-License-Identifier: BSD-3-Clause
"""Annealing on sparse columns with a Potts prior, in Numba."""

import math

import numpy as np

from numopt._kernels.jit import jit_exact
from numopt.dmmv._kernels_cpu.search import _next

__all__ = ["anneal_sparse"]


@jit_exact
def _term(z, low, high, inv, exponent):
    """(excess / tau)^(2^exponent) of one row."""
    e = max(max(z - high, low - z), 0.0) * inv
    f = e * e
    for _ in range(exponent - 1):
        f *= f
    return f


@jit_exact
def _shift(indptr, indices, data, j, amount, y, lower, upper, inv, exponent):
    """Add ``amount`` times column j to y; return the change of the power sum."""
    change = 0.0
    for t in range(indptr[j], indptr[j + 1]):
        i = indices[t]
        change -= _term(y[i], lower[i], upper[i], inv, exponent)
        y[i] += amount * data[t]
        change += _term(y[i], lower[i], upper[i], inv, exponent)
    return change


@jit_exact
def _unequal(edge_start, edge_end, k, j, level):
    """Number of neighbours of j whose level differs from ``level``."""
    count = 0
    for t in range(edge_start[j], edge_start[j + 1]):
        count += k[edge_end[t]] != level
    return count


@jit_exact
def _amount(table, k_low, j, old, new):
    if table.shape[1] == 0:
        return float(new - old)
    return table[j, new - k_low[j]] - table[j, old - k_low[j]]


@jit_exact
def _walk(indptr, indices, data, table, k_low, k_high, lower, upper, k, y, edge_start,
          edge_end, strength, tau, exponent, hot, cold, steps, state,
          best):  # fmt: skip
    n = k.shape[0]
    inv = 1.0 / tau
    best[:] = k
    energy, least = 0.0, 0.0
    cooling = (cold / hot) ** (1.0 / max(steps, 1))
    T = hot
    for _ in range(steps):
        T *= cooling
        j = int(_next(state) * n)
        o = -1
        links = edge_start[j + 1] - edge_start[j]
        if links > 0 and _next(state) < 0.5:
            o = edge_end[edge_start[j] + int(_next(state) * links)]
            new_j, new_o = k[o], k[j]
            if new_j == new_o or new_j < k_low[j] or new_j > k_high[j]:
                continue
            if new_o < k_low[o] or new_o > k_high[o]:
                continue
        else:
            span = k_high[j] - k_low[j]
            if span == 0:
                continue
            new_o = 0
            if span <= 3:
                new_j = k_low[j] + int(_next(state) * span)
                new_j += new_j >= k[j]
            else:
                new_j = k[j] + (1 if _next(state) < 0.5 else -1)
                if new_j < k_low[j] or new_j > k_high[j]:
                    continue
        old_j = k[j]
        edges = _unequal(edge_start, edge_end, k, j, new_j)
        edges -= _unequal(edge_start, edge_end, k, j, old_j)
        amount = _amount(table, k_low, j, old_j, new_j)
        change = _shift(indptr, indices, data, j, amount, y, lower, upper, inv,
                        exponent)  # fmt: skip
        k[j] = new_j
        if o >= 0:
            edges += _unequal(edge_start, edge_end, k, o, new_o)
            edges -= _unequal(edge_start, edge_end, k, o, new_j)
            change += _shift(indptr, indices, data, o,
                             _amount(table, k_low, o, new_j, new_o), y, lower, upper,
                             inv, exponent)  # fmt: skip
            k[o] = new_o
        change += strength * edges
        if change <= 0.0 or change < -T * math.log(_next(state) + 1e-300):
            energy += change
            if energy < least - 1e-12:
                least = energy
                best[:] = k
            continue
        if o >= 0:
            _shift(indptr, indices, data, o, _amount(table, k_low, o, new_o, new_j), y,
                   lower, upper, inv, exponent)  # fmt: skip
            k[o] = new_j
        k[j] = old_j
        _shift(indptr, indices, data, j, _amount(table, k_low, j, new_j, old_j), y,
               lower, upper, inv, exponent)  # fmt: skip


def anneal_sparse(indptr, indices, data, table, k_low, k_high, lower, upper, k,
                  edge_start, edge_end, strength, tau, exponent, hot, cold, steps,
                  seed):  # fmt: skip
    """Annealed search that touches the rows of one column; see ``_kernels``."""
    k = k.copy()
    values = k.astype(np.float64)
    if table.shape[1]:
        values = table[np.arange(k.shape[0]), k - k_low]
    columns = np.repeat(np.arange(k.shape[0]), np.diff(indptr))
    y = np.bincount(indices, values[columns] * data, minlength=lower.shape[0])
    best = np.empty_like(k)
    state = np.array([2 * seed + 1], np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    _walk(indptr, indices, data, table, k_low, k_high, lower, upper, k, y, edge_start,
          edge_end, float(strength), float(tau), exponent, float(hot), float(cold),
          steps, state, best)  # fmt: skip
    return best
