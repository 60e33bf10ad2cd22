# SPDX-License-Identifier: BSD-3-Clause
"""Unregularised transport: optimal values, certificates, hostile input."""

import math

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from numopt._array.namespace import to_numpy
from numopt.datasets import make_transport_problem
from numopt.exceptions import ConvergenceWarning, InfeasibleError
from numopt.ot import ot_exact
from numopt.ot._solvers import exact

METHODS = ["annealing", "network_simplex"]


def _check(result, a, b, M):
    """The certificate, recomputed from what was returned."""
    plan, f, g = map(to_numpy, (result.plan, result.f, result.g))
    assert np.all(plan >= 0)
    np.testing.assert_allclose(plan.sum(axis=1), a, atol=1e-12 * a.sum())
    np.testing.assert_allclose(plan.sum(axis=0), b, atol=1e-12 * a.sum())
    finite = np.isfinite(M)
    assert np.all(plan[~finite] == 0)
    size = np.abs(M[finite]).max()
    slack = M - f[:, None] - g
    assert slack.min() >= -1e-12 * size
    value = plan[finite] @ M[finite]
    np.testing.assert_allclose(result.value, value, rtol=1e-12)
    np.testing.assert_allclose(result.dual_value, a @ f + b @ g, rtol=1e-12)
    assert 0 <= result.gap <= 1e-9 * size * a.sum()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("n", "m"), [(8, 8), (40, 25), (120, 160)])
def test_value_is_optimal(rng, method, n, m):
    ot = pytest.importorskip("ot")
    a, b, M = rng.random(n), rng.random(m), rng.standard_normal((n, m))
    a, b = 3 * a / a.sum(), 3 * b / b.sum()
    result = ot_exact(a, b, M, method=method)
    assert result.converged
    _check(result, a, b, M)
    np.testing.assert_allclose(result.value, ot.emd2(a, b, M), rtol=1e-10)


@pytest.mark.parametrize("name", ["pts2d", "grid1d"])
def test_entries_are_generated(name):
    data = make_transport_problem(name, 200)
    result = ot_exact(data.a, data.b, data.M)
    _check(result, data.a, data.b, data.M)
    # a program of a few entries a row was enough
    assert result.history["nnz"][-1] < 0.2 * data.M.size
    assert np.count_nonzero(to_numpy(result.plan)) <= 400


def test_assignment(rng):
    M = rng.random((150, 150))
    result = ot_exact(None, None, M)
    rows, columns = linear_sum_assignment(M)
    np.testing.assert_allclose(result.value, M[rows, columns].mean(), rtol=1e-10)


def test_line_is_sorted_coupling(rng):
    x, y = np.sort(rng.random(60)), np.sort(rng.random(60))
    result = ot_exact(None, None, np.abs(x[:, None] - y) ** 2)
    np.testing.assert_allclose(result.value, np.mean((x - y) ** 2), rtol=1e-10)


def test_every_array_library(backend, rng):
    a, b, M = rng.random(12), rng.random(9), rng.random((12, 9))
    a, b = a / a.sum(), b / b.sum()
    expected = ot_exact(a, b, M)
    result = ot_exact(*map(backend.asarray, (a, b, M)))
    assert type(result.plan) is type(backend.asarray(M))
    np.testing.assert_allclose(to_numpy(result.plan), expected.plan, atol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_forbidden_pairs_and_empty_points(rng, method):
    a, b, M = rng.random(20), rng.random(14), rng.random((20, 14))
    M[rng.random((20, 14)) < 0.3] = math.inf
    M[4], a[4] = math.inf, 0.0  # reaches nothing, carries nothing
    a[7], b[3] = 0.0, 0.0
    a, b = a / a.sum(), b / b.sum()
    result = ot_exact(a, b, M, method=method)
    assert result.converged
    _check(result, a, b, M)
    assert np.all(np.isfinite(result.f))
    assert np.all(np.isfinite(result.g))


@pytest.mark.parametrize("method", METHODS)
def test_infeasible_pattern(method):
    inf = math.inf
    M = np.array([[0, inf, inf], [0, inf, inf], [0, 1, 1.0]])
    with pytest.raises(InfeasibleError, match="infeasible support"):
        ot_exact(None, None, M, method=method)


def test_shift_of_the_cost(rng):
    M = rng.random((15, 15))
    one, other = ot_exact(None, None, M), ot_exact(None, None, M + 1e3)
    np.testing.assert_allclose(other.value - 1e3, one.value, rtol=1e-9)
    assert one.converged
    assert other.converged


def test_identical_clouds(rng):
    """The optimal value is zero, and so are the gap and what is moved."""
    X = rng.random((150, 3))
    M = ((X[:, None] - X) ** 2).sum(axis=-1)
    result = ot_exact(None, None, M)
    assert result.converged
    np.testing.assert_allclose(result.plan, np.eye(150) / 150, atol=1e-14)


def test_constant_cost():
    result = ot_exact([0.2, 0.8], [0.5, 0.5], np.full((2, 2), 3.0))
    assert result.converged
    assert result.value == pytest.approx(3.0)


@pytest.fixture
def poor_start(monkeypatch):
    """A first program that lacks entries of every optimal plan."""
    monkeypatch.setattr(exact, "START_TAU", -4.0)
    monkeypatch.setattr(exact, "WIDENINGS", 1)


@pytest.mark.usefixtures("poor_start")
def test_entries_are_added_until_none_is_missing():
    data = make_transport_problem("pts2d", 200)
    result = ot_exact(data.a, data.b, data.M)
    assert result.converged
    assert result.n_iter > 1
    _check(result, data.a, data.b, data.M)


@pytest.mark.usefixtures("poor_start")
def test_too_few_programs_warn_and_keep_a_valid_bound():
    pytest.importorskip("ot")
    data = make_transport_problem("pts2d", 200)
    optimum = ot_exact(data.a, data.b, data.M, method="network_simplex").value
    with pytest.warns(ConvergenceWarning, match="ot_exact"):
        result = ot_exact(data.a, data.b, data.M, max_iter=1)
    assert result.dual_value <= optimum + 1e-12
    assert optimum <= result.value + 1e-12


@pytest.mark.usefixtures("poor_start")
def test_callback_stops():
    data = make_transport_problem("pts2d", 200)
    seen = []
    result = ot_exact(
        data.a, data.b, data.M, callback=lambda info: seen.append(info) or True
    )
    assert result.status == "callback"
    assert len(seen) == 1


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"method": "simplex"}, "`method` must be one of"),
        ({"tol": -1}, "`tol` must be"),
        ({"max_iter": 0}, "`max_iter` must be"),
        ({"M": [[0, math.nan], [1, 0]]}, "`M` must be finite"),
        ({"a": [0.5, 0.6]}, "same sum"),
    ],
)
def test_bad_input(arguments, match):
    given = {"a": None, "b": None, "M": [[0, 1], [1, 0]], **arguments}
    with pytest.raises(ValueError, match=match):
        ot_exact(**given)
