# SPDX-License-Identifier: BSD-3-Clause
"""Numba bodies of the passes over two clouds; formulas in ``_kernels.clouds``."""

import numpy as np

from numopt._kernels.jit import jit_kernel
from numopt._kernels.simd import exp, log
from numopt._kernels.threads import reduce_blocks, run_blocks
from numopt.ot._kernels_cpu.dense import SAFE_SUMS
from numopt.ot._kernels_cpu.leaves import (
    add_masses,
    box_costs,
    find_runs,
    leaf_top,
    pair_sides,
    pass_work,
    plan_runs,
    row_masses,
    row_top,
    run_costs,
    scan_runs,
    work_space,
)

#: What is added to a potential that is only a guess, before it bounds anything.
_SLACK = np.float32(1.0)


@jit_kernel
def _cloud_pass(
    rows,
    columns,
    metric,
    gamma,
    phi,
    log_a,
    inv_eps,
    skip,
    omega,
    least,
    low,
    high,
    out_phi,
    part,
    lo,
    hi,
    block,
):
    c = part[block]
    runs = work_space(columns)
    work = np.empty_like(gamma)
    for leaf in range(lo, hi):
        box_costs(rows, columns, leaf, metric, runs)
        # f / eps <= -log sum_j exp(gamma_j - far / eps), whatever the leaf of columns.
        bound = gamma.dtype.type(np.inf)
        for J in range(columns.total.size):
            bound = min(bound, runs.far[J] * inv_eps - columns.total[J])
        ceiling = min(leaf_top(rows, leaf, phi, log_a) + _SLACK, bound)
        count = find_runs(rows, columns, runs, leaf, ceiling, inv_eps, skip)
        if count == 0:
            ceiling = bound
            count = find_runs(rows, columns, runs, leaf, ceiling, inv_eps, skip)
        for i in range(rows.bounds[leaf], rows.bounds[leaf + 1]):
            x = rows.points[i]
            while True:
                shift = phi[i]
                total = row_masses(
                    x, columns, runs, count, metric, gamma, inv_eps, shift, least, work
                )
                if not (low < total < high):
                    shift = -row_top(
                        x, columns, runs, count, metric, gamma, inv_eps, work
                    )
                    total = row_masses(
                        x,
                        columns,
                        runs,
                        count,
                        metric,
                        gamma,
                        inv_eps,
                        shift,
                        least,
                        work,
                    )
                exact = log_a[i] + shift - log(total)
                new = phi[i] + omega * (exact - phi[i])
                if not new - log_a[i] > ceiling:
                    break
                # The guess was too low: columns that were left out may matter.
                ceiling = new - log_a[i] + _SLACK
                count = find_runs(rows, columns, runs, leaf, ceiling, inv_eps, skip)
            out_phi[i] = new
            add_masses(runs, count, work, exp(log_a[i] + (new - exact)) / total, c)


@jit_kernel
def _cloud_product(
    rows,
    columns,
    metric,
    gamma,
    phi,
    log_a,
    inv_eps,
    skip,
    weight,
    vector,
    least,
    part,
    lo,
    hi,
    block,
):
    out = part[block]
    runs = work_space(columns)
    work = np.empty_like(gamma)
    for leaf in range(lo, hi):
        count = plan_runs(rows, columns, runs, leaf, metric, phi, log_a, inv_eps, skip)
        for i in range(rows.bounds[leaf], rows.bounds[leaf + 1]):
            x, shift = rows.points[i], phi[i]
            row_masses(
                x, columns, runs, count, metric, gamma, inv_eps, shift, least, work
            )
            total = gamma.dtype.type(0)
            at = 0
            for r in range(count):
                first, last = runs.first[r], runs.last[r]
                masses, values = work[at : at + last - first], vector[first:last]
                for j in range(last - first):
                    total += masses[j] * values[j]
                at += last - first
            add_masses(runs, count, work, total * weight[i], out)


