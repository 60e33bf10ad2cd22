# SPDX-License-Identifier: BSD-3-Clause
"""Semi-supervised classification by harmonic functions on a neighbour graph."""

from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.neighbors import NearestNeighbors
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from numopt._estimator.sklearn_compat import (
    Interval,
    StrOptions,
    fit_context,
    validate_data,
)
from numopt.coordinate._solvers.label_propagation import label_propagation

__all__ = ["LabelPropagation"]


class LabelPropagation(ClassifierMixin, BaseEstimator):
    """Classify from few labels by spreading them over a graph of the samples.

    Parameters
    ----------
    kernel : {"knn", "rbf", "precomputed"} or callable, default="knn"
        How weights between samples are made: 1 for nearest neighbours (of either
        sample), ``exp(-gamma d^2)``, X itself (symmetric, sparse or dense), or
        ``kernel(X, Y)``.
    n_neighbors : int, default=7
        Neighbours of "knn".
    gamma : float, default=20
        Inverse width of "rbf".
    method : {"auto", "direct", "cg", "bcd"}, default="auto"
        Solver, see `numopt.coordinate.label_propagation`.
    ridge : float, default=0.0
        Pull of unlabelled scores towards 0.
    max_iter : int, default=10000
        Iterations of the solver.
    tol : float, default=1e-8
        Relative residual of the scores of each class.

    Attributes
    ----------
    transduction_ : ndarray of shape (n_samples,)
        Class of each training sample, -1 where no label reaches.
    label_distributions_ : ndarray of shape (n_samples, n_classes)
        Scores of each class; rows add up to one, or are 0 where no label reaches.
    classes_ : ndarray of shape (n_classes,)
        Sorted classes, without -1.
    X_ : ndarray or sparse matrix of shape (n_samples, n_features)
        Training data.
    n_iter_ : int
        Iterations of the solver.
    history_ : dict of str to ndarray
        Objective and residual of the solver.
    result_ : LabelPropagationResult
        The whole result.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features_in,)
        Names of features, when X has string column names.

    See Also
    --------
    numopt.coordinate.label_propagation : The function behind it.

    Notes
    -----
    Scores are exact harmonic functions, not iterates. New samples get the weighted mean
    of the scores of the training samples.

    References
    ----------
    Zhu, Ghahramani and Lafferty (2003), "Semi-supervised learning using Gaussian
    fields and harmonic functions".

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import make_moons
    >>> from numopt.coordinate import LabelPropagation
    >>> X, y = make_moons(200, noise=0.05, random_state=0)
    >>> few = np.full(200, -1)
    >>> few[:6] = y[:6]
    >>> model = LabelPropagation(n_neighbors=5).fit(X, few)
    >>> float(np.mean(model.transduction_ == y))
    1.0
    """

    _parameter_constraints: dict[str, Any] = {
        "kernel": [StrOptions({"knn", "rbf", "precomputed"}), callable],
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "gamma": [Interval(Real, 0, None, closed="neither")],
        "method": [StrOptions({"auto", "direct", "cg", "bcd"})],
        "ridge": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="neither")],
    }

    def __init__(
        self,
        kernel: str | Callable[[Any, Any], Any] = "knn",
        *,
        n_neighbors: int = 7,
        gamma: float = 20,
        method: str = "auto",
        ridge: float = 0.0,
        max_iter: int = 10_000,
        tol: float = 1e-8,
    ) -> None:
        self.kernel = kernel
        self.n_neighbors = n_neighbors
        self.gamma = gamma
        self.method = method
        self.ridge = ridge
        self.max_iter = max_iter
        self.tol = tol

    def __sklearn_tags__(self) -> Any:
        """Sparse input is accepted; a precomputed graph is pairwise."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.pairwise = self.kernel == "precomputed"
        return tags

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any) -> Self:
        """Spread the labels.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Samples, or the weights (n_samples, n_samples) when precomputed.
        y : array-like of shape (n_samples,)
            Classes, -1 where unlabelled.

        Returns
        -------
        self
            The fitted estimator.
        """
        X, y = validate_data(self, X, y, accept_sparse=["csr", "csc"])
        check_classification_targets(y)
        unlabelled = y == -1 if y.dtype.kind in "iuf" else np.zeros(y.shape, bool)
        self.classes_ = np.unique(y[~unlabelled])
        codes = np.full(y.shape, -1)
        codes[~unlabelled] = np.searchsorted(self.classes_, y[~unlabelled])
        self.X_ = X
        self.result_ = label_propagation(
            self._graph(X),
            codes,
            method=self.method,
            ridge=self.ridge,
            max_iter=self.max_iter,
            tol=self.tol,
        )
        self.label_distributions_ = self.result_.scores
        self.transduction_ = self._classes_of(self.label_distributions_)
        self.n_iter_ = max(self.result_.n_iter, 1)
        self.history_ = self.result_.history
        return self

    def _graph(self, X: Any) -> Any:
        """Symmetric weights between the training samples."""
        if self.kernel == "precomputed":
            return X
        if self.kernel == "knn":
            self._neighbours = NearestNeighbors(
                n_neighbors=min(self.n_neighbors, max(X.shape[0] - 1, 1))
            ).fit(X)
            if X.shape[0] == 1:
                return sp.csr_array((1, 1))
            near = self._neighbours.kneighbors_graph(mode="connectivity")
            return near.maximum(near.T)
        W = np.array(self._weights(X, X), np.float64)
        np.fill_diagonal(W, 0.0)
        return 0.5 * (W + W.T)

    def _weights(self, X: Any, Y: Any) -> Any:
        """Weights between samples and training samples."""
        if callable(self.kernel):
            return self.kernel(X, Y)
        return rbf_kernel(X, Y, gamma=self.gamma)

    def _classes_of(self, scores: np.ndarray) -> np.ndarray:
        """Classes of the largest score; -1 for rows without any."""
        found = self.classes_[np.argmax(scores, axis=1)]
        empty = np.max(np.abs(scores), axis=1) == 0
        if np.any(empty) and self.classes_.dtype.kind in "iuf":
            found = np.where(empty, -1, found)
        return found

    def _transfer(self, X: Any) -> np.ndarray:
        """Weighted means of the training scores."""
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse=["csr", "csc"], reset=False)
        if self.kernel == "precomputed":
            W = X
        elif self.kernel == "knn":
            W = self._neighbours.kneighbors_graph(X, mode="connectivity")
        else:
            W = np.asarray(self._weights(X, self.X_))
        scores = np.asarray(W @ self.label_distributions_)
        total = np.sum(scores, axis=1, keepdims=True)
        return scores / np.where(total > 0, total, 1.0)

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the scores of new samples.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Samples, or their weights to the training samples when precomputed.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Rows add up to one, or are 0 without a neighbour that has scores.
        """
        return self._transfer(X)

    def predict(self, X: Any) -> np.ndarray:
        """Predict classes of new samples.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Samples, or their weights to the training samples when precomputed.

        Returns
        -------
        ndarray of shape (n_samples,)
            Classes, -1 without a neighbour that has scores.
        """
        return self._classes_of(self._transfer(X))
