# SPDX-License-Identifier: BSD-3-Clause
"""Estimators: scikit-learn's meanings, certificates, weights, sparse input, CV."""

import numpy as np
import pytest
import scipy.sparse as sp
import sklearn.linear_model as peers
from numpy.random import RandomState
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, make_moons
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.preprocessing import StandardScaler

from numopt.coordinate import (
    L1,
    BCDClassifier,
    BCDRegressor,
    ElasticNet,
    ElasticNetCV,
    GroupL2,
    GroupLasso,
    GroupLassoCV,
    LabelPropagation,
    Lasso,
    LassoCV,
    LinearSVC,
    NonNegativeRegression,
    Quadratic,
    SparseLogisticRegression,
    SparseLogisticRegressionCV,
    bcd_solve,
    dual_gap,
)


@pytest.fixture
def data(rng):
    X = rng.standard_normal((80, 30))
    w = np.where(rng.random(30) < 0.2, rng.standard_normal(30), 0.0)
    return X, X @ w + 1.5 + 0.1 * rng.standard_normal(80)


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("positive", [True, False])
def test_lasso_and_elastic_net_mean_what_scikit_learn_means(
    data, fit_intercept, positive, rng
):
    X, y = data
    weights = rng.random(80)
    options = {"fit_intercept": fit_intercept, "positive": positive}
    for ours, theirs in (
        (Lasso(0.02, tol=1e-12, **options), peers.Lasso(0.02, tol=1e-14, **options)),
        (
            ElasticNet(0.05, 0.3, tol=1e-12, **options),
            peers.ElasticNet(0.05, l1_ratio=0.3, tol=1e-14, **options),
        ),
    ):
        ours.fit(X, y, weights)
        theirs.set_params(max_iter=100_000).fit(X, y, weights)
        np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-6)
        assert ours.intercept_ == pytest.approx(theirs.intercept_, abs=1e-6)
        assert ours.dual_gap_ <= 1e-12
        np.testing.assert_allclose(ours.predict(X), theirs.predict(X), atol=1e-5)


def test_elastic_net_is_also_the_penalty(data):
    X, y = data
    net = ElasticNet(0.1, 0.5, fit_intercept=False)
    result = bcd_solve(X, y, Quadratic(), net)
    np.testing.assert_allclose(net.fit(X, y).coef_, result.coef, atol=1e-9)
    assert dual_gap(X, y, result.coef, Quadratic(), net) <= 1e-6
    model = BCDRegressor(penalty=ElasticNet(0.1, 0.5), fit_intercept=False)
    np.testing.assert_allclose(model.fit(X, y).coef_, result.coef, atol=1e-9)
    model.set_params(fit_intercept=True)
    grid = GridSearchCV(model, {"penalty__alpha": [0.01, 10.0]}, cv=3).fit(X, y)
    assert grid.best_params_ == {"penalty__alpha": 0.01}


@pytest.mark.parametrize("C", [0.05, 1.0])
def test_binary_logistic_agrees_with_scikit_learn(C):
    X, y = load_breast_cancer(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    ours = SparseLogisticRegression(C, tol=1e-10).fit(X, y)
    objective = C * np.sum(np.logaddexp(0, -(2 * y - 1) * ours.decision_function(X)))
    objective += np.sum(np.abs(ours.coef_))
    theirs = peers.LogisticRegression(
        C=C, l1_ratio=1.0, solver="saga", tol=1e-5, max_iter=3000
    ).fit(X, y)
    other = C * np.sum(np.logaddexp(0, -(2 * y - 1) * theirs.decision_function(X)))
    other += np.sum(np.abs(theirs.coef_))
    assert objective <= other * (1 + 1e-9)
    assert ours.dual_gap_ <= 1e-10


def test_softmax_agrees_with_scikit_learn():
    X, y = load_iris(return_X_y=True)
    ours = SparseLogisticRegression(1.0, l1_ratio=0.5, tol=1e-10).fit(X, y)
    theirs = peers.LogisticRegression(
        C=1.0, l1_ratio=0.5, solver="saga", tol=1e-10, max_iter=50_000
    ).fit(X, y)
    np.testing.assert_allclose(
        ours.predict_proba(X), theirs.predict_proba(X), atol=1e-4
    )
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-3)
    np.testing.assert_allclose(
        np.exp(ours.predict_log_proba(X)), ours.predict_proba(X), rtol=1e-12
    )


