# SPDX-License-Identifier: BSD-3-Clause
"""Index pairs: their validation, and the training entries kept by rows."""

import dataclasses
from typing import Any, Self

import numpy as np

__all__ = ["Triplets", "check_pairs"]


def check_pairs(estimator: object, X: np.ndarray) -> np.ndarray:
    """Return (row, column) pairs as int64, or say what is wrong with them."""
    if X.dtype.kind not in "iu":
        try:
            X = np.asarray(X, dtype=np.float64)
        except ValueError as error:
            raise ValueError(
                f"X must hold (row, col) integer pairs, but {error}; number other "
                "identifiers first, as sklearn.preprocessing.OrdinalEncoder does"
            ) from error
    if X.size and X.min() < 0:
        raise ValueError(
            f"Negative values in data passed to {type(estimator).__name__}: X must "
            f"hold (row, col) integer pairs, got {X.min()}"
        )
    if X.ndim != 2 or X.shape[1] != 2:
        raise ValueError(
            f"X must hold (row, col) integer pairs, got shape {tuple(X.shape)}: "
            + ", ".join(map("{}={}".format, ("n_samples", "n_features"), X.shape))
        )
    whole = np.floor(X) == X
    if not whole.all():
        raise ValueError(
            f"X must hold (row, col) integer pairs, got the entry {X[~whole][0]}"
        )
    return X.astype(np.int64, copy=False)


@dataclasses.dataclass(frozen=True)
class Triplets:
    """Entries sorted by row; ``indptr`` (rows + 1,) bounds them."""

    indptr: np.ndarray
    cols: np.ndarray
    values: np.ndarray
    weights: np.ndarray | None

    @classmethod
    def sorted_by_row(
        cls, pairs: np.ndarray, values: np.ndarray, weights: Any, shape: tuple[int, int]
    ) -> Self:
        """Sort entries by row, keeping their order inside a row."""
        order = np.argsort(pairs[:, 0], kind="stable")
        counts = np.bincount(pairs[:, 0], minlength=shape[0])
        return cls(
            np.concatenate([[0], np.cumsum(counts)]),
            pairs[order, 1],
            values[order],
            None if weights is None else weights[order],
        )

    @property
    def counts(self) -> np.ndarray:
        """Entries of each row."""
        return np.diff(self.indptr)

    def counts_of(self, rows: np.ndarray) -> np.ndarray:
        """Entries of some rows; none for a row beyond the last."""
        counts = np.append(self.counts, 0)
        return counts[np.minimum(rows, counts.size - 1)]

    def row_ids(self) -> np.ndarray:
        """Row of every entry."""
        return np.repeat(np.arange(self.indptr.size - 1), self.counts)

    def pairs(self) -> np.ndarray:
        """Pairs (row, column) of the entries."""
        return np.column_stack([self.row_ids(), self.cols])

    def columns_of(self, row: int) -> np.ndarray:
        """Columns known in a row; none for a row beyond the last."""
        if row >= self.indptr.size - 1:
            return self.cols[:0]
        return self.cols[self.indptr[row] : self.indptr[row + 1]]

    def merged(
        self, pairs: np.ndarray, values: np.ndarray, shape: tuple[int, int]
    ) -> "Triplets":
        """Add entries of weight 1; a new value replaces the old one of its pair."""
        every = np.concatenate([self.pairs(), pairs])
        merged = np.concatenate([self.values, values.astype(self.values.dtype)])
        weights = None
        if self.weights is not None:
            ones = np.ones(values.size, self.weights.dtype)
            weights = np.concatenate([self.weights, ones])
        keys = every[:, 0] * shape[1] + every[:, 1]
        replaced = np.isin(keys[: self.cols.size], keys[self.cols.size :])
        keep = np.concatenate([~replaced, np.ones(values.size, dtype=bool)])
        return Triplets.sorted_by_row(
            every[keep],
            merged[keep],
            None if weights is None else weights[keep],
            shape,
        )
