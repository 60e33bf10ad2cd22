# SPDX-License-Identifier: BSD-3-Clause
"""Numba bodies of the clustering kernels."""

import numpy as np

from numopt._kernels.jit import jit_exact, jit_finite
from numopt._kernels.threads import reduce_blocks

__all__ = ["fantope_split", "lloyd_step", "point_moves"]


@jit_finite
def _lloyd_step(X, C, norms, out_labels, out_distances, part, lo, hi, block):
    K, p = C.shape
    sums = part[block]
    for i in range(lo, hi):
        best = 0
        lowest = np.inf
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


@jit_exact
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
            own = 0.0
            for j in range(p):
                own += (X[i, j] - work_means[a, j]) ** 2
            own *= work_counts[a] / (work_counts[a] - 1)
            best, lowest = a, own * (1 - 1e-10)
            for k in range(K):
                if k == a:
                    continue
                weight = work_counts[k] / (work_counts[k] + 1)
                cost = 0.0
                for j in range(p):
                    cost += (X[i, j] - work_means[k, j]) ** 2
                cost *= weight
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


@jit_finite
def _fantope_split(Z, V, G, alpha, inv_rho, out_V, out_A, part, lo, hi, block):
    zero = V.dtype.type(0)
    beta = V.dtype.type(1) - alpha
    gap = zero
    change = zero
    for i in range(lo, hi):
        for j in range(V.shape[1]):
            v = V[i, j]
            z = Z[i, j]
            y = max(v, zero)
            moved = alpha * z + beta * y + min(v, zero)
            y_next = max(moved, zero)
            out_V[i, j] = moved
            out_A[i, j] = abs(moved) + inv_rho * G[i, j]
            gap += (z - y_next) * (z - y_next)
            change += (y_next - y) * (y_next - y)
    part[block, 0] += gap
    part[block, 1] += change


def fantope_split(Z, V, G, alpha, inv_rho):
    """One fused pass over the three matrices."""
    n = V.shape[0]
    moved, A = np.empty_like(V), np.empty_like(V)
    scalar = V.dtype.type
    squares = reduce_blocks(
        _fantope_split,
        n,
        (Z, V, G, scalar(alpha), scalar(inv_rho), moved, A),
        work=2 * n * n,
        shape=(2,),
        dtype=V.dtype,
    )
    return moved, A, squares
