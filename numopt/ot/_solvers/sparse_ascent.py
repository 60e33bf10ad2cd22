# SPDX-License-Identifier: BSD-3-Clause
"""Ascent on the semi-dual of transport by sparse columns, then on fixed supports.

At total mass 1 the semi-dual is ``<alpha, a> - sum_j Omega*_j(alpha - M_j)``, where
Omega*_j is the maximum that the kernel ``sparse_response`` returns; its gradient is
``a`` minus the row sums of the responses.
"""

import dataclasses
import math
from typing import Any

import numpy as np

from numopt._iterate.loop import Solver
from numopt._iterate.stopping import Stop
from numopt._numerics.cg import cg
from numopt._numerics.lbfgs import lbfgs
from numopt.ot._kernels.sparse import (
    sparse_hessian_product,
    sparse_response,
    sparse_sweep,
)
from numopt.ot._problem import CoreProblem
from numopt.ot._solvers.sinkhorn import sinkhorn
from numopt.ot._solvers.sparse_supports import Supports, feasible_supports

__all__ = ["SparseSolver"]

#: Costs whose range is this small beside ``reg`` hardly move the plan.
NEGLIGIBLE = 1e-12
#: Entropic start: regularisation in units of the range of the cost, and its error.
START_REG, START_TOL = 1e-2, 1e-2
#: First ``reg`` of the continuation: columns of uniform weight reach this fraction of
#: the range of the cost; and its factor.
FIRST_REACH, FACTOR = 1e-2, 10.0
#: Iterations of L-BFGS between two looks, the relative gain below which it has stalled,
#: and the number of looks that a semi-dual with kinks, or fixed supports, get.
CHUNK, GAIN, LOOKS = 40, 1e-6, 8
#: The gain where nothing is left to turn to.
LAST_GAIN = 1e-12
#: Newton steps start at this error.
GATE = 0.1
MAX_TRIALS, MAX_CG = 6, 500
#: Sweeps that spread the columns, and the price of missed rows in units of ``reg``.
SWEEPS, PENALTY = 30, 1.0


class SemiDual:
    """The semi-dual at one ``reg``, with the columns of the last evaluation."""

    def __init__(self, cost_t: np.ndarray, a: np.ndarray, b: np.ndarray, k: int):
        m = b.size
        self.cost_t, self.a, self.b = cost_t, a, b
        self.index = np.zeros((m, k), np.int32)
        self.mass = np.zeros((m, k))
        self.size = np.zeros(m, np.int32)
        self.maxima = np.zeros(m)
        self.n_passes = 0

    def evaluate(self, alpha: np.ndarray, reg: float) -> tuple[float, np.ndarray]:
        """Return value and gradient."""
        self.n_passes += 1
        buffers = (self.index, self.mass, self.size, self.maxima)
        rows = sparse_response(alpha, self.cost_t, self.b, reg, *buffers)
        return float(self.a @ alpha - self.maxima.sum()), self.a - rows

    def balanced_scores(self, alpha: np.ndarray, reg: float) -> np.ndarray:
        """Scores (m, n) of the entries for columns that mind the rows of the others.

        Where many responses are equally good, as at a kink of the semi-dual, all
        columns ask for the same rows. Descent on the augmented Lagrangian, column by
        column, spreads them.
        """
        self.evaluate(alpha, reg)
        missing = self.a - np.bincount(
            self.index[self._used], self.mass[self._used], self.a.size
        )
        buffers = (self.index, self.mass, self.size)
        penalty = PENALTY * reg
        for _ in range(SWEEPS):
            missing = sparse_sweep(
                alpha, self.cost_t, self.b, reg, penalty, missing, *buffers
            )
        self.n_passes += SWEEPS
        scores = alpha + penalty * missing - self.cost_t
        columns, slots = np.nonzero(self._used)
        scores[columns, self.index[columns, slots]] += (
            penalty * self.mass[columns, slots]
        )
        return scores

    @property
    def _used(self) -> np.ndarray:
        """Mask (m, k) of the nonzeros."""
        return np.arange(self.index.shape[1]) < self.size[:, None]

    def curvature(self) -> np.ndarray:
        """Diagonal of reg times minus the Hessian."""
        weights = np.repeat(1.0 - 1.0 / np.maximum(self.size, 1), self.size)
        return np.bincount(self.index[self._used], weights, self.a.size)

    def plan(self) -> np.ndarray:
        """Dense plan (n, m) of the last evaluation."""
        plan = np.zeros((self.a.size, self.b.size))
        columns, slot = np.nonzero(self._used)
        plan[self.index[columns, slot], columns] = self.mass[columns, slot]
        return plan

    def column_potentials(self, alpha: np.ndarray, reg: float) -> np.ndarray:
        """Multipliers of the column sums: ``M_ij + reg P_ij - alpha_i``."""
        first = self.index[:, 0]
        cost = self.cost_t[np.arange(self.b.size), first]
        return cost + reg * self.mass[:, 0] - alpha[first]


