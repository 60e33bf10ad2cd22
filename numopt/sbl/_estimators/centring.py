# SPDX-License-Identifier: BSD-3-Clause
"""Centring of dense, sparse and weighted data, without copies where digits allow it."""

import dataclasses
from typing import Any

import numpy as np

from numopt._array.namespace import numpy_namespace, read_only
from numopt._array.sparse import is_sparse
from numopt._estimator.sklearn_compat import check_sample_weight
from numopt.sbl._kernels import column_moments
from numopt.sbl._problem import SBLProblem

__all__ = ["Centred", "centred", "check_weights"]

#: A column whose centred energy is below this part of its raw energy is constant.
ROUNDING = 1e-24
#: Products may be centred afterwards while they lose no more than this factor.
CANCELLATION = 1e4


@dataclasses.dataclass(frozen=True, slots=True)
class Centred:
    """Data of a regression through the origin, and what was taken away."""

    problem: SBLProblem
    x_mean: np.ndarray
    y_mean: np.ndarray
    energies: np.ndarray | None  # of the centred columns
    hidden_mean: np.ndarray | None  # column means that the dictionary still contains


def check_weights(sample_weight: Any, X: Any) -> np.ndarray | None:
    """Validate weights of samples, not all of them zero."""
    if sample_weight is None:
        return None
    weights = check_sample_weight(
        sample_weight, X, dtype=np.float64, ensure_non_negative=True
    )
    if not np.any(weights > 0):
        raise ValueError("`sample_weight` must have a positive entry, got zeros only")
    return weights


def centred(
    X: Any, Y: np.ndarray, weights: np.ndarray | None, centre: bool, *, implicit: bool
) -> Centred:
    """Centre by weighted means and scale rows by the roots of their weights.

    With ``implicit`` the dictionary may keep its means: a product of two columns is
    then corrected afterwards, as ``hidden_mean`` says.
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
    build = _sparse if is_sparse(X) else _dense
    A, x_mean, energies, hidden = build(X, weights, rows, centre, implicit)
    problem = SBLProblem(A=A, Y=R, vector=R.shape[1] == 1, rows=rows)
    return Centred(problem, x_mean, y_mean, energies, hidden)


_Built = tuple[Any, np.ndarray, np.ndarray, np.ndarray | None]


def _dense(
    X: Any, weights: np.ndarray | None, rows: float, centre: bool, implicit: bool
) -> _Built:
    """Dictionary, means, energies and hidden means of a dense matrix."""
    X = np.ascontiguousarray(X, np.float64)
    p = X.shape[1]
    if weights is None:
        shift = X[0].copy() if centre else np.zeros(p)
        moments = column_moments.for_namespace(numpy_namespace)
        first, second = moments(read_only(X), shift)
        if not centre:
            return X, shift, second, None
        first /= rows
        x_mean = shift + first
        energies = np.maximum(second - rows * first**2, 0.0)
        level = rows * np.maximum(x_mean**2, first**2)
        energies[energies <= ROUNDING * level] = 0.0
        if implicit and np.all(level <= CANCELLATION * energies):
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
