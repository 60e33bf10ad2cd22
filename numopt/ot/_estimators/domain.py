# SPDX-License-Identifier: BSD-3-Clause
"""Domain adaptation: a classifier trained on transported samples."""

from numbers import Real
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.neighbors import KNeighborsClassifier
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from numopt._estimator.sklearn_compat import (
    Interval,
    StrOptions,
    fit_context,
    validate_data,
)
from numopt._numerics.distances import METRICS
from numopt.ot._estimators.transport import SinkhornTransport
from numopt.ot._solvers.classes import class_regularised

__all__ = ["OTDAClassifier"]

FLOATS = (np.float64, np.float32)


def _has_proba(model: "OTDAClassifier") -> bool:
    """Whether the classifier inside gives probabilities."""
    inner = getattr(model, "estimator_", model.estimator)
    return inner is None or hasattr(inner, "predict_proba")


class OTDAClassifier(ClassifierMixin, BaseEstimator):
    r"""Classify samples of a target domain by labels of a source domain.

    The source is transported to the unlabelled target, and a classifier is trained on
    the images with the labels of the source. With ``reg_cl`` mass of different classes
    is kept from meeting in a target sample, by the penalty

    .. math:: \eta \sum_j b_j \sum_c \Bigl(\frac{1}{b_j}
              \sum_{i: y_i = c} P_{ij}\Bigr)^{1/2}

    Parameters
    ----------
    estimator : classifier, default=None
        Trained on the transported source; None means the nearest neighbour.
    reg : float, default=0.05
        Entropic regularisation, in units of the median cost when ``normalize_cost``
        is set.
    reg_cl : float, default=0.0
        Weight :math:`\eta` of the class penalty, in the same units.
    metric : str, default="sqeuclidean"
        Cost: "sqeuclidean", "euclidean", "cosine" or "cityblock".
    normalize_cost : bool, default=True
        Divide the cost by its median over the training pairs.
    tol : float, default=1e-6
        L1 marginal error at which the transport stops.
    max_iter : int, default=1000
        Bound on full passes plus Newton steps of a transport problem.
    random_state : int, RandomState instance or None, default=None
        Given to the classifier inside, where it takes one.

    Attributes
    ----------
    classes_ : array of shape (n_classes,)
        Labels of the source.
    estimator_ : classifier
        The trained classifier.
    transport_ : SinkhornTransport or None
        The fitted transport; None without a target.
    result_ : SinkhornResult or None
        Its plan and potentials.
    n_features_in_ : int
        Number of features.
    n_iter_ : int
        Passes plus Newton steps of the transport; 1 without a target.

    See Also
    --------
    SinkhornTransport : The map alone.

    Notes
    -----
    The penalty is concave; it is majorised by its tangent, which adds ``reg_cl / 2
    s_{cj}^{-1/2}`` to the cost of class c in target sample j, for at most ten transport
    problems, each started from the last.

    References
    ----------
    Courty, Flamary, Tuia & Rakotomamonjy (2017), Optimal transport for domain
    adaptation, IEEE TPAMI 39, sections 4 and 5.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.ot import OTDAClassifier
    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat([0, 1], 40)
    >>> source = rng.normal(size=(80, 2)) + 4 * y[:, None]
    >>> target = source + [6.0, 0.0]  # the second class now lies where none did
    >>> model = OTDAClassifier().fit(source, y, X_target=target)
    >>> float(model.score(target, y)) > 0.95
    True
    """

    _parameter_constraints = {
        "estimator": [BaseEstimator, None],
        "reg": [Interval(Real, 0, None, closed="neither")],
        "reg_cl": [Interval(Real, 0, None, closed="left")],
        "metric": [StrOptions(set(METRICS))],
        "normalize_cost": ["boolean"],
        "tol": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Real, 1, None, closed="left")],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        estimator: Any = None,
        reg: float = 0.05,
        *,
        reg_cl: float = 0.0,
        metric: str = "sqeuclidean",
        normalize_cost: bool = True,
        tol: float = 1e-6,
        max_iter: int = 1000,
        random_state: Any = None,
    ) -> None:
        self.estimator = estimator
        self.reg = reg
        self.reg_cl = reg_cl
        self.metric = metric
        self.normalize_cost = normalize_cost
        self.tol = tol
        self.max_iter = max_iter
        self.random_state = random_state

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any, *, X_target: Any = None) -> Self:
        """Transport the source to the target and train there.

        Parameters
        ----------
        X : array-like of shape (n, d)
            Source samples.
        y : array-like of shape (n,)
            Their labels.
        X_target : array-like of shape (m, d), default=None
            Target samples; None trains on the source itself.

        Returns
        -------
        OTDAClassifier
            The fitted estimator.
        """
        X, y = validate_data(self, X, y, dtype=FLOATS)
        check_classification_targets(y)
        self.classes_ = np.unique(y)
        self.transport_, self.result_, self.n_iter_ = None, None, 1
        moved = X
        if X_target is not None:
            target = validate_data(self, X_target, dtype=FLOATS, reset=False)
            moved = self._transported(X, y, np.asarray(target, X.dtype))
        inner = KNeighborsClassifier(1) if self.estimator is None else self.estimator
        self.estimator_ = clone(inner)
        if "random_state" in self.estimator_.get_params():
            self.estimator_.set_params(random_state=self.random_state)
        self.estimator_.fit(moved, y)
        return self

    def _transported(self, X: np.ndarray, y: np.ndarray, target: Any) -> np.ndarray:
        """Images of the source samples."""
        transport = SinkhornTransport(
            self.reg,
            metric=self.metric,
            normalize_cost=self.normalize_cost,
            tol=self.tol,
            max_iter=self.max_iter,
        ).fit(X, X_target=target)
        if self.reg_cl > 0:
            labels = np.searchsorted(self.classes_, y)
            transport.result_ = class_regularised(
                transport.result_, labels, self.reg_cl, self.tol, int(self.max_iter)
            )
            transport.potentials_ = transport.result_.f, transport.result_.g
        self.transport_, self.result_ = transport, transport.result_
        self.n_iter_ = max(1, transport.n_iter_)
        return transport.result_.barycentric(target)

    def predict(self, X: Any) -> np.ndarray:
        """Classify samples of the target domain.

        Parameters
        ----------
        X : array-like of shape (k, d)
            Samples.

        Returns
        -------
        array of shape (k,)
            Labels.
        """
        X = self._checked(X)
        return self.estimator_.predict(X)

    @available_if(_has_proba)
    def predict_proba(self, X: Any) -> np.ndarray:
        """Return probabilities of the classes.

        Parameters
        ----------
        X : array-like of shape (k, d)
            Samples of the target domain.

        Returns
        -------
        array of shape (k, n_classes)
            Probabilities, in the order of ``classes_``.
        """
        X = self._checked(X)
        return self.estimator_.predict_proba(X)

    def _checked(self, X: Any) -> np.ndarray:
        """Validate new samples."""
        check_is_fitted(self)
        return validate_data(self, X, dtype=FLOATS, reset=False)
