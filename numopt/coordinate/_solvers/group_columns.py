# SPDX-License-Identifier: BSD-3-Clause
"""The stored columns of groups, along the eigenvectors of their blocks.

The norm of a group does not see a rotation. Where its columns are rotated so that
their products with each other are diagonal, a step of block descent minimises over
the whole group for the price of one that only goes along its gradient.
"""

import dataclasses
import itertools

import numpy as np

from numopt.coordinate._problem.data import LinearData
from numopt.coordinate._problem.groups import GroupTerms
from numopt.coordinate._solvers.columns import GramCache

__all__ = ["GroupColumns"]

#: Up to this many columns a group is rotated: the work grows with the cube.
LARGEST = 64
#: A factor against eigenvalues that rounding made too small.
ABOVE = 1 + 1e-12


@dataclasses.dataclass(frozen=True, eq=False)
class Turn:
    """Groups of one size, stored one after the other from ``lo`` on.

    Column k of ``vectors[g]`` is the k-th eigenvector of the block of group g.
    """

    lo: int
    vectors: np.ndarray

    def fits(self, after: "Turn") -> bool:
        """Whether the groups of another one follow, of the same size."""
        count, size, _ = self.vectors.shape
        same = after.vectors.shape[1] == size
        return same and after.lo == self.lo + count * size

    def apply(self, x: np.ndarray, *, back: bool = False) -> None:
        """Rotate the rows of x that belong to the groups, in place."""
        count, size, _ = self.vectors.shape
        part = x[self.lo : self.lo + count * size]
        vectors = self.vectors if back else self.vectors.transpose(0, 2, 1)
        blocks = part.reshape(count, size, -1)
        part[...] = np.matmul(vectors, blocks).reshape(part.shape)


class GroupColumns:
    """A cache of columns by groups, and the rotations of those that have one.

    ``chosen`` are the groups in the order of their columns, ``curvature`` bounds the
    diagonal blocks of their Gram matrix from above. Coefficients, slopes and columns of
    the cache are in rotated coordinates.
    """

    def __init__(self, data: LinearData, groups: GroupTerms, *, center: bool) -> None:
        self.cache = GramCache(data, center=center)
        self.chosen = np.empty(0, np.int64)
        self.curvature = np.empty(0)
        self._groups = groups
        self._turns: list[Turn] = []
        self._turnable = np.zeros(groups.weights.size, bool)
        if self.cache.columns is not None:
            self._turnable = groups.plain & (np.diff(groups.indptr) <= LARGEST)

    @property
    def starts(self) -> np.ndarray:
        """First columns of the groups, and the end."""
        sizes = np.diff(self._groups.indptr)[self.chosen]
        return np.concatenate(([0], np.cumsum(sizes)))

    def extend(self, new: np.ndarray, correlation: np.ndarray) -> None:
        """Store the columns of groups; ``correlation`` is that of all with targets."""
        if not new.size:
            return
        indptr, indices = self._groups.indptr, self._groups.indices
        sizes = np.diff(indptr)
        # Groups that are worked on together follow each other.
        new = new[np.lexsort((sizes[new], self._turnable[new]))]
        counts = sizes[new]
        lo = self.cache.size
        ends = np.cumsum(counts)
        inside = np.arange(ends[-1]) - np.repeat(ends - counts, counts)
        columns = indices[np.repeat(indptr[new], counts) + inside]
        self.cache.load(columns, correlation[columns])
        kinds = 2 * counts + self._turnable[new]
        firsts = np.flatnonzero(np.diff(kinds, prepend=-1))
        bounds = lo + np.concatenate((ends - counts, ends[-1:]))
        parts = [self.curvature]
        for a, b in itertools.pairwise([*firsts, new.size]):
            turned = bool(self._turnable[new[a]])
            parts.append(self._curvature(bounds[a], bounds[b], int(counts[a]), turned))
        self.curvature = np.concatenate(parts)
        self.chosen = np.concatenate((self.chosen, new))

    def _curvature(self, lo: int, hi: int, size: int, turned: bool) -> np.ndarray:
        """Bounds of the groups of one size in the columns lo:hi, rotated if asked."""
        cache = self.cache
        if cache.columns is None:
            products = cache.products(lo, hi).reshape(-1, size, (hi - lo) // size, size)
            blocks = np.einsum("gigj->gij", products)
        else:
            fresh = cache.columns.T[lo:hi].reshape(-1, size, cache.columns.shape[0])
            blocks = np.matmul(fresh, fresh.transpose(0, 2, 1))
        if not turned or size == 1:
            largest = np.linalg.eigvalsh(blocks)[:, -1]
            return np.repeat(largest * ABOVE, size)
        values, vectors = np.linalg.eigh(blocks)
        turn = Turn(lo, vectors)
        assert cache.columns is not None
        for stored in (cache.columns.T, cache.c):
            turn.apply(stored)
        if self._turns and self._turns[-1].fits(turn):
            last = self._turns.pop()
            turn = Turn(last.lo, np.concatenate((last.vectors, vectors)))
        self._turns.append(turn)
        # Rounding may leave a small one below 0.
        return np.asarray(np.maximum(values, 0.0).ravel() * ABOVE)

    def start(self, coef: np.ndarray) -> None:
        """Set the coefficients of the stored columns from those of all."""
        w = coef[self.cache.index]
        self.cache.w[: w.size] = self.turned(w)

    def turned(self, x: np.ndarray) -> np.ndarray:
        """Values of the stored columns in rotated coordinates."""
        x = np.array(x)
        for turn in self._turns:
            turn.apply(x)
        return x

    def scatter(self) -> np.ndarray:
        """Return the coefficients of all coordinates."""
        cache = self.cache
        w = cache.w[: cache.size].copy()
        for turn in self._turns:
            turn.apply(w, back=True)
        if self._turns:
            # Rounding of a rotation is no coefficient of an empty column.
            w[cache.squares[: w.size] == 0] = 0.0
        coef = np.zeros(cache.data.shape[1])
        coef[cache.index] = w
        return coef
