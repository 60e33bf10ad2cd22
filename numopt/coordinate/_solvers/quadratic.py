# SPDX-License-Identifier: BSD-3-Clause
"""Working sets for squares with separable penalties.

An outer pass is one product with the whole design: it certifies the gap, finds
violators and extends the cached Gram matrix; in between the compiled inner solver works
on the Gram matrix only.
"""

import dataclasses
import math
from typing import Any

import numpy as np

from numopt._array.namespace import numpy_namespace
from numopt._iterate.loop import Solver
from numopt.coordinate._kernels.descent import find_beyond
from numopt.coordinate._problem.data import LinearData
from numopt.coordinate._problem.datafits import Quadratic
from numopt.coordinate._problem.duality import separable_dual
from numopt.coordinate._problem.groups import ScalarTerms
from numopt.coordinate._solvers.columns import GramCache
from numopt.coordinate._solvers.quadratic_state import (
    QuadraticProblem,
    QuadraticState,
    SquaresProblem,
)
from numopt.coordinate._solvers.screening import FLOOR
from numopt.coordinate._solvers.stored import StoredProblem, solve_stored

__all__ = ["QuadraticProblem", "QuadraticState", "QuadraticWorkingSet"]

#: The inner gap relative to the outer one, and to the tolerance.
INNER_SHARE, INNER_TOL = 0.1, 0.3
#: On a Gram matrix of fewer entries than this share of those of the design an inner
#: solve costs next to nothing.
SMALL_GRAM = 0.01
#: The inner gap where coordinates without L1 term must be stationary to rounding.
EXACT = 1e-13
#: Below one new column in so many the inner gap falls with their number.
MANY_NEW = 10.0
#: Fewest columns that a pass may add, and the most of that: as many as take the time of
#: a pass to multiply with each other.
FIRST_SIZE, LARGE_FIRST = 64, 512

#: Pivots below this share of the largest are rounding: the columns depend on others.
DEPENDENT = 1e-13
#: Rows a column of tall designs, which may get the Gram matrix of all columns: the
#: share of the columns that must be wanted for that, and most columns, so that their
#: products stay within the cache of a processor.
TALL, MOST, MOST_COLUMNS = 2, 0.8, 1000
#: A Gram matrix in single precision stays while a pass brings the gap below this share.
ROUGH_GAIN = 0.1


