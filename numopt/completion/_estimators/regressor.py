# SPDX-License-Identifier: BSD-3-Clause
"""Regression of a value on a (row, column) pair: ratings, tables as triplets."""

from numbers import Integral, Real
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.utils.validation import check_is_fitted

from numopt._estimator.sklearn_compat import (
    Interval,
    Options,
    StrOptions,
    check_sample_weight,
    fit_context,
    validate_data,
)
from numopt._validation import check_int, check_real, message
from numopt.completion._estimators.intervals import Calibration
from numopt.completion._estimators.pairs import Triplets, check_pairs
from numopt.completion._estimators.update import (
    predictive_std,
    values_at,
    with_solved_rows,
)
from numopt.completion._solvers.options import METHODS
from numopt.typing import Array

__all__ = ["MatrixCompletionRegressor"]

#: The variances count as settled at this multiple of `tol`.
SETTLED = 100
#: Rows whose scores are held at once in `recommend`.
CHUNK_ROWS = 1024


class MatrixCompletionRegressor(RegressorMixin, BaseEstimator):
    """Predict the entries of a matrix from some of them.

    The model is ``y_ij = intercept + row_bias_i + col_bias_j + u_i . v_j``. With
    ``alpha="auto"`` it is a variational Bayes factorisation that learns noise and
    shrinkage; with a number the factors carry a ridge.

    Parameters
    ----------
    rank : int, default=20
        Number of factors; at most ``min(shape)`` are used.
    alpha : "auto" or float, default="auto"
        Ridge of the factors.
    alpha_scaling : {"count", "constant"}, default="count"
        Whether a numeric ridge is multiplied by the number of entries of a line.
    bias : {"both", "row", "col", "none"}, default="both"
        Which biases the model has.
    alpha_bias : float, default=None
        Ridge of the biases; None means ``alpha``.
    shape : tuple of int, default=None
        Shape of the matrix; None takes the largest indices of the training data.
    method : str, default="auto"
        A method of `complete`.
    loss : {"squared", "huber", "l1"}, default="squared"
        Loss of the entries.
    nonnegative : bool, default=False
        Non-negative factors; needs ``bias="none"`` and a numeric ``alpha``.
    clip_range : tuple of float, default=None
        Lower and upper bound of predictions, e.g. (0.5, 5).
    inner : {"auto", "cholesky", "cg"}, default="auto"
        How the small systems of "als" are solved.
    cg_steps : int, default=3
        Steps of the inner conjugate gradients.
    max_iter : int, default=30
        Largest number of sweeps.
    tol : float, default=1e-4
        Stop when the relative change of the objective falls below; for
        ``alpha="auto"`` when those of the variances of noise and components fall
        below ``100 * tol`` (see Notes).
    early_stopping : bool, default=False
        Whether to stop when the error on a validation share rises.
    validation_fraction : float, default=0.1
        Share set aside for early stopping and for the calibration of intervals.
    random_state : int, RandomState or None, default=None
        Seed.
    n_jobs : int, default=None
        Number of threads; None leaves numopt's setting.
    verbose : int, default=0
        0 silent, 1 progress bar, 2 log lines.

    Attributes
    ----------
    row_factors_ : ndarray of shape (m, rank)
        Factors u.
    col_factors_ : ndarray of shape (n, rank)
        Factors v.
    row_bias_ : ndarray of shape (m,)
        Row biases, 0 when there are none.
    col_bias_ : ndarray of shape (n,)
        Column biases, 0 when there are none.
    intercept_ : float
        Weighted mean of the training values.
    noise_variance_ : float
        Variance of the values around the model.
    shape_ : tuple of int
        Shape of the matrix.
    rank_ : int
        Number of factors.
    n_iter_ : int
        Number of sweeps.
    converged_ : bool
        Whether ``tol`` was reached.
    history_ : dict of str to ndarray
        Objective, residual and time, one entry a sweep.
    result_ : CompletionResult
        Result of the solver.
    n_features_in_ : int
        Always 2.

    See Also
    --------
    LowRankImputer : The same for tables with holes.
    numopt.completion.complete : The solvers.

    Notes
    -----
    The posterior of the evidence model factorises over rows and columns, which makes
    it too sure of itself: after the variances have settled to about one percent,
    more sweeps fit the noise. On ratings that costs more than it gains, hence the
    coarse stopping rule.

    Pairs with an unseen row or column are predicted from the intercept and the known
    bias. Intervals are split-conformal: a second model, fitted without a
    ``validation_fraction`` of the entries, gives absolute errors, whose quantile, by
    how often the row was seen, is the half width; it is fitted at the first call.

    References
    ----------
    Lim and Teh, "Variational Bayesian approach to movie rating prediction", KDD Cup
    workshop, 2007. Gui, Barber and Ma, "Conformalized matrix completion",
    arXiv:2305.10637, 2023.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.completion import MatrixCompletionRegressor
    >>> from numopt.datasets import make_low_rank
    >>> rows, cols, values, U, V = make_low_rank(60, 50, 2, random_state=0)
    >>> X = np.column_stack([rows, cols])
    >>> model = MatrixCompletionRegressor(rank=2, alpha=0.01, bias="none").fit(
    ...     X, values
    ... )
    >>> model.score(X, values) > 0.95
    True
    """

    _parameter_constraints: dict[str, list[Any]] = {
        "rank": [Interval(Integral, 1, None, closed="left")],
        "alpha": [StrOptions({"auto"}), Interval(Real, 0, None, closed="left")],
        "alpha_scaling": [StrOptions({"constant", "count"})],
        "bias": [StrOptions({"none", "row", "col", "both"})],
        "alpha_bias": [Interval(Real, 0, None, closed="left"), None],
        "shape": [tuple, list, None],
        "method": [StrOptions(set(METHODS))],
        "loss": [StrOptions({"squared", "huber", "l1"})],
        "nonnegative": ["boolean"],
        "clip_range": [tuple, list, None],
        "inner": [StrOptions({"auto", "cholesky", "cg"})],
        "cg_steps": [Interval(Integral, 1, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="neither")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "random_state": ["random_state"],
        "n_jobs": [Integral, None],
        "verbose": [Options(Integral, {0, 1, 2}), "boolean"],
    }

    def __init__(
        self,
        rank: int = 20,
        *,
        alpha: Any = "auto",
        alpha_scaling: str = "count",
        bias: str = "both",
        alpha_bias: float | None = None,
        shape: tuple[int, int] | None = None,
        method: str = "auto",
        loss: str = "squared",
        nonnegative: bool = False,
        clip_range: tuple[float, float] | None = None,
        inner: str = "auto",
        cg_steps: int = 3,
        max_iter: int = 30,
        tol: float = 1e-4,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        random_state: Any = None,
        n_jobs: int | None = None,
        verbose: int = 0,
    ) -> None:
        self.rank = rank
        self.alpha = alpha
        self.alpha_scaling = alpha_scaling
        self.bias = bias
        self.alpha_bias = alpha_bias
        self.shape = shape
        self.method = method
        self.loss = loss
        self.nonnegative = nonnegative
        self.clip_range = clip_range
        self.inner = inner
        self.cg_steps = cg_steps
        self.max_iter = max_iter
        self.tol = tol
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.verbose = verbose

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Array, y: Array, sample_weight: Array | None = None) -> Self:
        """Fit the model to known entries.

        Parameters
        ----------
        X : array-like of shape (N, 2)
            Pairs (row, column) of non-negative integers.
        y : array-like of shape (N,)
            Values of the entries; repeated pairs are averaged.
        sample_weight : array-like of shape (N,), default=None
            Weights of the entries; 0 leaves an entry out.

        Returns
        -------
        MatrixCompletionRegressor
            The estimator itself.
        """
        X, y = validate_data(self, X, y, dtype=None, y_numeric=True)
        y = np.asarray(y, dtype=np.float32 if y.dtype == np.float32 else np.float64)
        weights = None
        if sample_weight is not None:
            weights = check_sample_weight(
                sample_weight, X, dtype=y.dtype, ensure_non_negative=True
            )
        pairs = check_pairs(self, X)
        self._fit_pairs(pairs, y, weights)
        return self

    def _fit_pairs(self, pairs: Array, y: Array, weights: Array | None) -> None:
        """Fit to checked data."""
        from numopt.completion._solvers import complete

        shape = self.shape
        if shape is None:
            shape = int(pairs[:, 0].max()) + 1, int(pairs[:, 1].max()) + 1
        self.rank_ = min(self.rank, *shape)
        self.result_ = complete(
            (pairs[:, 0], pairs[:, 1], y),
            self.rank_,
            shape=shape,
            weights=weights,
            method=self.method,
            loss=self.loss,
            alpha=self.alpha,
            alpha_scaling=self.alpha_scaling,
            bias=self.bias,
            alpha_bias=self.alpha_bias,
            nonnegative=self.nonnegative,
            inner=self.inner,
            cg_steps=self.cg_steps,
            max_iter=self.max_iter,
            tol=self.tol * (SETTLED if self._learns() else 1),
            validation_fraction=(
                self.validation_fraction if self.early_stopping else 0.0
            ),
            random_state=self.random_state,
            n_jobs=self.n_jobs,
            verbose=int(self.verbose),
        )
        self._training = Triplets.sorted_by_row(pairs, y, weights, shape)
        self._calibration: Calibration | None = None
        self._copy_result(shape)

    def _learns(self) -> bool:
        """Whether the evidence model is fitted."""
        return self.method == "vb" or (
            self.method == "auto" and self.alpha == "auto" and self.loss == "squared"
        )

    def _copy_result(self, shape: tuple[int, int]) -> None:
        """Publish the model as attributes."""
        result = self.result_
        self.shape_ = tuple(shape)
        self.row_factors_ = result.row_factors
        self.col_factors_ = result.col_factors
        self.row_bias_ = result.row_bias
        self.col_bias_ = result.col_bias
        self.intercept_ = float(result.intercept)
        self.n_iter_ = result.n_iter
        self.converged_ = result.converged
        self.history_ = result.history
        learned = getattr(result, "noise_variance", None)
        if learned is None:
            residual = self._training.values - self._predict(self._training.pairs())
            learned = np.average(residual**2, weights=self._training.weights)
        self.noise_variance_ = float(learned)

    def predict(
        self, X: Array, return_std: bool = False, return_interval: float | None = None
    ) -> Any:
        """Predict the entries at some pairs.

        Parameters
        ----------
        X : array-like of shape (q, 2)
            Pairs (row, column) of non-negative integers; unseen ones are allowed.
        return_std : bool, default=False
            Whether to return predictive standard deviations too: the noise and, for
            ``alpha="auto"``, the uncertainty of the factors.
        return_interval : float, default=None
            Level in (0, 1) of a prediction interval to return too.

        Returns
        -------
        ndarray of shape (q,)
            Predictions.
        ndarray of shape (q,)
            Standard deviations, with ``return_std=True``.
        ndarray of shape (q, 2)
            Lower and upper ends, with ``return_interval``.
        """
        check_is_fitted(self, "row_factors_")
        pairs = check_pairs(self, validate_data(self, X, dtype=None, reset=False))
        values = self._predict(pairs)
        answer: list[Array] = [values]
        if return_std:
            answer.append(self._deviations(pairs))
        if return_interval is not None:
            level = check_real(
                "return_interval", return_interval, low=0, high=1, include_low=False,
                include_high=False,
            )  # fmt: skip
            half = self._calibrated().half_widths(
                self._training.counts_of(pairs[:, 0]), level
            )
            ends = np.column_stack([values - half, values + half])
            answer.append(self._clip(ends).astype(values.dtype, copy=False))
        return answer[0] if len(answer) == 1 else tuple(answer)

    def fold_in(self, cols: Array, values: Array) -> tuple[Array, float]:
        """Solve for a new row from some of its entries, columns held fixed.

        Parameters
        ----------
        cols : array-like of shape (q,)
            Columns of the known entries.
        values : array-like of shape (q,)
            Their values.

        Returns
        -------
        factor : ndarray of shape (rank,)
            Factor of the row.
        bias : float
            Bias of the row.
        """
        check_is_fitted(self, "row_factors_")
        cols = np.asarray(cols)
        rows = np.zeros(cols.shape, dtype=np.int64)
        values = np.asarray(values, dtype=self.row_factors_.dtype)
        one = self.result_.fold_in((rows, cols, values))
        return one.row_factors[0], float(one.row_bias[0])

    def update_rows(self, X: Array, y: Array) -> Self:
        """Take in new entries and solve again for the rows they touch.

        The columns keep their factors. A new value replaces the old one of its pair;
        new rows are appended, new columns have no factor yet.

        Parameters
        ----------
        X : array-like of shape (q, 2)
            Pairs (row, column).
        y : array-like of shape (q,)
            Values of the entries.

        Returns
        -------
        MatrixCompletionRegressor
            The estimator itself.
        """
        check_is_fitted(self, "row_factors_")
        X, y = validate_data(self, X, y, dtype=None, y_numeric=True, reset=False)
        pairs = check_pairs(self, X)
        shape = (
            max(self.shape_[0], int(pairs[:, 0].max()) + 1),
            max(self.shape_[1], int(pairs[:, 1].max()) + 1),
        )
        self._training = self._training.merged(pairs, np.asarray(y), shape)
        self.result_ = with_solved_rows(
            self.result_, self._training, np.unique(pairs[:, 0]), shape
        )
        self._copy_result(shape)
        return self

    def recommend(
        self, rows: Array, n: int = 10, exclude_seen: bool = True
    ) -> tuple[Array, Array]:
        """Return the columns with the largest predictions of some rows.

        Parameters
        ----------
        rows : array-like of shape (q,)
            Rows; unseen ones get the columns with the largest biases.
        n : int, default=10
            Number of columns a row, at most all.
        exclude_seen : bool, default=True
            Whether to leave out the columns known in the row.

        Returns
        -------
        ids : ndarray of shape (q, n)
            Columns, best first; -1 where a row has no further column.
        scores : ndarray of shape (q, n)
            Their predictions; -inf where there is no column.
        """
        check_is_fitted(self, "row_factors_")
        rows = np.asarray(rows)
        if rows.ndim != 1 or rows.dtype.kind not in "iu" or (rows < 0).any():
            raise ValueError(
                message("rows", "a 1-D array of row numbers", f"{rows.dtype} {rows}")
            )
        n = min(check_int("n", n, low=1), self.shape_[1])
        ids = np.empty((rows.size, n), dtype=np.int64)
        scores = np.empty((rows.size, n), dtype=self.row_factors_.dtype)
        for lo in range(0, rows.size, CHUNK_ROWS):
            part = slice(lo, lo + CHUNK_ROWS)
            table = self._row_scores(rows[part], exclude_seen)
            best = np.argsort(-table, axis=1, kind="stable")[:, :n]
            found = np.take_along_axis(table, best, axis=1)
            left = np.isneginf(found)
            ids[part] = np.where(left, -1, best)
            # Clipped before, many columns would tie at the upper bound.
            scores[part] = np.where(left, found, self._clip(found))
        return ids, scores

    def __sklearn_tags__(self) -> Any:
        """Declare that X holds pairs of labels, not features."""
        tags = super().__sklearn_tags__()
        tags.input_tags.categorical = True
        tags.input_tags.positive_only = True
        tags.regressor_tags.poor_score = True
        return tags

    def _row_scores(self, rows: Array, exclude_seen: bool) -> Array:
        """Predictions of whole rows; -inf where a column is left out."""
        cols = np.arange(self.shape_[1])
        pairs = np.column_stack([np.repeat(rows, cols.size), np.tile(cols, rows.size)])
        table = values_at(self.result_, pairs).reshape(rows.size, cols.size)
        if exclude_seen:
            for place, row in enumerate(rows):
                table[place, self._training.columns_of(int(row))] = -np.inf
        return table

    def _predict(self, pairs: Array) -> Array:
        """Predictions at pairs, inside `clip_range`."""
        values = values_at(self.result_, pairs)
        return self._clip(values).astype(values.dtype, copy=False)

    def _clip(self, values: Array) -> Array:
        """Values inside `clip_range`."""
        return values if self.clip_range is None else np.clip(values, *self.clip_range)

    def _calibrated(self) -> Calibration:
        """Fit without a share of the entries, once, and keep its errors on them."""
        if self._calibration is None:
            entries = self._training
            pairs = entries.pairs()
            rng = np.random.default_rng(0)
            held = np.zeros(pairs.shape[0], dtype=bool)
            count = max(1, round(self.validation_fraction * held.size))
            held[rng.permutation(held.size)[:count]] = True
            other = clone(self).set_params(shape=self.shape_)
            other.fit(
                pairs[~held],
                entries.values[~held],
                None if entries.weights is None else entries.weights[~held],
            )
            errors = np.abs(entries.values[held] - other._predict(pairs[held]))
            self._calibration = Calibration.from_errors(
                errors, other._training.counts_of(pairs[held, 0])
            )
        return self._calibration

    def _deviations(self, pairs: Array) -> Array:
        """Noise, and what the posterior leaves open where there is one."""
        if self.result_.posterior is None:
            sigma = self.noise_variance_**0.5
            return np.full(pairs.shape[0], sigma, dtype=self.row_factors_.dtype)
        return predictive_std(self.result_, pairs)
