# SPDX-License-Identifier: BSD-3-Clause
"""Newton steps on a working set: the compiled loop does what the one in arrays does."""

import copy

import numpy as np
import pytest

from numopt.coordinate import L1, Box, ElasticNet, Logistic, bcd_solve
from numopt.coordinate._problem.data import LinearData
from numopt.coordinate._problem.null import NullModel
from numopt.coordinate._solvers import newton_steps as steps
from numopt.coordinate._solvers.audit import free_columns
from numopt.coordinate._solvers.newton_state import ModelProblem
from numopt.coordinate._solvers.prox_newton import (
    ProxNewtonWorkingSet,
    certify_state,
    grow,
)
from tests.coordinate.problems import correlated

N, P = 90, 40
PENALTIES = {
    "l1": L1(0.02),
    "some free": L1(0.02, weights=np.where(np.arange(P) < 3, 0.0, 1.0)),
    "positive": L1(0.02, positive=True),
    "elastic net": ElasticNet(0.05, 0.7),
    "box": Box(np.full(P, -0.05), np.full(P, 0.1)),
}


def _problem(penalty, *, intercept=False, weighted=False, tol=1e-9):
    X, signal = correlated(N, P, 0.6, 8, 2, 0)
    y = np.where(signal > 0.3, 1.0, -1.0)
    weights = np.random.default_rng(1).random(N) if weighted else None
    if weighted:
        weights[::7] = 0.0
    data = LinearData.from_arrays(X, y, Logistic(), weights)
    null = NullModel.fit(data, Logistic(), intercept, free_columns(penalty, P))
    return ModelProblem(
        data=data,
        datafit=Logistic(),
        penalty=penalty,
        terms=penalty.terms(P),
        null=null,
        fit_intercept=intercept,
        tol=tol,
    )


def _run(problem, state, entered, monkeypatch, *, compiled):
    """A copy of the state after Newton steps of either kind."""
    state = copy.deepcopy(state)
    with monkeypatch.context() as patch:
        if not compiled:
            patch.setattr(steps, "is_compiled", lambda *_: False)
        moved = steps.newton_steps(problem, state, entered)
    return moved, state


def _assert_same(one, other):
    np.testing.assert_allclose(one.coef, other.coef, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(one.z, other.z, rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(one.gradient, other.gradient, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(one.curvature, other.curvature, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(one.intercept, other.intercept, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(one.losses, other.losses, rtol=1e-9)
    assert one.bound == other.bound


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("name", PENALTIES)
def test_compiled_steps_are_those_of_arrays(name, intercept, weighted, monkeypatch):
    problem = _problem(PENALTIES[name], intercept=intercept, weighted=weighted)
    state = ProxNewtonWorkingSet().init(problem, None)
    for _ in range(3):
        entered = grow(problem, state)
        moved, one = _run(problem, state, entered, monkeypatch, compiled=True)
        also, other = _run(problem, state, entered, monkeypatch, compiled=False)
        assert moved == also
        _assert_same(one, other)
        state = one
        state.z = state.predict()
        certify_state(problem, state)
    assert state.gap < 1e-6


def test_gram_matrices_are_kept(monkeypatch):
    """The matrix that the loop leaves belongs to its weights, and serves the next."""
    problem = _problem(L1(0.02))
    state = ProxNewtonWorkingSet().init(problem, None)
    entered = grow(problem, state)
    state.gap = 1e-6
    _, state = _run(problem, state, entered, monkeypatch, compiled=True)
    gram = state.gram
    X = problem.data.X[:, state.index]
    expected = X.T @ (X * gram.weights[:, None])
    np.testing.assert_allclose(gram.G, expected, atol=1e-12)
    assert gram.serves(problem.shares * state.curvature)
    _, again = _run(problem, state, 0, monkeypatch, compiled=True)
    assert again.gram.weights is gram.weights or np.array_equal(
        again.gram.weights, gram.weights
    )


@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("size", [3.0, 30.0, 3000.0, 1e5])
def test_far_starts_are_handed_over(size, intercept, monkeypatch):
    """Where the samples are saturated, what the compiled loop leaves is the same."""
    problem = _problem(L1(0.02), intercept=intercept)
    start = np.zeros(P)
    start[:10] = size * np.random.default_rng(2).standard_normal(10)
    state = ProxNewtonWorkingSet().init(problem, (start, 0.0))
    entered = grow(problem, state)
    kinds = [
        _run(problem, state, entered, monkeypatch, compiled=compiled)
        for compiled in (True, False)
    ]
    assert kinds[0][0] == kinds[1][0]
    _assert_same(kinds[0][1], kinds[1][1])
    result = bcd_solve(
        problem.data.X,
        problem.data.y,
        Logistic(),
        L1(0.02),
        fit_intercept=intercept,
        coef_init=start,
        tol=1e-9,
    )
    assert result.converged


@pytest.mark.parametrize("copies", [1, 2])
def test_single_precision_is_no_obstacle(copies, monkeypatch):
    """Gram matrices in single precision, also of equal columns, leave the result."""
    X, signal = correlated(60, 80, 0.9, 8, 3, 0)
    X = np.asfortranarray(np.tile(X, copies))
    y = np.where(signal > 0, 1.0, -1.0)
    expected = bcd_solve(X, y, Logistic(), L1(0.001), tol=1e-10)
    monkeypatch.setattr(steps, "ROUGH_WORK", 0.0)
    result = bcd_solve(X, y, Logistic(), L1(0.001), tol=1e-10)
    assert result.converged
    np.testing.assert_allclose(result.objective, expected.objective, rtol=1e-8)
    np.testing.assert_allclose(X @ result.coef, X @ expected.coef, atol=1e-3)
