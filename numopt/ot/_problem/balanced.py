# SPDX-License-Identifier: BSD-3-Clause
"""Balanced transport: both marginals are kept exactly."""

import dataclasses
import functools
from typing import Any, Self

from numopt import _validation as v
from numopt._array.namespace import array_namespace, to_numpy
from numopt.exceptions import InfeasibleError
from numopt.ot._problem.cost import Cost, DenseCost
from numopt.ot._problem.weights import (
    SUM_TOLERANCE,
    check_weights,
    contiguous,
    dtype_name,
    equal_masses,
    kept_points,
    log_weights,
)
from numopt.typing import Array, Namespace

__all__ = ["CoreProblem", "TransportProblem", "core_weights"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TransportProblem:
    """Validated data of ``min <P, M> + reg KL(P | a b^T)`` over couplings of a and b.

    ``a``, ``b`` and ``M`` keep their dtype and place; both weights sum to ``mass``
    exactly. ``cost_bounds`` are the extremes of M. Solvers see a ``CoreProblem``.
    """

    a: Array
    b: Array
    M: Array
    reg: float
    mass: float
    cost_bounds: tuple[float, float]

    @classmethod
    def from_arrays(cls, a: Any, b: Any, M: Any, reg: Any) -> Self:
        """Validate; ``a=None`` and ``b=None`` mean uniform weights of total 1."""
        reg = v.check_real(
            "reg",
            reg,
            low=0,
            include_low=False,
            hint="ot_exact solves the unregularised problem, reg=0",
        )
        xp, (a, b, M) = v.float_arrays(a=a, b=b, M=M)
        v.check_ndim("M", M, 2)
        n, m = M.shape
        a, b = check_weights("a", a, n, M, xp), check_weights("b", b, m, M, xp)
        if (a.shape[0], b.shape[0]) != (n, m):
            raise ValueError(
                f"`M` must be of shape (len(a), len(b)) = {(a.shape[0], b.shape[0])}, "
                f"got shape {(n, m)}"
            )
        low, high = v.check_values("M", M, allow_posinf=True)
        a, b, mass = equal_masses(a, b, xp, SUM_TOLERANCE[dtype_name(M, xp)])
        return cls(a=a, b=b, M=M, reg=reg, mass=mass, cost_bounds=(low, high))

    @classmethod
    def from_histograms(cls, a: Any, b: Any, M: Any, reg: Any) -> tuple[Self, Array]:
        """Validate k targets on the same points, the columns of b (m, k).

        Returns the problem of their mean and the scaled targets.
        """
        xp, (a, b, M) = v.float_arrays(a=a, b=b, M=M)
        v.check_ndim("b", b, 2)
        v.check_values("b", b, nonnegative=True)
        shared = cls.from_arrays(a, xp.mean(b, axis=1), M, reg)
        sums = to_numpy(xp.sum(b, axis=0))
        tolerance = SUM_TOLERANCE[dtype_name(M, xp)]
        for h in (abs(sums - shared.mass) > tolerance * shared.mass).nonzero()[0]:
            raise ValueError(
                f"`b` must have columns with the sum of `a`, {shared.mass:.9g}, got "
                f"{sums[h]:.9g} in column {h}; normalise them"
            )
        return shared, b * (shared.mass / xp.sum(b, axis=0))

    @property
    def xp(self) -> Namespace:
        """Array namespace (looked up: results are pickled, modules cannot be)."""
        return array_namespace(self.M)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CoreProblem:
    """The same problem as solvers want it: float64, mass 1, positive weights, m <= n.

    With several targets on the same points (``with_histograms``) b is (m, k), a is
    (n, 1), and potentials and column sums have a column for each of them.

    ``cost`` makes the passes over all entries. ``rows`` and ``columns`` are the kept
    indices in their order (None: all). ``swapped`` says that rows and columns changed
    places. ``finite`` says that no cost is infinite, ``cost_range`` is (a bound on) the
    difference of the largest and smallest finite cost, and ``cost_size`` bounds their
    magnitude.
    """

    xp: Namespace
    a: Array
    b: Array
    cost: Cost
    log_a: Array
    log_b: Array
    eps: float
    rows: Array | None
    columns: Array | None
    swapped: bool
    finite: bool
    cost_range: float
    cost_size: float

    @classmethod
    def from_problem(cls, problem: TransportProblem, *, swap: bool = True) -> Self:
        """Drop empty points, order the sides, convert to float64 and mass 1."""
        xp, a, b, M = problem.xp, problem.a, problem.b, problem.M
        low, high = problem.cost_bounds
        rows, columns = kept_points(a, xp), kept_points(b, xp)
        if rows is not None:
            a, M = xp.take(a, rows), xp.take(M, rows, axis=0)
        if columns is not None:
            b, M = xp.take(b, columns), xp.take(M, columns, axis=1)
        swapped = swap and M.shape[1] > M.shape[0]
        if swapped:
            a, b, M = b, a, xp.matrix_transpose(M)
        M = contiguous(xp.astype(M, xp.float64, copy=False), xp)
        finite = high < float("inf")
        if not finite:
            _refuse_empty_rows(M, xp)
            masked = xp.where(xp.isfinite(M), M, xp.full_like(M, -float("inf")))
            high = float(to_numpy(xp.max(masked)))
        return cls(
            **core_weights(a, b, xp),
            xp=xp,
            cost=DenseCost(M),
            eps=problem.reg,
            rows=rows,
            columns=columns,
            swapped=swapped,
            finite=finite,
            cost_range=high - low,
            cost_size=high - low + abs(low),
        )

    @property
    def M(self) -> Array:
        """The stored cost, for algorithms that need it."""
        assert isinstance(self.cost, DenseCost)
        return self.cost.M

    def with_histograms(self, b: Array) -> "CoreProblem":
        """Return the problem with k targets b (m, k), which may have empty points."""
        xp = self.xp
        b = xp.astype(b, xp.float64, copy=False)
        b = b if self.columns is None else xp.take(b, self.columns, axis=0)
        b = b / xp.sum(b, axis=0)
        a, log_a = self.a[:, None], self.log_a[:, None]
        log_b = log_weights(b, xp)
        return dataclasses.replace(self, a=a, log_a=log_a, b=b, log_b=log_b)

    def errors(self, c: Array) -> Array:
        """L1 marginal error ``||P^T 1 - b||_1``; rows are exact after a pass."""
        return self.xp.sum(self.xp.abs(c - self.b), axis=0) + self.cost.dropped

    def residual(self, c: Array) -> float:
        """Return the largest of the errors."""
        return float(to_numpy(self.xp.max(self.errors(c))))

    def dual_value(self, phi: Array, gamma: Array, eps: float, c: Array) -> Array:
        """Dual objective at mass 1, with column sums c of P."""
        f = eps * (phi - self.log_a)
        g = eps * (gamma - self.log_b)
        sum_ = functools.partial(self.xp.sum, axis=0)
        return sum_(self.a * f) + sum_(self.b * g) - eps * (sum_(c) - 1.0)


def core_weights(a: Array, b: Array, xp: Namespace) -> dict[str, Array]:
    """Weights in float64 of total 1, with their logarithms."""
    a, b = (xp.astype(w, xp.float64, copy=False) for w in (a, b))
    # Exactly equal masses: a difference in the last digit would bound the error.
    a, b = a / xp.sum(a), b / xp.sum(b)
    return {"a": a, "b": b, "log_a": xp.log(a), "log_b": xp.log(b)}


def _refuse_empty_rows(M: Array, xp: Namespace) -> None:
    finite = xp.isfinite(M)
    for name, axis in (("row", 1), ("column", 0)):
        reachable = to_numpy(xp.any(finite, axis=axis))
        if not reachable.all():
            raise InfeasibleError(
                f"`M` must leave every point a finite cost: infeasible support, all "
                f"entries of one {name} with positive weight are inf"
            )
