# SPDX-License-Identifier: BSD-3-Clause
"""Newton systems on a truncated plan: Laplacians of the graph of its columns.

The matrix is diag(d) - P^T diag(1/a) P; row i of P holds the entries start[i]:stop[i],
one row after the other.
"""

import numpy as np

from numopt._kernels.dispatch import sequential_kernel

__all__ = ["column_groups", "laplacian_solve"]

_CPU = "numopt.ot._kernels_cpu.laplacian"

column_groups = sequential_kernel(
    "column_groups",
    """Label columns by groups that entries of P join, the largest ones first.

    (start, stop, index, P, m, largest) -> labels (m,). A group has at most ``largest``
    columns; where that leaves many they share labels. Single columns have the label -1.
    """,
    numpy=f"{_CPU}:column_groups",
)

laplacian_solve = sequential_kernel(
    "laplacian_solve",
    """Conjugate gradients on the Laplacian, P on a support.

    (start, stop, index, P, inv_a, d, rhs, labels, tol, max_iter) -> (x, iterations).
    The preconditioner is the inverse of the diagonal and, unless ``labels`` is empty,
    that of the Laplacian of the groups. Ends early, with what it has, on non-positive
    curvature.
    """,
    numpy=f"{_CPU}:laplacian_solve",
)


def _laplacian_example(rng, size):
    """A full support, whose Laplacian is definite."""
    m = size // 2 + 1
    P = rng.random((size, m))
    support = (
        np.arange(size, dtype=np.int64) * m,
        np.arange(1, size + 1, dtype=np.int64) * m,
        np.tile(np.arange(m, dtype=np.int32), size),
        P.ravel(),
    )
    return support, P.sum(axis=1) + 0.1, P.sum(axis=0) + 0.1


@column_groups.example
def _(rng, _, size):
    support, _, diagonal = _laplacian_example(rng, size)
    return *support, diagonal.size, 5


@laplacian_solve.example
def _(rng, _, size):
    support, a, diagonal = _laplacian_example(rng, size)
    labels = np.arange(diagonal.size, dtype=np.int32) // 4
    rhs = rng.standard_normal(diagonal.size)
    return *support, 1.0 / a, diagonal, rhs, labels, 1e-10, 500
