# SPDX-License-Identifier: BSD-3-Clause
"""Clouds in leaves: which leaves of columns a leaf of rows needs, and their masses.

Rows go leaf by leaf. Leaves of columns that are far away, by the boxes of both, are
left out; the others are joined into runs of consecutive columns.
"""

import math
from typing import NamedTuple

import numpy as np

from numopt._kernels.jit import jit_kernel
from numopt._kernels.simd import exp


class Rows(NamedTuple):
    """Points by row, their leaves, and the logarithms of the masses of leaves."""

    points: np.ndarray
    bounds: np.ndarray
    low: np.ndarray
    high: np.ndarray
    log_mass: np.ndarray


class Columns(NamedTuple):
    """Points by coordinate, squared norms where they are used, leaves and their gamma.

    Of each leaf: the logarithm of its mass, the largest gamma_j - log b_j, and the
    log-sum-exp of gamma.
    """

    points: np.ndarray
    norms: np.ndarray
    bounds: np.ndarray
    low: np.ndarray
    high: np.ndarray
    log_mass: np.ndarray
    top: np.ndarray
    total: np.ndarray


class Runs(NamedTuple):
    """Work space: bounds of the costs to each leaf of columns, and runs of columns."""

    near: np.ndarray
    far: np.ndarray
    first: np.ndarray
    last: np.ndarray


#: Up to this dimension squared distances are sums of squared differences.
_DIFFERENCES = 3
#: Longest run of columns: its costs stay in the first-level cache.
_RUN = 1024


@jit_kernel
def box_costs(rows, columns, leaf, metric, runs):
    """Bounds of the costs between a leaf of rows and all leaves of columns."""
    low, high = rows.low[leaf], rows.high[leaf]
    zero = low.dtype.type(0)
    for J in range(columns.low.shape[0]):
        near, far = zero, zero
        for k in range(low.size):
            gap = max(low[k] - columns.high[J, k], columns.low[J, k] - high[k])
            gap = max(gap, zero)
            reach = max(high[k] - columns.low[J, k], columns.high[J, k] - low[k])
            if metric == 2:
                near += gap
                far += reach
            else:
                near += gap * gap
                far += reach * reach
        if metric == 1:
            near, far = math.sqrt(near), math.sqrt(far)
        runs.near[J] = near
        runs.far[J] = far


@jit_kernel
def work_space(columns):
    """Empty runs."""
    near, far = np.empty_like(columns.top), np.empty_like(columns.top)
    first, last = np.empty_like(columns.bounds), np.empty_like(columns.bounds)
    return Runs(near, far, first, last)


@jit_kernel
def find_runs(rows, columns, runs, leaf, ceiling, inv_eps, skip):
    """Find the columns that may matter to rows with f / eps up to a ceiling."""
    own = rows.log_mass[leaf]
    count = 0
    for J in range(columns.top.size):
        density = ceiling + columns.top[J] - runs.near[J] * inv_eps
        if density + max(columns.log_mass[J], own) > skip:
            first, last = columns.bounds[J], columns.bounds[J + 1]
            joined = count > 0 and runs.last[count - 1] == first
            if joined and last - runs.first[count - 1] <= _RUN:
                runs.last[count - 1] = last
            else:
                runs.first[count] = first
                runs.last[count] = last
                count += 1
    return count


@jit_kernel
def run_costs(x, Y, norms, metric, first, last, out):
    """Costs of one row and a run of columns."""
    d = x.size
    size = last - first
    if metric == 0 and norms.size > 0:
        square = x.dtype.type(0)
        for k in range(d):
            square += x[k] * x[k]
        squares = norms[first:last]
        for j in range(size):
            out[j] = squares[j] + square
        k = d % 2
        if k == 1:
            x0, y0 = -(x[0] + x[0]), Y[0, first:last]
            for j in range(size):
                out[j] += x0 * y0[j]
        while k < d:
            x0, x1 = -(x[k] + x[k]), -(x[k + 1] + x[k + 1])
            y0, y1 = Y[k, first:last], Y[k + 1, first:last]
            for j in range(size):
                out[j] += x0 * y0[j] + x1 * y1[j]
            k += 2
    elif metric == 2:
        x0, y0 = x[0], Y[0, first:last]
        for j in range(size):
            out[j] = abs(x0 - y0[j])
        for k in range(1, d):
            x0, y0 = x[k], Y[k, first:last]
            for j in range(size):
                out[j] += abs(x0 - y0[j])
    else:
        k = d % 2
        if k == 1:
            x0, y0 = x[0], Y[0, first:last]
            for j in range(size):
                t = x0 - y0[j]
                out[j] = t * t
        else:
            k = 2
            x0, x1 = x[0], x[1]
            y0, y1 = Y[0, first:last], Y[1, first:last]
            for j in range(size):
                t = x0 - y0[j]
                u = x1 - y1[j]
                out[j] = t * t + u * u
        while k < d:
            x0, x1 = x[k], x[k + 1]
            y0, y1 = Y[k, first:last], Y[k + 1, first:last]
            for j in range(size):
                t = x0 - y0[j]
                u = x1 - y1[j]
                out[j] += t * t + u * u
            k += 2
        if metric == 1:
            for j in range(size):
                out[j] = math.sqrt(out[j])


