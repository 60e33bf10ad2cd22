# SPDX-License-Identifier: BSD-3-Clause
"""Classes and probabilities that follow from scores."""

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.metrics import log_loss

from numopt._estimator.classifier import LogOddsMixin
from numopt.bilevel import BilevelLogisticRegression
from numopt.coordinate import SparseLogisticRegression


class _Scores(LogOddsMixin):
    """The data are the scores."""

    def __init__(self, classes):
        self.classes_ = np.array(classes)

    def decision_function(self, X):
        return np.asarray(X)


@pytest.mark.parametrize(
    ("scores", "classes", "expected"),
    [
        ([-2e3, -1.0, 0.0, 1.0, 2e3], ["a", "b"], list("aaabb")),
        ([[0.0, 1.0, -2e3], [2e3, 0.0, 1.0]], ["a", "b", "c"], list("ba")),
    ],
)
def test_probabilities_of_scores(scores, classes, expected):
    model = _Scores(classes)
    assert model.predict(scores).tolist() == expected
    probability, logarithm = (
        model.predict_proba(scores),
        model.predict_log_proba(scores),
    )
    assert probability.shape == (len(scores), len(classes))
    np.testing.assert_allclose(probability.sum(axis=1), 1.0)
    assert np.all(np.isfinite(logarithm))
    assert logarithm.min() < -1999
    np.testing.assert_allclose(np.exp(logarithm), probability, rtol=1e-12, atol=1e-300)


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize(
    "model", [BilevelLogisticRegression(), SparseLogisticRegression()]
)
def test_estimators_give_both(model, binary):
    X, y = load_iris(return_X_y=True)
    X, y = (X[50:], y[50:]) if binary else (X, y)
    model.fit(X, y)
    logarithm = model.predict_log_proba(X)
    at = np.searchsorted(model.classes_, y)
    mean = -logarithm[np.arange(y.size), at].mean()
    np.testing.assert_allclose(mean, log_loss(y, model.predict_proba(X)))
