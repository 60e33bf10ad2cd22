# SPDX-License-Identifier: BSD-3-Clause
"""Regularisation paths: decreasing strengths, warm starts, one Gram cache."""

from typing import Any

import numpy as np

from numopt._docstring import fill_docstring
from numopt.coordinate._problem.data import LinearData
from numopt.coordinate._problem.datafits import (
    Datafit,
    Logistic,
    Multinomial,
    Quadratic,
)
from numopt.coordinate._problem.group_penalties import GroupL2
from numopt.coordinate._problem.penalties import L1, ElasticNet, Penalty
from numopt.coordinate._solvers.path_driver import solve_path
from numopt.coordinate._solvers.results import PathResult
from numopt.typing import Callback

__all__ = ["enet_path", "group_lasso_path", "lasso_path", "logistic_path"]

DESIGN = """
    X : array_like or sparse matrix of shape (n, p)
        Design.
    """
DATA = """
    X : array_like or sparse matrix of shape (n, p)
        Design.
    y : array_like of shape (n,)
        Targets.
    """
ALPHAS = """
    alphas : array_like of shape (A,), default=None
        Strengths; None for ``n_alphas`` geometric steps from alpha_max.
    """
STEPS = """
    eps : float, default=1e-3
        Last strength of the default grid relative to the first.
    n_alphas : int, default=100
        Length of the default grid.
    """
WEIGHTS = """
    weights : array_like of shape (p,), default=None
        Penalty weights, None for ones; 0 leaves a column unpenalised, inf drops it.
    """
POSITIVE = """
    positive : bool, default=False
        Whether coefficients must not be negative.
    """
OPTIONS = """
    fit_intercept : bool, default=False
        Whether to fit an unpenalised intercept.
    sample_weight : array_like of shape (n,), default=None
        Non-negative weights, None for ones.
    max_iter : int, default=1000
        Limit of passes over the design at each strength.
    tol : float, default=1e-6
        Relative duality gap at every strength.
    callback : callable, default=None
        Called as ``callback(info)`` after each strength, with the coefficients in
        ``info.x``; a true value ends the path there.
    verbose : int, default=0
        1 shows a progress bar over the strengths, 2 logs each of them.
    warn : bool, default=True
        Whether to warn when a gap stays above ``tol``.
    """
RATIO = """
    l1_ratio : float, default=0.5
        Share of the L1 norm, between 0 and 1; positive for the default grid.
    """
RETURNS = """
    Returns
    -------
    PathResult
        Coefficients (p, A), or (K, p, A) for K classes, and a certificate for every
        strength.

    Raises
    ------
    ValueError
        When shapes do not fit, values are not finite or options are out of range.
    """


@fill_docstring(
    data=DATA,
    alphas=ALPHAS,
    steps=STEPS,
    weights=WEIGHTS,
    positive=POSITIVE,
    options=OPTIONS,
    returns=RETURNS,
)
def lasso_path(
    X: Any,
    y: Any,
    *,
    alphas: Any = None,
    eps: float = 1e-3,
    n_alphas: int = 100,
    weights: Any = None,
    positive: bool = False,
    fit_intercept: bool = False,
    sample_weight: Any = None,
    max_iter: int = 1000,
    tol: float = 1e-6,
    callback: Callback | None = None,
    verbose: int = 0,
    warn: bool = True,
) -> PathResult:
    r"""Lasso coefficients along a decreasing grid of penalties.

    .. math:: \min_w \frac{1}{2S} \sum_i s_i (y_i - x_i^T w - b)^2
        + \alpha \sum_j \omega_j |w_j|.

    Parameters
    ----------
    {data}
    {alphas}
    {steps}
    {weights}
    {positive}
    {options}

    {returns}

    Notes
    -----
    Dense designs of few columns are solved on one Gram matrix, and all strengths are
    certified by two matrix products at the end. Otherwise the Gram matrix of all
    columns ever used is kept along the path; a strength whose support equals that of
    its neighbour costs one pass over X.

    References
    ----------
    Tibshirani et al. (2012), "Strong rules for discarding predictors in lasso-type
    problems", eq. (7).

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.coordinate import lasso_path
    >>> path = lasso_path(np.eye(2), [4.0, 2.0], alphas=[1.0, 0.5])
    >>> path.coefs.round(6)
    array([[2., 3.],
           [0., 1.]])
    """
    return enet_path(
        X,
        y,
        l1_ratio=1.0,
        alphas=alphas,
        eps=eps,
        n_alphas=n_alphas,
        weights=weights,
        positive=positive,
        fit_intercept=fit_intercept,
        sample_weight=sample_weight,
        max_iter=max_iter,
        tol=tol,
        callback=callback,
        verbose=verbose,
        warn=warn,
    )


