# SPDX-License-Identifier: BSD-3-Clause
"""Half sweeps with non-negative factors: coordinate descent on Gram matrices."""

import numpy as np

from numopt._kernels.jit import jit_kernel
from numopt._kernels.threads import run_blocks
from numopt.completion._kernels_cpu.lines import (
    balanced_blocks,
    chunk_rows,
    line_gram,
    packed_factors,
    padded_width,
)

__all__ = ["nonnegative_lines"]


@jit_kernel
def _nonnegative(
    bounds, indptr, indices, values, weights, flat, shifts, ridge, k, start, passes,
    out, out_loss, lo, hi,
):  # fmt: skip
    """Coordinate descent of some blocks of lines."""
    width = padded_width(k)
    chunk = chunk_rows(width, flat.itemsize)
    rows = np.zeros(chunk * width, flat.dtype)
    G = np.empty(width * width, flat.dtype)
    zero = flat.dtype.type(0)
    asked = indptr[bounds[lo]]
    for i in range(bounds[lo], bounds[hi]):
        if indptr[i] == indptr[i + 1]:
            continue
        asked = line_gram(
            flat, shifts, indices, values, weights, indptr[i], indptr[i + 1], width,
            chunk, k, k, rows, G, asked,
        )  # fmt: skip
        for a in range(k):
            G[a * width + a] += ridge[i]
            out[i, a] = start[i, a]
            for c in range(a):
                G[a * width + c] = G[c * width + a]
        for _ in range(passes):
            for a in range(k):
                pivot = G[a * width + a]
                left = G[a * width + k] + pivot * out[i, a]
                for c in range(k):
                    left -= G[a * width + c] * out[i, c]
                out[i, a] = max(left, zero) / pivot if pivot > 0 else zero
        total = G[k * width + k]
        for a in range(k):
            left = -2 * G[a * width + k]
            for c in range(k):
                left += G[a * width + c] * out[i, c]
            total += left * out[i, a]
        out_loss[i] = total


def nonnegative_lines(indptr, indices, values, weights, other, ridge, start, passes):
    """Coordinate descent on the Gram matrix of each line."""
    k, lines = other.shape[1] - 1, start.shape[0]
    out, loss = np.zeros((lines, k + 1), other.dtype), np.zeros(lines)
    if lines:
        bounds = balanced_blocks(indptr, k)
        run_blocks(
            _nonnegative,
            bounds.shape[0] - 1,
            (
                bounds, indptr, indices, values, weights, *packed_factors(other),
                ridge, k, start, passes, out, loss,
            ),
            work=indices.shape[0] * k * k // 16 + lines * passes * k * k,
        )  # fmt: skip
    return out, loss
