# SPDX-License-Identifier: BSD-3-Clause
"""What the estimators share: precisions, sparse formats, seeds."""

from typing import Any

import numpy as np
from sklearn.utils import check_random_state

__all__ = ["FLOATS", "SPARSE", "generator"]

FLOATS = (np.float64, np.float32)
SPARSE = ("csr", "csc")


def generator(random_state: Any) -> np.random.Generator:
    """A Generator from what scikit-learn calls a random state."""
    if random_state is None or isinstance(random_state, int | np.integer):
        return np.random.default_rng(random_state)
    state = check_random_state(random_state)
    return np.random.default_rng(state.randint(2**31 - 1))
