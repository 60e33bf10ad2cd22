# SPDX-License-Identifier: BSD-3-Clause
"""Lattice reduction: unimodular, size-reduced, Lovász's condition, known bases."""

import numpy as np
import pytest

from numopt.dmmv import lll_reduce, minimize_max_violation


def gram_schmidt(B):
    R = np.linalg.qr(B, mode="r")
    return np.diag(R) ** 2, R / np.diag(R)[:, None]


@pytest.mark.parametrize("seed", range(4))
def test_reduced_bases(seed):
    rng = np.random.default_rng(seed)
    n = 8
    B = rng.integers(-20, 21, (n, n)).astype(float) + np.eye(n) * 30
    hidden = np.eye(n)
    for _ in range(30):  # hide it behind a unimodular matrix
        i, j = rng.choice(n, 2, replace=False)
        hidden[:, i] += rng.integers(-2, 3) * hidden[:, j]
    reduced, U = lll_reduce(B @ hidden)
    assert abs(round(np.linalg.det(U.astype(float)))) == 1
    np.testing.assert_allclose(reduced, B @ hidden @ U, atol=1e-6)
    norms, mu = gram_schmidt(reduced)
    assert np.all(np.abs(np.triu(mu, 1)) <= 0.5 + 1e-6)
    for i in range(1, n):
        assert norms[i] + mu[i - 1, i] ** 2 * norms[i - 1] >= 0.98 * norms[i - 1]
    longest = np.linalg.norm(reduced, axis=0).max()
    assert longest <= np.linalg.norm(B, axis=0).max() * (1 + 1e-9)


def test_knapsack_basis_reveals_the_short_vector():
    # x = (1, 0, 1, 1, 0) solves 366 + 385 + 392 = 1143
    a = np.array([366, 401, 385, 392, 422])
    B = np.vstack([np.eye(6), np.append(100 * a, -100 * 1143)])
    reduced, _ = lll_reduce(B)
    lengths = np.linalg.norm(reduced, axis=0)
    assert lengths.min() <= 2.0 + 1e-9


def test_lattice_moves_help_where_columns_are_dependent():
    rng = np.random.default_rng(0)
    A = rng.standard_normal((40, 10)) @ np.diag(2.0 ** -np.arange(10.0))
    A = A @ rng.standard_normal((10, 10))
    b = A @ rng.uniform(-30, 30, 10)
    options = {"method": "anneal", "max_iter": 1}
    unit = minimize_max_violation(A, b, (-40, 40), lattice=False, **options)
    moves = minimize_max_violation(A, b, (-40, 40), lattice=True, **options)
    assert moves.violation < 0.9 * unit.violation
    assert np.abs(moves.x).max() <= 40


@pytest.mark.parametrize("shape", [(3, 8), (8, 8), (12, 8)])
@pytest.mark.parametrize("method", ["auto", "babai", "beam"])
def test_lattice_of_dependent_columns_is_damped(shape, method):
    rng = np.random.default_rng(0)
    A = rng.standard_normal((shape[0], 3)) @ rng.standard_normal((3, 8))
    b = A @ rng.integers(-5, 6, 8)
    options = {"lattice": True, "method": method, "max_iter": 3}
    result = minimize_max_violation(A, b, (-20, 20), **options)
    worst = np.max(np.abs(A @ result.x - b))
    assert result.violation == pytest.approx(worst, abs=1e-12)
    assert worst < 0.5 * np.max(np.abs(b))
