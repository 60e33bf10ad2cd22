# SPDX-License-Identifier: BSD-3-Clause
"""The methods, each as a generator of rounds, and the alternation that is "auto"."""

import itertools
from collections.abc import Iterator

import numpy as np

from numopt._iterate.stopping import Stop
from numopt.dmmv._kernels import anneal, anneal_sparse, polish
from numopt.dmmv._problem.bounds import dual_value
from numopt.dmmv._problem.core import Core
from numopt.dmmv._solvers.beam import beam_points, best_of
from numopt.dmmv._solvers.exact import LARGEST_ENUMERATION, enumerate_all, solve_milp
from numopt.dmmv._solvers.lattice import Basis, reduced_basis, wants_lattice
from numopt.dmmv._solvers.relaxation import (
    LARGEST_LP,
    least_squares_relaxation,
    lp_relaxation,
)
from numopt.dmmv._solvers.state import Options, Rounds, Search

__all__ = ["METHODS", "count_points"]

#: Up to here all points are tried before anything else.
SMALL = 2**20
#: Final points of a beam that are polished.
POLISHED = 4
#: Levels up to which polishing tries all of them.
FEW_LEVELS = 4
#: Pairs of moves beyond which polishing tries single moves only.
LARGEST_PAIRS = 4_000_000
HOT, COLD = 0.05, 1e-3
LOWEST_EXPONENT = 3
#: Row evaluations of one annealing round.
ANNEAL_WORK = 60_000_000
SPARSE_PASSES, HOT_SPARSE = 8, 0.5
#: How far the target of a K-best search lies between the relaxed response and the
#: right-hand side, in turn.
SHARES = (0.0, 0.3)
#: Searches after which row weights start anew, their growth in turn, and their range.
CHAIN = 10
LAWSON_POWERS = (0.3, 0.7, 0.5)
HEAVIEST = 10.0
#: K-best searches for each annealing run, by whether there is a lattice basis.
BEAMS_PER_ANNEAL = {True: 4, False: 2}


def count_points(core: Core) -> float:
    """Return the number of points of the level sets."""
    size = np.sum(np.log2(core.k_high - core.k_low + 1.0))
    return float(2.0 ** min(size, 1000.0))


def relax(search: Search, options: Options) -> None:
    """Find the relaxed point and its bound once."""
    if search.relaxation is not None:
        return
    core = search.core
    size = core.At.size if isinstance(core.At, np.ndarray) else core.At.nnz
    by_lp = options.bound == "lp" or (options.bound == "auto" and size <= LARGEST_LP)
    if by_lp:
        search.relaxation = lp_relaxation(core, time_limit=search.remaining)
    else:
        search.relaxation = least_squares_relaxation(core)
    search.raise_bound(search.relaxation.bound * core.scale, search.relaxation.kind)
    search.offer(core.nearest(search.relaxation.x), "round")


def choose_basis(search: Search, options: Options) -> Basis:
    """Return lattice directions where they promise something, else unit steps."""
    if search.basis is None:
        if wants_lattice(search.core, options.lattice):
            search.basis = reduced_basis(search.core)
        else:
            search.basis = search.unit
    return search.basis


def move_list(core: Core, basis: Basis) -> tuple[np.ndarray, np.ndarray]:
    """Return directions and amounts of polishing moves."""
    if not basis.unit or np.max(core.k_high - core.k_low, initial=0) >= FEW_LEVELS:
        reach = 1
    else:
        reach = int(np.max(core.k_high - core.k_low, initial=1))
    amounts = np.array([a for a in range(-reach, reach + 1) if a])
    p = basis.moves.shape[0]
    return np.repeat(np.arange(p), amounts.size), np.tile(amounts, p)


def descend(
    search: Search, basis: Basis, k: np.ndarray, options: Options, method: str
) -> np.ndarray:
    """Polish a point and offer it."""
    core = search.core
    if core.sparse:
        search.offer(k, method)
        return k
    dirs, amounts = move_list(core, basis)
    pairs = options.pairs and dirs.size**2 <= LARGEST_PAIRS
    better, _, _ = polish(
        basis.D, basis.moves, core.table, core.k_low, core.k_high, core.lower,
        core.upper, k, core.response(k), dirs, amounts, pairs, 10_000,
    )  # fmt: skip
    search.offer(better, method)
    return better


