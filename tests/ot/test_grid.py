# SPDX-License-Identifier: BSD-3-Clause
"""Transport between images: closed forms, the dense solver, memory, bad input."""

import math
import tracemalloc

import numpy as np
import pytest

from numopt._array.namespace import to_numpy
from numopt.exceptions import ConvergenceWarning
from numopt.ot import sinkhorn, sinkhorn_grid
from tests.backends import assert_xp_close

TOL = 1e-9


def _images(rng, shape, *, holes=True):
    """Two random images; a third of their pixels are empty."""
    images = []
    for _ in range(2):
        image = rng.random(shape) + 0.1
        image = np.where(rng.random(shape) < 0.3, 0.0, image) if holes else image
        images.append(image / image.sum())
    return images


def _cost(shape, p, spacing=None):
    """Cost between flattened pixels, as a matrix."""
    spacing = spacing or [1 / max(1, n - 1) for n in shape]
    axes = [h * np.arange(n) for n, h in zip(shape, spacing, strict=True)]
    x = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(shape))
    return np.sum(np.abs(x[:, None] - x) ** p, axis=-1), x


@pytest.mark.parametrize("method", ["newton", "sinkhorn"])
@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("shape", [(70,), (9, 7), (5, 4, 6), (1, 8)])
def test_agrees_with_the_dense_solver(rng, shape, p, method):
    a, b = _images(rng, shape)
    M, x = _cost(shape, p)
    reg = 0.02
    grid = sinkhorn_grid(a, b, reg, p=p, method=method, tol=TOL, max_iter=20_000)
    dense = sinkhorn(a.ravel(), b.ravel(), M, reg, tol=TOL)
    assert grid.converged
    plan = grid.plan
    np.testing.assert_allclose(plan, dense.plan, atol=20 * TOL)
    error = np.abs(plan.sum(axis=1) - a.ravel()).sum()
    error += np.abs(plan.sum(axis=0) - b.ravel()).sum()
    assert error <= TOL + 1e-12
    assert grid.marginal_error == pytest.approx(error, abs=1e-12)
    # Plans may differ by TOL each, in entries that cost at most the range of M.
    slack = 10 * TOL * M.max()
    assert grid.value == pytest.approx(dense.value, abs=slack)
    assert grid.value_linear == pytest.approx(np.sum(plan * M), abs=1e-12)
    assert grid.dual_value <= grid.value + slack
    np.testing.assert_allclose(
        grid.barycentric().reshape(-1, len(shape))[a.ravel() > 0],
        (plan @ x / np.maximum(plan.sum(axis=1), 1e-300)[:, None])[a.ravel() > 0],
        atol=1e-10,
    )
    gradient = (grid.grad_a - grid.grad_a.mean()).ravel()
    expected = dense.grad_a - dense.grad_a.mean()
    np.testing.assert_allclose(gradient, expected, atol=1e-5)


def test_products_are_those_of_the_plan(rng):
    shape = (8, 11)
    a, b = _images(rng, shape)
    result = sinkhorn_grid(a, b, 1e-2, spacing=(0.1, 0.2))
    plan = result.plan
    for V in (rng.standard_normal(shape), rng.standard_normal((*shape, 3))):
        flat = V.reshape(88, -1)
        for ours, theirs in (
            (result.apply(V), plan @ flat),
            (result.apply_t(V), plan.T @ flat),
        ):
            np.testing.assert_allclose(ours.reshape(88, -1), theirs, atol=1e-12)
    M, _ = _cost(shape, 2, (0.1, 0.2))
    assert result.value_linear == pytest.approx(np.sum(plan * M), rel=1e-9)
    entropy = np.where(plan > 0, np.log(np.maximum(plan, 1e-300)), 0.0)
    reference = np.log(np.maximum(np.outer(a, b), 1e-300))
    relative = np.sum(plan * (entropy - reference) - plan) + 1.0
    assert result.value == pytest.approx(np.sum(plan * M) + 1e-2 * relative, rel=1e-8)


