# SPDX-License-Identifier: BSD-3-Clause
"""Alternating ridge regressions with joint biases and Anderson acceleration."""

import dataclasses
import math
from typing import Any

from numopt._array.namespace import array_namespace, device, to_numpy
from numopt._array.random import as_generator, standard_normal
from numopt._iterate.loop import Solver
from numopt._iterate.stopping import Stop
from numopt._numerics.anderson import Anderson
from numopt.completion._kernels.als import (
    cg_lines,
    line_sums,
    nonnegative_lines,
    predict_entries,
    ridge_lines,
)
from numopt.completion._problem import Observations, Penalty, Side
from numopt.completion._solvers.factors import (
    join,
    relative_decrease,
    relative_residual,
    residuals,
    rounding_losses,
    weighted_square,
)
from numopt.completion._solvers.heldout import Holdout
from numopt.completion._solvers.spectral import clip_rows, truncated_svd
from numopt.typing import Array

__all__ = ["ALS", "PATIENCE", "start_factors"]

#: Checks without a better validation error before the fit stops.
PATIENCE = 3
#: Acceleration starts after this many sweeps.
ANDERSON_START = 2
#: Rounds of coordinate descent in a non-negative half sweep.
NONNEGATIVE_PASSES = 10
#: Fewer entries a line than this, or more lines, start at random.
SPECTRAL_DENSITY = 5
SPECTRAL_LINES = 5_000_000
#: A rough subspace will do: the first sweep moves it further than more passes would.
START_PASSES = 1
#: Largest system solved exactly by default.
EXACT_SIZE = {4: 97, 8: 81}


@dataclasses.dataclass
class _State:
    """Factors with biases last, objective, acceleration, best validated sweep."""

    P: Array
    Q: Array
    objective: float
    residual: float
    inner: int
    sweeps: int
    anderson: Anderson
    # Losses of an exact fit, and of one that sums of squares cannot resolve.
    rounding: tuple[float, float]
    best: tuple[Array, Array] | None = None
    best_rmse: float = math.inf
    waited: int = 0
    rmse: float = math.nan


