# SPDX-License-Identifier: BSD-3-Clause
"""Dual coordinate descent for linear support vector machines, rows of X in CSR."""

import numpy as np

from numopt._kernels.jit import jit_kernel

__all__ = ["svm_epochs"]


@jit_kernel
def svm_epochs(data, indices, indptr, y, squares, shift, upper, epochs, order, a, w):
    """Descend on |sum_i a_i y_i x_i|^2 / 2 + sum_i shift_i a_i^2 / 2 - sum_i a_i.

    The bounds are 0 <= a_i <= upper_i; ``w`` is kept equal to sum_i a_i y_i x_i;
    ``squares`` holds |x_i|^2.
    """
    for _ in range(epochs):
        for i in order:
            curvature = squares[i] + shift[i]
            if curvature <= 0.0:
                continue
            margin = 0.0
            for k in range(indptr[i], indptr[i + 1]):
                margin += data[k] * w[indices[k]]
            gradient = y[i] * margin + shift[i] * a[i] - 1.0
            new = min(max(a[i] - gradient / curvature, 0.0), upper[i])
            change = (new - a[i]) * y[i]
            if change != 0.0:
                a[i] = new
                for k in range(indptr[i], indptr[i + 1]):
                    w[indices[k]] += change * data[k]
    return np.sum(a)
