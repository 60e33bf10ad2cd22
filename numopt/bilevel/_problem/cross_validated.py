# SPDX-License-Identifier: BSD-3-Clause
"""Several problems with one theta, side by side: the folds of cross-validation."""

from collections.abc import Callable, Sequence
from typing import Any

from numopt import _validation as v
from numopt._array.namespace import array_namespace
from numopt.bilevel._problem.protocols import BilevelProblem
from numopt.typing import Array

__all__ = ["CrossValidated", "StackedLower", "StackedUpper"]


class StackedLower:
    """Sum of lower levels; x has one slice per problem on its first axis."""

    def __init__(self, lowers: Sequence[Any]) -> None:
        self.lowers = list(lowers)
        first = self.lowers[0]
        self.solver = getattr(first, "solver", "newton-cg")
        self.solver_exact = all(getattr(one, "solver_exact", False) for one in lowers)
        for name in _OPTIONAL:
            if all(hasattr(one, name) for one in self.lowers):
                setattr(self, name, getattr(self, f"_{name}"))

    def _stack(self, parts: list[Array]) -> Array:
        return array_namespace(parts[0]).stack(parts)

    def _slices(self, x: Array) -> list[Array]:
        """Slices of x; the same objects for the same x, since levels cache by it."""
        if getattr(self, "_seen", None) is not x:
            self._parts = [x[i, ...] for i in range(x.shape[0])]
            self._seen = x
        return self._parts

    def _x_init(self, theta: Array) -> Array:
        return self._stack([one.x_init(theta) for one in self.lowers])

    def value_grad(self, x: Array, theta: Array) -> tuple[float, Array]:
        pairs = zip(self.lowers, self._slices(x), strict=True)
        values, grads = zip(
            *(one.value_grad(s, theta) for one, s in pairs), strict=True
        )
        return sum(values), self._stack(list(grads))

    def _each(self, name: str, x: Array, theta: Array) -> Callable[[Array], Array]:
        pairs = zip(self.lowers, self._slices(x), strict=True)
        maps = [getattr(one, name)(s, theta) for one, s in pairs]
        return lambda u: self._stack([m(u[i, ...]) for i, m in enumerate(maps)])

    def hessian(self, x: Array, theta: Array) -> Callable[[Array], Array]:
        return self._each("hessian", x, theta)

    def _preconditioner(self, x: Array, theta: Array) -> Callable[[Array], Array]:
        return self._each("preconditioner", x, theta)

    @property
    def setup_work(self) -> float:
        """What preconditioners have cost, in products of all problems at once."""
        each = [getattr(one, "setup_work", 0) for one in self.lowers]
        return sum(each) / len(each)

    def forget(self) -> None:
        """Drop what preconditioners keep."""
        for one in self.lowers:
            if hasattr(one, "forget"):
                one.forget()

    def _factorize(self, x: Array, theta: Array) -> Callable[[Array], Array]:
        return self._each("factorize", x, theta)

    def cross_vjp(self, x: Array, theta: Array, q: Array) -> Array:
        parts = enumerate(zip(self.lowers, self._slices(x), strict=True))
        return sum(one.cross_vjp(s, theta, q[i, ...]) for i, (one, s) in parts)

    def strong_convexity(self, theta: Array) -> float:
        return min(float(one.strong_convexity(theta)) for one in self.lowers)

    def lipschitz(self, theta: Array) -> float:
        return max(float(one.lipschitz(theta)) for one in self.lowers)

    def _hessian_lipschitz(self, theta: Array) -> float:
        return max(float(one.hessian_lipschitz(theta)) for one in self.lowers)

    def _hessian_variation(
        self, x: Array, theta: Array, q: Array, radius: float
    ) -> float:
        parts = enumerate(zip(self.lowers, self._slices(x), strict=True))
        return max(
            one.hessian_variation(s, theta, q[i, ...], radius) for i, (one, s) in parts
        )

    def _cross_norm(self, x: Array, theta: Array) -> float:
        pairs = zip(self.lowers, self._slices(x), strict=True)
        return sum(float(one.cross_norm(s, theta)) ** 2 for one, s in pairs) ** 0.5

    def _cross_lipschitz(self, theta: Array) -> float:
        return max(float(one.cross_lipschitz(theta)) for one in self.lowers)


_OPTIONAL = (
    "x_init",
    "preconditioner",
    "factorize",
    "hessian_lipschitz",
    "hessian_variation",
    "cross_norm",
    "cross_lipschitz",
)


class StackedUpper:
    """Mean of upper levels."""

    def __init__(self, uppers: Sequence[Any]) -> None:
        self.uppers = list(uppers)
        self.lipschitz = max(float(one.lipschitz) for one in uppers) / len(uppers)
        self.convex = all(getattr(one, "convex", False) for one in uppers)
        if all(hasattr(one, "cross_lipschitz") for one in uppers):
            self.cross_lipschitz = norm_of([one.cross_lipschitz for one in uppers])

    def value_grad(self, x: Array, theta: Array) -> tuple[float, Array, Array | None]:
        k = len(self.uppers)
        parts = [one.value_grad(x[i, ...], theta) for i, one in enumerate(self.uppers)]
        direct = [part[2] for part in parts if part[2] is not None]
        xp = array_namespace(x)
        return (
            sum(part[0] for part in parts) / k,
            xp.stack([part[1] for part in parts]) / k,
            sum(direct) / k if direct else None,
        )


def norm_of(values: list[float]) -> float:
    """Lipschitz constant of a mean of functions of separate slices."""
    return sum(float(one) ** 2 for one in values) ** 0.5 / len(values)


class CrossValidated(BilevelProblem):
    r"""One theta for several problems: the mean of their upper levels.

    .. math:: f(\theta) = \frac1K \sum_k g_k(x_k^*(\theta), \theta).

    Parameters
    ----------
    problems : sequence of BilevelProblem
        The folds, with unknowns of one shape and hyper-parameters of one shape.

    Attributes
    ----------
    lower, upper : object
        The two levels; the unknowns are stacked on the first axis.
    theta0, bounds : array and tuple
        Those of the first problem.

    Raises
    ------
    ValueError
        When there is no problem, or one is not a BilevelProblem.

    See Also
    --------
    RidgeProblem, LogisticProblem : Problems to make folds of.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.bilevel import CrossValidated, RidgeProblem, maid
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(60, 3))
    >>> y = X[:, 0] + rng.normal(size=60)
    >>> fold = np.arange(60) % 3
    >>> folds = [
    ...     RidgeProblem(X[fold != k], y[fold != k], X[fold == k], y[fold == k])
    ...     for k in range(3)
    ... ]
    >>> problem = CrossValidated(folds)
    >>> maid(problem, problem.theta0).x.shape
    (3, 3, 1)
    """

    def __init__(self, problems: Sequence[BilevelProblem]) -> None:
        problems = list(problems)
        if not problems:
            raise ValueError(v.message("problems", "at least one problem", "none"))
        for one in problems:
            if not isinstance(one, BilevelProblem):
                raise ValueError(
                    v.message("problems", "BilevelProblem objects", type(one).__name__)
                )
        super().__init__(
            StackedLower([one.lower for one in problems]),
            StackedUpper([one.upper for one in problems]),
            bounds=problems[0].bounds,
        )
        self.theta0 = problems[0].theta0
        self.problems = problems
