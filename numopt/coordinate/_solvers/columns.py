# SPDX-License-Identifier: BSD-3-Clause
"""The working set: gathered columns, their Gram matrix and an updatable factor."""

from typing import Any

import numpy as np

from numopt._array.namespace import numpy_namespace
from numopt.coordinate._kernels.descent import sparse_gram
from numopt.coordinate._problem.data import LinearData
from numopt.coordinate._solvers.inner import Factor

__all__ = ["GramCache"]


class GramCache:
    """Columns of the working set and all that is cached about them.

    Columns are multiplied by the square root of the sample weights and, with
    ``center``, centred; sparse columns stay sparse and are centred implicitly. Arrays
    have spare capacity; ``size`` columns are in use. The cache serves a whole path.
    """

    def __init__(self, data: LinearData, *, center: bool) -> None:
        self.data = data
        self.center = center
        self.size = 0
        self.index = np.empty(0, np.int64)
        self.member = np.zeros(data.shape[1], bool)
        self.root = None if data.weights is None else np.sqrt(data.weights)
        self._capacity = 0
        self._sparse: Any = None
        self._allocate(128)

    def _allocate(self, capacity: int) -> None:
        """Make room for more columns."""
        n, m = self.data.shape[0], self.size
        old = self.__dict__.copy()
        self._capacity = capacity
        self.G = np.empty((capacity, capacity))
        # Supports beyond the rank are left to descent.
        largest = min(capacity, 2 * n + 64)
        self.w, self.c = np.zeros(capacity), np.zeros(capacity)
        self.ridge, self.means = np.zeros(capacity), np.zeros(capacity)
        self.columns = (
            None if self.data.is_sparse else np.empty((n, capacity), order="F")
        )
        if not m:
            self.factor = Factor.empty(largest, capacity)
            return
        self.factor = self.factor.grown(largest, capacity)
        self.G[:m, :m] = old["G"][:m, :m]
        for name in ("w", "c", "ridge", "means"):
            getattr(self, name)[:m] = old[name][:m]
        if self.columns is not None:
            self.columns[:, :m] = old["columns"][:, :m]

    def extend(self, new: np.ndarray, correlation: np.ndarray) -> None:
        """Add columns; ``correlation`` is their product with the weighted targets."""
        m, total = self.size, self.size + new.size
        if total > self._capacity:
            self._allocate(max(total, 2 * self._capacity))
        block = self._gather(new, m, total)
        self.G[:total, m:total] = block
        self.G[m:total, :m] = block[:m].T
        self.c[m:total] = correlation
        self.w[m:total] = 0.0
        self.ridge[m:total] = 0.0
        self.index = np.concatenate((self.index, new))
        self.member[new] = True
        self.size = total

    def _gather(self, new: np.ndarray, m: int, total: int) -> np.ndarray:
        """Store the new columns; return their products with all columns."""
        if self.data.is_sparse:
            return self._gather_sparse(new, m, total)
        fresh = self.columns[:, m:total]
        fresh[...] = self.data.X[:, new]
        if self.center:
            fresh -= self._means(fresh)
        if self.root is not None:
            fresh *= self.root[:, None]
        return self.columns[:, :total].T @ fresh

    def _means(self, block: np.ndarray) -> np.ndarray:
        if self.data.weights is None:
            return block.mean(axis=0)
        return (self.data.weights @ block) / self.data.total

    def _gather_sparse(self, new: np.ndarray, m: int, total: int) -> np.ndarray:
        from scipy.sparse import csr_array, hstack

        block = csr_array(self.data.X[:, new])
        if self.center:
            self.means[m:total] = (
                np.asarray(self.data.weighted(np.ones(self.data.shape[0])) @ block)
                / self.data.total
            )
        if self.root is not None:
            block = csr_array(block.multiply(self.root[:, None]))
        block = csr_array(block, dtype=np.float64)
        parts = [block] if self._sparse is None else [self._sparse, block]
        self._sparse = hstack(parts, format="csr")
        stored = self._sparse
        gram = sparse_gram.for_namespace(numpy_namespace)(
            stored.data, stored.indices, stored.indptr, total, m
        )
        if self.center:
            gram -= self.data.total * np.outer(self.means[:total], self.means[m:total])
        return gram

    def predict(self, w: np.ndarray) -> np.ndarray:
        """Return weighted, centred columns times w, of shape (n,)."""
        used = np.flatnonzero(w)
        if self.data.is_sparse:
            if self._sparse is None:
                return np.zeros(self.data.shape[0])
            z = self._sparse @ w
            if self.center:
                shift = self.means[: w.size] @ w
                z -= shift if self.root is None else shift * self.root
            return z
        if 2 * used.size < w.size:
            return self.columns[:, used] @ w[used]
        return self.columns[:, : w.size] @ w

    def set_ridge(self, ridge: np.ndarray) -> None:
        """Put ridge terms on the diagonal of the Gram matrix."""
        m = self.size
        change = ridge - self.ridge[:m]
        if np.any(change):
            self.G[np.arange(m), np.arange(m)] += change
            self.ridge[:m] = ridge
            self.factor.reset()

    def scatter(self) -> np.ndarray:
        """Return the coefficients of all coordinates."""
        coef = np.zeros(self.data.shape[1])
        coef[self.index] = self.w[: self.size]
        return coef
