# SPDX-License-Identifier: BSD-3-Clause
"""``complete``: closed forms, stationarity, recovery, invariances, edge cases."""

import numpy as np
import pytest
import scipy.sparse as sp

from numopt.completion import complete, incoherence, spectral_init
from numopt.completion._solvers.factors import thin_qr
from numopt.datasets import make_low_rank
from numopt.exceptions import ConvergenceWarning


@pytest.fixture(scope="module")
def ratings():
    rows, cols, values, _, _ = make_low_rank(
        60, 50, 3, n_obs=1200, noise=0.3, random_state=0
    )
    return rows, cols, values


def objective(result, rows, cols, values, alpha, alpha_bias, counts=None):
    r = values - result.predict(rows, cols)
    a = np.ones(result.shape[0]) if counts is None else counts[0]
    c = np.ones(result.shape[1]) if counts is None else counts[1]
    factor = (a * (result.row_factors**2).sum(1)).sum()
    factor += (c * (result.col_factors**2).sum(1)).sum()
    bias = (a * result.row_bias**2).sum() + (c * result.col_bias**2).sum()
    return (r**2).sum() + alpha * factor + alpha_bias * bias


def test_full_matrix_is_the_truncated_decomposition(rng):
    Y = rng.standard_normal((12, 9))
    result = complete(Y, 4)
    A, s, Bt = np.linalg.svd(Y, full_matrices=False)
    np.testing.assert_allclose(result.to_dense(), (A[:, :4] * s[:4]) @ Bt[:4])
    np.testing.assert_allclose(result.singular_values, s[:4])


def test_full_matrix_with_ridge_is_soft_thresholded(rng):
    Y = rng.standard_normal((12, 9))
    s = np.linalg.svd(Y, compute_uv=False)
    result = complete(Y, 9, alpha=1.5)
    shrunk = np.maximum(s - 1.5, 0)
    np.testing.assert_allclose(result.singular_values, shrunk, atol=1e-12)
    expected = np.sum((s - shrunk) ** 2) + 2 * 1.5 * shrunk.sum()
    assert result.objective == pytest.approx(expected)


def test_als_reaches_the_soft_thresholded_solution(rng):
    Y = rng.standard_normal((12, 9))
    rows, cols = np.indices(Y.shape).reshape(2, -1)
    iterated = complete(
        (rows, cols, Y.ravel()), 9, weights=np.full(Y.size, 2.0), alpha=3.0,
        method="als", tol=1e-14, max_iter=5000, warn=False,
    )  # fmt: skip
    direct = complete(Y, 9, alpha=1.5)
    np.testing.assert_allclose(iterated.to_dense(), direct.to_dense(), atol=1e-4)


@pytest.mark.parametrize("bias", ["none", "row", "col", "both"])
@pytest.mark.parametrize("scaling", ["constant", "count"])
def test_als_descends_to_a_stationary_point(ratings, bias, scaling):
    rows, cols, values = ratings
    result = complete(
        ratings, 3, alpha=0.1, alpha_bias=0.3, bias=bias, alpha_scaling=scaling,
        method="als", tol=1e-13, max_iter=2000, random_state=0,
    )  # fmt: skip
    F = result.history["objective"]
    assert np.all(np.diff(F) <= 1e-9 * F[1:])
    counts = None
    if scaling == "count":
        counts = np.bincount(rows, minlength=60), np.bincount(cols, minlength=50)
    value = objective(result, rows, cols, values, 0.1, 0.3, counts)
    assert result.objective == pytest.approx(value, rel=1e-9)
    r = values - result.predict(rows, cols)
    gradient = np.zeros((60, 3))
    np.add.at(gradient, rows, -2 * r[:, None] * result.col_factors[cols])
    weight = 1 if counts is None else counts[0][:, None]
    gradient += 2 * 0.1 * weight * result.row_factors
    assert np.abs(gradient).max() < 1e-8


