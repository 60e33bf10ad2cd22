# SPDX-License-Identifier: BSD-3-Clause
"""Weights on a regular grid of the line, the plane or space, and separable costs.

exp(-M / eps) is a Kronecker product over the axes, so that sums over all pairs of
pixels are transforms along one axis after the other: N sum_k n_k operations on a grid
of N = prod_k n_k pixels (N of them when the cost is a distance) instead of N^2.
"""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any, Self

import numpy as np

from numopt import _validation as v
from numopt._array.namespace import array_namespace, device, to_numpy
from numopt.ot._kernels.lines import (
    line_average,
    line_distance,
    line_logsum,
    line_products,
    line_weights,
)
from numopt.ot._problem.axis_sums import ScaledSums, axis_kernels, axis_products
from numopt.ot._problem.balanced import CoreProblem, core_weights
from numopt.ot._problem.cost import Cost
from numopt.ot._problem.weights import (
    LOG_ZERO,
    SUM_TOLERANCE,
    dtype_name,
    equal_masses,
    kept_points,
)
from numopt.typing import Array, Namespace

__all__ = [
    "Grid",
    "GridCost",
    "GridPlan",
    "GridProblem",
    "check_image",
    "check_power",
    "grid_cost",
    "grid_spacing",
]

#: Column sums above are of an unstable sweep; exp of their logarithm overflows.
LARGEST_LOG = 700.0
#: Weights along lines, both ways, up to which Hessian products store them.
LARGEST_STORED = 12_000_000
#: Longest axis whose kernel is stored, and kernels of how many eps are kept.
LONGEST_KERNEL, KEPT_KERNELS = 512, 4


@dataclasses.dataclass(frozen=True, slots=True)
class Grid:
    """Shape, distance of neighbours along each axis, and the power of the cost."""

    shape: tuple[int, ...]
    spacing: tuple[float, ...]
    power: int

    @property
    def size(self) -> int:
        """Number of pixels."""
        return math.prod(self.shape)

    @property
    def cost_range(self) -> float:
        """Largest cost, between opposite corners; the least is 0."""
        lengths = ((n - 1) * h for n, h in zip(self.shape, self.spacing, strict=True))
        return sum(length**self.power for length in lengths)

    def units(self, inv_eps: float) -> tuple[float, ...]:
        """Cost of one step along each axis, over eps."""
        return tuple(h**self.power * inv_eps for h in self.spacing)

    def logsums(self, x: Array, inv_eps: float) -> list[Array]:
        """Lines of every axis, last axis first, and the final sums, on the grid.

        The last entry is ``log sum_j exp(x_j - M_ij / eps)``; those before are what
        the transforms along each axis started from.
        """
        xp = array_namespace(x)
        transform = line_logsum.for_namespace(xp)
        stages = [x]
        for n, unit in self._axes(inv_eps):
            lines = xp.reshape(stages[-1], (-1, n))
            stages.append(transform(lines, unit, self.power))
        stages[-1] = xp.reshape(stages[-1], self.shape)
        return stages

    def averages(self, stages: list[Array], values: Array, inv_eps: float) -> Array:
        """Means of values on the grid under the weights of ``logsums``."""
        xp = array_namespace(values)
        transform = line_average.for_namespace(xp)
        for k, (n, unit) in enumerate(self._axes(inv_eps)):
            x, y = (xp.reshape(z, (-1, n)) for z in (stages[k], values))
            sums = xp.reshape(stages[k + 1], (n, -1))
            values = transform(x, sums, y, unit, self.power)
        return xp.reshape(values, self.shape)

    def weights(self, stages: list[Array], inv_eps: float) -> list[Array]:
        """Weights of ``averages`` as a matrix for every line, in float32."""
        xp = array_namespace(stages[0])
        make = line_weights.for_namespace(xp)
        made = []
        for k, (n, unit) in enumerate(self._axes(inv_eps)):
            x, sums = xp.reshape(stages[k], (-1, n)), xp.reshape(stages[k + 1], (n, -1))
            made.append(make(x, sums, unit, self.power, True))
        return made

    def products(self, weights: list[Array], values: Array) -> Array:
        """Means of values on the grid by stored weights."""
        xp = array_namespace(values)
        product = line_products.for_namespace(xp)
        for n, W in zip(self.shape[::-1], weights, strict=True):
            values = product(W, xp.reshape(values, (-1, n)))
        return xp.reshape(values, self.shape)

    def mean_costs(self, stages: list[Array], inv_eps: float) -> Array:
        """Mean costs from every pixel under the weights of ``logsums``."""
        xp = array_namespace(stages[0])
        axes = list(self._axes(inv_eps))
        total = xp.zeros_like(stages[-1])
        for axis in range(len(axes)):
            values = None
            for k, (n, unit) in enumerate(axes):
                x, sums = stages[k], xp.reshape(stages[k + 1], (n, -1))
                x = xp.reshape(x, (-1, n))
                if k == axis:
                    values = _line_cost(x, sums, unit, self.power) / inv_eps
                elif values is not None:
                    y = xp.reshape(values, (-1, n))
                    values = line_average(x, sums, y, unit, self.power)
            total = total + xp.reshape(values, self.shape)
        return total

    def coordinates(self, like: Array) -> list[Array]:
        """Coordinate along each axis, at every pixel."""
        xp = array_namespace(like)
        made = []
        for axis, (n, h) in enumerate(zip(self.shape, self.spacing, strict=True)):
            x = h * xp.arange(n, dtype=like.dtype, device=device(like))
            shape = tuple(n if k == axis else 1 for k in range(len(self.shape)))
            made.append(xp.broadcast_to(xp.reshape(x, shape), self.shape))
        return made

    def _axes(self, inv_eps: float) -> zip:
        """Length and unit cost of each axis, the last one first."""
        return zip(self.shape[::-1], self.units(inv_eps)[::-1], strict=True)


