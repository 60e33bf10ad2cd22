# SPDX-License-Identifier: BSD-3-Clause
"""ADMM for the clustering relaxation: a Fantope projection against nonnegativity."""

import dataclasses
import math
from typing import Any

import numpy as np

from numopt._array.namespace import device, to_numpy
from numopt._iterate.loop import Solver
from numopt._iterate.stopping import Stop
from numopt.cluster import _kernels
from numopt.cluster._problem import KMeansProblem, membership_columns
from numopt.cluster._solvers._dual import DualBound, dense_bound
from numopt.cluster._solvers._rounding import round_partition
from numopt.cluster._solvers._spectral import (
    CentredProduct,
    centred,
    chebyshev_filter,
    leading_pairs,
    ritz_pairs,
)
from numopt.typing import Array

__all__ = ["FantopeSolver", "FantopeStart", "FantopeState", "fantope_weights"]

ALPHA = 1.7
RHO_START = 0.3
#: Below this order a dense eigensolver beats filtered subspaces.
SMALL_ORDER = 80
ROUND_EVERY = 50
DEGREE = 7
BOUND_DEGREE = 10


def fantope_weights(w: np.ndarray, trace: float) -> tuple[float, np.ndarray]:
    """Return theta and ``clip(w - theta, 0, 1)`` that sum to ``trace``.

    The sum is piecewise linear and decreasing in theta with breakpoints w and w - 1.
    """
    points = np.sort(np.concatenate([w, w - 1.0]))
    raised = w[None, :] - points[:, None]
    totals = np.minimum(np.maximum(raised, 0.0), 1.0).sum(axis=1)
    # totals decrease along points; find the segment that contains ``trace``.
    i = int(np.searchsorted(-totals, -trace, side="left"))
    if i == 0:
        theta = float(points[0])
    elif i >= points.size:
        theta = float(points[-1])
    else:
        drop = totals[i - 1] - totals[i]
        share = (totals[i - 1] - trace) / drop if drop > 0 else 1.0
        theta = float(points[i - 1] + share * (points[i] - points[i - 1]))
    return theta, np.minimum(np.maximum(w - theta, 0.0), 1.0)


@dataclasses.dataclass(frozen=True)
class FantopeStart:
    """What the iterations start from: a partition and a bound with its multiplier."""

    labels: np.ndarray
    inertia: float
    bound: DualBound


@dataclasses.dataclass
class FantopeState:
    """Work arrays of the ADMM; ``V`` holds Y in its positive part, U in its negative.

    ``P, f`` are the eigenvectors and weights of Z without the ones vector.
    """

    G: Array
    scale: float
    V: Array
    A: Array
    rho: float
    P: Array | None
    w: np.ndarray
    f: np.ndarray
    q: int
    low: float
    primal: float
    dual: float
    labels: np.ndarray
    inertia: float
    bound: DualBound
    basis: Array | None
    steps: int = 0
    balanced: int = 0
    rounded: int = 0
    primal_value: float = math.nan
    dense_steps: int = 0


