# SPDX-License-Identifier: BSD-3-Clause
"""Names of the compiled inner solvers."""

from typing import Any

import numpy as np

from numopt._kernels.dispatch import sequential_kernel

__all__ = [
    "BALANCE",
    "column_products",
    "column_squares",
    "column_sums",
    "descend_gram_groups",
    "descend_groups",
    "find_beyond",
    "find_near",
    "find_reaching",
    "gather_rows",
    "norm_ratios",
    "solve_gram",
    "solve_residual",
    "sort_units",
    "sparse_gram",
    "standardize",
]

solve_gram = sequential_kernel(
    "solve_gram",
    """Coordinate descent and Newton on the support of a quadratic with L1 and bounds.

    min yy/2 - c^T w + w^T G w / 2 + sum_j lam_j |w_j| within bounds, to an absolute
    gap; writes ``w`` and ``q = G w - c``, returns (gap, epochs).
    """,
    numpy="numopt.coordinate._kernels_cpu.gram:solve_gram",
)


@solve_gram.example
def _(rng: np.random.Generator, dtype: Any, size: int) -> tuple[Any, ...]:
    m = min(size, 40)
    X = rng.standard_normal((m + 5, m))
    y = rng.standard_normal(m + 5)
    G, c = X.T @ X, X.T @ y
    free = np.full(m, np.inf)
    order, inside = np.zeros(m, np.int64), np.zeros(m, np.int64)
    return (
        G,
        np.zeros(m),
        -c,
        c,
        np.ones(m),
        -free,
        free,
        float(y @ y),
        1e-9,
        100,
        np.zeros((m, m)),
        order,
        inside,
        np.zeros(1, np.int64),
        BALANCE,
    )


solve_residual = sequential_kernel(
    "solve_residual",
    """Coordinate descent on columns, with the residual and no Gram matrix.

    min |y - X w|^2 / 2 + sum_j ridge_j w_j^2 / 2 + lam_j |w_j| within bounds, to an
    absolute gap, over the ``active`` columns; writes ``w``, ``r = y - X w`` and their
    slopes ``-X^T r``, returns (gap, epochs).
    """,
    numpy="numopt.coordinate._kernels_cpu.residual:solve_residual",
)


@solve_residual.example
def _(rng: np.random.Generator, dtype: Any, size: int) -> tuple[Any, ...]:
    m = min(size, 40)
    rows = rng.standard_normal((m, m + 5))
    y = rng.standard_normal(m + 5)
    free = np.full(m, np.inf)
    return (
        rows,
        np.arange(m),
        np.zeros(m),
        y.copy(),
        -rows @ y,
        np.sum(rows**2, axis=1),
        rows @ y,
        np.full(m, 0.1),
        np.ones(m),
        -free,
        free,
        float(y @ y),
        1e-9,
        60,
    )


#: Newton work allowed per unit of descent work: keeps either within twice the better.
BALANCE = 0.1

descend_gram_groups = sequential_kernel(
    "descend_gram_groups",
    """Block descent on a Gram matrix for group penalties, extrapolated.

    min yy/2 - c^T w + w^T G w / 2 + sum_g lam_g ||w_g|| + sum_j l1_j |w_j| over
    ``w >= lower`` (0 or -inf), to an absolute gap; writes ``w`` and ``q = G w - c``,
    returns (gap, epochs, flips). ``curvature``, ascending in a group, bounds the
    diagonal blocks of G from above; where it is not constant there are no other terms.
    """,
    numpy="numopt.coordinate._kernels_cpu.groups:descend_gram_groups",
)

descend_groups = sequential_kernel(
    "descend_groups",
    """The same on columns, row j of ``rows`` being column j of X.

    Writes ``w``, the residual ``r = y - X w`` and ``q = -X^T r``.
    """,
    numpy="numopt.coordinate._kernels_cpu.groups:descend_groups",
)


def _groups_example(rng: np.random.Generator, size: int) -> tuple[Any, ...]:
    """Columns of groups, their terms and a start."""
    groups = min(size, 12)
    m = 3 * groups
    rows = rng.standard_normal((m, m + 5))
    y = rng.standard_normal(m + 5)
    curvature = np.full(m, float(np.sum(rows**2)))
    weights, bounds = (np.ones(groups), np.full(m, 0.1)), np.full(m, -np.inf)
    terms = (*weights, bounds, curvature, float(y @ y), 1e-9, 60)
    return rows, y, np.arange(0, m + 1, 3), terms


@descend_gram_groups.example
def _(rng: np.random.Generator, dtype: Any, size: int) -> tuple[Any, ...]:
    rows, y, starts, terms = _groups_example(rng, size)
    c = rows @ y
    return rows @ rows.T, starts, np.zeros(c.size), -c, c, *terms


@descend_groups.example
def _(rng: np.random.Generator, dtype: Any, size: int) -> tuple[Any, ...]:
    rows, y, starts, terms = _groups_example(rng, size)
    c = rows @ y
    return rows, starts, np.zeros(c.size), y, -c, c, *terms


column_products = sequential_kernel(
    "column_products",
    """Products of a vector with some columns, row j of ``rows`` being column j.""",
    numpy="numopt.coordinate._kernels_cpu.residual:column_products",
)


@column_products.example
def _(rng: np.random.Generator, dtype: Any, size: int) -> tuple[Any, ...]:
    m = min(size, 40) + 3
    return rng.standard_normal((m, 7)), np.array([2, 0]), rng.standard_normal(7)


