# SPDX-License-Identifier: BSD-3-Clause
"""Working sets and proximal Newton for convex losses with separable penalties.

The loss is replaced by its second-order model on the working set, which the compiled
Gram solver minimises; an Armijo search along the step follows.
"""

import dataclasses
from typing import Any

import numpy as np

from numopt._iterate.loop import Solver
from numopt._iterate.stopping import Stop
from numopt.coordinate._problem.data import LinearData
from numopt.coordinate._problem.datafits import Datafit
from numopt.coordinate._problem.duality import separable_dual
from numopt.coordinate._problem.groups import ScalarTerms
from numopt.coordinate._problem.null import NullModel
from numopt.coordinate._problem.penalties import Penalty
from numopt.coordinate._solvers.inner import minimise_gram

__all__ = ["ModelProblem", "ModelState", "ProxNewtonWorkingSet"]

FIRST_SIZE = 64
MAX_EPOCHS = 5_000
#: Newton steps between two products with the whole design.
MAX_STEPS = 20
ARMIJO = 1e-4
#: Below this step length an upper bound of the curvature replaces the curvature.
SHORT_STEP = 0.2
#: Rounding of the objective: steps that change it less are taken on trust.
ROUNDING = 1e-14
#: Relative diagonal shift of the model, against flat directions.
DAMPING = 1e-12


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ModelProblem:
    """A convex loss with a separable penalty, in the scaling of F."""

    data: LinearData
    datafit: Datafit
    penalty: Penalty
    terms: ScalarTerms
    null: NullModel
    fit_intercept: bool
    tol: float


@dataclasses.dataclass
class ModelState:
    """Coefficients, intercept, predictions and the gathered working set."""

    coef: np.ndarray
    intercept: Any
    z: np.ndarray
    index: np.ndarray
    columns: Any
    correlation: np.ndarray
    losses: float = np.inf
    primal: float = np.inf
    dual: float = -np.inf
    gap: float = np.inf
    stalled: int = 0


@dataclasses.dataclass(frozen=True)
class ProxNewtonWorkingSet(Solver[ModelProblem, ModelState]):
    """Grow the working set, take Newton steps on it, certify."""

    name = "proximal Newton"

    def init(self, problem: ModelProblem, warm_start: Any) -> ModelState:
        """Start from (coefficients, intercept), or from the null model."""
        data, terms = problem.data, problem.terms
        p = data.shape[1]
        outputs = problem.null.theta.shape[1:]
        if isinstance(warm_start, ModelState):
            coef, intercept = warm_start.coef, warm_start.intercept
        elif warm_start is not None and warm_start[0] is not None:
            coef, intercept = warm_start
            coef = np.array(coef)
            if not problem.fit_intercept or intercept is None:
                intercept = problem.null.intercept
        else:
            coef, intercept = np.zeros((*outputs, p)), problem.null.intercept
        coef = np.clip(coef, terms.lower, terms.upper)
        coef[..., np.isinf(terms.l1)] = 0.0
        z = data.predict(coef, intercept)
        if outputs and z.ndim == 1:
            z = np.broadcast_to(z[:, None], (data.shape[0], *outputs)).copy()
        free = (terms.l1 == 0) & (terms.l2 == 0)
        rows = coef.reshape(-1, p)
        index = np.flatnonzero((rows != 0).any(axis=0) | free)
        state = ModelState(coef, intercept, z, index, None, np.zeros(0))
        state.columns = gather(problem, index)
        certify_state(problem, state)
        return state

    def step(self, problem: ModelProblem, state: ModelState) -> ModelState:
        """Add violators, take Newton steps on the working set, certify."""
        before = state.gap
        grew = grow(problem, state)
        moved = False
        for step in range(MAX_STEPS):
            decrease, t = newton_step(problem, state)
            if t < SHORT_STEP and not problem.datafit.multi_output:
                more, t = newton_step(problem, state, majorise=True)
                decrease += more
            moved = moved or t > 0
            unit = problem.null.scale
            if decrease <= 0.02 * problem.tol * unit:
                break
            if step >= 1 and decrease <= 0.01 * state.gap * unit:
                break
        certify_state(problem, state)
        idle = not grew and (not moved or not state.gap < before)
        state.stalled = state.stalled + 1 if idle else 0
        return state

    def measure(self, problem: ModelProblem, state: ModelState) -> dict[str, Any]:
        """Objective, relative gap and sizes."""
        used = np.count_nonzero(state.coef.reshape(-1, problem.data.shape[1]).any(0))
        return {
            "objective": state.primal,
            "residual": state.gap,
            "dual_gap": state.gap,
            "n_working_set": state.index.size,
            "n_support": int(used),
        }

    def finish(self, problem: ModelProblem, state: ModelState) -> dict[str, Any]:
        """Coefficients, intercept and certificate."""
        rows = state.coef.reshape(-1, problem.data.shape[1])
        return {
            "coef": state.coef,
            "intercept": state.intercept,
            "objective": state.primal,
            "dual_gap": state.gap,
            "support": np.flatnonzero(rows.any(axis=0)),
        }

    def current(self, state: ModelState) -> Any:
        """Coefficients of all coordinates."""
        return state.coef

    def stop(self, problem: ModelProblem, state: ModelState) -> Stop | None:
        """Stop when several passes brought nothing."""
        if state.stalled < 3:
            return None
        return Stop(
            "stalled",
            f"the relative gap stays at {state.gap:.2e} > tol {problem.tol:.2e}, the "
            "limit of the arithmetic for this problem; increase `tol`",
        )


