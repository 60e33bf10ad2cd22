# SPDX-License-Identifier: BSD-3-Clause
"""Partitions: greedy k-means++, Lloyd, single-point moves, and their restarts."""

import math
from typing import Any

import numpy as np
from array_api_compat import is_numpy_namespace
from scipy.spatial.distance import cdist

from numopt._array.namespace import array_namespace, device, to_numpy
from numopt.cluster import _kernels
from numopt.cluster._problem import (
    DenseRows,
    KMeansProblem,
    SparseRows,
    membership_columns,
)
from numopt.typing import Array

__all__ = [
    "canonical_labels",
    "embedding",
    "improve_labels",
    "lloyd",
    "merge_copies",
    "multi_start",
    "one_start",
    "seed_centers",
]

MAX_LLOYD = 300
LLOYD_TOL = 1e-8
MAX_PASSES = 50
#: Seeding looks at a random sample of at most this many rows (and 50 per cluster).
SEED_SAMPLE = 4000
#: Beyond this many rows restarts stop early, and only the best one is polished.
MANY_ROWS = 5000
EARLY_TOL = 1e-5
#: Swaps of centres: for every cluster, and as many as this many products allow.
SWAPS_PER_CLUSTER = 6
SWAP_WORK = 20_000_000
#: Rows of products this many units of rounding apart are those of the same point.
COPY = 16


