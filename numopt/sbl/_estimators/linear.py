# SPDX-License-Identifier: BSD-3-Clause
"""Linear regression with automatic relevance determination."""

import numbers
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin

from numopt._array.namespace import read_only
from numopt._array.sparse import is_sparse
from numopt._estimator.sklearn_compat import (
    Interval,
    StrOptions,
    check_sample_weight,
    fit_context,
    validate_data,
)
from numopt.sbl._kernels import centre_columns
from numopt.sbl._problem import SBLProblem
from numopt.sbl._solvers.general import METHODS, prior_penalty, sbl, solve_fast
from numopt.sbl._solvers.result import SBLResult, zero_fields

__all__ = ["MultiTaskSBL", "SBLRegressor"]

CONSTRAINTS: dict[str, Any] = {
    "method": [StrOptions(set(METHODS))],
    "sparsity_prior": [
        StrOptions({"beta", "none"}),
        Interval(numbers.Real, 0, None, closed="left"),
    ],
    "fit_intercept": ["boolean"],
    "noise_var": [None, Interval(numbers.Real, 0, None, closed="neither")],
    "max_iter": [None, Interval(numbers.Integral, 1, None, closed="left")],
    "tol": [Interval(numbers.Real, 0, None, closed="left")],
    "verbose": ["verbose"],
    "random_state": ["random_state"],
}

#: A column whose centred energy is below this part of its raw energy is constant.
ROUNDING = 1e-24
FLOATS = (np.float64, np.float32)


