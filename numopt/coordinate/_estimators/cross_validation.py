# SPDX-License-Identifier: BSD-3-Clause
"""Choice of the penalty by cross-validation along paths that all folds share."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from joblib import Parallel, delayed
from sklearn.model_selection import check_cv
from sklearn.utils import indexable

__all__ = ["Fold", "folds_of", "geometric_grid", "run_folds"]


class Fold(NamedTuple):
    """Rows of one split and the sample weights on both sides."""

    train: np.ndarray
    test: np.ndarray
    train_weights: np.ndarray | None
    test_weights: np.ndarray | None


def folds_of(
    cv: Any, X: Any, y: np.ndarray, weights: np.ndarray | None, *, classifier: bool
) -> list[Fold]:
    """Splits by scikit-learn's rules; folds without weight on a side are refused."""
    X, y = indexable(X, y)
    splitter = check_cv(cv, y, classifier=classifier)
    folds = []
    for train, test in splitter.split(X, y):
        sides = [None if weights is None else weights[rows] for rows in (train, test)]
        for side in sides:
            if side is not None and not np.any(side > 0):
                raise ValueError(
                    "`sample_weight` must be positive somewhere in both sides of each "
                    "fold, got a fold with zeros only"
                )
        folds.append(Fold(train, test, *sides))
    return folds


def geometric_grid(top: float, eps: float, n_alphas: int) -> np.ndarray:
    """Decreasing grid from the largest useful strength to ``eps`` times it."""
    if top <= np.finfo(float).resolution:
        # Nothing to select (a constant target): any positive strength is the same.
        return np.full(n_alphas, np.finfo(float).resolution)
    grid = np.geomspace(top, top * eps, n_alphas)
    grid[0] = top
    return grid


def run_folds(
    score: Callable[[Fold], tuple[np.ndarray, np.ndarray]],
    folds: list[Fold],
    n_jobs: int | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Training and test scores (n_alphas, n_folds), folds in parallel threads."""
    parts = Parallel(n_jobs=n_jobs, prefer="threads")(
        delayed(score)(fold) for fold in folds
    )
    train, test = zip(*parts, strict=True)
    return np.column_stack(train), np.column_stack(test)


def fold_shares(folds: list[Fold]) -> np.ndarray:
    """Weight of each fold in the mean: equal, or the weight of its test side."""
    if folds[0].test_weights is None:
        return np.full(len(folds), 1.0 / len(folds))
    sums = np.asarray([np.sum(fold.test_weights) for fold in folds])
    return sums / sums.sum()
