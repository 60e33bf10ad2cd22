# SPDX-License-Identifier: BSD-3-Clause
"""Working sets and proximal Newton for any loss with separable or group penalties.

A pass takes Newton steps on the working set and certifies on the whole design.
"""

import dataclasses
from typing import Any

import numpy as np

from numopt._array.namespace import numpy_namespace
from numopt._iterate.loop import Solver
from numopt._iterate.stopping import Stop
from numopt.coordinate._kernels.descent import sort_units
from numopt.coordinate._solvers.newton_model import CurvedGram, gather
from numopt.coordinate._solvers.newton_state import ModelProblem, ModelState, expand
from numopt.coordinate._solvers.newton_steps import newton_steps
from numopt.coordinate._solvers.quadratic import FIRST_SIZE
from numopt.coordinate._solvers.screening import Screened

__all__ = ["ProxNewtonWorkingSet", "certify_state"]

#: Units at 0 below this share of their threshold leave the working set.
NEAR = 0.9
#: Passes without newcomers that leave more of the gap end single precision.
SLOW = 0.1


@dataclasses.dataclass(frozen=True)
class ProxNewtonWorkingSet(Solver[ModelProblem, ModelState]):
    """Grow the working set, take Newton steps on it, certify."""

    name = "proximal Newton"

    def init(self, problem: ModelProblem, warm_start: Any) -> ModelState:
        """Start from a state, from (coefficients, intercept), or the null model."""
        if isinstance(warm_start, ModelState):
            resume(problem, warm_start)
            return warm_start
        data = problem.data
        outputs = problem.null.theta.shape[1:]
        coef, intercept = problem.null.start(), problem.null.intercept
        if warm_start is not None and warm_start[0] is not None:
            coef = data.without_empty(warm_start[0])
            if problem.fit_intercept and warm_start[1] is not None:
                intercept = warm_start[1]
        coef = problem.units.nearest(coef)
        index = needed(problem, coef)
        columns, z = gather(data, index), np.zeros((data.shape[0], *outputs))
        state = ModelState(
            coef, intercept, z, index, columns, np.zeros(0), CurvedGram()
        )
        state.z = state.predict()
        certify_state(problem, state)
        return state

    def step(self, problem: ModelProblem, state: ModelState) -> ModelState:
        """Add violators, take Newton steps on the working set, certify."""
        before = state.gap
        entered = grow(problem, state)
        moved = newton_steps(problem, state, entered)
        state.z = state.predict()
        certify_state(problem, state)
        if not entered and state.gap > SLOW * before:
            state.rough = False
        idle = not entered and (not moved or not state.gap < before)
        state.stalled = state.stalled + 1 if idle else 0
        return state

    def measure(self, problem: ModelProblem, state: ModelState) -> dict[str, Any]:
        """Objective, relative gap and sizes."""
        used = np.count_nonzero(np.atleast_2d(state.coef).any(axis=0))
        return {
            "objective": state.primal,
            "residual": state.gap,
            "dual_gap": state.gap if problem.datafit.has_dual else np.nan,
            "n_working_set": state.index.size,
            "n_support": int(used),
        }

    def finish(self, problem: ModelProblem, state: ModelState) -> dict[str, Any]:
        """Coefficients, intercept and certificate."""
        rows = np.atleast_2d(state.coef)
        return {
            "coef": state.coef,
            "intercept": state.intercept,
            "objective": state.primal,
            "dual_gap": state.gap if problem.datafit.has_dual else np.nan,
            "support": np.flatnonzero(rows.any(axis=0)),
        }

    def current(self, state: ModelState) -> Any:
        """Coefficients of all coordinates."""
        return state.coef

    def stop(self, problem: ModelProblem, state: ModelState) -> Stop | None:
        """Stop when several passes brought nothing."""
        if state.stalled < 3:
            return None
        what = "relative gap" if problem.datafit.has_dual else "relative violation"
        return Stop(
            "stalled",
            f"the {what} stays at {state.gap:.2e} > tol {problem.tol:.2e}, the "
            "limit of the arithmetic for this problem; increase `tol`",
        )


