# SPDX-License-Identifier: BSD-3-Clause
"""Penalties: value, proximal operator and distance to stationarity."""

import abc
import dataclasses
from typing import Any, ClassVar

import numpy as np

from numopt import _validation as v
from numopt._array.namespace import to_numpy
from numopt._numerics.prox import soft_threshold
from numopt.coordinate._problem.groups import GroupTerms, ScalarTerms

__all__ = [
    "L1",
    "MCP",
    "SCAD",
    "Box",
    "ElasticNet",
    "NonNegative",
    "Null",
    "Penalty",
    "Ridge",
]

Index = Any


@dataclasses.dataclass(frozen=True, eq=False)
class Penalty(abc.ABC):
    """Base of penalties: subclass it with the methods below to define your own.

    A vector of coefficients is of shape (p,), or (K, p) for several outputs, and
    ``index`` names the coordinates that an argument holds (None: all).

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.coordinate import L1
    >>> L1(2.0).value(np.array([1.0, -3.0]))
    8.0
    """

    #: Whether the penalty is convex.
    convex: ClassVar[bool] = True

    @abc.abstractmethod
    def value(self, w: np.ndarray) -> float:
        """Return the penalty of ``w``, inf where it is not allowed."""

    @abc.abstractmethod
    def prox(self, w: np.ndarray, step: Any, index: Index = None) -> np.ndarray:
        """Return ``argmin_x ||x - w||^2 / 2 + step * penalty(x)``."""

    @abc.abstractmethod
    def subdiff_distance(
        self, w: np.ndarray, grad: np.ndarray, index: Index = None
    ) -> np.ndarray:
        """Return the distance of ``-grad`` to the subdifferential, per coordinate."""

    def terms(self, p: int) -> ScalarTerms | None:
        """Return the canonical form of a separable convex penalty, or None."""
        return None

    def group_terms(self, p: int) -> GroupTerms | None:
        """Return the canonical form of a group penalty, or None."""
        return None


@dataclasses.dataclass(frozen=True, eq=False)
class SeparablePenalty(Penalty):
    """Penalties with a canonical form ``l1 |w| + l2 w^2 / 2`` within bounds."""

    @abc.abstractmethod
    def terms(self, p: int) -> ScalarTerms:
        """Return the canonical form."""

    def value(self, w: np.ndarray) -> float:
        """Return the penalty of ``w``, inf where it is not allowed."""
        return separable_value(w, self.terms(w.shape[-1]))

    def prox(self, w: np.ndarray, step: Any, index: Index = None) -> np.ndarray:
        """Return ``argmin_x ||x - w||^2 / 2 + step * penalty(x)``."""
        l1, l2, lower, upper = self._at(w, index)
        return np.clip(soft_threshold(w, step * l1) / (1.0 + step * l2), lower, upper)

    def subdiff_distance(
        self, w: np.ndarray, grad: np.ndarray, index: Index = None
    ) -> np.ndarray:
        """Return the distance of ``-grad`` to the subdifferential, per coordinate."""
        l1, l2, lower, upper = self._at(w, index)
        slope = grad + l2 * w
        # The subdifferential of the smooth-plus-absolute part is [left, right].
        finite = np.where(np.isinf(l1), 0.0, l1)
        left = slope + np.where(w > 0, finite, -finite)
        right = slope + np.where(w < 0, -finite, finite)
        left = np.where(w <= lower, -np.inf, left)
        right = np.where(w >= upper, np.inf, right)
        distance = np.maximum(np.maximum(left, -right), 0.0)
        return np.where(np.isinf(l1), 0.0, distance)

    def _at(self, w: np.ndarray, index: Index) -> ScalarTerms:
        """Canonical form of the coordinates that an argument holds."""
        if index is None:
            return self.terms(w.shape[-1])
        size = int(np.max(index, initial=-1)) + 1
        for name in ("weights", "lower", "upper"):
            given = getattr(self, name, None)
            if given is not None and np.ndim(given) == 1:
                size = len(given)
        return ScalarTerms(*(term[index] for term in self.terms(size)))


