# SPDX-License-Identifier: BSD-3-Clause
"""Numba bodies of the clustering kernels."""

import numpy as np

from numopt._kernels.jit import jit_finite, jit_kernel
from numopt._kernels.threads import reduce_blocks, run_blocks

__all__ = [
    "fantope_dual",
    "fantope_mix",
    "fantope_split",
    "filtered_ritz",
    "kmeans_run",
    "kmeans_swaps",
    "lloyd_step",
    "point_moves",
]

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


@jit_finite
def _fantope_split(Z, V, last, alpha, out_V, out_D, part, lo, hi, block):
    zero = V.dtype.type(0)
    beta = V.dtype.type(1) - alpha
    gap = zero
    change = zero
    move = zero
    for i in range(lo, hi):
        for j in range(V.shape[1]):
            v = V[i, j]
            z = Z[i, j]
            y = max(v, zero)
            moved = alpha * z + beta * y + min(v, zero)
            y_next = max(moved, zero)
            out_V[i, j] = moved
            out_D[i, j] = moved - last[i, j]
            gap += (z - y_next) * (z - y_next)
            change += (y_next - y) * (y_next - y)
            move += (moved - v) * (moved - v)
    part[block, 0] += gap
    part[block, 1] += change
    part[block, 2] += move


def fantope_split(Z, V, last, alpha):
    """One fused pass over the three matrices."""
    n = V.shape[0]
    moved, difference = np.empty_like(V), np.empty(V.shape, np.float32)
    squares = reduce_blocks(
        _fantope_split,
        n,
        (Z, V, last, V.dtype.type(alpha), moved, difference),
        work=2 * n * n,
        shape=(3,),
        dtype=V.dtype,
    )
    return moved, difference, squares


@jit_finite
def _fantope_mix(F, D, theta, G, inv_rho, out_V, out_A, lo, hi):
    for i in range(lo, hi):
        for j in range(F.shape[1]):
            out_V[i, j] = F[i, j]
        for k in range(D.shape[0]):
            weight = theta[k]
            if weight != 0:
                for j in range(F.shape[1]):
                    out_V[i, j] -= weight * D[k, i, j]
        for j in range(F.shape[1]):
            out_A[i, j] = abs(out_V[i, j]) + inv_rho * G[i, j]


