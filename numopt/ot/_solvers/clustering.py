# SPDX-License-Identifier: BSD-3-Clause
"""k-means whose assignment is a transport problem: sizes, outliers, neighbours."""

import dataclasses
import math
from typing import Any

import numpy as np

from numopt._numerics.distances import pairwise_distances
from numopt.ot._solvers.exact import ot_exact
from numopt.ot._solvers.progressive import (
    ProgressiveResult,
    mass_ramp,
    progressive_partial_ot,
)

__all__ = ["Clustering", "ClusteringOptions", "hard_labels", "transport_k_means"]

#: Iterations of the ramp of the mass, and error of the transport problems.
RAMP, TRANSPORT_TOL = 10, 1e-6


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClusteringOptions:
    """What the assignment is to respect; costs are in units of ``scale``."""

    reg: float
    balance: float
    mass: float
    mass_start: float | None
    graph: Any
    graph_weight: float
    max_iter: int
    tol: float
    scale: float

    @property
    def reg_kl(self) -> float:
        """Price of unequal sizes: inf at balance 1, 0 at balance 0."""
        return math.inf if self.balance == 1 else self.balance / (1 - self.balance)

    def mass_at(self, step: int) -> float:
        """Mass to assign in an iteration."""
        if self.mass_start is None:
            return self.mass
        return mass_ramp(step, RAMP, self.mass_start, self.mass)

    @property
    def ramp(self) -> int:
        """Iterations before the mass is the final one."""
        return 0 if self.mass_start is None else RAMP


@dataclasses.dataclass(frozen=True)
class Clustering:
    """Centres, the last assignment and the number of iterations."""

    centers: np.ndarray
    result: ProgressiveResult
    n_iter: int
    converged: bool


def transport_k_means(
    X: np.ndarray, centers: np.ndarray, options: ClusteringOptions
) -> Clustering:
    """Alternate assignments by transport and weighted means until centres settle."""
    result: Any = None
    for step in range(options.max_iter):
        result = assign(X, centers, options, step, result)
        moved = weighted_means(X, result.plan, centers)
        shift = float(np.sum((moved - centers) ** 2)) / options.scale
        centers = moved
        if step >= options.ramp and shift <= options.tol:
            return Clustering(centers, result, step + 1, True)
    return Clustering(centers, result, options.max_iter, False)


def assign(
    X: np.ndarray,
    centers: np.ndarray,
    options: ClusteringOptions,
    step: int,
    start: ProgressiveResult | None = None,
) -> ProgressiveResult:
    """Solve the assignment to given centres."""
    return progressive_partial_ot(
        pairwise_distances(X, centers, "sqeuclidean") / options.scale,
        options.mass_at(step),
        reg=options.reg,
        reg_kl=options.reg_kl,
        graph=options.graph,
        graph_weight=options.graph_weight,
        tol=TRANSPORT_TOL,
        warmstart=start,
        warn=False,
    )


def weighted_means(X: np.ndarray, plan: np.ndarray, centers: np.ndarray) -> np.ndarray:
    """Means of the clusters; an empty cluster keeps its centre."""
    sizes = plan.sum(axis=0)[:, None]
    occupied = sizes > 1e-12 / len(X)
    return np.where(occupied, plan.T @ X / np.where(occupied, sizes, 1.0), centers)


def hard_labels(
    result: ProgressiveResult, costs: np.ndarray, *, equal: bool
) -> np.ndarray:
    """One cluster a sample, -1 for the samples left out.

    ``equal`` gives every cluster the floor or the ceiling of the mean size, at the
    least total cost. Otherwise samples are left out by the mass they have outside and
    the others go to their largest share.
    """
    n = len(costs)
    n_out = n - round(result.rho * n)
    if equal:
        return _equal_sizes(costs, n_out)
    labels = result.plan.argmax(axis=1)
    left_out = np.argsort(result.plan.sum(axis=1), kind="stable")[:n_out]
    labels[left_out] = -1
    return labels


def _equal_sizes(costs: np.ndarray, n_out: int) -> np.ndarray:
    """Solve the transport of unit samples to k clusters of nearly equal size.

    Every cluster takes its floor, and one more in a slot of its own; a dummy row fills
    the slots that stay empty; samples left out go to a column of no cost. Vertices of
    this program are integer.
    """
    n, k = costs.shape
    floor, extra = divmod(n - n_out, k)
    empty = k - extra
    M = np.zeros((n + 1, 2 * k + 1))
    M[:n, :k] = M[:n, k : 2 * k] = costs
    M[n, :k] = M[n, 2 * k] = math.inf
    rows = np.append(np.ones(n), float(empty))
    columns = np.concatenate([np.full(k, float(floor)), np.ones(k), [float(n_out)]])
    plan = ot_exact(rows, columns, M, warn=False).plan[:n]
    column = plan.argmax(axis=1)
    return np.where(column == 2 * k, -1, column % k)