class _LinearSBL(RegressorMixin, BaseEstimator):
    """Shared fitting: centre once, solve, undo."""

    _parameter_constraints: dict[str, Any] = CONSTRAINTS

    def __init__(
        self,
        *,
        method: str = "auto",
        sparsity_prior: str | float = "beta",
        fit_intercept: bool = True,
        noise_var: float | None = None,
        max_iter: int | None = None,
        tol: float = 1e-5,
        verbose: int = 0,
        random_state: Any = None,
    ) -> None:
        self.method = method
        self.sparsity_prior = sparsity_prior
        self.fit_intercept = fit_intercept
        self.noise_var = noise_var
        self.max_iter = max_iter
        self.tol = tol
        self.verbose = verbose
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        """Sparse matrices are taken."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def _solve(self, X: Any, Y: np.ndarray, weights: np.ndarray) -> SBLResult:
        """Centre, solve and set the attributes common to one and many outputs."""
        sparse = is_sparse(X)
        make = _centred_sparse if sparse else _centred_dense
        problem, x_mean, y_mean, energies = make(X, Y, weights, self.fit_intercept)
        options = {"noise_var": self.noise_var, "tol": self.tol}
        options |= {"max_iter": self.max_iter, "verbose": self.verbose}
        if not np.any(problem.Y):
            result = SBLResult(**zero_fields(problem, self.noise_var))
        elif self.method in ("auto", "fast"):
            penalty = prior_penalty(self.sparsity_prior)
            result = solve_fast(
                problem,
                penalty=penalty,
                energies=energies,
                mean=x_mean if sparse and self.fit_intercept else None,
                **options,
            )
        else:
            A = problem.A
            if sparse:  # the other solvers need entries, so the mean goes into them
                A = A.toarray() - np.sqrt(weights)[:, None] * x_mean
            result = sbl(
                A,
                problem.Y,
                method=self.method,
                random_state=self.random_state,
                **options,
            )
        self.result_ = result
        self.active_ = result.active
        self.sigma_ = result.cov
        self.alpha_ = 1.0 / result.noise_var
        with np.errstate(divide="ignore"):
            self.lambda_ = 1.0 / result.gamma
        self.scores_ = result.history.get("log_evidence", np.empty(0))
        self.n_iter_ = max(1, result.n_iter)
        self._x_mean = x_mean[self.active_]
        coef = result.coef.reshape(X.shape[1], -1)
        self._offset = y_mean - x_mean @ coef
        return result

    def _std(self, X: Any) -> np.ndarray:
        """Standard deviation of a new observation, noise included."""
        Z = X[:, self.active_]
        Z = (Z.toarray() if is_sparse(Z) else Z) - self._x_mean
        var = np.einsum("ij,ij->i", Z @ self.sigma_, Z)
        return np.sqrt(np.maximum(var, 0.0) + 1.0 / self.alpha_)

    def _new(self, X: Any) -> Any:
        from sklearn.utils.validation import check_is_fitted

        check_is_fitted(self)
        return validate_data(
            self, X, accept_sparse=("csr", "csc"), reset=False, dtype=FLOATS
        )


def _centred_dense(
    X: np.ndarray, Y: np.ndarray, weights: np.ndarray, centre: bool
) -> tuple[SBLProblem, np.ndarray, np.ndarray, np.ndarray | None]:
    X = np.ascontiguousarray(X, np.float64)
    Z, R, x_mean, y_mean, raw = centre_columns(
        read_only(X), np.ascontiguousarray(Y), weights, centre
    )
    rows = float(weights.sum())
    if centre:
        # What is left of a constant column is rounding, not a feature.
        energy = np.einsum("ij,ij->j", Z, Z)
        constant = energy <= ROUNDING * raw * rows
        if constant.any():
            Z[:, constant] = 0.0
            energy[constant] = 0.0
        level = ROUNDING * rows * y_mean**2
        R[:, np.einsum("ij,ij->j", R, R) <= level] = 0.0
    else:
        energy = raw * rows
    problem = SBLProblem(A=Z, Y=R, vector=R.shape[1] == 1, rows=rows)
    return problem, x_mean, y_mean, energy


def _centred_sparse(
    X: Any, Y: np.ndarray, weights: np.ndarray, centre: bool
) -> tuple[SBLProblem, np.ndarray, np.ndarray, np.ndarray]:
    """Sparse data stay as they are: means are subtracted from products only."""
    from scipy.sparse import csc_array, diags_array

    rows = float(weights.sum())
    root = np.sqrt(weights)
    x_mean, y_mean = np.zeros(X.shape[1]), np.zeros(Y.shape[1])
    if centre:
        x_mean, y_mean = X.T @ weights / rows, weights @ Y / rows
    A = csc_array(diags_array(root) @ csc_array(X, dtype=np.float64))
    R = root[:, None] * (Y - y_mean)
    R[:, np.sum(R * R, axis=0) <= ROUNDING * rows * y_mean**2] = 0.0
    raw = np.asarray(A.multiply(A).sum(axis=0)).ravel()
    energy = raw - rows * x_mean**2
    energy[energy <= 1e-13 * raw] = 0.0
    problem = SBLProblem(A=A, Y=R, vector=R.shape[1] == 1, rows=rows)
    return problem, x_mean, y_mean, energy


class SBLRegressor(_LinearSBL):
    """Linear regression that finds its features and gives error bars.

    A replacement of ``sklearn.linear_model.ARDRegression``: the prior variance of
    each coefficient maximises the evidence, most become zero.

    Parameters
    ----------
    method : str, default="auto"
        Solver, as in :func:`numopt.sbl.sbl`; "auto" is "fast".
    sparsity_prior : {"beta", "none"} or float, default="beta"
        Prior on the inclusion of a feature, as in :func:`numopt.sbl.sbl`.
    fit_intercept : bool, default=True
        Whether to centre the data.
    noise_var : float, default=None
        Noise variance; None learns it.
    max_iter : int, default=None
        Limit of iterations; None chooses by method.
    tol : float, default=1e-5
        Gain in nats (or relative change) at convergence.
    verbose : int, default=0
        0 silent, 1 progress bar, 2 log lines.
    random_state : int, RandomState or None, default=None
        Seed of the probes of "cofem".

    Attributes
    ----------
    coef_ : ndarray of shape (p,)
        Posterior mean; exactly zero for features left out.
    intercept_ : float
        Intercept.
    active_ : ndarray of int of shape (m,)
        Features that are in, sorted.
    sigma_ : ndarray of shape (m, m)
        Posterior covariance of the coefficients of ``active_``.
    alpha_ : float
        Noise precision.
    lambda_ : ndarray of shape (p,)
        Prior precisions, infinite for features left out.
    scores_ : ndarray
        Log evidence along the iterations.
    n_iter_ : int
        Iterations.
    result_ : SBLResult
        The whole result for the centred data.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of str
        Names of the features, when X has them.

    See Also
    --------
    numopt.sbl.sbl : The function behind it.

    Notes
    -----
    The answer does not change with the units of features or target. Weights of
    samples count as repetitions.

    References
    ----------
    M. E. Tipping and A. C. Faul, "Fast marginal likelihood maximisation for sparse
    Bayesian models", AISTATS 2003.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from numopt.sbl import SBLRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = SBLRegressor().fit(X, y)
    >>> model.active_
    array([1, 2, 3, 4, 6, 8, 9])
    >>> mean, std = model.predict(X[:2], return_std=True)
    >>> std.shape
    (2,)
    """

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit the model.

        Parameters
        ----------
        X : array or sparse matrix of shape (n, p)
            Features.
        y : array of shape (n,)
            Target.
        sample_weight : array of shape (n,), default=None
            Weights; a weight of two is a sample given twice.

        Returns
        -------
        SBLRegressor
            The fitted estimator.
        """
        X, y = validate_data(
            self, X, y, accept_sparse=("csr", "csc"), y_numeric=True, dtype=FLOATS
        )
        weights = _weights(sample_weight, X)
        result = self._solve(X, np.asarray(y, np.float64)[:, None], weights)
        self.coef_ = result.coef.reshape(-1)
        self.intercept_ = float(self._offset[0])
        return self

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """Predict, with the standard deviation of a new observation on request.

        Parameters
        ----------
        X : array or sparse matrix of shape (n, p)
            Features.
        return_std : bool, default=False
            Whether to return standard deviations, noise included.

        Returns
        -------
        ndarray of shape (n,), or two of them
            Predictions, and standard deviations with ``return_std``.
        """
        X = self._new(X)
        mean = X @ self.coef_ + self.intercept_
        return (mean, self._std(X)) if return_std else mean


