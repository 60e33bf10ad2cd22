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
from numopt.cluster._solvers.acceleration import MatrixExtrapolation
from numopt.cluster._solvers.dual import DualBound
from numopt.cluster._solvers.projection import SMALL_ORDER, FantopeProjection
from numopt.cluster._solvers.rounding import round_partition
from numopt.cluster._solvers.spectral import EPS, RitzPairs, eigenvalue_sum
from numopt.typing import Array, Namespace

__all__ = ["FantopeSolver", "FantopeStart", "FantopeState"]

ALPHA = 1.7
RHO_START = 2.0
ROUND_EVERY = 50
#: Filters for the proof of a bound, until residuals (which enter squared) are small.
BOUND_DEGREE = 8
BOUND_ROUNDS = 4
BOUND_RESIDUAL = 1e-5
#: Iterates remembered for extrapolation, by the order of the matrices: half an n x n
#: matrix each.
MEMORY = {1000: 6, 10**9: 3}


@dataclasses.dataclass(frozen=True)
class FantopeStart:
    """What the iterations start from: a partition and a bound with its multiplier."""

    labels: np.ndarray
    inertia: float
    bound: DualBound


@dataclasses.dataclass
class FantopeState:
    """Work arrays of the ADMM; ``V`` holds Y in its positive part, U in its negative.

    ``A = |V| + G/rho`` is what the next step projects.
    """

    G: Array
    scale: float
    V: Array
    last: Array
    A: Array
    rho: float
    projection: FantopeProjection
    extrapolation: MatrixExtrapolation
    split: Any
    mix: Any
    take_dual: Any
    labels: np.ndarray
    inertia: float
    bound: DualBound
    dual_matrix: Array | None = None
    pairs: RitzPairs | None = None
    primal: float = math.inf
    dual: float = math.inf
    steps: int = 0
    rounded: int = 0
    primal_value: float = math.nan


