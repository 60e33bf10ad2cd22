# SPDX-License-Identifier: BSD-3-Clause
"""Gaussian posteriors of lines: register-tiled moments and small inverses."""

import numpy as np

from numopt._kernels.jit import jit_kernel
from numopt._kernels.threads import run_blocks
from numopt.completion._kernels_cpu.lines import (
    balanced_blocks,
    chunk_rows,
    line_gram,
    padded_width,
)
from numopt.completion._kernels_cpu.vector import padded

__all__ = ["posterior_lines"]


@jit_kernel
def invert(A, d, out):
    """Inverse of the positive definite upper triangle A[:d, :d], in ``out``."""
    for p in range(d):
        for c in range(d):
            out[p, c] = 0
    for p in range(d):
        root = np.sqrt(A[p, p])
        for c in range(p, d):
            A[p, c] /= root
        for i in range(p + 1, d):
            f = A[p, i]
            for c in range(i, d):
                A[i, c] -= f * A[p, c]
    # A = R now; rows of R^-T are built by forward substitution, row by row.
    for p in range(d):
        out[p, p] = 1 / A[p, p]
        for i in range(p):
            f = A[i, p] / A[p, p]
            for c in range(i + 1):
                out[p, c] -= f * out[i, c]
    # (R^-T)^T R^-T, lower triangle in place: row i only needs rows >= i.
    for i in range(d):
        for c in range(i + 1):
            total = out.dtype.type(0)
            for p in range(i, d):
                total += out[p, i] * out[p, c]
            out[i, c] = total
    for i in range(d):
        for c in range(i):
            out[c, i] = out[i, c]


@jit_kernel
def _posterior(
    bounds, indptr, indices, values, weights, flat, cov, precision, noise, k, d,
    out_mean, out_cov, out_loss, lo, hi,
):  # fmt: skip
    """Posteriors of some blocks of lines."""
    width = padded_width(d)
    chunk = chunk_rows(width, flat.itemsize)
    rows = np.empty(chunk * width, flat.dtype)
    G = np.empty(width * width, flat.dtype)
    T = np.empty((k + 1, k + 1), flat.dtype)
    A = np.empty((d, d), flat.dtype)
    S = np.empty((d, d), flat.dtype)
    h = np.empty(d, flat.dtype)
    for i in range(bounds[lo], bounds[hi]):
        begin, end = indptr[i], indptr[i + 1]
        if begin == end:
            for a in range(d):
                out_cov[i, a, a] = 1 / precision[a]
            continue
        line_gram(
            flat, indices, values, weights, begin, end, width, chunk, k, d, rows, G
        )
        T[:] = 0
        for e in range(begin, end):
            j = indices[e]
            w = weights[e] if weights.shape[0] else flat.dtype.type(1)
            for a in range(k + 1):
                for c in range(a, k + 1):
                    T[a, c] += w * cov[j, a, c]
        squares = G[d * width + d] + T[k, k]
        for a in range(d):
            for c in range(a, d):
                moment = G[a * width + c]
                if c < k:
                    moment += T[a, c]
                A[a, c] = moment / noise
            A[a, a] += precision[a]
            h[a] = G[a * width + d]
            if a < k:
                h[a] -= T[a, k]
        invert(A, d, S)
        expected = squares + noise * d
        for a in range(d):
            total = flat.dtype.type(0)
            for c in range(d):
                total += S[a, c] * h[c]
                out_cov[i, a, c] = S[a, c]
            total /= noise
            out_mean[i, a] = total
            # m'Mm = m'h - noise m'Lm and tr(S M) = noise (d - tr(S L)).
            expected -= total * h[a]
            expected -= noise * precision[a] * (total * total + S[a, a])
        out_loss[i] = expected


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
    wide = np.zeros((n, padded(d + 1)), mean.dtype)
    wide[:, :columns] = mean
    bounds = balanced_blocks(indptr, d)
    run_blocks(
        _posterior,
        bounds.shape[0] - 1,
        (
            bounds, indptr, indices, values, weights, wide.reshape(-1),
            np.ascontiguousarray(cov), precision, mean.dtype.type(noise), k, d,
            out_mean, out_cov, loss,
        ),
        work=indices.shape[0] * d * d // 4 + lines * d**3 // 4,
    )  # fmt: skip
    return out_mean, out_cov, loss
