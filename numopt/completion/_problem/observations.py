# SPDX-License-Identifier: BSD-3-Clause
"""The known entries of a matrix, kept by rows and by columns."""

import dataclasses
from typing import Any, cast

import numpy as np

from numopt._array.namespace import (
    array_namespace,
    device,
    is_array,
    namespace_key,
    to_numpy,
)
from numopt._array.sparse import is_sparse
from numopt._validation import (
    check_choice,
    check_int,
    check_present,
    check_values,
    float_arrays,
    message,
)
from numopt.completion._kernels.ingest import group_entries
from numopt.exceptions import ArgumentTypeError
from numopt.typing import Array, Namespace

__all__ = ["Observations", "Side", "observations"]

#: Largest number that 32-bit indices can hold.
INT32_MAX = np.iinfo(np.int32).max


@dataclasses.dataclass(frozen=True)
class Side:
    """The observations of one side (all rows, or all columns), line after line.

    ``indptr`` (lines + 1,) int64; ``indices`` (N,) int32 or int64, the lines of the
    other side in increasing order; ``values`` (N,); ``weights`` (N,) or (0,) when all
    weights are 1; ``order`` (N,) position of each entry in row-major order.
    """

    indptr: Array
    indices: Array
    values: Array
    weights: Array
    order: Array | None

    @property
    def n_lines(self) -> int:
        """Number of lines."""
        return self.indptr.shape[0] - 1

    @property
    def counts(self) -> Array:
        """Number of observations of each line, int64."""
        return self.indptr[1:] - self.indptr[:-1]

    def line_ids(self) -> Array:
        """Line of each observation, in the dtype of ``indices``."""
        return _line_ids(self.indptr, self.indices)

    def only(self, kept: np.ndarray) -> "Side":
        """Return the side with the lines outside a host mask emptied."""
        xp, where = array_namespace(self.values), device(self.values)
        counts = to_numpy(self.counts)
        places = xp.asarray(np.flatnonzero(np.repeat(kept, counts)), device=where)
        starts = np.concatenate([[0], np.cumsum(np.where(kept, counts, 0))])
        indices, values = (xp.take(a, places) for a in (self.indices, self.values))
        weights = self.weights
        weights = xp.take(weights, places) if weights.shape[0] else weights
        return Side(xp.asarray(starts, device=where), indices, values, weights, None)


@dataclasses.dataclass(frozen=True)
class Arrangement:
    """How observations as given became entries: in the order they were applied.

    ``kept`` are the positions of positive weight among ``n``, ``order`` sorts those,
    ``group`` is the entry of each one sorted; None leaves everything as it is.
    """

    n: int
    kept: Array | None
    order: Array | None
    group: Array | None

    def spread(self, mask: np.ndarray) -> np.ndarray:
        """Host mask of the entries, at the observations as given."""
        if self.group is not None:
            mask = mask[to_numpy(self.group)]
        if self.order is not None:
            given = np.empty_like(mask)
            given[to_numpy(self.order)] = mask
            mask = given
        if self.kept is not None:
            every = np.zeros(self.n, np.bool_)
            every[to_numpy(self.kept)] = mask
            mask = every
        return mask


@dataclasses.dataclass(frozen=True)
class Observations:
    """Validated known entries of an (m, n) matrix.

    Attributes
    ----------
    shape : tuple of int
    by_row, by_col : Side
        The same entries in row-major and in column-major order.
    given : Arrangement or None
        How the observations came; None for a part of others.
    full : bool
        Whether every entry is observed with weight 1.
    """

    shape: tuple[int, int]
    by_row: Side
    by_col: Side
    given: Arrangement | None
    full: bool

    @property
    def xp(self) -> Namespace:
        """Array namespace of the data."""
        return array_namespace(self.by_row.values)

    @property
    def n_observed(self) -> int:
        """Number N of distinct observed entries."""
        return self.by_row.values.shape[0]

    @property
    def weighted(self) -> bool:
        """Whether weights differ from 1."""
        return self.by_row.weights.shape[0] > 0

    def with_values(
        self, values: Array, weights: Array | None = None
    ) -> "Observations":
        """Return the same pattern with other values (and weights), row-major order."""
        xp = self.xp
        weights = self.by_row.weights if weights is None else weights
        order = self.by_col.order
        return dataclasses.replace(
            self,
            by_row=dataclasses.replace(self.by_row, values=values, weights=weights),
            by_col=dataclasses.replace(
                self.by_col,
                values=xp.take(values, order),
                weights=xp.take(weights, order) if weights.shape[0] else weights,
            ),
            full=self.full and weights.shape[0] == 0,
        )

    def shifted(self, by: float) -> "Observations":
        """Return the observations with ``by`` subtracted from every value."""
        by_row, by_col = (
            dataclasses.replace(side, values=side.values - by)
            for side in (self.by_row, self.by_col)
        )
        return dataclasses.replace(self, by_row=by_row, by_col=by_col)

    def subset(self, kept: np.ndarray) -> "Observations":
        """Return the observations where the row-major host mask ``kept`` is true."""
        xp = self.xp
        keep = self.entries(kept)
        rows = xp.take(self.by_row.line_ids(), keep)
        cols = xp.take(self.by_row.indices, keep)
        values = xp.take(self.by_row.values, keep)
        weights = self.by_row.weights
        weights = xp.take(weights, keep) if self.weighted else weights
        return _assemble(rows, cols, values, weights, self.shape)

    def entries(self, mask: np.ndarray) -> Array:
        """Row-major positions where a host mask is true, beside the data."""
        where = device(self.by_row.values)
        return self.xp.asarray(np.flatnonzero(mask), device=where)

    def weighted_mean(self) -> float:
        """Return the weighted mean of the observed values."""
        xp, v, w = self.xp, self.by_row.values, self.by_row.weights
        if not self.weighted:
            return float(to_numpy(xp.mean(xp.astype(v, xp.float64))))
        w = xp.astype(w, xp.float64)
        return float(to_numpy(xp.sum(w * v) / xp.sum(w)))


