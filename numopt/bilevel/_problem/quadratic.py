# SPDX-License-Identifier: BSD-3-Clause
"""Least squares in both levels: every quantity has a closed form."""

import functools
from collections.abc import Callable

from numopt import _validation as v
from numopt._array.linalg import CholeskyFactor, cho_factor, cho_solve, lstsq
from numopt._array.namespace import array_namespace, device, to_numpy
from numopt.bilevel._problem.arrays import dot
from numopt.bilevel._problem.protocols import BilevelProblem
from numopt.typing import Array

__all__ = ["LeastSquaresUpper", "QuadraticLower", "QuadraticProblem"]

#: Eigenvalues are known to rounding; bounds made of them give way by this much.
MARGIN = 1e-10


class QuadraticLower:
    """``h(x, theta) = ||A2 x + A3 theta - b2||^2 / 2``."""

    solver = "newton-cg"
    solver_exact = True

    def __init__(self, A2: Array, A3: Array, b2: Array) -> None:
        xp = array_namespace(A2)
        self.A2, self.A3, self.b2 = A2, A3, b2
        At = xp.matrix_transpose(A2)
        self._H = At @ A2
        self._cross = At @ A3
        self._offset = At @ b2
        self._constant = dot(b2, b2)
        spectrum = to_numpy(xp.linalg.eigvalsh(self._H))
        self._mu = float(spectrum[0]) * (1 - MARGIN)
        self._L = float(spectrum[-1]) * (1 + MARGIN)
        self._cross_norm = float(to_numpy(xp.max(xp.linalg.svdvals(self._cross))))

    def x_init(self, theta: Array) -> Array:
        xp = array_namespace(self._offset)
        return xp.zeros_like(self._offset)

    def value_grad(self, x: Array, theta: Array) -> tuple[float, Array]:
        residual = self.A2 @ x + self.A3 @ theta - self.b2
        grad = self._H @ x + self._cross @ theta - self._offset
        return 0.5 * dot(residual, residual), grad

    def hessian(self, x: Array, theta: Array) -> Callable[[Array], Array]:
        return lambda u: self._H @ u

    def cross_vjp(self, x: Array, theta: Array, q: Array) -> Array:
        return array_namespace(q).matrix_transpose(self._cross) @ q

    @functools.cached_property
    def _factor(self) -> CholeskyFactor:
        return cho_factor(self._H)

    def factorize(self, x: Array, theta: Array) -> Callable[[Array], Array]:
        return lambda b: cho_solve(self._factor, b)

    def strong_convexity(self, theta: Array) -> float:
        return self._mu

    def lipschitz(self, theta: Array) -> float:
        return self._L

    def hessian_lipschitz(self, theta: Array) -> float:
        return 0.0

    def cross_norm(self, x: Array, theta: Array) -> float:
        return self._cross_norm

    def cross_lipschitz(self, theta: Array) -> float:
        return 0.0


class LeastSquaresUpper:
    """``g(x) = scale ||A x - b||^2 / 2``."""

    convex = True

    def __init__(self, A: Array, b: Array, scale: float = 1.0) -> None:
        xp = array_namespace(A)
        self.A, self.b, self.scale = A, b, scale
        top = float(to_numpy(xp.max(xp.linalg.svdvals(A))))
        self.lipschitz = scale * top**2 * (1 + MARGIN)

    def value_grad(self, x: Array, theta: Array) -> tuple[float, Array, None]:
        xp = array_namespace(x)
        residual = self.A @ x - self.b
        grad = self.scale * (xp.matrix_transpose(self.A) @ residual)
        return 0.5 * self.scale * dot(residual, residual), grad, None


class QuadraticProblem(BilevelProblem):
    r"""Least squares in both levels, with the minimiser in closed form.

    .. math:: g(x) = \tfrac12 \|A_1 x - b_1\|^2, \qquad
              h(x, \theta) = \tfrac12 \|A_2 x + A_3 \theta - b_2\|^2.

    Parameters
    ----------
    A1, b1 : array of shape (n, m) and (n,)
        Upper level.
    A2 : array of shape (k, m)
        Lower level, of full column rank.
    A3 : array of shape (k, d)
        How theta enters the lower level.
    b2 : array of shape (k,)
        Lower-level data.

    Attributes
    ----------
    lower, upper : object
        The two levels.
    theta0 : array of shape (d,)
        Ones.
    bounds : None
        Theta is free.
    theta_star : array of shape (d,)
        A minimiser of f, by least squares.
    f_star : float
        The least value of f.

    Raises
    ------
    ValueError
        When shapes disagree, entries are not finite, or A2 lacks full column rank.

    References
    ----------
    Salehi, Mukherjee, Roberts & Ehrhardt (2025), An adaptively inexact first-order
    method for bilevel optimization, SIAM J. Math. Data Sci. 7(3), numerical section.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.bilevel import QuadraticProblem, maid
    >>> rng = np.random.default_rng(0)
    >>> A1, A2, A3 = (rng.uniform(size=(50, 3)) for _ in range(3))
    >>> problem = QuadraticProblem(A1, A1 @ np.ones(3), A2, A3, rng.uniform(size=50))
    >>> result = maid(problem, problem.theta0, gtol=1e-8, ftol=1e-12)
    >>> bool(result.value - problem.f_star < 1e-3)
    True
    """

    def __init__(self, A1: Array, b1: Array, A2: Array, A3: Array, b2: Array) -> None:
        names = ("A1", "b1", "A2", "A3", "b2")
        xp, arrays = v.float_arrays(
            **dict(zip(names, (A1, b1, A2, A3, b2), strict=True))
        )
        A1, b1, A2, A3, b2 = (xp.astype(x, xp.float64, copy=False) for x in arrays)
        for name, x in zip(names, (A1, b1, A2, A3, b2), strict=True):
            v.check_ndim(name, x, 1 if name.startswith("b") else 2)
            v.check_values(name, x)
        v.check_shape("b1", b1, (A1.shape[0],), why="(rows of `A1`)")
        v.check_shape("A2", A2, (A2.shape[0], A1.shape[1]), why="(columns of `A1`)")
        v.check_shape("A3", A3, (A2.shape[0], A3.shape[1]), why="(rows of `A2`)")
        v.check_shape("b2", b2, (A2.shape[0],), why="(rows of `A2`)")
        lower = QuadraticLower(A2, A3, b2)
        if not lower._mu > 1e-14 * lower._L:
            raise ValueError(
                v.message("A2", "of full column rank", "a singular matrix")
            )
        super().__init__(lower, LeastSquaresUpper(A1, b1))
        self.theta0 = xp.ones(A3.shape[1], dtype=xp.float64, device=device(A3))

    @functools.cached_property
    def theta_star(self) -> Array:
        """A minimiser of f: least squares with ``x*(theta)`` put into g."""
        slope, start = self._solution_map
        A1, b1 = self.upper.A, self.upper.b  # type: ignore[attr-defined]
        return lstsq(A1 @ slope, b1 - A1 @ start)

    @functools.cached_property
    def f_star(self) -> float:
        """The least value of f."""
        slope, start = self._solution_map
        return self.upper.value_grad(slope @ self.theta_star + start, self.theta_star)[
            0
        ]

    @property
    def _solution_map(self) -> tuple[Array, Array]:
        """The affine map ``x*(theta) = slope theta + start``."""
        low = self.lower
        solve = low.factorize(None, None)  # type: ignore[attr-defined]
        return -solve(low._cross), solve(low._offset)  # type: ignore[attr-defined]
