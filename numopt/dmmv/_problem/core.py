# SPDX-License-Identifier: BSD-3-Clause
"""The scaled core of a problem: what the searches and bounds work on.

Weights are multiplied in, rows and columns that decide nothing are gone, variables are
counted in steps from a centre (the rounded least-squares solution), and all is divided
by the violation there, so that the core's violation at k = 0 is 1. Without the shift
and the scale, absolute tolerances of linear programming codes are as large as the
optimum of a 20-bit filter.
"""

import dataclasses
import math
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.linalg import lstsq
from scipy.sparse.linalg import lsqr

from numopt.dmmv._problem.data import MinMaxProblem, signed_distance

__all__ = ["FAR", "Core", "make_core"]

#: Stands for an absent end of an interval: finite, so that kernels may assume so.
FAR = 1e150
#: Sparse matrices of up to so many entries are searched as dense ones.
LARGEST_DENSE = 2_000_000


@dataclasses.dataclass(frozen=True, slots=True)
class Core:
    """Rows ``lower <= sum_j At[j] value_j(k_j) <= upper`` with unit weights.

    ``value_j(k) = k``, or ``table[j, k - k_low[j]]`` when level sets are uneven.
    Violations of the problem are ``scale`` times those of the core, at least ``floor``.
    """

    problem: MinMaxProblem
    At: Any
    lower: np.ndarray
    upper: np.ndarray
    k_low: np.ndarray
    k_high: np.ndarray
    table: np.ndarray
    columns: np.ndarray
    centre: np.ndarray
    scale: float
    floor: float

    @property
    def n(self) -> int:
        """Number of free variables."""
        return self.At.shape[0]

    @property
    def m(self) -> int:
        """Number of rows that count."""
        return self.At.shape[1]

    @property
    def sparse(self) -> bool:
        """Whether the matrix is kept sparse."""
        return not isinstance(self.At, np.ndarray)

    @property
    def even(self) -> bool:
        """Whether values are the indices themselves."""
        return self.table.shape[1] == 0

    def values(self, k: np.ndarray) -> np.ndarray:
        """Return the values (..., n) of indices (..., n)."""
        if self.even:
            return k.astype(np.float64)
        return self.table[np.arange(self.n), k - self.k_low]

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Return smallest and largest values."""
        return self.values(self.k_low), self.values(self.k_high)

    def response(self, k: np.ndarray) -> np.ndarray:
        """Return ``A x`` (..., m) of indices (..., n)."""
        return self.values(k) @ self.At

    def violations(self, k: np.ndarray) -> np.ndarray:
        """Return the worst violation of each row of indices (..., n)."""
        y = self.response(k)
        return np.max(np.maximum(y - self.upper, self.lower - y), axis=-1, initial=0.0)

    def nearest(self, x: np.ndarray) -> np.ndarray:
        """Return the indices of the values nearest to ``x`` (n,)."""
        if self.even:
            return np.clip(np.rint(x), self.k_low, self.k_high).astype(np.int64)
        index = np.argmin(np.abs(self.table - x[:, None]), axis=1)
        return index.astype(np.int64) + self.k_low

    def target(self) -> np.ndarray:
        """Return the middle, or the only end, of each interval."""
        return middle(self.lower, self.upper)

    def to_indices(self, k: np.ndarray) -> np.ndarray:
        """Return level indices of the problem."""
        full = self.centre.copy()
        full[self.columns] += k
        return full

    def from_indices(self, full: np.ndarray) -> np.ndarray:
        """Return core indices of level indices of the problem."""
        return (full - self.centre)[self.columns]

    def to_x(self, k: np.ndarray) -> np.ndarray:
        """Return the variables of the problem."""
        return self.problem.levels.values(self.to_indices(k))


def middle(lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """Return the middle, the only end, or 0."""
    low, high = np.abs(lower) < FAR, np.abs(upper) < FAR
    with np.errstate(invalid="ignore"):
        both = 0.5 * (lower + upper)
    one = np.where(high, upper, np.where(low, lower, 0.0))
    return np.where(low & high, both, one)


def make_core(problem: MinMaxProblem) -> Core:
    """Drop what decides nothing, then centre and scale."""
    A, levels = problem.A, problem.levels
    weights = problem.weights
    endless = np.isinf(problem.lower) & np.isinf(problem.upper)
    sizes = abs(A)
    filled_rows = np.asarray(sizes.sum(axis=1)).ravel() > 0
    constant = signed_distance(np.zeros(A.shape[0]), problem.lower, problem.upper)
    floor = np.max(
        weights * np.abs(constant), initial=0.0, where=(weights > 0) & ~filled_rows
    )
    counted = (weights > 0) & ~endless & filled_rows
    rows = np.flatnonzero(counted)
    filled_columns = np.asarray(sizes.T @ counted.astype(np.float64)).ravel() > 0
    columns = np.flatnonzero(filled_columns & (levels.count > 1))
    start = _centre(problem, rows, columns)
    x0 = levels.values(start)
    y0 = A @ x0
    scale = float(
        np.max(
            weights * np.abs(signed_distance(y0, problem.lower, problem.upper)),
            initial=0.0,
            where=filled_rows,
        )
    )
    scale = scale if scale > 0 else 1.0
    factor = weights[rows] / scale
    free = levels.take(columns)
    At = _scaled_rows(
        A, rows, columns, factor, free.step if free.table is None else None
    )
    return Core(
        problem=problem,
        At=At,
        lower=_far((problem.lower - y0)[rows] * factor, -FAR),
        upper=_far((problem.upper - y0)[rows] * factor, FAR),
        k_low=-start[columns],
        k_high=free.count - 1 - start[columns],
        table=_relative_table(free, start[columns]),
        columns=columns,
        centre=start,
        scale=scale,
        floor=float(floor),
    )


def _far(x: np.ndarray, replacement: float) -> np.ndarray:
    return np.ascontiguousarray(np.where(np.isfinite(x), x, replacement))


def _relative_table(free: Any, start: np.ndarray) -> np.ndarray:
    """Return levels relative to the centre; padding stays +inf."""
    if free.table is None:
        return np.zeros((free.n, 0))
    return np.ascontiguousarray(free.table - free.values(start)[:, None])


def _scaled_rows(
    A: Any, rows: np.ndarray, columns: np.ndarray, factor: np.ndarray, step: Any
) -> Any:
    """Return the transposed part of A in core units, dense rows or CSR."""
    step = np.ones(columns.size) if step is None else step
    if isinstance(A, np.ndarray):
        part = A[np.ix_(rows, columns)]
        return np.ascontiguousarray((part * factor[:, None] * step).T)
    part = sp.csr_array(A)[rows][:, columns]
    scaled = sp.diags_array(factor) @ part @ sp.diags_array(step)
    if math.prod(scaled.shape) <= LARGEST_DENSE:
        return np.ascontiguousarray(scaled.toarray().T)
    return sp.csr_array(scaled.T)


def _centre(
    problem: MinMaxProblem, rows: np.ndarray, columns: np.ndarray
) -> np.ndarray:
    """Return level indices nearest to the least-squares solution in the box."""
    levels = problem.levels
    start = levels.nearest(np.zeros(levels.n))
    if rows.size == 0 or columns.size == 0:
        return start
    low, high = levels.low, levels.high
    guess = levels.values(start)
    guess[columns] = 0.5 * (low + high)[columns]
    b = middle(problem.lower, problem.upper)[rows]
    weights = problem.weights[rows]
    if isinstance(problem.A, np.ndarray):
        part = problem.A[np.ix_(rows, columns)] * weights[:, None]
        rest = (b - problem.A[rows] @ guess) * weights
        change = lstsq(part, rest, lapack_driver="gelsy", cond=1e-14)[0]
    else:
        part = sp.diags_array(weights) @ sp.csr_array(problem.A)[rows][:, columns]
        rest = (b - (problem.A @ guess)[rows]) * weights
        change = lsqr(part, rest, iter_lim=200)[0]
    x = guess.copy()
    x[columns] = np.clip(guess[columns] + change, low[columns], high[columns])
    nearest = levels.nearest(x)
    start[columns] = nearest[columns]
    return start
