# SPDX-License-Identifier: BSD-3-Clause
"""Bounds for partitions of any origin, and for the best partition itself."""

from typing import Any

from numopt._array.random import as_generator
from numopt._iterate.stopping import warn_not_converged
from numopt._validation import (
    check_callback,
    check_choice,
    check_flag,
    check_int,
    check_real,
)
from numopt.cluster._problem import KMeansProblem
from numopt.cluster._solvers.kmeans import kmeans_sdp
from numopt.cluster._solvers.pipeline import (
    check_dense,
    check_labels,
    closed_form,
    improve_by_admm,
    improve_by_blocks,
    make_certificate,
    search_end,
    wants_admm,
    wants_blocks,
)
from numopt.cluster._solvers.results import ClusterCertificate
from numopt.typing import Array, Callback

__all__ = ["kmeans_certificate", "kmeans_lower_bound"]

CERTIFICATES = ("auto", "lowrank", "admm", "blocks")


def kmeans_certificate(
    X: Array,
    labels: Array,
    *,
    method: str = "auto",
    gap_tol: float = 1e-6,
    max_iter: int = 2000,
    max_dense: int = 3000,
    random_state: Any = None,
    callback: Callback | None = None,
    verbose: int = 0,
    warn: bool = True,
) -> ClusterCertificate:
    r"""Bound how far a partition, from whatever library, is from the best one.

    .. math:: W_{\rm opt} \ge T - \tfrac1n 1^T(G+B)1 - \sum_{i<K}
              \lambda_i\bigl(J(G+B)J\bigr) \quad\text{for every } B \ge 0

    where :math:`G = XX^T` of the centred rows, :math:`T = {\rm tr}\, G`,
    :math:`J = I - 11^T/n` and K is the number of distinct labels.

    Parameters
    ----------
    X : array_like or sparse matrix of shape (n_samples, n_features)
        Data of any array library, or a SciPy sparse matrix (never centred explicitly).
    labels : array_like of int, shape (n_samples,)
        Cluster of each row; ids need not be contiguous.
    method : {"auto", "lowrank", "admm", "blocks"}, default="auto"
        "lowrank" is the closed-form multiplier with clipping, O(n (p + K) K);
        "admm" improves it by solving the relaxation, n x n matrices; "blocks" adds
        bounds of disjoint blocks of rows. "auto" goes on to "admm" (or to "blocks"
        beyond ``max_dense`` rows) while the gap is open.
    gap_tol : float, default=1e-6
        Relative gap at which the partition counts as optimal.
    max_iter : int, default=2000
        Iterations of the ADMM.
    max_dense : int, default=3000
        Most rows for which n x n matrices are formed.
    random_state : None, int or Generator, default=None
        Seed of eigenvector starts and of blocks.
    callback : callable, default=None
        Called as ``callback(info)`` after every check of the ADMM; true stops it.
    verbose : int, default=0
        1 for a progress bar, 2 for log lines.
    warn : bool, default=True
        Whether to issue a ConvergenceWarning when ``max_iter`` stops the ADMM.

    Returns
    -------
    ClusterCertificate
        ``inertia``, ``lower_bound``, ``gap``, ``optimal`` and how they were found.

    Raises
    ------
    TypeError
        When an argument is of the wrong kind, for example float labels.
    ValueError
        When a value is out of range, a shape is wrong, or ``method="admm"`` would
        need more than ``max_dense`` rows.

    See Also
    --------
    kmeans_sdp : Cluster and certify in one call.

    Notes
    -----
    The bound holds for any multiplier B, so rounding in its construction cannot spoil
    it; only the final eigenproblem is rounded, and an allowance for that (``slack``) is
    subtracted. No iterative eigenvalue enters a bound unless a Cholesky factorisation
    proves it.

    References
    ----------
    T. Iguchi, D. G. Mixon, J. Peterson, S. Villar, "Probably certifiably correct
    k-means clustering", Math. Program. 165, 2017. J. Peng, Y. Wei, "Approximating
    K-means-type clustering via semidefinite programming", SIAM J. Optim. 18, 2007.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.cluster import kmeans_certificate
    >>> rng = np.random.default_rng(0)
    >>> labels = np.arange(60) % 3
    >>> X = rng.standard_normal((60, 2)) + 12 * np.eye(3)[labels][:, :2]
    >>> kmeans_certificate(X, labels).optimal
    True
    """
    check_choice("method", method, CERTIFICATES)
    gap_tol = check_real("gap_tol", gap_tol, low=0.0)
    max_iter = check_int("max_iter", max_iter, low=1)
    max_dense = check_int("max_dense", max_dense, low=1)
    check_callback(callback)
    check_flag("warn", warn)
    problem = KMeansProblem.from_data(X)
    host = check_labels("labels", labels, problem.n)
    flat = search_end(problem, method, max_dense)
    best = closed_form(problem, host, gap_tol, flat)
    check_dense(method, problem.n, max_dense)
    rng = as_generator(random_state)
    if wants_admm(problem, best, method, gap_tol, max_dense):
        options = {
            "max_iter": max_iter,
            "callback": callback,
            "verbose": verbose,
            "check_every": 10,
        }
        improve_by_admm(problem, best, gap_tol, 1e-6, rng, options, fixed=True)
    elif wants_blocks(problem, best, method, gap_tol):
        improve_by_blocks(problem, best, rng)
    certificate = make_certificate(problem, best, gap_tol)
    if warn and certificate.status == "max_iter":
        warn_not_converged("kmeans_certificate", certificate.message)
    return certificate


