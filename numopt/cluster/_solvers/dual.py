# SPDX-License-Identifier: BSD-3-Clause
"""The clipped dual certificate: a multiplier per partition, a small eigenproblem."""

import dataclasses
import math

import numpy as np

from numopt._array.namespace import device, to_numpy
from numopt.cluster import _kernels
from numopt.cluster._problem import DenseRows, KMeansProblem, membership_columns
from numopt.cluster._solvers.spectral import EPS, eigenvalue_sum, leading_values
from numopt.typing import Array

__all__ = ["ClippedDual", "DualBound", "best_clipped_bound", "dense_bound"]

#: Above this order each cluster is paired with its nearest neighbours only.
LARGEST_ORDER = 1500
NEAREST_PAIRS = 16
CHUNK = 4096
#: Interval of lambda searched, in units of the norm of the within-cluster scatter.
SEARCH = (0.3, 12.0)
SEARCH_POINTS = 6
GOLDEN_STEPS = 10
#: Difference of two bounds, in units of what is missing, at which a search ends.
FLAT = 3e-3
GOLDEN = (math.sqrt(5) - 1) / 2


@dataclasses.dataclass(frozen=True, slots=True)
class DualBound:
    """A rigorous lower bound on the inertia, in scaled units; slack is included."""

    value: float
    slack: float
    lambda_: float
    dual: Array | None = None


def dense_bound(
    problem: KMeansProblem, G: Array, B: Array, n_clusters: int
) -> DualBound:
    """Return ``T - UB(B)`` for any symmetric nonnegative B, by dense algebra.

    ``UB(B) = 1^T(G+B)1/n`` plus the K-1 largest eigenvalues of ``J(G+B)J``.
    """
    xp, n = problem.xp, problem.n
    A = G + B
    mean = float(xp.sum(A)) / n
    slack = 4 * n * EPS * (abs(problem.total) + float(xp.linalg.matrix_norm(A)))
    bound = mean + eigenvalue_sum(A, n_clusters - 1, overwrite=True)
    return DualBound(problem.total - bound - slack, slack, math.nan)


