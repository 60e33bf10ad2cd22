# SPDX-License-Identifier: BSD-3-Clause
"""Discrepancy and vector balancing against brute force and known bounds."""

import itertools

import numpy as np
import pytest
from scipy.linalg import hadamard

from numopt.dmmv import balance_vectors, discrepancy


def test_discrepancy_brute_force(rng):
    V = rng.standard_normal((6, 9))
    best = min(
        np.max(np.abs(V @ np.array(x))) for x in itertools.product((-1, 1), repeat=9)
    )
    result = discrepancy(V)
    assert result.violation == pytest.approx(best)
    assert set(np.unique(result.x)) <= {-1, 1}
    assert result.x.dtype == np.int64


def test_hadamard_matrices_reach_their_bound():
    for n in (2, 4, 8, 16):
        result = discrepancy(hadamard(n).astype(float), max_iter=3)
        assert result.violation >= np.sqrt(n) - 1e-9
        if n <= 8:
            assert result.converged


def test_parity_raises_the_bound():
    rng = np.random.default_rng(0)
    V = rng.choice([-1.0, 1.0], (12, 31))
    result = discrepancy(V, max_iter=2)
    assert result.lower_bound >= 1.0
    assert result.bound_kind == "integrality"
    assert result.violation % 2 == 1


@pytest.mark.parametrize("seed", range(3))
def test_beck_fiala_ceiling(seed):
    rng = np.random.default_rng(seed)
    t = 3
    V = np.zeros((20, 24))
    for j in range(24):
        V[rng.choice(20, t, replace=False), j] = 1.0
    result = discrepancy(V, max_iter=3)
    assert result.violation <= 2 * t - 1


def test_random_signs_50():
    V = np.random.default_rng(0).choice([-1.0, 1.0], (50, 50))
    result = discrepancy(V, max_iter=6)
    assert result.violation <= 8  # nearest rounding leaves 10 and more


@pytest.mark.parametrize("seed", range(4))
def test_balance_brute_force(seed):
    rng = np.random.default_rng(seed)
    items = rng.random((7, 2))
    capacities = np.array([[1.0, 1.0], [2.0, 1.0], [1.0, 3.0]])
    best = min(
        max(
            np.max(items[np.array(a) == b].sum(axis=0) / capacities[b])
            for b in range(3)
        )
        for a in itertools.product(range(3), repeat=7)
    )
    result = balance_vectors(items, 3, capacities=capacities)
    assert result.violation == pytest.approx(best)
    assert result.lower_bound <= best + 1e-12
    for b in range(3):
        np.testing.assert_allclose(
            result.loads[b], items[result.assignment == b].sum(axis=0), atol=1e-12
        )


def test_balance_closes_an_easy_gap():
    result = balance_vectors(np.ones(12), 4)
    assert result.converged
    assert result.violation == 3.0
    assert result.n_iter == 0


def test_balance_bounds_and_seeds():
    items = np.random.default_rng(1).random((50, 3))
    one = balance_vectors(items, 5, max_iter=30, random_state=0)
    other = balance_vectors(items, 5, max_iter=30, random_state=0)
    np.testing.assert_array_equal(one.assignment, other.assignment)
    assert one.lower_bound == pytest.approx((items.sum(axis=0) / 5).max())
    assert one.gap < 0.03
    assert np.all(np.diff(one.history["violation"]) <= 0)


def test_balance_stops_at_callback_and_time():
    items = np.random.default_rng(1).random((50, 3))
    result = balance_vectors(items, 5, callback=lambda info: info.n_iter >= 2)
    assert (result.status, result.n_iter) == ("callback", 2)
    result = balance_vectors(items, 5, time_limit=0.02)
    assert result.status == "max_iter"


@pytest.mark.parametrize(
    ("args", "options", "match"),
    [
        (([[-1.0]], 2), {}, "`items` must be finite and non-negative"),
        (([[np.nan]], 2), {}, "`items` must be finite"),
        (([[1.0]], 0), {}, "`n_bins` must be"),
        (([[1.0]], 2), {"capacities": 0.0}, "`capacities` must be positive"),
        (([[1.0]], 2), {"capacities": [1.0, 1, 1]}, "`capacities` must be to fit"),
        (([[1.0]], 2), {"time_limit": -1}, "`time_limit` must be"),
    ],
)
def test_balance_bad_input(args, options, match):
    with pytest.raises(ValueError, match=match):
        balance_vectors(*args, **options)
