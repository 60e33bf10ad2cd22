# SPDX-License-Identifier: BSD-3-Clause
"""Hot loops of clustering: assignment, single-point moves, the split of the ADMM."""

from typing import Any

import numpy as np

from numopt._array.namespace import array_namespace, device
from numopt._kernels.dispatch import kernel, sequential_kernel
from numopt.typing import Array

__all__ = ["fantope_split", "lloyd_step", "point_moves"]


@kernel(numpy="numopt.cluster._kernels_cpu:lloyd_step")
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


point_moves = sequential_kernel(
    "point_moves",
    """Move single points between clusters until no move lowers the inertia.

    ``point_moves(X, labels, n_clusters, max_passes) -> (labels, moves)``. A point of
    cluster a moves to b when ``n_b/(n_b+1) d_ib^2 < n_a/(n_a-1) d_ia^2`` (Hartigan and
    Wong 1979); means are updated at once.
    """,
    numpy="numopt.cluster._kernels_cpu:point_moves",
)


@point_moves.example
def _moves_example(rng: np.random.Generator, dtype: Any, size: int) -> tuple[Any, ...]:
    X = rng.standard_normal((size, 3)).astype(dtype)
    return X, rng.integers(0, 4, size), 4, 20


@kernel(numpy="numopt.cluster._kernels_cpu:fantope_split")
def fantope_split(
    Z: Array, V: Array, G: Array, alpha: float, inv_rho: float
) -> tuple[Array, Array, Array]:
    """One split of the ADMM for the clustering relaxation.

    The nonnegative copy is ``Y = max(V, 0)`` and the scaled multiplier
    ``U = min(V, 0)``, so ``Y - U = |V|``. Returns
    ``V+ = alpha Z + (1 - alpha) Y + U``, the matrix ``A = |V+| + G/rho`` to be
    projected next, and ``[||Z - Y+||_F^2, ||Y+ - Y||_F^2]``.
    """
    xp = array_namespace(Z, V, G)
    zero = xp.zeros_like(V)
    Y = xp.maximum(V, zero)
    moved = alpha * Z + (1 - alpha) * Y + xp.minimum(V, zero)
    Y_next = xp.maximum(moved, zero)
    squares = xp.stack([xp.sum((Z - Y_next) ** 2), xp.sum((Y_next - Y) ** 2)])
    return moved, xp.abs(moved) + inv_rho * G, squares


@fantope_split.example
def _split_example(rng: np.random.Generator, dtype: Any, size: int) -> tuple[Any, ...]:
    n = min(size, 150)
    Z, V, G = (rng.standard_normal((n, n)).astype(dtype) for _ in range(3))
    return Z, V, G, 1.7, 3.0
