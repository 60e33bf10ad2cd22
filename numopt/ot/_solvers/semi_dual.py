# SPDX-License-Identifier: BSD-3-Clause
"""Annealed Newton ascent on a semi-dual whose rows are best for every column vector.

What differs between problems is how a point is evaluated, what a Sinkhorn sweep is, and
the Newton direction: three methods of a subclass.
"""

import abc
import dataclasses
import math
from typing import Any, Generic, Protocol, TypeVar

from numopt._iterate.loop import Solver
from numopt._iterate.stopping import Stop
from numopt.ot._solvers.state import LEVEL_TOL, first_eps, host, next_eps
from numopt.typing import Array, Namespace

__all__ = ["MAX_CG", "Point", "SemiDualSolver", "SemiDualState"]

#: Factor of the annealing, and the error below which Newton steps start.
FACTOR, GATE = 4.0, 0.5
SWEEPS, MAX_TRIALS, MAX_CG = 5, 12, 500
#: Longest Newton step, in units of eps.
LONGEST = 20.0
#: Error that is put down to rounding where nothing is gained.
ROUNDING = 1e-13


class _Annealed(Protocol):
    """What the ascent needs to know of a problem."""

    @property
    def xp(self) -> Namespace: ...

    @property
    def eps(self) -> float: ...

    @property
    def cost_range(self) -> float: ...


P = TypeVar("P", bound=_Annealed)


@dataclasses.dataclass
class Point:
    """Unknowns x, the rows that are best for them, and what follows."""

    x: Array
    f: Array
    phi: Array
    c: Array
    gradient: Array
    error: float
    value: float


@dataclasses.dataclass
class SemiDualState:
    """The point at one eps, and counts of work."""

    eps: float
    point: Point
    n_passes: int = 0
    n_newton: int = 0
    n_cg: int = 0
    sweeps: int = 0
    stopped: Stop | None = None


@dataclasses.dataclass(frozen=True)
class SemiDualSolver(Solver[P, SemiDualState], Generic[P]):
    """Levels of decreasing eps; sweeps, then Newton steps at each."""

    name: str

    @abc.abstractmethod
    def start(self, problem: P) -> Array:
        """Return the unknowns to begin with."""

    @abc.abstractmethod
    def evaluate(self, problem: P, eps: float, x: Array) -> Point:
        """Return the point at x, by one pass over the cost."""

    @abc.abstractmethod
    def sweep(self, problem: P, eps: float, point: Point) -> Array:
        """Return the unknowns after a Sinkhorn update."""

    @abc.abstractmethod
    def direction(self, problem: P, eps: float, point: Point) -> tuple[Array, int]:
        """Return a Newton direction and the iterations it took."""

    def feasible(self, problem: P, x: Array) -> Array:
        """Return the nearest unknowns that satisfy their constraints."""
        return x

    def init(self, problem: P, warm_start: Any) -> SemiDualState:
        """Start at a large eps, or at eps from a warm start."""
        eps, x = problem.eps, warm_start
        if x is None:
            x = self.start(problem)
            eps = first_eps(eps, problem.cost_range, FACTOR)
        return SemiDualState(eps, self.evaluate(problem, eps, x), n_passes=1)

    def step(self, problem: P, state: SemiDualState) -> SemiDualState:
        """Go to the next eps, or take a Newton step, or a sweep."""
        last = state.eps <= problem.eps
        if not last and state.point.error < LEVEL_TOL:
            state.eps = next_eps(state.eps, problem.eps, FACTOR)
            state.sweeps = 0
            self._move_to(problem, state, state.point.x)
        elif state.sweeps >= SWEEPS and state.point.error < GATE:
            if not self._newton_step(problem, state):
                state.sweeps = 0
                if state.point.error < ROUNDING:
                    state.stopped = Stop("stalled", "the error is round-off")
        else:
            state.sweeps += 1
            self._move_to(problem, state, self.sweep(problem, state.eps, state.point))
        return state

    def _move_to(self, problem: P, state: SemiDualState, x: Array) -> None:
        """Evaluate at x."""
        state.point = self.evaluate(problem, state.eps, x)
        state.n_passes += 1

    def _newton_step(self, problem: P, state: SemiDualState) -> bool:
        """Inexact Newton step with a line search; False when none was accepted."""
        xp, point, eps = problem.xp, state.point, state.eps
        direction, n_cg = self.direction(problem, eps, point)
        state.n_newton += 1
        state.n_cg += n_cg
        slope = host(xp.sum(point.gradient * direction))
        if not 0.0 < slope < math.inf:  # pragma: no cover - rounding
            return False
        t = min(1.0, LONGEST * eps / max(host(xp.max(xp.abs(direction))), 1e-300))
        noise = 1e-13 * (abs(point.value) + eps)
        for _ in range(MAX_TRIALS):
            x = self.feasible(problem, point.x + t * direction)
            trial = self.evaluate(problem, eps, x)
            state.n_passes += 1
            gain = trial.value - point.value
            if gain > noise:
                accepted = gain >= 1e-4 * host(xp.sum(point.gradient * (x - point.x)))
            else:
                accepted = gain >= -noise and trial.error < 0.9 * point.error
            if accepted:
                state.point = trial
                return True
            t *= 0.25
        return False

    def measure(self, problem: P, state: SemiDualState) -> dict[str, Any]:
        """Return dual value and error; before the last eps the error counts as 2."""
        last = state.eps <= problem.eps
        return {
            "objective": state.point.value,
            "residual": state.point.error if last else max(2.0, state.point.error),
            "n_iter": state.n_passes + state.n_newton,
            "eps": state.eps,
        }

    def current(self, state: SemiDualState) -> tuple[Array, Array]:
        """Return the row potentials and the unknowns."""
        return state.point.f, state.point.x

    def stop(self, problem: P, state: SemiDualState) -> Stop | None:
        """Return the reason the solver gave up for, if it did."""
        return state.stopped

    def finish(self, problem: P, state: SemiDualState) -> dict[str, Any]:
        """Return the point at the last eps; all else follows from it."""
        if state.eps > problem.eps:
            state.eps = problem.eps
            self._move_to(problem, state, state.point.x)
        return {
            "point": state.point,
            "marginal_error": state.point.error,
            "n_newton": state.n_newton,
            "n_cg": state.n_cg,
        }
