# SPDX-License-Identifier: BSD-3-Clause
"""Refusals, degenerate sizes and ends of solvers that the other files do not meet."""

import numpy as np
import pytest
import scipy.sparse as sp

from numopt._array.namespace import to_numpy
from numopt.exceptions import ConvergenceWarning
from numopt.ot import (
    barycenter,
    gaussian_transport,
    partial_sinkhorn,
    progressive_partial_ot,
    sinkhorn,
    sinkhorn_grid,
    sinkhorn_points,
    sinkhorn_unbalanced,
    wasserstein_1d,
)

rng = np.random.default_rng(0)
M = rng.random((6, 5))
X, Y = rng.random((6, 2)), rng.random((5, 2))
A, B = rng.dirichlet(np.ones(12), 2).reshape(2, 4, 3)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (
            lambda: sinkhorn(
                None, np.array([[0.24, 0.16]] * 5), M, 0.1, method="sinkhorn"
            ),
            "`b` must have columns with the sum of `a`, 1, got 1.2 in column 0",
        ),
        (
            lambda: barycenter(np.eye(5)[:, :2], np.ones((5, 5)), 0.1, np.zeros(2)),
            "`weights` must be positive somewhere",
        ),
        (
            lambda: sinkhorn_grid(A, B, 0.1).apply(np.ones((3, 4))),
            r"`V` must be of shape \(4, 3\)",
        ),
        (
            lambda: sinkhorn_unbalanced(None, None, M, 0.1, 1.0, warmstart=3),
            r"`warmstart` must be an UnbalancedResult or \(f, g\), got int",
        ),
        (
            lambda: wasserstein_1d(np.ones(2), np.ones(2), a=np.zeros(2)),
            "`a` must be positive somewhere",
        ),
    ],
)
def test_refusals(call, match):
    with pytest.raises(ValueError, match=match):
        call()


def test_what_runs_on_numpy_only_says_so():
    strict = pytest.importorskip("array_api_strict")
    cost = strict.asarray(M)
    with pytest.raises(TypeError, match="`method` must be other than 'sns'"):
        sinkhorn(None, None, cost, 0.1, method="sns")
    with pytest.raises(TypeError, match="`graph` must be a dense array"):
        progressive_partial_ot(cost, 0.5, graph=sp.eye_array(6), graph_weight=1.0)


def test_gradients_of_distances_on_every_library(backend):
    desired = sinkhorn_points(X, Y, reg=0.1, metric="euclidean", tol=1e-12)
    clouds = backend.arrays(X, Y)
    result = sinkhorn_points(*clouds, reg=0.1, metric="euclidean", tol=1e-12)
    np.testing.assert_allclose(to_numpy(result.grad_X), desired.grad_X, atol=1e-9)


def test_pairs_of_empty_points_have_no_mass_however_small_reg_is():
    """Nothing bounds P_ij / (a_i b_j) there; it overflows, and 0 * inf is not 0."""
    x = np.linspace(0, 1, 40)
    a, b = np.zeros(40), np.zeros(40)
    a[5:15], b[25:35] = 0.1, 0.1
    cost, reg = (x[:, None] - x) ** 2, 1e-4
    unbalanced = sinkhorn_unbalanced(a, b, cost, reg, 1.0)
    assert np.all(np.isfinite(unbalanced.plan))
    assert unbalanced.value == pytest.approx(unbalanced.dual_value, abs=1e-8)
    for result in (
        sinkhorn(a, b, cost, reg),
        sinkhorn_points(x[:, None], x[:, None], reg, a=a, b=b, tol=1e-9),
        sinkhorn_grid(a, b, reg),
    ):
        assert result.value == pytest.approx(result.dual_value, abs=1e-8)
        assert result.value_linear == pytest.approx((20 / 39) ** 2, rel=1e-3)
        np.testing.assert_allclose(result.plan.sum(axis=1), a, atol=1e-8)
        np.testing.assert_allclose(result.plan.sum(axis=0), b, atol=1e-8)
        assert np.all(np.isfinite(result.barycentric(x[:, None])))
    gradient = sinkhorn(a, b, cost, reg).plan_vjp(cost)
    assert all(np.all(np.isfinite(g)) for g in (gradient.grad_M, gradient.grad_a))


