# SPDX-License-Identifier: BSD-3-Clause
"""Costs between two clouds of points, computed from the coordinates on every pass.

Points are ordered so that consecutive ones are close: leaves of a tree of median splits
(Bentley 1975), whose boxes tell a pass which pairs of leaves it may leave out.
"""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any, Self

import numpy as np

from numopt._array.namespace import array_namespace, namespace_key, numpy_namespace
from numopt.ot._kernels.clouds import (
    METRICS,
    cloud_count,
    cloud_entries,
    cloud_pass,
    cloud_product,
)
from numopt.ot._problem.cost import Cost
from numopt.typing import Array

__all__ = ["Cloud", "CloudCost", "Coupling"]

#: Most points of a node of the tree, and nodes of a leaf: a few registers of columns.
NODE, NODES = 4, 16
#: A pass leaves out at most this fraction of tol, and rounding's; float32 passes more.
DROPPED, ROUNDING, ROUNDING_SINGLE = 1e-2, 1e-17, 1e-9


@dataclasses.dataclass(frozen=True, eq=False)
class Cloud:
    """Points (n, d), also by coordinate (d, n), in leaves with their boxes.

    ``nodes`` are the bounds of the nodes that leaves are made of.
    """

    points: Array
    by_coordinate: Array
    bounds: Array
    low: Array
    high: Array
    nodes: np.ndarray

    @classmethod
    def from_points(cls, points: Array) -> tuple[Self, Array | None]:
        """Order points into leaves, where bodies of kernels make use of them."""
        xp = array_namespace(points)
        if namespace_key(xp) != "numpy":
            nodes = np.array([0, points.shape[0]])
            low, high = xp.min(points, axis=0), xp.max(points, axis=0)
            turned, bounds = xp.matrix_transpose(points), xp.asarray(nodes)
            boxes = low[None, :], high[None, :]
            return cls(points, turned, bounds, *boxes, nodes), None
        order, nodes = median_order(points, NODE)
        points = np.ascontiguousarray(points[order])
        bounds = np.append(nodes[:-1:NODES], nodes[-1])
        low = np.minimum.reduceat(points, bounds[:-1], axis=0)
        high = np.maximum.reduceat(points, bounds[:-1], axis=0)
        turned = np.ascontiguousarray(points.T)
        return cls(points, turned, bounds, low, high, nodes), order

    @functools.cached_property
    def single(self) -> "Cloud":
        """The same in float32."""
        xp = array_namespace(self.points)
        names = ("points", "by_coordinate", "low", "high")
        cast = {name: xp.astype(getattr(self, name), xp.float32) for name in names}
        return dataclasses.replace(self, **cast)

    def like(self, x: Array) -> "Cloud":
        """The cloud in the precision of an array."""
        return self if x.dtype == self.points.dtype else self.single