@dataclasses.dataclass
class _Point:
    """Row potentials, value, gradient and the error of the rows there."""

    alpha: np.ndarray
    value: float
    gradient: np.ndarray

    @property
    def error(self) -> float:
        """L1 error of the rows."""
        return float(np.abs(self.gradient).sum())


@dataclasses.dataclass
class _State:
    """The point on the present semi-dual; the free one is kept for its bound.

    ``settled`` holds the masses found with the supports where these are the answer.
    """

    dual: SemiDual
    reg: float
    point: _Point
    stage: str = "continuation"
    free: tuple[SemiDual, _Point] | None = None
    supports: Supports | None = None
    settled: Supports | None = None
    newton: bool = True
    looks: int = 0
    n_passes: int = 0
    n_newton: int = 0
    stopped: Stop | None = None

    @property
    def passes(self) -> int:
        """Passes over the cost in all."""
        return self.n_passes + self.dual.n_passes


@dataclasses.dataclass(frozen=True)
class SparseSolver(Solver[CoreProblem, _State]):
    """L-BFGS and Newton steps; when both stall, the same on fixed supports."""

    max_nz: int
    budget: int
    name: str = "sparse_ot"

    def init(self, problem: CoreProblem, warm_start: Any) -> _State:
        """Start at a large reg from entropic potentials, or at reg from warm ones."""
        cost_t = np.ascontiguousarray(problem.M.T)
        dual = SemiDual(cost_t, problem.a, problem.b, self.max_nz)
        reg, alpha = problem.eps, warm_start
        if alpha is None:
            alpha = _entropic_start(problem)
            top = FIRST_REACH * problem.cost_range * problem.b.size
            while self.max_nz == alpha.size and reg * FACTOR < top:
                reg *= FACTOR
        state = _State(dual, reg, _Point(alpha, *dual.evaluate(alpha, reg)))
        if reg <= problem.eps:
            state.stage = "dual"
        return state

    def step(self, problem: CoreProblem, state: _State) -> _State:
        """Ascend; go to the next reg, or fix the supports where nothing is gained."""
        if state.stage == "continuation":
            self._chunk(state)
            state.reg = max(problem.eps, state.reg / FACTOR)
            if state.reg < FACTOR**0.5 * problem.eps:
                state.reg, state.stage = problem.eps, "dual"
            alpha = state.point.alpha
            state.point = _Point(alpha, *state.dual.evaluate(alpha, state.reg))
            return state
        if state.newton and state.point.error < GATE:
            state.newton = _newton_step(state)
            return state
        gained = self._chunk(state)
        state.newton = True
        state.looks += 1
        if not gained or self._given_up(state):
            self._fix_supports(state)
        return state

    def _chunk(self, state: _State) -> bool:
        """Run some iterations of L-BFGS; False when they gained next to nothing."""
        dual, before = state.dual, state.point

        def objective(alpha: np.ndarray) -> tuple[float, np.ndarray]:
            value, gradient = dual.evaluate(alpha, state.reg)
            return -value, -gradient

        room = max(1, min(CHUNK, self.budget - state.passes))
        alpha = lbfgs(objective, before.alpha, tol=0.0, max_iter=room).x
        state.point = _Point(alpha, *dual.evaluate(alpha, state.reg))
        gain = state.point.value - before.value
        better = state.point.error < 0.9 * before.error
        smallest = GAIN if self._can_fix(state) else LAST_GAIN
        return better or gain > smallest * max(abs(state.point.value), 1e-300)

    def _given_up(self, state: _State) -> bool:
        """Whether this semi-dual had its share of the work."""
        if self.max_nz >= state.point.alpha.size:
            return False
        half = self._can_fix(state) and state.passes > self.budget // 2
        return half or state.looks >= LOOKS

    def _can_fix(self, state: _State) -> bool:
        """Whether fixing the supports would still change the problem."""
        return state.free is None and self.max_nz < state.point.alpha.size

    def _fix_supports(self, state: _State) -> None:
        """Keep few entries of every column; where that was done, settle or stop."""
        dual, alpha = state.dual, state.point.alpha
        if not self._can_fix(state):
            if state.supports is not None and state.supports.feasible:
                state.settled = state.supports
                return
            state.stopped = Stop(
                "stalled",
                f"columns of {self.max_nz} nonzeros miss the rows by "
                f"{state.point.error:.2e}; increase `max_nz`, or change `reg`",
            )
            return
        state.free = dual, state.point
        scores = dual.balanced_scores(alpha, state.reg)
        found = feasible_supports(scores, dual.a, dual.b, self.max_nz)
        state.supports = found
        cost_t = np.full_like(dual.cost_t, math.inf)
        kept = np.take_along_axis(dual.cost_t, found.index, 1)
        np.put_along_axis(cost_t, found.index, kept, 1)
        state.n_passes += dual.n_passes + found.rounds
        state.dual = SemiDual(cost_t, dual.a, dual.b, self.max_nz)
        state.point = _Point(alpha, *state.dual.evaluate(alpha, state.reg))
        state.stage, state.looks = "fixed supports", 0

    def measure(self, problem: CoreProblem, state: _State) -> dict[str, Any]:
        """Return dual value and error; before the last reg the error counts as 2."""
        error = state.point.error
        if state.settled is not None:
            error = state.settled.unmet
        elif state.stage == "continuation":
            error = max(2.0, error)
        return {
            "objective": state.point.value,
            "residual": error,
            "n_iter": state.passes,
            "reg": state.reg,
            "stage": state.stage,
        }

    def current(self, state: _State) -> np.ndarray:
        """Return the row potentials."""
        return state.point.alpha

    def stop(self, problem: CoreProblem, state: _State) -> Stop | None:
        """Return the reason the solver gave up for, if it did."""
        return state.stopped

    def finish(self, problem: CoreProblem, state: _State) -> dict[str, Any]:
        """Return the plan of least error; bound and potentials of the free dual."""
        dual, point = state.free or (state.dual, state.point)
        reg = problem.eps
        value, gradient = dual.evaluate(point.alpha, reg)
        plan = dual.plan()
        if state.free is not None and state.point.error < np.abs(gradient).sum():
            state.dual.evaluate(state.point.alpha, reg)
            plan = state.dual.plan()
        if state.settled is not None:
            plan = state.settled.plan(problem.a.size)
        return {
            "plan": plan,
            "f": point.alpha,
            "g": dual.column_potentials(point.alpha, reg),
            "dual_value": value,
            "n_newton": state.n_newton,
        }


