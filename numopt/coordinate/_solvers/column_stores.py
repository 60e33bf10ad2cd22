# SPDX-License-Identifier: BSD-3-Clause
"""Columns of a working set that do not lie on the host as a dense array."""

import abc
from typing import Any

import numpy as np

from numopt._array.namespace import numpy_namespace, to_numpy
from numopt.coordinate._kernels.descent import (
    column_sums,
    gather_rows,
    sparse_gram,
)
from numopt.coordinate._problem.data import LinearData
from numopt.coordinate._problem.design import DeviceDesign

__all__ = ["CONSTANT", "ColumnStore", "DeviceStore", "SparseStore"]

#: Deviations below this share of the mean of a column are rounding, by bytes an entry.
CONSTANT = {4: 1e-6, 8: 1e-12}


class ColumnStore(abc.ABC):
    """Weighted, centred columns: what is appended, and products of what is stored."""

    @abc.abstractmethod
    def append(self, new: np.ndarray) -> None:
        """Store more columns of the design."""

    @abc.abstractmethod
    def gram(self, lo: int, hi: int, size: int) -> np.ndarray:
        """Products of the columns lo:hi with the first ``size <= hi`` columns."""

    @abc.abstractmethod
    def predict(self, w: np.ndarray) -> np.ndarray:
        """Columns times coefficients of all of them."""


class SparseStore(ColumnStore):
    """Sparse columns, gathered by rows; centring is implicit."""

    def __init__(self, data: LinearData, center: bool, root: np.ndarray | None) -> None:
        n = data.shape[0]
        self.data, self.center, self.root = data, center, root
        self._scale = np.ones(n) if root is None else root
        self._weights = np.asarray(data.weighted(np.ones(n)) / data.total)
        self._index, self._means = np.empty(0, np.int64), np.empty(0)
        self._constant = np.empty(0, bool)
        self._rows: Any = None

    def append(self, new: np.ndarray) -> None:
        """Remember columns and their means."""
        X = self.data.X
        self._index = np.concatenate((self._index, new))
        self._rows = None
        if self.center:
            run = column_sums.for_namespace(numpy_namespace)
            means = run(X.data, X.indices, X.indptr, new, self._weights)
            self._means = np.concatenate((self._means, means))
            self._constant = np.concatenate((self._constant, self._are_constant(new)))

    def _are_constant(self, new: np.ndarray) -> np.ndarray:
        """Which columns hold one value in all rows, so that centring leaves nothing."""
        X = self.data.X
        found = X.indptr[new + 1] - X.indptr[new] == X.shape[0]
        for k in np.flatnonzero(found):
            values = X.data[X.indptr[new[k]] : X.indptr[new[k] + 1]]
            found[k] = values.min() == values.max()
        return found

    def _gathered(self) -> Any:
        """Weighted columns as CSR."""
        from scipy.sparse import csr_array

        if self._rows is None:
            X = self.data.X
            run = gather_rows.for_namespace(numpy_namespace)
            parts = run(X.data, X.indices, X.indptr, self._index, self._scale)
            self._rows = csr_array(parts, shape=(X.shape[0], self._index.size))
        return self._rows

    def gram(self, lo: int, hi: int, size: int) -> np.ndarray:
        """Only the products of entries in one row are formed."""
        stored = self._gathered()
        if stored.shape[1] > hi:
            stored = stored[:, :hi]
        product = sparse_gram.for_namespace(numpy_namespace)(
            stored.data, stored.indices, stored.indptr, hi, lo
        )[:size]
        if self.center:
            means = self._means
            product -= self.data.total * np.outer(means[:size], means[lo:hi])
            product[self._constant[:size]] = 0.0
            product[:, self._constant[lo:hi]] = 0.0
        return product

    def predict(self, w: np.ndarray) -> np.ndarray:
        """Columns times coefficients."""
        if not w.size:
            return np.zeros(self.data.shape[0])
        z = np.asarray(self._gathered() @ w)
        if self.center:
            z -= (self._means @ w) * self._scale
        return z


class DeviceStore(ColumnStore):
    """Dense columns beside their design; only products of columns come to the host."""

    def __init__(self, data: LinearData, center: bool, root: np.ndarray | None) -> None:
        assert isinstance(data.X, DeviceDesign)
        self.data, self.center, self.design = data, center, data.X
        self._root = None if root is None else self.design.send(root)
        self._stored: Any = None

    def append(self, new: np.ndarray) -> None:
        """Append weighted, centred columns."""
        design, data = self.design, self.data
        block = design.take(new)
        if self.center:
            weights = np.ones(data.shape[0]) if data.weights is None else data.weights
            means = design.send(weights / data.total) @ block
            block = block - means[None, :]
        if self._root is not None:
            block = block * self._root[:, None]
        if self.center:
            # A constant column is 0 after centring: its rounding holds nothing.
            limit = data.total * (CONSTANT[design.dtype.itemsize] * means) ** 2
            varies = design.xp.sum(block * block, axis=0) >= limit
            block = block * design.xp.astype(varies, block.dtype)[None, :]
        parts = [block] if self._stored is None else [self._stored, block]
        self._stored = design.xp.concat(parts, axis=1)

    def gram(self, lo: int, hi: int, size: int) -> np.ndarray:
        """Products on the device, brought to the host."""
        stored = self._stored
        product = stored[:, :size].T @ stored[:, lo:hi]
        return np.asarray(to_numpy(product), dtype=np.float64)

    def predict(self, w: np.ndarray) -> np.ndarray:
        """Columns times coefficients."""
        if self._stored is None:
            return np.zeros(self.data.shape[0])
        z = self._stored @ self.design.send(w)
        return np.asarray(to_numpy(z), dtype=np.float64)
