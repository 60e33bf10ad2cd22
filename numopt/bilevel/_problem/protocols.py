# SPDX-License-Identifier: BSD-3-Clause
"""The two levels as protocols, and the pair of them with bounds."""

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

from numopt import _validation as v
from numopt._array.namespace import array_namespace, device, is_array, to_numpy
from numopt.typing import Array

__all__ = ["BilevelProblem", "LowerLevel", "UpperLevel"]

_LOWER = ("value_grad", "hessian", "cross_vjp", "strong_convexity", "lipschitz")
_UPPER = ("value_grad", "lipschitz")


@runtime_checkable
class LowerLevel(Protocol):
    r"""The lower-level objective :math:`h(x, \theta)`, strongly convex in x.

    ``x`` may have any shape; ``theta`` has the shape of the hyper-parameters. A class
    of your own needs no base class: having these methods is enough.

    Optional methods are used where they exist:

    * ``x_init(theta)``: a start;
    * ``preconditioner(x, theta)``: returns ``v -> M^{-1} v`` for an M like the Hessian;
      an attribute ``setup_work`` says what making them has cost so far, in Hessian
      products, and ``forget()``, called before every run, drops what is kept of them;
    * ``modulus_attained``: True where ``strong_convexity`` is the smallest eigenvalue
      itself, so that ``accuracy="estimate"`` has nothing to gain;
    * ``factorize(x, theta)``: returns ``b -> H^{-1} b``, for ``solver="direct"``;
    * ``hessian_lipschitz(theta)``: Lipschitz constant of the Hessian in x;
    * ``hessian_variation(x, theta, q, radius)``: a bound, not greater than the former
      times ``||q||``, on :math:`|D^3 h(y)[q, u, u]| / \|u\|^2` for all
      :math:`\|y - x\| \le` radius;
    * ``cross_norm(x, theta)``: bound on the spectral norm of
      :math:`\partial^2 h / \partial x\, \partial\theta`, and
      ``cross_lipschitz(theta)``: its Lipschitz constant in x.

    The last three decide whether bounds are certified.

    Parameters
    ----------
    *args, **kwargs
        Not used: a protocol is not called.

    Examples
    --------
    A ridge penalty with exponential weight:

    >>> import numpy as np
    >>> class Ridge:
    ...     def __init__(self, A, b):
    ...         self.A, self.b = A, b
    ...
    ...     def value_grad(self, x, theta):
    ...         r, w = self.A @ x - self.b, np.exp(theta[0])
    ...         return 0.5 * r @ r + 0.5 * w * x @ x, self.A.T @ r + w * x
    ...
    ...     def hessian(self, x, theta):
    ...         return lambda v: self.A.T @ (self.A @ v) + np.exp(theta[0]) * v
    ...
    ...     def cross_vjp(self, x, theta, q):
    ...         return np.array([np.exp(theta[0]) * x @ q])
    ...
    ...     def strong_convexity(self, theta):
    ...         return np.exp(theta[0])
    ...
    ...     def lipschitz(self, theta):
    ...         return np.linalg.norm(self.A, 2) ** 2 + np.exp(theta[0])
    >>> from numopt.bilevel import LowerLevel
    >>> isinstance(Ridge(np.eye(2), np.ones(2)), LowerLevel)
    True
    """

    def value_grad(self, x: Array, theta: Array) -> tuple[float, Array]:
        """Return ``h`` and its gradient in x."""
        ...

    def hessian(self, x: Array, theta: Array) -> Callable[[Array], Array]:
        """Linearise once; return ``v -> H v``."""
        ...

    def cross_vjp(self, x: Array, theta: Array, q: Array) -> Array:
        """Return the gradient in theta of the inner product of grad_x h and q."""
        ...

    def strong_convexity(self, theta: Array) -> float:
        """Return ``mu > 0``, a lower bound on the eigenvalues of every Hessian."""
        ...

    def lipschitz(self, theta: Array) -> float:
        """Return ``L >= mu``, an upper bound on the eigenvalues of every Hessian."""
        ...