def test_class_weight_is_sample_weight():
    X, y = load_iris(return_X_y=True)
    X, y = X[40:], y[40:] == 0
    balanced = SparseLogisticRegression(0.5, class_weight="balanced", tol=1e-10)
    by_hand = np.where(y, y.size / (2 * y.sum()), y.size / (2 * (~y).sum()))
    plain = SparseLogisticRegression(0.5, tol=1e-10)
    np.testing.assert_allclose(
        balanced.fit(X, y).coef_, plain.fit(X, y, by_hand).coef_, atol=1e-5
    )


@pytest.mark.parametrize("make", [Lasso, SparseLogisticRegression, BCDRegressor])
def test_sparse_equals_dense_and_weights_equal_repetition(make, data, rng):
    X, y = data
    X[rng.random(X.shape) < 0.6] = 0
    model = {
        "Lasso": Lasso(0.05, tol=1e-11),
        "SparseLogisticRegression": SparseLogisticRegression(0.3, tol=1e-11),
        "BCDRegressor": BCDRegressor(penalty=GroupL2(0.05, 5), tol=1e-11),
    }[make.__name__]
    if make is SparseLogisticRegression:
        y = y > np.median(y)
    dense = model.fit(X, y).coef_.copy()
    for form in (sp.csr_array, sp.csc_matrix, sp.coo_array):
        np.testing.assert_allclose(model.fit(form(X), y).coef_, dense, atol=1e-5)
    counts = rng.integers(0, 3, size=y.size)
    rows = np.repeat(np.arange(y.size), counts)
    repeated = model.fit(X[rows], y[rows]).coef_.copy()
    weighted = model.fit(X, y, sample_weight=5.0 * counts)
    # C counts samples: five times the weight is a fifth of the penalty.
    if make is SparseLogisticRegression:
        weighted = SparseLogisticRegression(0.3 / 5, tol=1e-11)
        weighted.fit(X, y, sample_weight=5.0 * counts)
    np.testing.assert_allclose(weighted.coef_, repeated, atol=1e-5)


def test_group_lasso_selects_groups(data):
    X, y = data
    model = GroupLasso(5, 0.2).fit(X, y)
    norms = np.linalg.norm(model.coef_.reshape(-1, 5), axis=1)
    assert 0 < np.count_nonzero(norms) < 6
    listed = GroupLasso([list(range(k, 30, 6)) for k in range(6)], 0.2).fit(X, y)
    labels = GroupLasso(np.arange(30) % 6, 0.2).fit(X, y)
    np.testing.assert_allclose(listed.coef_, labels.coef_, atol=1e-8)


def test_non_negative_regression_is_nnls(data):
    from scipy.optimize import nnls

    X, y = data
    model = NonNegativeRegression(tol=1e-12).fit(X, y)
    np.testing.assert_allclose(model.coef_, nnls(X, y)[0], atol=1e-6)


def test_literal_rules_through_estimators(data):
    X, y = data
    rule = {"partition": "variable", "selection": "GSL", "update": "prox"}
    literal = BCDRegressor(
        penalty=L1(0.1), block_size=3, max_iter=5000, tol=1e-10, **rule
    ).fit(X, y)
    np.testing.assert_allclose(
        literal.coef_, Lasso(0.1, tol=1e-12).fit(X, y).coef_, atol=1e-5
    )
    assert literal.history_["objective"].size == literal.n_iter_ + 1
    labels = np.asarray(["no", "yes"])[(y > y.mean()).astype(int)]
    model = BCDClassifier(penalty=L1(0.05), selection="GS", update="prox", tol=1e-4)
    assert set(model.fit(X, labels).predict(X)) <= {"no", "yes"}
    with pytest.raises(ValueError, match="`datafit` must be Multinomial"):
        BCDClassifier(Quadratic()).fit(X, np.arange(80) % 3)


def test_warm_start_continues(data):
    X, y = data
    model = Lasso(0.01, tol=1e-10, warm_start=True).fit(X, y)
    first = model.n_iter_
    coef = model.coef_.copy()
    model.fit(X, y)
    assert model.n_iter_ <= first
    np.testing.assert_allclose(model.coef_, coef, atol=1e-8)
    X, y = load_digits(return_X_y=True)
    logistic = SparseLogisticRegression(0.01, tol=1e-3, warm_start=True)
    logistic.fit(X[:300] / 16, y[:300])
    once = logistic.n_iter_
    assert logistic.fit(X[:300] / 16, y[:300]).n_iter_ <= once


