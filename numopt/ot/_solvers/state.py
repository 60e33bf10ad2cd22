# SPDX-License-Identifier: BSD-3-Clause
"""What all algorithms share: the state with its certificate, and how it is iterated.

An algorithm is a generator ``rounds(problem, state, options)`` that yields after every
full pass over the cost, when the state holds potentials with exact rows and the error
of the columns over ALL entries. The common loop driver measures and stops there.
"""

import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from numopt._array.namespace import device, to_numpy
from numopt._iterate.loop import Solver
from numopt._iterate.stopping import Stop
from numopt.ot._problem import CoreProblem
from numopt.typing import Array, Namespace

__all__ = [
    "FEW_CG",
    "FIRST_EPS",
    "LEVEL_TOL",
    "Options",
    "TransportSolver",
    "TransportState",
    "first_eps",
    "host",
    "log_ratio",
    "next_eps",
]

#: Iterations of a solve that are too few to make groups of columns.
FEW_CG = 14
NO_GROUPS = np.empty(0, np.int32)
#: What an algorithm without further rounds answers.
DONE = object()
#: Error at which an intermediate eps is left for the next.
LEVEL_TOL = 1e-2
#: A warm start begins at the smallest eps where its error is below.
WARM_ERROR = 0.1
#: Largest eps of the annealing, as a fraction of the range of the cost.
FIRST_EPS = 1 / 30


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Options of an algorithm; see ``sinkhorn``."""

    tol: float
    max_iter: int
    scaling: float
    n_warmup: int
    density: float | None
    tau: float
    max_support: int | None


@dataclasses.dataclass
class TransportState:
    """Scaled potentials of the last pass, its column sums and error, counts of work.

    ``certified`` says that ``error`` is over all entries, in float64. ``groups`` labels
    the columns for solves on supports; one that needs more than the given number of
    iterations makes new ones.
    """

    eps: float
    gamma: Array
    phi: Array
    c: Array
    error: float = math.inf
    certified: bool = False
    stage: str = "start"
    n_passes: int = 0
    n_newton: int = 0
    n_cg: int = 0
    nnz: int = 0
    groups: tuple[np.ndarray, int] = (NO_GROUPS, FEW_CG)
    stopped: Stop | None = None
    rounds: Iterator[None] | None = None
    budget: int = 0

    def full_pass(self, problem: CoreProblem) -> None:
        """Row update, column sums and error over all entries."""
        self.phi, self.c = _fused(problem, self.gamma, self.phi, 1.0 / self.eps)
        self.error = problem.residual(self.c)
        self.certified = True
        self.n_passes += 1

    @property
    def spent(self) -> bool:
        """Whether the bound on passes and Newton steps is reached."""
        return self.n_passes + self.n_newton >= self.budget

    def move_to(self, problem: CoreProblem, eps: float) -> None:
        """Keep the potentials f and g, change eps."""
        ratio = self.eps / eps
        self.gamma = (self.gamma - problem.log_b) * ratio + problem.log_b
        self.phi = (self.phi - problem.log_a) * ratio + problem.log_a
        self.eps, self.certified = eps, False


def _fused(
    problem: CoreProblem, gamma: Array, phi: Array, inv_eps: float
) -> tuple[Array, Array]:
    """One fused pass, for every target when there are several."""
    xp, fused = problem.xp, problem.cost.fused_pass
    if gamma.ndim == 1:
        return fused(gamma, phi, problem.log_a, inv_eps)
    phi = xp.broadcast_to(phi, (phi.shape[0], gamma.shape[1]))
    passes = [
        fused(*columns, problem.log_a[:, 0], inv_eps)
        for columns in zip(_columns(gamma, xp), _columns(phi, xp), strict=True)
    ]
    phis, sums = zip(*passes, strict=True)
    return xp.stack(phis, axis=1), xp.stack(sums, axis=1)


def _columns(x: Array, xp: Namespace) -> list[Array]:
    """Copy the columns, so that each is contiguous."""
    return [xp.asarray(x[:, h], copy=True) for h in range(x.shape[1])]


Rounds = Callable[[CoreProblem, TransportState, Options], Iterator[None]]


@dataclasses.dataclass(frozen=True)
class TransportSolver(Solver[CoreProblem, TransportState]):
    """Run an algorithm round by round."""

    rounds: Rounds
    options: Options
    name: str

    def init(self, problem: CoreProblem, warm_start: Any) -> TransportState:
        """Run the first round, from zero potentials or from a warm start (f, g)."""
        if warm_start is None:
            gamma, phi = problem.log_b, problem.log_a
        else:
            f, g = warm_start
            gamma = g / problem.eps + problem.log_b
            phi = f / problem.eps + problem.log_a
        state = TransportState(problem.eps, gamma, phi, gamma)
        state.budget = self.options.max_iter
        state.nnz = problem.cost.entries
        state.rounds = self.rounds(problem, state, self.options)
        top = first_eps(problem.eps, problem.cost_range, self.options.scaling)
        if warm_start is None:
            state.eps = top
        else:
            self._climb(problem, state, top)
        if not (state.certified and state.error <= self.options.tol):
            _advance(state)
        return state

    def _climb(self, problem: CoreProblem, state: TransportState, top: float) -> None:
        """Start a warm solve at the smallest eps where its potentials are good."""
        state.full_pass(problem)
        while state.error > WARM_ERROR and state.eps < top:
            state.move_to(problem, min(state.eps * self.options.scaling, top))
            state.full_pass(problem)

    def step(self, problem: CoreProblem, state: TransportState) -> TransportState:
        """Advance to the next full pass."""
        _advance(state)
        return state

    def measure(self, problem: CoreProblem, state: TransportState) -> dict[str, Any]:
        """Return the certificate; without one at reg, the trivial bound 2 holds."""
        known = state.certified and state.eps <= problem.eps
        dual = host(
            problem.xp.sum(
                problem.dual_value(state.phi, state.gamma, state.eps, state.c)
            )
        )
        return {
            "objective": dual,
            "residual": state.error if known else 2.0,
            "n_iter": state.n_passes + state.n_newton,
            "marginal_error": state.error,
            "dual_value": dual,
            "eps": state.eps,
            "stage": state.stage,
            "passes": state.n_passes,
        }

    def stop(self, problem: CoreProblem, state: TransportState) -> Stop | None:
        """Return the reason the algorithm gave up for, if it did."""
        return state.stopped

    def current(self, state: TransportState) -> tuple[Array, Array]:
        """Return the scaled potentials."""
        return state.phi, state.gamma

    def snapshot(self, state: TransportState) -> Any:
        """Keep the potentials; arrays are replaced, never written to."""
        return state.eps, state.gamma, state.phi, state.c, state.error, state.certified

    def restore(self, state: TransportState, snapshot: Any) -> TransportState:
        """Return to the potentials of a snapshot."""
        state.eps, state.gamma, state.phi, state.c, state.error = snapshot[:5]
        state.certified = snapshot[5]
        return state

    def finish(self, problem: CoreProblem, state: TransportState) -> dict[str, Any]:
        """Return unscaled potentials at reg, certificates of each target, counts."""
        if state.eps > problem.eps:
            state.move_to(problem, problem.eps)
        if not state.certified:
            state.full_pass(problem)
        f = problem.eps * (state.phi - problem.log_a)
        g = problem.eps * (state.gamma - problem.log_b)
        return {
            "f": f,
            "g": g,
            "dual_value": problem.dual_value(
                state.phi, state.gamma, problem.eps, state.c
            ),
            "marginal_error": problem.errors(state.c),
            "n_passes": state.n_passes,
            "n_newton": state.n_newton,
            "n_cg": state.n_cg,
            "nnz": state.nnz,
        }


def _advance(state: TransportState) -> None:
    """Run the next round; an algorithm that has none left has stalled."""
    if state.rounds is None or next(state.rounds, DONE) is DONE:
        state.stopped = state.stopped or Stop(
            "stalled", f"no more can be gained at marginal error {state.error:.2e}"
        )


def first_eps(reg: float, cost_range: float, factor: float) -> float:
    """Largest ``reg * factor^k`` below the start of the annealing."""
    eps = reg
    while factor > 1 and eps * factor < cost_range * FIRST_EPS:
        eps *= factor
    return eps


def next_eps(eps: float, reg: float, factor: float) -> float:
    """Next level; a last small step is not worth a level of its own."""
    smaller = eps / factor
    return reg if smaller < 1.3 * reg else smaller


def log_ratio(problem: CoreProblem, c: Array) -> Array:
    """Sinkhorn's column correction ``log b - log c``, clipped where c is empty."""
    xp = problem.xp
    floor = xp.full((), 1e-300, dtype=c.dtype, device=device(c))
    return xp.clip(problem.log_b - xp.log(xp.maximum(c, floor)), -50.0, 50.0)


def host(x: Array) -> float:
    """A 0-d array as a float."""
    return float(to_numpy(x))
