# SPDX-License-Identifier: BSD-3-Clause
"""Sparse classifiers: one logistic for two classes, one softmax for more."""

from numbers import Real
from typing import Any, Self

import numpy as np
from scipy.special import expit, softmax
from sklearn.base import ClassifierMixin
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets

from numopt._estimator.sklearn_compat import (
    Interval,
    StrOptions,
    fit_context,
    validate_data,
)
from numopt.coordinate._estimators.base import (
    SPARSE,
    STOPPING,
    LinearEstimator,
    linear_score,
)
from numopt.coordinate._estimators.rules import RULES
from numopt.coordinate._problem.datafits import Datafit, Logistic, Multinomial
from numopt.coordinate._problem.penalties import L1, ElasticNet, Penalty
from numopt.typing import Array

__all__ = ["BCDClassifier", "LinearClassifier", "SparseLogisticRegression"]


def encode_classes(y: Array) -> tuple[np.ndarray, np.ndarray]:
    """Return the sorted classes and their codes; two classes at least."""
    check_classification_targets(y)
    classes, codes = np.unique(y, return_inverse=True)
    if classes.size < 2:
        raise ValueError(
            f"`y` must be of at least two classes, got one class: {classes[0]!r}"
        )
    return classes, codes


def with_class_weight(
    class_weight: Any, classes: np.ndarray, codes: np.ndarray, weights: Any
) -> np.ndarray | None:
    """Sample weights times the weight of the class of each sample."""
    if class_weight is None:
        return weights
    factors = compute_class_weight(
        class_weight, classes=classes, y=classes[codes], sample_weight=weights
    )
    return factors[codes] * (1.0 if weights is None else weights)


def centred(intercept: Any) -> np.ndarray:
    """Intercepts as an array; those of a softmax are unique only with mean 0."""
    values = np.atleast_1d(np.asarray(intercept, np.float64))
    return values - values.mean() if values.size > 1 else values


