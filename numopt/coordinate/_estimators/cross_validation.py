# SPDX-License-Identifier: BSD-3-Clause
"""Choice of the penalty by cross-validation along paths that all folds share."""

import abc
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import is_classifier
from sklearn.model_selection import check_cv

from numopt.coordinate._estimators.base import LinearEstimator

__all__ = ["CrossValidated", "Fold", "geometric_grid"]


class Fold(NamedTuple):
    """Rows of one split and the sample weights on both sides."""

    train: np.ndarray
    test: np.ndarray
    train_weights: np.ndarray | None
    test_weights: np.ndarray | None

    def sides(self) -> Iterator[tuple[str, np.ndarray, np.ndarray | None]]:
        """Name, rows and weights of the training and of the test side."""
        yield "train", self.train, self.train_weights
        yield "test", self.test, self.test_weights


class CrossValidated(LinearEstimator, abc.ABC):
    """Chooses the strength along one path a fold, on one grid, before the fit."""

    cv: Any
    n_jobs: int | None

    @abc.abstractmethod
    def _make_grid(self, X: Any, y: np.ndarray, weights: np.ndarray | None) -> None:
        """Set the grid that all folds share."""

    @abc.abstractmethod
    def _score_fold(self, X: Any, y: np.ndarray, fold: Fold) -> dict[str, np.ndarray]:
        """Named scores at every strength for one fold."""

    @abc.abstractmethod
    def _decide(self, tables: dict[str, np.ndarray], shares: np.ndarray) -> None:
        """Choose from the scores (n_strengths, n_folds) and the weights of folds."""

    def _choose(self, X: Any, y: np.ndarray, weights: np.ndarray | None) -> None:
        """Score all folds in parallel threads, each with its own path."""
        self._make_grid(X, y, weights)
        folds = self._folds(X, y, weights)
        rows = X.tocsr() if hasattr(X, "tocsr") else X
        found = Parallel(n_jobs=self.n_jobs, prefer="threads")(
            delayed(self._score_fold)(rows, y, fold) for fold in folds
        )
        tables = {
            name: np.column_stack([scores[name] for scores in found])
            for name in found[0]
        }
        self._decide(tables, fold_shares(folds))

    def _folds(self, X: Any, y: np.ndarray, weights: np.ndarray | None) -> list[Fold]:
        """Splits by scikit-learn's rules; sides without any weight are refused."""
        splitter = check_cv(self.cv, y, classifier=is_classifier(self))
        folds = []
        for train, test in splitter.split(X, y):
            if weights is None:
                folds.append(Fold(train, test, None, None))
                continue
            if not (np.any(weights[train] > 0) and np.any(weights[test] > 0)):
                raise ValueError(
                    "`sample_weight` must be positive somewhere in both sides of each "
                    "fold, got a fold with zeros only"
                )
            folds.append(Fold(train, test, weights[train], weights[test]))
        return folds


def geometric_grid(top: float, eps: float, n_alphas: int) -> np.ndarray:
    """Decreasing grid from the largest useful strength to ``eps`` times it."""
    if top * eps < np.finfo(float).tiny:
        # Nothing to select (a constant target): any positive strength is the same.
        return np.full(n_alphas, np.finfo(float).resolution)
    grid = np.geomspace(top, top * eps, n_alphas)
    grid[0] = top
    return grid


def fold_shares(folds: list[Fold]) -> np.ndarray:
    """Weight of each fold in the mean: equal, or the weight of its test side."""
    weights = [fold.test_weights for fold in folds]
    sums = np.asarray([1.0 if side is None else side.sum() for side in weights])
    return sums / sums.sum()
