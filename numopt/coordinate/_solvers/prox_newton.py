# SPDX-License-Identifier: BSD-3-Clause
"""Working sets and proximal Newton for any loss with separable or group penalties.

The loss is replaced by its second-order model on the working set, which the compiled
solvers of quadratics minimise; an Armijo search along the step follows.
"""

import dataclasses
import functools
from typing import Any

import numpy as np

from numopt._array.namespace import numpy_namespace
from numopt._iterate.loop import Solver
from numopt._iterate.stopping import Stop
from numopt.coordinate._kernels.descent import sort_units
from numopt.coordinate._problem.data import LinearData
from numopt.coordinate._problem.datafits import Datafit
from numopt.coordinate._problem.groups import GroupTerms, ScalarTerms
from numopt.coordinate._problem.null import NullModel
from numopt.coordinate._problem.penalties import Penalty
from numopt.coordinate._solvers.newton_model import (
    CurvedGram,
    gather,
    loss_model,
    softmax_model,
)
from numopt.coordinate._solvers.newton_penalty import (
    GroupUnits,
    Part,
    ScalarUnits,
    Units,
)
from numopt.coordinate._solvers.quadratic import FIRST_SIZE, MANY_NEW
from numopt.coordinate._solvers.screening import Screened

__all__ = ["ModelProblem", "ModelState", "ProxNewtonWorkingSet", "newton_steps"]

#: Units at 0 below this share of their threshold leave the working set.
NEAR = 0.9
#: Newton steps between two products with the whole design, which end earlier when a
#: step brings less than this share of the gap, or of the tolerance.
#: Both shares fall where few units entered.
MAX_STEPS, STEP_SHARE, STEP_TOL = 20, 0.1, 0.02
#: The gap of a model relative to the outer one.
MODEL_SHARE = 0.03
ARMIJO = 1e-4
#: Below this step length an upper bound replaces the curvature. Its share in further
#: models falls while steps are long, to nothing in the end, and rises after short ones.
SHORT_STEP = 0.2
LESS_BOUND, MORE_BOUND, LEAST_BOUND = 0.1, 100.0, 1e-5
#: Full steps that bring more than this share of F(0) are tried at this length as well.
FAR, LONG_STEP = 1e-2, 2.0
#: Slopes that are this near their threshold, relatively, are at it.
SETTLED = 1e-10
#: Rounding of the objective: steps that change it less are taken on trust.
ROUNDING = 1e-14


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ModelProblem:
    """A loss with a separable (``terms``) or a group penalty, in the scaling of F."""

    data: LinearData
    datafit: Datafit
    penalty: Penalty
    terms: ScalarTerms | None
    null: NullModel
    fit_intercept: bool
    tol: float

    @functools.cached_property
    def units(self) -> Units:
        """The penalty over its units."""
        if self.terms is not None:
            return ScalarUnits(self.terms)
        groups = self.penalty.group_terms(self.data.shape[1])
        assert isinstance(groups, GroupTerms)
        return GroupUnits.of(groups)

    @functools.cached_property
    def steepest(self) -> float:
        """Largest slope of the null model: the unit of violations without a dual."""
        rho = self.data.correlate(self.data.weighted(self.null.theta))
        return max(float(np.abs(rho).max()) / self.data.total, 1e-300)


@dataclasses.dataclass
class ModelState:
    """Coefficients, intercept, predictions and the gathered working set."""

    coef: np.ndarray
    intercept: Any
    z: np.ndarray
    index: np.ndarray
    columns: Any
    correlation: np.ndarray
    gram: CurvedGram
    #: Mean loss at z; derivatives of every sample in its prediction.
    losses: float = np.inf
    gradient: np.ndarray = dataclasses.field(default_factory=lambda: np.empty(0))
    curvature: np.ndarray = dataclasses.field(default_factory=lambda: np.empty(0))
    primal: float = np.inf
    dual: float = -np.inf
    gap: float = np.inf
    stalled: int = 0
    #: Share of an upper bound in the curvature of models.
    bound: float = 0.0
    #: Share of its threshold from which a unit enters; below 1 by the strong rule.
    entry: float = 1.0
    #: On a path: which products with the dual candidate are left out.
    screened: Screened | None = None

    def predict(self) -> np.ndarray:
        """Predictions from scratch, which removes drift."""
        z = np.zeros(self.z.shape) + self.intercept
        if self.index.size:
            z += self.columns @ self.coef[..., self.index].T
        return z


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
    state.bound = 0.0
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


def expand(
    problem: ModelProblem, z: np.ndarray
) -> tuple[float, np.ndarray, np.ndarray]:
    """Mean loss at predictions, and the derivatives of every sample."""
    data = problem.data
    value, gradient, curvature = problem.datafit.expand(data.y, z)
    return float(data.weighted(value).sum()) / data.total, gradient, curvature


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


def newton_steps(problem: ModelProblem, state: ModelState, entered: int) -> bool:
    """Newton steps on the working set until they bring little; whether one moved."""
    moved = False
    share = min(1.0, MANY_NEW * entered / max(state.index.size, 1))
    gap = min(state.gap, 1.0) * share
    accuracy = max(STEP_TOL * problem.tol, MODEL_SHARE * gap)
    enough = max(STEP_TOL * problem.tol, STEP_SHARE * gap) * problem.null.scale
    part = problem.units.on(
        state.index,
        outputs=np.atleast_2d(state.coef).shape[0],
        intercept=problem.fit_intercept,
    )
    last = 0.0
    for _ in range(MAX_STEPS):
        decrease, t = newton_step(problem, state, part, accuracy)
        if t < SHORT_STEP and not problem.datafit.multi_output:
            state.bound = (
                1.0 if state.bound == 0 else min(1.0, MORE_BOUND * state.bound)
            )
            more, t = newton_step(problem, state, part, accuracy)
            decrease += more
        elif state.bound > 0:
            state.bound = LESS_BOUND * state.bound if state.bound > LEAST_BOUND else 0.0
        moved = moved or t > 0
        # Decreases fall faster and faster: the next one is at most decrease^2 / last.
        if decrease <= enough or (t == 1.0 and decrease**2 <= enough * last):
            break
        last = decrease
    return moved


