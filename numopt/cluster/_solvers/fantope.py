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
from numopt.cluster._solvers.coalescing import MultiplierChange, coalescing_change
from numopt.cluster._solvers.dual import ClippedDual, DualBound
from numopt.cluster._solvers.projection import SMALL_ORDER, FantopeProjection
from numopt.cluster._solvers.rounding import round_partition
from numopt.cluster._solvers.spectral import (
    EPS,
    RitzPairs,
    eigenvalue_sum,
    proof_loss,
    ritz_numbers,
)
from numopt.typing import Array

__all__ = ["FantopeSolver", "FantopeStart", "FantopeState"]

ALPHA = 1.7
RHO_START = 4.0
#: Ratio of the residuals' square roots from which on rho is changed, and the first step
#: at which it may be; then after twice as many each time, because every change makes
#: the extrapolation forget.
BALANCED = 0.7
BALANCE_FIRST = 20
ROUND_EVERY = 50
#: Filters for the proof of a bound, until its residuals, which enter squared, are well
#: below those of the iterates.
BOUND_DEGREE = 6
BOUND_ROUNDS = 5
BOUND_RESIDUALS = (1e-5, 1e-3)
BOUND_SHARE = 0.1
#: Columns beside those of the iterates, from this order on: the eigenvalues of G + B
#: lie denser, and a filter separates from those beyond the columns only.
BOUND_SPARE = 20
BOUND_SPARE_ORDER = 300
#: Dual residual, and the same in units of the gap wanted, above which a multiplier is
#: too far from optimal for its bound to be worth the time.
EARLY = 1e-2
EARLY_GAPS = 20.0
#: Dual residual from which on the multiplier is changed so that eigenvalues coalesce.
COALESCING = 1e-2
#: Up to this order a dense eigensolver takes over where residuals after fewer filters
#: would cost more than this share of the gain.
DENSE_PROOF = 600
DENSE_ROUNDS = 1
LARGEST_LOSS = 0.2
#: Iterates remembered for extrapolation, by the order of the matrices: half an n x n
#: matrix each.
MEMORY = {1000: 8, 10**9: 3}
#: Single precision serves until a residual is this small; eigenvectors are not asked
#: for more than its rounding allows.
SINGLE_RESIDUAL = 5e-5
SINGLE_ACCURACY = 5e-6
#: Error of a projection, in units of the smaller residual.
INEXACTNESS = 0.3


@dataclasses.dataclass(frozen=True)
class FantopeStart:
    """What the iterations start from: a partition, its bound and where that is from."""

    labels: np.ndarray
    inertia: float
    bound: DualBound
    clipped: ClippedDual | None


@dataclasses.dataclass
class FantopeState:
    """Work arrays of the ADMM; ``V`` holds Y in its positive part, U in its negative.

    ``A = |V| + G/(rho scale)`` is what the next step projects; None after a bound, for
    which its memory was lent. V, the image before it (``last``) and A are in single
    precision at first. ``best`` is the V of the best bound, with its weight
    and the change of the multiplier.
    """

    G: Array
    scale: float
    V: Array
    last: Array
    A: Array | None
    rho: float
    projection: FantopeProjection
    extrapolation: MatrixExtrapolation
    split: Any
    mix: Any
    take_dual: Any
    labels: np.ndarray
    inertia: float
    bound: DualBound
    primal_value: float
    best: tuple[Array, float, MultiplierChange | None] | None = None
    pairs: RitzPairs | None = None
    primal: float = math.inf
    dual: float = math.inf
    steps: int = 0
    rounded: int = 0
    bounded: int = 0
    balance_at: int = BALANCE_FIRST

    @property
    def weight(self) -> float:
        """What turns the scaled multiplier into the matrix B >= 0."""
        return self.rho * self.scale


@dataclasses.dataclass
class _Multiplier:
    """``A = G + B``: ``1^T A 1/n``, ``||A||_F^2``, pairs of J A J, and how B came."""

    A: Array
    mean: float
    square: float
    pairs: Any = None
    change: MultiplierChange | None = None

    def top(self, count: int) -> float:
        """An estimate of the upper bound UB(B) from below."""
        return self.mean + float(np.sum(ritz_numbers(self.pairs)[0][:count]))


