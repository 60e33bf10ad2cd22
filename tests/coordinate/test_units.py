# SPDX-License-Identifier: BSD-3-Clause
"""Data in units whose squares leave the range of floating point."""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp

from numopt.coordinate import (
    L1,
    MCP,
    SCAD,
    BCDRegressor,
    Box,
    ElasticNet,
    GroupL2,
    GroupLasso,
    Huber,
    Lasso,
    LassoCV,
    LinearSVC,
    Logistic,
    Multinomial,
    NonNegative,
    NonNegativeRegression,
    Null,
    Poisson,
    Quadratic,
    Ridge,
    SparseGroup,
    SparseLogisticRegression,
    SquaredHinge,
    alpha_max,
    bcd_solve,
    dual_gap,
    enet_path,
    group_lasso_path,
    lasso_path,
    logistic_path,
    nnls,
    solve_quadratic,
)

UNITS = [1e-120, 1e-45, 1e45, 1e120]
PAIRS = [(a, b) for a in UNITS for b in (1.0, *UNITS)]
N, P = 50, 12


@pytest.fixture(autouse=True)
def strict():
    """No warning of overflow, of convergence or of anything else."""
    with warnings.catch_warnings(), np.errstate(over="warn", invalid="warn"):
        warnings.simplefilter("error")
        yield


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(4)
    X = rng.standard_normal((N, P))
    signal = X[:, :3] @ [1.0, -2.0, 1.5]
    return X, signal + 0.3 * rng.standard_normal(N), rng


def near(found, expected, rtol=1e-3):
    scale = np.abs(expected).max()
    np.testing.assert_allclose(found, expected, atol=rtol * scale)


def targets(datafit, y):
    if isinstance(datafit, Multinomial):
        return np.digitize(y + 3 * np.cos(np.arange(N)), [-1, 1])
    if isinstance(datafit, Poisson):
        return np.floor(np.exp(0.4 * y))
    if isinstance(datafit, Logistic | SquaredHinge):
        return np.where(y + 3 * np.cos(np.arange(N)) > 0, 1.0, -1.0)
    return y


def penalties(a, b):
    """Penalties of data in units a and b that give coefficients in units of b / a."""
    c, norm, ridge = b / a, a * b, a * a
    made = [
        L1(0.1 * norm),
        L1(0.1 * norm, positive=True),
        L1(0.1 * norm, np.where(np.arange(P) % 4, 1.0, 0.0)),
        GroupL2(0.1 * norm, 3),
        SparseGroup(0.1 * norm, 0.5, 3, positive=True),
        NonNegative(0.05 * norm),
        Box(-0.5 * c, 0.7 * c),
        Ridge(0.1 * ridge),
        ElasticNet(0.1 * norm, 1.0),
    ]
    if 10.0 / ridge > 1:
        made.append(MCP(0.1 * norm, 10.0 / ridge))
    return made


@pytest.mark.parametrize("form", [np.asarray, sp.csc_array])
@pytest.mark.parametrize("datafit", [Quadratic(), Huber(0.5)])
@pytest.mark.parametrize(("a", "b"), PAIRS)
def test_losses_in_units_of_the_targets(datafit, a, b, form, data):
    X, y, _ = data
    scaled = Huber(0.5 * b) if isinstance(datafit, Huber) else datafit
    options = {"fit_intercept": True, "tol": 1e-7}
    for plain, penalty in zip(penalties(1.0, 1.0), penalties(a, b), strict=False):
        one = bcd_solve(X, y, datafit, plain, **options)
        two = bcd_solve(form(a * X), b * y, scaled, penalty, **options)
        near(two.coef / (b / a), one.coef)
        near(two.intercept / b, one.intercept)
        assert two.objective / b**2 == pytest.approx(one.objective, rel=1e-6)
        if plain.convex:
            audited = dual_gap(
                *(form(a * X), b * y, two.coef, scaled, penalty),
                intercept=two.intercept,
            )
            assert abs(audited) < 1e-6


