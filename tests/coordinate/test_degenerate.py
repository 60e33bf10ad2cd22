# SPDX-License-Identifier: BSD-3-Clause
"""Problems on the edge: constant columns, exact fits, straight losses, flat models."""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp

from numopt.coordinate import (
    L1,
    MCP,
    SCAD,
    Box,
    ElasticNet,
    GroupL2,
    Huber,
    Logistic,
    Multinomial,
    NonNegative,
    Null,
    Poisson,
    Quadratic,
    Ridge,
    SparseGroup,
    SquaredHinge,
    alpha_max,
    bcd_solve,
    dual_gap,
)

FORMS = [np.ascontiguousarray, np.asfortranarray, sp.csc_array]
LOSSES = [
    Quadratic(),
    Logistic(),
    Multinomial(),
    Huber(0.5),
    Poisson(),
    SquaredHinge(),
]
PENALTIES = [
    lambda a, p: L1(a),
    lambda a, p: L1(a, positive=True),
    lambda a, p: L1(a, np.where(np.arange(p) % 3, 1.0, 0.0)),
    lambda a, p: ElasticNet(a, 0.5),
    lambda a, p: GroupL2(a, np.arange(p) // 3),
    lambda a, p: SparseGroup(a, 0.5, np.arange(p) // 3, positive=True),
    lambda a, p: NonNegative(a),
    lambda a, p: Box(-1.0, 0.5),
    lambda a, p: Ridge(a),
    lambda a, p: Null(),
    lambda a, p: MCP(a, 3.0),
    lambda a, p: SCAD(a, 3.7),
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    "penalty",
    [
        Null(),
        L1(0.01, np.array([0.0, 1.0, 0.0, 1.0, 0.0])),
        GroupL2(0.01, 1, weights=np.array([0.0, 1.0, 0.0, 1.0, 0.0])),
        ElasticNet(0.01, 0.5),
    ],
)
def test_constant_columns_beside_an_intercept(rng, form, weighted, penalty):
    """Centring leaves rounding of them, from which no coefficient may follow."""
    X = rng.standard_normal((60, 5))
    X[:, 2], X[:, 4] = 3.7, -0.1
    y = X[:, 0] + rng.standard_normal(60) + 5.0
    s = rng.uniform(0.5, 2.0, 60) if weighted else None
    found = bcd_solve(
        form(X),
        y,
        Quadratic(),
        penalty,
        sample_weight=s,
        fit_intercept=True,
        warn=False,
    )
    assert found.converged
    assert found.dual_gap + 1e-15 >= 0
    np.testing.assert_allclose(found.coef[[2, 4]], 0.0, atol=1e-9)
    assert np.abs(found.coef).max() < 2.0


def test_constant_targets_fit_every_loss_exactly():
    """Where F(0) is 0, the gap is relative to the loss of no model at all."""
    X = np.arange(12.0).reshape(6, 2)
    y = np.full(6, 3.0)
    for datafit in (Quadratic(), Huber(0.1), Poisson()):
        for penalty in (L1(0.1), GroupL2(0.1, 2), Ridge(1.0), Box(-1.0, 1.0)):
            found = bcd_solve(X, y, datafit, penalty, fit_intercept=True)
            assert found.converged
            assert found.n_iter == 0
            assert not found.coef.any()
            audited = dual_gap(X, y, found.coef, datafit, penalty, intercept=3.0)
            if not isinstance(datafit, Poisson):
                assert abs(audited) < 1e-12


def test_counts_are_measured_by_their_deviance(rng):
    """The loss of counts has a least value below 0, which the unit must not see."""
    X = rng.standard_normal((80, 30))
    y = rng.poisson(np.exp(2.0 + 0.3 * X[:, 0])).astype(float)
    penalty = L1(0.2 * alpha_max(X, y, Poisson(), L1(), fit_intercept=True))
    found = bcd_solve(X, y, Poisson(), penalty, fit_intercept=True, tol=1e-8)
    assert found.objective < 0
    assert found.converged
    assert 0 <= found.dual_gap <= 1e-8
    tight = bcd_solve(X, y, Poisson(), penalty, fit_intercept=True, tol=1e-13)
    safe = np.where(y > 0, y, 1.0)
    mean = y.mean()
    deviance = np.mean(y * np.log(safe / mean) - (y - mean))
    assert (found.objective - tight.objective) / deviance <= found.dual_gap + 1e-15


@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_residuals_all_on_the_straight_part(rng, form, intercept):
    """There a loss of Huber has no curvature, and Newton steps have no length."""
    X = rng.standard_normal((40, 8)) * (rng.random((40, 8)) < 0.5)
    y = X @ np.linspace(1, 2, 8) + 50.0 * intercept + 0.1 * rng.standard_normal(40)
    datafit = Huber(1e-3)
    for penalty in (L1(1e-6), NonNegative(1e-6), GroupL2(1e-6, 2)):
        found = bcd_solve(
            form(X), y, datafit, penalty, fit_intercept=intercept, tol=1e-8
        )
        assert found.converged
        np.testing.assert_allclose(found.coef, np.linspace(1, 2, 8), atol=0.2)


def test_free_columns_that_nearly_repeat_the_intercept(rng):
    """The start holds the coefficients of columns without a penalty as well."""
    X = 100.0 + 1e-3 * rng.standard_normal((60, 20))
    y = rng.standard_normal(60)
    weights = np.where(np.arange(20) < 4, 0.0, 1.0)
    for datafit in (Huber(0.1), Quadratic()):
        penalty = L1(10.0, weights)
        found = bcd_solve(X, y, datafit, penalty, fit_intercept=True, tol=1e-7)
        assert found.converged
        assert found.n_iter <= 3


def test_exact_fits_without_a_penalty_have_no_negative_gap(rng):
    """A residual of rounding, scaled up, would be no dual point."""
    for n, p in ((3, 50), (5, 7), (10, 200)):
        X, y = rng.standard_normal((n, p)), rng.standard_normal(n)
        for penalty in (Null(), GroupL2(0.0, 1), L1(0.0)):
            found = bcd_solve(X, y, Quadratic(), penalty, warn=False)
            assert found.converged
            assert -1e-12 <= found.dual_gap <= 1e-6
            assert found.objective < 1e-10


@pytest.mark.parametrize("unit", [1e-8, 1.0, 1e6])
def test_softmax_models_that_rounding_makes_indefinite(rng, unit):
    """Wide designs fit all labels: the curvature vanishes with the probabilities."""
    X = unit * (0.1 * rng.standard_normal((30, 50)) + rng.standard_normal((30, 1)))
    y = np.arange(30) % 3
    found = bcd_solve(X, y, Multinomial(), Null(), fit_intercept=True, warn=False)
    assert np.all(np.isfinite(found.coef))
    assert found.converged


def test_dependent_columns_without_a_penalty_are_told():
    """The coefficients are not unique then."""
    from scipy.linalg import LinAlgWarning

    rng = np.random.default_rng(0)
    X = rng.standard_normal((30, 4))
    y = X @ np.ones(4) + rng.standard_normal(30)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        bcd_solve(X, y, Quadratic(), Null())
        bcd_solve(X, y, Quadratic(), L1(1e-3))
    X[:, 3] = X[:, 0] - 2.0 * X[:, 1]
    for form in FORMS:
        with pytest.warns(LinAlgWarning, match="rank 3 < 4"):
            bcd_solve(form(X), y, Quadratic(), Null())
    with pytest.warns(LinAlgWarning, match="rank 3 < 4"):
        bcd_solve(X, y > 0, Logistic(), Ridge(0.0))
    with pytest.warns(LinAlgWarning, match="rank 2 < 4"):
        bcd_solve(X[:3], y[:3], Quadratic(), L1(0.0), fit_intercept=True)


def test_collinear_least_squares_are_exact():
    """Powers of a variable: the Gram matrix has lost what orthogonal factors see."""
    rng = np.random.default_rng(0)
    x = np.linspace(0.0, 1.0, 200)
    y = np.sin(6 * x) + 0.1 * rng.standard_normal(200)
    s = rng.uniform(0.5, 2.0, 200)
    X = np.vander(x, 10, increasing=True)[:, 1:]
    design = np.column_stack([X, np.ones(200)]) * np.sqrt(s)[:, None]
    exact = np.linalg.lstsq(design, y * np.sqrt(s), rcond=None)[0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = bcd_solve(
            X, y, Quadratic(), Null(), sample_weight=s, fit_intercept=True
        )
    assert found.converged
    np.testing.assert_allclose(found.coef, exact[:-1], rtol=1e-4)
    near = 100.0 + 1e-3 * rng.standard_normal((150, 3))
    found = bcd_solve(near, 0.1 * rng.standard_normal(150), Quadratic(), L1(0.0))
    assert found.converged


@pytest.mark.parametrize("form", FORMS)
def test_single_precision_without_a_penalty(rng, form):
    """Bounds alone leave dual constraints no room but that of rounding."""
    X = rng.standard_normal((120, 30))
    y = X[:, :4].sum(axis=1) + 0.5 * rng.standard_normal(120)
    single = form(X.astype(np.float32))
    for penalty in (NonNegative(), L1(0.1, np.where(np.arange(30) < 3, 0.0, 1.0))):
        for intercept in (False, True):
            found = bcd_solve(single, y, Quadratic(), penalty, fit_intercept=intercept)
            double = bcd_solve(X, y, Quadratic(), penalty, fit_intercept=intercept)
            assert found.converged
            np.testing.assert_allclose(found.coef, double.coef, atol=1e-4)


def _design(rng: np.random.Generator, n: int, p: int) -> np.ndarray:
    """A design of one of many kinds."""
    X = rng.standard_normal((n, p))
    kind = rng.integers(8)
    if kind == 0:
        rank = max(1, min(n, p) // 3)
        X = rng.standard_normal((n, rank)) @ rng.standard_normal((rank, p))
    elif kind == 1:
        X[:, rng.random(p) < 0.4] = 0.0
    elif kind == 2:
        X = X[:, rng.integers(0, p, p)]
    elif kind == 3:
        X[:, rng.random(p) < 0.4] = 2.0
    elif kind == 4:
        X = rng.integers(-2, 3, (n, p)).astype(float)
    elif kind == 5:
        X *= 10.0 ** rng.uniform(-3, 3, p)
    elif kind == 6:
        X = 10.0 + 0.1 * X
    return X


def _targets(datafit, signal: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Targets that a loss accepts."""
    n = signal.size
    if isinstance(datafit, Multinomial):
        return np.arange(n) % 3
    if isinstance(datafit, Poisson):
        return rng.poisson(np.exp(np.clip(signal, -2, 2))).astype(float)
    y = signal + 0.5 * rng.standard_normal(n)
    if isinstance(datafit, Logistic | SquaredHinge):
        y = np.where(y > np.median(y), 1.0, -1.0)
        y[0], y[1] = 1.0, -1.0
    return y


@pytest.mark.parametrize("make", range(len(PENALTIES)))
@pytest.mark.parametrize("datafit", LOSSES, ids=lambda d: type(d).__name__)
def test_what_is_called_converged_is_near_the_optimum(datafit, make):
    """Random designs of all kinds and sizes; a tight solve tells the optimum."""
    for seed in range(6):
        rng = np.random.default_rng([seed, make])
        n, p = int(rng.choice([3, 8, 40])), int(rng.choice([1, 3, 12, 60]))
        X = _design(rng, n, p)
        top = np.abs(X).max() or 1.0
        y = _targets(datafit, X @ (rng.random(p) < 0.3) / top, rng)
        s = rng.uniform(0.1, 2.0, n) if seed % 2 else None
        fit = {"sample_weight": s, "fit_intercept": bool(seed % 3), "warn": False}
        alpha = 10.0 ** rng.uniform(-4, 0) * top
        penalty = PENALTIES[make](alpha, p)
        tol = 10.0 ** rng.uniform(-9, -4)
        A = sp.csc_array(X) if seed == 4 else X
        found = bcd_solve(A, y, datafit, penalty, tol=tol, **fit)
        assert np.all(np.isfinite(found.coef))
        assert np.isfinite(found.objective)
        assert found.converged, (seed, found.message)
        if not penalty.convex:
            continue
        tight = bcd_solve(A, y, datafit, penalty, tol=1e-12, **fit)
        assert -1e-13 <= found.dual_gap <= tol
        unit = found.history["objective"][0]
        if isinstance(datafit, Poisson):
            unit += np.average(datafit.conjugate(y, 0.0 * y), weights=s)
        gain = found.objective - tight.objective
        assert gain <= 1.01 * tol * max(unit, 1.0)


SEPARABLE = [Null(), L1(0.0), NonNegative(), GroupL2(0.0, 1)]


@pytest.mark.parametrize("penalty", SEPARABLE)
@pytest.mark.parametrize("datafit", [Logistic(), Multinomial()])
@pytest.mark.parametrize("unit", [1e-60, 1.0, 1e60])
def test_separated_classes_are_told(penalty, datafit, unit):
    """Without a penalty their coefficients have no finite optimum."""
    from numopt.exceptions import ConvergenceWarning

    X = unit * np.array([[-2.0, 1.0], [-1.0, -1.0], [1.0, 1.0], [3.0, -1.0]])
    y = np.array([0.0, 0.0, 1.0, 1.0])
    for intercept in (False, True):
        with pytest.warns(ConvergenceWarning, match="classes are separated"):
            found = bcd_solve(X, y, datafit, penalty, fit_intercept=intercept)
        assert "separated" in found.message
        assert np.all(np.isfinite(found.coef))
        assert found.objective <= found.dual_gap * np.log(2) * (1 + 1e-9) + 1e-30
        alone = np.array([1.0, 1.0, 1.0, 0.0])
        with pytest.warns(ConvergenceWarning, match="classes are separated"):
            bcd_solve(X, [0, 0, 1, 0], datafit, penalty, sample_weight=alone)


def test_classes_that_only_a_part_of_the_samples_separates():
    """Samples on the border keep the loss above 0."""
    from numopt.exceptions import ConvergenceWarning

    X = np.repeat([[0.0], [1.0], [-1.0]], 10, axis=0)
    y = np.r_[np.tile([1.0, -1.0], 5), np.ones(10), -np.ones(10)]
    with pytest.warns(ConvergenceWarning, match="classes are separated"):
        found = bcd_solve(X, y, Logistic(), Null())
    assert found.objective == pytest.approx(np.log(2) / 3, rel=1e-6)


def test_classes_that_overlap_or_are_penalised_are_not_separated(rng):
    X = rng.standard_normal((40, 3))
    y = np.where(X[:, 0] + rng.standard_normal(40) > 0, 1.0, -1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for penalty in (Null(), L1(0.0), L1(0.1)):
            assert "separated" not in bcd_solve(X, y, Logistic(), penalty).message
        y = np.where(X[:, 0] > 0, 1.0, -1.0)
        for penalty in (L1(1e-3), Ridge(1e-3), Box(-9.0, 9.0), GroupL2(1e-3, 1)):
            assert "separated" not in bcd_solve(X, y, Logistic(), penalty).message


@pytest.mark.parametrize("ratio", [1e-2, 1e-4])
def test_models_of_a_straight_loss_are_solved_further(ratio):
    """The dual of a loss with straight parts falls faster than that of its model."""
    rng = np.random.default_rng(2)
    X = rng.standard_normal((300, 100))
    y = X[:, :10].sum(axis=1) + 3.0 * rng.standard_normal(300)
    for make in (lambda a: GroupL2(a, 5), lambda a: SparseGroup(a, 0.5, 5)):
        alpha = ratio * alpha_max(X, y, Huber(0.5), make(1.0))
        for tol in (1e-6, 1e-9):
            assert bcd_solve(X, y, Huber(0.5), make(alpha), tol=tol).converged