@dataclasses.dataclass(frozen=True, eq=False)
class L1(SeparablePenalty):
    """Weighted L1 norm, ``alpha * sum_j weights_j |w_j|``.

    Parameters
    ----------
    alpha : float, default=1.0
        Strength, at least 0.
    weights : array_like of shape (p,), default=None
        Non-negative weights, None for ones. 0 leaves a coordinate unpenalised, inf
        excludes it.
    positive : bool, default=False
        Whether coefficients must not be negative.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.coordinate import L1
    >>> L1(1.0).prox(np.array([3.0, -0.5]), 1.0)
    array([ 2., -0.])
    """

    alpha: float = 1.0
    weights: Any = None
    positive: bool = False

    def __post_init__(self) -> None:
        v.check_real("alpha", self.alpha, low=0)
        v.check_flag("positive", self.positive)
        _store_weights(self)

    def terms(self, p: int) -> ScalarTerms:
        """Return the canonical form."""
        return ScalarTerms(
            _scaled(self.alpha, self.weights, p),
            np.zeros(p),
            np.full(p, 0.0 if self.positive else -np.inf),
            np.full(p, np.inf),
        )


@dataclasses.dataclass(frozen=True, eq=False)
class ElasticNet(SeparablePenalty):
    """Elastic net, ``alpha (l1_ratio ||w||_1 + (1 - l1_ratio) ||w||^2 / 2)``.

    Parameters
    ----------
    alpha : float, default=1.0
        Strength, at least 0.
    l1_ratio : float, default=0.5
        Share of the L1 norm, between 0 and 1.
    weights : array_like of shape (p,), default=None
        Non-negative weights of both parts, None for ones; inf excludes a coordinate.
    positive : bool, default=False
        Whether coefficients must not be negative.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.coordinate import ElasticNet
    >>> ElasticNet(1.0, 0.5).value(np.array([2.0]))
    2.0
    """

    alpha: float = 1.0
    l1_ratio: float = 0.5
    weights: Any = None
    positive: bool = False

    def __post_init__(self) -> None:
        v.check_real("alpha", self.alpha, low=0)
        v.check_real("l1_ratio", self.l1_ratio, low=0, high=1)
        v.check_flag("positive", self.positive)
        _store_weights(self)

    def terms(self, p: int) -> ScalarTerms:
        """Return the canonical form."""
        weights = _scaled(1.0, self.weights, p)
        excluded = np.isinf(weights)
        finite = np.where(excluded, 0.0, weights)
        l1 = np.where(excluded, np.inf, self.alpha * self.l1_ratio * finite)
        ridge = self.alpha * (1.0 - self.l1_ratio)
        return ScalarTerms(
            l1,
            ridge * finite,
            np.full(p, 0.0 if self.positive else -np.inf),
            np.full(p, np.inf),
        )


@dataclasses.dataclass(frozen=True, eq=False)
class Ridge(SeparablePenalty):
    """Squared Euclidean norm, ``alpha ||w||^2 / 2``.

    Parameters
    ----------
    alpha : float, default=1.0
        Strength, at least 0.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.coordinate import Ridge
    >>> Ridge(2.0).value(np.array([3.0]))
    9.0
    """

    alpha: float = 1.0

    def __post_init__(self) -> None:
        v.check_real("alpha", self.alpha, low=0)

    def terms(self, p: int) -> ScalarTerms:
        """Return the canonical form."""
        free = np.full(p, np.inf)
        return ScalarTerms(np.zeros(p), np.full(p, self.alpha), -free, free)


@dataclasses.dataclass(frozen=True, eq=False)
class Null(SeparablePenalty):
    """No penalty.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.coordinate import Null
    >>> Null().value(np.array([3.0]))
    0.0
    """

    def terms(self, p: int) -> ScalarTerms:
        """Return the canonical form."""
        free = np.full(p, np.inf)
        return ScalarTerms(np.zeros(p), np.zeros(p), -free, free)