@pytest.mark.parametrize(
    "datafit", [Logistic(), SquaredHinge(), Poisson(), Multinomial()]
)
@pytest.mark.parametrize("a", UNITS)
def test_losses_without_units(datafit, a, data):
    X, y, _ = data
    y = targets(datafit, y)
    for plain, penalty in zip(penalties(1.0, 1.0), penalties(a, 1.0), strict=False):
        for intercept in (False, True):
            options = {"fit_intercept": intercept, "tol": 1e-7}
            one = bcd_solve(X, y, datafit, plain, **options)
            two = bcd_solve(a * X, y, datafit, penalty, **options)
            near(two.coef * a, one.coef, 1e-2)
            assert two.objective == pytest.approx(one.objective, rel=1e-5)


@pytest.mark.parametrize("a", [1e-40, 1e-28, 1e13])
@pytest.mark.parametrize("b", [1e-40, 1.0, 1e40])
def test_single_precision(a, b, data):
    """Its squares overflow from 1e19 and vanish below 1e-23."""
    X, y, _ = data
    single = (X * max(a, 1e-30)).astype(np.float32)
    a = max(a, 1e-30)
    for make in (L1, lambda alpha: GroupL2(alpha, 3)):
        one = bcd_solve(X, y, Quadratic(), make(0.1), fit_intercept=True)
        two = bcd_solve(
            single, b * y, Quadratic(), make(0.1 * a * b), fit_intercept=True
        )
        near(two.coef / (b / a), one.coef, 1e-2)


@pytest.mark.parametrize(("a", "b"), PAIRS)
def test_estimators_and_paths(a, b, data):
    X, y, _ = data
    A, t, c = a * X, b * y, b / a
    for make in (
        lambda s: Lasso(0.1 * s),
        lambda s: GroupLasso(3, 0.1 * s),
        lambda s: NonNegativeRegression(0.01 * s),
        lambda s: LassoCV(n_alphas=6, cv=3),
        lambda s: BCDRegressor(penalty=L1(0.1 * s), selection="GS", update="prox"),
    ):
        near(make(a * b).fit(A, t).coef_ / c, make(1.0).fit(X, y).coef_)
    near(nnls(A, t).coef / c, nnls(X, y).coef)
    options = {"n_alphas": 5, "eps": 0.01, "fit_intercept": True}
    for path in (lasso_path, enet_path, lambda *d, **o: group_lasso_path(*d, 3, **o)):
        if path is enet_path and a != 1.0:
            continue  # its two parts come in different units
        one, two = path(X, y, **options), path(A, t, **options)
        near(two.alphas / (a * b), one.alphas)
        near(two.coefs / c, one.coefs)
        near(two.intercepts / b, one.intercepts)
        near(two.history["objective"] / b**2, one.history["objective"])


