# SPDX-License-Identifier: BSD-3-Clause
"""A regressor for any datafit, penalty and block rule."""

from numbers import Integral
from typing import Any

from numopt._estimator.sklearn_compat import Interval, StrOptions
from numopt.coordinate._estimators.base import STOPPING, LinearRegressor
from numopt.coordinate._problem.datafits import Datafit, Quadratic
from numopt.coordinate._problem.penalties import L1, Penalty

__all__ = ["RULES", "BCDRegressor"]

RULES = {
    "partition": [
        StrOptions({"auto", "order", "average", "sorted", "variable", "groups"})
    ],
    "selection": [
        StrOptions(
            {
                *("auto", "cyclic", "shuffle", "random", "lipschitz", "all"),
                *("GS", "GSL", "GSD", "GSQ", "GSC"),
            }
        )
    ],
    "update": [
        StrOptions(
            {
                *("auto", "gradient", "matrix", "newton", "line_search"),
                *("prox", "prox_newton", "tmp"),
            }
        )
    ],
    "block_size": [Interval(Integral, 1, None, closed="left")],
    "random_state": ["random_state"],
}


class BCDRegressor(LinearRegressor):
    """Regressor for any datafit, penalty and block rule.

    Parameters
    ----------
    datafit : Datafit, default=None
        Loss; None is ``Quadratic()``.
    penalty : Penalty, default=None
        Penalty; None is ``L1(1.0)``.
    partition, selection, update : str, default="auto"
        Block rules as in `bcd_solve`.
    block_size : int, default=1
        Coordinates in a block.
    fit_intercept : bool, default=True
        Whether to fit an unpenalised intercept.
    max_iter : int, default=1000
        Passes of the default solver, block steps of a literal rule.
    tol : float, default=1e-6
        Relative duality gap.
    warm_start : bool, default=False
        Whether `fit` starts from the last solution.
    random_state : int, RandomState instance or None, default=None
        For the random selections.
    verbose : int, default=0
        1 shows a progress bar, 2 logs each check.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,)
        Coefficients.
    intercept_ : float
        Intercept.
    n_iter_ : int
        Iterations.
    dual_gap_ : float
        Relative duality gap of the solution, NaN where no dual is known.
    history_ : dict of str to ndarray
        Objective and gap of each iteration.
    result_ : CoordinateResult
        The whole result.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features_in,)
        Names of features, when X has string column names.

    See Also
    --------
    numopt.coordinate.bcd_solve : The function behind it.

    References
    ----------
    Nutini, Laradji and Schmidt (2022), JMLR 23(131).

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.coordinate import L1, BCDRegressor, Huber
    >>> X, y = np.eye(3), np.array([3.0, 0.1, -3.0])
    >>> rule = dict(partition="variable", selection="GSL", update="prox")
    >>> model = BCDRegressor(Huber(9.0), L1(1 / 3), fit_intercept=False, **rule)
    >>> model.fit(X, y).coef_.round(4)
    array([ 2.,  0., -2.])
    """

    _parameter_constraints: dict[str, Any] = {
        "datafit": [Datafit, None],
        "penalty": [Penalty, None],
        "fit_intercept": ["boolean"],
        "warm_start": ["boolean"],
        **RULES,
        **STOPPING,
    }

    def __init__(
        self,
        datafit: Datafit | None = None,
        penalty: Penalty | None = None,
        *,
        partition: str = "auto",
        selection: str = "auto",
        update: str = "auto",
        block_size: int = 1,
        fit_intercept: bool = True,
        max_iter: int = 1000,
        tol: float = 1e-6,
        warm_start: bool = False,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.datafit = datafit
        self.penalty = penalty
        self.partition = partition
        self.selection = selection
        self.update = update
        self.block_size = block_size
        self.fit_intercept = fit_intercept
        self.max_iter = max_iter
        self.tol = tol
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    def _datafit(self) -> Datafit:
        return Quadratic() if self.datafit is None else self.datafit

    def _penalty(self) -> Penalty:
        return L1(1.0) if self.penalty is None else self.penalty

    def _rules(self) -> dict[str, Any]:
        return {
            "partition": self.partition,
            "selection": self.selection,
            "update": self.update,
            "block_size": self.block_size,
            "random_state": self.random_state,
        }
