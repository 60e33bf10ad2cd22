# SPDX-License-Identifier: BSD-3-Clause
"""Numba body of the pass with capped rows; see ``_kernels.partial``."""

import numpy as np

from numopt._kernels.jit import jit_kernel
from numopt._kernels.simd import exp, log
from numopt._kernels.threads import reduce_blocks
from numopt.ot._kernels_cpu.dense import SAFE_SUMS, exponentials


@jit_kernel
def _capped_pass(M, gamma, log_a, inv_eps, least, low, high, out_phi, part, lo, hi, b):
    c = part[b]
    work = np.empty(gamma.size, gamma.dtype)
    zero = gamma.dtype.type(0)
    shift = zero
    for i in range(lo, hi):
        # The maximum of the last row is a good guess for this one.
        shift, total = exponentials(M[i], gamma, inv_eps, shift, least, low, high, work)
        excess = log(total) - shift
        phi = log_a[i] - max(excess, zero)
        out_phi[i] = phi
        scale = exp(phi - shift)
        for j in range(gamma.size):
            c[j] += work[j] * scale


def capped_pass(M, gamma, log_a, inv_eps):
    """Row potentials and column sums of the capped plan."""
    kind = M.dtype.type
    out_phi = np.empty(M.shape[0], M.dtype)
    scalars = tuple(kind(x) for x in (inv_eps, *SAFE_SUMS[M.dtype]))
    c = reduce_blocks(
        _capped_pass,
        M.shape[0],
        (M, gamma, log_a, *scalars, out_phi),
        2 * M.size,
        shape=gamma.shape,
        dtype=M.dtype,
    )
    return out_phi, c
