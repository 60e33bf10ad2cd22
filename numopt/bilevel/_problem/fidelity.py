# SPDX-License-Identifier: BSD-3-Clause
"""Distance to the observed images: noisy, or blurred and noisy."""

from typing import Any

import numpy as np

from numopt import _validation as v
from numopt._array.namespace import array_namespace, device, to_numpy
from numopt.bilevel._kernels.experts import experts_products
from numopt.bilevel._problem.arrays import contiguous, dot
from numopt.bilevel._problem.images import folded, mirrored
from numopt.typing import Array

__all__ = [
    "RIDGE",
    "BlurredFidelity",
    "NoisyFidelity",
    "gram_bound",
    "make_fidelity",
]

#: Weight of the squared norm that makes deblurring strongly convex.
RIDGE = 1e-2


class NoisyFidelity:
    """``||x - y||^2 / 2``."""

    mu = lipschitz = 1.0

    def __init__(self, noisy: Array) -> None:
        self.y = contiguous(noisy)

    def value_grad(self, x: Array) -> tuple[float, Array]:
        """Value and gradient."""
        error = x - self.y
        return 0.5 * dot(error, error), error

    def product(self, u: Array) -> Array:
        """Hessian product."""
        return u


class BlurredFidelity:
    """``||K x - y||^2 / 2 + ridge ||x||^2 / 2``, K a convolution, images reflected.

    The ridge makes the lower level strongly convex: a blur alone is not.
    """

    def __init__(self, blurred: Array, blur: Any, ridge: float) -> None:
        xp = array_namespace(blurred)
        self.y = contiguous(blurred)
        self.mu = v.check_real("ridge", ridge, low=0, include_low=False)
        kernel = _checked_blur(blur, blurred)
        self._size = kernel.shape[0]
        # A convolution is the correlation with the flipped kernel.
        flipped = kernel[::-1, ::-1].copy()[None]
        self._filter = xp.asarray(flipped, dtype=blurred.dtype, device=device(blurred))
        B, H, W = blurred.shape
        self._ones = xp.ones((B, 1, H, W), dtype=blurred.dtype, device=device(blurred))
        self._products = experts_products.for_namespace(xp)
        self._back = self._adjoint(self.y)
        self._square = dot(self.y, self.y)
        self.lipschitz = gram_bound(flipped, np.ones(1)) + self.mu

    def _adjoint(self, y: Array) -> Array:
        """``K^T y``, tap by tap; needed once."""
        xp = array_namespace(y)
        k = self._size
        B, H, W = y.shape
        total = xp.zeros((B, H + k - 1, W + k - 1), dtype=y.dtype, device=device(y))
        for i in range(k):
            rows = self._widened(y, i, axis=1)
            for j in range(k):
                total = total + self._filter[0, i, j] * self._widened(rows, j, axis=2)
        return folded(total, k)

    def _widened(self, y: Array, front: int, *, axis: int) -> Array:
        """Zeros in front and behind along an axis, k - 1 in all."""
        xp = array_namespace(y)
        shape = list(y.shape)
        parts = []
        for count in (front, self._size - 1 - front):
            shape[axis] = count
            parts.append(xp.zeros(tuple(shape), dtype=y.dtype, device=device(y)))
        return xp.concat([parts[0], y, parts[1]], axis=axis)

    def _normal(self, u: Array) -> Array:
        """``K^T K u``."""
        padded = mirrored(u, self._size)
        return folded(self._products(padded, self._filter, self._ones), self._size)

    def value_grad(self, x: Array) -> tuple[float, Array]:
        """Value and gradient."""
        normal = self._normal(x)
        value = 0.5 * dot(x, normal) - dot(x, self._back) + 0.5 * self._square
        return value + 0.5 * self.mu * dot(x, x), normal - self._back + self.mu * x

    def product(self, u: Array) -> Array:
        """Hessian product."""
        return self._normal(u) + self.mu * u


def make_fidelity(
    noisy: Array, blur: Any, ridge: float
) -> NoisyFidelity | BlurredFidelity:
    """The fidelity to noisy images, blurred by a kernel or not."""
    if blur is None:
        return NoisyFidelity(noisy)
    return BlurredFidelity(noisy, blur, ridge)


def _checked_blur(blur: Any, images: Array) -> np.ndarray:
    """The kernel on the host: square, of odd width, no larger than the images."""
    kernel = np.asarray(to_numpy(blur), np.float64)
    if kernel.ndim != 2 or kernel.shape[0] != kernel.shape[1] or kernel.size % 2 == 0:
        raise ValueError(
            v.message("blur", "a square of odd width", f"shape {kernel.shape}")
        )
    v.check_values("blur", kernel)
    if kernel.shape[0] > min(images.shape[1:]):
        raise ValueError(
            v.message(
                "blur",
                f"no larger than the images, {tuple(images.shape[1:])}",
                f"shape {kernel.shape}",
            )
        )
    return kernel


def gram_bound(filters: np.ndarray, weights: np.ndarray) -> float:
    r"""Bound the largest eigenvalue of :math:`\sum_k w_k P^T C_k^T C_k P`.

    P continues an image by reflection. An even (odd) part of a filter takes cosines to
    cosines (sines), so each of the four parity parts is diagonal between orthonormal
    bases with its symbol :math:`s_{kp}`; by the inequality of Cauchy and Schwarz

    .. math:: \|C_k P x\|^2 \le \sum_p \|s_{kp} \hat x\|^2 / \alpha_{kp},
              \qquad \sum_p \alpha_{kp} = 1 .

    The maximum over frequencies is taken on a grid of 32 h points a turn, h the half
    width; a cosine polynomial of degree 2 h is there at least cos(pi / 16) of its
    maximum (M. Riesz 1914).
    """
    size = filters.shape[-1]
    h = max(1, size // 2)
    centred = np.zeros((len(filters), 2 * h + 1, 2 * h + 1))
    front = h - (size - 1) // 2
    centred[:, front : front + size, front : front + size] = filters
    frequencies = np.arange(16 * h + 1) * (np.pi / (16 * h))
    phases = frequencies[:, None] * np.arange(-h, h + 1)
    waves = np.cos(phases), np.sin(phases)
    flips = [centred, centred[:, ::-1, :]]
    halves = [0.5 * (flips[0] + flips[1]), 0.5 * (flips[0] - flips[1])]
    symbols, sizes = [], []
    for half, rows in zip(halves, waves, strict=True):
        turned = half[:, :, ::-1]
        for part, columns in zip((half + turned, half - turned), waves, strict=True):
            sizes.append(np.sqrt(np.sum((0.5 * part) ** 2, axis=(1, 2))))
            symbols.append((rows @ centred @ columns.T) ** 2)
    shares = np.stack(sizes)
    total = shares.sum(axis=0)
    present = shares > 1e-12 * total
    factors = np.where(present, weights * total / np.where(present, shares, 1.0), 0.0)
    spectrum = np.einsum("pk,pkij->ij", factors, np.stack(symbols))
    return float(spectrum.max()) / np.cos(np.pi / 16) ** 2
