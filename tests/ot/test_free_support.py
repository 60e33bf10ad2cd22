# SPDX-License-Identifier: BSD-3-Clause
"""Barycenters with moving points: exact means, closed form, descent, bad input."""

import numpy as np
import pytest

from numopt._array.namespace import to_numpy
from numopt.exceptions import ConvergenceWarning
from numopt.ot import free_support_barycenter


def _clouds(rng):
    return [rng.standard_normal((20, 2)), rng.standard_normal((15, 2)) * 0.5 + 3.0]


def test_mean_is_exact_and_objective_decreases(rng):
    clouds = _clouds(rng)
    start = rng.standard_normal((12, 2))
    result = free_support_barycenter(clouds, None, start, 0.2, weights=[1, 3], tol=1e-5)
    assert result.converged
    mean = 0.25 * clouds[0].mean(axis=0) + 0.75 * clouds[1].mean(axis=0)
    np.testing.assert_allclose(result.X.mean(axis=0), mean, atol=1e-5)
    values = result.history["objective"]
    assert np.all(np.diff(values) <= 1e-6 * values[0])
    assert result.value == pytest.approx(values[-1])
    # The points are the weighted means of the projections: a stationary point.
    moved = sum(
        w * plan.barycentric(Y)
        for w, plan, Y in zip((0.25, 0.75), result.plans, clouds, strict=True)
    )
    np.testing.assert_allclose(result.X, moved, atol=1e-4)


def test_gaussians_shrink_by_half_of_reg():
    """The entropic map of N(0, s^2) to N(0, t^2) has slope 1 at s^2 = t^2 - reg / 2."""
    x = np.linspace(-5, 5, 81)[:, None]
    b = np.exp(-0.5 * x[:, 0] ** 2)
    b /= b.sum()
    clouds = [x - 1.0, x + 1.0]
    result = free_support_barycenter(
        clouds, [b, b], x, 0.5, a=b, tol=1e-4, max_iter=300
    )
    assert result.converged
    assert b @ result.X[:, 0] ** 2 == pytest.approx(1.0 - 0.25, abs=5e-3)


def test_weights_mass_and_arrays(backend, rng):
    clouds = _clouds(rng)
    bs = [rng.random(20), rng.random(15)]
    bs = [2.0 * b / b.sum() for b in bs]
    a = np.full(8, 0.25)
    start = rng.standard_normal((8, 2))
    expected = free_support_barycenter(clouds, bs, start, 0.5, a=a, tol=1e-3)
    result = free_support_barycenter(
        backend.arrays(*clouds),
        backend.arrays(*bs),
        backend.asarray(start),
        0.5,
        a=backend.asarray(a),
        tol=1e-3,
    )
    # Stopping after a different number of steps changes points by about tol.
    np.testing.assert_allclose(to_numpy(result.X), expected.X, atol=0.1)
    mean = 0.5 * (bs[0] @ clouds[0] + bs[1] @ clouds[1]) / 2.0
    np.testing.assert_allclose(to_numpy(result.X).mean(axis=0), mean, atol=1e-4)


def test_warning_and_callback(rng):
    clouds, start = _clouds(rng), rng.standard_normal((5, 2))
    with pytest.warns(ConvergenceWarning, match="free_support_barycenter"):
        short = free_support_barycenter(clouds, None, start, 0.2, max_iter=1)
    assert np.all(np.isfinite(short.X))
    stopped = free_support_barycenter(
        clouds, None, start, 0.2, callback=lambda info: info.n_iter == 2
    )
    assert stopped.n_iter == 2
    assert stopped.status == "callback"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"Xs": np.ones((3, 2))}, "`Xs`"),
        ({"Xs": []}, "`Xs`"),
        ({"Xs": [np.ones(3)]}, r"`Xs\[0\]`"),
        ({"Xs": [np.ones((3, 1))]}, r"`Xs\[0\]`"),
        ({"bs": [None, None]}, "`bs`"),
        ({"bs": [np.ones(5)]}, r"`bs\[0\]`"),
        ({"bs": [np.ones(3)]}, "sum"),
        ({"X_init": [[np.nan, 1.0]]}, "`X_init`"),
        ({"reg": 0}, "`reg`"),
        ({"weights": [1.0, 2.0]}, "`weights`"),
        ({"a": [1.0, 2.0]}, "`a`"),
    ],
)
def test_bad_input(change, words):
    arguments = {
        "Xs": [np.ones((3, 2))],
        "bs": None,
        "X_init": np.zeros((4, 2)),
        "reg": 0.1,
    } | change
    with pytest.raises(ValueError, match=words):
        free_support_barycenter(**arguments)
