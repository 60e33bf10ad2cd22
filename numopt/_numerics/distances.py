# SPDX-License-Identifier: BSD-3-Clause
"""Pairwise distances on any array library."""

from array_api_compat import is_numpy_namespace

from numopt._array.namespace import array_namespace, device
from numopt.typing import Array

__all__ = ["METRICS", "pairwise_distances"]

METRICS = ("sqeuclidean", "euclidean", "cosine", "cityblock")


def pairwise_distances(X: Array, Y: Array, metric: str) -> Array:
    """Return the (n, m) matrix of distances between rows of X (n, d) and Y (m, d).

    Differences are formed coordinate by coordinate, so that float32 and large offsets
    lose no digits to cancellation.
    """
    xp = array_namespace(X, Y)
    if is_numpy_namespace(xp):
        from scipy.spatial.distance import cdist

        return xp.astype(cdist(X, Y, metric), X.dtype, copy=False)
    if metric == "cosine":
        return 1 - _unit_rows(X) @ xp.matrix_transpose(_unit_rows(Y))
    total = xp.zeros((X.shape[0], Y.shape[0]), dtype=X.dtype, device=device(X))
    # One coordinate at a time: exact differences in O(n m) memory.
    for k in range(X.shape[1]):
        difference = X[:, k][:, None] - Y[:, k][None, :]
        total = total + (
            xp.abs(difference) if metric == "cityblock" else difference * difference
        )
    return xp.sqrt(total) if metric == "euclidean" else total


def _unit_rows(X: Array) -> Array:
    xp = array_namespace(X)
    norms = xp.sqrt(xp.sum(X * X, axis=1, keepdims=True))
    return X / xp.where(norms > 0, norms, xp.ones_like(norms))
