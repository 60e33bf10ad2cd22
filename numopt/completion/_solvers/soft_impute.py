# SPDX-License-Identifier: BSD-3-Clause
"""Soft-impute: fill the holes by the model, soft-threshold the singular values."""

import dataclasses
import math
from typing import Any

import numpy as np

from numopt._array.namespace import array_namespace, device, to_numpy
from numopt._iterate.loop import Solver
from numopt.completion._problem import Observations
from numopt.completion._solvers.factors import (
    join,
    relative_decrease,
    relative_residual,
    residuals,
    rounding_losses,
    weighted_square,
)
from numopt.typing import Array

__all__ = ["SoftImpute"]


@dataclasses.dataclass
class _Filled:
    """Singular triplets of the model."""

    U: Array
    s: Array
    V: Array
    # Position of the entry at each place of the flat matrix; N where there is none.
    slots: Array
    # Objective of an exact fit.
    exact: float
    objective: float = math.inf
    residual: float = math.inf


@dataclasses.dataclass(frozen=True)
class SoftImpute(Solver[Observations, _Filled]):
    """Fill the unknown entries by the model, soft-threshold the singular values."""

    rank: int
    alpha: float

    name = "soft_impute"

    def init(self, problem: Observations, warm_start: Any) -> _Filled:
        """Start from zero, or from given factors."""
        xp, values = problem.xp, problem.by_row.values
        m, n = problem.shape
        make = {"dtype": values.dtype, "device": device(values)}
        slots, exact = _slots(problem), rounding_losses(problem)[0]
        if warm_start is not None:
            product = warm_start[0][:, :-1] @ warm_start[1][:, :-1].T
            A, s, Bt = xp.linalg.svd(product, full_matrices=False)
            k = self.rank
            state = _Filled(A[:, :k], s[:k], Bt[:k, :].T, slots, exact)
        else:
            k = self.rank
            state = _Filled(
                xp.zeros((m, k), **make), xp.zeros((k,), **make),
                xp.zeros((n, k), **make), slots, exact,
            )  # fmt: skip
        state.objective = self._objective(problem, state)
        return state

    def _objective(self, problem: Observations, state: _Filled) -> float:
        """Squared loss and nuclear norm."""
        xp = array_namespace(state.s)
        r = residuals(problem, join(state.U * state.s), join(state.V))
        nuclear = float(to_numpy(xp.sum(state.s)))
        return weighted_square(problem, r) + 2 * self.alpha * nuclear

    def step(self, problem: Observations, state: _Filled) -> _Filled:
        """X <- soft threshold of X + P(Y - X)."""
        xp = problem.xp
        m, n = problem.shape
        side = problem.by_row
        r = residuals(problem, join(state.U * state.s), join(state.V))
        if problem.weighted:
            # The step 1 / max weight keeps the surrogate above the objective.
            top = xp.max(side.weights)
            r = r * side.weights / top
            alpha = self.alpha / float(to_numpy(top))
        else:
            alpha = self.alpha
        r = xp.take(xp.concat([r, xp.zeros_like(r[:1])]), state.slots)
        filled = (state.U * state.s) @ state.V.T + xp.reshape(r, (m, n))
        A, s, Bt = xp.linalg.svd(filled, full_matrices=False)
        k = self.rank
        kept = xp.maximum(s[:k] - alpha, xp.zeros_like(s[:k]))
        before = state.objective
        state.U, state.s, state.V = A[:, :k], kept, Bt[:k, :].T
        state.objective = self._objective(problem, state)
        state.residual = relative_decrease(before, state.objective, state.exact)
        return state

    def measure(self, problem: Observations, state: _Filled) -> dict[str, Any]:
        """Objective and its relative decrease."""
        return {
            "objective": state.objective,
            "residual": state.residual,
            "rank": self.rank,
        }

    def current(self, state: _Filled) -> Any:
        """The singular triplets."""
        return state.U, state.s, state.V

    def finish(self, problem: Observations, state: _Filled) -> dict[str, Any]:
        """Balanced factors."""
        xp = problem.xp
        root = xp.sqrt(state.s)
        P, Q = join(state.U * root), join(state.V * root)
        return {
            "P": P,
            "Q": Q,
            "objective": state.objective,
            "relative_residual": relative_residual(problem, P, Q),
        }


def _slots(problem: Observations) -> Array:
    """Position of the entry at each place of the flat matrix; N where there is none."""
    m, n = problem.shape
    N, side = problem.n_observed, problem.by_row
    places = to_numpy(side.line_ids()).astype(np.int64) * n + to_numpy(side.indices)
    slots = np.full(m * n, N)
    slots[places] = np.arange(N)
    return problem.xp.asarray(slots, device=device(side.values))
