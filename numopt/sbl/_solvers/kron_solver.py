# SPDX-License-Identifier: BSD-3-Clause
"""Phases of the Kronecker solver: warm start, majorisation, elimination, polish."""

import dataclasses
import math
from typing import Any

import numpy as np

from numopt._array.namespace import array_namespace, device, to_numpy
from numopt._iterate.loop import Solver
from numopt.sbl._problem import abs2, real_dtype
from numopt.sbl._solvers.kron_model import KronModel, make_model, scatter
from numopt.sbl._solvers.kron_regrowth import (
    Answer,
    answer_of,
    better,
    crowded,
    regrown,
)
from numopt.sbl._solvers.kron_selection import eliminate
from numopt.sbl._solvers.kron_steps import am_step, mm_sweep, prune, svd_step
from numopt.typing import Array

__all__ = ["KronProblem", "KronSolver", "dense_coefficients"]

WARM_CLIP = 1e-3  # factors are kept above this part of their maximum after the warm-up
POLISH_PRUNE = 1e-8
NOISE_START = 0.1
WARM_LIMIT = 2**23  # entries of the dense tensor above which the warm start is skipped
SEARCH_TOL = 1e-2  # elimination need not wait for the last digits


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class KronProblem:
    """Validated factors, measurements (b, L, M) and coupling patterns."""

    factors: list[Array]
    Y: Array
    coupling: list[Array | None]
    half: float  # the constant c of the evidence

    @property
    def unit(self) -> Array:
        """Root mean square of each problem's measurements; one where they are zero."""
        xp = array_namespace(self.Y)
        square = xp.mean(xp.mean(abs2(self.Y), axis=2), axis=1)
        return xp.sqrt(xp.where(square > 0, square, xp.ones_like(square)))

    @property
    def atoms(self) -> int:
        """Number of atoms of the whole dictionary."""
        return math.prod(H.shape[1] for H in self.factors)


