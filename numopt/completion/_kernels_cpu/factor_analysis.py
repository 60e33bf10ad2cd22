# SPDX-License-Identifier: BSD-3-Clause
"""Posterior of factor scores: eight small systems side by side, one a vector lane."""

import math

import numpy as np

from numopt._kernels.jit import jit_kernel
from numopt._kernels.threads import run_blocks
from numopt.completion._kernels_cpu.lanes import LANES, factor, invert, moments

__all__ = ["score_posterior"]


@jit_kernel
def _gather(gram, rhs, A, r, first, hi, k):
    """Transpose eight packed systems so that lanes are contiguous; I is added."""
    for t in range(LANES):
        row = min(first + t, hi - 1)
        p = 0
        for i in range(k):
            r[i, t] = rhs[row, i]
            for j in range(i + 1):
                A[i, j, t] = gram[row, p]
                p += 1
            A[i, i, t] += 1


@jit_kernel
def _means(B, r, h, m, k):
    """Means m = L^-T L^-1 r."""
    for i in range(k):
        for t in range(LANES):
            h[i, t] = 0
            m[i, t] = 0
        for p in range(i + 1):
            for t in range(LANES):
                h[i, t] += B[i, p, t] * r[p, t]
    for p in range(k):
        for i in range(p + 1):
            for t in range(LANES):
                m[i, t] += B[p, i, t] * h[p, t]


@jit_kernel
def _score_posterior(gram, rhs, out_mean, out_moment, out_logdet, lo, hi):
    """Posteriors of rows lo:hi."""
    k = rhs.shape[1]
    A = np.empty((k, k, LANES), rhs.dtype)
    B = np.empty((k, k, LANES), rhs.dtype)
    r = np.empty((k, LANES), rhs.dtype)
    h = np.empty((k, LANES), rhs.dtype)
    m = np.empty((k, LANES), rhs.dtype)
    for first in range(lo, hi, LANES):
        _gather(gram, rhs, A, r, first, hi, k)
        factor(A, k)
        invert(A, B, k)
        _means(B, r, h, m, k)
        moments(B, m, A, k)
        for t in range(min(LANES, hi - first)):
            row = first + t
            p = 0
            logdet = rhs.dtype.type(0)
            for i in range(k):
                out_mean[row, i] = m[i, t]
                logdet -= math.log(B[i, i, t])
                for j in range(i + 1):
                    out_moment[row, p] = A[i, j, t]
                    p += 1
            out_logdet[row] = 2 * logdet


def score_posterior(gram, rhs):
    """See ``_kernels.factor_analysis.score_posterior``."""
    n, k = rhs.shape
    mean, moment = np.empty_like(rhs), np.empty_like(gram)
    logdet = np.empty(n, rhs.dtype)
    run_blocks(
        _score_posterior, n, (gram, rhs, mean, moment, logdet), work=n * k * k * k
    )
    return mean, moment, logdet
