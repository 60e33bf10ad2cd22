# SPDX-License-Identifier: BSD-3-Clause
"""The likelihood-adjusted relaxation: consensus ADMM and its rigorous dual bound."""

import dataclasses
import math
from typing import Any

import numpy as np

from numopt._iterate.loop import Solver
from numopt._iterate.stopping import Stop
from numopt.cluster._solvers.spectral import EPS, leading_pairs, leading_values

__all__ = [
    "GroupProblem",
    "GroupSolver",
    "GroupState",
    "dual_bound",
    "partition_groups",
]

ALPHA = 1.6
RANK_START = 8


@dataclasses.dataclass(frozen=True, slots=True)
class GroupProblem:
    """``max sum_k <C_k, Z_k>`` s.t. ``sum_k Z_k 1 = 1, tr Z_k = 1, Z_k >= 0, PSD``.

    ``C_k = A_k - (c_k 1^T + 1 c_k^T)/2`` has the entries
    ``-||x_i - x_j||^2_{S_k^-1}/2 - log det S_k``, independent of translations.
    """

    C: np.ndarray
    scale: float

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of clusters and of rows."""
        return self.C.shape[:2]

    @classmethod
    def from_covariances(
        cls, X: np.ndarray, covariances: np.ndarray, shares: np.ndarray | None = None
    ) -> "GroupProblem":
        """Build the cost matrices; ``shares`` add ``2 log pi_k``."""
        K, n = covariances.shape[0], X.shape[0]
        X = X - X.mean(axis=0)
        C = np.empty((K, n, n))
        for k in range(K):
            L = np.linalg.cholesky(covariances[k])
            z = np.linalg.solve(L, X.T)
            norms = np.sum(z * z, axis=0)
            log_det = 2 * float(np.sum(np.log(np.diagonal(L))))
            C[k] = z.T @ z - 0.5 * (norms[:, None] + norms[None, :]) - log_det
            if shares is not None:
                C[k] += 2 * math.log(max(float(shares[k]), 1e-300))
        scale = n * float(np.median(np.abs(C))) or 1.0
        return cls(C, scale)

    def value(self, Z: np.ndarray) -> float:
        """Return the objective of group matrices."""
        return float(np.sum(self.C * Z))


@dataclasses.dataclass
class GroupState:
    """Copies Y (nonnegative) and W (affine), multipliers U and V, and Z itself."""

    Z: np.ndarray
    Y: np.ndarray
    W: np.ndarray
    U: np.ndarray
    V: np.ndarray
    rho: float
    ranks: np.ndarray
    primal: float = math.inf
    dual: float = math.inf
    steps: int = 0
    upper: float = math.inf


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
        Z = np.array(warm_start)
        zero = np.zeros_like(Z)
        ranks = np.full(Z.shape[0], min(RANK_START, Z.shape[1]))
        return GroupState(Z, Z.copy(), Z.copy(), zero, zero.copy(), 1.0, ranks)

    def step(self, problem: GroupProblem, state: GroupState) -> GroupState:
        """Project every group on {PSD, tr = 1}, then split and couple."""
        K, n = problem.shape
        M = 0.5 * (state.Y - state.U + state.W - state.V)
        M += problem.C * (0.5 / (state.rho * problem.scale))
        for k in range(K):
            state.Z[k], state.ranks[k] = _project_trace(M[k], int(state.ranks[k]))
        Zy = ALPHA * state.Z + (1 - ALPHA) * state.Y
        Zw = ALPHA * state.Z + (1 - ALPHA) * state.W
        Y = np.maximum(Zy + state.U, 0.0)
        Q = Zw + state.V
        rest = 1.0 - Q.sum(axis=(0, 2))
        # W_k = Q_k + a 1^T + 1 a^T restores sum_k W_k 1 = 1 with the least change.
        a = (rest / K - rest.sum() / (2 * n * K)) / n
        W = Q + a[None, :, None] + a[None, None, :]
        state.U += Zy - Y
        state.V += Zw - W
        gap = np.sum((state.Z - Y) ** 2) + np.sum((state.Z - W) ** 2)
        move = np.sum((Y - state.Y) ** 2) + np.sum((W - state.W) ** 2)
        state.primal, state.dual = math.sqrt(gap), state.rho * math.sqrt(move)
        state.Y, state.W = Y, W
        state.steps += 1
        self._balance(state)
        return state

    def _balance(self, state: GroupState) -> None:
        every = 20 if state.steps <= 300 else 100
        if state.steps % every or state.dual == 0 or state.primal == 0:
            return
        factor = min(max(math.sqrt(state.primal / state.dual), 0.4), 2.5)
        if not 0.67 <= factor <= 1.5:
            state.rho *= factor
            state.U /= factor
            state.V /= factor

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


def _project_trace(M: np.ndarray, q: int) -> tuple[np.ndarray, int]:
    """Projection on {Z PSD, tr Z = 1} from the leading eigenpairs."""
    n = M.shape[0]
    M = 0.5 * (M + M.T)
    while True:
        w, P = leading_pairs(M, q)
        sums = np.cumsum(w) - 1.0
        counts = np.arange(1, q + 1)
        active = int(np.flatnonzero(w - sums / counts > 0)[-1]) + 1
        theta = sums[active - 1] / active
        if theta >= w[-1] or q == n:
            break
        q = min(n, int(1.7 * q) + 2)
    f = w[:active] - theta
    Z = (P[:, :active] * f) @ P[:, :active].T
    return Z, min(n, max(4, int(1.2 * active) + 3))


def dual_bound(problem: GroupProblem, state: GroupState) -> float:
    """Upper bound ``1^T y + sum_k lambda_max(C_k - (y1^T + 1y^T)/2 + B_k)``.

    It holds for every y and every ``B_k >= 0``; they come from the multipliers of the
    two copies. Eigenvalues are dense, and rounding is allowed for.
    """
    K, n = problem.shape
    factor = state.rho * problem.scale
    # At a solution rho V_k = (y 1^T + 1 y^T)/2 for one y: row sums recover it.
    rows = factor * state.V.mean(axis=0).sum(axis=1)
    y = 2 * (rows - rows.sum() / (2 * n)) / n
    coupling = 0.5 * (y[:, None] + y[None, :])
    total, size = float(y.sum()), 0.0
    for k in range(K):
        B = np.maximum(-factor * state.U[k], 0.0)
        A = problem.C[k] - coupling + 0.5 * (B + B.T)
        total += float(leading_values(A, 1)[0])
        size += float(np.linalg.norm(A))
    return total + 4 * n * EPS * (size + float(np.abs(y).sum()))
