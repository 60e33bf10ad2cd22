# SPDX-License-Identifier: BSD-3-Clause
"""What the linear estimators of the family share."""

from numbers import Integral, Real
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from numopt._estimator.sklearn_compat import (
    Interval,
    check_sample_weight,
    fit_context,
    validate_data,
)
from numopt.coordinate._problem.datafits import Datafit, Quadratic
from numopt.coordinate._problem.penalties import Penalty
from numopt.coordinate._solvers.bcd import bcd_solve
from numopt.coordinate._solvers.results import CoordinateResult

__all__ = ["SPARSE", "STOPPING", "LinearEstimator", "LinearRegressor", "linear_score"]

SPARSE = ("csc", "csr", "coo")
#: Constraints of the parameters that every estimator has.
STOPPING = {
    "max_iter": [Interval(Integral, 1, None, closed="left")],
    "tol": [Interval(Real, 0, None, closed="neither")],
    "verbose": [Interval(Integral, 0, None, closed="left"), "boolean"],
}


def linear_score(X: Any, coef: np.ndarray, intercept: Any) -> np.ndarray:
    """Return ``X coef^T + intercept`` as a dense array."""
    return np.asarray(X @ coef.T) + intercept


class LinearEstimator(BaseEstimator):
    """Validation, warm start and fitted attributes of one solve."""

    def __sklearn_tags__(self) -> Any:
        """Sparse input is accepted."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def _validate_new(self, X: Any) -> Any:
        """Validate data given after fit."""
        check_is_fitted(self)
        return validate_data(
            self, X, accept_sparse=SPARSE, dtype=[np.float64, np.float32], reset=False
        )

    def _weights(self, sample_weight: Any, X: Any) -> np.ndarray | None:
        if sample_weight is None:
            return None
        return check_sample_weight(sample_weight, X, dtype=np.float64)

    def _solve(
        self,
        X: Any,
        y: np.ndarray,
        datafit: Datafit,
        penalty: Penalty,
        weights: np.ndarray | None,
        **options: Any,
    ) -> CoordinateResult:
        """Solve with the parameters of the estimator."""
        return bcd_solve(
            X,
            y,
            datafit,
            penalty,
            sample_weight=weights,
            fit_intercept=self.fit_intercept,
            max_iter=self.max_iter,
            tol=self.tol,
            verbose=int(self.verbose),
            **options,
        )

    def _record(self, result: CoordinateResult) -> None:
        """Set the fitted attributes that all share."""
        self.n_iter_ = result.n_iter
        self.dual_gap_ = result.dual_gap
        self.history_ = result.history
        self.result_ = result


class LinearRegressor(RegressorMixin, LinearEstimator):
    """A regressor whose model is a datafit and a penalty."""

    def _datafit(self) -> Datafit:
        return Quadratic()

    def _penalty(self) -> Penalty:
        raise NotImplementedError

    def _rules(self) -> dict[str, Any]:
        """Options of the solver beyond the stopping ones."""
        return {}

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit the model.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Training data; Fortran order or CSC avoids a copy.
        y : array-like of shape (n_samples,)
            Targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights; integers are the same as repeated rows.

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
        options = self._rules()
        if getattr(self, "warm_start", False) and hasattr(self, "coef_"):
            options["coef_init"] = self.coef_
            options["intercept_init"] = self.intercept_
        weights = self._weights(sample_weight, X)
        result = self._solve(X, y, self._datafit(), self._penalty(), weights, **options)
        self.coef_, self.intercept_ = result.coef, result.intercept
        self._record(result)
        return self

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
        X = self._validate_new(X)
        return linear_score(X, self.coef_, self.intercept_)
