# SPDX-License-Identifier: BSD-3-Clause
"""Newton systems of losses with ridge terms: factors, products, preconditioners."""

import dataclasses
from collections.abc import Callable

import numpy as np

from numopt.coordinate._problem.data import LinearData

__all__ = ["Curvature", "Factored", "conjugate_gradients", "preconditioner"]

#: Relative diagonal shift of a factored matrix, against flat directions.
SHIFT = 1e-12
#: Numbers in a tile of rows, which stays in the cache of a processor.
TILE = 100_000
#: Most columns of the blocks that precondition, else their diagonals do.
BLOCK_COLUMNS = 400
MAX_PRODUCTS = 200


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Curvature:
    """The second derivative of an objective with ridge terms.

    ``weights`` (n,) are those of the losses, ``share`` (n, K) the probabilities of a
    softmax or None; ``l2`` is of shape (1, p) or (K, p). Vectors have one row an
    output, with the intercept last.
    """

    data: LinearData
    weights: np.ndarray
    share: np.ndarray | None
    l2: np.ndarray
    fit_intercept: bool

    def times(self, v: np.ndarray) -> np.ndarray:
        """Return the product with a vector of shape (K, p) or (K, p + 1)."""
        p = self.l2.shape[1]
        b = v[:, p] if self.fit_intercept else 0.0
        moved = self.data.predict(v[:, :p], b)
        if self.share is not None:
            moved *= self.share
            moved -= self.share * moved.sum(axis=1, keepdims=True)
        moved *= self.weights[:, None]
        out = np.empty_like(v)
        out[:, :p] = self.data.correlate(moved) + self.l2 * v[:, :p]
        if self.fit_intercept:
            out[:, p] = moved.sum(axis=0)
        return out

    def hessian(self) -> np.ndarray:
        """Return the matrix of one output."""
        return self._block(self.weights, self.l2[0])

    def blocks(self) -> list[np.ndarray]:
        """Return the matrices of every output with itself."""
        l2 = np.broadcast_to(self.l2, (self._outputs, self.l2.shape[1]))
        return [self._block(self._diagonal(k), row) for k, row in enumerate(l2)]

    def diagonals(self) -> np.ndarray:
        """Return the diagonal, in the shape of a vector."""
        X, rows = self.data.X, []
        squares = X.multiply(X).tocsc() if self.data.is_sparse else None
        for k in range(self._outputs):
            weights = self._diagonal(k)
            if squares is None:
                row = np.einsum("ij,i,ij->j", X, weights, X)
            else:
                row = np.asarray(squares.T @ weights)
            row = row + self.l2[min(k, self.l2.shape[0] - 1)]
            rows.append(np.append(row, weights.sum()) if self.fit_intercept else row)
        return np.array(rows)

    @property
    def _outputs(self) -> int:
        """Number of outputs."""
        return 1 if self.share is None else self.share.shape[1]

    def _diagonal(self, k: int) -> np.ndarray:
        """Weights of an output with itself."""
        if self.share is None:
            return self.weights
        return self.weights * self.share[:, k] * (1.0 - self.share[:, k])

    def _block(self, weights: np.ndarray, l2: np.ndarray) -> np.ndarray:
        """Return ``X^T D X`` with ridge terms, the intercept last."""
        p = l2.size
        size = p + int(self.fit_intercept)
        H = np.empty((size, size))
        H[:p, :p] = weighted_gram(self.data, weights)
        H.flat[: p * size : size + 1] += l2
        if self.fit_intercept:
            H[p, :p] = H[:p, p] = self.data.correlate(weights)
            H[p, p] = weights.sum()
        return H


def weighted_gram(data: LinearData, weights: np.ndarray) -> np.ndarray:
    """Return ``X^T D X``; dense designs are scaled tile by tile of rows."""
    X, (n, p), root = data.X, data.shape, np.sqrt(weights)
    if data.is_sparse:
        scaled = X.multiply(root[:, None]).tocsc()
        return np.asarray((scaled.T @ scaled).toarray())
    rows = max(1, min(n, TILE // p))
    buffer = np.empty((rows, p), order="C" if X.flags.c_contiguous else "F")
    G = np.zeros((p, p))
    for lo in range(0, n, rows):
        tile = buffer[: min(rows, n - lo)]
        np.multiply(X[lo : lo + rows], root[lo : lo + rows, None], out=tile)
        G += tile.T @ tile
    return G


class Factored:
    """A Cholesky factor of a positive matrix, scaled to a diagonal of ones.

    Columns may come in other units than the ones of an intercept.
    """

    def __init__(self, H: np.ndarray) -> None:
        from scipy.linalg import cho_factor

        diagonal = np.einsum("ii->i", H)
        self._size = np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
        H /= self._size
        H /= self._size[:, None]
        diagonal += SHIFT
        self._factor = cho_factor(H, lower=True, check_finite=False)

    def solve(self, b: np.ndarray) -> np.ndarray:
        """Return the solution of a system."""
        from scipy.linalg import cho_solve

        found = cho_solve(self._factor, b / self._size, check_finite=False)
        return np.asarray(found / self._size)


def preconditioner(curvature: Curvature) -> Callable[[np.ndarray], np.ndarray]:
    """Return an approximate inverse, by outputs or, if these are large, entries."""
    if curvature.l2.shape[1] <= BLOCK_COLUMNS:
        blocks = np.stack(curvature.blocks())
        diagonals = np.einsum("kii->ki", blocks)
        tops = diagonals.max(axis=1, keepdims=True)
        diagonals += SHIFT * np.maximum(tops, np.finfo(float).tiny)
        inverses = np.linalg.inv(blocks)
        return lambda v: np.matmul(inverses, v[:, :, None])[:, :, 0]
    inverse = 1.0 / np.maximum(curvature.diagonals(), np.finfo(float).tiny)
    return lambda v: v * inverse


def conjugate_gradients(
    times: Callable[[np.ndarray], np.ndarray],
    b: np.ndarray,
    precondition: Callable[[np.ndarray], np.ndarray],
    *,
    share: float,
) -> tuple[np.ndarray, int]:
    """Solve to the share of the preconditioned norm of b; returns (x, products)."""
    x, r = np.zeros_like(b), b.copy()
    s = precondition(r)
    d, rho = s, float(np.sum(r * s))
    enough = share * share * rho
    products = 0
    while products < MAX_PRODUCTS and rho > enough:
        products += 1
        Hd = times(d)
        curvature = float(np.sum(d * Hd))
        if not curvature > 0.0:
            break
        step = rho / curvature
        x += step * d
        r -= step * Hd
        s = precondition(r)
        rho, old = float(np.sum(r * s)), rho
        d = s + (rho / old) * d
    return x, products
