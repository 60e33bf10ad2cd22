# SPDX-License-Identifier: BSD-3-Clause
"""Sparse coding with a dictionary that is a Kronecker product."""

import math
import numbers
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
)

from numopt._estimator.sklearn_compat import (
    Interval,
    StrOptions,
    fit_context,
    validate_data,
)
from numopt.sbl._solvers.kron_algebra import check_factors, kron_matvec, kron_posterior
from numopt.sbl._solvers.kronecker import METHODS, kronecker_sbl
from numopt.typing import Array

__all__ = ["KroneckerSBL"]


class KroneckerSBL(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Code signals in a Kronecker-structured dictionary.

    Parameters
    ----------
    factors : sequence of I arrays of shape (M_i, N_i), default=None
        Real factors; None is one identity matrix of the size of the signals.
    method : {"auto", "mm", "svd", "am"}, default="auto"
        Solver, as in :func:`numopt.sbl.kronecker_sbl`.
    noise_var : float, default=None
        Noise variance; None learns it.
    select : {"bic", "none"} or float, default="bic"
        Price of a factor atom.
    shared_support : bool, default=False
        Whether ``fit`` learns prior variances that all signals share; otherwise each
        signal has its own.
    max_iter : int, default=300
        Limit of sweeps in each phase.
    tol : float, default=1e-4
        Relative change at convergence.
    verbose : int, default=0
        0 silent, 1 progress bar, 2 log lines.

    Attributes
    ----------
    factors_ : list of ndarray
        Factors used.
    gammas_ : list of ndarray
        Shared prior variances, with ``shared_support``.
    noise_var_ : float
        Shared noise variance, with ``shared_support``.
    n_iter_ : int
        Iterations of ``fit``.
    n_features_in_ : int
        Length of the signals.
    feature_names_in_ : ndarray of str
        Names of the features, when X has them.

    See Also
    --------
    numopt.sbl.kronecker_sbl : The function behind it; it takes complex data too.

    References
    ----------
    Y. He and G. Joseph, 2024, arXiv 2307.14719.

    Examples
    --------
    >>> from numopt.datasets import make_kronecker_sparse
    >>> from numopt.sbl import KroneckerSBL
    >>> data = make_kronecker_sparse((8, 9), (12, 12), 2, random_state=0)
    >>> coder = KroneckerSBL(data.factors)
    >>> coder.fit_transform(data.y[None, :]).shape
    (1, 144)
    """

    _parameter_constraints: dict[str, Any] = {
        "factors": [None, list, tuple],
        "method": [StrOptions(set(METHODS))],
        "noise_var": [None, Interval(numbers.Real, 0, None, closed="neither")],
        "select": [
            StrOptions({"bic", "none"}),
            Interval(numbers.Real, 0, None, closed="left"),
        ],
        "shared_support": ["boolean"],
        "max_iter": [Interval(numbers.Integral, 1, None, closed="left")],
        "tol": [Interval(numbers.Real, 0, None, closed="left")],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        factors: Sequence[Array] | None = None,
        *,
        method: str = "auto",
        noise_var: float | None = None,
        select: str | float = "bic",
        shared_support: bool = False,
        max_iter: int = 300,
        tol: float = 1e-4,
        verbose: int = 0,
    ) -> None:
        self.factors = factors
        self.method = method
        self.noise_var = noise_var
        self.select = select
        self.shared_support = shared_support
        self.max_iter = max_iter
        self.tol = tol
        self.verbose = verbose

    @property
    def _n_features_out(self) -> int:
        return math.prod(H.shape[1] for H in self.factors_)

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> Self:
        """Validate, and learn shared prior variances if asked to.

        Parameters
        ----------
        X : array of shape (n_signals, M)
            Signals in rows.
        y : object, default=None
            Ignored.

        Returns
        -------
        KroneckerSBL
            The fitted estimator.
        """
        X = validate_data(self, X, dtype=(np.float64, np.float32))
        if self.factors is None:
            self.factors_ = [np.eye(X.shape[1])]
        else:
            self.factors_, _ = check_factors(self.factors)
            if any(np.iscomplexobj(H) for H in self.factors_):
                raise ValueError("`factors` must be real, got complex matrices")
            rows = math.prod(H.shape[0] for H in self.factors_)
            if rows != X.shape[1]:
                raise ValueError(
                    f"`X` must have {rows} features (product of the rows of the "
                    f"factors), got {X.shape[1]}"
                )
        self.n_iter_ = 1
        if self.shared_support:
            result = self._solve(X.T)
            self.gammas_, self.noise_var_ = result.gammas, result.noise_var
            self.n_iter_ = max(1, result.n_iter)
        return self

    def _solve(self, Y: np.ndarray) -> Any:
        """Result for one signal, or for signals in columns that share a support."""
        return kronecker_sbl(
            self.factors_,
            Y,
            method=self.method,
            noise_var=self.noise_var,
            select=self.select,
            max_iter=self.max_iter,
            tol=self.tol,
            verbose=self.verbose,
        )

    def transform(self, X: Any) -> np.ndarray:
        """Return the posterior mean of each signal's coefficients.

        Parameters
        ----------
        X : array of shape (n_signals, M)
            Signals in rows.

        Returns
        -------
        ndarray of shape (n_signals, N)
            Codes, flat in C order.
        """
        from sklearn.utils.validation import check_is_fitted

        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=(np.float64, np.float32))
        if self.shared_support:
            return kron_posterior(self.factors_, X.T, self.gammas_, self.noise_var_)[
                0
            ].T
        # One by one: a batch runs until its last problem is done, which would make the
        # codes of a signal depend on its company.
        return np.stack([self._solve(x).coef.ravel() for x in X])

    def inverse_transform(self, X: Any) -> np.ndarray:
        """Return the signals of codes.

        Parameters
        ----------
        X : array of shape (n_signals, N)
            Codes.

        Returns
        -------
        ndarray of shape (n_signals, M)
            Signals.
        """
        return kron_matvec(self.factors_, np.asarray(X).T).T
