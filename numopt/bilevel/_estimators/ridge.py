# SPDX-License-Identifier: BSD-3-Clause
"""Ridge regression with learned penalties per block of features (banded ridge)."""

import copy
import dataclasses
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.model_selection import check_cv
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from numopt._docstring import fill_docstring
from numopt._estimator.sklearn_compat import (
    check_sample_weight,
    fit_context,
    validate_data,
)
from numopt.bilevel._estimators.shared_docs import PARTS
from numopt.bilevel._estimators.two_stage import (
    CONSTRAINTS,
    Learner,
    Penalties,
    check_interval,
    learn,
    total_weight,
    warn_boundary,
    warn_if_unconverged,
)
from numopt.bilevel._problem.cross_validated import StackedLower, StackedUpper
from numopt.bilevel._problem.groups import check_groups
from numopt.bilevel._problem.leave_one_out import LeaveOneOutUpper
from numopt.bilevel._problem.protocols import BilevelProblem
from numopt.bilevel._problem.ridge import RidgeLower, SquaredErrorUpper
from numopt.typing import Array

__all__ = ["BilevelRidge"]

#: The common log-penalty may leave the mean squared norm of a feature by this much.
RANGE = 16.0


@fill_docstring(**PARTS)
class BilevelRidge(MultiOutputMixin, RegressorMixin, BaseEstimator):
    r"""Ridge regression with one penalty per block of features, learned.

    .. math:: \min_w \tfrac12 \|X w - y\|^2
              + \tfrac12 \sum_j \alpha_{\mathrm{group}(j)} w_j^2,

    where the penalties minimise the cross-validated squared error by hypergradients.
    The cost grows with the number of outer steps, not exponentially with the number of
    blocks as that of a grid.

    Parameters
    ----------
    {groups}
    cv : int, splitter, iterable of splits or None, default=5
        Folds; None is leave-one-out by the hat matrix.
    {shrinkage}
    fit_intercept : bool, default=True
        Whether to fit an intercept, which is not penalised.
    alpha_per_target : bool, default=False
        Learn separate penalties for every target.
    method : str, default="maid-qn"
        Outer method, as in ``maid``.
    {tol}
    max_iter : int, default=100
        Bound on outer steps of each stage.
    {random_state}
    {verbose}

    Attributes
    ----------
    alphas_ : ndarray of shape (n_groups,) or (n_groups, n_targets)
        Penalties, in the convention of scikit-learn's ``Ridge(alpha)``.
    coef_ : ndarray of shape (n_features,) or (n_targets, n_features)
        Coefficients.
    intercept_ : float or ndarray of shape (n_targets,)
        Intercept.
    cv_loss_, cv_loss_common_ : float or ndarray of shape (n_targets,)
        Half the mean squared error over the folds, with the penalties and with the best
        common one.
    shrinkage_ : float or ndarray of shape (n_targets,)
        Shrinkage used; infinite where the common penalty was kept.
    boundary_ : ndarray
        Groups whose penalty ended at a bound.
    form_ : str
        "primal" or "dual" (p > n), of the final fit.
    result_ : BilevelResult or list of them
        The last stage (one per target with ``alpha_per_target``), of targets divided by
        the root mean square that a typical penalty leaves of them.
    n_iter_ : int
        Outer steps of the last stage.
    n_features_in_ : int
        Number of features.

    See Also
    --------
    RidgeProblem : The bilevel problem of one split.

    Notes
    -----
    Two stages: the best common penalty, then the blocks from there. One Cholesky factor
    per fold and outer step, (p, p) or (n, n), whichever is smaller. Sparse input is
    made dense, which centring does anyway. Penalties per feature can over-fit the
    folds, which the shrinkage is for.

    References
    ----------
    Dupré la Tour, Eickenberg, Nunez-Elizalde & Gallant (2022), Feature-space selection
    with banded ridge regression, NeuroImage 264.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.bilevel import BilevelRidge
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(100, 20))
    >>> y = X[:, :3].sum(axis=1) + rng.normal(size=100)
    >>> model = BilevelRidge(groups=[0] * 3 + [1] * 17).fit(X, y)
    >>> bool(model.alphas_[1] > 10 * model.alphas_[0])
    True
    """

    _parameter_constraints = {**CONSTRAINTS, "alpha_per_target": ["boolean"]}

    def __init__(
        self,
        groups: Any = None,
        cv: Any = 5,
        shrinkage: float | str = "auto",
        bounds: tuple[float, float] = (-7.0, 7.0),
        fit_intercept: bool = True,
        alpha_per_target: bool = False,
        method: str = "maid-qn",
        tol: float = 1e-4,
        max_iter: int = 100,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.groups = groups
        self.cv = cv
        self.shrinkage = shrinkage
        self.bounds = bounds
        self.fit_intercept = fit_intercept
        self.alpha_per_target = alpha_per_target
        self.method = method
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
            Features; blocks should be on comparable scales only within themselves.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows, in fits and in losses.

        Returns
        -------
        BilevelRidge
            The estimator itself.
        """
        options = {"accept_sparse": ("csr", "csc"), "dtype": (np.float64, np.float32)}
        X, y = validate_data(self, X, y, multi_output=True, y_numeric=True, **options)
        X = X.toarray() if hasattr(X, "toarray") else X
        X, flat = X.astype(np.float64, copy=False), y.ndim == 1
        y = y.astype(np.float64, copy=False).reshape(len(y), -1)
        weights = check_sample_weight(sample_weight, X, dtype=np.float64)
        keep = weights > 0
        labels, n_groups = check_groups(self.groups, X.shape[1])
        data = _Data(X, y, weights, labels, n_groups, self.fit_intercept)
        splits = None
        if self.cv is not None:
            splits = [
                (train[keep[train]], test[keep[test]])
                for train, test in check_cv(self.cv).split(X, y)
            ]
        one = [slice(i, i + 1) for i in range(y.shape[1])]
        targets = one if self.alpha_per_target else [slice(None)]
        found = [self._learn(data.of(t), splits) for t in targets]
        self._set_fitted(data, targets, found, flat)
        return self

    def _learn(self, data: "_Data", splits: Any) -> Penalties:
        """Both stages on some targets, in units of what a typical penalty leaves."""
        start = data.typical
        unit = data.unit()
        data = data.scaled(1.0 / unit)
        options = {
            "method": self.method,
            "accuracy": "estimate",
            "ftol": self.tol,
            "gtol": self.tol,
            "max_iter": self.max_iter,
            "verbose": self.verbose,
            "warn": False,
        }
        learner = Learner(
            check_interval(self.bounds), (start - RANGE, start + RANGE), options
        )
        found = learn(
            lambda rows: data.problem(splits, rows),
            data.loss,
            len(data.X),
            data.n_groups,
            start,
            learner,
            self.shrinkage,
            check_random_state(self.random_state),
        )
        return dataclasses.replace(
            found,
            loss=unit**2 * found.loss,
            loss_common=unit**2 * found.loss_common,
        )

    def _set_fitted(
        self, data: "_Data", targets: list[slice], found: list[Penalties], flat: bool
    ) -> None:
        name = type(self).__name__
        bounds = check_interval(self.bounds)
        coefs, intercepts, at = [], [], []
        for target, one in zip(targets, found, strict=True):
            warn_if_unconverged(one, name)
            at.append(warn_boundary(one, bounds, name))
            coef, intercept = data.of(target).fitted(one.theta)
            coefs.append(coef)
            intercepts.append(intercept)
        coef, intercept = np.concatenate(coefs, axis=1), np.concatenate(intercepts)
        self.coef_ = coef[:, 0] if flat else coef.T
        self.intercept_ = float(intercept[0]) if flat else intercept
        many = self.alpha_per_target and not flat
        alphas = np.exp(np.stack([one.theta for one in found], axis=1))
        self.alphas_ = alphas if many else alphas[:, 0]
        for attribute, field in (
            ("cv_loss_", "loss"),
            ("cv_loss_common_", "loss_common"),
            ("shrinkage_", "shrinkage"),
        ):
            values = [getattr(one, field) for one in found]
            setattr(self, attribute, np.asarray(values) if many else values[0])
        self.boundary_ = np.unique(np.concatenate(at))
        self.form_ = "dual" if data.X.shape[1] > len(data.X) else "primal"
        results = [one.result for one in found]
        self.result_ = results if many else results[0]
        self.n_iter_ = max(1, *(result.n_iter for result in results))

    def predict(self, X: Array) -> np.ndarray:
        """Predict the targets.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Features.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_targets)
            Predictions.
        """
        check_is_fitted(self)
        options = {"accept_sparse": ("csr", "csc"), "dtype": (np.float64, np.float32)}
        X = validate_data(self, X, reset=False, **options)
        return X @ self.coef_.T + self.intercept_


class _Data:
    """Rows with weights; makes folds and final fits of them."""

    def __init__(
        self,
        X: np.ndarray,
        y: np.ndarray,
        weights: np.ndarray,
        labels: np.ndarray,
        n_groups: int,
        intercept: bool,
    ) -> None:
        self.X, self.y, self.weights = X, y, weights
        self.labels, self.n_groups, self.intercept = labels, n_groups, intercept
        centred = X - self._means(np.arange(len(X)))[0]
        size = float(weights @ np.sum(centred**2, axis=1)) / X.shape[1]
        self.typical = float(np.log(size)) if size > 1e-300 else 0.0

    def of(self, target: slice) -> "_Data":
        """The same rows with some of the targets."""
        return self._with(self.y[:, target])

    def scaled(self, factor: float) -> "_Data":
        """The same rows with targets in other units."""
        return self._with(factor * self.y)

    def _with(self, y: np.ndarray) -> "_Data":
        other = copy.copy(self)
        other.y = y
        return other

    def unit(self) -> float:
        """Root mean square that the typical penalty leaves; 1 for constant targets."""
        coef, intercept = self.fitted(np.full(self.n_groups, self.typical))
        used = self.weights > 0
        left = (self.y - self.X @ coef - intercept)[used]
        rounding = 1e-14 * float(np.max(np.abs(self.y[used])))
        size = float(np.sqrt(np.mean(left**2)))
        return size if size > rounding else 1.0

    def _means(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if not self.intercept:
            return np.zeros(self.X.shape[1]), np.zeros(self.y.shape[1])
        weights = self.weights[rows]
        total = total_weight(weights)
        return weights @ self.X[rows] / total, weights @ self.y[rows] / total

    def _lower(self, rows: np.ndarray) -> tuple[RidgeLower, np.ndarray, np.ndarray]:
        X_mean, y_mean = self._means(rows)
        root = np.sqrt(self.weights[rows])[:, None]
        X, y = root * (self.X[rows] - X_mean), root * (self.y[rows] - y_mean)
        return RidgeLower(X, y, self.labels, self.n_groups), X_mean, y_mean

    def problem(self, splits: Any, rows: np.ndarray | None) -> BilevelProblem:
        """The problem on some rows: folds, or leave-one-out."""
        if splits is None:
            return self._left_out(np.arange(len(self.X)) if rows is None else rows)
        lowers, uppers = [], []
        for train, test in splits:
            if rows is not None:
                train, test = np.intersect1d(train, rows), np.intersect1d(test, rows)
            lower, X_mean, y_mean = self._lower(train)
            weights = self.weights[test]
            root = np.sqrt(weights * len(test) / total_weight(weights))[:, None]
            X, y = root * (self.X[test] - X_mean), root * (self.y[test] - y_mean)
            lowers.append(lower)
            uppers.append(SquaredErrorUpper(X, y))
        return BilevelProblem(StackedLower(lowers), StackedUpper(uppers))

    def _left_out(self, rows: np.ndarray) -> BilevelProblem:
        rows = rows[self.weights[rows] > 0]
        lower, _, _ = self._lower(rows)
        total = float(self.weights[rows].sum())
        share = self.weights[rows] / total * self.intercept
        at = np.full(self.n_groups, self.typical)
        return BilevelProblem(lower, LeaveOneOutUpper(lower, share, total, at))

    def loss(self, theta: np.ndarray, train: np.ndarray, test: np.ndarray) -> float:
        """Half the mean squared error on rows that took no part in the fit."""
        coef, intercept = self.fitted(theta, train)
        error = np.sum((self.X[test] @ coef + intercept - self.y[test]) ** 2, axis=1)
        return 0.5 * float(np.average(error, weights=self.weights[test] + 1e-300))

    def fitted(
        self, theta: np.ndarray, rows: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Coefficients (p, t) and intercepts for given log-penalties."""
        rows = np.arange(len(self.X)) if rows is None else rows
        lower, X_mean, y_mean = self._lower(rows)
        coef = lower.factorize(None, theta)(lower._target)
        return coef, y_mean - X_mean @ coef
