# SPDX-License-Identifier: BSD-3-Clause
"""``la_sdp``: the likelihood-adjusted relaxation; ``misclustering_error``."""

from typing import Any

import numpy as np

from numopt._array.namespace import is_array, to_numpy
from numopt._array.random import as_generator
from numopt._iterate.loop import iterate
from numopt._validation import (
    check_callback,
    check_flag,
    check_int,
    check_real,
    check_shape,
    message,
)
from numopt.cluster._problem import DenseRows
from numopt.cluster._solvers.blas import calm_blas
from numopt.cluster._solvers.groups import (
    Run,
    check_covariances,
    check_weights,
    dense_problem,
    given_labels,
    likelihood_given,
    make_group_result,
    match,
    memberships,
)
from numopt.cluster._solvers.likelihood import (
    GroupProblem,
    GroupSolver,
    partition_groups,
)
from numopt.cluster._solvers.primal import multi_start
from numopt.cluster._solvers.results import LASDPResult
from numopt.typing import Array, Callback

__all__ = ["la_sdp", "misclustering_error"]


def misclustering_error(y_true: Array, y_pred: Array) -> float:
    """Return the share of rows with a wrong label, under the best renaming of labels.

    Parameters
    ----------
    y_true, y_pred : array_like of shape (n_samples,)
        Labels of any kind; the numbers of clusters may differ.

    Returns
    -------
    float
        Between 0 and 1.

    Raises
    ------
    ValueError
        When the lengths differ or there are no labels.

    Examples
    --------
    >>> from numopt.cluster import misclustering_error
    >>> misclustering_error([0, 0, 1, 1], [5, 5, 3, 5])
    0.25
    """
    from scipy.optimize import linear_sum_assignment

    first, second = (
        np.asarray(to_numpy(y) if is_array(y) else y) for y in (y_true, y_pred)
    )
    if first.ndim != 1 or first.size == 0:
        raise ValueError(message("y_true", "1-D and non-empty", f"shape {first.shape}"))
    check_shape("y_pred", second, first.shape, why="as `y_true`")
    _, a = np.unique(first, return_inverse=True)
    _, b = np.unique(second, return_inverse=True)
    table = np.zeros((a.max() + 1, b.max() + 1))
    np.add.at(table, (a, b), 1)
    rows, columns = linear_sum_assignment(-table)
    return float(1 - table[rows, columns].sum() / first.size)


def la_sdp(
    X: Array,
    covariances: Array,
    *,
    weights: Array | None = None,
    init: Array | None = None,
    tol: float = 1e-4,
    max_iter: int = 500,
    random_state: Any = None,
    callback: Callback | None = None,
    verbose: int = 0,
    warn: bool = True,
) -> LASDPResult:
    r"""Cluster by the likelihood-adjusted relaxation for given covariances.

    .. math:: \max \sum_k \langle A_k, Z_k\rangle - \langle c_k, Z_k 1\rangle
              \quad\text{s.t. } \sum_k Z_k 1 = 1,\; {\rm tr} Z_k = 1,\;
              Z_k \succeq 0,\; Z_k \ge 0

    where :math:`A_k = X S_k^{-1} X^T` and
    :math:`c_k = {\rm diag}(A_k) + \log\det S_k`.

    Parameters
    ----------
    X : array_like of shape (n_samples, n_features)
        Data of any array library.
    covariances : array_like of shape (n_clusters, n_features, n_features)
        Positive definite covariance of each cluster.
    weights : array_like of shape (n_clusters,), default=None
        Shares of the clusters; given, they enter the likelihood.
    init : array_like of int, shape (n_samples,), default=None
        Labels to start from; None means k-means, each cluster matched to the
        covariance under which it is most likely.
    tol : float, default=1e-4
        Residuals at which the relaxation counts as solved.
    max_iter : int, default=500
        Iterations of the ADMM.
    random_state : None, int or Generator, default=None
        Seed.
    callback : callable, default=None
        Called as ``callback(info)`` after every check; true stops.
    verbose : int, default=0
        1 for a progress bar, 2 for log lines.
    warn : bool, default=True
        Whether to issue a ConvergenceWarning when ``max_iter`` stops the ADMM.

    Returns
    -------
    LASDPResult
        Labels, soft memberships, objective and a rigorous upper bound on it.

    Raises
    ------
    TypeError, ValueError
        When an argument is of the wrong kind, a shape is wrong, or a covariance is
        not positive definite.

    See Also
    --------
    ila_sdp : Estimates the covariances too.

    Notes
    -----
    K dense n x n matrices and one partial eigendecomposition of each an iteration.
    With equal covariances the value is that of the k-means relaxation.

    References
    ----------
    Y. Zhuang, X. Chen, Y. Yang, "Likelihood adjusted semidefinite programs for
    clustering heterogeneous data", ICML 2023.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.cluster import la_sdp
    >>> X = np.array([[0.0], [0.2], [0.4], [8.0], [8.2], [8.4]])
    >>> la_sdp(X, np.ones((2, 1, 1)), random_state=0).labels.tolist()
    [0, 0, 0, 1, 1, 1]
    """
    tol = check_real("tol", tol, low=0.0)
    max_iter = check_int("max_iter", max_iter, low=1)
    check_callback(callback)
    check_flag("warn", warn)
    problem = dense_problem(X)
    data = problem.like
    # Statistics of p x p matrices are the host's work; n x n matrices stay there.
    rows = to_numpy(data)
    S = check_covariances(covariances, rows.shape[1]) / problem.unit
    K = S.shape[0]
    if problem.n < K:
        raise ValueError(message("covariances", f"at most {problem.n}, one a row", K))
    shares = None if weights is None else check_weights(weights, K)
    rng = as_generator(random_state)
    if init is None:
        labels, _ = multi_start(problem, DenseRows(data), K, 5, rng)
        labels = match(rows, labels, S)
    else:
        labels = given_labels(init, problem.n, K)
    group = GroupProblem.from_covariances(data, S, shares)
    with calm_blas(problem.n):
        fields = iterate(
            GroupSolver(),
            group,
            tol=tol,
            max_iter=max_iter,
            callback=callback,
            verbose=verbose,
            check_every=10,
            warm_start=partition_groups(labels, K),
            warn=warn,
        )
    Z, Y, upper = fields.pop("Z"), fields.pop("Y"), fields.pop("upper_bound")
    soft = memberships(to_numpy(problem.xp.sum(Z, axis=2)))
    run = Run(soft.argmax(axis=0), soft, S, group.value(Y), upper, "init", 0.0)
    run.likelihood = likelihood_given(rows, run.labels, S)
    return make_group_result(problem, rows, run, fields)
