# SPDX-License-Identifier: BSD-3-Clause
"""How solvers end: at round-off, out of range of exp, and where nothing is left."""

import numpy as np
import pytest

from numopt._array.namespace import to_numpy
from numopt.exceptions import ConvergenceWarning
from numopt.ot import (
    barycenter,
    ot_exact,
    partial_sinkhorn,
    sinkhorn,
    sinkhorn_grid,
    sinkhorn_points,
    sinkhorn_unbalanced,
    sparse_ot,
)

rng = np.random.default_rng(3)
M = rng.random((30, 25))
A, B = rng.dirichlet(np.ones(30)), rng.dirichlet(np.ones(25))


def line(n, step=1.0):
    """Squared distances of n places on a line."""
    place = step * np.arange(n)
    return np.subtract.outer(place, place) ** 2


def test_sweeps_that_suffice_are_not_followed_by_newton():
    result = sinkhorn(A, B, M, 1.0, tol=1e-3)
    assert result.converged
    assert (result.method, result.n_newton) == ("sinkhorn", 0)


@pytest.mark.parametrize(
    "solve",
    [
        lambda: barycenter(
            rng.dirichlet(np.ones(20), 3).T, line(20, 0.05), 0.05, tol=0.0
        ),
        lambda: sinkhorn_unbalanced(A, B, M, 1e-2, 1.0, tol=0.0),
        lambda: partial_sinkhorn(A, B, M, 1e-2, 0.5, tol=0.0),
        lambda: sinkhorn(A, B, M, 1e-2, tol=0.0, method="newton"),
    ],
    ids=["mean", "unbalanced", "partial", "newton"],
)
@pytest.mark.filterwarnings("ignore::numopt.exceptions.ConvergenceWarning")
def test_accuracy_beyond_rounding_ends_and_says_so(solve):
    result = solve()
    assert result.status in ("stalled", "converged")  # an error of exactly zero is rare
    assert result.marginal_error <= 1e-12


def test_exact_plans_at_a_tolerance_below_rounding():
    result = ot_exact(A, B, M, tol=1e-30)
    assert result.gap <= 1e-12


def test_gradients_of_cityblock_clouds(backend):
    X, Y = M[:, :2], M[:20, 2:4]
    expected = sinkhorn_points(X, Y, 0.1, metric="cityblock", tol=1e-10)
    found = sinkhorn_points(
        backend.asarray(X), backend.asarray(Y), 0.1, metric="cityblock", tol=1e-10
    )
    np.testing.assert_allclose(to_numpy(found.grad_X), expected.grad_X, atol=1e-9)


@pytest.mark.parametrize("method", ["newton", "sinkhorn"])
def test_clouds_with_a_part_out_of_the_range_of_exp(method):
    X, Y = M[:, :2], np.concatenate([M[:15, 2:4], M[15:, 2:4] + 100.0])
    cost = np.sum((X[:, None] - Y) ** 2, axis=2)
    expected = sinkhorn(None, None, cost, 1.0)
    found = sinkhorn_points(X, Y, 1.0, method=method, max_iter=5000)
    assert found.converged
    np.testing.assert_allclose(found.value, expected.value, rtol=1e-6)


def test_coarse_levels_of_euclidean_clouds():
    X, Y = np.random.default_rng(0).random((2, 1500, 2))
    found = sinkhorn_points(X, Y, 5e-3, metric="euclidean")
    cost = np.sqrt(np.sum((X[:, None] - Y) ** 2, axis=2))
    expected = sinkhorn(None, None, cost, 5e-3)
    np.testing.assert_allclose(found.value, expected.value, rtol=1e-6)


def test_grids_with_mass_in_opposite_corners():
    a, b = np.zeros((2, 12, 12))
    a[:2, :2] = 0.25
    b[-2:, -2:] = 0.125
    b[0, -2:] = 0.25
    i, j = np.divmod(np.arange(144), 12)
    cost = np.subtract.outer(i, i) ** 2.0 + np.subtract.outer(j, j) ** 2
    found = sinkhorn_grid(a, b, 1e-3, spacing=1.0)
    assert found.converged
    exact = ot_exact(a.ravel(), b.ravel(), cost)
    # Entropy is at most the logarithm of the number of pairs.
    assert abs(found.value_linear - exact.value) <= 1e-3 * np.log(4 * 6)


