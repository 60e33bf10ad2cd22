# SPDX-License-Identifier: BSD-3-Clause
"""Gaussian posteriors of lines: register-tiled moments and small inverses."""

import numpy as np

from numopt._kernels.jit import jit_kernel
from numopt._kernels.threads import run_blocks
from numopt.completion._kernels_cpu.lanes import LANES, factor, invert, moments
from numopt.completion._kernels_cpu.lines import (
    AHEAD,
    balanced_blocks,
    chunk_rows,
    line_gram,
    packed_factors,
    padded_width,
)
from numopt.completion._kernels_cpu.vector import axpy, padded, prefetch

__all__ = ["posterior_lines"]


@jit_kernel
def _system(G, width, T, k, d, precision, noise, lane, A, h):
    """Put the posterior precision times the noise of a line in its lane of ``A``.

    Unknowns beyond the factors have no covariance with themselves. Returns the
    expected sum of squared targets.
    """
    at = 0
    for a in range(d):
        for c in range(a, d):
            moment = G[a * width + c]
            if c < k:
                moment += T[at + c - a]
            A[c, a, lane] = moment
        A[a, a, lane] += noise * precision[a]
        h[a, lane] = G[a * width + d]
        if a < k:
            h[a, lane] -= T[at + k - a]
        at += k + 1 - a
    return G[d * width + d] + T[(k + 1) * (k + 2) // 2 - 1]


@jit_kernel
def _solve(S, h, lane, d, precision, noise, mean, cov):
    """Posterior mean and covariance of a lane; their part of the expected loss."""
    # m'Mm = m'h - noise m'Lm and tr(S M) = noise (d - tr(S L)).
    expected = noise * d
    for a in range(d):
        total = mean.dtype.type(0)
        for c in range(d):
            entry = S[max(a, c), min(a, c), lane]
            total += entry * h[c, lane]
            cov[a, c] = noise * entry
        mean[a] = total
        expected -= total * h[a, lane]
        expected -= noise * precision[a] * (total * total + cov[a, a])
    return expected


@jit_kernel
def _posterior(
    bounds, indptr, indices, values, weights, flat, shifts, cov, packed, precision,
    noise, k, d, out_mean, out_cov, out_loss, lo, hi,
):  # fmt: skip
    """Posteriors of some blocks of lines, several side by side."""
    width = padded_width(d)
    chunk = chunk_rows(width, flat.itemsize)
    rows = np.zeros(chunk * width, flat.dtype)
    G = np.empty(width * width, flat.dtype)
    T = np.empty(packed, flat.dtype)
    A = np.ones((d, d, LANES), flat.dtype)
    B = np.empty((d, d, LANES), flat.dtype)
    h = np.empty((d, LANES), flat.dtype)
    zero = np.zeros((d, LANES), flat.dtype)
    lines = np.empty(LANES, np.int64)
    squares = np.empty(LANES, np.float64)
    last = indices.shape[0] - 1
    asked = indptr[bounds[lo]]
    filled = 0
    end = bounds[hi]
    for i in range(bounds[lo], end):
        if indptr[i] == indptr[i + 1]:
            for a in range(d):
                out_cov[i, a, a] = 1 / precision[a]
        else:
            asked = line_gram(
                flat, shifts, indices, values, weights, indptr[i], indptr[i + 1],
                width, chunk, k, d, rows, G, asked,
            )  # fmt: skip
            for c in range(packed):
                T[c] = 0
            for e in range(indptr[i], indptr[i + 1]):
                w = weights[e] if weights.shape[0] else flat.dtype.type(1)
                prefetch(cov, indices[min(e + AHEAD, last)] * packed, packed)
                axpy(T, 0, w, cov, indices[e] * packed, packed)
            squares[filled] = _system(G, width, T, k, d, precision, noise, filled, A, h)
            lines[filled] = i
            filled += 1
        if filled == LANES or (i == end - 1 and filled):
            for lane in range(filled, LANES):
                for a in range(d):
                    for c in range(a + 1):
                        A[a, c, lane] = A[a, c, 0]
            factor(A, d)
            invert(A, B, d)
            moments(B, zero, A, d)
            for lane in range(filled):
                line = lines[lane]
                out_loss[line] = squares[lane] + _solve(
                    A, h, lane, d, precision, noise, out_mean[line], out_cov[line]
                )
            filled = 0


def posterior_lines(
    indptr, indices, values, weights, mean, cov, precision, noise, with_bias
):
    """Posterior mean and covariance of each line and its expected squared loss."""
    n, columns = mean.shape
    k = columns - 1
    d = columns if with_bias else k
    lines = indptr.shape[0] - 1
    out_mean = np.zeros((lines, columns), mean.dtype)
    out_cov = np.zeros((lines, columns, columns), mean.dtype)
    loss = np.zeros(lines)
    if lines == 0:
        return out_mean, out_cov, loss
    upper = np.triu_indices(columns)
    packed = padded(upper[0].size)
    triangles = np.zeros((n, packed), mean.dtype)
    triangles[:, : upper[0].size] = np.take(
        cov.reshape(n, -1), upper[0] * columns + upper[1], axis=1
    )
    bounds = balanced_blocks(indptr, d)
    run_blocks(
        _posterior,
        bounds.shape[0] - 1,
        (
            bounds, indptr, indices, values, weights, *packed_factors(mean),
            triangles.reshape(-1), packed, precision, mean.dtype.type(noise), k, d,
            out_mean, out_cov, loss,
        ),
        work=indices.shape[0] * d * d // 8 + lines * d**3 // 8,
    )  # fmt: skip
    return out_mean, out_cov, loss
