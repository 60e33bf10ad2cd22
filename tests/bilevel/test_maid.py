# SPDX-License-Identifier: BSD-3-Clause
"""Outer algorithms: certified descent, work, equivariance, reasons to stop."""

import numpy as np
import pytest

import numopt.bilevel as bl
from numopt._array.namespace import to_numpy
from numopt.bilevel._solvers.directions import secant_fit, two_loop
from numopt.bilevel._solvers.quasi_newton import QuasiNewton
from numopt.exceptions import ConvergenceWarning
from tests.bilevel.problems import Plain, published_quadratic, ready_problems, table

METHODS = ("maid-qn", "maid-bb", "maid")
PROBLEMS = ready_problems()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["quadratic", "ridge", "logistic"])
def test_accepted_steps_truly_decrease(name, method):
    problem = PROBLEMS[name]
    values = []

    def record(info):
        theta = np.array(info.theta)
        truth = bl.hypergradient(problem, theta, tol=1e-11).value
        assert abs(truth - info.value) <= info.value_bound + 1e-9
        values.append(truth)

    bl.maid(
        problem,
        problem.theta0,
        method=method,
        max_iter=8,
        callback=record,
        warn=False,
        eps0=0.5,
    )
    assert len(values) > 1
    assert np.all(np.diff(values) < 1e-12)


# The minimisers are 14 to 2,345 away from the start, f has conditions up to 1e10.
@pytest.mark.parametrize(
    ("seed", "few"),
    [(29, 200), (1, 200), (2, 200), (101, 350), (102, 350), (116, 350)],
)
def test_work_on_the_published_quadratic(seed, few):
    problem = published_quadratic(seed)
    start = bl.hypergradient(problem, problem.theta0, tol=1e-9).value
    for gap, most in ((1e-2, few), (1e-6, 900)):
        target = problem.f_star + gap * (start - problem.f_star)
        result = bl.maid(
            problem, problem.theta0, f_target=target, gtol=0.0, ftol=0.0, warn=False
        )
        assert result.converged
        assert result.value + result.value_bound <= target
        assert result.value + result.value_bound >= problem.f_star
        assert result.n_lower_grad + result.n_hvp <= most


def test_fitted_matrix_reproduces_quadratics():
    rng = np.random.default_rng(0)
    Q, _ = np.linalg.qr(rng.normal(size=(6, 6)))
    H = (Q * np.geomspace(1e-3, 10, 6)) @ Q.T
    pairs = [(s, H @ s) for s in rng.normal(size=(6, 6))]
    z = rng.normal(size=6)
    newton = -np.linalg.solve(H, z)
    scale = np.linalg.norm(newton)
    np.testing.assert_allclose(
        secant_fit(z, pairs, radius=1.0), newton, atol=1e-6 * scale
    )
    # Fewer pairs, an indefinite H, or a box: still descent, within the free components.
    pairs = [(s, y) for s, y in pairs if s @ y > 0][:3]
    z[[1, 4]] = 0.0
    direction = secant_fit(z, [*pairs, (pairs[0][0], -pairs[0][1])], radius=1.0)
    assert z @ direction < 0
    np.testing.assert_array_equal(direction[[1, 4]], 0)


def test_near_pairs_outweigh_far_ones():
    # f is much steeper here than where the search came from: a curvature across the
    # two nearly parallel last steps would be made of that difference.
    rng = np.random.default_rng(0)
    here, there = np.diag([10.0, 0.1]), np.diag([5.0, 0.1])
    far = (np.array([1.5, 0.0]), there @ np.array([1.5, 0.0]))
    near = [(s, here @ s) for s in 0.1 * rng.normal(size=(3, 2))]
    z = np.array([1.0, 1.0])
    newton = -np.linalg.solve(here, z)
    direction = secant_fit(z, [far, *near], radius=1.0)
    np.testing.assert_allclose(direction, newton, rtol=0.3)


def test_a_wrong_slope_is_doubted(monkeypatch):
    # The error of the adjoint is taken for nothing until a line search finds no step.
    problem = PROBLEMS["quadratic"]
    whole = QuasiNewton._by_adjoint
    monkeypatch.setattr(
        QuasiNewton,
        "_by_adjoint",
        lambda self, state, point: whole(self, state, point) * (state.tau < 0.01),
    )
    result = bl.maid(problem, problem.theta0, delta0=1e3, gtol=1e-6, ftol=0.0)
    assert result.converged
    np.testing.assert_allclose(result.theta, problem.theta_star, rtol=1e-3, atol=1e-3)


