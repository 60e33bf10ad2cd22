# SPDX-License-Identifier: BSD-3-Clause
"""All prior variances at once: EM, MacKay's fixed point and evidence majorisation."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from numopt._array.linalg import solve_triangular
from numopt._array.namespace import array_namespace, device, to_numpy
from numopt._iterate.loop import Solver
from numopt.sbl._problem import (
    SBLProblem,
    abs2,
    adjoint,
    indices_where,
    is_complex,
    jittered_cholesky,
)
from numopt.typing import Array

__all__ = [
    "BatchSolver",
    "Moments",
    "log_evidence_of",
    "moments",
    "posterior_covariance",
    "spreader",
    "update_noise",
    "update_variances",
]

NOISE_START, NOISE_FLOOR = 0.1, 1e-6  # in units of mean |y|^2


@dataclasses.dataclass(slots=True)
class Moments:
    """What one factorisation yields; ``q`` and sums are means over measurements."""

    mu: Array  # (m, L) posterior mean
    shrink: Array  # gamma_j a_j^H C^-1 a_j, between 0 and 1
    q: Array  # |a_j^H C^-1 y|^2
    residual: float  # ||y - A mu||^2
    dual: float  # ||C^-1 y||^2
    trace: float  # tr C^-1
    log_det: float
    quadratic: float  # y^H C^-1 y
    half: Array  # of the inner products below
    explained: bool  # half^H half is A^H C^-1 A; otherwise (I + gram/noise)^-1


def _host(x: Array) -> float:
    """Python number of an array of one entry."""
    return float(to_numpy(x))


def _inverse(L: Array) -> Array:
    """Inverse of a lower triangular matrix."""
    xp = array_namespace(L)
    eye = xp.eye(L.shape[0], dtype=L.dtype, device=device(L))
    if is_complex(L):
        return xp.linalg.solve(L, eye)
    return solve_triangular(L, eye, lower=True)


def moments(
    A: Array,
    Y: Array,
    gamma: Array,
    noise: float,
    gram: Array | None = None,
    rows: float | None = None,
) -> Moments:
    """Posterior moments from a Cholesky factor in the smaller of the two spaces.

    ``gram`` is ``A^H A`` where the caller keeps it between iterations. With weighted
    samples ``rows`` is the sum of the weights: repeated rows that were merged into one
    hold as many directions of pure noise.
    """
    xp = array_namespace(Y)
    n, m = A.shape
    L = Y.shape[1]
    if m == 0:
        energy = _host(xp.sum(abs2(Y))) / L
        empty = xp.zeros((0, L), dtype=Y.dtype, device=device(Y))
        now = Moments(
            *(empty, gamma, gamma, energy, energy / noise**2),
            *(n / noise, n * math.log(noise), energy / noise, A, True),
        )
    elif m < n:
        gram = adjoint(A) @ A if gram is None else gram
        now = _coefficient_space(A, Y, gamma, noise, gram)
    else:
        now = _data_space(A, Y, gamma, noise)
    if rows is not None and rows != n:
        now.trace += (rows - n) / noise
        now.log_det += (rows - n) * math.log(noise)
    return now


def _coefficient_space(
    A: Array, Y: Array, gamma: Array, noise: float, gram: Array
) -> Moments:
    """Moments from the factor of ``I + sqrt(gamma) A^H A sqrt(gamma) / noise``."""
    xp = array_namespace(Y)
    (n, m), L = A.shape, Y.shape[1]
    root = xp.sqrt(gamma)
    scale = root / math.sqrt(noise)
    M = scale[:, None] * gram * scale[None, :]
    eye = xp.eye(m, dtype=A.dtype, device=device(A))
    factor = jittered_cholesky(M + eye)
    inverse = _inverse(factor)
    left = adjoint(inverse) @ inverse  # (I + M)^-1
    # Not 1 - diag(left), which has no digits left for small gamma.
    shrink = xp.sum(xp.real(M * xp.conj(left) if is_complex(M) else M * left), axis=0)
    z = left @ (scale[:, None] * (adjoint(A) @ Y)) / math.sqrt(noise)
    mu = root[:, None] * z
    misfit = Y - A @ mu
    residual = _host(xp.sum(abs2(misfit))) / L
    energy = xp.sum(abs2(z), axis=1) / L
    diagonal = xp.real(xp.linalg.diagonal(factor))
    return Moments(
        mu=mu,
        shrink=xp.clip(shrink, 0.0, 1.0),
        q=energy / gamma,
        residual=residual,
        dual=residual / noise**2,
        trace=(n - m + _host(xp.sum(xp.real(xp.linalg.diagonal(left))))) / noise,
        log_det=n * math.log(noise) + 2 * _host(xp.sum(xp.log(diagonal))),
        quadratic=residual / noise + _host(xp.sum(energy)),
        half=inverse,
        explained=False,
    )


def _data_space(A: Array, Y: Array, gamma: Array, noise: float) -> Moments:
    """Moments from the factor of the covariance of the data."""
    xp = array_namespace(Y)
    (n, _), L = A.shape, Y.shape[1]
    eye = xp.eye(n, dtype=A.dtype, device=device(A))
    factor = jittered_cholesky((A * gamma[None, :]) @ adjoint(A) + noise * eye)
    inverse = _inverse(factor)
    W = inverse @ A
    w = inverse @ Y
    weight = adjoint(inverse) @ w  # C^-1 Y
    inner = adjoint(W) @ w
    diagonal = xp.real(xp.linalg.diagonal(factor))
    dual = _host(xp.sum(abs2(weight))) / L
    return Moments(
        mu=gamma[:, None] * inner,
        shrink=gamma * xp.sum(abs2(W), axis=0),
        q=xp.sum(abs2(inner), axis=1) / L,
        residual=noise**2 * dual,
        dual=dual,
        trace=_host(xp.sum(abs2(inverse))),
        log_det=2 * _host(xp.sum(xp.log(diagonal))),
        quadratic=_host(xp.sum(abs2(w))) / L,
        half=W,
        explained=True,
    )


@dataclasses.dataclass(slots=True)
class BatchState:
    """Active atoms (scaled), their prior variances and the posterior moments."""

    keep: Array
    A: Array
    Y: Array
    gamma: Array
    noise: float
    unit: Array  # scale of each active column
    y_scale: float
    gram: Array | None
    now: Moments
    move: float = math.inf


@dataclasses.dataclass(frozen=True)
class BatchSolver(Solver[SBLProblem, BatchState]):
    """``method`` is "mm" (Wipf and Nagarajan 2010), "em" or "mackay" (Tipping 2001)."""

    method: str
    prune_tol: float
    noise_var: float | None = None
    name: str = "sbl"

    def init(self, problem: SBLProblem, warm_start: Any) -> BatchState:
        """Scale columns and measurements to mean square one."""
        xp = array_namespace(problem.Y)
        n, p = problem.rows, problem.shape[1]
        energy = xp.sum(abs2(problem.A), axis=0)
        keep = indices_where(energy > 0)
        unit = xp.sqrt(n / xp.take(energy, keep))
        L = problem.Y.shape[1]
        y_scale = math.sqrt(_host(xp.sum(abs2(problem.Y))) / (problem.rows * L))
        A = xp.take(problem.A, keep, axis=1) * unit[None, :]
        Y = problem.Y / y_scale
        if warm_start is None:
            gamma = xp.ones_like(unit) / max(1.0, min(n, p))
        else:
            gamma = xp.take(warm_start, keep) / (unit * y_scale) ** 2
            chosen = indices_where(gamma > 0)
            keep, unit, gamma = (xp.take(v, chosen) for v in (keep, unit, gamma))
            A = xp.take(A, chosen, axis=1)
        noise = NOISE_START if self.noise_var is None else self.noise_var / y_scale**2
        gram = adjoint(A) @ A if A.shape[1] < problem.shape[0] else None
        now = moments(A, Y, gamma, noise, gram, n)
        return BatchState(keep, A, Y, gamma, noise, unit, y_scale, gram, now)

    def step(self, problem: SBLProblem, state: BatchState) -> BatchState:
        """One M-step, pruning, and the moments at the new point."""
        xp = array_namespace(state.Y)
        gamma, top, state.move = state.gamma, 0.0, 0.0
        if gamma.shape[
            0
        ]:  # a start may hold no atom: the noise is learned all the same
            gamma = self._variances(state)
            top = _host(xp.max(gamma))
            change = _host(xp.max(xp.abs(gamma - state.gamma)))
            state.move = change / max(top, 1e-300)
        noise = self._noise(state, problem.rows)
        state.move = max(state.move, abs(math.log(noise / state.noise)))
        state.noise = noise
        keep = indices_where(gamma > max(self.prune_tol * top, 1e-300))
        if keep.shape[0] < gamma.shape[0]:
            gamma = xp.take(gamma, keep)
            state.A = xp.take(state.A, keep, axis=1)
            state.keep = xp.take(state.keep, keep)
            state.unit = xp.take(state.unit, keep)
            if state.gram is not None:
                rows = xp.take(state.gram, keep, axis=0)
                state.gram = xp.take(rows, keep, axis=1)
            elif keep.shape[0] < problem.shape[0]:
                state.gram = adjoint(state.A) @ state.A
        state.gamma = gamma
        state.now = moments(
            state.A, state.Y, gamma, state.noise, state.gram, problem.rows
        )
        return state

    def _variances(self, state: BatchState) -> Array:
        """M-step for the prior variances."""
        now, gamma = state.now, state.gamma
        xp = array_namespace(gamma)
        spread = gamma * xp.maximum(1.0 - now.shrink, 0.0)
        return update_variances(
            self.method, gamma, gamma * now.q, now.shrink, gamma**2 * now.q + spread
        )

    def _noise(self, state: BatchState, rows: float) -> float:
        """M-step for the noise variance, unless it is known."""
        if self.noise_var is not None:
            return state.noise
        return update_noise(self.method, state.now, state.noise, rows)

    def measure(self, problem: SBLProblem, state: BatchState) -> dict[str, Any]:
        """Evidence in the caller's units; residual is the last relative change."""
        evidence = log_evidence_of(problem, state.now, state.y_scale)
        return {
            "objective": -evidence,
            "residual": state.move,
            "log_evidence": evidence,
            "noise_var": state.noise * state.y_scale**2,
            "n_active": int(state.gamma.shape[0]),
        }

    def current(self, state: BatchState) -> Any:
        """Prior variances of the active atoms, for scaled columns."""
        return state.gamma

    def finish(self, problem: SBLProblem, state: BatchState) -> dict[str, Any]:
        """Undo the scaling and spread over all atoms."""
        xp = array_namespace(state.Y)
        p, L = problem.shape[1], problem.Y.shape[1]
        unit = state.unit * state.y_scale
        cov = posterior_covariance(state.A, state.gamma, state.noise)
        cov = cov * unit[:, None] * unit[None, :]
        var = xp.clip(xp.real(xp.linalg.diagonal(cov)), 0.0, None)
        spread = spreader(state.keep, p, xp)
        mean = state.now.mu * unit[:, None]
        coef = xp.stack([spread(mean[:, k]) for k in range(L)], axis=1)
        return {
            "coef": coef[:, 0] if problem.vector else coef,
            "gamma": spread(state.gamma * unit**2),
            "noise_var": state.noise * state.y_scale**2,
            "log_evidence": self.measure(problem, state)["log_evidence"],
            "active": state.keep,
            "cov": cov,
            "posterior_var": spread(var),
        }


