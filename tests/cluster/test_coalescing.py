# SPDX-License-Identifier: BSD-3-Clause
"""Changes of a multiplier that make leading eigenvalues coalesce."""

import numpy as np
import pytest

from numopt.cluster import kmeans_certificate
from numopt.cluster._solvers.coalescing import coalescing_change
from numopt.cluster._solvers.spectral import proof_loss
from numopt.datasets import make_spherical_mixture
from tests.cluster.problems import dense_dual_value


def near_optimal(rng, error):
    """G + B with four leading eigenvalues, the last three equal up to ``error``."""
    n = 40
    Q = np.linalg.qr(rng.standard_normal((n, 4)))[0]
    A = (Q * (2 + error * np.array([9.0, 1.0, 0.3, -1.0]))) @ Q.T
    B = 1.0 + rng.random((n, n))
    B[rng.random((n, n)) < 0.3] = 0.0  # no support there
    B = np.triu(B) + np.triu(B, 1).T
    return A, A - B, B


def leading(A):
    """The four largest eigenvalues with their vectors and no residuals."""
    w, Q = np.linalg.eigh(A)
    return w[:-5:-1], Q[:, :-5:-1], np.zeros(4)


@pytest.mark.parametrize("error", [1e-2, 1e-3])
def test_spread_falls_to_the_square_of_the_error(rng, error):
    A, G, B = near_optimal(rng, error)
    weights = np.array([1.0, 0.7, 0.4, 0.1, 0.0])
    changed = A.copy()
    change = coalescing_change(A, G, leading(A), weights)
    total, square = change.apply(changed, G)
    assert total == pytest.approx(changed.sum())
    assert square == pytest.approx(np.sum(changed**2))
    assert np.all(changed - G >= 0)
    np.testing.assert_array_equal(changed[B == 0], A[B == 0])
    np.testing.assert_allclose(changed, changed.T, atol=1e-14)
    before, after = leading(A)[0][1:], leading(changed)[0][1:]
    assert np.ptp(before) == pytest.approx(2 * error, rel=1e-6)
    assert np.ptp(after) <= 100 * error**2


def test_nothing_to_change(rng):
    A, G, _ = near_optimal(rng, 1e-2)
    assert coalescing_change(A, G, leading(A), np.ones(3)) is None
    assert coalescing_change(A, G, leading(A), np.full(12, 0.2)) is None
    assert coalescing_change(A, A, leading(A), np.full(4, 0.5)) is None  # B = 0


def test_proof_keeps_coalescing_values_together():
    """The cut goes below the cluster of values, where residuals matter least."""
    values = np.array([3.0, 2.0, 2.0 - 1e-9, 2.0 - 2e-9, 0.5, 0.4])
    errors = np.full(6, 1e-5)
    assert proof_loss((values, np.eye(6), errors), 2) <= 1e-8


def test_bound_is_that_of_the_changed_multiplier():
    """The multiplier of the result gives the bound of the result."""
    X, labels = make_spherical_mixture(160, 4, 6, distance=4.0, random_state=0)
    found = kmeans_certificate(X, labels, gap_tol=1e-5, max_iter=300, random_state=0)
    assert found.method == "admm"
    assert found.status == "sdp_solved"
    independent = dense_dual_value(X, found.dual_matrix, 4)
    assert found.lower_bound == pytest.approx(independent, rel=1e-5)
    assert found.lower_bound <= independent * (1 + 1e-10)
