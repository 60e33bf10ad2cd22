# SPDX-License-Identifier: BSD-3-Clause
"""Covariance-free solver: products with the dictionary are all that is needed."""

import dataclasses
import math
from typing import Any

import numpy as np

from numopt._array.random import as_generator
from numopt._array.sparse import is_sparse
from numopt._iterate.loop import Solver, iterate
from numopt._numerics.cg import cg
from numopt.sbl._problem import SBLProblem, abs2, is_operator
from numopt.sbl._solvers.batch import (
    NOISE_FLOOR,
    NOISE_START,
    Moments,
    moments,
    posterior_covariance,
    update_noise,
)
from numopt.sbl._solvers.fast import FastSolver, in_double

__all__ = ["CofemSolver", "Products", "products"]

CG_TOL, CG_MAX_ITER = 1e-3, 400  # variances are estimates: more digits would be wasted
# Steps are exact once the active atoms are few and their columns fit 256 MiB.
EXACT_ATOMS, EXACT_ENTRIES = 2048, 2**25
COOLING = 0.5  # largest factor by which a step lowers the noise: easier systems first
SELECT_TOL = 1e-5  # nats
CHUNK = 64  # columns of an operator that are made at a time


@dataclasses.dataclass(frozen=True)
class Products:
    """``forward`` and ``back`` multiply a matrix by A and by its adjoint."""

    forward: Any
    back: Any


def products(A: Any, keep: np.ndarray | None = None) -> Products:
    """Return the products of a dictionary of any kind, or of some of its columns."""
    if is_operator(A):
        many = hasattr(A, "rmatmat")
        forward = A.matmat if many else _by_columns(A.matvec)
        back = A.rmatmat if many else _by_columns(A.rmatvec)
        if keep is None:
            return Products(forward, back)

        def spread(X: np.ndarray) -> np.ndarray:
            full = np.zeros((A.shape[1], X.shape[1]), X.dtype)
            full[keep] = X
            return full

        return Products(lambda X: forward(spread(X)), lambda Y: back(Y)[keep])
    if keep is not None and keep.size < A.shape[1]:
        A = A[:, keep]
    adjoint = A.conj().T
    return Products(lambda X: A @ X, lambda Y: adjoint @ Y)


def _by_columns(f: Any) -> Any:
    """Product with a matrix from a product with vectors."""
    return lambda X: np.stack([f(x) for x in X.T], axis=1)


def columns_of(A: Any, keep: np.ndarray, dtype: Any) -> np.ndarray:
    """Some columns of a dictionary, dense."""
    if is_sparse(A):
        return A[:, keep].toarray()
    if not is_operator(A):
        return A[:, keep]
    forward, made = products(A).forward, np.empty((A.shape[0], keep.size), dtype)
    for low in range(0, keep.size, CHUNK):
        chosen = keep[low : low + CHUNK]
        unit = np.zeros((A.shape[1], chosen.size), dtype)
        unit[chosen, np.arange(chosen.size)] = 1.0
        made[:, low : low + CHUNK] = forward(unit)
    return made


def _normal(
    rng: np.random.Generator, shape: tuple[int, int], complex_: bool
) -> np.ndarray:
    """Independent normal numbers of variance one, circular if complex."""
    x = rng.standard_normal(shape)
    return np.sqrt(0.5) * (x + 1j * rng.standard_normal(shape)) if complex_ else x


@dataclasses.dataclass(slots=True)
class CofemState:
    """Active prior variances, random draws, and solutions that start the next step."""

    keep: np.ndarray
    gamma: np.ndarray
    noise: float
    draws: np.ndarray  # (m, K) coefficients from the whitened prior
    draws_noise: np.ndarray  # (n, K) noise of variance one
    solved: np.ndarray  # (m, L + K): posterior means of data and draws, whitened
    energy: np.ndarray
    adjoint_y: np.ndarray
    mean_square: float
    shrink: np.ndarray  # 1 - Sigma_jj / gamma_j
    power: np.ndarray  # |mu_j|^2 / gamma_j, mean over measurements
    residual: float = 0.0
    quadratic: float = 0.0
    move: float = math.inf
    columns: np.ndarray | None = None  # of the active atoms, once steps are exact
    gram: np.ndarray | None = None
    exact: Moments | None = None


