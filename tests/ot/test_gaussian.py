# SPDX-License-Identifier: BSD-3-Clause
"""Gaussian transport: closed forms, degenerate samples, shrinkage, arrays."""

import numpy as np
import pytest
from scipy.linalg import sqrtm

from numopt._array.namespace import to_numpy
from numopt.ot import gaussian_transport
from tests.backends import assert_xp_close


def _samples(rng, n=200, m=150, d=4):
    X = rng.standard_normal((n, d)) @ rng.standard_normal((d, d)) + 1.0
    return X, rng.standard_normal((m, d)) @ rng.standard_normal((d, d)) - 2.0


def test_distance_and_map_follow_the_formula(rng):
    """Dowson & Landau (1982) with SciPy's matrix square root."""
    X, Y = _samples(rng)
    result = gaussian_transport(X, Y)
    S, T = np.cov(X.T, bias=True), np.cov(Y.T, bias=True)
    root = sqrtm(S).real
    middle = sqrtm(root @ T @ root).real
    shift = X.mean(axis=0) - Y.mean(axis=0)
    value = shift @ shift + np.trace(S + T - 2 * middle)
    assert result.value == pytest.approx(value, rel=1e-9)
    inverse = np.linalg.inv(root)
    np.testing.assert_allclose(result.A, inverse @ middle @ inverse, atol=1e-8)
    assert result.converged
    assert result.history["residual"][-1] < 1e-9


def test_mapped_sample_has_the_moments_of_the_target(rng):
    X, Y = _samples(rng)
    result = gaussian_transport(X, Y)
    moved = result.transform(X)
    np.testing.assert_allclose(moved.mean(axis=0), Y.mean(axis=0), atol=1e-9)
    T = np.cov(Y.T, bias=True)
    np.testing.assert_allclose(np.cov(moved.T, bias=True), T, atol=1e-8)
    np.testing.assert_allclose(result.inverse_transform(moved), X, atol=1e-7)
    # The cost of the map is the distance: it is optimal for its own moments.
    assert np.mean(np.sum((moved - X) ** 2, axis=1)) == pytest.approx(result.value)


def test_line_and_identity():
    result = gaussian_transport([[0.0], [2.0]], [[10.0], [16.0]])
    assert result.value == pytest.approx(12.0**2 + (3.0 - 1.0) ** 2)
    same = gaussian_transport([[0.0, 1.0], [2.0, 5.0]], [[0.0, 1.0], [2.0, 5.0]])
    assert same.value == pytest.approx(0.0, abs=1e-12)


def test_weights_are_repetitions(rng):
    X, Y = _samples(rng, 20, 30)
    counts = rng.integers(1, 4, 20)
    weighted = gaussian_transport(X, Y, a=counts, covariance="shrunk", shrinkage=0.2)
    repeated = gaussian_transport(
        np.repeat(X, counts, axis=0), Y, covariance="shrunk", shrinkage=0.2
    )
    np.testing.assert_allclose(weighted.A, repeated.A, rtol=1e-9)
    assert weighted.value == pytest.approx(repeated.value)


def test_ledoit_wolf_agrees_with_scikit_learn(rng):
    from sklearn.covariance import ledoit_wolf

    X, Y = _samples(rng, 25, 40, 10)
    result = gaussian_transport(X, Y, covariance="shrunk")
    for points, ours, cov in (
        (X, result.shrinkage[0], result.cov_X),
        (Y, result.shrinkage[1], result.cov_Y),
    ):
        expected, weight = ledoit_wolf(points)
        assert ours == pytest.approx(weight, rel=1e-9)
        np.testing.assert_allclose(cov, expected, atol=1e-10)


def test_degenerate_source_says_so_and_shrinkage_helps(rng):
    X, Y = _samples(rng, 3, 50, 5)
    flat = gaussian_transport(X, Y)
    assert flat.status == "infeasible"
    assert "shrunk" in flat.message
    assert np.all(np.isfinite(flat.transform(X)))
    assert gaussian_transport(X, Y, covariance="shrunk").converged


def test_arrays_of_any_library(backend, rng):
    X, Y = _samples(rng)
    expected = gaussian_transport(X, Y)
    X_xp, Y_xp = backend.arrays(X, Y)
    result = gaussian_transport(X_xp, Y_xp)
    assert_xp_close(result.A, expected.A, like=X_xp, atol=1e-9)
    assert_xp_close(result.transform(X_xp), expected.transform(X), like=X_xp, atol=1e-8)
    single = gaussian_transport(*backend.arrays(X, Y, dtype=np.float32))
    assert single.A.dtype == backend.xp.float32
    np.testing.assert_allclose(to_numpy(single.A), expected.A, atol=1e-3)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"X": np.ones(3)}, ValueError, "reshape"),
        ({"Y": np.ones((3, 2))}, ValueError, "`Y`"),
        ({"X": np.full((3, 4), np.nan)}, ValueError, "`X`"),
        ({"a": -np.ones(200)}, ValueError, "`a`"),
        ({"a": np.ones(3)}, ValueError, "`a`"),
        ({"b": np.zeros(150)}, ValueError, "`b`"),
        ({"covariance": "diag"}, ValueError, "'full', 'shrunk'"),
        ({"shrinkage": 0.1}, TypeError, "`shrinkage`"),
        ({"covariance": "shrunk", "shrinkage": 1.5}, ValueError, "`shrinkage`"),
    ],
)
def test_bad_input(rng, change, error, words):
    X, Y = _samples(rng)
    with pytest.raises(error, match=words):
        gaussian_transport(**({"X": X, "Y": Y} | change))
