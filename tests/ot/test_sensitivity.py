# SPDX-License-Identifier: BSD-3-Clause
"""Derivatives of functions of the plan, against differences."""

import numpy as np
import pytest

from numopt.ot import sinkhorn


def _random(rng, n, m):
    a, b = rng.random(n) + 0.1, rng.random(m) + 0.1
    return a / a.sum(), b / b.sum(), rng.random((n, m))


def _of_the_plan(a, b, M, reg, C):
    """A function of the plan that is not linear, and its gradient in the plan."""
    plan = sinkhorn(a, b, M, reg, tol=1e-13).plan
    return float(np.sum(C * plan**2)), 2 * C * plan


@pytest.mark.parametrize("mass", [1.0, 3.0])
def test_plan_vjp_by_finite_differences(rng, mass):
    a, b, M = _random(rng, 9, 7)
    a, b = mass * a, mass * b
    C, reg, h = rng.standard_normal(M.shape), 0.1, 1e-5
    _, G = _of_the_plan(a, b, M, reg, C)
    gradient = sinkhorn(a, b, M, reg, tol=1e-13).plan_vjp(G)

    def slope(da, db, dM):
        up, _ = _of_the_plan(a + h * da, b + h * db, M + h * dM, reg, C)
        down, _ = _of_the_plan(a - h * da, b - h * db, M - h * dM, reg, C)
        return (up - down) / (2 * h)

    dM = rng.standard_normal(M.shape)
    expected = slope(0, 0, dM)
    np.testing.assert_allclose(np.sum(gradient.grad_M * dM), expected, rtol=1e-5)
    da, db = (x - x.mean() for x in (rng.standard_normal(9), rng.standard_normal(7)))
    da, db = 0.1 * a.min() * da, 0.1 * b.min() * db
    np.testing.assert_allclose(gradient.grad_a @ da, slope(da, 0, 0), rtol=1e-5)
    np.testing.assert_allclose(gradient.grad_b @ db, slope(0, db, 0), rtol=1e-5)
    assert abs(gradient.grad_a @ a) <= 1e-12
    assert abs(gradient.grad_b @ b) <= 1e-12


def test_plan_vjp_of_empty_points_is_a_one_sided_derivative(rng):
    a, b, M = _random(rng, 6, 5)
    a[1], b[2] = 0.0, 0.0
    a, b = a / a.sum(), b / b.sum()
    C = rng.standard_normal(M.shape)
    value, G = _of_the_plan(a, b, M, 0.2, C)
    gradient = sinkhorn(a, b, M, 0.2, tol=1e-13).plan_vjp(G)
    for side, x, empty in ((0, a, 1), (1, b, 2)):
        h = 1e-6
        moved = (1 - h) * x
        moved[empty] += h
        weights = (moved, b) if side == 0 else (a, moved)
        up, _ = _of_the_plan(*weights, M, 0.2, C)
        np.testing.assert_allclose(
            gradient[1 + side][empty], (up - value) / h, rtol=1e-3
        )


def test_plan_vjp_needs_the_shape_of_the_plan(rng):
    result = sinkhorn(*_random(rng, 4, 3), 0.1)
    with pytest.raises(ValueError, match="`G` must be of shape"):
        result.plan_vjp(np.ones((3, 4)))


@pytest.mark.filterwarnings("error")
def test_plan_vjp_of_what_the_marginals_fix(rng):
    """Sums over rows and columns do not depend on the cost at all."""
    a, b, M = _random(rng, 30, 20)
    result = sinkhorn(a, b, M, 1e-2)
    row, column = rng.standard_normal(30), rng.standard_normal(20)
    for f, g in ((0 * row + 1, 0 * column), (row, column), (0 * row, 0 * column)):
        gradient = result.plan_vjp(f[:, None] + g)
        np.testing.assert_allclose(gradient.grad_M, 0.0, atol=1e-7)
        np.testing.assert_allclose(gradient.grad_a, f - f @ a, atol=1e-7)
        np.testing.assert_allclose(gradient.grad_b, g - g @ b, atol=1e-7)
