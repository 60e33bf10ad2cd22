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
    "proof_loss",
    "ritz_numbers",
]

#: Ritz values (largest first), vectors and norms of the residuals.
RitzPairs: TypeAlias = tuple[Array, Array, Array]

EPS = float(np.finfo(np.float64).eps)


def ritz_numbers(pairs: RitzPairs) -> tuple[np.ndarray, np.ndarray]:
    """Return the values and the residuals of Ritz pairs on the host, in float64."""
    values, errors = to_numpy(pairs[0]), to_numpy(pairs[2])
    return values.astype(np.float64), errors.astype(np.float64)


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


def eigenvalue_sum(
    A: Array, count: int, pairs: RitzPairs | None = None, *, overwrite: bool = False
) -> float:
    """Return an upper bound on the sum of the largest eigenvalues of J A J on 1-perp.

    Without ``pairs`` a dense eigensolver gives the sum itself. With approximate leading
    pairs (w, P) one Cholesky factorisation proves
    ``J A J <= (t + shift) I + P (W - t)_+ P^T``, whose leading eigenvalues are those of
    a small matrix: whatever P and w are, their sum is a bound. Rounding is left to the
    caller's slack. The dense sum is the fallback when no factor exists. ``overwrite``
    lets NumPy work in the memory of A.
    """
    xp, n = array_namespace(A), A.shape[0]
    # The ones vector is an eigenvector of J A J that does not count: sent far down.
    entries = xp.reshape(A, (-1,))
    size = float(xp.vecdot(entries, entries)) ** 0.5 + 1e-300
    means = xp.mean(A, axis=1)
    C = A if overwrite and is_numpy_namespace(xp) else xp.asarray(A, copy=True)
    C -= means[:, None]
    C -= (means - xp.mean(means) + 2 * size / n)[None, :]
    if pairs is not None and pairs[1].shape[1] > count:
        proved, C = _proved_sum(C, count, pairs, size)
        if proved is not None:
            return proved
    return float(np.sum(leading_values(C, min(count, n - 1))))


def proof_loss(pairs: RitzPairs, count: int) -> float:
    """What the residuals of Ritz pairs cost the bound of `eigenvalue_sum`."""
    return count * _threshold(*ritz_numbers(pairs), count, 1e-300)[1]


def _proved_sum(
    C: Array, count: int, pairs: RitzPairs, size: float
) -> tuple[float | None, Array]:
    """The bound of `eigenvalue_sum` from Ritz pairs; (None, C) when no factor exists.

    C may be overwritten, and is returned restored.
    """
    xp, n = array_namespace(C), C.shape[0]
    P, (values, errors) = pairs[1], ritz_numbers(pairs)
    t, shift = _threshold(values, errors, count, 64 * n * EPS * size)
    lift = np.sqrt(np.maximum(values - t, 0.0))
    lift = xp.asarray(lift[lift > 0], dtype=C.dtype, device=device(C))
    L = xp.astype(P[:, : lift.shape[0]], C.dtype) * lift[None, :]
    # P is orthonormal to the precision of the iterations only.
    tops = np.linalg.eigvalsh(to_numpy(xp.matrix_transpose(L) @ L))[::-1]
    S = _difference(L, C)
    for _ in range(2):
        if _positive_definite(S, t + shift):
            return count * (t + shift) + float(np.sum(tops[:count])), C
        shift = 20 * shift
    return None, _difference(L, S)


def _difference(L: Array, C: Array) -> Array:
    """Return ``L L^T - C`` for a symmetric C, on NumPy in the memory of C."""
    xp = array_namespace(C)
    if not is_numpy_namespace(xp):
        return L @ xp.matrix_transpose(L) - C
    if L.shape[1] == 0:
        return np.negative(C, out=C)
    from scipy.linalg.blas import dgemm

    return dgemm(1.0, L, L, -1.0, C.T, trans_b=True, overwrite_c=True).T


def _threshold(
    values: np.ndarray, errors: np.ndarray, count: int, tiny: float
) -> tuple[float, float]:
    """Where to cut the spectrum, and the shift that the cut needs.

    A cut below the j-th value needs a shift for what the residuals of the first j can
    add to the rest: error^2 / distance. Leading eigenvalues that coalesce stay together
    so that the distance is large.
    """
    best, threshold = np.inf, 0.0
    for j in range(count, values.size):
        t = 0.5 * (values[j - 1] + values[j])
        error = float(np.linalg.norm(errors[:j]))
        shift = max(4 * error**2 / max(values[j - 1] - t, error, tiny), tiny)
        if shift < best:
            best, threshold = float(shift), float(t)
    return threshold, best


def _positive_definite(S: Array, shift: float) -> bool:
    """Whether ``S + shift I`` has a Cholesky factor; S is the same afterwards, if not.

    On NumPy the factor replaces one triangle of S.
    """
    xp, n = array_namespace(S), S.shape[0]
    if not is_numpy_namespace(xp):
        shifted = S + shift * xp.eye(n, dtype=S.dtype, device=device(S))
        try:
            L = xp.linalg.cholesky(shifted)
        except (np.linalg.LinAlgError, RuntimeError):
            # The error of torch is a RuntimeError.
            return False
        # CuPy reports failure as NaN.
        return bool(xp.all(xp.isfinite(xp.linalg.diagonal(L))))
    from scipy.linalg.lapack import dpotrf

    diagonal = S.diagonal().copy()
    S.flat[:: n + 1] += shift
    _, info = dpotrf(S.T, lower=True, clean=False, overwrite_a=True)
    if info == 0:
        return True
    for i in range(n):
        # The other triangle is still that of S.
        S[:i, i] = S[i, :i]
    S.flat[:: n + 1] = diagonal
    return False
