# SPDX-License-Identifier: BSD-3-Clause
"""Logistic regression, two or more classes: penalties per block, weights per label."""

import abc
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from numopt import _validation as v
from numopt._array.namespace import array_namespace, device, to_numpy
from numopt._array.segment import segment_sum
from numopt._array.sparse import is_sparse
from numopt.bilevel._problem.groups import check_groups, spectral_bound
from numopt.bilevel._problem.labelled import check_labelled, indicator, with_ones
from numopt.bilevel._problem.preconditioners import ClassBlocks, balanced
from numopt.bilevel._problem.protocols import BilevelProblem
from numopt.typing import Array

__all__ = [
    "CrossEntropyUpper",
    "HyperCleaningProblem",
    "LogisticLower",
    "LogisticProblem",
    "PenaltyLower",
]

#: The intercept is penalised too, hardly: strong convexity needs it.
INTERCEPT = -9.0
#: Hessian blocks of up to this many features are inverted to precondition.
BLOCK_SIZE = 256
#: Largest curvature of the loss in one row: of the logistic and the softmax Hessian.
CURVATURE = {True: 0.25, False: 0.5}
#: Largest third derivative in one row: 1 / (6 sqrt 3), and sqrt(2) / 2 since a third
#: central moment is at most the range (sqrt 2) times a variance (1/2).
THIRD = {True: 0.0962251, False: 0.7071068}


def losses(Z: Array, Y: Array) -> tuple[Array, Array]:
    """Cross-entropy of each row and its derivative in the logits ``P - Y``.

    One column of logits means two classes.
    """
    xp = array_namespace(Z)
    if Z.shape[1] == 1:
        soft = xp.log1p(xp.exp(-xp.abs(Z)))
        positive = xp.where(Z > 0, Z, xp.zeros_like(Z))
        decay = xp.exp(-xp.abs(Z))
        P = xp.where(Z > 0, 1 / (1 + decay), decay / (1 + decay))
        return (soft + positive - Y * Z)[:, 0], P - Y
    # Relative to the logit of the own class: small losses keep all their digits.
    D = Z - xp.sum(Y * Z, axis=1)[:, None]
    top = xp.max(D, axis=1)
    others = xp.sum((1 - Y) * xp.exp(D - top[:, None]), axis=1)
    loss = xp.where(top > 0, top + xp.log(xp.exp(-top) + others), xp.log1p(others))
    own = xp.expm1(-loss)[:, None]
    return loss, xp.where(Y > 0, own, xp.exp(D - loss[:, None]))


