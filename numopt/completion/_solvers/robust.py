# SPDX-License-Identifier: BSD-3-Clause
"""Corrupted entries: reweighted Gauss-Newton, trimming and polish."""

import dataclasses
import math
from typing import Any

import numpy as np

from numopt._array.namespace import array_namespace, to_numpy
from numopt._iterate.loop import Solver, iterate
from numopt._iterate.stopping import Stop
from numopt.completion._problem import Observations
from numopt.completion._solvers.factors import residuals
from numopt.completion._solvers.gauss_newton import (
    GaussNewton,
    _State,
    residual_at,
    weighted_norm,
)
from numopt.typing import Array

__all__ = ["RobustGaussNewton", "outliers"]

#: Residuals below this quantile of |r| share one weight.
QUANTILE = 0.35
#: Tuning constant of Huber's loss, in standard deviations (95 % efficiency).
HUBER = 1.345
#: Standard deviation of a Gaussian in units of the median absolute deviation.
MAD_SCALE = 1.4826
#: Residuals beyond this many standard deviations are outliers.
CUT = 6.0
#: Seeds of new directions clip residuals at this multiple of the median.
SEED_CLIP = 3.0
STEPS_PER_WEIGHT = 2
WEIGHTS_PER_RANK = 8
#: The weights have settled when the median residual changes by less than this share,
#: or is below this share of the median value.
SETTLED, SMALL = 0.02, 1e-8
#: Least outlier of each polish, relative to the median value: a coarse cut first, or
#: lines that are not fitted yet lose good entries.
FLOORS = (1e-1, 1e-2, 1e-3, 1e-5, 1e-7, 1e-8)


def outliers(r: np.ndarray, floor: float) -> np.ndarray:
    """Residuals beyond six robust standard deviations."""
    spread = MAD_SCALE * float(np.median(np.abs(r)))
    return np.abs(r) > max(CUT * spread, floor)


@dataclasses.dataclass
class _RobustState:
    """State of the weighted steps, and the outcome of the polish."""

    gn: _State
    loss: float = math.inf
    middle: float = math.inf
    change: float = math.inf
    mask: np.ndarray | None = None
    polished: bool = False
    relative: float = 1.0
    done: Stop | None = None
    steps: int = 0


