# SPDX-License-Identifier: BSD-3-Clause
"""Counting sort of line indices."""

import numpy as np

from numopt._kernels.jit import jit_kernel

__all__ = ["group_by"]


@jit_kernel
def _group_by(ids, out_starts, out_order, work):
    """Count, accumulate, place."""
    for t in range(ids.shape[0]):
        out_starts[ids[t] + 1] += 1
    for i in range(1, out_starts.shape[0]):
        out_starts[i] += out_starts[i - 1]
    for i in range(work.shape[0]):
        work[i] = out_starts[i]
    for t in range(ids.shape[0]):
        i = ids[t]
        out_order[work[i]] = t
        work[i] += 1


def group_by(ids, n):
    """Start of each line and the stable order that sorts ``ids``."""
    starts = np.zeros(n + 1, np.int64)
    order = np.empty(ids.shape[0], np.int64)
    _group_by(ids, starts, order, np.empty(n, np.int64))
    return starts, order
