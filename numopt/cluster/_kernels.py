# SPDX-License-Identifier: BSD-3-Clause
"""Hot loops of clustering: restarts, single-point moves, the steps of the ADMM."""

from typing import Any

import numpy as np

from numopt._array.namespace import array_namespace, device
from numopt._kernels.dispatch import kernel, sequential_kernel
from numopt.typing import Array

__all__ = [
    "clipped_moments",
    "fantope_dual",
    "fantope_mix",
    "fantope_split",
    "filtered_ritz",
    "kmeans_run",
    "kmeans_swaps",
    "lloyd_step",
    "point_moves",
]


@kernel(numpy="numopt.cluster._kernels_cpu.partitions:lloyd_step")
def lloyd_step(X: Array, centers: Array) -> tuple[Array, Array, Array, Array]:
    """Nearest centre of each row, and what the next centres need.

    Returns (labels, squared distance of each row to its centre, sums of the rows of
    each cluster, sizes): ``labels_i = argmin_k ||x_i - c_k||^2``.
    """
    xp = array_namespace(X, centers)
    norms = xp.sum(centers * centers, axis=1)
    scores = norms[None, :] - 2 * (X @ xp.matrix_transpose(centers))
    labels = xp.astype(xp.argmin(scores, axis=1), xp.int64)
    ids = xp.arange(centers.shape[0], dtype=xp.int64, device=device(X))
    member = xp.astype(labels[:, None] == ids[None, :], X.dtype)
    best = xp.min(scores, axis=1) + xp.sum(X * X, axis=1)
    distances = xp.where(best > 0, best, xp.zeros_like(best))
    sums = xp.matrix_transpose(member) @ X
    return labels, distances, sums, xp.sum(member, axis=0)


@lloyd_step.example
def _lloyd_example(rng: np.random.Generator, dtype: Any, size: int) -> tuple[Any, ...]:
    X = rng.standard_normal((size, 3))
    return X.astype(dtype), rng.standard_normal((4, 3)).astype(dtype)


kmeans_run = sequential_kernel(
    "kmeans_run",
    """One restart of k-means: greedy k-means++ seeds, then Lloyd until it settles.

    ``kmeans_run(X, draws, max_iter, tol) -> (labels, inertia)``. ``draws`` (K, T) are
    uniform numbers: every seed is the best of T candidates drawn with probability
    proportional to the squared distance from the seeds before it (Arthur and
    Vassilvitskii 2007); the first one is row ``floor(n draws[0, 0])``. An empty cluster
    takes the row farthest from its centre. ``inertia`` is about the last centres.
    """,
    numpy="numopt.cluster._kernels_cpu.partitions:kmeans_run",
)


@kmeans_run.example
def _run_example(rng: np.random.Generator, dtype: Any, size: int) -> tuple[Any, ...]:
    X = rng.standard_normal((max(size, 1), 3)).astype(dtype)
    return X, rng.random((min(4, max(size, 1)), 3)), 20, 1e-8


kmeans_swaps = sequential_kernel(
    "kmeans_swaps",
    """Replace one centre after the other and keep what lowers the inertia.

    ``kmeans_swaps(X, labels, n_clusters, draws, max_iter, tol) -> (labels, inertia)``.
    Each row of ``draws`` (T, 2) picks a centre and, by squared distance, the row that
    takes its place; Lloyd follows (random swap, Fraenti 2018).
    """,
    numpy="numopt.cluster._kernels_cpu.partitions:kmeans_swaps",
)


@kmeans_swaps.example
def _swaps_example(rng: np.random.Generator, dtype: Any, size: int) -> tuple[Any, ...]:
    X = rng.standard_normal((max(size, 1), 3)).astype(dtype)
    labels = rng.integers(0, 4, X.shape[0])
    return X, labels, 4, rng.random((6, 2)), 20, 1e-8


point_moves = sequential_kernel(
    "point_moves",
    """Move single points between clusters until no move lowers the inertia.

    ``point_moves(X, labels, n_clusters, max_passes) -> (labels, moves)``. A point of
    cluster a moves to b when ``n_b/(n_b+1) d_ib^2 < n_a/(n_a-1) d_ia^2`` (Hartigan and
    Wong 1979); means are updated at once.
    """,
    numpy="numopt.cluster._kernels_cpu.partitions:point_moves",
)


