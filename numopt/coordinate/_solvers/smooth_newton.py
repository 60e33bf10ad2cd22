# SPDX-License-Identifier: BSD-3-Clause
"""Truncated Newton for losses with ridge terms on all coefficients.

Nothing is sparse here, so the working set is everything. Few columns are solved by a
Cholesky factor that serves as long as it makes good steps; many columns, or several
outputs, by conjugate gradients on products with the design.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from numopt.coordinate._kernels.newton import RULES
from numopt.coordinate._problem.data import LinearData
from numopt.coordinate._problem.datafits import Datafit
from numopt.coordinate._solvers.newton_model import CurvedGram
from numopt.coordinate._solvers.newton_state import ModelProblem, ModelState
from numopt.coordinate._solvers.prox_newton import ProxNewtonWorkingSet, certify_state
from numopt.coordinate._solvers.ridge_systems import (
    Curvature,
    Factored,
    conjugate_gradients,
    preconditioner,
)

__all__ = ["SmoothNewton", "is_smooth"]

#: Newton steps between two certificates, and on a part of the rows.
MAX_STEPS, FIRST_STEPS = 30, 12
#: The gap that ends them, relative to the tolerance.
SHARE = 0.3
#: Up to so many columns a Hessian is factored.
FEW_COLUMNS = 300
#: A factor serves until a step with it leaves more than this share of the slope.
WEAR = 0.2
#: Rows a coefficient of designs that are first solved on a part of their rows, and of
#: that part; fewest rows of the part.
TALL, PART, FEWEST = 400, 100, 2000
#: Conjugate gradients that call for a new preconditioner.
MANY_PRODUCTS = 12


def is_smooth(problem: ModelProblem) -> bool:
    """Whether every coefficient has a ridge term and nothing else."""
    terms = problem.terms
    if terms is None or problem.data.is_elsewhere:
        return False
    if np.any(terms.l1) or not np.all(terms.l2 > 0):
        return False
    return not (np.isfinite(terms.lower).any() or np.isfinite(terms.upper).any())


@dataclasses.dataclass(frozen=True)
class SmoothNewton(ProxNewtonWorkingSet):
    """Newton steps on all coefficients, then a certificate."""

    name = "truncated Newton"

    def init(self, problem: ModelProblem, warm_start: Any) -> ModelState:
        """Start from (coefficients, intercept), or from the null model."""
        data, null = problem.data, problem.null
        outputs = null.theta.shape[1:]
        coef, intercept = np.zeros((*outputs, data.shape[1])), null.intercept
        if warm_start is not None:
            coef = np.array(warm_start[0])
            if problem.fit_intercept and warm_start[1] is not None:
                intercept = warm_start[1]
            z = np.array(data.predict(coef, intercept))
        else:
            z = np.full((data.shape[0], *outputs), intercept, dtype=np.float64)
        state = ModelState(
            *(coef, intercept, z, np.arange(data.shape[1]), None),
            *(np.zeros(0), CurvedGram()),
        )
        certify_state(problem, state)
        if warm_start is None:
            self._start_on_part(problem, state)
        return state

    def step(self, problem: ModelProblem, state: ModelState) -> ModelState:
        """Newton steps, then a certificate."""
        before = state.gap
        point = Point(state.coef, state.intercept, state.z, state.primal)
        target = SHARE * problem.tol * problem.null.scale
        moved = SmoothModel.of(problem).descend(point, target, MAX_STEPS)
        state.coef, state.intercept, state.z = point.coef, point.intercept, point.z
        certify_state(problem, state)
        idle = not moved or not state.gap < before
        state.stalled = state.stalled + 1 if idle else 0
        return state

    def _start_on_part(self, problem: ModelProblem, state: ModelState) -> None:
        """Solve a tall problem on evenly spread rows, and start there if better."""
        data = problem.data
        size = state.coef.size + 1
        stride = data.shape[0] // max(PART * size, FEWEST)
        if data.is_sparse or data.shape[0] < TALL * size or stride < 2:
            return
        weights = None if data.weights is None else data.weights[::stride]
        y = data.y[::stride]
        total = float(y.size if weights is None else weights.sum())
        if total == 0.0 or y.min() == y.max():
            return
        part = LinearData(X=data.X[::stride].copy(), y=y, weights=weights, total=total)
        model = dataclasses.replace(SmoothModel.of(problem), data=part)
        z = state.z[::stride].copy()
        point = Point(state.coef, state.intercept, z, model.value(z, state.coef))
        model.descend(point, problem.null.scale * size / y.size * 0.01, FIRST_STEPS)
        z = data.predict(point.coef, point.intercept)
        whole = SmoothModel.of(problem)
        if whole.value(z, point.coef) < state.primal:
            state.coef, state.intercept, state.z = point.coef, point.intercept, z


@dataclasses.dataclass
class Point:
    """Coefficients, intercept, predictions and objective."""

    coef: np.ndarray
    intercept: Any
    z: np.ndarray
    value: float


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class SmoothModel:
    """The objective: losses over the sum of weights, plus ridge terms."""

    data: LinearData
    datafit: Datafit
    l2: np.ndarray
    fit_intercept: bool

    @classmethod
    def of(cls, problem: ModelProblem) -> "SmoothModel":
        """The objective of a problem."""
        assert problem.terms is not None
        return cls(
            data=problem.data,
            datafit=problem.datafit,
            l2=problem.terms.l2,
            fit_intercept=problem.fit_intercept,
        )

    def value(self, z: np.ndarray, coef: np.ndarray) -> float:
        """Return the objective."""
        losses = self.data.weighted(self.datafit.value(self.data.y, z)).sum()
        return float(losses) / self.data.total + 0.5 * float(
            np.sum(self.l2 * coef * coef)
        )

    def slope(self, point: Point) -> np.ndarray:
        """Return the gradient, one row an output, that of the intercept last."""
        data = self.data
        losses = data.weighted(self.datafit.gradient(data.y, point.z)) / data.total
        slope = np.atleast_2d(data.correlate(losses) + self.l2 * point.coef)
        if self.fit_intercept:
            last = np.reshape(losses.sum(axis=0), (-1, 1))
            slope = np.concatenate((slope, last), axis=1)
        return slope

    def curvature(self, z: np.ndarray, *, majorise: bool = False) -> Curvature:
        """Return the second derivative at z, or one of parabolas above the loss."""
        data, datafit = self.data, self.datafit
        share = None
        if datafit.multi_output:
            share = datafit.probabilities(z)  # type: ignore[attr-defined]
            diagonal = np.ones(z.shape[0])
        else:
            bound = datafit.majorant_diag if majorise else datafit.hessian_diag
            diagonal = bound(data.y, z)
        return Curvature(
            data=data,
            weights=np.maximum(data.weighted(diagonal) / data.total, 0.0),
            share=share,
            l2=np.atleast_2d(self.l2),
            fit_intercept=self.fit_intercept,
        )

    def descend(self, point: Point, target: float, most: int) -> bool:
        """Newton steps until the gap is below ``target``; whether one was taken.

        Where the intercept is optimal, the gap is ``sum g^2 / (2 l2)`` of the slope.
        """
        few = not self.datafit.multi_output and point.coef.size <= FEW_COLUMNS
        direct: Any = Directions if few else Truncated
        directions = direct(self)
        moved, short = False, False
        for _ in range(most):
            slope = self.slope(point)
            own = slope[:, : point.coef.shape[-1]]
            gap = 0.5 * float(np.sum(own * own / self.l2))
            if moved and gap <= target:
                break
            step = directions.find(point, slope, majorise=short)
            t = self._search(point, step, slope)
            short = t < RULES.short and not short and not self.datafit.multi_output
            if t == 0.0 and not short:
                break
            moved = moved or t > 0.0
        return moved

    def _search(self, point: Point, step: np.ndarray, slope: np.ndarray) -> float:
        """Armijo search along a step; moves the point and returns the length."""
        p = point.coef.shape[-1]
        multi = self.datafit.multi_output
        d = step[:, :p] if multi else step[0, :p]
        b: Any = 0.0
        if self.fit_intercept:
            b = step[:, p] if multi else float(step[0, p])
        moved = self.data.predict(d, b)
        descent, start = float(np.sum(slope * step)), point.value
        t = 1.0
        while t > 1e-8:
            z, coef = point.z + t * moved, point.coef + t * d
            now = self.value(z, coef)
            if now <= start + RULES.armijo * t * descent + RULES.rounding * abs(start):
                point.z, point.coef, point.value = z, coef, now
                point.intercept = point.intercept + t * b
                return t
            t *= 0.5
        return 0.0


class Directions:
    """Newton directions by a factor that serves as long as its steps are good."""

    def __init__(self, model: SmoothModel) -> None:
        self.model = model
        self.factor: Factored | None = None
        self.last = np.inf

    def find(self, point: Point, slope: np.ndarray, *, majorise: bool) -> np.ndarray:
        """Return a direction of descent."""
        size = float(np.linalg.norm(slope))
        if self.factor is None or majorise or size > WEAR * self.last:
            curvature = self.model.curvature(point.z, majorise=majorise)
            self.factor = Factored(curvature.hessian())
        self.last = size
        return -self.factor.solve(slope.ravel())[None, :]


class Truncated:
    """Newton directions by preconditioned conjugate gradients."""

    def __init__(self, model: SmoothModel) -> None:
        self.model = model
        self.first = 0.0
        self.precondition: Callable[[np.ndarray], np.ndarray] | None = None

    def find(self, point: Point, slope: np.ndarray, *, majorise: bool) -> np.ndarray:
        """Return a direction: the nearer the solution, the more exact."""
        size = float(np.linalg.norm(slope))
        self.first = max(self.first, size)
        curvature = self.model.curvature(point.z, majorise=majorise)
        if self.precondition is None:
            self.precondition = preconditioner(curvature)
        share = min(0.1, float(np.sqrt(size / self.first))) if size else 0.1
        step, products = conjugate_gradients(
            curvature.times,
            -slope,
            self.precondition,
            share=share,
        )
        if products > MANY_PRODUCTS:
            self.precondition = None
        return step
