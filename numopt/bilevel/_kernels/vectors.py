# SPDX-License-Identifier: BSD-3-Clause
"""Inner products in double precision."""

from typing import Any

import numpy as np

from numopt._array.namespace import array_namespace
from numopt._kernels.dispatch import kernel
from numopt.typing import Array

__all__ = ["wide_dot"]


@kernel(numpy="numopt.bilevel._kernels_cpu.vectors:wide_dot")
def wide_dot(a: Array, b: Array) -> Array:
    """Sum of the products of all entries, accumulated in float64."""
    xp = array_namespace(a)
    return xp.sum(a * b, dtype=xp.float64)


@wide_dot.example
def _example(rng: np.random.Generator, dtype: Any, size: int) -> tuple:
    shape = (size, 3)
    return rng.normal(size=shape).astype(dtype), rng.uniform(size=shape).astype(dtype)
