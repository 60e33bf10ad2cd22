# SPDX-License-Identifier: BSD-3-Clause
"""What all outer algorithms share: options, state, measures, reasons to stop."""

import abc
import dataclasses
from typing import Any

from numopt._array.namespace import array_namespace
from numopt._iterate.loop import Solver
from numopt._iterate.stopping import Stop
from numopt.bilevel._problem.arrays import max_abs, norm
from numopt.bilevel._problem.protocols import BilevelProblem
from numopt.bilevel._solvers.oracle import Oracle
from numopt.bilevel._solvers.point import Evaluator, Point
from numopt.typing import Array

__all__ = ["OuterOptions", "OuterSolver", "OuterState", "Start"]

#: A stalled line search still counts as converged below this multiple of ``gtol``.
NEARLY = 10.0


@dataclasses.dataclass(frozen=True)
class OuterOptions:
    """Validated options of ``maid`` and ``hoag``, by the names of their arguments."""

    solver: str = "auto"
    accuracy: str = "certified"
    eps0: float | None = None
    delta0: float | None = None
    step0: float | None = None
    tau: float = 0.01
    gtol: float = 1e-3
    ftol: float = 1e-6
    max_work: int | None = None
    max_step: float = 4.0
    memory: int = 10
    rho: float = 0.5
    rho_up: float = 10 / 9
    nu: float = 0.5
    nu_up: float = 1.25
    lam: float = 1e-4
    eta: float = 1e-2
    max_bt: int = 10
    f_target: float | None = None


@dataclasses.dataclass(frozen=True)
class Start:
    """Where an outer algorithm starts."""

    theta: Array
    x: Array | None


@dataclasses.dataclass
class OuterState:
    """Current point, wanted accuracies, and what the run has learned."""

    point: Point
    eps: float
    delta: float
    step: float
    z_scale: float
    low: Array | None
    high: Array | None
    tau: float
    #: Changes of the hypergradient per adjoint residual and per distance of x, as seen.
    per_residual: float = float("inf")
    per_distance: float = float("inf")
    stretch: float = 1.0
    reach: float = 1.0
    is_capped: bool = False
    upper_end: float = float("inf")
    n_flat: int = 0
    n_failures: int = 0
    n_collapses: int = 0
    stop: Stop | None = None
    pairs: list[tuple[Array, Array]] = dataclasses.field(default_factory=list)
    memory: Any = None


