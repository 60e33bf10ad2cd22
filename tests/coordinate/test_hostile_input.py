# SPDX-License-Identifier: BSD-3-Clause
"""What a fuzz of the public functions met: named errors, finite answers."""

import warnings

import numpy as np
import pytest

from numopt.coordinate import (
    L1,
    Box,
    ElasticNet,
    GroupL2,
    Multinomial,
    NonNegative,
    Quadratic,
    Ridge,
    alpha_max,
    bcd_solve,
    dual_gap,
    enet_path,
    group_lasso_path,
    lasso_path,
    nnls,
    solve_quadratic,
)

X = np.eye(4)[:, :3] + 0.5
Y = np.array([1.0, -2.0, 0.5, 3.0])


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: bcd_solve(X, Y, Quadratic(), "l1"), "penalty"),
        (lambda: bcd_solve(X, Y, Quadratic(), "l1", selection="GS"), "penalty"),
        (lambda: bcd_solve(X, Y, "squares", L1(0.1)), "datafit"),
        (lambda: dual_gap(X, Y, np.zeros(3), Quadratic(), 0.1), "penalty"),
        (lambda: alpha_max(X, Y, Quadratic(), None), "penalty"),
        (lambda: L1(0.1, weights="a"), "weights"),
        (lambda: L1(0.1, weights=[None, None, None]), "weights"),
        (lambda: L1(0.1, positive="yes"), "positive"),
        (lambda: ElasticNet(0.1, 0.5, weights=["a", "b", "c"]).terms(3), "weights"),
        (lambda: GroupL2(0.1, 1, weights="a"), "weights"),
        (lambda: Box("a", 1.0), "lower"),
        (lambda: bcd_solve(X, Y, Quadratic(), L1(0.1), coef_init="a"), "coef_init"),
        (lambda: bcd_solve(X, Y, Quadratic(), L1(), coef_init=1j * Y[:3]), "coef_init"),
        (
            lambda: bcd_solve(
                X, Y, Quadratic(), L1(0.1), coef_init=Y[:3], intercept_init="a"
            ),
            "intercept_init",
        ),
        (lambda: lasso_path(X, Y, alphas="a"), "alphas"),
        (lambda: solve_quadratic(np.eye(3), Y[:3], bounds=("a", 1)), "lower bound"),
        (lambda: solve_quadratic(np.eye(3), Y[:3], bounds=(0, [1])), "upper bound"),
        (lambda: solve_quadratic(np.eye(3), Y[:3], x0="abc"), "x0"),
    ],
)
def test_wrong_kinds_are_refused_by_name(call, name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises((TypeError, ValueError), match=f"`{name}` must be"):
            call()


def test_labels_beyond_all_integers_are_refused():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match="`y` must be integer labels"):
            bcd_solve(X, [0.0, 1e30, 2.0, 1.0], Multinomial(), L1(0.1))


def test_paths_where_all_columns_are_excluded_stay_at_zero():
    for path in (lasso_path, enet_path):
        found = path(X, Y, weights=np.full(3, np.inf), n_alphas=3)
        assert found.converged
        assert not found.coefs.any()


def test_grids_that_fall_below_all_numbers_end_there():
    found = lasso_path(X, 1e-20 * Y, eps=1e-300, n_alphas=3, warn=False)
    assert np.all(np.isfinite(found.coefs))
    assert found.alphas[-1] > 0


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("rank", [1, 5])
def test_group_paths_may_end_without_a_penalty(groups, intercept, rank, rng):
    design = rng.standard_normal((5, rank)) @ rng.standard_normal((rank, 30))
    design[:, :2] = 1.0
    y = rng.standard_normal(5)
    found = group_lasso_path(
        *(design, y, groups), alphas=[0.1, 1.0, 0.0], fit_intercept=intercept
    )
    assert found.converged
    assert np.all(np.isfinite(found.coefs))
    assert np.all(np.abs(found.dual_gaps) <= 1e-6)


def test_softmax_with_a_ridge_below_rounding_has_a_preconditioner():
    design = np.array([[1.0, 0, 0, 2, 0, 0], [0, 3, 0, 0, 1, 0], [0, 0, 1, 0, 0, 1]])
    found = bcd_solve(design, [0, 1, 2], Multinomial(), Ridge(1e-300), warn=False)
    assert np.all(np.isfinite(found.coef))


def test_columns_of_all_sizes_leave_no_nan(rng):
    """Coefficients of small columns may have no square."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        design = rng.standard_normal((3, 20)) * 10.0 ** rng.uniform(-80, 80, 20)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = nnls(design, rng.standard_normal(3), max_iter=50)
            assert np.all(np.isfinite(found.coef))
            assert np.isfinite(found.objective)
            penalty = NonNegative(0.1)
            found = bcd_solve(design, [1, 2, 3], Quadratic(), penalty, max_iter=50)
            assert np.all(np.isfinite(found.coef))
