# SPDX-License-Identifier: BSD-3-Clause
"""What is solved: entropic optimal transport between two weighted sets, and its dual.

Symbols follow Peyré & Cuturi (2019): weights a (n,), b (m,), cost M (n, m), eps = reg,
potentials f (n,), g (m,) relative to a b^T,

    P_ij = a_i b_j exp((f_i + g_j - M_ij) / eps).

Solvers work in scaled units, phi = f / eps + log a and gamma = g / eps + log b.
"""

import dataclasses
import functools
import math
from typing import Any, Self

from numopt import _validation as v
from numopt._array.linalg import logsumexp
from numopt._array.namespace import array_namespace, device, to_numpy
from numopt.exceptions import InfeasibleError
from numopt.typing import Array, Namespace

__all__ = [
    "CoreProblem",
    "TransportProblem",
    "UnbalancedProblem",
    "column_potentials",
    "row_potentials",
]

#: Relative difference of the two sums that is put down to rounding.
SUM_TOLERANCE = {"float64": 1e-6, "float32": 1e-4}
#: The logarithm of an empty point: finite, so that differences are, exp gives 0.
LOG_ZERO = -1e30


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
        a, b = _weights("a", a, n, M, xp), _weights("b", b, m, M, xp)
        if (a.shape[0], b.shape[0]) != (n, m):
            raise ValueError(
                f"`M` must be of shape (len(a), len(b)) = {(a.shape[0], b.shape[0])}, "
                f"got shape {(n, m)}"
            )
        low, high = v.check_values("M", M, allow_posinf=True)
        mass_a, mass_b = float(to_numpy(xp.sum(a))), float(to_numpy(xp.sum(b)))
        tolerance = SUM_TOLERANCE[_dtype_name(M, xp)]
        if abs(mass_a - mass_b) > tolerance * max(mass_a, mass_b):
            raise ValueError(
                "`a` and `b` must have the same sum, got sum(a) = "
                f"{mass_a:.9g} and sum(b) = {mass_b:.9g}; normalise them, or use "
                "sinkhorn_unbalanced if the difference is meant"
            )
        mass = 0.5 * (mass_a + mass_b)
        a, b = a * (mass / mass_a), b * (mass / mass_b)
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
        tolerance = SUM_TOLERANCE[_dtype_name(M, xp)]
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

    ``rows`` and ``columns`` are the kept indices (None: all). ``swapped`` says that
    rows and columns changed places. ``finite`` says that no cost is infinite,
    ``cost_range`` is the difference of the largest and smallest finite cost, and
    ``cost_size`` bounds their magnitude.
    """

    xp: Namespace
    a: Array
    b: Array
    M: Array
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
        rows, columns = _kept(a, xp), _kept(b, xp)
        if rows is not None:
            a, M = xp.take(a, rows), xp.take(M, rows, axis=0)
        if columns is not None:
            b, M = xp.take(b, columns), xp.take(M, columns, axis=1)
        swapped = swap and M.shape[1] > M.shape[0]
        if swapped:
            a, b, M = b, a, xp.matrix_transpose(M)
        a, b = (xp.astype(w, xp.float64, copy=False) for w in (a, b))
        # Exactly equal masses: a difference in the last digit would bound the error.
        a, b = a / xp.sum(a), b / xp.sum(b)
        M = _contiguous(xp.astype(M, xp.float64, copy=False), xp)
        finite = high < float("inf")
        if not finite:
            _refuse_empty_rows(M, xp)
            masked = xp.where(xp.isfinite(M), M, xp.full_like(M, -float("inf")))
            high = float(to_numpy(xp.max(masked)))
        return cls(
            xp=xp,
            a=a,
            b=b,
            M=M,
            log_a=xp.log(a),
            log_b=xp.log(b),
            eps=problem.reg,
            rows=rows,
            columns=columns,
            swapped=swapped,
            finite=finite,
            cost_range=high - low,
            cost_size=high - low + abs(low),
        )

    def with_histograms(self, b: Array) -> "CoreProblem":
        """Return the problem with k targets b (m, k), which may have empty points."""
        xp = self.xp
        b = xp.astype(b, xp.float64, copy=False)
        b = b if self.columns is None else xp.take(b, self.columns, axis=0)
        b = b / xp.sum(b, axis=0)
        a, log_a = self.a[:, None], self.log_a[:, None]
        return dataclasses.replace(self, a=a, log_a=log_a, b=b, log_b=_log(b, xp))

    def errors(self, c: Array) -> Array:
        """L1 marginal error ``||P^T 1 - b||_1``; rows are exact after a pass."""
        return self.xp.sum(self.xp.abs(c - self.b), axis=0)

    def residual(self, c: Array) -> float:
        """Return the largest of the errors."""
        return float(to_numpy(self.xp.max(self.errors(c))))

    def dual_value(self, phi: Array, gamma: Array, eps: float, c: Array) -> Array:
        """Dual objective at mass 1, with column sums c of P."""
        f = eps * (phi - self.log_a)
        g = eps * (gamma - self.log_b)
        sum_ = functools.partial(self.xp.sum, axis=0)
        return sum_(self.a * f) + sum_(self.b * g) - eps * (sum_(c) - 1.0)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class UnbalancedProblem:
    """Validated data of transport with penalised marginals, in float64.

    ``rho`` are the penalties of the two marginals; inf keeps one exactly.
    """

    a: Array
    b: Array
    M: Array
    log_a: Array
    log_b: Array
    eps: float
    rho: tuple[float, float]
    cost_range: float

    @classmethod
    def from_arrays(
        cls, a: Any, b: Any, M: Any, reg: Any, reg_m: Any
    ) -> tuple[Self, Any]:
        """Validate; returns the problem and the dtype of the input."""
        reg = v.check_real("reg", reg, low=0, include_low=False)
        rho = _penalties(reg_m)
        xp, (a, b, M) = v.float_arrays(a=a, b=b, M=M)
        v.check_ndim("M", M, 2)
        dtype = M.dtype
        a, b = _weights("a", a, M.shape[0], M, xp), _weights("b", b, M.shape[1], M, xp)
        v.check_shape("M", M, (a.shape[0], b.shape[0]), why="(len(a), len(b))")
        low, high = v.check_values("M", M, allow_posinf=True)
        a, b, M = (xp.astype(x, xp.float64, copy=False) for x in (a, b, M))
        if high == math.inf:
            finite = xp.where(xp.isfinite(M), M, xp.full_like(M, low))
            high = float(to_numpy(xp.max(finite)))
        if math.isinf(rho[0]) and math.isinf(rho[1]):
            raise ValueError(
                "`reg_m` must be finite for one marginal, got inf for both: that is "
                "the balanced problem of `sinkhorn`"
            )
        return (
            cls(
                a=a,
                b=b,
                M=_contiguous(M, xp),
                log_a=_log(a, xp),
                log_b=_log(b, xp),
                eps=reg,
                rho=rho,
                cost_range=high - low,
            ),
            dtype,
        )

    @property
    def xp(self) -> Namespace:
        """Array namespace (looked up: results are pickled, modules cannot be)."""
        return array_namespace(self.M)

    def isolated(self, side: int) -> Array:
        """Mask of points without a finite cost."""
        return ~self.xp.any(self.xp.isfinite(self.M), axis=1 - side)

    def connected(self) -> "UnbalancedProblem":
        """Return the problem without the weight of isolated points."""
        xp = self.xp
        rows, columns = self.isolated(0), self.isolated(1)
        if not bool(xp.any(rows)) and not bool(xp.any(columns)):
            return self
        sides = (("row", self.a, rows), ("column", self.b, columns))
        for (name, weights, lonely), rho in zip(sides, self.rho, strict=True):
            if math.isinf(rho) and bool(xp.any(lonely & (weights > 0))):
                raise InfeasibleError(
                    f"`M` must leave every {name} with an exact marginal a finite "
                    "cost: infeasible support"
                )
        a = xp.where(rows, xp.zeros_like(self.a), self.a)
        b = xp.where(columns, xp.zeros_like(self.b), self.b)
        M = xp.where(rows[:, None] | columns[None, :], xp.zeros_like(self.M), self.M)
        return dataclasses.replace(
            self, a=a, b=b, M=M, log_a=_log(a, xp), log_b=_log(b, xp)
        )

    def target(self, side: int, potential: Array) -> Array:
        """Marginal that is optimal for a potential: ``a exp(-f / rho)``."""
        weights, rho = (self.a, self.b)[side], self.rho[side]
        return weights * self.xp.exp(-potential / rho)

    def dual_value(self, f: Array, g: Array, eps: float, total: Array) -> Array:
        """Dual objective, with the mass ``total`` of the plan."""
        xp = self.xp
        value = -eps * (total - xp.sum(self.a) * xp.sum(self.b))
        sides = zip((self.a, self.b), (f, g), self.rho, strict=True)
        for weights, potential, rho in sides:
            # rho (1 - exp(-f / rho)) is f in the limit
            gain = potential if math.isinf(rho) else -rho * xp.expm1(-potential / rho)
            value = value + xp.sum(weights * gain)
        return value


def _penalties(reg_m: Any) -> tuple[float, float]:
    """Return the penalties of both marginals; a number serves both."""
    pair = reg_m if isinstance(reg_m, tuple | list) else (reg_m, reg_m)
    if len(pair) != 2:
        raise ValueError(
            v.message("reg_m", "a number or a pair", f"{len(pair)} entries")
        )
    first, second = (
        v.check_real("reg_m", rho, low=0, include_low=False, allow_inf=True)
        for rho in pair
    )
    return first, second


def _log(w: Array, xp: Namespace) -> Array:
    """Logarithm of weights, LOG_ZERO for empty points."""
    positive = w > 0
    log_w = xp.log(xp.where(positive, w, xp.ones_like(w)))
    return xp.where(positive, log_w, xp.full_like(w, LOG_ZERO))


def row_potentials(g: Array, b: Array, M: Array, eps: float) -> Array:
    """Return ``f_i = -eps log sum_j b_j exp((g_j - M_ij) / eps)`` for any rows of M.

    Rows without a reachable column have no finite potential and get 0.
    """
    return _soft_min(g, b, M, eps, axis=1)


def column_potentials(f: Array, a: Array, M: Array, eps: float) -> Array:
    """Return ``g_j = -eps log sum_i a_i exp((f_i - M_ij) / eps)``."""
    return _soft_min(f, a, M, eps, axis=0)


def _soft_min(h: Array, weights: Array, M: Array, eps: float, *, axis: int) -> Array:
    xp = array_namespace(M)
    positive = weights > 0
    log_weights = xp.where(
        positive,
        xp.log(xp.where(positive, weights, xp.ones_like(weights))),
        xp.full_like(weights, -float("inf")),
    )
    z = h / eps + log_weights
    z = z[None, :] if axis == 1 else z[:, None]
    potential = -eps * logsumexp(z - M / eps, axis=axis)
    return xp.where(xp.isfinite(potential), potential, xp.zeros_like(potential))


def _weights(
    name: str, w: Array | None, size: int, like: Array, xp: Namespace
) -> Array:
    """Check weights, or make uniform ones of total 1."""
    if w is None:
        return xp.full((size,), 1.0 / size, dtype=like.dtype, device=device(like))
    hint = "method='sinkhorn' takes several targets, the columns of b"
    v.check_ndim(name, w, 1, hint=hint if name == "b" and w.ndim == 2 else "")
    _, high = v.check_values(name, w, nonnegative=True)
    if high == 0:
        raise ValueError(v.message(name, "positive somewhere", "all zeros"))
    return w


def _kept(w: Array, xp: Namespace) -> Array | None:
    """Indices of positive weights, None when that is all of them."""
    host = to_numpy(w)
    if host.min() > 0:
        return None
    return xp.asarray(host.nonzero()[0], device=device(w))


def _contiguous(M: Array, xp: Namespace) -> Array:
    """C order, which kernels want; other libraries keep what they have."""
    return xp.ascontiguousarray(M) if hasattr(xp, "ascontiguousarray") else M


def _refuse_empty_rows(M: Array, xp: Namespace) -> None:
    finite = xp.isfinite(M)
    for name, axis in (("row", 1), ("column", 0)):
        reachable = to_numpy(xp.any(finite, axis=axis))
        if not reachable.all():
            raise InfeasibleError(
                f"`M` must leave every point a finite cost: infeasible support, all "
                f"entries of one {name} with positive weight are inf"
            )


def _dtype_name(x: Array, xp: Namespace) -> str:
    return "float32" if x.dtype == xp.float32 else "float64"
