# SPDX-License-Identifier: BSD-3-Clause
"""The working set: gathered columns, their Gram matrix and an updatable factor."""

import numpy as np

from numopt._array.namespace import numpy_namespace
from numopt.coordinate._kernels.descent import standardize
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
    columns are in use, the first ``gram_size`` of them with their Gram matrix;
    ``passes`` counts the passes over the others so far. The cache serves a whole path.

    Where ``rough``, the Gram matrix of dense columns is formed in single precision,
    which takes half the time; slopes and gaps must then come from the design.
    """

    w: np.ndarray
    c: np.ndarray
    ridge: np.ndarray
    squares: np.ndarray

    def __init__(self, data: LinearData, *, center: bool, rough: bool = False) -> None:
        self.data = data
        self.center = center
        self.size = self.gram_size = self.passes = 0
        self.rough = rough
        self.index = np.empty(0, np.int64)
        self.member = np.zeros(data.shape[1], bool)
        self.root = None if data.weights is None else np.sqrt(data.weights)
        self._capacity = 0
        self._store: ColumnStore | None = None
        if data.is_sparse or data.is_elsewhere:
            kind = SparseStore if data.is_sparse else DeviceStore
            self._store = kind(data, center, self.root)
            self.rough = False
        self._single: np.ndarray | None = None
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

    def extend_all(self, correlation: np.ndarray) -> None:
        """Add all columns that are not stored yet, with their Gram matrix."""
        X, p = self.data.X, self.data.shape[1]
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
        data = self.data
        data.copy_columns(new, fresh)
        share = np.full(data.shape[0] if self.center else 0, 1.0 / data.total)
        if self.center and data.weights is not None:
            share = data.weights / data.total
        root = np.empty(0) if self.root is None else self.root
        run = standardize.for_namespace(numpy_namespace)
        return np.asarray(run(fresh, share, root, data.total * CONSTANT[8] ** 2))

    def promote(self, kept: np.ndarray | None = None) -> None:
        """Compute the Gram matrix of the columns without; forget those not kept."""
        g, m = self.gram_size, self.size
        if kept is not None and kept.size < m:
            self._drop(kept)
            m = self.size
        if m == g:
            return
        if self._store is not None:
            block = self._store.gram(g, m, m)
            self.G[:m, g:m] = block
            self.G[g:m, :g] = block[:g].T
        elif self.rough:
            self._promote_rough(g, m)
        else:
            assert self.columns is not None
            self._set_products(self.columns[:, :g], self.columns[:, g:m])
        self.gram_size = m

    def _set_products(self, old: np.ndarray, fresh: np.ndarray) -> None:
        """Write the products of fresh columns with the old ones and each other."""
        g = old.shape[1]
        m = g + fresh.shape[1]
        self.G[g:m, g:m] = fresh.T @ fresh
        self.G[:g, g:m] = old.T @ fresh
        self.G[g:m, :g] = self.G[:g, g:m].T

    def _promote_rough(self, g: int, m: int) -> None:
        """Compute products in single precision, in double where it has no room."""
        assert self.columns is not None
        single, known = self._single, g
        if single is None or single.shape != self.columns.shape:
            single, known = np.empty(self.columns.shape, np.float32, order="F"), 0
            self._single = single
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            single[:, known:m] = self.columns[:, known:m]
            self._set_products(single[:, :g], single[:, g:m])
        squares = self.G.diagonal()[g:m]
        if not np.all((squares > 1.0 / SINGLE_RANGE) & (squares < SINGLE_RANGE)):
            self.refine()

    def refine(self) -> None:
        """Compute a rough Gram matrix again, in double precision."""
        self.rough, self.gram_size, self._single = False, 0, None
        self.ridge[:] = 0.0
        self.factor.reset()
        self.promote()

    def _drop(self, kept: np.ndarray) -> None:
        """Keep some of the dense columns, among them all that have products."""
        assert self.columns is not None
        self.member[self.index] = False
        g, self.index, self.size = self.gram_size, self.index[kept], kept.size
        self.member[self.index] = True
        fresh, into = kept[g:], slice(g, self.size)
        self.columns.T[into] = self.columns.T[fresh]
        for name in FIELDS:
            field = getattr(self, name)
            field[into] = field[fresh]

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