def canonical_labels(labels: np.ndarray) -> np.ndarray:
    """Renumber 0, 1, ... by first appearance."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(first, kind="stable"), kind="stable")
    return rank[inverse.reshape(-1)].astype(np.int64)


def merge_copies(problem: KMeansProblem, labels: np.ndarray) -> np.ndarray:
    """Merge clusters of one and the same point.

    There are some where the data have fewer distinct points than clusters.
    """
    labels = canonical_labels(labels)
    n_clusters = int(labels.max()) + 1
    near, left = 0.0, problem.noise
    if problem.similarity is not None:
        # Equal rows of products may differ by the rounding of those.
        near = COPY * float(np.finfo(np.float64).eps)
        left = near * problem.total
    if n_clusters == 1 or problem.inertia(labels, n_clusters) > left:
        return labels
    first = np.unique(labels, return_index=True)[1]
    if problem.similarity is not None:
        points = to_numpy(problem.similarity)[first]
        near *= float(np.abs(points).max())
    else:
        rows = problem.data.take(first)
        points = to_numpy(rows.X) if isinstance(rows, DenseRows) else rows.A.toarray()
    same = cdist(points, points, "chebyshev") <= near
    return canonical_labels(np.argmax(same, axis=1)[labels])


def embedding(problem: KMeansProblem) -> DenseRows | SparseRows:
    """Return rows whose k-means problem is that of the data.

    A similarity is factored by ``G + c I = E E^T``: adding c shifts the inertia of
    every partition into exactly K clusters by the same ``c (n - K)``.
    """
    if problem.rows is not None:
        return problem.rows
    xp = problem.xp
    w, Q = xp.linalg.eigh(problem.similarity)
    lowest = float(w[0])
    shift = -lowest if lowest < 0 else 0.0
    zero = xp.zeros_like(w)
    E = Q * xp.sqrt(xp.maximum(w + shift, zero))[None, :]
    return DenseRows(E - xp.mean(E, axis=0)[None, :])


def seed_centers(
    rows: DenseRows | SparseRows, n_clusters: int, rng: np.random.Generator
) -> Array:
    """Greedy k-means++ (Arthur and Vassilvitskii 2007), 2 + log K candidates each."""
    n = rows.shape[0]
    sample = max(SEED_SAMPLE, 50 * n_clusters)
    if n > sample:
        rows = rows.take(np.sort(rng.choice(n, sample, replace=False)))
        n = sample
    norms = rows.square_norms()
    xp, where = array_namespace(norms), device(norms)
    trials = _candidates(n_clusters)
    chosen = [int(rng.integers(n))]
    closest = _distances(rows, norms, np.array(chosen))[:, 0]
    for _ in range(n_clusters - 1):
        cumulative = to_numpy(xp.cumulative_sum(closest))
        picks = np.searchsorted(cumulative, rng.random(trials) * cumulative[-1])
        candidates = np.minimum(picks, n - 1)
        distances = _distances(rows, norms, candidates)
        reached = xp.minimum(distances, closest[:, None])
        best = int(xp.argmin(xp.sum(reached, axis=0)))
        chosen.append(int(candidates[best]))
        closest = reached[:, best]
    columns = np.zeros((n, n_clusters))
    columns[chosen, np.arange(n_clusters)] = 1.0
    if isinstance(rows, DenseRows):
        return xp.take(rows.X, xp.asarray(np.array(chosen), device=where), axis=0)
    return rows.transposed_times(columns).T


def _distances(rows: DenseRows | SparseRows, norms: Array, chosen: np.ndarray) -> Array:
    """Squared distances of all rows to chosen ones."""
    xp = array_namespace(norms)
    index = xp.asarray(chosen, device=device(norms))
    if isinstance(rows, DenseRows):
        products = rows.times(xp.take(rows.X, index, axis=0))
    else:
        points = rows.A[chosen].toarray() - rows.mean[None, :]
        products = rows.times(points)
    values = norms[:, None] + xp.take(norms, index)[None, :] - 2 * products
    return xp.maximum(values, xp.zeros_like(values))


def _assign(
    rows: DenseRows | SparseRows, norms: Array, centers: Array
) -> tuple[Array, Array, Array, Array]:
    """Labels, distances, sums and sizes of the nearest centres."""
    if isinstance(rows, DenseRows):
        return _kernels.lloyd_step(rows.X, centers)
    scores = np.sum(centers**2, axis=1)[None, :] - 2 * rows.times(centers)
    labels = np.argmin(scores, axis=1)
    columns = membership_columns(labels, centers.shape[0], scores)
    sums = rows.transposed_times(columns).T
    best = scores[np.arange(labels.size), labels] + norms
    return labels, np.maximum(best, 0.0), sums, columns.sum(axis=0)


def lloyd(
    rows: DenseRows | SparseRows,
    centers: Array,
    *,
    max_iter: int = MAX_LLOYD,
    tol: float = LLOYD_TOL,
) -> tuple[np.ndarray, float]:
    """Alternate assignment and means; return host labels and their distances' sum.

    An empty cluster moves to the row farthest from its centre.
    """
    norms = None if isinstance(rows, DenseRows) else rows.square_norms()
    xp = array_namespace(centers)
    before = math.inf
    for _ in range(max_iter):
        labels, distances, sums, counts = _assign(rows, norms, centers)
        value = float(xp.sum(distances))
        sizes = to_numpy(counts)
        if np.any(sizes == 0):
            centers = _refill(rows, to_numpy(distances), sums, counts, sizes)
        else:
            centers = sums / counts[:, None]
            if value >= before * (1 - tol):
                break
        if value == 0:
            break
        before = value
    return to_numpy(labels), value


def _refill(
    rows: Any, distances: np.ndarray, sums: Array, counts: Array, sizes: np.ndarray
) -> Array:
    """Means, with the farthest rows as centres of empty clusters."""
    xp = array_namespace(sums)
    safe = xp.where(counts > 0, counts, xp.ones_like(counts))
    centers = sums / safe[:, None]
    empty = np.flatnonzero(sizes == 0)
    far = np.argsort(-distances, kind="stable")[: empty.size]
    pick = np.zeros((sizes.size, far.size))
    pick[empty[: far.size], np.arange(far.size)] = 1.0
    rows_far = rows.take(far)
    columns = xp.asarray(pick, device=device(sums))
    moved = xp.matrix_transpose(rows_far.transposed_times(xp.matrix_transpose(columns)))
    return centers + moved


def improve_labels(
    problem: KMeansProblem,
    rows: DenseRows | SparseRows,
    labels: np.ndarray,
    n_clusters: int,
) -> tuple[np.ndarray, float]:
    """Move single points until none helps; return labels and the inertia W."""
    host = _host_rows(rows)
    if host is not None:
        labels, _ = _kernels.point_moves(host, labels, n_clusters, MAX_PASSES)
    else:
        labels = _best_moves(rows, labels, n_clusters)
    return labels, problem.inertia(labels, n_clusters)


def _best_moves(
    rows: DenseRows | SparseRows, labels: np.ndarray, n_clusters: int
) -> np.ndarray:
    """Single-point moves in array expressions: the best move of every sweep."""
    norms = rows.square_norms()
    xp = array_namespace(norms)
    labels = labels.copy()
    for _ in range(labels.size):
        columns = membership_columns(labels, n_clusters, norms)
        sizes = np.bincount(labels, minlength=n_clusters).astype(float)
        weights = xp.asarray(1 / np.maximum(sizes, 1), device=device(norms))
        means = xp.matrix_transpose(rows.transposed_times(columns) * weights[None, :])
        distances = to_numpy(
            norms[:, None]
            - 2 * rows.times(means)
            + xp.sum(means * means, axis=1)[None, :]
        )
        index = np.arange(labels.size)
        own = (
            distances[index, labels] * sizes[labels] / np.maximum(sizes[labels] - 1, 1)
        )
        own[sizes[labels] < 2] = 0.0
        gains = own[:, None] - distances * (sizes / (sizes + 1))
        gains[index, labels] = 0.0
        i, b = np.unravel_index(int(np.argmax(gains)), gains.shape)
        if gains[i, b] <= 1e-10 * own[i]:
            break
        labels[i] = b
    return labels


def one_start(
    rows: DenseRows | SparseRows,
    n_clusters: int,
    rng: np.random.Generator,
    tol: float = LLOYD_TOL,
    max_iter: int = MAX_LLOYD,
) -> tuple[np.ndarray, float]:
    """Seeds and Lloyd: host labels and their distances' sum."""
    host = _host_rows(rows)
    if host is not None and host.shape[0] <= MANY_ROWS:
        draws = rng.random((n_clusters, _candidates(n_clusters)))
        return _kernels.kmeans_run(host, draws, max_iter, tol)
    centers = seed_centers(rows, n_clusters, rng)
    return lloyd(rows, centers, max_iter=max_iter, tol=tol)


