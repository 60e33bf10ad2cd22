# SPDX-License-Identifier: BSD-3-Clause
"""Steps that rarely fail: what the solvers do when a factor or a search gives up."""

import dataclasses

import numpy as np
import pytest
import scipy.sparse as sp

from numopt.coordinate import (
    L1,
    ElasticNet,
    GroupL2,
    Logistic,
    Multinomial,
    Null,
    Quadratic,
    Ridge,
    alpha_max,
    bcd_solve,
    dual_gap,
    lasso_path,
)
from numopt.coordinate._problem.data import LinearData
from numopt.coordinate._problem.null import NullModel
from numopt.coordinate._solvers import (
    bcd_rules,
    group_newton,
    newton_steps,
    quadratic,
    ridge_systems,
    smooth_newton,
    stored_groups,
)
from numopt.coordinate._solvers.group_working_set import GroupProblem, GroupWorkingSet
from numopt.coordinate._solvers.newton_state import ModelProblem
from numopt.coordinate._solvers.prox_newton import ProxNewtonWorkingSet
from numopt.coordinate._solvers.quadratic import QuadraticProblem, QuadraticWorkingSet
from tests.coordinate.problems import correlated


@pytest.fixture
def data(rng):
    X = rng.standard_normal((60, 20))
    return X, X[:, :5] @ rng.standard_normal(5) + 0.3 * rng.standard_normal(60)


def _problem(X, y, kind):
    """A problem above its critical strength, and its solver."""
    datafit = Logistic() if kind == "logistic" else Quadratic()
    penalty = GroupL2(1.0, 4) if kind == "groups" else L1(1.0)
    top = alpha_max(X, y, datafit, penalty)
    penalty = dataclasses.replace(penalty, alpha=2 * top)
    data = LinearData.from_arrays(X, y, datafit)
    null = NullModel.fit(data, datafit, False)
    if kind == "groups":
        return GroupWorkingSet(), GroupProblem.build(data, penalty, null, False, 1e-9)
    terms = penalty.terms(data.shape[1])
    if kind == "squares":
        problem = QuadraticProblem.build(data, terms, null, False, 1e-9)
        return QuadraticWorkingSet(), problem
    options = {"fit_intercept": False, "tol": 1e-9, "terms": terms, "null": null}
    problem = ModelProblem(data=data, datafit=datafit, penalty=penalty, **options)
    return ProxNewtonWorkingSet(), problem


@pytest.mark.parametrize("kind", ["squares", "groups", "logistic"])
@pytest.mark.parametrize("form", [np.asfortranarray, sp.csc_array, "device"])
def test_a_pass_with_nothing_to_do(data, kind, form):
    """At the critical strength rounding may ask for a pass over an empty set."""
    X, y = data
    y = np.sign(y) if kind == "logistic" else y
    if form == "device":
        strict = pytest.importorskip("array_api_strict")
        X, y = strict.asarray(X), strict.asarray(y)
    else:
        X = form(X)
    solver, problem = _problem(X, y, kind)
    state = solver.init(problem, None)
    solver.step(problem, state)
    assert not solver.current(state).any()
    assert state.gap <= 1e-12
    assert state.stalled == 1


def test_a_rough_pass_whose_arithmetic_breaks_is_done_again(data, monkeypatch):
    X, y = np.tile(data[0], (3, 1)), np.tile(data[1], 3)
    expected = bcd_solve(X, y, Quadratic(), L1(1e-4), tol=1e-9)
    calls = []

    def broken(problem, state, n_new):
        calls.append(state.cache.rough)
        if len(calls) == 1:
            raise np.linalg.LinAlgError("broken")
        return certified(problem, state, n_new)

    certified = quadratic.solve_and_certify
    monkeypatch.setattr(quadratic, "solve_and_certify", broken)
    result = bcd_solve(X, y, Quadratic(), L1(1e-4), tol=1e-9)
    assert calls[0]
    assert not any(calls[1:])
    assert result.converged
    np.testing.assert_allclose(result.coef, expected.coef, atol=1e-4)