@jit_kernel
def _cloud_apply(
    rows,
    columns,
    metric,
    gamma,
    phi,
    log_a,
    inv_eps,
    skip,
    V,
    least,
    out,
    lo,
    hi,
):
    runs = work_space(columns)
    work = np.empty_like(gamma)
    for leaf in range(lo, hi):
        count = plan_runs(rows, columns, runs, leaf, metric, phi, log_a, inv_eps, skip)
        for i in range(rows.bounds[leaf], rows.bounds[leaf + 1]):
            x, shift = rows.points[i], phi[i]
            row_masses(
                x, columns, runs, count, metric, gamma, inv_eps, shift, least, work
            )
            for k in range(V.shape[0]):
                total = gamma.dtype.type(0)
                at = 0
                for r in range(count):
                    first, last = runs.first[r], runs.last[r]
                    masses, values = work[at : at + last - first], V[k, first:last]
                    for j in range(last - first):
                        total += masses[j] * values[j]
                    at += last - first
                out[i, k] = total


@jit_kernel
def _cloud_cost(
    rows, columns, metric, gamma, phi, log_a, inv_eps, skip, least, out, lo, hi
):
    runs = work_space(columns)
    costs = np.empty_like(gamma)
    for leaf in range(lo, hi):
        count = plan_runs(rows, columns, runs, leaf, metric, phi, log_a, inv_eps, skip)
        for i in range(rows.bounds[leaf], rows.bounds[leaf + 1]):
            x, shift = rows.points[i], phi[i]
            total = gamma.dtype.type(0)
            for r in range(count):
                first, last = runs.first[r], runs.last[r]
                run_costs(x, columns.points, columns.norms, metric, first, last, costs)
                potential = gamma[first:last]
                for j in range(last - first):
                    z = (potential[j] + shift) - costs[j] * inv_eps
                    total += exp(max(z, least)) * costs[j]
            out[i] = total


@jit_kernel
def _cloud_gradient(
    rows, columns, metric, gamma, phi, log_a, inv_eps, skip, least, out, lo, hi
):
    runs = work_space(columns)
    work = np.empty_like(gamma)
    costs = np.empty_like(gamma)
    zero = gamma.dtype.type(0)
    for leaf in range(lo, hi):
        count = plan_runs(rows, columns, runs, leaf, metric, phi, log_a, inv_eps, skip)
        for i in range(rows.bounds[leaf], rows.bounds[leaf + 1]):
            x, shift = rows.points[i], phi[i]
            row_masses(
                x, columns, runs, count, metric, gamma, inv_eps, shift, least, work
            )
            for k in range(x.size):
                out[i, k] = zero
            at = 0
            for r in range(count):
                first, last = runs.first[r], runs.last[r]
                masses = work[at : at + last - first]
                at += last - first
                if metric == 0:
                    for j in range(last - first):
                        masses[j] += masses[j]
                elif metric == 1:
                    run_costs(
                        x, columns.points, columns.norms, metric, first, last, costs
                    )
                    for j in range(last - first):
                        if costs[j] > zero:
                            masses[j] /= costs[j]
                for k in range(x.size):
                    total = zero
                    for j in range(last - first):
                        difference = x[k] - columns.points[k, first + j]
                        if metric == 2:
                            difference = np.sign(difference)
                        total += masses[j] * difference
                    out[i, k] += total


@jit_kernel
def _cloud_count(rows, columns, metric, h, s, inv_eps, out, lo, hi):
    runs = work_space(columns)
    costs = np.empty_like(h)
    for leaf in range(lo, hi):
        count = scan_runs(rows, columns, runs, leaf, metric, s, inv_eps)
        for i in range(rows.bounds[leaf], rows.bounds[leaf + 1]):
            x, shift = rows.points[i], s[i]
            found = np.int32(0)
            for r in range(count):
                first, last = runs.first[r], runs.last[r]
                run_costs(x, columns.points, columns.norms, metric, first, last, costs)
                heights = h[first:last]
                for j in range(last - first):
                    found += np.int32((heights[j] + shift) - costs[j] * inv_eps > 0)
            out[i] = found


@jit_kernel
def _cloud_entries(
    rows, columns, metric, h, s, inv_eps, start, stop, out_index, out_cost, lo, hi
):
    runs = work_space(columns)
    costs = np.empty_like(h)
    # Branch-free: write every entry, advance past those that stay.
    index = np.empty(h.size + 1, np.int32)
    kept = np.empty(h.size + 1, out_cost.dtype)
    for leaf in range(lo, hi):
        count = scan_runs(rows, columns, runs, leaf, metric, s, inv_eps)
        for i in range(rows.bounds[leaf], rows.bounds[leaf + 1]):
            x, shift = rows.points[i], s[i]
            at = np.uintp(0)
            for r in range(count):
                first, last = runs.first[r], runs.last[r]
                run_costs(x, columns.points, columns.norms, metric, first, last, costs)
                for j in range(last - first):
                    index[at] = first + j
                    kept[at] = costs[j]
                    at += np.uintp((h[first + j] + shift) - costs[j] * inv_eps > 0)
            begin = np.uintp(start[i])
            for q in range(np.uintp(stop[i]) - begin):
                out_index[begin + q] = index[q]
                out_cost[begin + q] = kept[q]


