# SPDX-License-Identifier: BSD-3-Clause
"""Relevance vector regression: kernels at the training points as dictionary."""

import numbers
from collections.abc import Callable
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.metrics.pairwise import PAIRWISE_KERNEL_FUNCTIONS, pairwise_kernels
from sklearn.utils.validation import check_is_fitted

from numopt._estimator.sklearn_compat import (
    Interval,
    StrOptions,
    fit_context,
    validate_data,
)
from numopt.sbl._estimators.centring import Centred, centred
from numopt.sbl._estimators.linear import CONSTRAINTS, deviation
from numopt.sbl._estimators.low_rank import compressed, rbf_factor
from numopt.sbl._solvers.general import Options, prior_penalty, solve
from numopt.typing import Array

__all__ = ["RVMRegressor"]


class RVMRegressor(RegressorMixin, BaseEstimator):
    """Relevance vector machine for regression.

    Parameters
    ----------
    kernel : str or callable, default="rbf"
        Kernel, as in ``sklearn.metrics.pairwise.pairwise_kernels``.
    gamma : {"scale", "auto"} or float, default="scale"
        Parameter of "rbf", "poly", "sigmoid" and others; "scale" is
        ``1 / (p X.var())``, "auto" is ``1 / p``.
    degree : float, default=3
        Degree of "poly".
    coef0 : float, default=1
        Constant of "poly" and "sigmoid".
    method : str, default="auto"
        Solver, as in :func:`numopt.sbl.sbl`.
    sparsity_prior : {"beta", "none"} or float, default="none"
        Prior on inclusion; kernel columns are smooth and nearly parallel, which the
        plain evidence handles better.
    noise_var : float, default=None
        Noise variance; None learns it.
    max_iter : int, default=None
        Limit of iterations; None chooses by method.
    tol : float, default=1e-3
        Gain in nats at convergence. Gains along nearly parallel columns are small and
        many; those below the default do not change the fit.
    verbose : int, default=0
        0 silent, 1 progress bar, 2 log lines.

    Attributes
    ----------
    relevance_ : ndarray of int of shape (m,)
        Training points that carry a kernel, sorted; may be empty.
    relevance_vectors_ : ndarray of shape (m, p)
        Those points.
    dual_coef_ : ndarray of shape (m,)
        Posterior mean of their weights.
    sigma_ : ndarray of shape (m, m)
        Posterior covariance of the weights.
    intercept_ : float
        Intercept.
    alpha_ : float
        Noise precision.
    n_iter_ : int
        Iterations.
    result_ : SBLResult
        The whole result for the centred kernel matrix.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of str
        Names of the features, when X has them.

    See Also
    --------
    numopt.sbl.SBLRegressor : The same on given features.

    Notes
    -----
    The matrix of a smooth "rbf" kernel has low numerical rank r. A pivoted Cholesky
    factor then stands for it, and fitting costs O(n r^2), without n^2 kernel values.

    References
    ----------
    M. E. Tipping, "Sparse Bayesian learning and the relevance vector machine",
    JMLR 1, 2001.

    S. Fine and K. Scheinberg, "Efficient SVM training using low-rank kernel
    representations", JMLR 2, 2001.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.sbl import RVMRegressor
    >>> x = np.linspace(-10, 10, 100)
    >>> model = RVMRegressor(gamma=0.1).fit(x[:, None], np.sinc(x / np.pi))
    >>> bool(np.max(np.abs(model.predict(x[:, None]) - np.sinc(x / np.pi))) < 0.02)
    True
    """

    _parameter_constraints: dict[str, Any] = {
        "kernel": [StrOptions(set(PAIRWISE_KERNEL_FUNCTIONS)), callable],
        "gamma": [
            StrOptions({"scale", "auto"}),
            Interval(numbers.Real, 0, None, closed="neither"),
        ],
        "degree": [Interval(numbers.Real, 0, None, closed="left")],
        "coef0": [Interval(numbers.Real, None, None, closed="neither")],
        **{
            name: CONSTRAINTS[name]
            for name in (
                *("method", "sparsity_prior", "noise_var"),
                *("max_iter", "tol", "verbose"),
            )
        },
    }

    def __init__(
        self,
        kernel: str | Callable[..., Array] = "rbf",
        *,
        gamma: str | float = "scale",
        degree: float = 3,
        coef0: float = 1,
        method: str = "auto",
        sparsity_prior: str | float = "none",
        noise_var: float | None = None,
        max_iter: int | None = None,
        tol: float = 1e-3,
        verbose: int = 0,
    ) -> None:
        self.kernel = kernel
        self.gamma = gamma
        self.degree = degree
        self.coef0 = coef0
        self.method = method
        self.sparsity_prior = sparsity_prior
        self.noise_var = noise_var
        self.max_iter = max_iter
        self.tol = tol
        self.verbose = verbose

    def _columns(self, X: np.ndarray, points: np.ndarray) -> np.ndarray:
        """Kernel between points, one column for each of the second."""
        if callable(self.kernel):
            return pairwise_kernels(X, points, metric=self.kernel)
        options = {"gamma": self._gamma, "degree": self.degree, "coef0": self.coef0}
        return pairwise_kernels(
            X, points, metric=self.kernel, filter_params=True, **options
        )

    def _data(self, X: np.ndarray, y: np.ndarray) -> Centred:
        """Centred kernel regression, compressed where the kernel has low rank."""
        Y = np.asarray(y, np.float64)[:, None]
        if self.kernel == "rbf" and self.method in ("auto", "fast"):
            factor = rbf_factor(np.asarray(X, np.float64), self._gamma)
            if factor is not None:
                return compressed(factor, Y)
        return centred(self._columns(X, X), Y, None, True, implicit=False)

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any) -> Self:
        """Fit the model.

        Parameters
        ----------
        X : array of shape (n, p)
            Points.
        y : array of shape (n,)
            Target.

        Returns
        -------
        RVMRegressor
            The fitted estimator.
        """
        X, y = validate_data(self, X, y, y_numeric=True, dtype=(np.float64, np.float32))
        if self.gamma == "scale":
            var = float(X.var())
            self._gamma = 1.0 / (X.shape[1] * var) if var > 0 else 1.0
        else:
            self._gamma = 1.0 / X.shape[1] if self.gamma == "auto" else self.gamma
        data = self._data(X, y)
        options = Options(
            noise_var=self.noise_var,
            penalty=prior_penalty(self.sparsity_prior),
            tol=self.tol,
            max_iter=self.max_iter,
            verbose=self.verbose,
        )
        method = "fast" if self.method == "auto" else self.method
        result = solve(data.problem, method, options, gram=data.gram)
        self.relevance_ = result.active
        self.relevance_vectors_ = X[result.active]
        self.dual_coef_ = result.coef[result.active].reshape(-1)
        self.sigma_, self.alpha_ = result.cov, 1.0 / result.noise_var
        self._column_mean = data.x_mean[result.active]
        self.intercept_ = float(data.y_mean[0] - self._column_mean @ self.dual_coef_)
        self.n_iter_, self.result_ = max(1, result.n_iter), result
        return self

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """Predict, with the standard deviation of a new observation on request.

        Parameters
        ----------
        X : array of shape (n, p)
            Points.
        return_std : bool, default=False
            Whether to return standard deviations, noise included.

        Returns
        -------
        ndarray of shape (n,), or two of them
            Predictions, and standard deviations with ``return_std``.
        """
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=(np.float64, np.float32))
        K = np.empty((X.shape[0], 0))
        if self.relevance_.size:
            K = self._columns(X, self.relevance_vectors_)
        mean = K @ self.dual_coef_ + self.intercept_
        if not return_std:
            return mean
        every = np.arange(K.shape[1])
        return mean, deviation(K, every, self._column_mean, self.sigma_, self.alpha_)
