# SPDX-License-Identifier: BSD-3-Clause
"""Levels made of levels: one theta for all blocks, shrinkage towards the mean."""

from collections.abc import Callable
from typing import Any

from numopt._array.namespace import array_namespace, device
from numopt.bilevel._problem.arrays import dot
from numopt.typing import Array

__all__ = ["ShrunkUpper", "TiedLower", "TiedUpper"]


class TiedLower:
    """A lower level whose ``n`` hyper-parameters are all equal to one."""

    def __init__(self, lower: Any, n: int) -> None:
        self._lower, self._n = lower, n
        self._full: tuple[Any, Any] = (None, None)

    def spread(self, theta: Array) -> Array:
        """All hyper-parameters; one object per theta, since levels cache by it."""
        if self._full[0] is not theta:
            xp = array_namespace(theta)
            ones = xp.ones(self._n, dtype=theta.dtype, device=device(theta))
            self._full = theta, ones * theta[0]
        return self._full[1]

    def __getattr__(self, name: str) -> Any:
        """Optional methods whose last argument is theta, and plain attributes."""
        if name.startswith("__"):
            raise AttributeError(name)
        value = getattr(self._lower, name)
        if not callable(value) or name in ("hessian_variation", "forget"):
            return value
        return lambda *args: value(*args[:-1], self.spread(args[-1]))

    def value_grad(self, x: Array, theta: Array) -> tuple[float, Array]:
        return self._lower.value_grad(x, self.spread(theta))

    def hessian(self, x: Array, theta: Array) -> Callable[[Array], Array]:
        return self._lower.hessian(x, self.spread(theta))

    def cross_vjp(self, x: Array, theta: Array, q: Array) -> Array:
        xp = array_namespace(theta)
        full = self._lower.cross_vjp(x, self.spread(theta), q)
        return xp.sum(full, axis=0, keepdims=True)

    def cross_norm(self, x: Array, theta: Array) -> float:
        return self._lower.cross_norm(x, self.spread(theta)) * self._n**0.5

    def cross_lipschitz(self, theta: Array) -> float:
        return self._lower.cross_lipschitz(self.spread(theta)) * self._n**0.5

    def strong_convexity(self, theta: Array) -> float:
        return self._lower.strong_convexity(self.spread(theta))

    def lipschitz(self, theta: Array) -> float:
        return self._lower.lipschitz(self.spread(theta))


class TiedUpper:
    """An upper level to go with a TiedLower."""

    def __init__(self, upper: Any, lower: TiedLower) -> None:
        self.upper, self._spread = upper, lower.spread
        self.lipschitz = upper.lipschitz
        self.convex = getattr(upper, "convex", False)

    def value_grad(self, x: Array, theta: Array) -> tuple[float, Array, Array | None]:
        value, grad, direct = self.upper.value_grad(x, self._spread(theta))
        if direct is None:
            return value, grad, None
        return value, grad, array_namespace(theta).sum(direct, axis=0, keepdims=True)


class ShrunkUpper:
    """``g + weight / (2 G) sum_g (theta_g - mean)^2``."""

    cross_lipschitz = 0.0

    def __init__(self, upper: Any, weight: float) -> None:
        self.upper, self.weight = upper, weight
        self.lipschitz = upper.lipschitz
        self.convex = getattr(upper, "convex", False)

    def value_grad(self, x: Array, theta: Array) -> tuple[float, Array, Array]:
        value, grad, direct = self.upper.value_grad(x, theta)
        xp = array_namespace(theta)
        centred = theta - xp.mean(theta)
        scale = self.weight / theta.shape[0]
        pull = scale * centred
        if direct is not None:
            pull = pull + direct
        return value + 0.5 * scale * dot(centred, centred), grad, pull
