# SPDX-License-Identifier: BSD-3-Clause
"""Linear regression with automatic relevance determination."""

import functools
import inspect
import math
import numbers
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from numopt._array.sparse import is_sparse
from numopt._docstring import fill_docstring
from numopt._estimator.sklearn_compat import (
    Interval,
    StrOptions,
    fit_context,
    validate_data,
)
from numopt.sbl._estimators.centring import (
    Centred,
    Sums,
    centred,
    check_weights,
    column_sums,
    summed,
)
from numopt.sbl._solvers.fast import GramRows
from numopt.sbl._solvers.general import METHODS, Options, prior_penalty, solve
from numopt.sbl._solvers.result import SBLResult

__all__ = [
    "CONSTRAINTS",
    "FLOATS",
    "LINEAR_DOCS",
    "LinearSBL",
    "MultiTaskSBL",
    "SBLRegressor",
]

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

FLOATS = (np.float64, np.float32)

#: Parts of docstrings that the linear models share.
LINEAR_DOCS = {
    "choice": """
    method : str, default="auto"
        Solver, as in :func:`numopt.sbl.sbl`; "auto" is "fast".
    sparsity_prior : {"beta", "none"} or float, default="beta"
        Prior on the inclusion of a feature, as in :func:`numopt.sbl.sbl`.
    fit_intercept : bool, default=True
        Whether to centre the data.
    """,
    "limits": """
    max_iter : int, default=None
        Limit of iterations; None chooses by method.
    tol : float, default=1e-5
        Gain in nats (or relative change) at convergence.
    verbose : int, default=0
        0 silent, 1 progress bar, 2 log lines.
    random_state : int, RandomState or None, default=None
        Seed of the draws of "cofem".
    """,
    "fitted": """
    alpha_ : float
        Noise precision.
    lambda_ : ndarray of shape (p,)
        Prior precisions, infinite for features left out.
    scores_ : ndarray
        Log evidence along the iterations.
    n_iter_ : int
        Iterations.
    """,
    "names": """
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of str
        Names of the features, when X has them.
    """,
}

#: Attributes that several independent targets turn into lists.
PER_TARGET = (
    *("result_", "active_", "sigma_", "alpha_", "lambda_", "scores_"),
    *("_x_mean", "_offset"),
)