class LogisticLower(abc.ABC):
    """``sum_i s_i(theta) loss_i(X W) + sum_jk c_jk(theta) W_jk^2 / 2``.

    Subclasses say what depends on theta: the sample weights s or the penalties c.
    """

    solver = "newton-cg"

    def __init__(self, X: Any, Y: Array) -> None:
        self.X, self.Y = X, Y
        self.Xt = (
            X.T.tocsr() if is_sparse(X) else array_namespace(X).matrix_transpose(X)
        )
        self.squares: Any = X.multiply(X).T.tocsr() if is_sparse(X) else None
        self.shape: tuple[int, ...] = (X.shape[1], Y.shape[1])
        self.binary = Y.shape[1] == 1
        small = not is_sparse(X) and X.shape[1] <= BLOCK_SIZE
        self.blocks: Any = ClassBlocks(X) if small and not self.binary else None
        self._seen: Any = None
        self._state: Any = None

    @abc.abstractmethod
    def weights(self, theta: Array) -> Array:
        """Weight of each row, as a column."""

    @abc.abstractmethod
    def penalties(self, theta: Array) -> Array:
        """Penalty of each coefficient, of the shape of W."""

    def x_init(self, theta: Array) -> Array:
        xp = array_namespace(self.Y)
        return xp.zeros(self.shape, dtype=self.Y.dtype, device=device(self.Y))

    def linearised(self, x: Array) -> tuple[Array, Array]:
        """Losses and ``P - Y`` at x, kept for the products that follow."""
        if self._seen is not x:
            self._state, self._seen = losses(self.rows(x), self.Y), x
        return self._state

    def rows(self, x: Array) -> Array:
        """Logits of the rows."""
        return self.X @ x

    def columns(self, R: Array, Xt: Any = None) -> Array:
        """The adjoint of ``rows``, or that with another matrix in place of X."""
        return (self.Xt if Xt is None else Xt) @ R

    def value_grad(self, x: Array, theta: Array) -> tuple[float, Array]:
        xp = array_namespace(x)
        loss, R = self.linearised(x)
        s, c = self.weights(theta), self.penalties(theta)
        value = xp.sum(s[:, 0] * loss) + 0.5 * xp.sum(c * x * x)
        return float(to_numpy(value)), self.columns(s * R) + c * x

    def _curvature(self, x: Array, theta: Array) -> tuple[Array, Array]:
        """Probabilities and the weights of the rows."""
        _, R = self.linearised(x)
        return R + self.Y, self.weights(theta)

    def hessian(self, x: Array, theta: Array) -> Callable[[Array], Array]:
        xp = array_namespace(x)
        P, s = self._curvature(x, theta)
        c = self.penalties(theta)
        if self.binary:
            w = s * P * (1 - P)
            return lambda u: self.columns(w * self.rows(u)) + c * u
        sP = s * P
        ones = xp.ones((P.shape[1], 1), dtype=P.dtype, device=device(P))

        def product(u: Array) -> Array:
            U = self.rows(u)
            # Sums over a few classes are quicker as products.
            U -= (P * U) @ ones
            return self.columns(sP * U) + c * u

        return product

    def preconditioner(self, x: Array, theta: Array) -> Callable[[Array], Array]:
        """Diagonal of the Hessian; of several classes blocks, where they are small."""
        P, s = self._curvature(x, theta)
        c, w = self.penalties(theta), s * P * (1 - P)
        if self.blocks is not None:
            return balanced(self.class_blocks(w, c), c)
        if self.squares is None:
            self.squares = self.Xt * self.Xt
        diagonal = self.columns(w, self.squares) + c

        def jacobi(u: Array) -> Array:
            return u / diagonal

        return jacobi if self.binary else balanced(jacobi, c)

    def class_blocks(self, w: Array, c: Array) -> Callable[[Array], Array]:
        """Inverses of the blocks of single classes."""
        return self.blocks.inverse(w, c)

    def forget(self) -> None:
        """Drop the blocks that the preconditioner keeps."""
        if self.blocks is not None:
            self.blocks.forget()

    @property
    def setup_work(self) -> int:
        """What the preconditioner has cost so far, in Hessian products."""
        return 0 if self.blocks is None else self.blocks.work

    # ---------------------------------------------------------------- constants
    def _row_sizes(self) -> tuple[float, float]:
        """Largest squared norm of a row, and of the spectrum of X."""
        if not hasattr(self, "_sizes"):
            X = self.X
            squares = X.multiply(X).sum(axis=1) if is_sparse(X) else None
            if squares is None:
                squares = array_namespace(X).sum(X * X, axis=1)
            self._sizes = float(np.max(to_numpy(squares))), spectral_bound(X)
        return self._sizes

    def _spread(self, theta: Array) -> float:
        """Largest eigenvalue of ``X^T diag(s) X``, from above."""
        return self._row_sizes()[1] * float(np.max(to_numpy(self.weights(theta))))

    def strong_convexity(self, theta: Array) -> float:
        return float(np.min(to_numpy(self.penalties(theta))))

    def lipschitz(self, theta: Array) -> float:
        top = float(np.max(to_numpy(self.penalties(theta))))
        return top + CURVATURE[self.binary] * self._spread(theta)

    def hessian_lipschitz(self, theta: Array) -> float:
        row, _ = self._row_sizes()
        return THIRD[self.binary] * row**0.5 * self._spread(theta)


class PenaltyLower(LogisticLower):
    """Theta are the logarithms of the penalties of blocks."""

    logarithmic = True

    def __init__(
        self, X: Any, Y: Array, index: np.ndarray, n_groups: int, weights: Array
    ) -> None:
        super().__init__(X, Y)
        xp = array_namespace(Y)
        self.index = xp.asarray(index.ravel(), device=device(Y))
        self.n_groups = n_groups
        self._weights = weights[:, None]
        self._at: Any = None

    def weights(self, theta: Array) -> Array:
        return self._weights

    def penalties(self, theta: Array) -> Array:
        if self._at is not theta:
            xp = array_namespace(self.Y)
            last = xp.full(1, INTERCEPT, dtype=theta.dtype, device=device(theta))
            every = xp.take(xp.exp(xp.concat([theta, last])), self.index)
            every = xp.astype(xp.reshape(every, self.shape), self.Y.dtype)
            self._c, self._at = every, theta
        return self._c

    def _by_group(self, each: Array) -> Array:
        xp = array_namespace(each)
        flat = xp.reshape(each, (math.prod(each.shape),))
        return segment_sum(flat, self.index, self.n_groups + 1)[: self.n_groups]

    def cross_vjp(self, x: Array, theta: Array, q: Array) -> Array:
        xp = array_namespace(x)
        return xp.astype(self._by_group(self.penalties(theta) * x * q), theta.dtype)

    def cross_norm(self, x: Array, theta: Array) -> float:
        squares = self._by_group((self.penalties(theta) * x) ** 2)
        return float(np.max(to_numpy(squares))) ** 0.5

    def cross_lipschitz(self, theta: Array) -> float:
        return float(np.exp(np.max(to_numpy(theta))))


