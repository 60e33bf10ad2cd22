# SPDX-License-Identifier: BSD-3-Clause
"""Small linear algebra of pairs of factors, shared by all algorithms."""

import math
from typing import Any

import numpy as np

from numopt._array.namespace import array_namespace, to_numpy
from numopt.completion._kernels.als import predict_entries
from numopt.completion._problem import Observations
from numopt.typing import Array

__all__ = [
    "join",
    "relative_decrease",
    "relative_residual",
    "residuals",
    "rounding_losses",
    "singular_values",
    "split",
    "thin_qr",
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


#: From this many rows a column on, and this many entries, Gram matrices are faster.
TALL, TALL_ENTRIES = 16, 100_000
#: Least ratio of the eigenvalues of a Gram matrix that two passes can orthonormalise.
GRAM_RATIO = 1e-11


def thin_qr(X: Array) -> tuple[Array, Array]:
    """Orthonormal Q and square R with X = Q R; R need not be triangular.

    A tall X is multiplied by the inverse root of its Gram matrix, twice, which makes
    two matrix products of a factorisation that is slow for such shapes. Where the
    columns are too dependent for that, the factorisation is done.
    """
    xp = array_namespace(X)
    n, k = X.shape
    if n >= TALL * k and n * k >= TALL_ENTRIES:
        first = _whiten(X)
        second = None if first is None else _whiten(first[0])
        if first is not None and second is not None:
            return second[0], second[1] @ first[1]
    Q, R = xp.linalg.qr(X)
    return Q, R


def _whiten(X: Array) -> tuple[Array, Array] | None:
    """X G^-1/2 W and W^T G^1/2 of the Gram matrix G; None where it is near singular."""
    xp = array_namespace(X)
    wide = xp.astype(X, xp.float64, copy=False)
    values, W = xp.linalg.eigh(wide.T @ wide)
    low, high = float(to_numpy(values[0])), float(to_numpy(values[-1]))
    if not low > GRAM_RATIO * high:
        return None
    root = xp.sqrt(values)
    return X @ xp.astype(W / root, X.dtype), xp.astype((W * root).T, X.dtype)


def singular_values(U: Array, V: Array) -> Array:
    """Singular values of U V^T, (k,), descending."""
    xp = array_namespace(U)
    Ru, Rv = thin_qr(U)[1], thin_qr(V)[1]
    s = xp.linalg.svdvals(Ru @ Rv.T)
    k = U.shape[1]
    if s.shape[0] < k:
        s = xp.concat([s, xp.zeros_like(U[0, : k - s.shape[0]])])
    return s


#: Entries squared at a time, so that no second copy of the data is made.
STRETCH = 1 << 20


def weighted_square(problem: Observations, r: Array, shift: float = 0.0) -> float:
    """Weighted sum of squares of row-major residuals plus ``shift``, in float64."""
    xp, weights = problem.xp, problem.by_row.weights
    total: Any = 0.0
    size = r.shape[0]
    for at in range(0, size, STRETCH):
        end = min(at + STRETCH, size)
        part = xp.astype(r[at:end], xp.float64) + shift
        square = part * part
        if problem.weighted:
            square = square * xp.astype(weights[at:end], xp.float64)
        total = total + xp.sum(square)
    return float(to_numpy(total))


def residuals(problem: Observations, P: Array, Q: Array) -> Array:
    """Y - yhat of the row-major entries."""
    side = problem.by_row
    return side.values - predict_entries(side.indptr, side.indices, P, Q)


#: Residuals of so many units of rounding, relative to the values, are none.
EXACT = 64


def rounding_losses(
    problem: Observations, intercept: float = 0.0
) -> tuple[float, float]:
    """Squared loss of an exact fit, and of one that sums of squares cannot resolve."""
    unit = EXACT * float(problem.xp.finfo(problem.by_row.values.dtype).eps)
    size = weighted_square(problem, problem.by_row.values, intercept)
    return unit * unit * size, unit * size


def relative_decrease(before: float, after: float, exact: float) -> float:
    """Decrease of an objective relative to it; 0 once an exact fit gains no more.

    Below the loss of an exact fit the objective is rounding, whose relative changes
    never become small.
    """
    if after <= exact and after >= 0.5 * before:
        return 0.0
    return abs(before - after) / max(abs(before), float(np.finfo(np.float64).tiny))


def relative_residual(
    problem: Observations, P: Array, Q: Array, intercept: float = 0.0
) -> float:
    """|P(y - yhat)| / |P(y)|; ``problem`` holds centred values."""
    size = weighted_square(problem, problem.by_row.values, intercept)
    left = weighted_square(problem, residuals(problem, P, Q))
    return math.sqrt(left / size) if size > 0 else math.sqrt(left)
