# SPDX-License-Identifier: BSD-3-Clause
"""Transport on the line and of projections: closed forms, peers, invariances."""

import math

import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from numopt.ot import (
    ot_exact,
    sliced_wasserstein,
    sliced_wasserstein_kernel,
    vmf_sliced_wasserstein,
    wasserstein_1d,
)


@pytest.mark.parametrize("p", [1, 1.5, 2, 3])
def test_line_equals_sorted_coupling(rng, p):
    x, y = rng.standard_normal(40), rng.standard_normal(40) + 1
    expected = np.mean(np.abs(np.sort(x) - np.sort(y)) ** p) ** (1 / p)
    np.testing.assert_allclose(wasserstein_1d(x, y, p=p), expected, rtol=1e-12)


@pytest.mark.parametrize("p", [1, 2])
def test_line_with_weights_equals_the_linear_program(rng, p):
    x, y = rng.standard_normal(15), rng.standard_normal(11)
    a, b = rng.random(15), rng.random(11)
    a[3] = b[0] = 0.0
    x[5] = x[6]  # ties
    exact = ot_exact(a / a.sum(), b / b.sum(), np.abs(x[:, None] - y) ** p).value
    np.testing.assert_allclose(
        wasserstein_1d(x, y, a=a, b=b, p=p), exact ** (1 / p), rtol=1e-10
    )
    if p == 1:
        scipy = wasserstein_distance(x, y, a, b)
        np.testing.assert_allclose(wasserstein_1d(x, y, a=a, b=b), scipy, rtol=1e-12)


def test_weights_mean_repetition(rng):
    x, y = rng.random(6), rng.random(5)
    repeats = np.array([1, 3, 2, 1, 4, 1])
    np.testing.assert_allclose(
        wasserstein_1d(x, y, a=repeats, p=2),
        wasserstein_1d(np.repeat(x, repeats), y, p=2),
        rtol=1e-12,
    )


def test_every_array_library(backend, rng):
    x, y = rng.random(30), rng.random(20)
    expected = wasserstein_1d(x, y, p=2)
    assert wasserstein_1d(*map(backend.asarray, (x, y)), p=2) == pytest.approx(expected)
    X, Y = rng.random((30, 3)), rng.random((20, 3)) + 0.2
    one = sliced_wasserstein(X, Y, random_state=0)
    other = sliced_wasserstein(*map(backend.asarray, (X, Y)), random_state=0)
    assert other == pytest.approx(one)
    options = {"n_projections": 5, "max_iter": 5, "random_state": 0}
    centre = vmf_sliced_wasserstein(*map(backend.asarray, (X, Y)), **options)
    same = vmf_sliced_wasserstein(X, Y, **options)
    assert centre.value == pytest.approx(same.value, rel=1e-6)


@pytest.mark.parametrize("projection", ["gaussian", "orthogonal", "sobol"])
def test_one_dimension_is_exact(rng, projection):
    X, Y = rng.random((20, 1)), rng.random((20, 1))
    sliced = sliced_wasserstein(X, Y, n_projections=3, projection=projection)
    assert sliced == pytest.approx(wasserstein_1d(X[:, 0], Y[:, 0], p=2))


@pytest.mark.parametrize("projection", ["gaussian", "orthogonal", "sobol"])
def test_translation_closed_form(rng, projection):
    # projections of a translation by t are translations: E <theta, t>^2 = |t|^2 / d
    X, t = rng.standard_normal((30, 4)), np.array([1.0, -2.0, 0.5, 3.0])
    values = [
        sliced_wasserstein(
            X, X + t, n_projections=64, projection=projection, random_state=k
        )
        for k in range(20)
    ]
    exact = np.linalg.norm(t) / 2
    assert np.mean(values) == pytest.approx(exact, rel=0.05)
    if projection == "orthogonal":  # whole blocks are exact
        np.testing.assert_allclose(values, exact, rtol=1e-10)


def test_identical_clouds_are_at_distance_zero(rng):
    X = rng.standard_normal((25, 3))
    assert sliced_wasserstein(X, X[::-1]) == pytest.approx(0.0, abs=1e-12)
    assert vmf_sliced_wasserstein(X, X).value == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("kappa", [10.0, 100.0, math.inf])
