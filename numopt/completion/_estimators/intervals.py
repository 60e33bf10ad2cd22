# SPDX-License-Identifier: BSD-3-Clause
"""Split-conformal half widths from held-out errors, by how often a row was seen."""

import dataclasses
from typing import Self

import numpy as np

__all__ = ["Calibration"]

#: Strata of row counts, each with at least this many held-out errors.
MAX_STRATA = 4
MIN_ERRORS = 50


@dataclasses.dataclass(frozen=True)
class Calibration:
    """Sorted absolute errors of each stratum; ``edges`` cut the row counts."""

    edges: np.ndarray
    errors: list[np.ndarray]

    @classmethod
    def from_errors(cls, errors: np.ndarray, counts: np.ndarray) -> Self:
        """Cut the errors at quantiles of the row counts."""
        strata = int(np.clip(errors.size // MIN_ERRORS, 1, MAX_STRATA))
        edges = np.unique(np.quantile(counts, np.arange(1, strata) / strata))
        place = np.searchsorted(edges, counts, side="right")
        groups = [np.sort(errors[place == g]) for g in range(edges.size + 1)]
        # Ties of the counts may leave a stratum short; it then uses every error.
        whole = np.sort(errors)
        return cls(edges, [g if g.size >= MIN_ERRORS else whole for g in groups])

    def half_widths(self, counts: np.ndarray, level: float) -> np.ndarray:
        """Half width of the interval of rows with so many entries."""
        widths = np.array([_quantile(group, level) for group in self.errors])
        return widths[np.searchsorted(self.edges, counts, side="right")]


def _quantile(errors: np.ndarray, level: float) -> float:
    """The finite-sample quantile: the ceil(level (n + 1))-th smallest error."""
    place = int(np.ceil(level * (errors.size + 1)))
    return float(errors[min(place, errors.size) - 1])
