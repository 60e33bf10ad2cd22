# SPDX-License-Identifier: BSD-3-Clause
"""Fill the holes of a table with a low-rank model, and those of new rows."""

from numbers import Integral, Real
from typing import Any, Self

import numpy as np
from sklearn.base import TransformerMixin
from sklearn.utils.validation import check_is_fitted

from numopt._estimator.base import ArrayEstimator
from numopt._estimator.sklearn_compat import (
    Interval,
    Options,
    StrOptions,
    fit_context,
    get_namespace_and_device,
)
from numopt._validation import message
from numopt.completion._estimators.models import Evidence, Ridge
from numopt.completion._problem.factor_analysis import IncompleteTable
from numopt.completion._solvers.options import METHODS
from numopt.typing import Array

__all__ = ["LowRankImputer"]


class LowRankImputer(TransformerMixin, ArrayEstimator):
    """Impute missing values by a low-rank model of the table.

    With ``alpha="auto"`` the rows are modelled as ``x = mean + z @ components + noise``
    with normal scores z and one noise variance a column (factor analysis), fitted by
    maximum likelihood to the known entries; a missing entry becomes its conditional
    expectation. With a number the factors carry the ridge ``alpha`` instead. In both
    cases new rows are solved for by themselves (fold-in), so that the imputer works
    inside a pipeline.

    Parameters
    ----------
    rank : int, default=10
        Number of components; at most ``min(n_samples, n_features) - 1`` are used.
    missing_values : number or nan, default=nan
        What marks a missing entry.
    alpha : "auto" or float, default="auto"
        "auto" learns the amount of shrinkage; a number is the ridge of the factors.
    alpha_scaling : {"constant", "count"}, default="constant"
        Whether a numeric ridge is multiplied by the number of known entries of a line.
    scale : {"global", "column"} or None, default="global"
        Divide the centred table by one number, each column by its own standard
        deviation, or by nothing. Columns in different units call for "column".
    method : str, default="auto"
        "em" (factor analysis) or a method of `complete`; "auto" means "em" when
        ``alpha="auto"``.
    loss : {"squared", "huber", "l1"}, default="squared"
        Loss of the known entries. A robust loss with ``alpha="auto"`` means no ridge.
    nonnegative : bool, default=False
        Non-negative factors of a non-negative table, which is then not centred; needs
        a numeric ``alpha``.
    clip_range : tuple of float, default=None
        Lower and upper bound of imputed values.
    keep_empty_features : bool, default=False
        Whether columns without a known entry stay, filled with 0.
    add_indicator : bool, default=False
        Whether to append a 0/1 column for each column with holes in the training data.
    max_iter : int, default=100
        Largest number of iterations.
    tol : float, default=1e-4
        Stop when the log-likelihood gains less than this per known entry (the relative
        decrease of the objective for a numeric ``alpha``).
    random_state : int, RandomState or None, default=None
        Seed of the start of large tables.
    n_jobs : int, default=None
        Number of threads; None leaves numopt's setting.
    verbose : int, default=0
        0 silent, 1 progress bar, 2 log lines.

    Attributes
    ----------
    components_ : ndarray of shape (rank, n_features_out)
        Loadings in the units of the data; ``n_features_out`` counts the columns kept.
    mean_ : ndarray of shape (n_features_out,)
        Expected row.
    scale_ : ndarray of shape (n_features_out,)
        What the columns were divided by.
    noise_variance_ : ndarray of shape (n_features_out,)
        Variance of each column around the low-rank model.
    singular_values_ : ndarray of shape (rank,)
        Singular values of the low-rank part of the training table.
    rank_ : int
        Number of components used.
    n_iter_ : int
        Number of iterations.
    objective_ : float
        Final negative log-likelihood in scaled units (or penalised loss).
    history_ : dict of str to ndarray
        Objective, residual and time, one entry an iteration.
    result_ : SolverResult
        Result of the solver.
    n_features_in_ : int
        Number of columns seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in,)
        Names of the columns, when all are strings.

    See Also
    --------
    MatrixCompletionRegressor : The same for sparse (row, column, value) data.
    numopt.completion.complete : The solvers behind a numeric ``alpha``.

    Notes
    -----
    One EM iteration costs about ``2 n_samples n_features rank^2`` multiplications in
    two matrix products, and ``n_samples rank^3`` for the posteriors of the scores.
    Computations run in float64; the answer has the dtype of the input.

    References
    ----------
    Ilin and Raiko, "Practical approaches to principal component analysis in the
    presence of missing values", JMLR 11, 2010, section 5.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.completion import LowRankImputer
    >>> X = np.outer(np.arange(1.0, 9.0), [1.0, 2.0, -1.0])
    >>> X[2, 1] = np.nan
    >>> imputer = LowRankImputer(rank=1).fit(X)
    >>> round(float(imputer.transform(X)[2, 1]), 1)
    6.0
    """

    _parameter_constraints: dict[str, list[Any]] = {
        "rank": [Interval(Integral, 1, None, closed="left")],
        "missing_values": [Real, None],
        "alpha": [StrOptions({"auto"}), Interval(Real, 0, None, closed="left")],
        "alpha_scaling": [StrOptions({"constant", "count"})],
        "scale": [StrOptions({"global", "column"}), None],
        "method": [StrOptions({"em", *METHODS})],
        "loss": [StrOptions({"squared", "huber", "l1"})],
        "nonnegative": ["boolean"],
        "clip_range": [tuple, list, None],
        "keep_empty_features": ["boolean"],
        "add_indicator": ["boolean"],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="neither")],
        "random_state": ["random_state"],
        "n_jobs": [Integral, None],
        "verbose": [Options(Integral, {0, 1, 2}), "boolean"],
    }

    def __init__(
        self,
        rank: int = 10,
        *,
        missing_values: float = np.nan,
        alpha: Any = "auto",
        alpha_scaling: str = "constant",
        scale: str | None = "global",
        method: str = "auto",
        loss: str = "squared",
        nonnegative: bool = False,
        clip_range: tuple[float, float] | None = None,
        keep_empty_features: bool = False,
        add_indicator: bool = False,
        max_iter: int = 100,
        tol: float = 1e-4,
        random_state: Any = None,
        n_jobs: int | None = None,
        verbose: int = 0,
    ) -> None:
        self.rank = rank
        self.missing_values = missing_values
        self.alpha = alpha
        self.alpha_scaling = alpha_scaling
        self.scale = scale
        self.method = method
        self.loss = loss
        self.nonnegative = nonnegative
        self.clip_range = clip_range
        self.keep_empty_features = keep_empty_features
        self.add_indicator = add_indicator
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.verbose = verbose

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Array, y: Any = None) -> Self:
        """Fit the low-rank model to the known entries.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Table with ``missing_values`` in its holes.
        y : None
            Ignored.

        Returns
        -------
        LowRankImputer
            The estimator itself.
        """
        self._check_options()
        xp, _, device = get_namespace_and_device(X)
        X = self._validate_fit(
            X, xp=xp, device=device, ensure_all_finite=self._finite()
        )
        xp, _, device = get_namespace_and_device(X)
        mask = self._holes(xp, X)
        self._indicated = xp.nonzero(xp.any(mask, axis=0))[0]
        empty = xp.all(mask, axis=0)
        self._filled = xp.nonzero(~empty)[0]
        if self._filled.shape[0] == 0:
            raise ValueError("`X` must be observed somewhere, got no known entry")
        self._kept = xp.arange(X.shape[1], device=device)
        if self._filled.shape[0] < X.shape[1] and not self.keep_empty_features:
            _warn_dropped(X.shape[1] - self._filled.shape[0])
            self._kept = self._filled
        if self.nonnegative and bool(xp.any(X < 0)):
            raise ValueError(message("X", "non-negative", "negative values"))
        self._fit_model(xp, X, mask)
        return self

    def _fit_model(self, xp: Any, X: Array, mask: Array) -> None:
        """Centre, scale and fit."""
        X = xp.astype(xp.take(X, self._filled, axis=1), xp.float64, copy=False)
        mask = xp.take(mask, self._filled, axis=1)
        centre = not self.nonnegative and self.loss == "squared"
        table = IncompleteTable.centred(X, mask, self.scale, centre=centre)
        self.rank_ = max(1, min(self.rank, min(X.shape) - 1))
        self._model = (Evidence if self._uses_em() else Ridge).fit(self, table)
        self.result_ = self._model.result
        self.n_iter_ = self.result_.n_iter
        self.history_ = self.result_.history
        self.objective_ = float(self.result_.objective)
        self.singular_values_ = self._model.singular_values()
        self.components_ = self._spread(xp, self._model.components())
        self.mean_ = self._spread(xp, self._model.mean())
        self.scale_ = self._spread(xp, table.scale, empty=1.0)
        self.noise_variance_ = self._spread(xp, self._model.noise_variance())

    def fit_transform(self, X: Array, y: Any = None, **fit_params: Any) -> Array:
        """Fit to the table and fill its holes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Table with ``missing_values`` in its holes.
        y : None
            Ignored.
        **fit_params : dict
            None are known.

        Returns
        -------
        ndarray of shape (n_samples, n_features_out)
            The table with its holes filled.
        """
        return self.fit(X, y, **fit_params).transform(X)

    def transform(self, X: Array, return_std: bool = False) -> Any:
        """Fill the holes of rows; known entries are returned untouched.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows with ``missing_values`` in their holes.
        return_std : bool, default=False
            Whether to return the standard deviation of imputed entries too.

        Returns
        -------
        ndarray of shape (n_samples, n_features_out)
            The rows, filled; followed by the indicator columns if there are any.
        ndarray of shape (n_samples, n_features_out)
            Predictive standard deviations, 0 where the entry was known; only with
            ``return_std=True``.
        """
        check_is_fitted(self, "components_")
        xp, _, device = get_namespace_and_device(X)
        X = self._validate_new(
            X,
            xp=xp,
            device=device,
            attribute="components_",
            method="transform",
            ensure_all_finite=self._finite(),
        )
        xp, _, device = get_namespace_and_device(X)
        mask = self._holes(xp, X)
        filled, holes = (xp.take(a, self._filled, axis=1) for a in (X, mask))
        filled = xp.astype(filled, xp.float64, copy=False)
        predicted, std = self._model.predict(filled, holes, return_std)
        if self.clip_range is not None:
            predicted = xp.clip(predicted, *self.clip_range)
        predicted = self._spread(xp, xp.astype(predicted, X.dtype, copy=False))
        mask_out = xp.take(mask, self._kept, axis=1)
        out = xp.where(mask_out, predicted, xp.take(X, self._kept, axis=1))
        if self.add_indicator:
            flags = xp.astype(xp.take(mask, self._indicated, axis=1), X.dtype)
            out = xp.concat([out, flags], axis=1)
        if not return_std:
            return out
        std = self._spread(xp, xp.astype(std, X.dtype, copy=False))
        return out, xp.where(mask_out, std, xp.zeros_like(std))

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Names of the columns kept, then of the indicator columns.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Names of the columns of ``X``; None takes those seen in `fit`.

        Returns
        -------
        ndarray of str
            The names.
        """
        from sklearn.utils.validation import _check_feature_names_in

        check_is_fitted(self, "components_")
        names = _check_feature_names_in(self, input_features)
        kept = names[np.asarray(self._kept)]
        if not self.add_indicator:
            return kept
        flags = [f"missingindicator_{name}" for name in names[self._indicated]]
        return np.concatenate([kept, np.asarray(flags, dtype=object)])

    def __sklearn_tags__(self) -> Any:
        """Declare that NaN is welcome."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self._marks_nan()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def _marks_nan(self) -> bool:
        """Whether NaN marks a hole."""
        return self.missing_values is None or bool(np.isnan(self.missing_values))

    def _finite(self) -> Any:
        """How scikit-learn checks the table for NaN."""
        return "allow-nan" if self._marks_nan() else True

    def _holes(self, xp: Any, X: Array) -> Array:
        """Where the table has holes."""
        return xp.isnan(X) if self._marks_nan() else self.missing_values == X

    def _uses_em(self) -> bool:
        """Whether the evidence model is fitted."""
        return self.method == "em" or (
            self.method == "auto" and self.alpha == "auto" and self.loss == "squared"
        )

    def _check_options(self) -> None:
        """Options that exclude each other."""
        if self.nonnegative and self.alpha == "auto":
            raise ValueError(
                message("alpha", "a number when `nonnegative` is True", "'auto'")
            )
        if self.method == "em" and (self.alpha != "auto" or self.loss != "squared"):
            raise ValueError(
                message(
                    "method",
                    "another than 'em' unless alpha='auto' and loss='squared'",
                    repr(self.method),
                )
            )
        if self.clip_range is not None:
            low, high = self.clip_range
            if not low <= high:
                raise ValueError(message("clip_range", "increasing", self.clip_range))

    def _spread(self, xp: Any, a: Array, empty: float = 0.0) -> Array:
        """Put columns that had data at their place among those kept."""
        if self._kept.shape[0] == a.shape[-1]:
            return a
        place = xp.searchsorted(self._filled, self._kept)
        place = xp.clip(place, 0, a.shape[-1] - 1)
        known = xp.take(self._filled, place) == self._kept
        return xp.where(known, xp.take(a, place, axis=-1), empty)


def _warn_dropped(count: int) -> None:
    """Say that columns without data are left out."""
    import warnings

    warnings.warn(
        f"{count} columns without a known entry are dropped; "
        "`keep_empty_features=True` keeps them as 0",
        UserWarning,
        stacklevel=3,
    )