def test_ascent_finds_the_direction_of_a_translation(rng, kappa):
    X = rng.standard_normal((40, 6))
    t = np.array([0.0, 3.0, 0.0, 0.0, -4.0, 0.0])
    result = vmf_sliced_wasserstein(X, X + t, kappa=kappa, random_state=1)
    assert abs(result.direction @ t) / 5.0 > 0.97
    assert np.linalg.norm(result.direction) == pytest.approx(1.0)
    assert np.all(np.diff(result.history["objective"]) >= 0)
    if math.isinf(kappa):
        assert result.value == pytest.approx(5.0, rel=1e-6)


def test_max_sliced_bounds_the_average_from_above(rng):
    X, Y = rng.standard_normal((40, 3)), rng.standard_normal((30, 3)) * [1, 2, 1]
    worst = vmf_sliced_wasserstein(X, Y, kappa=math.inf, random_state=0).value
    assert worst > sliced_wasserstein(X, Y, n_projections=500, random_state=0)
    average = vmf_sliced_wasserstein(
        X, Y, kappa=0.0, n_projections=500, max_iter=1, random_state=0
    )
    uniform = sliced_wasserstein(X, Y, n_projections=500, random_state=0)
    assert average.value == pytest.approx(uniform, rel=0.1)


@pytest.mark.parametrize("p", [1.0, 2.0])
def test_gradient_of_the_ascent(rng, p):
    from numopt.ot._solvers.line import line_weights
    from numopt.ot._solvers.sliced import _noise, _Slices

    X, Y = rng.standard_normal((12, 4)), rng.standard_normal((9, 4))
    a, b = (line_weights("a", None, cloud, np) for cloud in (X, Y))
    slices = _Slices(X, Y, a, b, p, *_noise(rng, 8, 4, 5.0))
    mu = rng.standard_normal(4)
    mu /= np.linalg.norm(mu)
    _, gradient = slices.evaluate(mu)
    direction = rng.standard_normal(4)
    h = 1e-6
    up, down = (slices.evaluate(mu + s * h * direction)[0] for s in (1, -1))
    np.testing.assert_allclose(gradient @ direction, (up - down) / (2 * h), rtol=1e-6)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"X": [1.0, 2.0]}, r"`X` must be 2-D.*reshape\(-1, 1\)"),
        ({"X": [[1.0, 2.0]]}, "same number of columns"),
        ({"X": [[math.nan]]}, "`X` must be finite"),
        ({"a": [-1.0, 1.0]}, "`a` must be"),
        ({"a": [1.0]}, "`a` must be of shape"),
        ({"p": 0.5}, "`p` must be"),
        ({"n_projections": 0}, "`n_projections` must be"),
        ({"projection": "random"}, "`projection` must be one of"),
    ],
)
def test_bad_input(change, match):
    given = {"X": [[0.0], [1.0]], "Y": [[0.5], [2.0]]} | change
    with pytest.raises(ValueError, match=match):
        sliced_wasserstein(**given)


def test_kernel_of_clouds(rng):
    clouds = [rng.standard_normal((n, 3)) + n for n in (5, 8, 8, 3)]
    options = {"n_projections": 20, "random_state": 3}
    K = sliced_wasserstein_kernel(clouds, gamma=0.01, **options)
    for i, X in enumerate(clouds):
        for j, Y in enumerate(clouds):
            distance = sliced_wasserstein(X, Y, **options)
            np.testing.assert_allclose(K[i, j], np.exp(-0.01 * distance**2), atol=1e-12)
    assert np.linalg.eigvalsh(K)[0] > -1e-12
    part = sliced_wasserstein_kernel(clouds[:1], clouds[1:], gamma=0.01, **options)
    np.testing.assert_allclose(part, K[:1, 1:], rtol=1e-12)


@pytest.mark.parametrize(
    ("clouds", "error", "words"),
    [
        ([], TypeError, "non-empty list"),
        (np.ones((3, 2)), TypeError, "`clouds` must be a non-empty list"),
        ([np.ones((3, 2)), np.ones(3)], ValueError, r"clouds\[1\]"),
        ([np.ones((3, 2)), np.ones((3, 4))], ValueError, "same number of columns"),
    ],
)
def test_kernel_of_what_are_no_clouds(clouds, error, words):
    with pytest.raises(error, match=words):
        sliced_wasserstein_kernel(clouds)
