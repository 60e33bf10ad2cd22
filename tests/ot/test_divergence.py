# SPDX-License-Identifier: BSD-3-Clause
"""Sinkhorn divergence: sign, zero, closed form, gradients, masses, arrays."""

import math

import numpy as np
import pytest

from numopt._array.namespace import to_numpy
from numopt.exceptions import ConvergenceWarning
from numopt.ot import sinkhorn, sinkhorn_divergence
from tests.backends import assert_xp_close

METRICS = ["sqeuclidean", "euclidean", "cityblock", "cosine"]


def _clouds(rng, n=30, m=25, d=2):
    return rng.random((n, d)) + 0.5, rng.random((m, d)) * 1.3 + 0.6


@pytest.mark.parametrize("reg_m", [None, 0.5])
@pytest.mark.parametrize("metric", METRICS)
def test_not_negative_and_zero_for_equal_clouds(rng, metric, reg_m):
    X, Y = _clouds(rng)
    for reg in (1.0, 0.05):
        options = {"metric": metric, "reg_m": reg_m}
        assert sinkhorn_divergence(X, X, reg, **options).value == 0.0
        shuffled = X[rng.permutation(len(X))]
        result = sinkhorn_divergence(X, shuffled, reg, tol=1e-9, **options)
        assert result.value == pytest.approx(0.0, abs=1e-8 * reg)
        assert sinkhorn_divergence(X, Y, reg, **options).value > 1e-4
        for size in (1e-3, 1e-5):
            near = X + size * rng.standard_normal(X.shape)
            value = sinkhorn_divergence(X, near, reg, tol=1e-10, **options).value
            assert value >= -1e-12


def test_parts_are_transport_values(rng):
    X, Y = _clouds(rng)
    reg = 0.1
    result = sinkhorn_divergence(X, Y, reg)
    pairs = ((X, Y), (X, X), (Y, Y))
    values = []
    for x, y in pairs:
        M = np.sum((x[:, None] - y) ** 2, axis=-1)
        values.append(sinkhorn(None, None, M, reg).value)
    ours = (result.value_xy, result.value_xx, result.value_yy)
    np.testing.assert_allclose(ours, values, atol=1e-8)
    expected = values[0] - 0.5 * (values[1] + values[2])
    assert result.value == pytest.approx(expected, abs=1e-8)
    assert result.converged
    assert result.marginal_error <= 1e-8


@pytest.mark.parametrize("reg", [0.5, 2.0])
def test_gaussians_on_the_line(reg):
    """Janati et al. (2020), theorem 1; the shift enters as its square."""
    x = np.linspace(-7, 8, 300)[:, None]

    def weights(mean, s):
        w = np.exp(-0.5 * ((x[:, 0] - mean) / s) ** 2)
        return w / w.sum()

    def value(s, t):
        half = reg / 2
        D = math.sqrt(4 * s**2 * t**2 + half**2)
        entropy = half * (1 - math.log(2 * half)) + half * math.log(D + half)
        return s**2 + t**2 - D + entropy

    s, t, shift = 1.0, 1.3, 0.7
    exact = shift**2 + value(s, t) - 0.5 * (value(s, s) + value(t, t))
    result = sinkhorn_divergence(x, x, reg, a=weights(0, s), b=weights(shift, t))
    assert result.value == pytest.approx(exact, abs=1e-5)


@pytest.mark.parametrize("reg_m", [None, 0.5])
@pytest.mark.parametrize("metric", METRICS)
def test_gradients_by_differences(rng, metric, reg_m):
    X, Y = _clouds(rng, 8, 7, 3)
    a, b = rng.random(8) + 0.5, rng.random(7) + 0.5
    b = b * (a.sum() / b.sum())
    options = {"metric": metric, "reg_m": reg_m, "a": a, "b": b, "tol": 1e-11}
    result = sinkhorn_divergence(X, Y, 0.2, warn=False, **options)
    h = 1e-5
    for _ in range(3):
        dX, dY = rng.standard_normal(X.shape), rng.standard_normal(Y.shape)
        up, down = (
            sinkhorn_divergence(X + t * dX, Y + t * dY, 0.2, warn=False, **options)
            for t in (h, -h)
        )
        slope = np.sum(result.grad_X * dX) + np.sum(result.grad_Y * dY)
        difference = (up.value - down.value) / (2 * h)
        assert slope == pytest.approx(difference, rel=1e-5, abs=1e-6)