def test_inner_solvers_agree(ratings):
    common = {"alpha": 1.0, "bias": "both", "tol": 1e-12, "max_iter": 1000}
    exact = complete(ratings, 3, inner="cholesky", random_state=0, **common)
    by_cg = complete(ratings, 3, inner="cg", cg_steps=5, random_state=0, **common)
    plain = complete(ratings, 3, acceleration=None, random_state=0, **common)
    assert by_cg.objective == pytest.approx(exact.objective, rel=1e-7)
    assert plain.objective == pytest.approx(exact.objective, rel=1e-7)


def test_inputs_of_all_forms_agree(ratings):
    rows, cols, values = ratings
    dense = np.full((60, 50), np.nan)
    dense[rows, cols] = values
    sparse = sp.coo_array((values, (rows, cols)), shape=(60, 50)).tocsr()
    answers = [
        complete(X, 3, alpha=1.0, bias="both", random_state=0).to_dense()
        for X in (ratings, dense, sparse, sparse.tocsc())
    ]
    for other in answers[1:]:
        np.testing.assert_allclose(other, answers[0], rtol=1e-10, atol=1e-12)


def test_weights_are_repetitions(ratings):
    _, _, values = ratings
    twice = tuple(np.concatenate([a, a[:300]]) for a in ratings)
    weights = np.ones(values.size)
    weights[:300] = 2
    a = complete(twice, 3, alpha=1.0, random_state=0)
    b = complete(ratings, 3, alpha=1.0, weights=weights, random_state=0)
    np.testing.assert_allclose(a.to_dense(), b.to_dense(), rtol=1e-9, atol=1e-11)
    with pytest.raises(ValueError, match="more than once"):
        complete(twice, 3, duplicates="raise")


def test_zero_weights_are_unobserved(ratings):
    _, _, values = ratings
    weights = np.ones(values.size)
    weights[::7] = 0
    a = complete(ratings, 3, alpha=1.0, weights=weights, random_state=0)
    kept = tuple(x[weights > 0] for x in ratings)
    b = complete(kept, 3, alpha=1.0, shape=(60, 50), random_state=0)
    np.testing.assert_allclose(a.to_dense(), b.to_dense(), atol=1e-12)


def test_number_of_threads_changes_no_bit(ratings):
    one, two = (
        complete(ratings, 3, alpha=1.0, bias="both", n_jobs=jobs, random_state=0)
        for jobs in (1, 2)
    )
    np.testing.assert_array_equal(one.row_factors, two.row_factors)


def test_float32_stays_and_is_close(ratings):
    rows, cols, values = ratings
    narrow = complete(
        (rows, cols, values.astype(np.float32)), 3, alpha=1.0, bias="both",
        random_state=0,
    )  # fmt: skip
    wide = complete(ratings, 3, alpha=1.0, bias="both", random_state=0)
    assert narrow.row_factors.dtype == np.float32
    assert narrow.relative_residual == pytest.approx(wide.relative_residual, abs=1e-4)


@pytest.mark.parametrize("alpha", [1.0, "auto"])
def test_fold_in_gives_the_fitted_rows_again(ratings, alpha):
    result = complete(ratings, 3, alpha=alpha, bias="both", random_state=0)
    again = result.fold_in(ratings)
    np.testing.assert_allclose(again.row_factors, result.row_factors, atol=1e-10)
    np.testing.assert_allclose(again.row_bias, result.row_bias, atol=1e-10)


def test_cold_rows_are_zero_and_indices_may_be_huge():
    rows, cols = np.array([0, 2_999_999, 5]), np.array([1, 2_999_998, 1])
    result = complete(
        (rows, cols, np.array([1.0, 2.0, 3.0])), 1, shape=(3_000_000, 3_000_000),
        alpha=0.1, bias="both", max_iter=2, warn=False,
    )  # fmt: skip
    assert not result.row_factors[1].any()
    assert np.isfinite(result.objective)


def test_more_factors_than_entries_stays_finite(rng):
    rows = np.repeat(np.arange(40), 2)
    cols = rng.integers(0, 30, 80)
    result = complete(
        (rows, cols, rng.standard_normal(80)), 20, shape=(40, 30), method="als",
        alpha=1e-3, max_iter=200, warn=False,
    )  # fmt: skip
    assert np.isfinite(result.row_factors).all()
    assert np.isfinite(result.col_factors).all()


