# SPDX-License-Identifier: BSD-3-Clause
"""Functions and complex rows against brute force."""

import itertools

import numpy as np
import pytest

from numopt.dmmv import minimize_max_violation_general
from tests.dmmv.problems import brute_force, gaussian


def test_a_linear_function_reaches_the_optimum():
    A, b = gaussian(0, 10, 6)
    best = brute_force(A, b, [range(4)] * 6)
    result = minimize_max_violation_general(lambda X: np.abs(X @ A.T - b), (0, 3), n=6)
    assert result.violation == pytest.approx(best)
    assert result.x.dtype == np.int64
    np.testing.assert_allclose(result.residual, np.abs(A @ result.x - b))


def test_complex_rows_are_measured_by_absolute_value():
    rng = np.random.default_rng(0)
    A = rng.standard_normal((8, 5)) + 1j * rng.standard_normal((8, 5))
    b = A @ rng.uniform(0, 2, 5)
    points = [np.array(x) for x in itertools.product(range(3), repeat=5)]
    best = min(np.max(np.abs(A @ x - b)) for x in points)
    result = minimize_max_violation_general((A, b), (0, 2))
    assert best <= result.violation * (1 + 1e-12)
    assert result.violation <= best / np.cos(np.pi / 16) + 1e-9
    assert result.lower_bound <= best * (1 + 1e-9)
    assert result.violation == pytest.approx(np.max(np.abs(A @ result.x - b)))
    complex_fun = minimize_max_violation_general(lambda X: X @ A.T - b, (0, 2), n=5)
    assert complex_fun.violation == pytest.approx(best)


def test_phase_shifters():
    # three antennas of two bits: the array factor in one direction is nulled
    steering = np.exp(1j * np.pi * np.arange(4) * 0.5)

    def factor(X):
        return (np.exp(0.5j * np.pi * X) @ steering)[:, None]

    result = minimize_max_violation_general(factor, (0, 3), n=4)
    assert result.violation == pytest.approx(0.0, abs=1e-9)


def test_feasible_points_stop_the_search():
    result = minimize_max_violation_general(
        lambda X: X.sum(axis=1, keepdims=True) - 100.0, (0, 3), n=4
    )
    assert (result.violation, result.n_iter, result.converged) == (0.0, 0, True)


def test_bad_input():
    with pytest.raises(ValueError, match="`n` must be given"):
        minimize_max_violation_general(np.abs, (0, 1))
    with pytest.raises(TypeError, match="`fun` must be callable"):
        minimize_max_violation_general(3, (0, 1), n=2)
    with pytest.raises(ValueError, match=r"`fun\(X\)` must be of shape"):
        minimize_max_violation_general(lambda X: X[0], (0, 1), n=2)
    with pytest.raises(ValueError, match=r"`fun\(X\)` must be free of NaN"):
        minimize_max_violation_general(lambda X: X * np.nan, (0, 1), n=2)
    with pytest.raises(ValueError, match="`complex_polygon` must be even"):
        minimize_max_violation_general((np.eye(2), [0, 0]), (0, 1), complex_polygon=5)
    with pytest.raises(ValueError, match="`x0` must be of shape"):
        minimize_max_violation_general(np.abs, (0, 1), n=2, x0=[0.0])
