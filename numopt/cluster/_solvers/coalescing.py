# SPDX-License-Identifier: BSD-3-Clause
"""Multipliers whose leading eigenvalues coalesce as those of an optimal one do."""

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from numopt._array.namespace import array_namespace, device, to_numpy
from numopt.cluster._solvers.spectral import RitzPairs, ritz_numbers
from numopt.typing import Array

__all__ = ["MultiplierChange", "coalescing_change"]

#: Most vectors of fractional weight; with more the relaxation is far from solved.
MOST_FRACTIONAL = 8
#: Share of the trace that keeps the small linear system regular.
DAMPING = 1e-12
#: Rows handled at a time: no second n x n matrix.
CHUNK = 512


@dataclasses.dataclass(frozen=True)
class MultiplierChange:
    """``B <- max(B + P M P^T, 0)`` where B > 0, entries at zero stay there."""

    vectors: Array
    middle: Array

    def apply(self, A: Array, G: Array) -> tuple[float, float]:
        """Change ``A = G + B`` in place; return the sums of A and of its squares."""
        xp = array_namespace(A)
        left = self.vectors @ self.middle
        right = xp.matrix_transpose(self.vectors)
        total = square = 0.0
        for lo, hi in _chunks(A):
            part, floor = A[lo:hi, :], G[lo:hi, :]
            moved = xp.maximum(part + left[lo:hi, :] @ right, floor)
            part = xp.where(part > floor, moved, part)
            A[lo:hi, :] = part
            total += float(xp.sum(part))
            square += float(xp.sum(part * part))
        return total, square


def coalescing_change(
    A: Array, G: Array, pairs: RitzPairs, weights: np.ndarray
) -> MultiplierChange | None:
    r"""The change of B that makes eigenvalues of fractional weight equal.

    At an optimum the eigenvalues of ``J(G + B)J`` whose vectors have weights between 0
    and 1 in Z coincide. Near it they differ by the error of B, of which the sum of the
    K-1 largest takes the worse half. With the vectors P of those eigenvalues D and the
    smallest change ``P M P^T``, restricted to the support of B, that obeys

    .. math:: P^T [{\rm supp}(B) \circ P M P^T] P = \theta I - D

    the bound errs by the square of the error only (Overton 1992 takes such steps for
    the largest eigenvalue). None when there are too few or too many such values.
    """
    full = int(np.count_nonzero(weights >= 1))
    count = int(np.count_nonzero(weights > 0)) - full
    if not 2 <= count <= MOST_FRACTIONAL:
        return None
    values = ritz_numbers(pairs)[0][full : full + count]
    P = array_namespace(A).astype(pairs[1][:, full : full + count], A.dtype)
    operator = _support_operator(A, G, P)
    size = float(np.trace(operator))
    if not size > 0:
        return None
    damped = operator + DAMPING * size * np.eye(count * count)
    unit = np.eye(count).reshape(-1)
    sides = np.stack([np.diag(values).reshape(-1), unit], axis=1)
    spread, level = np.linalg.solve(damped, sides).T
    # theta makes the change, measured on the support, as small as can be.
    middle = (unit @ spread) / (unit @ level) * level - spread
    middle = middle.reshape(count, count)
    xp = array_namespace(A)
    middle = (middle + middle.T) / 2
    return MultiplierChange(P, xp.asarray(middle, dtype=A.dtype, device=device(A)))


def _support_operator(A: Array, G: Array, P: Array) -> np.ndarray:
    """The matrix of ``M -> P^T [supp(B) o P M P^T] P`` on the entries of M."""
    xp, r = array_namespace(A), P.shape[1]
    first, second = np.triu_indices(r)
    products = [P[:, int(a)] * P[:, int(b)] for a, b in np.transpose([first, second])]
    columns = xp.stack(products, axis=1)
    gram: Any = 0.0
    for lo, hi in _chunks(A):
        support = xp.astype(A[lo:hi, :] > G[lo:hi, :], A.dtype)
        gram = gram + xp.matrix_transpose(columns[lo:hi, :]) @ (support @ columns)
    index = np.zeros((r, r), np.int64)
    index[first, second] = index[second, first] = np.arange(first.size)
    # Entry (ab, cd) is the sum of supp_ij P_ia P_jb P_ic P_jd.
    entries = to_numpy(gram)[index[:, :, None, None], index[None, None, :, :]]
    return entries.transpose(0, 2, 1, 3).reshape(r * r, r * r)


def _chunks(A: Array) -> Iterator[tuple[int, int]]:
    """Ranges of rows."""
    n = A.shape[0]
    for turn in range(math.ceil(n / CHUNK)):
        yield turn * CHUNK, min((turn + 1) * CHUNK, n)
