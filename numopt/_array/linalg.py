# SPDX-License-Identifier: BSD-3-Clause
"""Linear algebra and selection that the array API standard leaves out."""

from typing import NamedTuple

from array_api_compat import is_cupy_namespace, is_numpy_namespace

from numopt._array.namespace import array_namespace
from numopt.typing import Array

__all__ = [
    "CholeskyFactor",
    "cho_factor",
    "cho_solve",
    "inv_posdef",
    "logsumexp",
    "lstsq",
    "solve_triangular",
]


class CholeskyFactor(NamedTuple):
    """Lower Cholesky factor ``L`` of a symmetric positive definite matrix."""

    L: Array


def cho_factor(A: Array) -> CholeskyFactor:
    """Factor the symmetric positive definite ``A = L L^T`` (batched on leading axes).

    Raises ``numpy.linalg.LinAlgError`` (the library's own error elsewhere) when
    ``A`` is not positive definite.
    """
    xp = array_namespace(A)
    return CholeskyFactor(xp.linalg.cholesky(A))


def cho_solve(factor: CholeskyFactor, B: Array) -> Array:
    """Solve ``A X = B`` from the Cholesky factor of ``A``; B is (n,) or (n, k)."""
    xp = array_namespace(factor.L)
    if is_numpy_namespace(xp) and factor.L.ndim == 2:
        from scipy.linalg import cho_solve as scipy_cho_solve

        return scipy_cho_solve((factor.L, True), B, check_finite=False)
    Y = solve_triangular(factor.L, B, lower=True)
    return solve_triangular(xp.matrix_transpose(factor.L), Y, lower=False)


def inv_posdef(A: Array) -> Array:
    """Inverse of a symmetric positive definite matrix.

    Raises ``numpy.linalg.LinAlgError`` (the library's own error elsewhere) when
    ``A`` is singular, and for NumPy also when it is not positive definite.
    """
    xp = array_namespace(A)
    if not is_numpy_namespace(xp):
        return xp.linalg.inv(A)
    from scipy.linalg.lapack import get_lapack_funcs

    factor, invert = get_lapack_funcs(("potrf", "potri"), (A,))
    L, info = factor(A, lower=1, clean=1)
    if info == 0:
        low, info = invert(L, lower=1, overwrite_c=1)
    if info != 0:
        raise xp.linalg.LinAlgError("Matrix is not positive definite")
    # Above the diagonal there are zeros, and the sum doubles the diagonal.
    inverse = low + low.T
    inverse[*xp.diag_indices_from(low)] *= 0.5
    return inverse


def solve_triangular(T: Array, B: Array, *, lower: bool) -> Array:
    """Solve ``T X = B`` with triangular ``T``; B is (n,) or (n, k)."""
    xp = array_namespace(T)
    if is_numpy_namespace(xp) and T.ndim == 2:
        from scipy.linalg import solve_triangular as scipy_solve_triangular

        return scipy_solve_triangular(T, B, lower=lower, check_finite=False)
    if is_cupy_namespace(xp) and T.ndim == 2:
        from cupyx.scipy.linalg import solve_triangular as cupy_solve_triangular

        return cupy_solve_triangular(T, B, lower=lower)
    return xp.linalg.solve(T, B)


def lstsq(A: Array, b: Array) -> Array:
    """Minimum-norm least-squares solution of ``A x = b``."""
    xp = array_namespace(A)
    if is_numpy_namespace(xp):
        from scipy.linalg import lstsq as scipy_lstsq

        return scipy_lstsq(A, b, check_finite=False)[0]
    return xp.linalg.pinv(A) @ b


def logsumexp(x: Array, *, axis: int) -> Array:
    """Logarithm of the sum of exponentials along one axis, without overflow.

    Slices that are entirely ``-inf`` give ``-inf``.
    """
    xp = array_namespace(x)
    top = xp.max(x, axis=axis, keepdims=True)
    shift = xp.where(xp.isfinite(top), top, xp.zeros_like(top))
    total = xp.sum(xp.exp(x - shift), axis=axis)
    tiny = xp.finfo(x.dtype).smallest_normal
    log_total = xp.log(xp.where(total > 0, total, xp.full_like(total, tiny)))
    log_total = xp.where(total > 0, log_total, xp.full_like(total, -float("inf")))
    return log_total + xp.squeeze(shift, axis=axis)
