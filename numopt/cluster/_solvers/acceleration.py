# SPDX-License-Identifier: BSD-3-Clause
"""Anderson extrapolation of matrix iterates, now and then, with sketched residuals."""

import numpy as np

from numopt._array.namespace import device, to_numpy
from numopt.typing import Array, Namespace

__all__ = ["MatrixExtrapolation"]

#: Relative weight that keeps nearly dependent differences from exploding.
DAMPING = 1e-10
#: Entries of a residual that determine the few coefficients.
SKETCH = 3_000
#: Plain steps between two extrapolations, and one: they say more about the map than
#: extrapolated ones do, and cost less.
EVERY = 4


class MatrixExtrapolation:
    """Coefficients of the next iterate of ``V <- F(V)`` (Walker and Ni 2011).

    Type II: with the differences ``D_j`` of the last images and ``R_j`` of their
    residuals ``F(V) - V``, theta minimises ``||residual - sum_j theta_j R_j||`` and the
    next iterate is ``F - sum_j theta_j D_j``; the others are F itself (Banerjee,
    Suryanarayana and Pask 2016). Every entry of a residual says something on so few
    unknowns: a random sample of its rows is enough. Images are kept as differences in
    single precision, half a matrix each: they only correct an iterate held in full.
    """

    def __init__(self, xp: Namespace, like: Array, memory: int) -> None:
        n = like.shape[0]
        self._xp, self._memory = xp, memory
        count = min(n, -(-SKETCH // n))
        chosen = np.sort(np.random.default_rng(0).permutation(n)[:count])
        where = device(like)
        self._rows = xp.asarray(chosen, device=where)
        self.differences = xp.zeros((memory, n, n), dtype=xp.float32, device=where)
        self._residuals = np.zeros((memory, count * n))
        self._last = np.zeros(0)
        self._steps = 0
        self.clear()

    def clear(self) -> None:
        """Forget everything: the map has changed."""
        self._count = -1
        self._length = np.inf

    @property
    def slot(self) -> int:
        """Where the difference of the next image goes."""
        return max(self._count, 0) % self._memory

    def theta(self, image: Array, point: Array, length: float) -> np.ndarray:
        """Coefficients of the first differences for the image of a point; often none.

        ``length`` is the norm of the residual; the difference of the image is already
        in its slot.
        """
        if length > self._length:
            # Steps that grow show that what is remembered no longer describes the map.
            self.clear()
        self._length = length
        take = self._xp.take
        rows = take(image, self._rows, axis=0) - take(point, self._rows, axis=0)
        residual = to_numpy(rows).reshape(-1)
        if self._count >= 0:
            self._residuals[self.slot] = residual - self._last
        self._last = residual
        self._count += 1
        self._steps += 1
        if self._steps % EVERY:
            return np.zeros(0)
        return self._solve(residual)

    def _solve(self, residual: np.ndarray) -> np.ndarray:
        """The damped least-squares solution for what is remembered."""
        known = self._residuals[: min(self._count, self._memory)]
        gram = known @ known.T
        size = float(np.trace(gram))
        if not size > 0:
            return np.zeros(0)
        damped = gram + DAMPING * size * np.eye(len(known))
        return np.linalg.solve(damped, known @ residual)
