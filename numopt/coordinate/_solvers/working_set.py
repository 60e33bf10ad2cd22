# SPDX-License-Identifier: BSD-3-Clause
"""The default solver: picks the working-set method for a datafit and a penalty."""

import warnings
from typing import Any

import numpy as np

from numopt import _validation as v
from numopt._array.namespace import to_numpy
from numopt._iterate.loop import Solver, iterate
from numopt.coordinate._problem.data import LinearData
from numopt.coordinate._problem.datafits import Datafit, Quadratic
from numopt.coordinate._problem.null import NullModel
from numopt.coordinate._problem.penalties import L1, FoldedPenalty, Penalty
from numopt.coordinate._solvers.audit import free_columns
from numopt.coordinate._solvers.columns import GramCache
from numopt.coordinate._solvers.folded import FoldedProblem, FoldedSolver
from numopt.coordinate._solvers.group_working_set import GroupProblem, GroupWorkingSet
from numopt.coordinate._solvers.newton_state import ModelProblem
from numopt.coordinate._solvers.prox_newton import ProxNewtonWorkingSet
from numopt.coordinate._solvers.proximal_gradient import (
    ProximalGradient,
    ProximalProblem,
)
from numopt.coordinate._solvers.quadratic import (
    MOST_COLUMNS,
    QuadraticProblem,
    QuadraticWorkingSet,
)
from numopt.coordinate._solvers.rescaled import rescaled
from numopt.coordinate._solvers.results import CoordinateResult
from numopt.coordinate._solvers.separation import SEPARATED, is_separated
from numopt.coordinate._solvers.smooth_newton import SmoothNewton, is_smooth

__all__ = ["check_start", "solve_auto", "solve_data", "start_intercept"]

#: Eigenvalues of a correlation matrix below this share of its trace are rounding.
DEPENDENT = 1e-14


def solve_auto(
    X: Any,
    y: Any,
    datafit: Datafit,
    penalty: Penalty,
    *,
    sample_weight: Any = None,
    fit_intercept: bool = False,
    coef_init: Any = None,
    intercept_init: Any = None,
    max_iter: int = 1000,
    tol: float = 1e-6,
    callback: Any = None,
    verbose: int = 0,
    warn: bool = True,
) -> CoordinateResult:
    """Minimise to a relative duality gap of ``tol``; ``max_iter`` counts passes."""
    tol = v.check_real("tol", tol, low=0, include_low=False)
    max_iter = v.check_int("max_iter", max_iter, low=1)
    fit_intercept = v.check_flag("fit_intercept", fit_intercept)
    callback = v.check_callback(callback)
    data = LinearData.from_arrays(X, y, datafit, sample_weight)
    start = check_start("coef_init", coef_init, data, datafit)
    intercept_init = start_intercept(intercept_init, data, datafit)
    options = {
        "max_iter": max_iter,
        "tol": tol,
        "callback": callback,
        "verbose": verbose,
        "warn": warn,
    }
    return solve_data(
        data, datafit, penalty, fit_intercept, start, intercept_init, options
    )


