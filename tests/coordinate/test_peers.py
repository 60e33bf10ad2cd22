# SPDX-License-Identifier: BSD-3-Clause
"""Coefficients against other libraries where the solution is unique."""

import warnings

import numpy as np
import pytest

from numopt.coordinate import (
    L1,
    ElasticNet,
    GroupL2,
    Logistic,
    Quadratic,
    alpha_max,
    bcd_solve,
    dual_gap,
    nnls,
)
from tests.coordinate.problems import correlated

#: Largest difference of coefficients relative to the largest coefficient.
CLOSE = 1e-6
GROUP = 5


def _problem(kind):
    """A problem with more rows than its support has columns: one solution."""
    X, y = correlated(120, 60, 0.5, 8, 3, 0)
    X = np.asfortranarray(X)
    if kind == "logistic":
        y = np.where(y > 0, 1.0, -1.0)
    datafit = Logistic() if kind == "logistic" else Quadratic()
    make = {
        "elastic net": lambda a: ElasticNet(a, 0.7),
        "group lasso": lambda a: GroupL2(a, GROUP),
    }.get(kind, L1)
    penalty = make(0.1 * alpha_max(X, y, datafit, make(1.0)))
    return X, y, datafit, penalty


def _celer(kind, alpha, n):
    celer = pytest.importorskip("celer")
    options = {"fit_intercept": False, "max_iter": 500}
    if kind == "logistic":
        return celer.LogisticRegression(C=1 / (alpha * n), tol=1e-12, **options)
    if kind == "group lasso":
        return celer.GroupLasso(GROUP, alpha, tol=1e-14, **options)
    if kind == "elastic net":
        return celer.ElasticNet(alpha, l1_ratio=0.7, tol=1e-14, **options)
    return celer.Lasso(alpha, tol=1e-14, **options)


def _skglm(kind, alpha, n):
    skglm = pytest.importorskip("skglm")
    options = {"fit_intercept": False, "tol": 1e-12}
    if kind == "logistic":
        return skglm.SparseLogisticRegression(alpha, **options)
    if kind == "group lasso":
        return skglm.GroupLasso(GROUP, alpha, **options)
    if kind == "elastic net":
        return skglm.ElasticNet(alpha, l1_ratio=0.7, **options)
    return skglm.Lasso(alpha, **options)


def _sklearn(kind, alpha, n):
    from sklearn import linear_model

    options = {"fit_intercept": False, "tol": 1e-12, "max_iter": 100_000}
    if kind == "group lasso":
        pytest.skip("scikit-learn has no group lasso")
    if kind == "logistic":
        return linear_model.LogisticRegression(
            C=1 / (alpha * n), l1_ratio=1.0, solver="liblinear", **options
        )
    if kind == "elastic net":
        return linear_model.ElasticNet(alpha, l1_ratio=0.7, **options)
    return linear_model.Lasso(alpha, **options)


@pytest.mark.parametrize("make", [_sklearn, _celer, _skglm])
@pytest.mark.parametrize("kind", ["lasso", "elastic net", "logistic", "group lasso"])
def test_coefficients_agree(kind, make):
    X, y, datafit, penalty = _problem(kind)
    peer = make(kind, penalty.alpha, y.size)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = np.ravel(peer.fit(X, y).coef_)
    ours = bcd_solve(X, y, datafit, penalty, tol=1e-13).coef
    # A peer that stops early is no reference: the audit says which it is.
    if dual_gap(X, y, theirs, datafit, penalty) > 1e-11:
        pytest.skip("the peer stops before")
    assert np.abs(ours - theirs).max() <= CLOSE * np.abs(ours).max()
    assert np.count_nonzero(ours) < y.size


def test_non_negative_least_squares_agree_with_scipy():
    from scipy.optimize import lsq_linear
    from scipy.optimize import nnls as peer

    X, y = correlated(80, 30, 0.6, 8, 2, 1)
    ours = nnls(X, y, tol=1e-14).coef
    size = np.abs(ours).max()
    assert np.abs(ours - peer(X, y)[0]).max() <= CLOSE * size
    bounded = lsq_linear(X, y, bounds=(0, np.inf), method="bvls", tol=1e-14).x
    assert np.abs(ours - bounded).max() <= CLOSE * size
