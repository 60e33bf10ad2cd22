# SPDX-License-Identifier: BSD-3-Clause
"""Validated data of a linear model: design, targets, sample weights."""

import dataclasses
import math
from typing import Any, Self

import numpy as np

from numopt import _validation as v
from numopt._array.namespace import (
    array_namespace,
    to_numpy,
)
from numopt._array.sparse import is_sparse
from numopt.coordinate._problem.datafits import Datafit
from numopt.coordinate._problem.design import DeviceDesign
from numopt.coordinate._problem.units import ORDINARY, Units, check_size, unit_of
from numopt.exceptions import ArgumentTypeError

__all__ = ["LinearData", "check_sample_weight", "sized_design"]

#: A sum of entries from here on asks for the careful check of every entry, by bytes an
#: entry; also one so small that all may be tiny.
SUSPICIOUS = {4: 1e12, 8: 1e15}


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class LinearData:
    """Design ``X`` (n, p), encoded targets ``y`` and sample weights.

    ``X`` is a dense array of either order, a ``csc_array`` or a ``DeviceDesign``;
    float32 is kept. All else lies on the host, in float64.
    ``weights`` is None for equal weights, else float64 (n,); ``total`` is their sum.
    ``X`` and ``y`` were divided by ``units`` where their products would not hold.
    """

    X: Any
    y: np.ndarray
    weights: np.ndarray | None
    total: float
    units: Units = dataclasses.field(default_factory=Units)

    @classmethod
    def from_arrays(
        cls,
        X: Any,
        y: Any,
        datafit: Datafit,
        sample_weight: Any = None,
        names: tuple[str, str] = ("X", "y"),
    ) -> Self:
        """Validate; never copies a dense float design of ordinary size."""
        if not isinstance(datafit, Datafit):
            expected = "a datafit, such as Quadratic()"
            raise ArgumentTypeError(v.message("datafit", expected, repr(datafit)))
        array_namespace(X, y, sample_weight)
        X_name, y_name = names
        X, unit = sized_design(X_name, X, elsewhere=True)
        n = X.shape[0]
        y = to_numpy(v.float_arrays(**{y_name: y})[1][0])
        v.check_ndim(y_name, y, 1)
        v.check_shape(y_name, y, (n,), why=f"(one a row of {X_name})")
        size = max(map(abs, v.check_values(y_name, y)))
        check_size(y_name, size)
        weights = check_sample_weight(sample_weight, n)
        if weights is not None:
            # Only their ratios count.
            weights = weights / unit_of(float(weights.max()))
        y = datafit.encode(np.asarray(y, dtype=np.float64))
        units = Units(
            unit, unit_of(size, X.dtype.itemsize) if datafit.scalable else 1.0
        )
        y = y if units.target == 1.0 else y / units.target
        total = float(n) if weights is None else float(weights.sum())
        return cls(X=X, y=y, weights=weights, total=total, units=units)

    @property
    def is_sparse(self) -> bool:
        """Whether the design is sparse."""
        return not isinstance(self.X, np.ndarray | DeviceDesign)

    @property
    def is_elsewhere(self) -> bool:
        """Whether the design is an array of another library."""
        return isinstance(self.X, DeviceDesign)

    @property
    def shape(self) -> tuple[int, int]:
        """Shape (n, p) of the design."""
        n, p = self.X.shape
        return int(n), int(p)

    def predict(self, coef: np.ndarray, intercept: Any) -> np.ndarray:
        """Return ``X w + b``, of shape (n,) or (n, K)."""
        return np.asarray(self.X @ coef.T, dtype=np.float64) + intercept

    def copy_columns(self, index: np.ndarray, out: np.ndarray) -> None:
        """Write dense columns to the rows of ``out``, of shape (k, n)."""
        if isinstance(self.X, DeviceDesign):
            out[...] = to_numpy(self.X.take(index)).T
        elif self.X.flags.f_contiguous and self.X.dtype == out.dtype:
            np.take(self.X.T, index, axis=0, out=out, mode="clip")
        else:
            out[...] = self.X[:, index].T

    def weighted(self, values: np.ndarray) -> np.ndarray:
        """Return values times sample weights, row by row."""
        if self.weights is None:
            return values
        return values * (self.weights if values.ndim == 1 else self.weights[:, None])

    def correlate(self, residual: np.ndarray) -> np.ndarray:
        """Return ``X^T residual``, of shape (p,) or (K, p)."""
        if isinstance(self.X, DeviceDesign):
            return np.asarray(self.X.correlate(residual), dtype=np.float64).T
        flat = residual.astype(self.X.dtype, copy=False)
        if not self.is_sparse and self.X.flags.c_contiguous and flat.ndim == 1:
            return np.asarray(flat @ self.X, dtype=np.float64)
        return np.asarray(self.X.T @ flat, dtype=np.float64).T

    def dense_columns(self, index: np.ndarray) -> np.ndarray:
        """Return some columns on the host, of shape (n, k), in float64."""
        if self.is_sparse:
            return np.asarray(self.X[:, index].toarray(), dtype=np.float64)
        columns = np.empty((index.size, self.shape[0]))
        self.copy_columns(index, columns)
        return columns.T

    def without_empty(self, coef: np.ndarray, *, centred: bool = False) -> np.ndarray:
        """Coefficients (p,) or (K, p) with 0 where the column is, after centring.

        The data say nothing about them, so that descent would leave a start as it is;
        rows without weight do not count.
        """
        used = np.flatnonzero(np.any(np.atleast_2d(coef) != 0, axis=0))
        columns = self.dense_columns(used)
        if self.weights is not None:
            columns = columns[self.weights > 0]
        level = columns[:1] if centred else 0.0
        kept = np.array(coef)
        kept[..., used[np.all(columns == level, axis=0)]] = 0.0
        return kept

    def like_design(self, values: Any) -> Any:
        """Return host values in the library, precision and place of the design."""
        if not isinstance(self.X, DeviceDesign) or np.ndim(values) == 0:
            return values
        return self.X.send(values)