@dataclasses.dataclass(frozen=True)
class RobustGaussNewton(Solver[Observations, _RobustState]):
    """Reweighted steps until the weights settle, then a fit of the inliers alone."""

    loss: str
    rank: int
    continuation: bool
    n_restarts: int
    tol: float
    max_steps: int
    random_state: Any

    name = "irls_gauss_newton"

    @property
    def _plain(self) -> GaussNewton:
        """The least-squares method that takes the steps."""
        return GaussNewton(
            self.rank, self.continuation, self.n_restarts, self.tol, self.max_steps,
            self.random_state, clip=SEED_CLIP,
        )  # fmt: skip

    @property
    def total_steps(self) -> int:
        """Bound on reweightings and polishes."""
        return self.max_steps + WEIGHTS_PER_RANK * self.rank + 1

    def init(self, problem: Observations, warm_start: Any) -> _RobustState:
        """Start from the decomposition of clipped values."""
        solver = self._plain
        if warm_start is not None:
            return _RobustState(solver.init(problem, warm_start))
        clipped = solver.seed_residual(problem.by_row.values)
        rank = 1 if self.continuation else self.rank
        x = solver._spectral(problem, clipped, rank)
        return _RobustState(solver._fresh(problem, x))

    def step(self, problem: Observations, state: _RobustState) -> _RobustState:
        """Reweight and take two damped steps, or polish on the inliers."""
        state.steps += 1
        gn = state.gn
        full = gn.x.rank == self.rank
        settled = state.change < SETTLED
        if full and (settled or gn.steps_here >= 2 * self.max_steps):
            self._polish(problem, state)
            return state
        if not full and (
            settled or gn.steps_here >= STEPS_PER_WEIGHT * WEIGHTS_PER_RANK
        ):
            self._plain._append(problem, gn)
            state.middle = math.inf
        weights = self._weights(gn.r)
        if problem.weighted:
            weights = weights * problem.by_row.weights
        weighted = problem.with_values(problem.by_row.values, weights)
        gn.norm = weighted_norm(weighted, gn.r)
        for _ in range(STEPS_PER_WEIGHT):
            self._plain._gauss_newton(weighted, gn)
        if gn.gave_up:
            gn.damping, gn.gave_up = 1e-2, False
        state.loss = self.total(problem, gn.r)
        middle = float(np.median(np.abs(to_numpy(gn.r))))
        scale = float(np.median(np.abs(to_numpy(problem.by_row.values))))
        state.change = abs(state.middle - middle) / max(middle, 1e-300)
        if middle <= SMALL * scale:
            state.change = 0.0
        state.middle = middle
        return state

    def _weights(self, r: Array) -> Array:
        """Weights of the loss at the residuals, at most 1."""
        xp = array_namespace(r)
        size = np.abs(to_numpy(r))
        if self.loss == "huber":
            level = HUBER * MAD_SCALE * float(np.median(size))
        else:
            level = float(np.quantile(size, QUANTILE))
        level = max(level, 1e-13 * float(size.max()), 1e-300)
        return level / xp.maximum(xp.abs(r), xp.full_like(r, level))

    def total(self, problem: Observations, r: Array) -> float:
        """Sum of the losses: |r|, or Huber's with its scale from the residuals."""
        xp = array_namespace(r)
        size = xp.abs(r)
        if self.loss == "huber":
            level = HUBER * MAD_SCALE * float(np.median(to_numpy(size)))
            size = xp.where(size <= level, size**2, 2 * level * size - level**2)
        if problem.weighted:
            size = size * problem.by_row.weights
        return float(to_numpy(xp.sum(size)))

    def _polish(self, problem: Observations, state: _RobustState) -> None:
        """Drop the outliers, fit the others by least squares, flag once more."""
        solver = dataclasses.replace(self._plain, n_restarts=0)
        P, Q = state.gn.x.factors()
        xp = problem.xp
        scale = float(np.median(np.abs(to_numpy(problem.by_row.values))))
        floor = math.sqrt(float(xp.finfo(P.dtype).eps)) * scale
        inner, last = 0, None
        for share in FLOORS:
            mask = outliers(
                to_numpy(residuals(problem, P, Q)), max(floor, share * scale)
            )
            if last is not None and np.array_equal(mask, last):
                continue
            last = mask
            kept = problem.subset(~mask)
            found = iterate(
                solver, kept, tol=self.tol, max_iter=solver.total_steps, warn=False,
                warm_start=(P, Q),
            )  # fmt: skip
            P, Q = found["P"], found["Q"]
            inner += int(found["history"]["inner_iter"].sum())
        state.gn = solver.init(problem, (P, Q))
        state.gn.inner = inner
        state.mask = outliers(to_numpy(residuals(problem, P, Q)), floor)
        state.loss = self.total(problem, residual_at(problem, state.gn.x))
        state.relative = found["relative_residual"]
        state.polished = True
        status = "converged" if found["converged"] else found["status"]
        state.done = Stop(status, f"inliers: {found['message']}")

    def measure(self, problem: Observations, state: _RobustState) -> dict[str, Any]:
        """Robust loss; after the polish, the relative residual of the inliers."""
        return {
            "objective": state.loss
            if math.isfinite(state.loss)
            else self.total(problem, state.gn.r),
            "residual": state.relative if state.polished else math.inf,
            "inner_iter": state.gn.inner,
            "rank": state.gn.x.rank,
            "damping": state.gn.damping,
        }

    def current(self, state: _RobustState) -> Any:
        """Balanced factors."""
        return state.gn.x.factors()

    def stop(self, problem: Observations, state: _RobustState) -> Stop | None:
        """Stop after the polish."""
        return state.done

    def finish(self, problem: Observations, state: _RobustState) -> dict[str, Any]:
        """Factors and the outliers, in row-major order."""
        P, Q = state.gn.x.factors()
        r = residual_at(problem, state.gn.x)
        mask = state.mask
        if mask is None:
            mask = outliers(to_numpy(r), 0.0)
        size = weighted_norm(problem, problem.by_row.values)
        return {
            "P": P,
            "Q": Q,
            "objective": self.total(problem, r),
            "relative_residual": weighted_norm(problem, r) / (size or 1.0),
            "outlier_mask": mask,
        }
