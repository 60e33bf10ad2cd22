# SPDX-License-Identifier: BSD-3-Clause
"""k-means with a proof: restarts, a closed-form bound, then the relaxation itself."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from numopt._array.namespace import device
from numopt._array.random import as_generator
from numopt._iterate.stopping import warn_not_converged
from numopt._validation import (
    check_callback,
    check_choice,
    check_flag,
    check_int,
    check_real,
    message,
)
from numopt.cluster._problem import KMeansProblem
from numopt.cluster._solvers.nlr import nlr_starts
from numopt.cluster._solvers.pipeline import (
    Incumbent,
    check_dense,
    check_labels,
    closed_form,
    improve_by_admm,
    improve_by_blocks,
    make_certificate,
    search_end,
    status_fields,
    wants_admm,
    wants_blocks,
)
from numopt.cluster._solvers.primal import (
    canonical_labels,
    embedding,
    improve_labels,
    merge_copies,
    multi_start,
)
from numopt.cluster._solvers.results import KMeansSDPResult
from numopt.typing import Array, Callback

__all__ = ["check_n_clusters", "kmeans_sdp", "make_problem", "make_result"]

METHODS = ("auto", "certificate", "admm", "nlr")
BOUNDS = ("auto", "lowrank", "blocks")
AFFINITIES = ("linear", "precomputed")
#: Most rows for which a membership matrix of the labels alone is formed.
LARGEST_MEMBERSHIP = 3000


def kmeans_sdp(
    X: Array,
    n_clusters: int,
    *,
    affinity: str | Callable[[Array], Array] = "linear",
    method: str = "auto",
    init: Any = None,
    n_init: int = 10,
    gap_tol: float = 1e-6,
    tol: float = 1e-6,
    max_iter: int = 2000,
    max_dense: int = 3000,
    check_every: int = 10,
    bound: str = "auto",
    return_membership: bool = True,
    random_state: Any = None,
    callback: Callback | None = None,
    verbose: int = 0,
    warn: bool = True,
) -> KMeansSDPResult:
    r"""Cluster by k-means and prove how good the partition is.

    .. math:: \max_Z \langle G, Z\rangle \quad\text{s.t. } Z = Z^T,\; Z1 = 1,\;
              {\rm tr} Z = K,\; Z \ge 0,\; Z \succeq 0

    relaxes the partitions, whose matrices are
    :math:`Z = \sum_a 1_a 1_a^T / n_a` with inertia :math:`T - \langle G, Z\rangle`.

    Parameters
    ----------
    X : array_like or sparse matrix of shape (n_samples, n_features)
        Data of any array library, or a SciPy sparse matrix; with
        ``affinity="precomputed"`` a symmetric similarity (n_samples, n_samples).
    n_clusters : int
        Number of clusters K, from 1 to n_samples.
    affinity : {"linear", "precomputed"} or callable, default="linear"
        Similarity G: scalar products of the centred rows, X itself, or
        ``affinity(X)``. G need not be positive semidefinite.
    method : {"auto", "certificate", "admm", "nlr"}, default="auto"
        "certificate": restarts and the closed-form bound. "admm": solve the
        relaxation too. "auto": solve it when the gap is open and
        ``n_samples <= max_dense``. "nlr": improve the partition by the nonnegative
        low-rank method, then the closed-form bound.
    init : array_like of int, KMeansSDPResult or None, default=None
        Labels that replace the restarts.
    n_init : int, default=10
        Restarts of k-means++ and Lloyd, each polished by single-point moves.
    gap_tol : float, default=1e-6
        Relative gap at which the partition counts as optimal.
    tol : float, default=1e-6
        Residuals at which the relaxation counts as solved.
    max_iter : int, default=2000
        Iterations of the ADMM.
    max_dense : int, default=3000
        Most rows for which n x n matrices are formed (at most six of float64).
    check_every : int, default=10
        Iterations between two rigorous bounds; the first is taken when the dual
        residual is small enough for it to say something, or at the end.
    bound : {"auto", "lowrank", "blocks"}, default="auto"
        Bound for more than ``max_dense`` rows: the closed form alone, or bounds of
        disjoint blocks of rows too ("auto": when the gap exceeds 1e-2).
    return_membership : bool, default=True
        Whether to form the n x n membership matrix (at most 3000 rows, unless the
        relaxation was solved).
    random_state : None, int or Generator, default=None
        Seed; the same seed gives the same labels.
    callback : callable, default=None
        Called as ``callback(info)`` after every check of the ADMM; true stops it.
    verbose : int, default=0
        1 for a progress bar, 2 for log lines.
    warn : bool, default=True
        Whether to issue a ConvergenceWarning when ``max_iter`` stops the ADMM or the
        data have fewer distinct points than clusters.

    Returns
    -------
    KMeansSDPResult
        Labels, centres, inertia, rigorous lower bound, gap and certificate.

    Raises
    ------
    TypeError
        When an argument is of the wrong kind.
    ValueError
        When a value is out of range, a shape is wrong, or ``method="admm"`` would
        need more than ``max_dense`` rows.

    Warns
    -----
    ConvergenceWarning
        When ``max_iter`` ends an unsolved relaxation. A solved relaxation with a
        positive gap is no failure: ``converged`` is true and ``certificate.optimal``
        false.

    See Also
    --------
    kmeans_certificate : Certify labels of any origin.
    SDPKMeans : The scikit-learn estimator.

    Notes
    -----
    One iteration of the ADMM costs a projection on the Fantope (a filtered subspace
    iteration on the previous eigenvectors, O(n^2 q)) and two passes over n x n
    matrices. Row sums, trace and eigenvalues of Z hold by construction.

    References
    ----------
    J. Peng, Y. Wei, "Approximating K-means-type clustering via semidefinite
    programming", SIAM J. Optim. 18, 2007. V. Q. Vu, J. Cho, J. Lei, K. Rohe,
    "Fantope projection and selection", NeurIPS 2013.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.cluster import kmeans_sdp
    >>> rng = np.random.default_rng(0)
    >>> truth = np.arange(60) % 3
    >>> X = rng.standard_normal((60, 3)) + 8 * np.eye(3)[truth]
    >>> result = kmeans_sdp(X, 3, random_state=0)
    >>> result.status, bool(np.all(result.labels == truth))
    ('optimal', True)
    """
    check_choice("method", method, METHODS)
    check_choice("bound", bound, BOUNDS)
    n_init = check_int("n_init", n_init, low=1)
    gap_tol = check_real("gap_tol", gap_tol, low=0.0)
    tol = check_real("tol", tol, low=0.0)
    max_iter = check_int("max_iter", max_iter, low=1)
    max_dense = check_int("max_dense", max_dense, low=1)
    check_every = check_int("check_every", check_every, low=1)
    check_flag("return_membership", return_membership)
    check_flag("warn", warn)
    check_callback(callback)
    problem = make_problem(X, affinity)
    n_clusters = check_n_clusters(n_clusters, problem.n)
    check_dense(method, problem.n, max_dense)
    rng = as_generator(random_state)
    labels = _partition(problem, n_clusters, init, n_init, method, rng)
    admm = {"certificate": "lowrank", "nlr": "lowrank"}.get(method, method)
    flat = search_end(problem, admm, max_dense)
    best = closed_form(problem, labels, gap_tol, flat)
    options = {
        "max_iter": max_iter,
        "callback": callback,
        "verbose": verbose,
        "check_every": check_every,
    }
    if wants_admm(problem, best, admm, gap_tol, max_dense):
        improve_by_admm(problem, best, gap_tol, tol, rng, options)
    elif problem.n > max_dense and wants_blocks(problem, best, bound, gap_tol):
        improve_by_blocks(problem, best, rng)
    if warn and best.n_clusters < n_clusters:
        _warn_few_points(best.n_clusters, n_clusters)
    result = make_result(problem, best, gap_tol, return_membership)
    if warn and result.status == "max_iter":
        warn_not_converged("kmeans_sdp", result.message)
    return result


def make_problem(X: Array, affinity: str | Callable[[Array], Array]) -> KMeansProblem:
    """Return the problem of a data matrix or of a similarity."""
    if callable(affinity):
        return KMeansProblem.from_similarity(affinity(X), "affinity(X)")
    check_choice("affinity", affinity, AFFINITIES)
    if affinity == "precomputed":
        return KMeansProblem.from_similarity(X)
    return KMeansProblem.from_data(X)


def check_n_clusters(n_clusters: Any, n: int) -> int:
    """Return the number of clusters, an integer from 1 to n."""
    value = check_int("n_clusters", n_clusters)
    if not 1 <= value <= n:
        raise ValueError(message("n_clusters", f"from 1 to n_samples={n}", value))
    return value


def _partition(
    problem: KMeansProblem,
    n_clusters: int,
    init: Any,
    n_init: int,
    method: str,
    rng: np.random.Generator,
) -> np.ndarray:
    """Labels of the best partition of all restarts."""
    if n_clusters == 1:
        return np.zeros(problem.n, np.int64)
    rows = embedding(problem)
    if n_clusters == problem.n:
        labels = np.arange(problem.n)
    elif init is not None:
        labels = _labels_of_init(init, problem.n, n_clusters)
        labels, _ = improve_labels(problem, rows, labels, n_clusters)
    else:
        labels, _ = multi_start(problem, rows, n_clusters, n_init, rng)
    if method == "nlr" and n_clusters < problem.n:
        labels = nlr_starts(problem, rows, labels, n_clusters, n_init=4, rng=rng).labels
    return merge_copies(problem, labels)


def _labels_of_init(init: Any, n: int, n_clusters: int) -> np.ndarray:
    """Labels to start from, of an array or of a result."""
    labels = check_labels("init", getattr(init, "labels", init), n)
    if labels.max() >= n_clusters:
        raise ValueError(
            message(
                "init",
                f"labels of at most n_clusters={n_clusters} clusters",
                f"{labels.max() + 1} distinct labels",
            )
        )
    return labels


def _warn_few_points(found: int, wanted: int) -> None:
    """Say that fewer clusters came out than were asked for."""
    from numopt.exceptions import ConvergenceWarning

    warnings.warn(
        f"fewer distinct points than clusters: {found} clusters of the "
        f"{wanted} asked for are used",
        ConvergenceWarning,
        stacklevel=3,
    )


def make_result(
    problem: KMeansProblem, best: Incumbent, gap_tol: float, membership: bool
) -> KMeansSDPResult:
    """Bring an incumbent back to the units, library and dtype of the data."""
    best.labels = canonical_labels(best.labels)
    certificate = make_certificate(problem, best, gap_tol)
    xp, where = problem.xp, device(problem.like)
    labels = xp.asarray(best.labels, device=where)
    centers = None
    if problem.rows is not None:
        means = problem.means(best.labels, best.n_clusters) * problem.length
        center: Array = problem.center
        centers = xp.astype(means + center[None, :], problem.dtype)
    factor, sdp_value = _factor(problem, best, certificate.optimal)
    dense = membership and (best.state is not None or problem.n <= LARGEST_MEMBERSHIP)
    state = best.state
    return KMeansSDPResult(
        **status_fields(problem, best, gap_tol),
        labels=labels,
        centers=centers,
        inertia=certificate.inertia,
        lower_bound=certificate.lower_bound,
        gap=certificate.gap,
        sdp_value=sdp_value * problem.unit,
        membership=factor @ xp.matrix_transpose(factor) if dense else None,
        factor=factor,
        primal_residual=0.0 if state is None else state.primal,
        dual_residual=0.0 if state is None else state.dual,
        rank=factor.shape[1],
        certificate=certificate,
    )


def _factor(
    problem: KMeansProblem, best: Incumbent, optimal: bool
) -> tuple[Array, float]:
    """Columns with Z = factor factor^T, and the inertia of the relaxation."""
    xp, where = problem.xp, device(problem.like)
    state = best.state
    if state is None or not state.steps or optimal:
        sizes = np.bincount(best.labels, minlength=best.n_clusters)
        columns = np.zeros((problem.n, best.n_clusters))
        index = np.arange(problem.n)
        columns[index, best.labels] = 1 / np.sqrt(sizes[best.labels])
        value = best.inertia if optimal else float("nan")
        return xp.asarray(columns, device=where), value
    P, weights = state.projection.factor()
    factor = P * xp.sqrt(weights)[None, :]
    products = state.G @ factor
    value = problem.total - float(xp.sum(factor * products))
    one = xp.full((problem.n, 1), problem.n**-0.5, dtype=factor.dtype, device=where)
    return xp.concat([one, factor], axis=1), value
