# SPDX-License-Identifier: BSD-3-Clause
"""Numba bodies that work on rows and centres: restarts, swaps, single-point moves."""

import numpy as np

from numopt._kernels.jit import jit_finite
from numopt._kernels.threads import reduce_blocks

__all__ = ["kmeans_run", "kmeans_swaps", "lloyd_step", "point_moves"]

#: Infinity is excluded by the flags of these bodies.
LARGEST = np.finfo(np.float64).max


@jit_finite
def _lloyd_step(X, C, norms, out_labels, out_distances, part, lo, hi, block):
    K, p = C.shape
    sums = part[block]
    for i in range(lo, hi):
        best = 0
        lowest = LARGEST
        for k in range(K):
            dot = X.dtype.type(0)
            for j in range(p):
                dot += X[i, j] * C[k, j]
            score = norms[k] - 2 * dot
            if score < lowest:
                lowest = score
                best = k
        distance = X.dtype.type(0)
        for j in range(p):
            difference = X[i, j] - C[best, j]
            distance += difference * difference
            sums[best, j] += X[i, j]
        sums[best, p] += 1
        out_labels[i] = best
        out_distances[i] = distance


def lloyd_step(X, centers):
    """Nearest centres of row blocks, with the sums of each block."""
    n, p = X.shape
    K = centers.shape[0]
    labels, distances = np.empty(n, np.int64), np.empty(n, X.dtype)
    norms = np.sum(centers * centers, axis=1)
    totals = reduce_blocks(
        _lloyd_step,
        n,
        (np.ascontiguousarray(X), centers, norms, labels, distances),
        work=n * p * (K + 2) // 2,
        shape=(K, p + 1),
        dtype=X.dtype,
    )
    return labels, distances, totals[:, :p].copy(), totals[:, p].copy()


@jit_finite
def _square_distance(X, i, C, k):
    total = X.dtype.type(0)
    for j in range(X.shape[1]):
        difference = X[i, j] - C[k, j]
        total += difference * difference
    return total


@jit_finite
def _draw(weights, total, uniform):
    """Index i with probability ``weights[i] / total``."""
    left = uniform * total
    for i in range(weights.size):
        left -= weights[i]
        if left < 0:
            return i
    return weights.size - 1


@jit_finite
def _seed(X, draws, work_closest, work_trial, work_best, out_centers):
    n = X.shape[0]
    chosen = min(int(draws[0, 0] * n), n - 1)
    out_centers[0] = X[chosen]
    total = 0.0
    for i in range(n):
        work_closest[i] = _square_distance(X, i, out_centers, 0)
        total += work_closest[i]
    for k in range(1, draws.shape[0]):
        lowest = LARGEST
        for trial in range(draws.shape[1]):
            candidate = _draw(work_closest, total, draws[k, trial])
            reached = 0.0
            for i in range(n):
                distance = min(work_closest[i], _square_distance(X, i, X, candidate))
                work_trial[i] = distance
                reached += distance
            if reached < lowest:
                lowest, chosen = reached, candidate
                work_best[:] = work_trial
        out_centers[k] = X[chosen]
        work_closest[:] = work_best
        total = lowest


@jit_finite
def _assign(X, C, out_labels, out_distances, out_sums, out_sizes):
    out_sums[:] = 0
    out_sizes[:] = 0
    total = 0.0
    for i in range(X.shape[0]):
        best, lowest = 0, _square_distance(X, i, C, 0)
        for k in range(1, C.shape[0]):
            distance = _square_distance(X, i, C, k)
            if distance < lowest:
                best, lowest = k, distance
        out_labels[i] = best
        out_distances[i] = lowest
        total += lowest
        out_sizes[best] += 1
        for j in range(X.shape[1]):
            out_sums[best, j] += X[i, j]
    return total


@jit_finite
def _lloyd(X, max_iter, tol, out_centers, out_labels, out_distances):
    K, p = out_centers.shape
    sums, sizes = np.empty((K, p), X.dtype), np.empty(K, np.int64)
    before = value = LARGEST
    for _ in range(max_iter):
        value = _assign(X, out_centers, out_labels, out_distances, sums, sizes)
        settled = value >= before * (1 - tol)
        for k in range(K):
            if sizes[k] == 0:
                settled = False
                far = np.argmax(out_distances)
                out_distances[far] = 0
                out_centers[k] = X[far]
            else:
                for j in range(p):
                    out_centers[k, j] = sums[k, j] / sizes[k]
        if settled or value == 0:
            break
        before = value
    return value


