# SPDX-License-Identifier: BSD-3-Clause
"""Logistic regression with learned penalties per block of features."""

import math
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.model_selection import check_cv
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from numopt._docstring import fill_docstring
from numopt._estimator.classifier import LogOddsMixin
from numopt._estimator.sklearn_compat import (
    StrOptions,
    check_sample_weight,
    fit_context,
    validate_data,
)
from numopt.bilevel._estimators.shared_docs import PARTS
from numopt.bilevel._estimators.two_stage import (
    CONSTRAINTS,
    Learner,
    check_interval,
    learn,
    total_weight,
    warn_boundary,
    warn_if_unconverged,
)
from numopt.bilevel._problem.folds import FoldedLower, FoldedUpper
from numopt.bilevel._problem.groups import check_groups
from numopt.bilevel._problem.labelled import indicator, with_ones
from numopt.bilevel._problem.logistic import CrossEntropyUpper, PenaltyLower, losses
from numopt.bilevel._problem.protocols import BilevelProblem
from numopt.bilevel._solvers.lower import SOLVERS
from numopt.bilevel._solvers.single import solve_lower
from numopt.typing import Array

__all__ = ["BilevelLogisticRegression"]

#: Bounds of the common log-penalty.
RANGE = (-12.0, 6.0)
#: Where it starts, with the number of rows as a factor: ``C = exp(-1)``.
START = 1.0
#: Distance to which the final fit is solved.
FINAL_TOL = 1e-9
#: How input is validated.
OPTIONS: dict[str, Any] = {"accept_sparse": "csr", "dtype": (np.float64, np.float32)}


