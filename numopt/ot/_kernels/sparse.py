# SPDX-License-Identifier: BSD-3-Clause
"""Columns of few nonzeros: best sparse responses to a dual vector, and their Hessian.

Column j of a plan with at most k nonzeros of total b_j, given dual potentials alpha,
maximises ``<t, alpha - M_j> - reg / 2 |t|^2``: keep the k largest entries of
``alpha - M_j`` and project them, divided by reg, onto the simplex scaled by b_j.
"""

import numpy as np

from numopt._kernels.dispatch import sequential_kernel

__all__ = ["sparse_hessian_product", "sparse_response", "sparse_sweep"]

_CPU = "numopt.ot._kernels_cpu.sparse"

sparse_response = sequential_kernel(
    "sparse_response",
    """Best columns for alpha, among those of at most ``index.shape[1]`` nonzeros.

    (alpha, cost_t, b, reg, index, mass, size, value) -> row sums (n,). Column j of the
    plan, row j of cost_t (m, n), has its nonzeros in index[j, :size[j]] and
    mass[j, :size[j]]; value[j] is the maximum. Equal entries go to the lower index.
    """,
    numpy=f"{_CPU}:sparse_response",
)

sparse_hessian_product = sequential_kernel(
    "sparse_hessian_product",
    """Product with reg times minus the Hessian of the semi-dual.

    (index, size, x) -> y with y_i = sum_{j: i in S_j} (x_i - mean of x over S_j), a
    graph Laplacian; S_j are the nonzeros of column j.
    """,
    numpy=f"{_CPU}:sparse_hessian_product",
)


sparse_sweep = sequential_kernel(
    "sparse_sweep",
    """Best columns, one after the other, where missed rows are charged for.

    (alpha, cost_t, b, reg, penalty, missing, index, mass, size) -> missing (n,). Column
    j, kept as in ``sparse_response`` and replaced in turn, minimises
    ``<t, M_j - alpha> + reg / 2 |t|^2 + penalty / 2 |missing_j - t|^2`` where
    ``missing_j`` is what the other columns leave of the row sums.
    """,
    numpy=f"{_CPU}:sparse_sweep",
)


def _example(rng, size):
    """Potentials, costs, weights and the buffers of the columns."""
    n, m = size // 2 + 1, size
    cost_t = rng.random((m, n))
    width = min(3, n)
    buffers = (
        np.zeros((m, width), np.int32),
        np.zeros((m, width)),
        np.zeros(m, np.int32),
        np.zeros(m),
    )
    return rng.random(n), cost_t, rng.random(m) + 0.1, buffers


@sparse_response.example
def _(rng, _, size):
    alpha, cost_t, b, buffers = _example(rng, size)
    return alpha, cost_t, b, 0.5, *buffers


@sparse_sweep.example
def _(rng, _, size):
    alpha, cost_t, b, (index, mass, count, _) = _example(rng, size)
    missing = np.full(alpha.size, b.sum() / alpha.size)
    return alpha, cost_t, b, 0.5, 0.2, missing, index, mass, count


@sparse_hessian_product.example
def _(rng, _, size):
    n, m = size // 2 + 1, size
    width = min(3, n)
    index = np.tile(np.arange(width, dtype=np.int32), (m, 1))
    count = rng.integers(1, width + 1, m).astype(np.int32)
    return index, count, rng.standard_normal(n)