@dataclasses.dataclass(frozen=True)
class FantopeSolver(Solver[KMeansProblem, FantopeState]):
    """Alternate the projection on {Z 1 = 1, 0 <= Z <= I, tr Z = K} and on Z >= 0."""

    n_clusters: int
    gap_tol: float
    tol: float
    rows: Any
    rng: np.random.Generator
    exact_relaxation: bool = True

    name = "kmeans_sdp"

    def init(self, problem: KMeansProblem, warm_start: FantopeStart) -> FantopeState:
        """Start from the matrix of the partition and the multiplier of the bound."""
        xp = problem.xp
        G = problem.gram()
        scale = problem.spectral_norm() or 1.0
        start = warm_start
        columns = membership_columns(start.labels, self.n_clusters, problem.like)
        sizes = np.bincount(start.labels, minlength=self.n_clusters)
        roots = xp.asarray(
            1 / np.sqrt(np.maximum(sizes, 1)), device=device(problem.like)
        )
        H = columns * roots[None, :]
        V = H @ xp.matrix_transpose(H)
        if start.bound.dual is not None:
            V = V - start.bound.dual / (RHO_START * scale)
        G = G / scale
        return FantopeState(
            G=G,
            scale=scale,
            V=V,
            A=xp.abs(V) + G / RHO_START,
            rho=RHO_START,
            P=None,
            w=np.zeros(0),
            f=np.zeros(0),
            q=min(self.n_clusters + 8, problem.n - 1),
            low=0.0,
            primal=math.inf,
            dual=math.inf,
            labels=start.labels,
            inertia=start.inertia,
            bound=start.bound,
            basis=None,
        )

    def step(self, problem: KMeansProblem, state: FantopeState) -> FantopeState:
        """Project, split, and balance the residuals."""
        xp = problem.xp
        self._project(problem, state)
        active = int(np.count_nonzero(state.f))
        weights = xp.asarray(state.f[:active], device=device(state.V))
        P = state.P[:, :active]
        Z = (P * weights[None, :]) @ xp.matrix_transpose(P) + 1 / problem.n
        state.V, state.A, squares = _kernels.fantope_split(
            Z, state.V, state.G, ALPHA, 1 / state.rho
        )
        gap, change = (math.sqrt(v) for v in to_numpy(squares).tolist())
        root = math.sqrt(self.n_clusters)
        state.primal, state.dual = gap / root, state.rho * change / root
        state.steps += 1
        state.q = min(problem.n - 1, max(self.n_clusters + 3, int(1.2 * active) + 5))
        self._balance(xp, state)
        return state

    def _balance(self, xp: Any, state: FantopeState) -> None:
        """Scale rho so that both residuals fall together (He, Yang and Wang 2000)."""
        every = 20 if state.steps <= 300 else 100
        if state.steps % every or state.dual == 0 or state.primal == 0:
            return
        factor = min(max(math.sqrt(state.primal / state.dual), 0.4), 2.5)
        if 0.67 <= factor <= 1.5:
            return
        state.rho *= factor
        zero = xp.zeros_like(state.V)
        state.V = xp.maximum(state.V, zero) + xp.minimum(state.V, zero) / factor
        state.A = xp.abs(state.V) + state.G / state.rho
        state.low *= 1.5

    def _project(self, problem: KMeansProblem, state: FantopeState) -> None:
        """Leading eigenpairs of J A J and the weights of the projection."""
        n, trace = problem.n, self.n_clusters - 1
        if state.P is not None and n > SMALL_ORDER and 4 * state.q < n:
            accuracy = 0.1 * max(min(state.primal, state.dual), 1e-9)
            if self._subspace(problem, state, trace, accuracy):
                return
        state.dense_steps += 1
        C = centred(state.A)
        size = float(problem.xp.linalg.matrix_norm(C))
        C = C - 2 * size / n
        while True:
            w, P = leading_pairs(C, state.q)
            state.w, state.P = to_numpy(w), P
            theta, state.f = fantope_weights(state.w, trace)
            if theta >= state.w[-1] or state.q == n - 1:
                break
            state.q = min(n - 1, int(1.7 * state.q) + 2)

    def _subspace(
        self, problem: KMeansProblem, state: FantopeState, trace: int, accuracy: float
    ) -> bool:
        """Filtered subspace iteration from the previous vectors; False: not enough."""
        xp = problem.xp
        P = state.P
        if P.shape[1] > state.q:
            P = P[:, : state.q]
        elif P.shape[1] < state.q:
            extra = self.rng.standard_normal((problem.n, state.q - P.shape[1]))
            P = xp.concat([P, xp.asarray(extra, device=device(P))], axis=1)
        w = state.w
        state.low = self._lowest(xp, state)
        product = CentredProduct(state.A)
        for _ in range(3):
            cut = float(w[min(w.size, P.shape[1]) - 1])
            top = float(w[0])
            P = chebyshev_filter(product, P, state.low, cut, top, DEGREE)
            values, P, residuals = ritz_pairs(product, P)
            w, errors = to_numpy(values), to_numpy(residuals)
            theta, f = fantope_weights(w, trace)
            needed = f > 0
            if theta < w[-1] or abs(float(np.sum(f)) - trace) > 1e-9 * max(trace, 1):
                return False
            if float(np.linalg.norm(errors[needed] * np.minimum(f[needed], 1))) <= max(
                accuracy, 1e-12
            ):
                state.P, state.w, state.f = P, w, f
                return True
        return False

    def _lowest(self, xp: Any, state: FantopeState) -> float:
        """An estimate of the smallest eigenvalue, from a few power steps."""
        if state.low == 0.0 or state.steps % 10 == 0:
            v = xp.asarray(
                self.rng.standard_normal((state.V.shape[0], 1)), device=device(state.V)
            )
            top = float(state.w[0])
            value = 0.0
            for _ in range(6):
                v = v - xp.mean(v, axis=0, keepdims=True)
                v = v / xp.sqrt(xp.sum(v * v))
                u = state.A @ v
                value = float(xp.sum(u * v))
                v = top * v - u
            state.low = min(1.15 * value, value - 0.05 * abs(top))
        return state.low

    def measure(self, problem: KMeansProblem, state: FantopeState) -> dict[str, Any]:
        """Take the rigorous bound of the multiplier; round now and then."""
        if state.steps:
            self._take_bound(problem, state)
        if state.steps - state.rounded >= ROUND_EVERY:
            self._round(problem, state)
        unit = problem.unit
        return {
            "n_iter": state.steps,
            "objective": unit * state.primal_value,
            "residual": max(state.primal, state.dual),
            "iteration": state.steps,
            "primal_residual": state.primal,
            "dual_residual": state.dual,
            "lower_bound": unit * state.bound.value,
            "inertia": unit * state.inertia,
            "rho": state.rho,
            "rank": int(np.count_nonzero(state.f)) + 1,
        }

    def _take_bound(self, problem: KMeansProblem, state: FantopeState) -> None:
        xp = problem.xp
        zero = xp.zeros_like(state.V)
        Y = xp.maximum(state.V, zero)
        state.primal_value = problem.total - state.scale * float(xp.sum(state.G * Y))
        B = xp.maximum(-state.V, zero) * state.rho
        B = 0.5 * (B + xp.matrix_transpose(B))
        basis = self._bound_basis(problem, state, state.G + B)
        found = dense_bound(
            problem, state.G * state.scale, B * state.scale, self.n_clusters, basis
        )
        if found.value > state.bound.value:
            state.bound = found

    def _bound_basis(
        self, problem: KMeansProblem, state: FantopeState, A: Array
    ) -> Array | None:
        """Approximate leading vectors of J(G + B)J for the proof of the bound."""
        if problem.n <= SMALL_ORDER or 4 * state.P.shape[1] >= problem.n:
            return None
        product = CentredProduct(A)
        warm = state.basis is not None and state.basis.shape[1] == state.P.shape[1]
        w, P, _ = ritz_pairs(product, state.basis if warm else state.P)
        values = to_numpy(w)
        low = -float(abs(values[0]))
        for _ in range(1 if warm else 3):
            P = chebyshev_filter(
                product, P, low, float(values[-1]), float(values[0]), BOUND_DEGREE
            )
            if not warm:
                w, P, _ = ritz_pairs(product, P)
                values = to_numpy(w)
        state.basis = P
        return P

    def _round(self, problem: KMeansProblem, state: FantopeState) -> None:
        state.rounded = state.steps
        if self.rows is None:
            return
        found = round_partition(
            problem, self.rows, state.P, state.f, self.n_clusters, self.rng
        )
        if found is not None and found[1] < state.inertia:
            state.labels, state.inertia = found

    def stop(self, problem: KMeansProblem, state: FantopeState) -> Stop | None:
        """Stop when the partition or the relaxation itself is settled."""
        inertia, bound = state.inertia, state.bound.value
        gap = problem.gap(inertia, bound)
        if gap <= self.gap_tol:
            return Stop("optimal", f"the partition is proved optimal: gap {gap:.2e}")
        left = state.primal_value - bound
        if left <= self.gap_tol * abs(inertia) and state.primal <= 1e-4:
            return Stop(
                "sdp_solved",
                f"the relaxation is solved; its gap to the partition is {gap:.2e}",
            )
        return None

    def finish(self, problem: KMeansProblem, state: FantopeState) -> dict[str, Any]:
        """Round once more and report the matrix and both residuals."""
        if state.P is not None and state.rounded != state.steps:
            self._round(problem, state)
        return {"state": state}

    def current(self, state: FantopeState) -> Any:
        """The nonnegative copy of the membership matrix."""
        return None if state.P is None else state.V
