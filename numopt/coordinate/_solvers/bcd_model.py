# SPDX-License-Identifier: BSD-3-Clause
"""The smooth part of a block problem, with a gradient kept up to date.

Coordinates are numbered 0..p-1; several outputs are laid out one after another, so
that coordinate ``k p + j`` is feature j of output k. Ridge terms belong here.
"""

import abc
from typing import Any

import numpy as np

from numopt._array.sparse import as_csr
from numopt.coordinate._problem.data import LinearData
from numopt.coordinate._problem.datafits import (
    Datafit,
    Logistic,
    Multinomial,
    Quadratic,
)

__all__ = ["LinearModel", "QuadraticModel", "SmoothModel"]

#: A Gram matrix is stored for problems with at most this many coordinates.
GRAM_LIMIT = 3000
#: Largest third derivative of the logistic loss, 1 / (6 sqrt 3).
LOGISTIC_THIRD = 0.09622504486493763


class SmoothModel(abc.ABC):
    """Value, gradient and curvature of f at a moving point ``w``."""

    size: int
    w: np.ndarray
    lipschitz: np.ndarray | None
    exact: bool

    @abc.abstractmethod
    def gradient(self, b: np.ndarray) -> np.ndarray:
        """Gradient on a block."""

    @abc.abstractmethod
    def full_gradient(self) -> np.ndarray:
        """Gradient on all coordinates."""

    @abc.abstractmethod
    def bound(self, b: np.ndarray) -> np.ndarray:
        """Block of a matrix that majorises the Hessian everywhere."""

    @abc.abstractmethod
    def hessian(self, b: np.ndarray) -> np.ndarray:
        """Block of the Hessian here."""

    @abc.abstractmethod
    def times(self, d: np.ndarray) -> np.ndarray:
        """Majorising matrix times a sparse direction."""

    @abc.abstractmethod
    def row_sums(self) -> np.ndarray | None:
        """Sums of absolute entries of the majorising matrix, None when too large."""

    @abc.abstractmethod
    def value(self) -> float:
        """F at the point."""

    @abc.abstractmethod
    def value_at(self, b: np.ndarray, d: np.ndarray) -> float:
        """F at the point plus a block step."""

    @abc.abstractmethod
    def move(self, b: np.ndarray, d: np.ndarray) -> None:
        """Take a block step."""

    @abc.abstractmethod
    def third(self, b: np.ndarray) -> float:
        """Lipschitz constant of the Hessian on a block."""


