# SPDX-License-Identifier: BSD-3-Clause
"""Sparse logistic regression that chooses ``C`` by cross-validation."""

from numbers import Integral, Real
from typing import Any, Self

import numpy as np

from numopt._estimator.sklearn_compat import (
    Interval,
    StrOptions,
    fit_context,
    validate_data,
)
from numopt.coordinate._estimators.base import SPARSE, STOPPING, linear_score
from numopt.coordinate._estimators.classifiers import (
    ProbabilisticClassifier,
    centred,
    encode_classes,
    with_class_weight,
)
from numopt.coordinate._estimators.cross_validation import (
    Fold,
    fold_shares,
    folds_of,
    run_folds,
)
from numopt.coordinate._problem.penalties import L1, ElasticNet, Penalty
from numopt.coordinate._solvers.paths import logistic_path

__all__ = ["SparseLogisticRegressionCV"]


class SparseLogisticRegressionCV(ProbabilisticClassifier):
    """Sparse logistic regression with ``C`` chosen by cross-validation.

    Parameters
    ----------
    Cs : int or array-like of shape (n_Cs,), default=10
        The grid of inverse strengths, or its length: then it runs from 1e-4 to 1e4 on a
        logarithmic scale, as in scikit-learn.
    l1_ratio : float, default=1.0
        Share of the L1 norm, between 0 and 1.
    cv : int, cross-validation generator or iterable, default=None
        Splits by scikit-learn's rules; None is 5 stratified folds.
    scoring : {"accuracy", "neg_log_loss"}, default="accuracy"
        What the chosen ``C`` maximises in the mean; ties go to the smaller ``C``.
    n_jobs : int, default=None
        Folds at a time, in threads.
    fit_intercept : bool, default=True
        Whether to fit an unpenalised intercept.
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes, times the sample weights.
    max_iter : int, default=1000
        Outer passes over the data for each strength.
    tol : float, default=1e-6
        Relative duality gap.
    verbose : int, default=0
        1 shows a progress bar of the final fit, 2 logs each pass.

    Attributes
    ----------
    C_ : float
        The chosen inverse strength.
    Cs_ : ndarray of shape (n_Cs,)
        The grid, increasing.
    scores_ : ndarray of shape (n_Cs, n_folds)
        Accuracy on the test side of each fold.
    log_loss_path_ : ndarray of shape (n_Cs, n_folds)
        Mean logistic loss on the test side of each fold.
    train_log_loss_path_ : ndarray of shape (n_Cs, n_folds)
        Mean logistic loss on the training side.
    classes_ : ndarray of shape (n_classes,)
        Sorted classes.
    coef_ : ndarray of shape (1, n_features) or (n_classes, n_features)
        Coefficients at ``C_`` on all samples.
    intercept_ : ndarray of shape (1,) or (n_classes,)
        Intercepts.
    n_iter_ : int
        Outer passes of the final fit.
    dual_gap_ : float
        Relative duality gap of the final fit.
    history_ : dict of str to ndarray
        History of the final fit.
    result_ : CoordinateResult
        The whole final result.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features_in,)
        Names of features, when X has string column names.

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
        "l1_ratio": [Interval(Real, 0, 1, closed="both")],
        "cv": ["cv_object"],
        "scoring": [StrOptions({"accuracy", "neg_log_loss"})],
        "n_jobs": [Integral, None],
        "fit_intercept": ["boolean"],
        "class_weight": [dict, StrOptions({"balanced"}), None],
        **STOPPING,
    }

    def __init__(
        self,
        Cs: Any = 10,
        *,
        l1_ratio: float = 1.0,
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
        alpha = 1.0 / (self.C_ * total)
        if self.l1_ratio == 1.0:
            return L1(alpha)
        return ElasticNet(alpha, self.l1_ratio)

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Choose ``C``, then fit all samples.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Training data.
        y : array-like of shape (n_samples,)
            Classes, of any type.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights, used in the fits and in the scores.

        Returns
        -------
        self
            The fitted estimator.
        """
        X, y = validate_data(
            self, X, y, accept_sparse=SPARSE, dtype=[np.float64, np.float32]
        )
        self.classes_, codes = encode_classes(y)
        weights = self._weights(sample_weight, X)
        self.Cs_ = self._grid()
        folds = folds_of(self.cv, X, codes, weights, classifier=True)
        rows = X.tocsr() if hasattr(X, "tocsr") else X
        accuracies: dict[int, np.ndarray] = {}

        def score(fold: Fold) -> tuple[np.ndarray, np.ndarray]:
            train, test, accuracy = self._fold_scores(rows, codes, fold)
            accuracies[id(fold)] = accuracy
            return train, test

        losses = run_folds(score, folds, self.n_jobs)
        self.train_log_loss_path_, self.log_loss_path_ = losses
        self.scores_ = np.column_stack([accuracies[id(fold)] for fold in folds])
        paths = {"accuracy": self.scores_, "neg_log_loss": -self.log_loss_path_}
        means = paths[self.scoring] @ fold_shares(folds)
        self.C_ = float(self.Cs_[np.argmax(means)])
        weights = with_class_weight(self.class_weight, self.classes_, codes, weights)
        total = float(X.shape[0] if weights is None else weights.sum())
        datafit = self._datafit(self.classes_.size)
        result = self._solve(X, codes, datafit, self._penalty(total), weights)
        self.coef_ = np.atleast_2d(result.coef)
        self.intercept_ = centred(result.intercept)
        self._record(result)
        return self

    def _grid(self) -> np.ndarray:
        if isinstance(self.Cs, Integral):
            return np.logspace(-4, 4, int(self.Cs))
        grid = np.sort(np.asarray(self.Cs, np.float64))
        if grid.ndim != 1 or grid.size == 0 or not np.all(grid > 0):
            raise ValueError(f"`Cs` must be positive numbers, got {self.Cs}")
        return grid

    def _fold_scores(
        self, X: Any, codes: np.ndarray, fold: Fold
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Log losses on both sides and test accuracy, for increasing C."""
        y = codes[fold.train]
        if np.unique(y).size < self.classes_.size:
            raise ValueError(
                "`cv` must leave every class in the training side of each fold, got a "
                "fold without some; use fewer folds"
            )
        weights = with_class_weight(
            self.class_weight, self.classes_, y, fold.train_weights
        )
        total = float(y.size if weights is None else weights.sum())
        path = logistic_path(
            X[fold.train],
            y,
            alphas=1.0 / (self.Cs_ * total),
            l1_ratio=self.l1_ratio,
            fit_intercept=self.fit_intercept,
            sample_weight=weights,
            max_iter=self.max_iter,
            tol=self.tol,
        )
        losses, accuracy = [], np.empty(0)
        for side, side_weights in (
            (fold.train, fold.train_weights),
            (fold.test, fold.test_weights),
        ):
            rates = self._rates(X[side], codes[side], path, side_weights)
            losses.append(rates[0])
            accuracy = rates[1]
        return losses[0], losses[1], accuracy

    def _rates(
        self, X: Any, codes: np.ndarray, path: Any, weights: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Mean log loss and accuracy at each strength of a path."""
        losses, hits = [], []
        datafit = self._datafit(self.classes_.size)
        targets = codes if datafit.multi_output else 2.0 * codes - 1.0
        for k in range(self.Cs_.size):
            coef, intercept = path.coefs[..., k], path.intercepts[..., k]
            z = linear_score(X, coef, intercept)
            found = np.argmax(z, axis=1) if z.ndim == 2 else (z > 0).astype(int)
            losses.append(np.average(datafit.value(targets, z), weights=weights))
            hits.append(np.average(found == codes, weights=weights))
        return np.asarray(losses), np.asarray(hits)
