# SPDX-License-Identifier: BSD-3-Clause
"""Regressors with a fixed penalty."""

from numbers import Integral, Real
from typing import Any

import numpy as np

from numopt._docstring import fill_docstring
from numopt._estimator.sklearn_compat import Interval
from numopt.coordinate._estimators.base import COMMON, LinearRegressor
from numopt.coordinate._estimators.shared_docs import PARTS
from numopt.coordinate._problem.group_penalties import GroupL2
from numopt.coordinate._problem.groups import ScalarTerms
from numopt.coordinate._problem.penalties import L1, NonNegative, Penalty
from numopt.coordinate._problem.penalties import ElasticNet as ElasticNetPenalty

__all__ = [
    "ElasticNet",
    "GroupLasso",
    "Lasso",
    "NonNegativeRegression",
]


@fill_docstring(**PARTS)
class Lasso(LinearRegressor):
    r"""Linear regression with an L1 penalty, to a certified duality gap.

    .. math::
        \min_{w, b} \frac{1}{2S} \sum_i s_i (y_i - x_i^T w - b)^2
        + \alpha \sum_j \omega_j |w_j|

    Parameters
    ----------
    alpha : float, default=1.0
        Strength of the penalty, as in scikit-learn.
    {fit_intercept}
    {positive}
    {weights}
    {stopping}

    Attributes
    ----------
    {coef}
    {result}
    {features}

    See Also
    --------
    LassoCV : Choice of ``alpha`` by cross-validation.
    numopt.coordinate.lasso_path : Solutions for many ``alpha``.

    References
    ----------
    Massias, Gramfort and Salmon (2018), "Celer: a fast solver for the Lasso with dual
    extrapolation". Nutini, Laradji and Schmidt (2022), JMLR 23(131).

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.coordinate import Lasso
    >>> X, y = np.eye(3), np.array([3.0, 0.1, -3.0])
    >>> model = Lasso(alpha=1 / 3, fit_intercept=False).fit(X, y)
    >>> model.coef_.round(6)
    array([ 2.,  0., -2.])
    >>> bool(model.dual_gap_ <= 1e-6)
    True
    """

    _parameter_constraints: dict[str, Any] = {
        "alpha": [Interval(Real, 0, None, closed="left")],
        "positive": ["boolean"],
        "weights": ["array-like", None],
        "warm_start": ["boolean"],
        **COMMON,
    }

    def __init__(
        self,
        alpha: float = 1.0,
        *,
        fit_intercept: bool = True,
        positive: bool = False,
        weights: Any = None,
        max_iter: int = 1000,
        tol: float = 1e-6,
        warm_start: bool = False,
        verbose: int = 0,
    ) -> None:
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.positive = positive
        self.weights = weights
        self.max_iter = max_iter
        self.tol = tol
        self.warm_start = warm_start
        self.verbose = verbose

    def _penalty(self, total: float = 1.0) -> Penalty:
        """Penalty of the parameters; their scaling does not depend on ``total``."""
        return L1(self.alpha, weights=self.weights, positive=self.positive)


@fill_docstring(**PARTS)
class ElasticNet(LinearRegressor, Penalty):
    r"""Linear regression with an L1 and an L2 penalty, to a certified duality gap.

    .. math::
        \min_{w, b} \frac{1}{2S} \sum_i s_i (y_i - x_i^T w - b)^2
        + \alpha \rho \|w\|_1 + \frac{\alpha (1 - \rho)}{2} \|w\|_2^2

    The object is also the penalty of that name: functions that take a penalty, such as
    `bcd_solve`, accept ``ElasticNet(alpha, l1_ratio)``.

    Parameters
    ----------
    alpha : float, default=1.0
        Strength of the penalty, as in scikit-learn.
    l1_ratio : float, default=0.5
        Share of the L1 norm, between 0 and 1.
    {fit_intercept}
    {positive}
    {weights}
    {stopping}

    Attributes
    ----------
    {coef}
    {result}
    {features}

    See Also
    --------
    ElasticNetCV : Choice of ``alpha`` by cross-validation.

    References
    ----------
    Zou and Hastie (2005), "Regularization and variable selection via the elastic net".

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.coordinate import ElasticNet
    >>> X, y = np.eye(3), np.array([3.0, 0.1, -3.0])
    >>> ElasticNet(2 / 3, fit_intercept=False).fit(X, y).coef_.round(6)
    array([ 1.,  0., -1.])
    """

    _parameter_constraints: dict[str, Any] = {
        **Lasso._parameter_constraints,
        "l1_ratio": [Interval(Real, 0, 1, closed="both")],
    }

    def __init__(
        self,
        alpha: float = 1.0,
        l1_ratio: float = 0.5,
        *,
        fit_intercept: bool = True,
        positive: bool = False,
        weights: Any = None,
        max_iter: int = 1000,
        tol: float = 1e-6,
        warm_start: bool = False,
        verbose: int = 0,
    ) -> None:
        self.alpha = alpha
        self.l1_ratio = l1_ratio
        self.fit_intercept = fit_intercept
        self.positive = positive
        self.weights = weights
        self.max_iter = max_iter
        self.tol = tol
        self.warm_start = warm_start
        self.verbose = verbose

    def _penalty(self, total: float = 1.0) -> Penalty:
        """Penalty of the parameters; their scaling does not depend on ``total``."""
        return ElasticNetPenalty(
            self.alpha, self.l1_ratio, weights=self.weights, positive=self.positive
        )

    def value(self, w: np.ndarray) -> float:
        """Return the penalty of coefficients.

        Parameters
        ----------
        w : ndarray of shape (p,) or (K, p)
            Coefficients.

        Returns
        -------
        float
            The penalty, inf where they are not allowed.
        """
        return self._penalty().value(w)

    def prox(self, w: np.ndarray, step: Any, index: Any = None) -> np.ndarray:
        """Return ``argmin_x ||x - w||^2 / 2 + step * penalty(x)``.

        Parameters
        ----------
        w : ndarray
            Entries of the coefficients.
        step : float or ndarray
            Step, at least 0.
        index : ndarray of int, default=None
            Which entries ``w`` holds; None for all.

        Returns
        -------
        ndarray
            The minimiser, of the shape of ``w``.
        """
        return self._penalty().prox(w, step, index)

    def subdiff_distance(
        self, w: np.ndarray, grad: np.ndarray, index: Any = None
    ) -> np.ndarray:
        """Return the distance of ``-grad`` to the subdifferential.

        Parameters
        ----------
        w, grad : ndarray
            Entries of the coefficients and of the gradient of the datafit.
        index : ndarray of int, default=None
            Which entries they are; None for all.

        Returns
        -------
        ndarray
            Distance of each entry.
        """
        return self._penalty().subdiff_distance(w, grad, index)

    def terms(self, p: int) -> ScalarTerms | None:
        """Return the canonical form of the penalty.

        Parameters
        ----------
        p : int
            Number of coefficients.

        Returns
        -------
        ScalarTerms
            Arrays ``l1, l2, lower, upper`` of shape (p,).
        """
        return self._penalty().terms(p)


