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
#: First lambda, in units of the norm of the within-cluster scatter; the steps that look
#: for a maximum multiply or divide it by two.
SEARCH_START = 1.5
SEARCH_STEP = math.log(2.0)
SEARCH_STEPS = 8
REFINEMENTS = 8
#: A search ends when it promises a gain of less than this share of what is missing.
FLAT = 3e-3
#: Least distance from an old point, as a share of an interval.
NUDGE = 0.15
#: Difference of two intervals, as a share of one, that rounding can make. Bounds fall
#: faster below their maximum than above it.
TIE = 1e-9


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
        position = {pair: index for index, pair in enumerate(self.columns)}
        self._own = np.array([a for a, _ in self.columns], np.int64)
        self._partner = np.array([position[b, a] for a, b in self.columns], np.int64)
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
            self._top = float(np.linalg.norm(self._gram, 2)) or 1.0
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
        np.fill_diagonal(near, False)  # with few clusters all are near, itself too
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
        own, partner = self._own, self._partner
        share = np.divide(
            self.sizes[own], sums, out=np.zeros_like(sums), where=sums > 0
        )
        scales = np.zeros((sums.size, sums.size))
        scales[np.arange(sums.size), partner] = np.sqrt(share * share[partner])
        return scales

    def _low_rank_bound(self, lambda_: float) -> DualBound:
        """Exact bound from the eigenproblem of order p + number of columns."""
        sums, gram, cross = self._moments(lambda_)
        scales = self._scales(sums)
        # Unit columns: a tiny sum would otherwise blow up the middle matrix.
        lengths = np.sqrt(np.diag(gram))
        inverse = np.divide(1.0, lengths, out=np.zeros_like(lengths), where=lengths > 0)
        middle = scales * lengths[:, None] * lengths[None, :]
        p, top = self._gram.shape[0], self._top
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
        for i, (a, b) in enumerate(self.columns):
            rows = slice(self.starts[a], self.starts[a + 1])
            columns = slice(self.starts[b], self.starts[b + 1])
            c = scales[i, self._partner[i]]
            if c > 0:
                B[rows, columns] = c * np.outer(R[rows, b], R[columns, a])
        back = np.argsort(self.sorting, kind="stable")
        return xp.asarray(B[np.ix_(back, back)], device=where)


def best_clipped_bound(
    dual: ClippedDual, target: float, flat: float = FLAT
) -> DualBound:
    """Maximise LB(lambda): climb in large steps, then by parabolas.

    In practice there is one maximum; the bound holds wherever the search ends. That is
    at a bound of at least ``target``, or where the parabola promises a gain of less
    than ``flat`` times what is missing.
    """
    search = _Climb(dual, target)
    search.bracket()
    for turn in range(REFINEMENTS):
        if search.best.value >= target:
            break
        x, gain = search.vertex()
        if turn and gain <= flat * (target - search.best.value):
            break
        search.evaluate(x)
    return search.best


class _Climb:
    """Bounds at points of log lambda, in rising order; the best one and its sides.

    SciPy's scalar minimisers know neither a target nor a least gain to stop at.
    """

    def __init__(self, dual: ClippedDual, target: float) -> None:
        self.dual = dual
        self.target = target
        self.points = [math.log(SEARCH_START * (dual.scatter or 1.0))]
        self.bounds = [dual.bound(math.exp(self.points[0]))]

    @property
    def best(self) -> DualBound:
        """The highest bound met."""
        return self.bounds[self._top]

    @property
    def _top(self) -> int:
        """Its position."""
        return max(range(len(self.bounds)), key=lambda i: self.bounds[i].value)

    def evaluate(self, x: float) -> None:
        """Add a point."""
        position = sum(point < x for point in self.points)
        self.points.insert(position, x)
        self.bounds.insert(position, self.dual.bound(math.exp(x)))

    def bracket(self) -> None:
        """Step up, or else down, until the best point has a lower one on each side."""
        for _ in range(SEARCH_STEPS):
            if self.best.value >= self.target:
                return
            top, last = self._top, len(self.points) - 1
            if 0 < top < last:
                return
            if top == last:
                self.evaluate(self.points[-1] + SEARCH_STEP)
            else:
                self.evaluate(self.points[0] - SEARCH_STEP)

    def vertex(self) -> tuple[float, float]:
        """Where the parabola of the best point and its sides is highest; its gain."""
        top = min(max(self._top, 1), len(self.points) - 2)
        (a, b, c) = self.points[top - 1 : top + 2]
        fa, fb, fc = (one.value for one in self.bounds[top - 1 : top + 2])
        left, right = (fb - fa) / (b - a), (fc - fb) / (c - b)
        bend = (right - left) / (c - a)
        if not bend < 0:
            return (b + (c if c - b > b - a else a)) / 2, 0.0
        x = (a + b) / 2 - left / (2 * bend)
        x = min(max(x, a + NUDGE * (b - a)), c - NUDGE * (c - b))
        gain = fa + left * (x - a) + bend * (x - a) * (x - b) - self.best.value
        if abs(x - b) < NUDGE * (c - a):
            # So near the middle a new point would say little about the wider side; of
            # two that differ by rounding alone, the steeper one has the maximum.
            up = c - b > (1 + TIE) * (b - a)
            x = b + NUDGE * (c - b) if up else b - NUDGE * (b - a)
        return x, gain
