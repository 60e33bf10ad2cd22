# SPDX-License-Identifier: BSD-3-Clause
"""Penalties and losses by themselves: entries, limits, refusals, strengths."""

import dataclasses

import numpy as np
import pytest
import scipy.sparse as sp

from numopt.coordinate import (
    L1,
    MCP,
    SCAD,
    Box,
    Datafit,
    GroupL2,
    Huber,
    Logistic,
    Multinomial,
    NonNegative,
    Null,
    Penalty,
    Poisson,
    Quadratic,
    Ridge,
    SparseGroup,
    SquaredHinge,
    alpha_max,
    bcd_solve,
    dual_gap,
    lasso_path,
)

BOUND = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
LABELS = [0, 0, 1, 1, 2, 2]
SOME = np.array([2, 3, 0, 1])


@pytest.mark.parametrize(
    "penalty",
    [
        L1(0.3, weights=10 * BOUND),
        Box(-BOUND, 1.0),
        Box(-1.0, BOUND),
        NonNegative(0.2),
        Ridge(0.7),
        GroupL2(0.4, LABELS, weights=[1.0, 2.0, 3.0]),
        GroupL2(0.4, [[0, 1], [2, 3], [4, 5]], positive=True),
        SparseGroup(0.4, 0.5, LABELS),
    ],
)
def test_index_picks_coordinates(penalty, rng):
    w, grad = rng.standard_normal(6), rng.standard_normal(6)
    whole = penalty.prox(w, 0.5)
    np.testing.assert_allclose(penalty.prox(w[SOME], 0.5, SOME), whole[SOME])
    distances = penalty.subdiff_distance(whole, grad)
    some = penalty.subdiff_distance(whole[SOME], grad[SOME], SOME)
    # A group penalty has one distance a group, in the order of the groups.
    expected = distances[SOME] if distances.size == 6 else distances[:2]
    np.testing.assert_allclose(some, expected)


def test_consecutive_groups_need_their_number():
    with pytest.raises(ValueError, match="a partition where `index` is given"):
        GroupL2(0.4, 2).prox(np.ones(2), 1.0, np.array([0, 1]))


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: Box(np.nan, 1.0), "free of NaN"),
        (lambda: Box(np.zeros(3), 1.0).terms(2), r"`lower` must be of shape \(2,\)"),
        (lambda: MCP(1.0, 2.0).prox(np.ones(1), 2.0), "less than gamma=2.0"),
        (lambda: SCAD(1.0, 3.0).prox(np.ones(1), 2.0), "less than 2.0"),
        (lambda: Multinomial().encode(np.array([0.5, 1.0])), "integer labels"),
        (lambda: Multinomial().encode(np.array([0.0, 2.0])), "that all occur"),
        (lambda: Multinomial().encode(np.zeros(3)), "two classes"),
        (lambda: Poisson().encode(np.array([-1.0])), "non-negative for Poisson"),
        (lambda: alpha_max(np.eye(2), [1, 2], Quadratic(), Ridge(1.0)), "L1 or group"),
        (lambda: alpha_max(np.eye(2), [1, 2], Quadratic(), L1(0.0)), "positive alpha"),
        (lambda: lasso_path(np.eye(2), [1, 2], alphas=[]), "`alphas` must be non-emp"),
    ],
)
def test_refusals(call, match):
    with pytest.raises(ValueError, match=match):
        call()


@pytest.mark.parametrize("penalty", [MCP(0.7, 3.0), SCAD(0.7, 3.7)])
def test_strengths_of_folded_penalties(penalty, rng):
    """Their slope at 0 is that of the Lasso; no gap is known."""
    X, y = rng.standard_normal((30, 8)), rng.standard_normal(30)
    top = alpha_max(X, y, Quadratic(), penalty)
    assert top == pytest.approx(alpha_max(X, y, Quadratic(), L1()))
    for share, empty in ((1.0 + 1e-9, True), (0.9, False)):
        strong = dataclasses.replace(penalty, alpha=share * top)
        coef = bcd_solve(X, y, Quadratic(), strong).coef
        assert np.all(coef == 0) == empty
    assert np.isnan(dual_gap(X, y, np.zeros(8), Quadratic(), penalty))


@dataclasses.dataclass(frozen=True, eq=False)
class LargestEntry(Penalty):
    """A convex penalty without a canonical form."""

    def value(self, w):
        return float(np.abs(w).max())

    def prox(self, w, step, index=None):
        raise AssertionError("not asked for")

    def subdiff_distance(self, w, grad, index=None):
        raise AssertionError("not asked for")


