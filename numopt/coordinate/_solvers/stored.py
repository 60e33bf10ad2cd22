# SPDX-License-Identifier: BSD-3-Clause
"""Solve squares on the stored columns: by descent on the columns, then by their Gram.

Descent on columns needs no Gram matrix, but its passes cost more. It runs until it has
cost as much as the Gram matrix would, which is at most twice the better choice; then
the columns that it left in use get a Gram matrix. Where there are more columns than a
support can hold, a few passes sort out those that need none.
"""

import dataclasses

import numpy as np

from numopt.coordinate._problem.groups import ScalarTerms
from numopt.coordinate._solvers.columns import GramCache
from numopt.coordinate._solvers.inner import (
    MAX_EPOCHS,
    minimise_columns,
    minimise_gram,
)

__all__ = ["StoredProblem", "solve_stored"]

#: Columns whose slope is below this share of their threshold sit out, where at least
#: so many columns are stored and at most this share of them takes part.
NEAR, LARGE, FEWER = 0.85, 256, 0.8
#: A cycle of passes over columns.
CYCLE = 6
#: Time of a multiply-add in a pass relative to one in a matrix product, for columns
#: within the cache of a processor (bytes), and beyond.
RATE, CACHE, FAR_RATE = 8.0, 4e6, 40.0
#: Columns beyond this share of the rows are sorted out before they get a Gram matrix,
#: unless they are few.
MANY, FEW = 0.5, 32
#: Most epochs on a Gram matrix in single precision.
ROUGH_EPOCHS = 300


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class StoredProblem:
    """What the stored columns are to minimise, unscaled.

    ``terms`` are those of all coordinates times the sum of weights, ``targets`` is the
    squared norm of the targets and ``target`` the absolute gap to reach.
    """

    terms: ScalarTerms
    targets: float
    target: float

    def of(self, index: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """L1 terms and bounds of some coordinates."""
        terms = self.terms
        return terms.l1[index], terms.lower[index], terms.upper[index]

    def near(self, index: np.ndarray, w: np.ndarray, slope: np.ndarray) -> np.ndarray:
        """Which columns are in use or near their threshold; ``slope`` without ridge.

        The others keep their zeros: the next pass over the design sees if one is
        wanted.
        """
        return (np.abs(slope) >= NEAR * self.terms.l1[index]) | (w != 0)


def solve_stored(
    problem: StoredProblem, cache: GramCache, residual: np.ndarray, slope: np.ndarray
) -> int:
    """Minimise over the stored columns, writing ``cache.w``; returns the epochs.

    ``residual`` are the weighted targets minus the prediction, ``slope`` minus its
    product with the stored columns.
    """
    epochs = 0
    passes = _affordable(problem, cache, slope)
    if passes < CYCLE:
        cache.promote()
    if cache.size > cache.gram_size:
        residual, slope = residual.copy(), slope.copy()
        done, epochs = _descend(problem, cache, residual, slope, passes)
        if done:
            return epochs
        g = cache.gram_size
        loose = slice(g, cache.size)
        keep = problem.near(cache.index[loose], cache.w[loose], slope[loose])
        cache.promote(keep)
        cache.passes = 0
        assert cache.columns is not None
        slope = -(cache.columns[:, : cache.size].T @ residual)
    cache.set_ridge(problem.terms.l2[cache.index])
    return epochs + _minimise_gram(problem, cache, residual, slope)


def _affordable(problem: StoredProblem, cache: GramCache, slope: np.ndarray) -> int:
    """How many passes over the columns in use the Gram matrix of the rest costs."""
    g, m = cache.gram_size, cache.size
    if m == g:
        return 0
    n = cache.data.shape[0]
    used = int(np.sum(problem.near(cache.index, cache.w[:m], slope)))
    rate = RATE if 8.0 * n * used < CACHE else FAR_RATE
    passes = int((m - g) * (m + g) / (2.0 * rate * max(used, 1))) - cache.passes
    return max(passes, CYCLE) if m > MANY * n and m - g > FEW else passes


def _descend(
    problem: StoredProblem,
    cache: GramCache,
    residual: np.ndarray,
    slope: np.ndarray,
    passes: int,
) -> tuple[bool, int]:
    """Descent on columns: updates all arguments, returns (gap reached, epochs)."""
    w = cache.w[: cache.size]
    part = np.flatnonzero(problem.near(cache.index, w, slope))
    index, own = cache.index[part], w[part]
    ridge = problem.terms.l2[index]
    assert cache.columns is not None
    gap, epochs, slopes = minimise_columns(
        cache.columns,
        part,
        own,
        residual,
        cache.squares[part],
        cache.c[part],
        ridge,
        *problem.of(index),
        targets=problem.targets,
        target=problem.target,
        max_epochs=passes,
    )
    cache.passes += epochs
    w[part] = own
    slope[part] = slopes - ridge * own
    return gap <= problem.target, epochs


def _expansion(
    problem: StoredProblem, cache: GramCache, residual: np.ndarray, q: np.ndarray
) -> tuple[float, np.ndarray]:
    """Constant and linear term of the squares, whose slopes at ``cache.w`` are q.

    A rough Gram matrix is expanded about the point where the slopes are exact: each
    pass over the design then is a step of iterative refinement.
    """
    if not cache.rough:
        return problem.targets, cache.c[: cache.size]
    w = cache.w[: cache.size]
    product = cache.G[: w.size, : w.size] @ w
    value = float(residual @ residual) + float(cache.ridge[: w.size] @ w**2)
    return value + float(w @ (product - 2.0 * q)), product - q


def _minimise_gram(
    problem: StoredProblem, cache: GramCache, residual: np.ndarray, slope: np.ndarray
) -> int:
    """The compiled solver on the Gram matrix, or on the part of it that is near."""
    m, index = cache.size, cache.index
    w = cache.w[:m]
    q = slope + cache.ridge[:m] * w
    squares, c = _expansion(problem, cache, residual, q)
    # Rounding may have left a rough matrix indefinite: then descent would not end.
    limit = ROUGH_EPOCHS if cache.rough else MAX_EPOCHS
    part = np.flatnonzero(problem.near(index, w, slope))
    if m < LARGE or part.size > FEWER * m:
        _, epochs = minimise_gram(
            cache.G,
            w,
            q,
            c,
            *problem.of(index),
            squares=squares,
            target=problem.target,
            max_epochs=limit,
            factor=cache.factor,
        )
        return epochs
    position = np.full(m, -1)
    position[part] = np.arange(part.size)
    factor = cache.factor.renamed(position, part.size)
    own = w[part]
    _, epochs = minimise_gram(
        cache.G[:m].take(part, 0).take(part, 1),
        own,
        q[part],
        c[part],
        *problem.of(index[part]),
        squares=squares,
        target=problem.target,
        max_epochs=limit,
        factor=factor,
    )
    w[part] = own
    cache.factor = factor.renamed(part, cache.factor.inside.size)
    return epochs