def _entropic_start(problem: CoreProblem) -> np.ndarray:
    """Row potentials of a rough entropic solution."""
    if problem.cost_range <= NEGLIGIBLE * problem.eps:
        return np.zeros_like(problem.a)
    reg = START_REG * problem.cost_range
    start = sinkhorn(problem.a, problem.b, problem.M, reg, tol=START_TOL, warn=False)
    return start.f


def _newton_step(state: _State) -> bool:
    """Semi-smooth Newton step with a shift; False when it did not help the rows.

    Gradients are piecewise linear where the bound on the nonzeros is not active: near
    the solution the full step is exact.
    """
    dual, point, reg = state.dual, state.point, state.reg
    dual.evaluate(point.alpha, reg)
    index, size = dual.index.copy(), dual.size.copy()
    shift = 1e-3 * min(1.0, point.error) + 1e-12
    solved = cg(
        lambda d: sparse_hessian_product(index, size, d) + shift * d,
        reg * point.gradient,
        tol=min(0.1, point.error),
        max_iter=MAX_CG,
        diagonal=dual.curvature() + shift,
    )
    state.n_newton += 1
    slope, t = float(point.gradient @ solved.x), 1.0
    for _ in range(MAX_TRIALS):
        alpha = point.alpha + t * solved.x
        trial = _Point(alpha, *dual.evaluate(alpha, reg))
        ascends = trial.value >= point.value + 1e-4 * t * slope
        if trial.error < 0.5 * point.error or (ascends and t >= 0.25):
            state.point = trial
            return trial.error < point.error
        t *= 0.5
    return False