class LinearClassifier(ClassifierMixin, LinearEstimator):
    """A classifier whose model is a datafit and a penalty."""

    def _datafit(self, n_classes: int) -> Datafit:
        return Logistic() if n_classes == 2 else Multinomial()

    def _penalty(self, total: float) -> Penalty:
        raise NotImplementedError

    def _rules(self) -> dict[str, Any]:
        """Options of the solver beyond the stopping ones."""
        return {}

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit the model.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Training data; Fortran order or CSC avoids a copy.
        y : array-like of shape (n_samples,)
            Classes, of any type.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights; integers are the same as repeated rows.

        Returns
        -------
        self
            The fitted estimator.
        """
        X, y = validate_data(
            self, X, y, accept_sparse=SPARSE, dtype=[np.float64, np.float32]
        )
        self.classes_, codes = encode_classes(y)
        weights = with_class_weight(
            getattr(self, "class_weight", None),
            self.classes_,
            codes,
            self._weights(sample_weight, X),
        )
        total = float(X.shape[0] if weights is None else weights.sum())
        options = self._rules() | self._start()
        datafit = self._datafit(self.classes_.size)
        result = self._solve(
            X, codes, datafit, self._penalty(total), weights, **options
        )
        self.coef_ = np.atleast_2d(result.coef)
        self.intercept_ = centred(result.intercept)
        self._record(result)
        return self

    def _start(self) -> dict[str, Any]:
        """Start of a warm fit."""
        if not getattr(self, "warm_start", False) or not hasattr(self, "coef_"):
            return {}
        single = not self._datafit(self.classes_.size).multi_output
        if self.coef_.shape[0] != (1 if single else self.classes_.size):
            return {}
        return {
            "coef_init": self.coef_[0] if single else self.coef_,
            "intercept_init": self.intercept_[0] if single else self.intercept_,
        }

    def decision_function(self, X: Any) -> np.ndarray:
        """Return the linear scores.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Data.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_classes)
            Scores; one column for two classes, of the second one.
        """
        X = self._validate_new(X)
        scores = linear_score(X, self.coef_, self.intercept_)
        return scores[:, 0] if scores.shape[1] == 1 else scores

    def predict(self, X: Any) -> np.ndarray:
        """Predict classes.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Data.

        Returns
        -------
        ndarray of shape (n_samples,)
            Classes.
        """
        scores = self.decision_function(X)
        if scores.ndim == 1:
            return self.classes_[(scores > 0).astype(int)]
        return self.classes_[np.argmax(scores, axis=1)]


class ProbabilisticClassifier(LinearClassifier):
    """A linear classifier whose scores are log odds."""

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probability of each class.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Data.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Probabilities; rows add up to one.
        """
        scores = self.decision_function(X)
        if scores.ndim == 1:
            return np.column_stack([expit(-scores), expit(scores)])
        return softmax(scores, axis=1)

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Return the logarithm of the probability of each class.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Data.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Logarithms of the probabilities.
        """
        scores = self.decision_function(X)
        if scores.ndim == 1:
            return -np.column_stack(
                [np.logaddexp(0.0, scores), np.logaddexp(0.0, -scores)]
            )
        return scores - np.logaddexp.reduce(scores, axis=1, keepdims=True)


class SparseLogisticRegression(ProbabilisticClassifier):
    r"""Logistic regression with an L1 or elastic-net penalty, to a certified gap.

    .. math::
        \min_{w, b} C \sum_i s_i \log(1 + e^{-y_i (x_i^T w + b)})
        + \rho \|w\|_1 + \frac{1 - \rho}{2} \|w\|_2^2

    and its softmax form for more than two classes. The intercept is not penalised.

    Parameters
    ----------
    C : float, default=1.0
        Inverse strength of the penalty, as in scikit-learn.
    l1_ratio : float, default=1.0
        Share of the L1 norm, between 0 and 1.
    fit_intercept : bool, default=True
        Whether to fit an unpenalised intercept.
    multi_class : {"auto", "multinomial"}, default="auto"
        Both fit one softmax to more than two classes; "auto" fits one logistic to
        two, "multinomial" a softmax with a row of coefficients for each class.
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes, times the sample weights.
    max_iter : int, default=1000
        Outer passes over the data.
    tol : float, default=1e-6
        Relative duality gap.
    warm_start : bool, default=False
        Whether `fit` starts from the last solution.
    verbose : int, default=0
        1 shows a progress bar, 2 logs each pass.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Sorted classes.
    coef_ : ndarray of shape (1, n_features) or (n_classes, n_features)
        Coefficients.
    intercept_ : ndarray of shape (1,) or (n_classes,)
        Intercepts.
    n_iter_ : int
        Outer passes.
    dual_gap_ : float
        Relative duality gap of the solution.
    history_ : dict of str to ndarray
        Objective, gap, sizes and times of each pass.
    result_ : CoordinateResult
        The whole result.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features_in,)
        Names of features, when X has string column names.

    See Also
    --------
    SparseLogisticRegressionCV : Choice of ``C`` by cross-validation.

    References
    ----------
    Nutini, Laradji and Schmidt (2022), JMLR 23(131). Ndiaye et al. (2017), "Gap safe
    screening rules for sparsity enforcing penalties".

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from numopt.coordinate import SparseLogisticRegression
    >>> X, y = load_iris(return_X_y=True)
    >>> model = SparseLogisticRegression(C=0.1).fit(X, y == 2)
    >>> round(model.score(X, y == 2), 2)
    0.95
    """

    _parameter_constraints: dict[str, Any] = {
        "C": [Interval(Real, 0, None, closed="neither")],
        "l1_ratio": [Interval(Real, 0, 1, closed="both")],
        "fit_intercept": ["boolean"],
        "multi_class": [StrOptions({"auto", "multinomial"})],
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "warm_start": ["boolean"],
        **STOPPING,
    }

    def __init__(
        self,
        C: float = 1.0,
        *,
        l1_ratio: float = 1.0,
        fit_intercept: bool = True,
        multi_class: str = "auto",
        class_weight: Any = None,
        max_iter: int = 1000,
        tol: float = 1e-6,
        warm_start: bool = False,
        verbose: int = 0,
    ) -> None:
        self.C = C
        self.l1_ratio = l1_ratio
        self.fit_intercept = fit_intercept
        self.multi_class = multi_class
        self.class_weight = class_weight
        self.max_iter = max_iter
        self.tol = tol
        self.warm_start = warm_start
        self.verbose = verbose

    def _datafit(self, n_classes: int) -> Datafit:
        if self.multi_class == "multinomial":
            return Multinomial()
        return super()._datafit(n_classes)

    def _penalty(self, total: float) -> Penalty:
        alpha = 1.0 / (self.C * total)
        if self.l1_ratio == 1.0:
            return L1(alpha)
        return ElasticNet(alpha, self.l1_ratio)


class BCDClassifier(ProbabilisticClassifier):
    """Logistic or softmax classifier for any penalty and block rule.

    Parameters
    ----------
    datafit : Datafit, default=None
        Loss; None is ``Logistic()`` for two classes, ``Multinomial()`` for more.
    penalty : Penalty, default=None
        Penalty; None is ``L1(0.01)``.
    partition, selection, update : str, default="auto"
        Block rules as in `bcd_solve`.
    block_size : int, default=1
        Coordinates in a block.
    fit_intercept : bool, default=True
        Whether to fit an unpenalised intercept.
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes, times the sample weights.
    max_iter : int, default=1000
        Passes of the default solver, block steps of a literal rule.
    tol : float, default=1e-6
        Relative duality gap.
    warm_start : bool, default=False
        Whether `fit` starts from the last solution.
    random_state : int, RandomState instance or None, default=None
        For the random selections.
    verbose : int, default=0
        1 shows a progress bar, 2 logs each check.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Sorted classes.
    coef_ : ndarray of shape (1, n_features) or (n_classes, n_features)
        Coefficients.
    intercept_ : ndarray of shape (1,) or (n_classes,)
        Intercepts.
    n_iter_ : int
        Iterations.
    dual_gap_ : float
        Relative duality gap of the solution, NaN where no dual is known.
    history_ : dict of str to ndarray
        Objective and gap of each iteration.
    result_ : CoordinateResult
        The whole result.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features_in,)
        Names of features, when X has string column names.

    See Also
    --------
    numopt.coordinate.bcd_solve : The function behind it.

    References
    ----------
    Nutini, Laradji and Schmidt (2022), JMLR 23(131).

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from numopt.coordinate import L1, BCDClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> rule = dict(selection="cyclic", update="prox", block_size=2, tol=1e-3)
    >>> model = BCDClassifier(penalty=L1(0.05), **rule).fit(X, y == 0)
    >>> model.score(X, y == 0)
    1.0
    """

    _parameter_constraints: dict[str, Any] = {
        "datafit": [Datafit, None],
        "penalty": [Penalty, None],
        "fit_intercept": ["boolean"],
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "warm_start": ["boolean"],
        **RULES,
        **STOPPING,
    }

    def __init__(
        self,
        datafit: Datafit | None = None,
        penalty: Penalty | None = None,
        *,
        partition: str = "auto",
        selection: str = "auto",
        update: str = "auto",
        block_size: int = 1,
        fit_intercept: bool = True,
        class_weight: Any = None,
        max_iter: int = 1000,
        tol: float = 1e-6,
        warm_start: bool = False,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.datafit = datafit
        self.penalty = penalty
        self.partition = partition
        self.selection = selection
        self.update = update
        self.block_size = block_size
        self.fit_intercept = fit_intercept
        self.class_weight = class_weight
        self.max_iter = max_iter
        self.tol = tol
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    def _datafit(self, n_classes: int) -> Datafit:
        if self.datafit is None:
            return super()._datafit(n_classes)
        if n_classes > 2 and not self.datafit.multi_output:
            raise ValueError(
                f"`datafit` must be Multinomial() for {n_classes} classes, got "
                f"{type(self.datafit).__name__}"
            )
        return self.datafit

    def _penalty(self, total: float) -> Penalty:
        return L1(0.01) if self.penalty is None else self.penalty

    def _rules(self) -> dict[str, Any]:
        return {
            "partition": self.partition,
            "selection": self.selection,
            "update": self.update,
            "block_size": self.block_size,
            "random_state": self.random_state,
        }
