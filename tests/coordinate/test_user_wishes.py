# SPDX-License-Identifier: BSD-3-Clause
"""What users of other libraries reported or asked for; the issue is named at each."""

import tracemalloc
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.datasets import load_breast_cancer

from numopt.coordinate import (
    L1,
    ElasticNet,
    GroupL2,
    LabelPropagation,
    Lasso,
    LassoCV,
    Logistic,
    Poisson,
    Quadratic,
    Ridge,
    SparseLogisticRegression,
    SparseLogisticRegressionCV,
    alpha_max,
    bcd_solve,
    dual_gap,
    group_lasso_path,
    lasso_path,
)
from numopt.coordinate._problem.data import LinearData
from numopt.exceptions import ConvergenceWarning


@pytest.fixture
def data(rng):
    X = rng.standard_normal((60, 20))
    return X, X[:, :4].sum(axis=1) + 0.5 * rng.standard_normal(60)


def test_grids_and_folds_know_sample_weights(data, rng):
    """scikit-learn #22932, #16449; skglm #335."""
    X, y = data
    weights = rng.integers(1, 4, 60)
    rows = np.repeat(np.arange(60), weights)
    weighted = LassoCV(n_alphas=5, cv=3).fit(X, y, weights)
    repeated = LassoCV(n_alphas=5, cv=3).fit(X[rows], y[rows])
    np.testing.assert_allclose(weighted.alphas_, repeated.alphas_)
    fixed = {"n_alphas": 5, "cv": [(np.arange(40), np.arange(40, 60))]}
    sides = np.flatnonzero(rows < 40), np.flatnonzero(rows >= 40)
    one = LassoCV(**fixed, tol=1e-10).fit(X, y, weights)
    two = LassoCV(n_alphas=5, cv=[sides], tol=1e-10).fit(X[rows], y[rows])
    np.testing.assert_allclose(one.mse_path_, two.mse_path_, rtol=1e-6)
    np.testing.assert_allclose(one.coef_, two.coef_, atol=1e-6)


def test_classifiers_know_sample_weights(data, rng):
    """skglm #223: the feature most asked for, of logistic models too."""
    X, y = data
    classes, weights = np.digitize(y, [-1.0, 1.0]), rng.integers(1, 4, 60)
    rows = np.repeat(np.arange(60), weights)
    for labels in (y > 0, classes):
        # C counts by the sum of weights, which repeating keeps.
        model = SparseLogisticRegression(0.1, tol=1e-9)
        weighted = model.fit(X, labels, sample_weight=weights).coef_.copy()
        repeated = model.fit(X[rows], labels[rows]).coef_
        np.testing.assert_allclose(weighted, repeated, atol=1e-3)


def test_folds_run_in_threads_and_tell_their_times(data):
    """skglm #308, #309, #311; celer #116: cross-validation with `n_jobs`."""
    X, y = data
    one = LassoCV(n_alphas=6, cv=3, tol=1e-9).fit(X, y)
    two = LassoCV(n_alphas=6, cv=3, tol=1e-9, n_jobs=2).fit(X, y)
    np.testing.assert_allclose(one.mse_path_, two.mse_path_, rtol=1e-4)
    for model in (one, two):
        assert model.mse_path_.shape == (6, 3)
        assert model.train_mse_path_.shape == model.time_path_.shape == (6, 3)
        assert np.all(model.time_path_ >= 0)
        # Errors of training fall along the path, up to the tolerance.
        assert np.all(np.diff(model.train_mse_path_, axis=0) <= 1e-3)


def test_cross_validated_predictions_are_those_of_the_final_fit(data):
    """glum #933: predictions and deviances of folds."""
    X, y = data
    folds = [(np.arange(40), np.arange(40, 60)), (np.arange(20, 60), np.arange(20))]
    model = LassoCV(n_alphas=4, cv=folds, tol=1e-10).fit(X, y)
    final = Lasso(model.alpha_, tol=1e-10).fit(X, y)
    np.testing.assert_allclose(model.predict(X), final.predict(X), atol=1e-8)
    for k, (train, test) in enumerate(folds):
        fold = Lasso(model.alphas_[2], tol=1e-10).fit(X[train], y[train])
        error = np.mean((fold.predict(X[test]) - y[test]) ** 2)
        assert model.mse_path_[2, k] == pytest.approx(error, rel=1e-6)
    classes = SparseLogisticRegressionCV([0.1, 1.0], cv=folds, tol=1e-9).fit(X, y > 0)
    fold = SparseLogisticRegression(1.0, tol=1e-9).fit(X[:40], y[:40] > 0)
    loss = -fold.predict_log_proba(X[40:])[np.arange(20), (y[40:] > 0).astype(int)]
    assert classes.log_loss_path_[1, 0] == pytest.approx(loss.mean(), rel=1e-5)