def median_order(points: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Order points by median splits along the widest side, down to nodes.

    Returns the order and the bounds of the nodes, of about size / 2 to size points.
    """
    n = points.shape[0]
    order, bounds = np.arange(n), np.array([0, n])
    for _ in range(max(0, math.ceil(math.log2(n / size)))):
        sorted_points = points[order]
        high = np.maximum.reduceat(sorted_points, bounds[:-1], axis=0)
        low = np.minimum.reduceat(sorted_points, bounds[:-1], axis=0)
        widest = np.argmax(high - low, axis=1)
        node = np.repeat(np.arange(widest.size), np.diff(bounds))
        key = sorted_points[np.arange(n), widest[node]]
        order = order[np.lexsort((key, node))]
        middle = (bounds[:-1] + bounds[1:]) // 2
        bounds = np.append(np.stack([bounds[:-1], middle], axis=1).ravel(), n)
    return order, bounds


@dataclasses.dataclass(frozen=True, eq=False)
class Coupling:
    """A pair of clouds with logarithmic weights: what every pass over them needs."""

    X: Cloud
    Y: Cloud
    metric: int
    batch: int
    log_a: Array
    log_b: Array
    skip: float

    @property
    def transposed(self) -> "Coupling":
        """Rows and columns exchanged."""
        return dataclasses.replace(
            self, X=self.Y, Y=self.X, log_a=self.log_b, log_b=self.log_a
        )

    def run(
        self, kernel: Any, gamma: Array, phi: Array, inv_eps: float, *more: Any
    ) -> Any:
        """Run a kernel with scaled potentials, in the precision of gamma."""
        xp = array_namespace(gamma)
        skip = self.skip
        if gamma.dtype == xp.float32:
            skip = max(skip, math.log(ROUNDING_SINGLE))
        log_a, log_b = (
            xp.astype(x, gamma.dtype, copy=False) for x in (self.log_a, self.log_b)
        )
        pair = self.pair(gamma)
        body = kernel.for_namespace(xp)
        return body(*pair, gamma, phi, log_a, log_b, inv_eps, skip, *more)

    def pair(self, like: Array) -> tuple[Any, ...]:
        """The pair of clouds as kernels take it."""
        X, Y = self.X.like(like), self.Y.like(like)
        rows = X.points, X.bounds, X.low, X.high
        columns = Y.by_coordinate, Y.bounds, Y.low, Y.high
        return *rows, *columns, self.metric, self.batch


class CloudCost(Cost):
    """Distances between two clouds; nothing of the size n * m is ever made."""

    #: Levels without a support stream the products of every Newton step.
    max_fractions = (0.01, 0.3)

    def __init__(
        self,
        clouds: tuple[Cloud, Cloud],
        metric: str,
        log_weights: tuple[Array, Array],
        *,
        batch: int,
        tol: float,
    ) -> None:
        X, Y = clouds
        leaves = max(X.bounds.shape[0], Y.bounds.shape[0])
        dropped = max(DROPPED * tol, ROUNDING)
        self.coupling = Coupling(
            X, Y, METRICS.index(metric), batch, *log_weights, math.log(dropped / leaves)
        )
        # A pair that is left out is missing in its rows, and so in all columns.
        self.dropped = 2.0 * dropped if leaves > 2 else 0.0

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and columns."""
        return self.coupling.X.points.shape[0], self.coupling.Y.points.shape[0]

    def fused_pass(
        self, gamma: Array, phi: Array, log_a: Array, inv_eps: float
    ) -> tuple[Array, Array]:
        """One sweep over the pairs of leaves that matter."""
        return self.relaxed_pass(gamma, phi, log_a, inv_eps, 1.0)

    def relaxed_pass(
        self, gamma: Array, phi: Array, log_a: Array, inv_eps: float, omega: float
    ) -> tuple[Array, Array]:
        """One sweep over the pairs of leaves that matter."""
        return self.coupling.run(cloud_pass, gamma, phi, inv_eps, omega)

    def column_update(self, phi: Array, log_b: Array, inv_eps: float) -> Array:
        """A row update with exchanged clouds."""
        turned = self.coupling.transposed
        return turned.run(cloud_pass, phi, log_b, inv_eps, 1.0)[0]

    def normal_operator(
        self, gamma: Array, phi: Array, inv_eps: float, inv_a: Array
    ) -> Callable[[Array], Array]:
        """Products with a plan that is computed anew for each."""
        return functools.partial(
            self.coupling.run, cloud_product, gamma, phi, inv_eps, inv_a
        )

    def support(
        self, h: Array, s: Array, inv_eps: float, limit: int
    ) -> tuple[int, Any]:
        """Two sweeps over the pairs of leaves that may hold an entry, in float64."""
        pair = self.coupling.pair(self.coupling.log_a)
        h, s = h.astype(np.float64), s.astype(np.float64)
        count = cloud_count.for_namespace(numpy_namespace)(*pair, h, s, inv_eps)
        nnz = int(count.sum())
        if nnz > limit:
            return nnz, None
        entries_of = cloud_entries.for_namespace(numpy_namespace)
        return nnz, entries_of(*pair, h, s, inv_eps, count)
