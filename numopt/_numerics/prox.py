# SPDX-License-Identifier: BSD-3-Clause
"""Proximal operators, ``argmin_z  penalty(z) + (1/2) ||z - x||^2``."""

from numopt._array.namespace import array_namespace
from numopt.typing import Array

__all__ = ["soft_threshold"]


def soft_threshold(x: Array, threshold: float | Array) -> Array:
    """Prox of ``threshold * ||z||_1``; thresholds may differ by entry."""
    xp = array_namespace(x)
    return xp.sign(x) * xp.maximum(xp.abs(x) - threshold, xp.zeros_like(x))
