# SPDX-License-Identifier: BSD-3-Clause
"""The working set: gathered columns, their Gram matrix and an updatable factor."""

import numpy as np

from numopt.coordinate._problem.data import LinearData
from numopt.coordinate._solvers.column_stores import (
    CONSTANT,
    ColumnStore,
    DeviceStore,
    SparseStore,
)
from numopt.coordinate._solvers.inner import PADDING, Factor

__all__ = ["GramCache"]

#: Room for columns at the start.
FIRST_ROOM = 1024
#: What is kept of every stored column: its coefficient, product with the targets, ridge
#: term on the Gram diagonal and squared norm.
FIELDS = ("w", "c", "ridge", "squares")
#: Squared norms that leave room for single precision on both sides.
SINGLE_RANGE = 1e24


class GramCache:
    """Columns of the working set and all that is cached about them.

    Columns are multiplied by the square root of the sample weights and, with
    ``center``, centred. Dense columns on the host are kept in ``columns``, others in a
    store of their own; then ``columns`` is None. Arrays have spare capacity; ``size``
    columns are in use, the first ``gram_size`` of them with their Gram matrix, which is
    in single precision where ``rough``; ``passes`` counts the passes over the others so
    far. The cache serves a whole path.
    """

    w: np.ndarray
    c: np.ndarray
    ridge: np.ndarray
    squares: np.ndarray

    def __init__(self, data: LinearData, *, center: bool) -> None:
        self.data = data
        self.center = center
        self.size = self.gram_size = self.passes = 0
        self.rough = False
        self.index = np.empty(0, np.int64)
        self.member = np.zeros(data.shape[1], bool)
        self.root = None if data.weights is None else np.sqrt(data.weights)
        self._capacity = 0
        self._store: ColumnStore | None = None
        if data.is_sparse or data.is_elsewhere:
            kind = SparseStore if data.is_sparse else DeviceStore
            self._store = kind(data, center, self.root)
        # Pages are taken on first use: room is cheap, growing is not.
        self._allocate(min(max(data.shape[1], 1), FIRST_ROOM))

    def _allocate(self, capacity: int, columns: np.ndarray | None = None) -> None:
        """Make room for more columns; ``columns`` may bring them."""
        n, m, g = self.data.shape[0], self.size, self.gram_size
        old = self.__dict__.copy()
        self._capacity = capacity
        self.G = np.empty((capacity, capacity + PADDING))
        # Supports beyond the rank are left to descent.
        largest = min(capacity, 2 * n + 64)
        for name in FIELDS:
            setattr(self, name, np.zeros(capacity))
        if columns is None and self._store is None:
            columns = np.empty((n, capacity), order="F")
        self.columns = columns
        if not m:
            self.factor = Factor.empty(largest, capacity)
            return
        self.factor = self.factor.grown(largest, capacity)
        self.G[:g, :g] = old["G"][:g, :g]
        for name in FIELDS:
            getattr(self, name)[:m] = old[name][:m]
        if self.columns is not None:
            self.columns[:, :m] = old["columns"][:, :m]

    def extend(self, new: np.ndarray, correlation: np.ndarray) -> None:
        """Add columns with their Gram matrix.

        ``correlation`` is their product with the weighted targets.
        """
        self.load(new, correlation)
        self.promote()

    def extend_all(self, correlation: np.ndarray, *, rough: bool = False) -> None:
        """Add all columns that are not stored yet, with their Gram matrix.

        A ``rough`` one is in single precision, which takes half the time, if it is the
        first; slopes and gaps must then come from the design.
        """
        X, p = self.data.X, self.data.shape[1]
        self.rough = rough and not self.gram_size and self._store is None
        plain = isinstance(X, np.ndarray) and X.flags.f_contiguous
        plain = plain and X.dtype == np.float64 and self.root is None
        if self.size or not plain or self.center:
            new = np.flatnonzero(~self.member)
            self.extend(new, correlation[new])
            return
        # The design itself serves as the columns.
        self._allocate(p, columns=X)
        self.c[:] = correlation
        self.index, self.size = np.arange(p), p
        self.member[:] = True
        self.promote()
        self.squares[:] = self.G.diagonal()[:p]

    def load(self, new: np.ndarray, correlation: np.ndarray) -> None:
        """Add columns without their products with each other."""
        m, total = self.size, self.size + new.size
        if total > self._capacity:
            self._allocate(max(total, 2 * self._capacity))
        if self._store is not None:
            self._store.append(new)
        else:
            assert self.columns is not None
            self.squares[m:total] = self._load_dense(self.columns.T[m:total], new)
        self.c[m:total] = correlation
        self.w[m:total] = 0.0
        self.ridge[m:total] = 0.0
        self.index = np.concatenate((self.index, new))
        self.member[new] = True
        self.size = total

    def _load_dense(self, fresh: np.ndarray, new: np.ndarray) -> np.ndarray:
        """Fill rows of ``fresh`` with weighted, centred columns; their squared norms.

        A constant column is 0 after centring: no coefficient follows from rounding.
        """
        self.data.copy_columns(new, fresh)
        means = np.zeros(new.size)
        if self.center:
            weights = self.data.weights
            means = (
                fresh.mean(axis=1)
                if weights is None
                else fresh @ weights / self.data.total
            )
            fresh -= means[:, None]
        if self.root is not None:
            fresh *= self.root
        squares = np.einsum("ij,ij->i", fresh, fresh)
        constant = squares < self.data.total * (CONSTANT[8] * means) ** 2
        if constant.any():
            fresh[constant], squares[constant] = 0.0, 0.0
        return squares

    def promote(self, keep: np.ndarray | None = None) -> None:
        """Compute the Gram matrix of the columns without; forget those not kept."""
        g, m = self.gram_size, self.size
        if keep is not None and not keep.all():
            m = self._drop(g + np.flatnonzero(keep), self.index[g:][~keep])
        if m == g:
            return
        if self._store is not None:
            block = self._store.gram(g, m, m)
            self.G[:m, g:m] = block
            self.G[g:m, :g] = block[:g].T
        else:
            assert self.columns is not None
            fresh = self.columns[:, g:m]
            self.G[:g, g:m] = self.columns[:, :g].T @ fresh
            self.G[g:m, :g] = self.G[:g, g:m].T
            self.G[g:m, g:m] = self._gram(fresh)
        self.gram_size = m

    def _gram(self, columns: np.ndarray) -> np.ndarray:
        """Products of columns with each other, in single precision where ``rough``."""
        if self.rough:
            with np.errstate(over="ignore", invalid="ignore", under="ignore"):
                single = columns.astype(np.float32)
                product = single.T @ single
            squares = product.diagonal()
            if np.all((squares > 1.0 / SINGLE_RANGE) & (squares < SINGLE_RANGE)):
                return product
            self.rough = False
        return columns.T @ columns

    def refine(self) -> None:
        """Compute a rough Gram matrix again, in double precision."""
        self.rough, self.gram_size = False, 0
        self.ridge[:] = 0.0
        self.factor.reset()
        self.promote()

    def _drop(self, kept: np.ndarray, gone: np.ndarray) -> int:
        """Close the gaps that dropped dense columns leave; returns the new size."""
        g = self.gram_size
        m = g + kept.size
        assert self.columns is not None
        self.columns.T[g:m] = self.columns.T[kept]
        for name in FIELDS:
            field = getattr(self, name)
            field[g:m] = field[kept]
        self.member[gone] = False
        self.index = np.concatenate((self.index[:g], self.index[kept]))
        self.size = m
        return m

    def products(self, lo: int, hi: int) -> np.ndarray:
        """Return the products of the columns lo:hi with each other."""
        if self._store is not None:
            return self._store.gram(lo, hi, hi)[lo:]
        assert self.columns is not None
        block = self.columns[:, lo:hi]
        return block.T @ block

    def predict(self, w: np.ndarray) -> np.ndarray:
        """Return weighted, centred columns times w, of shape (n,)."""
        if self._store is not None:
            return self._store.predict(w)
        assert self.columns is not None
        used = np.flatnonzero(w)
        if 2 * used.size < w.size:
            return self.columns[:, used] @ w[used]
        return self.columns[:, : w.size] @ w

    def set_ridge(self, ridge: np.ndarray) -> None:
        """Put ridge terms on the diagonal of the Gram matrix."""
        m = self.gram_size
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
