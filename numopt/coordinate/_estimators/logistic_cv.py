# SPDX-License-Identifier: BSD-3-Clause
"""Sparse logistic regression that chooses ``C`` by cross-validation."""

from numbers import Integral, Real
from typing import Any

import numpy as np

from numopt._docstring import fill_docstring
from numopt._estimator.sklearn_compat import Interval, StrOptions
from numopt.coordinate._estimators.base import COMMON, linear_score
from numopt.coordinate._estimators.classifiers import (
    ProbabilisticClassifier,
    inverse_penalty,
)
from numopt.coordinate._estimators.cross_validation import Fold, RatioSearch
from numopt.coordinate._estimators.shared_docs import PARTS
from numopt.coordinate._problem.penalties import Penalty
from numopt.coordinate._solvers.paths import logistic_path
from numopt.coordinate._solvers.results import PathResult

__all__ = ["SparseLogisticRegressionCV"]


@fill_docstring(**PARTS)
class SparseLogisticRegressionCV(RatioSearch, ProbabilisticClassifier):
    """Sparse logistic regression with ``C`` chosen by cross-validation.

    Parameters
    ----------
    Cs : int or array-like of shape (n_Cs,), default=10
        The grid of inverse strengths, or its length: then it runs from 1e-4 to 1e4 on a
        logarithmic scale, as in scikit-learn.
    l1_ratio : float or array-like of shape (n_ratios,), default=1.0
        Share of the L1 norm, between 0 and 1; the best of several is chosen.
    {folds}
    scoring : {"accuracy", "neg_log_loss"}, default="accuracy"
        What the chosen ``C`` maximises in the mean; ties go to the smaller ``C``.
    {n_jobs}
    {fit_intercept}
    {class_weight}
    {cv_stopping}

    Attributes
    ----------
    C_ : float
        The chosen inverse strength.
    l1_ratio_ : float
        The chosen share.
    Cs_ : ndarray of shape (n_Cs,)
        The grid, increasing.
    scores_ : ndarray of shape (n_Cs, n_folds)
        Accuracy on the test side of each fold; this and the next arrays have a first
        axis for the shares where several are given.
    log_loss_path_ : ndarray of shape (n_Cs, n_folds)
        Mean logistic loss on the test side of each fold.
    train_log_loss_path_ : ndarray of shape (n_Cs, n_folds)
        Mean logistic loss on the training side.
    time_path_ : ndarray of shape (n_Cs, n_folds)
        Seconds from the start of the path of a fold to the end of each strength.
    {class_coef}
    {result}
    {features}

    See Also
    --------
    SparseLogisticRegression : One ``C``.

    References
    ----------
    Nutini, Laradji and Schmidt (2022), JMLR 23(131).

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from numopt.coordinate import SparseLogisticRegressionCV
    >>> X, y = load_iris(return_X_y=True)
    >>> model = SparseLogisticRegressionCV([0.01, 0.1], cv=3).fit(X, y == 2)
    >>> model.C_
    0.1
    """

    _parameter_constraints: dict[str, Any] = {
        "Cs": [Interval(Integral, 1, None, closed="left"), "array-like"],
        "l1_ratio": [Interval(Real, 0, 1, closed="both"), "array-like"],
        "cv": ["cv_object"],
        "scoring": [StrOptions({"accuracy", "neg_log_loss"})],
        "n_jobs": [Integral, None],
        "class_weight": [dict, StrOptions({"balanced"}), None],
        **COMMON,
    }
    _strength = "C_"
    _tables = ("scores_", "log_loss_path_", "train_log_loss_path_", "time_path_")

    def __init__(
        self,
        Cs: Any = 10,
        *,
        l1_ratio: Any = 1.0,
        cv: Any = None,
        scoring: str = "accuracy",
        n_jobs: int | None = None,
        fit_intercept: bool = True,
        class_weight: Any = None,
        max_iter: int = 1000,
        tol: float = 1e-6,
        verbose: int = 0,
    ) -> None:
        self.Cs = Cs
        self.l1_ratio = l1_ratio
        self.cv = cv
        self.scoring = scoring
        self.n_jobs = n_jobs
        self.fit_intercept = fit_intercept
        self.class_weight = class_weight
        self.max_iter = max_iter
        self.tol = tol
        self.verbose = verbose

    def _penalty(self, total: float) -> Penalty:
        """Penalty of the chosen ``C``."""
        return inverse_penalty(self.C_, self.l1_ratio_, total)

    def _make_grid(self, X: Any, y: np.ndarray, weights: np.ndarray | None) -> None:
        """Set the grid, increasing."""
        if isinstance(self.Cs, Integral):
            self.Cs_ = np.logspace(-4, 4, int(self.Cs))
            return
        grid = np.sort(np.asarray(self.Cs, np.float64))
        if grid.ndim != 1 or grid.size == 0 or not np.all(grid > 0):
            raise ValueError(f"`Cs` must be positive numbers, got {self.Cs}")
        self.Cs_ = grid

    def _score_fold(self, X: Any, y: np.ndarray, fold: Fold) -> dict[str, np.ndarray]:
        """Log losses and accuracies on both sides of one fold, for increasing C."""
        codes = y[fold.train]
        if np.unique(codes).size < self.classes_.size:
            raise ValueError(
                "`cv` must leave every class in the training side of each fold, got a "
                "fold without some; use fewer folds"
            )
        weights = self._weigh(codes, fold.train_weights)
        total = float(codes.size if weights is None else weights.sum())
        path = logistic_path(
            X[fold.train],
            codes,
            alphas=1.0 / (self.Cs_ * total),
            l1_ratio=self._ratio,
            fit_intercept=self.fit_intercept,
            sample_weight=weights,
            max_iter=self.max_iter,
            tol=self.tol,
        )
        found = {"time": path.history["time"]}
        for name, rows, side_weights in fold.sides():
            rates = self._rates(X[rows], y[rows], path, side_weights)
            found[f"{name} loss"], found[f"{name} accuracy"] = rates
        return found

    def _rates(
        self, X: Any, y: np.ndarray, path: PathResult, weights: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Mean log loss and accuracy at each strength of a path."""
        losses, hits = [], []
        datafit = self._datafit()
        targets = y if datafit.multi_output else 2.0 * y - 1.0
        for k in range(self.Cs_.size):
            z = linear_score(X, path.coefs[..., k], path.intercepts[..., k])
            guess = np.argmax(z, axis=1) if z.ndim == 2 else (z > 0).astype(int)
            losses.append(np.average(datafit.value(targets, z), weights=weights))
            hits.append(np.average(guess == y, weights=weights))
        return np.asarray(losses), np.asarray(hits)

    def _decide(self, tables: dict[str, np.ndarray], shares: np.ndarray) -> float:
        """Take the ``C`` of the best mean score, the smallest among equals."""
        self.scores_ = tables["test accuracy"]
        self.log_loss_path_ = tables["test loss"]
        self.train_log_loss_path_ = tables["train loss"]
        self.time_path_ = tables["time"]
        paths = {"accuracy": self.scores_, "neg_log_loss": -self.log_loss_path_}
        means = paths[self.scoring] @ shares
        self.C_ = float(self.Cs_[np.argmax(means)])
        return float(means.max())
