# SPDX-License-Identifier: BSD-3-Clause
"""What the linear estimators of the family share: one fit for all of them."""

import abc
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_array, check_is_fitted

from numopt._estimator.sklearn_compat import (
    Interval,
    check_sample_weight,
    fit_context,
    validate_data,
    validate_parameter_constraints,
)
from numopt.coordinate._problem.datafits import Datafit, Quadratic
from numopt.coordinate._problem.penalties import Penalty
from numopt.coordinate._solvers.bcd import bcd_solve
from numopt.coordinate._solvers.results import CoordinateResult

__all__ = [
    "COMMON",
    "LinearEstimator",
    "LinearRegressor",
    "PenalisedEstimator",
    "linear_score",
]

FORMATS = ("csc", "csr", "coo")
FLOATS = [np.float64, np.float32]
#: Constraints of the parameters that every estimator has.
COMMON = {
    "fit_intercept": ["boolean"],
    "max_iter": [Interval(Integral, 1, None, closed="left")],
    "tol": [Interval(Real, 0, None, closed="neither")],
    "verbose": [Interval(Integral, 0, None, closed="left"), "boolean"],
}


def linear_score(X: Any, coef: np.ndarray, intercept: Any) -> np.ndarray:
    """Return ``X coef^T + intercept`` as a dense array."""
    return np.asarray(X @ coef.T) + intercept


def _is_plain(X: Any, y: Any) -> bool:
    """Whether both are finite arrays that no check would convert."""
    return (
        type(X) is np.ndarray
        and type(y) is np.ndarray
        and X.dtype in FLOATS
        and y.dtype.kind in "fiu"
        and X.ndim == 2
        and X.size > 0
        and y.shape == X.shape[:1]
        # A sum that is not finite leaves the decision to the careful check.
        and bool(np.isfinite(X.sum()) and np.isfinite(y.sum()))
    )


class LinearEstimator(BaseEstimator, abc.ABC):
    """A linear model: ``fit`` validates, encodes the targets, solves and records.

    Before it solves, cross-validation may choose the strength.
    """

    fit_intercept: bool
    max_iter: int
    tol: float
    verbose: int
    coef_: np.ndarray
    intercept_: Any
    result_: Any
    history_: Any
    n_features_in_: int

    def __sklearn_tags__(self) -> Any:
        """Sparse input is accepted."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def _encode(self, y: np.ndarray) -> np.ndarray:
        """Targets as the datafit takes them."""
        return y

    def _weigh(self, y: np.ndarray, weights: np.ndarray | None) -> np.ndarray | None:
        """Weights of the samples, those of their classes included."""
        return weights

    def _choose(
        self, X: Any, y: np.ndarray, weights: np.ndarray | None, **options: Any
    ) -> None:
        """Choose parameters from the data before the fit."""

    def _store(self, result: Any) -> None:
        """Set the fitted attributes."""
        self.coef_, self.intercept_ = result.coef, result.intercept
        self.n_iter_, self.dual_gap_ = result.n_iter, result.dual_gap
        self.history_, self.result_ = result.history, result

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit the model.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Training data; Fortran order or CSC avoids a copy.
        y : array-like of shape (n_samples,)
            Targets: numbers of a regressor, classes of any type of a classifier.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights; integers are the same as repeated rows.

        Returns
        -------
        self
            The fitted estimator.
        """
        return self._fit(X, y, sample_weight)

    def _fit(self, X: Any, y: Any, sample_weight: Any, **options: Any) -> Self:
        """Validate, choose parameters with some options, solve and record."""
        X, y = self._validate_training(X, y)
        targets = self._encode(y)
        if sample_weight is not None:
            sample_weight = check_sample_weight(sample_weight, X, dtype=np.float64)
        self._choose(X, targets, sample_weight, **options)
        self._store(self._solve(X, targets, self._weigh(targets, sample_weight)))
        return self

    @abc.abstractmethod
    def _solve(self, X: Any, y: np.ndarray, weights: np.ndarray | None) -> Any:
        """Solve with the parameters of the estimator."""

    def _validate_training(self, X: Any, y: Any) -> tuple[Any, np.ndarray]:
        """Validate training data and record its features; plain arrays pass at once."""
        if not _is_plain(X, y):
            return self._check_training(X, y)
        self.n_features_in_ = X.shape[1]
        if hasattr(self, "feature_names_in_"):
            del self.feature_names_in_
        return X, y

    def _check_training(self, X: Any, y: Any, **options: Any) -> tuple[Any, np.ndarray]:
        """Validate training data as scikit-learn does."""
        return validate_data(self, X, y, accept_sparse=FORMATS, dtype=FLOATS, **options)

    def _validate_new(self, X: Any) -> Any:
        """Validate data given after fit."""
        check_is_fitted(self)
        return validate_data(self, X, accept_sparse=FORMATS, dtype=FLOATS, reset=False)

    def _validate_params(self) -> None:
        """Validate parameters without inspecting the signature at every fit."""
        constraints = self._parameter_constraints
        values = {name: getattr(self, name) for name in constraints}
        validate_parameter_constraints(constraints, values, type(self).__name__)


class PenalisedEstimator(LinearEstimator):
    """Subclasses say which datafit and penalty their parameters mean."""

    @abc.abstractmethod
    def _datafit(self) -> Datafit:
        """Loss of the model."""

    @abc.abstractmethod
    def _penalty(self, total: float) -> Penalty:
        """Penalty of the model, for samples of this total weight."""

    def _rules(self) -> dict[str, Any]:
        """Options of the solver beyond the common ones."""
        return {}

    def _solve(self, X: Any, y: np.ndarray, weights: np.ndarray | None) -> Any:
        """Solve with the parameters of the estimator."""
        total = float(X.shape[0] if weights is None else weights.sum())
        return self._minimise(X, y, weights, self._penalty(total))

    def _minimise(
        self, X: Any, y: np.ndarray, weights: np.ndarray | None, penalty: Penalty
    ) -> CoordinateResult:
        """Minimise the datafit with a penalty."""
        return bcd_solve(
            X,
            y,
            self._datafit(),
            penalty,
            sample_weight=weights,
            fit_intercept=self.fit_intercept,
            max_iter=self.max_iter,
            tol=self.tol,
            verbose=int(self.verbose),
            **self._rules(),
            **self._start(),
        )

    def _start(self) -> dict[str, Any]:
        """Start of a warm fit, where the last solution has the right shape."""
        if not getattr(self, "warm_start", False) or not hasattr(self, "coef_"):
            return {}
        if self.coef_.shape[-1] != self.n_features_in_:
            return {}
        return {"coef_init": self.coef_, "intercept_init": self.intercept_}


class LinearRegressor(RegressorMixin, PenalisedEstimator):
    """A regressor whose model is a datafit and a penalty."""

    def _datafit(self) -> Datafit:
        """Squares."""
        return Quadratic()

    def _check_training(self, X: Any, y: Any, **options: Any) -> tuple[Any, np.ndarray]:
        """Targets are numbers."""
        X, y = super()._check_training(X, y, y_numeric=True, **options)
        return X, check_array(y, dtype=FLOATS, ensure_2d=False, input_name="y")

    def predict(self, X: Any) -> np.ndarray:
        """Predict targets.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Data.

        Returns
        -------
        ndarray of shape (n_samples,)
            Predictions.
        """
        return linear_score(self._validate_new(X), self.coef_, self.intercept_)
