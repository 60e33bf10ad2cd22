# SPDX-License-Identifier: BSD-3-Clause
"""Groups of coordinates in one compressed form."""

from typing import Any, NamedTuple

import numpy as np

from numopt import _validation as v

__all__ = ["GroupTerms", "ScalarTerms", "group_index", "parse_groups"]


class ScalarTerms(NamedTuple):
    """A separable penalty ``sum_j l1_j |w_j| + l2_j w_j^2 / 2`` on lower <= w <= upper.

    All are arrays of shape (p,). ``l1`` may hold inf: the coordinate stays 0.
    """

    l1: np.ndarray
    l2: np.ndarray
    lower: np.ndarray
    upper: np.ndarray

    @property
    def plain(self) -> bool:
        """Whether it is a weighted L1 norm without zero weights."""
        bounded = self.upper.min() < np.inf or self.lower.max() > -np.inf
        return bool(self.l1.min() > 0 and not self.l2.any() and not bounded)

    @property
    def free(self) -> bool:
        """Whether no coordinate is penalised or bounded."""
        if self.l1.any() or self.l2.any():
            return False
        return not (np.isfinite(self.lower).any() or np.isfinite(self.upper).any())

    def times(self, strength: float) -> "ScalarTerms":
        """Return the terms of a multiple of the penalty; the strength is positive."""
        l2 = strength * self.l2 if self.l2.any() else self.l2
        return ScalarTerms(strength * self.l1, l2, self.lower, self.upper)

    def nearest(self, coef: np.ndarray) -> np.ndarray:
        """Return the nearest allowed coefficients, of shape (p,) or (K, p)."""
        allowed = np.clip(coef, self.lower, self.upper)
        allowed[..., np.isinf(self.l1)] = 0.0
        return allowed


class GroupTerms(NamedTuple):
    """A group penalty ``sum_g weights_g ||w_g||_2 + sum_j l1_j |w_j|``, w >= lower.

    Group g holds the coordinates ``indices[indptr[g]:indptr[g + 1]]``; ``lower`` is 0
    or -inf.
    """

    indptr: np.ndarray
    indices: np.ndarray
    weights: np.ndarray
    l1: np.ndarray
    lower: np.ndarray

    def times(self, strength: float) -> "GroupTerms":
        """Return the terms of a multiple of the penalty; inf stays inf."""
        finite = np.isfinite(self.weights)
        weights = np.where(finite, strength * np.where(finite, self.weights, 0), np.inf)
        return self._replace(weights=weights, l1=strength * self.l1)

    @property
    def plain(self) -> np.ndarray:
        """Which groups have neither L1 terms nor bounds, but a finite penalty."""
        shaped = (self.l1 > 0) | (self.lower > -np.inf)
        free = ~np.logical_or.reduceat(shaped[self.indices], self.indptr[:-1])
        return free & (self.weights > 0) & np.isfinite(self.weights)

    def nearest(self, coef: np.ndarray) -> np.ndarray:
        """Return the nearest allowed coefficients, of shape (p,) or (K, p)."""
        allowed = np.maximum(coef, self.lower)
        excluded = np.isinf(self.weights)[group_index(self.indptr, self.indices)]
        allowed[..., excluded] = 0.0
        return allowed


def parse_groups(groups: Any, p: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (indptr, indices) of a partition of 0..p-1.

    A size of consecutive groups must divide p; else as :func:`check_groups`.
    """
    if isinstance(groups, int | np.integer) and not isinstance(groups, bool):
        size = v.check_int("groups", groups, low=1)
        if p % size:
            raise ValueError(
                v.message("groups", f"a divisor of the {p} coordinates", size)
            )
        return np.arange(0, p + 1, size), np.arange(p)
    parts = v.check_groups(groups, p)
    sizes = [part.size for part in parts]
    return np.concatenate(([0], np.cumsum(sizes))), np.concatenate(parts)


def group_index(indptr: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """Return the group number of every coordinate."""
    owner = np.empty(indices.size, dtype=np.int64)
    owner[indices] = np.repeat(np.arange(indptr.size - 1), np.diff(indptr))
    return owner