def needed(problem: ModelProblem, coef: np.ndarray) -> np.ndarray:
    """Coordinates of the units that are in use or not penalised."""
    units = problem.units
    return units.members(np.flatnonzero(units.free | units.used(coef)))


def resume(problem: ModelProblem, state: ModelState) -> None:
    """Go on at the next strength of a path: only the thresholds have changed."""
    state.dual, state.stalled, state.gram = -np.inf, 0, CurvedGram()
    state.bound, state.rough = 0.0, True
    state.index = needed(problem, state.coef)
    state.columns = gather(problem.data, state.index)
    limits = limits_of(problem)
    if limits is not None and state.screened is not None:
        state.correlation = state.screened.demand(limits)
    elif limits is not None:
        vector = candidate(problem, state)
        state.screened = Screened.start(problem.data, vector, state.correlation)
    certify_state(problem, state, moved=False)


def limits_of(problem: ModelProblem) -> np.ndarray | None:
    """Thresholds of the products with a dual candidate; None without screening."""
    limits = problem.units.limits()
    if limits is None or problem.datafit.multi_output or not problem.datafit.has_dual:
        return None
    return limits * problem.data.total


def candidate(problem: ModelProblem, state: ModelState) -> np.ndarray:
    """The residual, orthogonal to free columns, times the sample weights."""
    theta = problem.null.feasible(-state.gradient, problem.datafit)
    return problem.data.weighted(theta)


def certify_state(
    problem: ModelProblem, state: ModelState, *, moved: bool = True
) -> None:
    """Update objective, best dual value and relative gap: one pass over the design.

    Predictions that have not ``moved`` need none. Without a dual the gap is the
    relative violation of the optimality conditions.
    """
    data, datafit = problem.data, problem.datafit
    state.losses, state.gradient, state.curvature = expand(problem, state.z)
    state.primal = state.losses + problem.units.value(state.coef)
    theta = -state.gradient
    if not datafit.has_dual:
        weighted = data.weighted(theta)
        state.correlation = data.correlate(weighted)
        slope = -state.correlation / data.total
        distance = problem.penalty.subdiff_distance(state.coef, slope)
        worst = float(np.max(distance, initial=0.0))
        if problem.fit_intercept:
            worst = max(worst, float(np.abs(weighted.sum(axis=0)).max()) / data.total)
        state.gap = worst / problem.steepest
        return
    theta = problem.null.feasible(theta, datafit)
    if moved:
        correlate(problem, state, data.weighted(theta))
    rho = state.correlation
    if state.screened is not None:
        rho = np.abs(rho) + state.screened.slack
    dual = problem.units.dual(data, datafit, state.coef, theta, rho)
    state.dual = max(state.dual, dual)
    state.gap = (state.primal - state.dual) / problem.null.scale


def correlate(problem: ModelProblem, state: ModelState, vector: np.ndarray) -> None:
    """Update the products of the design with a dual candidate, where they matter."""
    limits = limits_of(problem)
    if state.screened is None or limits is None:
        state.correlation = problem.data.correlate(vector)
        return
    inside = np.zeros(limits.size, bool)
    inside[state.index] = True
    state.correlation = state.screened.move(vector, limits, inside)


def grow(problem: ModelProblem, state: ModelState) -> int:
    """Drop units that are unlikely, add the strongest violators; how many came."""
    units = problem.units
    score = units.scores(state.correlation / problem.data.total)
    used, inside = units.used(state.coef), np.zeros(score.size, bool)
    inside[units.owner[state.index]] = True
    run = sort_units.for_namespace(numpy_namespace)
    kept, found = run(score, used, inside, units.free, NEAR, state.entry)
    state.entry = 1.0
    limit = max(FIRST_SIZE, 2 * int(np.count_nonzero(used)))
    if found.size > limit:
        found = found[np.argpartition(-score[found], limit)[:limit]]
    index = units.members(np.concatenate((kept, found)))
    if not np.array_equal(index, state.index):
        state.index = index
        state.columns = gather(problem.data, index)
    return int(np.count_nonzero(~inside[found]))
