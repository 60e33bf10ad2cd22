# SPDX-License-Identifier: BSD-3-Clause
"""Choice of rank and penalty, and the uncertainty of held-out errors."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from numopt._array.namespace import array_namespace, to_numpy
from numopt._array.random import as_generator
from numopt._validation import (
    check_choice,
    check_int,
    check_real,
    check_shape,
    check_values,
    float_arrays,
    message,
)
from numopt.completion._problem import Observations, observations
from numopt.completion._solvers.complete import fit, make_options
from numopt.completion._solvers.result import CompletionResult
from numopt.completion._solvers.spectral import truncated_svd

__all__ = ["RMSEResult", "completion_path", "estimate_rank", "heldout_rmse"]

#: Share of the entries kept back to choose the rank.
HELD = 0.1


@dataclasses.dataclass(frozen=True)
class RMSEResult:
    """Root mean squared error with its uncertainty.

    Parameters
    ----------
    rmse : float
        Root mean squared error.
    se : float
        Standard error.
    low : float
        Lower end of the confidence interval, at least 0.
    high : float
        Upper end of the confidence interval.
    n : int
        Number of entries.

    Examples
    --------
    >>> from numopt.completion import heldout_rmse
    >>> heldout_rmse([1.0, 2.0, 3.0], [1.0, 2.0, 4.0]).n
    3
    """

    rmse: float
    se: float
    low: float
    high: float
    n: int


def heldout_rmse(
    y_true: Any, y_pred: Any, *, groups: Any = None, confidence: float = 0.95
) -> RMSEResult:
    """Root mean squared error on held-out entries, with a confidence interval.

    The standard error follows from the spread of the squared errors by the delta
    method; with ``groups`` (for example the rows) it is robust against dependence
    within a group.

    Parameters
    ----------
    y_true : array-like of shape (n,)
        Held-out values.
    y_pred : array-like of shape (n,)
        Their predictions.
    groups : array-like of shape (n,), default=None
        Labels of clusters.
    confidence : float, default=0.95
        Level of the interval, in (0, 1).

    Returns
    -------
    RMSEResult
        ``rmse``, ``se``, ``low``, ``high`` and ``n``.

    Raises
    ------
    ValueError
        When shapes differ, values are not finite or the level is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.completion import heldout_rmse
    >>> y = np.zeros(400)
    >>> error = np.random.default_rng(0).standard_normal(400)
    >>> found = heldout_rmse(y, error)
    >>> found.low < 1.0 < found.high
    True
    """
    from scipy.special import ndtri

    _, (y_true, y_pred) = float_arrays(y_true=y_true, y_pred=y_pred)
    if y_true.ndim != 1 or y_true.shape[0] == 0:
        raise ValueError(
            message("y_true", "a non-empty vector", f"shape {tuple(y_true.shape)}")
        )
    check_shape("y_pred", y_pred, tuple(y_true.shape), why="that of y_true")
    check_values("y_true", y_true)
    check_values("y_pred", y_pred)
    level = check_real(
        "confidence", confidence, low=0, high=1, include_low=False, include_high=False
    )
    square = (to_numpy(y_true) - to_numpy(y_pred)).astype(np.float64) ** 2
    n = square.shape[0]
    mean = float(square.mean())
    centred = square - mean
    if groups is not None:
        labels = np.asarray(groups)
        if labels.shape != square.shape:
            raise ValueError(message("groups", f"of shape ({n},)", labels.shape))
        centred = np.bincount(np.unique(labels, return_inverse=True)[1], centred)
    parts = centred.shape[0]
    variance = float((centred**2).sum()) * parts / max(parts - 1, 1) / n**2
    rmse = math.sqrt(mean)
    se = math.sqrt(variance) / (2 * rmse) if rmse > 0 else 0.0
    z = float(ndtri(0.5 + level / 2))
    return RMSEResult(rmse, se, max(0.0, rmse - z * se), rmse + z * se, n)


def completion_path(
    X: Any,
    alphas: Sequence[float],
    rank: int,
    *,
    shape: tuple[int, int] | None = None,
    weights: Any = None,
    **options: Any,
) -> list[CompletionResult]:
    """Fit a sequence of penalties with warm starts, from the largest to the smallest.

    Parameters
    ----------
    X : array with NaN, sparse matrix or ``(rows, cols, values)``
        Known entries, as in :func:`complete`.
    alphas : sequence of float
        Ridge penalties, in any order.
    rank : int
        Number of factors.
    shape : tuple of int, default=None
        Shape for triplets.
    weights : array, default=None
        Weights of the entries.
    **options
        Other options of :func:`complete` for the method "als".

    Returns
    -------
    list of CompletionResult
        One model a penalty, in the order of ``alphas``.

    Raises
    ------
    TypeError, ValueError
        On invalid data, penalties or options.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.completion import completion_path
    >>> X = np.random.default_rng(0).standard_normal((8, 6))
    >>> X[::2, ::3] = np.nan
    >>> path = completion_path(X, [0.1, 1.0], rank=2)
    >>> bool(path[0].objective < path[1].objective)
    True
    """
    values = [check_real("alphas", a, low=0) for a in np.asarray(alphas).tolist()]
    if not values:
        raise ValueError(message("alphas", "non-empty", "no penalty"))
    problem = observations(X, shape=shape, weights=weights)
    found: dict[int, CompletionResult] = {}
    start = None
    for i in sorted(range(len(values)), key=lambda i: -values[i]):
        checked = make_options(
            problem, rank, **{"method": "als", **options, "alpha": values[i]}
        )
        found[i] = fit(problem, dataclasses.replace(checked, warm_start=start))
        start = _factors(found[i])
    return [found[i] for i in range(len(values))]


def _factors(result: CompletionResult) -> Any:
    """[U, b] and [V, c] for a warm start; None where all is shrunk to zero."""
    xp = array_namespace(result.row_factors)
    if not float(to_numpy(result.singular_values[0])) > 0:
        return None
    return (
        xp.concat([result.row_factors, result.row_bias[:, None]], axis=1),
        xp.concat([result.col_factors, result.col_bias[:, None]], axis=1),
    )


def estimate_rank(
    X: Any,
    max_rank: int = 50,
    *,
    shape: tuple[int, int] | None = None,
    method: str = "heldout",
    random_state: Any = None,
) -> int:
    """Estimate the rank of a partly known matrix.

    Parameters
    ----------
    X : array with NaN, sparse matrix or ``(rows, cols, values)``
        Known entries, as in :func:`complete`.
    max_rank : int, default=50
        Largest rank tried; it is cut to min(m, n).
    shape : tuple of int, default=None
        Shape for triplets.
    method : {"heldout", "spectral"}, default="heldout"
        "heldout" fits ranks 1, 2, 4, ... on 90 % of the entries and takes the smallest
        whose error on the rest is within one standard error of the best, then refines
        between the neighbours. "spectral" takes the largest gap between
        neighbouring singular values of the known entries: fast, for well-sampled data
        with a flat spectrum.
    random_state : int, Generator or None, default=None
        Seed.

    Returns
    -------
    int
        Rank, at least 1.

    Raises
    ------
    TypeError, ValueError
        On invalid data or options.

    Examples
    --------
    >>> from numopt.datasets import make_low_rank
    >>> from numopt.completion import estimate_rank
    >>> entries = make_low_rank(80, 60, 3, n_obs=3000, noise=0.1, random_state=0)[:3]
    >>> estimate_rank(entries, 10, random_state=0)
    3
    """
    check_choice("method", method, ("heldout", "spectral"))
    top = check_int("max_rank", max_rank, low=1)
    problem = observations(X, shape=shape)
    top = min(top, *problem.shape)
    if method == "spectral":
        return _spectral_rank(problem, top, random_state)
    return _heldout_rank(problem, top, random_state)


def _spectral_rank(problem: Observations, top: int, random_state: Any) -> int:
    """Largest ratio of neighbouring singular values of the known entries."""
    count = min(top + 1, *problem.shape)
    _, s, _ = truncated_svd(
        problem, problem.by_row.values, count, as_generator(random_state)
    )
    s = to_numpy(s).astype(np.float64)
    if count < 2:
        return 1
    return int(np.argmax(s[:-1] / np.maximum(s[1:], np.finfo(np.float64).tiny))) + 1


def _heldout_rank(problem: Observations, top: int, random_state: Any) -> int:
    """One-standard-error rule over a doubling grid, refined by halving."""
    rng = as_generator(random_state)
    N = problem.n_observed
    held = rng.permutation(N) < max(1, round(HELD * N))
    xp = problem.xp
    places = xp.asarray(np.flatnonzero(held))
    rows = xp.take(problem.by_row.line_ids(), places)
    cols = xp.take(problem.by_row.indices, places)
    truth = xp.take(problem.by_row.values, places)
    kept = problem.subset(xp.asarray(np.flatnonzero(~held)))
    seed = int(rng.integers(2**31))
    errors: dict[int, RMSEResult] = {}

    def error(rank: int) -> RMSEResult:
        if rank not in errors:
            options = make_options(
                kept, rank, alpha="auto", max_iter=30, tol=1e-3, random_state=seed,
                warn=False,
            )  # fmt: skip
            guess = fit(kept, options).predict(rows, cols)
            errors[rank] = heldout_rmse(truth, guess)
        return errors[rank]

    grid = [1]
    while grid[-1] < top:
        grid.append(min(2 * grid[-1], top))
        if len(grid) > 2 and error(grid[-2]).rmse > 1.02 * min(
            error(r).rmse for r in grid[:-2]
        ):
            break
    best = min((error(r) for r in grid), key=lambda e: e.rmse)
    limit = best.rmse + best.se

    def good(rank: int) -> bool:
        return error(rank).rmse <= limit

    chosen = next(r for r in grid if good(r))
    low = max((r for r in grid if r < chosen), default=0)
    while chosen - low > 1:
        middle = (low + chosen) // 2
        if good(middle):
            chosen = middle
        else:
            low = middle
    return chosen
