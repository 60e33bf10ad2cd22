# SPDX-License-Identifier: BSD-3-Clause
"""Starts from given coefficients, allowed or not, and stores that have to grow."""

import numpy as np
import pytest
import scipy.sparse as sp

from numopt.coordinate import (
    L1,
    Box,
    GroupL2,
    GroupLasso,
    Logistic,
    Multinomial,
    NonNegative,
    Poisson,
    Quadratic,
    Ridge,
    SparseGroup,
    alpha_max,
    bcd_solve,
    dual_gap,
    group_lasso_path,
    lasso_path,
)
from numopt.coordinate._solvers import columns, stored

TOL = 1e-9


@pytest.mark.parametrize("level", [0.0, 1.0])
@pytest.mark.parametrize(
    "penalty", [L1(0.05), GroupL2(0.05, groups=[0, 0, 1, 2, 2])], ids=["L1", "GroupL2"]
)
@pytest.mark.parametrize("datafit", [Quadratic(), Logistic()], ids=["squares", "logit"])
def test_start_on_a_column_without_information(datafit, penalty, level):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((30, 5))
    X[:, 2] = level
    y = X[:, 0] + rng.standard_normal(30)
    y = y if isinstance(datafit, Quadratic) else (y > 0).astype(float)
    start = np.full(5, 0.5)
    result = bcd_solve(X, y, datafit, penalty, coef_init=start, fit_intercept=True)
    assert result.converged
    assert result.coef[2] == pytest.approx(0.0, abs=1e-6)
    np.testing.assert_array_equal(start, 0.5)


