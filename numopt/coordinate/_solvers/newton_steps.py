# SPDX-License-Identifier: BSD-3-Clause
"""Newton steps on a working set: compiled for the logistic loss, else in arrays.

The loss is replaced by its second-order model, which the compiled solvers of quadratics
minimise; an Armijo search along the step follows.
"""

import numpy as np

from numopt._array.namespace import numpy_namespace
from numopt.coordinate._kernels.newton import RULES, newton_logistic
from numopt.coordinate._problem.datafits import Logistic
from numopt.coordinate._solvers.newton_model import (
    CurvedGram,
    loss_model,
    softmax_model,
)
from numopt.coordinate._solvers.newton_penalty import Part, ScalarPart
from numopt.coordinate._solvers.newton_state import ModelProblem, ModelState, expand
from numopt.coordinate._solvers.quadratic import MANY_NEW

__all__ = ["newton_steps"]

#: Steps end where one brings less than this share of the gap, or of the tolerance.
#: Both shares fall where few units entered.
STEP_SHARE, STEP_TOL = 0.05, 0.003
#: The gap of a model relative to the outer one, and again after an idle pass.
MODEL_SHARE, FINER = 0.03, 1e-2
#: The share of an upper bound in further models falls while steps are long, to nothing
#: in the end, and rises after short ones.
LESS_BOUND, MORE_BOUND, LEAST_BOUND = 0.1, 100.0, 1e-5
#: Full steps that bring more than this share of F(0) are prolonged.
FAR = 1e-2
#: Gram matrices of this work are in single precision down to this gap.
ROUGH_WORK, ROUGH_GAP = 2e6, 1e-4
#: Slopes that are this near their threshold, relatively, are at it.
SETTLED = 1e-10


def newton_steps(problem: ModelProblem, state: ModelState, entered: int) -> bool:
    """Newton steps on the working set until they bring little; whether one moved."""
    share = min(1.0, MANY_NEW * entered / max(state.index.size, 1))
    gap = min(state.gap, 1.0) * share
    # A gap of the loss may be far above that of its model, where a dual point lies on
    # the edge of the domain of a conjugate.
    accuracy = max(STEP_TOL * problem.tol, MODEL_SHARE * gap) * FINER**state.stalled
    enough = max(STEP_TOL * problem.tol, STEP_SHARE * gap) * problem.null.scale
    part = problem.units.on(
        state.index,
        outputs=np.atleast_2d(state.coef).shape[0],
        intercept=problem.fit_intercept,
    )
    taken, last, ended = 0, 0.0, False
    if isinstance(part, ScalarPart) and is_compiled(problem, state, part):
        taken, last, ended = compiled_steps(problem, state, part, accuracy, enough)
    moved = taken > 0
    for _ in range(taken, 0 if ended else RULES.max_steps):
        decrease, t = newton_step(problem, state, part, accuracy)
        if t < RULES.short and not problem.datafit.multi_output:
            state.bound = (
                1.0 if state.bound == 0 else min(1.0, MORE_BOUND * state.bound)
            )
            more, t = newton_step(problem, state, part, accuracy)
            decrease += more
        elif state.bound > 0:
            state.bound = LESS_BOUND * state.bound if state.bound > LEAST_BOUND else 0.0
        moved = moved or t > 0
        # Decreases fall faster and faster: the next one is at most decrease^2 / last.
        if decrease <= enough or (t == 1.0 and decrease * decrease <= enough * last):
            break
        last = decrease
    return moved


def is_compiled(problem: ModelProblem, state: ModelState, part: ScalarPart) -> bool:
    """Whether the compiled loop knows the problem."""
    known = isinstance(problem.datafit, Logistic) and state.bound == 0.0
    return known and part.sparse and isinstance(state.columns, np.ndarray)


def compiled_steps(
    problem: ModelProblem,
    state: ModelState,
    part: ScalarPart,
    accuracy: float,
    enough: float,
) -> tuple[int, float, bool]:
    """Plain Newton steps; (how many, decrease of the last, whether these are all)."""
    index, extra, gram = state.index, problem.fit_intercept, state.gram
    shares, work = problem.shares, state.columns.size * index.size
    rough = state.rough and state.gap > ROUGH_GAP and work > ROUGH_WORK
    x = np.empty(index.size + int(extra))
    x[: index.size] = state.coef[index]
    if extra:
        x[-1] = state.intercept
    weights = shares * state.curvature
    if gram.serves(weights) and gram.rough <= rough:
        gram.update(state.columns, index, weights)
        weights, G = gram.weights, gram.bordered(state.columns, intercept=extra)
    else:
        weights, G = np.empty(0), np.empty((x.size, x.size))
    run = newton_logistic.for_namespace(numpy_namespace)
    far = FAR * problem.null.scale if is_prolonged(problem, index.size) else np.inf
    try:
        taken, ended, x, state.z, derivatives, state.losses, weights, last = run(
            state.columns.T,
            problem.data.y,
            shares,
            state.z,
            state.gradient,
            state.curvature,
            state.losses,
            x,
            part.l1,
            part.l2,
            part.lower,
            part.upper,
            G,
            weights,
            rough,
            problem.null.scale,
            accuracy,
            enough,
            far,
            RULES,
        )
    except np.linalg.LinAlgError:
        # Rounding made a singular model indefinite: its diagonal is to be shifted.
        state.gram = CurvedGram()
        return 0, 0.0, False
    state.gradient, state.curvature = derivatives[1], derivatives[2]
    state.coef[index] = x[: index.size]
    if extra:
        state.intercept = float(x[-1])
    state.gram = CurvedGram()
    if ended or not rough:
        state.gram = CurvedGram(index, weights, G[: index.size, : index.size], rough)
    return taken, last, ended


def is_prolonged(problem: ModelProblem, size: int) -> bool:
    """Whether steps may be prolonged.

    Where most coordinates are still to come, a longer step goes the wrong way.
    """
    return problem.units.limits() is not None and 2 * size >= problem.data.shape[1]


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
    straight |= state.curvature.max() <= RULES.straight
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
    datafit, m = problem.datafit, state.index.size
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
        slack = RULES.rounding * (abs(losses) + start)
        if decrease >= -RULES.armijo * t * descent - slack:
            break
        t *= 0.5
    else:
        return 0.0, 0.0
    plain = outputs == 1 and t == 1.0 and is_prolonged(problem, m)
    if plain and decrease > FAR * problem.null.scale:
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
    x = flat + RULES.long * (new - flat)
    x[:m][x[:m] * new[:m] <= 0] = 0.0
    z = state.z + state.columns @ (x - flat)[:m]
    return x, z + (x - flat)[m:].sum()
