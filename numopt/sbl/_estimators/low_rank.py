# SPDX-License-Identifier: BSD-3-Clause
"""Kernel matrices of low numerical rank, and regressions compressed by it."""

import math

import numpy as np
from scipy.linalg import solve_triangular

from numopt.sbl._estimators.centring import ROUNDING, Centred
from numopt.sbl._problem import SBLProblem

__all__ = ["compressed", "rbf_factor"]

TOLERANCE = 1e-13  # largest entry of the matrix that is left out; its diagonal is one
JITTER = 1e-13  # of the trace, on the diagonal of the products of the factor's columns
LARGEST = 0.25  # rank over size above which the matrix itself is the better choice


def rbf_factor(X: np.ndarray, gamma: float) -> np.ndarray | None:
    """L (n, r) with ``exp(-gamma |x_i - x_j|^2) = L L^T`` to rounding, or None.

    Cholesky factorisation with diagonal pivots: column after column, of the point that
    is represented worst (Fine and Scheinberg 2001). None when the rank is not small.
    """
    n = X.shape[0]
    most = int(LARGEST * n)
    squares = np.einsum("ij,ij->i", X, X)
    rows = np.empty((most, n))
    left = np.ones(n)
    for k in range(most):
        pivot = int(left.argmax())
        worst = left[pivot]
        if worst <= TOLERANCE:
            return rows[:k].T
        distance = squares + squares[pivot] - 2.0 * (X @ X[pivot])
        column = np.exp(-gamma * np.maximum(distance, 0.0))
        column[pivot] = 1.0
        column -= rows[:k, pivot] @ rows[:k]
        column /= math.sqrt(worst)
        rows[k] = column
        left -= column * column
    return None


def compressed(factor: np.ndarray, Y: np.ndarray) -> Centred:
    """The regression of Y on the centred columns of ``K = L L^T`` in r + 1 rows.

    With ``Q R`` the factors of the centred L the dictionary is ``Q (R L^T)``. Turning
    by Q keeps all inner products, and one more row holds what Y has outside its range.
    R is a Cholesky factor: what it adds to the diagonal is of the size of rounding in
    the products of columns of the dictionary, which is all that the solver uses.
    """
    n = factor.shape[0]
    y_mean = Y.mean(axis=0)
    target = Y - y_mean
    target[:, np.sum(target**2, axis=0) <= ROUNDING * n * y_mean**2] = 0.0
    column_mean = factor.mean(axis=0)
    centred_factor = factor - column_mean
    products = centred_factor.T @ centred_factor
    tiny = np.finfo(np.float64).tiny  # equal points: nothing is left
    products[np.diag_indices_from(products)] += JITTER * products.trace() + tiny
    lower = np.linalg.cholesky(products)
    A = np.concatenate([lower.T @ factor.T, np.zeros((1, n))])
    inside = solve_triangular(lower, centred_factor.T @ target, lower=True)
    rest = np.sum(target**2, axis=0) - np.sum(inside**2, axis=0)
    outside = np.sqrt(np.maximum(rest, 0.0))[None, :]
    energies = np.einsum("ij,ij->j", A, A)
    x_mean = factor @ column_mean
    energies[energies <= ROUNDING * n * x_mean**2] = 0.0
    problem = SBLProblem(
        A=A, Y=np.concatenate([inside, outside]), vector=True, rows=float(n)
    )
    return Centred(problem, x_mean, y_mean, energies, None)
