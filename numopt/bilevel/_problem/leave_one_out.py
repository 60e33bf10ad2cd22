# SPDX-License-Identifier: BSD-3-Clause
"""The leave-one-out error of ridge regression as an upper level, in closed form."""

from typing import Any

from numopt._array.namespace import array_namespace, to_numpy
from numopt._array.segment import segment_sum
from numopt.bilevel._problem.groups import spectral_bound
from numopt.bilevel._problem.ridge import RidgeLower
from numopt.typing import Array

__all__ = ["LeaveOneOutUpper"]


class LeaveOneOutUpper:
    """``g = sum_i (r_i / (1 - h_i))^2 / (2 W)`` with leverages ``h_i(theta)``.

    Rows are scaled by the roots of their weights, W is the sum of the weights;
    ``h_i = x_i^T H^{-1} x_i + offset_i``, where the offset stands for the intercept.
    The Lipschitz constant holds near the start: leverages grow as penalties vanish.
    """

    convex = True

    def __init__(
        self, lower: RidgeLower, offset: Array, total: float, at: Array
    ) -> None:
        self.lower, self.offset, self.total = lower, offset, total
        self._seen: Any = None
        xp = array_namespace(lower.X)
        gaps = 1 - self._leverages(at)[0]
        worst = float(to_numpy(xp.min(gaps)))
        self.lipschitz = spectral_bound(lower.X, lower._gram) / total / worst**2

    def _leverages(self, theta: Array) -> tuple[Array, Array]:
        """Leverages and the squares of ``H^{-1} X^T``, for one theta."""
        if self._seen is None or self._seen[0] is not theta:
            xp, X = array_namespace(self.lower.X), self.lower.X
            Xt = xp.matrix_transpose(X)
            V = self.lower.factorize(None, theta)(Xt)
            leverages = xp.sum(Xt * V, axis=0) + self.offset
            # A row that fits itself has leverage 1: its error is unbounded, not NaN.
            top = 1 - 1e-10
            leverages = xp.where(leverages < top, leverages, top + 0 * leverages)
            self._seen = theta, leverages, V * V
        return self._seen[1], self._seen[2]

    def value_grad(self, x: Array, theta: Array) -> tuple[float, Array, Array]:
        xp, low = array_namespace(x), self.lower
        leverages, squares = self._leverages(theta)
        residual = low.y - low.X @ x
        gaps = (1 - leverages)[:, None]
        each = xp.sum((residual / gaps) ** 2, axis=1)
        grad = -(xp.matrix_transpose(low.X) @ (residual / gaps**2)) / self.total
        per_feature = squares @ (each / gaps[:, 0]) * low.penalties(theta)[:, 0]
        direct = -segment_sum(per_feature, low.labels, low.n_groups) / self.total
        value = 0.5 * float(to_numpy(xp.sum(each))) / self.total
        return value, grad, xp.astype(direct, theta.dtype)