def observations(
    X: Any,
    *,
    shape: Any = None,
    weights: Any = None,
    duplicates: str = "mean",
    name: str = "X",
) -> Observations:
    """Validate a dense array, a sparse matrix or ``(rows, cols, values)``."""
    check_choice("duplicates", duplicates, ("mean", "raise"))
    if isinstance(X, Observations):
        return X
    if isinstance(X, tuple) and len(X) == 3:
        entries = _from_triplets(X, shape, weights, name)
    elif is_sparse(X):
        entries = _from_sparse(X, shape, weights, name)
    else:
        entries = _from_dense(X, shape, weights, name)
    return _observations_of(*entries, duplicates=duplicates, name=name)


def _observations_of(
    rows: Array,
    cols: Array,
    values: Array,
    weights: Array | None,
    size: tuple[int, int],
    *,
    duplicates: str,
    name: str,
) -> Observations:
    """Sort, merge and check entries."""
    xp = array_namespace(values)
    if rows.shape[0] == 0:
        raise ValueError(message(name, "observed somewhere", "no observed entry"))
    if not bool(to_numpy(xp.all(xp.isfinite(values)))):
        bad = to_numpy(xp.isnan(values)).any()
        kind = "NaN" if bad else "infinite"
        raise ValueError(f"`{name}` holds {kind} values in observed entries")
    check_values(name, values, squared=True)
    keep, kept = None, rows.shape[0]
    if weights is None:
        weights = values[:0]
    else:
        weights = xp.astype(weights, values.dtype)
        keep, rows, cols, values, weights = _drop_unweighted(
            rows, cols, values, weights
        )
    found, order = _sorted(rows, cols, values, weights, size)
    found, group = _merge_duplicates(found, duplicates, name)
    return dataclasses.replace(found, given=Arrangement(kept, keep, order, group))


def _drop_unweighted(
    rows: Array, cols: Array, values: Array, weights: Array
) -> tuple[Any, ...]:
    """Check weights; remove entries of weight 0, keep the positions of the others."""
    xp = array_namespace(values)
    low = float(to_numpy(xp.min(weights)))
    if not bool(to_numpy(xp.all(xp.isfinite(weights)))) or low < 0:
        host = to_numpy(weights)
        bad = host[~np.isfinite(host) | (host < 0)][0]
        raise ValueError(message("weights", "finite and non-negative", bad))
    if low > 0:
        return None, rows, cols, values, weights
    keep = _places(weights > 0)
    if keep.shape[0] == 0:
        raise ValueError(message("weights", "positive somewhere", "all zero"))
    return (keep, *(xp.take(a, keep) for a in (rows, cols, values, weights)))


def _sorted(
    rows: Array, cols: Array, values: Array, weights: Array, size: tuple[int, int]
) -> tuple[Observations, Array | None]:
    """Bring entries into row-major order; the order is None when they had it."""
    xp = array_namespace(values)
    if _in_order(xp, rows, cols):
        return _assemble(rows, cols, values, weights, size), None
    order = xp.empty((0,), dtype=_tag_dtype(values), device=device(values))
    starts, rows, values, weights, order = group_entries(
        cols, rows, values, weights, order, size[1]
    )
    starts, cols, values, weights, order = group_entries(
        rows, _line_ids(starts, rows), values, weights, order, size[0]
    )
    rows = _line_ids(starts, cols)
    return _assemble(rows, cols, values, weights, size, starts), order


