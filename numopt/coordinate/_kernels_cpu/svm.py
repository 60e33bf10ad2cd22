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
    active, count = order.copy(), order.size
    # The largest and smallest slope of the last pass: rows at a bound that push
    # outwards more than those sit out for the rest of the passes.
    high, low = np.inf, -np.inf
    for _ in range(epochs):
        top, bottom = -np.inf, np.inf
        s = 0
        while s < count:
            i = active[s]
            curvature = squares[i] + shift[i]
            if curvature <= 0.0:
                s += 1
                continue
            margin = 0.0
            for k in range(indptr[i], indptr[i + 1]):
                margin += data[k] * w[indices[k]]
            gradient = y[i] * margin + shift[i] * a[i] - 1.0
            outward = a[i] <= 0.0 and gradient > high
            if outward or (a[i] >= upper[i] and gradient < low):
                count -= 1
                active[s], active[count] = active[count], i
                continue
            s += 1
            new = min(max(a[i] - gradient / curvature, 0.0), upper[i])
            if new == a[i]:
                continue
            top, bottom = max(top, gradient), min(bottom, gradient)
            change = (new - a[i]) * y[i]
            a[i] = new
            for k in range(indptr[i], indptr[i + 1]):
                w[indices[k]] += change * data[k]
        high = top if top > 0.0 else np.inf
        low = bottom if bottom < 0.0 else -np.inf
    return np.sum(a)
