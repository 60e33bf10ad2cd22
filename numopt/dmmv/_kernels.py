# SPDX-License-Identifier: BSD-3-Clause
"""The family's hot loops by formula: K-best search, polishing, annealing, reduction."""

from typing import Any

import numpy as np

from numopt._array.namespace import array_namespace, device
from numopt._kernels.dispatch import kernel, sequential_kernel
from numopt.typing import Array

__all__ = [
    "anneal",
    "anneal_sparse",
    "k_best",
    "lattice_reduction",
    "polish",
    "polish_sparse",
    "record_walk",
    "sphere_search",
]


@kernel(numpy="numopt.dmmv._kernels_cpu.beam:k_best")
def k_best(
    R: Array,
    target: Array,
    table: Array,
    low: Array,
    high: Array,
    keep: int,
    width: int,
    count: int,
) -> tuple[Array, Array]:
    """Discrete points of small ``|R z - target|`` for each target, best first.

    ``R`` (n, n) upper triangular with nonzero diagonal, ``target`` (C, n). Variable j
    is an integer from low_j to high_j, given as floats, or a finite entry of row j of
    ``table`` (n, L) when L > 0. Variables are decided from the last to the first; each
    of the ``keep`` partial points continues with the ``width`` values nearest to
    ``tau = rest_j / R_jj`` at cost ``(R_jj (tau - z_j))^2``, and the ``keep`` cheapest
    continuations survive. With keep = width = 1 this is Babai's
    nearest plane. Returns the best points (C, count, n) and their costs (C, count),
    count <= keep; places that no point fills have infinite cost.
    """
    xp = array_namespace(R)
    where, dtype = device(R), R.dtype
    channels, n = target.shape
    endless = xp.full((channels, keep - 1), xp.inf, dtype=dtype, device=where)
    cost = xp.zeros((channels, 1), dtype=dtype, device=where)
    cost = xp.concat([cost, endless], axis=1)
    rest = xp.broadcast_to(target[:, None, :], (channels, keep, n))
    chosen: list[Array] = []
    for j in range(n - 1, -1, -1):
        tau = rest[:, :, j] / R[j, j]
        if table.shape[1]:
            children, gaps = _listed(xp, tau, table[j, :], width)
        else:
            children, gaps = _integers(xp, tau, low[j], high[j], width)
        total = cost[:, :, None] + (R[j, j] * gaps) ** 2
        total = xp.reshape(total, (channels, keep * children.shape[2]))
        best = xp.argsort(total, axis=1)[:, :keep]
        cost = xp.take_along_axis(total, best, axis=1)
        z = xp.take_along_axis(xp.reshape(children, total.shape), best, axis=1)
        parent = best // children.shape[2]
        chosen = [xp.take_along_axis(one, parent, axis=1) for one in chosen]
        chosen.append(z)
        rest = _gather(xp, rest[:, :, :j], parent) - z[:, :, None] * R[:j, j]
    order = xp.argsort(cost, axis=1)[:, :count]
    points = xp.stack(
        [xp.take_along_axis(one, order, axis=1) for one in reversed(chosen)], axis=2
    )
    return points, xp.take_along_axis(cost, order, axis=1)


def _integers(
    xp: Any, tau: Array, low: Array, high: Array, width: int
) -> tuple[Array, Array]:
    """Integers nearest to tau in zig-zag order; infinite gaps mark those outside."""
    first = xp.minimum(xp.maximum(xp.round(tau), low), high)
    side = 2.0 * xp.astype(tau >= first, tau.dtype) - 1.0
    columns, gaps = [], []
    for i in range(width):
        offset = (i + 1) // 2 * (1 if i % 2 else -1)
        z = first + offset * side
        inside = (z >= low) & (z <= high)
        columns.append(z)
        gaps.append(xp.where(inside, tau - z, xp.inf))
    return xp.stack(columns, axis=2), xp.stack(gaps, axis=2)


def _listed(xp: Any, tau: Array, values: Array, width: int) -> tuple[Array, Array]:
    """The nearest listed values; padding is infinitely far."""
    gaps = xp.abs(tau[:, :, None] - values)
    best = xp.argsort(gaps, axis=2)[:, :, : min(width, values.shape[0])]
    gaps = xp.take_along_axis(gaps, best, axis=2)
    listed = xp.take(values, xp.reshape(best, (-1,)))
    listed = xp.where(xp.isfinite(listed), listed, 0.0)
    return xp.reshape(listed, best.shape), gaps


def _gather(xp: Any, x: Array, parent: Array) -> Array:
    """Rows ``x[c, parent[c, k], :]``."""
    index = xp.broadcast_to(parent[:, :, None], (*parent.shape, x.shape[2]))
    return xp.take_along_axis(x, index, axis=1)


