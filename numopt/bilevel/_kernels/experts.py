# SPDX-License-Identifier: BSD-3-Clause
"""Stencils of fields of experts, by formula, for a batch of padded images.

An image of H x W pixels comes padded to (H + k - 1) x (W + k - 1) for filters of k x k;
``u_k = c_k * x`` is the correlation of H x W entries, and an expert is
``phi(u) = sqrt(u^2 + b^2) - b``.
"""

from typing import Any

import numpy as np

from numopt._array.namespace import array_namespace, device
from numopt._kernels.dispatch import kernel
from numopt.typing import Array

__all__ = [
    "experts_cross",
    "experts_curvature",
    "experts_gradient",
    "experts_products",
    "experts_third",
]

_CPU = "numopt.bilevel._kernels_cpu.experts"
_GPU = "numopt.bilevel._kernels_gpu"
#: Largest third derivative of phi in units of 1/b^2, at u = b/2.
THIRD = 48 / (25 * 5**0.5)


def _windows(x: Array, size: int) -> list[Array]:
    """The k^2 shifted copies (B, H, W) of a padded batch, taps row by row."""
    H, W = x.shape[1] - size + 1, x.shape[2] - size + 1
    return [x[:, i : i + H, j : j + W] for i in range(size) for j in range(size)]


def _correlation(windows: list[Array], taps: Array) -> Array:
    """Correlation with one filter, its taps flattened."""
    total = taps[0] * windows[0]
    for t in range(1, len(windows)):
        total = total + taps[t] * windows[t]
    return total


def _scatter(p: Array, taps: Array, size: int) -> Array:
    """Adjoint of the correlation: a padded batch."""
    xp, where = array_namespace(p), device(p)
    B, H, W = p.shape
    total: Any = 0
    for i in range(size):
        top = xp.zeros((B, i, W), dtype=p.dtype, device=where)
        bottom = xp.zeros((B, size - 1 - i, W), dtype=p.dtype, device=where)
        tall = xp.concat([top, p, bottom], axis=1)
        for j in range(size):
            rows = H + size - 1
            left = xp.zeros((B, rows, j), dtype=p.dtype, device=where)
            right = xp.zeros((B, rows, size - 1 - j), dtype=p.dtype, device=where)
            wide = xp.concat([left, tall, right], axis=2)
            total = total + taps[i * size + j] * wide
    return total


def _taps(filters: Array) -> Array:
    xp = array_namespace(filters)
    return xp.reshape(filters, (filters.shape[0], -1))


@kernel(numpy=f"{_CPU}:experts_gradient", cupy=f"{_GPU}:experts_gradient")
def experts_gradient(
    x: Array, filters: Array, a: Array, b: Array
) -> tuple[Array, Array]:
    """Value ``sum_k a_k sum phi(u_k)`` per image in float64, and the gradient, padded.

    ``filters`` is (K, k, k), ``a`` and ``b`` are (K,).
    """
    xp = array_namespace(x)
    size, taps = filters.shape[1], _taps(filters)
    windows = _windows(x, size)
    values = xp.zeros(x.shape[0], dtype=xp.float64, device=device(x))
    grad = xp.zeros_like(x)
    for k in range(filters.shape[0]):
        u = _correlation(windows, taps[k, :])
        phi = xp.sqrt(u * u + b[k] * b[k])
        values = values + xp.sum(a[k] * (phi - b[k]), axis=(1, 2), dtype=xp.float64)
        grad = grad + _scatter(a[k] * u / phi, taps[k, :], size)
    return values, grad


@kernel(numpy=f"{_CPU}:experts_curvature", cupy=f"{_GPU}:experts_curvature")
def experts_curvature(x: Array, filters: Array, a: Array, b: Array) -> Array:
    """Weights ``a_k phi''(u_k)`` of the Hessian, (B, K, H, W)."""
    xp = array_namespace(x)
    taps = _taps(filters)
    windows = _windows(x, filters.shape[1])
    weights = []
    for k in range(filters.shape[0]):
        u = _correlation(windows, taps[k, :])
        square = u * u + b[k] * b[k]
        weights.append(a[k] * b[k] * b[k] / (square * xp.sqrt(square)))
    return xp.stack(weights, axis=1)