def test_mean_of_two_ends_beyond_a_stored_kernel():
    ends = np.zeros((60, 2))
    ends[0, 0] = ends[-1, 1] = 1.0
    result = barycenter(ends, line(60), 1e-3)
    assert result.converged
    np.testing.assert_allclose(result.barycenter[29:31], 0.5, atol=1e-9)


def test_means_at_costs_beyond_the_range_of_exp():
    ends = np.zeros((80, 3))
    ends[0, 0] = ends[-1, 1] = ends[40, 2] = 1.0
    ends[5:7, 0] = 1e-14
    result = barycenter(ends / ends.sum(axis=0), line(80), 1e-2)
    assert result.converged
    # Points at 0, 40 and 79 have their mean between 39 and 40, nearer to 40.
    assert result.barycenter[40] > 0.999


def test_debiased_means_out_of_the_range_of_a_kernel_stay_symmetric():
    boxes = np.zeros((60, 2))
    boxes[:5, 0] = boxes[-5:, 1] = 0.2
    with pytest.warns(ConvergenceWarning):
        result = barycenter(boxes, line(60, 1 / 60), 1e-3, debiased=True, max_iter=50)
    mean = result.barycenter
    np.testing.assert_allclose(mean, mean[::-1], atol=1e-8)
    np.testing.assert_allclose(mean.sum(), 1.0, atol=1e-8)


def test_debiased_means_ask_for_a_square_cost():
    with pytest.raises(ValueError, match="`M` must be symmetric when debiased"):
        barycenter(np.ones((5, 2)) / 5, M[:5, :4], 0.1, debiased=True)


def test_columns_of_one_entry_cannot_share_forty_masses_among_three_rows():
    cost = np.random.default_rng(0).random((3, 40))
    with pytest.warns(ConvergenceWarning, match="increase `max_nz`, or change `reg`"):
        result = sparse_ot(None, None, cost, 1.0, 1, max_iter=20_000)
    # The nearest split is 13 + 13 + 14 of 40: rows miss 2/3 + 1/3 + 1/3 of a fortieth.
    assert result.marginal_error >= 4 / 3 / 40 - 1e-9


def test_shift_of_safe_newton_grows_where_steps_disappoint():
    cost = np.random.default_rng(1).random((10, 8))
    result = sinkhorn(None, None, cost, 1e-4, method="ssns", max_iter=300)
    assert result.converged


@pytest.mark.parametrize("scale", [1e-200, 1e-40, 1e40, 1e100])
@pytest.mark.parametrize("method", ["newton", "sinkhorn"])
@pytest.mark.filterwarnings("error")
def test_costs_in_any_unit(method, scale):
    expected = sinkhorn(A, B, M, 1e-2, method=method).value
    found = sinkhorn(A, B, scale * M, scale * 1e-2, method=method).value
    np.testing.assert_allclose(found / scale, expected, rtol=1e-8)


@pytest.mark.parametrize("scale", [1e-100, 1e100])
@pytest.mark.filterwarnings("error")
def test_clouds_in_any_unit(scale):
    X, Y = M[:, :2], M[:20, 2:4]
    expected = sinkhorn_points(X, Y, 1e-2).value
    found = sinkhorn_points(scale * X, scale * Y, 1e-2 * scale**2).value
    np.testing.assert_allclose(found / scale**2, expected, rtol=1e-5)


@pytest.mark.parametrize("seed", [2, 24, 43, 73, 201])
def test_tiny_regularisation_with_weights_down_to_rounding(seed):
    # Odd: groups of points that exchange nothing, their potentials many eps apart.
    # Even: plans that are forests, with modes coupled by 1e-20 of the mass.
    rng = np.random.default_rng(seed)
    X, Y = rng.integers(0, 6, (40, 2)), rng.integers(0, 6, (30, 2))
    if seed % 2:
        M, reg = np.abs(X[:, None] - Y).sum(axis=-1) / 10, 5e-6
    else:
        M, reg = rng.random((40, 30)), 8e-5
    a, b = rng.dirichlet(np.full(40, 0.05)), rng.dirichlet(np.full(30, 1.0))
    result = sinkhorn(a, b, M, reg)
    assert result.converged
    exact = ot_exact(a, b, M).value
    assert exact - 1e-8 <= result.value_linear <= exact + reg * np.log(30) + 1e-8
