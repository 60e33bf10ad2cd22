# SPDX-License-Identifier: BSD-3-Clause
"""Batches of images: validation, and the error to clean images as upper level."""

from typing import Any

import numpy as np

from numopt import _validation as v
from numopt.bilevel._problem.arrays import dot
from numopt.typing import Array

__all__ = ["CleanUpper", "check_images", "check_pair", "contiguous"]


def check_images(name: str, images: Any, *, smallest: int = 2) -> Array:
    """A batch (B, H, W) of finite images at least ``smallest`` wide and high."""
    _, (made,) = v.float_arrays(**{name: images})
    array: Any = made
    if array.ndim not in (2, 3):
        raise ValueError(
            v.message(name, "(H, W) or (B, H, W)", f"shape {tuple(array.shape)}")
        )
    if 0 in array.shape:
        raise ValueError(v.message(name, "non-empty", f"shape {tuple(array.shape)}"))
    if min(array.shape[-2:]) < smallest:
        raise ValueError(
            v.message(
                name,
                f"at least {smallest} x {smallest} pixels",
                f"shape {tuple(array.shape)}",
            )
        )
    v.check_values(name, array)
    return array[None, ...] if array.ndim == 2 else array


def check_pair(noisy: Any, clean: Any, *, smallest: int = 2) -> tuple[Array, Array]:
    """Noisy and clean batches of one shape, library and dtype."""
    noisy = check_images("noisy", noisy, smallest=smallest)
    clean = check_images("clean", clean, smallest=smallest)
    if tuple(noisy.shape) != tuple(clean.shape):
        raise ValueError(
            v.message(
                "clean",
                f"of the shape of `noisy` {tuple(noisy.shape)}",
                f"shape {tuple(clean.shape)}",
            )
        )
    _, pair = v.float_arrays(noisy=noisy, clean=clean)
    first, second = pair
    return first, second


class CleanUpper:
    """``g = sum_b ||x_b - c_b||^2 / (2 B)``."""

    convex = True

    def __init__(self, clean: Array) -> None:
        self.clean = clean
        self.lipschitz = 1.0 / clean.shape[0]

    def value_grad(self, x: Array, theta: Array) -> tuple[float, Array, None]:
        error = x - self.clean
        return 0.5 * dot(error, error) * self.lipschitz, error * self.lipschitz, None


def contiguous(x: Array) -> Array:
    """C-contiguous copy where the library has the notion and x is not."""
    return np.ascontiguousarray(x) if isinstance(x, np.ndarray) else x
