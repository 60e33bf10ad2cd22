# SPDX-License-Identifier: BSD-3-Clause
"""Numba bodies of the stencils of fields of experts: strips of images as blocks.

A strip of padded rows is one flat vector: every filter is then a short sum of shifted
vectors, long enough to vectorise for images of any width. The columns that wrap around
are set to zero. A strip computes again the few responses above it that reach into it.
"""

import functools

import numpy as np

from numopt._kernels.jit import jit_kernel
from numopt._kernels.threads import reduce_blocks, run_blocks

__all__ = [
    "experts_cross",
    "experts_curvature",
    "experts_gradient",
    "experts_products",
    "experts_third",
]

#: Entries of a strip: the vectors of one filter stay in the first cache.
STRIP = 6144
#: Shifted vectors added in one pass.
GROUP = 5
#: Flop-equivalents of a pixel and tap, one correlation.
TAP = 0.1


@jit_kernel
def _add_shifted(source, start, offsets, coefs, out, n):
    """out[j] += sum_t coefs[t] source[start + offsets[t] + j]; taps come in fives."""
    for g in range(0, offsets.shape[0], 5):
        c0, c1, c2 = coefs[g], coefs[g + 1], coefs[g + 2]
        c3, c4 = coefs[g + 3], coefs[g + 4]
        s0, s1 = source[start + offsets[g] :], source[start + offsets[g + 1] :]
        s2, s3 = source[start + offsets[g + 2] :], source[start + offsets[g + 3] :]
        s4 = source[start + offsets[g + 4] :]
        for j in range(n):
            out[j] += c0 * s0[j] + c1 * s1[j] + (c2 * s2[j] + c3 * s3[j]) + c4 * s4[j]


@jit_kernel
def _clear_margin(p, width, margin, rows):
    """Zero the entries of the last columns, which mix two rows."""
    for r in range(rows):
        for j in range((r + 1) * width - margin, min((r + 1) * width, p.shape[0])):
            p[j] = 0


@jit_kernel
def _respond(images, image, first, n, offsets, coefs, out):
    """Responses of one filter from padded row ``first`` on: a flat vector."""
    out[:n] = 0
    flat = images[image].ravel()
    _add_shifted(flat, first * images.shape[2], offsets, coefs, out, n)


@jit_kernel
def _flux(u, p, a, b, n):
    """Write a phi'(u) into p."""
    b2 = b * b
    for j in range(n):
        p[j] = a * u[j] / np.sqrt(u[j] * u[j] + b2)


@jit_kernel
def _excess(u, b):
    """Sum of phi over a row of responses."""
    total = u.dtype.type(0)
    b2 = b * b
    for j in range(u.shape[0]):
        total += np.sqrt(u[j] * u[j] + b2) - b
    return total


@jit_kernel
def _row_curvature(u, a, b, out):
    """Write the weights of a row of responses to out."""
    b2 = b * b
    for j in range(out.shape[0]):
        square = u[j] * u[j] + b2
        out[j] = a * b2 / (square * np.sqrt(square))


@jit_kernel
def _row_third(u, v, b, radius):
    """Largest third derivative along v of a row, u known up to the radius."""
    b2, half = b * b, b * u.dtype.type(0.5)
    worst = u.dtype.type(0)
    for j in range(u.shape[0]):
        t = max(abs(u[j]) - radius, half)
        square = t * t + b2
        third = b2 * t / (square * square * np.sqrt(square))
        worst = max(worst, abs(v[j]) * third)
    return worst * u.dtype.type(3)


@jit_kernel
def _strip(c, strips, rows, H, padded, k):
    """Image, owned padded rows and needed response rows of strip c."""
    top = c % strips * rows
    bottom = min(top + rows, padded)
    return c // strips, top, bottom, max(0, top - k + 1), min(H, bottom)