class CleaningLower(LogisticLower):
    """Theta are the logits of the weights of the rows."""

    def __init__(self, X: Any, Y: Array, alpha: float) -> None:
        super().__init__(X, Y)
        xp = array_namespace(Y)
        self._c = xp.full(self.shape, alpha, dtype=Y.dtype, device=device(Y))

    def _sigmoid(self, theta: Array) -> Array:
        xp = array_namespace(theta)
        return 0.5 * (1 + xp.tanh(0.5 * theta))

    def weights(self, theta: Array) -> Array:
        xp = array_namespace(theta)
        s = self._sigmoid(theta) / theta.shape[0]
        return xp.astype(s, self.Y.dtype)[:, None]

    def penalties(self, theta: Array) -> Array:
        return self._c

    def _slopes(self, theta: Array) -> Array:
        s = self._sigmoid(theta)
        return s * (1 - s) / theta.shape[0]

    def cross_vjp(self, x: Array, theta: Array, q: Array) -> Array:
        xp = array_namespace(x)
        _, R = self.linearised(x)
        each = xp.sum(R * (self.X @ q), axis=1)
        return self._slopes(theta) * xp.astype(each, theta.dtype)

    def cross_norm(self, x: Array, theta: Array) -> float:
        """``|R_i| <= sqrt 2`` in each row."""
        top = float(np.max(to_numpy(self._slopes(theta))))
        return 2**0.5 * top * self._row_sizes()[1] ** 0.5

    def cross_lipschitz(self, theta: Array) -> float:
        row, spectrum = self._row_sizes()
        top = float(np.max(to_numpy(self._slopes(theta))))
        return CURVATURE[self.binary] * top * (row * spectrum) ** 0.5


class CrossEntropyUpper:
    """Mean cross-entropy on validation data, rows weighted."""

    convex = True

    def __init__(self, X: Any, Y: Array, weights: Array | None = None) -> None:
        xp = array_namespace(Y)
        self.X, self.Y = X, Y
        self.Xt = (
            X.T.tocsr() if is_sparse(X) else array_namespace(X).matrix_transpose(X)
        )
        if weights is None:
            weights = xp.ones(Y.shape[0], dtype=Y.dtype, device=device(Y)) / Y.shape[0]
        self.weights = weights[:, None]
        top = float(np.max(to_numpy(weights)))
        self.lipschitz = CURVATURE[Y.shape[1] == 1] * spectral_bound(X) * top

    def value_grad(self, x: Array, theta: Array) -> tuple[float, Array, None]:
        xp = array_namespace(x)
        loss, R = losses(self.X @ x, self.Y)
        value = float(to_numpy(xp.sum(self.weights[:, 0] * loss)))
        return value, self.Xt @ (self.weights * R), None


