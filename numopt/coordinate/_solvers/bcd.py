# SPDX-License-Identifier: BSD-3-Clause
"""`bcd_solve`: the default solver, or any partition, selection and update by name."""

from typing import Any

import numpy as np

from numopt import _validation as v
from numopt._array.random import as_generator
from numopt._iterate.loop import iterate
from numopt.coordinate._problem.data import LinearData
from numopt.coordinate._problem.datafits import Datafit
from numopt.coordinate._problem.duality import certify, kkt_violation
from numopt.coordinate._problem.null import NullModel
from numopt.coordinate._problem.penalties import Penalty
from numopt.coordinate._solvers.audit import free_columns
from numopt.coordinate._solvers.bcd_composite import composite_of
from numopt.coordinate._solvers.bcd_model import LinearModel
from numopt.coordinate._solvers.bcd_steps import (
    PARTITIONS,
    SELECTIONS,
    BlockDescent,
    BlockProblem,
    Strategy,
)
from numopt.coordinate._solvers.bcd_updates import UPDATES
from numopt.coordinate._solvers.rescaled import rescaled
from numopt.coordinate._solvers.results import CoordinateResult
from numopt.coordinate._solvers.working_set import (
    check_start,
    solve_auto,
    start_intercept,
)
from numopt.typing import Callback

__all__ = ["bcd_solve"]


def bcd_solve(
    X: Any,
    y: Any,
    datafit: Datafit,
    penalty: Penalty,
    *,
    sample_weight: Any = None,
    fit_intercept: bool = False,
    partition: str = "auto",
    selection: str = "auto",
    update: str = "auto",
    block_size: int = 1,
    coef_init: Any = None,
    intercept_init: Any = None,
    max_iter: int = 1000,
    tol: float = 1e-6,
    random_state: Any = None,
    callback: Callback | None = None,
    verbose: int = 0,
    warn: bool = True,
) -> CoordinateResult:
    r"""Minimise datafit plus penalty by block coordinate descent.

    .. math:: F(w, b) = \frac{1}{S} \sum_i s_i \ell(y_i, x_i^T w + b) + g(w)

    where :math:`S = \sum_i s_i`.

    Parameters
    ----------
    X : array_like or sparse matrix of shape (n, p)
        Design.
    y : array_like of shape (n,)
        Targets; for ``Logistic`` -1, 1 or 0, 1, for ``Multinomial`` 0..K-1.
    datafit : Datafit
        Loss.
    penalty : Penalty
        Penalty.
    sample_weight : array_like of shape (n,), default=None
        Non-negative weights, None for ones.
    fit_intercept : bool, default=False
        Whether to fit an unpenalised intercept.
    partition : str, default="auto"
        One of "auto", "order", "average", "sorted", "variable", "groups".
        Fixed blocks by order of coordinates or of their Lipschitz constants, any
        coordinates at each step, or the groups of the penalty.
    selection : str, default="auto"
        One of "auto", "cyclic", "shuffle", "random", "lipschitz", "GS", "GSL",
        "GSD", "GSQ", "GSC", "all".
        Which block next.
    update : str, default="auto"
        One of "auto", "gradient", "matrix", "newton", "line_search", "prox",
        "prox_newton", "tmp".
        What a block step does.
    block_size : int, default=1
        Coordinates in a block.
    coef_init : array_like of shape (p,) or (K, p), default=None
        Start; None for zeros.
    intercept_init : float or array_like of shape (K,), default=None
        Start; None for zero.
    max_iter : int, default=1000
        Passes of the default solver, block steps of a literal rule.
    tol : float, default=1e-6
        Relative duality gap, ``gap <= tol * F(0)``; the relative violation of the
        optimality conditions where no dual is known.
    random_state : int, Generator or None, default=None
        For the random selections.
    callback : callable, default=None
        Called as ``callback(info)``; a true value stops.
    verbose : int, default=0
        1 shows a progress bar, 2 logs each check.
    warn : bool, default=True
        Whether to warn when ``tol`` is not reached.

    Returns
    -------
    CoordinateResult
        With fields ``coef``, ``intercept``, ``objective``, ``dual_gap``, ``support``,
        ``n_iter``, ``converged``, ``status``, ``message`` and ``history``.

    Raises
    ------
    ValueError
        When data, names or their combination are not valid.

    See Also
    --------
    dual_gap : Certificate of any coefficients.
    solve_quadratic : The same rules on sparse quadratics.

    Notes
    -----
    With "auto" for all three, working sets, Gram or residual mode, extrapolation and
    Newton steps on the support are used. Otherwise the rules are run literally, one
    block step an iteration: a tool for study, with NumPy arithmetic between the steps.
    The duality gap of a literal rule is computed once a sweep. Greedy rules cost
    O(n p) a step unless the Gram matrix is kept (squares, p <= 3000).

    References
    ----------
    Nutini, Laradji and Schmidt (2022), "Let's make block coordinate descent converge
    faster", JMLR 23(131).

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.coordinate import L1, Quadratic, bcd_solve
    >>> X, y = np.eye(3), np.array([3.0, 0.1, -3.0])
    >>> bcd_solve(X, y, Quadratic(), L1(1 / 3)).coef.round(6)
    array([ 2.,  0., -2.])
    >>> rule = dict(partition="variable", selection="GSL", update="prox")
    >>> bcd_solve(X, y, Quadratic(), L1(1 / 3), block_size=2, **rule).n_iter
    2
    """
    v.check_choice("partition", partition, ("auto", *PARTITIONS[:5]))
    v.check_choice("selection", selection, ("auto", *SELECTIONS))
    v.check_choice("update", update, ("auto", *UPDATES))
    if partition == selection == update == "auto":
        return solve_auto(
            X,
            y,
            datafit,
            penalty,
            sample_weight=sample_weight,
            fit_intercept=fit_intercept,
            coef_init=coef_init,
            intercept_init=intercept_init,
            max_iter=max_iter,
            tol=tol,
            callback=callback,
            verbose=verbose,
            warn=warn,
        )
    block_size = v.check_int("block_size", block_size, low=1)
    tol = v.check_real("tol", tol, low=0.0, include_low=False)
    max_iter = v.check_int("max_iter", max_iter, low=0)
    v.check_numpy("X", X)
    data = LinearData.from_arrays(X, y, datafit, sample_weight)
    problem = _linear_problem(
        data,
        data.units.datafit(datafit),
        data.units.penalty(penalty),
        v.check_flag("fit_intercept", fit_intercept),
        coef_init,
        intercept_init,
    )
    solver = BlockDescent(
        Strategy(partition, selection, update).resolved(problem),
        block_size=block_size,
        rng=as_generator(random_state),
    )
    fields = iterate(
        rescaled(solver, data.units),
        problem,
        tol=tol,
        max_iter=max_iter,
        callback=v.check_callback(callback),
        verbose=verbose,
        warn=warn,
    )
    return CoordinateResult(**fields)


