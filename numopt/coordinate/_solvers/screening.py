# SPDX-License-Identifier: BSD-3-Clause
"""Safe screening: products of the design with a residual, where they can matter.

Along a path the residual moves little. With ``x_j^T u`` known at a reference ``u0``,
``|x_j^T u| <= |x_j^T u0| + ||x_j|| ||u - u0||``: a column for which this stays below
its threshold can neither violate nor bound the dual point, and is left out: a sphere
test in the sense of Ndiaye et al. (2017), "Gap safe screening rules for sparsity
enforcing penalties".
"""

import dataclasses
from typing import Any, Self

import numpy as np

from numopt._array.namespace import numpy_namespace
from numopt.coordinate._kernels.descent import (
    column_products,
    column_sums,
    find_reaching,
)
from numopt.coordinate._problem.data import LinearData
from numopt.coordinate._problem.group_penalties import group_norms
from numopt.coordinate._problem.groups import GroupTerms, group_index

__all__ = ["Screened", "ScreenedGroups"]

#: Where more than one entry of the design in so many is wanted, all columns are
#: computed: later ones then start from a nearer reference.
FULL = 3
#: Rounding of a product relative to its threshold.
ROUNDING = 1e-9


@dataclasses.dataclass
class Screened:
    """Products ``X^T vector``: exact where ``slack`` is 0, within it elsewhere."""

    data: LinearData
    norms: np.ndarray
    origin: np.ndarray
    reference: np.ndarray
    vector: np.ndarray
    products: np.ndarray
    slack: np.ndarray

    @classmethod
    def start(
        cls, data: LinearData, vector: np.ndarray, products: np.ndarray, **fields: Any
    ) -> Self | None:
        """Start from products with all columns; None where columns are far apart."""
        X = data.X
        if data.is_elsewhere or X.dtype != np.float64:
            return None
        if data.is_sparse:
            squares = np.asarray(X.power(2).sum(axis=0)).ravel()
        elif X.flags.f_contiguous:
            squares = np.einsum("ij,ij->j", X, X)
        else:
            return None
        norms = np.sqrt(squares)
        exact = np.zeros(norms.size)
        parts = (data, norms, vector, products, vector, products, exact)
        return cls(*parts, **fields)

    def move(
        self, vector: np.ndarray, limits: np.ndarray, wanted: np.ndarray
    ) -> np.ndarray:
        """Go on to another vector; products of ``wanted`` columns will be exact."""
        self.vector = vector
        self.products = self.reference.copy()
        self.slack = self.norms * float(np.linalg.norm(vector - self.origin))
        return self.demand(limits, wanted)

    def demand(
        self, limits: np.ndarray, wanted: np.ndarray | None = None
    ) -> np.ndarray:
        """Compute what may reach its limit; returns the products."""
        if wanted is None:
            wanted = np.zeros(self.norms.size, bool)
        index = self._reaching(limits, wanted)
        if FULL * self._entries(index) > self._entries(slice(None)):
            self.products = self.data.correlate(self.vector)
            self.slack = np.zeros(self.norms.size)
            self.origin, self.reference = self.vector, self.products
        elif index.size:
            self.products[index] = self._some(index)
            self.slack[index] = 0.0
        return self.products

    def _reaching(self, limits: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        """Inexact columns that are wanted or may reach their limit."""
        run = find_reaching.for_namespace(numpy_namespace)
        return run(self.products, self.slack, limits, wanted, 1.0 - ROUNDING)

    def _entries(self, index: Any) -> int:
        """Entries of some columns of the design."""
        if self.data.is_sparse:
            return int(np.diff(self.data.X.indptr)[index].sum())
        return int(self.norms[index].size)

    def _some(self, index: np.ndarray) -> np.ndarray:
        """Products of some columns."""
        X = self.data.X
        if self.data.is_sparse:
            run = column_sums.for_namespace(numpy_namespace)
            return np.asarray(run(X.data, X.indices, X.indptr, index, self.vector))
        run = column_products.for_namespace(numpy_namespace)
        return np.asarray(run(X.T, index, self.vector))


@dataclasses.dataclass
class ScreenedGroups(Screened):
    """The same for groups: limits are those of the norms of their products.

    ``||X_g^T u|| <= ||X_g^T u0|| + ||X_g||_F ||u - u0||``.
    """

    groups: GroupTerms

    def looseness(self) -> np.ndarray:
        """How far the norm of the products of every group may be from the truth."""
        return group_norms(self.slack, self.groups)

    def _reaching(self, limits: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        """Columns of inexact groups that are wanted or may reach their limit."""
        groups, loose = self.groups, self.looseness()
        over = group_norms(self.products, groups) + loose >= (1.0 - ROUNDING) * limits
        over |= np.logical_or.reduceat(wanted[groups.indices], groups.indptr[:-1])
        return np.flatnonzero((over & (loose > 0))[group_index(*groups[:2])])
