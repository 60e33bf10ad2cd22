# SPDX-License-Identifier: BSD-3-Clause
"""Branch-free exp and log that LLVM vectorises inside compiled loops.

The math library behind numba is scalar. These versions use range reduction, one
polynomial and arithmetic on the exponent bits only, so that a loop around them
becomes packed instructions. Called from Python they are NumPy's functions, so that
the undecorated body of a kernel runs as it is.

Domain: ``exp`` clamps its argument to [-708, 709] in float64 and [-87, 88] in
float32: results below are about 1e-308 (1e-38), not 0, and +inf is clamped; NaN
passes through. ``log`` takes normal positive numbers; anything else gives no
meaningful answer.
Accuracy (tests/kernels): exp 2 ulp, log 2 ulp of the dtype.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

from numopt._kernels.jit import jit_exact

__all__ = ["exp", "log"]

_LOG2_E = 1.4426950408889634
# ln 2 in two parts; the low bits of the high part are zero, so k * LN2_HI is exact.
_LN2_HI, _LN2_LO = 0.6931471803691238, 1.9082149292705877e-10
_LN2_HI_32, _LN2_LO_32 = (
    np.float32(0.693145751953125),
    np.float32(1.4286068203094173e-06),
)
# 1.5 * 2^52 (2^23): adding it rounds to an integer, kept in the low mantissa bits.
_ROUND, _ROUND_32 = 6755399441055744.0, np.float32(12582912.0)
# 2^52: its mantissa field read as an integer is the number itself.
_TWO_52 = 4503599627370496.0
# Bits of sqrt(1/2): mantissas are reduced to [sqrt(1/2), sqrt(2)).
_SQRT_HALF_BITS = 0x3FE6A09E667F3BCD
_SQRT_HALF_BITS_32 = 0x3F3504F3


def exp(x):
    """Exponential of a float64 or float32 scalar, without branches."""
    return np.exp(x)


def log(x):
    """Natural logarithm of a positive normal float64 or float32, without branches."""
    return np.log(x)


def _bitcast(source, target, width, name):
    """Make an intrinsic that reads the bits of ``source`` as ``target``."""

    def cast(typingctx, x):
        if x != source:
            return None

        def codegen(context, builder, signature, args):
            return builder.bitcast(args[0], width)

        return target(source), codegen

    cast.__name__ = name
    return intrinsic(cast)


_bits64 = _bitcast(types.float64, types.int64, ir.IntType(64), "_bits64")
_float64 = _bitcast(types.int64, types.float64, ir.DoubleType(), "_float64")
_bits32 = _bitcast(types.float32, types.int32, ir.IntType(32), "_bits32")
_float32 = _bitcast(types.int32, types.float32, ir.FloatType(), "_float32")


# Chebyshev fits on |r| <= ln(2)/2: relative error 3e-18 (degree 11), 2e-9 (degree 6).
# Their own functions with their own flags: under the callers' "reassoc" the rounding
# by a magic constant would be folded away.
@jit_exact
def _exp64(x):
    x = min(max(x, -708.0), 709.0)
    t = x * _LOG2_E + _ROUND
    k = t - _ROUND
    r = (x - k * _LN2_HI) - k * _LN2_LO
    p = 2.5110049204818658e-08
    p = p * r + 2.763265472252779e-07
    p = p * r + 2.755724088722987e-06
    p = p * r + 2.4801485441561313e-05
    p = p * r + 0.00019841269890076403
    p = p * r + 0.0013888888952352863
    p = p * r + 0.008333333333319589
    p = p * r + 0.04166666666648795
    p = p * r + 0.1666666666666668
    p = p * r + 0.5000000000000019
    p = p * r + 1.0
    p = p * r + 1.0
    return _float64(_bits64(p) + (_bits64(t) << 52))


@jit_exact
def _exp32(x):
    x = min(max(x, np.float32(-87.0)), np.float32(88.0))
    t = x * np.float32(_LOG2_E) + _ROUND_32
    k = t - _ROUND_32
    r = (x - k * _LN2_HI_32) - k * _LN2_LO_32
    p = np.float32(0.0013941118895837)
    p = p * r + np.float32(0.008375134774624326)
    p = p * r + np.float32(0.04166635277111221)
    p = p * r + np.float32(0.16666415414041177)
    p = p * r + np.float32(0.5000000047146057)
    p = p * r + np.float32(1.0)
    p = p * r + np.float32(1.0)
    return _float32(np.int32(_bits32(p) + (_bits32(t) << np.int32(23))))


# log m = f - (f^2/2 - s (f^2/2 + z P(z))), s = f/(2+f), z = s^2, f = m - 1.
@jit_exact
def _log64(x):
    bits = _bits64(x)
    k = (bits - _SQRT_HALF_BITS) >> 52
    f = _float64(bits - (k << 52)) - 1.0
    # Integer to float through the mantissa: AVX2 has no packed 64-bit conversion.
    e = _float64((k + 2048) | 0x4330000000000000) - (_TWO_52 + 2048.0)
    s = f / (2.0 + f)
    z = s * s
    p = 0.14617807157967702
    p = p * z + 0.15331611721619456
    p = p * z + 0.18182892432552905
    p = p * z + 0.22222211089379212
    p = p * z + 0.2857142862625384
    p = p * z + 0.3999999999989889
    p = p * z + 0.666666666666667
    half = 0.5 * f * f
    return e * _LN2_HI - ((half - (s * (half + z * p) + e * _LN2_LO)) - f)


@jit_exact
def _log32(x):
    bits = _bits32(x)
    k = np.int32(np.int32(bits - np.int32(_SQRT_HALF_BITS_32)) >> np.int32(23))
    f = _float32(np.int32(bits - np.int32(k << np.int32(23)))) - np.float32(1.0)
    e = np.float32(k)
    s = f / (np.float32(2.0) + f)
    z = s * s
    p = np.float32(0.23331614475691942)
    p = p * z + np.float32(0.28550778632993695)
    p = p * z + np.float32(0.40000122211813566)
    p = p * z + np.float32(0.66666666554042)
    half = np.float32(0.5) * f * f
    return e * _LN2_HI_32 - ((half - (s * (half + z * p) + e * _LN2_LO_32)) - f)


@overload(exp, jit_options={"fastmath": {"contract"}})
def _exp_overload(x):
    if x == types.float64:
        return lambda x: _exp64(x)
    if x == types.float32:
        return lambda x: _exp32(x)
    return None


@overload(log, jit_options={"fastmath": {"contract"}})
def _log_overload(x):
    if x == types.float64:
        return lambda x: _log64(x)
    if x == types.float32:
        return lambda x: _log32(x)
    return None
