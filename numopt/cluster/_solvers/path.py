# SPDX-License-Identifier: BSD-3-Clause
"""``kmeans_sdp_path``: certified inertia for every number of clusters in a range."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from numopt._array.namespace import to_numpy
from numopt._array.random import as_generator
from numopt._validation import check_int, message
from numopt.cluster._problem import KMeansProblem
from numopt.cluster._solvers.kmeans import check_n_clusters, kmeans_sdp
from numopt.cluster._solvers.primal import improve_labels, multi_start
from numopt.cluster._solvers.results import KMeansSDPResult
from numopt.exceptions import ArgumentTypeError
from numopt.typing import Array

__all__ = ["kmeans_sdp_path"]


def kmeans_sdp_path(
    X: Array,
    n_clusters: Iterable[int],
    *,
    n_init: int = 10,
    random_state: Any = 0,
    **options: Any,
) -> dict[int, KMeansSDPResult]:
    """Cluster and certify for several numbers of clusters, the same on every run.

    Parameters
    ----------
    X : array_like or sparse matrix of shape (n_samples, n_features)
        Data.
    n_clusters : iterable of int
        Numbers of clusters, for example ``range(2, 8)``.
    n_init : int, default=10
        Restarts for every number of clusters.
    random_state : None, int or Generator, default=0
        Seed; fixed by default, so that a choice made from the path can be repeated.
    **options
        Further options of `kmeans_sdp`, except ``init`` and ``affinity``.

    Returns
    -------
    dict of int to KMeansSDPResult
        Results by number of clusters, in increasing order. The inertia never rises
        with the number of clusters.

    Raises
    ------
    TypeError, ValueError
        As `kmeans_sdp`.

    See Also
    --------
    kmeans_sdp : One number of clusters.
    numopt.plotting.GapDisplay : Draws the path.

    Notes
    -----
    Restarts for K + 1 clusters compete with the partition into K, one of whose points
    founds a cluster of its own.

    Examples
    --------
    >>> from numopt.cluster import kmeans_sdp_path
    >>> from numopt.datasets import load_ruspini
    >>> path = kmeans_sdp_path(load_ruspini(), range(3, 6), method="certificate")
    >>> [K for K, result in path.items() if result.gap < 1e-6]
    [4]
    """
    for name in ("init", "affinity"):
        if name in options:
            raise ArgumentTypeError(f"`{name}` is no option of kmeans_sdp_path")
    n_init = check_int("n_init", n_init, low=1)
    problem = KMeansProblem.from_data(X)
    numbers = sorted({check_n_clusters(K, problem.n) for K in n_clusters})
    if not numbers:
        raise ValueError(message("n_clusters", "non-empty", "no numbers"))
    rng = as_generator(random_state)
    path: dict[int, KMeansSDPResult] = {}
    before: np.ndarray | None = None
    for K in numbers:
        labels, inertia = multi_start(problem, problem.data, K, n_init, rng)
        if before is not None and problem.n > K:
            other, value = _grown(problem, before, K)
            if value < inertia:
                labels = other
        path[K] = kmeans_sdp(X, K, init=labels, random_state=rng, **options)
        before = labels
    return path


def _grown(
    problem: KMeansProblem, labels: np.ndarray, n_clusters: int
) -> tuple[np.ndarray, float]:
    """A partition into more clusters: the farthest points found new ones."""
    labels = labels.copy()
    means = problem.means(labels, int(labels.max()) + 1)
    xp = problem.xp
    scores = xp.sum(means * means, axis=1)[None, :] - 2 * problem.data.times(means)
    own = to_numpy(scores)[np.arange(problem.n), labels]
    order = np.argsort(-(own + to_numpy(problem.data.square_norms())), kind="stable")
    for i in order:
        new = int(labels.max()) + 1
        if new == n_clusters:
            break
        if np.count_nonzero(labels == labels[i]) > 1:
            labels[i] = new
    return improve_labels(problem, problem.data, labels, n_clusters)