def test_directions_without_pairs_get_a_step_of_their_own():
    # f is steep in the first component and flat in the others, of which nothing is
    # known: the curvature of the first would make their steps tiny.
    s = np.array([1.0, 0.0, 0.0])
    z = np.array([2.0, 0.03, -0.04])
    direction = secant_fit(z, [(s, 100.0 * s)], radius=0.5)
    np.testing.assert_allclose(direction, [-0.02, -0.3, 0.4], atol=1e-12)
    # They are as short as the curvature says where hardly anything is left along them.
    z = np.array([100.0, 0.03, -0.04])
    direction = secant_fit(z, [(s, 100.0 * s)], radius=0.5)
    assert np.abs(direction[1:]).max() < 1e-3


def test_diagonal_metric_keeps_the_secant_equation():
    rng = np.random.default_rng(0)
    scale = rng.uniform(0.1, 10.0, size=8)
    H = np.diag(1 / scale)
    pairs = [(s, H @ s) for s in rng.normal(size=(3, 8))]
    np.testing.assert_allclose(two_loop(pairs[-1][1], pairs, scale), -pairs[-1][0])
    # The metric of the Hessian itself needs no pair but for its multiple.
    z = rng.normal(size=8)
    expected = -scale * z
    np.testing.assert_allclose(two_loop(z, pairs[:1], 3 * scale), expected)


def test_first_step_of_many_log_penalties_moves_them_alike():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(90, 20))
    y = np.argmax(X[:, :3] + 0.5 * rng.normal(size=(90, 3)), axis=1)
    problem = bl.LogisticProblem(X[:50], y[:50], X[50:], y[50:], groups="weights")
    options = {"accuracy": "estimate", "max_iter": 1, "warn": False}
    result = bl.maid(problem, problem.theta0, **options)
    move = np.abs(result.theta - problem.theta0)
    size = np.sqrt(np.mean(move**2))
    np.testing.assert_allclose(size, 1.5 * result.history["step"][1], rtol=1e-10)
    assert move.max() < 2 * size
    # Asked for another length it is a step along the gradient.
    result = bl.maid(problem, problem.theta0, step0=10.0, **options)
    move = np.abs(result.theta - problem.theta0)
    assert move.max() > 2 * np.sqrt(np.mean(move**2))


def test_target_is_certified_without_another_step():
    problem = PROBLEMS["ridge"]
    start = bl.hypergradient(problem, problem.theta0, tol=1e-9).value
    best = bl.maid(problem, problem.theta0, gtol=1e-8, ftol=0.0, warn=False).value
    for share in (0.5, 0.1, 0.01):
        target = best + share * (start - best)
        result = bl.maid(problem, problem.theta0, f_target=target, eps0=0.5, warn=False)
        assert result.converged
        assert result.value + result.value_bound <= target
        below = result.history["value"][:-1] < target - 0.9 * (start - best) * share
        assert not below.any()


def test_published_method_needs_far_more():
    problem = published_quadratic(29)
    target = problem.f_star + 1e-2 * 4440.0
    options = {"f_target": target, "gtol": 0.0, "ftol": 0.0, "warn": False}
    slow = bl.maid(
        problem, problem.theta0, method="maid", eps0=0.1, max_work=3000, **options
    )
    fast = bl.maid(problem, problem.theta0, **options)
    assert fast.converged
    assert not slow.converged
    assert np.all(np.diff(slow.history["value"]) < 0)


def test_history_has_one_row_per_accepted_iterate():
    result = bl.maid(PROBLEMS["ridge"], PROBLEMS["ridge"].theta0)
    wanted = {"value", "value_bound", "eps", "delta", "step", "gradient_norm", "work"}
    assert wanted | {"time", "n_iter"} <= set(result.history)
    assert all(len(column) == result.n_iter + 1 for column in result.history.values())
    assert result.history["work"][-1] == result.n_lower_grad + result.n_hvp
    assert np.all(np.diff(result.history["work"]) > 0)


def test_permutation_of_theta():
    X, y = table()
    order = np.array([3, 0, 4, 1, 2])
    results = []
    for columns in (np.arange(5), order):
        one = X[:, columns]
        problem = bl.RidgeProblem(one[:40], y[:40], one[40:], y[40:], "features")
        results.append(bl.maid(problem, problem.theta0, max_iter=5, warn=False))
    np.testing.assert_allclose(results[1].theta, results[0].theta[order], rtol=1e-6)


def test_relabelled_groups():
    X, y = table()
    groups = np.array([0, 0, 1, 1, 2])
    swap = np.array([2, 0, 1])
    results = []
    for labels in (groups, swap[groups]):
        problem = bl.RidgeProblem(X[:40], y[:40], X[40:], y[40:], labels)
        results.append(bl.maid(problem, problem.theta0, max_iter=5, warn=False))
    np.testing.assert_allclose(results[1].theta[swap], results[0].theta, rtol=1e-6)


