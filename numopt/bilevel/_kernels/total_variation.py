# SPDX-License-Identifier: BSD-3-Clause
"""Stencils of smoothed total variation, by formula, for a batch of images."""

from typing import Any

import numpy as np

from numopt._array.namespace import array_namespace, device
from numopt._kernels.dispatch import kernel, sequential_kernel
from numopt.typing import Array

__all__ = ["tv_curvature", "tv_descent", "tv_diagonal", "tv_gradient", "tv_products"]

_CPU = "numopt.bilevel._kernels_cpu.total_variation"
_GPU = "numopt.bilevel._kernels_gpu"


def _differences(x: Array) -> tuple[Array, Array]:
    """Forward differences down and to the right, zero at the far border."""
    xp = array_namespace(x)
    where = device(x)
    B, H, W = x.shape
    row = xp.zeros((B, 1, W), dtype=x.dtype, device=where)
    column = xp.zeros((B, H, 1), dtype=x.dtype, device=where)
    down = xp.concat([x[:, 1:, :] - x[:, :-1, :], row], axis=1)
    right = xp.concat([x[:, :, 1:] - x[:, :, :-1], column], axis=2)
    return down, right


def _adjoint(p: Array, q: Array) -> Array:
    """Adjoint of the differences."""
    xp = array_namespace(p)
    where = device(p)
    B, H, W = p.shape
    row = xp.zeros((B, 1, W), dtype=p.dtype, device=where)
    column = xp.zeros((B, H, 1), dtype=p.dtype, device=where)
    up = xp.concat([row, p[:, :-1, :]], axis=1) - xp.concat([p[:, :-1, :], row], axis=1)
    left = xp.concat([column, q[:, :, :-1]], axis=2) - xp.concat(
        [q[:, :, :-1], column], axis=2
    )
    return up + left


@kernel(numpy=f"{_CPU}:tv_gradient", cupy=f"{_GPU}:tv_gradient")
def tv_gradient(
    x: Array, y: Array, lam: float, nu: float, isotropic: bool
) -> tuple[Array, Array]:
    r"""Value per image and gradient of the smoothed denoising objective.

    ``h_b = ||x_b - y_b||^2 / 2 + lam sum (phi(D x_b) - nu)`` with
    ``phi(u, w) = sqrt(u^2 + w^2 + nu^2)`` (isotropic), or
    ``sqrt(u^2 + nu^2) + sqrt(w^2 + nu^2) - nu``; the values are float64.
    """
    xp = array_namespace(x)
    u, w = _differences(x)
    nu2 = nu * nu
    fidelity = x - y
    if isotropic:
        root = xp.sqrt(u * u + w * w + nu2)
        excess, p, q = root - nu, u / root, w / root
    else:
        first, second = xp.sqrt(u * u + nu2), xp.sqrt(w * w + nu2)
        excess, p, q = (first - nu) + (second - nu), u / first, w / second
    total = 0.5 * fidelity * fidelity + lam * excess
    values = xp.sum(total, axis=(1, 2), dtype=xp.float64)
    return values, fidelity + lam * _adjoint(p, q)


@kernel(numpy=f"{_CPU}:tv_curvature", cupy=f"{_GPU}:tv_curvature")
def tv_curvature(x: Array, nu: float, isotropic: bool) -> Array:
    """Entries (a11, a12, a22) of the Hessian of phi at each pixel: (3, B, H, W)."""
    xp = array_namespace(x)
    u, w = _differences(x)
    nu2 = nu * nu
    if isotropic:
        square = u * u + w * w + nu2
        cubed = 1 / (square * xp.sqrt(square))
        parts = [(w * w + nu2) * cubed, -u * w * cubed, (u * u + nu2) * cubed]
    else:
        first, second = u * u + nu2, w * w + nu2
        parts = [
            nu2 / (first * xp.sqrt(first)),
            xp.zeros_like(u),
            nu2 / (second * xp.sqrt(second)),
        ]
    return xp.stack(parts)


@kernel(numpy=f"{_CPU}:tv_products", cupy=f"{_GPU}:tv_products")
def tv_products(v: Array, a: Array, lam: float) -> Array:
    """Hessian product ``v + lam D^T A D v`` with the entries of ``tv_curvature``."""
    u, w = _differences(v)
    p = a[0, ...] * u + a[1, ...] * w
    q = a[1, ...] * u + a[2, ...] * w
    return v + lam * _adjoint(p, q)


@kernel(numpy=f"{_CPU}:tv_diagonal")
def tv_diagonal(a: Array, lam: float) -> Array:
    """Diagonal ``1 + lam diag(D^T A D)`` of the Hessian behind ``tv_products``."""
    xp = array_namespace(a)
    _, B, H, W = a.shape
    row = xp.zeros((B, 1, W), dtype=a.dtype, device=device(a))
    column = xp.zeros((B, H, 1), dtype=a.dtype, device=device(a))
    down, right = a[0, :, :-1, :], a[2, :, :, :-1]
    both = xp.concat([a[1, :, :-1, :-1], column[:, :-1, :]], axis=2)
    total = (
        xp.concat([down, row], axis=1)
        + xp.concat([row, down], axis=1)
        + xp.concat([right, column], axis=2)
        + xp.concat([column, right], axis=2)
        + 2 * xp.concat([both, row], axis=1)
    )
    return 1 + lam * total


tv_descent = sequential_kernel(
    "tv_descent",
    """Accelerated gradients on the denoising objective, image by image.

    From x with step 1/L and the given momentum, restarted where the gradient has an
    acute angle with the last move, until its norm is at most tol in each image or
    max_iter. Returns x, the gradients there, the values and the numbers of gradients.
    """,
    numpy=f"{_CPU}:tv_descent",
)


def _images(rng: np.random.Generator, dtype: Any, size: int) -> np.ndarray:
    """Two images of about ``size`` pixels, none for 0."""
    side = max(2, int(np.sqrt(size)))
    return rng.uniform(size=(min(size, 2), side, side + 1)).astype(dtype)


@tv_gradient.example
def _gradient_example(rng: np.random.Generator, dtype: Any, size: int) -> tuple:
    x = _images(rng, dtype, size)
    return x, np.flip(x, axis=2).copy(), 0.1, 0.02, size % 2 == 1


@tv_curvature.example
def _curvature_example(rng: np.random.Generator, dtype: Any, size: int) -> tuple:
    return _images(rng, dtype, size), 0.1, size % 2 == 1


@tv_products.example
def _products_example(rng: np.random.Generator, dtype: Any, size: int) -> tuple:
    v = _images(rng, dtype, size)
    return v, tv_curvature.reference(v, 0.1, True), 0.2  # type: ignore[misc]


@tv_diagonal.example
def _diagonal_example(rng: np.random.Generator, dtype: Any, size: int) -> tuple:
    return tv_curvature.reference(_images(rng, dtype, size), 0.1, True), 0.2  # type: ignore[misc]


@tv_descent.example
def _descent_example(rng: np.random.Generator, dtype: Any, size: int) -> tuple:
    x = _images(rng, dtype, size)
    y = np.flip(x, axis=2).copy()
    return x, y, 0.1, 0.1, size % 2 == 1, 9.0, 0.5, 1e-2, 50