def _host_rows(rows: DenseRows | SparseRows) -> np.ndarray | None:
    """Dense NumPy rows, on which compiled bodies run; None for any other."""
    if not isinstance(rows, DenseRows):
        return None
    return rows.X if is_numpy_namespace(array_namespace(rows.X)) else None


def _candidates(n_clusters: int) -> int:
    """Candidates for every seed of the greedy k-means++."""
    return 2 + int(math.log(n_clusters))


def multi_start(
    problem: KMeansProblem,
    rows: DenseRows | SparseRows,
    n_clusters: int,
    n_init: int,
    rng: np.random.Generator,
) -> tuple[np.ndarray, float]:
    """Best of ``n_init`` runs of Lloyd, each polished by single-point moves.

    Centres of the best one are then swapped, where runs are cheap.
    """
    many = problem.n > MANY_ROWS
    best, lowest = np.zeros(problem.n, np.int64), math.inf
    for _ in range(n_init):
        labels, inertia = one_start(
            rows, n_clusters, rng, EARLY_TOL if many else LLOYD_TOL
        )
        # Moves gain little: runs that are far behind are not worth polishing.
        if inertia > 1.05 * lowest:
            continue
        if not many:
            labels, inertia = improve_labels(problem, rows, labels, n_clusters)
        if inertia < lowest:
            best, lowest = labels, inertia
        if lowest == 0:
            break
    host = _host_rows(rows)
    if host is not None and not many and lowest > 0:
        run = host.size * n_clusters
        swaps = min(SWAPS_PER_CLUSTER * n_clusters, SWAP_WORK // run)
        draws = rng.random((swaps, 2))
        best, _ = _kernels.kmeans_swaps(
            host, best, n_clusters, draws, MAX_LLOYD, LLOYD_TOL
        )
    if many:
        best, _ = lloyd(rows, _means(rows, best, n_clusters))
    return improve_labels(problem, rows, best, n_clusters)


def _means(rows: DenseRows | SparseRows, labels: np.ndarray, n_clusters: int) -> Array:
    """Means of the clusters; an empty one stays at the origin."""
    norms = rows.square_norms()
    xp = array_namespace(norms)
    columns = membership_columns(labels, n_clusters, norms)
    sizes = np.maximum(np.bincount(labels, minlength=n_clusters), 1)
    weights = xp.asarray(1 / sizes, device=device(norms))
    return xp.matrix_transpose(rows.transposed_times(columns) * weights[None, :])
