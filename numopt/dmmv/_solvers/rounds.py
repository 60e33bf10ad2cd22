# SPDX-License-Identifier: BSD-3-Clause
"""The methods, each as a generator of rounds, and the alternation that is "auto"."""

import functools
import itertools
from collections.abc import Iterator

import numpy as np

from numopt._iterate.stopping import Stop
from numopt.dmmv._problem.bounds import dual_value
from numopt.dmmv._problem.core import Core
from numopt.dmmv._solvers.beam import beam_points, best_of
from numopt.dmmv._solvers.descent import choose_basis, polish_all
from numopt.dmmv._solvers.exact import LARGEST_ENUMERATION, enumerate_all, solve_milp
from numopt.dmmv._solvers.lattice import reduced_basis
from numopt.dmmv._solvers.relaxation import (
    LARGEST_LP,
    least_squares_relaxation,
    lp_relaxation,
)
from numopt.dmmv._solvers.sphere import enumerate_sphere
from numopt.dmmv._solvers.state import Options, Rounds, Search
from numopt.dmmv._solvers.walks import anneal_round, record_round, relink_round

__all__ = ["METHODS", "count_points"]

#: Up to here all points are tried before anything else.
SMALL = 2**20
#: Final points of a beam that are polished.
POLISHED = 4
#: How far the target of a K-best search lies between the relaxed response and the
#: right-hand side, in turn.
SHARES = (0.0, 0.3)
#: Searches after which row weights start anew, their growth in turn, and their range.
CHAIN = 10
LAWSON_POWERS = (0.3, 0.7, 0.5)
HEAVIEST = 10.0
#: Rounds without a better point after which annealing starts with a path.
STALE = 4
#: K-best searches for each annealing run, by whether there is a lattice basis.
BEAMS_PER_ANNEAL = {True: 4, False: 2}


def count_points(core: Core) -> float:
    """Return the number of points of the level sets."""
    size = np.sum(np.log2(core.k_high - core.k_low + 1.0))
    return float(2.0 ** min(size, 1000.0))


def relax(search: Search, options: Options) -> None:
    """Find the relaxed point and its bound."""
    core = search.core
    size = core.At.size if isinstance(core.At, np.ndarray) else core.At.nnz
    by_lp = options.bound == "lp" or (options.bound == "auto" and size <= LARGEST_LP)
    if by_lp:
        search.relaxation = lp_relaxation(core, time_limit=search.remaining)
    else:
        search.relaxation = least_squares_relaxation(core)
    search.raise_bound(search.relaxation.bound * core.scale, search.relaxation.kind)
    search.offer(core.nearest(search.relaxation.x), "round")


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


def _record_rounds(
    search: Search, options: Options, *, tabu: bool = False
) -> Iterator[None]:
    """Record-to-record walks only."""
    relax(search, options)
    for number in itertools.count(1):
        record_round(search, options, number, tabu=tabu)
        yield


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
            _prove(search)
    yield
    unit = core.sparse or choose_basis(search, options).unit
    least, improved = search.violation, 0
    for number in itertools.count(1):
        turn, place = divmod(number, BEAMS_PER_ANNEAL[not unit] + 1)
        if place == 0 or core.sparse:
            if number - improved >= STALE:
                relink_round(search, options, number)
            anneal_round(search, options, number)
        else:
            beam_round(search, options, number - turn)
        if search.violation < least:
            least, improved = search.violation, number
        _dual_bound(search)
        yield


def _prove(search: Search) -> None:
    """Try to enumerate all points that are better than the incumbent."""
    core = search.core
    k, proved = enumerate_sphere(core, search.violation / core.scale)
    if k is not None:
        search.offer(k, "exhaustive")
    if proved:
        search.lower_bound, search.bound_kind = search.violation, "exhaustive"


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
    "record": _record_rounds,
    "tabu": functools.partial(_record_rounds, tabu=True),
    "polish": polish_method,
    "milp": milp_method,
    "exhaustive": exhaustive_method,
}