def polish_all(
    search: Search, points: np.ndarray, options: Options, method: str
) -> np.ndarray:
    """Polish along lattice directions (if any) and unit steps; return the best."""
    bases = [choose_basis(search, options)]
    if not bases[0].unit:
        bases.append(search.unit)
    found = []
    for k in points:
        for basis in bases:
            k = descend(search, basis, k, options, method)
        found.append(k)
        if search.out_of_time:
            break
    return best_of(search.core, np.array(found), 1)[0]


def beam_width(search: Search, options: Options, number: int) -> int:
    """Width of the search: more for few variables, and after the first."""
    if options.beam_width is not None:
        return options.beam_width
    n = search.core.n
    if n <= 64:
        return 5000 if number > 0 else 1000
    return max(64, int(6e7 / n**2)) if n <= 1000 else 16


def beam_round(search: Search, options: Options, number: int) -> None:
    """One K-best search; later ones weigh the rows that those before violated.

    Two chains take turns. One looks near the relaxed response, the other between it
    and the target itself; each multiplies its row weights by what its own last point
    violated (Lawson 1961).
    """
    core, basis = search.core, choose_basis(search, options)
    assert search.relaxation is not None
    relaxed = search.relaxation.x
    share = SHARES[number % len(SHARES)]
    target = (1 - share) * (relaxed @ core.At) + share * core.target()
    chain, place = number % len(SHARES), number // len(SHARES) % CHAIN
    weights, order = None, None
    if place > 0:
        weights = search.chains[chain]
        if not basis.unit:
            basis = reduced_basis(core, weights, basis)
    if basis.unit and number > 0:
        order = np.random.default_rng((options.seed, number)).permutation(core.n)
    points = beam_points(
        core, basis, target, relaxed,
        keep=beam_width(search, options, number), row_weights=weights, order=order,
    )  # fmt: skip
    found = polish_all(search, best_of(core, points, POLISHED), options, "beam")
    power = LAWSON_POWERS[number // (len(SHARES) * CHAIN) % len(LAWSON_POWERS)]
    search.chains[chain] = _lawson_weights(core, found, weights, power)


def _lawson_weights(
    core: Core, k: np.ndarray, weights: np.ndarray | None, power: float
) -> np.ndarray:
    """Let weights grow on the rows that a point violates."""
    y = core.response(k)
    excess = np.maximum(np.maximum(y - core.upper, core.lower - y), 0.0)
    factor = (0.3 + excess / max(np.max(excess), 1e-300)) ** power
    weights = factor if weights is None else factor * weights
    weights = np.clip(weights / np.mean(weights), 1.0 / HEAVIEST, HEAVIEST)
    return weights / np.mean(weights)


def anneal_round(search: Search, options: Options, number: int) -> None:
    """Anneal from the incumbent or from a random elite point, then polish."""
    core = search.core
    rng = np.random.default_rng((options.seed, number))
    k = search.k
    if number > 1 and rng.random() < 0.5:
        k = search.elite[int(rng.integers(len(search.elite)))][1]
    seed = int(rng.integers(2**62))
    if core.sparse:
        k = _anneal_sparsely(core, k, options, seed)
        search.offer(k, "anneal")
        return
    basis = choose_basis(search, options)
    steps = int(ANNEAL_WORK / (core.m + 8 * core.n + 30))
    remaining = search.remaining
    if remaining is not None:
        # About a nanosecond an evaluation: one round may not outlive the limit.
        steps = min(steps, int(max(remaining, 0.01) * 4e8 / (core.m + 8 * core.n + 30)))
    # A low power sees more rows than the top ones: better from afar.
    exponent = options.exponent if rng.random() < 0.5 else LOWEST_EXPONENT
    k, _ = anneal(
        basis.D, basis.moves, core.table, core.k_low, core.k_high, core.lower,
        core.upper, k, core.response(k), exponent, HOT, COLD, max(steps, 100), seed,
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


# ------------------------------------------------------------------ the methods


def round_method(search: Search, options: Options) -> Iterator[None]:
    """Round the relaxed point to the nearest levels."""
    relax(search, options)
    yield


def babai_method(search: Search, options: Options) -> Iterator[None]:
    """Round plane by plane: the K-best search with K = 1."""
    relax(search, options)
    assert search.relaxation is not None
    basis = choose_basis(search, options)
    x = search.relaxation.x
    found = beam_points(search.core, basis, x @ search.core.At, x, keep=1, width=1)
    search.offer(found[0], "babai")
    yield


def beam_method(search: Search, options: Options) -> Iterator[None]:
    """K-best searches with growing row weights, polished."""
    relax(search, options)
    number = 0
    while True:
        beam_round(search, options, number)
        yield
        number += 1


def anneal_method(search: Search, options: Options) -> Iterator[None]:
    """Annealing rounds only."""
    relax(search, options)
    number = 1
    while True:
        anneal_round(search, options, number)
        yield
        number += 2


def polish_method(search: Search, options: Options) -> Iterator[None]:
    """Descend from the start."""
    relax(search, options)
    start = search.k
    polish_all(search, start[None, :], options, "polish")
    yield


def milp_method(search: Search, options: Options) -> Iterator[None]:
    """Solve the mixed-integer program, below the best of one beam."""
    relax(search, options)
    if not search.core.sparse:
        beam_round(search, options, 0)
    yield
    core = search.core
    answer = solve_milp(
        core,
        cutoff=search.violation / core.scale,
        gap=options.tol,
        time_limit=search.remaining,
    )
    if answer.k is not None:
        search.offer(answer.k, "milp")
    search.raise_bound(min(answer.bound * core.scale, search.violation), "milp")
    if answer.proven:
        search.stopped = Stop("converged", f"proved by HiGHS: {answer.message}")
    yield


def exhaustive_method(search: Search, _options: Options) -> Iterator[None]:
    """Try every point."""
    points = count_points(search.core)
    if points > LARGEST_ENUMERATION:
        raise ValueError(
            f"`method` 'exhaustive' takes at most {LARGEST_ENUMERATION} points, got "
            f"{points:.3g}"
        )
    _exhaust(search)
    yield


def _exhaust(search: Search) -> None:
    search.offer(enumerate_all(search.core), "exhaustive")
    search.lower_bound, search.bound_kind = search.violation, "exhaustive"


def auto_method(search: Search, options: Options) -> Iterator[None]:
    """Enumerate small problems; else alternate K-best searches and annealing."""
    core = search.core
    if count_points(core) <= SMALL and count_points(core) * core.m <= 2e7:
        _exhaust(search)
        yield
        return
    relax(search, options)
    if not core.sparse:
        assert search.relaxation is not None
        polish_all(search, search.k[None, :], options, "polish")
        babai = beam_points(
            core, choose_basis(search, options), search.relaxation.x @ core.At,
            search.relaxation.x, keep=1, width=1,
        )  # fmt: skip
        search.offer(babai[0], "babai")
        if not search.out_of_time:
            beam_round(search, options, 0)
    yield
    unit = core.sparse or choose_basis(search, options).unit
    for number in itertools.count(1):
        turn, place = divmod(number, BEAMS_PER_ANNEAL[not unit] + 1)
        if place == 0 or core.sparse:
            anneal_round(search, options, number)
        else:
            beam_round(search, options, number - turn)
        _dual_bound(search)
        yield


def _dual_bound(search: Search) -> None:
    """Multipliers from the residual of the incumbent: rarely better, nearly free."""
    core = search.core
    if search.relaxation is None or search.relaxation.kind == "lp":
        return
    y = core.response(search.k)
    signed = y - np.clip(y, core.lower, core.upper)
    top = np.max(np.abs(signed), initial=0.0)
    if top > 0:
        weights = np.sign(signed) * (np.abs(signed) / top) ** 15
        value = dual_value(core, weights / np.sum(np.abs(weights)))
        search.raise_bound(value * core.scale, "dual")


METHODS: dict[str, Rounds] = {
    "auto": auto_method,
    "round": round_method,
    "babai": babai_method,
    "beam": beam_method,
    "anneal": anneal_method,
    "polish": polish_method,
    "milp": milp_method,
    "exhaustive": exhaustive_method,
}
