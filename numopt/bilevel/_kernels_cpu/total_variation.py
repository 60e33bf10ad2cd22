# SPDX-License-Identifier: BSD-3-Clause
"""Numba bodies of the total variation stencils: one pass, rows of images as blocks.

Each row is gathered, never scattered: the flux of the row above is computed again, so
that rows are independent and the inner loops run on neighbouring pixels.
"""

import numpy as np

from numopt._kernels.jit import jit_kernel
from numopt._kernels.threads import run_blocks

__all__ = ["tv_curvature", "tv_descent", "tv_diagonal", "tv_gradient", "tv_products"]

#: Flop-equivalents of a pixel in the passes; a descent takes some tens of steps.
GRADIENT, CURVATURE, PRODUCT, DIAGONAL, DESCENT = 3, 3, 2, 1, 100


@jit_kernel
def _flux(row, below, nu2, isotropic, p, q):
    """Normalised differences: p down, q[j + 1] to the right of pixel j. Sum of phi.

    The last row is its own neighbour below: no flux leaves the image.
    """
    W = row.shape[0]
    one, total = row.dtype.type(1), row.dtype.type(0)
    if isotropic:
        for j in range(W - 1):
            u, w = below[j] - row[j], row[j + 1] - row[j]
            square = u * u + w * w + nu2
            inverse = one / np.sqrt(square)
            p[j] = u * inverse
            q[j + 1] = w * inverse
            total += square * inverse
    else:
        for j in range(W - 1):
            u, w = below[j] - row[j], row[j + 1] - row[j]
            first, second = np.sqrt(u * u + nu2), np.sqrt(w * w + nu2)
            p[j] = u / first
            q[j + 1] = w / second
            total += first + second
    u = below[W - 1] - row[W - 1]
    phi = np.sqrt(u * u + nu2)
    p[W - 1] = u / phi
    q[W] = 0
    return total + phi if isotropic else total + phi + np.sqrt(nu2)


@jit_kernel
def _diverge(start, lam, above, p, q, out):
    """Write start minus lam times the divergence of the fluxes to out."""
    for j in range(out.shape[0]):
        out[j] = start[j] + lam * (above[j] - p[j] + q[j] - q[j + 1])


@jit_kernel
def _rows(x, y, lam, nu2, isotropic, fidelity, above, p, q, out, first, last):
    """Gradient of rows first..last of one image and their part of the value."""
    H, W = x.shape
    above[:] = 0
    if first > 0:
        _flux(x[first - 1], x[first], nu2, isotropic, above, q)
    nus = np.sqrt(nu2) * x.dtype.type(W if isotropic else 2 * W)
    value = 0.0
    for i in range(first, last):
        row, goal = x[i], y[i]
        value += lam * (_flux(row, x[min(i + 1, H - 1)], nu2, isotropic, p, q) - nus)
        misfit = x.dtype.type(0)
        for j in range(W):
            fidelity[j] = row[j] - goal[j]
            misfit += fidelity[j] * fidelity[j]
        _diverge(fidelity, lam, above, p, q, out[i])
        above[:] = p
        value += 0.5 * misfit
    return value


@jit_kernel
def _scratch(x, extra):
    """Rows above, p, q (one entry more) and ``extra`` others."""
    W = x.shape[2]
    rows = np.zeros((2 + extra, W), x.dtype)
    return rows[0], rows[1], np.zeros(W + 1, x.dtype), rows[2:]


@jit_kernel
def _gradient(x, y, lam, nu2, isotropic, out, out_rows, lo, hi):
    H = x.shape[1]
    above, p, q, more = _scratch(x, 1)
    for r in range(lo, hi):
        b, i = r // H, r % H
        if i > 0 and r > lo:
            continue
        last = min(H, i + hi - r)
        out_rows[r] = _rows(
            x[b], y[b], lam, nu2, isotropic, more[0], above, p, q, out[b], i, last
        )


def tv_gradient(x, y, lam, nu, isotropic):
    """Values per image and gradient."""
    B, H = x.shape[:2]
    cast = x.dtype.type
    out, rows = np.empty_like(x), np.zeros(B * H, np.float64)
    args = (x, y, cast(lam), cast(nu * nu), bool(isotropic), out, rows)
    run_blocks(_gradient, B * H, args, work=GRADIENT * x.size)
    return rows.reshape(B, H).sum(axis=1), out


@jit_kernel
def _step(y, r, x, inverse, beta):
    """Accelerated step: x = y - r / L, and y beyond it by beta times the move."""
    for j in range(y.shape[0]):
        new = y[j] - inverse * r[j]
        y[j] = new + beta * (new - x[j])
        x[j] = new


@jit_kernel
def _angle(y, r, x, inverse):
    """``||r||^2`` and ``<r, y - r / L - x>`` over an image."""
    square, slope = 0.0, 0.0
    for i in range(y.shape[0]):
        row, grad, old = y[i], r[i], x[i]
        one, other = y.dtype.type(0), y.dtype.type(0)
        for j in range(row.shape[0]):
            one += grad[j] * grad[j]
            other += grad[j] * (row[j] - old[j])
        square += one
        slope += other
    return square, slope - inverse * square


@jit_kernel
def _descent(
    x0, goal, lam, nu2, isotropic, inverse, momentum, tol, max_iter,
    out, out_grad, out_values, out_counts, lo, hi,
):  # fmt: skip
    zero = x0.dtype.type(0)
    above, p, q, more = _scratch(x0, 1)
    H = x0.shape[1]
    for b in range(lo, hi):
        x, y, r = x0[b].copy(), out[b], out_grad[b]
        y[:] = x
        for n in range(max_iter):
            out_values[b] = _rows(
                y, goal[b], lam, nu2, isotropic, more[0], above, p, q, r, 0, H
            )
            square, slope = _angle(y, r, x, inverse)
            out_counts[b] = n + 1
            if square <= tol * tol:
                break
            beta = zero if slope > 0 else momentum
            for i in range(H):
                _step(y[i], r[i], x[i], inverse, beta)


