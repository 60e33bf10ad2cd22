# SPDX-License-Identifier: BSD-3-Clause
"""Search directions in theta from curvature pairs."""

import math

from numopt._array.namespace import array_namespace, device, to_numpy
from numopt.bilevel._problem.arrays import dot, norm
from numopt.typing import Array

__all__ = ["barzilai_borwein", "clean_pair", "rank_one", "two_loop"]

Pair = tuple[Array, Array]

#: A correction whose denominator is relatively smaller would be made of rounding.
ROUNDED = 1e-8
#: Directions not seen yet get this share of the curvature seen last.
UNSEEN = 0.5
#: ... or that of a longer step, unless this is all that z has along them.
NEGLIGIBLE = 1e-2
#: Steps are independent down to this relative singular value.
DEPENDENT = 1e-2
#: Curvatures below this share of the largest one are taken for it.
FLAT = 1e-12


def clean_pair(s: Array, y: Array, noise: float) -> bool:
    """Whether a pair has positive curvature well above the errors of its gradients.

    After Xie, Byrd & Nocedal (2020): pairs made of noise spoil the metric.
    """
    return dot(s, y) > 1e-8 * norm(s) * norm(y) and norm(y) > 2 * noise


def two_loop(z: Array, pairs: list[Pair], scale: Array | None = None) -> Array:
    """``-B z`` with the L-BFGS matrix B of the pairs (Nocedal 1980).

    B starts from a multiple of ``diag(scale)``, by default of the identity.
    """
    q = z
    stack = []
    for s, y in reversed(pairs):
        rho = 1 / dot(s, y)
        a = rho * dot(s, q)
        stack.append((s, y, rho, a))
        q = q - a * y
    s, y = pairs[-1]
    scaled = y if scale is None else scale * y
    q = (dot(s, y) / dot(y, scaled)) * (q if scale is None else scale * q)
    for s, y, rho, a in reversed(stack):
        q = q + (a - rho * dot(y, q)) * s
    return -q


def barzilai_borwein(z: Array, pairs: list[Pair]) -> Array:
    """Steepest descent with the length ``s^T s / s^T y`` (Barzilai & Borwein 1988)."""
    s, y = pairs[-1]
    return -(dot(s, s) / dot(s, y)) * z


def _outside(z: Array, S: Array) -> Array:
    """The part of z that is orthogonal to the columns of S."""
    xp = array_namespace(z)
    U, sizes, _ = xp.linalg.svd(S, full_matrices=False)
    U = U * xp.astype(sizes > DEPENDENT * xp.max(sizes), U.dtype)[None, :]
    return z - U @ (xp.matrix_transpose(U) @ z)


def rank_one(z: Array, pairs: list[Pair], *, radius: float) -> Array:
    """``-|B|^{-1} z`` with the symmetric rank-one matrix B of all pairs.

    Where f is quadratic B reproduces every pair, whatever the steps were (Conn, Gould &
    Toint 1991), so that d independent steps tell all its curvatures; products of many
    gradients cannot. B may be indefinite: its eigenvalues enter by their sizes, hence
    the direction descends. Components that are zero in z stay: a box binds there.
    Along directions without pairs the curvature is at most that of a step of length
    ``radius``: hyper-parameters of unlike effects differ much in their curvatures.
    """
    xp = array_namespace(z)
    shape, size = z.shape, math.prod(z.shape)
    flat = [(xp.reshape(s, (size,)), xp.reshape(y, (size,))) for s, y in pairs]
    z = xp.reshape(z, (size,))
    s, y = flat[-1]
    start = UNSEEN * dot(s, y) / dot(s, s)
    unseen = norm(_outside(z, xp.stack([s for s, _ in flat], axis=1)))
    if unseen > NEGLIGIBLE * norm(z):
        start = min(start, unseen / radius)
    eye = xp.eye(size, dtype=z.dtype, device=device(z))
    B = start * eye
    for s, y in flat:
        miss = y - B @ s
        share = dot(miss, s)
        if abs(share) > ROUNDED * norm(s) * norm(miss):
            B = B + miss[:, None] * (miss / share)[None, :]
    free = xp.astype(z != 0, z.dtype)
    # The rows and columns of fixed components are cut out; their own value is idle.
    B = free[:, None] * B * free[None, :] + start * eye * (1 - free)
    values, vectors = xp.linalg.eigh(B)
    sizes = xp.abs(values)
    top = float(to_numpy(xp.max(sizes)))
    sizes = xp.where(sizes > FLAT * top, sizes, FLAT * top + 0 * sizes)
    d = vectors @ ((xp.matrix_transpose(vectors) @ z) / sizes)
    return xp.reshape(-free * d, shape)
