# SPDX-License-Identifier: BSD-3-Clause
"""Anderson extrapolation of fixed-point iterations (type II, regularised)."""

import itertools
from collections import deque

from numopt._array.linalg import lstsq
from numopt._array.namespace import array_namespace
from numopt.typing import Array, Namespace

__all__ = ["Anderson"]


class Anderson:
    """Extrapolate from the last ``memory`` iterates of ``x <- F(x)``.

    Feed pairs (x, F(x)); ``extrapolate`` returns the combination of the images whose
    residual F(x) - x is smallest (Walker & Ni 2011, problem 2.2). The caller decides,
    by its own objective, whether to accept it.
    """

    def __init__(self, memory: int = 5) -> None:
        self._pairs: deque[tuple[Array, Array]] = deque(maxlen=memory + 1)

    def push(self, x: Array, image: Array) -> None:
        """Remember one pair; arrays are kept, not copied."""
        self._pairs.append((image, image - x))

    def clear(self) -> None:
        """Forget everything (after the active set or the problem changed)."""
        self._pairs.clear()

    @property
    def ready(self) -> bool:
        """Whether the memory is full."""
        return len(self._pairs) == self._pairs.maxlen

    def extrapolate(self, weights: Array | None = None) -> Array:
        """Return the extrapolated point from what is remembered (at least one pair).

        ``weights`` of the squared residuals, of their shape, may differ from call to
        call; with them the small problem is solved by its normal equations, which
        costs less and carries half of the digits.
        """
        image, residual = self._pairs[-1]
        if len(self._pairs) < 2:
            return image
        xp = array_namespace(image)
        images, residuals = zip(*self._pairs, strict=True)
        changes, steps = (
            xp.stack([xp.reshape(b - a, (-1,)) for a, b in itertools.pairwise(x)])
            for x in (residuals, images)
        )
        right = xp.reshape(residual, (-1,))
        if weights is None:
            theta = lstsq(xp.matrix_transpose(changes), right)
        else:
            weighted = changes * xp.reshape(weights, (1, -1))
            theta = _normalized_solve(
                weighted @ xp.matrix_transpose(changes), weighted @ right, xp
            )
        return image - xp.reshape(theta @ steps, image.shape)


def _normalized_solve(gram: Array, right: Array, xp: Namespace) -> Array:
    """Least squares with a Gram matrix of columns scaled to unit norm."""
    tiny = xp.finfo(gram.dtype).smallest_normal
    norms = xp.sqrt(xp.linalg.diagonal(gram)) + tiny
    return lstsq(gram / norms[:, None] / norms[None, :], right / norms) / norms