@dataclasses.dataclass(frozen=True)
class CofemSolver(Solver[SBLProblem, CofemState]):
    """Evidence majorisation by conjugate gradients (Lin, Song, Bilgic and Ba 2021).

    With ``D = diag(sqrt(gamma))`` the systems ``(I + D A^H A D / noise) w = b`` for the
    mean and for K draws advance together. A draw is a pair of coefficients x and data
    from the model itself; with w the posterior mean of x (both whitened), ``x - w``
    is a sample of the posterior (Papandreou and Yuille 2010), so that ``mean |w|^2``
    and ``mean |x - w|^2`` estimate ``1 - Sigma_jj / gamma_j`` and its complement, both
    to a relative error of ``sqrt(2 / K)``, however small they are.

    With an inclusion prior (``penalty`` not zero) the iterations only narrow the atoms
    down to those whose columns fit in memory, among which "fast" then selects.
    """

    n_probes: int
    random_state: Any
    prune_tol: float
    noise_var: float | None = None
    penalty: float = 0.0
    name: str = "sbl(method='cofem')"

    def init(self, problem: SBLProblem, warm_start: Any) -> CofemState:
        """Estimate column energies; every atom shares the power at the start."""
        A, Y = problem.A, problem.Y
        (n, p), L = problem.shape, Y.shape[1]
        back, complex_ = products(A).back, Y.dtype.kind == "c"
        rng = as_generator(self.random_state)
        draws_noise = _normal(rng, (n, self.n_probes), complex_)
        energy = np.mean(abs2(back(draws_noise)), axis=1)
        mean_square = float(np.mean(abs2(Y)))
        total = float(np.sum(energy))
        gamma = np.full(p, mean_square * n / max(total, 1e-300))
        if warm_start is not None:
            gamma = np.array(warm_start)
        keep = np.flatnonzero(gamma > 0)
        state = CofemState(
            keep=keep,
            gamma=gamma[keep],
            noise=max(self.noise_var or 0.0, NOISE_START * mean_square),
            draws=_normal(rng, (p, self.n_probes), complex_)[keep],
            draws_noise=draws_noise,
            solved=np.zeros((keep.size, L + self.n_probes), Y.dtype),
            energy=energy[keep],
            adjoint_y=back(Y)[keep],
            mean_square=mean_square,
            shrink=np.zeros(keep.size),
            power=np.zeros(keep.size),
        )
        self._solve(problem, state)
        return state

    def step(self, problem: SBLProblem, state: CofemState) -> CofemState:
        """Majorisation step, pruning, then the posterior again."""
        tiny = np.finfo(float).tiny
        ratio = state.power / np.maximum(state.shrink, tiny)
        gamma = state.gamma * np.sqrt(ratio)
        top = float(np.max(gamma))
        state.move = float(np.max(np.abs(gamma - state.gamma))) / max(top, 1e-300)
        new = max(self._noise(problem, state), COOLING * state.noise)
        state.move = max(state.move, abs(math.log(new / state.noise)))
        state.noise = new
        chosen = gamma > self.prune_tol * top
        state.gamma = gamma[chosen]
        if not np.all(chosen):
            for name in ("keep", "draws", "solved", "energy", "adjoint_y"):
                setattr(state, name, getattr(state, name)[chosen])
            if state.columns is not None and state.gram is not None:
                state.columns = state.columns[:, chosen]
                state.gram = state.gram[np.ix_(chosen, chosen)]
        self._solve(problem, state)
        return state

    def _noise(self, problem: SBLProblem, state: CofemState) -> float:
        """M-step of the noise: exact majorisation, or EM while traces are estimates."""
        if self.noise_var is not None:
            return self.noise_var
        n = problem.rows
        if state.exact is not None:
            new = update_noise("mm", state.exact, state.noise, n)
        else:
            used = min(float(np.sum(state.shrink)), n)
            new = (state.residual + state.noise * used) / n
        return max(new, NOISE_FLOOR * state.mean_square)

    def _solve(self, problem: SBLProblem, state: CofemState) -> None:
        """Posterior mean and variances of the current hyper-parameters."""
        if state.keep.size == 0:
            # Nothing is left that could explain the data: all of them is noise.
            state.noise, state.move = self.noise_var or state.mean_square, 0.0
        if not self._few(problem, state):
            self._solve_by_products(problem, state)
        elif self.penalty == 0:
            self._solve_exactly(problem, state)
        else:
            state.move = 0.0  # the rest is a matter of selection

    def _few(self, problem: SBLProblem, state: CofemState) -> bool:
        """Whether the columns of the active atoms can be handled one by one."""
        m = state.keep.size
        return m <= EXACT_ATOMS and problem.shape[0] * m <= EXACT_ENTRIES

    def _solve_exactly(self, problem: SBLProblem, state: CofemState) -> None:
        """Few active atoms: their columns and one factorisation."""
        if state.columns is None:
            state.columns = columns_of(problem.A, state.keep, problem.Y.dtype)
            state.gram = state.columns.conj().T @ state.columns
        state.exact = now = moments(
            state.columns, problem.Y, state.gamma, state.noise, state.gram
        )
        state.power, state.shrink = state.gamma * now.q, now.shrink
        state.residual, state.quadratic = now.residual, now.quadratic

    def _solve_by_products(self, problem: SBLProblem, state: CofemState) -> None:
        """Systems for the data and for draws from the model, side by side."""
        apply, L = products(problem.A, state.keep), problem.Y.shape[1]
        root = np.sqrt(state.gamma)[:, None]
        beta = 1.0 / state.noise

        def forward(W: np.ndarray) -> np.ndarray:
            return apply.forward(root * W)

        def system(W: np.ndarray) -> np.ndarray:
            return W + beta * root * apply.back(forward(W))

        drawn = forward(state.draws) + math.sqrt(state.noise) * state.draws_noise
        adjoint = apply.back(drawn)
        right = beta * root * np.concatenate([state.adjoint_y, adjoint], axis=1)
        diagonal = (1.0 + beta * state.gamma * state.energy)[:, None]
        state.solved = _conjugate_gradients(system, right, diagonal, state.solved)
        means, mu = state.solved[:, L:], state.solved[:, :L]
        known = np.sum(abs2(means), axis=1)
        unknown = np.sum(abs2(state.draws - means), axis=1)
        state.shrink = known / np.maximum(known + unknown, np.finfo(float).tiny)
        state.power = np.mean(abs2(mu), axis=1)
        state.residual = float(np.sum(abs2(problem.Y - forward(mu)))) / L
        state.quadratic = beta * state.residual + float(np.sum(state.power))

    def measure(self, problem: SBLProblem, state: CofemState) -> dict[str, Any]:
        """Quadratic part of the evidence: its determinant may be unknown."""
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
        """Exact posterior and evidence on what is left, on n atoms at most.

        More than n atoms are there only before convergence; the strongest stay.
        """
        n = problem.shape[0]
        most = n if self.penalty == 0 else max(n, min(EXACT_ATOMS, EXACT_ENTRIES // n))
        order = np.argsort(-state.gamma * state.energy, kind="stable")[:most]
        order.sort()
        keep, gamma = state.keep[order], state.gamma[order]
        A = columns_of(problem.A, keep, problem.Y.dtype)
        small = in_double(dataclasses.replace(problem, A=A))
        if self.penalty == 0 or keep.size == 0:
            fields = self._posterior(small, gamma, state.noise)
        else:
            fields = self._select(small, problem.shape[1])
        fields["active"] = keep[fields["active"]]
        for name in ("coef", "gamma", "posterior_var"):
            values = fields[name]
            wide = np.zeros((problem.shape[1], *values.shape[1:]), values.dtype)
            wide[keep] = values
            fields[name] = wide
        return fields

    def _select(self, small: SBLProblem, atoms: int) -> dict[str, Any]:
        """Evidence ascent with the inclusion prior of the whole dictionary."""
        limit = 1000 + 20 * min(small.shape)
        solver = FastSolver(
            self.penalty, SELECT_TOL, limit, self.noise_var, atoms=atoms
        )
        fields = iterate(solver, small, tol=SELECT_TOL, max_iter=limit)
        names = ("n_iter", "converged", "message", "status", "history")
        return {key: value for key, value in fields.items() if key not in names}

    def _posterior(
        self, small: SBLProblem, gamma: np.ndarray, noise: float
    ) -> dict[str, Any]:
        """Fields of the result at given prior variances, all of them positive."""
        n, L = small.Y.shape
        exact = moments(small.A, small.Y, gamma, noise)
        cov = posterior_covariance(small.A, gamma, noise)
        constant = n * math.log(math.pi / small.half)
        terms = exact.log_det + exact.quadratic + constant
        return {
            "coef": exact.mu[:, 0] if small.vector else exact.mu,
            "gamma": gamma,
            "noise_var": noise,
            "log_evidence": -small.half * L * terms,
            "active": np.arange(gamma.size),
            "cov": cov,
            "posterior_var": np.maximum(np.diagonal(cov).real, 0.0),
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
