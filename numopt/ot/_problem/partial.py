# SPDX-License-Identifier: BSD-3-Clause
"""Transport of a part of the mass."""

import dataclasses
import math
from typing import Any, Self

from numopt import _validation as v
from numopt._array.namespace import array_namespace, to_numpy
from numopt.exceptions import InfeasibleError
from numopt.ot._problem.weights import check_weights, contiguous, log_weights
from numopt.typing import Array, Namespace

__all__ = ["PartialProblem"]

#: Excess of ``m`` over the smaller mass, relative to it, that is put down to rounding.
ROUNDING = 1e-9


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PartialProblem:
    """Validated data of ``min <P, M> + reg KL(P | a b^T)`` at total mass m, in float64.

    Marginals are at most a and b. Points without a finite cost have log-weights that
    give them no mass, and zeros in M.
    """

    a: Array
    b: Array
    M: Array
    log_a: Array
    log_b: Array
    eps: float
    m: float
    cost_range: float

    @classmethod
    def from_arrays(cls, a: Any, b: Any, M: Any, reg: Any, m: Any) -> tuple[Self, Any]:
        """Validate; returns the problem and the dtype of the input."""
        reg = v.check_real("reg", reg, low=0, include_low=False)
        xp, (a, b, M) = v.float_arrays(a=a, b=b, M=M)
        v.check_ndim("M", M, 2)
        dtype = M.dtype
        a, b = (
            check_weights(name, w, size, M, xp)
            for name, w, size in (("a", a, M.shape[0]), ("b", b, M.shape[1]))
        )
        v.check_shape("M", M, (a.shape[0], b.shape[0]), why="(len(a), len(b))")
        low, high = v.check_values("M", M, allow_posinf=True)
        a, b, M = (xp.astype(x, xp.float64, copy=False) for x in (a, b, M))
        finite = xp.isfinite(M)
        rows, columns = xp.any(finite, axis=1), xp.any(finite, axis=0)
        reachable = [
            xp.where(near, w, xp.zeros_like(w)) for w, near in ((a, rows), (b, columns))
        ]
        m = _check_mass(m, (a, b), reachable, xp)
        if high == math.inf:
            high = float(to_numpy(xp.max(xp.where(finite, M, xp.full_like(M, low)))))
            M = xp.where(rows[:, None] & columns[None, :], M, xp.zeros_like(M))
        problem = cls(
            a=a,
            b=b,
            M=contiguous(M, xp),
            log_a=log_weights(reachable[0], xp),
            log_b=log_weights(reachable[1], xp),
            eps=reg,
            m=m,
            cost_range=high - low,
        )
        return problem, dtype

    @property
    def xp(self) -> Namespace:
        """Array namespace (looked up: results are pickled, modules cannot be)."""
        return array_namespace(self.M)

    def dual_value(self, f: Array, g: Array, shift: Any, eps: float, total: Any) -> Any:
        """Dual objective, with the mass ``total`` of the plan."""
        xp = self.xp
        reference = xp.sum(self.a) * xp.sum(self.b)
        potentials = xp.sum(self.a * f) + xp.sum(self.b * g) + shift * self.m
        return potentials - eps * (total - reference)


def _check_mass(
    m: Any, weights: tuple[Array, Array], reachable: list[Array], xp: Namespace
) -> float:
    """Check the mass against both sums."""
    m = v.check_real("m", m, low=0)
    limit = min(float(to_numpy(xp.sum(w))) for w in weights)
    if m > limit * (1 + ROUNDING):
        raise ValueError(
            v.message("m", f"at most {limit:.9g}, the smaller sum of `a` and `b`", m)
        )
    m = min(m, limit)
    if m > min(float(to_numpy(xp.sum(w))) for w in reachable) * (1 + ROUNDING):
        raise InfeasibleError(
            "`M` must leave enough points a finite cost to carry `m`: infeasible "
            "support"
        )
    return m
