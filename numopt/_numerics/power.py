# SPDX-License-Identifier: BSD-3-Clause
"""Largest eigenvalue by power iteration (an estimate from below, never a bound)."""

from collections.abc import Callable

from numopt._array.namespace import array_namespace, to_numpy
from numopt.typing import Array

__all__ = ["largest_eigenvalue"]


def largest_eigenvalue(
    matvec: Callable[[Array], Array],
    start: Array,
    *,
    tol: float = 1e-6,
    max_iter: int = 200,
) -> float:
    """Estimate the largest eigenvalue of a symmetric PSD operator.

    Stops when the Rayleigh quotient changes by less than ``tol`` relative. The answer
    never exceeds the true eigenvalue by more than round-off.
    """
    xp = array_namespace(start)
    x = start / xp.sqrt(xp.sum(start * start))
    value = 0.0
    for _ in range(max_iter):
        y = matvec(x)
        new = float(to_numpy(xp.sum(x * y)))
        norm = float(to_numpy(xp.sqrt(xp.sum(y * y))))
        if norm == 0.0 or abs(new - value) <= tol * abs(new):
            return new
        value, x = new, y / norm
    return value
