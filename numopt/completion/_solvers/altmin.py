# SPDX-License-Identifier: BSD-3-Clause
"""Alternating minimisation whose half steps are as exact as the subspaces settle."""

import dataclasses
import math
from typing import Any

import numpy as np

from numopt._array.namespace import to_numpy
from numopt._array.random import as_generator
from numopt._iterate.loop import Solver
from numopt.completion._kernels.als import cg_lines, ridge_lines
from numopt.completion._problem import Observations, Penalty
from numopt.completion._solvers.factors import join, relative_residual
from numopt.completion._solvers.spectral import clip_rows, truncated_svd
from numopt.typing import Array

__all__ = ["AltMin"]

#: Accuracy of a half step relative to the movement of the subspace, and its bounds.
EPS_SHARE, EPS_LOW, EPS_HIGH = 0.1, 1e-12, 1e-1


@dataclasses.dataclass
class _Subspaces:
    """Row factors, column basis and the accuracy of the next half step."""

    P: Array
    Q: Array
    eps: float = EPS_HIGH
    objective: float = math.inf
    residual: float = math.inf
    inner: int = 0


@dataclasses.dataclass(frozen=True)
class AltMin(Solver[Observations, _Subspaces]):
    """Half steps as exact as the subspaces have settled, on orthonormal factors.

    The condition number of a line's regression on an orthonormal factor is about
    ((1 + g) / (1 - g))^2 with g = sqrt(k / n_i), which gives the number of steps of
    conjugate gradients that an accuracy needs.
    """

    penalty: Penalty
    rank: int
    clip_incoherence: float | None
    random_state: Any

    name = "altmin_sketch"

    def init(self, problem: Observations, warm_start: Any) -> _Subspaces:
        """Spectral start, clipped to incoherent rows."""
        if warm_start is not None:
            return _Subspaces(*warm_start)
        U, s, V = truncated_svd(
            problem, problem.by_row.values, self.rank, as_generator(self.random_state)
        )
        m, n = problem.shape
        scale = s * (m * n / problem.n_observed)
        return _Subspaces(join(clip_rows(U, self.clip_incoherence)), join(V * scale))

    def step(self, problem: Observations, state: _Subspaces) -> _Subspaces:
        """Columns on an orthonormal row basis, then rows on a column basis."""
        xp = problem.xp
        U, R = xp.linalg.qr(state.P[:, :-1])
        start = state.Q[:, :-1] @ R.T
        Q, _ = self._half(problem, problem.by_col, U, start, state.eps)
        V, R = xp.linalg.qr(Q[:, :-1])
        P, value = self._half(problem, problem.by_row, V, U @ R.T, state.eps)
        new = xp.linalg.qr(P[:, :-1])[0]
        moved = float(to_numpy(xp.sum((new - U @ (U.T @ new)) ** 2)))
        state.eps = min(
            max(EPS_SHARE * math.sqrt(moved / self.rank), EPS_LOW), EPS_HIGH
        )
        before = state.objective
        state.P, state.Q, state.objective = P, join(V), value
        state.inner = self._steps(problem, state.eps)
        if math.isfinite(before):
            state.residual = abs(before - value) / max(before, 1e-300)
        return state

    def _steps(self, problem: Observations, eps: float) -> int:
        """Steps of conjugate gradients that reach an accuracy."""
        counts = to_numpy(problem.by_row.counts)
        g = math.sqrt(self.rank / max(float(np.median(counts)), 1.0))
        rate = math.log(1 / min(g, 0.9))
        return max(2, min(self.rank, math.ceil(math.log(2 / eps) / rate)))

    def _half(
        self, problem: Observations, side: Any, basis: Array, start: Array, eps: float
    ) -> tuple[Array, float]:
        """Regressions of one side on a basis, to an accuracy."""
        xp = problem.xp
        X, loss = cg_lines(
            side.indptr, side.indices, side.values, side.weights, join(basis),
            *self.penalty.lines(side), join(start), False, self._steps(problem, eps),
        )  # fmt: skip
        return X, float(to_numpy(xp.sum(loss)))

    def measure(self, problem: Observations, state: _Subspaces) -> dict[str, Any]:
        """Squared loss and its relative decrease."""
        return {
            "objective": state.objective,
            "residual": state.residual,
            "inner_iter": state.inner,
            "rank": self.rank,
        }

    def current(self, state: _Subspaces) -> Any:
        """Row factors and the column basis."""
        return state.P, state.Q

    def finish(self, problem: Observations, state: _Subspaces) -> dict[str, Any]:
        """Rows solved exactly on the last column basis."""
        side = problem.by_row
        P, loss = ridge_lines(
            side.indptr, side.indices, side.values, side.weights, state.Q,
            *self.penalty.lines(side), False,
        )  # fmt: skip
        return {
            "P": P,
            "Q": state.Q,
            "objective": float(to_numpy(problem.xp.sum(loss))),
            "relative_residual": relative_residual(problem, P, state.Q),
        }
