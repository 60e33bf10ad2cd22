# SPDX-License-Identifier: BSD-3-Clause
"""Constructors: nearest rounding, Babai's plane and K-best closest-vector search."""

import numpy as np
from scipy.linalg import cholesky, qr, solve_triangular

from numopt.dmmv._kernels import k_best
from numopt.dmmv._problem.core import Core
from numopt.dmmv._solvers.lattice import Basis

__all__ = ["beam_points", "best_of", "column_order"]

WIDTH = 3
#: Relative damping that keeps the factor of a rank-deficient matrix regular.
DAMPING = 1e-6
UNBOUNDED = 1e15
#: Pivots below this share of the largest are those of dependent directions.
DEPENDENT = 1e-13
#: Variables up to which sparse columns get a dense factor.
LARGEST_FACTOR = 4000


def column_order(core: Core) -> np.ndarray:
    """Ascending column norm: the search decides from the last, the longest, on."""
    return np.argsort((core.At * core.At).sum(axis=1), kind="stable")


def beam_points(
    core: Core,
    basis: Basis,
    target: np.ndarray,
    prior: np.ndarray,
    *,
    keep: int,
    width: int = WIDTH,
    row_weights: np.ndarray | None = None,
    order: np.ndarray | None = None,
) -> np.ndarray:
    """Return index vectors (K, n) near ``argmin |A x - target|``, best first.

    Unit steps are bounded and damped towards ``prior``, a point of the box; lattice
    directions know no bounds, and points that leave the box are pulled back. They are
    damped where their responses are dependent.
    """
    if basis.unit:
        return _bounded(core, target, prior, keep, width, row_weights, order)
    D = basis.D if row_weights is None else basis.D * row_weights
    t = target if row_weights is None else target * row_weights
    Q, R = qr(D.T, mode="economic")
    pivots = np.abs(np.diagonal(R))
    if pivots.size < core.n or not pivots.min() > DEPENDENT * pivots.max():
        damping = np.sqrt(DAMPING * np.mean(np.sum(core.At**2, axis=1)))
        Q, R = qr(np.vstack([D.T, damping * basis.moves.T]), mode="economic")
        t = np.concatenate([t, damping * prior])
    free = np.full(core.n, UNBOUNDED)
    points, costs = k_best(
        np.ascontiguousarray(R),
        np.ascontiguousarray((Q.T @ t)[None, :]),
        np.zeros((core.n, 0)),
        -free,
        free,
        keep,
        width,
        keep,
    )
    found = points[0][np.isfinite(costs[0])]
    k = np.rint(found).astype(np.int64) @ basis.moves
    return np.unique(np.clip(k, core.k_low, core.k_high), axis=0)


def _bounded(
    core: Core,
    target: np.ndarray,
    prior: np.ndarray,
    keep: int,
    width: int,
    row_weights: np.ndarray | None,
    order: np.ndarray | None,
) -> np.ndarray:
    order = column_order(core) if order is None else order
    factor = _sparse_factor if core.sparse else _factor
    R, c = factor(core, target, prior[order], row_weights, order)
    low, high = core.bounds()
    table = np.ascontiguousarray(core.table[order])
    bounds = low[order], high[order]
    points, costs = k_best(
        np.ascontiguousarray(R), c[None, :], table, *bounds, keep, width, keep
    )
    values = np.empty_like(points[0])
    values[:, order] = points[0]
    values = values[np.isfinite(costs[0])]
    if core.even:
        return np.unique(np.rint(values).astype(np.int64), axis=0)
    return np.unique(np.array([core.nearest(x) for x in values]), axis=0)


def _factor(
    core: Core,
    target: np.ndarray,
    prior: np.ndarray,
    row_weights: np.ndarray | None,
    order: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return R and c so that ``|R z - c|`` is the damped error of reordered columns."""
    A = core.At.T[:, order]
    A = A if row_weights is None else A * row_weights[:, None]
    t = target if row_weights is None else target * row_weights
    damping = np.sqrt(DAMPING * np.mean(np.sum(A**2, axis=0)))
    Q, R = qr(np.vstack([A, damping * np.eye(core.n)]), mode="economic")
    return R, Q.T @ np.concatenate([t, damping * prior])


def _sparse_factor(
    core: Core,
    target: np.ndarray,
    prior: np.ndarray,
    row_weights: np.ndarray | None,
    order: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """The same by the Gram matrix, the rows of which are too many for a dense one."""
    if core.n > LARGEST_FACTOR:
        raise ValueError(
            f"`method` 'beam' and 'babai' take at most {LARGEST_FACTOR} variables of a "
            f"large sparse matrix, got {core.n}; 'auto', 'anneal' and 'polish' take any"
        )
    At = core.At[order]
    weighted = At if row_weights is None else At * row_weights**2
    gram = (weighted @ At.T).toarray()
    damping = DAMPING * np.mean(np.diag(gram))
    R = cholesky(gram + damping * np.eye(core.n))
    right = weighted @ target + damping * prior
    return R, solve_triangular(R, right, trans="T")


def best_of(core: Core, points: np.ndarray, count: int) -> np.ndarray:
    """Return the ``count`` index vectors of least violation, best first."""
    violations = core.violations(points)
    return points[np.argsort(violations, kind="stable")[:count]]