@dataclasses.dataclass(frozen=True)
class FantopeSolver(Solver[KMeansProblem, FantopeState]):
    """Alternate the projection on {Z 1 = 1, 0 <= Z <= I, tr Z = K} and on Z >= 0.

    The iteration V <- V+ is a fixed-point map that moves points no further apart;
    Anderson extrapolation of V cuts the number of steps. Whatever the precision of the
    iterates, bounds are evaluated in double precision.
    """

    n_clusters: int
    gap_tol: float
    tol: float
    rows: Any
    rng: np.random.Generator

    name = "kmeans_sdp"

    def init(self, problem: KMeansProblem, warm_start: FantopeStart) -> FantopeState:
        """Start from the matrix of the partition and the multiplier of the bound."""
        xp, n, start = problem.xp, problem.n, warm_start
        dtype = xp.float32 if n > SMALL_ORDER else xp.float64
        scale = problem.spectral_norm() or 1.0
        columns = membership_columns(start.labels, self.n_clusters, problem.like)
        sizes = np.bincount(start.labels, minlength=self.n_clusters)
        roots = xp.asarray(
            1 / np.sqrt(np.maximum(sizes, 1)), device=device(problem.like)
        )
        H = xp.astype(columns * roots[None, :], dtype)
        V = H @ xp.matrix_transpose(H)
        G = None if start.clipped is None else start.clipped.gram
        if start.clipped is not None:
            dual = start.clipped.matrix(start.bound.lambda_)
            V = V - xp.astype(dual / (RHO_START * scale), dtype)
        memory = next(m for order, m in MEMORY.items() if n <= order)
        return FantopeState(
            G=problem.gram() if G is None else G,
            scale=scale,
            V=V,
            last=xp.zeros_like(V),
            A=None,
            rho=RHO_START,
            projection=FantopeProjection(xp, self.n_clusters - 1, H, self.rng),
            extrapolation=MatrixExtrapolation(xp, V, memory),
            split=_kernels.fantope_split.for_namespace(xp),
            mix=_kernels.fantope_mix.for_namespace(xp),
            take_dual=_kernels.fantope_dual.for_namespace(xp),
            labels=start.labels,
            inertia=start.inertia,
            bound=start.bound,
            primal_value=start.inertia,
        )

    def step(self, problem: KMeansProblem, state: FantopeState) -> FantopeState:
        """Project, split, extrapolate, and balance the residuals."""
        if state.A is None:
            self._mix(problem, state, state.V, np.zeros(0), 1.0)
        accuracy = INEXACTNESS * min(state.primal, state.dual, 1.0)
        single = state.V.dtype == problem.xp.float32
        floor = SINGLE_ACCURACY if single else 1e-12
        state.projection.project(state.A, max(accuracy, floor))
        P, weights = state.projection.factor()
        ahead = state.extrapolation
        slot = ahead.differences[ahead.slot, :, :]
        image, change, squares = state.split(
            P, weights, state.V, state.last, ALPHA, (state.last, slot)
        )
        state.last = image
        if change is not slot:
            ahead.differences[ahead.slot, :, :] = change
        gap, move, length = (math.sqrt(v) for v in to_numpy(squares).tolist())
        root = math.sqrt(self.n_clusters)
        state.primal, state.dual = gap / root, state.rho * move / root
        state.steps += 1
        factor = self._balance(state)
        if factor == 1.0:
            theta = ahead.theta(image, state.V, length)
        else:
            ahead.clear()
            theta = np.zeros(0)
        self._mix(problem, state, image, theta, 1 / factor)
        if single and min(state.primal, state.dual) < SINGLE_RESIDUAL:
            self._promote(problem, state)
        return state

    def _mix(
        self,
        problem: KMeansProblem,
        state: FantopeState,
        image: Array,
        theta: np.ndarray,
        shrink: float,
    ) -> None:
        """Extrapolate the image by the coefficients; form what is projected next."""
        weights = problem.xp.asarray(theta, dtype=image.dtype, device=device(image))
        used = state.extrapolation.differences[: theta.size, :, :]
        state.V, state.A = state.mix(
            image, used, weights, shrink, state.G, 1 / state.weight, state.V
        )

    def _balance(self, state: FantopeState) -> float:
        """Scale rho so that both residuals fall together (He, Yang and Wang 2000)."""
        if state.steps < state.balance_at or state.dual == 0 or state.primal == 0:
            return 1.0
        state.balance_at = 2 * state.steps
        factor = min(max(math.sqrt(state.primal / state.dual), 0.4), 2.5)
        if BALANCED <= factor <= 1 / BALANCED:
            return 1.0
        state.rho *= factor
        state.projection.low = 0.0
        return factor

    def _promote(self, problem: KMeansProblem, state: FantopeState) -> None:
        """Go on in double precision, from a matrix that is symmetric to the bit."""
        xp = problem.xp
        state.A = None
        V = xp.astype(state.V, xp.float64)
        state.V = (V + xp.matrix_transpose(V)) / 2
        state.last = xp.astype(state.last, xp.float64)
        state.projection.refine()

    def measure(self, problem: KMeansProblem, state: FantopeState) -> dict[str, Any]:
        """Take the rigorous bound of the multiplier unless it is early; round."""
        if state.steps and state.dual <= max(EARLY, EARLY_GAPS * self.gap_tol):
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
        xp, n, K = problem.xp, problem.n, self.n_clusters
        state.A, state.bounded = None, state.steps
        A, rows, sums = state.take_dual(state.V, state.G, state.weight)
        inner, square = to_numpy(sums).tolist()
        state.primal_value = problem.total - inner
        found = _Multiplier(A, float(xp.sum(rows)) / n, square)
        del A
        if n > SMALL_ORDER and 4 * state.projection.P.shape[1] < n:
            found = self._coalesced(problem, state, found)
            # Ritz values are at most the eigenvalues: a worse bound needs no proof.
            hope = problem.total - found.top(K - 1) - state.bound.value
            if hope <= 0:
                return
            self._prepare_proof(problem, found, hope)
        top = eigenvalue_sum(found.A, K - 1, found.pairs, overwrite=True)
        slack = 4 * n * EPS * (abs(problem.total) + math.sqrt(found.square))
        value = problem.total - found.mean - top - slack
        if value > state.bound.value:
            state.bound = DualBound(value, slack, math.nan)
            state.best = None
            V = xp.asarray(state.V, copy=True)
            state.best = V, state.weight, found.change

    def _coalesced(
        self, problem: KMeansProblem, state: FantopeState, plain: _Multiplier
    ) -> _Multiplier:
        """The multiplier or its change, whichever promises the better bound."""
        plain.pairs = self._bound_pairs(problem, state, plain.A, state.pairs)
        state.pairs = plain.pairs
        if state.dual > COALESCING:
            return plain
        weights = state.projection.f
        change = coalescing_change(plain.A, state.G, plain.pairs, weights)
        if change is None:
            return plain
        total, square = change.apply(plain.A, state.G)
        pairs = self._bound_pairs(problem, state, plain.A, plain.pairs)
        moved = _Multiplier(plain.A, total / problem.n, square, pairs, change)
        if moved.top(self.n_clusters - 1) < plain.top(self.n_clusters - 1):
            state.pairs = pairs
            return moved
        plain.A = None  # it holds the change
        plain.A, _, _ = state.take_dual(state.V, state.G, state.weight)
        return plain

    def _prepare_proof(
        self, problem: KMeansProblem, found: _Multiplier, hope: float
    ) -> None:
        """Bring the pairs to double precision, or leave the proof to LAPACK."""
        pairs, count = found.pairs, self.n_clusters - 1
        if (
            problem.n <= DENSE_PROOF
            and proof_loss(found.pairs, count) > LARGEST_LOSS * hope
        ):
            found.pairs = None
        elif pairs[1].dtype != found.A.dtype:
            # The proof needs vectors that are orthonormal in double precision.
            P = problem.xp.astype(pairs[1], found.A.dtype)
            found.pairs = self._ritz(problem, found.A, P)

    def _ritz(self, problem: KMeansProblem, A: Array, P: Array) -> RitzPairs:
        """Ritz pairs on the columns as they are."""
        ritz = _kernels.filtered_ritz.for_namespace(problem.xp)
        pairs: RitzPairs = ritz(A, P, 0.0, 0.0, 0.0, 0)
        return pairs

    def _bound_pairs(
        self,
        problem: KMeansProblem,
        state: FantopeState,
        A: Array,
        pairs: RitzPairs | None,
    ) -> RitzPairs:
        """Approximate leading pairs of J(G + B)J for the proof of the bound."""
        ritz = _kernels.filtered_ritz.for_namespace(problem.xp)
        working = problem.xp.astype(A, state.V.dtype, copy=False)
        least = state.projection.P.shape[1]
        spare = BOUND_SPARE if problem.n > BOUND_SPARE_ORDER else 0
        if (
            pairs is None
            or not least <= pairs[1].shape[1] <= least + spare
            or pairs[1].dtype != working.dtype
        ):
            start = state.projection.start(least + spare)
            pairs = self._ritz(problem, working, start)
        leading = max(self.n_clusters - 1, state.projection.rank)
        low, high = BOUND_RESIDUALS
        accuracy = min(max(BOUND_SHARE * state.dual, low), high)
        for _ in range(BOUND_ROUNDS if problem.n > DENSE_PROOF else DENSE_ROUNDS):
            values = ritz_numbers(pairs)[0]
            top, cut = float(values[0]), float(values[-1])
            pairs = ritz(working, pairs[1], -abs(top), cut, top, BOUND_DEGREE)
            errors = ritz_numbers(pairs)[1][:leading]
            if float(np.linalg.norm(errors)) <= accuracy * abs(top):
                break
        return pairs

    def _round(self, problem: KMeansProblem, state: FantopeState) -> None:
        """Take the partition that Z rounds to when it is better."""
        state.rounded = state.steps
        if self.rows is None:
            return
        xp = problem.xp
        P, weights = (xp.astype(a, xp.float64) for a in state.projection.factor())
        found = round_partition(
            problem, self.rows, P, weights, self.n_clusters, self.rng
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
        """Bound and round once more; bring the best multiplier to full scale."""
        if state.bounded != state.steps:
            self._take_bound(problem, state)
        state.projection.refine()
        if state.steps and state.rounded != state.steps:
            self._round(problem, state)
        # What the result does not need goes before B comes.
        xp, best = problem.xp, state.best
        state.V = state.last = state.A = state.best = None
        state.extrapolation.differences = None
        if best is not None:
            V, weight, change = best
            B, _, _ = state.take_dual(V, state.G, weight)
            if change is not None:
                change.apply(B, state.G)
            B -= state.G
            B = (B + xp.matrix_transpose(B)) / 2
            state.bound = dataclasses.replace(state.bound, dual=B)
        return {"state": state}

    def current(self, state: FantopeState) -> Any:
        """The nonnegative copy of the membership matrix."""
        return state.V if state.steps else None
