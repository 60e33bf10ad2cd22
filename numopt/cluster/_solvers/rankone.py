# SPDX-License-Identifier: BSD-3-Clause
"""The likelihood-adjusted relaxation with rank-one groups, for many rows."""

import dataclasses
import math
from typing import Any

import numpy as np

from numopt._iterate.loop import Solver

__all__ = ["RankOneProblem", "RankOneSolver"]

INNER_TOL = 1e-3
LARGEST_PENALTY = 400.0


@dataclasses.dataclass(frozen=True, slots=True)
class RankOneProblem:
    """``max sum_k u_k^T C_k u_k``, ``sum_k u_k (1^T u_k) = 1``, u_k >= 0, |u_k| = 1.

    ``C_k = z_k z_k^T - (c_k 1^T + 1 c_k^T)/2`` is kept as whitened rows z_k (n, p).
    """

    z: np.ndarray
    c: np.ndarray
    scale: float

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of clusters and of rows."""
        return self.z.shape[:2]

    @classmethod
    def from_covariances(
        cls, X: np.ndarray, covariances: np.ndarray, shares: np.ndarray | None = None
    ) -> "RankOneProblem":
        """Whiten the rows by every covariance; ``shares`` add ``2 log pi_k``."""
        X = X - X.mean(axis=0)
        L = np.linalg.cholesky(covariances)
        z = np.stack([np.linalg.solve(one, X.T).T for one in L])
        log_dets = 2 * np.sum(np.log(np.diagonal(L, axis1=1, axis2=2)), axis=1)
        c = np.sum(z * z, axis=2) + log_dets[:, None]
        if shares is not None:
            c -= 2 * np.log(np.maximum(shares, 1e-300))[:, None]
        return cls(z, c, X.shape[0] * float(np.median(np.abs(c))) or 1.0)

    def products(self, u: np.ndarray) -> np.ndarray:
        """Return ``C_k u_k`` for all groups, u of shape (K, n)."""
        inner = np.matmul(u[:, None, :], self.z)
        out = np.matmul(self.z, inner.transpose(0, 2, 1))[:, :, 0]
        sums = u.sum(axis=1, keepdims=True)
        return out - 0.5 * (self.c * sums + np.sum(self.c * u, axis=1, keepdims=True))

    def value(self, u: np.ndarray) -> float:
        """Return the objective."""
        return float(np.sum(u * self.products(u)))


@dataclasses.dataclass
class RankOneState:
    """Factors u (K, n), multiplier y and penalty beta of the coupling."""

    u: np.ndarray
    y: np.ndarray
    beta: float
    t: float
    value: float
    gradient: np.ndarray
    f: np.ndarray
    change: float = math.inf
    infeasibility: float = math.inf
    last: float = math.inf


@dataclasses.dataclass(frozen=True)
class RankOneSolver(Solver[RankOneProblem, RankOneState]):
    """Augmented Lagrangian with projected Barzilai-Borwein steps."""

    name = "la_sdp"

    def init(self, problem: RankOneProblem, warm_start: np.ndarray) -> RankOneState:
        """Start from normalised memberships (K, n)."""
        n = problem.shape[1]
        u, beta, y = _spheres(warm_start), 4.0 / n, np.zeros(n)
        value, gradient, f = self._model(problem, u, y, beta)
        return RankOneState(u, y, beta, 0.1, value, gradient, f)

    def _model(
        self, problem: RankOneProblem, u: np.ndarray, y: np.ndarray, beta: float
    ) -> tuple[float, np.ndarray, np.ndarray]:
        """Augmented Lagrangian of the scaled minimisation, gradient, residual."""
        products = problem.products(u) / problem.scale
        sums = u.sum(axis=1)
        f = sums @ u - 1.0
        z = y + beta * f
        value = -float(np.sum(u * products)) + float(f @ (y + 0.5 * beta * f))
        gradient = -2 * products + sums[:, None] * z[None, :] + (u @ z)[:, None]
        return value, gradient, f

    def step(self, problem: RankOneProblem, state: RankOneState) -> RankOneState:
        """One monotone projected step; the multiplier follows when it settles."""
        t = min(max(state.t, 1e-6), 10.0)
        while True:
            u = _spheres(state.u - t * state.gradient)
            value, gradient, f = self._model(problem, u, state.y, state.beta)
            if value <= state.value or t < 1e-9:
                break
            t /= 3
        if not value <= state.value:
            u, value, gradient, f = state.u, state.value, state.gradient, state.f
        moved, turned = u - state.u, gradient - state.gradient
        square, along = float(np.sum(moved**2)), float(np.sum(moved * turned))
        state.t = square / along if along > 0 else 2 * t
        state.u, state.value, state.gradient, state.f = u, value, gradient, f
        state.change = math.sqrt(square)
        state.infeasibility = float(np.linalg.norm(f)) / math.sqrt(f.size)
        if state.change < INNER_TOL:
            state.y = state.y + state.beta * f
            if state.infeasibility > 0.5 * state.last:
                state.beta = min(1.5 * state.beta, LARGEST_PENALTY / f.size)
            state.last = state.infeasibility
            state.value, state.gradient, state.f = self._model(
                problem, u, state.y, state.beta
            )
        return state

    def measure(self, problem: RankOneProblem, state: RankOneState) -> dict[str, Any]:
        """Objective and residuals."""
        return {
            "objective": -problem.scale * state.value,
            "residual": max(state.change, state.infeasibility),
            "primal_residual": state.infeasibility,
            "dual_residual": state.change,
            "rho": state.beta,
        }

    def finish(self, problem: RankOneProblem, state: RankOneState) -> dict[str, Any]:
        """The factors."""
        return {"u": state.u}


def _spheres(V: np.ndarray) -> np.ndarray:
    """Project every row on {u >= 0, |u| = 1}."""
    V = np.maximum(V, 0.0)
    norms = np.linalg.norm(V, axis=1, keepdims=True)
    return V / np.where(norms > 0, norms, 1.0)
