# SPDX-License-Identifier: BSD-3-Clause
"""Solve squares on the stored columns: by descent on the columns, then by their Gram.

Descent on columns needs no Gram matrix, but its passes cost more. It runs until it has
cost as much as the Gram matrix would, which is at most twice the better choice; then
the columns that it left in use get a Gram matrix. Where there are more columns than a
support can hold, a few passes sort out those that need none.
"""

import dataclasses

import numpy as np

from numopt._array.namespace import numpy_namespace
from numopt.coordinate._kernels.descent import find_near
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
RATE, CACHE, FAR_RATE = 4.0, 4e6, 20.0
#: Columns beyond this share of the rows are sorted out before they get a Gram matrix,
#: unless they are few.
MANY, FEW = 0.5, 32
#: Most epochs on a Gram matrix in single precision.
ROUGH_EPOCHS = 300


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class StoredProblem:
    """What the stored columns are to minimise, unscaled.

    ``terms`` are those of the stored columns times the sum of weights, ``targets`` is
    the squared norm of the targets and ``target`` the absolute gap to reach.
    """

    terms: ScalarTerms
    targets: float
    target: float

    def near(self, w: np.ndarray, slope: np.ndarray) -> np.ndarray:
        """Columns in use or near their threshold; ``slope`` without ridge.

        The others keep their zeros: the next pass over the design sees if one is
        wanted.
        """
        run = find_near.for_namespace(numpy_namespace)
        return np.asarray(run(w, slope, self.terms.l1, NEAR))

    def part(self, index: np.ndarray) -> "StoredProblem":
        """The problem of some of the columns."""
        terms = ScalarTerms(*(term[index] for term in self.terms))
        return dataclasses.replace(self, terms=terms)


def solve_stored(
    problem: StoredProblem, cache: GramCache, residual: np.ndarray, slope: np.ndarray
) -> int:
    """Minimise over the stored columns, writing ``cache.w``; returns the epochs.

    ``residual`` are the weighted targets minus the prediction, ``slope`` minus its
    product with the stored columns.
    """
    m, g = cache.size, cache.gram_size
    near = problem.near(cache.w[:m], slope)
    passes = _affordable(cache, near.size)
    if m == g or passes < CYCLE:
        cache.promote()
        return _minimise_gram(problem, cache, near, residual, slope)
    residual, slope = residual.copy(), slope.copy()
    assert cache.columns is not None
    gap, epochs = minimise_columns(
        cache.columns,
        near,
        cache.w[:m],
        residual,
        slope,
        cache.squares,
        cache.c,
        *(problem.terms.l2, problem.terms.l1),
        *(problem.terms.lower, problem.terms.upper),
        targets=problem.targets,
        target=problem.target,
        max_epochs=passes,
    )
    cache.passes += epochs
    if gap <= problem.target:
        return epochs
    near = problem.near(cache.w[:m], slope)
    kept = np.concatenate((np.arange(g), near[near >= g]))
    cache.promote(kept)
    cache.passes = 0
    slope = -(cache.columns[:, : kept.size].T @ residual)
    problem = problem.part(kept)
    near = problem.near(cache.w[: kept.size], slope)
    return epochs + _minimise_gram(problem, cache, near, residual, slope)


def _affordable(cache: GramCache, used: int) -> int:
    """How many passes over the columns in use the Gram matrix of the rest costs."""
    g, m = cache.gram_size, cache.size
    n = cache.data.shape[0]
    rate = RATE if 8.0 * n * used < CACHE else FAR_RATE
    passes = int((m - g) * (m + g) / (2.0 * rate * max(used, 1))) - cache.passes
    return max(passes, CYCLE) if m > MANY * n and m - g > FEW else passes


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
    problem: StoredProblem,
    cache: GramCache,
    near: np.ndarray,
    residual: np.ndarray,
    slope: np.ndarray,
) -> int:
    """The compiled solver on the Gram matrix, or on the part of it that is near."""
    m = cache.size
    cache.set_ridge(problem.terms.l2)
    w, G, factor = cache.w[:m], cache.G, cache.factor
    q = slope + cache.ridge[:m] * w
    squares, c = _expansion(problem, cache, residual, q)
    some = m >= LARGE and near.size <= FEWER * m
    if some:
        position = np.full(m, -1)
        position[near] = np.arange(near.size)
        factor = factor.renamed(position, near.size)
        G = G[:m].take(near, 0).take(near, 1)
        w, q, c, problem = w[near], q[near], c[near], problem.part(near)
    _, epochs = minimise_gram(
        G,
        w,
        q,
        c,
        *(problem.terms.l1, problem.terms.lower, problem.terms.upper),
        squares=squares,
        target=problem.target,
        # Rounding may have left a rough matrix indefinite: descent would not end.
        max_epochs=ROUGH_EPOCHS if cache.rough else MAX_EPOCHS,
        factor=factor,
    )
    if some:
        cache.w[near] = w
        cache.factor = factor.renamed(near, cache.factor.inside.size)
    return epochs
