# SPDX-License-Identifier: BSD-3-Clause
"""Choice of rank and penalty, and the uncertainty of held-out errors."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from numopt._array.namespace import to_numpy
from numopt._array.random import as_generator
from numopt._validation import (
    check_choice,
    check_int,
    check_real,
    message,
)
from numopt.completion._problem import Observations, observations
from numopt.completion._solvers.complete import make_options
from numopt.completion._solvers.fit import fit, start_from
from numopt.completion._solvers.heldout import RMSEResult, heldout_rmse
from numopt.completion._solvers.rank import search_rank
from numopt.completion._solvers.result import CompletionResult
from numopt.completion._solvers.spectral import truncated_svd

__all__ = ["RMSEResult", "completion_path", "estimate_rank", "heldout_rmse"]


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
        start = start_from(found[i])
    return [found[i] for i in range(len(values))]


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
    options = make_options(
        problem, 1, alpha="auto", max_iter=30, tol=1e-3, random_state=random_state,
        warn=False,
    )  # fmt: skip
    return search_rank(problem, options, top)[0]


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
