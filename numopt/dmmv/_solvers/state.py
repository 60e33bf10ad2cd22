# SPDX-License-Identifier: BSD-3-Clause
"""The search: incumbent, elite points, bounds, and how rounds are driven and stopped.

A method is a generator ``rounds(search, options)`` that yields after every round, when
the incumbent has been offered what the round found.
"""

import dataclasses
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from numopt._iterate.loop import Solver
from numopt._iterate.stopping import Stop
from numopt.dmmv._problem.bounds import attainable_bound
from numopt.dmmv._problem.core import Core, make_core
from numopt.dmmv._problem.data import MinMaxProblem
from numopt.dmmv._solvers.lattice import Basis, unit_basis
from numopt.dmmv._solvers.relaxation import Relaxation

__all__ = ["Options", "Rounds", "Search", "SearchSolver", "relative_gap"]

DONE = object()
ELITE = 8
#: Bounds are compared to violations that carry rounding errors of this size.
ROUNDING = 1e-12


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the search; see ``minimize_max_violation``."""

    lattice: Any
    beam_width: int | None
    pairs: bool
    exponent: int
    bound: str
    tol: float
    time_limit: float | None
    seed: int


def relative_gap(violation: float, bound: float) -> float:
    """Return (violation - bound) / violation, 0 at violation 0."""
    return max(violation - bound, 0.0) / violation if violation > 0 else 0.0


@dataclasses.dataclass
class Search:
    """Incumbent ``k`` (core indices), its violation, elite points, bound and bases.

    ``chains`` holds the row weights of the K-best searches.
    """

    core: Core
    k: np.ndarray
    violation: float
    method: str
    started: float
    deadline: float
    lower_bound: float = 0.0
    bound_kind: str = "trivial"
    elite: list[tuple[float, np.ndarray]] = dataclasses.field(default_factory=list)
    basis: Basis | None = None
    chains: dict[int, np.ndarray] = dataclasses.field(default_factory=dict)
    relaxation: Relaxation | None = None
    stopped: Stop | None = None
    rounds: Iterator[None] | None = None

    @property
    def problem(self) -> MinMaxProblem:
        """The problem in the caller's units."""
        return self.core.problem

    @property
    def unit(self) -> Basis:
        """Unit steps."""
        return unit_basis(self.core)

    @property
    def remaining(self) -> float | None:
        """Seconds left, None without a limit."""
        if self.deadline == np.inf:
            return None
        return self.deadline - time.perf_counter()

    @property
    def out_of_time(self) -> bool:
        """Whether the time limit is over."""
        return time.perf_counter() >= self.deadline

    def evaluate(self, k: np.ndarray) -> float:
        """Return the violation in the caller's units, recomputed from x."""
        return self.problem.violation(self.core.to_x(k))

    def offer(self, k: np.ndarray, method: str) -> bool:
        """Take a point as the incumbent when it is better; remember it if good."""
        violation = self.evaluate(k)
        known = any(np.array_equal(k, other) for _, other in self.elite)
        if not known:
            self.elite.append((violation, k.copy()))
            self.elite.sort(key=lambda entry: entry[0])
            del self.elite[ELITE:]
        if violation < self.violation:
            self.k, self.violation, self.method = k.copy(), violation, method
            return True
        return False

    def raise_bound(self, bound: float, kind: str) -> None:
        """Use a proven bound in the caller's units, sharpened by integrality."""
        bound = max(bound, self.core.floor)
        sharper = attainable_bound(self.problem, bound)
        if sharper > bound * (1 + 1e-9):
            bound, kind = sharper, "integrality"
        if bound > self.lower_bound:
            self.lower_bound, self.bound_kind = bound, kind

    @property
    def certified_bound(self) -> float:
        """The lower bound, at most the violation (they meet up to rounding)."""
        if self.lower_bound >= self.violation * (1 - ROUNDING):
            return self.violation
        return self.lower_bound

    @property
    def gap(self) -> float:
        """Relative gap."""
        return relative_gap(self.violation, self.certified_bound)


Rounds = Callable[[Search, Options], Iterator[None]]


@dataclasses.dataclass(frozen=True)
class SearchSolver(Solver[MinMaxProblem, Search]):
    """Run a method round by round from the rounded least squares, or from x0.

    The final state is appended to ``kept`` for callers that want the relaxation too.
    """

    rounds: Rounds
    options: Options
    name: str
    kept: list[Search] | None = None
    interruptible = True

    def init(self, problem: MinMaxProblem, warm_start: Any) -> Search:
        """Start from the centre of the core, and from level indices if given."""
        started = time.perf_counter()
        limit = self.options.time_limit
        deadline = np.inf if limit is None else started + limit
        core = make_core(problem)
        k = np.zeros(core.n, np.int64)
        search = Search(core, k, np.inf, "round", started, deadline)
        search.offer(k, "round")
        if warm_start is not None:
            search.offer(core.from_indices(warm_start), "x0")
        if core.n == 0 or core.m == 0:
            search.lower_bound, search.bound_kind = search.violation, "exhaustive"
        search.raise_bound(search.lower_bound, search.bound_kind)
        search.rounds = self.rounds(search, self.options)
        return search

    def step(self, problem: MinMaxProblem, state: Search) -> Search:
        """Run one round."""
        if state.rounds is None or next(state.rounds, DONE) is DONE:
            state.stopped = state.stopped or Stop(
                "stalled", f"the method is complete; gap {state.gap:.2e} remains"
            )
        return state

    def measure(self, problem: MinMaxProblem, state: Search) -> dict[str, Any]:
        """Return violation, bound and gap."""
        return {
            "objective": state.violation,
            "residual": state.gap,
            "violation": state.violation,
            "lower_bound": state.certified_bound,
            "method": state.method,
        }

    def current(self, state: Search) -> np.ndarray:
        """Return x."""
        return state.core.to_x(state.k)

    def stop(self, problem: MinMaxProblem, state: Search) -> Stop | None:
        """Return the end of the method, or of the time."""
        if state.stopped is None and state.out_of_time:
            state.stopped = Stop(
                "max_iter",
                f"time_limit={self.options.time_limit:g} s reached; gap "
                f"{state.gap:.2e}",
            )
        return state.stopped

    def finish(self, problem: MinMaxProblem, state: Search) -> dict[str, Any]:
        """Return the fields of MinMaxResult."""
        if self.kept is not None:
            self.kept.append(state)
        x = state.core.to_x(state.k)
        residual = problem.distances(x)
        worst = problem.weights * np.abs(residual)
        active = np.flatnonzero(worst >= state.violation * (1 - 1e-9))
        if problem.levels.integral:
            x = np.rint(x).astype(np.int64)
        return {
            "x": x,
            "violation": state.violation,
            "lower_bound": state.certified_bound,
            "gap": state.gap,
            "residual": residual,
            "active": active if state.violation > 0 else active[:0],
            "bound_kind": state.bound_kind,
            "method": state.method,
        }
