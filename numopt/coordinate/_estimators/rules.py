# SPDX-License-Identifier: BSD-3-Clause
"""Estimators for any datafit, penalty and block rule."""

from numbers import Integral
from typing import Any

from numopt._docstring import fill_docstring
from numopt._estimator.sklearn_compat import Interval, StrOptions
from numopt.coordinate._estimators.base import (
    COMMON,
    LinearRegressor,
    PenalisedEstimator,
)
from numopt.coordinate._estimators.classifiers import ProbabilisticClassifier
from numopt.coordinate._estimators.shared_docs import PARTS
from numopt.coordinate._problem.datafits import Datafit, Quadratic
from numopt.coordinate._problem.penalties import L1, Penalty

__all__ = ["BCDClassifier", "BCDRegressor"]

RULES = {
    "datafit": [Datafit, None],
    "penalty": [Penalty, None],
    "warm_start": ["boolean"],
    **COMMON,
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


class BlockRules(PenalisedEstimator):
    """Parameters of a literal block method."""

    datafit: Datafit | None
    penalty: Penalty | None
    partition: str
    selection: str
    update: str
    block_size: int
    random_state: Any

    def _rules(self) -> dict[str, Any]:
        """Options of `bcd_solve`."""
        return {
            "partition": self.partition,
            "selection": self.selection,
            "update": self.update,
            "block_size": self.block_size,
            "random_state": self.random_state,
        }


@fill_docstring(**PARTS)
class BCDRegressor(BlockRules, LinearRegressor):
    """Regressor for any datafit, penalty and block rule.

    Parameters
    ----------
    datafit : Datafit, default=None
        Loss; None is ``Quadratic()``.
    penalty : Penalty, default=None
        Penalty; None is ``L1(1.0)``.
    {rules}
    {fit_intercept}
    max_iter : int, default=1000
        Passes of the default solver, block steps of a literal rule.
    tol : float, default=1e-6
        Relative duality gap.
    warm_start : bool, default=False
        Whether `fit` starts from the last solution.
    {random_state}
    verbose : int, default=0
        1 shows a progress bar, 2 logs each check.

    Attributes
    ----------
    {coef}
    {result}
    {features}

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

    _parameter_constraints: dict[str, Any] = RULES

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
        """The datafit."""
        return Quadratic() if self.datafit is None else self.datafit

    def _penalty(self, total: float) -> Penalty:
        """The penalty."""
        return L1(1.0) if self.penalty is None else self.penalty


@fill_docstring(**PARTS)
class BCDClassifier(BlockRules, ProbabilisticClassifier):
    """Logistic or softmax classifier for any penalty and block rule.

    Parameters
    ----------
    datafit : Datafit, default=None
        Loss; None is ``Logistic()`` for two classes, ``Multinomial()`` for more.
    penalty : Penalty, default=None
        Penalty; None is ``L1(0.01)``.
    {rules}
    {fit_intercept}
    {class_weight}
    max_iter : int, default=1000
        Passes of the default solver, block steps of a literal rule.
    tol : float, default=1e-6
        Relative duality gap.
    warm_start : bool, default=False
        Whether `fit` starts from the last solution.
    {random_state}
    verbose : int, default=0
        1 shows a progress bar, 2 logs each check.

    Attributes
    ----------
    {class_coef}
    {result}
    {features}

    See Also
    --------
    numopt.coordinate.bcd_solve : The function behind it.

    References
    ----------
    Nutini, Laradji and Schmidt (2022), JMLR 23(131).

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from numopt.coordinate import L1, BCDClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> rule = dict(selection="cyclic", update="prox", block_size=2, tol=1e-3)
    >>> model = BCDClassifier(penalty=L1(0.05), **rule).fit(X, y == 0)
    >>> model.score(X, y == 0)
    1.0
    """

    _parameter_constraints: dict[str, Any] = {
        "class_weight": [dict, StrOptions({"balanced"}), None],
        **RULES,
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
        class_weight: Any = None,
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
        self.class_weight = class_weight
        self.max_iter = max_iter
        self.tol = tol
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    def _datafit(self) -> Datafit:
        """The datafit, which must fit the number of classes."""
        if self.datafit is None:
            return super()._datafit()
        if self.classes_.size > 2 and not self.datafit.multi_output:
            raise ValueError(
                f"`datafit` must be Multinomial() for {self.classes_.size} classes, "
                f"got {type(self.datafit).__name__}"
            )
        return self.datafit

    def _penalty(self, total: float) -> Penalty:
        """The penalty."""
        return L1(0.01) if self.penalty is None else self.penalty
