# SPDX-License-Identifier: BSD-3-Clause
"""What is clustered: centred rows or a similarity; inertia, margins and the bound."""

import dataclasses
import math
from typing import Any

import numpy as np

from numopt._array.namespace import array_namespace, device, to_numpy
from numopt._array.sparse import as_csr, is_sparse
from numopt._validation import check_ndim, check_values, float_arrays, message
from numopt.exceptions import ArgumentTypeError
from numopt.typing import Array, Namespace

__all__ = ["DenseRows", "KMeansProblem", "SparseRows", "membership_columns"]

#: Relative asymmetry allowed in a precomputed similarity.
SYMMETRY_TOL = 1e-10


@dataclasses.dataclass(frozen=True, slots=True)
class DenseRows:
    """Centred rows as one array (n, p)."""

    X: Array

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of rows and columns."""
        return tuple(self.X.shape)

    def times(self, C: Array) -> Array:
        """Return ``X C^T``."""
        return self.X @ array_namespace(C).matrix_transpose(C)

    def transposed_times(self, R: Array) -> Array:
        """Return ``X^T R``."""
        return array_namespace(R).matrix_transpose(self.X) @ R

    def feature_gram(self) -> Array:
        """Return ``X^T X``."""
        return self.transposed_times(self.X)

    def row_gram(self) -> Array:
        """Return ``X X^T``."""
        return self.times(self.X)

    def square_norms(self) -> Array:
        """Return ``||x_i||^2``."""
        xp = array_namespace(self.X)
        return xp.sum(self.X * self.X, axis=1)

    def take(self, order: np.ndarray) -> "DenseRows":
        """Return the rows in another order."""
        xp = array_namespace(self.X)
        index = xp.asarray(order, device=device(self.X))
        return DenseRows(xp.take(self.X, index, axis=0))

    def part(self, lo: int, hi: int) -> "DenseRows":
        """Return rows lo:hi (still centred by the mean of all)."""
        return DenseRows(self.X[lo:hi, :])


@dataclasses.dataclass(frozen=True, slots=True)
class SparseRows:
    """Sparse rows minus one mean vector, which is never subtracted explicitly."""

    A: Any
    mean: np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of rows and columns."""
        return self.A.shape

    def times(self, C: Array) -> Array:
        """Return ``(A - 1 mean^T) C^T``."""
        return self.A @ C.T - (C @ self.mean)[None, :]

    def transposed_times(self, R: Array) -> Array:
        """Return ``(A - 1 mean^T)^T R``."""
        return self.A.T @ R - np.outer(self.mean, np.sum(R, axis=0))

    def feature_gram(self) -> Array:
        """Return the Gram matrix of the centred columns."""
        G = (self.A.T @ self.A).toarray()
        total = np.asarray(self.A.sum(axis=0)).ravel()
        cross = np.outer(self.mean, total)
        outer = np.outer(self.mean, self.mean)
        return G - cross - cross.T + self.A.shape[0] * outer

    def row_gram(self) -> Array:
        """Return the Gram matrix of the centred rows."""
        G = (self.A @ self.A.T).toarray()
        cross = self.A @ self.mean
        return G - cross[:, None] - cross[None, :] + self.mean @ self.mean

    def square_norms(self) -> Array:
        """Return the squared norms of the centred rows."""
        squares = np.asarray(self.A.multiply(self.A).sum(axis=1)).ravel()
        values = squares - 2 * (self.A @ self.mean) + self.mean @ self.mean
        return np.maximum(values, 0.0)

    def take(self, order: np.ndarray) -> "SparseRows":
        """Return the rows in another order."""
        return SparseRows(self.A[order], self.mean)

    def part(self, lo: int, hi: int) -> "SparseRows":
        """Return rows lo:hi (still centred by the mean of all)."""
        return SparseRows(self.A[lo:hi], self.mean)


def membership_columns(labels: np.ndarray, n_clusters: int, like: Array) -> Array:
    """Return the 0-1 membership columns (n, K) beside the array ``like``."""
    columns = np.zeros((labels.size, n_clusters))
    columns[np.arange(labels.size), labels] = 1.0
    xp = array_namespace(like)
    return xp.asarray(columns, device=device(like))


