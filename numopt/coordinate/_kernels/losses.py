# SPDX-License-Identifier: BSD-3-Clause
"""Losses with all that a Newton step wants of them, sample by sample."""

from typing import Any

import numpy as np

from numopt._array.namespace import array_namespace
from numopt._kernels.dispatch import kernel
from numopt.typing import Array

__all__ = ["logistic_expansion"]


@kernel(numpy="numopt.coordinate._kernels_cpu.losses:logistic_expansion")
def logistic_expansion(y: Array, z: Array) -> tuple[Array, Array, Array]:
    """``log(1 + exp(-y z))`` of labels -1 and 1, its two derivatives in z."""
    xp = array_namespace(y, z)
    t = -y * z
    e = xp.exp(-xp.abs(t))
    share = xp.where(t > 0, xp.ones_like(e), e) / (1.0 + e)
    value = xp.maximum(t, xp.zeros_like(t)) + xp.log1p(e)
    return value, -y * share, e / (1.0 + e) ** 2


@logistic_expansion.example
def _(rng: np.random.Generator, dtype: Any, size: int) -> tuple[Any, ...]:
    y = np.where(rng.random(size) < 0.5, -1.0, 1.0)
    return y.astype(dtype), (20.0 * rng.standard_normal(size)).astype(dtype)