def test_what_is_asked_of_own_penalties_and_losses():
    gap = dual_gap(np.eye(2), [1.0, 2.0], np.ones(2), Quadratic(), LargestEntry())
    assert np.isnan(gap)
    with pytest.raises(TypeError, match="abstract"):
        Penalty()
    with pytest.raises(TypeError, match="abstract"):
        Datafit()

    class Silent(Datafit):
        value = gradient = hessian_diag = Huber.value

    with pytest.raises(NotImplementedError, match="Silent has no conjugate"):
        Silent().conjugate(np.ones(1), np.ones(1))


@pytest.mark.parametrize("datafit", [Logistic(), Huber(0.7), SquaredHinge()])
def test_expansions_are_value_gradient_and_curvature(datafit, rng):
    z = np.r_[20.0 * rng.standard_normal(50), 0.0, 1e-9, 700.0, -700.0]
    y = np.where(rng.random(z.size) < 0.5, -1.0, 1.0)
    value, gradient, curvature = datafit.expand(y, z)
    tight = {"rtol": 1e-12, "atol": 1e-300}
    np.testing.assert_allclose(value, datafit.value(y, z), **tight)
    np.testing.assert_allclose(gradient, datafit.gradient(y, z), **tight)
    np.testing.assert_allclose(curvature, datafit.hessian_diag(y, z), **tight)


@pytest.mark.parametrize("datafit", [Logistic(), Huber(0.7), Poisson(), SquaredHinge()])
def test_majorants_touch_the_loss_from_above(datafit, rng):
    """Poisson has none: its own curvature takes the place."""
    y = np.array([1.0, -1.0, 1.0, -1.0])
    y = np.abs(y) if isinstance(datafit, Poisson) else y
    z = rng.standard_normal(4)
    curvature = datafit.majorant_diag(y, z)
    assert np.all(curvature >= datafit.hessian_diag(y, z) - 1e-12)
    if isinstance(datafit, Poisson):
        np.testing.assert_array_equal(curvature, datafit.hessian_diag(y, z))
        return
    for step in (-3.0, -0.5, 0.2, 2.0):
        model = datafit.value(y, z) + step * datafit.gradient(y, z)
        model = model + 0.5 * step**2 * curvature
        assert np.all(datafit.value(y, z + step) <= model + 1e-12)


def test_forms_of_sparse_designs_and_weights(rng):
    X, y = rng.standard_normal((20, 4)), rng.standard_normal(20)
    expected = bcd_solve(X, y, Quadratic(), L1(0.05), tol=1e-10).coef
    i, j = np.indices(X.shape).reshape(2, -1)
    parts = np.r_[0.25 * X.ravel(), 0.75 * X.ravel()]
    twice = sp.coo_array((parts, (np.r_[i, i], np.r_[j, j])))
    result = bcd_solve(twice, y, Quadratic(), L1(0.05), tol=1e-10)
    np.testing.assert_allclose(result.coef, expected, atol=1e-4)
    csc = sp.csc_array(X)
    repeated = sp.csc_array(
        (np.repeat(csc.data / 2, 2), np.repeat(csc.indices, 2), 2 * csc.indptr),
        shape=X.shape,
    )
    before = repeated.data.copy()
    result = bcd_solve(repeated, y, Quadratic(), L1(0.05), tol=1e-10)
    np.testing.assert_allclose(result.coef, expected, atol=1e-4)
    np.testing.assert_array_equal(repeated.data, before)
    scaled = bcd_solve(X, y, Quadratic(), L1(0.05), sample_weight=2.0, tol=1e-10)
    np.testing.assert_allclose(scaled.coef, expected, atol=1e-4)
    for value in (0.0, -1.0):
        with pytest.raises(ValueError, match="`sample_weight`"):
            bcd_solve(X, y, Quadratic(), L1(0.05), sample_weight=value)
    with pytest.raises(TypeError, match="of real numbers"):
        bcd_solve(csc.astype(complex), y, Quadratic(), L1(0.05))
    with pytest.raises(ValueError, match="non-empty"):
        bcd_solve(sp.csc_array((20, 0)), y, Quadratic(), L1(0.05))


def test_free_columns_that_separate(rng):
    """An unpenalised column without a finite optimum: nothing overflows."""
    X = np.column_stack([np.r_[-np.ones(5), np.ones(5)], rng.standard_normal(10)])
    y = np.r_[np.zeros(5), np.ones(5)]
    with np.errstate(over="raise", invalid="raise"):
        result = bcd_solve(
            X, y, Logistic(), L1(0.1, weights=[0.0, 1.0]), tol=1e-6, warn=False
        )
    assert np.all(np.isfinite(result.coef))
    assert result.objective <= np.log(2.0)
    null = bcd_solve(X, y, Quadratic(), Null(), tol=1e-10)
    assert null.converged