def tv_descent(x, y, lam, nu, isotropic, L, momentum, tol, max_iter):
    """Minimisers, gradients and values there, and numbers of gradients."""
    B, cast = len(x), x.dtype.type
    out, grad = np.empty_like(x), np.zeros_like(x)
    values, counts = np.zeros(B), np.zeros(B, np.int64)
    args = (
        x, y, cast(lam), cast(nu * nu), bool(isotropic), cast(1 / L), cast(momentum),
        float(tol), int(max_iter), out, grad, values, counts,
    )  # fmt: skip
    run_blocks(_descent, B, args, work=DESCENT * x.size)
    return out, grad, values, counts


@jit_kernel
def _row_curvature(row, below, right, nu2, isotropic, a11, a12, a22):
    """Entries of one row; ``right`` is scratch."""
    W = row.shape[0]
    one = row.dtype.type(1)
    for j in range(W - 1):
        right[j] = row[j + 1] - row[j]
    right[W - 1] = 0
    if isotropic:
        for j in range(W):
            u, w = below[j] - row[j], right[j]
            square = u * u + w * w + nu2
            cubed = one / (square * np.sqrt(square))
            a12[j] = cubed
            a22[j] = (u * u + nu2) * cubed
        for j in range(W):
            a11[j] = (right[j] * right[j] + nu2) * a12[j]
        for j in range(W):
            a12[j] *= -(below[j] - row[j]) * right[j]
    else:
        a12[:] = 0
        for j in range(W):
            first, second = below[j] - row[j], right[j]
            first, second = first * first + nu2, second * second + nu2
            a11[j] = nu2 / (first * np.sqrt(first))
            a22[j] = nu2 / (second * np.sqrt(second))


@jit_kernel
def _curvature(x, nu2, isotropic, out, lo, hi):
    H = x.shape[1]
    right = np.zeros(x.shape[2], x.dtype)
    for r in range(lo, hi):
        b, i = r // H, r % H
        a11, a12, a22 = out[0, b, i], out[1, b, i], out[2, b, i]
        below = x[b, min(i + 1, H - 1)]
        _row_curvature(x[b, i], below, right, nu2, isotropic, a11, a12, a22)


def tv_curvature(x, nu, isotropic):
    """Entries of the Hessian of phi."""
    B, H, W = x.shape
    out = np.empty((3, B, H, W), x.dtype)
    args = (x, x.dtype.type(nu * nu), bool(isotropic), out)
    run_blocks(_curvature, B * H, args, work=CURVATURE * x.size)
    return out


@jit_kernel
def _row_product(row, below, a11, a12, a22, p, q):
    """Fluxes of one row of the product, laid out as in ``_flux``."""
    W = row.shape[0]
    for j in range(W - 1):
        p[j] = a11[j] * (below[j] - row[j]) + a12[j] * (row[j + 1] - row[j])
    # A loop each: more arrays in one cannot be checked for overlap at run time.
    for j in range(W - 1):
        q[j + 1] = a12[j] * (below[j] - row[j]) + a22[j] * (row[j + 1] - row[j])
    p[W - 1] = a11[W - 1] * (below[W - 1] - row[W - 1])
    q[W] = 0


@jit_kernel
def _products(v, a, lam, out, lo, hi):
    H = v.shape[1]
    above, p, q, _ = _scratch(v, 0)
    for r in range(lo, hi):
        b, i = r // H, r % H
        image, a11, a12, a22 = v[b], a[0, b], a[1, b], a[2, b]
        if i == 0:
            above[:] = 0
        elif r == lo:
            up = i - 1
            _row_product(image[up], image[i], a11[up], a12[up], a22[up], above, q)
        _row_product(image[i], image[min(i + 1, H - 1)], a11[i], a12[i], a22[i], p, q)
        if i == H - 1:
            # Forward differences vanish at the far border: no flux leaves the image.
            p[:] = 0
        _diverge(image[i], lam, above, p, q, out[b, i])
        above[:] = p


def tv_products(v, a, lam):
    """Hessian product."""
    B, H = v.shape[:2]
    out = np.empty_like(v)
    args = (np.ascontiguousarray(v), a, v.dtype.type(lam), out)
    run_blocks(_products, B * H, args, work=PRODUCT * v.size)
    return out


@jit_kernel
def _diagonal(a, lam, out, lo, hi):
    _, _, H, W = a.shape
    one = a.dtype.type(1)
    for r in range(lo, hi):
        b, i = r // H, r % H
        row, a11, a12, a22 = out[b, i], a[0, b, i], a[1, b, i], a[2, b, i]
        row[:] = one
        if i > 0:
            above = a[0, b, i - 1]
            for j in range(W):
                row[j] += lam * above[j]
        if i < H - 1:
            for j in range(W):
                row[j] += lam * a11[j]
            for j in range(W - 1):
                row[j] += lam * (a12[j] + a12[j])
        for j in range(W - 1):
            row[j] += lam * a22[j]
        for j in range(1, W):
            row[j] += lam * a22[j - 1]


def tv_diagonal(a, lam):
    """Diagonal of the Hessian."""
    _, B, H, _ = a.shape
    out = np.empty(a.shape[1:], a.dtype)
    run_blocks(_diagonal, B * H, (a, a.dtype.type(lam), out), work=DIAGONAL * out.size)
    return out