def test_cross_val_score_and_weights_of_features(data):
    X, y = data
    assert np.mean(cross_val_score(Lasso(0.01), X, y)) > 0.9
    free = Lasso(10.0, weights=np.r_[0.0, np.ones(28), np.inf], tol=1e-10).fit(X, y)
    assert free.coef_[0] != 0
    assert np.all(free.coef_[1:] == 0)


def test_label_propagation_estimator(rng):
    X, y = make_moons(300, noise=0.05, random_state=0)
    few = np.full(300, -1)
    few[:8] = y[:8]
    model = LabelPropagation().fit(X, few)
    assert np.mean(model.transduction_ == y) > 0.98
    new, truth = make_moons(100, noise=0.05, random_state=1)
    assert np.mean(model.predict(new) == truth) > 0.98
    np.testing.assert_allclose(model.predict_proba(new).sum(axis=1), 1.0)
    rbf = LabelPropagation("rbf", gamma=30).fit(X, few)
    assert np.mean(rbf.transduction_ == y) > 0.95
    distances = ((X[:, None] - X) ** 2).sum(axis=2)
    W = sp.csr_array(np.where(distances < 0.05, np.exp(-30 * distances), 0.0))
    given = LabelPropagation("precomputed").fit(W, few)
    assert np.mean(given.transduction_ == y) > 0.95
    custom = LabelPropagation(lambda A, B: np.exp(-30 * ((A[:, None] - B) ** 2).sum(2)))
    np.testing.assert_allclose(
        custom.fit(X, few).label_distributions_, rbf.label_distributions_, atol=1e-6
    )


def test_unreachable_samples_are_minus_one():
    X = np.r_[np.random.default_rng(0).random((20, 2)), [[50, 50], [50, 50.1]]]
    y = np.r_[0, 1, np.full(20, -1)]
    with pytest.warns(UserWarning, match="no label reaches 2 nodes"):
        model = LabelPropagation(n_neighbors=1).fit(X[[0, 1, 20, 21]], y[[0, 1, 2, 3]])
    np.testing.assert_array_equal(model.transduction_[2:], -1)
    assert np.all(np.isfinite(model.label_distributions_))


@pytest.mark.parametrize("make", ["lasso", "enet"])
@pytest.mark.parametrize("weighted", [False, True])
def test_cross_validation_follows_scikit_learn(make, weighted, data, rng):
    X, y = data
    alphas = np.geomspace(0.3, 0.003, 8)
    if make == "lasso":
        ours = LassoCV(alphas=alphas, tol=1e-10, cv=4)
        theirs = peers.LassoCV(alphas=alphas, tol=1e-12, max_iter=100_000, cv=4)
    else:
        ours = ElasticNetCV(0.4, alphas=alphas, tol=1e-10, cv=4)
        theirs = peers.ElasticNetCV(
            l1_ratio=0.4, alphas=alphas, tol=1e-12, max_iter=100_000, cv=4
        )
    weights = rng.random(80) if weighted else None
    ours.fit(X, y, weights)
    theirs.fit(X, y, weights)
    np.testing.assert_allclose(ours.mse_path_, theirs.mse_path_, rtol=1e-4)
    assert ours.alpha_ == pytest.approx(theirs.alpha_)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-5)
    assert np.all(ours.train_mse_path_.mean(axis=1) <= ours.mse_path_.mean(axis=1) * 2)


def test_automatic_grid_is_scikit_learns_and_threads_change_nothing(data):
    X, y = data
    one = LassoCV(n_alphas=15).fit(X, y)
    theirs = peers.LassoCV(alphas=15).fit(X, y)
    np.testing.assert_allclose(one.alphas_, theirs.alphas_, rtol=1e-10)
    two = LassoCV(n_alphas=15, n_jobs=2).fit(X, y)
    np.testing.assert_array_equal(one.mse_path_, two.mse_path_)
    sparse = LassoCV(n_alphas=15).fit(sp.csc_array(X), y)
    np.testing.assert_allclose(one.mse_path_, sparse.mse_path_, rtol=1e-3)
    with pytest.raises(ValueError, match="`alphas` must be given"):
        ElasticNetCV(0.0).fit(X, y)


