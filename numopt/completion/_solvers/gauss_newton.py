# SPDX-License-Identifier: BSD-3-Clause
"""Damped Gauss-Newton on the manifold of rank-k matrices, with rank continuation."""

import dataclasses
import math
from typing import Any

import numpy as np

from numopt._array.namespace import array_namespace, device, to_numpy
from numopt._array.random import as_generator, standard_normal
from numopt._iterate.loop import Solver
from numopt._iterate.stopping import Stop
from numopt.completion._kernels.als import line_sums, predict_entries
from numopt.completion._problem import Observations
from numopt.completion._solvers.factors import join
from numopt.completion._solvers.spectral import truncated_svd
from numopt.typing import Array

__all__ = ["GaussNewton", "Point", "damped_step", "retract"]

#: Damping: first value, floor, where to give up, factors after steps.
DAMPING_START, DAMPING_FLOOR, DAMPING_LIMIT = 1e-2, 1e-14, 1e6
GOOD, POOR, FAILED = 0.2, 3.0, 5.0
CG_STEPS = 300
CG_FLOOR = 1e-8
#: Outer steps at each rank of the continuation below the last.
STEPS_PER_RANK = 8
#: A residual above this after a stall is worth a new start.
STALLED = 1e-3
#: A start is given up when so many steps leave more than this share of the residual.
SLOW_STEPS, SLOW_SHARE = 12, 0.9
#: Minimum-norm steps of a restart, and the residual at which they have done their part.
MIN_NORM_STEPS, MIN_NORM_DONE = 60, 1e-2
#: Their systems are singular: fewer inner steps leave them far from the least norm.
MIN_NORM_CG = 1000
#: Relative decrease that counts as none, and how many in a row mean a stall.
FLAT, FLAT_STEPS = 1e-9, 3


@dataclasses.dataclass
class Point:
    """X = Qu diag(s) Qv' with orthonormal Qu (m, k) and Qv (n, k)."""

    Qu: Array
    s: Array
    Qv: Array

    def factors(self) -> tuple[Array, Array]:
        """Balanced [U, 0] and [V, 0]."""
        xp = array_namespace(self.s)
        root = xp.sqrt(self.s)
        return join(self.Qu * root), join(self.Qv * root)

    @property
    def rank(self) -> int:
        """Number of singular values."""
        return self.s.shape[0]


def residual_at(problem: Observations, x: Point) -> Array:
    """Values minus X at the entries, row-major."""
    side = problem.by_row
    P, Q = join(x.Qu * x.s), join(x.Qv)
    return side.values - predict_entries(side.indptr, side.indices, P, Q)


def weighted_norm(problem: Observations, r: Array) -> float:
    """Square root of the weighted sum of squares."""
    xp = array_namespace(r)
    rw = r * problem.by_row.weights if problem.weighted else r
    return math.sqrt(float(to_numpy(xp.sum(r * rw))))


class _Tangent:
    """J(A, B) = P(A Qv' + Qu B') and its adjoint, weighted."""

    def __init__(self, problem: Observations, x: Point) -> None:
        self.problem, self.x = problem, x
        self.xp = problem.xp

    def forward(self, A: Array, B: Array) -> Array:
        """Tangent vector at the entries."""
        side, xp, x = self.problem.by_row, self.xp, self.x
        P = xp.concat([A, x.Qu], axis=1)
        Q = xp.concat([x.Qv, B], axis=1)
        return predict_entries(side.indptr, side.indices, join(P), join(Q))

    def adjoint(self, r: Array) -> tuple[Array, Array]:
        """Gradient of the entries in both factors."""
        problem, xp = self.problem, self.xp
        rows, cols = problem.by_row, problem.by_col
        r = r * rows.weights if problem.weighted else r
        by_column = xp.take(r, cols.order)
        return (
            line_sums(rows.indptr, rows.indices, r, self.x.Qv),
            line_sums(cols.indptr, cols.indices, by_column, self.x.Qu),
        )


