# SPDX-License-Identifier: BSD-3-Clause
"""Losses of one sample: value, derivatives and convex conjugate, vectorised.

A datafit is ``f(w) = (1/S) sum_i s_i loss(y_i, z_i)`` with ``z = X w + b`` and
``S = sum_i s_i``. The methods here are those of ``loss``, without weights.
"""

import abc
import dataclasses
from typing import Any, ClassVar

import numpy as np

from numopt import _validation as v
from numopt._array.namespace import numpy_namespace
from numopt.coordinate._kernels.losses import logistic_expansion

__all__ = [
    "Datafit",
    "Huber",
    "Logistic",
    "Multinomial",
    "Poisson",
    "Quadratic",
    "SquaredHinge",
]


@dataclasses.dataclass(frozen=True)
class Datafit(abc.ABC):
    """Base of losses: subclass it with the methods below to define your own.

    A subclass gives ``value``, ``gradient`` and ``hessian_diag``; ``conjugate`` gives
    it a duality gap, and without one the stopping measure is the violation of the
    optimality conditions.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.coordinate import Quadratic
    >>> Quadratic().value(np.array([1.0]), np.array([3.0]))
    array([2.])
    """

    #: Bound of the second derivative in z, None when there is none.
    lipschitz: ClassVar[float | None] = None
    #: Whether ``conjugate`` is defined.
    has_dual: ClassVar[bool] = False
    #: Number of outputs per sample is more than one.
    multi_output: ClassVar[bool] = False
    #: Whether ``scaled`` is defined.
    scalable: ClassVar[bool] = False

    def scaled(self, unit: float) -> "Datafit":
        """Return the loss, over ``unit^2``, of targets and predictions over ``unit``.

        Only asked for where ``scalable`` is true.
        """
        raise NotImplementedError(f"{type(self).__name__} has targets without units")

    def encode(self, y: np.ndarray) -> np.ndarray:
        """Return validated targets as this loss wants them."""
        return y

    @abc.abstractmethod
    def value(self, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Return the loss of each sample."""

    @abc.abstractmethod
    def gradient(self, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Return the derivative in z of each sample."""

    @abc.abstractmethod
    def hessian_diag(self, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Return the second derivative in z of each sample."""

    def excess(self, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Return the loss of each sample above its least value, which most have 0."""
        return self.value(y, z)

    def expand(
        self, y: np.ndarray, z: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return ``value``, ``gradient`` and ``hessian_diag`` at once."""
        return self.value(y, z), self.gradient(y, z), self.hessian_diag(y, z)

    def majorant_diag(self, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Return curvatures of parabolas that touch the loss at z from above."""
        if self.lipschitz is None:
            return self.hessian_diag(y, z)
        return np.full_like(z, self.lipschitz)

    def best_constant(self, y: np.ndarray, weights: np.ndarray) -> Any:
        """Return the best z that all samples share, None where there is no formula."""
        return None

    def conjugate(self, y: np.ndarray, u: np.ndarray) -> np.ndarray:
        """Return ``sup_z u z - loss(y, z)`` of each sample, inf outside its domain.

        Only asked for where ``has_dual`` is true.
        """
        raise NotImplementedError(f"{type(self).__name__} has no conjugate")


@dataclasses.dataclass(frozen=True)
class Quadratic(Datafit):
    """Squares, ``loss(y, z) = (y - z)^2 / 2``.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.coordinate import Quadratic
    >>> Quadratic().gradient(np.array([1.0]), np.array([3.0]))
    array([2.])
    """

    lipschitz: ClassVar[float | None] = 1.0
    has_dual: ClassVar[bool] = True
    scalable: ClassVar[bool] = True

    def scaled(self, unit: float) -> "Quadratic":
        """Return the same loss: squares scale with their unit."""
        return self

    def value(self, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Return the loss of each sample."""
        return 0.5 * (y - z) ** 2

    def gradient(self, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Return the derivative in z of each sample."""
        return z - y

    def hessian_diag(self, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Return the second derivative in z of each sample."""
        return np.ones_like(z)

    def best_constant(self, y: np.ndarray, weights: np.ndarray) -> Any:
        """Return the best z that all samples share."""
        return float(weights @ y) / float(weights.sum())

    def conjugate(self, y: np.ndarray, u: np.ndarray) -> np.ndarray:
        """Return the conjugate, ``u^2 / 2 + y u``."""
        return u * (0.5 * u + y)


@dataclasses.dataclass(frozen=True)
class Logistic(Datafit):
    """Logistic loss, ``loss(y, z) = log(1 + exp(-y z))`` with labels -1 and 1.

    Labels 0 and 1 are accepted.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.coordinate import Logistic
    >>> Logistic().gradient(np.array([1.0]), np.array([0.0]))
    array([-0.5])
    """

    lipschitz: ClassVar[float | None] = 0.25
    has_dual: ClassVar[bool] = True

    def encode(self, y: np.ndarray) -> np.ndarray:
        """Return labels -1.0 and 1.0."""
        return _signs(y, "Logistic()")

    def value(self, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Return the loss of each sample."""
        return np.logaddexp(0.0, -y * z)

    def gradient(self, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Return the derivative in z of each sample."""
        return -y * _sigmoid(-y * z)

    def hessian_diag(self, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Return the second derivative in z of each sample."""
        probability = _sigmoid(z)
        return probability * _sigmoid(-z)

    def expand(
        self, y: np.ndarray, z: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return ``value``, ``gradient`` and ``hessian_diag`` at once."""
        return logistic_expansion.for_namespace(numpy_namespace)(y, z)

    def best_constant(self, y: np.ndarray, weights: np.ndarray) -> Any:
        """Return the best z that all samples share."""
        up = float(weights[y > 0].sum())
        return np.log(up) - np.log(float(weights.sum()) - up)

    def conjugate(self, y: np.ndarray, u: np.ndarray) -> np.ndarray:
        """Return ``v log v + (1-v) log(1-v)`` with ``v = -y u`` in [0, 1]."""
        from scipy.special import entr

        share = -y * u
        return -(entr(share) + entr(1.0 - share))


@dataclasses.dataclass(frozen=True)
class Multinomial(Datafit):
    """Softmax loss of integer labels, ``loss(y, z) = log sum_k exp(z_k) - z_y``.

    Labels are 0..K-1; ``z`` is of shape (n, K) and coefficients of shape (K, p).

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.coordinate import Multinomial
    >>> Multinomial().value(np.array([0]), np.zeros((1, 4))).round(4)
    array([1.3863])
    """

    lipschitz: ClassVar[float | None] = 0.5
    has_dual: ClassVar[bool] = True
    multi_output: ClassVar[bool] = True

    def encode(self, y: np.ndarray) -> np.ndarray:
        """Return integer labels 0..K-1, each of which occurs."""
        labels = np.asarray(y)
        codes = np.clip(labels, -1, MOST_LABELS).astype(np.int64)
        if not np.array_equal(codes, labels) or codes.min() < 0:
            raise ValueError(
                v.message("y", "integer labels 0..K-1 for Multinomial()", labels.min())
            )
        present = np.unique(codes)
        if present.size != codes.max() + 1:
            raise ValueError(
                v.message(
                    "y", "labels 0..K-1 that all occur", f"labels {present.tolist()}"
                )
            )
        if present.size < 2:
            raise ValueError(v.message("y", "of at least two classes", "one class"))
        return codes

    def value(self, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Return the loss of each sample."""
        top = z.max(axis=1)
        total = np.exp(z - top[:, None]).sum(axis=1)
        return top + np.log(total) - z[np.arange(z.shape[0]), y]

    def probabilities(self, z: np.ndarray) -> np.ndarray:
        """Return the softmax of each row."""
        e = np.exp(z - z.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)

    def gradient(self, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Return the derivative in z, shape (n, K)."""
        g = self.probabilities(z)
        g[np.arange(z.shape[0]), y] -= 1.0
        return g

    def hessian_diag(self, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Return the diagonal of the second derivative, shape (n, K)."""
        share = self.probabilities(z)
        return share * (1.0 - share)

    def best_constant(self, y: np.ndarray, weights: np.ndarray) -> Any:
        """Return the best z that all samples share."""
        return np.log(np.bincount(y, weights)) - np.log(weights.sum())

    def conjugate(self, y: np.ndarray, u: np.ndarray) -> np.ndarray:
        """Return ``sum_k v_k log v_k`` with ``v = e_y + u`` on the simplex."""
        share = np.array(u)
        share[np.arange(u.shape[0]), y] += 1.0
        rounding = 1e-12
        inside = (share.min(axis=1) >= -rounding) & (
            np.abs(share.sum(axis=1) - 1.0) <= rounding * share.shape[1]
        )
        entropy = _xlogx(np.clip(share, 0.0, 1.0)).sum(axis=1)
        return np.where(inside, entropy, np.inf)


@dataclasses.dataclass(frozen=True)
class Huber(Datafit):
    """Huber loss: squares up to a residual of ``delta``, linear beyond.

    Parameters
    ----------
    delta : float, default=1.0
        Residual at which the loss becomes linear, positive.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.coordinate import Huber
    >>> Huber(1.0).value(np.array([0.0, 0.0]), np.array([1.0, 3.0]))
    array([0.5, 2.5])
    """

    delta: float = 1.0
    lipschitz: ClassVar[float | None] = 1.0
    has_dual: ClassVar[bool] = True
    scalable: ClassVar[bool] = True

    def __post_init__(self) -> None:
        v.check_real("delta", self.delta, low=0, include_low=False)

    def scaled(self, unit: float) -> "Huber":
        """Return the loss that turns linear at the residual in the new unit."""
        limits = np.finfo(np.float64)
        return Huber(float(np.clip(self.delta / unit, limits.tiny, limits.max)))

    def value(self, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Return the loss of each sample."""
        size = np.abs(y - z)
        near = np.minimum(size, self.delta)
        return near * (size - 0.5 * near)

    def gradient(self, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Return the derivative in z of each sample."""
        return np.clip(z - y, -self.delta, self.delta)

    def hessian_diag(self, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Return the second derivative in z of each sample."""
        return np.where(np.abs(y - z) <= self.delta, 1.0, 0.0)

    def majorant_diag(self, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Return curvatures of parabolas that touch the loss at z from above."""
        return self.delta / np.maximum(np.abs(y - z), self.delta)

    def conjugate(self, y: np.ndarray, u: np.ndarray) -> np.ndarray:
        """Return ``u^2 / 2 + y u`` for ``|u| <= delta``."""
        inside = np.abs(u) <= self.delta * (1 + 1e-12)
        return np.where(inside, u * (0.5 * u + y), np.inf)


@dataclasses.dataclass(frozen=True)
class Poisson(Datafit):
    """Poisson loss with log link, ``loss(y, z) = exp(z) - y z``, counts y >= 0.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.coordinate import Poisson
    >>> Poisson().value(np.array([2.0]), np.array([0.0]))
    array([1.])
    """

    has_dual: ClassVar[bool] = True

    def encode(self, y: np.ndarray) -> np.ndarray:
        """Return the counts."""
        if y.min() < 0:
            raise ValueError(v.message("y", "non-negative for Poisson()", y.min()))
        return y

    def value(self, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Return the loss of each sample."""
        return np.exp(np.minimum(z, _MAX_EXPONENT)) - y * z

    def excess(self, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Return the loss above its value at ``exp(z) = y``: half the deviance."""
        rate = np.exp(np.minimum(z, _MAX_EXPONENT))
        shift = np.minimum(z, _MAX_EXPONENT) - np.log(np.where(y > 0, y, 1.0))
        return np.where(y > 0, y * (np.expm1(shift) - shift), rate)

    def gradient(self, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Return the derivative in z of each sample."""
        return np.exp(np.minimum(z, _MAX_EXPONENT)) - y

    def hessian_diag(self, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Return the second derivative in z of each sample."""
        return np.exp(np.minimum(z, _MAX_EXPONENT))

    def best_constant(self, y: np.ndarray, weights: np.ndarray) -> Any:
        """Return the best z that all samples share."""
        return np.log(weights @ y) - np.log(weights.sum())

    def conjugate(self, y: np.ndarray, u: np.ndarray) -> np.ndarray:
        """Return ``v log v - v`` with ``v = u + y >= 0``."""
        rate = u + y
        inside = rate >= -1e-12 * (1.0 + y)
        rate = np.maximum(rate, 0.0)
        return np.where(inside, _xlogx(rate) - rate, np.inf)


@dataclasses.dataclass(frozen=True)
class SquaredHinge(Datafit):
    """Squared hinge loss, ``loss(y, z) = max(0, 1 - y z)^2 / 2``, labels -1 and 1.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.coordinate import SquaredHinge
    >>> SquaredHinge().value(np.array([1.0, 1.0]), np.array([-1.0, 2.0]))
    array([2., 0.])
    """

    lipschitz: ClassVar[float | None] = 1.0
    has_dual: ClassVar[bool] = True

    def encode(self, y: np.ndarray) -> np.ndarray:
        """Return labels -1.0 and 1.0."""
        return _signs(y, "SquaredHinge()")

    def value(self, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Return the loss of each sample."""
        return 0.5 * np.maximum(0.0, 1.0 - y * z) ** 2

    def gradient(self, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Return the derivative in z of each sample."""
        return -y * np.maximum(0.0, 1.0 - y * z)

    def hessian_diag(self, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Return the second derivative in z of each sample."""
        return np.where(y * z < 1.0, 1.0, 0.0)

    def conjugate(self, y: np.ndarray, u: np.ndarray) -> np.ndarray:
        """Return ``v^2 / 2 - v`` with ``v = -y u >= 0``."""
        share = -y * u
        return np.where(share >= -1e-15, share * (0.5 * share - 1.0), np.inf)


#: More classes than samples that fit into any memory.
MOST_LABELS = 2**50
#: exp beyond this would overflow the sums of a large data set.
_MAX_EXPONENT = 300.0


def _sigmoid(z: np.ndarray) -> np.ndarray:
    """Logistic function."""
    from scipy.special import expit

    return expit(z)


def _xlogx(x: np.ndarray) -> np.ndarray:
    """``x log x``, 0 at 0."""
    from scipy.special import xlogy

    return xlogy(x, x)


def _signs(y: np.ndarray, what: str) -> np.ndarray:
    """Labels of two classes as -1 and 1."""
    labels = np.unique(y)
    if labels.size == 1:
        raise ValueError(v.message("y", "of two classes", "one class"))
    if np.array_equal(labels, [0, 1]):
        return 2.0 * np.asarray(y, dtype=np.float64) - 1.0
    if not np.array_equal(labels, [-1, 1]):
        shown: Any = labels[:5].tolist()
        raise ValueError(
            v.message("y", f"labels -1, 1 or 0, 1 for {what}", f"labels {shown}")
        )
    return np.asarray(y, dtype=np.float64)
