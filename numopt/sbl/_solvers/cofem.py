# SPDX-License-Identifier: BSD-3-Clause
"""Covariance-free solver: products with the dictionary are all that is needed."""

import dataclasses
import math
from typing import Any

import numpy as np

from numopt._array.random import as_generator
from numopt._iterate.loop import Solver
from numopt._numerics.cg import cg
from numopt.sbl._problem import SBLProblem, abs2
from numopt.sbl._solvers.batch import (
    NOISE_FLOOR,
    NOISE_START,
    moments,
    posterior_covariance,
)

__all__ = ["CofemSolver", "Products", "products"]

CG_TOL, CG_MAX_ITER = 1e-4, 400
SHRINK_FLOOR = 1e-3  # probes cannot resolve smaller values of 1 - Sigma_jj / gamma_j


@dataclasses.dataclass(frozen=True)
class Products:
    """``forward`` and ``back`` multiply a matrix by A and by its adjoint."""

    forward: Any
    back: Any


def products(A: Any) -> Products:
    """Return the products of an array, a sparse matrix or a linear operator."""
    if hasattr(A, "rmatmat"):
        return Products(A.matmat, A.rmatmat)
    if hasattr(A, "matvec"):
        return Products(_by_columns(A.matvec), _by_columns(A.rmatvec))
    back = A.conj().T
    return Products(lambda X: A @ X, lambda X: back @ X)


def _by_columns(f: Any) -> Any:
    """Product with a matrix from a product with vectors."""
    return lambda X: np.stack([f(x) for x in X.T], axis=1)


@dataclasses.dataclass(slots=True)
class CofemState:
    """Active prior variances and the solutions that warm-start the next step."""

    keep: np.ndarray
    gamma: np.ndarray
    noise: float
    probes: np.ndarray
    solved: np.ndarray  # (m, L + K): posterior mean and probes, in whitened units
    energy: np.ndarray
    adjoint_y: np.ndarray
    mean_square: float
    shrink: np.ndarray
    residual: float = 0.0
    quadratic: float = 0.0
    move: float = math.inf


