# SPDX-License-Identifier: BSD-3-Clause
"""Fitted models with rows exchanged or appended, and their predictive deviations."""

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numopt.completion._solvers import CompletionResult

__all__ = ["predictive_std", "with_rows"]


def with_rows(
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


def predictive_std(result: "CompletionResult", pairs: np.ndarray) -> np.ndarray:
    """Predictive standard deviations; unknown rows and columns have their prior."""
    m, n = result.shape
    rows, cols = pairs[:, 0], pairs[:, 1]
    # One more row and column stand for all that are unknown.
    needed = (m + int((rows >= m).any()), n + int((cols >= n).any()))
    if needed != (m, n):
        result = with_rows(result, None, rows[:0], needed)
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
