# SPDX-License-Identifier: BSD-3-Clause
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numopt._array.namespace import array_namespace, to_numpy
from numopt._numerics.anderson import Anderson
from numopt._numerics.cg import cg
from numopt._numerics.lbfgs import lbfgs
from numopt._numerics.line_search import backtrack
from numopt._numerics.prox import soft_threshold
from tests.backends import assert_xp_close


def _spd(rng, n):
    A = rng.standard_normal((n, n))
    return A @ A.T + 0.1 * np.eye(n)


@pytest.mark.parametrize("preconditioned", [False, True])
@pytest.mark.parametrize("columns", [None, 3])
def test_cg_solves(backend, rng, preconditioned, columns):
    n = 20
    A = _spd(rng, n) + np.diag(10.0 ** rng.uniform(0, 3, n))
    b = rng.standard_normal(n if columns is None else (n, columns))
    matrix, right, diagonal = backend.arrays(A, b, np.diag(A))
    diagonal = diagonal if columns is None else diagonal[:, None]
    result = cg(
        lambda x: matrix @ x,
        right,
        tol=1e-12,
        max_iter=500,
        diagonal=diagonal if preconditioned else None,
    )
    assert result.residual <= 1e-12
    assert_xp_close(result.x, np.linalg.solve(A, b), like=right, rtol=1e-7, atol=1e-9)


def test_cg_preconditioner_pays(rng):
    n = 60
    A = np.diag(10.0 ** rng.uniform(0, 6, n)) + 0.01 * _spd(rng, n)
    b = rng.standard_normal(n)
    plain, jacobi = (
        cg(lambda x: A @ x, b, tol=1e-8, max_iter=2000, diagonal=d).n_iter
        for d in (None, np.diag(A))
    )
    assert jacobi < plain / 2


def test_cg_zero_right_hand_side_and_warm_start(rng):
    A = _spd(rng, 5)
    assert cg(lambda x: A @ x, np.zeros(5), tol=1e-9, max_iter=9).n_iter == 0
    b = rng.standard_normal(5)
    exact = np.linalg.solve(A, b)
    assert cg(lambda x: A @ x, b, tol=1e-9, max_iter=9, x0=exact).n_iter == 0


def test_cg_stops_on_negative_curvature():
    result = cg(lambda x: -x, np.ones(3), tol=1e-9, max_iter=9)
    np.testing.assert_array_equal(result.x, 0)


def test_cg_never_returns_nan():
    result = cg(lambda x: x * np.nan, np.ones(3), tol=1e-9, max_iter=9)
    assert np.all(np.isfinite(result.x))


def test_cg_keeps_the_iterate_before_an_overflow():
    spread = np.array([1.0, 1e200])  # the residual leaves the range, the curvature not
    with np.errstate(over="ignore"):
        result = cg(lambda x: spread * x[0], np.array([1.0, 0.0]), tol=1e-9, max_iter=9)
    np.testing.assert_array_equal(result.x, 0)


def test_backtrack():
    found = backtrack(lambda t: (t - 0.2) ** 2, 0.04, -0.4)
    assert found.step == 0.25
    assert found.n_trials == 3
    failed = backtrack(lambda t: 1.0 + t, 0.0, -1.0, max_trials=4)
    assert (failed.step, failed.value, failed.n_trials) == (0.0, 0.0, 4)


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=6), st.floats(0, 3))
def test_soft_threshold_is_optimal(values, threshold):
    x = np.array(values)
    z = soft_threshold(x, threshold)
    assert np.all(np.abs(x - z) <= threshold + 1e-12)
    moved = z != 0
    np.testing.assert_allclose(
        (x - z)[moved], threshold * np.sign(z[moved]), atol=1e-12
    )


def test_anderson_solves_a_linear_fixed_point(backend, rng):
    n = 4
    G = rng.standard_normal((n, n))
    G *= 0.95 / np.max(np.abs(np.linalg.eigvals(G)))
    h = rng.standard_normal(n)
    desired = np.linalg.solve(np.eye(n) - G, h)
    matrix, shift = backend.arrays(G, h)
    xp = array_namespace(shift)
    x = xp.zeros_like(shift)
    anderson = Anderson(memory=n)
    for _ in range(n + 1):
        image = matrix @ x + shift
        anderson.push(x, image)
        x = image
    assert anderson.ready
    np.testing.assert_allclose(to_numpy(anderson.extrapolate()), desired, rtol=1e-6)
    weighted = anderson.extrapolate(xp.ones_like(x) + shift**2)
    np.testing.assert_allclose(to_numpy(weighted), desired, rtol=1e-3, atol=1e-4)
    anderson.clear()
    anderson.push(x, x + 1)
    np.testing.assert_allclose(to_numpy(anderson.extrapolate()), to_numpy(x + 1))


def test_lbfgs(backend, rng):
    A, b = _spd(rng, 6), rng.standard_normal(6)
    matrix, right = backend.arrays(A, b)
    xp = array_namespace(right)

    def value_and_gradient(x):
        return 0.5 * xp.sum(x * (matrix @ x)) - xp.sum(right * x), matrix @ x - right

    # Values near 1 resolve gradients down to the square root of machine precision.
    result = lbfgs(value_and_gradient, xp.zeros_like(right), tol=1e-7, max_iter=200)
    assert result.gradient_norm <= 1e-7
    assert_xp_close(result.x, np.linalg.solve(A, b), like=right, rtol=1e-5)
    bounded = lbfgs(
        value_and_gradient,
        xp.zeros_like(right),
        tol=1e-9,
        max_iter=200,
        bounds=(0, None),
    )
    assert np.min(to_numpy(bounded.x)) >= 0