def test_positive_with_a_constant_target_is_finite(data):
    """celer #203: NaN without end."""
    X, _ = data
    model = Lasso(0.1, positive=True).fit(X, np.full(60, 2.5))
    np.testing.assert_array_equal(model.coef_, 0.0)
    assert model.intercept_ == 2.5


def test_the_gap_of_a_ridge_is_a_bound(data):
    """scikit-learn #32845: the gap without an L1 part."""
    X, y = data
    best = np.linalg.solve(X.T @ X / 60 + 0.3 * np.eye(20), X.T @ y / 60)
    null = 0.5 * np.mean(y**2)

    def objective(w):
        return 0.5 * np.mean((y - X @ w) ** 2) + 0.15 * w @ w

    for scale in (0.0, 0.5, 0.9, 0.99):
        gap = dual_gap(X, y, scale * best, Quadratic(), Ridge(0.3))
        excess = (objective(scale * best) - objective(best)) / null
        assert gap >= excess - 1e-12
    assert dual_gap(X, y, best, Quadratic(), Ridge(0.3)) < 1e-12
    found = bcd_solve(X, y, Quadratic(), ElasticNet(0.3, 0.0), tol=1e-12)
    np.testing.assert_allclose(found.coef, best, atol=1e-6)


@pytest.mark.parametrize("tol", [1e-3, 1e-6, 1e-12])
def test_the_gap_is_as_tight_as_asked(data, tol):
    """scikit-learn #22999, #13394: one relative gap, which an audit confirms."""
    X, y = data
    model = Lasso(0.02, tol=tol).fit(X, y)
    assert model.dual_gap_ <= tol
    audit = dual_gap(
        *(X, y, model.coef_, Quadratic(), L1(0.02)), intercept=model.intercept_
    )
    assert audit <= 2 * tol


def test_features_without_a_penalty_are_least_squares(data):
    """celer #188: weights of 0 gave wrong answers."""
    X, y = data
    weights = np.ones(20)
    weights[[2, 11]] = 0.0
    model = Lasso(0.2, weights=weights, tol=1e-10).fit(X, y)
    slope = X.T @ (y - model.predict(X)) / 60
    np.testing.assert_allclose(slope[[2, 11]], 0.0, atol=1e-5)
    assert np.all(np.abs(slope) <= 0.2 * weights + 1e-5)
    assert model.coef_[11] != 0.0


def test_groups_on_sparse_data_with_infinite_weights_and_small_strengths(data):
    """skglm #197, #228; celer #229."""
    X, y = data
    X = np.where(np.abs(X) > 0.7, X, 0.0)
    weights = np.ones(5)
    weights[1] = np.inf
    options = {"weights": weights, "n_alphas": 6, "eps": 1e-3, "tol": 1e-9}
    dense = group_lasso_path(X, y, 4, **options)
    sparse = group_lasso_path(sp.csc_array(X), y, 4, **options)
    assert dense.converged
    assert sparse.converged
    assert not dense.coefs[4:8].any()
    np.testing.assert_allclose(dense.coefs, sparse.coefs, atol=1e-5)
    penalty = GroupL2(dense.alphas[-1], 4, weights)
    assert dual_gap(X, y, sparse.coefs[:, -1], Quadratic(), penalty) <= 1e-8
    signed = group_lasso_path(sp.csc_array(X), y, 4, positive=True, **options)
    assert signed.converged
    assert signed.coefs.min() == 0.0


def test_text_is_never_made_dense():
    """skglm #302: sparse text; its time is a row of the benchmarks."""
    X = sp.random_array((2000, 8000), density=2e-3, random_state=0, format="csc")
    y = np.asarray(X[:, :20].sum(axis=1)).ravel()
    options = {"n_alphas": 4, "eps": 0.1, "fit_intercept": True}
    lasso_path(X, y, **options)
    tracemalloc.start()
    path = lasso_path(X, y, **options)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert path.converged
    # A dense design takes 128 MB.
    assert peak < 40e6


