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
    column_squares,
    column_sums,
    find_reaching,
)
from numopt.coordinate._problem.data import LinearData
from numopt.coordinate._problem.group_penalties import group_norms
from numopt.coordinate._problem.groups import GroupTerms, group_index

__all__ = ["FLOOR", "Screened", "ScreenedGroups"]

#: Once this share of a product with the whole design would have been spent on some of
#: its columns, all are computed: later products start from a nearer reference then.
SPENT = 1.0
#: Products that stay below this share of their limit are left out.
FLOOR = 0.995
#: Fewest and most vectors that span the references, which in between take this share
#: of the entries of the design.
LEAST_SPAN, MOST_SPAN, SPAN_SHARE = 4, 16, 0.125
#: The least share of a vector that must be new to the span: less would be rounding.
NEW_SHARE = 1e-3


@dataclasses.dataclass
class Screened:
    """Products ``X^T vector``: exact where ``slack`` is 0, within it elsewhere.

    The first ``known`` rows of ``basis``, or all, are orthonormal, those of
    ``references`` their products; the oldest give way. ``near`` are the columns, all
    exact, that may reach ``FLOOR`` of their limits.
    """

    data: LinearData
    norms: np.ndarray
    basis: np.ndarray
    references: np.ndarray
    vector: np.ndarray
    products: np.ndarray
    slack: np.ndarray
    near: np.ndarray
    lengths: np.ndarray
    known: int
    spent: int

    @classmethod
    def start(
        cls, data: LinearData, vector: np.ndarray, products: np.ndarray, **fields: Any
    ) -> Self | None:
        """Start from products with all columns; None where columns are far apart."""
        X = data.X
        if data.is_elsewhere or X.dtype != np.float64:
            return None
        everything = np.arange(X.shape[1])
        if data.is_sparse:
            run = column_squares.for_namespace(numpy_namespace)
            squares = np.asarray(run(X.data, X.indptr))
            lengths = np.diff(X.indptr)
        elif X.flags.f_contiguous:
            squares = np.einsum("ij,ij->j", X, X)
            lengths = np.broadcast_to(np.int64(X.shape[0]), everything.shape)
        else:
            return None
        norms = np.sqrt(squares)
        room = SPAN_SHARE * int(lengths.sum()) / norms.size
        most = int(min(max(room, LEAST_SPAN), MOST_SPAN))
        started = cls(
            data,
            norms,
            np.empty((most, vector.size)),
            np.empty((most, norms.size)),
            vector,
            products,
            np.zeros(norms.size),
            everything,
            lengths,
            0,
            0,
            **fields,
        )
        started._remember()
        return started

    def move(
        self, vector: np.ndarray, limits: np.ndarray, wanted: np.ndarray
    ) -> np.ndarray:
        """Go on to another vector; products of ``wanted`` columns will be exact."""
        self.vector = vector
        share, rest = self._split()
        self.products = share @ self.references[: share.size]
        self.slack = self.norms * math.sqrt(float(rest @ rest))
        return self.demand(limits, wanted)

    def demand(
        self, limits: np.ndarray, wanted: np.ndarray | None = None
    ) -> np.ndarray:
        """Compute what may reach its limit; returns the products."""
        if wanted is None:
            wanted = np.zeros(self.norms.size, bool)
        self.near = self._reaching(limits, wanted)
        index = self.near[self.slack[self.near] > 0]
        entries = int(self.lengths[index].sum())
        X = self.data.X
        total = X.nnz if self.data.is_sparse else X.size
        self.spent += entries
        if self.spent > SPENT * total:
            self.products = self.data.correlate(self.vector)
            self.slack = np.zeros(self.norms.size)
            self._remember()
            self.near = self._reaching(limits, wanted)
        elif index.size:
            self.products[index] = self._some(index)
            self.slack[index] = 0.0
        return self.products

    def _remember(self) -> None:
        """Add the vector to the span, whose products are all known."""
        self.spent = 0
        share, rest = self._split()
        left = float(np.linalg.norm(rest))
        if left <= NEW_SHARE * float(np.linalg.norm(self.vector)):
            self.known = 0
            share, rest = self._split()
            left = float(np.linalg.norm(rest))
        if left == 0.0:
            return
        reference = (self.products - share @ self.references[: share.size]) / left
        # What is left of a span without its oldest vector is orthonormal, too.
        slot = self.known % len(self.basis)
        self.basis[slot], self.references[slot] = rest / left, reference
        self.known += 1

    def _split(self) -> tuple[np.ndarray, np.ndarray]:
        """Components of the vector in the span, and what is left of it."""
        basis = self.basis[: self.known]
        share = basis @ self.vector
        return share, self.vector - share @ basis

    def _reaching(self, limits: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        """Columns that are wanted or may reach their limit."""
        run = find_reaching.for_namespace(numpy_namespace)
        return np.asarray(run(self.products, self.slack, limits, wanted, FLOOR))

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
        """Columns of groups that are wanted or may reach their limit."""
        groups = self.groups
        norms = group_norms(self.products, groups) + self.looseness()
        over = norms >= FLOOR * limits
        over |= np.logical_or.reduceat(wanted[groups.indices], groups.indptr[:-1])
        return np.flatnonzero(over[group_index(*groups[:2])])