class MultiTaskSBL(MultiOutputMixin, _LinearSBL):
    """Linear regression of several targets that share their features.

    Parameters
    ----------
    method : str, default="auto"
        Solver, as in :func:`numopt.sbl.sbl`; "auto" is "fast".
    sparsity_prior : {"beta", "none"} or float, default="beta"
        Prior on the inclusion of a feature, as in :func:`numopt.sbl.sbl`.
    fit_intercept : bool, default=True
        Whether to centre the data.
    noise_var : float, default=None
        Noise variance, one for all targets; None learns it.
    max_iter : int, default=None
        Limit of iterations; None chooses by method.
    tol : float, default=1e-5
        Gain in nats (or relative change) at convergence.
    verbose : int, default=0
        0 silent, 1 progress bar, 2 log lines.
    random_state : int, RandomState or None, default=None
        Seed of the probes of "cofem".

    Attributes
    ----------
    coef_ : ndarray of shape (L, p)
        Posterior mean.
    intercept_ : ndarray of shape (L,)
        Intercepts.
    active_ : ndarray of int of shape (m,)
        Features that are in, sorted.
    sigma_ : ndarray of shape (m, m)
        Posterior covariance of the coefficients of each target.
    alpha_ : float
        Noise precision.
    lambda_ : ndarray of shape (p,)
        Prior precisions, infinite for features left out.
    scores_ : ndarray
        Log evidence along the iterations.
    n_iter_ : int
        Iterations.
    result_ : SBLResult
        The whole result for the centred data.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of str
        Names of the features, when X has them.

    See Also
    --------
    numopt.sbl.SBLRegressor : One target.

    References
    ----------
    D. P. Wipf and B. D. Rao, "An empirical Bayesian strategy for solving the
    simultaneous sparse approximation problem", IEEE TSP 55, 2007.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.sbl import MultiTaskSBL
    >>> X = np.random.default_rng(0).standard_normal((30, 8))
    >>> model = MultiTaskSBL().fit(X, X[:, [1]] @ [[1.0, -2.0]] + 3.0)
    >>> model.active_, np.round(model.coef_[:, 1], 2)
    (array([1]), array([ 1., -2.]))
    """

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit the model.

        Parameters
        ----------
        X : array or sparse matrix of shape (n, p)
            Features.
        y : array of shape (n,) or (n, L)
            Targets.
        sample_weight : array of shape (n,), default=None
            Weights; a weight of two is a sample given twice.

        Returns
        -------
        MultiTaskSBL
            The fitted estimator.
        """
        X, y = validate_data(
            self,
            X,
            y,
            accept_sparse=("csr", "csc"),
            y_numeric=True,
            multi_output=True,
            dtype=FLOATS,
        )
        Y = np.asarray(y, np.float64)
        result = self._solve(X, Y.reshape(X.shape[0], -1), _weights(sample_weight, X))
        coef = result.coef.reshape(X.shape[1], -1).T
        self.coef_ = coef[0] if Y.ndim == 1 else np.ascontiguousarray(coef)
        self.intercept_ = float(self._offset[0]) if Y.ndim == 1 else self._offset
        return self

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """Predict, with the standard deviation of new observations on request.

        Parameters
        ----------
        X : array or sparse matrix of shape (n, p)
            Features.
        return_std : bool, default=False
            Whether to return standard deviations, noise included.

        Returns
        -------
        ndarray of shape (n, L), or with an ndarray of shape (n,)
            Predictions, and standard deviations (those of all targets) on request.
        """
        X = self._new(X)
        mean = X @ self.coef_.T + self.intercept_
        return (mean, self._std(X)) if return_std else mean


def _weights(sample_weight: Any, X: Any) -> np.ndarray:
    if sample_weight is None:
        return np.ones(X.shape[0])
    weights = check_sample_weight(
        sample_weight, X, dtype=np.float64, ensure_non_negative=True
    )
    if not np.any(weights > 0):
        raise ValueError("`sample_weight` must have a positive entry, got zeros only")
    return weights
