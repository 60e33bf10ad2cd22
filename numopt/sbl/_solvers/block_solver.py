# SPDX-License-Identifier: BSD-3-Clause
"""Block solver: one prior variance a block, one correlation matrix a block size.

With ``B = T T^H`` the coefficients of a block are ``T z`` with independent z: each
iteration is one of the batch solvers on the dictionary ``A_g T``, summed over blocks.
"""

import dataclasses
import math
from typing import Any

import numpy as np

from numopt._array.namespace import array_namespace, device, to_numpy
from numopt._iterate.loop import Solver
from numopt.sbl._problem import SBLProblem, abs2, adjoint, indices_where, is_complex
from numopt.sbl._solvers.batch import (
    NOISE_START,
    Moments,
    log_evidence_of,
    moments,
    posterior_covariance,
    spreader,
    update_noise,
    update_variances,
)
from numopt.typing import Array

__all__ = ["BlockProblem", "BlockSolver"]

MAX_CORRELATION = 0.99
RIDGE = 1e-3  # keeps a correlation matrix from few blocks definite


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class BlockProblem(SBLProblem):
    """Measurements, dictionary and the partition of its columns."""

    groups: list[np.ndarray]


@dataclasses.dataclass(slots=True)
class SizeClass:
    """Surviving blocks of one size, ``A`` of shape (n, blocks, size)."""

    blocks: np.ndarray
    A: Array
    gamma: Array
    B: Array
    T: Array  # lower Cholesky factor of B

    @property
    def size(self) -> int:
        """Atoms of one block."""
        return self.A.shape[2]

    @property
    def width(self) -> int:
        """Atoms of all blocks."""
        return self.A.shape[1] * self.A.shape[2]

    def keep(self, chosen: Array) -> None:
        """Restrict to some blocks."""
        xp = array_namespace(self.gamma)
        self.blocks = self.blocks[to_numpy(chosen)]
        self.A = xp.take(self.A, chosen, axis=1)
        self.gamma = xp.take(self.gamma, chosen)


@dataclasses.dataclass(slots=True)
class BlockState:
    """Classes of blocks, the whitened dictionary and its posterior moments."""

    classes: list[SizeClass]
    Y: Array
    noise: float
    a_scale: float
    y_scale: float
    W: Any = None  # whitened dictionary
    spread: Any = None  # prior variance of every whitened atom
    now: Any = None
    move: float = math.inf