def _tall(columns, share):
    """Rows for a working set in single precision, and one that is told not to."""
    rng = np.random.default_rng(0)
    X = columns(rng.standard_normal((600, 200)))
    y = X[:, :20] @ rng.standard_normal(20) + rng.standard_normal(600)
    alpha = share * alpha_max(X, y, Quadratic(), L1())
    data, penalty = LinearData.from_arrays(X, y, Quadratic()), L1(alpha)
    null = NullModel.fit(data, Quadratic(), False)
    problem = QuadraticProblem.build(data, penalty.terms(200), null, False, 1e-10)
    states = []
    for rough in (True, False):
        solver = QuadraticWorkingSet(rough=rough)
        state = solver.init(problem, None)
        for _ in range(30):
            if state.gap <= problem.tol:
                break
            state = solver.step(problem, state)
        assert state.gap <= problem.tol
        states.append(state)
    return states


def test_working_sets_of_tall_designs_in_single_precision():
    rough, exact = _tall(np.asfortranarray, 0.2)
    assert rough.cache.rough
    assert not exact.cache.rough
    assert 0 < rough.cache.gram_size < 200
    np.testing.assert_allclose(rough.cache.scatter(), exact.cache.scatter(), atol=1e-5)


def test_dependent_columns_of_tall_designs():
    """What single precision cannot solve is solved in double."""
    rough, exact = _tall(lambda X: np.tile(X[:, :50], 4), 0.02)
    assert rough.primal == pytest.approx(exact.primal, rel=1e-9)


def _part(n, **changes):
    """Two groups of one coordinate."""
    fields = {
        "support": np.arange(2),
        "owner": np.arange(2),
        "w": np.ones(2),
        "slope": np.ones(2),
        "smooth_slope": np.ones(2),
        "lam": np.ones(2),
        "l1": np.zeros(2),
        "kinked": np.zeros(2, bool),
        "bend": np.ones(2),
        "unit": np.ones(2),
    }
    return group_newton.SmoothPart(**(fields | changes)), np.zeros((n, 2))


def test_newton_directions_of_groups_that_do_not_exist():
    part, X = _part(3)
    assert part.on_gram(-np.eye(2)) is None
    assert part.on_columns(X) is None
    # Uphill no length decreases; downhill the whole step does.
    assert part.length(np.ones(2), 1.0) == 0.0
    assert part.length(-0.5 * np.ones(2), 0.5) == 1.0
    starts, zero, one = np.array([0, 1, 2]), np.zeros(2), np.ones(2)
    empty = group_newton.smooth_part(starts, zero, one, one, zero, -np.inf * one, one)
    assert empty is None


@pytest.mark.parametrize("columns", [8, 200])
def test_groups_without_newton_steps(columns, monkeypatch, rng):
    """Descent alone gets there, on the Gram matrix and on the columns."""
    X = rng.standard_normal((30, columns))
    y = X[:, :8] @ rng.standard_normal(8) + 0.1 * rng.standard_normal(30)
    penalty = GroupL2(0.05, 4)
    expected = bcd_solve(X, y, Quadratic(), penalty, tol=1e-8)
    for name in ("on_gram", "on_columns"):
        monkeypatch.setattr(group_newton.SmoothPart, name, lambda self, A: None)
    result = bcd_solve(X, y, Quadratic(), penalty, tol=1e-8)
    assert result.converged
    scale = 0.5 * np.mean(y**2)
    assert abs(result.objective - expected.objective) <= 2e-8 * scale


def test_longer_steps_bring_more_or_are_not_taken(monkeypatch):
    """The first steps towards a weak penalty; those beyond the optimum are refused."""
    X, y = correlated(80, 30, 0.5, 6, 3, 0)
    options = {"fit_intercept": True, "tol": 1e-9}
    ends = []
    for length in (1.0, 2.0, 50.0):
        rules = newton_steps.RULES._replace(long=length)
        monkeypatch.setattr(newton_steps, "RULES", rules)
        result = bcd_solve(X, np.sign(y), Logistic(), L1(2e-3), **options)
        assert result.converged
        ends.append(result.objective)
    # F(0) = log 2 is the unit of the gap.
    assert max(ends) - min(ends) <= 1e-9


