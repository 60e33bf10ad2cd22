# SPDX-License-Identifier: BSD-3-Clause
"""Sparse columns: gathered by rows, and their products, only the true ones formed.

Indices are cast to unsigned integers where they are used: the check for negative ones
costs more than what is done with an entry.
"""

import numpy as np

from numopt._kernels.jit import jit_kernel

__all__ = ["column_squares", "column_sums", "gather_rows", "sparse_gram"]


@jit_kernel
def sparse_gram(data, indices, indptr, n_columns, first):
    """X^T X[:, first:] of a CSR matrix with n_columns columns, ascending in each row.

    Products of two columns beyond the first are formed once.
    """
    products = np.zeros((n_columns - first, n_columns))
    for i in range(indptr.size - 1):
        lo, hi = indptr[i], indptr[i + 1]
        columns, x = indices[lo:hi], data[lo:hi]
        for k in range(x.size):
            if columns[k] < first:
                continue
            row, value = products[columns[k] - first], x[k]
            for h in range(k + 1):
                row[np.uint64(columns[h])] += value * x[h]
    out = np.ascontiguousarray(products.T)
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
        rows = indices[indptr[j] : indptr[j + 1]]
        for k in range(rows.size):
            starts[np.uint64(rows[k] + 1)] += 1
    for i in range(n):
        starts[i + 1] += starts[i]
    place = starts[:n].copy()
    values = np.empty(starts[n])
    columns = np.empty(starts[n], np.int64)
    for a in range(chosen.size):
        lo, hi = indptr[chosen[a]], indptr[chosen[a] + 1]
        rows, x = indices[lo:hi], data[lo:hi]
        for k in range(x.size):
            i = np.uint64(rows[k])
            at = np.uint64(place[i])
            values[at] = x[k] * scale[i]
            columns[at] = a
            place[i] += 1
    return values, columns, starts


@jit_kernel
def column_sums(data, indices, indptr, chosen, weights):
    """Weighted sums of some columns of a CSC matrix."""
    out = np.empty(chosen.size)
    for a in range(chosen.size):
        lo, hi = indptr[chosen[a]], indptr[chosen[a] + 1]
        rows, x = indices[lo:hi], data[lo:hi]
        total = 0.0
        for k in range(x.size):
            total += x[k] * weights[np.uint64(rows[k])]
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