@k_best.example
def _k_best_example(rng: np.random.Generator, dtype: Any, size: int) -> tuple[Any, ...]:
    n = 5
    R = np.triu(rng.standard_normal((n, n))) + 3 * np.eye(n)
    target = 4 * rng.standard_normal((min(size, 9), n))
    bounds = np.full(n, -3.0), np.full(n, 3.0)
    args = (R, target, np.zeros((n, 0)), *bounds)
    return (*(x.astype(dtype) for x in args), 6, 3, 4)


def _search_example(rng: np.random.Generator, size: int) -> tuple[Any, ...]:
    n, m = min(max(size, 1), 6), 11
    At = rng.standard_normal((n, m))
    moves = np.eye(n, dtype=np.int64)
    box = np.full(n, -2, np.int64), np.full(n, 2, np.int64)
    target = rng.standard_normal(m)
    start = np.zeros(n, np.int64)
    return At, moves, np.zeros((n, 0)), *box, target, target, start, np.zeros(m)


polish = sequential_kernel(
    "polish",
    """Strict descent of the worst violation over single moves and pairs of moves.

    ``polish(D, moves, table, k_low, k_high, lower, upper, k, y, dirs, amounts,
    pairs, max_moves) -> (k, violation, count)``. ``y`` is the response of k. Move q
    adds ``amounts[q] * moves[dirs[q]]`` to k and changes the response along
    ``D[dirs[q]]``, the product of the matrix with that direction. A move must lower the
    top row; candidates are then tried on the rows that rejected recent ones, and on all
    rows up to the first that reaches the incumbent. Equal maxima are accepted when
    fewer rows attain them.
    """,
    numpy="numopt.dmmv._kernels_cpu.search:polish",
)


@polish.example
def _polish_example(rng: np.random.Generator, dtype: Any, size: int) -> tuple[Any, ...]:
    args = _search_example(rng, size)
    n = args[0].shape[0]
    dirs = np.repeat(np.arange(n), 2)
    return *args, dirs, np.tile(np.array([-1, 1]), n), True, 1000


anneal = sequential_kernel(
    "anneal",
    """Metropolis walk on the power sum ``sum_i (excess_i / tau)^p``, best maximum kept.

    ``anneal(D, moves, table, k_low, k_high, lower, upper, k, y, exponent, hot, cold,
    steps, seed) -> (k, violation)`` with ``p = 2^exponent``, exponent 3, 4 or 5.
    Half of the proposals are unit steps along one direction, half along two. A rise
    from Phi to Phi' is accepted when ``Phi' <= Phi u^(-p T)``, u uniform, with T
    geometric from hot to cold: T is the relative rise of the maximum that is tolerated.
    """,
    numpy="numopt.dmmv._kernels_cpu.search:anneal",
)


@anneal.example
def _anneal_example(rng: np.random.Generator, dtype: Any, size: int) -> tuple[Any, ...]:
    return *_search_example(rng, size), 4, 0.05, 0.001, 200, 7


record_walk = sequential_kernel(
    "record_walk",
    """Walk on the maximum itself below a bar that follows the best one so far.

    ``record_walk(D, moves, table, k_low, k_high, lower, upper, k, y, hot, cold, tabu,
    steps, seed) -> (k, violation)``. Proposals as of ``anneal``; accepted when the
    maximum is at most ``(1 + T)`` times the least so far, T geometric from hot to cold
    (record to record, Dueck 1993). With ``tabu`` a move is not taken back for 7 to 11
    accepted moves unless that gives a new best (Glover 1989).
    """,
    numpy="numopt.dmmv._kernels_cpu.record:record_walk",
)


@record_walk.example
def _record_example(rng: np.random.Generator, dtype: Any, size: int) -> tuple[Any, ...]:
    return *_search_example(rng, size), 0.6, 0.003, True, 200, 7


anneal_sparse = sequential_kernel(
    "anneal_sparse",
    """Metropolis walk on ``sum_i (excess_i/tau)^p + strength * #unequal edges``.

    ``anneal_sparse(indptr, indices, data, table, k_low, k_high, lower, upper, k,
    edge_start, edge_end, strength, tau, exponent, hot, cold, steps, seed) -> k``.
    Column j of the matrix is ``data[indptr[j]:indptr[j+1]]``; the neighbours of
    variable j are ``edge_end[edge_start[j]:edge_start[j+1]]``. Half of the proposals
    change one variable, half exchange the levels of two neighbours. The state of least
    energy is returned.
    """,
    numpy="numopt.dmmv._kernels_cpu.sparse:anneal_sparse",
)