@dataclasses.dataclass(frozen=True)
class CofemSolver(Solver[SBLProblem, CofemState]):
    """Hutchinson probes and conjugate gradients (Lin, Song, Bilgic and Ba 2021).

    With ``D = diag(sqrt(gamma))`` the systems ``(I + D A^H A D / noise) w = b`` for the
    mean and for K Rademacher probes advance together; the M-step is that of "mm".
    """

    n_probes: int
    random_state: Any
    prune_tol: float
    noise_var: float | None = None
    name: str = "sbl(method='cofem')"

    def init(self, problem: SBLProblem, warm_start: Any) -> CofemState:
        """Estimate column energies; every atom shares the power at the start."""
        A, Y = problem.A, problem.Y
        (n, p), L = problem.shape, Y.shape[1]
        apply = products(A)
        rng = as_generator(self.random_state)
        signs = rng.choice([-1.0, 1.0], size=(n, self.n_probes)).astype(Y.dtype)
        energy = np.mean(abs2(apply.back(signs)), axis=1)
        mean_square = float(np.mean(abs2(Y)))
        total = float(np.sum(energy))
        gamma = np.full(p, mean_square * n / max(total, 1e-300))
        if warm_start is not None:
            gamma = np.array(warm_start)
        keep = np.flatnonzero(gamma > 0)
        probes = rng.choice([-1.0, 1.0], size=(p, self.n_probes)).astype(Y.dtype)
        state = CofemState(
            keep=keep,
            gamma=gamma[keep],
            noise=self.noise_var or NOISE_START * mean_square,
            probes=probes[keep],
            solved=np.zeros((keep.size, L + self.n_probes), Y.dtype),
            energy=energy[keep],
            adjoint_y=apply.back(Y)[keep],
            mean_square=mean_square,
            shrink=np.zeros(keep.size),
        )
        self._solve(problem, state)
        return state

    def step(self, problem: SBLProblem, state: CofemState) -> CofemState:
        """Majorisation step with probed variances, then the systems again."""
        if state.gamma.size == 0:
            state.move = 0.0
            return state
        L = problem.Y.shape[1]
        z = np.mean(abs2(state.solved[:, :L]), axis=1)
        gamma = state.gamma * np.sqrt(z / state.shrink)
        top = float(np.max(gamma))
        state.move = float(np.max(np.abs(gamma - state.gamma))) / max(top, 1e-300)
        if self.noise_var is None:
            used = float(np.sum(state.shrink))
            n = problem.rows
            new = (state.residual + state.noise * min(used, n)) / n
            new = max(new, NOISE_FLOOR * state.mean_square)
            state.move = max(state.move, abs(math.log(new / state.noise)))
            state.noise = new
        chosen = gamma > self.prune_tol * top
        state.gamma = gamma[chosen]
        for name in ("keep", "probes", "solved", "energy", "adjoint_y"):
            setattr(state, name, getattr(state, name)[chosen])
        self._solve(problem, state)
        return state

    def _solve(self, problem: SBLProblem, state: CofemState) -> None:
        """Posterior mean and variances of the current hyper-parameters."""
        apply, L = products(problem.A), problem.Y.shape[1]
        root = np.sqrt(state.gamma)
        beta = 1.0 / state.noise
        p = problem.shape[1]

        def forward(W: np.ndarray) -> np.ndarray:
            full = np.zeros((p, W.shape[1]), W.dtype)
            full[state.keep] = root[:, None] * W
            return apply.forward(full)

        def system(W: np.ndarray) -> np.ndarray:
            back = apply.back(forward(W))[state.keep]
            return W + beta * root[:, None] * back

        right = np.concatenate(
            [beta * root[:, None] * state.adjoint_y, state.probes], axis=1
        )
        diagonal = (1.0 + beta * state.gamma * state.energy)[:, None]
        state.solved = _conjugate_gradients(system, right, diagonal, state.solved)
        probed = (state.probes.conj() * state.solved[:, L:]).real
        state.shrink = np.clip(1.0 - np.mean(probed, axis=1), SHRINK_FLOOR, 1.0)
        misfit = problem.Y - forward(state.solved[:, :L])
        state.residual = float(np.sum(abs2(misfit))) / L
        power = float(np.sum(abs2(state.solved[:, :L]))) / L
        state.quadratic = beta * state.residual + power

    def measure(self, problem: SBLProblem, state: CofemState) -> dict[str, Any]:
        """Quadratic part of the evidence: its determinant is never formed."""
        return {
            "objective": state.quadratic * problem.half * problem.Y.shape[1],
            "residual": state.move,
            "noise_var": state.noise,
            "n_active": int(state.gamma.size),
        }

    def current(self, state: CofemState) -> Any:
        """Prior variances of the active atoms."""
        return state.gamma

    def finish(self, problem: SBLProblem, state: CofemState) -> dict[str, Any]:
        """Exact posterior and evidence on the columns that are left."""
        p, (n, L) = problem.shape[1], problem.Y.shape
        unit = np.zeros((p, state.keep.size), problem.Y.dtype)
        unit[state.keep, np.arange(state.keep.size)] = 1.0
        columns = products(problem.A).forward(unit)
        exact = moments(columns, problem.Y, state.gamma, state.noise)
        cov = posterior_covariance(columns, state.gamma, state.noise)
        coef = np.zeros((p, L), problem.Y.dtype)
        gamma, var = np.zeros(p), np.zeros(p)
        coef[state.keep], gamma[state.keep] = exact.mu, state.gamma
        var[state.keep] = np.maximum(np.diagonal(cov).real, 0.0)
        constant = n * math.log(math.pi / problem.half)
        evidence = -problem.half * L * (exact.log_det + exact.quadratic + constant)
        return {
            "coef": coef[:, 0] if problem.vector else coef,
            "gamma": gamma,
            "noise_var": state.noise,
            "log_evidence": evidence,
            "active": state.keep,
            "cov": cov,
            "posterior_var": var,
        }


def _conjugate_gradients(
    system: Any, right: np.ndarray, diagonal: np.ndarray, start: np.ndarray
) -> np.ndarray:
    """Solve for all columns; complex systems in their real form of twice the size."""
    if right.dtype.kind != "c":
        return cg(
            system,
            right,
            tol=CG_TOL,
            max_iter=CG_MAX_ITER,
            diagonal=diagonal,
            x0=start,
        ).x
    m = right.shape[0]

    def stack(X: np.ndarray) -> np.ndarray:
        return np.concatenate([X.real, X.imag], axis=0)

    found = cg(
        lambda X: stack(system(X[:m] + 1j * X[m:])),
        stack(right),
        tol=CG_TOL,
        max_iter=CG_MAX_ITER,
        diagonal=np.concatenate([diagonal, diagonal]),
        x0=stack(start),
    ).x
    return found[:m] + 1j * found[m:]