@pytest.mark.parametrize("given", [False, True])
def test_several_ratios_are_those_of_scikit_learn(data, given):
    X, y = data
    ratios, grid = [0.3, 0.9, 0.6], [0.5, 0.05] if given else None
    ours = ElasticNetCV(ratios, alphas=grid, n_alphas=7, cv=3, tol=1e-10).fit(X, y)
    theirs = peers.ElasticNetCV(
        l1_ratio=ratios, alphas=grid or 7, cv=3, tol=1e-12, max_iter=100_000
    ).fit(X, y)
    assert ours.l1_ratio_ == theirs.l1_ratio_
    assert ours.alpha_ == pytest.approx(theirs.alpha_)
    np.testing.assert_allclose(ours.alphas_, theirs.alphas_, rtol=1e-10)
    np.testing.assert_allclose(ours.mse_path_, theirs.mse_path_, rtol=1e-4)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-5)


def test_several_ratios_of_logistic_models_share_their_folds(data):
    X, y = data
    ratios, cv = [0.2, 1.0], KFold(3, shuffle=True, random_state=RandomState(0))
    options = {"scoring": "neg_log_loss", "tol": 1e-8}
    model = SparseLogisticRegressionCV(4, l1_ratio=ratios, cv=cv, **options)
    model.fit(X, y > 0)
    assert model.log_loss_path_.shape == (2, 4, 3)
    for ratio, losses in zip(ratios, model.log_loss_path_, strict=True):
        cv = KFold(3, shuffle=True, random_state=RandomState(0))
        alone = SparseLogisticRegressionCV(4, l1_ratio=ratio, cv=cv, **options)
        alone.fit(X, y > 0)
        np.testing.assert_allclose(losses, alone.log_loss_path_, rtol=1e-4)
        if ratio == model.l1_ratio_:
            assert model.C_ == alone.C_
            np.testing.assert_allclose(model.coef_, alone.coef_, atol=1e-5)
    best = model.log_loss_path_.mean(axis=2).argmin()
    assert model.l1_ratio_ == ratios[best // 4]


@pytest.mark.parametrize("ratio", [[], [0.5, 1.5], [[0.5]], [0.5, np.nan]])
def test_bad_ratios(data, ratio):
    X, y = data
    for model in (ElasticNetCV(ratio), SparseLogisticRegressionCV(l1_ratio=ratio)):
        with pytest.raises(ValueError, match="`l1_ratio` must be"):
            model.fit(X, y > 0)


def test_group_lasso_cv(data):
    X, y = data
    model = GroupLassoCV(5, n_alphas=6, cv=3).fit(X, y)
    assert model.mse_path_.shape == (6, 3)
    assert model.alpha_ in model.alphas_
    assert model.score(X, y) > 0.9


@pytest.mark.parametrize("scoring", ["accuracy", "neg_log_loss"])
def test_logistic_cv(scoring):
    X, y = load_iris(return_X_y=True)
    for labels in (y == 1, y):
        grid = [0.01, 0.1, 1.0]
        model = SparseLogisticRegressionCV(grid, cv=3, scoring=scoring, tol=1e-5)
        model.fit(X, labels)
        assert model.scores_.shape == model.log_loss_path_.shape == (3, 3)
        direct = SparseLogisticRegression(model.C_, tol=1e-5).fit(X, labels)
        np.testing.assert_allclose(model.coef_, direct.coef_, atol=1e-2)
        fold = SparseLogisticRegression(0.1, tol=1e-8)
        scores = cross_val_score(fold, X, labels, cv=3)
        np.testing.assert_allclose(model.scores_[1], scores, atol=0.021)


@pytest.mark.parametrize("loss", ["hinge", "squared_hinge"])
def test_linear_svc_agrees_with_liblinear(loss):
    from sklearn.svm import LinearSVC as Peer

    X, y = load_iris(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    for labels in (y == 0, y):
        ours = LinearSVC(0.3, loss, tol=1e-9, random_state=0).fit(X, labels)
        theirs = Peer(C=0.3, loss=loss, dual=True, tol=1e-8, max_iter=1_000_000)
        theirs.fit(X, labels)
        np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-4)
        np.testing.assert_allclose(ours.intercept_, theirs.intercept_, atol=1e-4)
        assert ours.dual_gap_ <= 1e-9


@pytest.mark.parametrize("loss", ["hinge", "squared_hinge"])
def test_linear_svc_weighs_samples_as_liblinear_does(loss, rng):
    from sklearn.svm import LinearSVC as Peer

    X, y = load_iris(return_X_y=True)
    X, y = StandardScaler().fit_transform(X), y == 1
    weights = rng.integers(0, 4, y.size).astype(float)
    ours = LinearSVC(0.3, loss, tol=1e-10, random_state=0).fit(X, y, weights)
    theirs = Peer(C=0.3, loss=loss, dual=True, tol=1e-9, max_iter=1_000_000)
    theirs.fit(X, y, weights)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-5)
    rows = np.repeat(np.arange(y.size), weights.astype(int))
    repeated = LinearSVC(0.3, loss, tol=1e-10, random_state=0).fit(X[rows], y[rows])
    np.testing.assert_allclose(ours.coef_, repeated.coef_, atol=1e-5)
    assert ours.dual_gap_ <= 1e-10
    by_class = LinearSVC(0.3, loss, tol=1e-10, class_weight={False: 1.0, True: 3.0})
    same = LinearSVC(0.3, loss, tol=1e-10).fit(X, y, np.where(y, 3.0, 1.0))
    np.testing.assert_allclose(by_class.fit(X, y).coef_, same.coef_, atol=1e-5)


