# SPDX-License-Identifier: BSD-3-Clause
"""Levels made of levels: folds that share rows, ties, shrinkage, stacks."""

import copy

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

import numopt.bilevel as bl
from numopt.bilevel._estimators.logistic import _Data
from numopt.bilevel._problem.groups import spectral_bound
from numopt.bilevel._problem.images import CleanUpper
from numopt.bilevel._problem.leave_one_out import LeaveOneOutUpper
from numopt.bilevel._problem.logistic import losses
from numopt.bilevel._problem.modifiers import ShrunkUpper, TiedLower
from numopt.bilevel._problem.tv import TVLower
from tests.bilevel.problems import near_start, photograph, ready_problems, table

PROBLEMS = ready_problems()
GROUPS = np.array([0, 0, 1, 1, 2])


def folds(n_classes, *, sparse=False, intercept=True):
    """The problem of the estimator on three folds, its data and the splits."""
    X, y = table()
    codes = np.digitize(y, np.quantile(y, np.linspace(0, 1, n_classes + 1)[1:-1]))
    part = np.arange(len(X)) % 3
    splits = [(np.flatnonzero(part != k), np.flatnonzero(part == k)) for k in range(3)]
    given = csr_array(X) if sparse else X
    data = _Data(given, codes, np.ones(len(X)), GROUPS, 3, intercept)
    return data.problem(splits, None), data, X, codes, splits


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_folds_on_shared_rows_are_separate_problems(n_classes, sparse):
    problem, _, X, codes, splits = folds(n_classes, sparse=sparse)
    stacked = bl.CrossValidated(
        [bl.LogisticProblem(X[a], codes[a], X[b], codes[b], GROUPS) for a, b in splits]
    )
    theta = near_start(stacked)
    desired = bl.hypergradient(stacked, theta, tol=1e-9)
    found = bl.hypergradient(problem, theta, tol=1e-9)
    assert found.certified
    assert found.value == pytest.approx(desired.value, abs=1e-9)
    np.testing.assert_allclose(found.gradient, desired.gradient, atol=1e-8)
    x = np.moveaxis(found.x, 1, 0)
    np.testing.assert_allclose(x, desired.x, atol=1e-7)
    loose = bl.hypergradient(problem, theta, tol=1e-2)
    assert abs(loose.value - desired.value) <= loose.value_bound + 1e-9
    error = np.linalg.norm(loose.gradient - desired.gradient)
    assert error <= loose.gradient_bound + 1e-8
    assert max(bl.check_problem(problem, theta).values()) < 1e-5


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_preconditioner_shared_by_folds_is_near_their_inverses(n_classes, sparse):
    problem, *_ = folds(n_classes, sparse=sparse)
    rng = np.random.default_rng(0)
    theta = rng.uniform(-4, -1, size=3)
    x = 0.3 * rng.normal(size=problem.lower.shape)

    def matrix(apply):
        unit = np.eye(x.size)
        return np.stack([apply(one.reshape(x.shape)).ravel() for one in unit], axis=1)

    H = matrix(problem.lower.hessian(x, theta))
    M = matrix(problem.lower.preconditioner(x, theta))
    np.testing.assert_allclose(M, M.T, rtol=0, atol=1e-10 * np.abs(M).max())
    values = np.linalg.eigvals(M @ H).real
    assert values.min() > 0
    assert values.max() / values.min() < 50


@pytest.mark.parametrize("margin", [1e-3, 1.0, 30.0, 600.0])
@pytest.mark.parametrize("side", [-1, 1])
def test_small_losses_keep_all_digits(margin, side):
    """Rounding of large logits would hide the last steps to weights of small loss."""
    Z = 7.3 + margin * side * np.array([[1.0, 0.0, 0.5]])
    own, others = Z[0, 0], Z[0, 1:]
    loss, slope = losses(Z, np.array([[1.0, 0.0, 0.0]]))
    apart = np.longdouble(others) - np.longdouble(own)
    exact = np.log1p(np.exp(apart).sum())
    np.testing.assert_allclose(loss, float(exact), rtol=1e-12)
    np.testing.assert_allclose(slope[0, 0], float(np.expm1(-exact)), rtol=1e-12)
    others = np.exp(apart - exact).astype(float)
    np.testing.assert_allclose(slope[0, 1:], others, rtol=1e-12)


def test_losses_of_the_choice_are_those_of_scikit_learn():
    _, data, X, codes, splits = folds(3)
    train, test = splits[0]
    penalty = 0.05
    found = data.loss(np.full(3, np.log(penalty)), train, test)
    peer = LogisticRegression(C=1 / (penalty * len(train)), tol=1e-10, max_iter=1000)
    peer.fit(X[train], codes[train])
    expected = log_loss(codes[test], peer.predict_proba(X[test]))
    # Our intercept is penalised by exp(-9).
    assert found == pytest.approx(expected, rel=1e-3)


