# SPDX-License-Identifier: BSD-3-Clause
"""The default solver: picks the working-set method for a datafit and a penalty."""

from typing import Any

import numpy as np

from numopt import _validation as v
from numopt._iterate.loop import iterate
from numopt.coordinate._problem.data import LinearData
from numopt.coordinate._problem.datafits import Datafit, Quadratic
from numopt.coordinate._problem.null import NullModel
from numopt.coordinate._problem.penalties import L1, FoldedPenalty, Penalty
from numopt.coordinate._solvers.audit import free_columns
from numopt.coordinate._solvers.folded import FoldedProblem, FoldedSolver
from numopt.coordinate._solvers.group_working_set import GroupProblem, GroupWorkingSet
from numopt.coordinate._solvers.prox_newton import ModelProblem, ProxNewtonWorkingSet
from numopt.coordinate._solvers.quadratic import QuadraticProblem, QuadraticWorkingSet
from numopt.coordinate._solvers.results import CoordinateResult

__all__ = ["solve_auto"]


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
    options = {
        "max_iter": max_iter,
        "tol": effective_tol(data, tol),
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
    """Choose the method; validated arguments."""
    terms = penalty.terms(data.shape[1])
    columns = free_columns(penalty, data.shape[1])
    null = NullModel.fit(data, datafit, fit_intercept, columns)
    if terms is not None and isinstance(datafit, Quadratic):
        problem = QuadraticProblem.build(
            data, terms, null, fit_intercept, options["tol"]
        )
        fields = iterate(QuadraticWorkingSet(), problem, warm_start=start, **options)
        return CoordinateResult(**fields)
    if penalty.group_terms(data.shape[1]) is not None and isinstance(
        datafit, Quadratic
    ):
        grouped = GroupProblem.build(data, penalty, null, fit_intercept, options["tol"])
        fields = iterate(GroupWorkingSet(), grouped, warm_start=start, **options)
        return CoordinateResult(**fields)
    if isinstance(penalty, FoldedPenalty) and isinstance(datafit, Quadratic):
        plain = L1(penalty.alpha).terms(data.shape[1])
        squares = QuadraticProblem.build(
            data, plain, null, fit_intercept, options["tol"]
        )
        folded = FoldedProblem(squares, penalty)
        fields = iterate(FoldedSolver(), folded, warm_start=start, **options)
        return CoordinateResult(**fields)
    if terms is not None and datafit.has_dual:
        model = ModelProblem(
            data=data,
            datafit=datafit,
            penalty=penalty,
            terms=terms,
            null=null,
            fit_intercept=fit_intercept,
            tol=options["tol"],
        )
        warm = None if start is None else (start, intercept_init)
        fields = iterate(ProxNewtonWorkingSet(), model, warm_start=warm, **options)
        return CoordinateResult(**fields)
    raise ValueError(
        f"the default method needs a datafit and a penalty that it knows, got "
        f"{type(datafit).__name__} with {type(penalty).__name__}"
    )


def effective_tol(data: LinearData, tol: float) -> float:
    """float32 products certify about 1e-6."""
    return max(tol, 1e-6) if data.X.dtype == np.float32 else tol


def check_start(
    name: str, coef: Any, data: LinearData, datafit: Datafit
) -> np.ndarray | None:
    """Return initial coefficients or None."""
    if coef is None:
        return None
    coef = np.array(coef, dtype=np.float64)
    p = data.shape[1]
    shape = (int(data.y.max()) + 1, p) if datafit.multi_output else (p,)
    v.check_shape(name, coef, shape)
    v.check_values(name, coef)
    return coef
