# SPDX-License-Identifier: BSD-3-Clause
"""Small linear algebra of pairs of factors, shared by all algorithms."""

import math

from numopt._array.namespace import array_namespace, to_numpy
from numopt.completion._kernels.als import predict_entries
from numopt.completion._problem import Observations
from numopt.typing import Array

__all__ = [
    "balance",
    "join",
    "relative_residual",
    "residuals",
    "singular_values",
    "split",
    "weighted_square",
]


def split(P: Array) -> tuple[Array, Array]:
    """Return factors (lines, k) and biases (lines,) of ``P`` = [U, b]."""
    return P[:, :-1], P[:, -1]


def join(U: Array, b: Array | None = None) -> Array:
    """Return [U, b], with zeros when there is no bias."""
    xp = array_namespace(U)
    column = xp.zeros_like(U[:, :1]) if b is None else b[:, None]
    return xp.concat([U, column], axis=1)


def _core(U: Array, V: Array) -> tuple[Array, ...]:
    """Bases of both factors and the decomposition between them."""
    xp = array_namespace(U)
    Qu, Ru = xp.linalg.qr(U)
    Qv, Rv = xp.linalg.qr(V)
    A, s, Bt = xp.linalg.svd(Ru @ Rv.T, full_matrices=False)
    return Qu, Qv, A, s, Bt


def singular_values(U: Array, V: Array) -> Array:
    """Singular values of U V^T, (k,), descending."""
    xp = array_namespace(U)
    Ru, Rv = xp.linalg.qr(U)[1], xp.linalg.qr(V)[1]
    s = xp.linalg.svdvals(Ru @ Rv.T)
    k = U.shape[1]
    if s.shape[0] < k:
        s = xp.concat([s, xp.zeros_like(U[0, : k - s.shape[0]])])
    return s


def balance(U: Array, V: Array) -> tuple[Array, Array]:
    """Rescale to U = A s^1/2, V = B s^1/2 of the SVD of U V^T.

    Among the factors of a product these have the least |U|^2 + |V|^2.
    """
    xp = array_namespace(U)
    if min(U.shape[0], V.shape[0]) < U.shape[1]:
        return U, V
    Qu, Qv, A, s, Bt = _core(U, V)
    root = xp.sqrt(s)
    return (Qu @ A) * root, (Qv @ Bt.T) * root


def weighted_square(problem: Observations, r: Array) -> float:
    """Weighted sum of squares of row-major residuals, in float64."""
    xp = problem.xp
    r = xp.astype(r, xp.float64)
    if not problem.weighted:
        return float(to_numpy(xp.sum(r * r)))
    w = xp.astype(problem.by_row.weights, xp.float64)
    return float(to_numpy(xp.sum(w * r * r)))


def residuals(problem: Observations, P: Array, Q: Array) -> Array:
    """Y - yhat of the row-major entries."""
    side = problem.by_row
    return side.values - predict_entries(side.indptr, side.indices, P, Q)


def relative_residual(
    problem: Observations, P: Array, Q: Array, intercept: float = 0.0
) -> float:
    """|P(y - yhat)| / |P(y)|; ``problem`` holds centred values."""
    size = weighted_square(problem, problem.by_row.values + intercept)
    left = weighted_square(problem, residuals(problem, P, Q))
    return math.sqrt(left / size) if size > 0 else math.sqrt(left)
