# SPDX-License-Identifier: BSD-3-Clause
"""The driver of all regularisation paths: one strength an iteration, warm starts."""

import dataclasses
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from numopt import _validation as v
from numopt._array.namespace import numpy_namespace, to_numpy
from numopt._iterate.loop import Solver, iterate
from numopt._iterate.stopping import check_stop, warn_not_converged
from numopt.coordinate._kernels.descent import find_reaching
from numopt.coordinate._problem.data import LinearData
from numopt.coordinate._problem.datafits import Datafit, Quadratic
from numopt.coordinate._problem.null import NullModel
from numopt.coordinate._problem.penalties import Penalty
from numopt.coordinate._solvers.audit import critical_alpha, free_columns
from numopt.coordinate._solvers.gram_path import GramPath, suits_gram
from numopt.coordinate._solvers.group_working_set import (
    GroupProblem,
    GroupState,
    GroupWorkingSet,
)
from numopt.coordinate._solvers.newton_state import ModelProblem, ModelState
from numopt.coordinate._solvers.prox_newton import ProxNewtonWorkingSet
from numopt.coordinate._solvers.quadratic import (
    QuadraticProblem,
    QuadraticState,
    QuadraticWorkingSet,
)
from numopt.coordinate._solvers.rescaled import rescaled
from numopt.coordinate._solvers.results import PathResult
from numopt.coordinate._solvers.working_set import effective_tol
from numopt.typing import Callback

__all__ = ["MakePenalty", "solve_path"]

MakePenalty = Callable[[float], Penalty]
#: Lowest share of its threshold from which the strong rule takes a unit.
SLIGHT = 0.1
#: What a strength leaves in the history, besides its number and time.
MEASURES = ("objective", "dual_gap", "n_working_set", "n_support")


def solve_path(
    data: LinearData,
    datafit: Datafit,
    make_penalty: MakePenalty,
    fit_intercept: bool,
    *,
    alphas: Any = None,
    eps: float = 1e-3,
    n_alphas: int = 100,
    max_iter: int = 1000,
    tol: float = 1e-6,
    callback: Callback | None = None,
    verbose: int = 0,
    warn: bool = True,
) -> PathResult:
    """Solve for every strength of a grid; validated data.

    ``make_penalty`` gives a penalty that is proportional to its strength.
    """
    tol = effective_tol(data, v.check_real("tol", tol, low=0, include_low=False))
    units = data.units
    datafit, unit = units.datafit(datafit), units.penalty(make_penalty(1.0))
    fit_intercept = v.check_flag("fit_intercept", fit_intercept)
    columns = free_columns(unit, data.shape[1])
    null = NullModel.fit(data, datafit, fit_intercept, columns)
    grid, start = check_alphas(alphas, eps, n_alphas, data, datafit, unit, null)
    problem = PathProblem(
        data=data,
        datafit=datafit,
        make_penalty=lambda alpha: units.penalty(make_penalty(alpha)),
        fit_intercept=fit_intercept,
        null=null,
        alphas=grid,
        start=start,
        tol=tol,
        max_passes=v.check_int("max_iter", max_iter, low=1),
    )
    fields = iterate(
        rescaled(PathSolver(), units),
        problem,
        tol=tol,
        max_iter=problem.alphas.size,
        callback=v.check_callback(callback),
        verbose=v.check_int("verbose", verbose, low=0),
        warn=False,
    )
    rows, coefs = fields.pop("rows"), fields.pop("coefs")
    if fields["status"] == "max_iter":
        fields["message"] = shortfall(problem, rows)
        if warn:
            warn_not_converged(PathSolver.name, fields["message"])
    # The first check is the null model, which belongs to no strength.
    history = {key: values[1:] for key, values in fields["history"].items()}
    history["n_iter"] = np.array([row["passes"] for row in rows], np.int64)
    history["dual_gap"] = np.array([row["dual_gap"] for row in rows])
    history["residual"] = history["dual_gap"]
    outputs = null.theta.shape[1:]
    intercepts = np.reshape([row["intercept"] for row in rows], (len(rows), *outputs))
    intercepts = units.target * intercepts
    fields |= {"n_iter": int(history["n_iter"].sum()), "history": history}
    return PathResult(
        alphas=problem.alphas[: len(rows)],
        coefs=data.like_design(np.moveaxis(coefs, 0, -1)),
        intercepts=data.like_design(np.moveaxis(intercepts, 0, -1)),
        dual_gaps=history["dual_gap"],
        n_iters=history["n_iter"],
        **fields,
    )


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class PathProblem:
    """A model for every strength of a decreasing grid.

    ``start`` is the product of the design with the residual of the null model, where
    it is known.
    """

    data: LinearData
    datafit: Datafit
    make_penalty: MakePenalty
    fit_intercept: bool
    null: NullModel
    alphas: np.ndarray
    start: np.ndarray | None
    tol: float
    max_passes: int


