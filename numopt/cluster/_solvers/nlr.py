# SPDX-License-Identifier: BSD-3-Clause
"""Nonnegative low-rank factorisation of the relaxation by an augmented Lagrangian."""

import dataclasses
import math
from typing import Any

import numpy as np

from numopt._array.namespace import array_namespace, device, to_numpy
from numopt._iterate.loop import Solver, iterate
from numopt._iterate.stopping import Stop
from numopt.cluster._problem import DenseRows, KMeansProblem, SparseRows
from numopt.cluster._solvers.primal import improve_labels, one_start
from numopt.cluster._solvers.rounding import round_factor
from numopt.typing import Array

__all__ = ["LowRankSolver", "LowRankStarts", "nlr_starts"]

BLEND = 0.2
INNER_TOL = 1e-3
LARGEST_PENALTY = 400.0
STUCK_STEPS = 5
#: Rounding needs the leading columns only: they have settled when so many checks in a
#: row leave them as they are, with row sums this near to one.
SETTLED_CHECKS = 5
SETTLED_ROWS = 1e-2


@dataclasses.dataclass
class LowRankState:
    """Factor U >= 0 with ||U||_F^2 = K, multiplier y of U U^T 1 = 1, penalty beta."""

    U: Array
    y: Array
    beta: float
    t: float
    f: Array
    value: float
    gradient: Array
    change: float = math.inf
    infeasibility: float = math.inf
    last_infeasibility: float = math.inf
    stuck: int = 0
    leading: Array = None
    unchanged: int = 0


@dataclasses.dataclass(frozen=True)
class LowRankSolver(Solver[KMeansProblem, LowRankState]):
    """Projected Barzilai-Borwein steps on the augmented Lagrangian (Zhuang 2024)."""

    n_clusters: int
    rows: Any
    scale: float
    root_n: float

    name = "nlr_kmeans"

    def init(self, problem: KMeansProblem, warm_start: Array) -> LowRankState:
        """Scale the start to the sphere; the penalty is 4/n."""
        xp = array_namespace(warm_start)
        beta = 4.0 / problem.n
        U = self._sphere(xp, warm_start)
        y = xp.zeros_like(U[:, 0])
        value, gradient, f = self._model(U, y, beta)
        return LowRankState(U, y, beta, 1 / self._lipschitz(beta), f, value, gradient)

    def _lipschitz(self, beta: float) -> float:
        """A bound on the curvature of the augmented Lagrangian."""
        return 2 + 3 * beta * self.root_n**2

    def _sphere(self, xp: Any, V: Array) -> Any:
        """Projection on {U >= 0, ||U||_F^2 = K}; None when no entry is positive."""
        zero = xp.zeros((1, 1), dtype=V.dtype, device=device(V))
        V = xp.maximum(V, zero)
        norm = float(xp.linalg.matrix_norm(V))
        return V * (math.sqrt(self.n_clusters) / norm) if norm != 0 else None

    def _model(self, U: Array, y: Array, beta: float) -> tuple[float, Array, Array]:
        """Augmented Lagrangian, its gradient and the residual U U^T 1 - 1."""
        xp = array_namespace(U)
        sums = xp.sum(U, axis=0)
        f = U @ sums - 1
        z = y + beta * f
        inner = self.rows.transposed_times(U) / self.scale
        products = self.rows.times(xp.matrix_transpose(inner)) / self.scale
        value = float(-xp.sum(inner * inner) + xp.sum(f * (y + 0.5 * beta * f)))
        row = z @ U
        products *= -2
        products += row[None, :]
        products += z[:, None] * sums[None, :]
        return value, products, f

    def step(self, problem: KMeansProblem, state: LowRankState) -> LowRankState:
        """One monotone projected step; the multiplier follows when it settles."""
        xp = array_namespace(state.U)
        bound = self._lipschitz(state.beta)
        t = min(max(state.t, 0.1 / bound), 20 / bound)
        while True:
            U = self._sphere(xp, state.U - t * state.gradient)
            if U is None:
                # So long a step leaves nothing of U; a short one does.
                t /= 3
                continue
            value, gradient, f = self._model(U, state.y, state.beta)
            if value <= state.value or t < 1e-4 / bound:
                break
            t /= 3
        if not value <= state.value:
            # No descent left at this multiplier: stay, and let it move.
            U, value, gradient, f = state.U, state.value, state.gradient, state.f
            state.stuck += 1
        else:
            state.stuck = 0
        moved = U - state.U
        turned = gradient - state.gradient
        along = float(xp.sum(moved * turned))
        square = float(xp.sum(moved * moved))
        state.t = square / along if along > 0 else 20 / bound
        state.change = math.sqrt(square / self.n_clusters)
        state.U, state.value, state.gradient, state.f = U, value, gradient, f
        state.infeasibility = float(xp.linalg.vector_norm(f)) / self.root_n
        if state.change < INNER_TOL:
            self._update_multiplier(state)
        return state

    def _update_multiplier(self, state: LowRankState) -> None:
        """Move y along the residual; raise the penalty when that helps little."""
        state.y = state.y + state.beta * state.f
        if state.infeasibility > 0.5 * state.last_infeasibility:
            state.beta = min(1.5 * state.beta, LARGEST_PENALTY / self.root_n**2)
        state.last_infeasibility = state.infeasibility
        state.value, state.gradient, state.f = self._model(state.U, state.y, state.beta)

    def measure(self, problem: KMeansProblem, state: LowRankState) -> dict[str, Any]:
        """Objective of the relaxation and both residuals."""
        xp = array_namespace(state.U)
        leading = xp.argmax(state.U, axis=1)
        same = state.leading is not None and bool(xp.all(leading == state.leading))
        state.unchanged = state.unchanged + 1 if same else 0
        state.leading = leading
        inner = self.rows.transposed_times(state.U)
        inertia = problem.total - float(xp.sum(inner * inner))
        return {
            "objective": inertia * problem.unit,
            "residual": max(state.change, state.infeasibility),
            "primal_residual": state.infeasibility,
            "dual_residual": state.change,
            "rho": state.beta,
        }

    def stop(self, problem: KMeansProblem, state: LowRankState) -> Stop | None:
        """Stop when the partition has settled, or no step makes progress."""
        if state.unchanged >= SETTLED_CHECKS and state.infeasibility <= SETTLED_ROWS:
            return Stop("converged", "the leading column of every row has settled")
        if state.stuck >= STUCK_STEPS:
            return Stop("stalled", "no step lowers the augmented Lagrangian")
        return None

    def finish(self, problem: KMeansProblem, state: LowRankState) -> dict[str, Any]:
        """The factor."""
        return {"factor": state.U}


