# SPDX-License-Identifier: BSD-3-Clause
"""Barycenters: closed forms, mass, agreement of matrix and grid, arrays, bad input."""

import numpy as np
import pytest

from numopt.exceptions import ConvergenceWarning
from numopt.ot import barycenter, barycenter_grid
from tests.backends import assert_xp_close

S = 0.05


def _bumps(n=150, means=(0.3, 0.45, 0.7)):
    """Gaussians of standard deviation S on the unit interval, and the cost."""
    x = np.linspace(0, 1, n)
    A = np.exp(-0.5 * ((x[:, None] - np.asarray(means)) / S) ** 2)
    return x, A / A.sum(axis=0), (x[:, None] - x) ** 2


def _moments(x, b):
    mean = x @ b
    return mean, np.sqrt((x - mean) ** 2 @ b)


@pytest.mark.parametrize("debiased", [False, True])
@pytest.mark.parametrize("on_grid", [False, True])
def test_gaussians_on_the_line(on_grid, debiased):
    """Janati et al. (2020): std sqrt(s^2 + reg / 2), or s itself when debiased."""
    reg, weights = 2e-3, np.array([0.5, 0.3, 0.2])
    x, A, M = _bumps()
    if on_grid:
        result = barycenter_grid(A.T, reg, weights, debiased=debiased)
    else:
        result = barycenter(A, M, reg, weights, debiased=debiased)
    assert result.converged
    mean, std = _moments(x, result.barycenter)
    # Errors of tol in the column sums, on the unit interval.
    atol = 2e-5 if debiased else 1e-6
    assert mean == pytest.approx(weights @ [0.3, 0.45, 0.7], abs=atol)
    exact = S if debiased else np.sqrt(S**2 + reg / 2)
    assert std == pytest.approx(exact, abs=atol)
    assert result.barycenter.sum() == pytest.approx(1.0, abs=1e-12)
    peak = np.exp(-0.5 * ((x - mean) / exact) ** 2)
    np.testing.assert_allclose(result.barycenter, peak / peak.sum(), atol=2e-5)


@pytest.mark.parametrize("reg", [1e-2, 3e-4])
def test_gaussians_in_the_plane(reg):
    n = 48
    x = np.linspace(0, 1, n)

    def bump(mean):
        return np.exp(-0.5 * ((x - mean) / S) ** 2)

    images = np.stack([np.outer(bump(0.3), bump(0.6)), np.outer(bump(0.6), bump(0.4))])
    images /= images.sum(axis=(1, 2), keepdims=True)
    result = barycenter_grid(images, reg, tol=1e-8)
    assert result.converged
    mean, std = _moments(x, result.barycenter.sum(axis=1))
    assert mean == pytest.approx(0.45, abs=1e-3)
    assert std == pytest.approx(np.sqrt(S**2 + reg / 2), rel=0.01)


def _boxes(n, width, *corners):
    """Boxes of one size in an image with as many axes as a corner has places."""
    boxes = np.zeros((len(corners), *[n] * len(corners[0])))
    for image, corner in zip(boxes, corners, strict=True):
        image[tuple(slice(start, start + width) for start in corner)] = 1.0
    return boxes / width ** len(corners[0])


@pytest.mark.parametrize("reg", [1e-2, 1e-3, 1e-4])
@pytest.mark.parametrize("on_grid", [False, True])
def test_debiased_boxes_on_the_line(on_grid, reg):
    """Translates have their translate as mean; edges are seen where the blur is fine.

    The divergence is flat in what is finer than the blur: there the mean is tested by
    its objective.
    """
    from numopt.ot import sinkhorn

    n = 100
    boxes = _boxes(n, 20, (10,), (60,), (35,))
    ends, middle = boxes[:2], boxes[2]
    x = np.linspace(0, 1, n)
    M = (x[:, None] - x) ** 2
    if on_grid:
        result = barycenter_grid(ends, reg, debiased=True)
    else:
        result = barycenter(ends.T, M, reg, debiased=True)
    assert result.converged
    mean, std = _moments(x, result.barycenter)
    np.testing.assert_allclose((mean, std), _moments(x, middle), atol=1e-4)

    def objective(b):
        mixed = sum(sinkhorn(a, b, M, reg, tol=1e-11).value for a in ends)
        return 0.5 * (mixed - sinkhorn(b, b, M, reg, tol=1e-11).value)

    assert abs(objective(result.barycenter) - objective(middle)) < 5e-6 * reg
    if reg == 1e-4:
        np.testing.assert_allclose(result.barycenter, middle, atol=5e-5)


