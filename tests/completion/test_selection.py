# SPDX-License-Identifier: BSD-3-Clause
"""Weighted factorisation, rank and penalty choice, held-out errors."""

import numpy as np
import pytest

from numopt.completion import (
    complete,
    completion_path,
    estimate_rank,
    heldout_rmse,
    weighted_low_rank,
)
from numopt.datasets import make_low_rank


@pytest.fixture
def matrix(rng):
    return rng.standard_normal((15, 10)), rng.random(15) + 0.1, rng.random(10) + 0.1


def weighted_loss(M, X, W):
    return float(np.sum(W * (M - X) ** 2))


def test_row_weights_in_closed_form_match_alternation(matrix):
    M, p, _ = matrix
    W = np.repeat(p[:, None], 10, axis=1)
    closed = weighted_low_rank(M, p, 3)
    by_als = weighted_low_rank(M, p, 3, method="als", max_iter=3000, tol=1e-15)
    assert closed.objective == pytest.approx(weighted_loss(M, closed.to_dense(), W))
    assert by_als.objective == pytest.approx(closed.objective, rel=1e-8)
    A, s, Bt = np.linalg.svd(M, full_matrices=False)
    plain = (A[:, :3] * s[:3]) @ Bt[:3]
    assert closed.objective <= weighted_loss(M, plain, W)


def test_pairs_of_weights_match_alternation(matrix):
    M, p, q = matrix
    closed = weighted_low_rank(M, (p, q), 3)
    full = weighted_low_rank(M, np.outer(p, q), 3, max_iter=3000, tol=1e-15)
    assert full.objective == pytest.approx(closed.objective, rel=1e-8)


def test_general_weights_beat_the_rank_one_start(matrix, rng):
    M, _, _ = matrix
    W = rng.random(M.shape)
    found = weighted_low_rank(M, W, 3, max_iter=1000)
    assert found.objective == pytest.approx(
        weighted_loss(M, found.to_dense(), W), rel=1e-8
    )
    A, s, Bt = np.linalg.svd(W)
    start = weighted_low_rank(M, (np.abs(A[:, 0]) * s[0], np.abs(Bt[0])), 3)
    assert found.objective < weighted_loss(M, start.to_dense(), W)


def test_weights_must_be_positive(matrix):
    M, p, _ = matrix
    with pytest.raises(ValueError, match="weights"):
        weighted_low_rank(M, p - 10, 2)
    with pytest.raises(ValueError, match="weights"):
        weighted_low_rank(M, p[:-1], 2)


def test_path_equals_single_fits():
    entries = make_low_rank(50, 40, 3, n_obs=1000, noise=0.3, random_state=0)[:3]
    alphas = [0.5, 5.0, 2.0]
    common = {"tol": 1e-12, "max_iter": 2000}
    path = completion_path(entries, alphas, 3, **common)
    for alpha, warm in zip(alphas, path, strict=True):
        cold = complete(entries, 3, alpha=alpha, random_state=0, **common)
        assert warm.alpha == alpha
        assert warm.objective == pytest.approx(cold.objective, rel=1e-6)


@pytest.mark.parametrize("method", ["heldout", "spectral"])
def test_rank_is_found(method):
    entries = make_low_rank(150, 120, 4, n_obs=9000, noise=0.1, random_state=0)[:3]
    assert estimate_rank(entries, 16, method=method, random_state=0) == 4


def test_interval_covers_the_error():
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(200):
        found = heldout_rmse(np.zeros(300), rng.standard_normal(300))
        inside += found.low <= 1.0 <= found.high
    assert 180 <= inside <= 199


def test_clusters_widen_the_interval():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(50), 10)
    error = rng.standard_normal(50)[groups]
    alone = heldout_rmse(np.zeros(500), error)
    grouped = heldout_rmse(np.zeros(500), error, groups=groups)
    assert grouped.se > 2 * alone.se


# ---------------------------------------------------------------- rank="auto"