@point_moves.example
def _moves_example(rng: np.random.Generator, dtype: Any, size: int) -> tuple[Any, ...]:
    X = rng.standard_normal((size, 3)).astype(dtype)
    return X, rng.integers(0, 4, size), 4, 20


@kernel(numpy="numopt.cluster._kernels_cpu.relaxation:clipped_moments")
def clipped_moments(
    X: Array, halves: Array, shift: Array
) -> tuple[Array, Array, Array]:
    """Moments of the columns ``R = max(halves - shift, 0)`` of one cluster.

    Returns the sums of R (k), its Gram matrix (k, k) and ``X^T R`` (p, k).
    """
    xp = array_namespace(X, halves, shift)
    R = halves - shift[None, :]
    R = xp.maximum(R, xp.zeros_like(R))
    Rt = xp.matrix_transpose(R)
    return xp.sum(R, axis=0), Rt @ R, xp.matrix_transpose(X) @ R


@clipped_moments.example
def _moments_example(
    rng: np.random.Generator, dtype: Any, size: int
) -> tuple[Any, ...]:
    X, halves = rng.standard_normal((size, 3)), rng.standard_normal((size, 2))
    return X.astype(dtype), halves.astype(dtype), np.array([0.1, -0.2], dtype)


@kernel(numpy="numopt.cluster._kernels_cpu.relaxation:fantope_split")
def fantope_split(
    P: Array,
    f: Array,
    V: Array,
    last: Array,
    alpha: float,
    out: tuple[Array, Array] | None = None,
) -> tuple[Array, Array, Array]:
    """One split of the ADMM for the clustering relaxation.

    With ``Z = 11^T/n + P diag(f) P^T``, the nonnegative copy ``Y = max(V, 0)`` and the
    scaled multiplier ``U = min(V, 0)``: returns ``V+ = alpha Z + (1 - alpha) Y + U``,
    its difference from ``last`` in single precision, and
    ``[||Z - Y+||_F^2, ||Y+ - Y||_F^2, ||V+ - V||_F^2]``. Compiled bodies write the
    first two results to ``out``, whose first array may be ``last``.
    """
    xp = array_namespace(P, f, V, last)
    zero = xp.zeros_like(V)
    P = P * xp.sqrt(f)[None, :]
    Z = P @ xp.matrix_transpose(P) + 1 / max(V.shape[0], 1)
    Y = xp.maximum(V, zero)
    moved = alpha * Z + (1 - alpha) * Y + xp.minimum(V, zero)
    Y_next = xp.maximum(moved, zero)
    changes = (Z - Y_next, Y_next - Y, moved - V)
    squares = xp.stack([xp.sum(change * change) for change in changes])
    return moved, xp.astype(moved - last, xp.float32), squares


@fantope_split.example
def _split_example(rng: np.random.Generator, dtype: Any, size: int) -> tuple[Any, ...]:
    V, last = _squares(rng, dtype, size, 2)
    P = rng.standard_normal((V.shape[0], 5)).astype(dtype)
    return P, rng.random(5).astype(dtype), V, last, 1.7


@kernel(numpy="numopt.cluster._kernels_cpu.relaxation:fantope_mix")
def fantope_mix(
    F: Array,
    D: Array,
    theta: Array,
    shrink: float,
    G: Array,
    inv_rho: float,
    out: Array | None = None,
) -> tuple[Array, Array]:
    """The extrapolated iterate, and the matrix that the ADMM projects next.

    ``V = F - sum_j theta_j D_j``, its negative part times ``shrink``, and
    ``A = |V| + G/rho`` (that is ``Y - U + G/rho``), both in the precision of F.
    Compiled bodies write V to ``out``, which may be F.
    """
    xp = array_namespace(F, D, theta, G)
    V = F
    for k in range(D.shape[0]):
        V = V - theta[k] * xp.astype(D[k, :, :], F.dtype)
    V = xp.where(V < 0, shrink * V, V)
    return V, xp.abs(V) + xp.astype(inv_rho * G, F.dtype)


@fantope_mix.example
def _mix_example(rng: np.random.Generator, dtype: Any, size: int) -> tuple[Any, ...]:
    F, *D = _squares(rng, dtype, size, 4)
    G = _squares(rng, np.float64, size, 1)[0]
    theta = rng.random(3).astype(dtype)
    return F, np.stack(D).astype(np.float32), theta, 0.5, G, 3.0