@anneal_sparse.example
def _sparse_example(rng: np.random.Generator, dtype: Any, size: int) -> tuple[Any, ...]:
    n, m = min(max(size, 1), 6), 11
    indptr = 2 * np.arange(n + 1)
    indices = np.concatenate([rng.permutation(m)[:2] for _ in range(n)])
    data = np.ones(2 * n)
    box = np.zeros(n, np.int64), np.ones(n, np.int64)
    target = rng.random(m)
    ring = np.arange(n + 1), (np.arange(n) + 1) % n
    start = np.zeros(n, np.int64)
    head = (indptr, indices, data, np.zeros((n, 0)), *box, target, target, start)
    return *head, *ring, 0.1, 1.0, 1, 1.0, 0.1, 300, 5


polish_sparse = sequential_kernel(
    "polish_sparse",
    """Strict descent of the worst violation over sparse columns.

    ``polish_sparse(indptr, indices, data, row_start, row_end, table, k_low, k_high,
    lower, upper, k, few, pairs, goal, max_moves) -> (k, count)``. The variables of row
    i are ``row_end[row_start[i]:row_start[i+1]]``. A move changes a variable of the top
    row, by one step or, where it has at most ``few`` levels, to any of them, so that
    this row falls and all rows it touches stay below the maximum. Where a row does not,
    ``pairs`` lets a second variable, of that row, mend it. Only touched rows are looked
    at; the maximum of all is kept by blocks of rows. Ends at violations up to ``goal``.
    """,
    numpy="numopt.dmmv._kernels_cpu.sparse:polish_sparse",
)


@polish_sparse.example
def _polish_sparse_example(
    rng: np.random.Generator, dtype: Any, size: int
) -> tuple[Any, ...]:
    args = _sparse_example(rng, dtype, size)
    indptr, indices, m = args[0], args[1], args[6].size
    order = np.argsort(indices, kind="stable")
    owner = np.repeat(np.arange(indptr.size - 1), np.diff(indptr))[order]
    row_start = np.searchsorted(indices[order], np.arange(m + 1))
    return *args[:3], row_start, owner, *args[3:9], 2, True, 0.0, 100


lattice_reduction = sequential_kernel(
    "lattice_reduction",
    """Lenstra, Lenstra and Lovász's reduction of rows, with deep insertions.

    ``lattice_reduction(B, delta, depth, max_steps) -> (reduced, U, steps)`` with
    ``reduced = U B`` and U unimodular (integers, as floats). Up to ``depth`` places
    before its own are tried for a row; 1 is the classical algorithm. A row that is
    shorter than ``delta`` times the one at an earlier place, both projected off the
    rows before that place, is inserted there (Schnorr and Euchner 1994). The
    projections of a row are computed anew at every visit. ``steps`` exceeds
    ``max_steps`` when that stopped it.
    """,
    numpy="numopt.dmmv._kernels_cpu.lattice:lattice_reduction",
)


@lattice_reduction.example
def _lattice_example(
    rng: np.random.Generator, dtype: Any, size: int
) -> tuple[Any, ...]:
    n = min(max(size, 1), 8)
    return (
        rng.standard_normal((n, n)) + 5 * rng.integers(-3, 4, (n, n)),
        0.99,
        n,
        10_000,
    )


sphere_search = sequential_kernel(
    "sphere_search",
    """The discrete point of least violation in a sphere, depth first.

    ``sphere_search(R, c, D, levels, counts, lower, upper, square, best, max_nodes) ->
    (x, better, complete)``. ``R`` (n, n) upper triangular with nonzero diagonal;
    variable j is one of the first ``counts[j]`` entries of row j of ``levels``,
    ascending, and the response of x is ``x D``. Points with ``|R x - c|^2 <= square[0]
    + best square[1] + best^2 square[2]`` are visited, from the last variable to the
    first and nearest levels first; where the response of one violates the interval by
    less than ``best``, that falls. ``complete`` says that ``max_nodes`` did not end it.
    """,
    numpy="numopt.dmmv._kernels_cpu.sphere:sphere_search",
)


@sphere_search.example
def _sphere_example(rng: np.random.Generator, dtype: Any, size: int) -> tuple[Any, ...]:
    n, m = min(max(size, 1), 4), 7
    D, target = rng.standard_normal((n, m)), rng.standard_normal(m)
    Q, R = np.linalg.qr(D.T)
    c, levels = target @ Q, np.tile(np.arange(-2.0, 3.0), (n, 1))
    square = np.array([c @ c - target @ target, 0.0, m])
    counts = np.full(n, 5)
    return R, c, D, levels, counts, target, target, square, 3.0, 10_000