def test_paths_leave_out_columns_that_cannot_matter(rng, monkeypatch):
    """scikit-learn #229, #5075: safe screening and working sets."""
    X = np.asfortranarray(rng.standard_normal((40, 1500)))
    y = X[:, :5].sum(axis=1) + 0.1 * rng.standard_normal(40)
    passes, whole = [], LinearData.correlate

    def correlate(self, residual):
        passes.append(residual.size)
        return whole(self, residual)

    monkeypatch.setattr(LinearData, "correlate", correlate)
    for path in (
        lasso_path(X, y, n_alphas=40, eps=0.1),
        group_lasso_path(X, y, 5, n_alphas=40, eps=0.1),
    ):
        assert path.converged
        # Each strength certifies its gap on all columns.
        assert len(passes) < 40
        passes.clear()


def test_labels_reach_what_they_can():
    """scikit-learn #9292, #17085, #6604: NaN rows, sparse and precomputed graphs."""
    chain = sp.diags_array([np.ones(4)], offsets=[1], shape=(5, 5))
    W = sp.block_diag([chain + chain.T, np.zeros((2, 2))], format="csr")
    labels = np.array([0, -1, -1, -1, 1, -1, -1])
    with pytest.warns(UserWarning, match="reach"):
        model = LabelPropagation(kernel="precomputed").fit(W, labels)
    assert np.all(np.isfinite(model.label_distributions_))
    assert model.transduction_[[1, 3, 5, 6]].tolist() == [0, 1, -1, -1]


def test_reweighted_loops_start_where_the_last_fit_ended(data):
    """adelie #139: reweighted L1 with warm starts."""
    X, y = data
    weights, passes = np.ones(20), []
    model = Lasso(0.05, warm_start=True, tol=1e-8)
    for _ in range(8):
        model.set_params(weights=weights).fit(X, y)
        passes.append(model.n_iter_)
        weights = 1.0 / (np.abs(model.coef_) + 1e-2)
    cold = Lasso(0.05, weights=weights, tol=1e-8).fit(X, y)
    warm = model.set_params(weights=weights).fit(X, y)
    np.testing.assert_allclose(warm.coef_, cold.coef_, atol=1e-6)
    assert np.flatnonzero(model.coef_).tolist() == [0, 1, 2, 3]


def test_short_fits_warn_and_return(rng):
    """python-glmnet #74: an error instead of a warning; celer #174: no end.

    One pass adds some of the columns; more than those are in the solution.
    """
    X = rng.standard_normal((150, 2000))
    y = rng.standard_normal(150)
    with pytest.warns(ConvergenceWarning, match="tol 1.00e-10"):
        model = Lasso(1e-3, max_iter=1, tol=1e-10).fit(X, y)
    assert np.all(np.isfinite(model.coef_))
    assert model.result_.status == "max_iter"
    assert model.dual_gap_ > 1e-6


def test_losses_of_generalised_linear_models_reach_their_gap(data, rng):
    """glum #609: L1 with log links does not converge."""
    X, y = data
    counts = rng.poisson(np.exp(np.clip(y / 2, -3, 3)))
    top = alpha_max(X, counts, Poisson(), L1(), fit_intercept=True)
    result = bcd_solve(
        X, counts, Poisson(), L1(0.05 * top), fit_intercept=True, tol=1e-9
    )
    assert result.converged
    assert result.dual_gap <= 1e-9


def test_unscaled_data_are_no_trap():
    """scikit-learn #15903: slow and wrong without standardisation."""
    X, y = load_breast_cancer(return_X_y=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = SparseLogisticRegression(0.1, tol=1e-8).fit(X, y)
    penalty = L1(1.0 / (0.1 * y.size))
    gap = dual_gap(
        X, y, model.coef_[0], Logistic(), penalty, intercept=model.intercept_[0]
    )
    assert gap <= 1.1e-8
    assert model.score(X, y) > 0.94


def test_the_gap_and_its_threshold_are_in_the_message(data):
    """scikit-learn #13394: a tolerance scaled in silence."""
    X, y = data
    result = bcd_solve(X, y, Quadratic(), L1(0.1), tol=1e-7)
    assert f"{result.dual_gap:.2e} <= tol 1.00e-07" in result.message


@pytest.mark.slow
def test_warmup_leaves_nothing_to_compile():
    """skglm #106, #148, #215, #232: the first fit is slow."""
    from numopt._kernels.dispatch import all_kernels
    from numopt.coordinate import warmup

    own = [name for name, _ in all_kernels() if name.startswith("numopt.coordinate.")]
    assert warmup() == len(own) > 10