@dataclasses.dataclass(frozen=True)
class ALS(Solver[Observations, _State]):
    """A sweep solves all columns, then all rows; the rows are optimal at any check."""

    penalty: Penalty
    rank: int
    bias: str
    init_method: str
    inner: str
    cg_steps: int
    acceleration: str | None
    clip_incoherence: float | None
    random_state: Any
    holdout: Holdout | None = None
    intercept: float = 0.0
    nonnegative: bool = False

    name = "als"

    def init(self, problem: Observations, warm_start: Any) -> _State:
        """Start from given or spectral factors and solve the rows."""
        if warm_start is None:
            P, Q = start_factors(
                problem, self.rank, self.bias, self.init_method,
                self.clip_incoherence, self.random_state,
            )  # fmt: skip
        else:
            P, Q = warm_start
        if self.nonnegative:
            xp = problem.xp
            P, Q = xp.abs(P), xp.abs(Q)
        rounding = rounding_losses(problem, self.intercept)
        state = _State(P, Q, math.inf, math.inf, 0, 0, Anderson(5), rounding)
        state.P, state.objective = self._rows(problem, Q, P, rounding)
        return state

    def step(self, problem: Observations, state: _State) -> _State:
        """One sweep; the accelerated columns are kept when the objective falls."""
        before = state.objective
        mixes = not self.nonnegative and self.penalty.scaling == "constant"
        if mixes and state.sweeps < ANDERSON_START:
            state.P, state.Q = rebalance(state.P, state.Q)
        Q, _ = self._solve(
            problem.by_col, state.P, state.Q, self.bias in ("col", "both"), before
        )
        state.sweeps += 1
        image = Q
        if self.acceleration is not None and state.sweeps > ANDERSON_START:
            state.anderson.push(state.Q, image)
            Q = state.anderson.extrapolate()
            if self.nonnegative:
                Q = problem.xp.maximum(Q, problem.xp.zeros_like(Q))
        P, value = self._rows(problem, Q, state.P, state.rounding)
        if Q is not image and not value <= before:
            state.anderson.clear()
            Q = image
            P, value = self._rows(problem, Q, state.P, state.rounding)
        state.P, state.Q, state.objective = P, Q, value
        state.residual = relative_decrease(before, value, state.rounding[0])
        self._validate(state)
        return state

    def _rows(
        self,
        problem: Observations,
        Q: Array,
        start: Array,
        rounding: tuple[float, float],
    ) -> tuple[Array, float]:
        """Solve the rows; also the objective of both sides.

        The loss of a solve is a difference of sums of squares: where those cannot
        resolve it, it is computed from the residuals.
        """
        P, loss = self._solve(
            problem.by_row, Q, start, self.bias in ("row", "both"), math.inf
        )
        if loss <= rounding[1]:
            loss = weighted_square(problem, residuals(problem, P, Q))
            loss += float(to_numpy(self.penalty.side_total(problem.by_row, P)))
        return P, loss + float(to_numpy(self.penalty.side_total(problem.by_col, Q)))

    def _solve(
        self, side: Side, other: Array, start: Array, with_bias: bool, _: float
    ) -> tuple[Array, float]:
        """Half sweep of one side, and its part of the objective."""
        xp = array_namespace(other)
        ridge, bias_ridge = self.penalty.lines(side)
        if self.nonnegative:
            X, loss = nonnegative_lines(
                side.indptr, side.indices, side.values, side.weights, other, ridge,
                start, NONNEGATIVE_PASSES,
            )  # fmt: skip
            return X, float(to_numpy(xp.sum(loss)))
        given = (
            side.indptr, side.indices, side.values, side.weights, other, ridge,
            bias_ridge,
        )  # fmt: skip
        steps = self.steps(other)
        if steps == 0:
            X, loss = ridge_lines(*given, with_bias)
        else:
            X, loss = cg_lines(*given, start, with_bias, steps)
        return X, float(to_numpy(xp.sum(loss)))

    def steps(self, other: Array) -> int:
        """Inner steps of conjugate gradients; 0 for exact solves."""
        if self.inner == "cholesky" or self.nonnegative:
            return 0
        size = 4 if "32" in str(other.dtype) else 8
        if self.inner == "auto" and other.shape[1] <= EXACT_SIZE[size]:
            return 0
        return self.cg_steps

    def _validate(self, state: _State) -> None:
        """Remember the sweep that predicts the entries kept back best."""
        if self.holdout is None:
            return
        state.rmse = self.holdout.rmse(state.P, state.Q)
        if state.rmse < state.best_rmse:
            state.best, state.best_rmse = (state.P, state.Q), state.rmse
            state.waited = 0
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
        if not math.isfinite(state.objective):
            return Stop("diverged", "the objective is not finite")
        return None

    def measure(self, problem: Observations, state: _State) -> dict[str, Any]:
        """Objective and its relative decrease over the last sweep."""
        return {
            "objective": state.objective,
            "residual": state.residual,
            "inner_iter": self.steps(state.Q),
            "rank": self.rank,
            "validation_rmse": state.rmse,
        }

    def current(self, state: _State) -> Any:
        """Factors with biases in the last column."""
        return state.P, state.Q

    def finish(self, problem: Observations, state: _State) -> dict[str, Any]:
        """Exact solves of both sides unless the rows are exact already."""
        if state.best is not None:
            state.P, state.Q = state.best
        P, Q, value = state.P, state.Q, state.objective
        if self.steps(Q) > 0 or state.best is not None:
            exact = dataclasses.replace(self, inner="cholesky")
            if state.best is None:
                Q, _ = exact._solve(
                    problem.by_col, P, Q, self.bias in ("col", "both"), value
                )
            P, value = exact._rows(problem, Q, P, state.rounding)
        return {
            "P": P,
            "Q": Q,
            "objective": value,
            "relative_residual": relative_residual(problem, P, Q, self.intercept),
        }


