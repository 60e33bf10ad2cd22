# SPDX-License-Identifier: BSD-3-Clause
"""Numba body of the inner product in double precision."""

import numpy as np

from numopt._kernels.jit import jit_kernel
from numopt._kernels.threads import reduce_blocks

__all__ = ["wide_dot"]

#: Products added in the arrays' own precision before they join the double sum.
CHUNK = 128


@jit_kernel
def _short_dot(a, b):
    """Inner product in the arrays' precision."""
    total = a.dtype.type(0)
    for i in range(a.shape[0]):
        total += a[i] * b[i]
    return total


@jit_kernel
def _dot(a, b, part, lo, hi, block):
    total = 0.0
    for start in range(lo, hi, CHUNK):
        stop = min(start + CHUNK, hi)
        total += _short_dot(a[start:stop], b[start:stop])
    part[block] += total


def wide_dot(a, b):
    """Inner product."""
    a, b = np.ravel(a), np.ravel(b)
    return reduce_blocks(_dot, a.size, (a, b), int(0.3 * a.size), shape=())
