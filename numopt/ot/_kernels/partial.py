# SPDX-License-Identifier: BSD-3-Clause
"""Rows that may carry less than their weight."""

import numpy as np

from numopt._array.namespace import array_namespace
from numopt._kernels.dispatch import kernel

__all__ = ["capped_pass"]


@kernel(numpy="numopt.ot._kernels_cpu.partial:capped_pass")
def capped_pass(M, gamma, log_a, inv_eps):
    """Scale down the rows that carry too much, and sum the columns.

    phi_i = log a_i - max(0, log sum_j exp(gamma_j - M_ij / eps)), that is, rows of
    P = exp(phi_i + gamma_j - M_ij / eps) sum to at most a_i;  c_j = sum_i P_ij.
    """
    xp = array_namespace(M)
    z = gamma[None, :] - M * inv_eps
    top = xp.max(z, axis=1, keepdims=True)
    e = xp.exp(z - top)
    total = xp.sum(e, axis=1)
    excess = top[:, 0] + xp.log(total)
    phi = log_a - xp.maximum(excess, xp.zeros_like(excess))
    scale = xp.exp(phi + top[:, 0])
    return phi, xp.sum(e * scale[:, None], axis=0)


@capped_pass.example
def _(rng, dtype, size):
    m = size // 2 + 1
    M = rng.random((size, m)).astype(dtype)
    gamma = rng.standard_normal(m).astype(dtype) + 1
    log_a = np.log(rng.random(size) + 0.1).astype(dtype)
    return M, gamma, log_a, 5.0