@jit_kernel
def _spread(
    x, k, rows, strips, offsets, coefs, weighted, weights, a, b, out, parts, lo, hi
):  # fmt: skip
    """Gradient (or, weighted, Hessian product) of the strips lo..hi."""
    padded, width = x.shape[1], x.shape[2]
    H, W = padded - k + 1, width - k + 1
    lead = (k - 1) * width + k - 1
    u = np.zeros((rows + k) * width, x.dtype)
    p = np.zeros((rows + k) * width + lead, x.dtype)
    total = np.zeros(rows * width, x.dtype)
    for c in range(lo, hi):
        image, top, bottom, first, last = _strip(c, strips, rows, H, padded, k)
        n, m = (last - first) * width - k + 1, (bottom - top) * width
        back = lead + (top - first) * width - offsets
        total[:] = 0
        value = 0.0
        for f in range(coefs.shape[0]):
            _respond(x, image, first, n, offsets, coefs[f], u)
            inner = p[lead:]
            p[:] = 0
            if weighted:
                for r in range(last - first):
                    at = r * width
                    w, row = weights[image, f, first + r], u[at : at + W]
                    goal = inner[at : at + W]
                    for j in range(W):
                        goal[j] = w[j] * row[j]
            else:
                _flux(u, inner, a[f], b[f], n)
                _clear_margin(inner[:n], width, k - 1, last - first)
                for i in range(top, last):
                    at = (i - first) * width
                    value += a[f] * _excess(u[at : at + W], b[f])
            _add_shifted(p, 0, back, coefs[f], total, m)
        out[image, top:bottom] = total[:m].reshape(bottom - top, width)
        parts[c] = value


@functools.cache
def _shifts(k, width):
    """Offsets of the taps in a flat padded image, in fives."""
    lines, columns = np.divmod(np.arange(k * k), k)
    missing = np.zeros(-k * k % GROUP, np.int64)
    return np.concatenate([lines * width + columns, missing])


