# SPDX-License-Identifier: BSD-3-Clause
"""Safe screening: products of the design with a residual, where they can matter.

Along a path the residual u stays near the span of the last ones. With ``x_j^T v``
known for all v of that span, ``|x_j^T u| <= |x_j^T v| + ||x_j|| ||u - v||`` for the
nearest v: a column for which this stays below its threshold can neither violate nor
bound the dual point, and is left out: a sphere test in the sense of Ndiaye et al.
(2017), "Gap safe screening rules for sparsity enforcing penalties".
"""

import dataclasses
import math
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
#: Fewest and most vectors that span the references, which in between take this share
#: of the entries of the design.
LEAST_SPAN, MOST_SPAN, SPAN_SHARE = 4, 16, 0.125
#: The least share of a vector that must be new to the span: less would be rounding.
NEW_SHARE = 1e-3


@dataclasses.dataclass
class Screened:
    """Products ``X^T vector``: exact where ``slack`` is 0, within it elsewhere.

    The rows of ``basis`` are orthonormal, those of ``references`` their products.
    """

    data: LinearData
    norms: np.ndarray
    basis: np.ndarray
    references: np.ndarray
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
        empty = np.empty((0, vector.size)), np.empty((0, norms.size))
        exact = np.zeros(norms.size)
        started = cls(data, norms, *empty, vector, products, exact, **fields)
        started._remember()
        return started

    def move(
        self, vector: np.ndarray, limits: np.ndarray, wanted: np.ndarray
    ) -> np.ndarray:
        """Go on to another vector; products of ``wanted`` columns will be exact."""
        self.vector = vector
        share = self.basis @ vector
        self.products = share @ self.references
        rest = vector - share @ self.basis
        self.slack = self.norms * math.sqrt(float(rest @ rest))
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
            self._remember()
        elif index.size:
            self.products[index] = self._some(index)
            self.slack[index] = 0.0
        return self.products

    def _remember(self) -> None:
        """Add the vector to the span, whose products are all known."""
        size = float(np.linalg.norm(self.vector))
        share = self.basis @ self.vector
        rest = self.vector - share @ self.basis
        left = float(np.linalg.norm(rest))
        if left <= NEW_SHARE * size:
            self.basis, self.references = self.basis[:0], self.references[:0]
            share, rest, left = share[:0], self.vector, size
        if left == 0.0:
            return
        reference = (self.products - share @ self.references) / left
        X = self.data.X
        entries = X.nnz if self.data.is_sparse else X.size
        room = SPAN_SHARE * entries / reference.size
        most = int(min(max(room, LEAST_SPAN), MOST_SPAN))
        # What is left of a span without its oldest vector is orthonormal, too.
        self.basis = np.vstack((self.basis[1 - most :], rest / left))
        self.references = np.vstack((self.references[1 - most :], reference))

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