def damped_step(
    problem: Observations,
    x: Point,
    r: Array,
    damping: float,
    rtol: float,
    most: int = CG_STEPS,
) -> tuple[Array, Array, float, int]:
    """Solve (J'J + damping I)(A, B) = J'r in at most ``most`` steps of CG.

    Also returns the predicted decrease and the number of steps.
    """
    T = _Tangent(problem, x)
    ra, rb = T.adjoint(r)
    ga, gb = ra, rb
    A, B = 0 * ra, 0 * rb
    pa, pb = ra, rb
    rr = _dot(ra, rb, ra, rb)
    stop = (rtol * math.sqrt(rr)) ** 2
    steps = 0
    while steps < most and rr > stop:
        steps += 1
        qa, qb = T.adjoint(T.forward(pa, pb))
        qa, qb = qa + damping * pa, qb + damping * pb
        curvature = _dot(pa, pb, qa, qb)
        if not curvature > 0:  # pragma: no cover - underflow
            break
        step = rr / curvature
        A, B = A + step * pa, B + step * pb
        ra, rb = ra - step * qa, rb - step * qb
        new = _dot(ra, rb, ra, rb)
        beta, rr = new / rr, new
        pa, pb = ra + beta * pa, rb + beta * pb
    # |r|^2 - |r - J d|^2 = d'g + d'(g - J'J d) with residual g - (J'J + damping) d.
    size = _dot(A, B, A, B)
    predicted = _dot(A, B, ga, gb) + _dot(A, B, ra, rb) + damping * size
    return A, B, predicted, steps


def _dot(a: Array, b: Array, c: Array, d: Array) -> float:
    """Inner product of two pairs of arrays."""
    xp = array_namespace(a)
    return float(to_numpy(xp.sum(a * c) + xp.sum(b * d)))


def retract(x: Point, A: Array, B: Array) -> Point:
    """Best rank-k approximation of X + A Qv' + Qu B'."""
    xp = array_namespace(A)
    left = xp.concat([x.Qu * x.s + A, x.Qu], axis=1)
    right = xp.concat([x.Qv, B], axis=1)
    return truncate(left, right, x.rank)


def truncate(left: Array, right: Array, rank: int) -> Point:
    """Leading ``rank`` triplets of left right'."""
    xp = array_namespace(left)
    Ql, Rl = xp.linalg.qr(left)
    Qr, Rr = xp.linalg.qr(right)
    W, s, Zt = xp.linalg.svd(Rl @ Rr.T, full_matrices=False)
    return Point(Ql @ W[:, :rank], s[:rank], Qr @ Zt[:rank, :].T)


