# SPDX-License-Identifier: BSD-3-Clause
"""What ``la_sdp`` and ``ila_sdp`` share: checks, matching, units, the result."""

import dataclasses
import math
from typing import Any

import numpy as np

from numopt._array.namespace import device, is_array, to_numpy
from numopt._validation import check_shape, float_arrays, message
from numopt.cluster._problem import DenseRows, KMeansProblem
from numopt.cluster._solvers import mixture
from numopt.cluster._solvers.pipeline import check_labels
from numopt.cluster._solvers.primal import canonical_labels
from numopt.cluster._solvers.results import LASDPResult
from numopt.exceptions import ArgumentTypeError
from numopt.typing import Array

__all__ = [
    "Run",
    "check_covariances",
    "check_weights",
    "dense_problem",
    "given_labels",
    "likelihood_given",
    "make_group_result",
    "match",
    "memberships",
]


@dataclasses.dataclass
class Run:
    """One start of ``ila_sdp`` with what it ended in (scaled units)."""

    labels: np.ndarray
    soft: np.ndarray
    covariances: np.ndarray
    objective: float
    upper: float
    start: str
    likelihood: float
    settled: bool = True
    steps: int = 0


def memberships(soft: np.ndarray) -> np.ndarray:
    """Nonnegative memberships (K, n) whose columns sum to one."""
    soft = np.maximum(soft, 0.0)
    return soft / np.maximum(soft.sum(axis=0, keepdims=True), 1e-300)


def given_labels(init: Any, n: int, K: int) -> np.ndarray:
    """Labels to start from, on the host; ids 0..K-1 are kept."""
    raw = np.asarray(to_numpy(init) if is_array(init) else init)
    labels = check_labels("init", init, n)
    if labels.max() >= K:
        raise ValueError(
            message("init", f"labels of {K} clusters", f"{labels.max() + 1} labels")
        )
    # Ids 0..K-1 name the clusters (and their covariances); others are renumbered.
    return raw.astype(np.int64) if raw.min() >= 0 and raw.max() < K else labels


def dense_problem(X: Array) -> KMeansProblem:
    """The validated, centred and scaled data; sparse ones are refused."""
    problem = KMeansProblem.from_data(X)
    if not isinstance(problem.rows, DenseRows):
        raise ArgumentTypeError(message("X", "a dense array", "a sparse matrix"))
    return problem


def check_covariances(covariances: Any, p: int) -> np.ndarray:
    """Symmetric positive definite covariances (K, p, p), on the host."""
    _, (S,) = float_arrays(covariances=covariances)
    S = np.asarray(to_numpy(S), dtype=float)
    if S.ndim != 3 or S.shape[1:] != (p, p):
        raise ValueError(
            message("covariances", f"of shape (K, {p}, {p})", f"shape {S.shape}")
        )
    if S.shape[0] == 0:
        raise ValueError(message("covariances", "non-empty", f"shape {S.shape}"))
    for k, one in enumerate(S):
        text = f"positive definite for cluster {k}"
        if not np.all(np.isfinite(one)):
            raise ValueError(message("covariances", text, "NaN or infinity"))
        if np.max(np.abs(one - one.T)) > 1e-10 * np.max(np.abs(one)):
            raise ValueError(message("covariances", text, "an asymmetric matrix"))
        lowest = float(np.linalg.eigvalsh(one)[0])
        if lowest <= 0:
            raise ValueError(message("covariances", text, f"eigenvalue {lowest:.3g}"))
    return S


def check_weights(weights: Any, K: int) -> np.ndarray:
    """Positive shares of the clusters that sum to one, on the host."""
    shares = np.asarray(to_numpy(weights) if is_array(weights) else weights, float)
    check_shape("weights", shares, (K,), why="one per covariance")
    if not np.all(np.isfinite(shares)) or shares.min() <= 0:
        raise ValueError(message("weights", "positive and finite", shares.tolist()))
    return shares / shares.sum()


def match(X: np.ndarray, labels: np.ndarray, S: np.ndarray) -> np.ndarray:
    """Rename clusters so that each meets the covariance that fits it best."""
    from scipy.optimize import linear_sum_assignment

    K = S.shape[0]
    weights, _, within = mixture.hard_parts(X, np.eye(K)[labels])
    inverse = np.linalg.inv(S)
    cost = np.einsum("apq,bqp->ab", within, inverse)
    cost += weights[:, None] * np.linalg.slogdet(S)[1][None, :]
    _, columns = linear_sum_assignment(cost)
    return columns[labels]


def likelihood_given(X: np.ndarray, labels: np.ndarray, S: np.ndarray) -> float:
    """Classification log-likelihood of labels under given covariances."""
    weights, _, within = mixture.hard_parts(X, np.eye(S.shape[0])[labels])
    traces = np.trace(np.linalg.solve(S, within), axis1=1, axis2=2)
    return float(-0.5 * np.sum(weights * np.linalg.slogdet(S)[1] + traces))


def make_group_result(
    problem: KMeansProblem, X: np.ndarray, run: Run, fields: dict[str, Any]
) -> LASDPResult:
    """Bring a run back to the data's units, library and device.

    ``X`` are the scaled rows on the host; clusters are numbered by first appearance.
    """
    K, (n, p) = run.soft.shape[0], X.shape
    _, first = np.unique(run.labels, return_index=True)
    present = run.labels[np.sort(first)]
    order = np.concatenate([present, np.setdiff1d(np.arange(K), present)])
    labels = canonical_labels(run.labels)
    weights, means, _ = mixture.hard_parts(X, np.eye(K)[labels])
    # Constants of the change of units: log det gains p log(unit) per point.
    log_unit = p * math.log(problem.unit)
    gap = max(0.0, run.upper - run.objective)
    size = max(abs(run.upper), 1e-300)
    centers = means * problem.length + to_numpy(problem.center)[None, :]

    def back(values: np.ndarray) -> Array:
        """Move host values to the library and device of the data."""
        return problem.xp.asarray(values, device=device(problem.like))

    return LASDPResult(
        **fields,
        labels=back(labels),
        memberships=back(run.soft[order]),
        covariances=back(run.covariances[order] * problem.unit),
        centers=back(centers),
        weights=back(weights / n),
        log_likelihood=run.likelihood - 0.5 * n * log_unit,
        objective=run.objective - n * log_unit,
        upper_bound=run.upper - n * log_unit,
        gap=gap / size if math.isfinite(run.upper) else math.inf,
        start=run.start,
    )