@dataclasses.dataclass(frozen=True)
class QuadraticWorkingSet(Solver[QuadraticProblem, QuadraticState]):
    """Grow the working set, solve on it, certify.

    Gram matrices of tall designs may be formed in single precision where ``rough``,
    and where all coordinates have L1 terms.
    """

    rough: bool = True

    name = "coordinate descent"

    def init(self, problem: QuadraticProblem, warm_start: Any) -> QuadraticState:
        """Start from a cache (with its coefficients), from coefficients, or from 0."""
        if isinstance(warm_start, QuadraticState):
            state = warm_start
            state.dual, state.stalled = -np.inf, 0
            if problem.simple and state.screened is not None:
                # Products that were left out could only raise the gap.
                certify_state(problem, state)
                state.dual = -np.inf
                if state.gap > problem.tol:
                    return state
            screen(problem, state)
        else:
            # Without L1 terms the support must be solved to rounding anyway.
            wanted = self.rough and problem.thresholded
            rough = wanted and is_tall(problem.data)
            cache = GramCache(problem.data, center=problem.fit_intercept, rough=rough)
            state = QuadraticState(cache, problem.target, problem.start)
            if warm_start is not None:
                warm_start = problem.data.without_empty(
                    warm_start, centred=problem.fit_intercept
                )
            used = _initial_columns(problem, warm_start)
            if used.size:
                cache.extend(used, problem.start[used])
                if warm_start is not None:
                    cache.w[: cache.size] = warm_start[used]
                elif is_least_squares(problem, cache):
                    start_at_least_squares(problem, cache)
                terms = problem.terms
                cache.w[: cache.size] = np.clip(
                    cache.w[: cache.size], terms.lower[used], terms.upper[used]
                )
                refresh(problem, state)
        certify_state(problem, state)
        return state

    def step(self, problem: QuadraticProblem, state: QuadraticState) -> QuadraticState:
        """Add violators, solve on the working set, recompute the residual."""
        cache = state.cache
        new = violators(problem, state)
        if wants_all(problem, state):
            cache.extend_all(problem.start)
        elif new.size:
            self._store(problem, cache, new)
        before = state.gap
        if not cache.rough or not rough_pass(problem, state, new.size):
            solve_and_certify(problem, state, new.size)
        idle = not new.size and not state.gap < before
        state.stalled = state.stalled + 1 if idle else 0
        return state

    def _store(
        self, problem: QuadraticProblem, cache: GramCache, new: np.ndarray
    ) -> None:
        """Store columns, with their Gram matrix only where descent needs it."""
        plain = problem.thresholded or bool(np.all(problem.terms.l1[new] > 0))
        if cache.columns is None or not plain:
            cache.extend(new, problem.start[new])
        else:
            cache.load(new, problem.start[new])

    def measure(
        self, problem: QuadraticProblem, state: QuadraticState
    ) -> dict[str, Any]:
        """Objective, relative gap and sizes."""
        w = state.cache.w[: state.cache.size]
        return {
            "objective": state.primal,
            "residual": state.gap,
            "dual_gap": state.gap,
            "n_working_set": state.cache.size,
            "n_support": int(np.count_nonzero(w)),
        }

    def finish(
        self, problem: QuadraticProblem, state: QuadraticState
    ) -> dict[str, Any]:
        """Coefficients, intercept and certificate."""
        cache = state.cache
        coef = cache.scatter()
        return {
            "coef": coef,
            "intercept": recover_intercept(problem, coef),
            "objective": state.primal,
            "dual_gap": state.gap,
            "support": np.sort(cache.index[cache.w[: cache.size] != 0]),
        }

    def current(self, state: QuadraticState) -> Any:
        """Coefficients of all coordinates."""
        return state.cache.scatter()

    def stop(self, problem: QuadraticProblem, state: QuadraticState) -> Any:
        """Stop when several passes brought nothing: the limit of the arithmetic."""
        from numopt._iterate.stopping import Stop

        if state.stalled < 4:
            return None
        return Stop(
            "stalled",
            f"the relative gap stays at {state.gap:.2e} > tol {problem.tol:.2e}, the "
            "limit of the arithmetic for this problem; increase `tol`",
        )


def is_least_squares(problem: QuadraticProblem, cache: GramCache) -> bool:
    """Whether nothing is penalised or bounded, in dense columns that are not many."""
    terms, p = problem.terms, problem.data.shape[1]
    return terms.free and cache.columns is not None and p <= MOST_COLUMNS


def start_at_least_squares(problem: QuadraticProblem, cache: GramCache) -> None:
    """Orthogonal factors see directions whose squares rounding hides in a Gram matrix.

    A second solve, for the residual of the first, takes away the rounding of that.
    """
    from scipy.linalg import lstsq

    assert cache.columns is not None
    columns = cache.columns[:, : cache.size]
    size = np.sqrt(np.where(cache.squares > 0, cache.squares, 1.0))[: cache.size]
    target = problem.target if cache.root is None else cache.root * problem.target
    w = np.zeros(cache.size)
    for _ in range(2):
        rest = target - columns @ w
        step = lstsq(columns / size, rest, cond=DEPENDENT, lapack_driver="gelsy")[0]
        w += step / size
    cache.w[: cache.size] = w


def recover_intercept(problem: SquaresProblem, coef: np.ndarray) -> float:
    """Return the intercept of the centred model."""
    data = problem.data
    if not problem.fit_intercept:
        return 0.0
    fitted = data.y - data.predict(coef, 0.0)
    return float(data.weighted(fitted).sum()) / data.total


