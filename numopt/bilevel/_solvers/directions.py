# SPDX-License-Identifier: BSD-3-Clause
"""Search directions in theta from curvature pairs."""

import math

from numopt._array.namespace import array_namespace, device, to_numpy
from numopt.bilevel._problem.arrays import dot, norm
from numopt.typing import Array

__all__ = ["barzilai_borwein", "clean_pair", "secant_fit", "two_loop"]

Pair = tuple[Array, Array]

#: Distance within which pairs are equally good: hyper-parameters are logarithms.
NEAR = 0.03
#: Weight of no curvature at all, relative to the largest of the pairs.
PRIOR = 1e-12
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


def secant_fit(z: Array, pairs: list[Pair], *, radius: float) -> Array:
    """``-|B|^{-1} z`` with the symmetric B that fits ``B s = y`` best over all pairs.

    Where f is quadratic B reproduces every pair, whatever the steps were, so that d
    independent steps tell all its curvatures; products of many gradients cannot.
    Elsewhere a pair is taken to be wrong by its size times its distance from here:
    least squares weighted so keep what far steps tell where near ones are silent, and
    two nearly parallel steps do not make a curvature across them out of their errors.
    B may be indefinite: its eigenvalues enter by their sizes, hence the direction
    descends. Components that are zero in z stay: a box binds there. Along directions
    without pairs the curvature is at most that of a step of length ``radius``:
    hyper-parameters of unlike effects differ much in their curvatures.
    """
    xp = array_namespace(z)
    shape, size = z.shape, math.prod(z.shape)
    flat = [(xp.reshape(s, (size,)), xp.reshape(y, (size,))) for s, y in pairs]
    z = xp.reshape(z, (size,))
    S, Y = (xp.stack(each, axis=1) for each in zip(*flat, strict=True))
    s, y = flat[-1]
    start = UNSEEN * dot(s, y) / dot(s, s)
    unseen = norm(_outside(z, S))
    if unseen > NEGLIGIBLE * norm(z):
        start = min(start, unseen / radius)
    eye = xp.eye(size, dtype=z.dtype, device=device(z))
    B = start * eye + _symmetric_fit(S, Y - start * S, _reliability(S, Y))
    free = xp.astype(z != 0, z.dtype)
    # The rows and columns of fixed components are cut out; their own value is idle.
    B = free[:, None] * B * free[None, :] + start * eye * (1 - free)
    values, vectors = xp.linalg.eigh(B)
    sizes = xp.abs(values)
    top = float(to_numpy(xp.max(sizes)))
    sizes = xp.where(sizes > FLAT * top, sizes, FLAT * top + 0 * sizes)
    d = vectors @ ((xp.matrix_transpose(vectors) @ z) / sizes)
    return xp.reshape(-free * d, shape)


def _reliability(S: Array, Y: Array) -> Array:
    """Weights of pairs: one over the square of ``|y|`` times the distance from here.

    The distance is that of the end farther away, the sum of the steps since then.
    """
    xp = array_namespace(S)
    since = xp.flip(xp.cumulative_sum(xp.flip(S, axis=1), axis=1), axis=1)
    far = xp.sqrt(xp.maximum(xp.sum(since**2, axis=0), xp.sum(S**2, axis=0)))
    return 1 / (xp.sum(Y**2, axis=0) * (NEAR + far) ** 2)


def _symmetric_fit(S: Array, Y: Array, weights: Array) -> Array:
    """The symmetric B with the least ``sum_i w_i |B s_i - y_i|^2``, zero where unseen.

    With ``S W^(1/2) = U diag(sigma) V^T`` and ``G = Y W^(1/2) V`` the normal equations
    decouple in the basis U (Higham 1988, The symmetric Procrustes problem, BIT 28).
    """
    xp = array_namespace(S)
    root = xp.sqrt(weights / xp.max(weights))[None, :]
    U, sizes, Vt = xp.linalg.svd(root * S, full_matrices=False)
    Ut = xp.matrix_transpose(U)
    G = (root * Y) @ xp.matrix_transpose(Vt)
    within = Ut @ G
    floor = 2 * PRIOR * float(to_numpy(xp.max(sizes))) ** 2
    squares = sizes**2
    scaled = within * sizes[None, :]
    both = scaled + xp.matrix_transpose(scaled)
    inner = both / (squares[:, None] + squares[None, :] + floor)
    across = (G - U @ within) * (sizes / (squares + floor))[None, :] @ Ut
    return U @ inner @ Ut + across + xp.matrix_transpose(across)
