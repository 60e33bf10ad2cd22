# SPDX-License-Identifier: BSD-3-Clause
"""Total variation: against brute force, in every array library, in float32."""

import numpy as np
import pytest

import numopt
import numopt.bilevel as bl
from numopt._array.namespace import to_numpy
from numopt.bilevel._kernels.total_variation import (
    tv_curvature,
    tv_gradient,
    tv_products,
)
from tests.bilevel.problems import photograph


def brute_force(x, y, lam, nu, isotropic):
    """The objective pixel by pixel."""
    total = 0.5 * np.sum((x - y) ** 2)
    H, W = x.shape
    for i in range(H):
        for j in range(W):
            u = x[i + 1, j] - x[i, j] if i + 1 < H else 0.0
            w = x[i, j + 1] - x[i, j] if j + 1 < W else 0.0
            if isotropic:
                total += lam * (np.sqrt(u * u + w * w + nu * nu) - nu)
            else:
                total += lam * (np.hypot(u, nu) + np.hypot(w, nu) - 2 * nu)
    return total


@pytest.mark.parametrize("isotropic", [True, False])
def test_values_are_those_of_the_formula(isotropic):
    y, x = photograph(5, 7)
    values, _ = tv_gradient(x[None], y[None], 0.3, 0.05, isotropic)
    desired = brute_force(x, y, 0.3, 0.05, isotropic)
    assert values[0] == pytest.approx(desired, rel=1e-12)


@pytest.mark.parametrize("shape", [(1, 2, 2), (2, 2, 9), (1, 7, 3)])
@pytest.mark.parametrize("isotropic", [True, False])
def test_products_are_symmetric_derivatives(shape, isotropic, rng):
    x, y, u, v = (rng.normal(size=shape) for _ in range(4))
    lam, nu, h = 0.2, 0.3, 1e-6
    a = tv_curvature(x, nu, isotropic)
    product = tv_products(u, a, lam)
    assert np.sum(v * product) == pytest.approx(np.sum(tv_products(v, a, lam) * u))
    up = tv_gradient(x + h * u, y, lam, nu, isotropic)[1]
    down = tv_gradient(x - h * u, y, lam, nu, isotropic)[1]
    np.testing.assert_allclose((up - down) / (2 * h), product, atol=1e-7)


def test_images_do_not_depend_on_each_other():
    y, clean = photograph(20, 24)
    stack = np.stack([y, y[::-1], 0.5 * y])
    theta = np.array([-2.5, -3.5])
    together = bl.TVDenoisingProblem(stack, np.stack([clean] * 3))
    whole = bl.solve_lower(together, theta, tol=1e-7)
    for i in range(3):
        one = bl.TVDenoisingProblem(stack[i], clean)
        single = bl.solve_lower(one, theta, tol=1e-7)
        np.testing.assert_allclose(whole.x[i], single.x[0], atol=1e-6)


def test_threads_change_no_bit():
    noisy, clean = photograph(120, 160)
    problem = bl.TVDenoisingProblem(noisy, clean)
    answers = []
    for count in (1, 2):
        with numopt.config_context(num_threads=count):
            answers.append(bl.hypergradient(problem, [-3.0, -3.0], tol=1e-2).gradient)
    np.testing.assert_array_equal(*answers)


def test_array_libraries(backend):
    noisy, clean = photograph(12, 10)
    desired = bl.TVDenoisingProblem(noisy, clean)
    problem = bl.TVDenoisingProblem(*backend.arrays(noisy, clean))
    one = bl.hypergradient(desired, desired.theta0, tol=1e-6)
    two = bl.hypergradient(problem, problem.theta0, tol=1e-6)
    np.testing.assert_allclose(to_numpy(two.x), one.x, atol=1e-10)
    np.testing.assert_allclose(to_numpy(two.gradient), one.gradient, rtol=1e-8)
    assert two.certified


def test_single_precision_stays():
    noisy, clean = (one.astype(np.float32) for one in photograph(24, 24))
    problem = bl.TVDenoisingProblem(noisy, clean)
    result = bl.maid(problem, problem.theta0, max_step=1.0, ftol=1e-3, tau=0.1)
    assert result.x.dtype == np.float32
    assert result.theta.dtype == np.float64
    double = bl.TVDenoisingProblem(*photograph(24, 24))
    other = bl.maid(double, double.theta0, max_step=1.0, ftol=1e-3, tau=0.1)
    assert result.value == pytest.approx(other.value, rel=1e-3)


def test_smooth_limit_is_that_of_chambolle():
    restoration = pytest.importorskip("skimage.restoration")
    noisy, clean = photograph(32, 32)
    peer = restoration.denoise_tv_chambolle(
        noisy, weight=0.07, eps=1e-8, max_num_iter=5000
    )
    problem = bl.TVDenoisingProblem(noisy, clean)
    for nu, most in ((1e-2, 1e-2), (1e-3, 2e-3)):
        theta = np.log([0.07, nu])
        x = bl.solve_lower(problem, theta, tol=1e-3, max_iter=20_000).x[0]
        assert np.sqrt(np.mean((x - peer) ** 2)) < most


def test_learned_weight_beats_a_grid():
    noisy, clean = photograph(40, 40)
    problem = bl.TVDenoisingProblem(noisy, clean)
    result = bl.maid(problem, [-5.0, -5.0], max_step=1.0, ftol=1e-5)
    assert result.certified
    grid = [
        bl.hypergradient(problem, [a, result.theta[1]], tol=1e-2).value
        for a in np.linspace(-4, -1.5, 12)
    ]
    assert result.value <= min(grid) * (1 + 1e-3)


@pytest.mark.parametrize(
    ("noisy", "clean", "words"),
    [
        (np.zeros((4, 4)), np.zeros((4, 5)), r"`clean` must be of the shape"),
        (np.zeros((1, 4)), np.zeros((1, 4)), r"`noisy` must be at least 2 x 2"),
        (np.zeros(4), np.zeros(4), r"`noisy` must be \(H, W\)"),
        (np.zeros((0, 4, 4)), np.zeros((0, 4, 4)), "non-empty"),
        (np.full((4, 4), np.nan), np.zeros((4, 4)), r"`noisy` must be finite"),
        (np.zeros((4, 4)), np.full((4, 4), np.inf), r"`clean` must be finite"),
    ],
)
def test_bad_images(noisy, clean, words):
    with pytest.raises(ValueError, match=words):
        bl.TVDenoisingProblem(noisy, clean)
