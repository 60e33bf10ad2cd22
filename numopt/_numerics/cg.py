# SPDX-License-Identifier: BSD-3-Clause
"""Preconditioned conjugate gradients for symmetric positive semi-definite systems."""

import math
from collections.abc import Callable
from typing import NamedTuple

from numopt._array.namespace import array_namespace, to_numpy
from numopt.typing import Array

__all__ = ["CGResult", "cg"]


class CGResult(NamedTuple):
    """Solution, iterations and the final relative residual in the 2-norm."""

    x: Array
    n_iter: int
    residual: float


def cg(
    matvec: Callable[[Array], Array],
    b: Array,
    *,
    tol: float,
    max_iter: int,
    diagonal: Array | None = None,
    x0: Array | None = None,
) -> CGResult:
    """Solve ``A x = b`` to ``||b - A x||_2 <= tol ||b||_2``.

    ``diagonal`` is the Jacobi preconditioner. Stops early, with what it has, on
    non-positive curvature or a non-finite number. ``b`` may be (n, k): the k systems
    share the matrix and are solved side by side with one inner product each.
    """
    xp = array_namespace(b)

    def dot(u: Array, v: Array) -> Array:
        return xp.sum(u * v, axis=0)

    def norm(u: Array) -> float:
        return math.sqrt(float(to_numpy(xp.sum(u * u))))

    scale = norm(b)
    if x0 is None:
        x, r = xp.zeros_like(b), b
    else:
        x, r = x0, b - matvec(x0)
    residual = norm(r)
    if not math.isfinite(scale) or residual <= tol * scale:
        return CGResult(x, 0, residual / scale if scale else 0.0)
    z = r if diagonal is None else r / diagonal
    p, rz = z, dot(r, z)
    n_iter = 0
    zero = xp.zeros_like(rz)
    tiny = xp.full_like(rz, float(xp.finfo(b.dtype).smallest_normal))

    def ratio(u: Array, v: Array) -> Array:
        # Columns that are solved have zero direction and zero curvature.
        return xp.where(v > tiny, u / xp.maximum(v, tiny), zero)

    while n_iter < max_iter:
        n_iter += 1
        Ap = matvec(p)
        curvature = dot(p, Ap)
        if not bool(to_numpy(xp.all(curvature > -tiny))):
            break
        alpha = ratio(rz, curvature)
        x_new, r_new = x + alpha * p, r - alpha * Ap
        residual_new = norm(r_new)
        if not math.isfinite(residual_new):
            break
        x, r, residual = x_new, r_new, residual_new
        if residual <= tol * scale:
            break
        z = r if diagonal is None else r / diagonal
        rz_new = dot(r, z)
        p, rz = z + ratio(rz_new, rz) * p, rz_new
    return CGResult(x, n_iter, residual / scale)
