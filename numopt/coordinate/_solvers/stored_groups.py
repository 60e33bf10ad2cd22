# SPDX-License-Identifier: BSD-3-Clause
"""Solve squares with a group penalty on the stored columns.

Block descent in compiled cycles, on the columns where a support may hold more of them
than rows and on their Gram matrix otherwise; Newton steps once no group changes.
"""

import dataclasses

import numpy as np

from numopt._array.namespace import numpy_namespace
from numopt.coordinate._kernels.descent import descend_gram_groups, descend_groups
from numopt.coordinate._solvers.group_newton import SmoothPart, smooth_part
from numopt.coordinate._solvers.inner import MAX_EPOCHS

__all__ = ["StoredGroups", "largest_eigenvalues"]

#: Epochs of a cycle of the compiled descent.
CYCLE = 6
#: Time of a multiply-add of descent relative to one in a matrix product.
RATE = 15.0
#: The same of a Newton step: its small systems and updates are slower than products.
NEWTON = 5.0
#: So many cycles without a gap below this share of the best are the limit of rounding.
PATIENCE, PROGRESS = 20, 0.95
#: Newton steps in a row.
MOST_STEPS = 8


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class StoredGroups:
    """What the stored columns are to minimise, unscaled; groups follow each other.

    ``curvature`` bounds the diagonal blocks of the Gram matrix from above, coordinate
    by coordinate; ``targets`` is the squared norm of the targets, ``target`` the
    absolute gap.
    """

    starts: np.ndarray
    lam: np.ndarray
    l1: np.ndarray
    lower: np.ndarray
    curvature: np.ndarray
    targets: float
    target: float

    def solve(
        self,
        matrix: np.ndarray,
        w: np.ndarray,
        q: np.ndarray,
        c: np.ndarray,
        residual: np.ndarray | None = None,
    ) -> int:
        """Minimise, writing ``w``; returns the epochs.

        ``matrix`` is the Gram matrix, or holds the columns where the residual (the
        targets minus the prediction) is given; ``q`` and ``residual`` are updated.
        """
        wide = residual is not None
        r = np.empty(0) if residual is None else residual
        rows = r.size if wide else w.size
        epochs, spent, best, idle = 0, 0.0, np.inf, 0
        while epochs < MAX_EPOCHS and idle < PATIENCE:
            gap, more, flips = self._descend(matrix, w, r, q, c, wide)
            epochs += more
            if gap <= self.target:
                break
            idle = 0 if gap < PROGRESS * best else idle + 1
            best = min(best, gap)
            spent += more * RATE * rows * np.count_nonzero(w)
            if flips == 0:
                spent -= self._newton(matrix, w, r, q, wide, spent)
        return epochs

    def _descend(
        self,
        matrix: np.ndarray,
        w: np.ndarray,
        r: np.ndarray,
        q: np.ndarray,
        c: np.ndarray,
        wide: bool,
    ) -> tuple[float, int, int]:
        """One compiled cycle; returns (gap, epochs, flips)."""
        terms = (self.lam, self.l1, self.lower, self.curvature)
        limits = (self.targets, self.target, CYCLE)
        if wide:
            run = descend_groups.for_namespace(numpy_namespace)
            return run(matrix.T, self.starts, w, r, q, c, *terms, *limits)
        run = descend_gram_groups.for_namespace(numpy_namespace)
        return run(matrix, self.starts, w, q, c, *terms, *limits)

    def _newton(
        self,
        matrix: np.ndarray,
        w: np.ndarray,
        r: np.ndarray,
        q: np.ndarray,
        wide: bool,
        allowed: float,
    ) -> float:
        """Newton steps while they are full and cheap enough; returns their cost."""
        cost = 0.0
        for _ in range(MOST_STEPS):
            # Most are too dear: that is seen before anything is put together.
            price = self._cost(int(np.count_nonzero(w)), r.size, wide)
            if cost + price > allowed:
                break
            terms = (self.lam, self.l1, self.lower, self.curvature)
            part = smooth_part(self.starts, w, q, *terms)
            if part is None:
                break
            cost += price
            t = self._step(matrix, part, w, r, q, wide)
            if t < 1.0:
                break
        return cost

    def _cost(self, k: int, n: int, wide: bool) -> float:
        """Time of a Newton step in k coordinates, in multiply-adds of a product."""
        if wide and k > n:
            return NEWTON * n * n * (k + n)
        return NEWTON * k * k * (k / 3.0 + (n if wide else 1))

    def _step(
        self,
        matrix: np.ndarray,
        part: SmoothPart,
        w: np.ndarray,
        r: np.ndarray,
        q: np.ndarray,
        wide: bool,
    ) -> float:
        """One Newton step; returns its length."""
        T, m = part.support, w.size
        if wide:
            X = matrix.T[T].T
            narrow = X.shape[0] >= T.size or part.bend.min() <= 0
            d = part.on_gram(X.T @ X) if narrow else part.on_columns(X)
            if d is None:
                return 0.0
            moved = X @ d
            t = part.length(d, float(moved @ moved))
            r -= t * moved
            q[:] = -(matrix[:, :m].T @ r)
        else:
            A = matrix[T, :][:, T]
            d = part.on_gram(A)
            if d is None:
                return 0.0
            t = part.length(d, float(d @ (A @ d)))
            q += t * (matrix[T, :m].T @ d)
        # A step to a bound ends there, not beside it.
        w[T] = np.maximum(w[T] + t * d, self.lower[T])
        return t


def largest_eigenvalues(blocks: list[np.ndarray]) -> np.ndarray:
    """Upper bounds of the largest eigenvalues, blocks of one size together."""
    sizes = np.array([block.shape[0] for block in blocks])
    tops = np.empty(sizes.size)
    for size in np.unique(sizes):
        same = np.flatnonzero(sizes == size)
        stack = np.stack([blocks[k] for k in same])
        tops[same] = np.linalg.eigvalsh(stack)[:, -1]
    return tops * (1 + 1e-12)
