# SPDX-License-Identifier: BSD-3-Clause
"""The literal method: one block step an iteration, for any combination of rules."""

import abc
import dataclasses
from typing import Any, NamedTuple

import numpy as np

from numopt import _validation as v
from numopt._array.random import as_generator
from numopt._iterate.loop import Solver
from numopt._iterate.stopping import Stop
from numopt.coordinate._problem.groups import ScalarTerms
from numopt.coordinate._solvers.bcd_composite import (
    Composite,
    Folded,
    Grouped,
    Separable,
)
from numopt.coordinate._solvers.bcd_model import QuadraticModel, SmoothModel
from numopt.coordinate._solvers.bcd_rules import Rule, fixed_blocks
from numopt.coordinate._solvers.bcd_updates import (
    COMPOSITE_UPDATES,
    SMOOTH_UPDATES,
    UPDATES,
    BlockStep,
)
from numopt.coordinate._solvers.partitions import color_partition, tree_partition

__all__ = [
    "PARTITIONS",
    "SELECTIONS",
    "BlockDescent",
    "BlockProblem",
    "Strategy",
    "quadratic_rules",
]

PARTITIONS = ("order", "average", "sorted", "variable", "groups", "red_black", "trees")
SELECTIONS = (
    *("cyclic", "shuffle", "random", "lipschitz"),
    *("GS", "GSL", "GSD", "GSQ", "GSC", "all"),
)
#: Rules and updates that need no bound of the second derivative.
UNBOUNDED_SELECTIONS = ("cyclic", "shuffle", "random", "GS", "all")
UNBOUNDED_UPDATES = ("newton", "line_search")


class BlockProblem(abc.ABC):
    """A moving model, its non-smooth part and how the answer is judged."""

    def __init__(self, model: SmoothModel, composite: Composite) -> None:
        self.model, self.composite = model, composite
        self.everything = np.arange(model.size)

    @abc.abstractmethod
    def objective(self) -> float:
        """Objective at the model's point."""

    @abc.abstractmethod
    def gap(self) -> float:
        """Relative duality gap, NaN where there is none."""

    @abc.abstractmethod
    def violation(self) -> float:
        """Relative violation of the optimality conditions."""

    @abc.abstractmethod
    def fields(self) -> dict[str, Any]:
        """Solution fields of the result."""


class Strategy(NamedTuple):
    """Names of the three choices."""

    partition: str
    selection: str
    update: str

    def resolved(self, problem: BlockProblem) -> "Strategy":
        """Fill in "auto" and refuse combinations that make no sense."""
        grouped = isinstance(problem.composite, Grouped)
        partition, selection, update = self
        if partition == "auto":
            partition = "groups" if grouped else "order"
        if selection == "auto":
            selection = "cyclic"
        if update == "auto":
            update = "prox"
            if problem.composite.smooth:
                update = "matrix" if problem.model.lipschitz is not None else "newton"
            elif problem.model.lipschitz is None:
                update = "line_search"
        strategy = Strategy(partition, selection, update)
        strategy._check(problem, grouped)
        return strategy

    def _check(self, problem: BlockProblem, grouped: bool) -> None:
        """Refuse combinations that do not exist."""
        composite, model = problem.composite, problem.model
        quadratic = isinstance(model, QuadraticModel)
        partition, selection, update = self
        if grouped and partition != "groups" and selection != "all":
            _refuse("partition", "'groups' for a group penalty", partition)
        if partition == "groups" and not grouped:
            _refuse("partition", _words(PARTITIONS[:4]) + " without groups", partition)
        if not composite.smooth and update in SMOOTH_UPDATES:
            _refuse("update", _words(COMPOSITE_UPDATES) + " for this penalty", update)
        if update == "tmp" and not isinstance(composite, Separable):
            _refuse("update", "other than 'tmp' for this penalty", update)
        if update == "prox_newton" and isinstance(composite, Folded):
            _refuse("update", "'prox' or 'line_search' for this penalty", update)
        if update == "message_passing" and not quadratic:
            _refuse("update", "other than 'message_passing' (a graph's) here", update)
        if selection == "GSC" and update != "newton":
            _refuse(
                "selection", "other than 'GSC' unless update is 'newton'", selection
            )
        if selection == "GSQ" and grouped:
            _refuse("selection", "'GS', 'GSL' or 'GSD' for a group penalty", selection)
        if model.lipschitz is None:
            if selection not in UNBOUNDED_SELECTIONS:
                listed = _words(UNBOUNDED_SELECTIONS)
                _refuse("selection", f"{listed} for this datafit", selection)
            if update not in UNBOUNDED_UPDATES:
                listed = _words(UNBOUNDED_UPDATES)
                _refuse("update", f"{listed} for this datafit", update)


def _words(names: tuple[str, ...]) -> str:
    """The choices, quoted, for a message."""
    return "one of " + ", ".join(map(repr, names))


def _refuse(name: str, expected: str, got: str) -> None:
    """Raise for a combination that does not exist."""
    raise ValueError(v.message(name, expected, repr(got)))


@dataclasses.dataclass(slots=True)
class DescentState:
    """The moving parts of a run."""

    step: BlockStep
    taken: int = 0
    block: int = -1
    objective: float = np.inf
    decrease: float = 0.0
    gap: float = np.nan
    residual: float = np.inf
    idle: int = 0