def test_ridge_finds_the_minimiser_of_a_fine_grid():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(60, 20))
    y = X @ (0.3 * rng.normal(size=20)) + rng.normal(size=60)
    problem = bl.RidgeProblem(X[:30], y[:30], X[30:], y[30:])
    result = bl.maid(problem, problem.theta0, gtol=1e-8, ftol=0.0, warn=False)
    grid = np.linspace(*problem.bounds, 4000)
    losses = [bl.hypergradient(problem, [t], tol=1e-8).value for t in grid[::40]]
    near = grid[40 * int(np.argmin(losses))]
    fine = np.linspace(near - 0.5, near + 0.5, 201)
    losses = [bl.hypergradient(problem, [t], tol=1e-8).value for t in fine]
    best = fine[int(np.argmin(losses))]
    assert np.exp(result.theta[0] - best) == pytest.approx(1.0, abs=0.01)


def test_bounds_hold_and_bind():
    ready = PROBLEMS["ridge"]
    high = float(ready.theta0[0]) - 2.0
    problem = bl.BilevelProblem(ready.lower, ready.upper, bounds=(-3.0, high))
    result = bl.maid(problem, np.full(3, high - 0.5))
    assert result.converged
    assert result.theta.max() <= high
    assert result.theta.min() >= -3.0
    assert np.any(result.theta == high) or np.any(result.theta == -3.0)


def test_optimal_start_takes_no_step():
    problem = published_quadratic(5, n=40, m=4)
    result = bl.maid(problem, problem.theta_star)
    assert result.converged
    assert result.n_iter == 0


def test_flat_upper_level():
    class Flat:
        lipschitz = 0.0

        def value_grad(self, x, theta):
            return 1.0, 0 * x, None

    problem = bl.BilevelProblem(PROBLEMS["ridge"].lower, Flat())
    theta0 = PROBLEMS["ridge"].theta0
    result = bl.maid(problem, theta0)
    assert result.converged
    assert result.n_iter == 0
    np.testing.assert_array_equal(result.theta, theta0)


def test_callback_stops_and_inputs_stay():
    problem = PROBLEMS["ridge"]
    theta0 = np.array(problem.theta0)
    theta0.flags.writeable = False
    seen = []
    result = bl.maid(problem, theta0, callback=lambda info: seen.append(info) or True)
    assert not result.converged
    assert "callback" in result.message
    assert len(seen) == 1
    assert seen[0].theta.shape == theta0.shape
    assert {"value", "value_bound", "gradient_norm", "work"} <= set(seen[0].metrics)


def test_limits_warn():
    problem = published_quadratic(0, n=40, m=4)
    with pytest.warns(ConvergenceWarning, match="max_work"):
        result = bl.maid(problem, problem.theta0, max_work=1)
    assert result.status == "max_iter"
    with pytest.warns(ConvergenceWarning, match="max_iter"):
        bl.maid(problem, problem.theta0, max_iter=1)


def test_wrong_derivative_suggests_check_problem():
    ready = PROBLEMS["logistic"]

    class Wrong(Plain):
        def __init__(self, lower):
            super().__init__(lower)
            self.cross_vjp = lambda x, theta, q: -lower.cross_vjp(x, theta, q)

    problem = bl.BilevelProblem(Wrong(ready.lower), ready.upper)
    result = bl.maid(problem, ready.theta0, warn=False, max_step=0.1)
    assert not result.converged
    assert "check_problem" in result.message
    with pytest.raises(ValueError, match=r"lower\.cross_vjp"):
        bl.check_problem(problem, ready.theta0)


@pytest.mark.parametrize("schedule", ["geometric", "quadratic", "cubic", [0.1, 0.01]])
def test_hoag_reduces_the_value(schedule):
    problem = PROBLEMS["ridge"]
    result = bl.hoag(problem, problem.theta0, schedule=schedule, warn=False)
    assert result.value < result.history["value"][0]
    best = bl.maid(problem, problem.theta0).value
    assert result.value == pytest.approx(best, rel=0.05)


def test_array_libraries(backend):
    xp = backend.xp
    rng = np.random.default_rng(0)
    X, w = rng.normal(size=(30, 4)), np.array([1.0, 0.0, 0.0, 1.0])
    y = X @ w + rng.normal(size=30)
    groups = np.array([0, 0, 1, 1])
    data = X[:20], y[:20], X[20:], y[20:]
    desired = bl.RidgeProblem(*data, groups)
    problem = bl.RidgeProblem(*backend.arrays(*data), groups)
    host = bl.maid(desired, desired.theta0)
    result = bl.maid(problem, problem.theta0)
    assert result.theta.dtype == xp.float64
    np.testing.assert_allclose(to_numpy(result.theta), host.theta, rtol=1e-6)
    np.testing.assert_allclose(to_numpy(result.x), host.x, rtol=1e-6, atol=1e-9)