def _tag_dtype(values: Array) -> Any:
    """Integers that can number the entries."""
    xp = array_namespace(values)
    return xp.int32 if values.shape[0] < INT32_MAX else xp.int64


def _line_ids(starts: Array, like: Array) -> Array:
    """Line of each entry from the starts of the lines, in the dtype of ``like``."""
    xp, lines = array_namespace(starts), starts.shape[0] - 1
    if namespace_key(xp) == "numpy":
        return xp.repeat(xp.arange(lines, dtype=like.dtype), starts[1:] - starts[:-1])
    # The length of a repetition by an array is not known in advance everywhere.
    places = xp.arange(like.shape[0], dtype=xp.int64, device=device(like))
    found = xp.searchsorted(starts, places, side="right") - 1
    return xp.astype(found, like.dtype)


def _places(mask: Array) -> Array:
    """Positions of the true entries; the host counts them, as their number is data."""
    xp = array_namespace(mask)
    return xp.asarray(np.flatnonzero(to_numpy(mask)), device=device(mask))


def _in_order(xp: Namespace, rows: Array, cols: Array) -> bool:
    """Whether entries are in row-major order."""
    before, after = slice(None, -1), slice(1, None)
    rises = rows[after] > rows[before]
    ties = (rows[after] == rows[before]) & (cols[after] >= cols[before])
    return bool(to_numpy(xp.all(rises | ties)))


def _assemble(
    rows: Array,
    cols: Array,
    values: Array,
    weights: Array,
    size: tuple[int, int],
    row_starts: Array | None = None,
) -> Observations:
    """Build both sides from entries in row-major order."""
    xp = array_namespace(values)
    where = device(values)
    if row_starts is None:
        lines = xp.arange(size[0] + 1, dtype=rows.dtype, device=where)
        row_starts = xp.astype(xp.searchsorted(rows, lines), xp.int64)
    by_row = Side(row_starts, cols, values, weights, None)
    tags = xp.empty((0,), dtype=_tag_dtype(values), device=where)
    by_col = Side(*group_entries(cols, rows, values, weights, tags, size[1]))
    full = values.shape[0] == size[0] * size[1] and weights.shape[0] == 0
    return Observations(size, by_row, by_col, None, full)


def _merge_duplicates(
    found: Observations, duplicates: str, name: str
) -> tuple[Observations, Array | None]:
    """Average repeated entries with their weights, which add up."""
    xp = found.xp
    rows, cols = found.by_row.line_ids(), found.by_row.indices
    same = (rows[1:] == rows[:-1]) & (cols[1:] == cols[:-1])
    repeated = int(to_numpy(xp.count_nonzero(same)))
    if not repeated:
        return found, None
    if duplicates == "raise":
        first = int(to_numpy(xp.argmax(xp.astype(same, xp.int8))))
        i, j = int(to_numpy(rows[first])), int(to_numpy(cols[first]))
        raise ValueError(f"`{name}` holds entry ({i}, {j}) more than once")
    where = device(rows)
    start = xp.concat([xp.ones((1,), dtype=xp.bool, device=where), ~same])
    group = xp.cumulative_sum(xp.astype(start, xp.int64)) - 1
    values = found.by_row.values
    w = found.by_row.weights if found.weighted else xp.ones_like(values)
    bounds = _places(start)
    total = _run_sums(xp, w, bounds)
    mean = _run_sums(xp, w * values, bounds) / total
    dtype = values.dtype
    merged = _assemble(
        xp.take(rows, bounds),
        xp.take(cols, bounds),
        xp.astype(mean, dtype),
        xp.astype(total, dtype),
        found.shape,
    )
    return merged, group


def _run_sums(xp: Namespace, x: Array, starts: Array) -> Array:
    """Sums of consecutive runs, accumulated in float64."""
    running = xp.cumulative_sum(xp.astype(x, xp.float64), include_initial=True)
    ends = xp.concat([starts[1:], xp.full_like(starts[:1], x.shape[0])])
    return xp.take(running, ends) - xp.take(running, starts)