def test_no_smooth_part_ends_the_newton_steps(monkeypatch):
    w, zero, one = np.zeros(2), np.zeros(2), np.ones(2)
    stored = stored_groups.StoredGroups(
        starts=np.array([0, 1, 2]),
        lam=one,
        l1=zero,
        lower=-np.inf * one,
        curvature=one,
        targets=1.0,
        target=1e-9,
    )
    assert stored._newton(np.eye(2), w, np.empty(0), one.copy(), False, 1e9) == 0.0


def test_preconditioners_by_entries(monkeypatch, data):
    """Many columns and several outputs: diagonals, dense and sparse."""
    X, y = data
    labels = np.digitize(y, [-1.0, 1.0])
    options = {"fit_intercept": True, "tol": 1e-9}
    expected = bcd_solve(X, labels, Multinomial(), Ridge(0.1), **options)
    monkeypatch.setattr(ridge_systems, "BLOCK_COLUMNS", 0)
    for design in (X, sp.csc_array(X)):
        result = bcd_solve(design, labels, Multinomial(), Ridge(0.1), **options)
        np.testing.assert_allclose(result.coef, expected.coef, atol=1e-4)


def test_gradients_stop_on_flat_directions():
    x, products = ridge_systems.conjugate_gradients(
        lambda v: 0.0 * v, np.ones((1, 3)), lambda v: v, share=0.1
    )
    assert products == 1
    assert not x.any()


def test_screening_needs_columns_that_lie_together():
    """A path on rows: the same answers without products left out."""
    X, y = correlated(30, 300, 0.5, 6, 2, 0)
    options = {"n_alphas": 8, "eps": 0.05, "tol": 1e-9}
    columns = lasso_path(np.asfortranarray(X), y, **options)
    rows = lasso_path(np.ascontiguousarray(X), y, **options)
    single = lasso_path(X.astype(np.float32), y, n_alphas=8, eps=0.05, tol=1e-6)
    np.testing.assert_allclose(rows.coefs, columns.coefs, atol=1e-5)
    np.testing.assert_allclose(single.coefs, columns.coefs, atol=1e-2)


def test_tall_problems_whose_first_rows_say_nothing():
    """Every second target is the same: the start on a part of the rows is left out."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((4400, 1))
    y = np.zeros(4400)
    y[1::2] = (X[1::2, 0] > 0) * 1.0
    assert y.size >= 2 * smooth_newton.FEWEST
    order = rng.permutation(y.size)
    options = {"fit_intercept": True, "tol": 1e-10}
    one = bcd_solve(X, y, Logistic(), Ridge(0.01), **options)
    two = bcd_solve(X[order], y[order], Logistic(), Ridge(0.01), **options)
    np.testing.assert_allclose(one.coef, two.coef, atol=1e-4)


def test_steps_uphill_are_not_taken(data, monkeypatch):
    """Without a direction of descent the solver says so, and keeps its start."""
    X, y = data[0], np.sign(data[1])
    monkeypatch.setattr(
        smooth_newton.Directions, "find", lambda self, point, slope, **_: slope
    )
    result = bcd_solve(X, y, Logistic(), Ridge(0.1), warn=False)
    assert result.status == "stalled"
    assert not result.coef.any()
    assert result.objective == pytest.approx(np.log(2.0))


def test_roots_and_largest_scores():
    assert bcd_rules._root(lambda t: 10.0 - t) == pytest.approx(10.0)
    scores = np.array([1.0, 5.0, 3.0])
    for k, expected in ((2, [1, 2]), (3, [1, 2, 0]), (9, [1, 2, 0])):
        np.testing.assert_array_equal(bcd_rules._largest(scores, k), expected)


@pytest.mark.parametrize("penalty", [L1(0.05), ElasticNet(0.05, 0.5), Null()])
def test_greedy_blocks_of_everything(data, penalty):
    X, y = data
    result = bcd_solve(
        *(X, y, Quadratic(), penalty),
        partition="variable",
        selection="GSL",
        update="matrix" if isinstance(penalty, Null) else "prox_newton",
        block_size=50,
        tol=1e-9,
    )
    assert result.n_iter == 1
    if not isinstance(penalty, Null):
        assert dual_gap(X, y, result.coef, Quadratic(), penalty) <= 1e-9
