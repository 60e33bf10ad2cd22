# SPDX-License-Identifier: BSD-3-Clause
"""Regressions of long lines, preconditioned by a random sketch of their entries."""

import math

import numpy as np

from numopt._array.namespace import array_namespace, device, to_numpy
from numopt.completion._kernels.als import gather_rows, padded_lines, scatter_rows
from numopt.completion._problem import Side
from numopt.typing import Array

__all__ = ["long_lines", "sketched_lines"]

#: Rows of a sketch, as a multiple of the rank.
ROWS = 8
#: Lines with more entries than this multiple of the squared rank are worth a sketch.
LONG = 4
#: Multiple of the rounding unit that keeps the triangular factor invertible.
FLOOR_EPS = 10.0


def long_lines(side: Side, rank: int) -> np.ndarray:
    """Host mask of the lines that are worth a sketch.

    A sketch costs k^3 operations, a step on n entries n k: it pays for n >> k^2.
    """
    return to_numpy(side.counts) > max(LONG * rank * rank, ROWS * rank)


def sketched_lines(
    side: Side,
    basis: Array,
    ridge: Array,
    start: Array,
    eps: float,
    rng: np.random.Generator,
) -> tuple[Array, Array]:
    """Regressions x_i = argmin |W^1/2 (t - A x)|^2 + ridge_i |x|^2, to accuracy eps.

    A holds the rows of ``basis`` (n, k) at the entries of the line. A random signed sum
    of its rows, ``ROWS`` k of them, has a triangular factor R for which the condition
    number of A R^-1 is a constant, whatever A and the weights: the steps of conjugate
    gradients then depend on ``eps`` only. Lines without entries become 0. Returns x
    (lines, k) and the objective of each line, (lines,) in float64.
    """
    xp = array_namespace(basis)
    k = basis.shape[1]
    x = xp.zeros_like(start)
    loss = xp.zeros((start.shape[0],), dtype=xp.float64, device=device(start))
    # The singular values of the sketch spread by 1 +- ROWS^-1/2, hence the rate.
    steps = 1 + math.ceil(math.log(2 / eps) / math.log(math.sqrt(ROWS)))
    for lines, at, mask in padded_lines(side.indptr, k):
        w = xp.astype(mask, basis.dtype)
        if side.weights.shape[0]:
            w = w * xp.sqrt(gather_rows(side.weights, at))
        A = gather_rows(basis, gather_rows(side.indices, at)) * w[..., None]
        t = gather_rows(side.values, at) * w
        damping = xp.take(ridge, lines)[:, None]
        M = _preconditioner(A, damping, rng)
        found = _refine(
            A, t, damping, M, xp.take(start, lines, axis=0), eps=eps, steps=steps
        )
        r = xp.astype(t - _times(A, found), xp.float64)
        value = xp.sum(r * r, axis=1) + xp.sum(
            xp.astype(damping * found * found, xp.float64), axis=1
        )
        x = scatter_rows(x, lines, found)
        loss = scatter_rows(loss, lines, value)
    return x, loss


def _times(A: Array, x: Array) -> Array:
    """Product of each matrix with its vector."""
    return array_namespace(A).matmul(A, x[..., None])[..., 0]


def _transposed(A: Array, r: Array) -> Array:
    """Product of the transpose of each matrix with its vector."""
    xp = array_namespace(A)
    return xp.matmul(r[:, None, :], A)[:, 0, :]


def _preconditioner(A: Array, damping: Array, rng: np.random.Generator) -> Array:
    """R^-1 of a sketch of each matrix, (lines, k, k).

    The rows are shuffled, signed and summed in ``ROWS`` k groups of equal size: a
    sparse embedding (Clarkson & Woodruff 2013) with balanced groups.
    """
    xp, where = array_namespace(A), device(A)
    count, L, k = A.shape
    groups = ROWS * k
    size = -(-L // groups)
    order, signs = np.zeros(groups * size, np.int64), np.zeros(groups * size)
    order[:L] = rng.permutation(L)
    signs[:L] = rng.choice([-1.0, 1.0], L)
    mixed = xp.take(A, xp.asarray(order, device=where), axis=1)
    mixed = mixed * xp.asarray(signs, dtype=A.dtype, device=where)[None, :, None]
    mixed = xp.sum(xp.reshape(mixed, (count, groups, size, k)), axis=2)
    eye = xp.eye(k, dtype=A.dtype, device=where)
    level = xp.sum(mixed * mixed, axis=(1, 2))[:, None] / k + damping
    floor = FLOOR_EPS * float(xp.finfo(A.dtype).eps) * level
    floor = floor + float(xp.finfo(A.dtype).smallest_normal)
    rows = xp.concat([mixed, eye * xp.sqrt(damping + floor)[..., None]], axis=1)
    return xp.linalg.inv(xp.linalg.qr(rows)[1])


def _refine(
    A: Array, t: Array, damping: Array, M: Array, x: Array, *, eps: float, steps: int
) -> Array:
    """Conjugate gradients on the preconditioned regressions, all lines at once.

    A line rests once its gradient has fallen to ``eps`` of that at zero, in the norm of
    the preconditioner.
    """
    xp = array_namespace(A)
    tiny = float(xp.finfo(A.dtype).smallest_normal)

    def gradient(r: Array, x: Array) -> Array:
        """Half the negative gradient."""
        return _transposed(A, r) - damping * x

    def precondition(s: Array) -> tuple[Array, Array]:
        """R^-1 R^-T s, and the square of its norm."""
        half = _transposed(M, s)
        return _times(M, half), xp.sum(half * half, axis=1, keepdims=True)

    goal = eps * eps * precondition(_transposed(A, t))[1]
    r = t - _times(A, x)
    p, size = precondition(gradient(r, x))
    for _ in range(steps):
        q = _times(A, p)
        curvature = xp.sum(q * q, axis=1, keepdims=True) + damping * xp.sum(
            p * p, axis=1, keepdims=True
        )
        go = (size > goal) & (curvature > tiny)
        step = xp.where(go, size / xp.where(go, curvature, 1.0), 0.0)
        x = x + step * p
        r = r - step * q
        z, new = precondition(gradient(r, x))
        p = z + xp.where(go, new / xp.where(go, size, 1.0), 0.0) * p
        size = xp.where(go, new, size)
    return x
