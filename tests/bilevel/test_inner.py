# SPDX-License-Identifier: BSD-3-Clause
"""Inner solvers at their limits: they stop, and say how far they came."""

import copy
import math

import numpy as np
import pytest

import numopt.bilevel as bl
from numopt.bilevel._solvers.adjoint import PATIENCE, conjugate_gradients
from numopt.exceptions import ConvergenceWarning
from tests.bilevel.problems import Plain, photograph, ready_problems

READY = ready_problems()


def solve(H, b, **options):
    """Conjugate gradients from zero with a count of the products."""
    products = []

    def product(u):
        products.append(u)
        return H @ u

    options = {"tol": 0.0, "max_iter": 10_000} | options
    found = conjugate_gradients(product, np.zeros_like(b), b, **options)
    return found, len(products)


def test_conjugate_gradients_solve_and_meet_the_smallest_curvature():
    H = np.diag([1.0, 2.0, 5.0])
    found, count = solve(H, np.ones(3), tol=1e-12)
    np.testing.assert_allclose(found.q, [1.0, 0.5, 0.2], atol=1e-12)
    assert count == 3
    assert found.ritz == pytest.approx(1.0)


def test_no_step_meets_no_curvature():
    found, count = solve(np.eye(2), np.ones(2), tol=10.0)
    assert count == 0
    assert found.ritz == math.inf


def test_negative_curvature_ends_conjugate_gradients():
    # The first direction is (1, 1), along which the curvature is -1.
    found, count = solve(np.diag([1.0, -3.0]), np.ones(2))
    assert count == 1
    np.testing.assert_array_equal(found.q, np.zeros(2))
    np.testing.assert_array_equal(found.residual, np.ones(2))


def test_tolerances_beyond_rounding_end_conjugate_gradients():
    rng = np.random.default_rng(0)
    Q, _ = np.linalg.qr(rng.normal(size=(30, 30)))
    H = (Q * np.geomspace(1e-3, 1.0, 30)) @ Q.T
    b = rng.normal(size=30)
    found, count = solve(H, b, tol=1e-300, max_iter=20 * PATIENCE)
    assert PATIENCE < count < 20 * PATIENCE
    exact = np.linalg.solve(H, b)
    np.testing.assert_allclose(found.q, exact, atol=1e-9 * np.linalg.norm(exact))


def wrong(name, change):
    """A logistic problem with one product of the lower level replaced."""
    lower = Plain(READY["logistic"].lower)
    setattr(lower, name, change(getattr(lower, name)))
    return bl.BilevelProblem(lower, READY["logistic"].upper)


@pytest.mark.parametrize("solver", ["newton-cg", "lbfgs"])
def test_ascent_is_no_solution(solver):
    def turned(value_grad):
        return lambda x, theta: (value_grad(x, theta)[0], -value_grad(x, theta)[1])

    problem = wrong("value_grad", turned)
    theta = READY["logistic"].theta0
    with pytest.warns(ConvergenceWarning, match="solve_lower did not converge"):
        found = bl.solve_lower(problem, theta, tol=1e-3, solver=solver)
    assert not found.converged
    assert found.error_bound > 1e-3
    np.testing.assert_array_equal(found.x, np.zeros((6, 1)))


def test_an_adjoint_without_progress_is_not_converged():
    # The lower level is solved by gradients alone; the Hessian is negative.
    def negative(hessian):
        return lambda x, theta: lambda u: -hessian(x, theta)(u)

    problem = wrong("hessian", negative)
    theta0 = READY["logistic"].theta0
    options = {"solver": "lbfgs", "max_iter": 3, "warn": False, "eps0": 1e-3}
    result = bl.maid(problem, theta0, **options)
    assert not result.certified
    # No adjoint, no gradient: nothing moves.
    np.testing.assert_array_equal(result.theta, theta0)


def test_factors_of_large_hessians_are_refused():
    noisy, clean = photograph(25, 25)
    problem = bl.TVDenoisingProblem(noisy, clean)
    with pytest.raises(ValueError, match="at most 600 unknowns; there are 625"):
        bl.solve_lower(problem, problem.theta0, solver="direct")


# ------------------------------------------------------ the published outer method
def test_published_method_ends_at_rounding():
    ready = READY["quadratic"]
    lower = copy.copy(ready.lower)
    # So faint a hypergradient never rises above the bound of its error.
    lower.cross_vjp = lambda x, theta, q: 1e-18 * ready.lower.cross_vjp(x, theta, q)
    problem = bl.BilevelProblem(lower, ready.upper)
    options = {"method": "maid", "gtol": 0.0, "warn": False}
    result = bl.maid(problem, ready.theta0, **options)
    assert result.status == "stalled"
    assert "precision" in result.message
    np.testing.assert_array_equal(result.theta, ready.theta0)


@pytest.mark.parametrize("eps0", [1.0, 1e-12])
def test_published_method_with_a_wrong_derivative(eps0):
    def turned(cross_vjp):
        return lambda x, theta, q: -cross_vjp(x, theta, q)

    problem = wrong("cross_vjp", turned)
    theta0 = READY["logistic"].theta0
    options = {"max_bt": 2, "eps0": eps0, "gtol": 0.0, "warn": False}
    result = bl.maid(problem, theta0, method="maid", **options)
    assert not result.converged
    assert ("check_problem" if eps0 == 1.0 else "precision") in result.message
    np.testing.assert_array_equal(result.theta, theta0)


def test_published_method_without_convexity_decreases_truly():
    ready = READY["quadratic"]

    class Upper:
        lipschitz = ready.upper.lipschitz
        value_grad = staticmethod(ready.upper.value_grad)

    problem = bl.BilevelProblem(ready.lower, Upper())
    options = {"method": "maid", "eps0": 0.1, "max_iter": 5, "warn": False}
    plain, convex = (bl.maid(p, ready.theta0, **options) for p in (problem, ready))
    assert np.all(np.diff(plain.history["value"]) < 0)
    # Without convexity the test asks for more: the accuracy is no lower.
    assert plain.history["eps"][1] <= convex.history["eps"][1] * (1 + 1e-12)