@pytest.mark.parametrize("reg", [0.5, 2.0])
def test_gaussians_in_the_plane(reg):
    """Janati et al. (2020), theorem 1: independent axes add their values."""

    def exact(s, t, shift):
        half = reg / 2
        D = math.sqrt(4 * s**2 * t**2 + half**2)
        entropy = half * (1 - math.log(2 * half)) + half * math.log(D + half)
        return shift**2 + s**2 + t**2 - D + entropy, (D - half) / 2

    x = np.linspace(-8, 9, 160)

    def bump(mean, s):
        density = np.exp(-0.5 * ((x - mean) / s) ** 2)
        return density / density.sum()

    a = np.outer(bump(0, 1.0), bump(0.3, 0.8))
    b = np.outer(bump(0.7, 1.5), bump(0, 1.0))
    result = sinkhorn_grid(a, b, reg, spacing=x[1] - x[0])
    values = exact(1.0, 1.5, 0.7), exact(0.8, 1.0, 0.3)
    # The grid cuts tails of 5e-8 off.
    assert result.value == pytest.approx(values[0][0] + values[1][0], abs=1e-5)
    mean = np.sum(a * x[:, None]), np.sum(b * x[:, None])
    moved = result.apply(np.broadcast_to((x - mean[1])[:, None], a.shape))
    covariance = np.sum((x - mean[0])[:, None] * moved)
    assert covariance == pytest.approx(values[0][1], abs=1e-5)


def test_distance_on_a_long_line():
    """W1 on the line is the area between distribution functions."""
    n = 3000
    x = np.linspace(0, 1, n)
    a, b = np.exp(-50 * (x - 0.3) ** 2), np.exp(-90 * (x - 0.6) ** 2)
    a, b = a / a.sum(), b / b.sum()
    exact = np.sum(np.abs(np.cumsum(a - b))) / (n - 1)
    result = sinkhorn_grid(a, b, 1e-3, p=1, tol=1e-7)
    assert result.converged
    assert exact - 1e-7 <= result.value_linear <= exact + 1e-3 * math.log(n)


@pytest.mark.parametrize("p", [1, 2])
def test_large_displacements_at_small_reg(p):
    """Exponents here leave the range of exp within single blocks of a line."""
    n = 40
    bump = np.exp(-0.5 * ((np.arange(n) - 4) / 1.5) ** 2)
    a = np.outer(bump, bump)
    a /= a.sum()
    b = a[::-1, ::-1]
    result = sinkhorn_grid(a, b, 3e-4, p=p, tol=1e-6)
    assert result.converged
    shift = 2 * (31 / 39) ** p
    assert result.value_linear == pytest.approx(shift, rel=0.02)
    assert np.all(np.isfinite(result.f))
    assert np.all(np.isfinite(result.g))


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("shape", [(13,), (30,), (11, 3), (12, 12), (4, 3, 5)])
def test_parts_that_hardly_exchange_mass_slide_far_in_one_step(shape, p):
    """Nearly rigid plans: weights over decades, costs that tie, small reg."""
    rng = np.random.default_rng(7)
    a, b = 10.0 ** rng.uniform(-12, 0, (2, *shape))
    result = sinkhorn_grid(a / a.sum(), b / b.sum(), 3e-5, p=p)
    assert result.converged
    assert result.n_iter < 500
    even = sinkhorn_grid(np.ones(shape) / a.size, b / b.sum(), 3e-5, p=p)
    assert even.converged
    assert even.n_iter < 500


def test_mass_dtype_and_shift_of_potentials(rng):
    a, b = _images(rng, (6, 6))
    one = sinkhorn_grid(a, b, 0.05)
    many = sinkhorn_grid(7 * a, 7 * b, 0.05)
    dense = sinkhorn(7 * a.ravel(), 7 * b.ravel(), _cost((6, 6), 2)[0], 0.05)
    np.testing.assert_allclose(many.plan, 7 * one.plan, atol=1e-7)
    assert many.value == pytest.approx(dense.value, abs=1e-6)
    assert many.dual_value == pytest.approx(dense.dual_value, abs=1e-6)
    assert many.value_linear == pytest.approx(7 * one.value_linear, abs=1e-6)
    single = sinkhorn_grid(a.astype(np.float32), b.astype(np.float32), 0.05)
    assert single.f.dtype == single.plan.dtype == np.float32
    np.testing.assert_allclose(single.plan, one.plan, atol=1e-6)


