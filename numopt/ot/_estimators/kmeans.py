# SPDX-License-Identifier: BSD-3-Clause
"""Clusters of prescribed or priced sizes, with outliers and neighbours."""

from numbers import Integral, Real
from typing import Any, Self

import numpy as np
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    ClusterMixin,
    TransformerMixin,
)
from sklearn.cluster import kmeans_plusplus
from sklearn.neighbors import kneighbors_graph
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from numopt import _validation as v
from numopt._estimator.sklearn_compat import (
    Interval,
    StrOptions,
    fit_context,
    validate_data,
)
from numopt._iterate.stopping import warn_not_converged
from numopt._numerics.distances import pairwise_distances
from numopt.ot._solvers.clustering import (
    Clustering,
    ClusteringOptions,
    assign,
    hard_labels,
    transport_k_means,
)

__all__ = ["OTKMeans"]

FLOATS = (np.float64, np.float32)


class OTKMeans(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClusterMixin, BaseEstimator
):
    r"""k-means with control of the cluster sizes and of the samples left out.

    Assignments are entropic transport plans between samples and clusters,

    .. math:: \min_Q \langle Q, D \rangle / s
              + \lambda\,\mathrm{KL}(Q^T 1 \,|\, \tfrac{\rho}{k} 1)
              + \varepsilon\,\mathrm{entropy},
              \qquad Q 1 \le \tfrac1n 1,\; 1^T Q 1 = \rho

    with the squared distances D to the centres, the variance s of the data and
    :math:`\lambda` = ``balance / (1 - balance)``; centres are means under the plan.

    Parameters
    ----------
    n_clusters : int, default=8
        Number k of clusters.
    reg : float, default=0.01
        Entropic regularisation, in units of the variance of the data.
    balance : float, default=1.0
        1 makes the clusters equal in size, 0 leaves their sizes free (soft k-means);
        between the two unequal sizes have a price.
    mass : float, default=1.0
        Fraction :math:`\rho` of the samples to assign; the others are labelled -1.
    mass_start : float, default=None
        Fraction to begin with: it grows to ``mass`` in the first ten iterations, so
        that centres form from the samples that are close to one. None: ``mass`` from
        the start.
    n_neighbors : int, default=0
        Neighbours in the graph of samples; 0 for none.
    graph_weight : float, default=0.0
        Reward, in units of the variance, for being in the cluster of all neighbours.
    init : {"k-means++", "random"} or array of shape (k, d), default="k-means++"
        First centres.
    n_init : int, default=1
        Starts; the one of the best objective is kept.
    max_iter : int, default=100
        Bound on the iterations of a start.
    tol : float, default=1e-4
        Squared movement of the centres, in units of the variance, at which to stop.
    random_state : int, RandomState instance or None, default=None
        Of the starts.

    Attributes
    ----------
    cluster_centers_ : array of shape (k, d)
        Centres.
    labels_ : array of shape (n,)
        Cluster of every sample, -1 where it is left out. With ``balance=1`` every
        cluster has the floor or the ceiling of the mean size.
    inertia_ : float
        Sum of squared distances of the assigned samples to their centres.
    potentials_ : array of shape (k,)
        Prices of the clusters in the last plan, in units of ``scale_``.
    outlier_potential_ : float
        Price of leaving a sample out; -inf where all are assigned.
    scale_ : float
        Variance of the data.
    result_ : ProgressiveResult
        The last assignment.
    n_iter_ : int
        Iterations of the best start.
    n_features_in_ : int
        Number of features d.

    See Also
    --------
    progressive_partial_ot : The assignment alone.

    Notes
    -----
    ``predict`` compares potential minus distance of the clusters: one that is in demand
    reaches less far. New samples are not counted: their sizes follow from the data.
    With outliers a sample is left out where ``outlier_potential_`` is larger.

    References
    ----------
    Genevay, Dulac-Arnold & Vert (2019), Differentiable deep clustering with cluster
    size constraints, arXiv 1910.09036. Zhang, Ren & He (2024), P2OT, ICLR, for partial
    mass, its ramp and the price of sizes; SP2OT, arXiv 2404.03446, for the graph.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.ot import OTKMeans
    >>> X = np.array([[0.0], [0.1], [0.2], [3.0], [3.1], [90.0]])
    >>> labels = OTKMeans(2, random_state=0).fit_predict(X)
    >>> np.bincount(labels).tolist()
    [3, 3]
    >>> OTKMeans(2, balance=0.0, mass=0.8, init=[[0.0], [3.0]]).fit_predict(X).tolist()
    [0, 0, 0, 1, 1, -1]
    """

    _parameter_constraints = {
        "n_clusters": [Interval(Integral, 1, None, closed="left")],
        "reg": [Interval(Real, 0, None, closed="neither")],
        "balance": [Interval(Real, 0, 1, closed="both")],
        "mass": [Interval(Real, 0, 1, closed="right")],
        "mass_start": [Interval(Real, 0, 1, closed="right"), None],
        "n_neighbors": [Interval(Integral, 0, None, closed="left")],
        "graph_weight": [Interval(Real, 0, None, closed="left")],
        "init": [StrOptions({"k-means++", "random"}), "array-like"],
        "n_init": [Interval(Integral, 1, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        reg: float = 0.01,
        balance: float = 1.0,
        mass: float = 1.0,
        mass_start: float | None = None,
        n_neighbors: int = 0,
        graph_weight: float = 0.0,
        init: Any = "k-means++",
        n_init: int = 1,
        max_iter: int = 100,
        tol: float = 1e-4,
        random_state: Any = None,
    ) -> None:
        self.n_clusters = n_clusters
        self.reg = reg
        self.balance = balance
        self.mass = mass
        self.mass_start = mass_start
        self.n_neighbors = n_neighbors
        self.graph_weight = graph_weight
        self.init = init
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> Self:
        """Cluster the samples.

        Parameters
        ----------
        X : array-like of shape (n, d)
            Samples.
        y : None
            Ignored.

        Returns
        -------
        OTKMeans
            The fitted estimator.
        """
        X = validate_data(self, X, dtype=FLOATS)
        if len(X) < self.n_clusters:
            raise ValueError(
                f"n_samples={len(X)} should be >= n_clusters={self.n_clusters}."
            )
        data = np.asarray(X, np.float64)
        rng = check_random_state(self.random_state)
        self.scale_ = float(data.var(axis=0).sum()) or 1.0
        options = self._options(data)
        starts = self.n_init if isinstance(self.init, str) else 1
        runs = [
            transport_k_means(data, self._start(data, rng), options)
            for _ in range(starts)
        ]
        best = min(runs, key=lambda run: run.result.value)
        if not best.converged:
            warn_not_converged(
                "OTKMeans", f"centres still move after max_iter={self.max_iter}"
            )
        self._store(data, X.dtype, options, best)
        return self

    def _options(self, X: np.ndarray) -> ClusteringOptions:
        """Build the graph and collect what assignments respect."""
        graph, weight = None, 0.0
        if self.n_neighbors > 0 and self.graph_weight > 0:
            neighbours = min(self.n_neighbors, len(X) - 1)
            graph = kneighbors_graph(X, neighbours)
            graph = 0.5 * (graph + graph.T)
            # Plans are of order 1 / n: the reward is for a row of neighbours.
            weight = self.graph_weight * len(X) / (2.0 * neighbours)
        return ClusteringOptions(
            reg=self.reg,
            balance=float(self.balance),
            mass=float(self.mass),
            mass_start=self.mass_start,
            graph=graph,
            graph_weight=weight,
            max_iter=int(self.max_iter),
            tol=self.tol,
            scale=self.scale_,
        )

    def _start(self, X: np.ndarray, rng: Any) -> np.ndarray:
        """Return first centres."""
        k = int(self.n_clusters)
        if not isinstance(self.init, str):
            centers = np.array(self.init, np.float64)
            v.check_shape("init", centers, (k, X.shape[1]), why="(clusters, features)")
            v.check_values("init", centers)
            return centers
        if self.init == "random":
            return X[rng.choice(len(X), k, replace=False)]
        return kmeans_plusplus(X, k, random_state=rng)[0]

    def _store(
        self,
        X: np.ndarray,
        dtype: Any,
        options: ClusteringOptions,
        best: Clustering,
    ) -> None:
        """Assign to the final centres and set the fitted attributes."""
        result = assign(X, best.centers, options, options.ramp, best.result)
        distances = pairwise_distances(X, best.centers, "sqeuclidean")
        labels = hard_labels(result, distances / self.scale_, equal=self.balance == 1)
        kept = labels >= 0
        self.inertia_ = float(distances[kept, labels[kept]].sum())
        self.labels_ = labels
        self.cluster_centers_ = best.centers.astype(dtype, copy=False)
        self.potentials_ = result.g
        self.outlier_potential_ = result.g_rest
        self.result_ = result
        self.n_iter_ = best.n_iter

    def _scores(self, X: Any) -> tuple[np.ndarray, np.ndarray]:
        """Squared distances to the centres, and potentials minus these."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=FLOATS, reset=False)
        centers = np.asarray(self.cluster_centers_, np.float64)
        distances = pairwise_distances(
            np.asarray(X, np.float64), centers, "sqeuclidean"
        )
        return distances, self.potentials_ - distances / self.scale_

    def predict(self, X: Any) -> np.ndarray:
        """Return the cluster of new samples by the potentials.

        Parameters
        ----------
        X : array-like of shape (m, d)
            Samples.

        Returns
        -------
        array of shape (m,)
            Labels, -1 for samples to leave out.
        """
        scores = self._scores(X)[1]
        out = scores.max(axis=1) < self.outlier_potential_
        return np.where(out, -1, scores.argmax(axis=1))

    def transform(self, X: Any) -> np.ndarray:
        """Return the distances to the centres.

        Parameters
        ----------
        X : array-like of shape (m, d)
            Samples.

        Returns
        -------
        array of shape (m, k)
            Euclidean distances.
        """
        distances = np.sqrt(np.maximum(self._scores(X)[0], 0.0))
        return distances.astype(self.cluster_centers_.dtype, copy=False)

    @property
    def _n_features_out(self) -> int:
        """Number of columns of ``transform``."""
        return len(self.cluster_centers_)

    def score(self, X: Any, y: Any = None) -> float:
        """Return minus the squared distances to the predicted centres.

        Parameters
        ----------
        X : array-like of shape (m, d)
            Samples; those to leave out count their nearest centre.
        y : None
            Ignored.

        Returns
        -------
        float
            Minus the sum; higher is better.
        """
        distances, scores = self._scores(X)
        chosen = scores.argmax(axis=1)
        return -float(np.take_along_axis(distances, chosen[:, None], 1).sum())
