# SPDX-License-Identifier: BSD-3-Clause
"""Sums of exp(x_j - M_ij / eps) over a grid as products of matrices.

exp(-M / eps) is one stored kernel for each axis. Weights exp(x_j) are scaled to the
upper end of the range of float64: then neither they nor their products with a kernel
underflow where they matter, and no product is denormal, which would be slow.
"""

import dataclasses
import math
from collections.abc import Callable

from numopt._array.namespace import array_namespace, device, to_numpy
from numopt.typing import Array

__all__ = ["ScaledSums", "axis_kernels", "axis_products"]

#: Logarithm of the largest weight; weights below exp(TOP - SPAN) and kernels below
#: exp(-CUT) are zero, so that products are above exp(TOP - SPAN - CUT) or zero.
TOP, SPAN, CUT = 650.0, 700.0, 640.0
#: What was cut is below N exp(TOP - CUT) each: rounding for sums above exp(LEAST).
LEAST = 60.0


@dataclasses.dataclass(frozen=True, slots=True)
class ScaledSums:
    """Sums over one side of a grid, at the pixels of the other.

    ``product`` sums values of one side under the kernel; ``logarithms`` are of the
    sums without the scaling.
    """

    weights: Array
    sums: Array
    logarithms: Array
    product: Callable[[Array], Array]

    @classmethod
    def make(cls, x: Array, product: Callable[[Array], Array]) -> "ScaledSums | None":
        """Return the sums, or None where float64 cannot hold them."""
        xp = array_namespace(x)
        top = xp.max(x)
        exponents = xp.maximum(x - top, xp.full_like(x, -SPAN))
        weights = xp.where(exponents > -SPAN, xp.exp(exponents + TOP), 0.0)
        sums = product(weights)
        # Not a number fails this, too.
        if not float(to_numpy(xp.min(sums))) > math.exp(LEAST):
            return None
        return cls(weights, sums, xp.log(sums) + (top - TOP), product)

    def average(self, values: Array) -> Array:
        """Means of the values of one side under the weights of the sums."""
        return self.product(self.weights * values) / self.sums


def axis_kernels(
    shape: tuple[int, ...], units: tuple[float, ...], power: int, like: Array
) -> list[Array]:
    """Kernel exp(-unit |i - j|^power) of every axis."""
    xp = array_namespace(like)
    kernels = []
    for n, unit in zip(shape, units, strict=True):
        x = xp.arange(n, dtype=like.dtype, device=device(like))
        exponents = unit * xp.abs(x[:, None] - x[None, :]) ** power
        kernels.append(xp.where(exponents < CUT, xp.exp(-exponents), 0.0))
    return kernels


def axis_products(kernels: list[Array], values: Array) -> Array:
    """Sum values on a grid under the kernels, one axis after the other."""
    xp = array_namespace(values)
    shape = values.shape
    for kernel in reversed(kernels):
        # The last axis is summed over and comes back in front.
        lines = xp.reshape(values, (-1, kernel.shape[0]))
        values = kernel @ xp.matrix_transpose(lines)
    return xp.reshape(values, shape)
