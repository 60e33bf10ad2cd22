# SPDX-License-Identifier: BSD-3-Clause
"""From a membership matrix back to a partition that is no worse than the incumbent."""

from typing import Any

import numpy as np

from numopt._array.namespace import array_namespace, device, to_numpy
from numopt.cluster._problem import DenseRows, KMeansProblem
from numopt.cluster._solvers._primal import improve_labels, lloyd, seed_centers
from numopt.typing import Array

__all__ = ["round_factor", "round_partition"]

STARTS = 3


def round_partition(
    problem: KMeansProblem,
    rows: Any,
    P: Array,
    f: np.ndarray,
    n_clusters: int,
    rng: np.random.Generator,
) -> tuple[np.ndarray, float] | None:
    """Round ``Z = 11^T/n + P diag(f) P^T``; None when clusters come out empty.

    Two embeddings are tried: the leading eigenvectors scaled by the square roots of
    the eigenvalues, and the denoised rows Z X (Mixon, Villar and Ward 2017).
    """
    xp = array_namespace(P)
    active = max(1, int(np.count_nonzero(f)))
    keep = min(active, max(n_clusters - 1, 1))
    roots = xp.asarray(np.sqrt(f[:keep]), device=device(P))
    found = round_factor(problem, rows, P[:, :keep] * roots[None, :], n_clusters, rng)
    if problem.rows is None:
        return found
    weights = xp.asarray(f[:active], device=device(P))
    basis = P[:, :active]
    products = problem.rows.transposed_times(basis)
    denoised = (basis * weights[None, :]) @ xp.matrix_transpose(products)
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
        labels, value = lloyd(embedded, seed_centers(embedded, n_clusters, rng))
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