def _from_triplets(
    X: tuple[Any, Any, Any], shape: Any, weights: Any, name: str
) -> tuple[Any, ...]:
    """Checked entries of index and value arrays."""
    rows, cols, values = X
    xp, arrays = float_arrays(**{f"{name}[2]": values, "weights": weights})
    values, weights = cast("list[Any]", arrays)
    for part, a in (("values", values), ("weights", weights)):
        if a is not None and a.ndim != 1:
            raise ValueError(message(part, "1-D", f"shape {tuple(a.shape)}"))
    where = device(values)
    lines = [
        _index_array(xp, "rows", rows, values.shape[0], where),
        _index_array(xp, "cols", cols, values.shape[0], where),
    ]
    if weights is not None and weights.shape != values.shape:
        raise ValueError(
            message("weights", f"of shape {tuple(values.shape)}", f"{weights.shape}")
        )
    if values.shape[0] == 0:
        raise ValueError(message(name, "observed somewhere", "no observed entry"))
    tops = [int(to_numpy(xp.max(a))) for a in lines]
    size = tuple(t + 1 for t in tops) if shape is None else _check_size(shape)
    for part, a, top, extent in zip(("rows", "cols"), lines, tops, size, strict=True):
        low = int(to_numpy(xp.min(a)))
        if low < 0 or top >= extent:
            bad = low if low < 0 else top
            raise ValueError(message(part, f"indices in 0..{extent - 1}", bad))
    small = max(size) < INT32_MAX
    index = xp.int32 if small else xp.int64
    rows, cols = (xp.astype(a, index, copy=False) for a in lines)
    return rows, cols, values, weights, size


def _index_array(xp: Namespace, name: str, x: Any, n: int, where: Any) -> Array:
    """Integral indices of length n as an integer array."""
    a = x if is_array(x) else xp.asarray(np.asarray(x), device=where)
    if a.ndim != 1 or a.shape[0] != n:
        raise ValueError(message(name, f"of length {n}", f"shape {tuple(a.shape)}"))
    if xp.isdtype(a.dtype, "integral"):
        return a
    if xp.isdtype(a.dtype, "real floating"):
        whole = xp.astype(xp.where(xp.isfinite(a), a, xp.zeros_like(a)), xp.int64)
        if bool(to_numpy(xp.all(xp.astype(whole, a.dtype) == a))):
            return whole
        host = to_numpy(a)
        raise ValueError(message(name, "integers", host[host != np.floor(host)][0]))
    raise ArgumentTypeError(message(name, "integers", f"dtype {a.dtype}"))


def _check_size(shape: Any) -> tuple[int, int]:
    """A pair of positive extents."""
    if not isinstance(shape, tuple | list) or len(shape) != 2:
        raise ValueError(message("shape", "a pair (m, n)", repr(shape)))
    m, n = (check_int("shape", extent, low=1) for extent in shape)
    return m, n


def _from_sparse(X: Any, shape: Any, weights: Any, name: str) -> tuple[Any, ...]:
    """Stored entries of a sparse matrix."""
    from scipy.sparse import coo_array

    A = X.to_scipy() if hasattr(X, "to_scipy") else X
    _refuse_shape(shape, A.shape)
    coo = coo_array(A)
    if weights is not None:
        weights = _sparse_weights(weights, coo)
    rows, cols = coo.coords
    return _from_triplets((rows, cols, coo.data), coo.shape, weights, name)


def _sparse_weights(weights: Any, coo: Any) -> Any:
    """Weights of the stored entries: an array of their number, or an (m, n) array."""
    w = np.asarray(weights)
    if w.ndim == 2:
        if w.shape != coo.shape:
            raise ValueError(
                message("weights", f"of shape {coo.shape}", f"shape {w.shape}")
            )
        return w[coo.coords]
    return w


def _refuse_shape(shape: Any, actual: tuple[int, ...]) -> None:
    """A matrix brings its own shape."""
    if shape is not None and tuple(shape) != tuple(actual):
        raise ValueError(
            message("shape", f"None or that of the matrix, {tuple(actual)}", shape)
        )


def _from_dense(X: Any, shape: Any, weights: Any, name: str) -> tuple[Any, ...]:
    """Entries of a table that are not NaN."""
    xp, (X, W) = float_arrays(**{name: X, "weights": weights})
    check_present(name, X)
    if X.ndim != 2:
        raise ValueError(
            message(name, "2-D, sparse or (rows, cols, values)", f"shape {X.shape}")
        )
    if 0 in X.shape:
        raise ValueError(message(name, "non-empty", f"shape {tuple(X.shape)}"))
    _refuse_shape(shape, X.shape)
    m, n = X.shape
    flat = xp.reshape(X, (-1,))
    seen = _places(~xp.isnan(flat))
    values = xp.take(flat, seen)
    if W is not None:
        if tuple(W.shape) == (m, n):
            W = xp.take(xp.reshape(W, (-1,)), seen)
        elif tuple(W.shape) != tuple(values.shape):
            raise ValueError(
                message("weights", f"of shape {(m, n)}", f"shape {tuple(W.shape)}")
            )
    index = xp.int32 if max(m, n) < INT32_MAX else xp.int64
    rows, cols = xp.astype(seen // n, index), xp.astype(seen % n, index)
    return rows, cols, values, W, (m, n)
