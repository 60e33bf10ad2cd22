# SPDX-License-Identifier: BSD-3-Clause
"""Bounds contain the truth; gradients are those of central differences."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import numopt.bilevel as bl
from tests.bilevel.problems import Plain, near_start, published_quadratic
from tests.bilevel.problems import ready_problems as make_problems

PROBLEMS = make_problems()
each = pytest.mark.parametrize("name", PROBLEMS)


@pytest.mark.parametrize(
    ("seed", "start", "least", "condition"),
    [(29, 4440.0932, 0.0507072, 36.23), (1, 4820.2163, 0.0507651, 35.73)],
)
def test_closed_form_constants(seed, start, least, condition):
    problem = published_quadratic(seed)
    result = bl.hypergradient(problem, problem.theta0, tol=1e-10)
    assert result.value == pytest.approx(start, rel=2e-8)
    assert problem.f_star == pytest.approx(least, rel=2e-6)
    spectrum = np.linalg.eigvalsh(problem.lower.A2.T @ problem.lower.A2)
    assert spectrum[-1] / spectrum[0] == pytest.approx(condition, rel=2e-4)
    optimum = bl.hypergradient(problem, problem.theta_star, tol=1e-10)
    assert abs(optimum.value - problem.f_star) < 1e-9
    assert np.linalg.norm(optimum.gradient) < 1e-5


@each
def test_check_problem_passes(name):
    problem = PROBLEMS[name]
    errors = bl.check_problem(problem, near_start(problem))
    assert max(errors.values()) < 1e-5


@each
@pytest.mark.parametrize("solver", ["newton-cg", "agd", "lbfgs", "direct"])
def test_distance_bound_holds_for_all_solvers(name, solver):
    if solver == "direct" and name.startswith("tv"):
        pytest.skip("a dense Hessian of an image")
    problem = PROBLEMS[name]
    theta = near_start(problem)
    exact = bl.solve_lower(problem, theta, tol=1e-12, warn=False, solver="newton-cg")
    for tol in (1.0, 1e-2, 1e-5):
        if solver in ("agd", "lbfgs") and tol < 1e-3 and name == "softmax":
            continue
        result = bl.solve_lower(problem, theta, tol=tol, solver=solver, warn=False)
        assert np.linalg.norm(result.x - exact.x) <= result.error_bound + 1e-9
        assert result.error_bound <= tol or not result.converged


@each
@given(seed=st.integers(0, 10_000), digits=st.integers(0, 8))
def test_bounds_contain_the_truth(name, seed, digits):
    problem = PROBLEMS[name]
    theta = near_start(problem, seed)
    exact = bl.hypergradient(problem, theta, tol=1e-7, solver="newton-cg")
    loose = bl.hypergradient(problem, theta, tol=10.0**-digits)
    # Of fields of experts the value is certified, the gradient's error estimated.
    assert loose.certified == (not name.startswith("foe"))
    rounding = 1e-12 * (1 + abs(exact.value))
    error = abs(loose.value - exact.value)
    assert error <= loose.value_bound + exact.value_bound + rounding
    error = np.linalg.norm(loose.gradient - exact.gradient)
    assert error <= loose.gradient_bound + exact.gradient_bound + rounding


def test_bound_is_sharp_for_quadratics():
    problem = published_quadratic(3, n=40, m=5)
    rng = np.random.default_rng(0)
    exact = bl.solve_lower(problem, problem.theta0, tol=1e-11, warn=False)
    truth = bl.hypergradient(problem, problem.theta0, tol=1e-11).value
    ratios = []
    for _ in range(20):
        x0 = exact.x + 1e-3 * rng.normal(size=5)
        one = bl.hypergradient(problem, problem.theta0, x0=x0, tol=1e-1)
        ratios.append(one.value_bound / abs(one.value - truth))
    assert np.median(ratios) <= 1e3


@each
def test_gradient_by_central_differences(name):
    problem = PROBLEMS[name]
    theta, h = near_start(problem), 1e-4
    gradient = bl.hypergradient(problem, theta, tol=1e-10).gradient
    for i in range(min(3, theta.size)):
        step = np.zeros_like(theta)
        step[i] = h
        up, down = (
            bl.hypergradient(problem, theta + s * step, tol=1e-11).value
            for s in (1, -1)
        )
        scale = np.linalg.norm(gradient)
        assert (up - down) / (2 * h) == pytest.approx(gradient[i], abs=1e-5 * scale)


@pytest.mark.parametrize("name", ["logistic", "quadratic"])
def test_user_levels_without_constants_are_estimates(name):
    ready = PROBLEMS[name]
    problem = bl.BilevelProblem(Plain(ready.lower), ready.upper)
    theta = near_start(ready)
    result = bl.hypergradient(problem, theta, tol=1e-3)
    assert not result.certified
    exact = bl.hypergradient(ready, theta, tol=1e-11)
    np.testing.assert_allclose(result.gradient, exact.gradient, atol=1e-2)
    found = bl.maid(problem, ready.theta0, warn=False, max_iter=5)
    assert not found.certified
    start = bl.hypergradient(ready, ready.theta0, tol=1e-11).value
    assert found.value < start


@pytest.mark.parametrize("name", ["ridge", "logistic"])
def test_estimated_accuracy_finds_the_same_minimum(name):
    # The gradient is not flat at the minimum, or a bound holds it: gtol decides alone.
    # That of ridge is flat where its second penalty is huge, too: start in the valley.
    problem = PROBLEMS[name]
    theta0 = np.array([-6.0, 4.0, -6.0]) if name == "ridge" else problem.theta0
    options = {"gtol": 1e-6, "ftol": 0.0, "warn": False, "solver": "newton-cg"}
    results = [
        bl.maid(problem, theta0, accuracy=kind, **options)
        for kind in ("certified", "estimate")
    ]
    assert [one.certified for one in results] == [True, False]
    assert results[1].value == pytest.approx(results[0].value, rel=1e-4)


def test_residuals_of_the_given_adjoint_are_measured():
    problem = PROBLEMS["logistic"]
    theta = near_start(problem)
    first = bl.hypergradient(problem, theta, tol=1e-8)
    again = bl.hypergradient(problem, theta, x0=first.x, q0=first.q, tol=1e-8)
    assert again.n_lower_grad == 1
    assert again.n_hvp == 1
    np.testing.assert_allclose(again.gradient, first.gradient, rtol=1e-12)
