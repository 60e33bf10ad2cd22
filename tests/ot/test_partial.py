# SPDX-License-Identifier: BSD-3-Clause
"""Partial transport: optimality conditions, limits, the peer, hostile input."""

import math

import numpy as np
import pytest

from numopt._array.namespace import to_numpy
from numopt.exceptions import ConvergenceWarning, InfeasibleError
from numopt.ot import ot_exact, partial_sinkhorn, sinkhorn


def _clouds(rng, n=30, m=20):
    x, y = rng.random((n, 2)), rng.random((m, 2)) ** 1.5
    a, b = rng.random(n), rng.random(m)
    M = ((x[:, None] - y) ** 2).sum(axis=-1)
    return a / a.sum(), 1.5 * b / b.sum(), M


def _kl(P, Q):
    positive = P > 0
    return np.sum(P[positive] * np.log(P[positive] / Q[positive])) - P.sum() + Q.sum()


@pytest.mark.parametrize("reg", [0.1, 1e-2, 1e-3])
@pytest.mark.parametrize("m", [0.05, 0.5, 0.9, 1.0])
def test_optimality_conditions(rng, reg, m):
    a, b, M = _clouds(rng)
    result = partial_sinkhorn(a, b, M, reg, m, tol=1e-11)
    P, f, g = result.plan, result.f, result.g
    assert result.converged
    assert result.n_iter <= 250
    np.testing.assert_allclose(P.sum(), m, atol=1e-10)
    rows, columns = P.sum(axis=1), P.sum(axis=0)
    assert (rows <= a + 1e-12).all()
    assert (columns <= b + 1e-10).all()
    # multipliers of the bounds: not positive, and zero where there is room
    assert f.max() <= 0
    assert g.max() <= 0
    np.testing.assert_allclose(f * (a - rows), 0.0, atol=1e-10)
    np.testing.assert_allclose(g * (b - columns), 0.0, atol=1e-10)
    value = np.sum(P * M) + reg * _kl(P, np.outer(a, b))
    np.testing.assert_allclose(result.value, value, atol=1e-10)
    np.testing.assert_allclose(result.dual_value, value, atol=1e-9)
    np.testing.assert_allclose(result.value_linear, np.sum(P * M), atol=1e-12)


def test_single_pair_closed_form():
    result = partial_sinkhorn([1.5], [0.4], [[0.7]], 0.1, 0.3, tol=1e-13)
    np.testing.assert_allclose(result.plan, [[0.3]], rtol=1e-12)
    # no bound is active: reg log(m / ab) + cost = shift
    shift = 0.1 * math.log(0.3 / 0.6) + 0.7
    np.testing.assert_allclose(result.shift, shift, rtol=1e-10)
    assert result.f[0] == result.g[0] == 0.0


def test_whole_mass_is_balanced_transport(rng):
    a, b, M = _clouds(rng)
    b /= b.sum()
    part = partial_sinkhorn(a, b, M, 1e-2, 1.0, tol=1e-11)
    whole = sinkhorn(a, b, M, 1e-2, tol=1e-11)
    np.testing.assert_allclose(part.plan, whole.plan, atol=1e-9)


def test_no_mass(rng):
    a, b, M = _clouds(rng)
    result = partial_sinkhorn(a, b, M, 1e-2, 0.0)
    assert result.converged
    assert not result.plan.any()
    assert result.value_linear == 0.0
    np.testing.assert_allclose(result.value, 1e-2 * a.sum() * b.sum())
    assert np.isfinite(result.shift)


def test_small_regularisation_is_exact_partial_transport(rng):
    """Chapel et al. (2020): dummy points of cost 0 that may not meet."""
    a, b, M = _clouds(rng)
    m = 0.6
    dear = np.full((a.size + 1, b.size + 1), 2 * M.max() + 1)
    dear[:-1, :-1] = M
    dear[-1, :-1] = dear[:-1, -1] = 0.0
    extended = np.append(a, b.sum() - m), np.append(b, a.sum() - m)
    exact = ot_exact(*extended, dear).value
    result = partial_sinkhorn(a, b, M, 1e-4, m)
    slack = 1e-4 * m * math.log(a.size * b.size * 10)
    assert exact - 1e-9 <= result.value_linear <= exact + slack


def test_exact_limit_equals_pot(rng):
    ot = pytest.importorskip("ot")
    a, b, M = _clouds(rng)
    theirs = ot.partial.partial_wasserstein(a, b, M, 0.6)
    ours = partial_sinkhorn(a, b, M, 1e-4, 0.6)
    np.testing.assert_allclose(ours.value_linear, np.sum(theirs * M), atol=1e-4)