def solve_data(
    data: LinearData,
    datafit: Datafit,
    penalty: Penalty,
    fit_intercept: bool,
    start: np.ndarray | None,
    intercept_init: Any,
    options: dict[str, Any],
) -> CoordinateResult:
    """Choose the method; validated arguments, starts in the units of the data."""
    p, asked, units = data.shape[1], options["tol"], data.units
    options = options | {"tol": effective_tol(data, asked)}
    datafit, penalty = units.datafit(datafit), units.penalty(penalty)

    def run(solver: Solver[Any, Any], problem: Any, warm: Any) -> dict[str, Any]:
        return iterate(rescaled(solver, units), problem, warm_start=warm, **options)

    terms, groups = penalty.terms(p), penalty.group_terms(p)
    free = free_columns(penalty, p, terms)
    null = NullModel.fit(data, datafit, fit_intercept, free)
    squares = isinstance(datafit, Quadratic)
    warm = None if start is None else (start, intercept_init)
    if isinstance(penalty, FoldedPenalty):
        convex = L1(float(penalty.slope(np.zeros(1))[0]))
        folded: Any = (
            QuadraticProblem.build(
                data, convex.terms(p), null, fit_intercept, options["tol"]
            )
            if squares
            else _model(data, datafit, convex, null, fit_intercept, options["tol"])
        )
        fields = run(FoldedSolver(), FoldedProblem(folded, penalty), warm)
    elif squares and terms is not None:
        problem = QuadraticProblem.build(
            data, terms, null, fit_intercept, options["tol"]
        )
        fields = run(QuadraticWorkingSet(), problem, start)
    elif squares and groups is not None:
        grouped = GroupProblem.build(data, penalty, null, fit_intercept, options["tol"])
        fields = run(GroupWorkingSet(), grouped, start)
    elif terms is not None or groups is not None:
        model = _model(data, datafit, penalty, null, fit_intercept, options["tol"])
        newton = SmoothNewton() if is_smooth(model) else ProxNewtonWorkingSet()
        fields = run(newton, model, warm)
    else:
        general = ProximalProblem(
            data=data,
            datafit=datafit,
            penalty=penalty,
            null=null,
            fit_intercept=fit_intercept,
        )
        fields = run(ProximalGradient(), general, warm)
    if options["warn"] and terms is not None and terms.free:
        _warn_of_dependence(data, fit_intercept)
    if is_separated(data, datafit, penalty, fields["coef"], fields["intercept"]):
        fields["message"] += f"; {SEPARATED}"
        if options["warn"]:
            from numopt.exceptions import ConvergenceWarning

            warnings.warn(SEPARATED, ConvergenceWarning, stacklevel=4)
    if options["tol"] > asked:
        fields["message"] += (
            f"; `tol` was raised from {asked:.1e} to {options['tol']:.1e}, "
            "what float32 data can certify"
        )
    for name in ("coef", "intercept"):
        fields[name] = data.like_design(fields[name])
    return CoordinateResult(**fields)


def _model(
    data: LinearData,
    datafit: Datafit,
    penalty: Penalty,
    null: NullModel,
    fit_intercept: bool,
    tol: float,
) -> ModelProblem:
    """A problem for proximal Newton."""
    return ModelProblem(
        data=data,
        datafit=datafit,
        penalty=penalty,
        terms=penalty.terms(data.shape[1]),
        null=null,
        fit_intercept=fit_intercept,
        tol=tol,
    )


def _warn_of_dependence(data: LinearData, fit_intercept: bool) -> None:
    """Warn where coefficients without a penalty are not unique.

    Designs of many columns and rows are not examined: it would cost more than a solve.
    """
    from scipy.linalg import LinAlgWarning

    n, p = data.shape
    rows = n if data.weights is None else int(np.count_nonzero(data.weights))
    rank = min(rows, p + int(fit_intercept)) - int(fit_intercept)
    if rank == p and p <= MOST_COLUMNS:
        cache = GramCache(data, center=fit_intercept)
        cache.extend(np.arange(p), np.zeros(p))
        G = cache.G[:p, :p]
        size = np.sqrt(np.where(np.diagonal(G) > 0, np.diagonal(G), 1.0))
        values = np.linalg.eigvalsh(G / size / size[:, None])
        rank = int(np.count_nonzero(values > DEPENDENT * p))
    if rank < p:
        warnings.warn(
            f"the columns of `X` are linearly dependent (rank {rank} < {p}): without a "
            "penalty the coefficients are not unique, and not those of least norm; "
            "use a penalty, such as Ridge()",
            LinAlgWarning,
            stacklevel=5,
        )


def effective_tol(data: LinearData, tol: float) -> float:
    """float32 products certify about 1e-6."""
    return max(tol, 1e-6) if data.X.dtype == np.float32 else tol


def check_start(
    name: str, coef: Any, data: LinearData, datafit: Datafit
) -> np.ndarray | None:
    """Return initial coefficients in the units of the data, or None."""
    if coef is None:
        return None
    coef = np.array(to_numpy(v.float_arrays(**{name: coef})[1][0]), dtype=np.float64)
    p = data.shape[1]
    shape = (int(data.y.max()) + 1, p) if datafit.multi_output else (p,)
    v.check_shape(name, coef, shape)
    with np.errstate(over="ignore"):
        coef /= data.units.coef
    v.check_values(name, coef)
    return coef


def start_intercept(intercept: Any, data: LinearData, datafit: Datafit) -> Any:
    """Return an initial intercept in the units of the data, or None."""
    if intercept is None:
        return None
    b = np.asarray(to_numpy(v.float_arrays(intercept_init=intercept)[1][0]), np.float64)
    shape = (int(data.y.max()) + 1,) if datafit.multi_output else ()
    if b.ndim:
        v.check_shape("intercept_init", b, shape)
    b = np.broadcast_to(b, shape) / data.units.target
    v.check_values("intercept_init", b)
    return b if shape else float(b)