def inner_solve(problem: QuadraticProblem, state: QuadraticState, n_new: int) -> None:
    """Solve on the stored columns, of which ``n_new`` are new."""
    cache, data = state.cache, problem.data
    terms, total = problem.terms, data.total
    gap = state.gap if np.isfinite(state.gap) else 1.0
    entries = data.X.nnz if data.is_sparse else data.X.size
    # The fewer columns enter, the nearer the working set is to the last one.
    few = min(1.0, MANY_NEW * n_new / max(cache.size, 1))
    share = max(INNER_TOL * problem.tol, INNER_SHARE * gap * few)
    cheap = cache.columns is None and cache.size**2 < SMALL_GRAM * entries
    if cheap or cache.size == data.shape[1]:
        # Accuracy is free, or nothing is left to enter.
        share = INNER_TOL * problem.tol
    l2 = terms.l2 if problem.simple else total * terms.l2
    every = ScalarTerms(problem.limits, l2, terms.lower, terms.upper)
    own = ScalarTerms(*(term[cache.index] for term in every))
    if not (problem.simple or np.all(own.l1 > 0)):
        # Their dual constraints allow no slack: the support must be solved exactly.
        share = min(share, EXACT)
    stored = StoredProblem(
        terms=own,
        targets=problem.squares,
        target=total * problem.null.scale * share * 0.5**state.stalled,
    )
    residual = state.residual if cache.root is None else cache.root * state.residual
    state.epochs += solve_stored(
        stored, cache, residual, -state.correlation[cache.index]
    )


def solve_and_certify(
    problem: QuadraticProblem, state: QuadraticState, n_new: int
) -> None:
    """Solve on the stored columns, then one pass over the design."""
    inner_solve(problem, state, n_new)
    refresh(problem, state)
    certify_state(problem, state)


def rough_pass(problem: QuadraticProblem, state: QuadraticState, n_new: int) -> bool:
    """The same on a Gram matrix in single precision; whether that did.

    Where it did not, the matrix may be indefinite by rounding: it is computed again in
    double precision, and coefficients go back to where they were.
    """
    cache, before, start = state.cache, state.gap, state.cache.scatter()
    value = state.primal
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            solve_and_certify(problem, state, n_new)
    except np.linalg.LinAlgError:
        state.primal = state.gap = np.inf
    # With columns that are new the gap may stay, but never the objective.
    if state.gap <= max(ROUGH_GAIN * before, problem.tol) or (
        n_new and state.primal < value
    ):
        return True
    cache.refine()
    cache.w[: cache.size] = start[cache.index]
    refresh(problem, state)
    certify_state(problem, state)
    return False


def screen(problem: SquaresProblem, state: QuadraticState) -> None:
    """At the next strength of a path: compute the products that matter there."""
    if not problem.simple:
        state.screened = None
    elif state.screened is not None:
        state.correlation = state.screened.demand(problem.limits)
    else:
        vector = weighted_residual(problem, state)
        state.screened = problem.start_screening(vector, state.correlation)


def weighted_residual(problem: SquaresProblem, state: QuadraticState) -> np.ndarray:
    """The residual times the sample weights, orthogonal to an intercept."""
    data = problem.data
    weighted = data.weighted(state.residual)
    if problem.fit_intercept:
        # Rounding must not leak into the (uncentred) columns.
        rest = np.full(weighted.shape, float(weighted.sum()) / data.total)
        weighted = weighted - data.weighted(rest)
    return weighted


def refresh(problem: SquaresProblem, state: QuadraticState) -> None:
    """Recompute residual and correlation from scratch, which removes drift."""
    cache, data = state.cache, problem.data
    fitted = cache.predict(cache.w[: cache.size])
    if cache.root is None:
        state.residual = problem.target - fitted
    else:
        scaled = cache.root * problem.target - fitted
        state.residual = np.divide(
            scaled, cache.root, out=np.zeros_like(scaled), where=cache.root > 0
        )
    vector = weighted_residual(problem, state)
    if state.screened is None:
        state.correlation = data.correlate(vector)
        return
    state.correlation = state.screened.move(vector, problem.limits, cache.member)