def kmeans_lower_bound(
    X: Array,
    n_clusters: int,
    *,
    method: str = "auto",
    n_init: int = 10,
    gap_tol: float = 1e-6,
    max_iter: int = 2000,
    max_dense: int = 3000,
    random_state: Any = None,
    callback: Callback | None = None,
    verbose: int = 0,
    warn: bool = True,
) -> float:
    """Return a rigorous lower bound on the smallest inertia of any partition.

    Parameters
    ----------
    X : array_like or sparse matrix of shape (n_samples, n_features)
        Data.
    n_clusters : int
        Number of clusters K.
    method : {"auto", "certificate", "admm", "nlr"}, default="auto"
        As in `kmeans_sdp`.
    n_init : int, default=10
        Restarts for the partition from which the bound is built.
    gap_tol : float, default=1e-6
        Relative gap at which the search for a better bound stops.
    max_iter : int, default=2000
        Iterations of the ADMM.
    max_dense : int, default=3000
        Most rows for which n x n matrices are formed.
    random_state : None, int or Generator, default=None
        Seed.
    callback : callable, default=None
        Called as ``callback(info)`` after every check of the ADMM; true stops it.
    verbose : int, default=0
        1 for a progress bar, 2 for log lines.
    warn : bool, default=True
        Whether to issue a ConvergenceWarning when ``max_iter`` stops the ADMM.

    Returns
    -------
    float
        A number that no inertia of a partition into ``n_clusters`` falls below.

    Raises
    ------
    TypeError, ValueError
        As `kmeans_sdp`.

    See Also
    --------
    kmeans_sdp : The partition as well.

    Examples
    --------
    >>> from numopt.cluster import kmeans_lower_bound
    >>> X = [[0.0], [0.2], [5.0], [5.2]]
    >>> round(kmeans_lower_bound(X, 2, random_state=0), 6)
    0.04
    """
    result = kmeans_sdp(
        X,
        n_clusters,
        method=method,
        n_init=n_init,
        gap_tol=gap_tol,
        max_iter=max_iter,
        max_dense=max_dense,
        return_membership=False,
        random_state=random_state,
        callback=callback,
        verbose=verbose,
        warn=warn,
    )
    return result.lower_bound
