# SPDX-License-Identifier: BSD-3-Clause
"""Linear support vector classification by dual coordinate descent."""

from numbers import Real
from typing import Any

import numpy as np
import scipy.sparse as sp

from numopt._docstring import fill_docstring
from numopt._estimator.sklearn_compat import Interval, StrOptions
from numopt.coordinate._estimators.base import COMMON
from numopt.coordinate._estimators.classifiers import LinearClassifier
from numopt.coordinate._estimators.shared_docs import PARTS
from numopt.coordinate._solvers.results import CoordinateResult
from numopt.coordinate._solvers.svm import linear_svc_dual

__all__ = ["LinearSVC"]


@fill_docstring(**PARTS)
class LinearSVC(LinearClassifier):
    r"""Linear support vector classifier, to a certified duality gap.

    .. math:: \min_w \tfrac12 \|w\|^2 + C \sum_i s_i \ell(y_i x_i^T w)

    with sample weights :math:`s_i` and the hinge loss or its square; one classifier
    against the rest for each of more than two classes.

    Parameters
    ----------
    C : float, default=1.0
        Inverse strength of the penalty, as in scikit-learn.
    loss : {"squared_hinge", "hinge"}, default="squared_hinge"
        Loss of the margin.
    fit_intercept : bool, default=True
        Whether to fit an intercept: the coefficient of a constant feature, and so
        penalised, as in LIBLINEAR.
    intercept_scaling : float, default=1.0
        The constant; large values penalise the intercept less.
    {class_weight}
    max_iter : int, default=1000
        Iterations, each of ten passes over the samples and one exact subproblem.
    tol : float, default=1e-6
        Relative duality gap.
    random_state : int, RandomState instance or None, default=None
        Order of the samples.
    verbose : int, default=0
        1 shows a progress bar, 2 logs each iteration.

    Attributes
    ----------
    {class_coef}
    n_iter_ : int
        Iterations, the most over the classes.
    dual_gap_ : float
        Relative duality gap, the largest over the classes.
    history_ : list of dict
        History of each binary problem.
    result_ : list of CoordinateResult
        Result of each binary problem.
    {features}

    See Also
    --------
    SparseLogisticRegression : Sparse coefficients and probabilities.

    References
    ----------
    Hsieh et al. (2008), "A dual coordinate descent method for large-scale linear SVM".

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from numopt.coordinate import LinearSVC
    >>> X, y = load_iris(return_X_y=True)
    >>> LinearSVC(random_state=0).fit(X, y == 0).score(X, y == 0)
    1.0
    """

    _parameter_constraints: dict[str, Any] = {
        "C": [Interval(Real, 0, None, closed="neither")],
        "loss": [StrOptions({"hinge", "squared_hinge"})],
        "intercept_scaling": [Interval(Real, 0, None, closed="neither")],
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "random_state": ["random_state"],
        **COMMON,
    }

    def __init__(
        self,
        C: float = 1.0,
        loss: str = "squared_hinge",
        *,
        fit_intercept: bool = True,
        intercept_scaling: float = 1.0,
        class_weight: Any = None,
        max_iter: int = 1000,
        tol: float = 1e-6,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.C = C
        self.loss = loss
        self.fit_intercept = fit_intercept
        self.intercept_scaling = intercept_scaling
        self.class_weight = class_weight
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state
        self.verbose = verbose

    def _solve(
        self, X: Any, y: np.ndarray, weights: np.ndarray | None
    ) -> list[CoordinateResult]:
        """Solve one binary problem, or one for each class against the rest."""
        design = self._with_constant(X)
        positive = [1] if self.classes_.size == 2 else range(self.classes_.size)
        return [
            linear_svc_dual(
                design,
                np.where(y == k, 1.0, -1.0),
                self.C,
                self.loss,
                sample_weight=weights,
                max_iter=self.max_iter,
                tol=self.tol,
                random_state=self._seed(),
                verbose=int(self.verbose),
            )
            for k in positive
        ]

    def _store(self, result: list[CoordinateResult]) -> None:
        """Set the fitted attributes, one row a binary problem."""
        coef = np.stack([one.coef for one in result])
        self.coef_ = coef[:, : self.n_features_in_]
        self.intercept_ = np.zeros(coef.shape[0])
        if self.fit_intercept:
            self.intercept_ = coef[:, -1] * self.intercept_scaling
        self.n_iter_ = max(one.n_iter for one in result)
        self.dual_gap_ = max(one.dual_gap for one in result)
        self.history_ = [one.history for one in result]
        self.result_ = result

    def _seed(self) -> Any:
        """A seed that NumPy's generators take."""
        if isinstance(self.random_state, np.random.RandomState):
            return self.random_state.randint(2**31 - 1)
        return self.random_state

    def _with_constant(self, X: Any) -> Any:
        """The design with the constant feature, in rows."""
        if not self.fit_intercept:
            return X
        column = np.full((X.shape[0], 1), self.intercept_scaling, X.dtype)
        if sp.issparse(X):
            return sp.hstack([X, sp.csr_array(column)], format="csr")
        return np.ascontiguousarray(np.hstack([X, column]))
