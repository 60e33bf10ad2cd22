# SPDX-License-Identifier: BSD-3-Clause
"""Non-convex penalties by local linear approximation: a sequence of weighted L1 norms.

Each step replaces the concave penalty by its tangent in |w|, which lies above it, so
that the objective falls; the limit satisfies the first-order conditions (Zou & Li 2008,
"One-step sparse estimates in nonconcave penalized likelihood models", eq. 2.7).
"""

import dataclasses
from typing import Any

import numpy as np

from numopt._iterate.loop import Solver
from numopt.coordinate._problem.groups import ScalarTerms
from numopt.coordinate._problem.penalties import FoldedPenalty
from numopt.coordinate._solvers.newton_state import ModelProblem, ModelState
from numopt.coordinate._solvers.newton_steps import newton_steps
from numopt.coordinate._solvers.prox_newton import (
    ProxNewtonWorkingSet,
    certify_state,
    grow,
)
from numopt.coordinate._solvers.quadratic import (
    QuadraticProblem,
    QuadraticState,
    QuadraticWorkingSet,
    inner_solve,
    recover_intercept,
    refresh,
    violators,
)

__all__ = ["FoldedProblem", "FoldedSolver"]

#: Passes over the design at one tangent.
MAX_PASSES = 50


@dataclasses.dataclass(frozen=True, eq=False)
class FoldedProblem:
    """A convex problem (with the L1 norm of the start) and the folded penalty."""

    convex: QuadraticProblem | ModelProblem
    penalty: FoldedPenalty


@dataclasses.dataclass
class FoldedState:
    """The state of the convex solver and the measures of the folded problem."""

    inner: QuadraticState | ModelState
    objective: float = np.inf


@dataclasses.dataclass(frozen=True)
class FoldedSolver(Solver[FoldedProblem, FoldedState]):
    """Weighted L1 problems with one state; stops on the first-order conditions."""

    name = "local linear approximation"

    def init(self, problem: FoldedProblem, warm_start: Any) -> FoldedState:
        """Start from given coefficients, or from 0."""
        convex = problem.convex
        if isinstance(convex, QuadraticProblem):
            start = None if warm_start is None else warm_start[0]
            solver = QuadraticWorkingSet(rough=False)
            return FoldedState(solver.init(convex, start))
        return FoldedState(ProxNewtonWorkingSet().init(convex, warm_start))

    def step(self, problem: FoldedProblem, state: FoldedState) -> FoldedState:
        """Solve the problem of the tangent."""
        convex, inner = problem.convex, state.inner
        l1 = problem.penalty.slope(np.abs(self.current(state)))
        assert convex.terms is not None
        terms = ScalarTerms(l1, *convex.terms[1:])
        if isinstance(convex, QuadraticProblem):
            assert isinstance(inner, QuadraticState)
            tangent = dataclasses.replace(convex, terms=terms, simple=False)
            _solve_squares(tangent, inner)
        else:
            assert isinstance(inner, ModelState)
            _solve_model(dataclasses.replace(convex, terms=terms), inner)
        return state

    def measure(self, problem: FoldedProblem, state: FoldedState) -> dict[str, Any]:
        """Objective and largest violation of the first-order conditions."""
        coef, data = self.current(state), problem.convex.data
        inner = state.inner
        if isinstance(inner, QuadraticState):
            squares = data.weighted(inner.residual) @ inner.residual
            fit, size = 0.5 * float(squares) / data.total, inner.cache.size
        else:
            fit, size = inner.losses, inner.index.size
        slope = -inner.correlation / data.total
        distance = problem.penalty.subdiff_distance(coef, slope)
        state.objective = fit + problem.penalty.value(coef)
        return {
            "objective": state.objective,
            "residual": float(np.max(distance)) / self._scale(problem),
            "dual_gap": float("nan"),
            "n_working_set": size,
            "n_support": int(np.count_nonzero(np.atleast_2d(coef).any(axis=0))),
        }

    def _scale(self, problem: FoldedProblem) -> float:
        """Largest slope of the null model."""
        convex = problem.convex
        if isinstance(convex, ModelProblem):
            return convex.steepest
        return max(float(np.max(np.abs(convex.start))) / convex.data.total, 1e-300)

    def finish(self, problem: FoldedProblem, state: FoldedState) -> dict[str, Any]:
        """Coefficients; there is no dual."""
        coef, convex = self.current(state), problem.convex
        if isinstance(convex, QuadraticProblem):
            intercept: Any = recover_intercept(convex, coef)
        else:
            assert isinstance(state.inner, ModelState)
            intercept = state.inner.intercept
        return {
            "coef": coef,
            "intercept": intercept,
            "objective": state.objective,
            "dual_gap": float("nan"),
            "support": np.flatnonzero(np.atleast_2d(coef).any(axis=0)),
        }

    def current(self, state: FoldedState) -> np.ndarray:
        """Coefficients of all coordinates."""
        inner = state.inner
        return (
            inner.cache.scatter() if isinstance(inner, QuadraticState) else inner.coef
        )


def _solve_squares(tangent: QuadraticProblem, state: QuadraticState) -> None:
    """A lasso with zero weights: exact on the working set, until none violates."""
    for _ in range(MAX_PASSES):
        new = violators(tangent, state)
        if new.size:
            state.cache.extend(new, tangent.start[new])
        state.gap = 1.0
        inner_solve(tangent, state, new.size)
        refresh(tangent, state)
        if not new.size:
            break


def _solve_model(tangent: ModelProblem, state: ModelState) -> None:
    """The same for other losses."""
    for _ in range(MAX_PASSES):
        entered = grow(tangent, state)
        state.gap = tangent.tol
        newton_steps(tangent, state, entered)
        state.dual = -np.inf
        certify_state(tangent, state)
        if not entered:
            break
