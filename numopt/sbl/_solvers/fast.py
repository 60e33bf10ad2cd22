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
from numopt.sbl._kernels import column_moments, evidence_ascent, gram_rows
from numopt.sbl._problem import SBLProblem, is_complex

__all__ = ["FastSolver", "GramRows", "in_double"]

NOISE_SETTLED = 1e-4  # movement of log noise that counts as none
NOISE_START, NOISE_LOW, NOISE_HIGH = 0.1, 1e-6, 1.0  # in units of mean |y|^2
# Entries reserved for Gram rows from the start; pages never written cost nothing, but
# more entries than these come in huge ones, all of which is cleared at the first touch.
RESERVED = 400_000
AHEAD = 8  # rows of a sparse dictionary that are made at a time
# Entries of the kernel's `work_control` and `work_count` that are read here.
BETA, FACTOR, LEARN, GAIN, MOVE, EVIDENCE = 0, 3, 6, 9, 10, 11
ACTIVE, ACTIONS = range(2)


class GramRows:
    """Rows of the Gram matrix of scaled columns, made when a fit asks for them.

    They depend on the dictionary alone: fits to several targets share them. ``d``
    scales each column to mean square one and is 0 where it is zero; ``mean`` holds
    column means that ``A`` still contains, and ``energies`` are without them.
    """

    def __init__(
        self,
        A: Any,
        rows: float,
        *,
        energies: np.ndarray | None = None,
        mean: np.ndarray | None = None,
    ) -> None:
        p = A.shape[1]
        self.A, self.rows, self.hidden = A, rows, mean
        self.d = scales(column_energies(A) if energies is None else energies, rows)
        self.G = np.empty((min(p, max(32, RESERVED // p)), p), A.dtype)
        self.slot = np.full(p, -1)  # row of G of an atom, -1 without
        self.made = np.zeros(1, np.int64)
        self.mean = np.zeros(p) if mean is None else mean
        # What the compiled loops read entries of; they leave sparse ones to `make`.
        entries = np.empty((0, 0), A.dtype) if is_sparse(A) else np.ascontiguousarray(A)
        self.entries = read_only(entries)

    def reserve(self, count: int) -> None:
        """Make room for some more rows."""
        k = int(self.made[0])
        if k + count > self.G.shape[0]:
            pool = min(self.d.size, max(k + count, 2 * self.G.shape[0]))
            grown = np.empty((pool, self.d.size), self.G.dtype)
            grown[:k] = self.G[:k]
            self.G = grown

    def make(self, chosen: np.ndarray) -> None:
        """Append the rows of some atoms."""
        self.reserve(chosen.size)
        if not is_sparse(self.A):
            body = gram_rows.for_namespace(numpy_namespace)
            body(
                *(self.entries, self.mean, self.d, chosen),
                *(self.G, self.slot, self.made),
            )
            return
        columns = self.A[:, chosen].toarray()
        rows = (self.A.T @ columns.conj()).T
        if self.hidden is not None:
            rows -= (self.rows * self.mean[chosen])[:, None] * self.mean
        k = int(self.made[0])
        np.multiply(rows, self.d, out=self.G[k : k + chosen.size])
        self.G[k : k + chosen.size] *= self.d[chosen][:, None]
        self.slot[chosen] = np.arange(k, k + chosen.size)
        self.made += chosen.size

    def serve(self, score: np.ndarray) -> None:
        """Make room, and the rows of atoms of the highest scores of sparse data."""
        count = min(AHEAD, self.d.size)
        if not is_sparse(self.A):
            self.reserve(max(AHEAD, self.G.shape[0]))
            return
        score = np.where(self.slot < 0, score, -1.0)
        top = score.argpartition(-count)[-count:]
        self.make(top[score[top] > 0])


@dataclasses.dataclass(slots=True)
class FastState:
    """Arrays of the kernel, in units where columns and measurements have RMS one."""

    gram: GramRows
    B: np.ndarray  # (L, p) inner products with the measurements
    score: np.ndarray  # |q|^2 / s of inactive atoms
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
        gram = self.gram
        return (
            *(gram.entries, gram.mean, gram.d, self.B, gram.G, gram.slot, gram.made),
            self.score,
            *(self.position, self.act, self.alpha, self.mu, self.Sigma),
            *(self.S, self.Q, self.control, self.count),
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
    gram: GramRows | None = None  # of this dictionary, where there are some already
    products: np.ndarray | None = None  # (p,) with the measurements, where known
    atoms: int | None = None  # those the prior counts, when p of them are left
    name: str = "sbl(method='fast')"

    def init(self, problem: SBLProblem, warm_start: Any) -> FastState:
        """Scale the data, start without atoms or from those of ``gamma0``."""
        A, n = problem.A, problem.rows
        gram = GramRows(A, n) if self.gram is None else self.gram
        d = gram.d
        Y, mix = compress(problem.Y)
        L = problem.Y.shape[1]
        y_scale = math.sqrt(np.vdot(Y, Y).real / (n * Y.shape[1]))
        if self.products is not None:
            adjoint_y = self.products[:, None]
        else:
            adjoint_y = A.conj().T @ Y if Y.dtype.kind == "c" else A.T @ Y
        B = np.ascontiguousarray(adjoint_y.T * (d / y_scale))
        p, dtype = A.shape[1], B.dtype
        m = min(p, 32, math.ceil(n))
        noise = NOISE_START if self.noise_var is None else self.noise_var / (y_scale**2)
        beta = 1.0 / noise
        state = FastState(
            gram=gram,
            B=B,
            score=np.zeros(p),
            position=np.full(p, -1),
            act=np.zeros(m, np.int64),
            alpha=np.zeros(m),
            mu=np.zeros((B.shape[0], m), dtype),
            Sigma=np.zeros((m, m), dtype),
            S=np.where(d > 0, beta * n, 0.0),
            Q=beta * B,
            control=np.empty(14),
            count=np.zeros(3, np.int64),
            y_scale=y_scale,
            mix=mix,
        )
        learn = float(self.noise_var is None)
        factor = problem.half * L
        evidence = -factor * n * (beta - math.log(beta))
        state.control[:] = (
            *(beta, n, n, factor, self.penalty, self.tol, learn),
            *(NOISE_LOW, NOISE_HIGH, math.inf, 0.0, evidence, beta * n),
            self.atoms or p,
        )
        if warm_start is not None:
            self._seed(problem, state, np.asarray(warm_start))
        return state

    def _seed(self, problem: SBLProblem, state: FastState, gamma: np.ndarray) -> None:
        """Begin with the atoms of ``gamma > 0`` active."""
        d = state.gram.d
        usable = np.flatnonzero((gamma > 0) & (d > 0))
        count = min(usable.size, math.ceil(problem.rows))
        seeds = usable[np.argsort(-gamma[usable], kind="stable")[:count]]
        _reserve(state, count)
        state.gram.make(seeds[state.gram.slot[seeds] < 0])
        unit = (d * state.y_scale) ** 2
        state.act[:count], state.alpha[:count] = seeds, unit[seeds] / gamma[seeds]
        state.position[seeds] = np.arange(count)
        state.count[ACTIVE] = count
        # Without actions: the posterior, then the noise that goes with these atoms.
        learn, state.control[LEARN] = state.control[LEARN], 0.0
        self._call(state, 0)
        state.control[LEARN] = learn
        self._call(state, 0)
        state.control[GAIN] = math.inf

    def step(self, problem: SBLProblem, state: FastState) -> FastState:
        """One round: some additions, then the active atoms alone until they settle."""
        done = int(state.count[ACTIONS])
        self._call(state, max(1, self.max_iter - done - state.idle))
        # A round that only moves the noise counts too, or there may be no end.
        state.idle += int(state.count[ACTIONS]) == done
        state.fresh = False
        return state

    def _rest(self, state: FastState) -> float:
        """Best gain left, or the part of the noise's last movement that matters."""
        gain, move = float(state.control[GAIN]), float(state.control[MOVE])
        return max(gain, move * max(self.tol, 1e-300) / NOISE_SETTLED)

    def _call(self, state: FastState, actions: int) -> None:
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
                state.gram.serve(state.score)
            else:
                _reserve(state, 2 * state.act.size)

    def measure(self, problem: SBLProblem, state: FastState) -> dict[str, Any]:
        """Evidence in the caller's units; residual is the best gain left."""
        evidence = self.evidence(problem, state)
        return {
            "n_iter": int(state.count[ACTIONS]) + state.idle,
            "objective": -evidence,
            "residual": math.inf if state.fresh else self._rest(state),
            "log_evidence": evidence,
            "noise_var": state.y_scale**2 / float(state.control[BETA]),
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
        order = state.act[:m].argsort(kind="stable")
        active = state.act[order]
        unit = state.gram.d[active] * state.y_scale
        cov = state.Sigma[order[:, None], order] * (unit[:, None] * unit)
        mean = state.mu[:, order] * unit
        if state.mix is not None:
            mean = state.mix.T @ mean
        L, dtype = problem.Y.shape[1], mean.dtype
        coef, gamma, var = np.zeros((p, L), dtype), np.zeros(p), np.zeros(p)
        coef[active] = mean.T
        gamma[active] = unit**2 / state.alpha[order]
        var[active] = np.maximum(cov.diagonal().real, 0.0)
        return {
            "coef": coef[:, 0] if problem.vector else coef,
            "gamma": gamma,
            "noise_var": state.y_scale**2 / float(state.control[BETA]),
            "log_evidence": self.evidence(problem, state),
            "active": active,
            "cov": cov,
            "posterior_var": var,
        }


def in_double(problem: SBLProblem) -> SBLProblem:
    """Contiguous arrays of double precision: one compiled version serves them all."""
    wide = np.complex128 if is_complex(problem.Y) else np.float64
    A = problem.A if is_sparse(problem.A) else np.ascontiguousarray(problem.A, wide)
    Y = np.ascontiguousarray(problem.Y, wide)
    if A is problem.A and Y is problem.Y:
        return problem
    return SBLProblem(A=A, Y=Y, vector=problem.vector, rows=problem.rows)


def column_energies(A: Any) -> np.ndarray:
    """Column sums of squared moduli of a dense or sparse dictionary."""
    if is_sparse(A):
        squared = A.multiply(A.conj()) if A.dtype.kind == "c" else A.multiply(A)
        return np.asarray(squared.sum(axis=0)).ravel().real
    parts = A.view(np.float64)  # real and imaginary parts are columns of their own
    moments = column_moments.for_namespace(numpy_namespace)
    _, squares, _, _ = moments(read_only(parts), read_only(np.empty(0)), False)
    return squares if A.dtype.kind == "f" else squares.reshape(-1, 2).sum(axis=1)


def scales(energy: np.ndarray, rows: float) -> np.ndarray:
    """Factors that give each column mean square one; 0 for a zero column."""
    usable = energy > 0
    if usable.all():
        return np.sqrt(rows / energy)
    d = np.zeros_like(energy)
    np.divide(rows, energy, out=d, where=usable)
    return np.sqrt(d)


def compress(Y: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Fewer columns with the same ``Y Y^H / L``, and the map back to all columns."""
    n, L = Y.shape
    if n >= L:
        return Y, None
    U, s, Vh = np.linalg.svd(Y, full_matrices=False)
    ratio = math.sqrt(s.size / L)
    return np.ascontiguousarray(U * (s * ratio)), Vh / ratio


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