class Worker(Protocol):
    """What solves one strength after the other."""

    def solve(self, alpha: float) -> dict[str, Any]:
        """Return coefficients, support, certificate and sizes at one strength."""

    def close(self, rows: list[dict[str, Any]], coefs: np.ndarray) -> None:
        """Verify the rows and their coefficients when all strengths are done."""


@dataclasses.dataclass
class PathState:
    """The strengths solved so far.

    Row k of ``coefs`` belongs to strength k: they are the slowest axis in memory.
    """

    worker: Worker
    rows: list[dict[str, Any]]
    coefs: np.ndarray


@dataclasses.dataclass(frozen=True)
class PathSolver(Solver[PathProblem, PathState]):
    """Solve the next strength, starting at the last one."""

    name = "path"

    def init(self, problem: PathProblem, warm_start: Any) -> PathState:
        """Nothing is solved yet."""
        shape = problem.alphas.size, *problem.null.theta.shape[1:]
        coefs = np.zeros((*shape, problem.data.shape[1]))
        return PathState(choose_worker(problem), [], coefs)

    def step(self, problem: PathProblem, state: PathState) -> PathState:
        """Solve for the next strength."""
        k = len(state.rows)
        row = state.worker.solve(float(problem.alphas[k]))
        coef, used = row.pop("coef"), row.pop("support")
        # Pages of zeros that nobody touches cost nothing.
        state.coefs[k][..., used] = coef[..., used]
        state.rows.append(row)
        if len(state.rows) == problem.alphas.size:
            state.worker.close(state.rows, state.coefs)
        return state

    def measure(self, problem: PathProblem, state: PathState) -> dict[str, Any]:
        """Measures of the last strength; the residual is the worst gap of a path."""
        null = (problem.null.scale, np.nan, 0, 0)
        last = state.rows[-1] if state.rows else dict(zip(MEASURES, null, strict=True))
        done = len(state.rows) == problem.alphas.size
        return {
            "residual": worst_gap(state.rows) if done else np.inf,
            **{key: last[key] for key in MEASURES},
        }

    def current(self, state: PathState) -> Any:
        """Coefficients at the last strength."""
        return state.coefs[len(state.rows) - 1] if state.rows else None

    def finish(self, problem: PathProblem, state: PathState) -> dict[str, Any]:
        """The rows and coefficients of all strengths."""
        return {"rows": state.rows, "coefs": state.coefs[: len(state.rows)]}


def worst_gap(rows: list[dict[str, Any]]) -> float:
    """Largest relative gap of the strengths."""
    return float(np.max([row["dual_gap"] for row in rows]))


def shortfall(problem: PathProblem, rows: list[dict[str, Any]]) -> str:
    """What to say of a path with gaps above the tolerance."""
    late = sum(not row["dual_gap"] <= problem.tol for row in rows)
    return (
        f"{late} of {len(rows)} strengths ended above tol {problem.tol:.2e} (largest "
        f"relative gap {worst_gap(rows):.2e}); increase `max_iter` or `tol`"
    )


def choose_worker(problem: PathProblem) -> Worker:
    """One Gram matrix for all strengths where it is cheap, else working sets."""
    working_sets = WorkingSetPath(problem)
    unit = working_sets.unit
    squares = isinstance(problem.datafit, Quadratic)
    if (
        not squares
        or unit is None
        or not suits_gram(problem.data, unit, problem.alphas)
    ):
        return working_sets
    first = working_sets.squares(float(problem.alphas[0]))
    return GramPath(first, unit, working_sets.solve_from)


