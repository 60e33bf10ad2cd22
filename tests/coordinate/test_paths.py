# SPDX-License-Identifier: BSD-3-Clause
"""Paths: grids, certificates, and single fits at their points."""

import numpy as np
import pytest
import scipy.sparse as sp

from numopt.coordinate import (
    L1,
    ElasticNet,
    Logistic,
    Quadratic,
    alpha_max,
    enet_path,
    group_lasso_path,
    lasso_path,
    logistic_path,
)
from numopt.coordinate._solvers.working_set import solve_auto
from tests.coordinate.problems import correlated


@pytest.fixture(scope="module")
def data():
    return correlated(50, 200, 0.7, 10, 3, 0)


def test_points_are_single_fits(data):
    X, y = data
    path = lasso_path(X, y, n_alphas=20, eps=0.01, fit_intercept=True, tol=1e-11)
    assert path.converged
    assert path.coefs.shape == (200, 20)
    assert path.dual_gaps.max() <= 1e-11
    assert not path.coefs[:, 0].any()
    assert np.all(np.diff(path.alphas) < 0)
    for k in (3, 10, 19):
        one = solve_auto(
            X, y, Quadratic(), L1(path.alphas[k]), fit_intercept=True, tol=1e-12
        )
        np.testing.assert_allclose(path.coefs[:, k], one.coef, atol=1e-6)
        assert path.intercepts[k] == pytest.approx(one.intercept, abs=1e-8)


def test_elastic_net_path_changes_the_ridge(data):
    X, y = data
    path = enet_path(X, y, l1_ratio=0.3, n_alphas=6, eps=0.05, tol=1e-11)
    for k, alpha in enumerate(path.alphas):
        one = solve_auto(X, y, Quadratic(), ElasticNet(alpha, 0.3), tol=1e-12)
        np.testing.assert_allclose(path.coefs[:, k], one.coef, atol=1e-6)


def test_sparse_weighted_positive(data):
    X, y = data
    X = np.where(np.abs(X) > 1, X, 0.0)
    s = np.random.default_rng(0).random(50)
    options = {
        "positive": True,
        "fit_intercept": True,
        "sample_weight": s,
        "n_alphas": 8,
        "eps": 0.05,
        "tol": 1e-11,
    }
    dense = lasso_path(X, y, **options)
    sparse = lasso_path(sp.csc_array(X), y, **options)
    assert dense.coefs.min() >= 0
    np.testing.assert_allclose(sparse.coefs, dense.coefs, atol=1e-7)


def test_group_and_logistic_paths(data):
    X, y = data
    grouped = group_lasso_path(X, y, 10, n_alphas=6, eps=0.1, tol=1e-9)
    assert grouped.converged
    blocks = (grouped.coefs.reshape(20, 10, 6) != 0).sum(axis=1)
    assert set(np.unique(blocks)) <= {0, 10}
    labels = (y > 0).astype(int)
    logistic = logistic_path(X, labels, n_alphas=6, eps=0.1, tol=1e-9)
    assert logistic.converged
    top = alpha_max(X, labels, Logistic(), L1())
    assert logistic.alphas[0] == pytest.approx(top)
    assert logistic_path(X, np.digitize(y, [-1, 1]), n_alphas=3).coefs.shape == (
        3,
        200,
        3,
    )


def test_given_alphas_are_sorted(data):
    X, y = data
    path = lasso_path(X, y, alphas=[0.1, 0.5, 0.2])
    np.testing.assert_array_equal(path.alphas, [0.5, 0.2, 0.1])
    with pytest.raises(ValueError, match="`alphas` must be finite and non-negative"):
        lasso_path(X, y, alphas=[-1.0])
    with pytest.raises(ValueError, match="`eps` must be"):
        lasso_path(X, y, eps=0.0)