@dataclasses.dataclass(slots=True)
class KronState:
    """The models in units where the measurements have mean square one."""

    model: KronModel
    phase: str
    unit: Array
    steps: int = 0
    move: float = math.inf
    earlier: Answer | None = None  # what the regrown answer has to beat
    regrown: bool = False


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
    name: str = "kronecker_sbl"

    @property
    def literal(self) -> bool:
        """Whether the published expectation-maximisation runs as it is."""
        return self.method in ("svd", "am")

    def init(self, problem: KronProblem, warm_start: Any) -> KronState:
        """Flat prior variances of the power of the measurements."""
        unit = problem.unit
        Y = problem.Y / unit[:, None, None]
        xp, real = array_namespace(Y), real_dtype(Y)
        warm = self.method == "auto" and self.warm_iter > 0
        warm = warm and problem.atoms * Y.shape[0] * Y.shape[1] <= WARM_LIMIT
        noise = xp.full_like(unit, NOISE_START)
        if self.noise_var is not None:
            noise = self.noise_var / unit**2
        model = make_model(
            problem.factors,
            self._start(problem, unit),
            Y,
            noise,
            floor=1e-6 if real == xp.float32 else 1e-12,
            learn=self.noise_var is None,
        )
        if not warm and not self.literal:
            model.couple(problem.coupling)
        model.refresh()
        return KronState(model, "warm" if warm else "search", unit)

    def _start(self, problem: KronProblem, unit: Array) -> list[Array]:
        """Equal prior variances; the published methods start from ones in y's units."""
        xp, batch = array_namespace(unit), unit.shape[0]
        shape = {"dtype": unit.dtype, "device": device(unit)}
        h = []
        for H in problem.factors:
            one = xp.ones((batch, H.shape[1]), **shape)
            h.append(one / math.sqrt(H.shape[1]) if self.literal else one)
        if self.literal:
            h[-1] = h[-1] * math.sqrt(problem.atoms) / unit[:, None] ** 2
        else:
            traces = [float(to_numpy(xp.sum(abs2(H)))) for H in problem.factors]
            h[-1] = h[-1] * (problem.Y.shape[2] / max(math.prod(traces), 1e-300))
        return h

    def step(self, problem: KronProblem, state: KronState) -> KronState:
        """One iteration of the phase; phases follow one another."""
        model = state.model
        state.steps += 1
        if self.literal or state.phase == "warm":
            state.move = am_step(model) if self.method == "am" else svd_step(model)
            if state.phase != "warm":
                prune(model, self.prune_tol)
            elif state.steps >= self.warm_iter:
                self._end_warm(problem, state)
            return state
        searching = state.phase == "search"
        state.move = mm_sweep(model, self.prune_tol if searching else POLISH_PRUNE)
        if searching and self.penalty is not None:
            enough = max(self.tol, SEARCH_TOL)
            if state.move <= enough or state.steps >= self.phase_limit:
                if eliminate(model, self._price(problem)):
                    state.move = math.inf
                state.phase, state.steps = "polish", 0
        elif state.phase == "polish" and state.move <= self.tol:
            self._end_polish(problem, state)
        return state

    def _end_warm(self, problem: KronProblem, state: KronState) -> None:
        """Lift what the warm start made small: majorisation cannot revive zeros."""
        model = state.model
        xp = model.xp
        model.h = [
            xp.maximum(g, WARM_CLIP * xp.max(g, axis=1, keepdims=True)) for g in model.h
        ]
        model.couple(problem.coupling)
        model.refresh()
        state.phase, state.steps = "search", 0

    def _price(self, problem: KronProblem) -> float:
        """Price of an atom in evidence terms."""
        return (self.penalty or 0.0) / (problem.half * problem.Y.shape[1])

    def _end_polish(self, problem: KronProblem, state: KronState) -> None:
        """Grow crowded factors anew, once, and keep the better answer of the two."""
        if state.earlier is not None:
            self._settle(problem, state)
        if state.regrown or any(K is not None for K in problem.coupling):
            return
        state.regrown = True
        full = crowded(state.model)
        if not np.any(full):
            return
        price, every = self._price(problem), np.arange(problem.Y.shape[0])
        state.earlier = answer_of(state.model, problem.factors, price)
        new = regrown(state.earlier, state.model, problem.factors, full, price)
        state.model = new.model(state.model, problem.factors, every)
        state.phase, state.steps, state.move = "search", 0, math.inf

    def _settle(self, problem: KronProblem, state: KronState) -> None:
        """Return to the earlier answer in the problems where it is the better one."""
        if state.earlier is None:
            return
        now = answer_of(state.model, problem.factors, self._price(problem))
        every = np.arange(problem.Y.shape[0])
        best = better(now, state.earlier)
        state.model = best.model(state.model, problem.factors, every)
        state.earlier, state.move = None, math.inf

    def measure(self, problem: KronProblem, state: KronState) -> dict[str, Any]:
        """Exact evidence; the residual counts in the last phase only."""
        last = "polish" if self.penalty is not None else "search"
        done = state.phase == last or self.literal
        evidence = float(np.sum(to_numpy(self.evidence(problem, state))))
        noise = to_numpy(state.model.noise) * to_numpy(state.unit) ** 2
        return {
            "objective": -evidence,
            "residual": state.move if done else math.inf,
            "log_evidence": evidence,
            "noise_var": float(np.mean(noise)),
            "n_active": math.prod(h.shape[1] for h in state.model.h),
        }

    def evidence(self, problem: KronProblem, state: KronState) -> Array:
        """Log evidence of each problem in the caller's units."""
        xp = state.model.xp
        _, L, M = problem.Y.shape
        constant = M * (math.log(math.pi / problem.half) + 2 * xp.log(state.unit))
        return -problem.half * L * (state.model.terms + constant)

    def current(self, state: KronState) -> Any:
        """Hyper-parameters of the factors."""
        return tuple(state.model.h)

    def finish(self, problem: KronProblem, state: KronState) -> dict[str, Any]:
        """Posterior on the surviving support, in the caller's units."""
        self._settle(problem, state)
        model, unit = state.model, state.unit
        evidence = self.evidence(problem, state)
        parameters = sum(np.sum(to_numpy(h) > 0, axis=1) for h in model.h)
        for i in range(model.order):
            model.uncouple(i)
        mean, var = model.posterior()
        wide = [unit.shape[0]] + [1] * model.order
        scale = model.xp.reshape(unit, (*wide, 1))
        model.h[-1] = model.h[-1] * unit[:, None] ** 2
        columns = [F.shape[1] for F in problem.factors]
        return {
            "coef_support": model.xp.moveaxis(mean, 1, -1) * scale,
            "support": tuple(model.index),
            "gammas": [
                scatter(g, s, n)
                for g, s, n in zip(model.h, model.index, columns, strict=True)
            ],
            "posterior_var": var * scale[..., 0] ** 2,
            "noise_var": model.noise * unit**2,
            "log_evidence": evidence,
            "n_parameters": parameters,
        }


def dense_coefficients(fields: dict[str, Any], columns: list[int]) -> Array:
    """Spread the small tensors (b, K_1, ..., K_I, L) over all atoms."""
    small, support = fields["coef_support"], fields["support"]
    values = to_numpy(small)
    batch, L = values.shape[0], values.shape[-1]
    host = np.zeros((batch, *columns, L), values.dtype)
    places = [np.arange(batch), *(to_numpy(s) for s in support), np.arange(L)]
    host[np.ix_(*places)] = values
    return array_namespace(small).asarray(host, device=device(small))
