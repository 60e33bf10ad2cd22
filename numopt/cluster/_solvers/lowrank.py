# SPDX-License-Identifier: BSD-3-Clause
"""``nlr_kmeans``: k-means through nonnegative low-rank factors, with a certificate."""

from typing import Any

from numopt._array.random import as_generator
from numopt._iterate.stopping import warn_not_converged
from numopt._validation import check_callback, check_flag, check_int, check_real
from numopt.cluster._problem import KMeansProblem
from numopt.cluster._solvers.kmeans import check_n_clusters, make_result
from numopt.cluster._solvers.nlr import nlr_starts
from numopt.cluster._solvers.pipeline import closed_form
from numopt.cluster._solvers.primal import canonical_labels
from numopt.cluster._solvers.results import KMeansSDPResult
from numopt.typing import Array, Callback

__all__ = ["nlr_kmeans"]

GAP_TOL = 1e-6


def nlr_kmeans(
    X: Array,
    n_clusters: int,
    *,
    rank: int | None = None,
    tol: float = 1e-4,
    max_iter: int = 5000,
    n_init: int = 4,
    random_state: Any = None,
    callback: Callback | None = None,
    verbose: int = 0,
    warn: bool = True,
) -> KMeansSDPResult:
    r"""Cluster through nonnegative low-rank factors of the membership matrix.

    .. math:: \min_U -\|X^TU\|_F^2 \quad\text{s.t. } UU^T1 = 1,\; U \ge 0,\;
              \|U\|_F^2 = K

    Parameters
    ----------
    X : array_like or sparse matrix of shape (n_samples, n_features)
        Data.
    n_clusters : int
        Number of clusters K.
    rank : int, default=None
        Columns of U; None means ``2 * n_clusters``.
    tol : float, default=1e-4
        Change of U and violation of the row sums at which a start has converged; it
        also ends when the leading column of every row has not changed for 50 steps.
    max_iter : int, default=5000
        Steps of each start.
    n_init : int, default=4
        Starts: half from k-means partitions with noise, half random.
    random_state : None, int or Generator, default=None
        Seed.
    callback : callable, default=None
        Called as ``callback(info)`` after every check; true stops the start.
    verbose : int, default=0
        1 for a progress bar, 2 for log lines.
    warn : bool, default=True
        Whether to issue a ConvergenceWarning when the best start did not converge.

    Returns
    -------
    KMeansSDPResult
        Polished labels with the closed-form certificate; the history is that of the
        start which gave the labels.

    Raises
    ------
    TypeError, ValueError
        When an argument is of the wrong kind or out of range.

    See Also
    --------
    kmeans_sdp : Restarts of k-means and the relaxation itself.

    Notes
    -----
    Steps cost O(n p r). The factorised problem is not convex: starts may end in
    merged or split clusters, as those of k-means do. Its use is to look in other
    places than k-means; it is not the default of `kmeans_sdp`.

    References
    ----------
    Y. Zhuang, X. Chen, Y. Yang, R. Y. Zhang, "Statistically optimal K-means clustering
    via nonnegative low-rank semidefinite programming", ICLR 2024.

    Examples
    --------
    >>> from numopt.cluster import nlr_kmeans
    >>> from numopt.datasets import make_spherical_mixture
    >>> X, truth = make_spherical_mixture(60, 3, 4, distance=9.0, random_state=0)
    >>> result = nlr_kmeans(X, 3, random_state=0)
    >>> bool((result.labels == truth).all())
    True
    """
    tol = check_real("tol", tol, low=0.0)
    max_iter = check_int("max_iter", max_iter, low=1)
    n_init = check_int("n_init", n_init, low=1)
    check_callback(callback)
    check_flag("warn", warn)
    problem = KMeansProblem.from_data(X)
    K = check_n_clusters(n_clusters, problem.n)
    if rank is not None:
        rank = check_int("rank", rank, low=K)
    found = nlr_starts(
        problem,
        problem.data,
        None,
        K,
        n_init=n_init,
        rng=as_generator(random_state),
        rank=rank,
        tol=tol,
        max_iter=max_iter,
        callback=callback,
        verbose=verbose,
    )
    best = closed_form(problem, canonical_labels(found.labels), GAP_TOL)
    best.fields.update(found.fields)
    result = make_result(problem, best, GAP_TOL, problem.n <= 3000)
    if warn and result.status == "max_iter":
        warn_not_converged("nlr_kmeans", result.message)
    return result
