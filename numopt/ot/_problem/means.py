# SPDX-License-Identifier: BSD-3-Clause
"""Entropic means of weights that live on the same points, or on the same grid."""

import dataclasses
from typing import Any, Self

from numopt import _validation as v
from numopt._array.namespace import array_namespace, device, to_numpy
from numopt.ot._problem.cost import Cost, DenseCost
from numopt.ot._problem.grid import (
    Grid,
    GridCost,
    check_image,
    check_power,
    grid_spacing,
)
from numopt.ot._problem.weights import SUM_TOLERANCE, contiguous, dtype_name
from numopt.typing import Array, Namespace

__all__ = ["MeanProblem"]

#: Logarithm of an empty point: no mass at all, yet without denormal products.
LOG_EMPTY = -200.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class MeanProblem:
    """Validated data of ``min_b sum_k w_k min <P_k, M> + eps <P_k, log P_k>``.

    ``log_a`` (k, n) are the logarithms of the weights, scaled to mass 1; ``w`` (k,) are
    the positive coefficients and ``kept`` their places. ``debiased`` corrects for the
    blur of entropy.
    """

    xp: Namespace
    a: Array
    log_a: Array
    w: Array
    kept: list[int]
    cost: Cost
    cost_range: float
    eps: float
    mass: float
    debiased: bool

    @classmethod
    def from_histograms(
        cls, A: Any, M: Any, reg: Any, weights: Any, debiased: Any
    ) -> tuple[Self, Array]:
        """Validate the columns of A and a cost to the points of the mean."""
        reg = v.check_real("reg", reg, low=0, include_low=False)
        debiased = v.check_flag("debiased", debiased)
        xp, (A, M, weights) = v.float_arrays(A=A, M=M, weights=weights)
        v.check_ndim("A", A, 2)
        v.check_ndim("M", M, 2)
        v.check_shape("M", M, (A.shape[0], M.shape[1]), why="(as many rows as `A`)")
        low, high = v.check_values("M", M)
        dtype = A.dtype
        M = contiguous(xp.astype(M, xp.float64, copy=False), xp)
        if debiased and not _symmetric(M, xp):
            raise ValueError(
                v.message("M", "symmetric when debiased", "another matrix")
            )
        images = xp.matrix_transpose(A)
        cost = DenseCost(M)
        bounds = (cost, high - low)
        return cls._from_rows("A", images, *bounds, reg, weights, debiased), dtype

    @classmethod
    def from_images(
        cls, images: Any, reg: Any, weights: Any, debiased: Any, p: Any, spacing: Any
    ) -> tuple[Self, Grid, Any]:
        """Validate images, stacked along the first axis."""
        reg = v.check_real("reg", reg, low=0, include_low=False)
        debiased = v.check_flag("debiased", debiased)
        xp, (images, weights) = v.float_arrays(images=images, weights=weights)
        v.check_present("images", images)
        if images.ndim < 2 or 0 in images.shape:
            shape = f"shape {tuple(images.shape)}"
            raise ValueError(v.message("images", "a stack of images", shape))
        check_image("images", images[0, ...])
        pixels = tuple(images.shape[1:])
        grid = Grid(pixels, grid_spacing(spacing, pixels), check_power(p))
        cost = GridCost(grid, None, None)
        rows = xp.reshape(images, (images.shape[0], -1))
        bounds = (cost, grid.cost_range)
        problem = cls._from_rows("images", rows, *bounds, reg, weights, debiased)
        return problem, grid, images.dtype

    @classmethod
    def _from_rows(
        cls,
        name: str,
        rows: Array,
        cost: Cost,
        cost_range: float,
        reg: float,
        weights: Array | None,
        debiased: bool,
    ) -> Self:
        """Check weights given as rows and scale them to mass 1."""
        xp = array_namespace(rows)
        v.check_values(name, rows, nonnegative=True)
        sums = to_numpy(xp.sum(rows, axis=1))
        mass = float(sums.mean())
        tolerance = SUM_TOLERANCE[dtype_name(rows, xp)]
        for k in (abs(sums - mass) > tolerance * mass).nonzero()[0]:
            raise ValueError(
                f"`{name}` must hold weights of equal sum, got sum {sums[k]:.9g} at "
                f"index {k} and a mean of {mass:.9g}; normalise them"
            )
        if mass == 0:
            raise ValueError(v.message(name, "positive somewhere", "all zeros"))
        w = _coefficients(weights, rows, xp)
        host = to_numpy(w)
        kept = [k for k in range(host.shape[0]) if host[k] > 0]
        order = xp.asarray(kept, device=device(rows))
        a = xp.astype(xp.take(rows, order, axis=0), xp.float64)
        a = a / xp.sum(a, axis=1, keepdims=True)
        positive = a > 0
        log_a = xp.log(xp.where(positive, a, xp.ones_like(a)))
        return cls(
            xp=xp,
            a=a,
            log_a=xp.where(positive, log_a, xp.full_like(a, LOG_EMPTY)),
            w=xp.take(w, order),
            kept=kept,
            cost=cost,
            cost_range=cost_range,
            eps=reg,
            mass=mass,
            debiased=debiased,
        )

    def mean(self, values: Array) -> Array:
        """Weighted mean over the first axis."""
        return self.xp.sum(self.w[:, None] * values, axis=0)


def _coefficients(weights: Array | None, rows: Array, xp: Namespace) -> Array:
    """Check the coefficients of the mean and scale them to sum 1."""
    count = rows.shape[0]
    if weights is None:
        return xp.full((count,), 1.0 / count, dtype=xp.float64, device=device(rows))
    v.check_shape("weights", weights, (count,), why="(one for each of the inputs)")
    if v.check_values("weights", weights, nonnegative=True)[1] == 0:
        raise ValueError(v.message("weights", "positive somewhere", "all zeros"))
    weights = xp.astype(weights, xp.float64)
    return weights / xp.sum(weights)


def _symmetric(M: Array, xp: Namespace) -> bool:
    """Whether a cost is the same in both directions, up to rounding."""
    if M.shape[0] != M.shape[1]:
        return False
    gap = xp.max(xp.abs(M - xp.matrix_transpose(M)))
    return bool(gap <= 1e-10 * xp.max(xp.abs(M)))
