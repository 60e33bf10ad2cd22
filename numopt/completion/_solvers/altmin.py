# SPDX-License-Identifier: BSD-3-Clause
"""Alternating minimisation whose half steps are as exact as the subspaces settle."""

import dataclasses
import math
from typing import Any

import numpy as np

from numopt._array.namespace import array_namespace, to_numpy
from numopt._array.random import as_generator
from numopt._iterate.loop import Solver
from numopt._iterate.stopping import Stop
from numopt.completion._kernels.als import cg_lines, ridge_lines
from numopt.completion._problem import Observations, Penalty, Side
from numopt.completion._solvers.factors import (
    join,
    relative_residual,
    weighted_square,
)
from numopt.completion._solvers.sketch import long_lines, sketched_lines
from numopt.completion._solvers.spectral import clip_rows, truncated_svd
from numopt.typing import Array

__all__ = ["AltMin"]

#: Accuracy of a half step relative to the movement of the subspace, and its bounds.
EPS_SHARE, EPS_LOW, EPS_HIGH = 0.1, 1e-12, 1e-1
TINY = 1e-300


@dataclasses.dataclass(frozen=True)
class _Half:
    """The entries of a half step: those of lines with a sketch, and the others.

    ``seen`` (lines, 1) says which lines have any; None stands for all.
    """

    plain: Side | None
    long: Side | None
    seen: Array | None


@dataclasses.dataclass
class _Subspaces:
    """Row factors, column basis and the accuracy of the next half step.

    ``rounds`` holds the entries of each round, (columns, rows); its last is used again
    from then on. ``size`` is the weighted square of the values.
    """

    P: Array
    Q: Array
    rounds: list[tuple[_Half, _Half]]
    rng: np.random.Generator
    size: float
    eps: float = EPS_HIGH
    objective: float = math.inf
    residual: float = math.inf
    moved: float = math.inf
    inner: int = 0
    done: int = 0