@pytest.mark.parametrize("least", [0.0, 1e-60, 1e-300])
def test_weights_that_count_as_zero_on_most_points(least):
    """Their potentials are closed forms; the plan is that of the certificate."""
    x = np.linspace(0, 1, 60)
    a, b = np.full(60, least), np.full(60, least)
    a[3::7], b[1::5] = 1.0 / 9, 1.0 / 12
    a, b = a / a.sum(), b / b.sum()
    cost, reg, points = (x[:, None] - x) ** 2, 1e-4, x[:, None]
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        results = (
            sinkhorn(a, b, cost, reg),
            sinkhorn_points(points, points, reg, a=a, b=b, tol=1e-9),
            sinkhorn_grid(a, b, reg),
        )
        for result in results:
            assert np.all(np.isfinite(result.f))
            assert np.all(np.isfinite(result.g))
            np.testing.assert_allclose(result.plan.sum(axis=1), a, atol=2e-9)
            np.testing.assert_allclose(result.plan.sum(axis=0), b, atol=2e-9)
            assert result.value == pytest.approx(result.dual_value, abs=1e-8)
            moved = result.barycentric(points)
            assert np.all((moved >= 0) & (moved <= 1))


def test_plans_between_points_whose_weights_count_as_zero(rng):
    """Weights over sixty decades: most are below rounding, on both sides."""
    X, Y = rng.random((120, 2)), rng.random((90, 2))
    a, b = 10.0 ** rng.uniform(-60, 0, 120), 10.0 ** rng.uniform(-60, 0, 90)
    a, b = a / a.sum(), b / b.sum()
    cost = np.sum((X[:, None] - Y) ** 2, axis=-1)
    side = np.linspace(0, 1, 120)
    other = np.append(b, np.zeros(30))[::-1]
    for result, weights in (
        (sinkhorn(a, b, cost, 1e-4), b),
        (sinkhorn_points(X, Y, 1e-4, a=a, b=b, tol=1e-9), b),
        (sinkhorn_grid(a, other, 1e-3), other),
        (sinkhorn_points(side[:, None], side[:, None], 1e-3, a=a, b=other), other),
    ):
        assert result.converged
        np.testing.assert_allclose(result.plan.sum(axis=1), a, atol=1e-6)
        np.testing.assert_allclose(result.plan.sum(axis=0), weights, atol=1e-6)


def test_plans_made_at_once():
    for result in (
        sinkhorn(None, None, M, 0.1, return_plan=True),
        sinkhorn_points(X, Y, reg=0.1, return_plan=True),
    ):
        np.testing.assert_allclose(result.plan.sum(axis=1), 1 / 6, rtol=1e-7)


def test_gradient_of_a_grid_in_the_target():
    def value(target):
        return sinkhorn_grid(A, target, 0.2, tol=1e-13).value

    direction = np.zeros_like(B)
    direction[0, 0], direction[3, 2] = 1e-5, -1e-5
    slope = (value(B + direction) - value(B - direction)) / 2e-5
    grad = sinkhorn_grid(A, B, 0.2, tol=1e-13).grad_b
    assert slope == pytest.approx(grad[0, 0] - grad[3, 2], abs=1e-6)
    assert np.sum(B * grad) == pytest.approx(0.0, abs=1e-12)


def test_sweeps_hand_over_to_newton():
    # Little mass has to cross: each sweep moves a part of it as little.
    a, cost = np.array([0.501, 0.499]), 1.0 - np.eye(2)
    result = sinkhorn(a, None, cost, 0.03, tol=2e-4)
    assert (result.method, result.converged) == ("newton", True)
    assert result.n_iter > 50
    assert result.marginal_error <= 2e-4


def test_one_place_and_one_covariance():
    assert wasserstein_1d(np.ones(3), np.ones(2), p=3) == 0.0
    square = np.array([[1.0, 0], [-1, 0], [0, 1], [0, -1]])
    result = gaussian_transport(square, square, covariance="shrunk")
    np.testing.assert_allclose(result.transform(square), square, atol=1e-12)


def test_mass_of_a_partial_plan():
    result = partial_sinkhorn(None, None, M, 0.1, m=0.4)
    assert float(result.mass) == pytest.approx(0.4, rel=1e-8)
    assert float(result.mass) == pytest.approx(result.plan.sum(), rel=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_weights_of_very_different_size(seed):
    """Most weights are below rounding of their sum, down to 1e-60."""
    random = np.random.default_rng(seed)
    cost = np.abs(random.random(60)[:, None] - random.random(50))
    a, b = random.dirichlet(np.full(60, 0.05)), random.dirichlet(np.full(50, 0.05))
    result = sinkhorn(a, b, cost, 3e-3, tol=1e-9)
    assert result.converged
    np.testing.assert_allclose(result.plan.sum(axis=1), a, atol=1e-9)
    np.testing.assert_allclose(result.plan.sum(axis=0), b, atol=1e-9)
    assert np.all(np.isfinite(result.f))
    assert np.all(np.isfinite(result.g))


def test_sparse_newton_that_finds_no_step_says_what_to_do():
    cost = np.random.default_rng(3).random((30, 30))
    with pytest.warns(ConvergenceWarning, match="n_warmup"):
        result = sinkhorn(None, None, cost, 1e-4, method="sns", tol=1e-9)
    assert result.status == "stalled"
    assert np.all(np.isfinite(result.plan))
