# SPDX-License-Identifier: BSD-3-Clause
"""Leading eigenpairs for the iterations, and eigenvalue sums that are proved."""

import numpy as np
from array_api_compat import is_numpy_namespace

from numopt._array.namespace import array_namespace, device, to_numpy
from numopt.typing import Array

__all__ = [
    "centred",
    "chebyshev_filter",
    "eigenvalue_sum",
    "leading_pairs",
    "leading_values",
    "orthonormal",
    "ritz_pairs",
]

EPS = float(np.finfo(np.float64).eps)


def centred(A: Array) -> Array:
    """Return ``J A J`` for a symmetric A: rows and columns without their means."""
    xp = array_namespace(A)
    means = xp.mean(A, axis=1)
    return A - means[:, None] - means[None, :] + xp.mean(means)


def leading_pairs(A: Array, q: int) -> tuple[Array, Array]:
    """Return the q largest eigenvalues, largest first, and their vectors."""
    xp, n = array_namespace(A), A.shape[0]
    if is_numpy_namespace(xp):
        from scipy.linalg import eigh

        w, P = eigh(A, subset_by_index=[n - q, n - 1], check_finite=False)
    else:
        w, P = xp.linalg.eigh(A)
        w, P = w[n - q :], P[:, n - q :]
    return xp.flip(w), xp.flip(P, axis=1)


def leading_values(A: Array, q: int) -> np.ndarray:
    """Return the q largest eigenvalues of a dense symmetric matrix, on the host."""
    xp, n = array_namespace(A), A.shape[0]
    if is_numpy_namespace(xp):
        from scipy.linalg import eigh

        return eigh(
            A, subset_by_index=[n - q, n - 1], eigvals_only=True, check_finite=False
        )[::-1]
    return to_numpy(xp.linalg.eigvalsh(A))[::-1][:q]


def orthonormal(V: Array) -> Array:
    """Return an orthonormal basis of the columns, orthogonal to the ones vector."""
    xp = array_namespace(V)
    V = V - xp.mean(V, axis=0, keepdims=True)
    scale = xp.sqrt(xp.sum(V * V, axis=0, keepdims=True))
    Q, _ = xp.linalg.qr(V / xp.where(scale > 0, scale, xp.ones_like(scale)))
    return Q


def chebyshev_filter(
    A: Array, V: Array, low: float, cut: float, top: float, degree: int
) -> Array:
    """Damp the eigenvalues in [low, cut] of J A J in the columns of V.

    Scaled three-term recurrence: the component of eigenvalue ``top`` keeps its size.
    """
    half, middle = (cut - low) / 2, (cut + low) / 2
    if half <= 0 or top <= cut:
        return _product(A, V)
    sigma = first = half / (top - middle)
    before, V = V, (_product(A, V) - middle * V) * (sigma / half)
    for _ in range(degree - 1):
        ahead = 1 / (2 / first - sigma)
        after = (_product(A, V) - middle * V) * (2 * ahead / half)
        before, V = V, after - (sigma * ahead) * before
        sigma = ahead
    return V


def _product(A: Array, V: Array) -> Array:
    """Return J A V for columns orthogonal to the ones vector."""
    W = A @ V
    return W - array_namespace(W).mean(W, axis=0, keepdims=True)


def ritz_pairs(A: Array, V: Array) -> tuple[Array, Array, Array]:
    """Return Ritz values (largest first), vectors and residual norms of J A J."""
    xp = array_namespace(V)
    Q = orthonormal(V)
    W = _product(A, Q)
    H = xp.matrix_transpose(Q) @ W
    w, S = xp.linalg.eigh((H + xp.matrix_transpose(H)) / 2)
    w, S = xp.flip(w), xp.flip(S, axis=1)
    P = Q @ S
    R = W @ S - P * w[None, :]
    return w, P, xp.sqrt(xp.sum(R * R, axis=0))


def eigenvalue_sum(A: Array, count: int, basis: Array | None = None) -> float:
    """Return an upper bound on the sum of the largest eigenvalues of J A J on 1-perp.

    Without ``basis`` a dense eigensolver gives the sum itself. With a basis of
    approximate leading vectors the bound ``sum_i max(w_i, t) + count * shift`` is
    proved by one Cholesky factorisation of ``t I + P (W - t)_+ P^T + shift I - J A J``:
    for any such t, ``sum_i lambda_i <= count * t + tr (J A J - t I)_+``. Rounding is
    left to the caller's slack. The dense sum is the fallback when no factor exists.
    """
    if count == 0:
        return 0.0
    n = A.shape[0]
    # The ones vector is an eigenvector of J A J that does not count: sent far down.
    size = float(array_namespace(A).linalg.matrix_norm(A)) + 1e-300
    C = centred(A)
    if basis is not None and basis.shape[1] > count:
        proved = _proved_sum(A, C, count, basis, size)
        if proved is not None:
            return proved
    return float(np.sum(leading_values(C - (2 * size / n), min(count, n - 1))))


def _proved_sum(
    A: Array, C: Array, count: int, basis: Array, size: float
) -> float | None:
    xp, n = array_namespace(A), A.shape[0]
    w, P, residuals = ritz_pairs(A, basis)
    values, errors = to_numpy(w), to_numpy(residuals)
    error = float(np.linalg.norm(errors[:count]))
    below, above = values[count], values[count - 1]
    spread = max(above - below, 0.0)
    tiny = 64 * n * EPS * size
    t = below + max(0.5 * spread, tiny)
    # A residual couples the basis to the rest: error^2 / distance is what it can add.
    shift = max(4 * error**2 / max(t - below, error, tiny), tiny)
    for _ in range(2):
        lift = np.maximum(values - t, 0.0)
        lifted = xp.asarray(lift, device=device(A))
        S = (P * lifted[None, :]) @ xp.matrix_transpose(P) - C + 2 * size / n
        if _positive_definite(S, t + shift):
            head = float(np.sum(np.maximum(values[:count], t)))
            tail = float(np.sum(np.maximum(values[count:] - t, 0.0)))
            return head + tail + count * shift
        shift = 20 * shift + 0.02 * error
    return None


def _positive_definite(S: Array, shift: float) -> bool:
    """Whether ``S + shift I`` has a Cholesky factor."""
    xp, n = array_namespace(S), S.shape[0]
    eye = xp.eye(n, dtype=S.dtype, device=device(S))
    try:
        L = xp.linalg.cholesky(S + shift * eye)
    except np.linalg.LinAlgError:
        return False
    # CuPy and torch report failure as NaN or by an error of their own.
    return bool(xp.all(xp.isfinite(xp.linalg.diagonal(L))))