@pytest.mark.parametrize(("reg", "atol"), [(3e-3, 2e-4), (1e-3, 5e-5), (1e-4, 1e-8)])
def test_debiased_boxes_in_the_plane(reg, atol):
    boxes = _boxes(32, 8, (4, 4), (16, 12), (10, 8))
    result = barycenter_grid(boxes[:2], reg, debiased=True)
    assert result.converged
    np.testing.assert_allclose(result.barycenter, boxes[2], atol=atol)
    # Coefficients move the mean along the line between both.
    boxes = _boxes(32, 8, (4, 4), (16, 12), (7, 6))
    result = barycenter_grid(boxes[:2], reg, [0.75, 0.25], debiased=True)
    assert result.converged
    np.testing.assert_allclose(result.barycenter, boxes[2], atol=atol)


@pytest.mark.parametrize("reg", [1e-2, 1e-3])
def test_debiased_gaussians_in_the_plane_keep_their_width(reg):
    n = 48
    x = np.linspace(0, 1, n)
    bump = np.exp(-0.5 * ((x - np.array([[0.35], [0.65], [0.5]])) / S) ** 2)
    images = np.stack([np.outer(bump[0], bump[1]), np.outer(bump[1], bump[2])])
    images /= images.sum(axis=(1, 2), keepdims=True)
    result = barycenter_grid(images, reg, debiased=True)
    assert result.converged
    for axis, middle in ((1, 0.5), (0, 0.575)):
        mean, std = _moments(x, result.barycenter.sum(axis=axis))
        np.testing.assert_allclose((mean, std), (middle, S), atol=1e-4)


def test_grid_and_matrix_agree(rng):
    images = rng.random((3, 6, 5))
    images[0, :2] = 0.0
    images /= images.sum(axis=(1, 2), keepdims=True)
    axes = np.linspace(0, 1, 6), np.linspace(0, 1, 5)
    x = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
    M = np.sum((x[:, None] - x) ** 2, axis=-1)
    for debiased in (False, True):
        grid = barycenter_grid(images, 0.02, debiased=debiased)
        dense = barycenter(images.reshape(3, -1).T, M, 0.02, debiased=debiased)
        ours, theirs = grid.barycenter.ravel(), dense.barycenter
        atol = 1e-3 if debiased else 1e-7
        np.testing.assert_allclose(ours, theirs, atol=atol)
        assert grid.value == pytest.approx(dense.value, abs=atol)


def test_plans_carry_every_histogram_to_the_mean(rng):
    A = rng.random((12, 3))
    A /= A.sum(axis=0)
    M = rng.random((12, 12))  # not symmetric
    result = barycenter(A, M, 0.05, [1, 2, 1], tol=1e-10)
    z = result.f[:, None, :] + result.g[None, :, :] - M[:, :, None]
    plans = np.exp(z / 0.05)
    np.testing.assert_allclose(plans.sum(axis=1), A, atol=1e-10)
    error = np.abs(plans.sum(axis=0) - result.barycenter[:, None]).sum(axis=0)
    assert error @ [0.25, 0.5, 0.25] <= 2e-10
    assert result.barycenter.sum() == pytest.approx(1.0, abs=1e-12)
    entropy = np.sum(plans * np.log(plans), axis=(0, 1))
    cost = np.sum(plans * M[:, :, None], axis=(0, 1))
    value = (cost + 0.05 * entropy) @ [0.25, 0.5, 0.25]
    assert result.value == pytest.approx(value, abs=1e-8)


def test_minimum_over_perturbations(rng):
    """The mean beats other histograms in the objective, solved by ``sinkhorn``."""
    from numopt.ot import sinkhorn

    _, A, M = _bumps(40)
    reg = 5e-3
    result = barycenter(A, M, reg)

    def objective(b):
        total = 0.0
        for a in A.T:
            value = sinkhorn(a, b, M, reg).value
            entropy_a = np.where(a > 0, np.log(np.maximum(a, 1e-300)), 0.0)
            total += value + reg * (b @ np.log(b) + a @ entropy_a)
        return total / 3

    best = objective(result.barycenter)
    assert best == pytest.approx(result.value, abs=1e-7)
    for _ in range(3):
        other = result.barycenter * np.exp(0.1 * rng.standard_normal(40))
        assert objective(other / other.sum()) > best


