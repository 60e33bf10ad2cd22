# SPDX-License-Identifier: BSD-3-Clause
"""Preconditioners of logistic Hessians: class blocks, shifts of all logits."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from numopt._array.linalg import inv_posdef
from numopt._array.namespace import array_namespace, device, to_numpy
from numopt.bilevel._problem.arrays import contiguous
from numopt.typing import Array

__all__ = ["ClassBlocks", "balanced"]

Map = Callable[[Array], Array]

#: Gram matrices are made anew when the weights of the rows have moved by this share.
WEIGHTS_MOVED = 0.25
#: ... and products with the old ones have cost this many times as much.
RENT = 2
#: Inverses are made anew when a log-penalty has moved by this much.
PENALTIES_MOVED = 0.3


class ClassBlocks:
    """Inverses of the diagonal blocks of a softmax Hessian, kept while they are near.

    The block of class k is ``X^T diag(w_k) X + diag(c_k)`` with the weights
    ``w_ik = s_i p_ik (1 - p_ik)`` and the penalties c. Blocks of nearby weights and
    penalties bound the spectrum as well, hence they are seldom made, and never before
    the old ones have been used for twice their price. ``work`` counts what making them
    has cost, in Hessian products (4 n p K operations each, times the ``n_users``
    Hessians that share the blocks and are multiplied at once).
    """

    def __init__(self, X: Array, n_users: int = 1) -> None:
        self.X, self.n_users = X, n_users
        self.forget()

    def forget(self) -> None:
        """Start anew."""
        self.work = self._n_used = 0
        self._weights: Any = None
        self._penalties: Any = None

    def inverse(self, weights: Array, penalties: Array) -> Map:
        """``r -> (M_k^{-1} r_k)_k`` for arrays of shape (p, K) or (p, n_users, K)."""
        n, p = self.X.shape
        xp, K = array_namespace(weights), weights.shape[1]
        cost = math.ceil(p / (4 * self.n_users))
        stale = self._weights is None
        if not stale:
            # What all rows of a class have in common is a factor of its block.
            scale = xp.sum(weights, axis=0) / xp.sum(self._weights, axis=0)
            moved = _share(weights, scale * self._weights)
            stale = moved > WEIGHTS_MOVED and self._n_used >= RENT * cost
        if stale:
            self._grams = self._gram_matrices(weights)
            self._weights, self._n_used = weights, 0
            self.work += cost
            scale = xp.ones_like(weights[0, :])
        shifted = penalties / scale
        if stale or _moved(shifted, self._penalties) > PENALTIES_MOVED:
            self._inverses = self._inverted(shifted)
            self._penalties = shifted
            self.work += math.ceil(p * p / (4 * n * self.n_users))
        inverses = self._inverses

        def apply(r: Array) -> Array:
            self._n_used += 1
            columns = contiguous(xp.permute_dims(xp.reshape(r, (p, -1, K)), (2, 0, 1)))
            solved = (inverses @ columns) / scale[:, None, None]
            # All that follows is faster in the order of r.
            solved = contiguous(xp.permute_dims(solved, (1, 2, 0)))
            return xp.reshape(solved, r.shape)

        return apply

    def _gram_matrices(self, weights: Array) -> list[Array]:
        xp = array_namespace(weights)
        scaled = (
            xp.sqrt(weights[:, k : k + 1]) * self.X for k in range(weights.shape[1])
        )
        return [xp.matrix_transpose(Z) @ Z for Z in scaled]

    def _inverted(self, penalties: Array) -> Array:
        xp = array_namespace(penalties)
        eps = float(xp.finfo(penalties.dtype).eps)
        eye = xp.eye(
            penalties.shape[0], dtype=penalties.dtype, device=device(penalties)
        )
        inverses = []
        for k, gram in enumerate(self._grams):
            # Rounding of the Gram matrix must not make the block indefinite.
            slack = gram.shape[0] * eps * float(to_numpy(xp.max(gram)))
            inverses.append(inv_posdef(gram + eye * (penalties[:, k] + slack)))
        return xp.stack(inverses)


def balanced(inverse: Map, penalties: Array) -> Map:
    """Solve exactly along shifts of all logits, and by ``inverse`` across them.

    A vector u added to the coefficients of every class changes no probability: there
    the Hessian is the diagonal of the penalties, tiny beside the blocks. This is the
    balancing of Mandel (1993, Comm. Numer. Methods Engrg. 9) with those shifts as the
    coarse space, ``(I - Z E^-1 Z^T H) M^-1 (I - H Z E^-1 Z^T) + Z E^-1 Z^T``,
    all of it elementwise.
    """
    xp = array_namespace(penalties)
    total = xp.sum(penalties, axis=-1, keepdims=True)

    def apply(r: Array) -> Array:
        shift = xp.sum(r, axis=-1, keepdims=True) / total
        z = inverse(r - penalties * shift)
        return z - xp.sum(penalties * z, axis=-1, keepdims=True) / total + shift

    return apply


def _share(new: Array, old: Array) -> float:
    """Change of positive numbers relative to their old sum."""
    xp = array_namespace(new)
    return float(to_numpy(xp.sum(xp.abs(new - old)))) / float(to_numpy(xp.sum(old)))


def _moved(new: Array, old: Array) -> float:
    """Largest change of a logarithm."""
    if new is old:
        return 0.0
    xp = array_namespace(new)
    return float(np.max(to_numpy(xp.abs(xp.log(new / old)))))
