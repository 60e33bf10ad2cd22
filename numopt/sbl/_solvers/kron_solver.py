# SPDX-License-Identifier: BSD-3-Clause
"""Phases of the Kronecker solver: warm start, majorisation, elimination, polish."""

import dataclasses
import math
from typing import Any

import numpy as np

from numopt._array.namespace import array_namespace, device, to_numpy
from numopt._iterate.loop import Solver
from numopt.sbl._problem import abs2, indices_where
from numopt.sbl._solvers.kron_algebra import (
    Spectrum,
    eigenbasis,
    evidence_of,
    posterior,
    spectrum,
)
from numopt.sbl._solvers.kron_steps import (
    KronModel,
    along,
    am_step,
    mm_sweep,
    prune,
    svd_step,
)
from numopt.typing import Array

__all__ = ["KronProblem", "KronSolver", "dense_coefficients", "eliminate"]

WARM_CLIP = 1e-3  # factors are kept above this part of their maximum after the warm-up
POLISH_PRUNE = 1e-8
CANDIDATES = 4  # smallest hyper-parameters of a factor that elimination looks at
NOISE_START = 0.1
WARM_LIMIT = 2**23  # entries of the dense tensor above which the warm start is skipped


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class KronProblem:
    """Validated factors, measurements (M, L) and coupling patterns."""

    factors: list[Array]
    Y: Array
    coupling: list[Array | None]
    half: float  # the constant c of the evidence

    @property
    def unit(self) -> float:
        """Root mean square of the measurements."""
        xp = array_namespace(self.Y)
        return math.sqrt(float(to_numpy(xp.mean(abs2(self.Y)))))


@dataclasses.dataclass(slots=True)
class KronState:
    """The model in units where the measurements have mean square one."""

    model: KronModel
    phase: str
    unit: float
    steps: int = 0
    move: float = math.inf


@dataclasses.dataclass(frozen=True)
class KronSolver(Solver[KronProblem, KronState]):
    """``method`` is "auto", "mm", "svd" or "am"; ``penalty`` None skips elimination."""

    method: str
    penalty: float | None
    warm_iter: int
    tol: float
    phase_limit: int
    prune_tol: float
    noise_var: float | None = None

    @property
    def name(self) -> str:
        """Name for messages."""
        return f"kronecker_sbl(method={self.method!r})"

    def init(self, problem: KronProblem, warm_start: Any) -> KronState:
        """Flat prior variances of the power of the measurements."""
        unit = problem.unit
        Y = problem.Y / unit
        xp = array_namespace(Y)
        real = abs2(Y[:1, :1]).dtype
        literal = self.method in ("svd", "am")
        warm = self.method == "auto" and self.warm_iter > 0
        atoms = math.prod(H.shape[1] for H in problem.factors)
        warm = warm and atoms * Y.shape[1] <= WARM_LIMIT
        h = []
        for H in problem.factors:
            one = xp.ones(H.shape[1], dtype=real, device=device(H))
            h.append(one / math.sqrt(H.shape[1]) if literal else one)
        if literal:
            scale = math.sqrt(atoms)
        else:
            traces = [float(to_numpy(xp.sum(abs2(H)))) for H in problem.factors]
            scale = Y.shape[0] / max(math.prod(traces), 1e-300)
        h[-1] = h[-1] * scale
        if literal:  # the paper starts from ones in the units of the data
            h[-1] = h[-1] / unit**2
        single = real == xp.float32
        noise = NOISE_START if self.noise_var is None else self.noise_var / unit**2
        empty = Spectrum([], [], Y)
        model = KronModel(
            H=list(problem.factors),
            h=h,
            K=[None] * len(h),
            index=[xp.arange(g.shape[0], device=device(g)) for g in h],
            Y=Y,
            noise=noise,
            floor=1e-6 if single else 1e-12,
            learn=self.noise_var is None,
            spec=empty,
            power=xp.mean(abs2(Y), axis=1),
        )
        state = KronState(model, "warm" if warm else "search", unit)
        if not warm and not literal:
            self._couple(problem, model)
        model.refresh()
        return state

    def _couple(self, problem: KronProblem, model: KronModel) -> None:
        """Express prior variances by the coupling patterns, by weighted averages."""
        xp = array_namespace(model.Y)
        for i, K in enumerate(problem.coupling):
            if K is not None:
                weight = xp.sum(K, axis=0)
                model.h[i] = (K.mT @ model.h[i]) / weight**2
                model.K[i] = K
                model.index[i] = xp.arange(K.shape[1], device=device(K))

    def step(self, problem: KronProblem, state: KronState) -> KronState:
        """One iteration of the phase; phases follow one another."""
        model = state.model
        state.steps += 1
        if self.method == "am" or state.phase == "warm" or self.method == "svd":
            state.move = am_step(model) if self.method == "am" else svd_step(model)
            if state.phase != "warm":
                prune(model, self.prune_tol)
            elif state.steps >= self.warm_iter:
                self._end_warm(problem, state)
            return state
        state.move = mm_sweep(model)
        prune(model, self.prune_tol if state.phase == "search" else POLISH_PRUNE)
        finished = state.move <= self.tol or state.steps >= self.phase_limit
        if state.phase == "search" and finished and self.penalty is not None:
            if eliminate(model, self.penalty / (problem.half * model.Y.shape[1])):
                state.move = math.inf
            state.phase, state.steps = "polish", 0
        return state

    def _end_warm(self, problem: KronProblem, state: KronState) -> None:
        model = state.model
        xp = array_namespace(model.Y)
        model.h = [xp.maximum(g, WARM_CLIP * xp.max(g)) for g in model.h]
        self._couple(problem, model)
        model.refresh()
        state.phase, state.steps = "search", 0

    def measure(self, problem: KronProblem, state: KronState) -> dict[str, Any]:
        """Exact evidence; the residual counts in the last phase only."""
        last = "polish" if self.penalty is not None else "search"
        done = state.phase == last or self.method in ("svd", "am")
        evidence = self.evidence(problem, state)
        return {
            "objective": -evidence,
            "residual": state.move if done else math.inf,
            "log_evidence": evidence,
            "noise_var": state.model.noise * state.unit**2,
            "n_active": math.prod(h.shape[0] for h in state.model.h),
        }

    def evidence(self, problem: KronProblem, state: KronState) -> float:
        """Log evidence in the caller's units."""
        M, L = problem.Y.shape
        constant = M * (math.log(math.pi / problem.half) + 2 * math.log(state.unit))
        return -problem.half * L * (state.model.terms + constant)

    def current(self, state: KronState) -> Any:
        """Hyper-parameters of the factors."""
        return tuple(state.model.h)

    def finish(self, problem: KronProblem, state: KronState) -> dict[str, Any]:
        """Posterior on the surviving support, in the caller's units."""
        model = state.model
        xp = array_namespace(model.Y)
        gammas, support, H = [], [], []
        for i in range(len(model.h)):
            gamma = model.gamma(i)
            if model.K[i] is None:
                kept, full = model.index[i], model.H[i]
            else:
                kept = indices_where(gamma > 0)
                gamma, full = xp.take(gamma, kept), xp.take(model.H[i], kept, axis=1)
            support.append(kept)
            gammas.append(gamma)
            H.append(full)
        spec = spectrum(H, gammas, model.Y)
        mean, var = posterior(H, gammas, model.noise, spec)
        sizes = tuple(g.shape[0] for g in gammas)
        L = model.Y.shape[1]
        gammas[-1] = gammas[-1] * state.unit**2
        columns = [F.shape[1] for F in problem.factors]
        return {
            "coef_support": xp.reshape(mean * state.unit, (*sizes, L)),
            "support": tuple(support),
            "gammas": [
                scatter(g, s, n)
                for g, s, n in zip(gammas, support, columns, strict=True)
            ],
            "posterior_var": xp.reshape(var * state.unit**2, sizes),
            "noise_var": model.noise * state.unit**2,
            "log_evidence": self.evidence(problem, state),
            "n_parameters": sum(h.shape[0] for h in model.h),
        }


