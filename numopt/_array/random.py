# SPDX-License-Identifier: BSD-3-Clause
"""Random numbers drawn on the host: one seed, one answer on every back end."""

from typing import Any

import numpy as np

from numopt.exceptions import ArgumentTypeError
from numopt.typing import Array, Namespace

__all__ = ["as_generator", "standard_normal"]


def as_generator(random_state: Any) -> np.random.Generator:
    """Return a Generator from None, an int, a SeedSequence, a RandomState or itself."""
    if isinstance(random_state, np.random.RandomState):
        return np.random.Generator(random_state._bit_generator)
    try:
        return np.random.default_rng(random_state)
    except (TypeError, ValueError) as error:
        raise ArgumentTypeError(
            "`random_state` must be None, a non-negative integer or a generator, "
            f"got {random_state!r}"
        ) from error


def standard_normal(
    rng: np.random.Generator, shape: Any, *, xp: Namespace, dtype: Any, device: Any
) -> Array:
    """Standard normal numbers, drawn in float64 on the host and moved once."""
    return xp.asarray(rng.standard_normal(shape), dtype=dtype, device=device)