def rebalance(P: Array, Q: Array) -> tuple[Array, Array]:
    """Scale U T and V T^-1 with the positive definite T that equalises their Grams.

    This minimises |U|^2 + |V|^2 for the product and, unlike the gauge of the singular
    value decomposition, is a continuous map close to the identity at a solution.
    """
    xp = array_namespace(P)
    U, V = P[:, :-1], Q[:, :-1]
    A, B = U.T @ U, V.T @ V
    root, inverse_root = _powers(A)
    middle, _ = _powers(root @ B @ root)
    mean = inverse_root @ middle @ inverse_root
    T, inverse = _powers(mean)
    return (
        xp.concat([U @ T, P[:, -1:]], axis=1),
        xp.concat([V @ inverse, Q[:, -1:]], axis=1),
    )


def _powers(A: Array) -> tuple[Array, Array]:
    """A^1/2 and A^-1/2 of a symmetric positive definite matrix."""
    xp = array_namespace(A)
    value, vector = xp.linalg.eigh(A)
    top = xp.max(value)
    least = float(xp.finfo(A.dtype).smallest_normal)
    floor = xp.where(top > 0, 1e-6 * top + least, 1e-6 * xp.ones_like(top))
    value = xp.sqrt(xp.where(value > floor, value, floor * xp.ones_like(value)))
    return (vector * value) @ vector.T, (vector / value) @ vector.T


def start_factors(
    problem: Observations,
    rank: int,
    bias: str,
    init: Any,
    clip_incoherence: float | None,
    random_state: Any,
) -> tuple[Array, Array]:
    """First [U, b] and [V, c]."""
    xp, side = problem.xp, problem.by_row
    values, where = side.values, device(side.values)
    m, n = problem.shape
    rng = as_generator(random_state)
    dense = problem.n_observed >= SPECTRAL_DENSITY * (m + n)
    if init == "random" or not dense or m + n > SPECTRAL_LINES:
        make = {"xp": xp, "dtype": values.dtype, "device": where}
        U = 0.1 * standard_normal(rng, (m, rank), **make)
        V = 0.1 * standard_normal(rng, (n, rank), **make)
        return join(U), join(V)
    b, c = bias_start(problem, bias)
    left = values - predict_entries(
        side.indptr, side.indices, join(xp.zeros_like(b)[:, None], b),
        join(xp.zeros_like(c)[:, None], c),
    )  # fmt: skip
    if problem.weighted:
        left = left * side.weights
    U, s, V = truncated_svd(problem, left, rank, rng, passes=START_PASSES)
    share = problem.n_observed / (m * n)
    root = xp.sqrt(s / share)
    return join(clip_rows(U, clip_incoherence) * root, b), join(V * root, c)


def bias_start(problem: Observations, bias: str) -> tuple[Array, Array]:
    """Biases from shrunk means: columns first, then rows of what is left."""
    xp = problem.xp
    values = problem.by_row.values
    b, c = (
        xp.zeros((extent,), dtype=values.dtype, device=device(values))
        for extent in problem.shape
    )
    if bias in ("col", "both"):
        c = _shrunk_means(problem.by_col, b)
    if bias in ("row", "both"):
        b = _shrunk_means(problem.by_row, c)
    return b, c


def _shrunk_means(side: Side, other: Array) -> Array:
    """Weighted means of the lines of a side less the biases of the other, ridge 1."""
    xp = array_namespace(other)
    w = side.weights if side.weights.shape[0] else xp.ones_like(side.values)

    def sums(values: Array, *columns: Array) -> Array:
        """Sum of values times each column, along every line."""
        X = xp.stack(columns, axis=1)
        return line_sums(side.indptr, side.indices, values, X)

    total = sums(w * side.values, xp.ones_like(other))[:, 0]
    of_weights = sums(w, xp.ones_like(other), other)
    return (total - of_weights[:, 1]) / (of_weights[:, 0] + 1)