def test_warm_start_and_callback(rng):
    a, b = _images(rng, (12, 12), holes=False)
    cold = sinkhorn_grid(a, b, 5e-3)
    seen = []
    warm = sinkhorn_grid(
        a, b, 5e-3, warmstart=cold, callback=lambda info: seen.append(info.eps)
    )
    assert warm.n_passes <= 3
    assert seen[-1] == 5e-3
    pair = sinkhorn_grid(a, b, 5e-3, warmstart=(cold.f, cold.g))
    assert pair.n_passes <= 3
    stopped = sinkhorn_grid(a, b, 5e-3, callback=lambda info: True)
    assert stopped.status == "callback"
    with pytest.warns(ConvergenceWarning, match="sinkhorn_grid"):
        short = sinkhorn_grid(a, b, 5e-3, max_iter=1)
    assert not short.converged
    assert np.all(np.isfinite(short.plan))


@pytest.mark.parametrize(
    ("n", "reg", "most"),
    [
        (96, 1e-2, 8 * 96**4 / 20),  # a part of the bytes of a matrix
        pytest.param(256, 1e-3, 1e9, marks=pytest.mark.slow),
    ],
)
def test_large_images_need_no_matrix(n, reg, most):
    x = np.linspace(0, 1, n)
    a = 0.01 + np.exp(-60 * ((x[:, None] - 0.3) ** 2 + (x - 0.4) ** 2))
    b = 0.01 + np.exp(-40 * ((x[:, None] - 0.7) ** 2 + (x - 0.5) ** 2))
    tracemalloc.start()
    result = sinkhorn_grid(a / a.sum(), b / b.sum(), reg, tol=1e-8)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert result.converged
    assert peak < most
    with pytest.raises(ValueError, match="apply"):
        _ = result.plan


def test_arrays_of_any_library(backend, rng):
    a, b = _images(rng, (7, 5))
    expected = sinkhorn_grid(a, b, 0.05, tol=1e-10)
    a_xp, b_xp = backend.arrays(a, b)
    result = sinkhorn_grid(a_xp, b_xp, 0.05, tol=1e-10)
    assert result.converged
    f = expected.f - expected.f[0, 0] + float(to_numpy(result.f)[0, 0])
    assert_xp_close(result.f, f, like=a_xp, atol=1e-6)
    assert_xp_close(result.plan, expected.plan, like=a_xp, atol=1e-8)
    assert_xp_close(result.apply(b_xp), expected.apply(b), like=a_xp, atol=1e-8)
    assert result.value == pytest.approx(expected.value, abs=1e-8)
    assert result.value_linear == pytest.approx(expected.value_linear, abs=1e-8)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"a": np.ones((2, 2, 2, 2))}, ValueError, "`a` must be 1-D, 2-D or 3-D"),
        ({"b": np.ones((3, 5))}, ValueError, "`b`"),
        ({"b": 2 * np.ones((4, 5))}, ValueError, "sum"),
        ({"a": np.zeros((4, 5))}, ValueError, "`a`"),
        ({"a": -np.ones((4, 5))}, ValueError, "`a`"),
        ({"b": np.full((4, 5), np.nan)}, ValueError, "`b`"),
        ({"reg": 0.0}, ValueError, "`reg`"),
        ({"p": 3}, ValueError, "`p` must be 1 or 2"),
        ({"spacing": (1.0, 2.0, 3.0)}, ValueError, "`spacing`"),
        ({"spacing": -1.0}, ValueError, "`spacing`"),
        ({"method": "sns"}, ValueError, "'newton', 'sinkhorn'"),
        ({"warmstart": 3}, TypeError, "`warmstart`"),
        ({"warmstart": (np.ones(3), np.ones(3))}, ValueError, "`warmstart`"),
        ({"a": np.ones((4, 5), complex)}, TypeError, "`a`"),
    ],
)
def test_bad_input(change, error, words):
    arguments = {"a": np.ones((4, 5)), "b": np.ones((4, 5)), "reg": 0.1} | change
    with pytest.raises(error, match=words):
        sinkhorn_grid(**arguments)
