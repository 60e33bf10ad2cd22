# SPDX-License-Identifier: BSD-3-Clause
"""Assignment of samples to a few clusters whose sizes are exact or have a price."""

import dataclasses
import math
from typing import Any, Self

from numopt import _validation as v
from numopt._array.namespace import array_namespace, device, to_numpy
from numopt.ot._problem.weights import contiguous
from numopt.typing import Array, Namespace

__all__ = ["SemiRelaxedProblem"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SemiRelaxedProblem:
    r"""Rows exact, columns penalised one by one; entropy relative to ``a 1^T``.

    .. math:: \min_Q \langle Q, M \rangle + \varepsilon\,\mathrm{KL}(Q | a 1^T)
              + \sum_k \rho_k \mathrm{kl}((Q^T 1)_k | b_k)

    The last column takes the mass that is left out, where there is any: its cost is 0
    and its penalty infinite. ``rho`` is (inf, penalties of the columns).
    """

    a: Array
    b: Array
    M: Array
    log_a: Array
    log_b: Array
    eps: float
    rho: tuple[float, Array]
    cost_range: float
    n_clusters: int

    @classmethod
    def from_arrays(cls, C: Any, rho: Any, reg: Any, reg_kl: Any) -> tuple[Self, Any]:
        """Validate; returns the problem and the dtype of the input."""
        rho = v.check_real("rho", rho, low=0, high=1, include_low=False)
        reg = v.check_real("reg", reg, low=0, include_low=False)
        reg_kl = v.check_real("reg_kl", reg_kl, low=0, allow_inf=True)
        xp, (C,) = v.float_arrays(C=C)
        v.check_ndim("C", C, 2)
        dtype = C.dtype
        v.check_values("C", C)
        C = xp.astype(C, xp.float64, copy=False)
        n, k = C.shape
        sizes, penalties = [rho / k] * k, [reg_kl or reg * 1e-12] * k
        if rho < 1.0:
            C = xp.concat([C, xp.zeros_like(C[:, :1])], axis=1)
            sizes.append(1.0 - rho)
            penalties.append(math.inf)
        b, price = (
            xp.asarray(x, dtype=C.dtype, device=device(C)) for x in (sizes, penalties)
        )
        a = xp.full((n,), 1.0 / n, dtype=C.dtype, device=device(C))
        problem = cls(
            a=a,
            b=b,
            M=contiguous(C, xp),
            log_a=xp.log(a),
            log_b=xp.zeros_like(b),
            eps=reg,
            rho=(math.inf, price),
            cost_range=float(to_numpy(xp.max(C) - xp.min(C))),
            n_clusters=k,
        )
        return problem, dtype

    @property
    def xp(self) -> Namespace:
        """Array namespace (looked up: results are pickled, modules cannot be)."""
        return array_namespace(self.M)

    def with_cost(self, C: Array) -> "SemiRelaxedProblem":
        """Return the problem with other costs of the clusters."""
        rest = self.M[:, self.n_clusters :]
        M = contiguous(self.xp.concat([C, rest], axis=1), self.xp)
        return dataclasses.replace(self, M=M)

    def target(self, side: int, potential: Array) -> Array:
        """Marginal that is optimal for a potential: ``b exp(-g / rho)``."""
        if side == 0:
            return self.a
        return self.b * self.xp.exp(-potential / self.rho[1])

    def dual_value(self, f: Array, g: Array, eps: float, total: Array) -> Array:
        """Dual objective, with the mass ``total`` of the plan."""
        xp, rho = self.xp, self.rho[1]
        exact = xp.isinf(rho)
        price = xp.where(exact, xp.ones_like(rho), rho)
        gain = xp.where(exact, g, -price * xp.expm1(-g / price))
        value = xp.sum(self.a * f) + xp.sum(self.b * gain)
        return value - eps * (total - self.b.shape[0])

    def objective(self, Q: Array, eps: float) -> Array:
        """Primal objective of a plan over all columns."""
        xp, rho = self.xp, self.rho[1]
        entropy = xp.sum(_divergence(Q, self.a[:, None] + xp.zeros_like(Q), xp))
        sizes = xp.sum(Q, axis=0)
        price = xp.where(xp.isinf(rho), xp.zeros_like(rho), rho)
        missed = xp.sum(price * _divergence(sizes, self.b, xp))
        return xp.sum(Q * self.M) + eps * entropy + missed


def _divergence(x: Array, y: Array, xp: Namespace) -> Array:
    """Terms of KL(x | y), for positive y."""
    positive = x > 0
    ratio = xp.where(positive, x, y) / y
    return x * xp.log(ratio) - x + y