class ClippedDual:
    """Bounds ``LB(lambda)`` of one partition without empty clusters.

    ``r_ib = max(0, (d_ib^2 - d_ia^2 - lambda (1/n_a + 1/n_b))/2)`` for i in a, b != a;
    ``B_ab = c_ab r_ab r_ba^T``. Without clipping this is the multiplier of the
    optimality system (Iguchi et al. 2017; Li et al. 2020); clipping keeps it
    nonnegative for every lambda, so the bound holds whatever lambda is.
    """

    def __init__(
        self, problem: KMeansProblem, labels: np.ndarray, n_clusters: int
    ) -> None:
        self.problem = problem
        self.n_clusters = n_clusters
        self.sizes = np.bincount(labels, minlength=n_clusters)
        self.sorting = np.argsort(labels, kind="stable")
        self.starts = np.concatenate([[0], np.cumsum(self.sizes)])
        xp = problem.xp
        margins = problem.margins(labels, n_clusters)
        index = xp.asarray(self.sorting, device=device(problem.like))
        margins = 0.5 * xp.take(margins, index, axis=0)
        self._xp = xp
        self._take_moments = _kernels.clipped_moments.for_namespace(xp)
        self._zero = xp.zeros((1,), dtype=margins.dtype, device=device(margins))
        self._others = self._pairs(labels)
        self._halves = [self._half_margins(margins, a) for a in range(n_clusters)]
        self.columns = [
            (a, int(b)) for a, others in enumerate(self._others) for b in others
        ]
        rows = problem.rows
        features = problem.n if rows is None else rows.shape[1]
        self.order = features + len(self.columns)
        self.low_rank = self.order < problem.n
        if not self.low_rank:
            self.order = problem.n
        self.scatter = self._scatter_norm(labels)
        self.gram: Array = None
        if self.low_rank:
            self._rows = problem.data.take(self.sorting)
            self._gram = to_numpy(problem.data.feature_gram())
        else:
            self.gram = problem.gram()

    def _half_margins(self, margins: Array, a: int) -> Array:
        """Half the margins of the rows of cluster a towards its partners."""
        rows = margins[int(self.starts[a]) : int(self.starts[a + 1]), :]
        others = self._xp.asarray(self._others[a], device=device(margins))
        return self._xp.take(rows, others, axis=1)

    def _pairs(self, labels: np.ndarray) -> list[np.ndarray]:
        """Return for every cluster the others it is paired with (symmetric)."""
        K = self.n_clusters
        rows = self.problem.rows
        if rows is None or rows.shape[1] + K * (K - 1) <= LARGEST_ORDER:
            return [np.delete(np.arange(K), a) for a in range(K)]
        means = to_numpy(self.problem.means(labels, K))
        near = np.zeros((K, K), bool)
        squares = np.sum(means**2, axis=1)
        for a in range(K):
            distances = squares - 2 * (means @ means[a])
            distances[a] = np.inf
            near[a, np.argsort(distances, kind="stable")[:NEAREST_PAIRS]] = True
        near |= near.T
        return [np.flatnonzero(near[a]) for a in range(K)]

    def _scatter_norm(self, labels: np.ndarray) -> float:
        """Largest eigenvalue of the within-cluster scatter (a scale, not a bound)."""
        xp, problem = self.problem.xp, self.problem
        if problem.rows is None:
            H = membership_columns(labels, self.n_clusters, problem.like)
            scale = xp.asarray(1 / np.sqrt(self.sizes), device=device(problem.like))
            H = H * scale[None, :]
            C = problem.similarity - H @ (xp.matrix_transpose(H) @ problem.similarity)
            C = C - (C @ H) @ xp.matrix_transpose(H)
            return float(np.linalg.norm(to_numpy(C), 2))
        means = problem.means(labels, self.n_clusters)
        if problem.rows.shape[1] > problem.n:
            # Any scale of the right size does; the trace is within a factor n of it.
            return problem.inertia(labels, self.n_clusters)
        sizes = xp.asarray(self.sizes * 1.0, device=device(problem.like))
        between = xp.matrix_transpose(means) @ (means * sizes[:, None])
        within = to_numpy(problem.rows.feature_gram() - between)
        return float(np.linalg.norm((within + within.T) / 2, 2))

    def bound(self, lambda_: float) -> DualBound:
        """Evaluate the bound at one lambda."""
        if not self.low_rank:
            B = self.matrix(lambda_)
            found = dense_bound(self.problem, self.gram, B, self.n_clusters)
            return dataclasses.replace(found, lambda_=lambda_)
        return self._low_rank_bound(lambda_)

    def _block(self, a: int, lambda_: float, lo: int, hi: int) -> Array:
        """Columns r_{a,b} on sorted rows lo:hi of cluster a."""
        shift = self._shift(a, lambda_)
        start = self.starts[a]
        xp, where = self._xp, device(self._zero)
        R = self._halves[a][lo - start : hi - start, :] - xp.asarray(
            shift, device=where
        )
        return xp.maximum(R, self._zero)

    def _moments(self, lambda_: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Sums, Gram matrix and products with the data of all columns r."""
        xp, m = self.problem.xp, len(self.columns)
        p = self._rows.shape[1]
        sums, gram, cross = np.zeros(m), np.zeros((m, m)), np.zeros((p, m))
        column = 0
        for a, others in enumerate(self._others):
            part = slice(column, column + len(others))
            column += len(others)
            if not len(others):
                continue
            if isinstance(self._rows, DenseRows):
                rows = self._rows.part(int(self.starts[a]), int(self.starts[a + 1]))
                found = self._dense_moments(rows.X, a, lambda_)
                sums[part], gram[part, part], cross[:, part] = found
                continue
            for lo in range(self.starts[a], self.starts[a + 1], CHUNK):
                hi = min(lo + CHUNK, self.starts[a + 1])
                R = self._block(a, lambda_, lo, hi)
                sums[part] += to_numpy(xp.sum(R, axis=0))
                gram[part, part] += to_numpy(xp.matrix_transpose(R) @ R)
                chunk = self._rows.part(lo, hi)
                cross[:, part] += to_numpy(chunk.transposed_times(R))
        return sums, gram, cross

    def _dense_moments(
        self, X: Array, a: int, lambda_: float
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The moments of cluster a in one pass over its rows X."""
        shift = self._xp.asarray(self._shift(a, lambda_), device=device(X))
        sums, gram, cross = self._take_moments(X, self._halves[a], shift)
        return to_numpy(sums), to_numpy(gram), to_numpy(cross)

    def _shift(self, a: int, lambda_: float) -> np.ndarray:
        """What lambda takes from half the margins of cluster a."""
        return 0.5 * lambda_ * (1 / self.sizes[a] + 1 / self.sizes[self._others[a]])

    def _scales(self, sums: np.ndarray) -> np.ndarray:
        """Return the matrix c_ab over the columns (c at the pair of columns)."""
        position = {pair: index for index, pair in enumerate(self.columns)}
        scales = np.zeros((sums.size, sums.size))
        for (a, b), i in position.items():
            j = position[b, a]
            if sums[i] > 0 and sums[j] > 0:
                ratio = (self.sizes[a] / sums[i]) * (self.sizes[b] / sums[j])
                scales[i, j] = math.sqrt(ratio)
        return scales

    def _low_rank_bound(self, lambda_: float) -> DualBound:
        """Exact bound from the eigenproblem of order p + number of columns."""
        sums, gram, cross = self._moments(lambda_)
        scales = self._scales(sums)
        # Unit columns: a tiny sum would otherwise blow up the middle matrix.
        lengths = np.sqrt(np.diag(gram))
        inverse = np.divide(1.0, lengths, out=np.zeros_like(lengths), where=lengths > 0)
        middle = scales * lengths[:, None] * lengths[None, :]
        top = float(np.linalg.norm(self._gram, 2)) or 1.0
        p = self._gram.shape[0]
        m = p + sums.size
        S, L = np.empty((m, m)), np.zeros((m, m))
        S[:p, :p] = self._gram / top
        S[:p, p:] = cross * (inverse / math.sqrt(top))
        S[p:, :p] = S[:p, p:].T
        S[p:, p:] = gram * inverse[:, None] * inverse[None, :]
        L[:p, :p] = top * np.eye(p)
        L[p:, p:] = middle
        ones = np.concatenate([np.zeros(p), sums * inverse])
        n = self.problem.n
        w, Q = np.linalg.eigh(S - np.outer(ones, ones) / n)
        H = Q * np.sqrt(np.maximum(w, 0.0))
        values = leading_values(H.T @ L @ H, self.n_clusters - 1)
        bound = float(ones @ L @ ones) / n + float(np.sum(np.maximum(values, 0.0)))
        norm = float(np.linalg.norm(self._gram)) + float(np.linalg.norm(middle))
        # Accumulating n terms by chunks costs about sqrt(n) more roundings.
        slack = 4 * (m + math.sqrt(n)) * EPS * (abs(self.problem.total) + norm)
        return DualBound(self.problem.total - bound - slack, slack, lambda_)

    def matrix(self, lambda_: float) -> Array:
        """Return B, n x n, in the order of the rows of the data."""
        xp, where = self.problem.xp, device(self.problem.like)
        n, K = self.problem.n, self.n_clusters
        R = np.zeros((n, K))
        for a, others in enumerate(self._others):
            lo, hi = self.starts[a], self.starts[a + 1]
            R[lo:hi, others] = to_numpy(self._block(a, lambda_, lo, hi))
        sums = np.array(
            [R[self.starts[a] : self.starts[a + 1], b].sum() for a, b in self.columns]
        )
        scales = self._scales(sums)
        B = np.zeros((n, n))
        position = {pair: index for index, pair in enumerate(self.columns)}
        for (a, b), i in position.items():
            rows = slice(self.starts[a], self.starts[a + 1])
            columns = slice(self.starts[b], self.starts[b + 1])
            c = scales[i, position[b, a]]
            if c > 0:
                B[rows, columns] = c * np.outer(R[rows, b], R[columns, a])
        back = np.argsort(self.sorting, kind="stable")
        return xp.asarray(B[np.ix_(back, back)], device=where)


def best_clipped_bound(dual: ClippedDual, target: float) -> DualBound:
    """Maximise LB(lambda): a coarse search, then golden sections.

    A bound of at least ``target`` ends the search.
    """
    base = dual.scatter or 1.0
    grid = base * np.geomspace(*SEARCH, SEARCH_POINTS)
    found: list[DualBound] = []
    for value in grid:
        found.append(dual.bound(float(value)))
        if found[-1].value >= target:
            return found[-1]
    best = int(np.argmax([one.value for one in found]))
    low = float(grid[max(best - 1, 0)])
    high = float(grid[min(best + 1, SEARCH_POINTS - 1)])
    x, y = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
    left, right = dual.bound(x), dual.bound(y)
    found += [left, right]
    for _ in range(GOLDEN_STEPS - 2):
        if left.value >= right.value:
            high, right = y, left
            y, x = x, y - GOLDEN * (y - low)
            left = dual.bound(x)
            found.append(left)
        else:
            low, left = x, right
            x, y = y, x + GOLDEN * (high - x)
            right = dual.bound(y)
            found.append(right)
        height, slope = max(left.value, right.value), abs(left.value - right.value)
        # Two points of equal height: the maximum lies between them, hardly higher.
        if height >= target or slope <= FLAT * (target - height):
            break
    return max(found, key=lambda one: one.value)