@kernel(numpy=f"{_CPU}:experts_products", cupy=f"{_GPU}:experts_products")
def experts_products(v: Array, filters: Array, weights: Array) -> Array:
    """Product ``sum_k C_k^T (w_k C_k v)`` with weights (B, K, H, W); padded."""
    xp = array_namespace(v)
    size, taps = filters.shape[1], _taps(filters)
    windows = _windows(v, size)
    out = xp.zeros_like(v)
    for k in range(filters.shape[0]):
        p = weights[:, k, :, :] * _correlation(windows, taps[k, :])
        out = out + _scatter(p, taps[k, :], size)
    return out


@kernel(numpy=f"{_CPU}:experts_cross", cupy=f"{_GPU}:experts_cross")
def experts_cross(x: Array, q: Array, filters: Array, a: Array, b: Array) -> Array:
    """Derivatives of ``<q, gradient>`` in log a_k, log b_k and the taps: (K, 2 + k^2).

    With ``v = C_k q``: ``sum a phi' v``, ``-sum a phi'' u v`` and, for the taps, sums
    of ``a phi'(u)`` times shifted q plus ``a phi''(u) v`` times shifted x; float64.
    """
    xp = array_namespace(x)
    taps, size = _taps(filters), filters.shape[1]
    of_x, of_q = _windows(x, size), _windows(q, size)
    sums = []
    for k in range(filters.shape[0]):
        u, v = _correlation(of_x, taps[k, :]), _correlation(of_q, taps[k, :])
        square = u * u + b[k] * b[k]
        phi = xp.sqrt(square)
        p = a[k] * u / phi
        w = a[k] * b[k] * b[k] / (square * phi) * v
        sums += [xp.sum(p * v, dtype=xp.float64), -xp.sum(w * u, dtype=xp.float64)]
        sums += [
            xp.sum(p * one + w * other, dtype=xp.float64)
            for one, other in zip(of_q, of_x, strict=True)
        ]
    return xp.reshape(xp.stack(sums), (filters.shape[0], -1))


@kernel(numpy=f"{_CPU}:experts_third", cupy=f"{_GPU}:experts_third")
def experts_third(x: Array, q: Array, filters: Array, b: Array, radius: Array) -> Array:
    """Largest ``|C_k q| |phi'''|`` with ``u_k`` within ``radius_k``: (K,).

    ``|phi'''(u)| = 3 b^2 |u| / (u^2 + b^2)^(5/2)`` decreases from |u| = b/2 on.
    """
    xp = array_namespace(x)
    taps, size = _taps(filters), filters.shape[1]
    of_x, of_q = _windows(x, size), _windows(q, size)
    worst = []
    for k in range(filters.shape[0]):
        u = xp.abs(_correlation(of_x, taps[k, :])) - radius[k]
        u = xp.where(u < 0.5 * b[k], 0.5 * b[k] + 0 * u, u)
        square = u * u + b[k] * b[k]
        third = 3 * b[k] * b[k] * u / (square * square * xp.sqrt(square))
        v = xp.abs(_correlation(of_q, taps[k, :]))
        worst.append(xp.max(v * third) if v.shape[0] else 0 * b[k])
    return xp.stack(worst)


def _arguments(rng: np.random.Generator, dtype: Any, size: int) -> tuple:
    """A padded batch, another, filters of an even or odd width, a and b."""
    width = 2 + size % 2 * 2 + (size > 1)
    side = max(2, int(np.sqrt(size))) + width - 1
    K = 1 + size % 3
    x, q = (rng.uniform(size=(min(size, 2), side, side + 1)) for _ in range(2))
    filters = rng.normal(size=(K, width, width))
    a, b = rng.uniform(0.1, 1.0, K), rng.uniform(0.05, 0.5, K)
    return tuple(one.astype(dtype) for one in (x, q, filters, a, b))


@experts_gradient.example
@experts_curvature.example
def _gradient_example(rng: np.random.Generator, dtype: Any, size: int) -> tuple:
    x, _, filters, a, b = _arguments(rng, dtype, size)
    return x, filters, a, b


@experts_products.example
def _products_example(rng: np.random.Generator, dtype: Any, size: int) -> tuple:
    x, q, filters, a, b = _arguments(rng, dtype, size)
    return q, filters, experts_curvature.reference(x, filters, a, b)  # type: ignore[misc]


@experts_cross.example
def _cross_example(rng: np.random.Generator, dtype: Any, size: int) -> tuple:
    return _arguments(rng, dtype, size)


@experts_third.example
def _third_example(rng: np.random.Generator, dtype: Any, size: int) -> tuple:
    x, q, filters, a, b = _arguments(rng, dtype, size)
    return x, q, filters, b, (0.1 * a).astype(dtype)
