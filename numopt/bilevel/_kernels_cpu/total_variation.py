# SPDX-License-Identifier: BSD-3-Clause
"""Numba bodies of the total variation stencils: one pass, rows of images as blocks.

Each row is gathered, never scattered: the flux of the row above is computed again, so
that rows are independent and the inner loops run on neighbouring pixels.
"""

import numpy as np

from numopt._kernels.jit import jit_kernel
from numopt._kernels.threads import run_blocks

__all__ = ["tv_curvature", "tv_gradient", "tv_products"]

#: Flop-equivalents of a pixel in the three passes.
GRADIENT, CURVATURE, PRODUCT = 6, 4, 3


@jit_kernel
def _flux(x, b, i, nu2, isotropic, p, q, root):
    """Normalised differences of row i into p (down), q (right), root (phi - nu)."""
    H, W = x.shape[1], x.shape[2]
    zero = x.dtype.type(0)
    nu = np.sqrt(nu2)
    last = i + 1 == H
    for j in range(W):
        p[j] = zero if last else x[b, i + (0 if last else 1), j] - x[b, i, j]
    for j in range(W - 1):
        q[j] = x[b, i, j + 1] - x[b, i, j]
    q[W - 1] = zero
    if isotropic:
        for j in range(W):
            phi = np.sqrt(p[j] * p[j] + q[j] * q[j] + nu2)
            root[j] = phi - nu
            p[j] /= phi
            q[j] /= phi
    else:
        for j in range(W):
            first = np.sqrt(p[j] * p[j] + nu2)
            second = np.sqrt(q[j] * q[j] + nu2)
            root[j] = (first - nu) + (second - nu)
            p[j] /= first
            q[j] /= second


@jit_kernel
def _gradient(x, y, lam, nu2, isotropic, out, out_rows, lo, hi):
    H, W = x.shape[1], x.shape[2]
    above, p = np.zeros(W, x.dtype), np.zeros(W, x.dtype)
    q, root = np.zeros(W, x.dtype), np.zeros(W, x.dtype)
    half = x.dtype.type(0.5)
    for r in range(lo, hi):
        b, i = r // H, r % H
        if i == 0:
            above[:] = 0
        elif r == lo:
            _flux(x, b, i - 1, nu2, isotropic, above, q, root)
        _flux(x, b, i, nu2, isotropic, p, q, root)
        total = 0.0
        for j in range(W):
            f = x[b, i, j] - y[b, i, j]
            total += half * f * f + lam * root[j]
            out[b, i, j] = f + lam * (above[j] - p[j] - q[j])
        for j in range(1, W):
            out[b, i, j] += lam * q[j - 1]
        out_rows[r] = total
        above[:] = p


def tv_gradient(x, y, lam, nu, isotropic):
    """Values per image and gradient."""
    B, H = x.shape[:2]
    cast = x.dtype.type
    out, rows = np.empty_like(x), np.empty(B * H, np.float64)
    args = (x, y, cast(lam), cast(nu * nu), bool(isotropic), out, rows)
    run_blocks(_gradient, B * H, args, work=GRADIENT * x.size)
    return rows.reshape(B, H).sum(axis=1), out


@jit_kernel
def _curvature(x, nu2, isotropic, out, lo, hi):
    H, W = x.shape[1], x.shape[2]
    zero = x.dtype.type(0)
    one = x.dtype.type(1)
    for r in range(lo, hi):
        b, i = r // H, r % H
        last = i + 1 == H
        below = i if last else i + 1
        for j in range(W):
            u = x[b, below, j] - x[b, i, j]
            w = x[b, i, j + 1] - x[b, i, j] if j + 1 < W else zero
            if isotropic:
                square = u * u + w * w + nu2
                cubed = one / (square * np.sqrt(square))
                out[0, b, i, j] = (w * w + nu2) * cubed
                out[1, b, i, j] = -u * w * cubed
                out[2, b, i, j] = (u * u + nu2) * cubed
            else:
                first, second = u * u + nu2, w * w + nu2
                out[0, b, i, j] = nu2 / (first * np.sqrt(first))
                out[1, b, i, j] = zero
                out[2, b, i, j] = nu2 / (second * np.sqrt(second))


def tv_curvature(x, nu, isotropic):
    """Entries of the Hessian of phi."""
    B, H, W = x.shape
    out = np.empty((3, B, H, W), x.dtype)
    args = (x, x.dtype.type(nu * nu), bool(isotropic), out)
    run_blocks(_curvature, B * H, args, work=CURVATURE * x.size)
    return out


@jit_kernel
def _row_product(v, a, b, i, p, q):
    """Fluxes of row i of the product."""
    H, W = v.shape[1], v.shape[2]
    below = i if i + 1 == H else i + 1
    for j in range(W - 1):
        u = v[b, below, j] - v[b, i, j]
        w = v[b, i, j + 1] - v[b, i, j]
        p[j] = a[0, b, i, j] * u + a[1, b, i, j] * w
        q[j] = a[1, b, i, j] * u + a[2, b, i, j] * w
    u = v[b, below, W - 1] - v[b, i, W - 1]
    p[W - 1] = a[0, b, i, W - 1] * u
    q[W - 1] = 0
    if below == i:
        # Forward differences vanish at the far border: no flux leaves the image.
        p[:] = 0


@jit_kernel
def _products(v, a, lam, out, lo, hi):
    H, W = v.shape[1], v.shape[2]
    above, p, q = np.zeros(W, v.dtype), np.zeros(W, v.dtype), np.zeros(W, v.dtype)
    for r in range(lo, hi):
        b, i = r // H, r % H
        if i == 0:
            above[:] = 0
        elif r == lo:
            _row_product(v, a, b, i - 1, above, q)
        _row_product(v, a, b, i, p, q)
        for j in range(W):
            out[b, i, j] = v[b, i, j] + lam * (above[j] - p[j] - q[j])
        for j in range(1, W):
            out[b, i, j] += lam * q[j - 1]
        above[:] = p


def tv_products(v, a, lam):
    """Hessian product."""
    B, H = v.shape[:2]
    out = np.empty_like(v)
    args = (np.ascontiguousarray(v), a, v.dtype.type(lam), out)
    run_blocks(_products, B * H, args, work=PRODUCT * v.size)
    return out