def _line_cost(x: Array, sums: Array, unit: float, power: int) -> Array:
    """Mean cost along lines, in units of eps."""
    if power == 1:
        return line_distance(x, sums, unit)
    xp = array_namespace(x)
    n = x.shape[1]
    # Centred positions: the mean of (i - j)^2 from the moments of j.
    j = xp.arange(n, dtype=x.dtype, device=device(x)) - 0.5 * (n - 1)
    moments = [
        line_average(x, sums, xp.asarray(y, copy=True), unit, 2)
        for y in (xp.broadcast_to(j, x.shape), xp.broadcast_to(j * j, x.shape))
    ]
    i = j[:, None]
    return unit * (i * i - 2.0 * i * moments[0] + moments[1])


class GridCost(Cost):
    """Passes over all pairs of pixels with positive weights.

    ``rows`` and ``columns`` are the kept pixels of the two sides (None: all).
    """

    def __init__(self, grid: Grid, rows: Array | None, columns: Array | None) -> None:
        self.grid = grid
        self._sides = (rows, columns)
        self._places = tuple(_places(kept, grid.size) for kept in self._sides)
        self._kernels: dict[float, list[Array]] = {}
        # From the first eps on whose sums left the range of float64.
        self._out_of_range = math.inf

    @property
    def shape(self) -> tuple[int, int]:
        """Number of pixels with weight on each side."""
        n, m = (
            self.grid.size if kept is None else kept.shape[0] for kept in self._sides
        )
        return n, m

    def spread(self, x: Array, side: int, fill: float) -> Array:
        """Values of the kept pixels of a side, on the whole grid."""
        xp, places = array_namespace(x), self._places[side]
        if places is not None:
            filler = xp.full((1,), fill, dtype=x.dtype, device=device(x))
            x = xp.take(xp.concat([x, filler]), places)
        return xp.reshape(x, self.grid.shape)

    def gather(self, x: Array, side: int) -> Array:
        """Values at the kept pixels of a side."""
        xp, kept = array_namespace(x), self._sides[side]
        x = xp.reshape(x, (-1,))
        return x if kept is None else xp.take(x, kept)

    def stages(self, x: Array, side: int, inv_eps: float) -> list[Array]:
        """Transforms of the potential of one side; the last is seen by the other."""
        return self.grid.logsums(self.spread(x, side, LOG_ZERO), inv_eps)

    def logsums(self, x: Array, side: int, inv_eps: float) -> Array:
        """Logarithms of sums of exp(x - M / eps) over one side, at the other's."""
        scaled = self.scaled_sums(x, side, inv_eps)
        if scaled is not None:
            return scaled.logarithms
        return self.gather(self.stages(x, side, inv_eps)[-1], 1 - side)

    def scaled_sums(self, x: Array, side: int, inv_eps: float) -> ScaledSums | None:
        """Return the same sums by products of matrices, or None out of their range."""
        grid = self.grid
        if inv_eps >= self._out_of_range or max(grid.shape) > LONGEST_KERNEL:
            return None
        if inv_eps not in self._kernels:
            if len(self._kernels) == KEPT_KERNELS:
                self._kernels.clear()
            units = grid.units(inv_eps)
            self._kernels[inv_eps] = axis_kernels(grid.shape, units, grid.power, x)
        kernels = self._kernels[inv_eps]

        def product(values: Array) -> Array:
            sums = axis_products(kernels, self.spread(values, side, 0.0))
            return self.gather(sums, 1 - side)

        made = ScaledSums.make(x, product)
        if made is None:
            self._out_of_range = inv_eps
        return made

    def fused_pass(
        self, gamma: Array, phi: Array, log_a: Array, inv_eps: float
    ) -> tuple[Array, Array]:
        """Row update and column sums."""
        return self.relaxed_pass(gamma, phi, log_a, inv_eps, 1.0)

    def relaxed_pass(
        self, gamma: Array, phi: Array, log_a: Array, inv_eps: float, omega: float
    ) -> tuple[Array, Array]:
        """Over-relaxed row update and column sums."""
        xp = array_namespace(gamma)
        exact = log_a - self.logsums(gamma, 1, inv_eps)
        phi = exact if omega == 1.0 else phi + omega * (exact - phi)
        log_c = gamma + self.logsums(phi, 0, inv_eps)
        return phi, xp.exp(xp.clip(log_c, -LARGEST_LOG, LARGEST_LOG))

    def column_update(self, phi: Array, log_b: Array, inv_eps: float) -> Array:
        """Exact column update."""
        return log_b - self.logsums(phi, 0, inv_eps)

    def plan(self, gamma: Array, phi: Array, inv_eps: float) -> "GridPlan":
        """Return the plan at the potentials of an exact pass."""
        return GridPlan(self, gamma, phi, inv_eps)

    def normal_operator(
        self, gamma: Array, phi: Array, inv_eps: float, inv_a: Array
    ) -> Callable[[Array], Array]:
        """Averages there and back, times the column sums."""
        plan = self.plan(gamma, phi, inv_eps)
        c, average = self.gather(plan.sums(1), 1), plan.normal_average()
        return lambda x: c * average(x)

    def support(
        self, h: Array, s: Array, inv_eps: float, limit: int
    ) -> tuple[int, Any]:
        """Store no support: products need none."""
        return self.entries, None


