# SPDX-License-Identifier: BSD-3-Clause
"""Non-convex penalties by local linear approximation: a sequence of weighted lassos.

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

MAX_PASSES = 50


@dataclasses.dataclass(frozen=True, eq=False)
class FoldedProblem:
    """Squares (with the terms of the plain L1 start) and a folded penalty."""

    squares: QuadraticProblem
    penalty: FoldedPenalty


@dataclasses.dataclass(frozen=True)
class FoldedSolver(Solver[FoldedProblem, QuadraticState]):
    """Weighted lassos on one Gram cache; stops on the first-order conditions."""

    name = "local linear approximation"

    def init(self, problem: FoldedProblem, warm_start: Any) -> QuadraticState:
        """Start from given coefficients, or from 0."""
        return QuadraticWorkingSet().init(problem.squares, warm_start)

    def step(self, problem: FoldedProblem, state: QuadraticState) -> QuadraticState:
        """Solve the lasso of the tangent."""
        size = np.abs(state.cache.scatter())
        l1 = problem.penalty.slope(size)
        terms = ScalarTerms(l1, *problem.squares.terms[1:])
        tangent = dataclasses.replace(problem.squares, terms=terms, simple=False)
        for _ in range(MAX_PASSES):
            new = violators(tangent, state)
            if new.size:
                state.cache.extend(new, tangent.start[new])
            state.gap = 1.0
            inner_solve(tangent, state, new.size)
            refresh(tangent, state)
            if not new.size:
                break
        return state

    def measure(self, problem: FoldedProblem, state: QuadraticState) -> dict[str, Any]:
        """Objective and largest violation of the first-order conditions."""
        data = problem.squares.data
        coef = state.cache.scatter()
        fit = 0.5 * float(data.weighted(state.residual) @ state.residual) / data.total
        distance = problem.penalty.subdiff_distance(
            coef, -state.correlation / data.total
        )
        scale = max(float(np.max(np.abs(problem.squares.start))) / data.total, 1e-300)
        state.primal = fit + problem.penalty.value(coef)
        return {
            "objective": state.primal,
            "residual": float(distance.max()) / scale,
            "dual_gap": float("nan"),
            "n_working_set": state.cache.size,
            "n_support": int(np.count_nonzero(coef)),
        }

    def finish(self, problem: FoldedProblem, state: QuadraticState) -> dict[str, Any]:
        """Coefficients; there is no dual."""
        coef = state.cache.scatter()
        return {
            "coef": coef,
            "intercept": recover_intercept(problem.squares, coef),
            "objective": state.primal,
            "dual_gap": float("nan"),
            "support": np.flatnonzero(coef),
        }

    def current(self, state: QuadraticState) -> Any:
        """Coefficients of all coordinates."""
        return state.cache.scatter()
