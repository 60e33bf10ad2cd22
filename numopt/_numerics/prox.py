# SPDX-License-Identifier: BSD-3-Clause
"""Proximal operators, ``argmin_z  penalty(z) + (1/2) ||z - x||^2``."""

from numopt._array.namespace import array_namespace
from numopt.typing import Array

__all__ = ["group_soft_threshold", "soft_threshold"]


def soft_threshold(x: Array, threshold: float | Array) -> Array:
    """Prox of ``threshold * ||z||_1``; thresholds may differ by entry."""
    xp = array_namespace(x)
    return xp.sign(x) * xp.maximum(xp.abs(x) - threshold, xp.zeros_like(x))


def group_soft_threshold(X: Array, threshold: float | Array) -> Array:
    """Prox of ``sum_g threshold_g ||z_g||_2`` for groups in the rows of (G, p)."""
    xp = array_namespace(X)
    norms = xp.sqrt(xp.sum(X * X, axis=1))
    safe = xp.where(norms > 0, norms, xp.ones_like(norms))
    scale = xp.maximum(1 - threshold / safe, xp.zeros_like(norms))
    return X * scale[:, None]
