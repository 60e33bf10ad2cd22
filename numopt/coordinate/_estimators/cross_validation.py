# SPDX-License-Identifier: BSD-3-Clause
"""Choice of the penalty by cross-validation along paths that all folds share."""

import abc
from collections.abc import Iterator
from typing import Any, NamedTuple, Self

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import is_classifier
from sklearn.model_selection import check_cv
from sklearn.utils import check_consistent_length

from numopt._estimator.sklearn_compat import fit_context
from numopt.coordinate._estimators.base import LinearEstimator

__all__ = ["CrossValidated", "Fold", "RatioSearch", "geometric_grid"]


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
    def _decide(self, tables: dict[str, np.ndarray], shares: np.ndarray) -> float:
        """Choose from the scores (n_strengths, n_folds) and the weights of folds.

        Returns the mean score of the choice, the larger the better.
        """

    @fit_context(prefer_skip_nested_validation=True)
    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, groups: Any = None
    ) -> Self:
        """Choose the strength by cross-validation, and fit the model with it.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Training data; Fortran order or CSC avoids a copy.
        y : array-like of shape (n_samples,)
            Targets: numbers of a regressor, classes of any type of a classifier.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights, used in the fits and in the scores; integers are the
            same as repeated rows.
        groups : array-like of shape (n_samples,), default=None
            Labels of samples that ``cv`` keeps together, such as ``GroupKFold()``.

        Returns
        -------
        self
            The fitted estimator.
        """
        return self._fit(X, y, sample_weight, groups=groups)

    def _choose(
        self,
        X: Any,
        y: np.ndarray,
        weights: np.ndarray | None,
        groups: Any = None,
        **options: Any,
    ) -> None:
        """Split the samples and search."""
        check_consistent_length(X, groups)
        self._search(X, y, weights, self._folds(X, y, weights, groups))

    def _search(
        self, X: Any, y: np.ndarray, weights: np.ndarray | None, folds: list[Fold]
    ) -> float:
        """Score all folds in parallel threads, each with its own path."""
        self._make_grid(X, y, weights)
        rows = X.tocsr() if hasattr(X, "tocsr") else X
        found = Parallel(n_jobs=self.n_jobs, prefer="threads")(
            delayed(self._score_fold)(rows, y, fold) for fold in folds
        )
        tables = {
            name: np.column_stack([scores[name] for scores in found])
            for name in found[0]
        }
        return self._decide(tables, fold_shares(folds))

    def _folds(
        self, X: Any, y: np.ndarray, weights: np.ndarray | None, groups: Any
    ) -> list[Fold]:
        """Splits by scikit-learn's rules; sides without any weight are refused."""
        splitter = check_cv(self.cv, y, classifier=is_classifier(self))
        folds = []
        for train, test in splitter.split(X, y, groups):
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


class RatioSearch(CrossValidated):
    """Chooses among several shares of the L1 norm too, on the same folds.

    ``_ratio`` is the share of the paths at hand, ``_strength`` names what is chosen on
    them, ``_tables`` the arrays that get an axis for the shares where several are
    given.
    """

    l1_ratio: Any
    _ratio: float = 1.0
    _strength: str

    @property
    @abc.abstractmethod
    def _tables(self) -> tuple[str, ...]:
        """Names of fitted arrays, one entry or row a strength."""

    def _search(
        self, X: Any, y: np.ndarray, weights: np.ndarray | None, folds: list[Fold]
    ) -> float:
        """Search along the paths of every share; the first of the best is taken."""
        scores, runs = [], []
        ratios = check_ratios(self.l1_ratio)
        for self._ratio in ratios.tolist():
            scores.append(super()._search(X, y, weights, folds))
            names = (self._strength, *self._tables)
            runs.append({name: getattr(self, name) for name in names})
        best = int(np.argmax(scores))
        self._ratio = self.l1_ratio_ = float(ratios[best])
        setattr(self, self._strength, runs[best][self._strength])
        if np.ndim(self.l1_ratio):
            for name in self._tables:
                setattr(self, name, np.stack([run[name] for run in runs]))
        return scores[best]


def check_ratios(l1_ratio: Any) -> np.ndarray:
    """One share of the L1 norm or several, as an array."""
    ratios = np.atleast_1d(np.asarray(l1_ratio, np.float64))
    if ratios.ndim != 1 or not ratios.size or not np.all((ratios >= 0) & (ratios <= 1)):
        raise ValueError(
            f"`l1_ratio` must be numbers between 0 and 1, got {l1_ratio!r}"
        )
    return ratios


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