@pytest.fixture(scope="module")
def data():
    """Twenty coefficients of both signs, in groups of four."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 20))
    w = np.zeros(20)
    w[:8] = [1, -1, 2, 0.5, 1, 1, -2, 0.3]
    return X, X @ w + 0.3 * rng.standard_normal(60)


WEIGHTS = np.r_[np.inf, np.ones(4)]
NARROW = [
    (GroupL2(0.05, 4), GroupL2(0.05, 4, positive=True)),
    (GroupL2(0.05, 4), GroupL2(0.05, 4, weights=WEIGHTS)),
    (SparseGroup(0.05, 0.5, 4), SparseGroup(0.05, 0.5, 4, positive=True)),
    (L1(0.05), NonNegative(0.05)),
    (L1(0.05), L1(0.05, weights=np.repeat(WEIGHTS, 4))),
    (Ridge(0.05), Box(-0.1, 0.2)),
]


@pytest.mark.parametrize("datafit", [Quadratic(), Logistic()])
@pytest.mark.parametrize("case", range(len(NARROW)))
def test_starts_that_are_not_allowed(data, datafit, case):
    """The optimum without the constraint lies below the one that is asked for."""
    X, y = data
    y = np.sign(y) if isinstance(datafit, Logistic) else y
    wide, narrow = NARROW[case]
    start = bcd_solve(X, y, datafit, wide, tol=TOL)
    assert narrow.value(start.coef) == np.inf
    cold = bcd_solve(X, y, datafit, narrow, tol=TOL)
    warm = bcd_solve(X, y, datafit, narrow, coef_init=start.coef, tol=TOL)
    scale = np.mean(datafit.value(y, np.zeros(y.size)))
    assert warm.converged
    assert np.isfinite(narrow.value(warm.coef))
    assert abs(warm.objective - cold.objective) <= 2 * TOL * scale
    assert warm.objective > start.objective


@pytest.mark.parametrize("datafit", [Quadratic(), Logistic(), Poisson(), Multinomial()])
@pytest.mark.parametrize("kind", [GroupL2(0.02, 4), L1(0.02)])
def test_the_solution_is_a_start(data, datafit, kind):
    """Nothing is left to do, with the intercept given or not."""
    X, y = data
    if not isinstance(datafit, Quadratic):
        y = (y > -1).astype(float) + (y > 1) * (not isinstance(datafit, Logistic))
    options = {"fit_intercept": True, "tol": TOL}
    first = bcd_solve(X, y, datafit, kind, **options)
    start = {"coef_init": first.coef, "intercept_init": first.intercept}
    # The gap of a single point may be above the best gap of several.
    again = bcd_solve(X, y, datafit, kind, **options | {"tol": 10 * TOL}, **start)
    assert again.n_iter <= 1
    assert abs(again.objective - first.objective) <= 10 * TOL
    start.pop("intercept_init")
    fitted = bcd_solve(X, y, datafit, kind, **options, **start)
    assert fitted.converged
    assert abs(fitted.objective - first.objective) <= 10 * TOL


def test_group_estimators_start_warm(data):
    X, y = data
    model = GroupLasso(4, alpha=0.05, warm_start=True, tol=TOL).fit(X, y)
    assert model.fit(X, y).n_iter_ <= 1
    model.set_params(positive=True).fit(X, y)
    assert model.coef_.min() >= 0
    cold = GroupLasso(4, alpha=0.05, positive=True, tol=TOL).fit(X, y)
    np.testing.assert_allclose(model.coef_, cold.coef_, atol=1e-3)


def test_tolerances_below_rounding_stall(data):
    X, y = data
    result = bcd_solve(X, y, Quadratic(), GroupL2(0.05, 4), tol=1e-30, warn=False)
    assert result.status in ("stalled", "converged")
    assert result.dual_gap <= 1e-14
    # At the critical strength no group may enter and there is nothing to solve on.
    for make in (lambda a: GroupL2(a, 4), L1):
        top = alpha_max(X, y, Quadratic(), make(1.0))
        for design in (X, sp.csr_array(X)):
            null = bcd_solve(
                *(design, y, Quadratic(), make(top)), tol=1e-30, warn=False
            )
            assert null.dual_gap <= 1e-14
            assert np.abs(null.coef).max() <= 1e-14


@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("sparse", [False, True])
def test_unpenalised_groups_and_columns(data, intercept, sparse):
    """Weight 0: the slope on them vanishes, for squares and for the softmax."""
    X, y = data
    design = sp.csc_array(X) if sparse else X
    options = {"fit_intercept": intercept, "tol": TOL}
    group = GroupL2(0.5, 4, weights=[0, 1, 1, 1, 1])
    result = bcd_solve(design, y, Quadratic(), group, **options)
    assert result.converged
    slope = X.T @ (X @ result.coef + result.intercept - y) / y.size
    assert np.abs(slope[:4]).max() <= 1e-6
    labels = np.digitize(y, [-1.0, 1.0])
    penalty = L1(0.05, weights=np.r_[0.0, 0.0, np.ones(18)])
    result = bcd_solve(design, labels, Multinomial(), penalty, **options)
    assert result.converged
    z = X @ result.coef.T + result.intercept
    slope = X.T @ Multinomial().gradient(labels, z) / y.size
    assert np.abs(slope[:2]).max() <= 1e-4
    assert penalty.subdiff_distance(result.coef, slope.T).max() <= 1e-4


@pytest.mark.parametrize("form", [np.asfortranarray, sp.csc_array])
def test_stores_grow(monkeypatch, data, form):
    """Room for three columns at first: the answers do not depend on it."""
    X, y = data
    X = form(X)
    penalties = (L1(0.01), GroupL2(0.01, 4))
    grid = {"n_alphas": 8, "tol": TOL}

    def everything():
        single = [bcd_solve(X, y, Quadratic(), g, tol=TOL).coef for g in penalties]
        paths = (lasso_path(X, y, **grid), group_lasso_path(X, y, 4, **grid))
        assert all(path.converged for path in paths)
        return [*single, *(path.coefs for path in paths)]

    expected = everything()
    monkeypatch.setattr(columns, "FIRST_ROOM", 3)
    for ours, other in zip(everything(), expected, strict=True):
        np.testing.assert_allclose(ours, other, atol=1e-4)


def test_only_columns_near_their_threshold_take_part(monkeypatch, data):
    """On a stored Gram matrix the others sit out; the factor changes its names."""
    X, y = data
    top = alpha_max(X, y, Quadratic(), L1())
    expected = lasso_path(X, y, n_alphas=12, tol=TOL)
    monkeypatch.setattr(stored, "LARGE", 2)
    path = lasso_path(sp.csc_array(X), y, n_alphas=12, tol=TOL)
    np.testing.assert_allclose(path.coefs, expected.coefs, atol=1e-4)
    start = np.full(20, 1e-3)
    for share in (0.5, 0.02):
        penalty = L1(share * top)
        result = bcd_solve(
            sp.csc_array(X), y, Quadratic(), penalty, coef_init=start, tol=TOL
        )
        assert result.converged
        assert dual_gap(X, y, result.coef, Quadratic(), penalty) <= 1.1 * TOL