@dataclasses.dataclass(frozen=True)
class AltMin(Solver[Observations, _Subspaces]):
    """Half steps as exact as the subspaces have settled, on orthonormal factors.

    The condition number of a line's regression on an orthonormal factor is about
    ((1 + g) / (1 - g))^2 with g = sqrt(k / n_i), which gives the number of steps of
    conjugate gradients that an accuracy needs. With ``fresh_rounds`` the entries are
    cut into twice as many parts and one: the start and every half step see their own.
    """

    penalty: Penalty
    rank: int
    clip_incoherence: float | None
    random_state: Any
    precond: str = "jacobi"
    fresh_rounds: int | None = None
    warn: bool = True

    name = "altmin_sketch"

    def init(self, problem: Observations, warm_start: Any) -> _Subspaces:
        """Spectral start, clipped to incoherent rows."""
        rng = as_generator(self.random_state)
        first, rounds = problem, [(problem, problem)]
        if self.fresh_rounds is not None:
            first, *parts = _disjoint(problem, 2 * self.fresh_rounds + 1, rng)
            half = self.fresh_rounds
            rounds = list(zip(parts[:half], parts[half:], strict=True))
        if warm_start is None:
            U, s, V = truncated_svd(first, first.by_row.values, self.rank, rng)
            m, n = problem.shape
            U = clip_rows(U, self.clip_incoherence, warn=self.warn)
            warm_start = join(U), join(V * (s * (m * n / first.n_observed)))
        halves = [(self._cut(c.by_col), self._cut(r.by_row)) for c, r in rounds]
        size = weighted_square(problem, problem.by_row.values)
        P, Q = warm_start
        return _Subspaces(P, Q, halves, rng, max(size, TINY))

    def _cut(self, side: Side) -> _Half:
        """Cut one side of some entries into lines with and without a sketch."""
        seen = None
        if self.fresh_rounds is not None:
            seen = (side.counts > 0)[:, None]
        if self.precond == "jacobi":
            return _Half(side, None, seen)
        mask = long_lines(side, self.rank)
        if mask.all():
            return _Half(None, side, seen)
        if not mask.any():
            return _Half(side, None, seen)
        return _Half(side.only(~mask), side.only(mask), seen)

    def step(self, problem: Observations, state: _Subspaces) -> _Subspaces:
        """Columns on an orthonormal row basis, then rows on a column basis."""
        xp = problem.xp
        columns, rows = state.rounds[min(state.done, len(state.rounds) - 1)]
        U, R = xp.linalg.qr(state.P[:, :-1])
        Q, _ = self._half(state, columns, U, state.Q[:, :-1] @ R.T)
        V, R = xp.linalg.qr(Q)
        P, value = self._half(state, rows, V, U @ R.T)
        new = xp.linalg.qr(P)[0]
        moved = float(to_numpy(xp.sum((new - U @ (U.T @ new)) ** 2)))
        state.moved = math.sqrt(moved / self.rank)
        state.eps = min(max(EPS_SHARE * state.moved, EPS_LOW), EPS_HIGH)
        before = state.objective
        state.P, state.Q, state.objective = join(P), join(V), value
        state.done += 1
        if self.fresh_rounds is not None:
            # Objectives of different entries say nothing when they are compared.
            state.residual = state.moved
        else:
            # On exact data the objective falls at the same rate down to rounding.
            state.residual = math.sqrt(value / state.size)
            if math.isfinite(before):
                change = abs(before - value) / max(before, TINY)
                state.residual = min(state.residual, change)
        return state

    def _steps(self, side: Side, eps: float) -> int:
        """Steps of conjugate gradients that reach an accuracy."""
        counts = to_numpy(side.counts)
        typical = float(np.median(counts[counts > 0])) if counts.any() else 1.0
        rate = math.log(1 / min(math.sqrt(self.rank / typical), 0.9))
        return max(2, min(self.rank, math.ceil(math.log(2 / eps) / rate)))

    def _half(
        self, state: _Subspaces, half: _Half, basis: Array, start: Array
    ) -> tuple[Array, float]:
        """Regressions of one side on a basis, to the accuracy of the state."""
        xp = array_namespace(basis)
        X, value = xp.zeros_like(start), 0.0
        if half.plain is not None:
            side = half.plain
            state.inner = self._steps(side, state.eps)
            found, loss = cg_lines(
                side.indptr, side.indices, side.values, side.weights, join(basis),
                *self.penalty.lines(side), join(start), False, state.inner,
            )  # fmt: skip
            X, value = found[:, :-1], float(to_numpy(xp.sum(loss)))
        if half.long is not None:
            side = half.long
            ridge = self.penalty.lines(side)[0]
            found, loss = sketched_lines(
                side, basis, ridge, start, state.eps, state.rng
            )
            X, value = X + found, value + float(to_numpy(xp.sum(loss)))
        return X if half.seen is None else xp.where(half.seen, X, start), value

    def stop(self, problem: Observations, state: _Subspaces) -> Stop | None:
        """Stop when there are no fresh entries left."""
        if self.fresh_rounds is None or state.done < self.fresh_rounds:
            return None
        return Stop(
            "max_iter",
            f"the subspace moved by {state.moved:.2e} in the last of {state.done} "
            "rounds of fresh entries; give more entries, or use resample=False",
        )

    def measure(self, problem: Observations, state: _Subspaces) -> dict[str, Any]:
        """Loss with its relative decrease or size, or the movement of the subspace."""
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
        """Rows solved exactly, on all entries, on the last column basis."""
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


def _disjoint(
    problem: Observations, parts: int, rng: np.random.Generator
) -> list[Observations]:
    """Cut the entries at random into parts of equal size."""
    label = rng.permutation(np.arange(problem.n_observed) % parts)
    return [problem.subset(label == part) for part in range(parts)]