@jit_kernel
def row_masses(x, columns, runs, count, metric, gamma, inv_eps, shift, least, out_work):
    """Write exp(gamma_j - M_j / eps + shift) of all runs in a row; return the sum."""
    at = 0
    total = gamma.dtype.type(0)
    for r in range(count):
        first, last = runs.first[r], runs.last[r]
        size = last - first
        masses = out_work[at : at + size]
        run_costs(x, columns.points, columns.norms, metric, first, last, masses)
        potential = gamma[first:last]
        part = gamma.dtype.type(0)
        for j in range(size):
            e = exp(max((potential[j] + shift) - masses[j] * inv_eps, least))
            masses[j] = e
            part += e
        total += part
        at += size
    return total


@jit_kernel
def row_top(x, columns, runs, count, metric, gamma, inv_eps, out_work):
    """Largest gamma_j - M_j / eps over the runs."""
    top = gamma.dtype.type(-np.inf)
    for r in range(count):
        first, last = runs.first[r], runs.last[r]
        run_costs(x, columns.points, columns.norms, metric, first, last, out_work)
        potential = gamma[first:last]
        for j in range(last - first):
            top = max(top, potential[j] - out_work[j] * inv_eps)
    return top


@jit_kernel
def add_masses(runs, count, masses, scale, out):
    """Add a row of masses to the columns of its runs."""
    at = 0
    for r in range(count):
        first, last = runs.first[r], runs.last[r]
        size = last - first
        target, source = out[first:last], masses[at : at + size]
        for j in range(size):
            target[j] += source[j] * scale
        at += size


@jit_kernel
def leaf_top(rows, leaf, phi, log_a):
    """Largest f / eps of a leaf."""
    top = phi.dtype.type(-np.inf)
    for i in range(rows.bounds[leaf], rows.bounds[leaf + 1]):
        top = max(top, phi[i] - log_a[i])
    return top


@jit_kernel
def plan_runs(rows, columns, runs, leaf, metric, phi, log_a, inv_eps, skip):
    """Runs of a leaf whose potentials are known."""
    box_costs(rows, columns, leaf, metric, runs)
    ceiling = leaf_top(rows, leaf, phi, log_a)
    return find_runs(rows, columns, runs, leaf, ceiling, inv_eps, skip)


@jit_kernel
def scan_runs(rows, columns, runs, leaf, metric, s, inv_eps):
    """Runs that may hold an entry with h_j + s_i > M_ij / eps."""
    box_costs(rows, columns, leaf, metric, runs)
    ceiling = s.dtype.type(-np.inf)
    for i in range(rows.bounds[leaf], rows.bounds[leaf + 1]):
        ceiling = max(ceiling, s[i])
    return find_runs(rows, columns, runs, leaf, ceiling, inv_eps, s.dtype.type(0))


def _leaf_logsumexp(x, bounds):
    """Maximum and log-sum-exp of each leaf; there are no empty leaves."""
    if bounds.size == 1:
        return x[:0], x[:0]
    first = bounds[:-1]
    top = np.maximum.reduceat(x, first)
    shifted = np.exp(x - np.repeat(top, np.diff(bounds)))
    return top, top + np.log(np.add.reduceat(shifted, first))


def pair_sides(pair, gamma, log_a, log_b):
    """Rows and columns of a pair with what the bounds of the leaves need."""
    X, X_bounds, X_low, X_high, Y, Y_bounds, Y_low, Y_high, metric, _ = pair
    rows = Rows(X, X_bounds, X_low, X_high, _leaf_logsumexp(log_a, X_bounds)[1])
    expanded = metric == 0 and X.shape[1] > _DIFFERENCES
    columns = Columns(
        Y,
        np.sum(Y * Y, axis=0) if expanded else Y[0, :0],
        Y_bounds,
        Y_low,
        Y_high,
        _leaf_logsumexp(log_b, Y_bounds)[1],
        _leaf_logsumexp(gamma - log_b, Y_bounds)[0],
        _leaf_logsumexp(gamma, Y_bounds)[1],
    )
    return rows, columns, metric


def pass_work(rows, columns):
    """Flop-equivalents of a pass."""
    n, d = rows.points.shape
    return n * columns.points.shape[1] * (2 + d // 4)
