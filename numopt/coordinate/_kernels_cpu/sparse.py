# SPDX-License-Identifier: BSD-3-Clause
"""Sparse columns: gathered by rows, and their products, only the true ones formed."""

import numpy as np

from numopt._kernels.jit import jit_kernel

__all__ = ["column_squares", "column_sums", "gather_rows", "sparse_gram"]


@jit_kernel
def sparse_gram(data, indices, indptr, n_columns, first):
    """X^T X[:, first:] of a CSR matrix with n_columns columns, ascending in each row.

    Products of two columns beyond the first are formed once.
    """
    out = np.zeros((n_columns, n_columns - first))
    for i in range(indptr.size - 1):
        lo, hi = indptr[i], indptr[i + 1]
        for k in range(lo, hi):
            if indices[k] < first:
                continue
            column, x = indices[k] - first, data[k]
            for h in range(lo, k + 1):
                out[indices[h], column] += x * data[h]
    for column in range(n_columns - first):
        for other in range(column):
            out[first + column, other] = out[first + other, column]
    return out


@jit_kernel
def gather_rows(data, indices, indptr, chosen, scale):
    """Some columns of a CSC matrix by rows, each row multiplied by its scale.

    Returns (data, columns, indptr) of a CSR matrix with ``chosen.size`` columns.
    """
    n = scale.size
    starts = np.zeros(n + 1, np.int64)
    for j in chosen:
        for k in range(indptr[j], indptr[j + 1]):
            starts[indices[k] + 1] += 1
    for i in range(n):
        starts[i + 1] += starts[i]
    place = starts[:n].copy()
    values = np.empty(starts[n])
    columns = np.empty(starts[n], np.int64)
    for a in range(chosen.size):
        j = chosen[a]
        for k in range(indptr[j], indptr[j + 1]):
            i = indices[k]
            values[place[i]] = data[k] * scale[i]
            columns[place[i]] = a
            place[i] += 1
    return values, columns, starts


@jit_kernel
def column_sums(data, indices, indptr, chosen, weights):
    """Weighted sums of some columns of a CSC matrix."""
    out = np.empty(chosen.size)
    for a in range(chosen.size):
        j = chosen[a]
        total = 0.0
        for k in range(indptr[j], indptr[j + 1]):
            total += data[k] * weights[indices[k]]
        out[a] = total
    return out


@jit_kernel
def column_squares(data, indptr):
    """Squared norms of the columns of a CSC matrix."""
    out = np.empty(indptr.size - 1)
    for j in range(out.size):
        part = data[indptr[j] : indptr[j + 1]]
        total = 0.0
        for k in range(part.size):
            total += part[k] * part[k]
        out[j] = total
    return out