def test_single_weight_mass_and_rectangular_cost(rng):
    _, A, M = _bumps(60)
    alone = barycenter(A, M, 1e-3, [0, 1, 0], debiased=True)
    np.testing.assert_allclose(alone.barycenter, A[:, 1], atol=1e-4)
    heavy = barycenter(5 * A, M, 1e-3)
    light = barycenter(A, M, 1e-3)
    np.testing.assert_allclose(heavy.barycenter, 5 * light.barycenter, atol=1e-8)
    coarse = barycenter(A, M[:, ::3], 1e-2)
    assert coarse.barycenter.shape == (20,)
    assert coarse.barycenter.sum() == pytest.approx(1.0)


def test_small_reg_with_empty_points():
    x, A, M = _bumps(100)
    A = np.where(A > 1e-3, A, 0.0)
    A /= A.sum(axis=0)
    result = barycenter(A, M, 1e-4, tol=1e-8)
    assert result.converged
    assert np.all(np.isfinite(result.barycenter))
    mean, std = _moments(x, result.barycenter)
    assert mean == pytest.approx(np.mean(x @ A), abs=1e-3)
    assert std == pytest.approx(S, rel=0.1)


def test_warm_start_callback_and_warning():
    _, A, M = _bumps(60)
    cold = barycenter(A, M, 2e-3)
    assert barycenter(A, M, 2e-3, warmstart=cold).n_passes <= 2
    grid = barycenter_grid(A.T, 2e-3)
    assert barycenter_grid(A.T, 2e-3, warmstart=grid).n_passes <= 2
    assert barycenter(A, M, 2e-3, callback=lambda info: True).status == "callback"
    with pytest.warns(ConvergenceWarning, match="barycenter"):
        short = barycenter(A, M, 2e-3, max_iter=1)
    assert np.all(np.isfinite(short.barycenter))


def test_arrays_of_any_library(backend, rng):
    _, A, M = _bumps(20)
    A_xp, M_xp = backend.arrays(A, M)
    for debiased, tol, atol in ((False, 1e-10, 1e-8), (True, 1e-3, 1e-2)):
        expected = barycenter(A, M, 1e-2, debiased=debiased, tol=tol)
        result = barycenter(A_xp, M_xp, 1e-2, debiased=debiased, tol=tol)
        assert_xp_close(result.barycenter, expected.barycenter, like=A_xp, atol=atol)
    (images,) = backend.arrays(A.T.reshape(3, 4, 5))
    expected = barycenter_grid(A.T.reshape(3, 4, 5), 1e-2, tol=1e-10)
    result = barycenter_grid(images, 1e-2, tol=1e-10)
    assert_xp_close(result.barycenter, expected.barycenter, like=A_xp, atol=1e-8)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"A": np.ones(5)}, "`A`"),
        ({"A": np.ones((5, 2)) * [1, 2]}, "sum"),
        ({"A": -np.ones((5, 2))}, "`A`"),
        ({"A": np.zeros((5, 2))}, "`A`"),
        ({"M": np.ones((4, 5))}, "`M`"),
        ({"M": np.full((5, 5), np.inf)}, "`M`"),
        ({"M": np.triu(np.ones((5, 5))), "debiased": True}, "symmetric"),
        ({"reg": -1.0}, "`reg`"),
        ({"weights": [1.0]}, "`weights`"),
        ({"weights": [1.0, -1.0]}, "`weights`"),
        ({"debiased": 2}, "`debiased`"),
        ({"warmstart": 3}, "`warmstart`"),
    ],
)
def test_bad_input(change, words):
    arguments = {"A": np.ones((5, 2)), "M": np.ones((5, 5)), "reg": 0.1} | change
    with pytest.raises(ValueError, match=words):
        barycenter(**arguments)


def test_bad_images():
    with pytest.raises(ValueError, match="`images`"):
        barycenter_grid(np.ones(4), 0.1)
    with pytest.raises(ValueError, match="1-D, 2-D or 3-D"):
        barycenter_grid(np.ones((2, 2, 2, 2, 2)), 0.1)
    with pytest.raises(ValueError, match="index 0"):
        barycenter_grid(np.stack([np.ones((3, 3)), np.zeros((3, 3))]), 0.1)
