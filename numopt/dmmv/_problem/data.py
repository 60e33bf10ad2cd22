# SPDX-License-Identifier: BSD-3-Clause
"""The validated problem: rows, intervals, weights; its violation at a point."""

import dataclasses
from typing import Any

import numpy as np
import scipy.sparse as sp

from numopt import _validation as v
from numopt._array.namespace import is_array, namespace_key, to_numpy
from numopt._array.sparse import is_sparse
from numopt.dmmv._problem.levels import Levels
from numopt.exceptions import ArgumentTypeError

__all__ = ["SENSES", "MinMaxProblem", "check_matrix", "row_intervals", "row_weights"]

SENSES = ("abs", "le", "ge", "interval")


@dataclasses.dataclass(frozen=True, slots=True)
class MinMaxProblem:
    """Minimise ``max_i w_i max((Ax)_i - u_i, l_i - (Ax)_i, 0)`` over level sets."""

    A: Any
    lower: np.ndarray
    upper: np.ndarray
    weights: np.ndarray
    levels: Levels

    @classmethod
    def from_arrays(
        cls, A: Any, b: Any, levels: Any, *, weights: Any = None, sense: Any = "abs"
    ) -> "MinMaxProblem":
        """Validate the data of ``minimize_max_violation``."""
        A = check_matrix(A)
        m, n = A.shape
        lower, upper = row_intervals(b, sense, m)
        return cls(A, lower, upper, row_weights(weights, m), Levels.parse(levels, n))

    @property
    def n(self) -> int:
        """Number of variables."""
        return self.A.shape[1]

    def distances(self, x: np.ndarray) -> np.ndarray:
        """Return the signed distances of ``Ax`` to the intervals, 0 inside."""
        return signed_distance(self.A @ x, self.lower, self.upper)

    def violation(self, x: np.ndarray) -> float:
        """Return the weighted worst violation, recomputed from ``x`` in float64."""
        if self.weights.size == 0:
            return 0.0
        return float(np.max(self.weights * np.abs(self.distances(x))))


def signed_distance(y: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """Return y - u above the interval, y - l below it, 0 inside."""
    above = np.maximum(y - upper, 0.0)
    return above - np.maximum(lower - y, 0.0)


def check_matrix(A: Any, name: str = "A") -> Any:
    """Return a float64 ndarray or csc_array; neither shares write access."""
    if is_sparse(A):
        A = A.to_scipy() if hasattr(A, "to_scipy") else A
        if A.dtype.kind not in "fiu":
            raise ArgumentTypeError(_wrong_kind(name, A.dtype))
        A = sp.csc_array(A, dtype=np.float64)
        A.sum_duplicates()
        entries = A.data
    else:
        A = host_array(name, A)
        entries = A
    if A.ndim != 2:
        raise ValueError(v.message(name, "2-D", f"shape {A.shape}"))
    if A.shape[1] == 0:
        raise ValueError(v.message(name, "of at least one column", f"shape {A.shape}"))
    if not np.all(np.isfinite(entries)):
        bad = entries[~np.isfinite(entries)][0]
        where = "" if is_sparse(A) else f" at {tuple(np.argwhere(~np.isfinite(A))[0])}"
        raise ValueError(v.message(name, "finite", f"{bad}{where}"))
    return A


def host_array(name: str, x: Any) -> np.ndarray:
    """Return real host data as float64; device arrays, bool and text are refused."""
    if is_array(x):
        from numopt._array.namespace import array_namespace

        key = namespace_key(array_namespace(x))
        if key != "numpy":
            raise ArgumentTypeError(
                f"`{name}` must be a NumPy array or a SciPy sparse matrix here, got an "
                "array of another library; `minimize_max_violation_batch` takes those"
            )
        x = to_numpy(x)
    if is_sparse(x):
        raise ArgumentTypeError(v.message(name, "a dense array", "a sparse matrix"))
    host = np.asarray(x)
    if host.dtype.kind not in "fiu":
        raise ArgumentTypeError(_wrong_kind(name, host.dtype))
    return host.astype(np.float64)


def _wrong_kind(name: str, dtype: Any) -> str:
    hint = ""
    if np.dtype(dtype).kind == "c":
        hint = (
            "; `minimize_max_violation_general` with `complex_polygon` takes "
            "complex rows"
        )
    return v.message(name, "an array of real numbers", f"dtype {dtype}") + hint


def row_weights(weights: Any, m: int) -> np.ndarray:
    """Return validated weights (m,); None means 1."""
    if weights is None:
        return np.ones(m)
    w = host_array("weights", weights)
    w = np.full(m, float(w)) if w.ndim == 0 else w
    v.check_shape("weights", w, (m,), why="as `A` has rows")
    v.check_values("weights", w, nonnegative=True)
    return w


def row_intervals(b: Any, sense: Any, m: int) -> tuple[np.ndarray, np.ndarray]:
    """Return lower and upper ends (m,) of the intervals that ``sense`` makes of b."""
    if isinstance(sense, str):
        v.check_choice("sense", sense, SENSES)
        if sense == "interval":
            return _given_interval(b, m)
        words = np.full(m, sense)
    else:
        words = np.asarray(sense)
        if words.shape != (m,):
            raise ValueError(
                v.message("sense", f"a word or one a row ({m})", f"{words.shape}")
            )
        for word in words:
            v.check_choice("sense", str(word), SENSES)
        if np.any(words == "interval"):
            lower, upper = _given_interval(b, m)
            lower = np.where(words == "le", -np.inf, lower)
            upper = np.where(words == "ge", np.inf, upper)
            if np.any((words == "abs") & (lower != upper)):
                raise ValueError(
                    v.message("b", "l = u on rows of sense 'abs'", "l < u")
                )
            return lower, upper
    target = host_array("b", b)
    v.check_shape("b", target, (m,), why="as `A` has rows")
    if np.any(np.isnan(target)):
        raise ValueError(v.message("b", "free of NaN", "nan"))
    endless = np.isinf(target) & (words == "abs")
    if np.any(endless):
        i = int(np.argmax(endless))
        raise ValueError(
            v.message("b", "finite where sense is 'abs'", f"{target[i]} at index {i}")
        )
    lower = np.where(words == "le", -np.inf, target)
    upper = np.where(words == "ge", np.inf, target)
    wrong = (lower == np.inf) | (upper == -np.inf)
    if np.any(wrong):
        i = int(np.argmax(wrong))
        raise ValueError(v.message("b", "satisfiable", f"{target[i]} at index {i}"))
    return lower, upper


def _given_interval(b: Any, m: int) -> tuple[np.ndarray, np.ndarray]:
    if not isinstance(b, tuple | list) or len(b) != 2:
        raise ValueError(
            v.message("b", "a pair (l, u) when sense is 'interval'", type(b).__name__)
        )
    ends = []
    for name, end in zip(("b[0]", "b[1]"), b, strict=True):
        x = host_array(name, end)
        x = np.full(m, float(x)) if x.ndim == 0 else x
        v.check_shape(name, x, (m,), why="as `A` has rows")
        if np.any(np.isnan(x)):
            raise ValueError(v.message(name, "free of NaN", "nan"))
        ends.append(x)
    lower, upper = ends
    wrong = (lower > upper) | (lower == np.inf) | (upper == -np.inf)
    if np.any(wrong):
        i = int(np.argmax(wrong))
        raise ValueError(
            v.message("b", "l <= u", f"l={lower[i]}, u={upper[i]} at index {i}")
        )
    return lower, upper