@kernel(numpy="numopt.cluster._kernels_cpu.relaxation:fantope_dual")
def fantope_dual(V: Array, G: Array, rho: float) -> tuple[Array, Array, Array]:
    """The dual matrix ``A = G + B`` with ``B = rho (max(-V, 0) + max(-V, 0)^T)/2``.

    Returns A, its row sums, and ``[<G, max(V, 0)>, ||A||_F^2]`` in the precision of G.
    """
    xp = array_namespace(V, G)
    V = xp.astype(V, G.dtype)
    zero = xp.zeros_like(V)
    B = xp.maximum(-V, zero) * (0.5 * rho)
    A = G + (B + xp.matrix_transpose(B))
    sums = xp.stack([xp.sum(G * xp.maximum(V, zero)), xp.sum(A * A)])
    return A, xp.sum(A, axis=1), sums


@fantope_dual.example
def _dual_example(rng: np.random.Generator, dtype: Any, size: int) -> tuple[Any, ...]:
    V, G = _squares(rng, dtype, size, 1)[0], _squares(rng, np.float64, size, 1)[0]
    return V, G, 0.7


@kernel(numpy="numopt.cluster._kernels_cpu.relaxation:filtered_ritz")
def filtered_ritz(
    A: Array,
    V: Array,
    low: float,
    cut: float,
    top: float,
    degree: int,
    centre: bool = True,
) -> tuple[Array, Array, Array]:
    """Ritz pairs of ``J A J`` on filtered columns V, J = I - 11^T/n (or J = I).

    A Chebyshev polynomial damps the eigenvalues in [low, cut] and keeps the size of
    the component at ``top`` (Zhou, Saad, Tiago and Chelikowsky 2006); degree 0 takes V
    as it is. Returns values (largest first), orthonormal vectors (orthogonal to 1, the
    sum of ``v |v|`` nonnegative) and the norms of the residuals.
    """
    xp = array_namespace(A, V)
    share = 1.0 if centre else 0.0
    means = share * xp.mean(A, axis=1)
    V = V - share * xp.mean(V, axis=0)
    V = _filtered(A, means, V, low, cut, top, degree)
    Q, _ = xp.linalg.qr(V - share * xp.mean(V, axis=0))
    Q = Q - share * xp.mean(Q, axis=0)
    W = A @ Q - means @ Q
    H = xp.matrix_transpose(Q) @ W
    w, S = xp.linalg.eigh((H + xp.matrix_transpose(H)) / 2)
    w, S = xp.flip(w), xp.flip(S, axis=1)
    P = Q @ S
    R = W @ S - P * w
    signs = xp.where(xp.sum(P * xp.abs(P), axis=0) < 0, -xp.ones_like(w), 1.0)
    return w, P * signs, xp.sqrt(xp.sum(R * R, axis=0))


def _filtered(
    A: Array, means: Array, V: Array, low: float, cut: float, top: float, degree: int
) -> Array:
    """The scaled three-term recurrence; columns stay orthogonal to 1."""
    half, middle = (cut - low) / 2, (cut + low) / 2
    if degree == 0 or half <= 0 or top <= cut:
        return V
    sigma = first = half / (top - middle)
    before, V = V, (A @ V - means @ V - middle * V) * (sigma / half)
    for _ in range(degree - 1):
        ahead = 1 / (2 / first - sigma)
        after = (A @ V - means @ V - middle * V) * (2 * ahead / half)
        before, V = V, after - (sigma * ahead) * before
        sigma = ahead
    return V


@filtered_ritz.example
def _ritz_example(rng: np.random.Generator, dtype: Any, size: int) -> tuple[Any, ...]:
    n = min(max(size, 9), 90)
    values = np.concatenate([[3.0, 2.6, 2.2], rng.random(n - 4), [0.0]])
    basis = np.linalg.qr(rng.standard_normal((n, n)))[0]
    A = (basis * values) @ basis.T
    V = basis[:, :3] + 0.2 * rng.standard_normal((n, 3))
    return A.astype(dtype), V.astype(dtype), -0.1, 1.0, 3.0, 1


def _squares(
    rng: np.random.Generator, dtype: Any, size: int, count: int
) -> list[np.ndarray]:
    """Small square matrices for the examples."""
    n = min(size, 150)
    return [rng.standard_normal((n, n)).astype(dtype) for _ in range(count)]