@pytest.mark.parametrize("a", UNITS)
def test_classifiers(a, data):
    X, y, _ = data
    labels, three = targets(Logistic(), y), targets(Multinomial(), y)
    for y in (labels, three):
        one = SparseLogisticRegression(C=1.0).fit(X, y)
        two = SparseLogisticRegression(C=1.0 / a).fit(a * X, y)
        near(two.coef_ * a, one.coef_)
        near(
            logistic_path(a * X, (y + 1) // 2 if y is labels else y, n_alphas=4).alphas
            / a,
            logistic_path(X, (y + 1) // 2 if y is labels else y, n_alphas=4).alphas,
        )
    for loss in ("hinge", "squared_hinge"):
        options = {"loss": loss, "fit_intercept": False, "random_state": 0}
        one = LinearSVC(C=0.1, **options).fit(X, labels)
        two = LinearSVC(C=0.1 / a / a, **options).fit(a * X, labels)
        near(two.coef_ * a, one.coef_)
        assert two.result_[0].objective * a * a == pytest.approx(
            one.result_[0].objective
        )


@pytest.mark.parametrize(("a", "b"), [(1e-120, 1e-60), (1e120, 1e60), (1e45, 1e-45)])
def test_bare_quadratics(a, b, data):
    X, y, _ = data
    A, c = X.T @ X, X.T @ y
    for rule in ({}, {"selection": "cyclic", "update": "prox"}):
        one = solve_quadratic(A, c, bounds=(-0.5, 0.5), x0=np.ones(P), **rule)
        two = solve_quadratic(
            *(a * A, b * c),
            bounds=(-0.5 * b / a, 0.5 * b / a),
            x0=np.full(P, b / a),
            **rule,
        )
        near(two.coef / (b / a), one.coef)
        assert two.objective / b / (b / a) == pytest.approx(one.objective)


@pytest.mark.parametrize(("a", "b"), [(1e-120, 1e60), (1e45, 1e-45)])
def test_what_is_told_on_the_way_is_in_given_units(a, b, data):
    """Callbacks, histories, starts and critical strengths."""
    X, y, _ = data
    A, t, penalty = a * X, b * y, L1(0.01 * a * b)
    seen = []
    for rule in ({}, {"selection": "cyclic", "update": "prox"}):
        found = bcd_solve(
            *(A, t, Quadratic(), penalty),
            fit_intercept=True,
            callback=lambda info: seen.append((info.x, info.objective)),
            **rule,
        )
        near(seen[-1][0], found.coef, 1e-12)
        near(seen[-1][1], found.objective, 1e-12)
        near(found.history["objective"][-1], found.objective, 1e-12)
        again = bcd_solve(
            *(A, t, Quadratic(), penalty),
            fit_intercept=True,
            coef_init=found.coef,
            intercept_init=found.intercept,
            **rule,
        )
        assert again.n_iter == 0
    for make in (L1(), GroupL2(1.0, 3), SparseGroup(1.0, 0.5, 3), MCP(), SCAD()):
        one = alpha_max(X, y, Quadratic(), make)
        assert alpha_max(A, t, Quadratic(), make) / (a * b) == pytest.approx(one)


@pytest.mark.parametrize("unit", [1e-300, 1e-110, 1e110])
@pytest.mark.parametrize("datafit", [Quadratic(), Logistic()])
def test_sample_weights_count_by_their_ratios(unit, datafit, data):
    X, y, _ = data
    y, weights = targets(datafit, y), 1.0 + np.arange(N) % 3
    for penalty in (L1(0.05), GroupL2(0.05, 3)):
        one = bcd_solve(X, y, datafit, penalty, sample_weight=weights)
        two = bcd_solve(X, y, datafit, penalty, sample_weight=unit * weights)
        near(two.coef, one.coef, 1e-5)


@pytest.mark.parametrize("a", [1e-60, 1e60])
def test_folded_penalties_beyond_all_squares(a, data):
    """The square of their strength may be no number."""
    X, y, _ = data
    for make in (MCP, SCAD):
        assert make(1e200).value(np.array([1.0, 0.0])) == pytest.approx(1e200)
        assert make(0.0).value(np.ones(2)) == 0.0
        found = bcd_solve(a * X, y, Quadratic(), make(1e200), warn=False)
        assert not found.coef.any()
        found = bcd_solve(a * X, 1e100 * y, Quadratic(), make(1e-200), warn=False)
        assert np.all(np.isfinite(found.coef))
        assert np.isfinite(found.objective)


def test_data_beyond_all_units_are_refused(data):
    X, y, _ = data
    for bad in (1e-130, 1e130):
        for form in (np.asarray, sp.csr_array):
            with pytest.raises(ValueError, match=r"`X` must be of entries .* rescale"):
                bcd_solve(form(bad * X), y, Quadratic(), L1())
        with pytest.raises(ValueError, match=r"`y` must be of entries .* rescale"):
            bcd_solve(X, bad * y, Quadratic(), L1())
        with pytest.raises(ValueError, match=r"`X` must be of entries .* rescale"):
            LinearSVC().set_params(fit_intercept=False).fit(bad * X, y > 0)
        with pytest.raises(ValueError, match=r"`A` must be of entries .* rescale"):
            nnls(bad * X, y)
        with pytest.raises(ValueError, match=r"`c` must be of entries .* rescale"):
            solve_quadratic(np.eye(P), np.full(P, bad))
    with pytest.raises(ValueError, match=r"`c` must be of a size whose square"):
        solve_quadratic(1e-120 * np.eye(P), np.full(P, 1e120))


def test_unpenalised_columns_in_other_units_than_an_intercept(data):
    """A factor of Newton systems sees columns of any unit beside the ones."""
    X, y, _ = data
    y = targets(Logistic(), y)
    for a in (1e-25, 1e-9, 1e9, 1e25):
        one = bcd_solve(X, y, Logistic(), Ridge(0.1), fit_intercept=True)
        two = bcd_solve(a * X, y, Logistic(), Ridge(0.1 * a * a), fit_intercept=True)
        near(two.coef * a, one.coef)
        assert Null().value(two.coef) == 0.0
