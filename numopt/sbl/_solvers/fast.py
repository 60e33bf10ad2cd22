# SPDX-License-Identifier: BSD-3-Clause
"""Sequential evidence ascent: one atom at a time, Gram rows made when needed."""

import dataclasses
import math
from typing import Any

import numpy as np

from numopt._array.namespace import numpy_namespace, read_only
from numopt._array.sparse import is_sparse
from numopt._iterate.loop import Solver
from numopt._iterate.stopping import Stop
from numopt.sbl._kernels import column_moments, evidence_ascent
from numopt.sbl._problem import SBLProblem, abs2

__all__ = ["FastSolver"]

ROUND = 20  # actions between two updates of the noise
NOISE_SETTLED = 1e-4  # movement of log noise that counts as none
NOISE_START, NOISE_LOW, NOISE_HIGH = 0.1, 1e-6, 1.0  # in units of mean |y|^2
# Gram rows are made several at a time: the product is bound by reading the dictionary,
# and for small ones by calling it at all. Below WHOLE products all are made at once.
AHEAD, AHEAD_WORK, WHOLE = 4, 500_000, 4_000_000
# Entries of the kernel's `work_control` and `work_count` that are read here.
BETA, FACTOR, LEARN, GAIN, MOVE, EVIDENCE, WAITING = 0, 3, 6, 9, 10, 11, 12
ACTIVE, POOL, ACTIONS = range(3)


@dataclasses.dataclass(slots=True)
class FastState:
    """Arrays of the kernel, in units where columns and measurements have RMS one."""

    d: np.ndarray  # scale of each column, 0 where the column is zero
    B: np.ndarray  # (L, p) inner products with the measurements
    G: np.ndarray  # Gram rows made so far
    slot: np.ndarray  # row of G of an atom, -1 without
    position: np.ndarray  # place in the active list, -1 outside
    act: np.ndarray
    alpha: np.ndarray
    mu: np.ndarray
    Sigma: np.ndarray
    S: np.ndarray
    Q: np.ndarray
    control: np.ndarray
    count: np.ndarray
    y_scale: float
    mix: np.ndarray | None  # (r, L) back from compressed measurements
    idle: int = 0
    fresh: bool = True

    @property
    def kernel_args(self) -> tuple[Any, ...]:
        """Arguments of ``evidence_ascent`` but the last."""
        return (
            *(self.d, self.B, self.G, self.slot, self.position, self.act, self.alpha),
            *(self.mu, self.Sigma, self.S, self.Q, self.control, self.count),
        )


