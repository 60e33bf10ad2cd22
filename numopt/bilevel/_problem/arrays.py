# SPDX-License-Identifier: BSD-3-Clause
"""Inner products and norms as Python floats, in double precision; memory order."""

import math

import numpy as np

from numopt._array.namespace import array_namespace, to_numpy
from numopt.bilevel._kernels.vectors import wide_dot
from numopt.typing import Array

__all__ = ["contiguous", "dot", "max_abs", "norm"]


def contiguous(x: Array) -> Array:
    """C-contiguous copy where the library has the notion and x is not."""
    return np.ascontiguousarray(x) if isinstance(x, np.ndarray) else x


def dot(a: Array, b: Array) -> float:
    """Inner product of two arrays of one shape."""
    if isinstance(a, np.ndarray):
        if a.dtype == np.float64:
            return float(np.dot(a.ravel(), b.ravel()))
        return float(wide_dot.for_namespace(array_namespace(a))(a, b))
    xp = array_namespace(a)
    return float(to_numpy(xp.sum(a * b, dtype=xp.float64)))


def norm(a: Array) -> float:
    """Euclidean norm over all entries; infinite when a square overflows."""
    return math.sqrt(dot(a, a))


def max_abs(a: Array) -> float:
    """Largest absolute entry, 0 for an empty array."""
    if isinstance(a, np.ndarray):
        return float(np.max(np.abs(a), initial=0.0))
    xp = array_namespace(a)
    return float(to_numpy(xp.max(xp.abs(a)))) if math.prod(a.shape) else 0.0
