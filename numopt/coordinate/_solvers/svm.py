# SPDX-License-Identifier: BSD-3-Clause
"""Linear support vector machines through their dual: a quadratic in a box."""

import dataclasses
from typing import Any

import numpy as np

from numopt import _validation as v
from numopt._array.random import as_generator
from numopt._array.sparse import CSR, as_csr
from numopt._iterate.loop import Solver, iterate
from numopt.coordinate._kernels.svm import svm_epochs
from numopt.coordinate._problem.data import check_sample_weight, sized_design
from numopt.coordinate._problem.datafits import SquaredHinge
from numopt.coordinate._problem.units import Units
from numopt.coordinate._solvers.inner import minimise_gram
from numopt.coordinate._solvers.rescaled import Rescaled
from numopt.coordinate._solvers.results import CoordinateResult

__all__ = ["linear_svc_dual"]

#: Passes of descent in one iteration, before the free variables are solved exactly.
PASSES = 10
#: Largest exact subproblem.
FREE_SIZE = 1500


def linear_svc_dual(
    X: Any,
    y: Any,
    C: float = 1.0,
    loss: str = "squared_hinge",
    *,
    sample_weight: Any = None,
    max_iter: int = 1000,
    tol: float = 1e-6,
    random_state: Any = None,
    callback: Any = None,
    verbose: int = 0,
    warn: bool = True,
) -> CoordinateResult:
    """Minimise ``|w|^2 / 2 + C sum_i s_i loss(y_i, x_i^T w)`` to a relative gap.

    ``loss`` is "hinge", ``max(0, 1 - y z)``, or "squared_hinge", its square. Labels are
    -1, 1 or 0, 1, ``s`` the sample weights; the duality gap is relative to the
    objective at 0.
    """
    C = v.check_real("C", C, low=0, include_low=False)
    loss = v.check_choice("loss", loss, ("hinge", "squared_hinge"))
    tol = v.check_real("tol", tol, low=0, include_low=False)
    max_iter = v.check_int("max_iter", max_iter, low=1)
    X, unit = sized_design("X", X)
    labels = np.asarray(y, dtype=np.float64)
    v.check_shape("y", labels, (X.shape[0],), why="(one a row of X)")
    weights = check_sample_weight(sample_weight, X.shape[0])
    costs = np.full(X.shape[0], C) if weights is None else C * weights
    # With X = d X', w = w' / d the objective is that of C d^2 over d^2.
    costs *= unit * unit
    problem = SvmProblem.build(X, SquaredHinge().encode(labels), costs, loss)
    units = Units(design=unit)
    solver = Rescaled(
        SvmSolver(as_generator(random_state)),
        coef=units.coef,
        intercept=1.0,
        objective=units.coef**2,
    )
    fields = iterate(
        solver,
        problem,
        tol=tol,
        max_iter=max_iter,
        callback=v.check_callback(callback),
        verbose=verbose,
        warn=warn,
    )
    return CoordinateResult(**fields)


@dataclasses.dataclass(frozen=True, eq=False)
class SvmProblem:
    """Rows, labels, the cost of each sample, and the box of the dual.

    The dual is ``min |sum_i a_i y_i x_i|^2 / 2 + sum_i shift_i a_i^2 / 2 - sum_i a_i``
    over ``0 <= a <= upper``.
    """

    X: Any
    rows: CSR
    y: np.ndarray
    squares: np.ndarray
    costs: np.ndarray
    upper: np.ndarray
    shift: np.ndarray

    @classmethod
    def build(cls, X: Any, y: np.ndarray, costs: np.ndarray, loss: str) -> "SvmProblem":
        """Hinge bounds the dual variables by the costs, its square bends them."""
        rows = _rows(X)
        owner = np.repeat(np.arange(X.shape[0]), np.diff(rows.indptr))
        squares = np.bincount(owner, rows.data**2, X.shape[0])
        if loss == "hinge":
            return cls(X, rows, y, squares, costs, costs, np.zeros_like(costs))
        used = costs > 0
        shift = np.where(used, 0.5 / np.where(used, costs, 1.0), 0.0)
        # A sample without weight has no dual variable.
        upper = np.where(used, np.inf, 0.0)
        return cls(X, rows, y, squares, costs, upper, shift)

    @property
    def squared(self) -> bool:
        """Whether the loss is the square of the hinge."""
        return bool(self.shift.any())

    @property
    def unit(self) -> float:
        """Objective at 0."""
        return float(self.costs.sum())


