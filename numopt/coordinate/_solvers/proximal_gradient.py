# SPDX-License-Identifier: BSD-3-Clause
"""Accelerated proximal gradient: for penalties known by their proximal operator only.

All coordinates move at once. Momentum restarts when it points uphill, and the step
length is found by backtracking.
"""

import dataclasses
from typing import Any

import numpy as np

from numopt._iterate.loop import Solver
from numopt.coordinate._problem.data import LinearData
from numopt.coordinate._problem.datafits import Datafit
from numopt.coordinate._problem.null import NullModel
from numopt.coordinate._problem.penalties import Penalty

__all__ = ["ProximalGradient", "ProximalProblem"]

#: Steps between two measures, which cost a product with the design like a step.
STEPS = 10
#: Growth of the curvature when a step fails, its decline after one that holds.
GROWTH, DECLINE = 2.0, 0.9
#: Rounding of the objective that the step test forgives.
ROUNDING = 1e-14


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ProximalProblem:
    """Any loss with any penalty, in the scaling of F."""

    data: LinearData
    datafit: Datafit
    penalty: Penalty
    null: NullModel
    fit_intercept: bool

    def value(self, z: np.ndarray) -> float:
        """The loss at predictions."""
        data = self.data
        return float(data.weighted(self.datafit.value(data.y, z)).sum()) / data.total

    def slopes(self, z: np.ndarray) -> tuple[np.ndarray, Any]:
        """Gradient in coefficients and intercept."""
        data = self.data
        weighted = data.weighted(self.datafit.gradient(data.y, z)) / data.total
        return data.correlate(weighted), weighted.sum(axis=0)

    def violation(self, coef: np.ndarray, z: np.ndarray) -> float:
        """Largest violation of the optimality conditions, relative to the start."""
        slope, bias = self.slopes(z)
        distance = self.penalty.subdiff_distance(coef, slope)
        worst = float(np.max(distance, initial=0.0))
        if self.fit_intercept:
            worst = max(worst, float(np.max(np.abs(bias))))
        start = self.data.correlate(self.data.weighted(self.null.theta))
        return worst / max(float(np.abs(start).max()) / self.data.total, 1e-300)


@dataclasses.dataclass
class ProximalState:
    """The iterate, the one before, momentum and the curvature in use."""

    coef: np.ndarray
    intercept: Any
    z: np.ndarray
    last: tuple[np.ndarray, Any, np.ndarray]
    momentum: float
    curvature: float


@dataclasses.dataclass(frozen=True)
class ProximalGradient(Solver[ProximalProblem, ProximalState]):
    """Proximal gradient steps from extrapolated points."""

    name = "proximal gradient"

    def init(self, problem: ProximalProblem, warm_start: Any) -> ProximalState:
        """Start from (coefficients, intercept), or from the null model."""
        outputs = problem.null.theta.shape[1:]
        coef = np.zeros((*outputs, problem.data.shape[1]))
        intercept = problem.null.intercept
        if warm_start is not None:
            coef = np.array(warm_start[0])
            if problem.fit_intercept and warm_start[1] is not None:
                intercept = warm_start[1]
        z = problem.data.predict(coef, intercept)
        z = np.broadcast_to(z, problem.null.theta.shape).copy()
        return ProximalState(coef, intercept, z, (coef, intercept, z), 1.0, 1e-6)

    def step(self, problem: ProximalProblem, state: ProximalState) -> ProximalState:
        """Several steps."""
        for _ in range(STEPS):
            self._once(problem, state)
        return state

    def _once(self, problem: ProximalProblem, state: ProximalState) -> None:
        """One step from the extrapolated point."""
        t = 0.5 * (1.0 + np.sqrt(1.0 + 4.0 * state.momentum**2))
        share = (state.momentum - 1.0) / t
        here = (state.coef, state.intercept, state.z)
        coef, intercept, z = (
            x + share * (x - old) for x, old in zip(here, state.last, strict=True)
        )
        value, (slope, bias) = problem.value(z), problem.slopes(z)
        while True:
            L = state.curvature
            new = problem.penalty.prox(coef - slope / L, 1.0 / L)
            b = intercept - bias / L if problem.fit_intercept else intercept
            moved = problem.data.predict(new, b)
            d, e = new - coef, np.asarray(b - intercept)
            model = value + float(np.sum(slope * d)) + float(np.sum(bias * e))
            model += 0.5 * L * float(np.sum(d * d) + np.sum(e * e))
            if problem.value(moved) <= model + ROUNDING * abs(value):
                break
            state.curvature *= GROWTH
        # Momentum that points away from the step restarts (O'Donoghue & Candes 2015).
        uphill = float(np.sum((coef - new) * (new - state.coef))) > 0
        state.last = here
        state.coef, state.intercept, state.z = new, b, moved
        state.momentum = 1.0 if uphill else t
        if uphill:
            state.last = (new, b, moved)
        state.curvature *= DECLINE

    def measure(self, problem: ProximalProblem, state: ProximalState) -> dict[str, Any]:
        """Objective and relative violation of the optimality conditions."""
        support = np.count_nonzero(np.atleast_2d(state.coef).any(axis=0))
        return {
            "objective": problem.value(state.z) + problem.penalty.value(state.coef),
            "residual": problem.violation(state.coef, state.z),
            "dual_gap": float("nan"),
            "n_working_set": problem.data.shape[1],
            "n_support": int(support),
        }

    def finish(self, problem: ProximalProblem, state: ProximalState) -> dict[str, Any]:
        """Coefficients; there is no dual."""
        intercept = state.intercept
        return {
            "coef": state.coef,
            "intercept": intercept if np.ndim(intercept) else float(intercept),
            "objective": problem.value(state.z) + problem.penalty.value(state.coef),
            "dual_gap": float("nan"),
            "support": np.flatnonzero(np.atleast_2d(state.coef).any(axis=0)),
        }

    def current(self, state: ProximalState) -> Any:
        """Coefficients of all coordinates."""
        return state.coef
