# SPDX-License-Identifier: BSD-3-Clause
"""Products with exp(-M / eps), for several vectors at once, in the range of float64."""

from collections.abc import Callable

from numopt._array.namespace import array_namespace
from numopt.ot._problem.axis_sums import axis_kernels
from numopt.ot._problem.cost import Cost, DenseCost
from numopt.ot._problem.grid import GridCost
from numopt.typing import Array

__all__ = ["KernelProducts"]

#: Largest range of costs in units of eps: sums of the kernel are at least exp(-this),
#: as the largest scaling of a row is 1, and what is divided by them stays finite.
LARGEST_EXPONENT = 600.0
#: The same for a kernel that is centred in the range of float64, and the largest range
#: of potentials there: none of their exponentials may be lost.
LARGEST_CENTRED, LARGEST_POTENTIALS = 1300.0, 700.0


class KernelProducts:
    """``x K^T`` and ``y K`` for rows x (k, m) and y (k, n), with K of one eps.

    The kernel is shared by all plans of a mean: a pass is two products of matrices
    where each plan by itself needs an exponential for every entry. ``low`` is the cost
    in units of eps that is taken out of K: the smallest, or the middle of the range
    where K would underflow otherwise (``centred``).
    """

    def __init__(
        self,
        forward: Callable[[Array], Array],
        backward: Callable[[Array], Array],
        low: float,
        *,
        centred: bool = False,
    ) -> None:
        self.forward, self.backward, self.low = forward, backward, low
        self.centred = centred

    @classmethod
    def make(
        cls, cost: Cost, cost_range: float, inv_eps: float, like: Array
    ) -> "KernelProducts | None":
        """Return the products, or None where the kernel would underflow."""
        xp, exponent = array_namespace(like), cost_range * inv_eps
        centred = exponent > LARGEST_EXPONENT
        if isinstance(cost, DenseCost) and exponent <= LARGEST_CENTRED:
            low = float(xp.min(cost.M)) + 0.5 * cost_range * centred
            K = xp.exp((low - cost.M) * inv_eps)
            transposed = xp.matrix_transpose(K)
            low *= inv_eps
            return cls(lambda x: x @ transposed, lambda y: y @ K, low, centred=centred)
        if isinstance(cost, GridCost) and not centred:
            product = _separable(cost, inv_eps, like)
            return cls(product, product, 0.0)
        return None

    def covers(self, x: Array) -> bool:
        """Whether the range of potentials is one that this kernel can scale by."""
        xp = array_namespace(x)
        return not self.centred or bool(
            xp.all(xp.max(x, axis=-1) - xp.min(x, axis=-1) <= LARGEST_POTENTIALS)
        )

    def pass_over(
        self, gamma: Array, log_a: Array
    ) -> tuple[Array, Array, tuple[Array, Array]]:
        """Exact row potentials (k, n), column sums (k, m), and both scalings."""
        xp = array_namespace(gamma)
        top = xp.max(gamma, axis=1, keepdims=True)
        right = xp.exp(gamma - top)
        log_sums = xp.log(self.forward(right))
        left = xp.exp(log_a - log_sums)
        c = right * self.backward(left)
        return log_a - top - log_sums + self.low, c, (left, right)

    def normal_product(
        self, scalings: tuple[Array, Array], log_a: Array
    ) -> Callable[[Array], Array]:
        """Return the map of rows x (k, m) to P_k^T diag(1/a_k) P_k x_k."""
        left, right = scalings
        xp = array_namespace(log_a)
        # Averages first: the square of a scaling may overflow.
        weight = left * xp.exp(-log_a)

        def product(x: Array) -> Array:
            averages = weight * self.forward(right * x)
            return right * self.backward(left * averages)

        return product

    def column_logsums(self, x: Array) -> Array:
        """``log sum_i exp(x_i - M_ij / eps)`` of a vector (n,)."""
        xp = array_namespace(x)
        top = xp.max(x)
        sums = self.backward(xp.exp(x - top)[None, :])[0, :]
        return top + xp.log(sums) - self.low


def _separable(cost: GridCost, inv_eps: float, like: Array) -> Callable[[Array], Array]:
    """Products along the axes of a grid, one after the other."""
    xp, grid = array_namespace(like), cost.grid
    kernels = axis_kernels(grid.shape, grid.units(inv_eps), grid.power, like)

    def product(x: Array) -> Array:
        values = xp.reshape(x, (x.shape[0], *grid.shape))
        for kernel in kernels:
            # The axis in front is summed over and comes back as the last.
            values = xp.tensordot(values, kernel, axes=((1,), (0,)))
        return xp.reshape(values, x.shape)

    return product
