# SPDX-License-Identifier: BSD-3-Clause
"""From a membership matrix back to a partition that is no worse than the incumbent."""

from typing import Any

import numpy as np

from numopt._array.namespace import array_namespace, device, to_numpy
from numopt.cluster._problem import DenseRows, KMeansProblem
from numopt.cluster._solvers.primal import improve_labels, lloyd, one_start
from numopt.typing import Array

__all__ = ["round_factor", "round_partition"]

STARTS = 3


def round_partition(
    problem: KMeansProblem,
    rows: Any,
    P: Array,
    weights: Array,
    n_clusters: int,
    rng: np.random.Generator,
) -> tuple[np.ndarray, float] | None:
    """Round ``Z = 11^T/n + P diag(weights) P^T``; None when clusters are empty.

    Two embeddings are tried: the leading eigenvectors scaled by the square roots of
    the eigenvalues, and the denoised rows Z X (Mixon, Villar and Ward 2017).
    """
    xp = array_namespace(P)
    leading = (P * xp.sqrt(weights)[None, :])[:, : max(n_clusters - 1, 1)]
    found = round_factor(problem, rows, leading, n_clusters, rng)
    if problem.rows is None:
        return found
    products = problem.rows.transposed_times(P)
    denoised = (P * weights[None, :]) @ xp.matrix_transpose(products)
    other = round_factor(problem, rows, denoised, n_clusters, rng)
    options = [one for one in (found, other) if one is not None]
    return min(options, key=lambda one: one[1]) if options else None


def round_factor(
    problem: KMeansProblem,
    rows: Any,
    points: Array,
    n_clusters: int,
    rng: np.random.Generator,
) -> tuple[np.ndarray, float] | None:
    """Cluster the rows of an embedding, then polish the labels on the data."""
    embedded = DenseRows(points)
    best, lowest = None, np.inf
    for _ in range(STARTS):
        labels, value = one_start(embedded, n_clusters, rng)
        if value < lowest:
            best, lowest = labels, value
    if best is None or np.bincount(best, minlength=n_clusters).min() == 0:
        return None
    xp = array_namespace(points)
    columns = xp.asarray(np.eye(n_clusters)[best], device=device(points))
    sizes = xp.sum(columns, axis=0)
    means = xp.matrix_transpose(rows.transposed_times(columns) / sizes[None, :])
    labels, _ = lloyd(rows, means)
    if np.bincount(labels, minlength=n_clusters).min() == 0:
        labels = best
    return improve_labels(problem, rows, to_numpy(labels), n_clusters)
