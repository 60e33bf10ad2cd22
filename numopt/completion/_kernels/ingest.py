# SPDX-License-Identifier: BSD-3-Clause
"""Grouping of observations by line: the definition of the counting sort."""

import numpy as np

from numopt._array.namespace import array_namespace, device
from numopt._kernels.dispatch import kernel
from numopt.typing import Array

__all__ = ["group_entries"]


@kernel(numpy="numopt.completion._kernels_cpu.ingest:group_entries")
def group_entries(
    ids: Array, others: Array, values: Array, weights: Array, tags: Array, n: int
) -> tuple[Array, Array, Array, Array, Array]:
    """Sort entries by ``ids`` (N,) in 0..n-1, keeping their order inside a line.

    Returns ``starts`` (n + 1,) int64 and the sorted ``others`` (N,), ``values`` (N,),
    ``weights`` ((N,) or empty) and ``tags``. Empty tags stand for 0..N-1 in their
    dtype; the answer is (N,) anyhow.
    """
    xp = array_namespace(ids)
    where = device(ids)
    order = xp.argsort(ids, stable=True)
    lines = xp.arange(n + 1, dtype=ids.dtype, device=where)
    starts = xp.astype(xp.searchsorted(xp.take(ids, order), lines), xp.int64)
    if tags.shape[0] == 0:
        tags = xp.arange(ids.shape[0], dtype=tags.dtype, device=where)
    if weights.shape[0]:
        weights = xp.take(weights, order)
    return (
        starts,
        xp.take(others, order),
        xp.take(values, order),
        weights,
        xp.take(tags, order),
    )


@group_entries.example
def _(rng: np.random.Generator, dtype: np.dtype, size: int) -> tuple[object, ...]:
    n = max(1, size // 3)
    ids, others = (rng.integers(0, n, size).astype(np.int32) for _ in range(2))
    values, weights = (rng.random(size).astype(dtype) for _ in range(2))
    return ids, others, values, weights, np.empty(0, np.int32), n
