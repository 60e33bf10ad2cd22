# SPDX-License-Identifier: BSD-3-Clause
"""Products of sparse columns, row by row: only the true products are formed."""

import numpy as np

from numopt._kernels.jit import jit_kernel

__all__ = ["sparse_gram"]


@jit_kernel
def sparse_gram(data, indices, indptr, n_columns, first):
    """X^T X[:, first:] of a CSR matrix with n_columns columns."""
    out = np.zeros((n_columns, n_columns - first))
    for i in range(indptr.size - 1):
        lo, hi = indptr[i], indptr[i + 1]
        for k in range(lo, hi):
            if indices[k] < first:
                continue
            column, x = indices[k] - first, data[k]
            for h in range(lo, hi):
                out[indices[h], column] += x * data[h]
    return out
