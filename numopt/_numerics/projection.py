# SPDX-License-Identifier: BSD-3-Clause
"""Euclidean projections onto simple convex sets."""

from numopt._array.namespace import array_namespace, device
from numopt.typing import Array

__all__ = ["project_simplex"]


def project_simplex(x: Array, total: float = 1.0) -> Array:
    """Project each row of (..., n) onto ``{z >= 0, sum z = total}``.

    By sorting (Held, Wolfe & Crowder 1974): the threshold is the largest one that
    leaves the kept entries with the right sum.
    """
    xp = array_namespace(x)
    n = x.shape[-1]
    ordered = xp.sort(x, axis=-1, descending=True)
    counts = xp.arange(1, n + 1, dtype=x.dtype, device=device(x))
    thresholds = (xp.cumulative_sum(ordered, axis=-1) - total) / counts
    kept = xp.sum(xp.astype(ordered > thresholds, xp.int64), axis=-1, keepdims=True)
    threshold = xp.take_along_axis(thresholds, kept - 1, axis=-1)
    return xp.maximum(x - threshold, xp.zeros_like(x))