CELLS = [(3.0, 1), (3.0, 1000), (2.0, 10), (1.5, 10), (1.5, 1000)]


@pytest.mark.parametrize(("oversampling", "condition"), CELLS)
def test_exact_recovery(oversampling, condition):
    rows, cols, values, U, V = make_low_rank(
        200, 150, 4, oversampling=oversampling, condition=condition, random_state=1
    )
    result = complete((rows, cols, values), 4, shape=(200, 150), random_state=0)
    truth = U @ V.T
    error = np.linalg.norm(result.to_dense() - truth) / np.linalg.norm(truth)
    assert result.converged
    assert error < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_recovery_of_a_flat_spectrum_near_the_limit(seed):
    rows, cols, values, U, V = make_low_rank(
        600, 500, 5, oversampling=1.5, random_state=seed
    )
    result = complete((rows, cols, values), 5, shape=(600, 500), random_state=0)
    truth = U @ V.T
    error = np.linalg.norm(result.to_dense() - truth) / np.linalg.norm(truth)
    assert error < 1e-6


@pytest.mark.parametrize("loss", ["l1", "huber"])
def test_outliers_are_found_and_removed(loss):
    rows, cols, values, U, V = make_low_rank(
        120, 100, 2, oversampling=8, outliers=0.1, random_state=0
    )
    result = complete((rows, cols, values), 2, loss=loss, random_state=0)
    truth = U @ V.T
    error = np.linalg.norm(result.to_dense() - truth) / np.linalg.norm(truth)
    assert error < 1e-8
    corrupted = np.abs(values - truth[rows, cols]) > 1e-6
    np.testing.assert_array_equal(result.outlier_mask, corrupted)


@pytest.mark.parametrize("seed", [0, 2, 5])
def test_evidence_switches_surplus_components_off(seed):
    """On seeds 2 and 5 the noise variance turns before the surplus has died out."""
    rows, cols, values, U, V = make_low_rank(
        150, 120, 2, n_obs=6000, noise=0.3, random_state=seed
    )
    result = complete((rows, cols, values), 6, alpha="auto", random_state=0)
    s = result.singular_values
    assert s[1] > 20 * s[2]
    noise = np.var(values - (U[rows] * V[cols]).sum(1))
    assert result.noise_variance == pytest.approx(noise, rel=0.1)
    mean, std = result.predict(rows[:5], cols[:5], return_std=True)
    assert np.all(std**2 >= result.noise_variance)
    assert mean.shape == std.shape == (5,)


def test_validation_stops_and_keeps_the_best(ratings):
    result = complete(
        ratings, 3, alpha=0.01, method="als", validation_fraction=0.2, random_state=0
    )
    errors = result.history["validation_rmse"]
    assert result.converged
    assert np.nanmin(errors) <= errors[-1]


def test_callback_stops(ratings):
    seen = []
    result = complete(
        ratings, 3, alpha=1.0, callback=lambda info: seen.append(info) or len(seen) > 2
    )
    assert result.status == "callback"
    assert not result.converged
    assert len(seen) == 3


def test_too_few_entries_warn():
    rows, cols, values, _, _ = make_low_rank(
        30, 30, 3, n_obs=100, min_per_line=0, random_state=0
    )
    with pytest.warns(ConvergenceWarning, match="degrees of freedom"):
        complete(
            (rows, cols, values), 3, shape=(30, 30), alpha=0.0, bias="row", tol=0.5
        )


def test_inputs_are_not_changed(ratings):
    frozen = []
    for a in ratings:
        b = a.copy()
        b.flags.writeable = False
        frozen.append(b)
    complete(tuple(frozen), 3, alpha=1.0, bias="both")


def test_incoherence_and_spectral_start(rng):
    assert incoherence(np.eye(6)[:, :2]) == pytest.approx(3.0)
    U, s, V = spectral_init(rng.standard_normal((20, 12)), 3, random_state=0)
    np.testing.assert_allclose(U.T @ U, np.eye(3), atol=1e-10)
    assert s.shape == (3,)
    assert V.shape == (12, 3)


