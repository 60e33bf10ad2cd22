# SPDX-License-Identifier: BSD-3-Clause
"""Regressors that choose ``alpha`` by cross-validation."""

from numbers import Integral, Real
from typing import Any, Self

import numpy as np

from numopt._estimator.sklearn_compat import Interval, fit_context, validate_data
from numopt.coordinate._estimators.base import (
    SPARSE,
    STOPPING,
    LinearRegressor,
    linear_score,
)
from numopt.coordinate._estimators.cross_validation import (
    Fold,
    fold_shares,
    folds_of,
    geometric_grid,
    run_folds,
)
from numopt.coordinate._problem.datafits import Quadratic
from numopt.coordinate._problem.group_penalties import GroupL2
from numopt.coordinate._problem.penalties import ElasticNet, Penalty
from numopt.coordinate._solvers.audit import alpha_max
from numopt.coordinate._solvers.paths import enet_path, group_lasso_path
from numopt.coordinate._solvers.results import PathResult

__all__ = ["ElasticNetCV", "GroupLassoCV", "LassoCV"]

#: Smallest ratio for the top of an automatic grid; a pure ridge never reaches zero.
SMALLEST_RATIO = 1e-3


class PathRegressorCV(LinearRegressor):
    """Cross-validation of the strength along one path a fold."""

    _parameter_constraints: dict[str, Any] = {
        "eps": [Interval(Real, 0, 1, closed="neither")],
        "n_alphas": [Interval(Integral, 1, None, closed="left")],
        "alphas": ["array-like", None],
        "cv": ["cv_object"],
        "n_jobs": [Integral, None],
        "fit_intercept": ["boolean"],
        **STOPPING,
    }

    def _family(self, alpha: float) -> Penalty:
        """Penalty of one strength."""
        raise NotImplementedError

    def _path(self, X: Any, y: np.ndarray, **options: Any) -> PathResult:
        """Solutions along the grid."""
        raise NotImplementedError

    def _penalty(self) -> Penalty:
        return self._family(self.alpha_)

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Choose the strength, then fit all samples.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Training data.
        y : array-like of shape (n_samples,)
            Targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights, used in the fits and in the errors.

        Returns
        -------
        self
            The fitted estimator.
        """
        X, y = validate_data(
            self,
            X,
            y,
            accept_sparse=SPARSE,
            dtype=[np.float64, np.float32],
            y_numeric=True,
        )
        weights = self._weights(sample_weight, X)
        self.alphas_ = self._grid(X, y, weights)
        folds = folds_of(self.cv, X, y, weights, classifier=False)
        rows = X.tocsr() if hasattr(X, "tocsr") else X

        def score(fold: Fold) -> tuple[np.ndarray, np.ndarray]:
            return self._fold_errors(rows, y, fold)

        self.train_mse_path_, self.mse_path_ = run_folds(score, folds, self.n_jobs)
        means = self.mse_path_ @ fold_shares(folds)
        self.alpha_ = float(self.alphas_[np.argmin(means)])
        result = self._solve(X, y, Quadratic(), self._penalty(), weights)
        self.coef_, self.intercept_ = result.coef, result.intercept
        self._record(result)
        return self

    def _grid(self, X: Any, y: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
        if self.alphas is not None:
            return np.sort(np.asarray(self.alphas, np.float64))[::-1]
        top = alpha_max(
            X,
            y,
            Quadratic(),
            self._family(1.0),
            sample_weight=weights,
            fit_intercept=self.fit_intercept,
        )
        return geometric_grid(top, self.eps, self.n_alphas)

    def _fold_errors(
        self, X: Any, y: np.ndarray, fold: Fold
    ) -> tuple[np.ndarray, np.ndarray]:
        """Mean squared errors along the path of one fold."""
        path = self._path(
            X[fold.train],
            y[fold.train],
            alphas=self.alphas_,
            fit_intercept=self.fit_intercept,
            sample_weight=fold.train_weights,
            max_iter=self.max_iter,
            tol=self.tol,
        )
        errors = []
        for side, weights in (
            (fold.train, fold.train_weights),
            (fold.test, fold.test_weights),
        ):
            predicted = linear_score(X[side], path.coefs.T, path.intercepts)
            squares = (predicted - y[side][:, None]) ** 2
            errors.append(np.average(squares, axis=0, weights=weights))
        return errors[0], errors[1]


class LassoCV(PathRegressorCV):
    """Lasso with ``alpha`` chosen by cross-validation.

    Parameters
    ----------
    eps : float, default=1e-3
        Ratio of the smallest to the largest strength of the grid.
    n_alphas : int, default=100
        Length of the grid.
    alphas : array-like of shape (n_alphas,), default=None
        The grid itself; None makes one from the full data.
    cv : int, cross-validation generator or iterable, default=None
        Splits by scikit-learn's rules; None is 5 unshuffled folds.
    n_jobs : int, default=None
        Folds at a time, in threads.
    fit_intercept : bool, default=True
        Whether to fit an unpenalised intercept.
    positive : bool, default=False
        Whether coefficients must not be negative.
    weights : array-like of shape (n_features,), default=None
        Penalty weights, None for ones.
    max_iter : int, default=1000
        Outer passes over the data for each strength.
    tol : float, default=1e-6
        Relative duality gap.
    verbose : int, default=0
        1 shows a progress bar of the final fit, 2 logs each pass.

    Attributes
    ----------
    alpha_ : float
        The chosen strength.
    alphas_ : ndarray of shape (n_alphas,)
        The grid, decreasing.
    mse_path_ : ndarray of shape (n_alphas, n_folds)
        Mean squared errors on the test side of each fold.
    train_mse_path_ : ndarray of shape (n_alphas, n_folds)
        Mean squared errors on the training side.
    coef_ : ndarray of shape (n_features,)
        Coefficients at ``alpha_`` on all samples.
    intercept_ : float
        Intercept.
    n_iter_ : int
        Outer passes of the final fit.
    dual_gap_ : float
        Relative duality gap of the final fit.
    history_ : dict of str to ndarray
        History of the final fit.
    result_ : CoordinateResult
        The whole final result.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features_in,)
        Names of features, when X has string column names.

    See Also
    --------
    Lasso : One strength.

    References
    ----------
    Tibshirani et al. (2012), "Strong rules for discarding predictors in lasso-type
    problems".

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from numopt.coordinate import LassoCV
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = LassoCV(n_alphas=10).fit(X, y)
    >>> model.mse_path_.shape
    (10, 5)
    """

    _parameter_constraints: dict[str, Any] = {
        **PathRegressorCV._parameter_constraints,
        "positive": ["boolean"],
        "weights": ["array-like", None],
    }

    def __init__(
        self,
        *,
        eps: float = 1e-3,
        n_alphas: int = 100,
        alphas: Any = None,
        cv: Any = None,
        n_jobs: int | None = None,
        fit_intercept: bool = True,
        positive: bool = False,
        weights: Any = None,
        max_iter: int = 1000,
        tol: float = 1e-6,
        verbose: int = 0,
    ) -> None:
        self.eps = eps
        self.n_alphas = n_alphas
        self.alphas = alphas
        self.cv = cv
        self.n_jobs = n_jobs
        self.fit_intercept = fit_intercept
        self.positive = positive
        self.weights = weights
        self.max_iter = max_iter
        self.tol = tol
        self.verbose = verbose

    def _family(self, alpha: float) -> Penalty:
        return ElasticNet(alpha, 1.0, weights=self.weights, positive=self.positive)

    def _path(self, X: Any, y: np.ndarray, **options: Any) -> PathResult:
        return enet_path(
            X, y, l1_ratio=1.0, weights=self.weights, positive=self.positive, **options
        )


class ElasticNetCV(PathRegressorCV):
    """Elastic net with ``alpha`` chosen by cross-validation.

    Parameters
    ----------
    l1_ratio : float, default=0.5
        Share of the L1 norm, between 0 and 1.
    eps : float, default=1e-3
        Ratio of the smallest to the largest strength of the grid.
    n_alphas : int, default=100
        Length of the grid.
    alphas : array-like of shape (n_alphas,), default=None
        The grid itself; None makes one from the full data.
    cv : int, cross-validation generator or iterable, default=None
        Splits by scikit-learn's rules; None is 5 unshuffled folds.
    n_jobs : int, default=None
        Folds at a time, in threads.
    fit_intercept : bool, default=True
        Whether to fit an unpenalised intercept.
    positive : bool, default=False
        Whether coefficients must not be negative.
    weights : array-like of shape (n_features,), default=None
        Penalty weights, None for ones.
    max_iter : int, default=1000
        Outer passes over the data for each strength.
    tol : float, default=1e-6
        Relative duality gap.
    verbose : int, default=0
        1 shows a progress bar of the final fit, 2 logs each pass.

    Attributes
    ----------
    alpha_ : float
        The chosen strength.
    alphas_ : ndarray of shape (n_alphas,)
        The grid, decreasing.
    mse_path_ : ndarray of shape (n_alphas, n_folds)
        Mean squared errors on the test side of each fold.
    train_mse_path_ : ndarray of shape (n_alphas, n_folds)
        Mean squared errors on the training side.
    coef_ : ndarray of shape (n_features,)
        Coefficients at ``alpha_`` on all samples.
    intercept_ : float
        Intercept.
    n_iter_ : int
        Outer passes of the final fit.
    dual_gap_ : float
        Relative duality gap of the final fit.
    history_ : dict of str to ndarray
        History of the final fit.
    result_ : CoordinateResult
        The whole final result.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features_in,)
        Names of features, when X has string column names.

    See Also
    --------
    ElasticNet : One strength.

    References
    ----------
    Zou and Hastie (2005), "Regularization and variable selection via the elastic net".

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from numopt.coordinate import ElasticNetCV
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = ElasticNetCV(0.9, n_alphas=10, cv=3).fit(X, y)
    >>> model.mse_path_.shape
    (10, 3)
    """

    _parameter_constraints: dict[str, Any] = {
        **LassoCV._parameter_constraints,
        "l1_ratio": [Interval(Real, 0, 1, closed="both")],
    }

    def __init__(
        self,
        l1_ratio: float = 0.5,
        *,
        eps: float = 1e-3,
        n_alphas: int = 100,
        alphas: Any = None,
        cv: Any = None,
        n_jobs: int | None = None,
        fit_intercept: bool = True,
        positive: bool = False,
        weights: Any = None,
        max_iter: int = 1000,
        tol: float = 1e-6,
        verbose: int = 0,
    ) -> None:
        self.l1_ratio = l1_ratio
        self.eps = eps
        self.n_alphas = n_alphas
        self.alphas = alphas
        self.cv = cv
        self.n_jobs = n_jobs
        self.fit_intercept = fit_intercept
        self.positive = positive
        self.weights = weights
        self.max_iter = max_iter
        self.tol = tol
        self.verbose = verbose

    def _family(self, alpha: float) -> Penalty:
        return ElasticNet(
            alpha, self.l1_ratio, weights=self.weights, positive=self.positive
        )

    def _grid(self, X: Any, y: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
        if self.alphas is None and self.l1_ratio < SMALLEST_RATIO:
            raise ValueError(
                f"`alphas` must be given for l1_ratio < {SMALLEST_RATIO}, got None: no "
                "strength sets all coefficients to zero"
            )
        return super()._grid(X, y, weights)

    def _path(self, X: Any, y: np.ndarray, **options: Any) -> PathResult:
        return enet_path(
            X,
            y,
            l1_ratio=self.l1_ratio,
            weights=self.weights,
            positive=self.positive,
            **options,
        )


class GroupLassoCV(PathRegressorCV):
    """Group lasso with ``alpha`` chosen by cross-validation.

    Parameters
    ----------
    groups : int, list of index lists or array-like of shape (n_features,), default=1
        Size of consecutive groups, the groups, or a label for each feature.
    eps : float, default=1e-2
        Ratio of the smallest to the largest strength of the grid.
    n_alphas : int, default=50
        Length of the grid.
    alphas : array-like of shape (n_alphas,), default=None
        The grid itself; None makes one from the full data.
    weights : array-like of shape (n_groups,), default=None
        Penalty weights of the groups, None for ones.
    cv : int, cross-validation generator or iterable, default=None
        Splits by scikit-learn's rules; None is 5 unshuffled folds.
    n_jobs : int, default=None
        Folds at a time, in threads.
    fit_intercept : bool, default=True
        Whether to fit an unpenalised intercept.
    max_iter : int, default=1000
        Outer passes over the data for each strength.
    tol : float, default=1e-6
        Relative duality gap.
    verbose : int, default=0
        1 shows a progress bar of the final fit, 2 logs each pass.

    Attributes
    ----------
    alpha_ : float
        The chosen strength.
    alphas_ : ndarray of shape (n_alphas,)
        The grid, decreasing.
    mse_path_ : ndarray of shape (n_alphas, n_folds)
        Mean squared errors on the test side of each fold.
    train_mse_path_ : ndarray of shape (n_alphas, n_folds)
        Mean squared errors on the training side.
    coef_ : ndarray of shape (n_features,)
        Coefficients at ``alpha_`` on all samples.
    intercept_ : float
        Intercept.
    n_iter_ : int
        Outer passes of the final fit.
    dual_gap_ : float
        Relative duality gap of the final fit.
    history_ : dict of str to ndarray
        History of the final fit.
    result_ : CoordinateResult
        The whole final result.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features_in,)
        Names of features, when X has string column names.

    See Also
    --------
    GroupLasso : One strength.

    References
    ----------
    Yuan and Lin (2006), "Model selection and estimation in regression with grouped
    variables".

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from numopt.coordinate import GroupLassoCV
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = GroupLassoCV(2, n_alphas=5, cv=3).fit(X, y)
    >>> model.mse_path_.shape
    (5, 3)
    """

    _parameter_constraints: dict[str, Any] = {
        **PathRegressorCV._parameter_constraints,
        "groups": [Interval(Integral, 1, None, closed="left"), list, "array-like"],
        "weights": ["array-like", None],
    }

    def __init__(
        self,
        groups: Any = 1,
        *,
        eps: float = 1e-2,
        n_alphas: int = 50,
        alphas: Any = None,
        weights: Any = None,
        cv: Any = None,
        n_jobs: int | None = None,
        fit_intercept: bool = True,
        max_iter: int = 1000,
        tol: float = 1e-6,
        verbose: int = 0,
    ) -> None:
        self.groups = groups
        self.eps = eps
        self.n_alphas = n_alphas
        self.alphas = alphas
        self.weights = weights
        self.cv = cv
        self.n_jobs = n_jobs
        self.fit_intercept = fit_intercept
        self.max_iter = max_iter
        self.tol = tol
        self.verbose = verbose

    def _family(self, alpha: float) -> Penalty:
        return GroupL2(alpha, self.groups, weights=self.weights)

    def _path(self, X: Any, y: np.ndarray, **options: Any) -> PathResult:
        return group_lasso_path(X, y, self.groups, weights=self.weights, **options)