@fill_docstring(**PARTS)
class GroupLasso(LinearRegressor):
    r"""Linear regression that selects whole groups of features.

    .. math::
        \min_{w, b} \frac{1}{2S} \sum_i s_i (y_i - x_i^T w - b)^2
        + \alpha \sum_g \omega_g \|w_g\|_2

    Parameters
    ----------
    groups : int, list of index lists or array-like of shape (n_features,), default=1
        Size of consecutive groups, the groups, or a label for each feature.
    alpha : float, default=1.0
        Strength of the penalty.
    weights : array-like of shape (n_groups,), default=None
        Penalty weights of the groups, None for ones.
    {positive}
    {fit_intercept}
    {stopping}

    Attributes
    ----------
    {coef}
    {result}
    {features}

    See Also
    --------
    GroupLassoCV : Choice of ``alpha`` by cross-validation.

    References
    ----------
    Yuan and Lin (2006), "Model selection and estimation in regression with grouped
    variables".

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.coordinate import GroupLasso
    >>> X, y = np.eye(4), np.array([3.0, 4.0, 0.3, 0.4])
    >>> GroupLasso(2, alpha=0.25, fit_intercept=False).fit(X, y).coef_.round(4)
    array([2.4, 3.2, 0. , 0. ])
    """

    _parameter_constraints: dict[str, Any] = {
        "groups": [Interval(Integral, 1, None, closed="left"), list, "array-like"],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "weights": ["array-like", None],
        "positive": ["boolean"],
        "warm_start": ["boolean"],
        **COMMON,
    }

    def __init__(
        self,
        groups: Any = 1,
        alpha: float = 1.0,
        *,
        weights: Any = None,
        positive: bool = False,
        fit_intercept: bool = True,
        max_iter: int = 1000,
        tol: float = 1e-6,
        warm_start: bool = False,
        verbose: int = 0,
    ) -> None:
        self.groups = groups
        self.alpha = alpha
        self.weights = weights
        self.positive = positive
        self.fit_intercept = fit_intercept
        self.max_iter = max_iter
        self.tol = tol
        self.warm_start = warm_start
        self.verbose = verbose

    def _penalty(self, total: float = 1.0) -> Penalty:
        """Penalty of the parameters; their scaling does not depend on ``total``."""
        return GroupL2(self.alpha, self.groups, self.weights, self.positive)


@fill_docstring(**PARTS)
class NonNegativeRegression(LinearRegressor):
    r"""Least squares with coefficients that are not negative.

    .. math::
        \min_{w \ge 0, b} \frac{1}{2S} \sum_i s_i (y_i - x_i^T w - b)^2
        + \alpha \sum_j w_j

    Parameters
    ----------
    alpha : float, default=0.0
        Strength of an L1 penalty.
    fit_intercept : bool, default=False
        Whether to fit an unconstrained intercept.
    {stopping}

    Attributes
    ----------
    {coef}
    {result}
    {features}

    See Also
    --------
    numopt.coordinate.nnls : The bare problem, with SciPy's arguments.

    References
    ----------
    Lawson and Hanson (1974), "Solving least squares problems", chapter 23.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.coordinate import NonNegativeRegression
    >>> NonNegativeRegression().fit(np.eye(2), [1.0, -1.0]).coef_
    array([1., 0.])
    """

    _parameter_constraints: dict[str, Any] = {
        "alpha": [Interval(Real, 0, None, closed="left")],
        "warm_start": ["boolean"],
        **COMMON,
    }

    def __init__(
        self,
        alpha: float = 0.0,
        *,
        fit_intercept: bool = False,
        max_iter: int = 1000,
        tol: float = 1e-6,
        warm_start: bool = False,
        verbose: int = 0,
    ) -> None:
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.max_iter = max_iter
        self.tol = tol
        self.warm_start = warm_start
        self.verbose = verbose

    def _penalty(self, total: float = 1.0) -> Penalty:
        """Penalty of the parameters; their scaling does not depend on ``total``."""
        return NonNegative(self.alpha)
