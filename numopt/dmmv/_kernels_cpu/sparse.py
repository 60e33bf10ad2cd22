# SPDX-License-Identifier: BSD-3-Clause
"""Annealing on sparse columns with a Potts prior, and polishing there, in Numba."""

import math

import numpy as np

from numopt._kernels.jit import jit_exact
from numopt.dmmv._kernels_cpu.search import _next, seeded

__all__ = ["anneal_sparse", "polish_sparse"]

#: Rows of which one maximum is kept.
ROWS = 64


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


def _response(indptr, indices, data, table, k_low, k, m):
    """Product of the matrix with the values of k."""
    values = k.astype(np.float64)
    if table.shape[1]:
        values = table[np.arange(k.shape[0]), k - k_low]
    columns = np.repeat(np.arange(k.shape[0]), np.diff(indptr))
    return np.bincount(indices, values[columns] * data, minlength=m)


def anneal_sparse(indptr, indices, data, table, k_low, k_high, lower, upper, k,
                  edge_start, edge_end, strength, tau, exponent, hot, cold, steps,
                  seed):  # fmt: skip
    """Annealed search that touches the rows of one column; see ``_kernels``."""
    k = k.copy()
    y = _response(indptr, indices, data, table, k_low, k, lower.shape[0])
    best = np.empty_like(k)
    state = seeded(seed)
    _walk(indptr, indices, data, table, k_low, k_high, lower, upper, k, y, edge_start,
          edge_end, float(strength), float(tau), exponent, float(hot), float(cold),
          steps, state, best)  # fmt: skip
    return best


@jit_exact
def _excess(z, low, high):
    """Violation of one row."""
    return max(max(z - high, low - z), 0.0)


@jit_exact
def _refresh(tops, places, y, lower, upper, block):
    """Largest violation of a block of rows, and where it is."""
    first = block * ROWS
    tops[block], places[block] = 0.0, first
    for i in range(first, min(first + ROWS, y.shape[0])):
        e = _excess(y[i], lower[i], upper[i])
        if e > tops[block]:
            tops[block], places[block] = e, i


@jit_exact
def _add(indptr, indices, data, j, amount, y):
    """Add ``amount`` times column j to y."""
    for t in range(indptr[j], indptr[j + 1]):
        y[indices[t]] += amount * data[t]


@jit_exact
def _worst(indptr, indices, j, y, lower, upper):
    """Largest violation among the rows of column j, and where it is."""
    most, at = -1.0, -1
    for t in range(indptr[j], indptr[j + 1]):
        i = indices[t]
        e = _excess(y[i], lower[i], upper[i])
        if e > most:
            most, at = e, i
    return most, at


@jit_exact
def _reach(k, k_low, k_high, few):
    """First and last level index to try for a variable."""
    if k_high - k_low < few:
        return k_low, k_high
    return max(k - 1, k_low), min(k + 1, k_high)


@jit_exact
def _improve(indptr, indices, data, row_start, row_end, table, k_low, k_high, lower,
             upper, k, y, row, bar, few, pairs):  # fmt: skip
    """Make the first move or pair that takes ``row`` and all it touches below bar.

    Returns the two variables, -1 for none. Where a single move lifts another row to
    the bar, partners are sought among the variables of that row.
    """
    for s in range(row_start[row], row_start[row + 1]):
        j = row_end[s]
        old = k[j]
        first, last = _reach(old, k_low[j], k_high[j], few)
        for new in range(first, last + 1):
            if new == old:
                continue
            amount = _amount(table, k_low, j, old, new)
            before = _excess(y[row], lower[row], upper[row])
            _add(indptr, indices, data, j, amount, y)
            k[j] = new
            if _excess(y[row], lower[row], upper[row]) < before:
                most, at = _worst(indptr, indices, j, y, lower, upper)
                if most < bar:
                    return j, -1
                o = -1
                if pairs:
                    o = _partner(indptr, indices, data, row_start, row_end, table,
                                 k_low, k_high, lower, upper, k, y, j, at, bar,
                                 few)  # fmt: skip
                if o >= 0:
                    return j, o
            _add(indptr, indices, data, j, -amount, y)
            k[j] = old
    return -1, -1


@jit_exact
def _partner(indptr, indices, data, row_start, row_end, table, k_low, k_high, lower,
             upper, k, y, j, row, bar, few):  # fmt: skip
    """Move a variable of ``row`` so that it and the rows of j are below the bar."""
    for s in range(row_start[row], row_start[row + 1]):
        o = row_end[s]
        if o == j:
            continue
        old = k[o]
        first, last = _reach(old, k_low[o], k_high[o], few)
        for new in range(first, last + 1):
            if new == old:
                continue
            amount = _amount(table, k_low, o, old, new)
            _add(indptr, indices, data, o, amount, y)
            if _excess(y[row], lower[row], upper[row]) < bar:
                most, _ = _worst(indptr, indices, o, y, lower, upper)
                if most < bar and _worst(indptr, indices, j, y, lower, upper)[0] < bar:
                    k[o] = new
                    return o
            _add(indptr, indices, data, o, -amount, y)
    return -1


@jit_exact
def _descend(indptr, indices, data, row_start, row_end, table, k_low, k_high, lower,
             upper, k, y, few, pairs, goal, max_moves):  # fmt: skip
    blocks = (y.shape[0] + ROWS - 1) // ROWS
    tops = np.zeros(blocks)
    places = np.zeros(blocks, np.int64)
    for block in range(blocks):
        _refresh(tops, places, y, lower, upper, block)
    made = 0
    while made < max_moves:
        highest = int(np.argmax(tops))
        V = tops[highest]
        if goal >= V:
            break
        j, o = _improve(indptr, indices, data, row_start, row_end, table, k_low,
                        k_high, lower, upper, k, y, places[highest],
                        V * (1.0 - 1e-11), few, pairs)  # fmt: skip
        if j < 0:
            break
        for moved in (j, o):
            if moved >= 0:
                for t in range(indptr[moved], indptr[moved + 1]):
                    _refresh(tops, places, y, lower, upper, indices[t] // ROWS)
        made += 1
    return made


def polish_sparse(indptr, indices, data, row_start, row_end, table, k_low, k_high,
                  lower, upper, k, few, pairs, goal, max_moves):  # fmt: skip
    """Descent of the maximum over the rows of single columns; see ``_kernels``."""
    k = k.copy()
    y = _response(indptr, indices, data, table, k_low, k, lower.shape[0])
    made = 0
    if y.size:
        made = _descend(indptr, indices, data, row_start, row_end, table, k_low,
                        k_high, lower, upper, k, y, few, pairs, float(goal),
                        max_moves)  # fmt: skip
    return k, np.array(made)
