# SPDX-License-Identifier: BSD-3-Clause
"""Weights of points, and what the problems of the family share."""

from numopt import _validation as v
from numopt._array.namespace import device, to_numpy
from numopt.typing import Array, Namespace

__all__ = [
    "NEGLIGIBLE",
    "SUM_TOLERANCE",
    "check_weights",
    "contiguous",
    "dtype_name",
    "equal_masses",
    "kept_points",
    "log_weights",
]

#: Relative difference of the two sums that is put down to rounding.
SUM_TOLERANCE = {"float64": 1e-6, "float32": 1e-4}
#: The logarithm of an empty point: finite, so that differences are, exp gives 0.
LOG_ZERO = -1e30
#: Part of the mass that all weights which count as zero may have together.
NEGLIGIBLE = 1e-16


def check_weights(
    name: str, w: Array | None, size: int, like: Array, xp: Namespace
) -> Array:
    """Check weights, or make uniform ones of total 1."""
    if w is None:
        return xp.full((size,), 1.0 / size, dtype=like.dtype, device=device(like))
    hint = "method='sinkhorn' takes several targets, the columns of b"
    v.check_ndim(name, w, 1, hint=hint if name == "b" and w.ndim == 2 else "")
    _, high = v.check_values(name, w, nonnegative=True)
    if high == 0:
        raise ValueError(v.message(name, "positive somewhere", "all zeros"))
    return w


def equal_masses(
    a: Array, b: Array, xp: Namespace, tolerance: float
) -> tuple[Array, Array, float]:
    """Check that the sums agree, and scale both to their mean."""
    mass_a, mass_b = float(to_numpy(xp.sum(a))), float(to_numpy(xp.sum(b)))
    if abs(mass_a - mass_b) > tolerance * max(mass_a, mass_b):
        raise ValueError(
            "`a` and `b` must have the same sum, got sum(a) = "
            f"{mass_a:.9g} and sum(b) = {mass_b:.9g}; normalise them, or use "
            "sinkhorn_unbalanced if the difference is meant"
        )
    mass = 0.5 * (mass_a + mass_b)
    return a * (mass / mass_a), b * (mass / mass_b), mass


def kept_points(
    w: Array, xp: Namespace, *, negligible: float = NEGLIGIBLE
) -> Array | None:
    """Indices of the weights that matter, None when that is all of them.

    Weights that all together are below the rounding of the sum count as zero: Newton
    systems with them are singular in floating point.
    """
    host = to_numpy(w)
    least = negligible * float(host.sum()) / host.size
    if host.min() > least:
        return None
    return xp.asarray((host > least).nonzero()[0], device=device(w))


def log_weights(w: Array, xp: Namespace) -> Array:
    """Logarithm of weights, LOG_ZERO for empty points."""
    positive = w > 0
    log_w = xp.log(xp.where(positive, w, xp.ones_like(w)))
    return xp.where(positive, log_w, xp.full_like(w, LOG_ZERO))


def contiguous(M: Array, xp: Namespace) -> Array:
    """C order, which kernels want; other libraries keep what they have."""
    return xp.ascontiguousarray(M) if hasattr(xp, "ascontiguousarray") else M


def dtype_name(x: Array, xp: Namespace) -> str:
    """Name of a float dtype of any library."""
    return "float32" if x.dtype == xp.float32 else "float64"