@pytest.mark.parametrize("condition", [1.0, 100.0])
def test_rank_of_exact_data(condition):
    rows, cols, values, U, V = make_low_rank(
        120, 100, 4, oversampling=3.5, condition=condition, random_state=0
    )
    result = complete((rows, cols, values), "auto", random_state=0)
    assert result.rank == 4
    assert sorted(result.rank_path) == [1, 2, 3, 4]
    truth = U @ V.T
    assert np.abs(result.to_dense() - truth).max() < 1e-6 * np.abs(truth).max()


def test_rank_of_noisy_data_with_a_ridge():
    rows, cols, values, _, _ = make_low_rank(
        150, 120, 3, n_obs=6000, noise=0.2, random_state=1
    )
    result = complete(
        (rows, cols, values), "auto", alpha=1.0, max_iter=40, tol=1e-4, random_state=0
    )
    assert 3 <= result.rank <= 4
    assert result.rank_path[result.rank] < result.rank_path[1]


def test_rank_of_corrupted_data():
    rows, cols, values, _, _ = make_low_rank(
        100, 90, 3, oversampling=8.0, outliers=0.1, random_state=0
    )
    result = complete((rows, cols, values), "auto", loss="l1", random_state=0)
    assert result.rank == 3
    assert result.relative_residual > 0.1  # the outliers stay outside
    assert result.outlier_mask.mean() == pytest.approx(0.1, abs=0.01)


def test_generous_rank_with_evidence():
    rows, cols, values, _, _ = make_low_rank(
        150, 120, 3, n_obs=6000, noise=0.2, random_state=1
    )
    result = complete((rows, cols, values), "auto", alpha="auto", random_state=0)
    assert result.rank == 30
    # The evidence has switched the surplus components off.
    assert result.singular_values[3] < 0.05 * result.singular_values[2]


def test_rank_is_an_integer_or_auto():
    with pytest.raises(TypeError, match="`rank` must be"):
        complete(np.ones((3, 3)), "many")


# ---------------------------------------------------------------- ridge by the data


def test_ridge_is_chosen_where_the_posterior_is_too_large(monkeypatch):
    monkeypatch.setattr("numopt.completion._solvers.options.POSTERIOR_LIMIT", 1000)
    rows, cols, values, U, V = make_low_rank(
        150, 120, 3, n_obs=6000, noise=0.5, random_state=1
    )
    options = {"max_iter": 60, "tol": 1e-4, "random_state": 0, "warn": False}
    chosen = complete((rows, cols, values), 8, alpha="auto", **options)
    assert chosen.posterior is None
    assert "chosen on entries kept back" in chosen.message
    errors = [
        np.linalg.norm(r.to_dense() - U @ V.T)
        for r in (
            chosen,
            complete((rows, cols, values), 8, alpha=chosen.alpha / 20, **options),
            complete((rows, cols, values), 8, alpha=chosen.alpha * 20, **options),
        )
    ]
    assert errors[0] < 0.8 * min(errors[1:])


def test_nonnegative_factors_choose_their_ridge():
    rng = np.random.default_rng(0)
    truth = rng.random((30, 2)) @ rng.random((2, 25))
    X = np.where(rng.random(truth.shape) < 0.7, truth, np.nan)
    result = complete(
        X, 2, alpha="auto", nonnegative=True, max_iter=40, warn=False, random_state=0
    )
    assert result.row_factors.min() >= 0
    assert result.alpha > 0


def test_small_outliers_are_found_by_the_finer_cuts():
    """One of the outliers is below the coarsest cut."""
    rows, cols, values, U, V = make_low_rank(
        100, 90, 3, oversampling=8.0, outliers=0.1, random_state=10
    )
    result = complete((rows, cols, values), 3, loss="l1", random_state=0)
    off = np.abs(values - (U[rows] * V[cols]).sum(axis=1))
    assert off[off > 1e-6].min() < 0.1 * np.median(np.abs(values))
    np.testing.assert_array_equal(result.outlier_mask, off > 1e-6)
