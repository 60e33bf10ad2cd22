# SPDX-License-Identifier: BSD-3-Clause
"""Factor analysis of a table with holes: data, parameters and their likelihood.

x = scale (b + W z + e) + offset,  z ~ N(0, I_k),  e ~ N(0, diag(psi)),

where only some entries of each row x are seen.
"""

import dataclasses
import math
from typing import Self

from numopt._array.namespace import array_namespace, device
from numopt.completion._kernels.factor_analysis import packed_pairs, score_posterior
from numopt.typing import Array, Namespace

__all__ = ["FactorModel", "IncompleteTable", "Scores"]

#: Rows handled at once hold at most this many packed second moments.
CHUNK_NUMBERS = 4_000_000


@dataclasses.dataclass(frozen=True, slots=True)
class IncompleteTable:
    """Rows with holes, centred and scaled: ``Z = (X - offset) / scale``, 0 in holes.

    ``seen`` is 1.0 where an entry is known and 0.0 elsewhere; ``offset`` and ``scale``
    have one entry a column.
    """

    Z: Array
    seen: Array
    offset: Array
    scale: Array

    @classmethod
    def centred(
        cls, X: Array, mask: Array, scaling: str | None, *, centre: bool = True
    ) -> Self:
        """Centre the columns of ``X`` (holes where ``mask``) and divide by ``scaling``.

        "global" divides everything by one number, the root mean square of the centred
        entries, "column" each column by its own, None by 1.
        """
        xp = array_namespace(X)
        seen = xp.astype(~mask, X.dtype)
        filled = xp.where(mask, xp.zeros_like(X), X)
        counts = xp.sum(seen, axis=0)
        offset = xp.sum(filled, axis=0) / xp.where(counts > 0, counts, 1.0)
        offset = offset if centre else xp.zeros_like(offset)
        Z = xp.where(mask, xp.zeros_like(X), filled - offset)
        squares = xp.sum(Z * Z, axis=0)
        if scaling == "column":
            scale = xp.sqrt(squares / xp.where(counts > 0, counts, 1.0))
        elif scaling == "global":
            scale = xp.zeros_like(squares) + xp.sqrt(xp.sum(squares) / xp.sum(counts))
        else:
            scale = xp.ones_like(squares)
        # A constant column has no spread to divide by.
        tiny = xp.finfo(X.dtype).eps * xp.max(xp.abs(filled))
        scale = xp.where(scale > tiny, scale, xp.ones_like(scale))
        return cls(Z / scale, seen, offset, scale)

    def like(self, X: Array, mask: Array) -> Self:
        """Return new rows in the units of this table."""
        xp = array_namespace(X)
        Z = xp.where(mask, xp.zeros_like(X), (X - self.offset) / self.scale)
        return dataclasses.replace(self, Z=Z, seen=xp.astype(~mask, X.dtype))

    @property
    def xp(self) -> Namespace:
        """Array namespace of the data."""
        return array_namespace(self.Z)

    def rows(self, lo: int, hi: int) -> Self:
        """Return some of the rows."""
        return dataclasses.replace(self, Z=self.Z[lo:hi, :], seen=self.seen[lo:hi, :])

    def chunks(self, k: int) -> list[tuple[int, int]]:
        """Bounds of row blocks whose packed second moments fit in memory."""
        n = self.Z.shape[0]
        step = max(1, CHUNK_NUMBERS // (k * (k + 1) // 2))
        return [(lo, min(n, lo + step)) for lo in range(0, n, step)]


@dataclasses.dataclass(frozen=True, slots=True)
class Scores:
    """Posterior of the scores of some rows.

    ``mean`` (n, k) and packed second moments ``moment`` (n, k (k + 1) / 2);
    ``nll`` the negative log-likelihood of the rows, 0-d.
    """

    mean: Array
    moment: Array
    nll: Array


@dataclasses.dataclass(frozen=True, slots=True)
class FactorModel:
    """Loadings W (p, k), offsets b (p,) and noise variances psi (p,)."""

    W: Array
    b: Array
    psi: Array

    def packed_products(self) -> Array:
        """Lower triangles of w_j w_j^T, one row a column of the table."""
        xp = array_namespace(self.W)
        i, j = (
            xp.asarray(p, device=device(self.W)) for p in packed_pairs(self.W.shape[1])
        )
        return xp.take(self.W, i, axis=1) * xp.take(self.W, j, axis=1)

    def scores(self, table: IncompleteTable) -> Scores:
        """E-step: posterior of the scores given the entries seen, and -log p."""
        xp = table.xp
        gram = table.seen @ (self.packed_products() / self.psi[:, None])
        centred = (table.Z - self.b) * table.seen
        weighted = centred / self.psi
        rhs = weighted @ self.W
        mean, moment, logdet = score_posterior.for_namespace(xp)(gram, rhs)
        nll = 0.5 * (
            xp.sum(logdet)
            + xp.sum(xp.sum(table.seen, axis=0) * xp.log(2 * math.pi * self.psi))
            + xp.sum(weighted * centred)
            - xp.sum(rhs * mean)
        )
        return Scores(mean, moment, nll)

    def expected(self, mean: Array) -> Array:
        """Expected rows given mean scores, in scaled units."""
        xp = array_namespace(mean)
        return mean @ xp.matrix_transpose(self.W) + self.b

    def variances(self, scores: Scores) -> Array:
        """Predictive variance psi_j + w_j' S_i w_j of every entry, in scaled units."""
        xp = array_namespace(self.W)
        where = device(self.W)
        k = self.W.shape[1]
        i, j = (xp.asarray(p, device=where) for p in packed_pairs(k))
        m = scores.mean
        covariance = scores.moment - xp.take(m, i, axis=1) * xp.take(m, j, axis=1)
        # Off-diagonal entries stand for two.
        twice = 1 + xp.astype(i != j, self.W.dtype)
        spread = covariance @ xp.matrix_transpose(self.packed_products() * twice)
        return self.psi + xp.maximum(spread, xp.zeros_like(spread))