def log_evidence_of(problem: SBLProblem, now: Moments, y_scale: float) -> float:
    """Evidence in the caller's units from moments of measurements over ``y_scale``."""
    unit = math.log(math.pi / problem.half) + 2.0 * math.log(y_scale)
    terms = now.log_det + now.quadratic + problem.rows * unit
    return -problem.half * problem.Y.shape[1] * terms


def update_variances(
    method: str, gamma: Array, signal: Array, shrink: Array, moment: Array
) -> Array:
    """New prior variances of atoms or blocks.

    ``signal`` is gamma q, ``shrink`` gamma t and ``moment`` the mean posterior second
    moment, where q and t are summed over the atoms of a block.
    """
    if method == "em":
        return moment
    xp = array_namespace(gamma)
    tiny = float(xp.finfo(gamma.dtype).smallest_normal)
    ratio = signal / xp.maximum(shrink, tiny)
    return gamma * ratio if method == "mackay" else gamma * xp.sqrt(ratio)


def update_noise(method: str, now: Moments, noise: float, rows: float) -> float:
    """New noise variance in units of the mean square of the measurements."""
    if method == "mm":
        new = noise * math.sqrt(now.dual / now.trace)
    else:
        xp = array_namespace(now.shrink)
        used = _host(xp.sum(now.shrink)) if now.shrink.shape[0] else 0.0
        if method == "em":
            new = (now.residual + noise * used) / rows
        else:
            new = now.residual / max(rows - used, 1e-12 * rows)
    return min(max(new, NOISE_FLOOR), 1e6)


def posterior_covariance(A: Array, gamma: Array, noise: float) -> Array:
    """Covariance of the coefficients of a few columns, all with ``gamma > 0``."""
    xp = array_namespace(A)
    m = gamma.shape[0]
    if m == 0:
        return xp.zeros((0, 0), dtype=A.dtype, device=device(A))
    root = xp.sqrt(gamma)
    B = A * (root / math.sqrt(noise))[None, :]
    inverse = _inverse(
        jittered_cholesky(adjoint(B) @ B + xp.eye(m, dtype=B.dtype, device=device(B)))
    )
    return root[:, None] * (adjoint(inverse) @ inverse) * root[None, :]


def spreader(keep: Array, p: int, xp: Any) -> Callable[[Array], Array]:
    """Return a function that places entries at ``keep`` in a zero vector."""
    host = np.full(p, keep.shape[0])
    host[to_numpy(keep)] = np.arange(keep.shape[0])
    index = xp.asarray(host, device=device(keep))

    def spread(x: Array) -> Array:
        zero = xp.zeros(1, dtype=x.dtype, device=device(x))
        return xp.take(xp.concat([x, zero]), index)

    return spread
