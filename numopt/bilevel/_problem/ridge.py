# SPDX-License-Identifier: BSD-3-Clause
"""Ridge regression with one penalty per block: Cholesky, primal or dual."""

from collections.abc import Callable
from typing import Any

import numpy as np

from numopt import _validation as v
from numopt._array.linalg import cho_factor, cho_solve
from numopt._array.namespace import array_namespace, device, to_numpy
from numopt._array.segment import segment_sum
from numopt.bilevel._problem.arrays import dot
from numopt.bilevel._problem.groups import check_groups, spectral_bound
from numopt.bilevel._problem.protocols import BilevelProblem
from numopt.typing import Array

__all__ = ["RidgeLower", "RidgeProblem", "SquaredErrorUpper"]

#: Kernel matrices per block are stored up to this many numbers.
STORED_KERNELS = 40_000_000


class RidgeLower:
    """``h = ||X w - y||^2 / 2 + sum_j exp(theta_group(j)) w_j^2 / 2``.

    X (n, p) and y (n, t) are centred; w is (p, t). Wide problems (p > n) are solved
    with an (n, n) kernel matrix, whatever p is.
    """

    solver = "direct"
    solver_exact = True

    def __init__(self, X: Array, y: Array, groups: np.ndarray, n_groups: int) -> None:
        xp = array_namespace(X)
        self.X, self.y, self.n_groups = X, y, n_groups
        self.labels = xp.asarray(groups, device=device(X))
        Xt = xp.matrix_transpose(X)
        self.wide = X.shape[1] > X.shape[0]
        self._gram = None if self.wide else Xt @ X
        self._target = Xt @ y
        self._constant = dot(y, y)
        self._top = spectral_bound(X, self._gram)
        self._kernels = self._block_kernels(groups) if self.wide else None
        self._eye = xp.eye(min(X.shape), dtype=X.dtype, device=device(X))
        self._spread_at: Any = None
        self._spread: Any = None
        self._at: Any = None
        self._factored: Any = None

    def _block_kernels(self, groups: np.ndarray) -> Array | None:
        """``X_b X_b^T`` of each block, where they fit."""
        xp, n = array_namespace(self.X), self.X.shape[0]
        if self.n_groups * n * n > STORED_KERNELS or self.n_groups > n // 2:
            return None
        made = []
        for g in range(self.n_groups):
            columns = xp.asarray(np.flatnonzero(groups == g), device=device(self.X))
            block = xp.take(self.X, columns, axis=1)
            made.append(block @ xp.matrix_transpose(block))
        return xp.stack(made)

    def penalties(self, theta: Array) -> Array:
        """``exp(theta)`` per feature, as a column; kept for the calls that follow."""
        if self._spread_at is not theta:
            xp = array_namespace(self.X)
            every = xp.take(xp.exp(theta), self.labels)
            self._spread = xp.astype(every, self.X.dtype)[:, None]
            self._spread_at = theta
        return self._spread

    def x_init(self, theta: Array) -> Array:
        return array_namespace(self._target).zeros_like(self._target)

    def _apply(self, w: Array) -> Array:
        if self._gram is not None:
            return self._gram @ w
        return array_namespace(self.X).matrix_transpose(self.X) @ (self.X @ w)

    def value_grad(self, x: Array, theta: Array) -> tuple[float, Array]:
        Gx, px = self._apply(x), self.penalties(theta) * x
        value = 0.5 * (dot(x, Gx) - 2 * dot(x, self._target) + self._constant)
        return value + 0.5 * dot(x, px), Gx + px - self._target

    def hessian(self, x: Array, theta: Array) -> Callable[[Array], Array]:
        penalty = self.penalties(theta)
        return lambda u: self._apply(u) + penalty * u

    def cross_vjp(self, x: Array, theta: Array, q: Array) -> Array:
        xp = array_namespace(x)
        each = xp.sum(self.penalties(theta) * x * q, axis=1)
        return xp.astype(segment_sum(each, self.labels, self.n_groups), theta.dtype)

    def factorize(self, x: Array, theta: Array) -> Callable[[Array], Array]:
        """One Cholesky factor per theta, shared by the solution and the adjoint."""
        if self._at is not theta:
            make = self._dual if self.wide else self._primal
            self._factored, self._at = make(theta), theta
        return self._factored

    def _primal(self, theta: Array) -> Callable[[Array], Array]:
        low = cho_factor(self._gram + self._eye * self.penalties(theta))
        return lambda b: cho_solve(low, b)

    def _dual(self, theta: Array) -> Callable[[Array], Array]:
        """Woodbury: ``D - D X^T (I + X D X^T)^-1 X D``, D the inverse penalties."""
        xp, X = array_namespace(self.X), self.X
        inverse = 1 / self.penalties(theta)
        Xt = xp.matrix_transpose(X)
        if self._kernels is None:
            K = (X * xp.matrix_transpose(inverse)) @ Xt
        else:
            K = xp.tensordot(xp.astype(xp.exp(-theta), X.dtype), self._kernels, axes=1)
        low = cho_factor(K + self._eye)

        def solve(b: Array) -> Array:
            scaled = inverse * b
            return scaled - inverse * (Xt @ cho_solve(low, X @ scaled))

        return solve

    def strong_convexity(self, theta: Array) -> float:
        xp = array_namespace(theta)
        return float(to_numpy(xp.exp(xp.min(theta))))

    def lipschitz(self, theta: Array) -> float:
        xp = array_namespace(theta)
        return self._top + float(to_numpy(xp.exp(xp.max(theta))))

    def hessian_lipschitz(self, theta: Array) -> float:
        return 0.0

    def cross_norm(self, x: Array, theta: Array) -> float:
        """Columns of the mixed derivative are ``exp(theta_g) w_g``: orthogonal."""
        xp = array_namespace(x)
        squares = xp.sum((self.penalties(theta) * x) ** 2, axis=1)
        totals = segment_sum(squares, self.labels, self.n_groups)
        return float(to_numpy(xp.max(totals))) ** 0.5

    def cross_lipschitz(self, theta: Array) -> float:
        xp = array_namespace(theta)
        return float(to_numpy(xp.exp(xp.max(theta))))