@dataclasses.dataclass(frozen=True)
class FastSolver(Solver[SBLProblem, FastState]):
    """Marginal-likelihood ascent (Tipping and Faul 2003) with an inclusion prior.

    ``penalty`` is the log prior odds against an atom; a negative number stands for the
    Beta(1, 1) prior on the inclusion rate (Scott and Berger 2010).
    """

    penalty: float
    tol: float
    max_iter: int
    noise_var: float | None = None
    energies: np.ndarray | None = None
    mean: np.ndarray | None = None  # column means that A still contains
    name: str = "sbl(method='fast')"

    def init(self, problem: SBLProblem, warm_start: Any) -> FastState:
        """Scale the data, start without atoms or from those of ``gamma0``."""
        A, n = problem.A, problem.rows
        energy = self.energies if self.energies is not None else energies(A)
        d = scales(energy, n)
        Y, mix = compress(problem.Y)
        L = problem.Y.shape[1]
        y_scale = math.sqrt(np.sum(Y.real**2 + Y.imag**2) / (n * Y.shape[1]))
        adjoint_y = A.conj().T @ Y if Y.dtype.kind == "c" else A.T @ Y
        B = np.ascontiguousarray(adjoint_y.T * (d / y_scale))
        p, dtype = A.shape[1], B.dtype
        m = min(p, 32, math.ceil(n))
        noise = NOISE_START if self.noise_var is None else self.noise_var / (y_scale**2)
        beta = 1.0 / noise
        state = FastState(
            d=d,
            B=B,
            G=np.empty((min(p, 32), p), dtype),
            slot=np.full(p, -1),
            position=np.full(p, -1),
            act=np.zeros(m, np.int64),
            alpha=np.zeros(m),
            mu=np.zeros((B.shape[0], m), dtype),
            Sigma=np.zeros((m, m), dtype),
            S=np.where(d > 0, beta * n, 0.0),
            Q=beta * B,
            control=np.zeros(14),
            count=np.zeros(3, np.int64),
            y_scale=y_scale,
            mix=mix,
        )
        learn = float(self.noise_var is None)
        factor = problem.half * L
        evidence = -factor * n * (beta - math.log(beta))
        state.control[:] = (
            *(beta, n, n, factor, self.penalty, self.tol, learn),
            *(NOISE_LOW, NOISE_HIGH, math.inf, 0.0, evidence, 0.0, beta * n),
        )
        if warm_start is not None:
            self._seed(problem, state, np.asarray(warm_start))
        return state

    def _seed(self, problem: SBLProblem, state: FastState, gamma: np.ndarray) -> None:
        """Begin with the atoms of ``gamma > 0`` active."""
        usable = np.flatnonzero((gamma > 0) & (state.d > 0))
        count = min(usable.size, math.ceil(problem.rows))
        seeds = usable[np.argsort(-gamma[usable], kind="stable")[:count]]
        _reserve(state, count)
        _make_rows(problem, state, self.mean, seeds)
        unit = (state.d * state.y_scale) ** 2
        state.act[:count], state.alpha[:count] = seeds, unit[seeds] / gamma[seeds]
        state.position[seeds] = np.arange(count)
        state.count[ACTIVE] = count
        learn, state.control[LEARN] = state.control[LEARN], 0.0
        self._call(problem, state, 0)
        state.control[LEARN], state.control[GAIN] = learn, math.inf

    def step(self, problem: SBLProblem, state: FastState) -> FastState:
        """One round: up to ``ROUND`` actions and the noise update."""
        before = int(state.count[ACTIONS])
        left = max(1, self.max_iter - before - state.idle)
        self._call(problem, state, min(ROUND, left))
        # A round that only moves the noise counts too, or the loop could be endless.
        state.idle += int(state.count[ACTIONS] == before)
        state.fresh = False
        return state

    def _call(self, problem: SBLProblem, state: FastState, actions: int) -> None:
        """Run the kernel, and serve it Gram rows and space, until the round is done."""
        body = evidence_ascent.for_namespace(numpy_namespace)
        done = int(state.count[ACTIONS])
        while True:
            code = body(
                *state.kernel_args, actions - (int(state.count[ACTIONS]) - done)
            )
            if code == 0:
                return
            if code == 1:
                _make_rows(
                    problem, state, self.mean, _promising(state, problem.shape[0])
                )
            else:
                _reserve(state, 2 * state.act.size)

    def measure(self, problem: SBLProblem, state: FastState) -> dict[str, Any]:
        """Evidence in the caller's units; residual is the best gain left."""
        control = state.control
        rest = control[MOVE] * max(self.tol, 1e-300) / NOISE_SETTLED
        evidence = self.evidence(problem, state)
        return {
            "n_iter": int(state.count[ACTIONS]) + state.idle,
            "objective": -evidence,
            "residual": math.inf if state.fresh else max(control[GAIN], rest),
            "log_evidence": evidence,
            "noise_var": state.y_scale**2 / control[BETA],
            "n_active": int(state.count[ACTIVE]),
        }

    def evidence(self, problem: SBLProblem, state: FastState) -> float:
        """Log evidence with its constants, in the caller's units."""
        unit = math.log(math.pi / problem.half) + 2.0 * math.log(state.y_scale)
        return float(
            state.control[EVIDENCE] - state.control[FACTOR] * problem.rows * unit
        )

    def stop(self, problem: SBLProblem, state: FastState) -> Stop | None:
        """Rounding decides below a tolerance of zero."""
        if not state.fresh and state.idle > 200:
            return Stop("stalled", "the noise estimate does not settle")
        return None

    def current(self, state: FastState) -> Any:
        """Scaled prior precisions of the active atoms."""
        return state.alpha[: state.count[ACTIVE]]

    def finish(self, problem: SBLProblem, state: FastState) -> dict[str, Any]:
        """Undo the scaling."""
        m, p = int(state.count[ACTIVE]), problem.shape[1]
        order = np.argsort(state.act[:m], kind="stable")
        active = state.act[:m][order]
        unit = state.d[active] * state.y_scale
        cov = state.Sigma[:m, :m][np.ix_(order, order)] * np.outer(unit, unit)
        mean = state.mu[:, :m][:, order] * unit
        if state.mix is not None:
            mean = state.mix.T @ mean
        L, dtype = problem.Y.shape[1], mean.dtype
        coef, gamma, var = np.zeros((p, L), dtype), np.zeros(p), np.zeros(p)
        coef[active] = mean.T
        gamma[active] = unit**2 / state.alpha[:m][order]
        var[active] = np.maximum(np.diagonal(cov).real, 0.0)
        return {
            "coef": coef[:, 0] if problem.vector else coef,
            "gamma": gamma,
            "noise_var": state.y_scale**2 / float(state.control[BETA]),
            "log_evidence": self.evidence(problem, state),
            "active": active,
            "cov": cov,
            "posterior_var": var,
        }


