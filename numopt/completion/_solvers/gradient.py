# SPDX-License-Identifier: BSD-3-Clause
"""First-order methods: scaled gradient descent and the subgradient method."""

import dataclasses
import math
from typing import Any

from numopt._array.namespace import array_namespace, device, to_numpy
from numopt._array.random import as_generator
from numopt._iterate.loop import Solver
from numopt._iterate.stopping import Stop
from numopt.completion._kernels.als import line_sums
from numopt.completion._problem import Observations
from numopt.completion._solvers.factors import (
    join,
    relative_decrease,
    relative_residual,
    residuals,
    rounding_losses,
    weighted_square,
)
from numopt.completion._solvers.spectral import truncated_svd
from numopt.typing import Array

__all__ = ["ScaledGD", "SubGM"]

#: First step of scaled gradient descent, and its least before a stall is declared.
FIRST_STEP, LEAST_STEP = 0.5, 1e-12
#: Sufficient decrease and growth of the step after a success.
ARMIJO, GROWTH = 1e-4, 1.5
#: Subgradient method: scale of the start, first step, decay after a plateau, window.
SMALL_START, SUB_STEP, DECAY, WINDOW = 1e-3, 0.25, 0.98, 20


def gradients(
    problem: Observations, r: Array, U: Array, V: Array
) -> tuple[Array, Array]:
    """Products of the residual matrix (row-major entries) with V and with U."""
    xp = array_namespace(r)
    rows, cols = problem.by_row, problem.by_col
    return (
        line_sums(rows.indptr, rows.indices, r, V),
        line_sums(cols.indptr, cols.indices, xp.take(r, cols.order), U),
    )


@dataclasses.dataclass
class _State:
    """Factors, residuals, step length and the best point."""

    U: Array
    V: Array
    r: Array
    objective: float
    exact: float = 0.0
    step: float = FIRST_STEP
    residual: float = math.inf
    steps: int = 0
    best: tuple[float, Array, Array] | None = None
    plateau: float = math.inf


def _spectral(
    problem: Observations, values: Array, rank: int, random_state: Any
) -> tuple[Array, Array, Array]:
    """Truncated decomposition of the known entries, rescaled."""
    m, n = problem.shape
    U, s, V = truncated_svd(problem, values, rank, as_generator(random_state))
    return U, s * (m * n / problem.n_observed), V


def _result(problem: Observations, U: Array, V: Array, value: float) -> dict[str, Any]:
    """Fields of the result."""
    P, Q = join(U), join(V)
    return {
        "P": P,
        "Q": Q,
        "objective": value,
        "relative_residual": relative_residual(problem, P, Q),
    }


@dataclasses.dataclass(frozen=True)
class ScaledGD(Solver[Observations, _State]):
    """Gradient steps preconditioned by the Grams of the factors, with backtracking."""

    rank: int
    alpha: float
    random_state: Any

    name = "scaled_gd"

    def init(self, problem: Observations, warm_start: Any) -> _State:
        """Spectral factors."""
        if warm_start is not None:
            U, V = warm_start[0][:, :-1], warm_start[1][:, :-1]
        else:
            values = problem.by_row.values
            if problem.weighted:
                values = values * problem.by_row.weights
            A, s, B = _spectral(problem, values, self.rank, self.random_state)
            root = array_namespace(s).sqrt(s)
            U, V = A * root, B * root
        r, value = self._value(problem, U, V)
        return _State(U, V, r, value, rounding_losses(problem)[0])

    def _value(self, problem: Observations, U: Array, V: Array) -> tuple[Array, float]:
        """Residuals and objective."""
        xp = array_namespace(U)
        r = residuals(problem, join(U), join(V))
        ridge = float(to_numpy(xp.sum(U * U) + xp.sum(V * V)))
        return r, weighted_square(problem, r) + self.alpha * ridge

    def step(self, problem: Observations, state: _State) -> _State:
        """One simultaneous step of both factors that lowers the objective."""
        xp = array_namespace(state.U)
        r = state.r * problem.by_row.weights if problem.weighted else state.r
        gu, gv = gradients(problem, r, state.U, state.V)
        gu, gv = gu - self.alpha * state.U, gv - self.alpha * state.V
        m, n = problem.shape
        share = problem.n_observed / (m * n)
        du = self._scaled(gu, state.V, share)
        dv = self._scaled(gv, state.U, share)
        slope = 2 * float(to_numpy(xp.sum(gu * du) + xp.sum(gv * dv)))
        before = state.objective
        state.steps += 1
        while state.step > LEAST_STEP:
            U, V = state.U + state.step * du, state.V + state.step * dv
            left, value = self._value(problem, U, V)
            if value <= before - ARMIJO * state.step * slope:
                state.U, state.V, state.r, state.objective = U, V, left, value
                state.step = min(GROWTH * state.step, 1.0)
                break
            state.step *= 0.5
        state.residual = relative_decrease(before, state.objective, state.exact)
        return state

    def _scaled(self, g: Array, other: Array, share: float) -> Array:
        """Gradient times (share V'V + alpha I)^-1."""
        xp = array_namespace(g)
        k = other.shape[1]
        gram = share * (other.T @ other)
        eye = xp.eye(k, dtype=g.dtype, device=device(g))
        trace = float(to_numpy(xp.sum(gram * eye)))
        tiny = float(xp.finfo(g.dtype).eps) * trace + 1e-300
        return xp.linalg.solve(gram + (self.alpha + tiny) * eye, g.T).T

    def measure(self, problem: Observations, state: _State) -> dict[str, Any]:
        """Objective and its relative decrease."""
        return {
            "objective": state.objective,
            "residual": state.residual,
            "rank": self.rank,
        }

    def current(self, state: _State) -> Any:
        """The factors."""
        return state.U, state.V

    def finish(self, problem: Observations, state: _State) -> dict[str, Any]:
        """Factors as they are."""
        return _result(problem, state.U, state.V, state.objective)