class LinearModel(SmoothModel):
    """Datafit of a linear model plus ridge terms; an intercept follows each move."""

    def __init__(
        self,
        data: LinearData,
        datafit: Datafit,
        ridge: np.ndarray,
        coef: np.ndarray,
        intercept: np.ndarray,
        fit_intercept: bool,
    ) -> None:
        self.datafit, self.y = datafit, data.y
        self.X = data.X if data.is_sparse else np.asarray(data.X, np.float64)
        self.n, self.features = data.shape
        weights = np.ones(self.n) if data.weights is None else data.weights
        self.share = weights / data.total
        self.outputs = coef.shape[0] if coef.ndim == 2 else 1
        self.size = self.outputs * self.features
        self.ridge = np.tile(ridge, self.outputs)
        self.w = np.array(coef, np.float64).ravel()
        self.intercept = np.atleast_1d(np.array(intercept, np.float64))
        self.fit_intercept = fit_intercept
        self.exact = isinstance(datafit, Quadratic)
        self.lipschitz = None
        if datafit.lipschitz is not None:
            squares = datafit.lipschitz * self._column_squares()
            self.lipschitz = np.tile(squares, self.outputs) + self.ridge
        self._gram: np.ndarray | None = None
        self._full: np.ndarray | None = None
        self.z = self._predict()
        self._refresh()
        if fit_intercept:
            self._settle_intercept()

    @property
    def _curvature_bound(self) -> float:
        """Bound of the second derivative of the loss."""
        # Rules that need it are refused for losses without.
        assert self.datafit.lipschitz is not None
        return self.datafit.lipschitz

    def _column_squares(self) -> np.ndarray:
        """Weighted squared norms of the columns."""
        if isinstance(self.X, np.ndarray):
            return np.einsum("ij,ij,i->j", self.X, self.X, self.share)
        return np.asarray((self.X * self.X).T @ self.share)

    def _predict(self) -> np.ndarray:
        """Predictions from scratch."""
        z = self.X @ self.w.reshape(self.outputs, self.features).T
        z = np.asarray(z, np.float64) + self.intercept
        return z if self.datafit.multi_output else z[:, 0]

    def _refresh(self) -> None:
        """Weighted slopes of the loss at the predictions."""
        slope = self.datafit.gradient(self.y, self.z)
        self.slope = slope * (self.share if slope.ndim == 1 else self.share[:, None])

    def _settle_intercept(self) -> None:
        """One majorised (exact for squares) step of the intercept."""
        pull = np.atleast_1d(self.slope.sum(axis=0))
        limit = self.datafit.lipschitz
        if limit is None:
            curvature = self.datafit.hessian_diag(self.y, self.z)
            limit = float(np.sum(curvature * self.share))
        step, before = -pull / max(limit, 1e-300), self._loss(self.z)
        for _ in range(40):
            z = self.z + (step if self.datafit.multi_output else step[0])
            if self._loss(z) <= before + 1e-15 * abs(before):
                self.intercept, self.z = self.intercept + step, z
                self._refresh()
                self._full = None
                return
            step = 0.5 * step

    def _loss(self, z: np.ndarray) -> float:
        """Weighted mean loss."""
        return float(np.sum(self.share * self.datafit.value(self.y, z)))

    def _columns(self, features: np.ndarray) -> Any:
        """Columns of the design."""
        return self.X[:, features]

    def _places(self, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Output and feature of each coordinate."""
        return np.divmod(b, self.features)

    def gradient(self, b: np.ndarray) -> np.ndarray:
        """Gradient on a block."""
        if self._full is not None:
            return self._full[b]
        outputs, features = self._places(b)
        g = np.asarray(self._columns(features).T @ self.slope)
        if g.ndim == 2:
            g = g[np.arange(b.size), outputs]
        return g + self.ridge[b] * self.w[b]

    def full_gradient(self) -> np.ndarray:
        """Gradient on all coordinates; kept by the Gram matrix where it is stored."""
        if self._full is None:
            g = np.asarray(self.X.T @ self.slope)
            g = (g.T if g.ndim == 2 else g).ravel()
            self._full = g + self.ridge * self.w
        return self._full

    def gram(self) -> np.ndarray | None:
        """Majorising matrix of one output, without ridge; None when too large."""
        if self._gram is None and self.features <= GRAM_LIMIT:
            root = np.sqrt(self.share * self._curvature_bound)
            if isinstance(self.X, np.ndarray):
                scaled = self.X * root[:, None]
                self._gram = scaled.T @ scaled
            else:
                scaled = self.X.multiply(root[:, None]).tocsr()
                self._gram = (scaled.T @ scaled).toarray()
        return self._gram

    def _weighted_gram(self, b: np.ndarray, curvature: np.ndarray) -> np.ndarray:
        """Block of the Hessian for given curvatures of the samples."""
        outputs, features = self._places(b)
        columns = self._columns(features)
        columns = columns if isinstance(columns, np.ndarray) else columns.toarray()
        if curvature.ndim == 1:
            H = columns.T @ (columns * curvature[:, None])
        else:
            H = self._output_gram(outputs, columns, curvature)
        H[np.diag_indices(b.size)] += self.ridge[b]
        return H

    def _output_gram(
        self, outputs: np.ndarray, columns: np.ndarray, curvature: np.ndarray
    ) -> np.ndarray:
        """Softmax Hessian ``p_k (delta_kl - p_l)`` on coordinates of all outputs."""
        assert isinstance(self.datafit, Multinomial)
        P = self.datafit.probabilities(self.z)[:, outputs]
        own = outputs[:, None] == outputs
        weighted = columns * P
        cross = (weighted * self.share[:, None]).T @ weighted
        inner = (columns * (P * self.share[:, None])).T @ columns
        return np.where(own, inner, 0.0) - cross

    def bound(self, b: np.ndarray) -> np.ndarray:
        """Block of a matrix that majorises the Hessian everywhere."""
        outputs, features = self._places(b)
        H = self.gram()
        if H is None:
            limit = self.share * self._curvature_bound
            columns = self._columns(features)
            columns = columns if isinstance(columns, np.ndarray) else columns.toarray()
            H = columns.T @ (columns * limit[:, None])
        else:
            H = H[np.ix_(features, features)]
        H = np.where(outputs[:, None] == outputs, H, 0.0)
        H[np.diag_indices(b.size)] += self.ridge[b]
        return H

    def hessian(self, b: np.ndarray) -> np.ndarray:
        """Block of the Hessian here."""
        curvature = self.datafit.hessian_diag(self.y, self.z)
        share = self.share if curvature.ndim == 1 else self.share[:, None]
        return self._weighted_gram(b, curvature * share)

    def times(self, d: np.ndarray) -> np.ndarray:
        """Majorising matrix times a sparse direction."""
        used = np.flatnonzero(d)
        outputs, features = self._places(used)
        product = np.zeros((self.n, self.outputs))
        for k in np.unique(outputs):
            mine = outputs == k
            product[:, k] = self._columns(features[mine]) @ d[used[mine]]
        product *= (self.share * self._curvature_bound)[:, None]
        return np.asarray(self.X.T @ product).T.ravel() + self.ridge * d

    def row_sums(self) -> np.ndarray | None:
        """Sums of absolute entries of the majorising matrix, None when too large."""
        H = self.gram()
        if H is None:
            return None
        return np.tile(np.abs(H).sum(axis=1), self.outputs) + self.ridge

    def value(self) -> float:
        """F at the point."""
        return self._loss(self.z) + 0.5 * float(np.sum(self.ridge * self.w**2))

    def _shift(self, b: np.ndarray, d: np.ndarray) -> np.ndarray:
        """Change of the predictions by a block step."""
        outputs, features = self._places(b)
        if not self.datafit.multi_output:
            return np.asarray(self._columns(features) @ d)
        directions = np.zeros((b.size, self.outputs))
        directions[np.arange(b.size), outputs] = d
        return np.asarray(self._columns(features) @ directions)

    def value_at(self, b: np.ndarray, d: np.ndarray) -> float:
        """F at the point plus a block step."""
        rest = 0.5 * float(np.sum(self.ridge * self.w**2))
        new = self.w[b] + d
        rest += 0.5 * float(np.sum(self.ridge[b] * (new**2 - self.w[b] ** 2)))
        return self._loss(self.z + self._shift(b, d)) + rest

    def move(self, b: np.ndarray, d: np.ndarray) -> None:
        """Take a block step."""
        self.w[b] += d
        self.z = self.z + self._shift(b, d)
        self._refresh()
        if self.exact and self._full is not None and self._gram is not None:
            self._full += self._gram[:, b] @ d
            self._full[b] += self.ridge[b] * d
        else:
            self._full = None
        if self.fit_intercept:
            self._settle_intercept()

    def third(self, b: np.ndarray) -> float:
        """Lipschitz constant of the Hessian on a block (squares and logistic)."""
        if self.exact:
            return 0.0
        if not isinstance(self.datafit, Logistic):
            raise ValueError("the rule 'GSC' is defined for Quadratic and Logistic")
        columns = self._columns(self._places(b)[1])
        columns = columns if isinstance(columns, np.ndarray) else columns.toarray()
        reach = float(np.sqrt(np.max(np.sum(columns**2, axis=1), initial=0.0)))
        top = float(np.linalg.eigvalsh(self.bound(b))[-1]) / self._curvature_bound
        return LOGISTIC_THIRD * reach * top


class QuadraticModel(SmoothModel):
    """``w^T A w / 2 - c^T w`` with a symmetric A, kept sparse."""

    exact = True

    def __init__(self, A: Any, c: np.ndarray, w: np.ndarray) -> None:
        from scipy.sparse import csc_array

        self.A = csc_array(A)
        self.c = c
        self.w = np.array(w, np.float64)
        self.size = c.size
        self.lipschitz = np.maximum(self.A.diagonal(), 0.0)
        self._gradient = self.A @ self.w - c

    def gradient(self, b: np.ndarray) -> np.ndarray:
        """Gradient on a block."""
        return self._gradient[b]

    def full_gradient(self) -> np.ndarray:
        """Gradient on all coordinates."""
        return self._gradient

    def bound(self, b: np.ndarray) -> np.ndarray:
        """Block of the matrix."""
        return self.A[:, b][b].toarray()

    def sparse_block(self, b: np.ndarray) -> Any:
        """Block of the matrix as plain CSR."""
        return as_csr(self.A[:, b][b])

    def hessian(self, b: np.ndarray) -> np.ndarray:
        """Block of the matrix."""
        return self.bound(b)

    def times(self, d: np.ndarray) -> np.ndarray:
        """A d."""
        return self.A @ d

    def row_sums(self) -> np.ndarray | None:
        """Sums of absolute entries of the rows."""
        return np.asarray(abs(self.A).sum(axis=0)).ravel()

    def value(self) -> float:
        """F at the point."""
        return 0.5 * float(self.w @ (self._gradient - self.c))

    def value_at(self, b: np.ndarray, d: np.ndarray) -> float:
        """F at the point plus a block step."""
        curvature = float(d @ (self.A[:, b] @ d)[b])
        return self.value() + float(self._gradient[b] @ d) + 0.5 * curvature

    def move(self, b: np.ndarray, d: np.ndarray) -> None:
        """Take a block step."""
        self.w[b] += d
        self._gradient += self.A[:, b] @ d

    def third(self, b: np.ndarray) -> float:
        """Zero: the Hessian is constant."""
        return 0.0
