# SPDX-License-Identifier: BSD-3-Clause
"""Search directions in theta from curvature pairs."""

from numopt.bilevel._problem.arrays import dot, norm
from numopt.typing import Array

__all__ = ["barzilai_borwein", "clean_pair", "two_loop"]

Pair = tuple[Array, Array]


def clean_pair(s: Array, y: Array, noise: float) -> bool:
    """Whether a pair has positive curvature well above the errors of its gradients.

    After Xie, Byrd & Nocedal (2020): pairs made of noise spoil the metric.
    """
    return dot(s, y) > 1e-8 * norm(s) * norm(y) and norm(y) > 2 * noise


def two_loop(z: Array, pairs: list[Pair]) -> Array:
    """``-B z`` with the L-BFGS matrix B of the pairs (Nocedal 1980)."""
    q = z
    stack = []
    for s, y in reversed(pairs):
        rho = 1 / dot(s, y)
        a = rho * dot(s, q)
        stack.append((s, y, rho, a))
        q = q - a * y
    s, y = pairs[-1]
    q = q * (dot(s, y) / dot(y, y))
    for s, y, rho, a in reversed(stack):
        q = q + (a - rho * dot(y, q)) * s
    return -q


def barzilai_borwein(z: Array, pairs: list[Pair]) -> Array:
    """Steepest descent with the length ``s^T s / s^T y`` (Barzilai & Borwein 1988)."""
    s, y = pairs[-1]
    return -(dot(s, s) / dot(s, y)) * z
