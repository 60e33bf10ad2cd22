# SPDX-License-Identifier: BSD-3-Clause
"""Regressors that choose ``alpha`` by cross-validation."""

import abc
from numbers import Integral, Real
from typing import Any

import numpy as np

from numopt._docstring import fill_docstring
from numopt._estimator.sklearn_compat import Interval
from numopt.coordinate._estimators.base import COMMON, LinearRegressor, linear_score
from numopt.coordinate._estimators.cross_validation import (
    CrossValidated,
    Fold,
    RatioSearch,
    geometric_grid,
)
from numopt.coordinate._estimators.shared_docs import PARTS
from numopt.coordinate._problem.datafits import Quadratic
from numopt.coordinate._problem.group_penalties import GroupL2
from numopt.coordinate._problem.penalties import ElasticNet, Penalty
from numopt.coordinate._solvers.audit import alpha_max
from numopt.coordinate._solvers.paths import enet_path, group_lasso_path
from numopt.coordinate._solvers.results import PathResult

__all__ = ["ElasticNetCV", "GroupLassoCV", "LassoCV"]

#: Smallest ratio for the top of an automatic grid; a pure ridge never reaches zero.
SMALLEST_RATIO = 1e-3


class PathRegressorCV(CrossValidated, LinearRegressor):
    """Cross-validation of the strength along one path a fold."""

    _parameter_constraints: dict[str, Any] = {
        "eps": [Interval(Real, 0, 1, closed="neither")],
        "n_alphas": [Interval(Integral, 1, None, closed="left")],
        "alphas": ["array-like", None],
        "cv": ["cv_object"],
        "n_jobs": [Integral, None],
        **COMMON,
    }

    eps: float
    n_alphas: int
    alphas: Any

    @abc.abstractmethod
    def _family(self, alpha: float) -> Penalty:
        """Penalty of one strength."""

    @abc.abstractmethod
    def _path(self, X: Any, y: np.ndarray, **options: Any) -> PathResult:
        """Solutions along the grid."""

    def _penalty(self, total: float) -> Penalty:
        """Penalty of the chosen strength."""
        return self._family(self.alpha_)

    def _make_grid(self, X: Any, y: np.ndarray, weights: np.ndarray | None) -> None:
        """Set the grid, decreasing."""
        if self.alphas is not None:
            self.alphas_ = np.sort(np.asarray(self.alphas, np.float64))[::-1]
            return
        top = alpha_max(
            X,
            y,
            Quadratic(),
            self._family(1.0),
            sample_weight=weights,
            fit_intercept=self.fit_intercept,
        )
        used = y if weights is None else y[weights > 0]
        if self.fit_intercept and used.min() == used.max():
            top = 0.0  # where rounding of the mean would leave a little
        self.alphas_ = geometric_grid(top, self.eps, self.n_alphas)

    def _score_fold(self, X: Any, y: np.ndarray, fold: Fold) -> dict[str, np.ndarray]:
        """Mean squared errors along the path of one fold, and its times."""
        path = self._path(
            X[fold.train],
            y[fold.train],
            alphas=self.alphas_,
            fit_intercept=self.fit_intercept,
            sample_weight=fold.train_weights,
            max_iter=self.max_iter,
            tol=self.tol,
        )
        found = {"time": path.history["time"]}
        for name, rows, weights in fold.sides():
            predicted = linear_score(X[rows], path.coefs.T, path.intercepts)
            squares = (predicted - y[rows][:, None]) ** 2
            found[name] = np.average(squares, axis=0, weights=weights)
        return found

    def _decide(self, tables: dict[str, np.ndarray], shares: np.ndarray) -> float:
        """Take the strength of the smallest mean error."""
        self.mse_path_, self.train_mse_path_ = tables["test"], tables["train"]
        self.time_path_ = tables["time"]
        errors = self.mse_path_ @ shares
        self.alpha_ = float(self.alphas_[np.argmin(errors)])
        return -float(errors.min())