def sized_design(name: str, X: Any, *, elsewhere: bool = False) -> tuple[Any, float]:
    """Return a validated design, and the unit by which it was divided.

    With ``elsewhere`` arrays of other libraries become a ``DeviceDesign``.
    """
    X, size = _design(name, X, elsewhere=elsewhere)
    check_size(name, size)
    unit = unit_of(size, X.dtype.itemsize)
    return (X if unit == 1.0 else X / X.dtype.type(unit)), unit


def _design(name: str, X: Any, *, elsewhere: bool) -> tuple[Any, float]:
    """A validated design and its largest size, 1 where that is ordinary."""
    if is_sparse(X):
        return _check_sparse(name, X)
    if isinstance(X, np.ndarray) and X.dtype == np.float16:
        X = np.asarray(X, dtype=np.float32)
    xp, (X,) = v.float_arrays(**{name: X})
    if not elsewhere:
        v.check_numpy(name, X)
    v.check_ndim(name, X, 2)
    made = X if isinstance(X, np.ndarray) else DeviceDesign(X)
    # One pass when all is well; the careful check names the culprit.
    return made, _size(name, X, abs(float(_total(X, xp))), made)


def _total(X: Any, xp: Any) -> Any:
    """Sum of all entries; a product with ones takes half the time of a sum."""
    if isinstance(X, np.ndarray) and (X.flags.c_contiguous or X.flags.f_contiguous):
        return (np.ones(X.shape[0], X.dtype) @ X).sum()
    return xp.sum(X)


def _check_sparse(name: str, X: Any) -> Any:
    """Return a validated CSC design without duplicates."""
    from scipy.sparse import csc_array

    if X.dtype.kind not in "fiub":
        raise ArgumentTypeError(v.message(name, "of real numbers", f"dtype {X.dtype}"))
    if 0 in X.shape:
        raise ValueError(v.message(name, "non-empty", f"shape {X.shape}"))
    dtype = np.float32 if X.dtype in (np.float16, np.float32) else np.float64
    A = csc_array(X, dtype=dtype)
    # An array that is asked once knows the answer.
    asked = X if X.format == "csc" else A
    if not asked.has_canonical_format:
        A = A.copy()
        A.sum_duplicates()
    return A, _size(name, A.data, abs(float(A.data.sum())), A)


def _size(name: str, entries: Any, total: float, X: Any) -> float:
    """Check entries; their largest size where their sum tells of extremes, else 1."""
    itemsize = X.dtype.itemsize
    least = math.prod(entries.shape) / ORDINARY[itemsize]
    if least < total < SUSPICIOUS[itemsize]:
        return 1.0
    return max(map(abs, v.check_values(name, entries)))


def check_sample_weight(sample_weight: Any, n: int) -> np.ndarray | None:
    """Return float64 weights of shape (n,), None for equal weights."""
    if sample_weight is None:
        return None
    if np.ndim(sample_weight) == 0:
        value = v.check_real("sample_weight", sample_weight, low=0, include_low=False)
        return np.full(n, value)
    weights = to_numpy(v.float_arrays(sample_weight=sample_weight)[1][0])
    v.check_shape("sample_weight", weights, (n,), why="(one a row of X)")
    _, high = v.check_values("sample_weight", weights, nonnegative=True)
    if high == 0:
        raise ValueError(v.message("sample_weight", "positive somewhere", "all zeros"))
    return np.asarray(weights, dtype=np.float64)