@fill_docstring(**PARTS)
class BilevelLogisticRegression(LogOddsMixin, BaseEstimator):
    r"""Logistic regression with one penalty per block of features, learned.

    .. math:: \min_W \frac1n \sum_i \ell(x_i^T W, y_i)
              + \tfrac12 \sum_{jk} e^{\theta_{\mathrm{group}(j)}} W_{jk}^2

    where the penalties minimise the cross-validated log-loss by hypergradients. More
    than two classes are fitted jointly (softmax).

    Parameters
    ----------
    {groups}
    cv : int, splitter or iterable of splits, default=5
        Folds, stratified for an integer.
    {shrinkage}
    fit_intercept : bool, default=True
        Whether to fit an intercept, penalised by ``exp(-9)`` only.
    solver : str, default="newton-cg"
        Inner solver, as in ``solve_lower``.
    {tol}
    max_iter : int, default=50
        Bound on outer steps of each stage.
    {random_state}
    {verbose}

    Attributes
    ----------
    classes_ : ndarray
        Class labels.
    coef_ : ndarray of shape (1, n_features) or (n_classes, n_features)
        Coefficients.
    intercept_ : ndarray of shape (1,) or (n_classes,)
        Intercepts.
    penalties_ : ndarray of shape (n_groups,)
        ``exp(theta)`` of every block, relative to the mean loss.
    C_common_ : float
        The best common penalty in the convention of scikit-learn:
        ``1 / (n_samples * penalty)``.
    cv_loss_, cv_loss_common_ : float
        Mean log-loss over the folds, with the penalties and with the best common one.
    shrinkage_ : float
        Shrinkage used; infinite where the common penalty was kept.
    boundary_ : ndarray
        Groups whose penalty ended at a bound.
    result_ : BilevelResult
        The last stage, on features divided by a power of two near
        their root mean square.
    n_iter_ : int
        Its outer steps.
    n_features_in_ : int
        Number of features.

    See Also
    --------
    LogisticProblem : The bilevel problem of one split.

    Notes
    -----
    The lower level of all folds is solved by Newton's method with preconditioned
    conjugate gradients, warm-started along the outer steps; the folds share their
    products with ``X`` and the preconditioner. Accuracies are estimated from the
    curvature that conjugate gradients meet (``accuracy="estimate"``).
    Penalties per feature can over-fit the folds badly, which the shrinkage is for.

    References
    ----------
    Pedregosa (2016), Hyperparameter optimization with approximate gradient, ICML.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.bilevel import BilevelLogisticRegression
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(200, 10))
    >>> y = X[:, 0] + X[:, 1] + rng.normal(size=200) > 0
    >>> model = BilevelLogisticRegression(groups=[0] * 2 + [1] * 8).fit(X, y)
    >>> bool(model.penalties_[1] > model.penalties_[0])
    True
    """

    _parameter_constraints = {
        **{key: value for key, value in CONSTRAINTS.items() if key != "method"},
        "cv": ["cv_object"],
        "solver": [StrOptions(set(SOLVERS))],
    }

    def __init__(
        self,
        groups: Any = None,
        cv: Any = 5,
        shrinkage: float | str = "auto",
        bounds: tuple[float, float] = (-7.0, 7.0),
        fit_intercept: bool = True,
        solver: str = "newton-cg",
        tol: float = 1e-4,
        max_iter: int = 50,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.groups = groups
        self.cv = cv
        self.shrinkage = shrinkage
        self.bounds = bounds
        self.fit_intercept = fit_intercept
        self.solver = solver
        self.tol = tol
        self.max_iter = max_iter
        self.random_state = random_state
        self.verbose = verbose

    def __sklearn_tags__(self) -> Any:
        """Sparse matrices are taken."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Array, y: Array, sample_weight: Array | None = None) -> Self:
        """Learn the penalties, then fit all rows with them.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Features, best standardised.
        y : array-like of shape (n_samples,)
            Class labels.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows, in fits and in losses.

        Returns
        -------
        BilevelLogisticRegression
            The estimator itself.
        """
        X, y = validate_data(self, X, y, **OPTIONS)
        X = X.astype(np.float64, copy=False)
        check_classification_targets(y)
        weights = check_sample_weight(sample_weight, X, dtype=np.float64)
        keep = weights > 0
        self.classes_, codes = np.unique(y, return_inverse=True)
        n_classes = np.unique(codes[keep]).size
        if n_classes < 2:
            raise ValueError(
                "at least 2 classes with a positive sample weight are needed, got "
                f"{n_classes} class"
            )
        splits = self._splits(X, codes, keep)
        labels, n_groups = check_groups(self.groups, X.shape[1])
        unit = _unit(X, weights)
        scaled = X if unit == 1.0 else X / unit
        data = _Data(scaled, codes, weights, labels, n_groups, self.fit_intercept)
        options = {
            "solver": self.solver,
            "accuracy": "estimate",
            "ftol": self.tol,
            "gtol": min(1e-3, 10 * self.tol),
            "max_iter": self.max_iter,
            "verbose": self.verbose,
            "warn": False,
        }
        bounds = check_interval(self.bounds)
        found = learn(
            lambda rows: data.problem(splits, rows),
            data.loss,
            X.shape[0],
            n_groups,
            START - math.log(X.shape[0]),
            Learner(bounds, RANGE, options),
            self.shrinkage,
            check_random_state(self.random_state),
        )
        name = type(self).__name__
        warn_if_unconverged(found, name)
        self.boundary_ = warn_boundary(found, bounds, name)
        W = data.fitted(found.theta, x0=found.result.x.mean(axis=1))
        self.coef_ = W[: X.shape[1], :].T / unit
        self.intercept_ = W[-1, :] if self.fit_intercept else np.zeros(W.shape[1])
        self.penalties_ = unit**2 * np.exp(found.theta)
        self.C_common_ = float(np.exp(-found.common) / X.shape[0] / unit**2)
        self.cv_loss_, self.cv_loss_common_ = found.loss, found.loss_common
        self.shrinkage_ = found.shrinkage
        self.result_ = found.result
        self.n_iter_ = max(1, found.result.n_iter)
        return self

    def _splits(
        self, X: Any, codes: np.ndarray, keep: np.ndarray
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """Folds without the rows of zero weight."""
        counts = np.bincount(codes)
        if isinstance(self.cv, int) and self.cv > counts.min():
            raise ValueError(
                f"`cv` must be at most the number of samples of every class, got "
                f"cv={self.cv} and a class with {counts.min()} samples (n_samples = "
                f"{codes.size})"
            )
        splitter = check_cv(self.cv, codes, classifier=True)
        return [
            (train[keep[train]], test[keep[test]])
            for train, test in splitter.split(X, codes)
        ]

    def decision_function(self, X: Array) -> np.ndarray:
        """Return the logits.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Features.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_classes)
            Logits; of the second class for two classes.
        """
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, **OPTIONS)
        scores = X @ self.coef_.T + self.intercept_
        return scores[:, 0] if scores.shape[1] == 1 else scores


def _unit(X: Any, weights: np.ndarray) -> float:
    """Power of two next to the root mean square of the centred features.

    Division by it rounds nothing; it is 1 where all features are constant.
    """
    share = weights / weights.sum()
    squares = X.multiply(X) if hasattr(X, "multiply") else X * X
    size = float(np.mean(squares.T @ share))
    variance = size - float(np.mean((X.T @ share) ** 2))
    return 2.0 ** round(0.5 * math.log2(variance)) if variance > 1e-14 * size else 1.0


class _Data:
    """Rows with weights; makes folds and final fits of them."""

    def __init__(
        self,
        X: Any,
        codes: np.ndarray,
        weights: np.ndarray,
        labels: np.ndarray,
        n_groups: int,
        intercept: bool,
    ) -> None:
        self.X = with_ones(X) if intercept else X
        self.Y = indicator(codes, np.unique(codes), X)
        self.weights, self.n_groups = weights, n_groups
        rows = np.append(labels, n_groups) if intercept else labels
        self.index = np.repeat(rows[:, None], self.Y.shape[1], axis=1)

    def problem(self, splits: Any, rows: np.ndarray | None) -> BilevelProblem:
        """The cross-validated problem on some rows."""
        n = self.X.shape[0]
        rows = np.arange(n) if rows is None else rows
        fits, tests = (
            np.stack(
                [
                    _normalised(self.weights * np.bincount(fold[part], None, n), rows)
                    for fold in splits
                ],
                axis=1,
            )
            for part in (0, 1)
        )
        lower = FoldedLower(self.X[rows], self.Y[rows], self.index, self.n_groups, fits)
        return BilevelProblem(lower, FoldedUpper(lower, tests))

    def loss(self, theta: np.ndarray, train: np.ndarray, test: np.ndarray) -> float:
        """Mean log-loss on rows that took no part in the fit."""
        each, _ = losses(self.X[test] @ self.fitted(theta, train), self.Y[test])
        return float(np.average(each, weights=self.weights[test] + 1e-300))

    def fitted(
        self,
        theta: np.ndarray,
        rows: np.ndarray | None = None,
        x0: np.ndarray | None = None,
    ) -> np.ndarray:
        """Coefficients for given log-penalties."""
        if rows is None:
            rows = np.flatnonzero(self.weights > 0)
        weights = _normalised(self.weights, rows)
        X, Y = self.X[rows], self.Y[rows]
        lower = PenaltyLower(X, Y, self.index, self.n_groups, weights)
        problem = BilevelProblem(lower, CrossEntropyUpper(X, Y))
        return solve_lower(problem, theta, x0=x0, tol=FINAL_TOL, warn=False).x


def _normalised(weights: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Weights of some rows, their sum one."""
    chosen = weights[rows]
    return chosen / total_weight(chosen)