class WorkingSetPath:
    """Working sets that keep their state, their Gram matrix included, along a path."""

    def __init__(self, problem: PathProblem) -> None:
        self.problem = problem
        #: The penalty of strength 1, where it is separable.
        self.unit = problem.make_penalty(1.0).terms(problem.data.shape[1])
        self.first: QuadraticProblem | None = None
        self.grouped: GroupProblem | None = None
        self.start = problem.start
        #: No slack of any product: the strong rule takes all as they are.
        self.exact = np.zeros(problem.data.shape[1])
        self.state: Any = None
        self.alpha = np.inf

    def solve(self, alpha: float) -> dict[str, Any]:
        """Solve from the state of the last strength."""
        problem, solver = self._build(alpha)
        if isinstance(self.state, QuadraticState) and isinstance(
            problem, QuadraticProblem
        ):
            self._strong_rule(problem, alpha)
        elif isinstance(self.state, ModelState | GroupState) and alpha > 0:
            # The strong rule on slopes relative to the new thresholds.
            self.state.entry = max(2.0 - self.alpha / alpha, SLIGHT)
        self.alpha = alpha
        # Without a penalty all groups are free, which no earlier state knows.
        fresh = alpha == 0 and isinstance(problem, GroupProblem)
        return self._passes(problem, solver, None if fresh else self.state)

    def solve_from(self, alpha: float, coef: np.ndarray) -> dict[str, Any]:
        """Solve from coefficients."""
        problem, solver = self._build(alpha)
        return self._passes(problem, solver, coef)

    def close(self, rows: list[dict[str, Any]], coefs: np.ndarray) -> None:
        """Nothing to verify: every pass certifies its gap."""

    def _passes(self, problem: Any, solver: Any, warm_start: Any) -> dict[str, Any]:
        """Outer passes until the gap is reached, or cannot be."""
        state = solver.init(problem, warm_start)
        passes, tol, limit = 0, self.problem.tol, self.problem.max_passes
        while (
            check_stop(state.gap, passes, tol=tol, max_iter=limit) is None
            and solver.stop(problem, state) is None
        ):
            state = solver.step(problem, state)
            passes += 1
        self.state = state
        row = solver.measure(problem, state) | solver.finish(problem, state)
        return row | {"passes": passes}

    def squares(self, alpha: float) -> QuadraticProblem:
        """Squares with a separable penalty; targets are centred once."""
        path = self.problem
        if self.first is not None and self.unit is not None and alpha > 0:
            return dataclasses.replace(self.first, terms=self.unit.times(alpha))
        terms = path.make_penalty(alpha).terms(path.data.shape[1])
        assert terms is not None
        problem = QuadraticProblem.build(
            path.data, terms, path.null, path.fit_intercept, path.tol, self.start
        )
        self.first, self.start = problem, problem.start
        return problem

    def _groups(self, alpha: float) -> GroupProblem:
        """Squares with a group penalty; groups are read once."""
        path = self.problem
        if self.grouped is None:
            unit = path.make_penalty(1.0)
            self.grouped = GroupProblem.build(
                path.data, unit, path.null, path.fit_intercept, path.tol, self.start
            )
        groups, null = self.grouped.groups.times(alpha), path.null
        if alpha == 0:
            columns = free_columns(path.make_penalty(0.0), path.data.shape[1])
            null = NullModel.fit(path.data, path.datafit, path.fit_intercept, columns)
        return dataclasses.replace(self.grouped, groups=groups, null=null)

    def _build(self, alpha: float) -> tuple[Any, Any]:
        """Problem and solver of one strength."""
        path = self.problem
        if self.unit is not None and isinstance(path.datafit, Quadratic):
            return self.squares(alpha), QuadraticWorkingSet()
        if isinstance(path.datafit, Quadratic):
            return self._groups(alpha), GroupWorkingSet()
        penalty = path.make_penalty(alpha)
        terms = penalty.terms(path.data.shape[1])
        assert terms is not None
        model = ModelProblem(
            data=path.data,
            datafit=path.datafit,
            penalty=penalty,
            terms=terms,
            null=path.null,
            fit_intercept=path.fit_intercept,
            tol=path.tol,
        )
        return model, ProxNewtonWorkingSet()

    def _strong_rule(self, problem: QuadraticProblem, alpha: float) -> None:
        """Add what the strong rule expects at the new strength."""
        if alpha == 0:
            return
        rho, cache = self.state.correlation, self.state.cache
        # Slopes of 2 new - old thresholds: coordinates in use, at least 0, are near.
        reach = max(2.0 - self.alpha / alpha, 0.0)
        run = find_reaching.for_namespace(numpy_namespace)
        limits = problem.limits
        found = run(rho, self.exact, limits, cache.member, reach)
        found = found[~cache.member[found] & np.isfinite(limits[found])]
        one_sided = problem.terms.lower[found] >= 0
        found = found[np.where(one_sided, rho[found], np.abs(rho[found])) > 0]
        limit = max(64, int(np.count_nonzero(cache.w[: cache.size])))
        if found.size > limit:
            strongest = np.argpartition(-np.abs(rho[found]), limit)[:limit]
            found = found[strongest]
        if found.size:
            cache.extend(found, problem.start[found])


def check_alphas(
    alphas: Any,
    eps: float,
    n_alphas: int,
    data: LinearData,
    datafit: Datafit,
    unit: Penalty,
    null: NullModel,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the grid, decreasing, and the products it was made of.

    They are those of the design with the residual of the null model; None where that
    has coefficients or where the grid was given.
    """
    if alphas is not None:
        grid = np.asarray(to_numpy(v.float_arrays(alphas=alphas)[1][0]), np.float64)
        v.check_ndim("alphas", grid, 1)
        with np.errstate(over="ignore"):
            v.check_values("alphas", grid / data.units.slope, nonnegative=True)
        return np.sort(grid)[::-1], None
    eps = v.check_real("eps", eps, low=0, high=1, include_low=False)
    n_alphas = v.check_int("n_alphas", n_alphas, low=1)
    if getattr(unit, "l1_ratio", 1.0) == 0:
        raise ValueError(
            "`alphas` must be given for `l1_ratio` = 0, got None: no strength sets all "
            "coefficients to zero"
        )
    theta = null.feasible(null.theta, datafit)
    products = data.correlate(data.weighted(theta))
    top = critical_alpha(unit, products / data.total)
    if top <= 0:
        top = np.finfo(np.float64).tiny ** 0.5
    least = max(top * eps, np.finfo(np.float64).tiny)
    grid = np.array([top]) if n_alphas == 1 else np.geomspace(top, least, n_alphas)
    return grid, None if null.columns.size else products