@dataclasses.dataclass(frozen=True)
class FantopeSolver(Solver[KMeansProblem, FantopeState]):
    """Alternate the projection on {Z 1 = 1, 0 <= Z <= I, tr Z = K} and on Z >= 0.

    The iteration V <- V+ is a fixed-point map that moves points no further apart;
    Anderson extrapolation of V cuts the number of steps.
    """

    n_clusters: int
    gap_tol: float
    tol: float
    rows: Any
    rng: np.random.Generator

    name = "kmeans_sdp"

    def init(self, problem: KMeansProblem, warm_start: FantopeStart) -> FantopeState:
        """Start from the matrix of the partition and the multiplier of the bound."""
        xp, n = problem.xp, problem.n
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
        memory = next(m for order, m in MEMORY.items() if n <= order)
        return FantopeState(
            G=G,
            scale=scale,
            V=V,
            last=V,
            A=xp.abs(V) + G / RHO_START,
            rho=RHO_START,
            projection=FantopeProjection(xp, n, self.n_clusters - 1, self.rng),
            extrapolation=MatrixExtrapolation(xp, V, memory),
            split=_kernels.fantope_split.for_namespace(xp),
            mix=_kernels.fantope_mix.for_namespace(xp),
            take_dual=_kernels.fantope_dual.for_namespace(xp),
            labels=start.labels,
            inertia=start.inertia,
            bound=start.bound,
        )

    def step(self, problem: KMeansProblem, state: FantopeState) -> FantopeState:
        """Project, split, extrapolate, and balance the residuals."""
        xp = problem.xp
        accuracy = 0.1 * min(state.primal, state.dual, 1.0)
        state.projection.project(state.A, max(accuracy, 1e-12))
        P, weights = state.projection.factor()
        Z = (P * weights[None, :]) @ xp.matrix_transpose(P) + 1 / problem.n
        ahead = state.extrapolation
        image, difference, squares = state.split(Z, state.V, state.last, ALPHA)
        ahead.differences[ahead.slot, :, :] = difference
        gap, change, length = (math.sqrt(v) for v in to_numpy(squares).tolist())
        root = math.sqrt(self.n_clusters)
        state.primal, state.dual = gap / root, state.rho * change / root
        state.steps += 1
        point, state.last, state.V = state.V, image, image
        if self._balance(xp, state):
            ahead.clear()
            theta = np.zeros(ahead.differences.shape[0])
        else:
            theta = ahead.theta(image, point, length)
        weights = xp.asarray(theta, device=device(image))
        state.V, state.A = state.mix(
            state.V, ahead.differences, weights, state.G, 1 / state.rho
        )
        return state

    def _balance(self, xp: Namespace, state: FantopeState) -> bool:
        """Scale rho so that both residuals fall together (He, Yang and Wang 2000)."""
        every = 20 if state.steps <= 300 else 100
        if state.steps % every or state.dual == 0 or state.primal == 0:
            return False
        factor = min(max(math.sqrt(state.primal / state.dual), 0.4), 2.5)
        if 0.67 <= factor <= 1.5:
            return False
        state.rho *= factor
        zero = xp.zeros_like(state.V)
        state.V = xp.maximum(state.V, zero) + xp.minimum(state.V, zero) / factor
        state.projection.low = 0.0
        return True

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
            "rank": state.projection.rank + 1,
        }

    def _take_bound(self, problem: KMeansProblem, state: FantopeState) -> None:
        """``T - UB(B)`` of the multiplier, and the value of the nonnegative copy."""
        n, K, scale = problem.n, self.n_clusters, state.scale
        A, rows, sums = state.take_dual(state.V, state.G, state.rho)
        inner, square = to_numpy(sums).tolist()
        state.primal_value = problem.total - scale * inner
        pairs = self._bound_pairs(problem, state, A)
        top = float(problem.xp.sum(rows)) / n + eigenvalue_sum(A, K - 1, pairs)
        slack = 4 * n * EPS * (abs(problem.total) + scale * math.sqrt(square))
        value = problem.total - scale * top - slack
        if value > state.bound.value:
            state.bound = DualBound(value, slack, math.nan)
            state.dual_matrix = A

    def _bound_pairs(
        self, problem: KMeansProblem, state: FantopeState, A: Array
    ) -> RitzPairs | None:
        """Approximate leading pairs of J(G + B)J for the proof of the bound."""
        start = state.projection.P
        if problem.n <= SMALL_ORDER or 4 * start.shape[1] >= problem.n:
            return None
        pairs = state.pairs
        if pairs is None or pairs[1].shape[1] != start.shape[1]:
            pairs = _kernels.filtered_ritz(A, start, 0.0, 0.0, 0.0, 0)
        for _ in range(BOUND_ROUNDS):
            values = to_numpy(pairs[0])
            top, cut = float(values[0]), float(values[-1])
            pairs = _kernels.filtered_ritz(
                A, pairs[1], -abs(top), cut, top, BOUND_DEGREE
            )
            errors = to_numpy(pairs[2])[: self.n_clusters - 1]
            if float(np.linalg.norm(errors)) <= BOUND_RESIDUAL * abs(top):
                break
        state.pairs = pairs
        return pairs

    def _round(self, problem: KMeansProblem, state: FantopeState) -> None:
        """Take the partition that Z rounds to when it is better."""
        state.rounded = state.steps
        if self.rows is None:
            return
        found = round_partition(
            problem,
            self.rows,
            *state.projection.factor(),
            self.n_clusters,
            self.rng,
        )
        if found is not None and found[1] < state.inertia:
            state.labels, state.inertia = found

    def stop(self, problem: KMeansProblem, state: FantopeState) -> Stop | None:
        """Stop when the partition or the relaxation itself is settled."""
        inertia, bound = state.inertia, state.bound.value
        gap = problem.gap(inertia, bound)
        if gap <= self.gap_tol:
            return Stop("optimal", f"the partition is proved optimal: gap {gap:.2e}")
        left = abs(state.primal_value - bound)
        if left <= self.gap_tol * abs(inertia) and state.primal <= 1e-4:
            return Stop(
                "sdp_solved",
                f"the relaxation is solved; its gap to the partition is {gap:.2e}",
            )
        return None

    def finish(self, problem: KMeansProblem, state: FantopeState) -> dict[str, Any]:
        """Round once more; bring the multiplier of the best bound to full scale."""
        if state.dual_matrix is not None:
            dual = state.scale * (state.dual_matrix - state.G)
            dual = problem.xp.maximum(dual, problem.xp.zeros_like(dual))
            state.bound = dataclasses.replace(state.bound, dual=dual)
        if state.steps and state.rounded != state.steps:
            self._round(problem, state)
        return {"state": state}

    def current(self, state: FantopeState) -> Any:
        """The nonnegative copy of the membership matrix."""
        return state.V if state.steps else None
