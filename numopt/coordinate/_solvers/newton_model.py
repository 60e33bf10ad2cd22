# SPDX-License-Identifier: BSD-3-Clause
"""Second-order models of a loss on gathered columns: gradient and Gram matrix."""

import dataclasses
from typing import Any

import numpy as np

from numopt.coordinate._kernels.newton import RULES
from numopt.coordinate._problem.data import LinearData

__all__ = ["CurvedGram", "gather", "loss_model", "softmax_model"]


def gather(data: LinearData, index: np.ndarray) -> Any:
    """Return columns of the design on the host, dense in Fortran order or CSR."""
    if data.is_sparse:
        from scipy.sparse import csr_array

        return csr_array(data.X[:, index], dtype=np.float64)
    return data.dense_columns(index)


@dataclasses.dataclass
class CurvedGram:
    """``X^T D X`` of gathered columns, kept while the curvatures D hardly change.

    A model with slightly older curvatures costs at most a few more steps, each of
    which is then cheaper (the line search is on the loss itself).
    """

    index: np.ndarray = dataclasses.field(default_factory=lambda: np.empty(0, int))
    weights: np.ndarray = dataclasses.field(default_factory=lambda: np.empty(0))
    G: np.ndarray = dataclasses.field(default_factory=lambda: np.empty((0, 0)))
    #: Whether it is in single precision.
    rough: bool = False

    def serves(self, weights: np.ndarray) -> bool:
        """Whether the curvatures are near enough."""
        return self.weights.size == weights.size and bool(
            np.all(np.abs(weights - self.weights) <= RULES.reuse * weights)
        )

    def update(self, X: Any, index: np.ndarray, weights: np.ndarray) -> None:
        """Bring the matrix to other columns, and to other curvatures if need be."""
        if not self.serves(weights):
            self.weights, self.G = weights, weighted_gram(X, weights)
        elif not np.array_equal(index, self.index):
            self._rearrange(X, index)
        self.index = index

    def bordered(self, X: Any, *, intercept: bool) -> np.ndarray:
        """A copy of the matrix, with a column of ones last for an intercept."""
        if not intercept:
            return self.G.copy()
        m = self.index.size
        G = np.empty((m + 1, m + 1))
        G[:m, :m] = self.G
        G[m, :m] = G[:m, m] = X.T @ self.weights
        G[m, m] = self.weights.sum()
        return G

    def _rearrange(self, X: Any, index: np.ndarray) -> None:
        """Keep the products of columns that stay."""
        place = {int(j): k for k, j in enumerate(self.index)}
        old = np.array([place.get(int(j), -1) for j in index], dtype=np.int64)
        stay, come = np.flatnonzero(old >= 0), np.flatnonzero(old < 0)
        G = np.empty((index.size, index.size))
        G[np.ix_(stay, stay)] = self.G[np.ix_(old[stay], old[stay])]
        if come.size:
            block = weighted_product(X, X[:, come], self.weights)
            G[:, come], G[come, :] = block, block.T
        self.G = G


def weighted_product(X: Any, Y: Any, weights: np.ndarray) -> np.ndarray:
    """``X^T D Y`` of dense or sparse columns."""
    if isinstance(X, np.ndarray):
        return X.T @ (Y * weights[:, None])
    return np.asarray((X.T @ Y.multiply(weights[:, None]).tocsr()).toarray())


def weighted_gram(X: Any, weights: np.ndarray) -> np.ndarray:
    """``X^T D X`` by a symmetric product of columns scaled by the root of D."""
    root = np.sqrt(weights)
    if isinstance(X, np.ndarray):
        scaled = X * root[:, None]
        return scaled.T @ scaled
    scaled = X.multiply(root[:, None]).tocsr()
    return np.asarray((scaled.T @ scaled).toarray())


def loss_model(
    data: LinearData,
    gradient: np.ndarray,
    curvature: np.ndarray,
    X: Any,
    index: np.ndarray,
    gram: CurvedGram,
    *,
    intercept: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """Hessian and gradient of the loss in the columns, and last in the intercept.

    They follow from those of the samples in their predictions.
    """
    gradient = data.weighted(gradient) / data.total
    weights = np.maximum(data.weighted(curvature) / data.total, 0.0)
    gram.update(X, index, weights)
    slope = X.T @ gradient
    if intercept:
        slope = np.append(slope, gradient.sum())
    return gram.bordered(X, intercept=intercept), slope


def softmax_model(
    data: LinearData, datafit: Any, z: np.ndarray, X: Any, *, intercept: bool
) -> tuple[np.ndarray, np.ndarray]:
    """The same for K outputs: K x K blocks of curvature, output by output."""
    gradient = data.weighted(datafit.gradient(data.y, z)) / data.total
    share = datafit.probabilities(z)
    outputs, m = share.shape[1], X.shape[1]
    size = m + int(intercept)
    G = np.empty((outputs, size, outputs, size))
    slope = np.empty((outputs, size))
    slope[:, :m] = np.asarray(X.T @ gradient).T
    if intercept:
        slope[:, m] = gradient.sum(axis=0)
    for k in range(outputs):
        for h in range(k + 1):
            pair = share[:, k] * ((k == h) - share[:, h])
            weights = data.weighted(pair) / data.total
            block = np.empty((size, size))
            block[:m, :m] = weighted_product(X, X, weights)
            if intercept:
                block[m, :m] = block[:m, m] = X.T @ weights
                block[m, m] = weights.sum()
            G[k, :, h, :] = block
            G[h, :, k, :] = block.T
    return G.reshape(outputs * size, outputs * size), slope.ravel()
