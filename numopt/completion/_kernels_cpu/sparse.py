# SPDX-License-Identifier: BSD-3-Clause
"""Passes over the known entries: predictions, and sums along lines."""

import numpy as np

from numopt._kernels.jit import jit_kernel
from numopt._kernels.threads import run_blocks
from numopt.completion._kernels_cpu.lines import balanced_blocks
from numopt.completion._kernels_cpu.vector import padded, prefetch, weighted_sum

__all__ = ["line_sums", "predict_entries"]


@jit_kernel
def _predict(bounds, indptr, indices, P, Q, out, lo, hi):
    """Predictions at the entries of some blocks of lines."""
    k = P.shape[1] - 1
    for i in range(bounds[lo], bounds[hi]):
        for t in range(indptr[i], indptr[i + 1]):
            j = indices[t]
            total = P[i, k] + Q[j, k]
            for c in range(k):
                total += P[i, c] * Q[j, c]
            out[t] = total


def predict_entries(indptr, indices, P, Q):
    """u_i . v_j + b_i + c_j of the entries."""
    out = np.empty(indices.shape[0], P.dtype)
    if P.shape[0]:
        bounds = balanced_blocks(indptr, 4)
        run_blocks(
            _predict,
            bounds.shape[0] - 1,
            (bounds, indptr, indices, P, Q, out),
            work=indices.shape[0] * P.shape[1],
        )
    return out


@jit_kernel
def _line_sums(bounds, indptr, indices, values, wide, width, out, lo, hi):
    """Sums of some blocks of lines."""
    last = indices.shape[0]
    for i in range(bounds[lo], bounds[hi]):
        begin, end = indptr[i], indptr[i + 1]
        # The rows of the next entries, as many as this line has.
        for t in range(end, min(2 * end - begin, last)):
            prefetch(wide, indices[t] * width, width)
        j = 0
        while j + 32 <= width:
            weighted_sum(
                out, i * width + j, values, indices, begin, end, wide, width, j, 32
            )
            j += 32
        while j < width:
            weighted_sum(
                out, i * width + j, values, indices, begin, end, wide, width, j, 8
            )
            j += 8


def line_sums(indptr, indices, values, X):
    """Sum of values times rows of X along each line."""
    lines, k = indptr.shape[0] - 1, X.shape[1]
    width = padded(k)
    wide = np.zeros((X.shape[0], width), X.dtype)
    wide[:, :k] = X
    out = np.empty((lines, width), X.dtype)
    if lines:
        bounds = balanced_blocks(indptr, 4)
        run_blocks(
            _line_sums,
            bounds.shape[0] - 1,
            (
                bounds, indptr, indices, values, wide.reshape(-1), width,
                out.reshape(-1),
            ),
            work=indices.shape[0] * width // 4,
        )  # fmt: skip
    return np.ascontiguousarray(out[:, :k])
