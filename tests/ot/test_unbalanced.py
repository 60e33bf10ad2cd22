# SPDX-License-Identifier: BSD-3-Clause
"""Unbalanced transport: closed forms, limits, duality, hostile input."""

import math

import numpy as np
import pytest

from numopt._array.namespace import to_numpy
from numopt.exceptions import ConvergenceWarning, InfeasibleError
from numopt.ot import sinkhorn, sinkhorn_unbalanced


def _clouds(rng, n=30, m=20):
    x, y = rng.random((n, 2)), rng.random((m, 2))
    return rng.random(n), 2 * rng.random(m), ((x[:, None] - y) ** 2).sum(axis=-1)


def _kl(p, q):
    positive = p > 0
    return np.sum(p[positive] * np.log(p[positive] / q[positive])) - p.sum() + q.sum()


def _objective(P, a, b, M, reg, rho):
    value = np.sum(P * M) + reg * _kl(P, np.outer(a, b))
    return value + rho[0] * _kl(P.sum(axis=1), a) + rho[1] * _kl(P.sum(axis=0), b)


@pytest.mark.parametrize("reg", [1.0, 0.1, 0.001])
def test_two_atoms_closed_form(reg):
    a, b, cost, rho = 1.5, 0.4, 0.7, (0.8, 2.0)
    result = sinkhorn_unbalanced([a], [b], [[cost]], reg, rho, tol=1e-13)
    # reg log(p / ab) + rho_1 log(p / a) + rho_2 log(p / b) + cost = 0
    log_mass = (
        reg * math.log(a * b) + rho[0] * math.log(a) + rho[1] * math.log(b) - cost
    ) / (reg + sum(rho))
    np.testing.assert_allclose(result.mass, math.exp(log_mass), rtol=1e-10)


@pytest.mark.parametrize("reg", [0.1, 1e-2, 1e-3])
@pytest.mark.parametrize("rho", [0.05, 1.0, (0.3, 2.0), 50.0])
def test_duality_certifies(rng, reg, rho):
    a, b, M = _clouds(rng)
    result = sinkhorn_unbalanced(a, b, M, reg, rho, tol=1e-11)
    assert result.converged
    pair = rho if isinstance(rho, tuple) else (rho, rho)
    P, f, g = result.plan, result.f, result.g
    value = _objective(P, a, b, M, reg, pair)
    np.testing.assert_allclose(result.value, value, rtol=1e-9)
    # no gap between a primal and a dual feasible point: both are optimal
    np.testing.assert_allclose(result.dual_value, value, rtol=1e-9)
    np.testing.assert_allclose(P.sum(axis=1), a * np.exp(-f / pair[0]), rtol=1e-8)
    np.testing.assert_allclose(P.sum(axis=0), b * np.exp(-g / pair[1]), rtol=1e-8)
    np.testing.assert_allclose(result.value_linear, np.sum(P * M), rtol=1e-10)
    assert result.n_iter <= 250


def test_plan_equals_pot(rng):
    ot = pytest.importorskip("ot")
    a, b, M = _clouds(rng)
    theirs = ot.unbalanced.sinkhorn_unbalanced(
        a, b, M, 0.05, (0.5, 1.5), reg_type="kl", numItermax=20_000, stopThr=1e-14
    )
    ours = sinkhorn_unbalanced(a, b, M, 0.05, (0.5, 1.5), tol=1e-12)
    np.testing.assert_allclose(ours.plan, theirs, atol=1e-8 * theirs.max())


def test_balanced_limit(rng):
    a, b, M = _clouds(rng)
    a, b = a / a.sum(), b / b.sum()
    expected = sinkhorn(a, b, M, 1e-2, tol=1e-11)
    far = sinkhorn_unbalanced(a, b, M, 1e-2, 1e6, tol=1e-10)
    np.testing.assert_allclose(far.plan, expected.plan, atol=1e-7)
    one_side = sinkhorn_unbalanced(a, b, M, 1e-2, (math.inf, 1e6), tol=1e-10)
    np.testing.assert_allclose(one_side.plan, expected.plan, atol=1e-7)


@pytest.mark.parametrize("rho", [(math.inf, 0.3), (0.3, math.inf)])
def test_one_exact_marginal(rng, rho):
    a, b, M = _clouds(rng)
    result = sinkhorn_unbalanced(a, b, M, 1e-2, rho, tol=1e-11)
    assert result.converged
    side = rho.index(math.inf)
    exact = (a, b)[side]
    np.testing.assert_allclose(result.plan.sum(axis=1 - side), exact, rtol=1e-8)


def test_transposition(rng):
    a, b, M = _clouds(rng)
    one = sinkhorn_unbalanced(a, b, M, 1e-2, (0.3, 2.0), tol=1e-12)
    other = sinkhorn_unbalanced(b, a, M.T, 1e-2, (2.0, 0.3), tol=1e-12)
    np.testing.assert_allclose(other.plan.T, one.plan, atol=1e-10)


def test_outliers_are_left_alone(rng):
    a, b, M = _clouds(rng)
    M[:, 3] += 100.0
    result = sinkhorn_unbalanced(a, b, M, 1e-2, 1.0)
    assert result.plan[:, 3].sum() < 1e-12
    assert result.converged