@dataclasses.dataclass(frozen=True)
class BlockSolver(Solver[BlockProblem, BlockState]):
    """``method`` is "bo" (bound optimisation) or "em" (Zhang and Rao 2013)."""

    method: str
    intra_corr: str
    prune_tol: float
    noise_var: float | None = None
    name: str = "block_sbl"

    def init(self, problem: BlockProblem, warm_start: Any) -> BlockState:
        """Equal variances of the power of the measurements, no correlation."""
        xp, (n, p) = array_namespace(problem.Y), problem.shape
        L = problem.Y.shape[1]
        total = float(to_numpy(xp.sum(abs2(problem.A))))
        a_scale = math.sqrt(total / (problem.rows * p)) or 1.0
        y_scale = math.sqrt(
            float(to_numpy(xp.sum(abs2(problem.Y)))) / (problem.rows * L)
        )
        A, where = problem.A / a_scale, device(problem.A)
        energy = to_numpy(xp.sum(abs2(A), axis=0))
        classes = []
        for size in sorted({len(g) for g in problem.groups}):
            blocks = np.array(
                [
                    k
                    for k, g in enumerate(problem.groups)
                    if len(g) == size and np.sum(energy[g]) > 0
                ],
                dtype=np.int64,
            )
            if blocks.size == 0:
                continue
            columns = np.concatenate([problem.groups[k] for k in blocks])
            part = xp.take(A, xp.asarray(columns, device=where), axis=1)
            eye = xp.eye(size, dtype=A.dtype, device=where)
            gamma = xp.full_like(
                abs2(part[0, : blocks.size]), 1.0 / max(1.0, min(problem.rows, p))
            )
            part = xp.reshape(part, (n, blocks.size, size))
            classes.append(SizeClass(blocks, part, gamma, eye, eye))
        noise = NOISE_START if self.noise_var is None else self.noise_var / y_scale**2
        state = BlockState(classes, problem.Y / y_scale, noise, a_scale, y_scale)
        self._refresh(problem, state)
        return state

    def _refresh(self, problem: BlockProblem, state: BlockState) -> None:
        """Whiten the blocks and compute the posterior moments."""
        xp, n = array_namespace(state.Y), problem.shape[0]
        if state.classes:
            parts = [xp.reshape(c.A @ c.T, (n, -1)) for c in state.classes]
            state.W = xp.concat(parts, axis=1)
            spread = [xp.repeat(c.gamma, c.size) for c in state.classes]
            state.spread = xp.concat(spread)
        else:
            state.W = problem.A[:, :0]
            state.spread = abs2(state.W[0, :])
        state.now = moments(
            state.W, state.Y, state.spread, state.noise, None, problem.rows
        )

    def step(self, problem: BlockProblem, state: BlockState) -> BlockState:
        """Variances, correlations and noise from the moments; then prune."""
        xp, now = array_namespace(state.Y), state.now
        state.move, start = 0.0, 0
        top = 0.0
        for c in state.classes:
            stop = start + c.width
            gamma = self._variances(state, c, start, stop)
            if self.intra_corr != "none" and c.size > 1:
                correlation = self._correlation(_second_moment(state, c, start, stop))
                gap = float(to_numpy(xp.max(xp.abs(correlation - c.B))))
                state.move = max(state.move, gap)
                c.B = correlation
                c.T = xp.linalg.cholesky(correlation)
            change = float(to_numpy(xp.max(xp.abs(gamma - c.gamma))))
            largest = float(to_numpy(xp.max(gamma)))
            state.move = max(state.move, change / max(largest, 1e-300))
            c.gamma, start, top = gamma, stop, max(top, largest)
        if self.noise_var is None:
            rule = "mm" if self.method == "bo" else "em"
            noise = update_noise(rule, now, state.noise, problem.rows)
            state.move = max(state.move, abs(math.log(noise / state.noise)))
            state.noise = noise
        for c in state.classes:
            keep = indices_where(c.gamma > max(self.prune_tol * top, 1e-300))
            if keep.shape[0] < c.gamma.shape[0]:
                c.keep(keep)
        state.classes = [c for c in state.classes if c.gamma.shape[0]]
        self._refresh(problem, state)
        return state

    def _variances(
        self, state: BlockState, c: SizeClass, start: int, stop: int
    ) -> Array:
        """New variances of the blocks of one size."""
        xp, now = array_namespace(c.gamma), state.now

        def per_block(x: Array) -> Array:
            return xp.sum(xp.reshape(x[start:stop], (-1, c.size)), axis=1)

        q, shrink = per_block(now.q), per_block(now.shrink)
        moment = c.gamma**2 * q + c.gamma * xp.maximum(c.size - shrink, 0.0)
        rule = "mm" if self.method == "bo" else "em"
        return update_variances(rule, c.gamma, c.gamma * q, shrink, moment / c.size)

    def _correlation(self, M: Array) -> Array:
        """Correlation matrix of one block size from its mean second moment."""
        xp, d = array_namespace(M), M.shape[0]
        mean = float(to_numpy(xp.sum(xp.real(xp.linalg.diagonal(M))))) / d
        if self.intra_corr == "full":
            eye = xp.eye(d, dtype=M.dtype, device=device(M))
            return (M / mean + RIDGE * eye) / (1.0 + RIDGE)
        r = complex(np.mean(np.diagonal(to_numpy(M), -1))) / mean
        r *= min(1.0, MAX_CORRELATION / max(abs(r), 1e-300))
        powers = np.cumprod([1.0, *[r] * (d - 1)])
        lag = np.subtract.outer(np.arange(d), np.arange(d))
        lower = powers[np.abs(lag)]
        host = np.where(lag >= 0, lower, lower.conj())
        host = host if is_complex(M) else host.real
        return xp.asarray(host, dtype=M.dtype, device=device(M))

    def measure(self, problem: BlockProblem, state: BlockState) -> dict[str, Any]:
        """Evidence in the caller's units; residual is the last relative change."""
        evidence = log_evidence_of(problem, state.now, state.y_scale)
        return {
            "objective": -evidence,
            "residual": state.move,
            "log_evidence": evidence,
            "noise_var": state.noise * state.y_scale**2,
            "n_active": int(state.spread.shape[0]),
        }

    def current(self, state: BlockState) -> Any:
        """Prior variances of the surviving blocks."""
        return tuple(c.gamma for c in state.classes)

    def finish(self, problem: BlockProblem, state: BlockState) -> dict[str, Any]:
        """Posterior of the surviving atoms in the caller's units and order."""
        xp, p = array_namespace(state.Y), problem.shape[1]
        unit = state.y_scale / state.a_scale
        cov = posterior_covariance(state.W, state.spread, state.noise)
        cov = _colour(state, adjoint(_colour(state, cov))) * unit**2
        mean = _colour(state, state.now.mu) * unit
        columns = [problem.groups[k] for c in state.classes for k in c.blocks]
        order = np.concatenate(columns) if columns else np.zeros(0, np.int64)
        rank = xp.asarray(np.argsort(order), device=device(state.Y))
        active = xp.asarray(np.sort(order), device=device(state.Y))
        spread = spreader(active, p, xp)
        prior = [
            xp.reshape(c.gamma[:, None] * _diagonal(c.B)[None, :], (-1,))
            for c in state.classes
        ]
        gamma = xp.concat(prior) if prior else state.spread
        mean = xp.take(mean, rank, axis=0)
        cov = xp.take(xp.take(cov, rank, axis=0), rank, axis=1)
        L = problem.Y.shape[1]
        coef = xp.stack([spread(mean[:, k]) for k in range(L)], axis=1)
        var = xp.maximum(_diagonal(cov), 0.0)
        sizes = {c.size: c for c in state.classes}
        group_gamma = np.zeros(len(problem.groups))
        for c in state.classes:
            group_gamma[c.blocks] = to_numpy(c.gamma) * unit**2
        return {
            "coef": coef[:, 0] if problem.vector else coef,
            "gamma": spread(xp.take(gamma, rank) * unit**2),
            "noise_var": state.noise * state.y_scale**2,
            "log_evidence": log_evidence_of(problem, state.now, state.y_scale),
            "active": active,
            "cov": cov,
            "posterior_var": spread(var),
            "group_gamma": xp.asarray(
                group_gamma, dtype=gamma.dtype, device=device(gamma)
            ),
            "intra_corr": {size: c.B for size, c in sizes.items()},
        }