def gather(problem: ModelProblem, index: np.ndarray) -> Any:
    """Return the columns of the working set, dense Fortran order or CSR."""
    if problem.data.is_sparse:
        from scipy.sparse import csr_array

        return csr_array(problem.data.X[:, index], dtype=np.float64)
    return np.asarray(problem.data.X[:, index], dtype=np.float64, order="F")


def certify_state(problem: ModelProblem, state: ModelState) -> None:
    """Update objective, best dual value and relative gap: one pass over the design."""
    data, datafit = problem.data, problem.datafit
    losses = float(data.weighted(datafit.value(data.y, state.z)).sum())
    state.losses = losses / data.total
    state.primal = state.losses + problem.penalty.value(state.coef)
    theta = problem.null.feasible(-datafit.gradient(data.y, state.z), datafit)
    state.correlation = data.correlate(data.weighted(theta))
    dual = separable_dual(
        data, datafit, problem.terms, state.coef, theta, state.correlation, data.y
    )
    state.dual = max(state.dual, dual)
    state.gap = (state.primal - state.dual) / problem.null.scale


def grow(problem: ModelProblem, state: ModelState) -> bool:
    """Prune safely unlikely columns, then add the strongest violators."""
    terms = problem.terms
    rho = np.atleast_2d(state.correlation) / problem.data.total
    push = np.where(
        rho > 0, np.where(terms.upper > 0, rho, 0.0), np.where(terms.lower < 0, -rho, 0)
    ).max(axis=0)
    used = np.atleast_2d(state.coef).any(axis=0)
    kept = used[state.index] | (push[state.index] >= 0.8 * terms.l1[state.index])
    kept |= (terms.l1 == 0)[state.index]
    member = np.zeros(push.size, bool)
    member[state.index[kept]] = True
    found = np.flatnonzero((push > terms.l1) & ~member)
    limit = max(FIRST_SIZE, 2 * int(used.sum()))
    if found.size > limit:
        with np.errstate(divide="ignore"):
            score = push[found] / terms.l1[found]
        found = found[np.argpartition(-score, limit)[:limit]]
    if found.size or not kept.all():
        state.index = np.concatenate((state.index[kept], found))
        state.columns = gather(problem, state.index)
    return bool(found.size)


def newton_step(
    problem: ModelProblem, state: ModelState, *, majorise: bool = False
) -> tuple[float, float]:
    """One proximal Newton step on the working set; returns (decrease of F, length)."""
    data, datafit, index = problem.data, problem.datafit, state.index
    gradient = data.weighted(datafit.gradient(data.y, state.z)) / data.total
    if datafit.multi_output:
        G, slope = _multi_model(problem, state, gradient)
    else:
        G, slope = _model(problem, state, gradient, majorise)
    m, outputs = index.size, max(1, np.atleast_2d(state.coef).shape[0])
    extra = int(problem.fit_intercept)
    parts = [
        np.tile(np.concatenate((term[index], np.full(extra, fill))), outputs)
        for term, fill in zip(problem.terms, (0.0, 0.0, -np.inf, np.inf), strict=True)
    ]
    l1, l2, lower, upper = parts
    w = np.empty((outputs, m + extra))
    w[:, :m] = np.atleast_2d(state.coef)[:, index]
    if extra:
        w[:, m] = state.intercept
    flat = w.ravel().copy()
    diagonal = np.einsum("ii->i", G)
    diagonal *= 1.0 + DAMPING
    diagonal += l2
    slope = slope + l2 * flat
    new = flat.copy()
    size = flat.size
    if size == 0:
        return 0.0, 0.0
    c = G @ flat - slope
    unit = problem.null.scale
    gap = state.gap if np.isfinite(state.gap) else 1.0
    minimise_gram(
        G,
        new,
        slope.copy(),
        c,
        l1,
        lower,
        upper,
        squares=float(flat @ (c - slope)) + 2.0 * unit,
        target=unit * max(0.01 * problem.tol, 1e-4 * min(gap, 1.0)),
        max_epochs=MAX_EPOCHS,
    )
    return _search(problem, state, flat, new, slope, l1, l2, outputs, extra)