def test_soft_impute_reaches_the_objective_of_als(ratings):
    common = {"alpha": 8.0, "max_iter": 3000, "random_state": 0}
    filled = complete(ratings, 20, method="soft_impute", tol=1e-11, **common)
    by_als = complete(ratings, 20, method="als", tol=1e-11, **common)
    assert filled.objective == pytest.approx(by_als.objective, rel=1e-5)
    assert np.all(np.diff(filled.history["objective"]) <= 1e-9)


@pytest.mark.parametrize("method", ["altmin_sketch", "scaled_gd"])
def test_other_methods_recover_well_sampled_matrices(method):
    rows, cols, values, U, V = make_low_rank(
        120, 100, 3, oversampling=6, random_state=0
    )
    result = complete(
        (rows, cols, values), 3, method=method, tol=1e-14, max_iter=1000,
        random_state=0, warn=False,
    )  # fmt: skip
    truth = U @ V.T
    error = np.linalg.norm(result.to_dense() - truth) / np.linalg.norm(truth)
    assert error < 1e-5


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("method", ["als", "soft_impute", "scaled_gd"])
def test_exact_fits_end_converged(method, dtype):
    # The objective falls to rounding, whose relative changes never become small.
    rows, cols, values, _, _ = make_low_rank(60, 50, 3, n_obs=2000, random_state=0)
    options = {"shape": (60, 50), "method": method, "random_state": 0}
    result = complete((rows, cols, values.astype(dtype)), 3, **options)
    assert result.converged
    assert result.relative_residual < 100 * np.finfo(dtype).eps


def test_scaled_gradients_reach_the_objective_of_als(ratings):
    common = {"alpha": 2.0, "tol": 1e-12, "max_iter": 5000, "random_state": 0}
    by_gradient = complete(ratings, 3, method="scaled_gd", **common)
    by_als = complete(ratings, 3, method="als", **common)
    assert by_gradient.objective == pytest.approx(by_als.objective, rel=1e-5)


def test_subgradients_resist_outliers():
    rows, cols, values, U, V = make_low_rank(
        120, 100, 2, oversampling=10, outliers=0.1, random_state=0
    )
    result = complete(
        (rows, cols, values), 4, method="subgradient", loss="l1", random_state=0,
        warn=False,
    )  # fmt: skip
    truth = U @ V.T
    error = np.linalg.norm(result.to_dense() - truth) / np.linalg.norm(truth)
    assert error < 0.05


def test_nonnegative_factors_stay_nonnegative_and_are_optimal(rng):
    Y = rng.random((30, 4)) @ rng.random((4, 25))
    Y[rng.random(Y.shape) < 0.3] = np.nan
    result = complete(
        Y, 4, nonnegative=True, alpha=1e-3, max_iter=3000, tol=1e-9, random_state=0,
        warn=False,
    )  # fmt: skip
    U, V = result.row_factors, result.col_factors
    assert U.min() >= 0
    assert V.min() >= 0
    assert result.relative_residual < 0.05
    seen = ~np.isnan(Y)
    gradient = -2 * np.where(seen, Y - result.to_dense(), 0) @ V + 2e-3 * U
    assert np.all(gradient[U == 0] > -1e-2)
    assert np.abs(gradient[U > 1e-6]).max() < 1e-2


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_thin_factorisation_by_gram_matrices(rng, dtype):
    X = rng.standard_normal((20_000, 8)) * np.logspace(0, -4, 8)
    X = (X @ rng.standard_normal((8, 8))).astype(dtype)
    Q, R = thin_qr(X)
    eps = np.finfo(dtype).eps
    assert Q.dtype == R.dtype == dtype
    np.testing.assert_allclose(Q.T @ Q, np.eye(8), atol=100 * eps)
    np.testing.assert_allclose(Q @ R, X, atol=100 * eps * np.abs(X).max())


def test_thin_factorisation_of_dependent_columns(rng):
    X = rng.standard_normal((20_000, 8))
    X[:, 5] = X[:, 2]
    Q, R = thin_qr(X)
    np.testing.assert_allclose(Q.T @ Q, np.eye(8), atol=1e-12)
    np.testing.assert_allclose(Q @ R, X, atol=1e-12)
