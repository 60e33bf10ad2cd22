# SPDX-License-Identifier: BSD-3-Clause
"""The likelihood-adjusted relaxation: consensus ADMM and its rigorous dual bound."""

import dataclasses
import math
from typing import Any

import numpy as np

from numopt._array.namespace import array_namespace, device, to_numpy
from numopt._iterate.loop import Solver
from numopt._iterate.stopping import Stop
from numopt.cluster._solvers.projection import FantopeProjection
from numopt.cluster._solvers.spectral import EPS
from numopt.typing import Array

__all__ = [
    "GroupProblem",
    "GroupSolver",
    "GroupState",
    "dual_bound",
    "partition_groups",
]

ALPHA = 1.6
#: Error of a projection, in units of the smaller residual.
INEXACTNESS = 0.3


@dataclasses.dataclass(frozen=True, slots=True)
class GroupProblem:
    """``max sum_k <C_k, Z_k>`` s.t. ``sum_k Z_k 1 = 1, tr Z_k = 1, Z_k >= 0, PSD``.

    ``C_k = A_k - (c_k 1^T + 1 c_k^T)/2`` has the entries
    ``-||x_i - x_j||^2_{S_k^-1}/2 - log det S_k``, independent of translations.
    """

    C: Array
    scale: float

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of clusters and of rows."""
        return self.C.shape[0], self.C.shape[1]

    @classmethod
    def from_covariances(
        cls, X: Array, covariances: np.ndarray, shares: np.ndarray | None = None
    ) -> "GroupProblem":
        """Build the cost matrices; ``shares`` add ``2 log pi_k``."""
        xp, where = array_namespace(X), device(X)
        X = X - xp.mean(X, axis=0)
        # Whitening of p x p matrices is the host's work; n x n is the device's.
        L = np.linalg.cholesky(covariances)
        constants = -2 * np.sum(np.log(np.diagonal(L, axis1=1, axis2=2)), axis=1)
        if shares is not None:
            constants += 2 * np.log(np.maximum(shares, 1e-300))
        whiten = xp.asarray(np.linalg.inv(L), device=where)
        z = X[None, :, :] @ xp.matrix_transpose(whiten)
        norms = xp.sum(z * z, axis=2)
        C = z @ xp.matrix_transpose(z)
        C = C - 0.5 * (norms[:, :, None] + norms[:, None, :])
        C = C + xp.asarray(constants, device=where)[:, None, None]
        sizes = xp.sort(xp.reshape(xp.abs(C), (-1,)))
        scale = X.shape[0] * float(sizes[sizes.shape[0] // 2])
        return cls(C, scale or 1.0)

    def value(self, Z: Array) -> float:
        """Return the objective of group matrices."""
        return float(array_namespace(Z).sum(self.C * Z))


@dataclasses.dataclass
class GroupState:
    """Copies Y (nonnegative) and W (affine), multipliers U and V, and Z itself."""

    Z: Array
    Y: Array
    W: Array
    U: Array
    V: Array
    rho: float
    projections: list[FantopeProjection]
    primal: float = math.inf
    dual: float = math.inf
    steps: int = 0


def partition_groups(labels: np.ndarray, n_clusters: int) -> np.ndarray:
    """Return ``Z_k = 1_k 1_k^T / n_k`` of a partition, shape (K, n, n)."""
    columns = np.eye(n_clusters)[labels]
    sizes = np.maximum(columns.sum(axis=0), 1)
    return np.einsum("ik,jk->kij", columns / sizes, columns)


@dataclasses.dataclass(frozen=True)
class GroupSolver(Solver[GroupProblem, GroupState]):
    """Consensus ADMM over the clusters with residual balancing."""

    name = "la_sdp"

    def init(self, problem: GroupProblem, warm_start: np.ndarray) -> GroupState:
        """Start from group matrices, without multipliers."""
        xp = array_namespace(problem.C)
        Z = xp.asarray(warm_start, device=device(problem.C))
        zero = xp.zeros_like(Z)
        rng = np.random.default_rng(0)
        projections = [
            # The largest row of a group spans what it starts from.
            FantopeProjection(xp, 1, _heaviest_row(Z[k, :, :]), rng, centre=False)
            for k in range(Z.shape[0])
        ]
        return GroupState(Z, Z, Z, zero, zero, 1.0, projections)

    def step(self, problem: GroupProblem, state: GroupState) -> GroupState:
        """Project every group on {PSD, tr = 1}, then split and couple."""
        xp = array_namespace(problem.C)
        K, n = problem.shape
        M = 0.5 * (state.Y - state.U + state.W - state.V)
        M = M + problem.C * (0.5 / (state.rho * problem.scale))
        state.Z = self._project(state, M)
        Zy = ALPHA * state.Z + (1 - ALPHA) * state.Y
        Zw = ALPHA * state.Z + (1 - ALPHA) * state.W
        moved = Zy + state.U
        Y = xp.maximum(moved, xp.zeros_like(moved))
        Q = Zw + state.V
        rest = 1.0 - xp.sum(xp.sum(Q, axis=2), axis=0)
        # W_k = Q_k + a 1^T + 1 a^T restores sum_k W_k 1 = 1 with the least change.
        a = (rest / K - xp.sum(rest) / (2 * n * K)) / n
        W = Q + a[None, :, None] + a[None, None, :]
        state.U, state.V = moved - Y, Q - W
        gap = xp.sum((state.Z - Y) ** 2) + xp.sum((state.Z - W) ** 2)
        move = xp.sum((Y - state.Y) ** 2) + xp.sum((W - state.W) ** 2)
        state.primal = math.sqrt(float(gap))
        state.dual = state.rho * math.sqrt(float(move))
        state.Y, state.W = Y, W
        state.steps += 1
        self._balance(state)
        return state

    def _project(self, state: GroupState, M: Array) -> Array:
        """Every group on {PSD, tr = 1}, as exactly as the residuals ask for."""
        xp, groups = array_namespace(M), []
        accuracy = max(INEXACTNESS * min(state.primal, state.dual, 1.0), 1e-12)
        for k, projection in enumerate(state.projections):
            A = M[k, :, :]
            projection.project(0.5 * (A + xp.matrix_transpose(A)), accuracy)
            P, weights = projection.factor()
            half = P * xp.sqrt(weights)[None, :]
            groups.append(half @ xp.matrix_transpose(half))
        return xp.stack(groups)

    def _balance(self, state: GroupState) -> None:
        """Scale rho so that both residuals fall together (He, Yang and Wang 2000)."""
        every = 20 if state.steps <= 300 else 100
        if state.steps % every or state.dual == 0 or state.primal == 0:
            return
        factor = min(max(math.sqrt(state.primal / state.dual), 0.4), 2.5)
        if not 0.67 <= factor <= 1.5:
            state.rho *= factor
            state.U = state.U / factor
            state.V = state.V / factor

    def measure(self, problem: GroupProblem, state: GroupState) -> dict[str, Any]:
        """Objective and residuals."""
        return {
            "objective": problem.value(state.Y),
            "residual": max(state.primal, state.dual),
            "primal_residual": state.primal,
            "dual_residual": state.dual,
            "rho": state.rho,
        }

    def stop(self, problem: GroupProblem, state: GroupState) -> Stop | None:
        """No reason of its own."""
        return None

    def finish(self, problem: GroupProblem, state: GroupState) -> dict[str, Any]:
        """Group matrices, the nonnegative copy, and the dual bound."""
        upper = dual_bound(problem, state) if state.steps else math.inf
        return {"Z": state.Z, "Y": state.Y, "upper_bound": upper}


def _heaviest_row(Z: Array) -> Array:
    """The row of the largest diagonal entry as a column, or a constant one."""
    xp = array_namespace(Z)
    i = int(xp.argmax(xp.linalg.diagonal(Z)))
    column = Z[:, i : i + 1]
    return column if float(Z[i, i]) > 0 else xp.ones_like(column)


def dual_bound(problem: GroupProblem, state: GroupState) -> float:
    """Upper bound ``1^T y + sum_k lambda_max(C_k - (y1^T + 1y^T)/2 + B_k)``.

    It holds for every y and every ``B_k >= 0``; they come from the multipliers of the
    two copies. Eigenvalues are dense, and rounding is allowed for.
    """
    xp = array_namespace(problem.C)
    n = problem.shape[1]
    factor = state.rho * problem.scale
    # At a solution rho V_k = (y 1^T + 1 y^T)/2 for one y: row sums recover it.
    rows = factor * xp.sum(xp.mean(state.V, axis=0), axis=1)
    y = 2 * (rows - xp.sum(rows) / (2 * n)) / n
    coupling = 0.5 * (y[:, None] + y[None, :])
    B = xp.maximum(-factor * state.U, xp.zeros_like(state.U))
    A = problem.C - coupling[None, :, :] + 0.5 * (B + xp.matrix_transpose(B))
    top = to_numpy(xp.linalg.eigvalsh(A))[:, -1]
    size = float(xp.sum(xp.linalg.matrix_norm(A))) + float(xp.sum(xp.abs(y)))
    return float(xp.sum(y)) + float(np.sum(top)) + 4 * n * EPS * size
