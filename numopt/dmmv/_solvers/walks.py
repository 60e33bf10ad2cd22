# SPDX-License-Identifier: BSD-3-Clause
"""Rounds of random walks: annealing, record to record, paths between good points."""

import itertools

import numpy as np

from numopt.dmmv._kernels import anneal, anneal_sparse, record_walk
from numopt.dmmv._problem.core import Core
from numopt.dmmv._solvers.descent import choose_basis, polish_all
from numopt.dmmv._solvers.state import Options, Search

__all__ = ["anneal_round", "record_round", "relink_round"]

HOT, COLD = 0.05, 1e-3
LOWEST_EXPONENT = 3
#: Row evaluations of one annealing round, and about as many a second.
ANNEAL_WORK = 60_000_000
SPEED = 4e8
SPARSE_PASSES, HOT_SPARSE = 8, 0.5
#: Rise over the best maximum that a record-to-record walk accepts, first and last, and
#: its steps for one of annealing: most are rejected on one of the first rows.
HOT_RECORD, COLD_RECORD = 0.6, 3e-3
RECORD_STEPS = 4
#: Entries of one table of candidates of a path, and steps that a long path takes.
LARGEST_TABLE = 4_000_000
PATH_STEPS = 64
PATH_POWER = 8


def _start(search: Search, rng: np.random.Generator, number: int) -> np.ndarray:
    """Return the incumbent, or by chance an elite point."""
    if number > 1 and rng.random() < 0.5:
        return search.elite[int(rng.integers(len(search.elite)))][1]
    return search.k


def _steps(search: Search) -> int:
    """Return the steps of one round; it may not outlive the time limit."""
    core = search.core
    each = core.m + 8 * core.n + 30
    steps = int(ANNEAL_WORK / each)
    remaining = search.remaining
    if remaining is not None:
        steps = min(steps, int(max(remaining, 0.01) * SPEED / each))
    return max(steps, 100)


def anneal_round(search: Search, options: Options, number: int) -> None:
    """Anneal from the incumbent or from a random elite point, then polish."""
    core = search.core
    rng = np.random.default_rng((options.seed, number))
    k = _start(search, rng, number)
    seed = int(rng.integers(2**62))
    if core.sparse:
        k = _anneal_sparsely(core, k, options, seed)
    else:
        basis = choose_basis(search, options)
        # A low power sees more rows than the top ones: better from afar.
        exponent = options.exponent if rng.random() < 0.5 else LOWEST_EXPONENT
        k, _ = anneal(
            basis.D, basis.moves, core.table, core.k_low, core.k_high, core.lower,
            core.upper, k, core.response(k), exponent, HOT, COLD, _steps(search), seed,
        )  # fmt: skip
    polish_all(search, k[None, :], options, "anneal")


def _anneal_sparsely(
    core: Core, k: np.ndarray, options: Options, seed: int
) -> np.ndarray:
    """Anneal on sparse columns, neighbours being variables that share a row."""
    start, end = row_neighbours(core)
    steps = 40 * core.n + 5_000
    best, best_value = k, float(core.violations(k))
    for i in range(SPARSE_PASSES):
        # The power sum is relative to the maximum reached: the walk cools with it.
        tau = max(best_value, 1e-12)
        hot = HOT_SPARSE / (1 + i)
        k = anneal_sparse(
            core.At.indptr, core.At.indices, core.At.data, core.table, core.k_low,
            core.k_high, core.lower, core.upper, best, start, end, 0.0, tau,
            options.exponent, hot, 0.1 * hot, steps, seed + i,
        )  # fmt: skip
        value = float(core.violations(k))
        if value < best_value:
            best, best_value = k, value
    return best


def row_neighbours(core: Core, most: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Return CSR lists of up to ``most`` variables that follow each one in its rows."""
    by_row = core.At.T.tocsr()
    lists: list[set[int]] = [set() for _ in range(core.n)]
    for i in range(core.m):
        members = by_row.indices[by_row.indptr[i] : by_row.indptr[i + 1]]
        for a, b in itertools.pairwise(members):
            if len(lists[a]) < most and len(lists[b]) < most:
                lists[a].add(int(b))
                lists[b].add(int(a))
    start = np.append(0, np.cumsum([len(one) for one in lists])).astype(np.int64)
    end = np.array([b for one in lists for b in sorted(one)], np.int64)
    return start, end


def record_round(search: Search, options: Options, number: int, *, tabu: bool) -> None:
    """Walk below a falling bar over the best maximum, then polish."""
    core = search.core
    if core.sparse:
        raise ValueError(
            "`method` 'record' and 'tabu' take matrices that fit in dense form, got "
            f"{core.m} x {core.n}"
        )
    rng = np.random.default_rng((options.seed, number, 1))
    k = _start(search, rng, number)
    basis = choose_basis(search, options)
    k, _ = record_walk(
        basis.D, basis.moves, core.table, core.k_low, core.k_high, core.lower,
        core.upper, k, core.response(k), HOT_RECORD, COLD_RECORD, tabu,
        RECORD_STEPS * _steps(search), int(rng.integers(2**62)),
    )  # fmt: skip
    polish_all(search, k[None, :], options, "tabu" if tabu else "record")


def relink_round(search: Search, options: Options, number: int) -> None:
    """Go from one elite point to another; polish the best point of the way."""
    if len(search.elite) < 2:
        return
    rng = np.random.default_rng((options.seed, number, 2))
    a, b = rng.choice(len(search.elite), 2, replace=False)
    points = search.elite[a][1], search.elite[b][1]
    k = _best_between(search.core, *points, rng)
    if k is not None:
        polish_all(search, k[None, :], options, "relink")


def _best_between(
    core: Core, start: np.ndarray, end: np.ndarray, rng: np.random.Generator
) -> np.ndarray | None:
    """Move coordinates to those of ``end``, each time those of least power sum.

    Returns the point of least violation strictly between the two, None without any.
    """
    k, best, least = start.copy(), None, np.inf
    differing = np.flatnonzero(start != end)
    group = max(1, differing.size // PATH_STEPS)
    while differing.size > group:
        tried = differing
        if tried.size * core.m > LARGEST_TABLE:
            size = max(group, LARGEST_TABLE // core.m)
            tried = rng.choice(differing, min(size, tried.size), replace=False)
        table = np.repeat(k[None, :], tried.size, axis=0)
        table[np.arange(tried.size), tried] = end[tried]
        steps = (core.values(table) - core.values(k))[np.arange(tried.size), tried]
        columns = core.At[tried]
        columns = columns.toarray() if core.sparse else columns
        y = core.response(k) + steps[:, None] * columns
        excess = np.maximum(np.maximum(y - core.upper, core.lower - y), 0.0)
        top = max(float(excess.max()), 1e-300)
        order = np.argsort(np.sum((excess / top) ** PATH_POWER, axis=1), kind="stable")
        chosen = tried[order[:group]]
        k[chosen] = end[chosen]
        differing = np.setdiff1d(differing, chosen)
        violation = float(core.violations(k))
        if differing.size and violation < least:
            best, least = k.copy(), violation
    return best