class GridPlan:
    """A plan on a grid as a pair of averaging operators, never as a matrix."""

    def __init__(
        self, cost: GridCost, gamma: Array, phi: Array, inv_eps: float
    ) -> None:
        self.cost, self._inv_eps = cost, inv_eps
        self._potentials = phi, gamma

    @functools.cached_property
    def _stages(self) -> tuple[list[Array], list[Array]]:
        """Transforms of both potentials in the log domain."""
        phi, gamma = self._potentials
        cost, inv_eps = self.cost, self._inv_eps
        return cost.stages(phi, 0, inv_eps), cost.stages(gamma, 1, inv_eps)

    def average(self, values: Array, side: int) -> Array:
        """Conditional means of values on one side (the whole grid), at all pixels."""
        return self.cost.grid.averages(self._stages[side], values, self._inv_eps)

    def mean_costs(self) -> Array:
        """Mean cost from every pixel of the rows."""
        return self.cost.grid.mean_costs(self._stages[1], self._inv_eps)

    def sums(self, side: int) -> Array:
        """Marginal of the plan on one side, on the whole grid."""
        own = self.cost.spread(self._potentials[side], side, LOG_ZERO)
        xp = array_namespace(own)
        return xp.exp(own + self._stages[1 - side][-1])

    def normal_average(self) -> Callable[[Array], Array]:
        """Return ``diag(1/c) P^T diag(1/a) P`` as a map of values at kept columns.

        Out of the range of products of matrices, weights that fit are stored in
        float32. Constants stay as they are.
        """
        cost, grid = self.cost, self.cost.grid
        phi, gamma = self._potentials
        inner = cost.scaled_sums(gamma, 1, self._inv_eps)
        outer = cost.scaled_sums(phi, 0, self._inv_eps)
        if inner is not None and outer is not None:
            return lambda x: outer.average(inner.average(x))
        xp = array_namespace(gamma)
        if 2 * grid.size * sum(grid.shape) > LARGEST_STORED:

            def there_and_back(x: Array) -> Array:
                rows = self.average(cost.spread(x, 1, 0.0), 1)
                return cost.gather(self.average(rows, 0), 1)

            return there_and_back
        back, there = (grid.weights(s, self._inv_eps) for s in self._stages)

        def stored(x: Array) -> Array:
            # The range of float32 is small.
            scale = xp.max(xp.abs(x)) + 1e-300
            rows = grid.products(there, cost.spread(x / scale, 1, 0.0))
            return scale * cost.gather(grid.products(back, rows), 1)

        ones = stored(xp.ones_like(gamma))
        return lambda x: stored(x) / ones

    def diagonal(self, log_a: Array) -> Array:
        """Diagonal of ``P^T diag(1/a) P``: the squared plan is separable as well."""
        phi, gamma = self._potentials
        squares = self.cost.logsums(2.0 * phi - log_a, 0, 2.0 * self._inv_eps)
        return array_namespace(phi).exp(2.0 * gamma + squares)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class GridProblem:
    """Validated weights on one grid; both sum to ``mass`` exactly."""

    a: Array
    b: Array
    grid: Grid
    reg: float
    mass: float

    @classmethod
    def from_arrays(cls, a: Any, b: Any, reg: Any, p: Any, spacing: Any) -> Self:
        """Validate; coordinates are those of the unit cube without ``spacing``."""
        reg = v.check_real("reg", reg, low=0, include_low=False)
        xp, (a, b) = v.float_arrays(a=a, b=b)
        for name, image in (("a", a), ("b", b)):
            check_image(name, image)
        v.check_shape("b", b, tuple(a.shape), why="(that of `a`)")
        grid = Grid(tuple(a.shape), grid_spacing(spacing, a.shape), check_power(p))
        a, b, mass = equal_masses(a, b, xp, SUM_TOLERANCE[dtype_name(a, xp)])
        return cls(a=a, b=b, grid=grid, reg=reg, mass=mass)

    @property
    def xp(self) -> Namespace:
        """Array namespace (looked up: results are pickled, modules cannot be)."""
        return array_namespace(self.a)

    def core(self) -> CoreProblem:
        """Return the problem as solvers want it: pixels with weight, as vectors."""
        xp = self.xp
        flat = [xp.reshape(w, (-1,)) for w in (self.a, self.b)]
        rows, columns = kept = [kept_points(w, xp) for w in flat]
        a, b = (
            w if k is None else xp.take(w, k) for w, k in zip(flat, kept, strict=True)
        )
        return CoreProblem(
            **core_weights(a, b, xp),
            xp=xp,
            cost=GridCost(self.grid, rows, columns),
            eps=self.reg,
            rows=rows,
            columns=columns,
            swapped=False,
            finite=True,
            cost_range=self.grid.cost_range,
            cost_size=self.grid.cost_range,
        )


