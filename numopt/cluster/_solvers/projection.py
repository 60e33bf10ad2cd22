# SPDX-License-Identifier: BSD-3-Clause
"""Projection on the Fantope from leading eigenpairs that are kept between calls."""

import math

import numpy as np

from numopt._array.namespace import device, to_numpy
from numopt.cluster import _kernels
from numopt.cluster._solvers.spectral import centred, leading_pairs, ritz_numbers
from numopt.typing import Array, Namespace

__all__ = ["FantopeProjection", "fantope_weights", "safe_degree"]

#: Below this order a dense eigensolver beats filtered subspaces.
SMALL_ORDER = 80
DEGREES = (1, 10)
#: Growth of the leading vector beyond which filtered columns are hardly independent.
GROWTH = 1e10
ROUNDS = 4
FIRST_ROUNDS = 10
#: Calls between two estimates of the smallest eigenvalue.
LOWEST_EVERY = 20
LOWEST_STEPS = 5


def fantope_weights(w: np.ndarray, trace: float) -> tuple[float, np.ndarray]:
    """Return theta and ``clip(w - theta, 0, 1)`` that sum to ``trace``.

    The sum is piecewise linear and decreasing in theta with breakpoints w and w - 1:
    walked through from above, in plain Python because there are few.
    """
    values = sorted(w.tolist(), reverse=True)
    theta, total = values[0], 0.0
    positive = full = 0
    while full < len(values):
        rising = values[positive] if positive < len(values) else -math.inf
        after = max(rising, values[full] - 1.0)
        slope = positive - full
        ahead = total + slope * (theta - after)
        if slope and ahead >= trace:
            theta -= (trace - total) / slope
            break
        theta, total = after, ahead
        if rising == after:
            positive += 1
        else:
            full += 1
    return theta, np.minimum(np.maximum(w - theta, 0.0), 1.0)


def safe_degree(low: float, cut: float, top: float, eps: float) -> int:
    """Degree up to which a filter on [low, cut] leaves every column its own digits.

    The polynomial at ``top`` is ``cosh(degree * arccosh(x))`` times that on the
    interval: rounding errors along the leading vector grow by as much.
    """
    half = (cut - low) / 2
    if half <= 0 or top <= cut:
        return DEGREES[1]
    growth = math.acosh((top - low) / half - 1)
    return max(1, min(DEGREES[1], int(math.log(min(0.2 / eps, GROWTH)) / growth)))


