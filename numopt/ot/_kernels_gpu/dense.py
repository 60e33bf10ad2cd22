# SPDX-License-Identifier: BSD-3-Clause
"""CuPy bodies of the passes over a dense cost."""

import cupy

from numopt._kernels.cuda import raw_module

__all__ = ["fused_pass"]

_THREADS = 256
#: Rows summed by one thread; enough slabs to fill the device, few enough to add up.
_SLAB = 512


def fused_pass(M, gamma, phi, log_a, inv_eps):
    """Row update and column sums: two kernels, no temporary of the size of M."""
    n, m = M.shape
    out_phi = cupy.empty(n, M.dtype)
    if n == 0:
        return out_phi, cupy.zeros(m, M.dtype)
    module = raw_module("numopt.ot", "fused_pass.cu", M.dtype.name)
    M = cupy.ascontiguousarray(M)
    sizes = (cupy.int64(n), cupy.int64(m))
    inv_eps = cupy.float64(inv_eps)
    module.get_function("row_potentials")(
        (min(n, 65_535),), (_THREADS,), (M, gamma, log_a, inv_eps, out_phi, *sizes)
    )
    slabs = (n + _SLAB - 1) // _SLAB
    part = cupy.empty((slabs, m), cupy.float64)
    module.get_function("column_sums")(
        ((m + _THREADS - 1) // _THREADS, slabs),
        (_THREADS,),
        (M, gamma, out_phi, inv_eps, part, *sizes, cupy.int64(_SLAB)),
    )
    return out_phi, part.sum(axis=0).astype(M.dtype)
