# SPDX-License-Identifier: BSD-3-Clause
"""The block model of the literal block rules."""

from typing import Any

import numpy as np

from numopt._kernels.dispatch import sequential_kernel

__all__ = ["minimise_block"]

minimise_block = sequential_kernel(
    "minimise_block",
    """argmin_x g (x - w) + (x - w)^T H (x - w) / 2 + sum_j l1_j |x_j| within bounds, by
    cyclic coordinate descent until no step changes the gradient by more than tol.""",
    numpy="numopt.coordinate._kernels_cpu.blocks:minimise_block",
)


@minimise_block.example
def _example(rng: np.random.Generator, dtype: Any, size: int) -> tuple:
    """A positive definite block within bounds."""
    m = min(size, 50)
    Q = rng.standard_normal((m + 3, m))
    bounds = np.full(m, -np.inf), np.full(m, np.inf)
    start = np.zeros(m)
    return Q.T @ Q, rng.standard_normal(m), start, np.ones(m), *bounds, 1e-10, 1000
