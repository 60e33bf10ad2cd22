# SPDX-License-Identifier: BSD-3-Clause
"""Leading eigenpairs for the iterations, and eigenvalue sums that are proved."""

from typing import Any

import numpy as np
from array_api_compat import is_numpy_namespace

from numopt._array.namespace import array_namespace, device, to_numpy
from numopt.typing import Array

__all__ = [
    "CentredProduct",
    "centred",
    "chebyshev_filter",
    "eigenvalue_sum",
    "leading_pairs",
    "leading_values",
    "ritz_pairs",
]

EPS = float(np.finfo(np.float64).eps)
SAFE_PIVOT = 0.3


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


class CentredProduct:
    """The map ``V -> J A V`` on columns orthogonal to the ones vector."""

    __slots__ = ("A", "means", "xp")

    def __init__(self, A: Array) -> None:
        self.A, self.xp = A, array_namespace(A)
        self.means = self.xp.mean(A, axis=1)

    def __call__(self, V: Array) -> Array:
        """Return J A V; columns of V are orthogonal to the ones vector."""
        return self.A @ V - self.means @ V


def orthonormal(V: Array, xp: Any) -> Array:
    """Return an orthonormal basis of the columns, orthogonal to the ones vector.

    Columns that are nearly orthogonal, as filtered Ritz vectors are, take a Cholesky
    factor of their Gram matrix; others a QR factorisation.
    """
    V = V - xp.mean(V, axis=0)
    scale = xp.sqrt(xp.sum(V * V, axis=0))
    V = V / xp.where(scale > 0, scale, xp.ones_like(scale))
    gram = xp.matrix_transpose(V) @ V
    try:
        L = xp.linalg.cholesky(gram)
    except np.linalg.LinAlgError:
        L = None
    # Entries below 1 by little mean that no digits are lost (NaN fails this too).
    if L is not None and float(xp.min(xp.linalg.diagonal(L))) > SAFE_PIVOT:
        return V @ xp.matrix_transpose(xp.linalg.inv(L))
    Q, _ = xp.linalg.qr(V)
    return Q


def chebyshev_filter(
    product: CentredProduct,
    V: Array,
    low: float,
    cut: float,
    top: float,
    degree: int,
) -> Array:
    """Damp the eigenvalues in [low, cut] of J A J in the columns of V.

    Scaled three-term recurrence: the component of eigenvalue ``top`` keeps its size.
    """
    half, middle = (cut - low) / 2, (cut + low) / 2
    if half <= 0 or top <= cut:
        return product(V)
    sigma = first = half / (top - middle)
    before, V = V, (product(V) - middle * V) * (sigma / half)
    for _ in range(degree - 1):
        ahead = 1 / (2 / first - sigma)
        factor = 2 * ahead / half
        after = product(V)
        after *= factor
        after -= (factor * middle) * V
        after -= (sigma * ahead) * before
        before, V = V, after
        sigma = ahead
    return V


def ritz_pairs(product: CentredProduct, V: Array) -> tuple[Array, Array, Array]:
    """Return Ritz values (largest first), vectors and residual norms of J A J."""
    xp = product.xp
    Q = orthonormal(V, xp)
    W = product(Q)
    H = xp.matrix_transpose(Q) @ W
    w, S = xp.linalg.eigh((H + xp.matrix_transpose(H)) / 2)
    w, S = xp.flip(w), xp.flip(S, axis=1)
    P = Q @ S
    R = W @ S - P * w
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
    w, P, residuals = ritz_pairs(CentredProduct(A), basis)
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