@dataclasses.dataclass
class OuterSolver(Solver[BilevelProblem, OuterState], abc.ABC):
    """One outer algorithm on a fresh oracle; subclasses give ``step``."""

    options: OuterOptions
    evaluator: Evaluator

    name = "maid"

    @property
    def oracle(self) -> Oracle:
        """The counted problem."""
        return self.evaluator.oracle

    # -------------------------------------------------------------------- start
    def init(self, problem: BilevelProblem, warm_start: Start) -> OuterState:
        """Evaluate at the start with the first accuracies."""
        theta = warm_start.theta
        x = self.oracle.start(warm_start.x, theta)
        low, high = problem.box(theta)
        eps, delta = self._first_accuracies(x, theta)
        point = self.evaluator.evaluate(theta, x, None, eps, delta)
        z = self.evaluator.gradient(point)
        while max_abs(z) == 0.0 and norm(point.gx) > 0 and eps > self._floor(point):
            # Nothing seen of theta yet: x or q may be at a start where J^T q vanishes.
            eps, delta = 0.1 * eps, 0.1 * min(delta, norm(point.gx))
            point = self.evaluator.refine(point, eps)
            self.evaluator.solve_adjoint(point, delta)
            z = self.evaluator.gradient(point)
        state = OuterState(point, eps, delta, 0.0, 1.0, low, high, self.options.tau)
        state.z_scale = max(1.0, max_abs(z))
        self.settle(state)
        state.z_scale = max(1.0, max_abs(self.evaluator.gradient(state.point)))
        state.upper_end = state.point.value + state.point.bound
        return state

    def _first_accuracies(self, x: Array, theta: Array) -> tuple[float, float]:
        """eps0 and delta0; by default 5 % of what the start leaves to do."""
        eps, delta = self.options.eps0, self.options.delta0
        if eps is None:
            _, r = self.oracle.gradient(x, theta)
            eps = 0.05 * norm(r) / self.oracle.mu(theta)
            eps = max(eps, self.oracle.floor(x, theta))
        if delta is None:
            if self.options.eps0 is not None:
                delta = eps
            else:
                _, gx, _ = self.oracle.objective(x, theta)
                delta = 0.05 * norm(gx)
        return eps, delta

    def _floor(self, point: Point) -> float:
        return max(self.oracle.floor(point.x, point.theta), 1e-13)

    def settle(self, state: OuterState) -> None:
        """Make the first point as accurate as the algorithm wants it."""

    # ------------------------------------------------------------------ measure
    def projected(self, state: OuterState, theta: Array, z: Array) -> Array:
        """Gradient without the components that push out of the box."""
        if state.low is None:
            return z
        xp = array_namespace(theta)
        outward = ((theta <= state.low) & (z > 0)) | ((theta >= state.high) & (z < 0))
        return xp.where(outward, xp.zeros_like(z), z)

    def clip(self, state: OuterState, theta: Array) -> Array:
        """Nearest point of the box."""
        if state.low is None:
            return theta
        xp = array_namespace(theta)
        return xp.minimum(xp.maximum(theta, state.low), state.high)

    def measure(self, problem: BilevelProblem, state: OuterState) -> dict[str, Any]:
        """One row of the history."""
        point = state.point
        z = self.evaluator.gradient(point)
        projected = self.projected(state, point.theta, z)
        return {
            "objective": point.value,
            "residual": max_abs(projected) / state.z_scale,
            "value": point.value,
            "value_bound": point.bound,
            "eps": point.e,
            "delta": point.s_norm,
            "step": state.step,
            "gradient_norm": norm(z),
            "work": self.oracle.work,
        }

    def current(self, state: OuterState) -> tuple[Array, Array]:
        """Theta and x, for the callback."""
        return state.point.theta, state.point.x

    def stop(self, problem: BilevelProblem, state: OuterState) -> Stop | None:
        """Target, work, flat values and failed line searches."""
        options = self.options
        if self.reached(state):
            return Stop("converged", f"value + bound <= f_target {options.f_target:g}")
        if state.stop is not None:
            return state.stop
        if state.n_flat >= 2:
            return Stop(
                "converged",
                f"relative decrease <= ftol {options.ftol:.1e} twice running",
            )
        if options.max_work is not None and self.oracle.work >= options.max_work:
            return Stop(
                "max_iter",
                f"{self.oracle.work} lower gradients and Hessian products reach "
                f"max_work={options.max_work}",
            )
        return None

    def reached(self, state: OuterState) -> bool:
        """Whether the value, with its bound, is at most the target."""
        target = self.options.f_target
        return target is not None and state.point.value + state.point.bound <= target

    def accept(self, state: OuterState, point: Point) -> None:
        """Move to a point; count steps that hardly decrease the certified value."""
        upper_end = point.value + point.bound
        gain = state.upper_end - upper_end
        flat = gain <= self.options.ftol * max(abs(state.upper_end), 1e-300)
        state.n_flat = state.n_flat + 1 if flat else 0
        state.point, state.upper_end = point, upper_end

    def collapse(self, state: OuterState, *, precision: bool) -> None:
        """A line search found no step: try again from scratch, or stop."""
        state.n_collapses += 1
        z = self.evaluator.gradient(state.point)
        residual = max_abs(self.projected(state, state.point.theta, z)) / state.z_scale
        if residual <= NEARLY * self.options.gtol and (
            precision or state.n_collapses >= 2
        ):
            state.stop = Stop(
                "converged",
                f"no further decrease can be certified; projected gradient "
                f"{residual:.1e} relative to the start",
            )
        elif precision:
            state.stop = Stop(
                "stalled",
                "the accuracy that the line search needs is beyond rounding "
                "(precision); use float64, or larger lower bounds on theta",
            )
        elif state.n_collapses >= 3:
            state.stop = Stop(
                "stalled",
                "three line searches in a row found no decrease; a derivative may be "
                "wrong: run check_problem(problem, theta)",
            )

    def finish(self, problem: BilevelProblem, state: OuterState) -> dict[str, Any]:
        """The fields of the result."""
        point, oracle = state.point, self.oracle
        xp = array_namespace(point.x)
        return {
            "theta": array_namespace(point.theta).asarray(point.theta, copy=True),
            "x": xp.asarray(point.x, copy=True),
            "value": point.value,
            "value_bound": point.bound,
            "hypergradient": self.evaluator.gradient(point),
            "hypergradient_bound": self.evaluator.gradient_error(point),
            "certified": self.options.accuracy == "certified"
            and oracle.knows_variation,
            "n_lower_grad": oracle.n_grad,
            "n_hvp": oracle.n_hvp,
            "n_lower_solves": oracle.n_solves,
            "n_line_search_failures": state.n_failures,
        }