@dataclasses.dataclass(frozen=True, eq=False)
class Box(SeparablePenalty):
    """Bounds, ``lower <= w <= upper``.

    Parameters
    ----------
    lower, upper : float or array_like of shape (p,)
        Bounds; -inf and inf for none.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.coordinate import Box
    >>> Box(0.0, 1.0).prox(np.array([-1.0, 0.5, 2.0]), 1.0)
    array([0. , 0.5, 1. ])
    """

    lower: Any = -np.inf
    upper: Any = np.inf

    def __post_init__(self) -> None:
        for name in ("lower", "upper"):
            bound = floats(name, getattr(self, name))
            if np.isnan(bound).any():
                raise ValueError(v.message(name, "free of NaN", "NaN"))
            object.__setattr__(self, name, bound if bound.ndim else float(bound))
        if np.any(np.asarray(self.lower) > np.asarray(self.upper)):
            raise ValueError(
                v.message("lower", "at most `upper`", f"{self.lower} > {self.upper}")
            )

    def terms(self, p: int) -> ScalarTerms:
        """Return the canonical form."""
        lower = _full("lower", self.lower, p)
        return ScalarTerms(
            np.zeros(p), np.zeros(p), lower, _full("upper", self.upper, p)
        )


@dataclasses.dataclass(frozen=True, eq=False)
class NonNegative(SeparablePenalty):
    """Non-negative coefficients with an optional L1 term, ``alpha sum_j w_j``.

    Parameters
    ----------
    alpha : float, default=0.0
        Strength, at least 0.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.coordinate import NonNegative
    >>> NonNegative().prox(np.array([-1.0, 0.5]), 1.0)
    array([0. , 0.5])
    """

    alpha: float = 0.0

    def __post_init__(self) -> None:
        v.check_real("alpha", self.alpha, low=0)

    def terms(self, p: int) -> ScalarTerms:
        """Return the canonical form."""
        zero = np.zeros(p)
        return ScalarTerms(np.full(p, self.alpha), zero, zero, np.full(p, np.inf))


@dataclasses.dataclass(frozen=True, eq=False)
class FoldedPenalty(Penalty):
    """Non-convex penalties that are concave in ``|w|``."""

    convex: ClassVar[bool] = False
    #: Slope at 0.
    alpha: float = 1.0

    @abc.abstractmethod
    def slope(self, size: np.ndarray) -> np.ndarray:
        """Return the derivative in ``|w|``."""

    def subdiff_distance(
        self, w: np.ndarray, grad: np.ndarray, index: Index = None
    ) -> np.ndarray:
        """Return the distance of ``-grad`` to the subdifferential, per coordinate."""
        slope = self.slope(np.abs(w))
        at_zero = np.maximum(np.abs(grad) - slope, 0.0)
        return np.where(w == 0, at_zero, np.abs(grad + np.sign(w) * slope))


@dataclasses.dataclass(frozen=True, eq=False)
class MCP(FoldedPenalty):
    """Minimax concave penalty.

    ``alpha |w| - w^2 / (2 gamma)`` up to ``|w| = gamma alpha``, constant beyond.

    Parameters
    ----------
    alpha : float, default=1.0
        Slope at 0, at least 0.
    gamma : float, default=3.0
        Concavity, more than 1.

    References
    ----------
    Zhang (2010), "Nearly unbiased variable selection under minimax concave penalty".

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.coordinate import MCP
    >>> MCP(1.0, 3.0).prox(np.array([0.5, 2.0, 5.0]), 1.0)
    array([0. , 1.5, 5. ])
    """

    alpha: float = 1.0
    gamma: float = 3.0

    def __post_init__(self) -> None:
        v.check_real("alpha", self.alpha, low=0)
        v.check_real("gamma", self.gamma, low=1, include_low=False)

    def slope(self, size: np.ndarray) -> np.ndarray:
        """Return the derivative in ``|w|``."""
        return np.maximum(self.alpha - size / self.gamma, 0.0)

    def value(self, w: np.ndarray) -> float:
        """Return the penalty."""
        alpha, gamma = float(self.alpha), float(self.gamma)
        near = np.minimum(np.abs(w), gamma * alpha)
        return float(np.sum(near * (alpha - near / (2.0 * gamma))))

    def prox(self, w: np.ndarray, step: Any, index: Index = None) -> np.ndarray:
        """Return the minimiser; needs ``step < gamma``."""
        if np.any(np.asarray(step) >= self.gamma):
            raise ValueError(v.message("step", f"less than gamma={self.gamma}", step))
        near = soft_threshold(w, step * self.alpha) / (1.0 - step / self.gamma)
        return np.where(np.abs(w) <= float(self.gamma) * float(self.alpha), near, w)