@runtime_checkable
class UpperLevel(Protocol):
    r"""The upper-level objective :math:`g(x, \theta)`, smooth and bounded below.

    ``lipschitz`` is a Lipschitz constant of the gradient in x. Two attributes are
    optional: ``convex`` (True where g is convex in x) and ``cross_lipschitz``, a
    Lipschitz constant in x of the gradient in theta (needed for certified bounds only
    where that gradient is not None).

    Parameters
    ----------
    *args, **kwargs
        Not used: a protocol is not called.

    Examples
    --------
    >>> import numpy as np
    >>> class Distance:
    ...     lipschitz = 1.0
    ...
    ...     def value_grad(self, x, theta):
    ...         return 0.5 * x @ x, x, None
    >>> from numopt.bilevel import UpperLevel
    >>> isinstance(Distance(), UpperLevel)
    True
    """

    lipschitz: float

    def value_grad(self, x: Array, theta: Array) -> tuple[float, Array, Array | None]:
        """Return ``g``, its gradient in x, and its gradient in theta or None."""
        ...


class BilevelProblem:
    r"""A bilevel problem with one lower-level solution for every theta.

    .. math:: \min_\theta f(\theta) = g(x^*(\theta), \theta), \qquad
              x^*(\theta) = \arg\min_x h(x, \theta).

    Parameters
    ----------
    lower : LowerLevel
        The lower level, strongly convex and twice differentiable in x.
    upper : UpperLevel
        The upper level, with Lipschitz gradient in x.
    bounds : tuple of (low, high), default=None
        Box for theta: scalars or arrays that broadcast against theta, infinite where
        there is none. None leaves theta free.

    Attributes
    ----------
    lower, upper : LowerLevel and UpperLevel
        The two levels.
    bounds : tuple of (low, high) or None
        The box.
    theta0 : array or None
        A start for theta, which the ready problems have.

    Raises
    ------
    ValueError
        When a level lacks a method, or when ``low >= high`` somewhere.

    See Also
    --------
    maid : Minimise over theta.
    check_problem : Check the derivatives of one's own levels.

    Examples
    --------
    >>> from numopt.bilevel import BilevelProblem, QuadraticProblem
    >>> import numpy as np
    >>> ready = QuadraticProblem(*(np.eye(2), np.ones(2)), *2 * [np.eye(2)], np.ones(2))
    >>> boxed = BilevelProblem(ready.lower, ready.upper, bounds=(-1.0, 1.0))
    >>> boxed.bounds
    (-1.0, 1.0)
    """

    theta0: Array | None = None

    def __init__(
        self, lower: LowerLevel, upper: UpperLevel, *, bounds: Any = None
    ) -> None:
        _require("lower", lower, _LOWER)
        _require("upper", upper, _UPPER)
        v.check_real("upper.lipschitz", upper.lipschitz, low=0)
        self.lower = lower
        self.upper = upper
        self.bounds = _checked_bounds(bounds)

    def box(self, theta: Array) -> tuple[Array | None, Array | None]:
        """Return the bounds as arrays of the shape of theta, None where there are none.

        Parameters
        ----------
        theta : array
            Hyper-parameters.

        Returns
        -------
        low, high : array or None
            The bounds, in the library, dtype and on the device of theta.
        """
        if self.bounds is None:
            return None, None
        xp = array_namespace(theta)
        sides = []
        for side in self.bounds:
            one = xp.asarray(side, dtype=theta.dtype, device=device(theta))
            try:
                sides.append(xp.broadcast_to(one, theta.shape))
            except (ValueError, RuntimeError) as error:
                raise ValueError(
                    v.message(
                        "bounds",
                        f"broadcastable to theta of shape {tuple(theta.shape)}",
                        f"shape {tuple(one.shape)}",
                    )
                ) from error
        return sides[0], sides[1]


def _require(name: str, level: Any, members: tuple[str, ...]) -> None:
    missing = [member for member in members if not hasattr(level, member)]
    if missing:
        raise ValueError(
            v.message(
                name, f"an object with {', '.join(missing)}", type(level).__name__
            )
        )


def _checked_bounds(bounds: Any) -> tuple[Any, Any] | None:
    if bounds is None:
        return None
    try:
        low, high = bounds
    except (TypeError, ValueError) as error:
        raise ValueError(
            v.message("bounds", "a pair (low, high) or None", repr(bounds))
        ) from error
    lows, highs = to_numpy(low), to_numpy(high)
    if lows.dtype.kind not in "fiu" or highs.dtype.kind not in "fiu":
        raise ValueError(v.message("bounds", "a pair of real numbers", repr(bounds)))
    if not (lows < highs).all():
        raise ValueError(v.message("bounds", "low < high everywhere", repr(bounds)))
    return tuple(x if is_array(x) else _plain(x) for x in (low, high))  # type: ignore[return-value]


def _plain(x: Any) -> Any:
    """A float of a scalar, a NumPy array of a list."""
    host = to_numpy(x)
    return float(host) if host.ndim == 0 else host.astype(float)
