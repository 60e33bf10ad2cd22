# SPDX-License-Identifier: BSD-3-Clause
"""Centring of dense, sparse and weighted data, without copies where digits allow it."""

import dataclasses
import math
from typing import Any, NamedTuple

import numpy as np

from numopt._array.namespace import numpy_namespace, read_only
from numopt._array.sparse import is_sparse
from numopt._estimator.sklearn_compat import check_sample_weight
from numopt.sbl._kernels import column_moments
from numopt.sbl._problem import SBLProblem
from numopt.sbl._solvers.fast import GramRows

__all__ = ["Centred", "Sums", "centred", "check_weights", "column_sums", "summed"]

#: A column whose centred energy is below this part of its raw energy is constant.
ROUNDING = 1e-24
#: Products may be centred afterwards while they lose no more than this factor.
CANCELLATION = 1e4


class Sums(NamedTuple):
    """Means, energies and products with a target, all centred, and what that lost."""

    mean: np.ndarray
    energy: np.ndarray
    product: np.ndarray
    target: tuple[float, float, float, float]

    @property
    def lost(self) -> float:
        """Largest ratio of an energy taken away to the energy left."""
        return self.target[2]

    @property
    def finite(self) -> bool:
        """Whether all entries of the data are; their squares may overflow before."""
        return math.isfinite(self.target[3])


def column_sums(X: np.ndarray, y: np.ndarray, centre: bool) -> Sums:
    """One pass over a C-order matrix of doubles, and a vector or none."""
    moments = column_moments.for_namespace(numpy_namespace)
    return Sums(*moments(read_only(X), read_only(y), centre))


@dataclasses.dataclass(frozen=True, slots=True)
class Centred:
    """Data of a regression through the origin, and what was taken away."""

    problem: SBLProblem
    x_mean: np.ndarray
    y_mean: np.ndarray
    energies: np.ndarray | None  # of the centred columns
    hidden_mean: np.ndarray | None  # column means that the dictionary still contains
    products: np.ndarray | None = None  # of centred columns and target, where known

    @property
    def gram(self) -> GramRows:
        """Gram rows of the centred dictionary, none of them made."""
        problem = self.problem
        return GramRows(
            problem.A, problem.rows, energies=self.energies, mean=self.hidden_mean
        )

    def target(self, k: int) -> "Centred":
        """The regression of one of several targets."""
        problem = dataclasses.replace(
            self.problem, Y=self.problem.Y[:, [k]], vector=True
        )
        return dataclasses.replace(
            self, problem=problem, y_mean=self.y_mean[[k]], products=None
        )


def check_weights(sample_weight: Any, X: Any) -> np.ndarray | None:
    """Validate weights of samples, not all of them zero."""
    if sample_weight is None:
        return None
    weights = check_sample_weight(
        sample_weight, X, dtype=np.float64, ensure_non_negative=True
    )
    if not np.any(weights > 0):  # pragma: no cover - new scikit-learn refuses it first
        raise ValueError("`sample_weight` must have a positive entry, got zeros only")
    return weights


def centred(
    X: Any,
    Y: np.ndarray,
    weights: np.ndarray | None,
    centre: bool,
    *,
    implicit: bool,
    sums: Sums | None = None,
) -> Centred:
    """Centre by weighted means and scale rows by the roots of their weights.

    With ``implicit`` the dictionary may keep its means: a product of two columns is
    then corrected afterwards, as ``hidden_mean`` says. ``sums`` are those of X where
    they are known.
    """
    rows = float(X.shape[0]) if weights is None else float(weights.sum())
    y_mean = np.zeros(Y.shape[1])
    if centre:
        y_mean = Y.mean(axis=0) if weights is None else weights @ Y / rows
    R = Y - y_mean
    if weights is not None:
        R *= np.sqrt(weights)[:, None]
    # What is left of a constant target or column is rounding, not signal.
    R[:, np.sum(R * R, axis=0) <= ROUNDING * rows * y_mean**2] = 0.0
    if is_sparse(X):
        A, x_mean, energies, hidden = _sparse(X, weights, rows, centre, implicit)
    else:
        A, x_mean, energies, hidden = _dense(X, weights, rows, centre, implicit, sums)
    problem = SBLProblem(A=A, Y=R, vector=R.shape[1] == 1, rows=rows)
    return Centred(problem, x_mean, y_mean, energies, hidden)


def summed(X: np.ndarray, y: np.ndarray, sums: Sums, centre: bool) -> Centred | None:
    """The same of one target without weights; None where that would lose digits."""
    if not sums.lost <= CANCELLATION:
        return None
    mean = np.array([sums.target[0]]) if centre else np.zeros(1)
    R = (y - mean)[:, None]
    problem = SBLProblem(A=X, Y=R, vector=True, rows=float(y.size))
    hidden = sums.mean if centre else None
    return Centred(problem, sums.mean, mean, sums.energy, hidden, sums.product)


_Built = tuple[Any, np.ndarray, np.ndarray, np.ndarray | None]


def _dense(
    X: Any,
    weights: np.ndarray | None,
    rows: float,
    centre: bool,
    implicit: bool,
    sums: Sums | None = None,
) -> _Built:
    """Dictionary, means, energies and hidden means of a dense matrix."""
    X = np.ascontiguousarray(X, np.float64)
    p = X.shape[1]
    if weights is None:
        sums = column_sums(X, np.empty(0), centre) if sums is None else sums
        x_mean, energies = sums.mean, sums.energy
        if not centre:
            return X, x_mean, energies, None
        if implicit and sums.lost <= CANCELLATION:
            return X, x_mean, energies, x_mean
    else:
        x_mean = weights @ X / rows if centre else np.zeros(p)
    Z = X - x_mean
    if weights is not None:
        Z *= np.sqrt(weights)[:, None]
    energies = np.einsum("ij,ij->j", Z, Z)
    constant = energies <= ROUNDING * rows * x_mean**2
    Z[:, constant] = 0.0
    energies[constant] = 0.0
    return Z, x_mean, energies, None


def _sparse(
    X: Any, weights: np.ndarray | None, rows: float, centre: bool, implicit: bool
) -> _Built:
    """Sparse data stay as they are unless the solver needs their entries."""
    from scipy.sparse import csc_array, diags_array

    A = csc_array(X, dtype=np.float64)
    root = np.ones(X.shape[0]) if weights is None else np.sqrt(weights)
    x_mean = A.T @ root**2 / rows if centre else np.zeros(X.shape[1])
    if not implicit:
        return _dense(A.toarray(), weights, rows, centre, implicit)
    if weights is not None:
        A = csc_array(diags_array(root) @ A)
    raw = np.asarray(A.multiply(A).sum(axis=0)).ravel()
    energies = raw - rows * x_mean**2
    energies[energies <= 1e-13 * raw] = 0.0
    return A, x_mean, energies, x_mean if centre else None