class LinearProblem(BlockProblem):
    """Datafit and penalty over data, as blocks see them."""

    def __init__(
        self,
        data: LinearData,
        datafit: Datafit,
        penalty: Penalty,
        model: LinearModel,
        composite: Any,
        null: NullModel,
    ) -> None:
        super().__init__(model, composite)
        self.linear = model
        self.data, self.datafit, self.penalty, self.null = data, datafit, penalty, null

    def _coef(self) -> np.ndarray:
        """Coefficients in the shape of the datafit."""
        w = self.model.w
        return w.reshape(self.linear.outputs, -1) if self.datafit.multi_output else w

    def _intercept(self) -> Any:
        """Intercept in the shape of the datafit."""
        b = self.linear.intercept
        return b if self.datafit.multi_output else float(b[0])

    def objective(self) -> float:
        """F at the model's point."""
        return self.model.value() + self.composite.value(self.everything, self.model.w)

    def gap(self) -> float:
        """Relative duality gap, NaN where there is none."""
        if not (self.datafit.has_dual and self.penalty.convex):
            return float("nan")
        found = certify(
            self.data,
            self.datafit,
            self.penalty,
            self.null,
            self._coef(),
            self._intercept(),
        )
        return float(found.gap)

    def violation(self) -> float:
        """Relative violation of the optimality conditions."""
        return kkt_violation(
            self.data, self.datafit, self.penalty, self._coef(), self._intercept()
        )

    def fields(self) -> dict[str, Any]:
        """Solution fields of the result."""
        coef = self._coef().copy()
        used = coef != 0 if coef.ndim == 1 else np.any(coef != 0, axis=0)
        return {
            "coef": coef,
            "intercept": self._intercept(),
            "objective": self.objective(),
            "dual_gap": self.gap(),
            "support": np.flatnonzero(used),
        }


def _linear_problem(
    data: LinearData,
    datafit: Datafit,
    penalty: Penalty,
    fit_intercept: bool,
    coef_init: Any,
    intercept_init: Any,
) -> LinearProblem:
    """Model and non-smooth part at the start."""
    p = data.shape[1]
    outputs = int(np.max(data.y)) + 1 if datafit.multi_output else 1
    shape = (outputs, p) if datafit.multi_output else (p,)
    start = check_start("coef_init", coef_init, data, datafit)
    coef = np.zeros(shape) if start is None else start
    if start is not None and not np.isfinite(penalty.value(coef)):
        raise ValueError(v.message("coef_init", "allowed by `penalty`", "not"))
    intercept = np.zeros(outputs)
    b = start_intercept(intercept_init, data, datafit)
    if b is not None and fit_intercept:
        intercept = np.broadcast_to(b, (outputs,))
    composite, ridge = composite_of(penalty, p, outputs)
    terms = penalty.terms(p)
    if coef_init is None and terms is not None:
        coef = np.clip(coef, terms.lower, terms.upper)
    model = LinearModel(data, datafit, ridge, coef, intercept, fit_intercept)
    columns = free_columns(penalty, p)
    null = NullModel.fit(data, datafit, fit_intercept, columns)
    return LinearProblem(data, datafit, penalty, model, composite, null)
