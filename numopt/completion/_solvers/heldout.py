# SPDX-License-Identifier: BSD-3-Clause
"""Held-out errors: entries kept back, and the uncertainty of their mean square."""

import dataclasses
import math
from typing import Any

import numpy as np

from numopt._array.namespace import array_namespace, to_numpy
from numopt._array.random import as_generator
from numopt._validation import (
    check_present,
    check_real,
    check_shape,
    check_values,
    float_arrays,
    message,
)
from numopt.completion._problem import Observations
from numopt.typing import Array

__all__ = ["Holdout", "RMSEResult", "heldout_rmse", "split_entries"]


@dataclasses.dataclass(frozen=True)
class Holdout:
    """Entries kept back: their places and values."""

    rows: Array
    cols: Array
    values: Array

    def rmse(self, P: Array, Q: Array) -> float:
        """Root mean squared error under [U, b] and [V, c]."""
        xp = array_namespace(P)
        A = xp.take(P, self.rows, axis=0)
        B = xp.take(Q, self.cols, axis=0)
        guess = xp.sum(A[:, :-1] * B[:, :-1], axis=1) + A[:, -1] + B[:, -1]
        return math.sqrt(float(to_numpy(xp.mean((self.values - guess) ** 2))))


def split_entries(
    problem: Observations, share: float, random_state: Any
) -> tuple[Observations, Holdout]:
    """Keep a random share of the entries back, at least one."""
    xp = problem.xp
    N = problem.n_observed
    rng = as_generator(random_state)
    held = rng.permutation(N) < max(1, round(share * N))
    places = problem.entries(held)
    return problem.subset(~held), Holdout(
        xp.take(problem.by_row.line_ids(), places),
        xp.take(problem.by_row.indices, places),
        xp.take(problem.by_row.values, places),
    )


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
    check_present("y_true", y_true)
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
