# SPDX-License-Identifier: BSD-3-Clause
"""Bad input: a ValueError that names the argument."""

import numpy as np
import pytest

import numopt.bilevel as bl
from tests.bilevel.problems import Plain, ready_problems, table

PROBLEMS = ready_problems()
READY = PROBLEMS["logistic"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": "newton"}, "`method` must be one of 'maid-qn'"),
        ({"solver": "cg"}, "`solver` must be one of 'auto'"),
        ({"accuracy": "exact"}, "`accuracy` must be one of"),
        ({"rho": 1.0}, "`rho` must be"),
        ({"nu": 0.0}, "`nu` must be"),
        ({"rho_up": 1.0}, "`rho_up` must be"),
        ({"nu_up": 0.5}, "`nu_up` must be"),
        ({"lam": 0.1, "eta": 0.1}, "`lam` must be less than"),
        ({"lam": 0.0}, "`lam` must be"),
        ({"eta": 1.0}, "`eta` must be"),
        ({"tau": -1.0}, "`tau` must be"),
        ({"gtol": -1.0}, "`gtol` must be"),
        ({"eps0": 0.0}, "`eps0` must be"),
        ({"max_iter": 1.5}, "`max_iter` must be"),
        ({"max_work": 0}, "`max_work` must be"),
        ({"memory": 0}, "`memory` must be"),
        ({"callback": 3}, "`callback` must be"),
        ({"f_target": np.nan}, "`f_target` must be"),
        ({"x0": np.full((6, 1), np.nan)}, "`x0` must be finite"),
        ({"x0": np.zeros(3)}, "`x0` must be of shape"),
    ],
)
def test_options(options, words):
    with pytest.raises(ValueError, match=words):
        bl.maid(READY, READY.theta0, **options)


@pytest.mark.parametrize(
    ("theta0", "words"),
    [
        (np.full(5, np.nan), "`theta0` must be finite"),
        (np.zeros(0), "`theta0` must be a non-empty"),
        (np.full(5, 100.0), "`theta0` must be inside the bounds"),
        (None, "`theta0` must be"),
        ("zero", "`theta0` must be"),
    ],
)
def test_theta0(theta0, words):
    with pytest.raises(ValueError, match=words):
        bl.maid(READY, theta0)


@pytest.mark.parametrize(
    ("bounds", "words"),
    [((1.0, 1.0), "low < high"), ((2.0,), "a pair"), (("a", "b"), "real numbers")],
)
def test_bounds(bounds, words):
    with pytest.raises(ValueError, match=words):
        bl.BilevelProblem(READY.lower, READY.upper, bounds=bounds)


def test_bounds_of_a_wrong_shape():
    problem = bl.BilevelProblem(READY.lower, READY.upper, bounds=(np.zeros(3), 1.0))
    with pytest.raises(ValueError, match="`bounds` must be broadcastable"):
        bl.maid(problem, READY.theta0)


def test_levels_lack_methods():
    with pytest.raises(ValueError, match="`lower` must be an object with value_grad"):
        bl.BilevelProblem(object(), READY.upper)
    with pytest.raises(ValueError, match="`upper` must be an object with"):
        bl.BilevelProblem(READY.lower, object())
    with pytest.raises(ValueError, match="`problem` must be a BilevelProblem"):
        bl.maid(READY.lower, READY.theta0)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("strong_convexity", lambda t: 0.0, r"strong_convexity\(theta\) returned 0"),
        ("strong_convexity", lambda t: np.nan, r"strong_convexity\(theta\) returned"),
        ("lipschitz", lambda t: 1e-9, r"lipschitz\(theta\) returned"),
        ("value_grad", lambda x, t: (np.nan, x), "value_grad returned"),
        ("value_grad", lambda x, t: (1.0, np.ones(2)), "gradient of shape"),
        ("cross_vjp", lambda x, t, q: np.ones(2), "cross_vjp returned shape"),
        ("cross_vjp", lambda x, t, q: t * np.nan, "cross_vjp returned a value"),
    ],
)
def test_levels_return_nonsense(name, value, words):
    lower = Plain(READY.lower)
    setattr(lower, name, value)
    with pytest.raises(ValueError, match=words):
        bl.maid(bl.BilevelProblem(lower, READY.upper), READY.theta0)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("value_grad", r"lower\.value_grad returned a gradient"),
        ("hessian", r"lower\.hessian does not match"),
        ("lipschitz", "Rayleigh quotient"),
    ],
)
def test_check_problem_names_the_wrong_product(name, words):
    lower = Plain(READY.lower)
    right = getattr(lower, name)
    wrong = {
        "value_grad": lambda x, t: (right(x, t)[0], 1.1 * right(x, t)[1]),
        "hessian": lambda x, t: lambda u: 1.1 * right(x, t)(u),
        "lipschitz": lambda t: READY.lower.strong_convexity(t),
    }[name]
    setattr(lower, name, wrong)
    with pytest.raises(ValueError, match=words):
        bl.check_problem(bl.BilevelProblem(lower, READY.upper), READY.theta0)