@dataclasses.dataclass(frozen=True, eq=False)
class BlockDescent(Solver[BlockProblem, DescentState]):
    """One block step an iteration; the gap is computed once a sweep."""

    strategy: Strategy
    block_size: int
    rng: np.random.Generator
    name = "bcd_solve"

    def init(self, problem: BlockProblem, warm_start: Any) -> DescentState:
        """Lay out the blocks and measure the start."""
        model, composite = problem.model, problem.composite
        rule = Rule(
            self.strategy.selection,
            model,
            composite,
            self._blocks(problem),
            self.block_size,
            self.rng,
        )
        state = DescentState(BlockStep(model, composite, rule))
        state.objective = problem.objective()
        self._judge(problem, state)
        return state

    def _blocks(self, problem: BlockProblem) -> list[np.ndarray] | None:
        """Fixed blocks of the partition, None for variable ones."""
        partition, model = self.strategy.partition, problem.model
        if partition == "variable" or self.strategy.selection == "all":
            return None
        if partition == "groups":
            assert isinstance(problem.composite, Grouped)
            return problem.composite.blocks()
        if partition in ("trees", "red_black"):
            assert isinstance(model, QuadraticModel)
            cut = tree_partition if partition == "trees" else color_partition
            return cut(model.A)
        return fixed_blocks(partition, model.lipschitz, model.size, self.block_size)

    def step(self, problem: BlockProblem, state: DescentState) -> DescentState:
        """Select a block and update it."""
        rule = state.step.rule
        state.block, b = rule.in_turn() if state.idle else rule.next()
        UPDATES[self.strategy.update](state.step, state.block, b)
        state.taken += 1
        objective = problem.objective()
        state.decrease = state.objective - objective
        state.idle = 0 if state.decrease > 0 else state.idle + 1
        state.objective = objective
        if state.taken % rule.count == 0 or state.idle:
            self._judge(problem, state)
        return state

    def _judge(self, problem: BlockProblem, state: DescentState) -> None:
        """Gap of the point, or its violation where no dual is formed."""
        state.gap = problem.gap()
        known = np.isfinite(state.gap)
        state.residual = max(state.gap, 0.0) if known else problem.violation()

    def measure(self, problem: BlockProblem, state: DescentState) -> dict[str, Any]:
        """One entry a step: objective, gap of the last sweep, block, decrease."""
        used = int(np.count_nonzero(problem.model.w))
        return {
            "objective": state.objective,
            "residual": state.residual,
            "dual_gap": state.gap,
            "n_support": used,
            "n_working_set": problem.model.size,
            "block": state.block,
            "decrease": state.decrease,
        }

    def stop(self, problem: BlockProblem, state: DescentState) -> Stop | None:
        """Stop when two whole sweeps changed nothing."""
        if state.idle > 2 * state.step.rule.count + 10:
            return Stop("stalled", "two sweeps without any decrease: rounding")
        return None

    def current(self, state: DescentState) -> np.ndarray:
        """Return the coefficients."""
        return state.step.model.w

    def finish(self, problem: BlockProblem, state: DescentState) -> dict[str, Any]:
        """Return the solution."""
        return problem.fields()


class QuadraticProblem(BlockProblem):
    """``x^T A x / 2 - c^T x`` within bounds."""

    def __init__(self, A: Any, c: np.ndarray, lower: Any, upper: Any, x0: Any) -> None:
        n = c.size
        self.lower = np.broadcast_to(np.asarray(lower, float), (n,))
        self.upper = np.broadcast_to(np.asarray(upper, float), (n,))
        start = np.zeros(n) if x0 is None else np.asarray(x0, float)
        model = QuadraticModel(A, c, np.clip(start, self.lower, self.upper))
        terms = ScalarTerms(np.zeros(n), np.zeros(n), self.lower, self.upper)
        super().__init__(model, Separable(terms, 1))

    def objective(self) -> float:
        """Objective at the model's point."""
        return self.model.value()

    def gap(self) -> float:
        """No dual is formed: the optimality conditions judge."""
        return float("nan")

    def violation(self) -> float:
        """Projected gradient relative to c."""
        g, x = self.model.full_gradient(), self.model.w
        at_lower, at_upper = x <= self.lower, x >= self.upper
        g = np.where(at_lower, np.minimum(g, 0.0), g)
        g = np.where(at_upper, np.maximum(g, 0.0), g)
        g = np.where(at_lower & at_upper, 0.0, g)
        assert isinstance(self.model, QuadraticModel)
        scale = float(np.linalg.norm(self.model.c))
        return float(np.linalg.norm(g)) / (scale if scale > 0 else 1.0)

    def fields(self) -> dict[str, Any]:
        """Solution fields of the result."""
        return {
            "coef": self.model.w.copy(),
            "intercept": 0.0,
            "objective": self.objective(),
            "dual_gap": float("nan"),
            "support": np.flatnonzero(self.model.w),
        }


def quadratic_rules(
    A: Any,
    c: np.ndarray,
    lower: Any,
    upper: Any,
    strategy: Strategy,
    *,
    block_size: int,
    x0: Any,
    random_state: Any = None,
) -> tuple[BlockDescent, QuadraticProblem]:
    """Return literal rules and the quadratic that they are to minimise."""
    v.check_choice("partition", strategy.partition, ("auto", *PARTITIONS))
    v.check_choice("selection", strategy.selection, ("auto", *SELECTIONS))
    v.check_choice("update", strategy.update, ("auto", *UPDATES))
    problem = QuadraticProblem(A, c, lower, upper, x0)
    rng = as_generator(random_state)
    solver = BlockDescent(strategy.resolved(problem), block_size=block_size, rng=rng)
    return solver, problem
