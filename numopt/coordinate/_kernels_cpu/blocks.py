# SPDX-License-Identifier: BSD-3-Clause
"""Numba body of the block model: coordinate descent inside one dense block."""

import numpy as np

from numopt._kernels.jit import jit_kernel

__all__ = ["minimise_block"]


@jit_kernel
def _minimise(H, q, l1, lower, upper, x, tol, max_epochs):
    """Cyclic coordinate descent; q = g + H (x - w) is kept."""
    m = x.size
    for epoch in range(max_epochs):
        worst = 0.0
        for j in range(m):
            h = H[j, j]
            if h <= 0.0:
                continue
            old = x[j]
            target = old - q[j] / h
            limit = l1[j] / h
            new = max(target - limit, 0.0) + min(target + limit, 0.0)
            new = min(max(new, lower[j]), upper[j])
            change = new - old
            if change != 0.0:
                x[j] = new
                for k in range(m):
                    q[k] += change * H[j, k]
                worst = max(worst, h * abs(change))
        if worst <= tol:
            return epoch + 1
    return max_epochs


def minimise_block(H, g, w, l1, lower, upper, tol, max_epochs):
    """Minimise ``g (x-w) + (x-w)^T H (x-w) / 2 + l1 |x|`` on lower <= x <= upper."""
    x, q = w.copy(), g.copy()
    _minimise(np.ascontiguousarray(H), q, l1, lower, upper, x, tol, max_epochs)
    return x
