# SPDX-License-Identifier: BSD-3-Clause
"""Numba presets: every compiled body is serial, GIL-free and cached on disk."""

import functools

import numba

__all__ = ["FINITE", "REDUCE", "SAFE", "jit_exact", "jit_finite", "jit_kernel"]

#: Flags that never change which values are special: fused multiply-add, sign of zero,
#: division by multiplication with the reciprocal.
SAFE = frozenset({"contract", "nsz", "arcp"})

#: Reductions may be re-ordered, so that LLVM vectorises sums and maxima.
REDUCE = SAFE | {"reassoc"}

#: Inputs are proven finite: maxima vectorise without NaN checks.
FINITE = REDUCE | {"nnan", "ninf"}

_njit = functools.partial(numba.njit, nogil=True, cache=True, error_model="numpy")

#: Arithmetic exactly as written, apart from fused multiply-add.
jit_exact = functools.partial(_njit, fastmath={"contract"})

#: Default for kernels: sums may be re-ordered, NaN and infinity keep their meaning.
jit_kernel = functools.partial(_njit, fastmath=set(REDUCE))

#: For kernels whose inputs are proven finite.
jit_finite = functools.partial(_njit, fastmath=set(FINITE))