def _search(problem, state, flat, new, slope, l1, l2, outputs, extra):
    """Armijo search from ``flat`` towards ``new``."""
    data, datafit, index = problem.data, problem.datafit, state.index
    m = index.size
    step = new - flat
    rows = step.reshape(outputs, m + extra)
    moved = state.columns @ rows[:, :m].T
    if extra:
        moved = moved + rows[:, m]
    moved = moved if datafit.multi_output else moved[:, 0]

    def penalty(x: np.ndarray) -> float:
        return float(np.sum(np.where(x != 0, l1, 0.0) * np.abs(x) + 0.5 * l2 * x * x))

    start = penalty(flat)
    descent = float((slope - l2 * flat) @ step) + penalty(new) - start
    t = 1.0
    while t > 1e-8:
        z = state.z + t * moved
        losses = float(data.weighted(datafit.value(data.y, z)).sum()) / data.total
        x = new if t == 1.0 else flat + t * step
        decrease = state.losses + start - losses - penalty(x)
        slack = ROUNDING * (abs(losses) + start)
        if decrease >= -ARMIJO * t * descent - slack:
            break
        t *= 0.5
    else:
        return 0.0, 0.0
    state.z, state.losses = z, losses
    final = x.reshape(outputs, m + extra)
    if datafit.multi_output:
        state.coef[:, index] = final[:, :m]
    else:
        state.coef[index] = final[0, :m]
    if extra:
        state.intercept = final[:, m] if datafit.multi_output else float(final[0, m])
    return decrease, t


def _model(
    problem: ModelProblem, state: ModelState, gradient: np.ndarray, majorise: bool
):
    """Gram matrix with curvature weights, and gradient, for one output."""
    data, X = problem.data, state.columns
    loss = problem.datafit
    bound = loss.majorant_diag if majorise else loss.hessian_diag
    curvature = bound(data.y, state.z)
    weights = np.maximum(data.weighted(curvature) / data.total, 0.0)
    m = state.index.size
    size = m + int(problem.fit_intercept)
    G, slope = np.empty((size, size)), np.empty(size)
    G[:m, :m] = _gram(X, weights)
    slope[:m] = X.T @ gradient
    if size > m:
        G[m, :m] = G[:m, m] = X.T @ weights
        G[m, m] = weights.sum()
        slope[m] = gradient.sum()
    return G, slope


def _gram(X: Any, weights: np.ndarray) -> np.ndarray:
    root = np.sqrt(weights)
    if isinstance(X, np.ndarray):
        scaled = X * root[:, None]
        return scaled.T @ scaled
    scaled = X.multiply(root[:, None]).tocsr()
    return (scaled.T @ scaled).toarray()


def _multi_model(problem: ModelProblem, state: ModelState, gradient: np.ndarray):
    """The same for K outputs: K x K blocks of curvature."""
    data, X = problem.data, state.columns
    share = problem.datafit.probabilities(state.z)
    outputs = share.shape[1]
    m = state.index.size
    extra = int(problem.fit_intercept)
    size = m + extra
    G = np.empty((outputs, size, outputs, size))
    slope = np.empty((outputs, size))
    slope[:, :m] = np.asarray(X.T @ gradient).T
    if extra:
        slope[:, m] = gradient.sum(axis=0)
    for k in range(outputs):
        for h in range(k + 1):
            pair = share[:, k] * ((k == h) - share[:, h])
            weights = data.weighted(pair) / data.total
            block = np.empty((size, size))
            scaled = (
                X * weights[:, None]
                if isinstance(X, np.ndarray)
                else (X.multiply(weights[:, None]).tocsr())
            )
            product = X.T @ scaled
            block[:m, :m] = (
                product if isinstance(product, np.ndarray) else product.toarray()
            )
            if extra:
                block[m, :m] = block[:m, m] = X.T @ weights
                block[m, m] = weights.sum()
            G[k, :, h, :] = block
            G[h, :, k, :] = block.T
    return G.reshape(outputs * size, outputs * size), slope.ravel()
