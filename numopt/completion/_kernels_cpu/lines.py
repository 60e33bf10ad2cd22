# SPDX-License-Identifier: BSD-3-Clause
"""Parts of every half sweep: gathered lines, Gram matrices, small Cholesky solves."""

import numpy as np

from numopt._kernels.jit import jit_kernel
from numopt.completion._kernels_cpu.vector import (
    LINE_BYTES,
    copy,
    dot,
    gram_tile,
    padded,
    prefetch,
    solve_tile,
)

__all__ = [
    "AHEAD",
    "balanced_blocks",
    "chunk_rows",
    "gather",
    "gram",
    "line_gram",
    "packed_factors",
    "padded_width",
    "solve_in_place",
]

#: Bytes gathered at a time: they stay in the first-level cache.
CHUNK_BYTES = 24_576
#: Entries whose rows are asked for ahead of their use.
AHEAD = 16


def balanced_blocks(indptr, per_line):
    """Cut the lines into blocks of equal work; depends on the pattern only."""
    lines = indptr.shape[0] - 1
    blocks = int(max(1, min(64, lines)))
    work = indptr + per_line * np.arange(lines + 1)
    cuts = np.searchsorted(work, work[-1] * np.arange(1, blocks) / blocks)
    return np.concatenate([[0], cuts, [lines]]).astype(np.int64)


def packed_factors(other):
    """Factors and biases (n, k + 1) apart: rows that begin on a cache line, flat.

    Rows have k numbers and zeros up to a multiple of eight: a gathered row then costs
    no cache line more than it has to.
    """
    n, k = other.shape[0], other.shape[1] - 1
    stride, spare = padded(k), LINE_BYTES // other.itemsize
    room = np.zeros(n * stride + spare, other.dtype)
    first = -room.ctypes.data % LINE_BYTES // other.itemsize
    flat = room[first : first + n * stride]
    flat.reshape(n, stride)[:, :k] = other[:, :k]
    return flat, np.ascontiguousarray(other[:, k])


@jit_kernel
def padded_width(d):
    """Columns of a gathered row: features, target, zeros up to a multiple of eight."""
    return (d + 8) & ~7


@jit_kernel
def chunk_rows(width, itemsize):
    """Rows gathered at a time."""
    return max(32, CHUNK_BYTES // (width * itemsize))


@jit_kernel
def gather(other, shifts, indices, values, weights, at, n, width, k, d, rows, ahead):
    """Rows (f_j, t) of ``n`` entries from position ``at``, times sqrt(weight).

    ``other`` and ``shifts`` are packed factors, and ``rows`` comes with zeros, which
    stay behind the target. The factors of entries ``ahead`` of the present one are
    asked for; line_gram has done so itself, and ``ahead`` is 0.
    """
    stride = (k + 7) & ~7
    last = indices.shape[0] - 1
    for e in range(n):
        base = e * width
        j = indices[at + e]
        if ahead:
            prefetch(other, indices[min(at + e + ahead, last)] * stride, stride)
        copy(rows, base, other, j * stride, stride)
        # Without a bias of this side d == k: the target takes the bias's place.
        rows[base + k] = 1
        rows[base + d] = values[at + e] - shifts[j]
        if weights.shape[0]:
            root = np.sqrt(weights[at + e])
            for c in range(d + 1):
                rows[base + c] *= root


@jit_kernel
def _gram_panel(rows, n, width, i, out):
    """Add eight lines of the upper block triangle of rows^T rows to ``out``."""
    j = i
    while j + 16 <= width:
        gram_tile(rows, n, width, i, j, out, 16, False)
        j += 16
    if j < width:
        gram_tile(rows, n, width, i, j, out, 8, False)


@jit_kernel
def gram(rows, n, width, out):
    """Add the upper block triangle of rows^T rows to ``out``."""
    for i in range(0, width, 8):
        _gram_panel(rows, n, width, i, out)


@jit_kernel
def line_gram(
    other, shifts, indices, values, weights, begin, end, width, chunk, k, d, rows,
    out, asked,
):  # fmt: skip
    """Gram matrix of the rows (f_j, t) of one line, chunk after chunk.

    Between panels the rows of the entries of the next chunk, which may belong to the
    next line, are asked for; those before ``asked`` have been. Returns the new bound.
    """
    for c in range(width * width):
        out[c] = 0
    last = indices.shape[0]
    stride = (k + 7) & ~7
    at = begin
    while at < end:
        n = min(chunk, end - at)
        gather(
            other, shifts, indices, values, weights, at, n, width, k, d, rows, 0
        )  # fmt: skip
        at += n
        asked = max(asked, at)
        goal = min(at + chunk, last)
        for i in range(0, width, 8):
            left = (width - i) >> 3
            stop = asked + (goal - asked + left - 1) // left
            for e in range(asked, stop):
                prefetch(other, indices[e] * stride, stride)
            asked = max(asked, stop)
            _gram_panel(rows, n, width, i, out)
    return asked


@jit_kernel
def _factor_block(G, width, i, pivots, least, R):
    """Upper Cholesky factor of the 8 x 8 diagonal block at line i, in ``R`` (64,).

    The diagonal keeps reciprocals. Lines from ``pivots`` on are no unknowns: their
    part of R is the identity.
    """
    one = R.dtype.type(1)
    for p in range(8):
        for q in range(8):
            R[8 * p + q] = G[(i + p) * width + i + q]
    for p in range(8):
        inverse = one
        if p < pivots:
            inverse = one / np.sqrt(max(R[8 * p + p], least))
        R[8 * p + p] = inverse
        for q in range(p + 1, 8):
            R[8 * p + q] = R[8 * p + q] * inverse if p < pivots else 0
        for q in range(p + 1, 8):
            for r in range(q, 8):
                R[8 * q + r] -= R[8 * p + q] * R[8 * p + r]


@jit_kernel
def solve_in_place(G, width, d, least, out):
    """Factor the augmented upper triangle G (d + 1 lines); return the minimum.

    Column d holds the right-hand side and G[d, d] the squared target; after the
    factorisation G[d, d] is the attained minimum. Pivots are at least ``least``.
    ``out`` (width,) is the solution, padded with zeros. Panels of eight lines are
    updated by all lines above them in register tiles, then solved with the factor of
    their diagonal block.
    """
    R = np.empty(64, G.dtype)
    for i in range(0, d + 1, 8):
        j = i if i > 0 else width
        while j + 16 <= width:
            gram_tile(G, i, width, i, j, G, 16, True)
            j += 16
        if j < width:
            gram_tile(G, i, width, i, j, G, 8, True)
        _factor_block(G, width, i, d - i, least, R)
        j = i
        while j + 16 <= width:
            solve_tile(G, width, i, j, R, 16)
            j += 16
        if j < width:
            solve_tile(G, width, i, j, R, 8)
    out[:width] = 0
    for p in range(d - 1, -1, -1):
        start = p & ~7
        # The diagonal block is zero left of the diagonal, and out is zero from d on.
        known = dot(G, p * width + start, out, start, width - start)
        out[p] = (G[p * width + d] - known) / G[p * width + p]
    return G[d * width + d]
