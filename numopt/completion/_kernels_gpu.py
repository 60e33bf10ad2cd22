# SPDX-License-Identifier: BSD-3-Clause
"""CuPy bodies of the passes over lines; see ``_kernels`` for the formulas."""

import cupy

from numopt._kernels.cuda import raw_module

__all__ = ["cg_lines", "line_sums", "predict_entries"]

_THREADS = 128
_WARPS = 4
_MAX_BLOCKS = 65_535
#: Shared memory of a block that every device has.
_SHARED_BYTES = 48 * 1024


def _run(name, indices, dtype, blocks, args, *, shared=0):
    """Launch the kernel for the type of the indices."""
    module = raw_module("numopt.completion", "lines.cu", dtype.name)
    function = module.get_function(f"{name}_{indices.dtype.name}")
    function((max(1, min(blocks, _MAX_BLOCKS)),), (_THREADS,), args, shared_mem=shared)


def _contiguous(*arrays):
    """C-contiguous copies where needed: the kernels take plain pointers."""
    return tuple(cupy.ascontiguousarray(a) for a in arrays)


def predict_entries(indptr, indices, P, Q):
    """u_i . v_j + b_i + c_j of the entries, one warp a line."""
    out = cupy.empty(indices.shape[0], P.dtype)
    lines = P.shape[0]
    if indices.shape[0]:
        arrays = _contiguous(indptr, indices, P, Q)
        sizes = (cupy.int64(lines), cupy.int32(P.shape[1]))
        _run("predict", indices, P.dtype, -(-lines // _WARPS), (*arrays, out, *sizes))
    return out


def line_sums(indptr, indices, values, X):
    """Sum of values times rows of X along each line, one warp a line."""
    lines, columns = indptr.shape[0] - 1, X.shape[1]
    out = cupy.empty((lines, columns), X.dtype)
    if lines:
        arrays = _contiguous(indptr, indices, values, X)
        sizes = (cupy.int64(lines), cupy.int32(columns))
        _run("line_sums", indices, X.dtype, -(-lines // _WARPS), (*arrays, out, *sizes))
    return out


def cg_lines(
    indptr, indices, values, weights, other, ridge, bias_ridge, start, with_bias,
    steps,
):  # fmt: skip
    """Some steps of conjugate gradients for each line, one block a line.

    The vectors of a line live in shared memory where they fit, else in a scratch
    array.
    """
    lines, columns = start.shape
    d = columns if with_bias else columns - 1
    out = cupy.zeros((lines, columns), other.dtype)
    loss = cupy.zeros(lines, cupy.float64)
    if lines == 0:
        return out, loss
    real, limits = other.dtype.type, cupy.finfo(other.dtype)
    numbers = (5 + _WARPS) * d
    fits = numbers * other.dtype.itemsize <= _SHARED_BYTES
    scratch = cupy.empty(0 if fits else min(lines, _MAX_BLOCKS) * numbers, other.dtype)
    arrays = _contiguous(
        indptr, indices, values, weights, other, ridge, bias_ridge, start
    )
    options = (
        cupy.int64(lines), cupy.int32(columns), cupy.int32(d),
        cupy.int32(weights.shape[0] > 0), cupy.int32(steps), cupy.int32(not fits),
        real(limits.eps), real(limits.tiny),
    )  # fmt: skip
    _run(
        "cg", indices, other.dtype, lines, (*arrays, out, loss, scratch, *options),
        shared=numbers * other.dtype.itemsize if fits else 0,
    )  # fmt: skip
    return out, loss
