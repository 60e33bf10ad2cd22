# SPDX-License-Identifier: BSD-3-Clause
"""Small positive definite systems side by side, one a vector lane."""

import math

from numopt._kernels.jit import jit_kernel

__all__ = ["LANES", "factor", "invert", "moments"]

#: Systems solved together: one cache line of float64, one or two vector registers.
LANES = 8


@jit_kernel
def factor(A, k):
    """Cholesky factor in place; the diagonal keeps the reciprocals."""
    for i in range(k):
        for j in range(i):
            for p in range(j):
                for t in range(LANES):
                    A[i, j, t] -= A[i, p, t] * A[j, p, t]
            for t in range(LANES):
                A[i, j, t] *= A[j, j, t]
        for p in range(i):
            for t in range(LANES):
                A[i, i, t] -= A[i, p, t] * A[i, p, t]
        for t in range(LANES):
            A[i, i, t] = 1 / math.sqrt(A[i, i, t])


@jit_kernel
def invert(A, B, k):
    """Inverse B = L^-1 (lower) from the factor with reciprocal diagonal."""
    for i in range(k):
        for j in range(i):
            for t in range(LANES):
                B[i, j, t] = 0
            for p in range(j, i):
                for t in range(LANES):
                    B[i, j, t] -= A[i, p, t] * B[p, j, t]
            for t in range(LANES):
                B[i, j, t] *= A[i, i, t]
        for t in range(LANES):
            B[i, i, t] = A[i, i, t]


@jit_kernel
def moments(B, m, S, k):
    """Moments S = L^-T L^-1 + m m^T, lower triangle."""
    for i in range(k):
        for j in range(i + 1):
            for t in range(LANES):
                S[i, j, t] = m[i, t] * m[j, t]
    for p in range(k):
        for i in range(p + 1):
            for j in range(i + 1):
                for t in range(LANES):
                    S[i, j, t] += B[p, i, t] * B[p, j, t]