class SparseRegressorCV(PathRegressorCV):
    """What the Lasso and the elastic net share."""

    _parameter_constraints: dict[str, Any] = {
        **PathRegressorCV._parameter_constraints,
        "positive": ["boolean"],
        "weights": ["array-like", None],
    }

    _ratio: float = 1.0
    positive: bool
    weights: Any

    def _family(self, alpha: float) -> Penalty:
        """Penalty of one strength."""
        return ElasticNet(
            alpha, self._ratio, weights=self.weights, positive=self.positive
        )

    def _path(self, X: Any, y: np.ndarray, **options: Any) -> PathResult:
        """Solutions along the grid."""
        return enet_path(
            X,
            y,
            l1_ratio=self._ratio,
            weights=self.weights,
            positive=self.positive,
            **options,
        )

    def _make_grid(self, X: Any, y: np.ndarray, weights: np.ndarray | None) -> None:
        """Set the grid; a ridge has no strength to begin at."""
        if self.alphas is None and self._ratio < SMALLEST_RATIO:
            raise ValueError(
                f"`alphas` must be given for l1_ratio < {SMALLEST_RATIO}, got None: no "
                "strength sets all coefficients to zero"
            )
        super()._make_grid(X, y, weights)


@fill_docstring(**PARTS)
class LassoCV(SparseRegressorCV):
    """Lasso with ``alpha`` chosen by cross-validation.

    Parameters
    ----------
    {cv_grid}
    {folds}
    {n_jobs}
    {fit_intercept}
    {positive}
    {weights}
    {cv_stopping}

    Attributes
    ----------
    {mse_paths}
    {coef}
    {result}
    {features}

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


@fill_docstring(**PARTS)
class ElasticNetCV(RatioSearch, SparseRegressorCV):
    """Elastic net with ``alpha`` chosen by cross-validation.

    Parameters
    ----------
    l1_ratio : float or array-like of shape (n_ratios,), default=0.5
        Share of the L1 norm, between 0 and 1; the best of several is chosen, each with
        a grid of its own unless ``alphas`` are given.
    {cv_grid}
    {folds}
    {n_jobs}
    {fit_intercept}
    {positive}
    {weights}
    {cv_stopping}

    Attributes
    ----------
    l1_ratio_ : float
        The chosen share. Where several are given, the errors, times and automatic
        grids below have a first axis for them.
    {mse_paths}
    {coef}
    {result}
    {features}

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
        **SparseRegressorCV._parameter_constraints,
        "l1_ratio": [Interval(Real, 0, 1, closed="both"), "array-like"],
    }
    _strength = "alpha_"

    def __init__(
        self,
        l1_ratio: Any = 0.5,
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

    @property
    def _tables(self) -> tuple[str, ...]:
        """Grids differ where they are made from the data."""
        paths = ("mse_path_", "train_mse_path_", "time_path_")
        return paths if self.alphas is not None else ("alphas_", *paths)


@fill_docstring(**PARTS)
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
    {positive}
    {folds}
    {n_jobs}
    {fit_intercept}
    {cv_stopping}

    Attributes
    ----------
    {mse_paths}
    {coef}
    {result}
    {features}

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
        "positive": ["boolean"],
    }

    def __init__(
        self,
        groups: Any = 1,
        *,
        eps: float = 1e-2,
        n_alphas: int = 50,
        alphas: Any = None,
        weights: Any = None,
        positive: bool = False,
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
        self.positive = positive
        self.cv = cv
        self.n_jobs = n_jobs
        self.fit_intercept = fit_intercept
        self.max_iter = max_iter
        self.tol = tol
        self.verbose = verbose

    def _family(self, alpha: float) -> Penalty:
        """Penalty of one strength."""
        return GroupL2(alpha, self.groups, self.weights, self.positive)

    def _path(self, X: Any, y: np.ndarray, **options: Any) -> PathResult:
        """Solutions along the grid."""
        own = {"weights": self.weights, "positive": self.positive}
        return group_lasso_path(X, y, self.groups, **own, **options)