def test_masses_may_differ_when_unbalanced(rng):
    X, Y = _clouds(rng)
    one = sinkhorn_divergence(X, X, 0.1, a=np.ones(30), b=2 * np.ones(30), reg_m=1.0)
    assert one.value > 0.1
    with pytest.raises(ValueError, match="sum"):
        sinkhorn_divergence(X, Y, 0.1, a=np.ones(30), b=np.ones(25))


def test_zero_weights_do_not_matter(rng):
    X, Y = _clouds(rng)
    a = np.where(np.arange(30) % 3 == 0, 0.0, 1.0)
    a /= a.sum()
    whole = sinkhorn_divergence(X, Y, 0.05, a=a)
    part = sinkhorn_divergence(X[a > 0], Y, 0.05, a=a[a > 0])
    assert whole.value == pytest.approx(part.value, abs=1e-8)
    assert np.all(whole.grad_X[a == 0] == 0.0)


def test_small_reg_warm_start_and_warning(rng):
    X, Y = _clouds(rng)
    cold = sinkhorn_divergence(X, Y, 1e-3)
    assert cold.converged
    warm = sinkhorn_divergence(X + 1e-4, Y, 1e-3, warmstart=cold)
    assert warm.n_iter < cold.n_iter
    assert warm.converged
    with pytest.warns(ConvergenceWarning, match="sinkhorn_divergence"):
        sinkhorn_divergence(X, Y, 1e-3, max_iter=2)


def test_descent_reaches_the_target(rng):
    X, Y = _clouds(rng, 20, 20)
    first = result = sinkhorn_divergence(X, Y, 0.02)
    for _ in range(15):
        X = X - 0.5 * 20 * result.grad_X
        result = sinkhorn_divergence(X, Y, 0.02, warmstart=result)
    assert result.value < 0.01 * first.value


def test_arrays_of_any_library(backend, rng):
    X, Y = _clouds(rng, 12, 9)
    X_xp, Y_xp = backend.arrays(X, Y)
    for reg_m in (None, 1.0):
        expected = sinkhorn_divergence(X, Y, 0.2, reg_m=reg_m)
        result = sinkhorn_divergence(X_xp, Y_xp, 0.2, reg_m=reg_m)
        assert result.value == pytest.approx(expected.value, abs=1e-7)
        assert_xp_close(result.grad_X, expected.grad_X, like=X_xp, atol=1e-6)
    single = sinkhorn_divergence(*backend.arrays(X, Y, dtype=np.float32), 0.2)
    assert single.grad_X.dtype == backend.xp.float32
    assert np.all(np.isfinite(to_numpy(single.grad_X)))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"X": np.ones(3)}, "`X`"),
        ({"Y": np.ones((3, 5))}, "dimension"),
        ({"Y": np.ones((3, 5)), "reg_m": 1.0}, "`Y`"),
        ({"X": np.full((4, 2), np.nan)}, "`X`"),
        ({"reg": 0.0}, "`reg`"),
        ({"reg_m": -1.0}, "`reg_m`"),
        ({"metric": "l3"}, "`metric`"),
        ({"metric": "l3", "reg_m": 1.0}, "`metric`"),
        ({"warmstart": 1}, "`warmstart`"),
        ({"tol": -1.0}, "`tol`"),
    ],
)
def test_bad_input(change, words):
    arguments = {"X": np.ones((4, 2)), "Y": np.zeros((3, 2)), "reg": 0.1} | change
    with pytest.raises(ValueError, match=words):
        sinkhorn_divergence(**arguments)