def newton_step(
    problem: ModelProblem,
    state: ModelState,
    part: Part,
    accuracy: float,
) -> tuple[float, float]:
    """One proximal Newton step on the working set; returns (decrease of F, length)."""
    data, datafit, index = problem.data, problem.datafit, state.index
    extra = problem.fit_intercept
    if datafit.multi_output:
        G, slope = softmax_model(data, datafit, state.z, state.columns, intercept=extra)
    else:
        gram, curvature = state.gram, state.curvature
        if state.bound > 0:
            above = datafit.majorant_diag(data.y, state.z)
            curvature = (1.0 - state.bound) * curvature + state.bound * above
            gram = CurvedGram()
        G, slope = loss_model(
            data,
            state.gradient,
            curvature,
            state.columns,
            index,
            gram,
            intercept=extra,
        )
    if slope.size == 0:
        return 0.0, 0.0
    if state.bound == 0 and _is_blind(problem, state, G, slope):
        state.bound = 1.0
        return newton_step(problem, state, part, accuracy)
    rows = np.atleast_2d(state.coef)
    outputs = rows.shape[0]
    x = np.empty((outputs, index.size + int(extra)))
    x[:, : index.size] = rows[:, index]
    if extra:
        x[:, -1] = state.intercept
    flat = x.ravel()
    new = part.minimise(G, slope, flat, problem.null.scale, accuracy)
    return _search(problem, state, part, flat, new, slope)


def _is_blind(
    problem: ModelProblem, state: ModelState, G: np.ndarray, slope: np.ndarray
) -> bool:
    """Whether a coordinate that should move meets no curvature.

    The model cannot say how far where all samples lie on straight parts of the loss.
    """
    m, index, units = state.index.size, state.index, problem.units
    straight = np.einsum("ii->i", G) == 0
    if problem.terms is not None:
        straight[:m] &= problem.terms.l2[index] == 0
    if problem.datafit.multi_output or not straight.any():
        return False
    push = np.zeros(problem.data.shape[1])
    push[index] = -slope[:m]
    beyond = units.scores(push)[units.owner[index]] - 1.0
    used = units.used(state.coef)
    # At the optimum units in use lie at their threshold, the others below.
    pulled = np.where(used[units.owner[index]], np.abs(beyond), beyond) > SETTLED
    return bool(slope[m:][straight[m:]].any() or np.any(straight[:m] & pulled))


def _search(
    problem: ModelProblem,
    state: ModelState,
    part: Part,
    flat: np.ndarray,
    new: np.ndarray,
    slope: np.ndarray,
) -> tuple[float, float]:
    """Armijo search from ``flat`` towards ``new``."""
    data, datafit, m = problem.data, problem.datafit, state.index.size
    outputs = np.atleast_2d(state.coef).shape[0]
    step = new - flat
    rows = step.reshape(outputs, -1)
    moved = state.columns @ rows[:, :m].T
    if problem.fit_intercept:
        moved = moved + rows[:, m]
    moved = moved if datafit.multi_output else moved[:, 0]
    start, end = part.value(flat), part.value(new)
    descent = float(slope @ step) + end - start
    t = 1.0
    while t > 1e-8:
        z = state.z + t * moved
        losses, *derivatives = expand(problem, z)
        if t < 1.0:
            new = flat + t * step
            end = part.value(new)
        decrease = state.losses + start - losses - end
        slack = ROUNDING * (abs(losses) + start)
        if decrease >= -ARMIJO * t * descent - slack:
            break
        t *= 0.5
    else:
        return 0.0, 0.0
    # Where most coordinates are still to come, a longer step goes the wrong way.
    most = outputs == 1 and 2 * m >= data.shape[1]
    plain = most and problem.units.limits() is not None
    if plain and t == 1.0 and decrease > FAR * problem.null.scale:
        longer, z_longer = _prolonged(state, flat, new)
        further, *others = expand(problem, z_longer)
        gain = losses + end - further - part.value(longer)
        if gain > 0:
            new, z, losses, derivatives = longer, z_longer, further, others
            decrease += gain
    state.z, state.losses = z, losses
    state.gradient, state.curvature = derivatives
    final = new.reshape(outputs, -1)
    np.atleast_2d(state.coef)[:, state.index] = final[:, :m]
    if problem.fit_intercept:
        b = final[:, m]
        state.intercept = b.copy() if datafit.multi_output else float(b[0])
    return decrease, t


def _prolonged(
    state: ModelState, flat: np.ndarray, new: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """A longer step from ``flat`` beyond ``new``, and its predictions.

    Far from the optimum the curvature of a loss falls along a Newton step, which is
    then too short. Coordinates keep the signs that they have in ``new``.
    """
    m = state.index.size
    x = flat + LONG_STEP * (new - flat)
    x[:m][x[:m] * new[:m] <= 0] = 0.0
    z = state.z + state.columns @ (x - flat)[:m]
    return x, z + (x - flat)[m:].sum()
