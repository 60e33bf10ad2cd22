# SPDX-License-Identifier: BSD-3-Clause
"""Conjugate gradients with the residual at hand, and the curvature they meet."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from numopt.bilevel._problem.arrays import dot, norm
from numopt.typing import Array

__all__ = ["Adjoint", "conjugate_gradients"]

#: Iterations without a smaller residual, after which there will be none.
PATIENCE = 200


class Adjoint(NamedTuple):
    """Solution, its residual ``b - H q`` (by recurrence) and that residual's norm."""

    q: Array
    residual: Array
    residual_norm: float
    ritz: float


def conjugate_gradients(
    product: Callable[[Array], Array],
    q: Array,
    residual: Array,
    *,
    tol: float,
    max_iter: int,
    precondition: Callable[[Array], Array] | None = None,
) -> Adjoint:
    """Solve ``H q = b`` from q with ``residual = b - H q``, to ``||residual|| <= tol``.

    The smallest Ritz value
    (of the preconditioned operator) comes with the answer, infinite when no step was
    taken. Stops at a curvature that is not positive, which rounding can bring, and when
    the residual has not shrunk for long: then tol is beyond rounding.
    """
    size = norm(residual)
    smallest, since = size, 0
    alphas: list[float] = []
    betas: list[float] = []
    p: Array | None = None
    rz = 0.0
    while len(alphas) < max_iter and size > tol:
        z = residual if precondition is None else precondition(residual)
        rz_new = dot(residual, z)
        if p is None:
            p = z
        else:
            betas.append(rz_new / rz)
            p = z + betas[-1] * p
        rz = rz_new
        Hp = product(p)
        curvature = dot(p, Hp)
        if not (curvature > 0 and math.isfinite(curvature)):
            break
        alphas.append(rz / curvature)
        q = q + alphas[-1] * p
        residual = residual - alphas[-1] * Hp
        size = norm(residual)
        since = 0 if size < smallest else since + 1
        smallest = min(size, smallest)
        if since > PATIENCE:
            break
    return Adjoint(q, residual, size, _smallest_ritz(alphas, betas))


def _smallest_ritz(alphas: list[float], betas: list[float]) -> float:
    """Smallest eigenvalue of the Lanczos matrix of a run of conjugate gradients.

    Its diagonal is ``1/alpha_k + beta_{k-1}/alpha_{k-1}``, the neighbours of the
    diagonal ``sqrt(beta_k)/alpha_k`` (Saad 2003, Iterative methods for sparse linear
    systems, section 6.7).
    """
    k = len(alphas)
    if k == 0:
        return math.inf
    a, b = np.asarray(alphas), np.asarray(betas[: k - 1])
    diagonal = 1 / a
    diagonal[1:] += b / a[:-1]
    from scipy.linalg import eigh_tridiagonal

    if k == 1:
        return float(diagonal[0])
    off = np.sqrt(b) / a[:-1]
    values = eigh_tridiagonal(
        diagonal, off, eigvals_only=True, select="i", select_range=(0, 0)
    )
    return float(values[0])