def cloud_pass(*arguments):
    """Row update and column sums."""
    *pair, gamma, phi, log_a, log_b, inv_eps, skip, omega = arguments
    rows, columns, metric = pair_sides(pair, gamma, log_a, log_b)
    kind = gamma.dtype.type
    out_phi = np.empty_like(phi)
    safe = (kind(x) for x in SAFE_SUMS[gamma.dtype])
    scalars = (kind(inv_eps), kind(skip), kind(omega), *safe)
    c = reduce_blocks(
        _cloud_pass,
        rows.low.shape[0],
        (rows, columns, metric, gamma, phi, log_a, *scalars, out_phi),
        pass_work(rows, columns),
        shape=gamma.shape,
        dtype=gamma.dtype,
    )
    return out_phi, c


def _coupling(arguments, more):
    """Rows, columns, and the arguments that all passes with known potentials share."""
    *pair, gamma, phi, log_a, log_b, inv_eps, skip = arguments
    rows, columns, metric = pair_sides(pair, gamma, log_a, log_b)
    kind = gamma.dtype.type
    scalars = (kind(inv_eps), kind(skip))
    least = kind(SAFE_SUMS[gamma.dtype][0])
    return (
        rows,
        columns,
        (rows, columns, metric, gamma, phi, log_a, *scalars, *more, least),
    )


def cloud_product(*arguments):
    """Product with P^T diag(weight) P."""
    *coupling, weight, x = arguments
    rows, columns, args = _coupling(coupling, (weight, x))
    work = pass_work(rows, columns)
    return reduce_blocks(
        _cloud_product, rows.low.shape[0], args, work, shape=x.shape, dtype=x.dtype
    )


def _by_row(body, out, arguments, *more):
    """Run a body that fills the rows of ``out``."""
    rows, columns, args = _coupling(arguments, more)
    run_blocks(body, rows.low.shape[0], (*args, out), pass_work(rows, columns))
    return out


def cloud_apply(*arguments):
    """Product with P."""
    *coupling, V = arguments
    out = np.empty((coupling[0].shape[0], V.shape[1]), V.dtype)
    return _by_row(_cloud_apply, out, coupling, np.ascontiguousarray(V.T))


def cloud_cost(*arguments):
    """Transport cost by row."""
    return _by_row(_cloud_cost, np.empty_like(arguments[11]), arguments)


def cloud_gradient(*arguments):
    """Gradient in the points of the rows."""
    return _by_row(_cloud_gradient, np.empty_like(arguments[0]), arguments)


def _scan(body, pair, h, s, inv_eps, *out):
    rows, columns, metric = pair_sides(pair, h, np.zeros_like(s), np.zeros_like(h))
    # No masses here: the bound is on single entries.
    rows = rows._replace(log_mass=np.zeros_like(rows.log_mass))
    columns = columns._replace(log_mass=np.zeros_like(columns.log_mass))
    args = (rows, columns, metric, h, s, h.dtype.type(inv_eps), *out)
    run_blocks(body, rows.low.shape[0], args, pass_work(rows, columns))


def cloud_count(*arguments):
    """Entries of the support, by row."""
    *pair, h, s, inv_eps = arguments
    out = np.empty(s.size, np.int64)
    _scan(_cloud_count, pair, h, s, inv_eps, out)
    return out


def cloud_entries(*arguments):
    """The support, given its count."""
    *pair, h, s, inv_eps, count = arguments
    bounds = np.concatenate([np.zeros(1, np.int64), np.cumsum(count)])
    start, stop = bounds[:-1], bounds[1:]
    index, cost = np.empty(bounds[-1], np.int32), np.empty(bounds[-1])
    _scan(_cloud_entries, pair, h, s, inv_eps, start, stop, index, cost)
    return start, stop, index, cost