def test_empty_points_and_forbidden_pairs(rng):
    a, b, M = _clouds(rng)
    a[2] = b[5] = 0.0
    M[rng.random(M.shape) < 0.2] = math.inf
    M[7] = math.inf
    result = sinkhorn_unbalanced(a, b, M, 1e-2, 0.5, tol=1e-10)
    P = result.plan
    assert result.converged
    assert np.all(np.isfinite(result.f))
    assert np.all(np.isfinite(result.g))
    assert np.all(P[2] == 0)
    assert np.all(P[:, 5] == 0)
    assert np.all(P[~np.isfinite(M)] == 0)
    kept = np.ix_(np.delete(np.arange(30), [2, 7]), np.delete(np.arange(20), 5))
    rest = sinkhorn_unbalanced(
        a[kept[0].ravel()], b[kept[1].ravel()], M[kept], 1e-2, 0.5, tol=1e-10
    )
    np.testing.assert_allclose(P[kept], rest.plan, atol=1e-9)
    np.testing.assert_allclose(result.dual_value, result.value, rtol=1e-9)
    with pytest.raises(InfeasibleError, match="infeasible support"):
        sinkhorn_unbalanced(a, b, M, 1e-2, (math.inf, 0.5))


def test_every_array_library(backend, rng):
    a, b, M = _clouds(rng, 12, 9)
    expected = sinkhorn_unbalanced(a, b, M, 0.02, 0.5, tol=1e-11)
    result = sinkhorn_unbalanced(*map(backend.asarray, (a, b, M)), 0.02, 0.5, tol=1e-11)
    assert type(result.plan) is type(backend.asarray(M))
    np.testing.assert_allclose(to_numpy(result.plan), expected.plan, atol=1e-9)


def test_float32(rng):
    a, b, M = (x.astype(np.float32) for x in _clouds(rng))
    result = sinkhorn_unbalanced(a, b, M, 0.02, 0.5)
    assert result.converged
    assert result.plan.dtype == np.float32


def test_warm_start(rng):
    a, b, M = _clouds(rng)
    first = sinkhorn_unbalanced(a, b, M, 1e-3, 0.5)
    again = sinkhorn_unbalanced(a, b, M, 1e-3, 0.5, warmstart=first)
    assert again.n_iter <= 2
    near = sinkhorn_unbalanced(a, b, M * 1.001, 1e-3, 0.5, warmstart=(first.f, first.g))
    assert near.converged
    assert near.n_iter < first.n_iter


def test_not_converged_warns_and_is_finite(rng):
    a, b, M = _clouds(rng)
    with pytest.warns(ConvergenceWarning, match="sinkhorn_unbalanced"):
        result = sinkhorn_unbalanced(a, b, M, 1e-3, 0.5, max_iter=3)
    assert np.all(np.isfinite(result.plan))
    assert not result.converged


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"reg": 0}, "`reg` must be"),
        ({"reg_m": 0}, "`reg_m` must be"),
        ({"reg_m": (1.0, 2.0, 3.0)}, "`reg_m` must be a number or a pair"),
        ({"reg_m": math.inf}, "balanced problem"),
        ({"a": [-1.0, 2.0]}, "`a` must be"),
        ({"b": [0.0, 0.0]}, "`b` must be"),
        ({"M": [[0.0, 1.0]]}, "`M` must be of shape"),
        ({"M": [[0.0, math.nan], [1.0, 0.0]]}, "`M` must be finite"),
        ({"tol": -1.0}, "`tol` must be"),
        ({"warmstart": ([0.0], [0.0])}, "`warmstart` must be of shape"),
    ],
)
def test_bad_input(change, match):
    given = {
        "a": [1.0, 2.0],
        "b": [1.0, 1.0],
        "M": [[0.0, 1.0], [1.0, 0.0]],
        "reg": 0.1,
        "reg_m": 1.0,
    }
    with pytest.raises(ValueError, match=match):
        sinkhorn_unbalanced(**(given | change))


def test_points_of_no_weight_cost_no_iterations(rng):
    """Nor do those of weights below rounding; the plan of the others is the same."""
    M = rng.random((60, 50))
    a, b = rng.dirichlet(np.ones(60)), 1.5 * rng.dirichlet(np.ones(50))
    alone = sinkhorn_unbalanced(a, b, M, 1e-3, 0.5)
    for least in (0.0, 1e-60):
        a_more = np.concatenate([a, np.full(40, least)])
        b_more = np.concatenate([b, np.full(40, least)])
        M_more = np.zeros((100, 90))
        M_more[:60, :50] = M
        M_more[60:], M_more[:, 50:] = rng.random((40, 90)), rng.random((100, 40))
        result = sinkhorn_unbalanced(a_more, b_more, M_more, 1e-3, 0.5)
        assert result.converged
        assert result.n_iter <= alone.n_iter + 5
        np.testing.assert_allclose(result.plan[:60, :50], alone.plan, atol=1e-9)
        assert np.all(result.plan[60:] <= 1e-16)


@pytest.mark.parametrize("reg_m", [(30.0, np.inf), (np.inf, 30.0), (30.0, 50.0)])
@pytest.mark.parametrize("mass", [0.02, 20.0])
def test_dear_marginals_of_different_mass(rng, reg_m, mass):
    """One translation takes the mass where sweeps alone need reg_m / reg of them."""
    M = rng.random((40, 30))
    a, b = rng.dirichlet(np.ones(40)), mass * rng.dirichlet(np.ones(30))
    result = sinkhorn_unbalanced(a, b, M, 1e-3, reg_m)
    assert result.converged
    assert result.n_iter < 150
    P = result.plan
    for sums, weights, potential, rho in (
        (P.sum(axis=1), a, result.f, reg_m[0]),
        (P.sum(axis=0), b, result.g, reg_m[1]),
    ):
        target = weights * np.exp(-potential / rho)
        np.testing.assert_allclose(sums, target, atol=1e-8 * P.sum())
    assert result.value == pytest.approx(result.dual_value, rel=1e-8)
