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

__all__ = ["block_bound", "deal_blocks", "swap_rows"]

BLOCK_ROWS = 300
BLOCK_GAP = 1e-3
BLOCK_ITERATIONS = 150
#: Exchanges of rows between blocks that are tried.
SWAPS_PER_ROW = 5


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


def swap_rows(
    problem: KMeansProblem,
    labels: np.ndarray,
    blocks: list[np.ndarray],
    rng: np.random.Generator,
) -> list[np.ndarray]:
    """Exchange rows of one cluster between blocks while their inertia grows.

    The sum of the blocks' inertias is that of all rows less what the means of a
    cluster differ from block to block; blocks that each resemble the whole lose least.
    """
    points = _host_points(problem)
    if points is None or len(blocks) < 2:
        return blocks
    part = np.empty(labels.size, np.int64)
    for b, index in enumerate(blocks):
        part[index] = b
    K = int(labels.max()) + 1
    cell = part * K + labels
    counts = np.bincount(cell, minlength=len(blocks) * K).astype(float)
    sums = np.zeros((len(blocks) * K, points.shape[1]))
    np.add.at(sums, cell, points)
    by_label = [np.flatnonzero(labels == k) for k in range(K)]
    first = rng.integers(labels.size, size=SWAPS_PER_ROW * labels.size)
    for i in first:
        mates = by_label[labels[i]]
        j = mates[rng.integers(mates.size)]
        a, b = cell[i], cell[j]
        if a == b:
            continue
        # Within-inertia is ||x||^2 - ||sum||^2 / count: smaller sums are better.
        change = points[j] - points[i]
        square = float(change @ change)
        rise = (2 * float(sums[a] @ change) + square) / counts[a]
        rise += (-2 * float(sums[b] @ change) + square) / counts[b]
        if rise < 0:
            sums[a] += change
            sums[b] -= change
            part[i], part[j] = part[j], part[i]
            cell[i], cell[j] = b, a
    return [np.flatnonzero(part == b) for b in range(len(blocks))]


def _host_points(problem: KMeansProblem) -> np.ndarray | None:
    """Dense rows on the host; None where rows are sparse or live elsewhere."""
    rows = problem.rows
    if isinstance(rows, DenseRows) and isinstance(rows.X, np.ndarray):
        return rows.X
    return None


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
        blocks = deal_blocks(problem, labels, n_clusters, n_blocks)
        for index in swap_rows(problem, labels, blocks, rng):
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
    solver = FantopeSolver(n_clusters, BLOCK_GAP, 1e-6, None, rng)
    fields: dict[str, Any] = iterate(
        solver,
        part,
        tol=1e-6,
        max_iter=BLOCK_ITERATIONS,
        check_every=10,
        warm_start=FantopeStart(labels, inertia, bound, dual),
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