def _layout(x, filters):
    """Offsets and taps in fives; rows of a strip, strips of an image."""
    K, k, width = len(filters), filters.shape[1], x.shape[2]
    offsets = _shifts(k, width)
    taps = np.zeros((K, len(offsets)), x.dtype)
    taps[:, : k * k] = filters.reshape(K, k * k)
    rows = min(x.shape[1], max(4 * k, STRIP // width))
    return offsets, taps, rows, -(-x.shape[1] // rows)


def _spread_all(x, filters, weights, a, b):
    """Run the strips: (value of each strip, gradient or product)."""
    x = np.ascontiguousarray(x)
    offsets, taps, rows, strips = _layout(x, filters)
    weighted = weights.size > 0
    out, parts = np.empty_like(x), np.zeros(x.shape[0] * strips)
    k = filters.shape[1]
    run_blocks(
        _spread,
        x.shape[0] * strips,
        (x, k, rows, strips, offsets, taps, weighted, weights, a, b, out, parts),
        work=int(2 * TAP * taps.size * x.size),
    )
    return parts.reshape(-1, strips).sum(axis=1), out


def experts_gradient(x, filters, a, b):
    """Values per image and gradient."""
    return _spread_all(x, filters, np.empty((0, 0, 0, 0), x.dtype), a, b)


def experts_products(v, filters, weights):
    """Hessian product."""
    none = np.empty(0, v.dtype)
    if not v.size:
        return np.empty_like(v)
    return _spread_all(v, filters, np.ascontiguousarray(weights), none, none)[1]


@jit_kernel
def _curvature(x, k, rows, strips, offsets, coefs, a, b, out, lo, hi):
    H, width = x.shape[1] - k + 1, x.shape[2]
    u = np.zeros(rows * width, x.dtype)
    for c in range(lo, hi):
        image, top = c // strips, c % strips * rows
        last = min(top + rows, H)
        n = (last - top) * width - k + 1
        if last <= top:
            continue
        for f in range(coefs.shape[0]):
            _respond(x, image, top, n, offsets, coefs[f], u)
            for i in range(top, last):
                row = u[(i - top) * width :]
                _row_curvature(row, a[f], b[f], out[image, f, i])


def experts_curvature(x, filters, a, b):
    """Weights of the Hessian."""
    x = np.ascontiguousarray(x)
    offsets, taps, rows, strips = _layout(x, filters)
    k = filters.shape[1]
    B, padded, width = x.shape
    out = np.empty((B, len(filters), padded - k + 1, width - k + 1), x.dtype)
    args = (x, k, rows, strips, offsets, taps, a, b, out)
    run_blocks(_curvature, B * strips, args, work=int(TAP * taps.size * x.size))
    return out


@jit_kernel
def _shifted_dots(p, source, start, offsets, n, out):
    """out[t] += <p, source shifted by offsets[t]>."""
    for t in range(out.shape[0]):
        s = source[start + offsets[t] :]
        total = p.dtype.type(0)
        for j in range(n):
            total += p[j] * s[j]
        out[t] += total


@jit_kernel
def _cross(x, q, k, rows, strips, offsets, coefs, a, b, part, lo, hi, block):
    padded, width = x.shape[1], x.shape[2]
    H = padded - k + 1
    u, v = np.zeros(rows * width, x.dtype), np.zeros(rows * width, x.dtype)
    for c in range(lo, hi):
        image, top = c // strips, c % strips * rows
        last = min(top + rows, H)
        n = (last - top) * width - k + 1
        if last <= top:
            continue
        of_x, of_q = x[image].ravel(), q[image].ravel()
        start = top * width
        for f in range(coefs.shape[0]):
            sums = part[block, f]
            _respond(x, image, top, n, offsets, coefs[f], u)
            _respond(q, image, top, n, offsets, coefs[f], v)
            _clear_margin(v[:n], width, k - 1, last - top)
            b2 = b[f] * b[f]
            first, second = x.dtype.type(0), x.dtype.type(0)
            for j in range(n):
                square = u[j] * u[j] + b2
                phi = np.sqrt(square)
                p = a[f] * u[j] / phi
                w = a[f] * b2 / (square * phi) * v[j]
                first += p * v[j]
                second -= w * u[j]
                u[j], v[j] = p, w
            _clear_margin(u[:n], width, k - 1, last - top)
            sums[0] += first
            sums[1] += second
            taps = sums[2:]
            _shifted_dots(u, of_q, start, offsets, n, taps)
            _shifted_dots(v, of_x, start, offsets, n, taps)


def experts_cross(x, q, filters, a, b):
    """Derivatives in log a, log b and the taps."""
    x, q = np.ascontiguousarray(x), np.ascontiguousarray(q)
    offsets, taps, rows, strips = _layout(x, filters)
    k, shape = filters.shape[1], (len(filters), 2 + filters[0].size)
    args = (x, q, k, rows, strips, offsets, taps, a, b)
    work = int(4 * TAP * taps.size * x.size)
    return reduce_blocks(_cross, x.shape[0] * strips, args, work, shape=shape)


@jit_kernel
def _third(x, q, k, rows, strips, offsets, coefs, b, radius, out, lo, hi):
    padded, width = x.shape[1], x.shape[2]
    H, W = padded - k + 1, width - k + 1
    u, v = np.zeros(rows * width, x.dtype), np.zeros(rows * width, x.dtype)
    for c in range(lo, hi):
        image, top = c // strips, c % strips * rows
        last = min(top + rows, H)
        n = (last - top) * width - k + 1
        if last <= top:
            continue
        for f in range(coefs.shape[0]):
            _respond(x, image, top, n, offsets, coefs[f], u)
            _respond(q, image, top, n, offsets, coefs[f], v)
            for r in range(last - top):
                at = r * width
                row, along = u[at : at + W], v[at : at + W]
                worst = _row_third(row, along, b[f], radius[f])
                out[c, f] = max(out[c, f], worst)


def experts_third(x, q, filters, b, radius):
    """Largest third derivative along q."""
    x, q = np.ascontiguousarray(x), np.ascontiguousarray(q)
    offsets, taps, rows, strips = _layout(x, filters)
    strips_of_all = x.shape[0] * strips
    out = np.zeros((strips_of_all, len(filters)), x.dtype)
    args = (x, q, filters.shape[1], rows, strips, offsets, taps, b, radius, out)
    work = int(2 * TAP * taps.size * x.size)
    run_blocks(_third, strips_of_all, args, work)
    return out.max(axis=0, initial=0)