def grid_cost(problem: CoreProblem) -> GridCost:
    """Return the cost of a problem on a grid."""
    assert isinstance(problem.cost, GridCost)
    return problem.cost


def check_image(name: str, image: Array) -> None:
    """Check weights on a grid of one to three axes."""
    v.check_present(name, image)
    if not 1 <= image.ndim <= 3:
        shape = f"shape {tuple(image.shape)}"
        raise ValueError(v.message(name, "1-D, 2-D or 3-D", shape))
    v.check_ndim(name, image, image.ndim)
    _, high = v.check_values(name, image, nonnegative=True)
    if high == 0:
        raise ValueError(v.message(name, "positive somewhere", "all zeros"))


def grid_spacing(spacing: Any, shape: tuple[int, ...]) -> tuple[float, ...]:
    """Distance of neighbours along each axis; None is that of the unit cube."""
    if spacing is None:
        return tuple(1.0 / max(1, n - 1) for n in shape)
    values = spacing if isinstance(spacing, tuple | list) else (spacing,) * len(shape)
    if len(values) != len(shape):
        expected = f"a number or one for each of the {len(shape)} axes"
        raise ValueError(v.message("spacing", expected, f"{len(values)} numbers"))
    return tuple(v.check_real("spacing", h, low=0, include_low=False) for h in values)


def check_power(p: Any) -> int:
    """Power of the cost: 1 or 2."""
    power = v.check_real("p", p)
    if power not in (1.0, 2.0):
        raise ValueError(v.message("p", "1 or 2", p))
    return int(power)


def _places(kept: Array | None, size: int) -> Array | None:
    """Where each pixel is among the kept ones; dropped pixels are one past the end."""
    if kept is None:
        return None
    xp = array_namespace(kept)
    host = to_numpy(kept)
    places = np.full(size, host.size)
    places[host] = np.arange(host.size)
    return xp.asarray(places, device=device(kept))
