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


def parse_groups(groups: Any, p: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (indptr, indices) of a partition of 0..p-1.

    ``groups`` is an int (consecutive groups of that size, which must divide p), a
    list of index lists, or an array of p labels.
    """
    if isinstance(groups, int | np.integer) and not isinstance(groups, bool):
        size = v.check_int("groups", groups, low=1)
        if p % size:
            raise ValueError(
                v.message("groups", f"a divisor of the {p} coordinates", size)
            )
        return np.arange(0, p + 1, size), np.arange(p)
    nested = isinstance(groups, list | tuple) and any(
        isinstance(g, list | tuple | np.ndarray | range) for g in groups
    )
    if not nested:
        return _from_labels(np.asarray(groups), p)
    parts = [np.asarray(g, dtype=np.int64).reshape(-1) for g in groups]
    indices = np.concatenate(parts) if parts else np.empty(0, np.int64)
    sizes = np.array([part.size for part in parts])
    if not np.array_equal(np.sort(indices), np.arange(p)) or sizes.min() == 0:
        raise ValueError(
            v.message(
                "groups",
                f"a partition of 0..{p - 1} into non-empty groups",
                f"{len(parts)} groups of {indices.size} indices",
            )
        )
    return np.concatenate(([0], np.cumsum(sizes))), indices


def _from_labels(labels: np.ndarray, p: int) -> tuple[np.ndarray, np.ndarray]:
    if labels.shape != (p,):
        raise ValueError(
            v.message("groups", f"{p} labels, one a coordinate", f"{labels.shape}")
        )
    _, codes = np.unique(labels, return_inverse=True)
    indices = np.argsort(codes, kind="stable")
    return np.concatenate(([0], np.cumsum(np.bincount(codes)))), indices


def group_index(indptr: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """Return the group number of every coordinate."""
    owner = np.empty(indices.size, dtype=np.int64)
    owner[indices] = np.repeat(np.arange(indptr.size - 1), np.diff(indptr))
    return owner
