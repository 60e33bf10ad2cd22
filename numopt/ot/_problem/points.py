# SPDX-License-Identifier: BSD-3-Clause
"""Balanced transport between two clouds of points."""

import dataclasses
import math
from typing import Any, Self

from numopt import _validation as v
from numopt._array.namespace import array_namespace, to_numpy
from numopt.ot._kernels.clouds import METRICS, pair_costs
from numopt.ot._problem.balanced import CoreProblem, core_weights
from numopt.ot._problem.clouds import Cloud, CloudCost
from numopt.ot._problem.weights import (
    NEGLIGIBLE,
    SUM_TOLERANCE,
    check_weights,
    dtype_name,
    equal_masses,
    kept_points,
)
from numopt.typing import Array, Namespace

__all__ = ["POINT_METRICS", "PointsProblem", "kept_cloud"]

POINT_METRICS = (*METRICS, "cosine")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PointsProblem:
    """Validated data of transport between clouds X (n, d) and Y (m, d).

    ``centre`` is the mean of all points, which passes subtract.
    """

    X: Array
    Y: Array
    a: Array
    b: Array
    reg: float
    mass: float
    metric: str
    batch: int
    centre: Array

    @classmethod
    def from_arrays(
        cls, X: Any, Y: Any, a: Any, b: Any, reg: Any, *, metric: Any, batch_size: Any
    ) -> Self:
        """Validate; ``a=None`` and ``b=None`` mean uniform weights of total 1."""
        reg = v.check_real("reg", reg, low=0, include_low=False)
        v.check_choice("metric", metric, POINT_METRICS)
        batch = (
            0 if batch_size is None else v.check_int("batch_size", batch_size, low=1)
        )
        xp, (X, Y, a, b) = v.float_arrays(X=X, Y=Y, a=a, b=b)
        for name, points in (("X", X), ("Y", Y)):
            v.check_ndim(name, points, 2, hint="points on a line: reshape(-1, 1)")
            v.check_values(name, points)
        if X.shape[1] != Y.shape[1]:
            raise ValueError(
                "`X` and `Y` must have points of the same dimension, got "
                f"{X.shape[1]} and {Y.shape[1]}"
            )
        if metric == "cosine":
            for name, points in (("X", X), ("Y", Y)):
                if not bool(xp.all(xp.any(points != 0, axis=1))):
                    raise ValueError(
                        v.message(name, "without zero rows for cosine", "one")
                    )
        a = check_weights("a", a, X.shape[0], X, xp)
        b = check_weights("b", b, Y.shape[0], Y, xp)
        v.check_shape("a", a, (X.shape[0],), why="(len(X),)")
        v.check_shape("b", b, (Y.shape[0],), why="(len(Y),)")
        a, b, mass = equal_masses(a, b, xp, SUM_TOLERANCE[dtype_name(X, xp)])
        points = [
            embedded(xp.astype(x, xp.float64, copy=False), metric) for x in (X, Y)
        ]
        total = sum(xp.sum(x, axis=0) for x in points)
        return cls(
            X=X,
            Y=Y,
            a=a,
            b=b,
            reg=reg,
            mass=mass,
            metric=metric,
            batch=batch,
            centre=total / (X.shape[0] + Y.shape[0]),
        )

    @property
    def xp(self) -> Namespace:
        """Array namespace (looked up: results are pickled, modules cannot be)."""
        return array_namespace(self.X)

    @property
    def M(self) -> Array:
        """The cost as a matrix, made anew on every use."""
        X, Y = self.coordinates(self.X), self.coordinates(self.Y)
        costs = pair_costs(X, self.xp.matrix_transpose(Y), self.metric_number)
        return self.xp.astype(costs, self.X.dtype)

    @property
    def kernel_metric(self) -> str:
        """Metric of the coordinates that kernels see."""
        return "sqeuclidean" if self.metric == "cosine" else self.metric

    @property
    def metric_number(self) -> int:
        """Its number."""
        return METRICS.index(self.kernel_metric)

    def coordinates(self, points: Array) -> Array:
        """Points in float64 as kernels see them, around the common mean."""
        xp = self.xp
        points = xp.astype(points, xp.float64, copy=False)
        return embedded(points, self.metric) - self.centre

    def core(self, tol: float) -> CoreProblem:
        """Drop empty points, order the sides and the points of each, mass 1.

        Passes may leave out a small fraction of ``tol``.
        """
        xp = self.xp
        swapped = self.Y.shape[0] > self.X.shape[0]
        rows = kept_cloud(self, self.X, self.a)
        columns = kept_cloud(self, self.Y, self.b)
        (X, a, _), (Y, b, _) = (columns, rows) if swapped else (rows, columns)
        fields = core_weights(a, b, xp)
        logs = fields["log_a"], fields["log_b"]
        metric, size = self.kernel_metric, cost_bound(X, Y, self.kernel_metric)
        return CoreProblem(
            **fields,
            xp=xp,
            cost=CloudCost((X, Y), metric, logs, batch=self.batch, tol=tol),
            eps=self.reg,
            rows=rows[2],
            columns=columns[2],
            swapped=swapped,
            finite=True,
            cost_range=size,
            cost_size=size,
        )


def kept_cloud(
    problem: PointsProblem, points: Array, w: Array, *, negligible: float = NEGLIGIBLE
) -> tuple[Cloud, Array, Array | None]:
    """The points whose weight matters in leaves, their weights, and which they are."""
    xp = problem.xp
    kept = kept_points(w, xp, negligible=negligible)
    if kept is not None:
        points, w = xp.take(points, kept, axis=0), xp.take(w, kept)
    cloud, order = Cloud.from_points(problem.coordinates(points))
    if order is not None:
        w = xp.take(w, order)
        kept = order if kept is None else xp.take(kept, order)
    return cloud, w, kept


def embedded(points: Array, metric: str) -> Array:
    """Coordinates in which a cosine distance is a squared Euclidean one."""
    if metric != "cosine":
        return points
    xp = array_namespace(points)
    return points / xp.sqrt(2.0 * xp.sum(points**2, axis=1, keepdims=True))


def cost_bound(X: Cloud, Y: Cloud, metric: str) -> float:
    """Bound on the costs: by the box of all points, and by the radii."""
    xp = array_namespace(X.points)
    low = xp.minimum(xp.min(X.low, axis=0), xp.min(Y.low, axis=0))
    high = xp.maximum(xp.max(X.high, axis=0), xp.max(Y.high, axis=0))
    if metric == "cityblock":
        return float(to_numpy(xp.sum(high - low)))
    diagonal = float(to_numpy(xp.sum((high - low) ** 2)))
    radii = [xp.sqrt(xp.max(xp.sum(c.points**2, axis=1))) for c in (X, Y)]
    size = min(diagonal, float(to_numpy(sum(radii))) ** 2)
    return math.sqrt(size) if metric == "euclidean" else size
