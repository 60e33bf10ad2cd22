# SPDX-License-Identifier: BSD-3-Clause
"""Group penalties with coefficients that must not be negative."""

import numpy as np
import pytest
import scipy.sparse as sp

from numopt.coordinate import (
    GroupL2,
    GroupLasso,
    GroupLassoCV,
    Logistic,
    NonNegative,
    Quadratic,
    SparseGroup,
    alpha_max,
    bcd_solve,
    dual_gap,
    group_lasso_path,
)

PENALTIES = (
    GroupL2(0.05, 4, positive=True),
    GroupL2(0.3, 4, positive=True),
    SparseGroup(0.1, 0.5, 4, positive=True),
)


@pytest.fixture
def data(rng):
    """Twenty coefficients of both signs, in groups of four."""
    X = rng.standard_normal((60, 20))
    w = np.zeros(20)
    w[:8] = [1, -1, 2, 0.5, 1, 1, -2, 0.3]
    return X, X @ w + 0.3 * rng.standard_normal(60)


def textbook(X, y, datafit, penalty, steps=20_000):
    """Accelerated projected proximal gradient, written independently.

    The prox of the group norm on the orthant: clip, then shrink.
    """
    n, p = X.shape
    step = n / np.linalg.norm(X, 2) ** 2
    l1 = penalty.alpha * getattr(penalty, "l1_ratio", 0.0)
    lam = penalty.alpha - l1
    w = ahead = np.zeros(p)
    t = 1.0
    for _ in range(steps):
        slope = X.T @ datafit.gradient(y, X @ ahead) / n
        z = np.maximum(ahead - step * slope - step * l1, 0.0).reshape(-1, 4)
        norms = np.linalg.norm(z, axis=1, keepdims=True)
        shrink = np.maximum(1.0 - step * lam / np.maximum(norms, 1e-300), 0.0)
        new = (z * shrink).ravel()
        longer = (1 + np.sqrt(1 + 4 * t * t)) / 2
        ahead = new + (t - 1) / longer * (new - w)
        w, t = new, longer
    value = np.mean(datafit.value(y, X @ w))
    norms = np.linalg.norm(w.reshape(-1, 4), axis=1)
    return w, value + l1 * w.sum() + lam * norms.sum()


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("datafit", [Quadratic(), Logistic()])
def test_a_textbook_method_agrees(data, datafit, penalty):
    X, y = data
    y = np.sign(y) if isinstance(datafit, Logistic) else y
    penalty = type(penalty)(**{**vars(penalty), "alpha": 0.3 * penalty.alpha})
    result = bcd_solve(X, y, datafit, penalty, tol=1e-9)
    expected, value = textbook(X, y, datafit, penalty)
    assert result.converged
    assert result.coef.min() >= 0
    assert (result.coef > 0).any()
    scale = np.mean(datafit.value(y, np.zeros(y.size)))
    assert abs(result.objective - value) <= 2e-9 * scale
    np.testing.assert_allclose(result.coef, expected, atol=1e-3)
    assert dual_gap(X, y, result.coef, datafit, penalty) <= 1.1e-9
    # Nobody's coefficients below a bound are certified.
    assert not dual_gap(X, y, result.coef - 0.1, datafit, penalty) < 1.0


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("update", ["prox", "prox_newton", "line_search"])
def test_literal_rules_agree(data, penalty, update):
    X, y = data
    result = bcd_solve(
        *(X, y, Quadratic(), penalty),
        partition="groups",
        selection="cyclic",
        update=update,
        max_iter=5000,
        tol=1e-9,
    )
    best = bcd_solve(X, y, Quadratic(), penalty, tol=1e-10)
    assert result.coef.min() >= 0
    assert abs(result.objective - best.objective) <= 2e-9 * np.mean(y**2)


@pytest.mark.parametrize("penalty", PENALTIES)
def test_prox_and_subdifferential(penalty, rng):
    z = 3 * penalty.alpha * rng.standard_normal(20)
    x = penalty.prox(z, 1.0)
    assert x.min() >= 0
    assert penalty.value(-np.ones(20)) == np.inf
    # x minimises |x - z|^2 / 2 + penalty: its slope balances the subdifferential.
    assert np.max(penalty.subdiff_distance(x, x - z)) <= 1e-13
    assert np.max(penalty.subdiff_distance(x + 0.1, x + 0.1 - z)) > 1e-3


def test_paths_and_estimators(data):
    X, y = data
    path = group_lasso_path(X, y, 4, positive=True, n_alphas=20, eps=1e-2, tol=1e-8)
    assert path.converged
    assert path.coefs.min() >= 0
    top = alpha_max(X, y, Quadratic(), GroupL2(1.0, 4, positive=True))
    assert path.alphas[0] == pytest.approx(top, rel=1e-12)
    assert not path.coefs[:, 0].any()
    assert path.coefs[:, 1].any()
    sparse = group_lasso_path(
        sp.csc_array(X), y, 4, positive=True, n_alphas=20, eps=1e-2, tol=1e-8
    )
    np.testing.assert_allclose(sparse.coefs, path.coefs, atol=2e-3)
    model = GroupLasso(4, alpha=path.alphas[9], positive=True, tol=1e-10)
    model.set_params(fit_intercept=False).fit(X, y)
    np.testing.assert_allclose(model.coef_, path.coefs[:, 9], atol=2e-3)
    chosen = GroupLassoCV(4, positive=True, n_alphas=5, cv=3).fit(X, y)
    assert chosen.coef_.min() >= 0


def test_wide_designs_work_on_columns(rng):
    """More columns than rows: descent without a Gram matrix, and its Newton steps."""
    X = rng.standard_normal((50, 400))
    y = X[:, :40] @ rng.standard_normal(40) + rng.standard_normal(50)
    top = alpha_max(X, y, Quadratic(), GroupL2(1.0, 10, positive=True))
    for share in (0.5, 0.05):
        penalty = GroupL2(share * top, 10, positive=True)
        result = bcd_solve(X, y, Quadratic(), penalty, tol=1e-9)
        assert result.converged
        assert result.coef.min() >= 0
        assert dual_gap(X, y, result.coef, Quadratic(), penalty) <= 1.1e-9


def test_groups_of_one_are_the_lasso_with_signs(data):
    X, y = data
    ours = bcd_solve(X, y, Quadratic(), GroupL2(0.1, 1, positive=True), tol=1e-11)
    lasso = bcd_solve(X, y, Quadratic(), NonNegative(0.1), tol=1e-11)
    np.testing.assert_allclose(ours.coef, lasso.coef, atol=1e-4)


def test_no_weight_leaves_the_bound(data):
    """Weight 0: non-negative least squares on the group."""
    X, y = data
    weights = [0.0, 1.0, 1.0, 1.0, 1.0]
    penalty = GroupL2(10.0, 4, weights, positive=True)
    result = bcd_solve(X, y, Quadratic(), penalty, tol=1e-7)
    nnls = bcd_solve(X[:, :4], y, Quadratic(), NonNegative(0.0), tol=1e-10)
    np.testing.assert_allclose(result.coef[:4], nnls.coef, atol=1e-4)
    assert not result.coef[4:].any()