def certify_state(problem: QuadraticProblem, state: QuadraticState) -> None:
    """Update objective, best dual value and relative gap."""
    data, terms, cache = problem.data, problem.terms, state.cache
    total = data.total
    residual = state.residual
    w = cache.w[: cache.size]
    weighted = data.weighted(residual)
    squares = float(weighted @ residual)
    penalty = float(terms.l1[cache.index] @ np.abs(w))
    state.primal = 0.5 * squares / total + penalty
    if problem.simple:
        top = find_entering(problem, state)
        along = float(weighted @ problem.target)
        s = along / squares if squares > 0 else 1.0
        s = max(0.0, min(s, 1.0 / top if top > 0 else np.inf))
        dual = (s * along - 0.5 * s * s * squares) / total
    else:
        state.primal += 0.5 * float((terms.l2[cache.index] * w) @ w)
        dual = _general_dual(problem, state)
    state.dual = max(state.dual, dual)
    state.gap = (state.primal - state.dual) / problem.null.scale


def _general_dual(problem: QuadraticProblem, state: QuadraticState) -> float:
    """Dual value where there are ridge terms, bounds or free columns."""
    data, null = problem.data, problem.null
    theta, rho = state.residual, state.correlation
    if null.free.shape[1] > int(problem.fit_intercept):
        theta = null.feasible(theta, Quadratic())
        rho = data.correlate(data.weighted(theta))
    coef = state.cache.scatter()
    return separable_dual(
        data, Quadratic(), problem.terms, coef, theta, rho, problem.target
    )


def violators(problem: QuadraticProblem, state: QuadraticState) -> np.ndarray:
    """Return the coordinates that are to enter the working set."""
    if not problem.simple:
        find_entering(problem, state)
    return np.asarray(state.entering)


def find_entering(problem: QuadraticProblem, state: QuadraticState) -> float:
    """Find what violates most, as many as a pass may add; returns the largest ratio."""
    cache, data, terms = state.cache, problem.data, problem.terms
    used = int(np.count_nonzero(cache.w[: cache.size]))
    most = max(first_size(data), growth(data) * used)
    rho, limits, member = state.correlation, problem.limits, cache.member
    run = find_beyond.for_namespace(numpy_namespace)
    if not problem.simple:
        rho = np.where(np.where(rho > 0, terms.upper > 0, terms.lower < 0), rho, 0.0)
    elif state.screened is not None:
        near = state.screened.near
        top, state.beyond, found = run(rho[near], limits[near], member[near], most)
        state.entering = near[found]
        return max(float(top), FLOOR)
    top, state.beyond, state.entering = run(rho, limits, member, most)
    return float(top)


def wants_all(problem: QuadraticProblem, state: QuadraticState) -> bool:
    """Whether one Gram matrix of a whole tall design beats further passes over it."""
    p, cache = problem.data.shape[1], state.cache
    return bool(
        is_tall(problem.data)
        and p <= MOST_COLUMNS
        and cache.columns is not None
        and state.beyond
        and cache.size + state.beyond >= MOST * p
        and np.all(np.isfinite(problem.terms.l1))
    )


def is_tall(data: LinearData) -> bool:
    """Whether columns are so few that their Gram matrices are well determined."""
    n, p = data.shape
    return TALL * p <= n


def growth(data: LinearData) -> int:
    """How many times the support a pass may add.

    More where a tall design leaves few columns to choose from.
    """
    n, p = data.shape
    return 2 if data.is_sparse or p > n else 4


def first_size(data: LinearData) -> int:
    """How many columns a pass may add when there are few."""
    if data.is_sparse:
        return FIRST_SIZE
    return min(max(3 * math.isqrt(data.shape[1]), FIRST_SIZE), LARGE_FIRST)


def _initial_columns(problem: QuadraticProblem, coef: Any) -> np.ndarray:
    """Columns that must be in the working set from the start."""
    terms = problem.terms
    if problem.simple and coef is None:
        return np.empty(0, np.int64)
    away = (terms.lower > 0) | (terms.upper < 0)
    unpenalised = (terms.l1 == 0) & (terms.l2 == 0)
    wanted = away | unpenalised
    if coef is not None:
        wanted |= coef != 0
    return np.flatnonzero(wanted & np.isfinite(terms.l1))
