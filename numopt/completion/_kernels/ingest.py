# SPDX-License-Identifier: BSD-3-Clause
"""Grouping of observations by line: the definition of the counting sort."""

import numpy as np

from numopt._array.namespace import array_namespace, device
from numopt._kernels.dispatch import kernel
from numopt.typing import Array

__all__ = ["group_by"]


@kernel(numpy="numopt.completion._kernels_cpu.ingest:group_by")
def group_by(ids: Array, n: int) -> tuple[Array, Array]:
    """Start of each line and the stable order that sorts ``ids`` (N,) in 0..n-1.

    Returns ``starts`` (n + 1,) and ``order`` (N,), both int64: the entries of line i
    are ``order[starts[i]:starts[i + 1]]``.
    """
    xp = array_namespace(ids)
    order = xp.astype(xp.argsort(ids, stable=True), xp.int64)
    lines = xp.arange(n + 1, dtype=ids.dtype, device=device(ids))
    starts = xp.searchsorted(xp.take(ids, order), lines)
    return xp.astype(starts, xp.int64), order


@group_by.example
def _(rng: np.random.Generator, dtype: np.dtype, size: int) -> tuple[object, ...]:
    n = max(1, size // 3)
    return rng.integers(0, n, size).astype(np.int32), n
