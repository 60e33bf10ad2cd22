# SPDX-License-Identifier: BSD-3-Clause
"""Variational Bayes factorisation: penalties and noise are found by evidence."""

import dataclasses
import math
from typing import Any

import numpy as np

from numopt._array.namespace import array_namespace, device, to_numpy
from numopt._array.random import as_generator, standard_normal
from numopt._iterate.loop import Solver
from numopt._iterate.stopping import Stop
from numopt.completion._kernels.bayes import posterior_lines
from numopt.completion._problem import Observations, Side
from numopt.completion._solvers.als import PATIENCE
from numopt.completion._solvers.factors import join, relative_residual
from numopt.completion._solvers.heldout import Holdout
from numopt.completion._solvers.result import Posterior
from numopt.typing import Array

__all__ = ["VariationalBayes"]

#: Sweeps before the prior precisions are learnt.
LEARN_FROM = 3
#: First precisions for values of unit variance: rows, columns, biases; noise share.
FIRST_ROW, FIRST_COL, FIRST_BIAS, FIRST_NOISE = 3.0, 1.0, 10.0, 0.7
#: A component with a precision above this is switched off.
PRECISION_CAP = 1e8


@dataclasses.dataclass
class _State:
    """Posterior means and covariances, precisions, noise and the best sweep."""

    P: Array
    Q: Array
    S: Array
    T: Array
    row_precision: Array
    col_precision: Array
    noise: float
    expected: float = math.inf
    residual: float = math.inf
    sweeps: int = 0
    best: tuple[Any, ...] | None = None
    best_rmse: float = math.inf
    waited: int = 0
    rmse: float = math.nan


