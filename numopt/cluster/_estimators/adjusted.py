# SPDX-License-Identifier: BSD-3-Clause
"""Likelihood-adjusted clustering as an estimator."""

import math
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClusterMixin
from sklearn.utils.validation import check_is_fitted

from numopt._estimator.sklearn_compat import (
    Interval,
    StrOptions,
    fit_context,
    validate_data,
)
from numopt.cluster._estimators.shared import FLOATS, generator
from numopt.cluster._solvers.iterated import ila_sdp
from numopt.cluster._solvers.mixture import log_densities

__all__ = ["LikelihoodAdjustedSDP"]


class LikelihoodAdjustedSDP(ClusterMixin, BaseEstimator):
    """Clusters of unequal shapes by likelihood-adjusted semidefinite programs.

    Parameters
    ----------
    n_clusters : int, default=2
        Number of clusters.
    covariance_type : {"full", "diag", "spherical", "tied"}, default="full"
        Form of the covariances.
    reg_covar : float, default=1e-3
        Added to the diagonals, in units of the mean variance of the columns.
    init : {"auto", "kmeans", "gmm"} or array-like of int, default="auto"
        Starts.
    solver : {"auto", "admm", "lowrank"}, default="auto"
        As in `ila_sdp`.
    n_init : int, default=3
        Restarts behind every kind of start.
    max_outer : int, default=20
        Alternations of memberships and covariances.
    tol : float, default=1e-4
        Residuals of the relaxations.
    max_iter : int, default=500
        Iterations of each relaxation.
    random_state : None, int or RandomState, default=None
        Seed.
    verbose : int, default=0
        1 for a progress bar, 2 for log lines.

    Attributes
    ----------
    labels_ : ndarray of shape (n_samples,)
        Cluster of each row.
    means_ : ndarray of shape (n_clusters, n_features)
        Means of the clusters.
    covariances_ : ndarray of shape (n_clusters, n_features, n_features)
        Covariances.
    weights_ : ndarray of shape (n_clusters,)
        Shares.
    memberships_ : ndarray of shape (n_clusters, n_samples)
        Soft memberships.
    log_likelihood_ : float
        Profile likelihood of the labels.
    certificate_ : dict
        "objective", "upper_bound" and "gap" of the last relaxation.
    n_iter_ : int
        Alternations of the start that won.
    n_features_in_ : int
        Number of features.
    converged_ : bool
        Whether the labels settled.
    result_ : LASDPResult
        Everything that `ila_sdp` returns.

    See Also
    --------
    ila_sdp : The function behind it.

    Examples
    --------
    >>> from numopt.cluster import LikelihoodAdjustedSDP, misclustering_error
    >>> from numopt.datasets import make_unequal_mixture
    >>> X, truth = make_unequal_mixture(60, 2, distance=9.0, random_state=1)
    >>> model = LikelihoodAdjustedSDP(3, random_state=0).fit(X)
    >>> misclustering_error(truth, model.predict(X)) < 0.1
    True
    """

    _parameter_constraints = {
        "n_clusters": [Interval(Integral, 1, None, closed="left")],
        "covariance_type": [StrOptions({"full", "diag", "spherical", "tied"})],
        "reg_covar": [Interval(Real, 0, None, closed="neither")],
        "init": [StrOptions({"auto", "kmeans", "gmm"}), "array-like"],
        "solver": [StrOptions({"auto", "admm", "lowrank"})],
        "n_init": [Interval(Integral, 1, None, closed="left")],
        "max_outer": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
        "verbose": [Interval(Integral, 0, None, closed="left"), "boolean"],
    }

    def __init__(
        self,
        n_clusters: int = 2,
        *,
        covariance_type: str = "full",
        reg_covar: float = 1e-3,
        init: Any = "auto",
        solver: str = "auto",
        n_init: int = 3,
        max_outer: int = 20,
        tol: float = 1e-4,
        max_iter: int = 500,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.n_clusters = n_clusters
        self.covariance_type = covariance_type
        self.reg_covar = reg_covar
        self.init = init
        self.solver = solver
        self.n_init = n_init
        self.max_outer = max_outer
        self.tol = tol
        self.max_iter = max_iter
        self.random_state = random_state
        self.verbose = verbose

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> Self:
        """Cluster.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data.
        y : None
            Ignored.

        Returns
        -------
        self
            The fitted estimator.
        """
        X = validate_data(self, X, dtype=FLOATS)
        result = ila_sdp(
            X,
            self.n_clusters,
            init=self.init,
            covariance_type=self.covariance_type,
            reg_covar=self.reg_covar,
            solver=self.solver,
            n_init=self.n_init,
            max_outer=self.max_outer,
            tol=self.tol,
            max_iter=self.max_iter,
            random_state=generator(self.random_state),
            verbose=int(self.verbose),
        )
        self.result_ = result
        self.labels_ = result.labels
        self.means_ = result.centers
        self.covariances_ = result.covariances
        self.weights_ = result.weights
        self.memberships_ = result.memberships
        self.log_likelihood_ = result.log_likelihood
        self.certificate_ = {
            "objective": result.objective,
            "upper_bound": result.upper_bound,
            "gap": result.gap,
        }
        self.n_iter_ = result.n_iter
        self.converged_ = result.converged
        return self

    def _log_joint(self, X: Any) -> np.ndarray:
        """Return log pi_k + log N(x_i; mu_k, S_k), shape (n, K)."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=FLOATS, reset=False)
        shares = np.log(np.maximum(self.weights_, 1e-300))
        return log_densities(X, self.means_, self.covariances_) + shares[None, :]

    def predict(self, X: Any) -> np.ndarray:
        """Return the most probable cluster of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data.

        Returns
        -------
        ndarray of shape (n_samples,)
            Labels.
        """
        return np.argmax(self._log_joint(X), axis=1)

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the posterior probabilities of the clusters.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data.

        Returns
        -------
        ndarray of shape (n_samples, n_clusters)
            Rows sum to one.
        """
        scores = self._log_joint(X)
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
        return scores / scores.sum(axis=1, keepdims=True)

    def _log_density(self, X: Any) -> np.ndarray:
        """Log-density of the mixture at every row."""
        scores = self._log_joint(X)
        top = scores.max(axis=1)
        return top + np.log(np.exp(scores - top[:, None]).sum(axis=1))

    def score(self, X: Any, y: Any = None) -> float:
        """Return the mean log-density of the mixture of the clusters.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data.
        y : None
            Ignored.

        Returns
        -------
        float
            Mean over the rows.
        """
        return float(self._log_density(X).mean())

    def bic(self, X: Any) -> float:
        """Return the Bayesian information criterion on X; lower is better.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data.

        Returns
        -------
        float
            ``-2 n score(X) + q log n`` with q the number of free parameters.
        """
        density = self._log_density(X)
        K, p = self.means_.shape
        matrix = p * (p + 1) // 2
        counts = {"full": K * matrix, "tied": matrix, "diag": K * p, "spherical": K}
        free = counts[self.covariance_type] + K * p + K - 1
        return float(-2 * density.sum() + free * math.log(density.size))