class FantopeProjection:
    """Project J A J on {0 <= Z' <= I, tr Z' = trace}: ``Z' = P diag(f) P^T``.

    Successive matrices of the ADMM are near each other, so a few steps of a Chebyshev
    filter on the last eigenvectors (at first: on ``start``, n x any number), whose
    degree follows the accuracy they reach, replace an eigendecomposition.
    """

    def __init__(
        self,
        xp: Namespace,
        trace: int,
        start: Array,
        rng: np.random.Generator,
        *,
        centre: bool = True,
    ) -> None:
        n = start.shape[0]
        self.centre = centre
        self.xp, self.n, self.trace, self.rng = xp, n, trace, rng
        self._ritz = _kernels.filtered_ritz.for_namespace(xp)
        self.P: Array = start
        self.w = self.f = np.zeros(0)
        #: Most pairs there are.
        self.most = n - 1 if centre else n
        self.size = min(trace + 9, self.most)
        self.degree = 6
        self.low = 0.0
        self._low_vector: Array | None = None
        self.calls = 0
        self.dense_calls = 0

    @property
    def rank(self) -> int:
        """Number of positive weights."""
        return int(np.count_nonzero(self.f))

    def factor(self) -> tuple[Array, Array]:
        """Return the vectors of positive weight and their weights, on the device."""
        rank = self.rank
        weights = self.xp.asarray(
            self.f[:rank], dtype=self.P.dtype, device=device(self.P)
        )
        return self.P[:, :rank], weights

    def refine(self) -> None:
        """Bring the vectors to double precision, orthonormal and orthogonal to 1."""
        xp = self.xp
        if self.P.dtype == xp.float64:
            return
        P = xp.astype(self.P, xp.float64)
        if self.centre:
            P = P - xp.mean(P, axis=0)
        self.P, _ = xp.linalg.qr(P)

    def project(self, A: Array, accuracy: float) -> None:
        """Set P, w and f for the symmetric matrix A to a given accuracy."""
        self.calls += 1
        large = self.n > SMALL_ORDER and 4 * self.size < self.n
        if not (large and self._filtered(A, accuracy)):
            self._dense(A)
        self.size = min(self.most, max(self.trace + 4, int(1.2 * self.rank) + 5))

    def _dense(self, A: Array) -> None:
        """A dense eigensolver for as many pairs as the weights need."""
        self.dense_calls += 1
        C = A
        if self.centre:
            C = centred(A)
            # The ones vector is no candidate: its eigenvalue is sent far down.
            C = C - 2 * float(self.xp.linalg.matrix_norm(C)) / self.n
        while True:
            w, self.P = leading_pairs(C, self.size)
            self.w = to_numpy(w).astype(np.float64)
            theta, self.f = fantope_weights(self.w, self.trace)
            if theta >= self.w[-1] or self.size == self.most:
                return
            self.size = min(self.most, int(1.7 * self.size) + 2)

    def start(self, size: int) -> Array:
        """The last vectors, cut or filled up with random ones to a size."""
        P, xp = self.P, self.xp
        if P.shape[1] >= size:
            return P[:, :size]
        extra = self.rng.standard_normal((self.n, size - P.shape[1]))
        extra = xp.asarray(extra, dtype=P.dtype, device=device(P))
        return xp.concat([P, extra], axis=1)

    def _filtered(self, A: Array, accuracy: float) -> bool:
        """Filtered subspace iteration from the previous vectors; False: not enough."""
        P, w, rounds = self.start(self.size), self.w, ROUNDS
        if not w.size:
            values, P, _ = self._ritz(A, P, 0.0, 0.0, 0.0, 0, self.centre)
            w, rounds = to_numpy(values), FIRST_ROUNDS
            self.w = w
        if self.low == 0.0 or self.calls % LOWEST_EVERY == 0:
            self.low = self._lowest(A)
        eps = float(self.xp.finfo(A.dtype).eps)
        for turn in range(rounds):
            cut, top = float(w[min(w.size, P.shape[1]) - 1]), float(w[0])
            degree = min(self.degree, safe_degree(self.low, cut, top, eps))
            pairs = self._ritz(A, P, self.low, cut, top, degree, self.centre)
            P, (w, errors) = pairs[1], ritz_numbers(pairs)
            theta, f = fantope_weights(w, self.trace)
            if theta < w[-1] or abs(float(np.sum(f)) - self.trace) > 1e-9 * self.trace:
                return False
            error = float(np.linalg.norm(errors * f))
            if error <= accuracy:
                self.P, self.w, self.f = P, w, f
                if turn == 0 and error < 0.03 * accuracy:
                    self.degree = max(self.degree - 1, DEGREES[0])
                return True
            self.degree = min(self.degree + 1, DEGREES[1])
        return False

    def _lowest(self, A: Array) -> float:
        """An estimate of the smallest eigenvalue, from a few power steps."""
        xp, top, value = self.xp, float(self.w[0]), 0.0
        if self._low_vector is None or self._low_vector.dtype != A.dtype:
            v = self.rng.standard_normal(self.n)
            self._low_vector = xp.asarray(v, dtype=A.dtype, device=device(A))
        v = self._low_vector
        for _ in range(LOWEST_STEPS):
            if self.centre:
                v = v - xp.mean(v)
            v = v / xp.linalg.vector_norm(v)
            u = A @ v
            value = float(xp.vecdot(u, v))
            v = top * v - u
        self._low_vector = v
        return min(1.15 * value, value - 0.05 * abs(top))
