# SPDX-License-Identifier: BSD-3-Clause
"""What the functions of this family return."""

import dataclasses

from numopt._iterate.result import SolverResult
from numopt.typing import Array

__all__ = ["ClusterCertificate", "KMeansSDPResult", "LASDPResult"]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ClusterCertificate(SolverResult):
    """A partition's inertia beside a rigorous lower bound on the best inertia.

    Parameters
    ----------
    n_iter : int
        Number of ADMM iterations (0 for the closed-form certificate alone).
    converged : bool
        Whether the bound is final: optimal, closed form, or the relaxation is solved.
    message : str
        What the gap means.
    status : str
        "optimal", "bounded" (closed form or blocks), "sdp_solved" or "max_iter".
    history : dict of str to ndarray
        One entry a check of the ADMM.
    inertia : float
        Sum of squared distances to the means of the partition, W.
    lower_bound : float
        No partition into as many clusters has a smaller inertia; rounding is included.
    gap : float
        ``(inertia - lower_bound) / inertia``, clipped at 0.
    optimal : bool
        Whether the gap is at most ``gap_tol``.
    lambda_ : float
        Multiplier of the trace in the closed-form certificate; nan from other bounds.
    method : str
        Which bound is the best: "lowrank", "admm" or "blocks".
    dual_matrix : ndarray of shape (n_samples, n_samples) or None
        The nonnegative multiplier B, where the bound is dense.
    slack : float
        Allowance for rounding that has been subtracted from the bound.

    Examples
    --------
    >>> from numopt.cluster import kmeans_certificate
    >>> certificate = kmeans_certificate([[0.0], [0.1], [5.0], [5.1]], [0, 0, 1, 1])
    >>> certificate.optimal
    True
    """

    inertia: float
    lower_bound: float
    gap: float
    optimal: bool
    lambda_: float
    method: str
    dual_matrix: Array | None
    slack: float

    def __repr__(self) -> str:
        """The numbers that matter, on one line."""
        return (
            f"ClusterCertificate(inertia={self.inertia:.6g}, "
            f"lower_bound={self.lower_bound:.6g}, gap={self.gap:.2e}, "
            f"optimal={self.optimal}, method={self.method!r})"
        )


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class KMeansSDPResult(SolverResult):
    """A partition, the solution of the relaxation and the certificate of both.

    Parameters
    ----------
    n_iter : int
        Number of iterations of the solver of the relaxation.
    converged : bool
        Whether the partition is proved optimal, or the relaxation is solved (or none
        was asked for).
    message : str
        Why it stopped; for a solved relaxation, how large its gap is.
    status : str
        "optimal", "bounded", "sdp_solved", "max_iter" or "callback".
    history : dict of str to ndarray
        One entry a check: "iteration", "primal_residual", "dual_residual",
        "lower_bound", "inertia", "rho", "rank".
    labels : ndarray of shape (n_samples,)
        Cluster of each row, numbered by first appearance.
    centers : ndarray of shape (n_clusters, n_features) or None
        Means of the clusters; None for a precomputed similarity.
    inertia, lower_bound, gap : float
        W of the labels, the rigorous bound, and ``(W - bound)/W``.
    sdp_value : float
        Inertia of the relaxation, ``T - <G, Z>``; nan when it was not solved.
    membership : ndarray of shape (n_samples, n_samples) or None
        Z of the relaxation (of the partition, when that is proved optimal).
    factor : ndarray of shape (n_samples, rank)
        ``membership = factor factor^T``.
    primal_residual, dual_residual : float
        Residuals of the ADMM; 0 where none ran.
    rank : int
        Rank of the membership matrix.
    certificate : ClusterCertificate
        The bound, with its method and slack.

    Examples
    --------
    >>> from numopt.cluster import kmeans_sdp
    >>> result = kmeans_sdp([[0.0], [0.1], [5.0], [5.1]], 2, random_state=0)
    >>> result.labels.tolist(), result.status
    ([0, 0, 1, 1], 'optimal')
    """

    labels: Array
    centers: Array | None
    inertia: float
    lower_bound: float
    gap: float
    sdp_value: float
    membership: Array | None
    factor: Array
    primal_residual: float
    dual_residual: float
    rank: int
    certificate: ClusterCertificate

    def __repr__(self) -> str:
        """Status, inertia and gap."""
        return (
            f"KMeansSDPResult(status={self.status!r}, inertia={self.inertia:.6g}, "
            f"lower_bound={self.lower_bound:.6g}, gap={self.gap:.2e}, "
            f"n_iter={self.n_iter})"
        )


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class LASDPResult(SolverResult):
    """A partition by likelihood-adjusted relaxation, with soft memberships.

    Parameters
    ----------
    n_iter : int
        Number of outer steps (``ila_sdp``) or ADMM iterations (``la_sdp``).
    converged : bool
        Whether the labels repeat (``ila_sdp``) or the residuals reach ``tol``.
    message, status : str
        Why it stopped.
    history : dict of str to ndarray
        One entry a check.
    labels : ndarray of shape (n_samples,)
        Cluster of each row: the largest soft membership.
    memberships : ndarray of shape (n_clusters, n_samples)
        Soft memberships ``Z_k 1``; each column sums to one.
    covariances : ndarray of shape (n_clusters, n_features, n_features)
        Covariance of each cluster.
    centers : ndarray of shape (n_clusters, n_features)
        Means of the clusters of the labels.
    weights : ndarray of shape (n_clusters,)
        Shares of the clusters.
    log_likelihood : float
        Profile classification log-likelihood of the labels.
    objective : float
        Value of the relaxation at the last covariances, larger is better.
    upper_bound : float
        Rigorous upper bound on that relaxation; inf where no dual was computed.
    gap : float
        ``upper_bound - objective`` relative to the size of the bound.
    start : str
        Which start gave the labels.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.cluster import la_sdp
    >>> X = np.array([[0.0], [0.2], [0.4], [8.0], [8.2], [8.4]])
    >>> la_sdp(X, np.ones((2, 1, 1)), random_state=0).labels.tolist()
    [0, 0, 0, 1, 1, 1]
    """

    labels: Array
    memberships: Array
    covariances: Array
    centers: Array
    weights: Array
    log_likelihood: float
    objective: float
    upper_bound: float
    gap: float
    start: str