def fantope_mix(F, D, theta, G, inv_rho):
    """Row by row: extrapolate, then the next matrix."""
    n = F.shape[0]
    V, A = np.empty_like(F), np.empty_like(F)
    args = (F, D, theta, G, F.dtype.type(inv_rho), V, A)
    run_blocks(_fantope_mix, n, args, work=n * n * (2 + D.shape[0] // 2))
    return V, A


#: Side of the square tiles in which a matrix is read beside its transpose.
TILE = 32


@jit_finite
def _fantope_dual(V, G, half, out_A, out_rows, part, lo, hi, block):
    zero = V.dtype.type(0)
    n = V.shape[0]
    primal = zero
    square = zero
    for tile in range(0, n, TILE):
        stop = min(tile + TILE, n)
        for i in range(lo, hi):
            total = zero
            for j in range(tile, stop):
                v = V[i, j]
                g = G[i, j]
                a = g + half * (max(-v, zero) + max(-V[j, i], zero))
                out_A[i, j] = a
                total += a
                primal += g * max(v, zero)
                square += a * a
            out_rows[i] += total
    part[block, 0] += primal
    part[block, 1] += square


def fantope_dual(V, G, rho):
    """One pass over both matrices, in tiles because of the transpose."""
    n = V.shape[0]
    A, rows = np.empty_like(V), np.zeros(n, V.dtype)
    sums = reduce_blocks(
        _fantope_dual,
        n,
        (V, G, V.dtype.type(0.5 * rho), A, rows),
        work=4 * n * n,
        shape=(2,),
        dtype=V.dtype,
    )
    return A, rows, sums


#: A smaller pivot of the Gram matrix of unit columns would cost digits.
SAFE_PIVOT = 0.3


@jit_kernel
def _centred_product(A, means, V, out):
    """``J A V`` for columns orthogonal to the ones vector."""
    np.dot(A, V, out)
    shift = np.dot(means, V)
    for i in range(V.shape[0]):
        for j in range(V.shape[1]):
            out[i, j] -= shift[j]


@jit_kernel
def _centre_columns(V):
    for j in range(V.shape[1]):
        total = V.dtype.type(0)
        for i in range(V.shape[0]):
            total += V[i, j]
        total /= V.shape[0]
        for i in range(V.shape[0]):
            V[i, j] -= total


@jit_kernel
def _orthonormal(V):
    """An orthonormal basis: Cholesky for nearly orthogonal columns, otherwise QR."""
    n, q = V.shape
    for j in range(q):
        square = V.dtype.type(0)
        for i in range(n):
            square += V[i, j] * V[i, j]
        if square > 0:
            scale = 1 / np.sqrt(square)
            for i in range(n):
                V[i, j] *= scale
    gram = np.dot(V.T, V)
    inverse = np.zeros((q, q), V.dtype)
    for j in range(q):
        pivot = gram[j, j]
        for k in range(j):
            pivot -= gram[j, k] * gram[j, k]
        if not pivot > SAFE_PIVOT * SAFE_PIVOT:
            return np.linalg.qr(V)[0]
        pivot = np.sqrt(pivot)
        gram[j, j] = pivot
        for i in range(j + 1, q):
            entry = gram[i, j]
            for k in range(j):
                entry -= gram[i, k] * gram[j, k]
            gram[i, j] = entry / pivot
    for j in range(q):
        inverse[j, j] = 1 / gram[j, j]
        for i in range(j + 1, q):
            entry = V.dtype.type(0)
            for k in range(j, i):
                entry -= gram[i, k] * inverse[k, j]
            inverse[i, j] = entry / gram[i, i]
    return np.dot(V, np.ascontiguousarray(inverse.T))


@jit_kernel
def _filtered_ritz(A, V, low, cut, top, degree):
    n, q = V.shape
    means = A.sum(axis=1) / A.dtype.type(n)
    _centre_columns(V)
    half, middle = (cut - low) / 2, (cut + low) / 2
    after, before = np.empty_like(V), np.zeros_like(V)
    if degree > 0 and half > 0 and top > cut:
        first = half / (top - middle)
        sigma = first
        for turn in range(degree):
            ahead = sigma if turn == 0 else 1 / (2 / first - sigma)
            factor = V.dtype.type((ahead if turn == 0 else 2 * ahead) / half)
            back = V.dtype.type(0 if turn == 0 else sigma * ahead)
            shift = V.dtype.type(middle)
            _centred_product(A, means, V, after)
            for i in range(n):
                for j in range(q):
                    value = factor * (after[i, j] - shift * V[i, j])
                    after[i, j] = value - back * before[i, j]
            before, V, after = V, after, before
            sigma = ahead
    _centre_columns(V)
    Q = np.ascontiguousarray(_orthonormal(V))
    _centred_product(A, means, Q, after)
    H = np.dot(Q.T, after)
    w, S = np.linalg.eigh((H + H.T) / 2)
    S = np.ascontiguousarray(S[:, ::-1])
    P, R = np.dot(Q, S), np.dot(after, S)
    values, residuals = np.empty(q, V.dtype), np.zeros(q, V.dtype)
    for j in range(q):
        values[j] = w[q - 1 - j]
        side = V.dtype.type(0)
        for i in range(n):
            difference = R[i, j] - P[i, j] * values[j]
            residuals[j] += difference * difference
            side += P[i, j] * abs(P[i, j])
        if side < 0:
            for i in range(n):
                P[i, j] = -P[i, j]
    return values, P, np.sqrt(residuals)


def filtered_ritz(A, V, low, cut, top, degree):
    """The whole subspace step compiled: its products are small and many."""
    columns = np.array(V, order="C")
    A = np.ascontiguousarray(A)
    return _filtered_ritz(A, columns, float(low), float(cut), float(top), int(degree))
