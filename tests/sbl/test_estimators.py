# SPDX-License-Identifier: BSD-3-Clause
"""Estimators: agreement with the functions, drop-in behaviour, calibration."""

import functools
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.optimize import brentq
from scipy.stats import chi2
from sklearn.datasets import load_diabetes
from sklearn.linear_model import ARDRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures

from numopt.datasets import make_kronecker_sparse
from numopt.sbl import (
    BlockSBLRegressor,
    KroneckerSBL,
    MultiTaskSBL,
    RVMRegressor,
    SBLRegressor,
    block_sbl,
    kronecker_sbl,
    log_evidence,
    sbl,
)
from numopt.sbl._estimators import centring
from numopt.sbl._estimators.low_rank import rbf_factor
from tests.sbl.data import relative_error, sparse_model


def test_regressor_equals_the_function():
    A, y, *_ = sparse_model(60, 30, 5)
    model = SBLRegressor(fit_intercept=False).fit(A, y)
    np.testing.assert_allclose(model.coef_, sbl(A, y).coef, rtol=1e-6, atol=1e-9)
    assert model.intercept_ == 0.0
    assert np.isinf(model.lambda_).sum() == 30 - model.active_.size
    assert model.sigma_.shape == (model.active_.size,) * 2


@pytest.mark.parametrize("method", ["fast", "mm", "cofem"])
def test_sparse_features_equal_dense_ones(method):
    A, y, *_ = sparse_model(60, 30, 5)
    A = A * (np.abs(A) > 1.0)
    options = {"method": method, "random_state": 0, "noise_var": 0.5, "max_iter": 100}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a hundred iterations are enough to compare
        dense = SBLRegressor(**options).fit(A, y + 3)
        sparse = SBLRegressor(**options).fit(sp.csr_array(A), y + 3)
    np.testing.assert_allclose(sparse.coef_, dense.coef_, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(sparse.intercept_, dense.intercept_, rtol=1e-6)
    mean, std = sparse.predict(sp.csr_array(A), return_std=True)
    desired = dense.predict(A, return_std=True)
    np.testing.assert_allclose(mean, desired[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(std, desired[1], rtol=1e-5)


def test_evidence_is_not_below_that_of_ard():
    A, y, *_ = sparse_model(200, 40, 6, rho=0.5)
    A = A - A.mean(axis=0)
    y = y - y.mean()
    peer = ARDRegression(threshold_lambda=1e10, fit_intercept=False).fit(A, y)
    gamma = np.where(peer.coef_ != 0, 1.0 / peer.lambda_, 0.0)
    theirs = log_evidence(A, y, gamma, 1.0 / peer.alpha_)
    ours = SBLRegressor(sparsity_prior="none", fit_intercept=False).fit(A, y)
    assert ours.result_.log_evidence >= theirs - 0.5


def test_mackay_shares_its_fixed_point_with_ard():
    """Without hyper-priors and thresholds the peer iterates the same map."""
    A, y, *_ = sparse_model(150, 12, 4)
    A, y = A - A.mean(axis=0), y - y.mean()
    zero = dict.fromkeys(("alpha_1", "alpha_2", "lambda_1", "lambda_2"), 0.0)
    peer = ARDRegression(
        tol=1e-12, max_iter=5000, threshold_lambda=1e12, fit_intercept=False, **zero
    ).fit(A, y)
    ours = SBLRegressor(
        method="mackay", tol=1e-10, max_iter=5000, fit_intercept=False
    ).fit(A, y)
    np.testing.assert_allclose(ours.coef_, peer.coef_, atol=1e-4)
    assert ours.alpha_ == pytest.approx(peer.alpha_, rel=1e-4)


def test_smaller_error_than_ard_with_many_features():
    """Less than .35 of its error at n=100, p=1000, k=10: median of three problems."""
    errors = []
    for seed in range(3):
        A, y, x, _ = sparse_model(100, 1000, 10, seed=seed)
        ours = relative_error(SBLRegressor().fit(A, y).coef_, x)
        errors.append(ours / relative_error(ARDRegression().fit(A, y).coef_, x))
    assert np.median(errors) < 0.35


def test_error_bars_are_calibrated():
    rng = np.random.default_rng(0)
    inside = []
    for seed in range(6):
        A, y, x, noise = sparse_model(400, 50, 8, seed=seed, snr_db=10)
        model = SBLRegressor().fit(A, y)
        new = rng.standard_normal((400, 50))
        target = new @ x + np.sqrt(noise) * rng.standard_normal(400)
        mean, std = model.predict(new, return_std=True)
        inside.append(np.mean(np.abs(target - mean) < 1.96 * std))
    assert 0.92 < np.mean(inside) < 0.98


@pytest.mark.parametrize("value", [0.0, 3.7])
def test_constant_target(value):
    X = np.random.default_rng(0).standard_normal((20, 3))
    model = SBLRegressor().fit(X, np.full(20, value))
    mean, std = model.predict(X, return_std=True)
    np.testing.assert_allclose(mean, value)
    assert np.all(np.isfinite(std))
    assert np.all(model.coef_ == 0)
    assert model.result_.converged


def test_large_offsets_do_not_hide_features():
    A, y, *_ = sparse_model(100, 10, 3)
    model = SBLRegressor().fit(A + 1e5, y + 1e6)
    np.testing.assert_allclose(model.coef_, SBLRegressor().fit(A, y).coef_, atol=1e-5)
    constant = SBLRegressor().fit(np.concatenate([A, np.full((100, 1), 0.1)], 1), y)
    assert constant.coef_[-1] == 0


def test_zero_weight_is_absence_and_two_is_repetition():
    A, y, *_ = sparse_model(40, 15, 3)
    w = np.random.default_rng(1).integers(0, 3, 40)
    weighted = SBLRegressor().fit(A, y, sample_weight=w)
    repeated = SBLRegressor().fit(np.repeat(A, w, axis=0), np.repeat(y, w))
    np.testing.assert_allclose(weighted.coef_, repeated.coef_, rtol=1e-7, atol=1e-9)
    assert weighted.alpha_ == pytest.approx(repeated.alpha_)
    with pytest.raises(ValueError, match=r"(positive entry|at least one non-zero)"):
        SBLRegressor().fit(A, y, sample_weight=np.zeros(40))


@pytest.mark.slow
def test_diabetes_is_not_worse_than_ard():
    X, y = load_diabetes(return_X_y=True)
    X = PolynomialFeatures(2, include_bias=False).fit_transform(X)
    ours = cross_val_score(SBLRegressor(), X, y).mean()
    assert ours >= cross_val_score(ARDRegression(), X, y).mean() - 0.002


def test_complex_data_are_refused():
    with pytest.raises(ValueError, match=r"[Cc]omplex"):
        SBLRegressor().fit(np.eye(3) * 1j, np.ones(3))


def test_several_tasks_share_features():
    """The truth is found; spurious features are as rare as chance allows.

    A feature without effect has ``L r ~ chi2(L)`` and enters when its gain
    ``(L/2)(r - 1 - log r)`` exceeds ``log((p - m) / (m + 1))``.
    """
    p, k, L = 60, 4, 5
    limit = brentq(
        lambda r: L / 2 * (r - 1 - np.log(r)) - np.log((p - k) / (k + 1)), 1.0, 50.0
    )
    chance = (p - k) * chi2.sf(L * limit, L)
    extra = []
    for seed in range(20):
        A, Y, x, _ = sparse_model(120, p, k, L=L, seed=seed)
        model = MultiTaskSBL(fit_intercept=False).fit(A, Y)
        missed = set(np.flatnonzero(x[:, 0])) - set(model.active_)
        assert all(np.linalg.norm(x[j]) < 0.2 * np.linalg.norm(x) for j in missed)
        extra.append(len(set(model.active_) - set(np.flatnonzero(x[:, 0]))))
    assert np.mean(extra) < chance + 3 * np.sqrt(chance / 20)


def test_several_tasks_predict():
    A, Y, *_ = sparse_model(40, 60, 4, L=5)
    model = MultiTaskSBL().fit(A, Y + np.arange(5.0))
    assert model.coef_.shape == (5, 60)
    np.testing.assert_allclose(model.intercept_, np.arange(5), atol=0.5)
    mean, std = model.predict(A, return_std=True)
    assert mean.shape == Y.shape
    assert std.shape == (40,)


def test_relevance_vectors_fit_sinc():
    rng = np.random.default_rng(0)
    x = np.linspace(-10, 10, 200)[:, None]
    truth = np.sinc(x[:, 0] / np.pi)
    model = RVMRegressor(gamma=0.1).fit(x, truth + 0.05 * rng.standard_normal(200))
    mean, std = model.predict(x, return_std=True)
    assert np.sqrt(np.mean((mean - truth) ** 2)) < 0.025
    assert model.relevance_.size < 20
    np.testing.assert_allclose(1 / np.sqrt(model.alpha_), 0.05, rtol=0.2)
    assert np.all(std > 0.04)


def test_low_rank_kernels_change_nothing():
    """Compression by the pivoted factor against the full kernel matrix."""
    rng = np.random.default_rng(0)
    x = np.linspace(-10, 10, 150)[:, None]
    y = np.sinc(x[:, 0] / np.pi) + 0.05 * rng.standard_normal(150)
    assert rbf_factor(x, 0.1).shape[1] < 37
    assert rbf_factor(x, 1e3) is None
    ours = RVMRegressor(gamma=0.1).fit(x, y)
    full = RVMRegressor(kernel=lambda a, b: np.exp(-0.1 * np.sum((a - b) ** 2)))
    full.fit(x, y)
    # Neighbours are nearly equal columns: fits agree, single points need not.
    np.testing.assert_allclose(ours.predict(x), full.predict(x), atol=2e-3)
    assert ours.result_.log_evidence == pytest.approx(
        full.result_.log_evidence, abs=0.1
    )
    assert ours.alpha_ == pytest.approx(full.alpha_, rel=1e-2)


def test_relevance_vectors_may_be_none_at_all():
    x = np.linspace(0, 1, 30)[:, None]
    model = RVMRegressor().fit(x, np.ones(30))
    assert model.relevance_.size == 0
    mean, std = model.predict(x, return_std=True)
    np.testing.assert_allclose(mean, 1.0)
    assert np.all(np.isfinite(std))


def test_search_and_pipeline():
    X, y = load_diabetes(return_X_y=True)
    pipe = make_pipeline(PolynomialFeatures(2), SBLRegressor())
    grid = {"sblregressor__sparsity_prior": ["beta", "none"]}
    assert GridSearchCV(pipe, grid, cv=3).fit(X, y).best_score_ > 0.4


def test_independent_targets_are_separate_fits():
    A, Y, *_ = sparse_model(50, 20, 3, L=2)
    both = SBLRegressor().fit(A, Y)
    mean, std = both.predict(A, return_std=True)
    assert both.coef_.shape == (2, 20)
    for k in range(2):
        one = SBLRegressor().fit(A, Y[:, k])
        np.testing.assert_allclose(both.coef_[k], one.coef_, atol=1e-10)
        np.testing.assert_array_equal(both.active_[k], one.active_)
        desired = one.predict(A, return_std=True)
        np.testing.assert_allclose(mean[:, k], desired[0], atol=1e-9)
        np.testing.assert_allclose(std[:, k], desired[1], rtol=1e-9)


def test_optimizer_of_equation_discovery():
    """As an optimizer of pysindy: the terms of a damped oscillator."""
    pysindy = pytest.importorskip("pysindy")
    t = np.linspace(0, 10, 500)
    x = np.exp(-0.1 * t)[:, None] * np.stack([np.cos(2 * t), -np.sin(2 * t)], axis=1)
    model = pysindy.SINDy(optimizer=SBLRegressor(fit_intercept=False))
    model.fit(x, t=t)
    found = np.abs(model.coefficients()) > 0.05
    assert set(zip(*np.nonzero(found), strict=True)) == {(0, 1), (0, 2), (1, 1), (1, 2)}


def test_kronecker_coder():
    data = make_kronecker_sparse((6, 7), (9, 8), 2, random_state=0)
    X = np.stack([data.y, 2 * data.y])
    coder = KroneckerSBL(data.factors).fit(X)
    codes = coder.transform(X)
    np.testing.assert_allclose(
        codes[0], kronecker_sbl(data.factors, data.y).coef.ravel()
    )
    np.testing.assert_allclose(codes[1], 2 * codes[0], rtol=1e-6, atol=1e-9)
    error = np.abs(coder.inverse_transform(codes) - X).max()
    assert error < 0.3 * np.abs(X).max()
    shared = KroneckerSBL(data.factors, shared_support=True).fit(X)
    assert np.count_nonzero(shared.transform(X).any(axis=0)) <= 25
    with pytest.raises(ValueError, match="42 features"):
        KroneckerSBL(data.factors).fit(X[:, :5])


def test_blocks_of_features():
    rng = np.random.default_rng(0)
    A = rng.standard_normal((80, 30))
    x = np.zeros(30)
    x[6:9], x[21:24] = [1.0, 1.1, 0.9], -2.0
    y = A @ x + 0.1 * rng.standard_normal(80)
    model = BlockSBLRegressor(3).fit(A, y + 5.0)
    assert relative_error(model.coef_, x) < 0.05
    assert {6, 7, 8, 21, 22, 23} <= set(model.active_)
    assert model.intercept_ == pytest.approx(5.0, abs=0.1)
    centred = A - A.mean(axis=0)
    plain = block_sbl(centred, y - y.mean(), 3)
    np.testing.assert_allclose(model.coef_, plain.coef, rtol=1e-6, atol=1e-9)
    mean, std = model.predict(sp.csr_array(A), return_std=True)
    np.testing.assert_allclose(mean, model.predict(A))
    assert np.mean(np.abs(mean - y - 5.0) < 1.96 * std) > 0.9
    with pytest.raises(ValueError, match="`groups` must be a partition"):
        BlockSBLRegressor([[0, 1], [1, 2]]).fit(A[:, :3], y)


@pytest.mark.parametrize("method", ["mm", "mackay", "em", "block"])
def test_weights_are_repetitions_in_batch_methods(method):
    """Merged repeated rows hold directions of pure noise, which the evidence counts."""
    A, y, *_ = sparse_model(40, 15, 3)
    w = np.random.default_rng(1).integers(0, 3, 40)
    make = (
        functools.partial(BlockSBLRegressor, 3, max_iter=9)
        if method == "block"
        else functools.partial(SBLRegressor, method=method, max_iter=9)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nine iterations are enough to compare
        weighted = make().fit(A, y, sample_weight=w)
        repeated = make().fit(np.repeat(A, w, axis=0), np.repeat(y, w))
    np.testing.assert_allclose(weighted.coef_, repeated.coef_, rtol=1e-7, atol=1e-9)
    assert weighted.alpha_ == pytest.approx(repeated.alpha_)
    np.testing.assert_allclose(weighted.scores_, repeated.scores_, rtol=1e-9)


@pytest.mark.parametrize("offset", [0.0, 30.0, 1e3, 1e7])
def test_means_left_in_the_dictionary_change_nothing(offset):
    """Implicit centring of products, explicit once it would lose more than 4 digits."""
    A, y, *_ = sparse_model(80, 40, 4)
    desired = SBLRegressor().fit(A, y)
    moved = SBLRegressor().fit(A + offset, y)
    np.testing.assert_array_equal(moved.active_, desired.active_)
    np.testing.assert_allclose(moved.coef_, desired.coef_, atol=1e-8 + 1e-13 * offset)


def test_plain_arrays_are_validated_like_others():
    A, y, *_ = sparse_model(20, 5, 2)
    for bad in (np.nan, np.inf):
        X, t = A.copy(), y.copy()
        X[3, 2] = t[4] = bad
        with pytest.raises(ValueError, match="X contains"):
            SBLRegressor().fit(X, y)
        with pytest.raises(ValueError, match="y contains"):
            SBLRegressor().fit(A, t)
    with pytest.raises(ValueError, match="inconsistent numbers"):
        SBLRegressor().fit(A, y[:-1])
    model = SBLRegressor()
    model.feature_names_in_ = np.array(list("abcde"), dtype=object)
    assert not hasattr(model.fit(A, y), "feature_names_in_")


def test_one_pass_gives_the_centred_sums_and_products(rng):
    X, y = rng.standard_normal((37, 6)) + 3.0, rng.standard_normal(37) - 5.0
    sums = centring.column_sums(X, y, True)
    fast = centring.summed(X, y, sums, True)
    slow = centring.centred(X, y[:, None], None, True, implicit=True)
    Z = X - X.mean(axis=0)
    assert sums.finite
    for data in (fast, slow):
        np.testing.assert_allclose(data.x_mean, X.mean(axis=0), rtol=1e-12)
        np.testing.assert_allclose(data.energies, np.sum(Z**2, axis=0), rtol=1e-11)
        np.testing.assert_allclose(data.problem.Y[:, 0], y - y.mean(), atol=1e-12)
        gram = data.gram
        gram.make(np.array([4, 0]))
        unit = Z * gram.d
        np.testing.assert_allclose(gram.G[:2], unit[:, [4, 0]].T @ unit, atol=1e-10)
    np.testing.assert_allclose(fast.products, Z.T @ (y - y.mean()), atol=1e-10)


def test_one_pass_is_refused_where_centring_loses_digits(rng):
    X, y = rng.standard_normal((20, 3)), rng.standard_normal(20)
    for shifted, target in ((X + 1e3, y), (X, y + 1e3)):
        sums = centring.column_sums(shifted, target, True)
        assert centring.summed(shifted, target, sums, True) is None
    X[3, 1] = np.nan
    assert not centring.column_sums(X, y, True).finite
