# SPDX-License-Identifier: BSD-3-Clause
"""k-means with a certificate as an estimator."""

from numbers import Integral, Real
from typing import Any, Self

import numpy as np
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    ClusterMixin,
    TransformerMixin,
)
from sklearn.utils.validation import check_is_fitted

from numopt._estimator.sklearn_compat import (
    Interval,
    StrOptions,
    fit_context,
    validate_data,
)
from numopt.cluster._estimators.shared import FLOATS, SPARSE, generator
from numopt.cluster._solvers.kmeans import kmeans_sdp

__all__ = ["SDPKMeans"]


class SDPKMeans(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClusterMixin, BaseEstimator
):
    """k-means with a rigorous lower bound on the best possible inertia.

    Parameters
    ----------
    n_clusters : int, default=8
        Number of clusters.
    affinity : {"linear", "precomputed"} or callable, default="linear"
        Scalar products of the rows, a similarity matrix as X, or a function that
        makes one of X.
    method : {"auto", "certificate", "admm", "nlr"}, default="auto"
        As in `kmeans_sdp`. "certificate" is the fast one for large data.
    n_init : int, default=10
        Restarts of k-means.
    gap_tol : float, default=1e-6
        Relative gap at which the partition counts as optimal.
    tol : float, default=1e-6
        Residuals at which the relaxation counts as solved.
    max_iter : int, default=2000
        Iterations of the ADMM.
    max_dense : int, default=3000
        Most rows for which n x n matrices are formed.
    random_state : None, int or RandomState, default=None
        Seed.
    verbose : int, default=0
        1 for a progress bar, 2 for log lines.

    Attributes
    ----------
    labels_ : ndarray of shape (n_samples,)
        Cluster of each row.
    cluster_centers_ : ndarray of shape (n_clusters, n_features)
        Means; absent for a similarity.
    inertia_ : float
        Sum of squared distances, computed from ``labels_``.
    lower_bound_ : float
        No partition has a smaller inertia.
    gap_ : float
        ``(inertia_ - lower_bound_) / inertia_``.
    certificate_ : ClusterCertificate
        The bound with its method and slack.
    membership_ : ndarray of shape (n_samples, n_samples) or None
        Membership matrix.
    n_iter_ : int
        Iterations of the ADMM.
    n_features_in_ : int
        Number of features.
    converged_ : bool
        False only when ``max_iter`` stopped an unsolved relaxation.
    result_ : KMeansSDPResult
        Everything that `kmeans_sdp` returns.

    See Also
    --------
    kmeans_sdp : The function behind it.

    Examples
    --------
    >>> from numopt.cluster import SDPKMeans
    >>> from numopt.datasets import make_spherical_mixture
    >>> X, _ = make_spherical_mixture(60, 3, 4, distance=9.0, random_state=0)
    >>> model = SDPKMeans(3, random_state=0).fit(X)
    >>> model.certificate_.optimal
    True
    """

    _parameter_constraints = {
        "n_clusters": [Interval(Integral, 1, None, closed="left")],
        "affinity": [StrOptions({"linear", "precomputed"}), callable],
        "method": [StrOptions({"auto", "certificate", "admm", "nlr"})],
        "n_init": [Interval(Integral, 1, None, closed="left")],
        "gap_tol": [Interval(Real, 0, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "max_dense": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
        "verbose": [Interval(Integral, 0, None, closed="left"), "boolean"],
    }

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        affinity: Any = "linear",
        method: str = "auto",
        n_init: int = 10,
        gap_tol: float = 1e-6,
        tol: float = 1e-6,
        max_iter: int = 2000,
        max_dense: int = 3000,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.n_clusters = n_clusters
        self.affinity = affinity
        self.method = method
        self.n_init = n_init
        self.gap_tol = gap_tol
        self.tol = tol
        self.max_iter = max_iter
        self.max_dense = max_dense
        self.random_state = random_state
        self.verbose = verbose

    def __sklearn_tags__(self) -> Any:
        """Sparse data is accepted; a similarity is pairwise."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = self.affinity == "linear"
        tags.input_tags.pairwise = self.affinity == "precomputed"
        return tags

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> Self:
        """Cluster and certify.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Data, or a similarity when ``affinity="precomputed"``.
        y : None
            Ignored.

        Returns
        -------
        self
            The fitted estimator.
        """
        sparse = SPARSE if self.affinity == "linear" else False
        X = validate_data(self, X, accept_sparse=sparse, dtype=FLOATS)
        result = kmeans_sdp(
            X,
            self.n_clusters,
            affinity=self.affinity,
            method=self.method,
            n_init=self.n_init,
            gap_tol=self.gap_tol,
            tol=self.tol,
            max_iter=self.max_iter,
            max_dense=self.max_dense,
            random_state=generator(self.random_state),
            verbose=int(self.verbose),
        )
        self.result_ = result
        self.labels_ = result.labels
        if result.centers is not None:
            self.cluster_centers_ = result.centers
        self.inertia_ = result.inertia
        self.lower_bound_ = result.lower_bound
        self.gap_ = result.gap
        self.certificate_ = result.certificate
        self.membership_ = result.membership
        self.n_iter_ = result.n_iter
        self.converged_ = result.converged
        self._n_features_out = int(result.labels.max()) + 1
        return self

    def _distances(self, X: Any) -> np.ndarray:
        """Squared distances of new rows to the centres."""
        check_is_fitted(self)
        if not hasattr(self, "cluster_centers_"):
            raise AttributeError("a similarity has no centres; use `labels_`")
        X = validate_data(self, X, accept_sparse=SPARSE, dtype=FLOATS, reset=False)
        centers = self.cluster_centers_.astype(X.dtype, copy=False)
        shift = centers.mean(axis=0)
        moved = centers - shift
        if hasattr(X, "toarray"):
            squares = np.asarray(X.multiply(X).sum(axis=1)).ravel()
            norms = squares - 2 * (X @ shift) + shift @ shift
            products = X @ moved.T - (moved @ shift)[None, :]
        else:
            X = X - shift
            norms = np.sum(X * X, axis=1)
            products = X @ moved.T
        values = norms[:, None] - 2 * products + np.sum(moved**2, axis=1)[None, :]
        return np.maximum(values, 0.0)

    def predict(self, X: Any) -> np.ndarray:
        """Return the nearest centre of each row.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Data.

        Returns
        -------
        ndarray of shape (n_samples,)
            Labels.
        """
        return np.argmin(self._distances(X), axis=1)

    def transform(self, X: Any) -> np.ndarray:
        """Return the distances to the centres.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Data.

        Returns
        -------
        ndarray of shape (n_samples, n_clusters)
            Euclidean distances.
        """
        return np.sqrt(self._distances(X))

    def score(self, X: Any, y: Any = None) -> float:
        """Return minus the inertia of X with respect to the centres.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Data.
        y : None
            Ignored.

        Returns
        -------
        float
            Minus the sum of squared distances to the nearest centres.
        """
        return -float(np.min(self._distances(X), axis=1).sum())
