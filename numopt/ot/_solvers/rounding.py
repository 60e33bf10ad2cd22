# SPDX-License-Identifier: BSD-3-Clause
"""Exact marginals from any plan."""

from typing import Any

from numopt import _validation as v
from numopt.typing import Array

__all__ = ["round_plan"]


def round_plan(P: Any, a: Any, b: Any) -> Array:
    """Move a plan onto the transport polytope.

    Rows, then columns, that carry too much mass are scaled down; what is missing is
    added as a rank-one plan.

    Parameters
    ----------
    P : array of shape (n, m)
        Non-negative plan, float32 or float64.
    a : array of shape (n,)
        Row sums wanted, non-negative.
    b : array of shape (m,)
        Column sums wanted, non-negative, with the sum of ``a``.

    Returns
    -------
    array of shape (n, m)
        A plan with exactly these marginals (to round-off), and
        ``||P_new - P||_1 <= 2 (||P 1 - a||_1 + ||P^T 1 - b||_1)``.

    Raises
    ------
    ValueError
        When shapes do not match, or an entry is negative or not finite.

    References
    ----------
    Altschuler, Weed & Rigollet (2017), Near-linear time approximation algorithms for
    optimal transport via Sinkhorn iteration, Algorithm 2 and Lemma 7.

    Examples
    --------
    >>> from numopt.ot import round_plan
    >>> round_plan([[0.5, 0.1], [0.0, 0.4]], [0.5, 0.5], [0.5, 0.5]).sum(
    ...     axis=1
    ... ).tolist()
    [0.5, 0.5]
    """
    xp, (P, a, b) = v.float_arrays(P=P, a=a, b=b)
    v.check_ndim("P", P, 2)
    v.check_shape("a", a, (P.shape[0],), why="(rows of `P`)")
    v.check_shape("b", b, (P.shape[1],), why="(columns of `P`)")
    for name, x in (("P", P), ("a", a), ("b", b)):
        v.check_values(name, x, nonnegative=True)
    P = P * _scale_down(xp.sum(P, axis=1), a, xp)[:, None]
    P = P * _scale_down(xp.sum(P, axis=0), b, xp)[None, :]
    missing_a = xp.maximum(a - xp.sum(P, axis=1), xp.zeros_like(a))
    missing_b = xp.maximum(b - xp.sum(P, axis=0), xp.zeros_like(b))
    total = xp.sum(missing_a)
    safe = xp.where(total > 0, total, xp.ones_like(total))
    return P + missing_a[:, None] * (missing_b / safe)[None, :]


def _scale_down(sums: Array, wanted: Array, xp: Any) -> Array:
    excess = sums > wanted
    return xp.where(
        excess, wanted / xp.where(excess, sums, xp.ones_like(sums)), xp.ones_like(sums)
    )
