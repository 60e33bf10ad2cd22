# SPDX-License-Identifier: BSD-3-Clause
"""Transport with penalised marginals."""

import dataclasses
import math
from typing import Any, Self

from numopt import _validation as v
from numopt._array.namespace import array_namespace, to_numpy
from numopt.exceptions import InfeasibleError
from numopt.ot._problem.weights import check_weights, contiguous, log_weights
from numopt.typing import Array, Namespace

__all__ = ["UnbalancedProblem"]


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
        n, m = M.shape
        a, b = check_weights("a", a, n, M, xp), check_weights("b", b, m, M, xp)
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
                M=contiguous(M, xp),
                log_a=log_weights(a, xp),
                log_b=log_weights(b, xp),
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
            self, a=a, b=b, M=M, log_a=log_weights(a, xp), log_b=log_weights(b, xp)
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
            value = value + xp.sum(weights * _gain(potential, rho, xp))
        return value


def _gain(potential: Array, rho: Any, xp: Namespace) -> Array:
    """Return ``rho (1 - exp(-f / rho))``, which is f in the limit."""
    if math.isinf(rho):
        return potential
    return -rho * xp.expm1(-potential / rho)


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
