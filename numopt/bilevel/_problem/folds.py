# SPDX-License-Identifier: BSD-3-Clause
"""Cross-validated logistic regression: the folds share one matrix of rows."""

from collections.abc import Callable
from typing import Any

import numpy as np

from numopt._array.namespace import array_namespace, to_numpy
from numopt.bilevel._problem.groups import spectral_bound
from numopt.bilevel._problem.logistic import CURVATURE, PenaltyLower
from numopt.bilevel._problem.preconditioners import ClassBlocks
from numopt.typing import Array

__all__ = ["FoldedLower", "FoldedUpper"]


class FoldedLower(PenaltyLower):
    """Sum over folds of fits to weighted rows; a row outside a fold weighs nothing.

    ``weights`` are (n, F), the unknown is (p, F, K). All folds go through one product
    with X, and share the blocks of the preconditioner, made with the mean weights: a
    fold that holds out few rows has nearly these.
    """

    def __init__(
        self, X: Any, Y: Array, index: np.ndarray, n_groups: int, weights: Array
    ) -> None:
        xp = array_namespace(Y)
        (n, n_folds), (p, n_columns) = weights.shape, index.shape
        self.n_folds = n_folds
        every = np.repeat(index[:, None, :], n_folds, axis=1)
        flat = xp.reshape(weights, (n * n_folds,))
        super().__init__(X, xp.repeat(Y, n_folds, axis=0), every, n_groups, flat)
        self.shape = (p, n_folds, n_columns)
        if self.blocks is not None:
            self.blocks = ClassBlocks(X, n_folds)

    def rows(self, x: Array) -> Array:
        """Logits (n F, K): the folds of a row follow each other."""
        p, n_folds, n_columns = self.shape
        xp = array_namespace(x)
        Z = self.X @ xp.reshape(x, (p, n_folds * n_columns))
        return xp.reshape(Z, (self.X.shape[0] * n_folds, n_columns))

    def columns(self, R: Array, Xt: Any = None) -> Array:
        """The adjoint of ``rows``, or that with another matrix in place of X."""
        xp = array_namespace(R)
        _, n_folds, n_columns = self.shape
        wide = xp.reshape(R, (self.X.shape[0], n_folds * n_columns))
        return xp.reshape((self.Xt if Xt is None else Xt) @ wide, self.shape)

    def class_blocks(self, w: Array, c: Array) -> Callable[[Array], Array]:
        """Inverses of the blocks of all folds' mean Hessian."""
        xp = array_namespace(w)
        n, n_columns = self.X.shape[0], w.shape[1]
        mean = xp.mean(xp.reshape(w, (n, self.n_folds, n_columns)), axis=1)
        return self.blocks.inverse(mean, c[:, 0, :])


class FoldedUpper:
    """Mean over folds of the cross-entropy on the rows that they hold out.

    The logits are those that the lower level has computed. ``weights`` are (n, F).
    """

    convex = True

    def __init__(self, lower: FoldedLower, weights: Array) -> None:
        xp = array_namespace(weights)
        n, n_folds = weights.shape
        self.lower = lower
        self.weights = xp.reshape(weights, (n * n_folds, 1)) / n_folds
        sizes = []
        for k in range(n_folds):
            held = np.flatnonzero(to_numpy(weights[:, k]))
            top = float(np.max(to_numpy(weights[:, k])))
            sizes.append(top * spectral_bound(lower.X[held, :]))
        self.lipschitz = CURVATURE[lower.binary] * max(sizes) / n_folds

    def value_grad(self, x: Array, theta: Array) -> tuple[float, Array, None]:
        xp = array_namespace(x)
        loss, R = self.lower.linearised(x)
        value = float(to_numpy(xp.sum(self.weights[:, 0] * loss)))
        return value, self.lower.columns(self.weights * R), None