def test_cross_validation_reports_times(data):
    X, y = data
    model = LassoCV(n_alphas=6, cv=3).fit(X, y)
    assert model.time_path_.shape == (6, 3)
    assert np.all(np.diff(model.time_path_, axis=0) >= 0)
    logistic = SparseLogisticRegressionCV([0.1, 1.0], cv=3, tol=1e-3).fit(X, y > 0)
    assert logistic.time_path_.shape == (2, 3)


def test_a_warm_start_of_another_shape_is_a_cold_one(data):
    X, y = data
    model = Lasso(0.01, warm_start=True).fit(X, y).fit(X[:, :10], y)
    np.testing.assert_array_equal(model.coef_, Lasso(0.01).fit(X[:, :10], y).coef_)
    classes = np.arange(80) % 3
    logistic = SparseLogisticRegression(0.1, warm_start=True, tol=1e-3)
    logistic.fit(X, classes).fit(X, classes > 0)
    cold = SparseLogisticRegression(0.1, tol=1e-3).fit(X, classes > 0)
    np.testing.assert_array_equal(logistic.coef_, cold.coef_)


def test_names_of_features_are_forgotten_with_plain_arrays(data):
    pandas = pytest.importorskip("pandas")
    X, y = data
    frame = pandas.DataFrame(X, columns=[f"x{j}" for j in range(30)])
    model = Lasso(0.01).fit(frame, y)
    assert model.feature_names_in_[3] == "x3"
    assert not hasattr(model.fit(X, y), "feature_names_in_")
    assert model.n_features_in_ == 30


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_plain_arrays_are_checked(bad, data):
    X, y = data
    broken = X.copy()
    broken[3, 4] = bad
    for estimator in (Lasso(), SparseLogisticRegression(), LinearSVC()):
        with pytest.raises(ValueError, match="contains"):
            estimator.fit(broken, (y > 0).astype(int))
    with pytest.raises(ValueError, match="contains"):
        Lasso().fit(X, np.where(np.arange(80) == 5, bad, y))
    with pytest.raises(ValueError, match="inconsistent numbers"):
        Lasso().fit(X, y[:-1])


@pytest.mark.parametrize("unit", [1e-10, 1e-40, 1e40])
def test_grids_of_strengths_follow_the_units_of_the_data(data, unit):
    X, y = data
    expected = LassoCV(n_alphas=20).fit(X, y)
    found = LassoCV(n_alphas=20).fit(unit * X, unit * y)
    np.testing.assert_allclose(found.alphas_ / unit**2, expected.alphas_, rtol=1e-10)
    np.testing.assert_allclose(found.coef_, expected.coef_, atol=1e-5)


@pytest.mark.parametrize("dtype", [">f8", "float16", np.longdouble])
def test_floats_of_other_kinds_are_converted(data, dtype):
    X, y = data
    X, y = X.astype(dtype), y.astype(dtype)
    expected = Lasso(alpha=0.1).fit(X.astype(np.float64), y.astype(np.float64))
    np.testing.assert_allclose(Lasso(alpha=0.1).fit(X, y).coef_, expected.coef_)
