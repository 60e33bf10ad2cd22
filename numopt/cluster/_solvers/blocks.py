# SPDX-License-Identifier: BSD-3-Clause
"""Bounds from disjoint blocks of rows: their optima add up to at most the optimum."""

import math
from typing import Any

import numpy as np

from numopt._array.namespace import to_numpy
from numopt._iterate.loop import iterate
from numopt.cluster._problem import DenseRows, KMeansProblem, SparseRows
from numopt.cluster._solvers.blas import calm_blas
from numopt.cluster._solvers.dual import ClippedDual, DualBound, best_clipped_bound
from numopt.cluster._solvers.fantope import FantopeSolver, FantopeStart
from numopt.cluster._solvers.primal import canonical_labels

__all__ = ["block_bound", "deal_blocks"]

BLOCK_ROWS = 300
BLOCK_GAP = 1e-3
BLOCK_ITERATIONS = 150


def deal_blocks(
    problem: KMeansProblem, labels: np.ndarray, n_clusters: int, n_blocks: int
) -> list[np.ndarray]:
    """Deal the rows of every cluster round-robin by distance to its mean.

    Every block then resembles the whole, so its optimum is near its share of W.
    """
    margins = problem.margins(labels, n_clusters)
    # Margins to the nearest other cluster order rows from the border inwards.
    host = np.array(to_numpy(margins))
    host[np.arange(labels.size), labels] = np.inf
    nearest = host.min(axis=1)
    blocks: list[list[np.ndarray]] = [[] for _ in range(n_blocks)]
    turn = 0
    for a in range(n_clusters):
        members = np.flatnonzero(labels == a)
        members = members[np.argsort(nearest[members], kind="stable")]
        for b in range(n_blocks):
            blocks[(b + turn) % n_blocks].append(members[b::n_blocks])
        turn += members.size
    return [np.sort(np.concatenate(parts)) for parts in blocks]


def block_bound(
    problem: KMeansProblem,
    labels: np.ndarray,
    n_clusters: int,
    rng: np.random.Generator,
) -> DualBound:
    """Return the sum of the bounds of all blocks (Croella et al. 2025)."""
    n_blocks = max(1, math.ceil(problem.n / max(BLOCK_ROWS, 4 * n_clusters)))
    value = slack = 0.0
    with calm_blas(BLOCK_ROWS):
        for index in deal_blocks(problem, labels, n_clusters, n_blocks):
            found = _bound_of_block(problem, index, labels[index], n_clusters, rng)
            value += max(found.value, 0.0)
            slack += found.slack
    return DualBound(value, slack, math.nan)


def _bound_of_block(
    problem: KMeansProblem,
    index: np.ndarray,
    labels: np.ndarray,
    n_clusters: int,
    rng: np.random.Generator,
) -> DualBound:
    """Bound on the best inertia of the rows of one block into K clusters."""
    part = _restrict(problem, index)
    labels = canonical_labels(labels)
    if int(labels.max()) + 1 < n_clusters or index.size <= n_clusters:
        return DualBound(0.0, 0.0, math.nan)
    inertia = part.inertia(labels, n_clusters)
    if inertia == 0:
        return DualBound(0.0, 0.0, math.nan)
    dual = ClippedDual(part, labels, n_clusters)
    bound = best_clipped_bound(dual, inertia * (1 - BLOCK_GAP))
    if part.gap(inertia, bound.value) <= BLOCK_GAP:
        return bound
    start = DualBound(bound.value, bound.slack, math.nan, dual.matrix(bound.lambda_))
    solver = FantopeSolver(n_clusters, BLOCK_GAP, 1e-6, None, rng)
    fields: dict[str, Any] = iterate(
        solver,
        part,
        tol=1e-6,
        max_iter=BLOCK_ITERATIONS,
        check_every=10,
        warm_start=FantopeStart(labels, inertia, start),
        warn=False,
    )
    return fields["state"].bound


def _restrict(problem: KMeansProblem, index: np.ndarray) -> KMeansProblem:
    """The problem of some rows, centred again."""
    rows = problem.data.take(index)
    if isinstance(rows, DenseRows):
        xp = problem.xp
        rows = DenseRows(rows.X - xp.mean(rows.X, axis=0)[None, :])
    else:
        rows = SparseRows(rows.A, np.asarray(rows.A.mean(axis=0)).ravel())
    return KMeansProblem._from_rows(
        rows, problem.center, 1.0, problem.total, problem.dtype
    )