@dataclasses.dataclass
class _State:
    """Point, residual, damping and the progress of this start."""

    x: Point
    r: Array
    norm: float
    damping: float
    steps_here: int = 0
    inner: int = 0
    flat: int = 0
    start: int = 0
    steps: int = 0
    gave_up: bool = False
    best: tuple[float, Point] | None = None
    min_norm: bool = False
    trail: list[float] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class GaussNewton(Solver[Observations, _State]):
    """Outer step: damped tangent least squares by conjugate gradients, retraction."""

    rank: int
    continuation: bool
    n_restarts: int
    tol: float
    max_steps: int
    random_state: Any
    clip: float | None = None

    name = "gauss_newton"

    @property
    def total_steps(self) -> int:
        """Bound on the steps of all starts and ranks."""
        return (self.max_steps + STEPS_PER_RANK * self.rank) * (self.n_restarts + 1)

    def init(self, problem: Observations, warm_start: Any) -> _State:
        """Start at rank 1 (continuation) or at the truncated decomposition."""
        if warm_start is not None:
            x = truncate(warm_start[0][:, :-1], warm_start[1][:, :-1], self.rank)
        elif self.continuation:
            x = self._spectral(problem, problem.by_row.values, 1)
        else:
            x = self._spectral(problem, problem.by_row.values, self.rank)
        return self._fresh(problem, x)

    def _fresh(self, problem: Observations, x: Point) -> _State:
        """State at a point, with the first damping."""
        r = residual_at(problem, x)
        return _State(x, r, weighted_norm(problem, r), DAMPING_START)

    def _spectral(self, problem: Observations, values: Array, rank: int) -> Point:
        """Truncated decomposition of the known entries, rescaled."""
        m, n = problem.shape
        rng = as_generator(self.random_state)
        if problem.weighted:
            values = values * problem.by_row.weights
        U, s, V = truncated_svd(problem, values, rank, rng)
        return Point(U, s * (m * n / problem.n_observed), V)

    def _append(self, problem: Observations, state: _State) -> None:
        """Add the leading singular pair of the residual."""
        xp = problem.xp
        x = state.x
        r = self.seed_residual(state.r)
        pair = self._spectral(problem, r, 1)
        left = xp.concat([x.Qu * x.s, pair.Qu * pair.s], axis=1)
        right = xp.concat([x.Qv, pair.Qv], axis=1)
        grown = self._fresh(problem, truncate(left, right, x.rank + 1))
        if not grown.norm < state.norm:
            # A long seed can overshoot; a short one never raises the residual much.
            left = xp.concat([x.Qu * x.s, 1e-3 * pair.Qu * pair.s], axis=1)
            grown = self._fresh(problem, truncate(left, right, x.rank + 1))
        state.x, state.r, state.norm = grown.x, grown.r, grown.norm
        state.damping, state.steps_here, state.flat = DAMPING_START, 0, 0

    def seed_residual(self, r: Array) -> Array:
        """Residual that seeds a new direction; robust methods clip it."""
        if self.clip is None:
            return r
        xp = array_namespace(r)
        limit = self.clip * float(np.median(np.abs(to_numpy(r))))
        return xp.minimum(
            xp.maximum(r, xp.full_like(r, -limit)), xp.full_like(r, limit)
        )

    def step(self, problem: Observations, state: _State) -> _State:
        """One damped step, a growth of the rank, or a new start after a stall."""
        state.steps += 1
        if state.x.rank < self.rank and (
            state.steps_here >= STEPS_PER_RANK or state.flat or state.gave_up
        ):
            state.gave_up = False
            self._append(problem, state)
        elif self._stalled(problem, state):
            self._restart(problem, state)
        if state.min_norm:
            self._minimum_norm(problem, state)
        else:
            self._gauss_newton(problem, state)
            if state.x.rank == self.rank:
                state.trail.append(state.norm)
        return state

    def _relative(self, problem: Observations, norm: float) -> float:
        """Residual relative to the values."""
        size = weighted_norm(problem, problem.by_row.values)
        return norm / size if size > 0 else norm

    def _stalled(self, problem: Observations, state: _State) -> bool:
        """Whether a new start is due."""
        if state.x.rank < self.rank:
            return False
        done = state.flat >= FLAT_STEPS or state.gave_up
        done = done or state.steps_here >= self.max_steps
        trail = state.trail
        if len(trail) > SLOW_STEPS and not state.min_norm:
            done = done or trail[-1] > SLOW_SHARE * trail[-1 - SLOW_STEPS]
        return (
            done
            and state.start < self.n_restarts
            and self._relative(problem, state.norm) > STALLED
        )

    def _restart(self, problem: Observations, state: _State) -> None:
        """Decomposition with and without minimum-norm steps, then random subspaces."""
        self._keep_best(state)
        state.start += 1
        if state.start <= 2:
            x = self._spectral(problem, problem.by_row.values, self.rank)
        else:
            x = self._random(problem, state.start)
        fresh = self._fresh(problem, x)
        for field in (
            "x", "r", "norm", "damping", "steps_here", "flat", "gave_up", "trail",
        ):  # fmt: skip
            setattr(state, field, getattr(fresh, field))
        state.min_norm = state.start != 2

    def _random(self, problem: Observations, number: int) -> Point:
        """Random subspaces with singular values of the size of the data."""
        xp, values = problem.xp, problem.by_row.values
        make = {"xp": xp, "dtype": values.dtype, "device": device(values)}
        seed = as_generator(self.random_state).integers(2**31)
        rng = np.random.default_rng([number, int(seed)])
        m, n = problem.shape
        Qu = xp.linalg.qr(standard_normal(rng, (m, self.rank), **make))[0]
        Qv = xp.linalg.qr(standard_normal(rng, (n, self.rank), **make))[0]
        level = weighted_norm(problem, values) * math.sqrt(
            m * n / problem.n_observed / self.rank
        )
        return Point(Qu, level * xp.ones_like(Qu[0, :]), Qv)

    def _keep_best(self, state: _State) -> None:
        """Remember the point if no start was better."""
        if state.x.rank == self.rank and (
            state.best is None or state.norm < state.best[0]
        ):
            state.best = (state.norm, state.x)

    def _minimum_norm(self, problem: Observations, state: _State) -> None:
        """Least-norm factors of the linearised fit (Zilber & Nadler 2022).

        They may travel far and raise the residual, which brings them out of the
        valleys in which descent stalls when the spectrum is flat.
        """
        root = array_namespace(state.x.s).sqrt(state.x.s)
        at = Point(state.x.Qu * root, state.x.s, state.x.Qv * root)
        target = problem.by_row.values + predict_entries(
            problem.by_row.indptr, problem.by_row.indices, join(at.Qu), join(at.Qv)
        )
        A, B, _, state.inner = damped_step(
            problem, at, target, 0.0, CG_FLOOR, MIN_NORM_CG
        )
        state.x = truncate(A, B, self.rank)
        state.r = residual_at(problem, state.x)
        state.norm = weighted_norm(problem, state.r)
        state.steps_here += 1
        near = self._relative(problem, state.norm) < MIN_NORM_DONE
        if near or state.steps_here >= MIN_NORM_STEPS:
            state.min_norm, state.steps_here = False, 0

    def _gauss_newton(self, problem: Observations, state: _State) -> None:
        """One damped step; the damping follows its gain."""
        m, n = problem.shape
        share = problem.n_observed / (m * n)
        relative = self._relative(problem, state.norm)
        rtol = max(CG_FLOOR, min(0.1, math.sqrt(relative)))
        A, B, predicted, inner = damped_step(
            problem, state.x, state.r, state.damping * share, rtol
        )
        x = retract(state.x, A, B)
        r = residual_at(problem, x)
        norm = weighted_norm(problem, r)
        state.inner, state.steps_here = inner, state.steps_here + 1
        if not norm < state.norm:
            state.damping *= FAILED
            state.gave_up = not state.damping < DAMPING_LIMIT
            return
        gain = (state.norm**2 - norm**2) / max(predicted, 1e-300)
        if gain > 0.75:
            state.damping = max(GOOD * state.damping, DAMPING_FLOOR)
        elif gain < 0.25:
            state.damping *= POOR
        flat = state.norm - norm < FLAT * state.norm
        state.flat = state.flat + 1 if flat else 0
        if state.flat >= FLAT_STEPS and state.damping > DAMPING_START:
            # Small steps under heavy damping are no sign of a solution.
            state.damping, state.flat = DAMPING_START, 0
        state.x, state.r, state.norm = x, r, norm

    def measure(self, problem: Observations, state: _State) -> dict[str, Any]:
        """Residual of the known entries, relative to their norm."""
        relative = self._relative(problem, state.norm)
        grown = state.x.rank == self.rank
        return {
            "objective": state.norm**2,
            "residual": relative if grown or relative <= self.tol else 1.0 + relative,
            "relative_residual": relative,
            "inner_iter": state.inner,
            "rank": state.x.rank,
            "damping": state.damping,
            "start": state.start,
        }

    def current(self, state: _State) -> Any:
        """Balanced factors."""
        return state.x.factors()

    def stop(self, problem: Observations, state: _State) -> Stop | None:
        """A least-squares solution of noisy data, or a stall without starts left."""
        if state.x.rank < self.rank or self._stalled(problem, state):
            return None
        if state.flat >= FLAT_STEPS:
            return Stop(
                "converged",
                "the residual no longer falls: least-squares solution of noisy data",
            )
        if state.gave_up:
            return Stop("stalled", "damping limit; try more restarts or a lower rank")
        if state.steps_here >= self.max_steps:
            return Stop("max_iter", f"no solution in {self.max_steps} steps")
        return None

    def finish(self, problem: Observations, state: _State) -> dict[str, Any]:
        """Best of all starts."""
        self._keep_best(state)
        norm, x = state.best if state.best is not None else (state.norm, state.x)
        P, Q = x.factors()
        if x.rank < self.rank:
            xp = problem.xp
            width = self.rank - x.rank
            P, Q = (
                xp.concat([xp.zeros_like(F[:, :1])] * width + [F], axis=1)
                for F in (P, Q)
            )
            P, Q = (
                xp.concat([F[:, width:-1], F[:, :width], F[:, -1:]], axis=1)
                for F in (P, Q)
            )
        return {
            "P": P,
            "Q": Q,
            "objective": norm**2,
            "relative_residual": self._relative(problem, norm),
        }