@jit_finite
def _kmeans_run(X, draws, max_iter, tol, out_labels):
    n = X.shape[0]
    centers = np.empty((draws.shape[0], X.shape[1]), X.dtype)
    distances = np.empty(n, X.dtype)
    trial, best = np.empty(n, X.dtype), np.empty(n, X.dtype)
    _seed(X, draws, distances, trial, best, centers)
    return _lloyd(X, max_iter, tol, centers, out_labels, distances)


def kmeans_run(X, draws, max_iter, tol):
    """Seeds and Lloyd in one compiled run; sequential, for small data."""
    labels = np.zeros(X.shape[0], np.int64)
    value = _kmeans_run(np.ascontiguousarray(X), draws, max_iter, tol, labels)
    return labels, float(value)


@jit_finite
def _kmeans_swaps(X, K, draws, max_iter, tol, out_labels):
    n, p = X.shape
    centers, sizes = np.zeros((K, p), X.dtype), np.zeros(K, np.int64)
    for i in range(n):
        sizes[out_labels[i]] += 1
        for j in range(p):
            centers[out_labels[i], j] += X[i, j]
    for k in range(K):
        for j in range(p):
            centers[k, j] /= max(sizes[k], 1)
    distances, labels = np.empty(n, X.dtype), out_labels.copy()
    lowest = 0.0
    for i in range(n):
        distances[i] = _square_distance(X, i, centers, out_labels[i])
        lowest += distances[i]
    trial, trial_distances = centers.copy(), distances.copy()
    for turn in range(draws.shape[0]):
        trial[:] = centers
        taken = _draw(distances, lowest, draws[turn, 1])
        trial[min(int(draws[turn, 0] * K), K - 1)] = X[taken]
        value = _lloyd(X, max_iter, tol, trial, labels, trial_distances)
        if value < lowest * (1 - 1e-12):
            lowest = value
            centers[:] = trial
            distances[:] = trial_distances
            out_labels[:] = labels
    return lowest


def kmeans_swaps(X, labels, n_clusters, draws, max_iter, tol):
    """Swaps in one compiled run; sequential, for small data."""
    found = np.array(labels, dtype=np.int64)
    value = _kmeans_swaps(
        np.ascontiguousarray(X), n_clusters, draws, max_iter, tol, found
    )
    return found, float(value)


@jit_finite
def _point_moves(X, K, max_passes, out_labels, work_means, work_counts):
    n, p = X.shape
    for i in range(n):
        work_counts[out_labels[i]] += 1
        for j in range(p):
            work_means[out_labels[i], j] += X[i, j]
    for k in range(K):
        for j in range(p):
            work_means[k, j] /= max(work_counts[k], 1)
    moves = 0
    for _ in range(max_passes):
        before = moves
        for i in range(n):
            a = out_labels[i]
            if work_counts[a] < 2:
                continue
            own = _square_distance(X, i, work_means, a)
            own *= work_counts[a] / (work_counts[a] - 1)
            best, lowest = a, own * (1 - 1e-10)
            for k in range(K):
                if k == a:
                    continue
                cost = _square_distance(X, i, work_means, k)
                cost *= work_counts[k] / (work_counts[k] + 1)
                if cost < lowest:
                    best, lowest = k, cost
            if best != a:
                moves += 1
                out_labels[i] = best
                work_counts[a] -= 1
                work_counts[best] += 1
                for j in range(p):
                    x = X[i, j]
                    work_means[a, j] -= (x - work_means[a, j]) / work_counts[a]
                    work_means[best, j] += (x - work_means[best, j]) / work_counts[best]
        if moves == before:
            break
    return moves


def point_moves(X, labels, n_clusters, max_passes):
    """Single-point moves; sequential, because every move changes two means."""
    moved = np.array(labels, dtype=np.int64)
    means = np.zeros((n_clusters, X.shape[1]))
    counts = np.zeros(n_clusters, np.int64)
    moves = _point_moves(
        np.ascontiguousarray(X), n_clusters, max_passes, moved, means, counts
    )
    return moved, np.int64(moves)