def _diagonal(X: Array) -> Array:
    """Real diagonal."""
    xp = array_namespace(X)
    diagonal = xp.linalg.diagonal(X)
    return xp.real(diagonal) if is_complex(X) else diagonal


def _colour(state: BlockState, Z: Array) -> Array:
    """Multiply the rows of each block by its factor T: from z to coefficients."""
    xp, start, parts = array_namespace(Z), 0, []
    for c in state.classes:
        part = xp.reshape(Z[start : start + c.width, :], (-1, c.size, Z.shape[1]))
        parts.append(xp.reshape(c.T @ part, (c.width, Z.shape[1])))
        start += c.width
    return xp.concat(parts, axis=0) if parts else Z


def _second_moment(state: BlockState, c: SizeClass, start: int, stop: int) -> Array:
    """Mean over blocks of ``(Sigma_g + mu_g mu_g^H) / gamma_g``, in coefficients."""
    xp, now = array_namespace(c.gamma), state.now
    blocks = _posterior_blocks(now, c, start, stop)
    mu = xp.reshape(now.mu[start:stop, :], (-1, c.size, now.mu.shape[1]))
    second = blocks + mu @ adjoint(mu) / mu.shape[2] / c.gamma[:, None, None]
    return c.T @ xp.mean(second, axis=0) @ adjoint(c.T)


def _posterior_blocks(now: Moments, c: SizeClass, start: int, stop: int) -> Array:
    """Diagonal blocks (blocks, size, size) of the whitened posterior over gamma_g."""
    xp, half = array_namespace(c.gamma), now.half
    part = xp.reshape(half[:, start:stop], (half.shape[0], -1, c.size))
    part = xp.permute_dims(part, (1, 0, 2))
    inner = adjoint(part) @ part
    if not now.explained:
        return inner
    eye = xp.eye(c.size, dtype=inner.dtype, device=device(inner))
    return eye[None, ...] - c.gamma[:, None, None] * inner