def scatter(values: Array, index: Array, size: int) -> Array:
    """Place entries of a vector in a zero vector of a given size."""
    xp = array_namespace(values)
    place = np.full(size, values.shape[0])
    place[to_numpy(index)] = np.arange(values.shape[0])
    zero = xp.zeros(1, dtype=values.dtype, device=device(values))
    return xp.take(xp.concat([values, zero]), xp.asarray(place, device=device(values)))


def eliminate(model: KronModel, price: float) -> int:
    """Remove factor atoms while the evidence term rises by less than ``price``.

    Returns how many went. Candidates are the smallest hyper-parameters of every
    factor; each costs one small eigendecomposition and one pass over the spectrum.
    """
    removed = 0
    while True:
        base, best = model.terms, (price, -1, -1)
        for i, h in enumerate(model.h):
            if h.shape[0] < 2:
                continue
            order = np.argsort(to_numpy(h), kind="stable")[:CANDIDATES]
            for j in order:
                loss = _terms_without(model, i, int(j)) - base
                if loss < best[0]:
                    best = (loss, i, int(j))
        if best[1] < 0:
            return removed
        _drop(model, best[1], best[2])
        removed += 1


def _terms_without(model: KronModel, i: int, j: int) -> float:
    """Evidence terms when hyper-parameter j of factor i is zero."""
    xp = array_namespace(model.Y)
    K = model.K[i]
    if K is None:
        gamma = model.h[i] + 0.0
        gamma[j] = 0.0
    else:
        gamma = xp.clip(model.gamma(i) - K[:, j] * model.h[i][j], 0.0, None)
    s, U = eigenbasis(model.H[i], gamma)
    turn = xp.conj(U).mT if U.dtype != s.dtype else U.mT
    Yt = along(turn @ model.spec.vectors[i], model.spec.Yt, i, model.sizes)
    values = [*model.spec.values[:i], s, *model.spec.values[i + 1 :]]
    return evidence_of(values, xp.mean(abs2(Yt), axis=1), model.noise)


def _drop(model: KronModel, i: int, j: int) -> None:
    """Remove hyper-parameter j of factor i."""
    xp = array_namespace(model.Y)
    keep = xp.asarray(
        np.delete(np.arange(model.h[i].shape[0]), j), device=device(model.h[i])
    )
    model.h[i] = xp.take(model.h[i], keep)
    model.index[i] = xp.take(model.index[i], keep)
    if model.K[i] is None:
        model.H[i] = xp.take(model.H[i], keep, axis=1)
    else:
        model.K[i] = xp.take(model.K[i], keep, axis=1)
    model.refresh_mode(i)


def dense_coefficients(fields: dict[str, Any], columns: list[int]) -> Array:
    """Spread the small tensor over all atoms."""
    small, support = fields["coef_support"], fields["support"]
    xp = array_namespace(small)
    values = to_numpy(small)
    host = np.zeros((*columns, values.shape[-1]), values.dtype)
    host[np.ix_(*[to_numpy(s) for s in support])] = values
    return xp.asarray(host, device=device(small))
