# SPDX-License-Identifier: BSD-3-Clause
"""Fitted models with rows exchanged or appended, and their predictive deviations."""

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from numopt.completion._estimators.pairs import Triplets
from numopt.completion._problem import observations

if TYPE_CHECKING:
    from numopt.completion._solvers import CompletionResult

__all__ = ["predictive_std", "values_at", "with_solved_rows"]


def _with_rows(
    result: "CompletionResult",
    solved: "CompletionResult | None",
    rows: np.ndarray,
    shape: tuple[int, int],
) -> "CompletionResult":
    """Return the model of ``shape`` in which some rows are those of ``solved``.

    Rows and columns that the model did not have get zeros, and their prior as
    posterior.
    """
    fields: dict[str, Any] = {
        "row_factors": _grown(result.row_factors, shape[0]),
        "col_factors": _grown(result.col_factors, shape[1]),
        "row_bias": _grown(result.row_bias, shape[0]),
        "col_bias": _grown(result.col_bias, shape[1]),
    }
    posterior = result.posterior
    if posterior is not None:
        row_cov = _grown_cov(posterior.row_cov, posterior.row_precision, shape[0])
        col_cov = _grown_cov(posterior.col_cov, posterior.col_precision, shape[1])
        if solved is not None and solved.posterior is not None:
            row_cov[rows] = solved.posterior.row_cov
        posterior = dataclasses.replace(posterior, row_cov=row_cov, col_cov=col_cov)
    if solved is not None:
        fields["row_factors"][rows] = solved.row_factors
        fields["row_bias"][rows] = solved.row_bias
    return dataclasses.replace(result, posterior=posterior, **fields)


def with_solved_rows(
    result: "CompletionResult",
    entries: Triplets,
    touched: np.ndarray,
    shape: tuple[int, int],
) -> "CompletionResult":
    """Return the model of ``shape`` with the rows ``touched`` solved for again."""
    every = entries.row_ids()
    inside = np.isin(every, touched) & (entries.cols < result.shape[1])
    if not inside.any():
        return _with_rows(result, None, touched, shape)
    weights = entries.weights
    known = observations(
        (
            np.searchsorted(touched, every[inside]),
            entries.cols[inside],
            entries.values[inside],
        ),
        shape=(touched.size, result.shape[1]),
        weights=None if weights is None else weights[inside],
    )
    return _with_rows(result, result.fold_in(known), touched, shape)


def values_at(result: "CompletionResult", pairs: np.ndarray) -> np.ndarray:
    """Model at pairs; what is unknown of a pair counts as 0."""
    rows, cols = pairs[:, 0], pairs[:, 1]
    row_known, col_known = rows < result.shape[0], cols < result.shape[1]
    rows, cols = np.where(row_known, rows, 0), np.where(col_known, cols, 0)
    values = result.intercept + np.where(row_known, result.row_bias[rows], 0)
    values = values + np.where(col_known, result.col_bias[cols], 0)
    products = np.empty(rows.size, dtype=result.row_factors.dtype)
    for lo in range(0, rows.size, 1 << 16):
        part = slice(lo, lo + (1 << 16))
        products[part] = np.einsum(
            "ij,ij->i", result.row_factors[rows[part]], result.col_factors[cols[part]]
        )
    values = values + np.where(row_known & col_known, products, 0)
    return values.astype(products.dtype, copy=False)


def predictive_std(result: "CompletionResult", pairs: np.ndarray) -> np.ndarray:
    """Predictive standard deviations; unknown rows and columns have their prior."""
    m, n = result.shape
    rows, cols = pairs[:, 0], pairs[:, 1]
    # One more row and column stand for all that are unknown.
    needed = (m + int((rows >= m).any()), n + int((cols >= n).any()))
    if needed != (m, n):
        result = _with_rows(result, None, rows[:0], needed)
    places = np.minimum(rows, needed[0] - 1), np.minimum(cols, needed[1] - 1)
    deviations = np.empty(pairs.shape[0], dtype=result.row_factors.dtype)
    for lo in range(0, pairs.shape[0], 1 << 14):
        part = slice(lo, lo + (1 << 14))
        _, deviations[part] = result.predict(
            places[0][part], places[1][part], return_std=True
        )
    return deviations


def _grown(a: np.ndarray, extent: int) -> np.ndarray:
    """Copy with zeros appended along the first axis."""
    more = extent - a.shape[0]
    return np.pad(a, [(0, more)] + [(0, 0)] * (a.ndim - 1))


def _grown_cov(cov: np.ndarray, precision: np.ndarray, extent: int) -> np.ndarray:
    """Copy with the prior covariance appended."""
    more = extent - cov.shape[0]
    prior = np.broadcast_to(np.diag(1 / precision), (more, *cov.shape[1:]))
    return np.concatenate([cov, prior.astype(cov.dtype)])