def energies(A: Any) -> np.ndarray:
    """Column sums of squared moduli of a dense or sparse dictionary."""
    if is_sparse(A):
        squared = A.multiply(A.conj()) if A.dtype.kind == "c" else A.multiply(A)
        return np.asarray(squared.sum(axis=0)).ravel().real
    parts = A.view(np.float64)  # real and imaginary parts are columns of their own
    moments = column_moments.for_namespace(numpy_namespace)
    squares = moments(read_only(parts), np.zeros(parts.shape[1]))[1]
    return squares if A.dtype.kind == "f" else squares.reshape(-1, 2).sum(axis=1)


def scales(energy: np.ndarray, rows: float) -> np.ndarray:
    """Factors that give each column mean square one; 0 for a zero column."""
    d = np.zeros_like(energy)
    np.divide(rows, energy, out=d, where=energy > 0)
    return np.sqrt(d)


def compress(Y: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Fewer columns with the same ``Y Y^H / L``, and the map back to all columns."""
    n, L = Y.shape
    if n >= L:
        return Y, None
    U, s, Vh = np.linalg.svd(Y, full_matrices=False)
    ratio = math.sqrt(s.size / L)
    return np.ascontiguousarray(U * (s * ratio)), Vh / ratio


def _promising(state: FastState, rows: int) -> np.ndarray:
    """Atom that waits for its Gram row, and others likely to enter soon."""
    missing = state.slot < 0
    p = state.S.size
    count = max(AHEAD, int(AHEAD_WORK / (rows * p)))
    if count >= p or rows * p * p <= WHOLE:
        return missing.nonzero()[0]
    score = abs2(state.Q[0]) if len(state.Q) == 1 else np.sum(abs2(state.Q), axis=0)
    score = np.where(missing & (state.S > 0), score / (state.S + 1e-300), -1.0)
    score[int(state.control[WAITING])] = math.inf
    top = np.argpartition(score, -count)[-count:]
    return top[score[top] >= 0]


def _make_rows(
    problem: SBLProblem, state: FastState, mean: np.ndarray | None, chosen: np.ndarray
) -> None:
    """Put the Gram rows of some atoms into the pool."""
    A, k = problem.A, int(state.count[POOL])
    stop = k + chosen.size
    if stop > state.G.shape[0]:
        pool = min(state.S.size, max(stop, 2 * state.G.shape[0]))
        state.G = _padded(state.G, (pool, state.S.size))
    if is_sparse(A):
        columns = A[:, chosen].toarray()
        rows = (A.T @ columns.conj()).T
    else:
        columns = A[:, chosen]
        rows = (columns.conj() if state.G.dtype.kind == "c" else columns).T @ A
    if mean is not None:
        rows -= (problem.rows * mean[chosen])[:, None] * mean
    rows *= state.d
    np.multiply(rows, state.d[chosen][:, None], out=state.G[k:stop])
    state.slot[chosen] = np.arange(k, stop)
    state.count[POOL] = stop


def _reserve(state: FastState, active: int) -> None:
    """Make room for that many active atoms."""
    active = min(state.S.size, active)
    if active > state.act.size:
        state.act = np.resize(state.act, active)
        state.alpha = np.resize(state.alpha, active)
        state.mu = _padded(state.mu, (state.mu.shape[0], active))
        state.Sigma = _padded(state.Sigma, (active, active))


def _padded(x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Copy into a larger array of zeros."""
    out = np.zeros(shape, x.dtype)
    out[tuple(slice(k) for k in x.shape)] = x
    return out
