# SPDX-License-Identifier: BSD-3-Clause
"""The finite sets of values that the variables may take."""

import dataclasses
from typing import Any

import numpy as np

from numopt import _validation as v
from numopt._array.namespace import is_array, to_numpy

__all__ = ["Levels"]

#: Wider ranges would lose integers in float64.
LARGEST = 2**52


@dataclasses.dataclass(frozen=True, slots=True)
class Levels:
    """Level sets ``first + step * k``, or rows of ``table`` when one is uneven.

    ``table`` (n, L) is padded with +inf behind the ``count`` levels of each variable.
    """

    count: np.ndarray
    first: np.ndarray
    step: np.ndarray
    table: np.ndarray | None

    @classmethod
    def parse(cls, levels: Any, n: int) -> "Levels":
        """Read a pair (lo, hi), one array of levels, or a list of n arrays."""
        if isinstance(levels, Levels):
            return levels
        if isinstance(levels, tuple):
            return cls._from_range(levels, n)
        if is_array(levels) or not _is_nested(levels):
            one = _level_set("levels", levels)
            return cls._from_sets([one] * n)
        if len(levels) != n:
            raise ValueError(
                v.message("levels", f"a list of {n} level sets", f"{len(levels)}")
            )
        return cls._from_sets(
            [_level_set(f"levels[{j}]", one) for j, one in enumerate(levels)]
        )

    @classmethod
    def _from_range(cls, pair: tuple[Any, ...], n: int) -> "Levels":
        if len(pair) != 2:
            raise ValueError(v.message("levels", "a pair (lo, hi)", f"{len(pair)}"))
        bounds = []
        for name, end in zip(("lo", "hi"), pair, strict=True):
            _, (x,) = v.float_arrays(**{f"levels ({name})": end})
            x = to_numpy(x).astype(np.float64)
            if x.shape not in ((), (n,)):
                raise ValueError(
                    v.message("levels", f"scalars or arrays of shape ({n},)", x.shape)
                )
            if not np.all(np.isfinite(x)) or np.any(x != np.rint(x)):
                raise ValueError(
                    v.message("levels", "integers in a pair (lo, hi)", f"{name}={end}")
                )
            bounds.append(np.broadcast_to(x, (n,)))
        lo, hi = bounds
        if np.any(lo > hi):
            j = int(np.argmax(lo > hi))
            raise ValueError(v.message("levels", "lo <= hi", f"({lo[j]:g}, {hi[j]:g})"))
        if np.any(np.maximum(np.abs(lo), np.abs(hi)) > LARGEST):
            raise ValueError(v.message("levels", "at most 2**52 in size", "larger"))
        count = (hi - lo).astype(np.int64) + 1
        return cls(count, lo.copy(), np.ones(n), None)

    @classmethod
    def _from_sets(cls, sets: list[np.ndarray]) -> "Levels":
        n = len(sets)
        count = np.array([one.size for one in sets], np.int64)
        first = np.array([one[0] for one in sets])
        step = np.array([_even_step(one) for one in sets])
        if np.all(step > 0):
            return cls(count, first, step, None)
        table = np.full((n, int(count.max())), np.inf)
        for j, one in enumerate(sets):
            table[j, : one.size] = one
        return cls(count, first, np.where(step > 0, step, 1.0), table)

    @property
    def n(self) -> int:
        """Number of variables."""
        return self.count.shape[0]

    @property
    def low(self) -> np.ndarray:
        """Smallest level of each variable."""
        return self.first

    @property
    def high(self) -> np.ndarray:
        """Largest level of each variable."""
        return self.values(self.count - 1)

    @property
    def integral(self) -> bool:
        """Whether every level is an integer."""
        if self.table is None:
            return bool(
                np.all(self.first == np.rint(self.first))
                and np.all(self.step == np.rint(self.step))
            )
        finite = self.table[np.isfinite(self.table)]
        return bool(np.all(finite == np.rint(finite)))

    def values(self, k: np.ndarray) -> np.ndarray:
        """Return the levels of an index vector, or of rows of index vectors."""
        if self.table is None:
            return self.first + self.step * k
        return self.table[np.arange(self.n), k]

    def nearest(self, x: np.ndarray) -> np.ndarray:
        """Return the indices of the levels nearest to ``x`` (n,); the lower at ties."""
        if self.table is None:
            k = np.ceil((x - self.first) / self.step - 0.5)
            return np.clip(k, 0, self.count - 1).astype(np.int64)
        return np.argmin(np.abs(self.table - x[:, None]), axis=1).astype(np.int64)

    def take(self, which: np.ndarray) -> "Levels":
        """Return the level sets of some variables."""
        table = None if self.table is None else self.table[which]
        return Levels(self.count[which], self.first[which], self.step[which], table)


def _is_nested(levels: Any) -> bool:
    """Whether a list holds level sets rather than levels."""
    return isinstance(levels, list) and any(np.ndim(one) > 0 for one in levels)


def _level_set(name: str, values: Any) -> np.ndarray:
    """Return sorted, distinct, finite levels."""
    _, (x,) = v.float_arrays(**{name: values})
    x = to_numpy(x).astype(np.float64)
    if x.ndim != 1 or x.size == 0:
        raise ValueError(v.message(name, "a non-empty 1-D array", f"shape {x.shape}"))
    if not np.all(np.isfinite(x)):
        raise ValueError(v.message(name, "finite", x[~np.isfinite(x)][0]))
    return np.unique(x)


def _even_step(x: np.ndarray) -> float:
    """Return the step of an arithmetic progression, or 0."""
    if x.size == 1:
        return 1.0
    gaps = np.diff(x)
    # An even set is stored as first + step * k: the last level must come out right.
    even = np.allclose(gaps, gaps[0], rtol=1e-12, atol=1e-13 * np.max(np.abs(x)))
    return float((x[-1] - x[0]) / (x.size - 1)) if even else 0.0