def test_uniform_weights_equal_pot(rng):
    ot = pytest.importorskip("ot")
    M = _clouds(rng)[2]
    a, b = np.full(30, 1 / 30), np.full(20, 1 / 20)
    theirs = ot.partial.entropic_partial_wasserstein(
        a, b, M, 0.05, 0.6, numItermax=20_000, stopThr=1e-14
    )
    ours = partial_sinkhorn(None, None, M, 0.05, 0.6, tol=1e-12)
    np.testing.assert_allclose(ours.plan, theirs, atol=1e-10)


def test_outliers_are_left_out(rng):
    a, b, M = _clouds(rng)
    M[:, 3] += 100.0
    M[5] += 100.0
    result = partial_sinkhorn(a, b, M, 1e-2, 0.8)
    assert result.plan[:, 3].sum() + result.plan[5].sum() < 1e-12


def test_transposition_and_mass_scaling(rng):
    a, b, M = _clouds(rng)
    one = partial_sinkhorn(a, b, M, 1e-2, 0.6, tol=1e-12)
    other = partial_sinkhorn(b, a, M.T, 1e-2, 0.6, tol=1e-12)
    np.testing.assert_allclose(other.plan.T, one.plan, atol=1e-10)
    many = partial_sinkhorn(5 * a, 5 * b, M, 1e-2, 3.0, tol=1e-12)
    np.testing.assert_allclose(many.plan, 5 * one.plan, atol=1e-9)


def test_empty_points_and_forbidden_pairs(rng):
    a, b, M = _clouds(rng)
    a[2] = b[5] = 0.0
    M[rng.random(M.shape) < 0.2] = math.inf
    M[7] = math.inf
    result = partial_sinkhorn(a, b, M, 1e-2, 0.5, tol=1e-10)
    P = result.plan
    assert result.converged
    for potential in (result.f, result.g):
        assert np.all(np.isfinite(potential))
    assert not P[2].any()
    assert not P[7].any()
    assert not P[:, 5].any()
    assert not P[~np.isfinite(M)].any()
    np.testing.assert_allclose(P.sum(), 0.5, atol=1e-9)
    M[:25] = math.inf
    with pytest.raises(InfeasibleError, match="infeasible support"):
        partial_sinkhorn(a, b, M, 1e-2, 0.9)


def test_every_array_library(backend, rng):
    a, b, M = _clouds(rng, 12, 9)
    expected = partial_sinkhorn(a, b, M, 0.02, 0.5, tol=1e-11)
    result = partial_sinkhorn(*map(backend.asarray, (a, b, M)), 0.02, 0.5, tol=1e-11)
    assert type(result.plan) is type(backend.asarray(M))
    np.testing.assert_allclose(to_numpy(result.plan), expected.plan, atol=1e-9)


def test_float32(rng):
    a, b, M = (x.astype(np.float32) for x in _clouds(rng))
    result = partial_sinkhorn(a, b, M, 0.02, 0.5)
    assert result.converged
    assert result.plan.dtype == np.float32


def test_warm_start(rng):
    a, b, M = _clouds(rng)
    first = partial_sinkhorn(a, b, M, 1e-3, 0.6)
    assert partial_sinkhorn(a, b, M, 1e-3, 0.6, warmstart=first).n_iter <= 2
    pair = first.g, first.shift
    near = partial_sinkhorn(a, b, M * 1.001, 1e-3, 0.6, warmstart=pair)
    assert near.converged
    assert near.n_iter < first.n_iter


def test_not_converged_warns_and_is_finite(rng):
    a, b, M = _clouds(rng)
    with pytest.warns(ConvergenceWarning, match="partial_sinkhorn"):
        result = partial_sinkhorn(a, b, M, 1e-3, 0.6, max_iter=3)
    assert np.all(np.isfinite(result.plan))
    assert not result.converged


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"reg": 0}, "`reg` must be"),
        ({"m": -0.1}, "`m` must be"),
        ({"m": 2.5}, r"`m` must be at most 2, the smaller sum"),
        ({"a": [-1.0, 2.0]}, "`a` must be"),
        ({"M": [[0.0, 1.0]]}, "`M` must be of shape"),
        ({"M": [[0.0, math.nan], [1.0, 0.0]]}, "`M` must be finite"),
        ({"tol": -1.0}, "`tol` must be"),
        ({"warmstart": ([0.0], 0.0)}, "`warmstart` must be of shape"),
        ({"warmstart": 3}, "`warmstart` must be"),
    ],
)
def test_bad_input(change, match):
    given = {
        "a": [1.0, 2.0],
        "b": [1.0, 1.0],
        "M": [[0.0, 1.0], [1.0, 0.0]],
        "reg": 0.1,
        "m": 1.0,
    }
    with pytest.raises(ValueError, match=match):
        partial_sinkhorn(**(given | change))