def test_fewer_rows_are_those_rows():
    _, data, _, _, splits = folds(2)
    rows = np.flatnonzero(np.arange(60) % 4)
    theta = np.full(3, -2.0)
    found = bl.hypergradient(data.problem(splits, rows), theta, tol=1e-8)
    inside = [tuple(np.intersect1d(one, rows) for one in split) for split in splits]
    desired = bl.hypergradient(data.problem(inside, None), theta, tol=1e-8)
    assert found.value == pytest.approx(desired.value, abs=1e-8)
    np.testing.assert_allclose(found.gradient, desired.gradient, atol=1e-7)


def test_stacks_of_images_are_certified():
    pairs = [photograph(10, 12, seed=seed) for seed in (0, 1)]
    problems = [bl.TVDenoisingProblem(*pair) for pair in pairs]
    stacked = bl.CrossValidated(problems)
    theta = near_start(problems[0])
    parts = [bl.hypergradient(one, theta, tol=1e-8) for one in problems]
    value = np.mean([one.value for one in parts])
    gradient = np.mean([one.gradient for one in parts], axis=0)
    for tol in (1e-1, 1e-3):
        found = bl.hypergradient(stacked, theta, tol=tol)
        assert found.certified
        assert abs(found.value - value) <= found.value_bound + 1e-9
        error = np.linalg.norm(found.gradient - gradient)
        assert error <= found.gradient_bound + 1e-9


def leave_one_out():
    """A ridge problem whose upper level depends on theta by itself."""
    lower = PROBLEMS["ridge"].lower
    upper = LeaveOneOutUpper(lower, np.zeros(40), 40.0, PROBLEMS["ridge"].theta0)
    return lower, upper


def test_shrinkage_adds_to_what_depends_on_theta():
    lower, upper = leave_one_out()
    theta = near_start(PROBLEMS["ridge"])
    problem = bl.BilevelProblem(lower, ShrunkUpper(upper, 3.0))
    assert max(bl.check_problem(problem, theta).values()) < 1e-5
    plain = bl.hypergradient(bl.BilevelProblem(lower, upper), theta, tol=1e-9)
    shrunk = bl.hypergradient(problem, theta, tol=1e-9)
    spread = theta - theta.mean()
    assert shrunk.value - plain.value == pytest.approx(0.5 * spread @ spread)
    np.testing.assert_allclose(shrunk.gradient - plain.gradient, spread, atol=1e-8)


def test_stacks_of_uppers_that_depend_on_theta():
    ready = PROBLEMS["ridge"]
    one = bl.BilevelProblem(ready.lower, ShrunkUpper(ready.upper, 3.0))
    stacked = bl.CrossValidated([one, one])
    theta = near_start(ready)
    desired = bl.hypergradient(one, theta, tol=1e-9)
    found = bl.hypergradient(stacked, theta, tol=1e-1)
    assert found.certified
    assert abs(found.value - desired.value) <= found.value_bound + 1e-9
    error = np.linalg.norm(found.gradient - desired.gradient)
    assert error <= found.gradient_bound + 1e-8


def test_stacked_slopes_in_theta_are_those_of_a_mean():
    class Upper:
        lipschitz, convex = 1.0, True

        def __init__(self, slope):
            self.cross_lipschitz = slope

        def value_grad(self, x, theta):
            return self.cross_lipschitz * x[0] * theta[0], 0 * x + theta[0], x[:1]

    lower = PROBLEMS["ridge"].lower
    stacked = bl.CrossValidated(
        [bl.BilevelProblem(lower, Upper(slope)) for slope in (3.0, 4.0)]
    )
    # The slope of the mean along (3, 4) / 5, the steepest direction of both x.
    assert stacked.upper.cross_lipschitz == pytest.approx(5.0 / 2)


def test_fixed_smoothing_has_a_certified_gradient():
    noisy, clean = photograph(12, 14)
    lower = TVLower(noisy[None], True, 0.05)
    problem = bl.BilevelProblem(lower, CleanUpper(clean[None]))
    theta = np.array([-2.5])
    exact = bl.hypergradient(problem, theta, tol=1e-8)
    assert max(bl.check_problem(problem, theta).values()) < 1e-5
    for tol in (1e-1, 1e-3):
        found = bl.hypergradient(problem, theta, tol=tol)
        assert found.certified
        assert abs(found.gradient - exact.gradient)[0] <= found.gradient_bound + 1e-9


def test_tied_levels_can_be_copied():
    tied = copy.copy(TiedLower(PROBLEMS["ridge"].lower, 3))
    value, _ = tied.value_grad(np.ones((5, 1)), np.array([0.5]))
    theta = np.full(3, 0.5)
    assert value == PROBLEMS["ridge"].lower.value_grad(np.ones((5, 1)), theta)[0]


def test_spectra_of_large_matrices_are_bounded():
    X = np.random.default_rng(0).normal(size=(405, 402))
    top = np.linalg.norm(X, 2) ** 2
    assert top <= spectral_bound(X) <= 30 * top
