# SPDX-License-Identifier: BSD-3-Clause
"""Leading eigenpairs for the iterations, and eigenvalue sums that are proved."""

from typing import TypeAlias

import numpy as np
from array_api_compat import is_numpy_namespace

from numopt._array.namespace import array_namespace, device, to_numpy
from numopt.typing import Array

__all__ = [
    "RitzPairs",
    "centred",
    "eigenvalue_sum",
    "leading_pairs",
    "leading_values",
]

#: Ritz values (largest first), vectors and norms of the residuals.
RitzPairs: TypeAlias = tuple[Array, Array, Array]

EPS = float(np.finfo(np.float64).eps)


def centred(A: Array) -> Array:
    """Return ``J A J`` for a symmetric A: rows and columns without their means."""
    xp = array_namespace(A)
    means = xp.mean(A, axis=1)
    C = A - means[:, None]
    C -= (means - xp.mean(means))[None, :]
    return C


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


def eigenvalue_sum(A: Array, count: int, pairs: RitzPairs | None = None) -> float:
    """Return an upper bound on the sum of the largest eigenvalues of J A J on 1-perp.

    Without ``pairs`` a dense eigensolver gives the sum itself. With approximate leading
    pairs (w, P) the bound ``sum_i max(w_i, t) + count * shift`` is proved by one
    Cholesky factorisation of ``t I + P (W - t)_+ P^T + shift I - J A J``: for any such
    t, ``sum_i lambda_i <= count * t + tr (J A J - t I)_+``. Rounding is left to the
    caller's slack. The dense sum is the fallback when no factor exists.
    """
    if count == 0:
        return 0.0
    n = A.shape[0]
    # The ones vector is an eigenvector of J A J that does not count: sent far down.
    size = float(array_namespace(A).linalg.matrix_norm(A)) + 1e-300
    C = centred(A)
    C -= 2 * size / n
    if pairs is not None and pairs[1].shape[1] > count:
        proved = _proved_sum(C, count, pairs, size)
        if proved is not None:
            return proved
    return float(np.sum(leading_values(C, min(count, n - 1))))


def _proved_sum(C: Array, count: int, pairs: RitzPairs, size: float) -> float | None:
    """The bound of `eigenvalue_sum` from Ritz pairs; None when no factor exists."""
    xp, n = array_namespace(C), C.shape[0]
    values, P, errors = to_numpy(pairs[0]), pairs[1], to_numpy(pairs[2])
    t, shift = _threshold(values, errors, count, 64 * n * EPS * size)
    lift = xp.asarray(np.maximum(values - t, 0.0), device=device(C))
    S = (P * lift[None, :]) @ xp.matrix_transpose(P) - C
    for _ in range(2):
        if _positive_definite(S, t + shift):
            head = float(np.sum(np.maximum(values[:count], t)))
            tail = float(np.sum(np.maximum(values[count:] - t, 0.0)))
            return head + tail + count * shift
        shift = 20 * shift
    return None


def _threshold(
    values: np.ndarray, errors: np.ndarray, count: int, tiny: float
) -> tuple[float, float]:
    """Where to cut the spectrum: leading eigenvalues that coalesce stay together.

    A cut below the j-th value costs the sum of the values beyond ``count`` above it,
    and a shift for what the residuals of the first j can add to the rest:
    error^2 / distance.
    """
    best, found = np.inf, (0.0, 0.0)
    for j in range(count, values.size):
        t = 0.5 * (values[j - 1] + values[j])
        error = float(np.linalg.norm(errors[:j]))
        shift = max(4 * error**2 / max(values[j - 1] - t, error, tiny), tiny)
        cost = float(np.sum(np.maximum(values[count:j] - t, 0.0))) + count * shift
        if cost < best:
            best, found = cost, (float(t), shift)
    return found


def _positive_definite(S: Array, shift: float) -> bool:
    """Whether ``S + shift I`` has a Cholesky factor."""
    xp, n = array_namespace(S), S.shape[0]
    if is_numpy_namespace(xp):
        shifted = S.copy()
        shifted.flat[:: n + 1] += shift
    else:
        shifted = S + shift * xp.eye(n, dtype=S.dtype, device=device(S))
    try:
        L = xp.linalg.cholesky(shifted)
    except (np.linalg.LinAlgError, RuntimeError):
        # The error of torch is a RuntimeError.
        return False
    # CuPy reports failure as NaN.
    return bool(xp.all(xp.isfinite(xp.linalg.diagonal(L))))