@dataclasses.dataclass(frozen=True, slots=True)
class KMeansProblem:
    """Minimise ``W = T - <G, Z>`` over partitions into at most K clusters.

    Exactly one of ``rows`` (then ``G = X X^T``) and ``similarity`` (G itself) is set.
    Both are scaled by a power of two; ``unit`` brings values back to the user's units.
    ``noise`` is the inertia that rounding alone can leave.
    """

    rows: DenseRows | SparseRows | None
    similarity: Array | None
    n: int
    total: float
    unit: float
    noise: float
    center: Array | None
    length: float
    dtype: Any

    @property
    def like(self) -> Array:
        """An array that shows the library and the device of the data."""
        if self.similarity is not None:
            return self.similarity
        rows = self.data
        return rows.X if isinstance(rows, DenseRows) else rows.mean

    @property
    def data(self) -> DenseRows | SparseRows:
        """The rows, where there are any."""
        if self.rows is None:
            raise ArgumentTypeError("a similarity has no rows")
        return self.rows

    @property
    def xp(self) -> Namespace:
        """Namespace of the data."""
        return array_namespace(self.like)

    @classmethod
    def from_data(cls, X: Any) -> "KMeansProblem":
        """Validate, centre and scale a data matrix, dense or sparse."""
        if is_sparse(X):
            return cls._from_sparse(X)
        dtype, X = _dense_float64(X)
        xp = array_namespace(X)
        check_ndim("X", X, 2)
        length = _power_of_two(_largest("X", X))
        scaled = X / length
        center = xp.mean(scaled, axis=0)
        rows = DenseRows(scaled - center[None, :])
        raw = float(xp.sum(scaled * scaled))
        return cls._from_rows(rows, center * length, length, raw, dtype)

    @classmethod
    def _from_sparse(cls, X: Any) -> "KMeansProblem":
        """Validate and scale a sparse matrix; its mean is kept apart."""
        if X.dtype.kind not in "fiub":
            _refuse_kind(X.dtype)
        if 0 in X.shape:
            raise ValueError(message("X", "non-empty", f"shape {X.shape}"))
        csr = as_csr(X)
        A = csr.to_scipy()
        data = csr.data if csr.nnz else np.zeros(1)
        length = _power_of_two(_largest("X", data))
        A = A / length
        mean = np.asarray(A.mean(axis=0)).ravel()
        raw = float(np.sum(A.data**2))
        rows = SparseRows(A, mean)
        return cls._from_rows(rows, mean * length, length, raw, np.float64)

    @classmethod
    def _from_rows(
        cls, rows: Any, center: Array, length: float, raw: float, dtype: Any
    ) -> "KMeansProblem":
        """The problem of centred rows; ``raw`` is the sum of squares before."""
        norms = rows.square_norms()
        total = float(array_namespace(norms).sum(norms))
        eps = float(np.finfo(np.float64).eps)
        exact = isinstance(rows, DenseRows)
        noise = 64 * eps**2 * raw if exact else 16 * eps * raw
        return cls(
            rows,
            None,
            rows.shape[0],
            total,
            length * length,
            noise,
            center,
            length,
            dtype,
        )

    @classmethod
    def from_similarity(cls, G: Any, name: str = "X") -> "KMeansProblem":
        """Validate and scale a symmetric similarity matrix."""
        if is_sparse(G):
            raise ArgumentTypeError(
                message(name, "a dense similarity", "a sparse matrix")
            )
        dtype, G = _dense_float64(G, name)
        check_ndim(name, G, 2)
        if G.shape[0] != G.shape[1]:
            raise ValueError(message(name, "square", f"shape {tuple(G.shape)}"))
        largest = _largest(name, G)
        xp = array_namespace(G)
        asymmetry = float(xp.max(xp.abs(G - xp.matrix_transpose(G))))
        if asymmetry > SYMMETRY_TOL * largest:
            raise ValueError(
                message(name, "symmetric", f"entries that differ by {asymmetry:.3g}")
            )
        unit = _power_of_two(largest)
        scaled = (G / unit + xp.matrix_transpose(G) / unit) / 2
        # Z 1 = 1 makes <G, Z> and <J G J, Z> differ by the constant that T loses too.
        means = xp.mean(scaled, axis=1)
        scaled = scaled - means[:, None] - means[None, :] + xp.mean(means)
        total = float(xp.sum(xp.linalg.diagonal(scaled)))
        return cls(
            None, scaled, G.shape[0], total, unit, 0.0, None, math.sqrt(unit), dtype
        )

    def gram(self) -> Array:
        """Return G, n x n."""
        return self.similarity if self.rows is None else self.rows.row_gram()

    def spectral_norm(self) -> float:
        """Return the largest eigenvalue of G in magnitude (a scale, not a bound)."""
        if self.rows is not None and self.rows.shape[1] <= self.n:
            small = to_numpy(self.rows.feature_gram())
        else:
            small = to_numpy(self.gram())
        return float(np.linalg.norm(small, 2))

    def means(self, labels: np.ndarray, n_clusters: int) -> Array:
        """Return the cluster means of the centred, scaled rows."""
        columns = membership_columns(labels, n_clusters, self.like)
        sizes = np.maximum(np.bincount(labels, minlength=n_clusters), 1)
        weights = self.xp.asarray(1.0 / sizes, device=device(self.like))
        sums = self.data.transposed_times(columns)
        return self.xp.matrix_transpose(sums * weights[None, :])

    def inertia(self, labels: np.ndarray, n_clusters: int) -> float:
        """Return W of a partition, in scaled units."""
        xp = self.xp
        if isinstance(self.rows, DenseRows):
            means = self.means(labels, n_clusters)
            index = xp.asarray(labels, device=device(self.like))
            difference = self.rows.X - xp.take(means, index, axis=0)
            value = float(xp.sum(difference * difference))
        else:
            sizes = np.maximum(np.bincount(labels, minlength=n_clusters), 1)
            value = self.total - float(np.sum(self.within_sums(labels) / sizes))
        return 0.0 if abs(value) <= self.noise else value

    def within_sums(self, labels: np.ndarray) -> np.ndarray:
        """Return ``1_a^T G 1_a`` of every cluster, on the host."""
        n_clusters = int(labels.max()) + 1
        columns = membership_columns(labels, n_clusters, self.like)
        if self.rows is None:
            sums = self.xp.sum(columns * (self.similarity @ columns), axis=0)
        else:
            products = self.data.transposed_times(columns)
            sums = self.xp.sum(products * products, axis=0)
        return to_numpy(sums)

    def margins(self, labels: np.ndarray, n_clusters: int) -> Array:
        """Return ``d_ib^2 - d_ia^2`` (n, K), a the cluster of row i.

        Computed from scalar products with differences of means, never as the
        difference of two large distances.
        """
        xp = self.xp
        columns = membership_columns(labels, n_clusters, self.like)
        sizes = np.maximum(np.bincount(labels, minlength=n_clusters), 1)
        weights = xp.asarray(1.0 / sizes, device=device(self.like))[None, :]
        if self.rows is None:
            products = (self.similarity @ columns) * weights
            norms = xp.sum(columns * products, axis=0, keepdims=True) * weights
        else:
            means = self.means(labels, n_clusters)
            products = self.rows.times(means)
            norms = xp.sum(means * means, axis=1)[None, :]
        scores = norms - 2 * products
        own = xp.sum(columns * scores, axis=1, keepdims=True)
        return scores - own

    def gap(self, inertia: float, lower_bound: float) -> float:
        """Return ``max(0, (W - LB)/|W|)``; both in the same units."""
        if inertia <= lower_bound:
            return 0.0
        if inertia == 0:
            return math.inf
        return (inertia - lower_bound) / abs(inertia)