class LinearSBL(RegressorMixin, BaseEstimator):
    """Shared fitting of linear models: centre, solve, undo."""

    _parameter_constraints: dict[str, Any] = {}
    result_: Any
    active_: Any
    sigma_: Any
    alpha_: Any
    lambda_: Any
    scores_: Any
    coef_: Any
    intercept_: Any
    _x_mean: Any
    _offset: Any
    fit_intercept: bool

    @classmethod
    @functools.cache
    def _get_param_names(cls) -> list[str]:
        """Names of the parameters, found once: a small fit notices the search."""
        return super()._get_param_names()

    def __sklearn_tags__(self) -> Any:
        """Sparse matrices are taken."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def _validate_params(self) -> None:
        """Parameters left at their defaults need no check: a small fit notices it."""
        if any(getattr(self, key) is not value for key, value in self._defaults()):
            super()._validate_params()

    @classmethod
    @functools.cache
    def _defaults(cls) -> list[tuple[str, Any]]:
        """Parameters that have a default, and it."""
        known = inspect.signature(cls).parameters.items()
        return [(key, one.default) for key, one in known]

    def _validated(
        self, X: Any, y: Any, **options: Any
    ) -> tuple[Any, np.ndarray, Sums | None]:
        """Check the data; plain arrays of doubles skip what cannot concern them.

        Sums over the columns show whether all entries are finite, and are of use later.
        They may overflow: the general validation then decides.
        """
        if _is_plain(X, y, **options):
            target = np.ascontiguousarray(y) if y.ndim == 1 else np.empty(0)
            sums = column_sums(X, target, self.fit_intercept)
            if sums.finite and (y.ndim == 1 or math.isfinite(y.sum())):
                self.n_features_in_ = X.shape[1]
                if hasattr(self, "feature_names_in_"):
                    del self.feature_names_in_
                return X, y, sums
        options |= {"accept_sparse": ("csr", "csc"), "dtype": FLOATS}
        return *validate_data(self, X, y, y_numeric=True, **options), None

    def _keep(self, result: SBLResult, data: Centred) -> None:
        """Set the attributes common to all linear models."""
        self.result_ = result
        self.active_ = result.active
        self.sigma_ = result.cov
        self.alpha_ = 1.0 / result.noise_var
        self.lambda_ = np.full(result.gamma.shape, np.inf)
        self.lambda_[self.active_] = 1.0 / result.gamma[self.active_]
        self.scores_ = result.history.get("log_evidence", np.empty(0))
        self.n_iter_ = max(1, result.n_iter)
        self._x_mean = data.x_mean[self.active_]
        coef = result.coef.reshape(data.x_mean.size, -1)
        self._offset = data.y_mean - data.x_mean @ coef

    def _std(self, X: Any) -> np.ndarray:
        """Standard deviation of a new observation, noise included."""
        return deviation(X, self.active_, self._x_mean, self.sigma_, self.alpha_)

    def _predict(self, X: Any, return_std: bool) -> Any:
        """Predictions for new data, and their standard deviations on request."""
        check_is_fitted(self)
        X = validate_data(
            self, X, accept_sparse=("csr", "csc"), reset=False, dtype=FLOATS
        )
        mean = X @ self.coef_.T + self.intercept_
        return (mean, self._std(X)) if return_std else mean


class _EvidenceRegressor(LinearSBL):
    """Parameters and fitting that one and several targets share."""

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

    def _data(self, X: Any, y: Any, sample_weight: Any) -> Centred:
        """Validate, and centre all targets."""
        X, y, sums = self._validated(X, y, multi_output=True)
        implicit = self.method in ("auto", "fast")
        self._many = y.ndim == 2
        if sums is not None and sample_weight is None and implicit and not self._many:
            data = summed(X, y, sums, self.fit_intercept)
            if data is not None:
                return data
        weights = check_weights(sample_weight, X)
        Y = np.asarray(y, np.float64)
        return centred(
            X,
            Y if self._many else Y[:, None],
            weights,
            self.fit_intercept,
            implicit=implicit,
            sums=sums,
        )

    def _solve(self, data: Centred, gram: GramRows) -> SBLResult:
        """Solve and set the common attributes."""
        options = Options(
            noise_var=self.noise_var,
            penalty=prior_penalty(self.sparsity_prior),
            tol=self.tol,
            max_iter=self.max_iter,
            random_state=self.random_state,
            verbose=self.verbose,
        )
        method = "fast" if self.method == "auto" else self.method
        result = solve(data.problem, method, options, gram=gram, products=data.products)
        self._keep(result, data)
        return result


def deviation(
    X: Any, active: np.ndarray, mean: np.ndarray, sigma: np.ndarray, alpha: float
) -> np.ndarray:
    """Standard deviations of new observations of one model, noise included."""
    Z = X[:, active]
    Z = (Z.toarray() if is_sparse(Z) else Z) - mean
    var = np.einsum("ij,ij->i", Z @ sigma, Z)
    return np.sqrt(np.maximum(var, 0.0) + 1.0 / alpha)


def _is_plain(X: Any, y: Any, multi_output: bool = False) -> bool:
    """Whether both are matching arrays of doubles, X in C order."""
    return (
        type(X) is np.ndarray
        and type(y) is np.ndarray
        and X.dtype == y.dtype == np.float64
        and X.ndim == 2
        and (y.ndim == 1 or (multi_output and y.ndim == 2 and y.size > 0))
        and X.flags.c_contiguous
        and X.shape[0] == y.shape[0] > 1
        and X.shape[1] > 0
    )


@fill_docstring(**LINEAR_DOCS)
class SBLRegressor(MultiOutputMixin, _EvidenceRegressor):
    """Linear regression that finds its features and gives error bars.

    A replacement of ``sklearn.linear_model.ARDRegression``: the prior variance of
    each coefficient maximises the evidence, most become zero.

    Parameters
    ----------
    {choice}
    noise_var : float, default=None
        Noise variance; None learns it.
    {limits}

    Attributes
    ----------
    coef_ : ndarray of shape (p,) or (L, p)
        Posterior mean; exactly zero for features left out.
    intercept_ : float or ndarray of shape (L,)
        Intercept.
    active_ : ndarray of int of shape (m,)
        Features that are in, sorted.
    sigma_ : ndarray of shape (m, m)
        Posterior covariance of the coefficients of ``active_``.
    {fitted}
    result_ : SBLResult
        The whole result for the centred data.
    {names}

    See Also
    --------
    numopt.sbl.sbl : The function behind it.

    Notes
    -----
    The answer does not change with the units of features or target. Weights of
    samples count as repetitions. For a matrix of L targets ``active_``, ``sigma_``,
    ``scores_`` and ``result_`` are lists, ``alpha_`` has shape (L,) and ``lambda_``
    (L, p); :class:`MultiTaskSBL` makes targets share their features instead.

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
        y : array of shape (n,) or (n, L)
            Target; the columns of several are fitted one by one.
        sample_weight : array of shape (n,), default=None
            Weights; a weight of two is a sample given twice.

        Returns
        -------
        SBLRegressor
            The fitted estimator.
        """
        data = self._data(X, y, sample_weight)
        if self._many:
            return self._fit_each(data)
        result = self._solve(data, data.gram)
        self.coef_ = result.coef.reshape(-1)
        self.intercept_ = float(self._offset[0])
        return self

    def _fit_each(self, data: Centred) -> Self:
        """Fit the targets one by one; attributes become lists or gain an axis."""
        fits, gram = [], data.gram
        for k in range(data.y_mean.size):
            self._solve(data.target(k), gram)
            fits.append([getattr(self, name) for name in PER_TARGET])
        for name, values in zip(PER_TARGET, zip(*fits, strict=True), strict=True):
            setattr(self, name, list(values))
        self.coef_ = np.stack([one.coef.reshape(-1) for one in self.result_])
        self.intercept_ = np.concatenate(self._offset)
        self.alpha_, self.lambda_ = np.array(self.alpha_), np.stack(self.lambda_)
        self.n_iter_ = max(max(1, one.n_iter) for one in self.result_)
        return self

    def _std(self, X: Any) -> np.ndarray:
        """Standard deviations, a column for each target of several."""
        if isinstance(self.active_, np.ndarray):
            return super()._std(X)
        parts = zip(self.active_, self._x_mean, self.sigma_, self.alpha_, strict=True)
        return np.stack([deviation(X, *part) for part in parts], axis=1)

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
        ndarray of shape (n,) or (n, L), or two of them
            Predictions, and standard deviations with ``return_std``.
        """
        return self._predict(X, return_std)


@fill_docstring(**LINEAR_DOCS)
class MultiTaskSBL(MultiOutputMixin, _EvidenceRegressor):
    """Linear regression of several targets that share their features.

    Parameters
    ----------
    {choice}
    noise_var : float, default=None
        Noise variance, one for all targets; None learns it.
    {limits}

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
    {fitted}
    result_ : SBLResult
        The whole result for the centred data.
    {names}

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
        data = self._data(X, y, sample_weight)
        coef = self._solve(data, data.gram).coef
        self.coef_ = np.ascontiguousarray(coef.reshape(data.x_mean.size, -1).T)
        self.intercept_ = self._offset
        if not self._many:
            self.coef_, self.intercept_ = self.coef_[0], float(self._offset[0])
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
        return self._predict(X, return_std)
