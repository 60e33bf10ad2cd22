# SPDX-License-Identifier: BSD-3-Clause
"""Batches of images: validation, and the error to clean images as upper level."""

import functools
import math
from typing import Any

import numpy as np

from numopt import _validation as v
from numopt._array.namespace import array_namespace
from numopt.bilevel._problem.arrays import dot
from numopt.typing import Array

__all__ = [
    "CleanUpper",
    "check_images",
    "check_pair",
    "folded",
    "mirrored",
    "noise_level",
]


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


def noise_level(noisy: Array, clean: Array) -> float:
    """Standard deviation of the noise, kept within [1e-3, 2]."""
    error = noisy - clean
    return min(max(math.sqrt(dot(error, error) / math.prod(error.shape)), 1e-3), 2.0)


def _margins(size: int) -> tuple[int, int]:
    """Pixels in front and behind, so that responses of width k keep the size."""
    return (size - 1) // 2, size // 2


def mirrored(x: Array, size: int) -> Array:
    """Continue images (B, H, W) by reflection, for windows of ``size`` pixels."""
    front, behind = _margins(size)
    if isinstance(x, np.ndarray):
        rows, columns = (_reflected(n, front, behind) for n in x.shape[1:])
        return np.take(np.take(x, rows, axis=1), columns, axis=2)
    xp = array_namespace(x)
    for axis in (1, 2):
        n = x.shape[axis]
        head = _slice(x, axis, 0, front, flip=True)
        tail = _slice(x, axis, n - behind, n, flip=True)
        x = xp.concat([head, x, tail], axis=axis)
    return x


@functools.cache
def _reflected(n: int, front: int, behind: int) -> np.ndarray:
    """Positions 0..n with ``front`` and ``behind`` of them mirrored at the ends."""
    inner = np.arange(n)
    return np.concatenate([inner[:front][::-1], inner, inner[n - behind :][::-1]])


def folded(padded: Array, size: int) -> Array:
    """Adjoint of ``mirrored``: add what was read beyond the border."""
    front, behind = _margins(size)
    if isinstance(padded, np.ndarray):
        return _folded_host(padded, front, behind)
    xp = array_namespace(padded)
    for axis in (2, 1):
        n = padded.shape[axis] - front - behind
        inner = _slice(padded, axis, front, front + n)
        head = _slice(padded, axis, 0, front, flip=True)
        tail = _slice(padded, axis, front + n, front + n + behind, flip=True)
        empty = _slice(inner, axis, 0, n - front) * 0
        inner = inner + xp.concat([head, empty], axis=axis)
        empty = _slice(inner, axis, 0, n - behind) * 0
        padded = inner + xp.concat([empty, tail], axis=axis)
    return padded


def _folded_host(padded: np.ndarray, front: int, behind: int) -> np.ndarray:
    """``folded`` with sums in place."""
    H, W = (n - front - behind for n in padded.shape[1:])
    tall = padded[:, :, front : front + W].copy()
    tall[:, :, :front] += padded[:, :, :front][:, :, ::-1]
    tall[:, :, W - behind :] += padded[:, :, front + W :][:, :, ::-1]
    out = tall[:, front : front + H, :].copy()
    out[:, :front, :] += tall[:, :front, :][:, ::-1, :]
    out[:, H - behind :, :] += tall[:, front + H :, :][:, ::-1, :]
    return out


def _slice(x: Array, axis: int, start: int, stop: int, *, flip: bool = False) -> Array:
    """Entries start..stop along an axis of a batch, perhaps in reverse."""
    xp = array_namespace(x)
    part = x[:, start:stop, :] if axis == 1 else x[:, :, start:stop]
    return xp.flip(part, axis=axis) if flip else part
