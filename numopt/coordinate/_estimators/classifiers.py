# SPDX-License-Identifier: BSD-3-Clause
"""Sparse classifiers: one logistic for two classes, one softmax for more."""

from numbers import Real
from typing import Any

import numpy as np
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets

from numopt._docstring import fill_docstring
from numopt._estimator.classifier import LogOddsMixin, ScoreClassifierMixin
from numopt._estimator.sklearn_compat import Interval, StrOptions
from numopt.coordinate._estimators.base import (
    COMMON,
    LinearEstimator,
    PenalisedEstimator,
    linear_score,
)
from numopt.coordinate._estimators.shared_docs import PARTS
from numopt.coordinate._problem.datafits import Datafit, Logistic, Multinomial
from numopt.coordinate._problem.penalties import L1, ElasticNet, Penalty

__all__ = ["LinearClassifier", "ProbabilisticClassifier", "SparseLogisticRegression"]


def centred(intercept: Any) -> np.ndarray:
    """Intercepts as an array; those of a softmax are unique only with mean 0."""
    values = np.atleast_1d(np.asarray(intercept, np.float64))
    return values - values.mean() if values.size > 1 else values


def inverse_penalty(C: float, l1_ratio: float, total: float) -> Penalty:
    """Penalty of the inverse strength C, for samples of this total weight."""
    alpha = 1.0 / max(C * total, np.finfo(np.float64).tiny)
    return L1(alpha) if l1_ratio == 1.0 else ElasticNet(alpha, l1_ratio)


class LinearClassifier(ScoreClassifierMixin, LinearEstimator):
    """A classifier whose scores are linear."""

    class_weight: Any = None

    def _encode(self, y: np.ndarray) -> np.ndarray:
        """Codes of the sorted classes; two at least."""
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if self.classes_.size < 2:
            raise ValueError(
                "`y` must be of at least two classes, got one class: "
                f"{self.classes_[0]}"
            )
        return codes

    def _weigh(self, y: np.ndarray, weights: np.ndarray | None) -> np.ndarray | None:
        """Sample weights times the weight of the class of each sample."""
        if self.class_weight is None:
            return weights
        factors = compute_class_weight(
            self.class_weight,
            classes=self.classes_,
            y=self.classes_[y],
            sample_weight=weights,
        )
        return factors[y] * (1.0 if weights is None else weights)

    def _store(self, result: Any) -> None:
        """Set the fitted attributes, one row a class."""
        super()._store(result)
        self.coef_ = np.atleast_2d(result.coef)
        self.intercept_ = centred(result.intercept)

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


class ProbabilisticClassifier(LogOddsMixin, LinearClassifier, PenalisedEstimator):
    """A linear classifier whose scores are log odds."""

    def _datafit(self) -> Datafit:
        """One logistic for two classes, one softmax for more."""
        return Logistic() if self.classes_.size == 2 else Multinomial()

    def _start(self) -> dict[str, Any]:
        """Start of a warm fit, in the shape of the datafit."""
        start = super()._start()
        single = not self._datafit().multi_output
        rows = 1 if single else self.classes_.size
        if not start or self.coef_.shape[0] != rows:
            return {}
        return {key: value[0] for key, value in start.items()} if single else start


@fill_docstring(**PARTS)
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
    {fit_intercept}
    multi_class : {"auto", "multinomial"}, default="auto"
        Both fit one softmax to more than two classes; "auto" fits one logistic to
        two, "multinomial" a softmax with a row of coefficients for each class.
    {class_weight}
    {stopping}

    Attributes
    ----------
    {class_coef}
    {result}
    {features}

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
        "multi_class": [StrOptions({"auto", "multinomial"})],
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "warm_start": ["boolean"],
        **COMMON,
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

    def _datafit(self) -> Datafit:
        """A softmax when asked for."""
        return (
            Multinomial() if self.multi_class == "multinomial" else super()._datafit()
        )

    def _penalty(self, total: float) -> Penalty:
        """Penalty of ``C``."""
        return inverse_penalty(self.C, self.l1_ratio, total)