@dataclasses.dataclass(frozen=True, eq=False)
class SCAD(FoldedPenalty):
    """Smoothly clipped absolute deviation.

    Slope ``alpha`` up to ``|w| = alpha``, falling linearly to 0 at ``gamma alpha``.

    Parameters
    ----------
    alpha : float, default=1.0
        Slope at 0, at least 0.
    gamma : float, default=3.7
        Where the slope vanishes, more than 2.

    References
    ----------
    Fan & Li (2001), "Variable selection via nonconcave penalized likelihood".

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.coordinate import SCAD
    >>> SCAD(1.0, 3.7).prox(np.array([1.5, 5.0]), 1.0)
    array([0.5, 5. ])
    """

    alpha: float = 1.0
    gamma: float = 3.7

    def __post_init__(self) -> None:
        v.check_real("alpha", self.alpha, low=0)
        v.check_real("gamma", self.gamma, low=2, include_low=False)

    def slope(self, size: np.ndarray) -> np.ndarray:
        """Return the derivative in ``|w|``."""
        falling = (self.gamma * self.alpha - size) / (self.gamma - 1.0)
        return np.clip(falling, 0.0, self.alpha)

    def value(self, w: np.ndarray) -> float:
        """Return the penalty."""
        a, g = float(self.alpha), float(self.gamma)
        if a == 0:
            return 0.0
        # In units of the strength: its square may be beyond all numbers.
        size = np.minimum(np.abs(w), g * a) / a
        middle = (2 * g * size - size**2 - 1) / (2 * (g - 1))
        return a * float(np.sum(a * np.where(size <= 1, size, middle)))

    def prox(self, w: np.ndarray, step: Any, index: Index = None) -> np.ndarray:
        """Return the minimiser; needs ``step < gamma - 1``."""
        g, a, t = self.gamma, self.alpha, np.asarray(step)
        if np.any(t >= g - 1.0):
            raise ValueError(v.message("step", f"less than {g - 1.0}", step))
        middle = ((g - 1) * w - np.sign(w) * g * a * t) / (g - 1 - t)
        size = np.abs(w)
        near = soft_threshold(w, t * a)
        return np.where(size <= a * (1 + t), near, np.where(size <= g * a, middle, w))


def separable_value(w: np.ndarray, terms: ScalarTerms) -> float:
    """Return the penalty of a canonical form, inf outside of its bounds."""
    l1, l2, lower, upper = terms
    if np.any(w < lower) or np.any(w > upper):
        return np.inf
    used = w != 0
    absolute = np.where(used, np.abs(w) * np.where(used, l1, 0.0), 0.0)
    return float(np.sum(absolute) + 0.5 * np.sum(l2 * w * w))


def floats(name: str, values: Any) -> np.ndarray:
    """Return numbers as a new array in float64; refuse other things by name."""
    return np.array(to_numpy(v.float_arrays(**{name: values})[1][0]), np.float64)


def _store_weights(penalty: Any) -> None:
    """Validate the weights of a penalty and keep a read-only copy."""
    if penalty.weights is None:
        return
    weights = floats("weights", penalty.weights)
    v.check_ndim("weights", weights, 1)
    v.check_values("weights", weights, nonnegative=True, allow_posinf=True)
    weights.flags.writeable = False
    object.__setattr__(penalty, "weights", weights)


def _scaled(alpha: float, weights: np.ndarray | None, p: int) -> np.ndarray:
    """Strength times weights; those that are infinite stay so at strength 0."""
    if weights is None:
        return np.full(p, float(alpha))
    v.check_shape("weights", weights, (p,), why="(one a coordinate)")
    finite = np.where(np.isinf(weights), 0.0, weights)
    return np.where(np.isinf(weights), np.inf, alpha * finite)


def _full(name: str, bound: Any, p: int) -> np.ndarray:
    """A bound of every coordinate."""
    if np.ndim(bound) == 0:
        return np.full(p, float(bound))
    v.check_shape(name, bound, (p,), why="(one a coordinate)")
    return np.asarray(bound)