class SquaredErrorUpper:
    """``g = ||Xv w - yv||^2 / (2 n_v)``."""

    convex = True

    def __init__(self, X: Array, y: Array) -> None:
        self.X, self.y = X, y
        self.lipschitz = spectral_bound(X) / X.shape[0]

    def value_grad(self, x: Array, theta: Array) -> tuple[float, Array, None]:
        n = self.X.shape[0]
        residual = self.X @ x - self.y
        grad = array_namespace(x).matrix_transpose(self.X) @ residual / n
        return 0.5 * dot(residual, residual) / n, grad, None


class RidgeProblem(BilevelProblem):
    r"""Penalties of a ridge regression that minimise the error on validation data.

    .. math:: h(w, \theta) = \tfrac12 \|X w - y\|^2
              + \tfrac12 \sum_j e^{\theta_{\mathrm{group}(j)}} w_j^2, \qquad
              g(w) = \frac{1}{2 n_v} \|X_v w - y_v\|^2,

    with all data centred by the means of X and y.

    Parameters
    ----------
    X, y : array of shape (n, p) and (n,) or (n, t)
        Training data.
    Xv, yv : array of shape (n_v, p) and (n_v,) or (n_v, t)
        Validation data.
    groups : array of int of shape (p,), "features" or None, default=None
        Block of each feature, one penalty each; None is one penalty for all.

    Attributes
    ----------
    lower, upper : object
        The two levels; the unknown is (p, t), t = 1 for a vector y.
    theta0 : array of shape (n_groups,)
        Logarithm of the mean squared norm of the features.
    bounds : tuple
        ``theta0`` minus 20 and plus 20.

    Raises
    ------
    ValueError
        When shapes disagree, entries are not finite, or labels have gaps.

    See Also
    --------
    BilevelRidge : The estimator, with cross-validation.

    Notes
    -----
    One Cholesky factor per theta serves the solution and the adjoint. For p > n it is
    of the kernel matrix (n, n), a weighted sum over blocks (banded ridge).

    References
    ----------
    Dupré la Tour, Eickenberg, Nunez-Elizalde & Gallant (2022), Feature-space selection
    with banded ridge regression, NeuroImage 264.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.bilevel import RidgeProblem, hypergradient
    >>> rng = np.random.default_rng(0)
    >>> X, y = rng.normal(size=(30, 4)), rng.normal(size=30)
    >>> problem = RidgeProblem(X[:20], y[:20], X[20:], y[20:], groups="features")
    >>> hypergradient(problem, problem.theta0).gradient.shape
    (4,)
    """

    def __init__(
        self, X: Array, y: Array, Xv: Array, yv: Array, groups: Any = None
    ) -> None:
        names = ("X", "y", "Xv", "yv")
        made: Any
        xp, made = v.float_arrays(**dict(zip(names, (X, y, Xv, yv), strict=True)))
        for name, one in zip(names, made, strict=True):
            v.check_ndim(name, one, 2 if name[0] == "X" or one.ndim == 2 else 1)
            v.check_values(name, one)
        X, y, Xv, yv = made
        v.check_shape("Xv", Xv, (Xv.shape[0], X.shape[1]), why="(features of `X`)")
        v.check_shape("y", y, (X.shape[0], *y.shape[1:]), why="(rows of `X`)")
        v.check_shape("yv", yv, (Xv.shape[0], *y.shape[1:]), why="(rows of `Xv`)")
        labels, n_groups = check_groups(groups, X.shape[1])
        y, yv = (one if one.ndim == 2 else one[:, None] for one in (y, yv))
        X_mean = xp.mean(X, axis=0, keepdims=True)
        y_mean = xp.mean(y, axis=0, keepdims=True)
        lower = RidgeLower(X - X_mean, y - y_mean, labels, n_groups)
        size = float(to_numpy(xp.sum((X - X_mean) ** 2))) / X.shape[1]
        start = float(np.log(max(size, 1e-12)))
        super().__init__(
            lower,
            SquaredErrorUpper(Xv - X_mean, yv - y_mean),
            bounds=(start - 20.0, start + 20.0),
        )
        self.theta0 = xp.full(n_groups, start, dtype=xp.float64, device=device(X))