@dataclasses.dataclass
class LowRankStarts:
    """Best partition over all starts, and the solve that led to it."""

    labels: np.ndarray
    inertia: float
    fields: dict[str, Any]


def nlr_starts(
    problem: KMeansProblem,
    rows: DenseRows | SparseRows,
    labels: np.ndarray | None,
    n_clusters: int,
    *,
    n_init: int,
    rng: np.random.Generator,
    rank: int | None = None,
    tol: float = 1e-4,
    max_iter: int = 5000,
    callback: Any = None,
    verbose: int = 0,
) -> LowRankStarts:
    """Run the solver from blended k-means partitions and from random factors.

    Every factor is rounded, and polished by Lloyd and single-point moves; ``labels``
    (if given) are the incumbent to beat.
    """
    rank = min(2 * n_clusters, problem.n) if rank is None else rank
    solver = LowRankSolver(
        n_clusters,
        rows,
        math.sqrt(problem.spectral_norm() or 1.0),
        math.sqrt(problem.n),
    )
    best: LowRankStarts | None = None
    if labels is not None:
        best = LowRankStarts(labels, problem.inertia(labels, n_clusters), {})
    for attempt in range(n_init):
        blended = attempt < (n_init + 1) // 2
        start = _start(problem, rows, n_clusters, rank, rng, blended)
        fields = iterate(
            solver,
            problem,
            tol=tol,
            max_iter=max_iter,
            callback=callback,
            verbose=verbose,
            check_every=10,
            warm_start=start,
            warn=False,
        )
        found = round_factor(problem, rows, fields["factor"], n_clusters, rng)
        if found is not None and (best is None or found[1] < best.inertia):
            best = LowRankStarts(*found, fields)
        elif best is not None and not best.fields:
            best.fields = fields
    if best is None:
        # Every factor left a cluster empty: the plain partition is what remains.
        plain, _ = one_start(rows, n_clusters, rng)
        polished = improve_labels(problem, rows, plain, n_clusters)
        best = LowRankStarts(*polished, fields)
    return best


def _start(
    problem: KMeansProblem,
    rows: Any,
    n_clusters: int,
    rank: int,
    rng: np.random.Generator,
    blended: bool,
) -> Array:
    """A normalised partition with noise, or noise alone."""
    noise = rng.random((problem.n, rank))
    noise *= math.sqrt(n_clusters) / np.linalg.norm(noise)
    if blended:
        labels, _ = one_start(rows, n_clusters, rng, max_iter=5)
        labels = to_numpy(labels)
        sizes = np.bincount(labels, minlength=n_clusters)
        columns = np.zeros((problem.n, rank))
        columns[np.arange(problem.n), labels] = 1 / np.sqrt(sizes[labels])
        noise = (1 - BLEND) * columns + BLEND * noise
    return problem.xp.asarray(noise, device=device(problem.like))