def _dense_float64(X: Any, name: str = "X") -> tuple[Any, Array]:
    """Return the dtype in which results go back, and the data in float64."""
    if not hasattr(X, "dtype"):
        X = np.asarray(X)
        if X.dtype.kind not in "fiub":
            _refuse_kind(X.dtype, name)
    elif isinstance(X, np.ndarray) and X.dtype.kind not in "fiub":
        _refuse_kind(X.dtype, name)
    xp, arrays = float_arrays(**{name: X})
    array: Array = arrays[0]
    return array.dtype, xp.astype(array, xp.float64, copy=False)


def _refuse_kind(dtype: Any, name: str = "X") -> None:
    """Refuse a dtype that holds no real numbers."""
    if dtype.kind == "c":
        raise ValueError(f"Complex data not supported: `{name}` has dtype {dtype}")
    raise ArgumentTypeError(message(name, "an array of real numbers", f"dtype {dtype}"))


def _largest(name: str, X: Array) -> float:
    """Largest magnitude of finite entries."""
    try:
        low, high = check_values(name, X, squared=True)
    except ValueError as error:
        xp = array_namespace(X)
        if bool(xp.all(xp.isfinite(X))):
            raise
        raise ValueError(f"{name} contains NaN or infinity: {error}") from error
    return max(abs(low), abs(high))


def _power_of_two(value: float) -> float:
    """The power of two above a positive value; 1 for zero."""
    return 2.0 ** math.frexp(value)[1] if value > 0 else 1.0