@dataclasses.dataclass(frozen=True)
class SubGM(Solver[Observations, _State]):
    """Subgradient steps on the absolute loss from a small spectral start."""

    rank: int
    tol: float
    random_state: Any

    name = "subgradient"

    def init(self, problem: Observations, warm_start: Any) -> _State:
        """Leading directions of the signs, scaled down."""
        xp, values = problem.xp, problem.by_row.values
        if warm_start is not None:
            U, V = warm_start[0][:, :-1], warm_start[1][:, :-1]
        else:
            A, s, B = _spectral(problem, xp.sign(values), self.rank, self.random_state)
            top = xp.max(s)
            root = xp.sqrt(SMALL_START * s / xp.where(top > 0, top, xp.ones_like(top)))
            U, V = A * root, B * root
        r = residuals(problem, join(U), join(V))
        return _State(U, V, r, self._loss(problem, r), step=SUB_STEP)

    def _loss(self, problem: Observations, r: Array) -> float:
        """Weighted sum of absolute residuals."""
        xp = array_namespace(r)
        size = xp.abs(r) * problem.by_row.weights if problem.weighted else xp.abs(r)
        return float(to_numpy(xp.sum(xp.astype(size, xp.float64))))

    def step(self, problem: Observations, state: _State) -> _State:
        """One step along the normalised subgradient; shorter after a plateau."""
        xp = array_namespace(state.U)
        signs = xp.sign(state.r)
        if problem.weighted:
            signs = signs * problem.by_row.weights
        gu, gv = gradients(problem, signs, state.U, state.V)
        scale = math.sqrt(float(to_numpy(xp.sum(state.U**2) + xp.sum(state.V**2))) / 2)
        size = math.sqrt(float(to_numpy(xp.sum(gu * gu) + xp.sum(gv * gv))))
        if size == 0.0:
            # Every entry is met, or nothing leads away from zero factors.
            state.residual = 0.0
            return state
        length = state.step * max(scale, 1e-300) / size
        state.U, state.V = state.U + length * gu, state.V + length * gv
        state.r = residuals(problem, join(state.U), join(state.V))
        state.objective = self._loss(problem, state.r)
        if state.best is None or state.objective < state.best[0]:
            state.best = (state.objective, state.U, state.V)
        state.steps += 1
        if state.steps % WINDOW == 0:
            change = (state.plateau - state.best[0]) / max(state.best[0], 1e-300)
            if change < 1e-2:
                state.step *= DECAY**WINDOW
            state.plateau = state.best[0]
            state.residual = state.step
        return state

    def measure(self, problem: Observations, state: _State) -> dict[str, Any]:
        """Absolute loss; the residual is the relative step length."""
        return {
            "objective": state.objective,
            "residual": state.residual,
            "rank": self.rank,
        }

    def stop(self, problem: Observations, state: _State) -> Stop | None:
        """Stop when the loss overflows."""
        if not math.isfinite(state.objective):
            return Stop("diverged", "the loss is not finite")
        return None

    def current(self, state: _State) -> Any:
        """The factors."""
        return state.U, state.V

    def finish(self, problem: Observations, state: _State) -> dict[str, Any]:
        """Best factors seen."""
        value, U, V = state.best or (state.objective, state.U, state.V)
        return _result(problem, U, V, value)