@dataclasses.dataclass(frozen=True)
class VariationalBayes(Solver[Observations, _State]):
    """Mean-field sweeps with a full covariance for every row and every column."""

    rank: int
    bias: str
    scale: float
    random_state: Any
    holdout: Holdout | None = None
    intercept: float = 0.0

    name = "vb"

    def init(self, problem: Observations, warm_start: Any) -> _State:
        """Small random columns, broad priors."""
        xp, values = problem.xp, problem.by_row.values
        make = {"dtype": values.dtype, "device": device(values)}
        m, n = problem.shape
        k = self.rank
        d = k + 1
        V = 0.1 * standard_normal(
            as_generator(self.random_state), (n, k), xp=xp, **make
        )
        if warm_start is not None:
            V = warm_start[1][:, :k] / math.sqrt(self.scale)
        ones = xp.ones((k,), **make)
        bias = FIRST_BIAS * ones[:1]
        variance = float(to_numpy(xp.mean(values * values)))
        return _State(
            xp.zeros((m, d), **make),
            join(V),
            xp.zeros((m, d, d), **make),
            xp.zeros((n, d, d), **make),
            xp.concat([FIRST_ROW * ones, bias]),
            xp.concat([FIRST_COL * ones, bias]),
            FIRST_NOISE * max(variance, float(np.finfo(np.float32).tiny)),
        )

    def step(self, problem: Observations, state: _State) -> _State:
        """Rows, columns, then noise and precisions."""
        before, spread = state.noise, _prior_variance(state)
        state.P, state.S, _ = self._lines(
            problem.by_row, state.Q, state.T, state.row_precision, state.noise, "row"
        )
        state.Q, state.T, loss = self._lines(
            problem.by_col, state.P, state.S, state.col_precision, state.noise, "col"
        )
        xp = array_namespace(loss)
        state.sweeps += 1
        state.expected = float(to_numpy(xp.sum(loss)))
        floor = 1e-12
        state.noise = max(state.expected / problem.n_observed, floor)
        if state.sweeps > LEARN_FROM:
            state.row_precision = _learn(problem.by_row, state.P, state.S)
            state.col_precision = _learn(problem.by_col, state.Q, state.T)
        state.residual = math.inf
        if state.sweeps > LEARN_FROM:
            new = _prior_variance(state)
            moved = float(to_numpy(xp.max(xp.abs(new - spread))))
            total = state.noise + float(to_numpy(xp.sum(new)))
            # The noise passes an extremum while surplus components die out: its
            # change alone says nothing.
            state.residual = max(abs(before - state.noise) / state.noise, moved / total)
        self._validate(state)
        return state

    def _lines(
        self, side: Side, mean: Array, cov: Array, precision: Array, noise: float,
        own: str,
    ) -> Any:  # fmt: skip
        """Posterior of one side given the other."""
        return posterior_lines(
            side.indptr, side.indices, side.values, side.weights, mean, cov,
            precision, noise, self.bias in (own, "both"),
        )  # fmt: skip

    def _validate(self, state: _State) -> None:
        """Remember the sweep that predicts the entries kept back best."""
        if self.holdout is None:
            return
        state.rmse = self.scale * self.holdout.rmse(state.P, state.Q)
        if state.rmse < state.best_rmse:
            state.best_rmse, state.waited = state.rmse, 0
            state.best = (
                state.P, state.Q, state.S, state.T, state.row_precision,
                state.col_precision, state.noise, state.expected,
            )  # fmt: skip
        else:
            state.waited += 1

    def stop(self, problem: Observations, state: _State) -> Stop | None:
        """Stop when validation no longer improves."""
        if state.waited >= PATIENCE:
            return Stop(
                "converged",
                f"the validation error did not improve in {PATIENCE} sweeps; the best "
                "sweep is returned",
            )
        return None

    def measure(self, problem: Observations, state: _State) -> dict[str, Any]:
        """Expected squared loss and the relative change of all variances."""
        return {
            "objective": self.scale**2 * state.expected,
            "residual": state.residual,
            "rank": self.rank,
            "validation_rmse": state.rmse,
        }

    def current(self, state: _State) -> Any:
        """Posterior means of factors with biases in the last column."""
        return state.P, state.Q

    def finish(self, problem: Observations, state: _State) -> dict[str, Any]:
        """Rows once more, so that fitted rows equal folded-in rows; undo the scale."""
        if state.best is not None:
            (
                state.P, state.Q, state.S, state.T, state.row_precision,
                state.col_precision, state.noise, state.expected,
            ) = state.best  # fmt: skip
        if math.isfinite(state.expected):
            state.P, state.S, _ = self._lines(
                problem.by_row, state.Q, state.T, state.row_precision, state.noise,
                "row",
            )  # fmt: skip
        xp = problem.xp
        k = self.rank
        units = xp.concat(
            [
                xp.full_like(state.row_precision[:k], math.sqrt(self.scale)),
                xp.full_like(state.row_precision[:1], self.scale),
            ]
        )
        square = units[:, None] * units[None, :]
        P, Q = state.P * units, state.Q * units
        original = problem.with_values(problem.by_row.values * self.scale)
        return {
            "P": P,
            "Q": Q,
            "objective": self.scale**2 * state.expected,
            "relative_residual": relative_residual(original, P, Q, self.intercept),
            "noise_variance": self.scale**2 * state.noise,
            "posterior": Posterior(
                state.S * square,
                state.T * square,
                state.row_precision / units**2,
                state.col_precision / units**2,
                self.scale**2 * state.noise,
            ),
        }


def _prior_variance(state: _State) -> Array:
    """Variance of an entry by each component, under the prior."""
    return 1 / (state.row_precision[:-1] * state.col_precision[:-1])


def _learn(side: Side, mean: Array, cov: Array) -> Array:
    """Precisions that maximise the bound, over the lines that have data."""
    xp = array_namespace(mean)
    seen = xp.astype(side.counts > 0, mean.dtype)
    second = mean * mean + xp.linalg.diagonal(cov)
    total = xp.sum(second * seen[:, None], axis=0)
    count = xp.sum(seen)
    cap = xp.full_like(total, PRECISION_CAP)
    return xp.where(total * cap > count, count / (total + count / cap), cap)