standardize = sequential_kernel(
    "standardize",
    """Rows minus their weighted means, times factors, in place; their squared norms.

    Empty weights or factors are left out. Rows that are constant up to rounding, with
    squares below ``least`` times that of the mean, become 0.
    """,
    numpy="numopt.coordinate._kernels_cpu.residual:standardize",
)


@standardize.example
def _(rng: np.random.Generator, dtype: Any, size: int) -> tuple[Any, ...]:
    rows = rng.standard_normal((min(size, 5) + 1, 7))
    return rows, np.full(7, 1 / 7), np.ones(7), 1e-12


sparse_gram = sequential_kernel(
    "sparse_gram",
    """Columns ``first:`` of the Gram matrix ``X^T X`` of a CSR matrix with sorted rows.

    Gustavson (1978), "Two fast algorithms for sparse matrices", section 3.
    """,
    numpy="numopt.coordinate._kernels_cpu.sparse:sparse_gram",
)


@sparse_gram.example
def _(rng: np.random.Generator, dtype: Any, size: int) -> tuple[Any, ...]:
    n, p = min(size, 50), 4
    indices = np.tile(np.arange(p, dtype=np.int32), n)
    indptr = np.arange(0, n * p + 1, p, dtype=np.int32)
    return rng.standard_normal(n * p), indices, indptr, p, 1


gather_rows = sequential_kernel(
    "gather_rows",
    """Some columns of a CSC matrix by rows, each row multiplied by its scale.

    Returns (data, columns, indptr) of a CSR matrix.
    """,
    numpy="numopt.coordinate._kernels_cpu.sparse:gather_rows",
)

column_sums = sequential_kernel(
    "column_sums",
    """Weighted sums of some columns of a CSC matrix.""",
    numpy="numopt.coordinate._kernels_cpu.sparse:column_sums",
)

column_squares = sequential_kernel(
    "column_squares",
    """Squared norms of the columns of a CSC matrix, from its values and ``indptr``.""",
    numpy="numopt.coordinate._kernels_cpu.sparse:column_squares",
)


@column_squares.example
def _(rng: np.random.Generator, dtype: Any, size: int) -> tuple[Any, ...]:
    return rng.standard_normal(2 * size), 2 * np.arange(size + 1)


@gather_rows.example
@column_sums.example
def _(rng: np.random.Generator, dtype: Any, size: int) -> tuple[Any, ...]:
    n, p = min(size, 50), 4
    indices = np.tile(np.arange(n, dtype=np.int32), p)
    indptr = np.arange(0, n * p + 1, max(n, 1), dtype=np.int32)[: p + 1]
    indptr = np.resize(indptr, p + 1) if n else np.zeros(p + 1, np.int32)
    values = rng.standard_normal(n * p)
    return values, indices, indptr, np.array([0, 2]), rng.random(n)


find_reaching = sequential_kernel(
    "find_reaching",
    """Coordinates whose product is wanted, or may reach a share of its limit.

    A product is within ``slack`` of the truth.
    """,
    numpy="numopt.coordinate._kernels_cpu.screening:find_reaching",
)

find_beyond = sequential_kernel(
    "find_beyond",
    """Largest ratio of a product to its limit; what is above 1 outside a working set.

    Returns (largest ratio, number of coordinates above 1, the ``most`` with the largest
    ratios).
    """,
    numpy="numopt.coordinate._kernels_cpu.screening:find_beyond",
)

find_near = sequential_kernel(
    "find_near",
    """Coordinates in use, or whose slope reaches a share of their threshold.""",
    numpy="numopt.coordinate._kernels_cpu.screening:find_near",
)


@find_reaching.example
def _(rng: np.random.Generator, dtype: Any, size: int) -> tuple[Any, ...]:
    slack = np.maximum(rng.standard_normal(size), 0.0)
    wanted = rng.random(size) < 0.1
    return rng.standard_normal(size), slack, np.full(size, 1.5), wanted, 0.9


@find_beyond.example
def _(rng: np.random.Generator, dtype: Any, size: int) -> tuple[Any, ...]:
    inside = rng.random(size) < 0.1
    return rng.standard_normal(size), np.full(size, 1.5), inside, 2


@find_near.example
def _(rng: np.random.Generator, dtype: Any, size: int) -> tuple[Any, ...]:
    w = np.maximum(rng.standard_normal(size), 0.0)
    return w, rng.standard_normal(size), np.ones(size), 0.85


norm_ratios = sequential_kernel(
    "norm_ratios",
    """Norms of the products of every group relative to its limit, 0 without one.""",
    numpy="numopt.coordinate._kernels_cpu.screening:norm_ratios",
)


@norm_ratios.example
def _(rng: np.random.Generator, dtype: Any, size: int) -> tuple[Any, ...]:
    indptr = np.arange(0, 2 * size + 1, 2)
    limits = np.arange(size) / 3.0
    return rng.standard_normal(2 * size), indptr, rng.permutation(2 * size), limits


sort_units = sequential_kernel(
    "sort_units",
    """Units that stay in a working set, and those that are to enter it.

    Those in use stay, and those inside that are free or whose score is near 1; others
    enter from the score ``entry`` on.
    """,
    numpy="numopt.coordinate._kernels_cpu.screening:sort_units",
)


@sort_units.example
def _(rng: np.random.Generator, dtype: Any, size: int) -> tuple[Any, ...]:
    marks = (rng.random(size) < 0.5 for _ in range(3))
    return rng.random(size), *marks, 0.4, 0.6