def test_logistic_on_array_libraries(backend):
    X, y = table(n=40, p=3)
    labels = (y > 0).astype(int)
    data = X[:25], labels[:25], X[25:], labels[25:]
    desired = bl.LogisticProblem(*data, "features")
    problem = bl.LogisticProblem(
        backend.asarray(data[0]), data[1], backend.asarray(data[2]), data[3], "features"
    )
    options = {"max_iter": 3, "warn": False}
    host = bl.maid(desired, desired.theta0, **options)
    result = bl.maid(problem, problem.theta0, **options)
    np.testing.assert_allclose(to_numpy(result.theta), host.theta, rtol=1e-5)


def test_limited_memory_in_a_box():
    X, y = table(n=60, p=3)
    wrong = np.where(np.arange(60) % 5 == 0, y < 0, y > 0)
    ready = bl.HyperCleaningProblem(X, wrong, X, y > 0, alpha=0.1)
    problem = bl.BilevelProblem(ready.lower, ready.upper, bounds=(-1.0, 0.5))
    assert ready.theta0.size == 60
    result = bl.maid(problem, ready.theta0, ftol=0.0, max_iter=100, warn=False)
    assert result.converged
    assert np.all(np.abs(result.theta + 0.25) <= 0.75)
    at = np.isin(result.theta, [-1.0, 0.5])
    assert at.sum() > 5
    # Optimal in the box: the gradient pushes outward where a bound holds, else is flat.
    z = bl.hypergradient(problem, result.theta, tol=1e-10).gradient
    scale = np.abs(bl.hypergradient(problem, ready.theta0, tol=1e-8).gradient).max()
    free = np.where(result.theta == 0.5, np.maximum(z, 0), np.minimum(z, 0))
    assert np.abs(np.where(at, free, z)).max() <= 1.1e-3 * max(1.0, scale)
    other = bl.maid(problem, ready.theta0, method="maid-bb", ftol=0.0, warn=False)
    assert result.value == pytest.approx(other.value, rel=1e-2)


def test_hoag_shortens_a_long_first_step():
    problem = PROBLEMS["quadratic"]
    long = bl.hoag(problem, problem.theta0, step0=1e6, eps0=1e-6, warn=False)
    assert long.n_line_search_failures > 5
    assert long.history["step"][1] < 1e6
    values = long.history["value"]
    assert values[-1] < values[0]
    short = bl.hoag(problem, problem.theta0, step0=1e-9, max_iter=1, warn=False)
    assert short.history["step"][1] == pytest.approx(1e-9)


def test_hoag_takes_values_of_any_sign():
    ready = PROBLEMS["quadratic"]

    class Shifted:
        lipschitz = ready.upper.lipschitz

        def value_grad(self, x, theta):
            value, grad, direct = ready.upper.value_grad(x, theta)
            return value - 1e6, grad, direct

    problem = bl.BilevelProblem(ready.lower, Shifted())
    result = bl.hoag(problem, ready.theta0, warn=False)
    assert result.n_iter > 3
    assert result.value < result.history["value"][0]


def test_hoag_stalls_where_no_step_keeps_the_first_value():
    A = np.random.default_rng(0).uniform(size=(20, 2))
    problem = bl.QuadraticProblem(A, A @ np.ones(2), A, A, A @ np.full(2, 1.03))
    # The start is taken as it is, of a value far below that at its theta; so short are
    # the steps that the published allowance for errors does not make up for it.
    options = {"schedule": [10.0, 1e-8], "step0": 1e-9, "gtol": 0.0, "warn": False}
    result = bl.hoag(problem, np.zeros(2), x0=np.full(2, 1.001), **options)
    assert result.status == "stalled"
    assert "check_problem" in result.message
    np.testing.assert_array_equal(result.theta, np.zeros(2))


@pytest.mark.filterwarnings("ignore:hoag did not converge. residual")
def test_hoag_that_rises_above_its_start_warns():
    problem = published_quadratic(0, n=30, m=4)
    exact = bl.solve_lower(problem, problem.theta_star, tol=1e-10).x
    best = np.linalg.lstsq(problem.upper.A, problem.upper.b, rcond=None)[0]
    # A little below the least value of f.
    x0 = exact + 0.05 * (best - exact)
    options = {"schedule": [1e9, 1e-8], "gtol": 0.0, "ftol": 0.0, "max_iter": 5}
    with pytest.warns(ConvergenceWarning, match="rose above its start three times"):
        result = bl.hoag(problem, problem.theta_star, x0=x0, **options)
    assert np.all(result.history["value"][1:] > result.history["value"][0])