def test_no_start():
    lower = Plain(READY.lower)
    del lower.x_init
    problem = bl.BilevelProblem(lower, READY.upper)
    with pytest.raises(ValueError, match="`x0` must be given"):
        bl.maid(problem, READY.theta0)
    assert bl.maid(problem, READY.theta0, x0=np.zeros((6, 1)), max_iter=1, warn=False)


def test_data_of_ready_problems():
    X, y = table()
    with pytest.raises(ValueError, match="`X` must be finite"):
        bl.RidgeProblem(np.full_like(X, np.nan), y, X, y)
    with pytest.raises(ValueError, match="`yv` must be of shape"):
        bl.RidgeProblem(X, y, X, y[1:])
    with pytest.raises(ValueError, match="`Xv` must be of shape"):
        bl.RidgeProblem(X, y, X[:, 1:], y)
    with pytest.raises(ValueError, match="at least two classes"):
        bl.LogisticProblem(X, np.zeros(60), X, np.zeros(60))
    with pytest.raises(ValueError, match="labels that occur"):
        bl.LogisticProblem(X, y > 0, X, np.full(60, 7))
    with pytest.raises(ValueError, match="`alpha` must be"):
        bl.HyperCleaningProblem(X, y > 0, X, y > 0, alpha=0.0)
    with pytest.raises(ValueError, match="label 1 empty"):
        bl.RidgeProblem(X, y, X, y, groups=[0, 0, 2, 2, 2])
    with pytest.raises(ValueError, match="`problems` must be"):
        bl.CrossValidated([])
    with pytest.raises(ValueError, match="`problems` must be BilevelProblem objects"):
        bl.CrossValidated([READY.lower])
    with pytest.raises(ValueError, match="`Xv` must be of 5 features"):
        bl.LogisticProblem(X, y > 0, X[:, 1:], y > 0)
    with pytest.raises(ValueError, match="`yv` must be finite labels"):
        bl.LogisticProblem(X, (y > 0) * 1.0, X, np.where(y > 0, np.nan, 0.0))
    with pytest.raises(ValueError, match="full column rank"):
        bl.QuadraticProblem(X, y, 0 * X, X, y)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"schedule": "linear"}, "`schedule` must be one of 'geometric'"),
        ({"schedule": [0.1, -1.0]}, "`schedule` must be positive"),
        ({"eps0": 0.0}, "`eps0` must be"),
    ],
)
def test_hoag(options, words):
    with pytest.raises(ValueError, match=words):
        bl.hoag(READY, READY.theta0, **options)


@pytest.mark.parametrize("run", [bl.solve_lower, bl.hypergradient])
def test_single_evaluations(run):
    with pytest.raises(ValueError, match="`tol` must be"):
        run(READY, READY.theta0, tol=0.0)
    with pytest.raises(ValueError, match="`solver` must be"):
        run(READY, READY.theta0, solver="gd")
    with pytest.raises(ValueError, match="`theta` must be finite"):
        run(READY, np.full(5, np.inf))


def test_check_problem_arguments():
    theta, x = READY.theta0, np.zeros((6, 1))
    assert max(bl.check_problem(READY, theta, x).values()) < 1e-5
    with pytest.raises(ValueError, match="`problem` must be a BilevelProblem"):
        bl.check_problem(READY.lower, theta)
    with pytest.raises(ValueError, match="`x` must be finite"):
        bl.check_problem(READY, theta, np.full((6, 1), np.nan))
    lower = Plain(READY.lower)
    problem = bl.BilevelProblem(lower, READY.upper)
    lower.strong_convexity = lambda t: 0.0
    with pytest.raises(ValueError, match="strong_convexity or lipschitz"):
        bl.check_problem(problem, theta)
    lower.value_grad = lambda x, t: (np.inf, x)
    with pytest.raises(ValueError, match="where h and its gradient are finite"):
        bl.check_problem(problem, theta)
    del lower.x_init
    with pytest.raises(ValueError, match="`x` must be given"):
        bl.check_problem(problem, theta)


@pytest.mark.parametrize("bad", [(np.nan, 1.0), (1.0, np.inf)])
def test_upper_levels_return_nonsense(bad):
    class Upper:
        lipschitz = 1.0

        def value_grad(self, x, theta):
            return bad[0], bad[1] * np.ones_like(x), None

    with pytest.raises(ValueError, match=r"upper\.value_grad returned"):
        bl.maid(bl.BilevelProblem(READY.lower, Upper()), READY.theta0)