@fill_docstring(
    data=DATA,
    ratio=RATIO,
    alphas=ALPHAS,
    steps=STEPS,
    weights=WEIGHTS,
    positive=POSITIVE,
    options=OPTIONS,
    returns=RETURNS,
)
def enet_path(
    X: Any,
    y: Any,
    *,
    l1_ratio: float = 0.5,
    alphas: Any = None,
    eps: float = 1e-3,
    n_alphas: int = 100,
    weights: Any = None,
    positive: bool = False,
    fit_intercept: bool = False,
    sample_weight: Any = None,
    max_iter: int = 1000,
    tol: float = 1e-6,
    callback: Callback | None = None,
    verbose: int = 0,
    warn: bool = True,
) -> PathResult:
    r"""Elastic-net coefficients along a decreasing grid of penalties.

    .. math:: \min_w \frac{1}{2S} \sum_i s_i (y_i - x_i^T w - b)^2
        + \alpha \sum_j \omega_j \left(\rho |w_j| + \frac{1 - \rho}{2} w_j^2\right).

    Parameters
    ----------
    {data}
    {ratio}
    {alphas}
    {steps}
    {weights}
    {positive}
    {options}

    {returns}

    See Also
    --------
    lasso_path : The L1 norm alone.

    References
    ----------
    Friedman, Hastie and Tibshirani (2010), "Regularization paths for generalized
    linear models via coordinate descent".

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.coordinate import enet_path
    >>> enet_path(np.eye(2), [4.0, 2.0], alphas=[1.0]).coefs.round(6)
    array([[1.5],
           [0.5]])
    """

    def make(alpha: float) -> Penalty:
        if l1_ratio == 1.0:
            return L1(alpha, weights, positive)
        return ElasticNet(alpha, l1_ratio, weights, positive)

    data = LinearData.from_arrays(X, y, Quadratic(), sample_weight)
    return solve_path(
        data,
        Quadratic(),
        make,
        fit_intercept,
        alphas=alphas,
        eps=eps,
        n_alphas=n_alphas,
        max_iter=max_iter,
        tol=tol,
        callback=callback,
        verbose=verbose,
        warn=warn,
    )


@fill_docstring(
    data=DATA,
    alphas=ALPHAS,
    steps=STEPS,
    positive=POSITIVE,
    options=OPTIONS,
    returns=RETURNS,
)
def group_lasso_path(
    X: Any,
    y: Any,
    groups: Any,
    *,
    alphas: Any = None,
    eps: float = 1e-3,
    n_alphas: int = 100,
    weights: Any = None,
    positive: bool = False,
    fit_intercept: bool = False,
    sample_weight: Any = None,
    max_iter: int = 1000,
    tol: float = 1e-6,
    callback: Callback | None = None,
    verbose: int = 0,
    warn: bool = True,
) -> PathResult:
    r"""Group-lasso coefficients along a decreasing grid of penalties.

    .. math:: \min_w \frac{1}{2S} \sum_i s_i (y_i - x_i^T w - b)^2
        + \alpha \sum_g \omega_g \|w_g\|_2.

    Parameters
    ----------
    {data}
    groups : int, list of index lists or array_like of shape (p,)
        Size of consecutive groups, the groups, or a label for each coordinate.
    {alphas}
    {steps}
    weights : array_like of shape (n_groups,), default=None
        Group weights, None for ones.
    {positive}
    {options}

    {returns}

    References
    ----------
    Yuan and Lin (2006), "Model selection and estimation in regression with grouped
    variables".

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.coordinate import group_lasso_path
    >>> group_lasso_path(np.eye(2), [6.0, 8.0], 2, alphas=[2.5]).coefs.round(6)
    array([[3.],
           [4.]])
    """
    data = LinearData.from_arrays(X, y, Quadratic(), sample_weight)
    return solve_path(
        data,
        Quadratic(),
        lambda alpha: GroupL2(alpha, groups, weights, positive),
        fit_intercept,
        alphas=alphas,
        eps=eps,
        n_alphas=n_alphas,
        max_iter=max_iter,
        tol=tol,
        callback=callback,
        verbose=verbose,
        warn=warn,
    )


@fill_docstring(
    design=DESIGN,
    alphas=ALPHAS,
    steps=STEPS,
    weights=WEIGHTS,
    options=OPTIONS,
    returns=RETURNS,
)
def logistic_path(
    X: Any,
    y: Any,
    *,
    alphas: Any = None,
    l1_ratio: float = 1.0,
    eps: float = 1e-3,
    n_alphas: int = 100,
    weights: Any = None,
    fit_intercept: bool = False,
    sample_weight: Any = None,
    max_iter: int = 1000,
    tol: float = 1e-6,
    callback: Callback | None = None,
    verbose: int = 0,
    warn: bool = True,
) -> PathResult:
    r"""Sparse logistic coefficients along a decreasing grid of penalties.

    .. math:: \min_w \frac{1}{S} \sum_i s_i \log(1 + e^{-y_i (x_i^T w + b)})
        + \alpha \sum_j \omega_j \left(\rho |w_j| + \frac{1 - \rho}{2} w_j^2\right),

    and its softmax form for more than two classes.

    Parameters
    ----------
    {design}
    y : array_like of shape (n,)
        Labels: -1, 1 or 0, 1 for the logistic loss, 0..K-1 for the softmax.
    {alphas}
    l1_ratio : float, default=1.0
        Share of the L1 norm, between 0 and 1; positive for the default grid.
    {steps}
    {weights}
    {options}

    {returns}

    References
    ----------
    Friedman, Hastie and Tibshirani (2010), "Regularization paths for generalized
    linear models via coordinate descent".

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.coordinate import logistic_path
    >>> path = logistic_path(np.eye(4), [0, 1, 0, 1], n_alphas=3)
    >>> path.converged
    True
    """
    datafit: Datafit = Logistic() if np.unique(y).size <= 2 else Multinomial()
    data = LinearData.from_arrays(X, y, datafit, sample_weight)
    return solve_path(
        data,
        datafit,
        lambda alpha: ElasticNet(alpha, l1_ratio, weights),
        fit_intercept,
        alphas=alphas,
        eps=eps,
        n_alphas=n_alphas,
        max_iter=max_iter,
        tol=tol,
        callback=callback,
        verbose=verbose,
        warn=warn,
    )
