# SPDX-License-Identifier: BSD-3-Clause
"""Sums over segments (scatter-add) on every array library."""

import numpy as np
from array_api_compat import is_cupy_namespace, is_numpy_namespace

from numopt._array.namespace import array_namespace, device
from numopt.typing import Array

__all__ = ["segment_sum"]


def segment_sum(values: Array, ids: Array, n: int) -> Array:
    """Sum ``values`` (k,) by segment: ``out[s] = sum of values with ids == s``.

    ``ids`` (k,) are integers in [0, n). Sums run in float64 whatever the dtype of
    ``values``; the answer has that dtype and shape (n,).
    """
    xp = array_namespace(values, ids)
    if is_numpy_namespace(xp):
        return np.bincount(ids, weights=values, minlength=n).astype(
            values.dtype, copy=False
        )
    if is_cupy_namespace(xp):
        return xp.bincount(ids, weights=values, minlength=n).astype(
            values.dtype, copy=False
        )
    order = xp.argsort(ids, stable=True)
    # A difference of running sums loses two digits in float32: accumulate in float64.
    running = xp.cumulative_sum(
        xp.astype(xp.take(values, order), xp.float64), include_initial=True
    )
    bounds = xp.searchsorted(
        xp.take(ids, order),
        xp.arange(n + 1, dtype=ids.dtype, device=device(ids)),
    )
    totals = xp.take(running, bounds[1:]) - xp.take(running, bounds[:-1])
    return xp.astype(totals, values.dtype)
