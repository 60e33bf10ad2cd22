# SPDX-License-Identifier: BSD-3-Clause
"""Potentials of a dense cost: each from the other, and the plan from both."""

from numopt._array.linalg import logsumexp
from numopt._array.namespace import array_namespace
from numopt.typing import Array

__all__ = ["column_potentials", "plan_density", "row_potentials"]


def plan_density(f: Array, g: Array, a: Array, b: Array, M: Array, eps: float) -> Array:
    """Return ``P_ij / (a_i b_j) = exp((f_i + g_j - M_ij) / eps)``.

    It exists where one of the weights is zero. Where both are, nothing bounds it, it
    could be too large for a product with a weight to vanish, and it is set to 0.
    """
    xp = array_namespace(M)
    z = (f[:, None] + g[None, :] - M) / eps
    empty_rows, empty_columns = a == 0, b == 0
    if bool(xp.any(empty_rows)) and bool(xp.any(empty_columns)):
        empty = empty_rows[:, None] & empty_columns[None, :]
        z = xp.where(empty, xp.full_like(z, -float("inf")), z)
    return xp.exp(z)


def row_potentials(g: Array, b: Array, M: Array, eps: float) -> Array:
    """Return ``f_i = -eps log sum_j b_j exp((g_j - M_ij) / eps)`` for any rows of M.

    Rows without a reachable column have no finite potential and get 0.
    """
    return _soft_min(g, b, M, eps, axis=1)


def column_potentials(f: Array, a: Array, M: Array, eps: float) -> Array:
    """Return ``g_j = -eps log sum_i a_i exp((f_i - M_ij) / eps)``."""
    return _soft_min(f, a, M, eps, axis=0)


def _soft_min(h: Array, weights: Array, M: Array, eps: float, *, axis: int) -> Array:
    xp = array_namespace(M)
    positive = weights > 0
    log_weights = xp.where(
        positive,
        xp.log(xp.where(positive, weights, xp.ones_like(weights))),
        xp.full_like(weights, -float("inf")),
    )
    z = h / eps + log_weights
    z = z[None, :] if axis == 1 else z[:, None]
    potential = -eps * logsumexp(z - M / eps, axis=axis)
    return xp.where(xp.isfinite(potential), potential, xp.zeros_like(potential))