class LogisticProblem(BilevelProblem):
    r"""Penalties of a logistic regression that minimise the loss on validation data.

    .. math:: h(W, \theta) = \frac1n \sum_i \ell(x_i^T W, y_i)
              + \tfrac12 \sum_{jk} e^{\theta_{\mathrm{group}(j)}} W_{jk}^2, \qquad
              g(W) = \frac{1}{n_v} \sum_i \ell(x_{v,i}^T W, y_{v,i})

    with the cross-entropy :math:`\ell`. The last row of W is the intercept, whose
    penalty is fixed at ``exp(-9)``.

    Parameters
    ----------
    X, y : array or CSR matrix of shape (n, p), and labels of shape (n,)
        Training data.
    Xv, yv : array or CSR matrix of shape (n_v, p), and labels of shape (n_v,)
        Validation data.
    groups : array of int of shape (p,), "features", "weights" or None, default=None
        Block of each feature, one penalty each; "weights" gives every coefficient its
        own penalty; None is one penalty for all.

    Attributes
    ----------
    lower, upper : object
        The two levels; the unknown is (p + 1, K), K = 1 for two classes.
    theta0 : array
        Minus three everywhere.
    bounds : tuple
        (-12, 6).
    classes : ndarray
        The labels.

    Raises
    ------
    ValueError
        When shapes disagree, entries are not finite, labels are new or only one, or
        groups have gaps.

    See Also
    --------
    BilevelLogisticRegression : The estimator, with cross-validation.

    References
    ----------
    Pedregosa (2016), Hyperparameter optimization with approximate gradient, ICML.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.bilevel import LogisticProblem, maid
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(60, 3))
    >>> y = (X[:, 0] + 0.5 * rng.normal(size=60) > 0).astype(int)
    >>> problem = LogisticProblem(X[:40], y[:40], X[40:], y[40:])
    >>> result = maid(problem, problem.theta0, accuracy="estimate", ftol=1e-4)
    >>> result.converged
    True
    """

    def __init__(self, X: Any, y: Any, Xv: Any, yv: Any, groups: Any = None) -> None:
        X, y, Xv, yv, self.classes = check_labelled(X, y, Xv, yv)
        K = 1 if self.classes.size == 2 else int(self.classes.size)
        p = X.shape[1]
        if isinstance(groups, str) and groups == "weights":
            labels, n_groups = np.arange(p * K).reshape(p, K), p * K
        else:
            if isinstance(groups, str):
                v.check_choice("groups", groups, ("features", "weights"))
            one, n_groups = check_groups(groups, p)
            labels = np.repeat(one[:, None], K, axis=1)
        index = np.concatenate([labels, np.full((1, K), n_groups)])
        Y, Yv = indicator(y, self.classes, X), indicator(yv, self.classes, Xv)
        X1, Xv1 = with_ones(X), with_ones(Xv)
        xp = array_namespace(Y)
        uniform = xp.ones(Y.shape[0], dtype=Y.dtype, device=device(Y)) / Y.shape[0]
        lower = PenaltyLower(X1, Y, index, n_groups, uniform)
        super().__init__(lower, CrossEntropyUpper(Xv1, Yv), bounds=(-12.0, 6.0))
        self.theta0 = xp.full(n_groups, -3.0, dtype=xp.float64, device=device(Y))


class HyperCleaningProblem(BilevelProblem):
    r"""Weights of training samples that minimise the loss on clean validation data.

    .. math:: h(W, \theta) = \frac1n \sum_i \sigma(\theta_i)\, \ell(x_i^T W, y_i)
              + \frac{\alpha}{2} \|W\|^2, \qquad
              g(W) = \frac{1}{n_v} \sum_i \ell(x_{v,i}^T W, y_{v,i}).

    Parameters
    ----------
    X, y : array or CSR matrix of shape (n, p), and labels of shape (n,)
        Training data, some labels of which are wrong.
    Xv, yv : array or CSR matrix of shape (n_v, p), and labels of shape (n_v,)
        Validation data with correct labels.
    alpha : float, default=1e-3
        Penalty of the coefficients and the intercept.

    Attributes
    ----------
    lower, upper : object
        The two levels; the unknown is (p + 1, K), K = 1 for two classes.
    theta0 : array of shape (n,)
        Zeros: all weights one half.
    bounds : tuple
        (-8, 8).
    classes : ndarray
        The labels.

    Raises
    ------
    ValueError
        When shapes disagree, entries are not finite, labels are new or only one, or
        ``alpha`` is not positive.

    See Also
    --------
    LogisticProblem : Penalties instead of weights.

    References
    ----------
    Franceschi, Donini, Frasconi & Pontil (2017), Forward and reverse gradient-based
    hyperparameter optimization, ICML, section 5.1 (data hyper-cleaning).

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.bilevel import HyperCleaningProblem, maid
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(80, 2))
    >>> y = (X[:, 0] > 0).astype(int)
    >>> noisy = y[:40].copy()
    >>> noisy[:8] = 1 - noisy[:8]
    >>> problem = HyperCleaningProblem(X[:40], noisy, X[40:], y[40:])
    >>> result = maid(problem, problem.theta0, max_iter=5, warn=False)
    >>> bool(result.theta[:8].mean() < result.theta[8:].mean())
    True
    """

    def __init__(self, X: Any, y: Any, Xv: Any, yv: Any, alpha: float = 1e-3) -> None:
        alpha = v.check_real("alpha", alpha, low=0, include_low=False)
        X, y, Xv, yv, self.classes = check_labelled(X, y, Xv, yv)
        Y, Yv = indicator(y, self.classes, X), indicator(yv, self.classes, Xv)
        lower = CleaningLower(with_ones(X), Y, alpha)
        upper = CrossEntropyUpper(with_ones(Xv), Yv)
        super().__init__(lower, upper, bounds=(-8.0, 8.0))
        xp = array_namespace(Y)
        self.theta0 = xp.zeros(Y.shape[0], dtype=xp.float64, device=device(Y))
