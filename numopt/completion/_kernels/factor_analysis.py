# SPDX-License-Identifier: BSD-3-Clause
"""The posterior of factor scores, for many small systems at once."""

from typing import Any

import numpy as np

from numopt._array.namespace import array_namespace, device
from numopt._kernels.dispatch import kernel
from numopt.typing import Array

__all__ = ["packed_pairs", "packed_places", "score_posterior"]


def packed_pairs(k: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of a lower triangle stored row by row."""
    return np.tril_indices(k)


def packed_places(k: int) -> np.ndarray:
    """Position in the packed triangle of every entry of a symmetric k x k matrix."""
    i, j = np.indices((k, k))
    high, low = np.maximum(i, j), np.minimum(i, j)
    return (high * (high + 1) // 2 + low).ravel()


@kernel(numpy="numopt.completion._kernels_cpu.factor_analysis:score_posterior")
def score_posterior(gram: Array, rhs: Array) -> tuple[Array, Array, Array]:
    """Return m, packed S + m m^T and log det(I + G), where S = (I + G)^-1, m = S r.

    ``gram`` (n, k (k + 1) / 2) holds lower triangles G row by row, ``rhs`` is (n, k).
    """
    xp = array_namespace(gram, rhs)
    n, k = rhs.shape
    where = device(rhs)
    places = xp.asarray(packed_places(k), device=where)
    pairs = [xp.asarray(p, device=where) for p in packed_pairs(k)]
    eye = xp.eye(k, dtype=rhs.dtype, device=where)
    A = xp.reshape(xp.take(gram, places, axis=1), (n, k, k)) + eye
    L = xp.linalg.cholesky(A)
    diagonal = xp.sum(L * eye, axis=2)
    half = xp.linalg.inv(L)
    S = xp.matrix_transpose(half) @ half
    m = xp.sum(S * rhs[:, None, :], axis=2)
    flat = xp.reshape(S, (n, k * k))
    packed = xp.take(flat, pairs[0] * k + pairs[1], axis=1)
    moment = packed + xp.take(m, pairs[0], axis=1) * xp.take(m, pairs[1], axis=1)
    return m, moment, 2 * xp.sum(xp.log(diagonal), axis=1)


@score_posterior.example
def _(rng: np.random.Generator, dtype: Any, size: int) -> tuple[Any, ...]:
    k = 5
    i, j = packed_pairs(k)
    B = rng.standard_normal((size, k, k))
    G = B @ B.transpose(0, 2, 1)
    return G[:, i, j].astype(dtype), rng.standard_normal((size, k)).astype(dtype)