@dataclasses.dataclass
class SvmState:
    """Dual variables and the weights they give."""

    a: np.ndarray
    w: np.ndarray
    primal: float = np.inf
    dual: float = -np.inf


@dataclasses.dataclass(frozen=True, eq=False)
class SvmSolver(Solver[SvmProblem, SvmState]):
    """Dual descent, then the free variables exactly."""

    rng: np.random.Generator
    name = "dual coordinate descent"

    def init(self, problem: SvmProblem, warm_start: Any) -> SvmState:
        """Start at 0."""
        n, p = problem.X.shape
        return SvmState(np.zeros(n), np.zeros(p))

    def step(self, problem: SvmProblem, state: SvmState) -> SvmState:
        """Passes over all rows, then a subproblem on those off their bounds."""
        rows = problem.rows
        svm_epochs(
            rows.data,
            rows.indices,
            rows.indptr,
            problem.y,
            problem.squares,
            problem.shift,
            problem.upper,
            PASSES,
            self.rng.permutation(problem.y.size),
            state.a,
            state.w,
        )
        margin = problem.y * np.asarray(problem.X @ state.w)
        slope = margin + problem.shift * state.a - 1.0
        inside = (state.a > 0) & (state.a < problem.upper)
        inside |= ((state.a == 0) & (slope < 0)) | (
            (state.a == problem.upper) & (slope > 0)
        )
        free = np.flatnonzero(inside)
        if 0 < free.size <= FREE_SIZE:
            _solve_free(problem, state, free, slope[free])
        return state

    def measure(self, problem: SvmProblem, state: SvmState) -> dict[str, Any]:
        """Objective and relative gap."""
        margin = problem.y * np.asarray(problem.X @ state.w)
        short = np.maximum(0.0, 1.0 - margin)
        squares = float(state.w @ state.w)
        losses = short**2 if problem.squared else short
        state.primal = 0.5 * squares + float(problem.costs @ losses)
        dual = state.a.sum() - 0.5 * squares - 0.5 * problem.shift @ state.a**2
        state.dual = max(state.dual, float(dual))
        gap = (state.primal - state.dual) / problem.unit
        return {
            "objective": state.primal,
            "residual": gap,
            "dual_gap": gap,
            "n_working_set": problem.y.size,
            "n_support": int(np.count_nonzero(state.a)),
        }

    def finish(self, problem: SvmProblem, state: SvmState) -> dict[str, Any]:
        """Weights and certificate."""
        return {
            "coef": state.w,
            "intercept": 0.0,
            "objective": state.primal,
            "dual_gap": (state.primal - state.dual) / problem.unit,
            "support": np.flatnonzero(state.w),
        }

    def current(self, state: SvmState) -> Any:
        """The weights."""
        return state.w


def _solve_free(
    problem: SvmProblem, state: SvmState, free: np.ndarray, slope: np.ndarray
) -> None:
    """Minimise exactly over the free dual variables, the others fixed."""
    block = problem.X[free]
    block = block if isinstance(block, np.ndarray) else block.toarray()
    block = np.asarray(block, dtype=np.float64) * problem.y[free, None]
    m = free.size
    G = block @ block.T
    G[np.arange(m), np.arange(m)] += problem.shift[free]
    a = state.a[free]
    c = G @ a - slope
    minimise_gram(
        G,
        a,
        slope.copy(),
        c,
        np.zeros(m),
        np.zeros(m),
        problem.upper[free],
        squares=0.0,
        target=1e-14 * problem.unit,
        max_epochs=50,
    )
    state.a[free] = a
    state.w = np.asarray(problem.X.T @ (problem.y * state.a), dtype=np.float64)


def _rows(X: Any) -> CSR:
    """The design as plain CSR, whatever its form."""
    if not isinstance(X, np.ndarray):
        return as_csr(X)
    n, p = X.shape
    return CSR(
        np.ascontiguousarray(X, dtype=np.float64).ravel(),
        np.tile(np.arange(p, dtype=np.int32), n),
        np.arange(0, n * p + 1, p, dtype=np.int64).astype(np.int32),
        (n, p),
    )
