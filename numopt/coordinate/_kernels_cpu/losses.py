# SPDX-License-Identifier: BSD-3-Clause
"""Losses and their derivatives in one pass, with one exponential a sample."""

import numpy as np

from numopt._kernels.jit import jit_exact
from numopt._kernels.simd import exp, log
from numopt._kernels.threads import run_blocks

__all__ = ["expand_logistic", "logistic_expansion"]

#: Work of a sample, in multiply-adds.
WORK = 20


# Without "reassoc": (1 + e) - 1 must stay.
@jit_exact
def expand_logistic(y, z, out, lo, hi):
    """Fill rows of ``out`` with the loss and its derivatives at lo:hi."""
    # Offsets below a slice are never negative, which lets the loop be vectorised.
    y, z = y[lo:hi], z[lo:hi]
    value, gradient, curvature = out[0, lo:hi], out[1, lo:hi], out[2, lo:hi]
    zero, one = y.dtype.type(0.0), y.dtype.type(1.0)
    for i in range(y.size):
        t = -y[i] * z[i]
        e = exp(-abs(t))
        above = one + e
        inverse = one / above
        # log(1 + e) without the rounding of the sum.
        rest = above - one
        lost = e if rest <= zero else zero
        rest = rest if rest > zero else one
        value[i] = (t if t > zero else zero) + log(above) * (e / rest) + lost
        gradient[i] = -y[i] * inverse * (one if t > zero else e)
        curvature[i] = e * inverse * inverse


def logistic_expansion(y, z):
    """``log(1 + exp(-y z))`` of labels -1 and 1, its two derivatives in z."""
    out = np.empty((3, z.size), z.dtype)
    run_blocks(expand_logistic, z.size, (y, z, out), work=WORK * z.size)
    return out[0], out[1], out[2]
