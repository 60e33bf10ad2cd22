# SPDX-License-Identifier: BSD-3-Clause
"""Potentials of a dense cost: each from the other, and the plan from both."""

from numopt._array.linalg import logsumexp
from numopt._array.namespace import array_namespace
from numopt.ot._problem.weights import log_weights
from numopt.typing import Array

__all__ = ["column_potentials", "plan_entries", "row_potentials"]


def plan_entries(
    f: Array,
    g: Array,
    M: Array,
    eps: float,
    *,
    a: Array | None = None,
    b: Array | None = None,
) -> Array:
    """Return ``exp((f_i + g_j - M_ij) / eps)`` times the weights that are given.

    Without a weight it is conditional, and exists where that weight is zero. Weights
    enter by their logarithms: the exponential alone may overflow where they are small.
    """
    xp = array_namespace(M)
    z = (f[:, None] + g[None, :] - M) / eps
    if a is not None:
        z = z + log_weights(a, xp)[:, None]
    if b is not None:
        z = z + log_weights(b, xp)[None, :]
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
