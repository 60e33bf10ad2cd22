# SPDX-License-Identifier: BSD-3-Clause
"""Gaussian clusters: covariances of memberships, likelihood, and EM starts."""

import math

import numpy as np

__all__ = [
    "COVARIANCE_TYPES",
    "covariances_of",
    "em_labels",
    "em_steps",
    "log_densities",
    "profile_likelihood",
    "reassign",
    "regularisation",
]

COVARIANCE_TYPES = ("full", "diag", "spherical", "tied")
EM_STEPS = 200
EM_TOL = 1e-5
SHORT_STEPS = 10


def regularisation(X: np.ndarray, reg_covar: float) -> float:
    """Return ``reg_covar`` times the mean variance of the columns."""
    scatter = float(np.mean(np.var(X, axis=0)))
    return max(reg_covar * scatter, 1e-300)


def covariances_of(
    X: np.ndarray, weights: np.ndarray, within: np.ndarray, kind: str, reg: float
) -> np.ndarray:
    """Restrict and regularise covariance numerators ``within`` (K, p, p)."""
    K, p = within.shape[0], X.shape[1]
    totals = np.maximum(weights, 1.0)
    S = within / totals[:, None, None]
    if kind == "tied":
        S = np.broadcast_to(within.sum(axis=0) / max(weights.sum(), 1.0), (K, p, p))
    elif kind != "full":
        diagonal = np.diagonal(S, axis1=1, axis2=2)
        if kind == "spherical":
            diagonal = np.repeat(diagonal.mean(axis=1, keepdims=True), p, axis=1)
        S = diagonal[:, :, None] * np.eye(p)[None, :, :]
    return S + reg * np.eye(p)[None, :, :]


def log_densities(
    X: np.ndarray, means: np.ndarray, covariances: np.ndarray
) -> np.ndarray:
    """Return log N(x_i; mu_k, S_k), shape (n, K)."""
    L = np.linalg.cholesky(covariances)
    log_dets = 2 * np.sum(np.log(np.diagonal(L, axis1=1, axis2=2)), axis=1)
    differences = X[None, :, :] - means[:, None, :]
    z = differences @ np.linalg.inv(L).transpose(0, 2, 1)
    constants = log_dets + X.shape[1] * math.log(2 * math.pi)
    return -0.5 * (np.sum(z * z, axis=2) + constants[:, None]).T


def hard_parts(
    X: np.ndarray, responsibilities: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights, means and scatter matrices of (soft or hard) memberships (n, K)."""
    weights = responsibilities.sum(axis=0)
    means = (responsibilities.T @ X) / np.maximum(weights, 1e-300)[:, None]
    differences = X[None, :, :] - means[:, None, :]
    weighted = differences * responsibilities.T[:, :, None]
    return weights, means, weighted.transpose(0, 2, 1) @ differences


def fitted(
    X: np.ndarray, labels: np.ndarray, n_clusters: int, kind: str, reg: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sizes, means and covariances of hard labels."""
    weights, means, within = hard_parts(X, np.eye(n_clusters)[labels])
    return weights, means, covariances_of(X, weights, within, kind, reg)


def profile_likelihood(
    X: np.ndarray, labels: np.ndarray, n_clusters: int, kind: str, reg: float
) -> float:
    """``-1/2 sum_k n_k (log det S_k + tr(S_k^-1 cov_k))``, up to constants.

    A cluster of fewer than two points makes it -inf.
    """
    weights, _, within = hard_parts(X, np.eye(n_clusters)[labels])
    if weights.min() < 2:
        return -math.inf
    S = covariances_of(X, weights, within, kind, reg)
    _, log_dets = np.linalg.slogdet(S)
    traces = np.trace(np.linalg.solve(S, within), axis1=1, axis2=2)
    return float(-0.5 * np.sum(weights * log_dets + traces))


def reassign(
    X: np.ndarray, labels: np.ndarray, n_clusters: int, kind: str, reg: float
) -> np.ndarray:
    """One classification-EM step: every row to its most likely cluster."""
    _, means, S = fitted(X, labels, n_clusters, kind, reg)
    return np.argmax(log_densities(X, means, S), axis=1)


def em_steps(
    X: np.ndarray,
    responsibilities: np.ndarray,
    kind: str,
    reg: float,
    max_steps: int = EM_STEPS,
) -> tuple[np.ndarray, float]:
    """EM for a Gaussian mixture: responsibilities (n, K) and mean log-density."""
    n = X.shape[0]
    before = value = -math.inf
    for _ in range(max_steps):
        weights, means, within = hard_parts(X, responsibilities)
        S = covariances_of(X, weights, within, kind, reg)
        shares = np.log(np.maximum(weights / n, 1e-300))
        scores = log_densities(X, means, S) + shares[None, :]
        top = scores.max(axis=1, keepdims=True)
        log_sums = top[:, 0] + np.log(np.exp(scores - top).sum(axis=1))
        value = float(log_sums.mean())
        responsibilities = np.exp(scores - log_sums[:, None])
        if value - before < EM_TOL:
            break
        before = value
    return responsibilities, value


def em_labels(
    X: np.ndarray, seeds: list[np.ndarray], n_clusters: int, kind: str, reg: float
) -> np.ndarray:
    """Labels of a Gaussian mixture: short runs of EM, a long one from the likeliest.

    The strategy of Biernacki, Celeux and Govaert (2003).
    """
    runs = [
        em_steps(X, np.eye(n_clusters)[seed], kind, reg, SHORT_STEPS) for seed in seeds
    ]
    best = max(runs, key=lambda run: run[1])[0]
    return np.argmax(em_steps(X, best, kind, reg)[0], axis=1)
