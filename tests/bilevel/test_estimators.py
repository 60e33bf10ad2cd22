# SPDX-License-Identifier: BSD-3-Clause
"""Penalties per block: better than a common one, equal to peers where they agree."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.linear_model import LogisticRegressionCV, RidgeCV
from sklearn.metrics import log_loss
from sklearn.model_selection import KFold

import numopt.bilevel as bl

pytestmark = pytest.mark.filterwarnings("ignore:.*ended at a bound:UserWarning")


def blocks(seed=0, n=120, sizes=(5, 40)):
    """A few informative features, many without use."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, sum(sizes)))
    y = X[:, : sizes[0]] @ np.linspace(1, 2, sizes[0]) + 2 * rng.normal(size=n)
    return X, y, np.repeat(np.arange(len(sizes)), sizes)


def test_ridge_of_one_group_is_ridge_cv():
    X, y, _ = blocks()
    ours = bl.BilevelRidge(tol=1e-10).fit(X, y)
    alphas = ours.alphas_[0] * np.geomspace(0.8, 1.25, 45)
    peer = RidgeCV(alphas, cv=KFold(5), scoring="neg_mean_squared_error").fit(X, y)
    assert ours.alphas_[0] == pytest.approx(peer.alpha_, rel=0.015)
    assert ours.cv_loss_ == pytest.approx(-0.5 * peer.best_score_, rel=1e-4)
    np.testing.assert_allclose(ours.coef_, peer.coef_, rtol=0.05, atol=1e-3)


@pytest.mark.parametrize(("x_unit", "y_unit"), [(1e-3, 1e6), (1e6, 1e-6), (1e-20, 1)])
def test_units_of_the_data_do_not_matter(x_unit, y_unit):
    rng = np.random.default_rng(0)
    X = rng.random((60, 8))
    y = X[:, 0] + 2 * X[:, 1] + 0.1 * rng.standard_normal(60)
    options = {"groups": [[0, 1, 2, 3], [4, 5, 6, 7]], "random_state": 0}
    expected = bl.BilevelRidge(**options).fit(X, y)
    found = bl.BilevelRidge(**options).fit(x_unit * X, y_unit * y)
    np.testing.assert_allclose(found.alphas_ / x_unit**2, expected.alphas_, rtol=1e-3)
    np.testing.assert_allclose(found.cv_loss_ / y_unit**2, expected.cv_loss_, rtol=1e-6)


@pytest.mark.parametrize("unit", [2.0**-70, 2.0**-14, 2.0**14])
@pytest.mark.parametrize("sparse", [False, True])
def test_units_of_features_do_not_matter(unit, sparse):
    X, y, groups = blocks(n=80)
    X = sp.csr_array(X) if sparse else X
    expected = bl.BilevelLogisticRegression(groups, random_state=0).fit(X, y > 0)
    found = bl.BilevelLogisticRegression(groups, random_state=0).fit(unit * X, y > 0)
    ratio = found.penalties_ / unit**2 / expected.penalties_
    np.testing.assert_allclose(ratio, 1.0, rtol=1e-9)
    np.testing.assert_allclose(unit * found.coef_, expected.coef_, rtol=1e-9)


def test_leave_one_out_is_ridge_cv():
    X, y, groups = blocks()
    ours = bl.BilevelRidge(cv=None, tol=1e-7).fit(X, y)
    alphas = ours.alphas_[0] * np.geomspace(0.8, 1.25, 45)
    peer = RidgeCV(alphas).fit(X, y)
    assert ours.alphas_[0] == pytest.approx(peer.alpha_, rel=0.015)
    assert ours.cv_loss_ == pytest.approx(-0.5 * peer.best_score_, rel=1e-4)
    better = bl.BilevelRidge(groups, cv=None).fit(X, y)
    assert better.cv_loss_ < ours.cv_loss_


@pytest.mark.parametrize("cv", [5, None])
@pytest.mark.parametrize("n", [120, 30])
def test_ridge_blocks(n, cv):
    X, y, groups = blocks(n=n)
    model = bl.BilevelRidge(groups, cv=cv, shrinkage=0.0).fit(X, y)
    assert model.cv_loss_ < model.cv_loss_common_
    assert model.alphas_[1] > model.alphas_[0]
    assert model.form_ == ("primal" if n > X.shape[1] else "dual")
    Xt, yt, _ = blocks(1, n=500)
    common = bl.BilevelRidge(cv=cv).fit(X, y)
    assert model.score(Xt, yt) > common.score(Xt, yt)


def test_dual_and_primal_agree():
    X, y, groups = blocks(n=60)
    data = X[:40, :30], y[:40], X[40:, :30], y[40:]
    wide = [
        np.concatenate([one, np.zeros((len(one), 20))], axis=1) for one in data[::2]
    ]
    primal = bl.RidgeProblem(*data, groups[:30])
    dual = bl.RidgeProblem(
        wide[0], data[1], wide[1], data[3], np.append(groups[:30], [1] * 20)
    )
    assert dual.lower.wide
    assert not primal.lower.wide
    theta = primal.theta0 + np.array([-1.0, 1.0])
    one, two = (bl.hypergradient(p, theta, tol=1e-8) for p in (primal, dual))
    np.testing.assert_allclose(two.x[:30], one.x, rtol=1e-8)
    np.testing.assert_allclose(two.gradient, one.gradient, rtol=1e-8)


def test_alpha_per_target_equals_separate_fits():
    X, y, groups = blocks()
    Y = np.stack([y, X[:, -1] + 0.1 * y], axis=1)
    both = bl.BilevelRidge(groups, alpha_per_target=True).fit(X, Y)
    assert both.alphas_.shape == (2, 2)
    for t in range(2):
        one = bl.BilevelRidge(groups).fit(X, Y[:, t])
        np.testing.assert_allclose(both.alphas_[:, t], one.alphas_, rtol=1e-6)
        np.testing.assert_allclose(both.coef_[t], one.coef_, rtol=1e-6)
    assert bl.BilevelRidge(groups).fit(X, Y).predict(X).shape == Y.shape


def test_constant_target_predicts_it():
    X, _, groups = blocks()
    model = bl.BilevelRidge(groups).fit(X, np.full(len(X), 3.0))
    np.testing.assert_allclose(model.predict(X), 3.0)


def test_per_feature_penalties_are_kept_in_check():
    X, y, _ = blocks(n=60, sizes=(3, 17))
    model = bl.BilevelRidge("features", random_state=0, tol=1e-3).fit(X, y)
    assert model.shrinkage_ >= 0.01
    Xt, yt, _ = blocks(1, n=500, sizes=(3, 17))
    assert model.score(Xt, yt) > bl.BilevelRidge().fit(X, y).score(Xt, yt) - 0.02


def test_weights_are_repetition():
    X, y, groups = blocks(n=60)
    weights = np.tile([1.0, 2.0, 0.0], 20)
    rows = np.repeat(np.arange(60), weights.astype(int))
    part = np.arange(60) // 20
    splits = [(np.flatnonzero(part != k), np.flatnonzero(part == k)) for k in range(3)]
    repeated = part[rows]
    again = [
        (np.flatnonzero(repeated != k), np.flatnonzero(repeated == k)) for k in range(3)
    ]
    # The minimiser is the same; the ways there are not.
    options = {"shrinkage": 0.0, "tol": 1e-6}
    for make, target in (
        (bl.BilevelRidge, y),
        (bl.BilevelLogisticRegression, y > 0),
    ):
        one = make(groups, cv=splits, **options).fit(X, target, sample_weight=weights)
        two = make(groups, cv=again, **options).fit(X[rows], target[rows])
        np.testing.assert_allclose(one.coef_, two.coef_, rtol=1e-3, atol=1e-5)


def test_boundary_is_reported():
    X, y, groups = blocks()
    with pytest.warns(UserWarning, match="ended at a bound"):
        model = bl.BilevelRidge(groups, bounds=(-0.1, 0.1)).fit(X, y)
    assert model.boundary_.size > 0


@pytest.mark.parametrize("n_classes", [2, 3])
def test_logistic_blocks_beat_a_common_penalty(n_classes):
    X, y, groups = blocks(n=150)
    Xt, yt, _ = blocks(1, n=500)
    cuts = np.quantile(y, np.linspace(0, 1, n_classes + 1)[1:-1])
    labels, test = np.digitize(y, cuts), np.digitize(yt, cuts)
    model = bl.BilevelLogisticRegression(groups, shrinkage=0.0).fit(X, labels)
    peer = LogisticRegressionCV(
        Cs=np.geomspace(1e-3, 1, 4),
        cv=3,
        scoring="neg_log_loss",
        l1_ratios=(0.0,),
        use_legacy_attributes=False,
    ).fit(X, labels)
    assert model.cv_loss_ < model.cv_loss_common_
    assert model.penalties_[1] > model.penalties_[0]
    ours = log_loss(test, model.predict_proba(Xt))
    assert ours < log_loss(test, peer.predict_proba(Xt))
    assert model.predict(Xt).shape == test.shape


def test_logistic_of_one_group_is_logistic_regression():
    from sklearn.linear_model import LogisticRegression

    X, y, _ = blocks()
    model = bl.BilevelLogisticRegression().fit(X, y > 0)
    peer = LogisticRegression(C=model.C_common_, tol=1e-8, max_iter=1000).fit(X, y > 0)
    np.testing.assert_allclose(model.coef_, peer.coef_, rtol=1e-2, atol=1e-3)
    assert model.cv_loss_ == model.cv_loss_common_


@pytest.mark.parametrize("name", ["BilevelRidge", "BilevelLogisticRegression"])
def test_sparse_input(name):
    from scipy.sparse import csr_array

    X, y, groups = blocks(n=80)
    X[np.abs(X) < 1] = 0.0
    y = y > 0 if "Logistic" in name else y
    model = getattr(bl, name)(groups, shrinkage=0.0, tol=1e-6)
    dense, sparse = clone(model).fit(X, y), clone(model).fit(csr_array(X), y)
    np.testing.assert_allclose(sparse.coef_, dense.coef_, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(sparse.predict(csr_array(X)), dense.predict(X))


@pytest.mark.parametrize(
    ("groups", "words"),
    [
        ([0, 1], "shape"),
        ([-1] * 45, "non-negative"),
        ([0.5] * 45, "integers"),
        ([0] * 44 + [2], "label 1 empty"),
    ],
)
@pytest.mark.parametrize("name", ["BilevelRidge", "BilevelLogisticRegression"])
def test_bad_groups(name, groups, words):
    X, y, _ = blocks(n=30)
    with pytest.raises(ValueError, match=words):
        getattr(bl, name)(groups).fit(X, y > 0)


@pytest.mark.parametrize(
    "groups",
    [
        15,
        np.int64(15),
        [range(15), range(15, 30), range(30, 45)],
        list("a" * 15 + "b" * 15 + "c" * 15),
    ],
)
@pytest.mark.parametrize("name", ["BilevelRidge", "BilevelLogisticRegression"])
def test_forms_of_groups(name, groups):
    X, y, _ = blocks(n=30)
    one, other = (
        getattr(bl, name)(form, cv=3, random_state=0).fit(X, y > 0)
        for form in (np.repeat([0, 1, 2], 15), groups)
    )
    np.testing.assert_array_equal(other.coef_, one.coef_)


def test_too_many_folds_for_a_class():
    X = blocks(n=30)[0]
    labels = np.arange(30) < 3
    with pytest.raises(ValueError, match="`cv` must be at most"):
        bl.BilevelLogisticRegression(cv=5).fit(X, labels)


def test_bad_interval():
    X, y, _ = blocks(n=30)
    with pytest.raises(ValueError, match="`bounds` must be"):
        bl.BilevelRidge(bounds=(1.0, 2.0)).fit(X, y)
    with pytest.raises(ValueError, match="a pair"):
        bl.BilevelRidge(bounds=(1.0,)).fit(X, y)


def test_without_intercept():
    from sklearn.linear_model import LogisticRegression, Ridge

    X, y, _ = blocks()
    ridge = bl.BilevelRidge(fit_intercept=False).fit(X, y + 3)
    peer = Ridge(ridge.alphas_[0], fit_intercept=False).fit(X, y + 3)
    np.testing.assert_allclose(ridge.coef_, peer.coef_, atol=1e-8)
    assert ridge.intercept_ == 0.0
    logistic = bl.BilevelLogisticRegression(fit_intercept=False).fit(X, y > -1)
    options = {"fit_intercept": False, "tol": 1e-8, "max_iter": 1000}
    peer = LogisticRegression(C=logistic.C_common_, **options).fit(X, y > -1)
    np.testing.assert_allclose(logistic.coef_, peer.coef_, rtol=1e-2, atol=1e-3)
    np.testing.assert_array_equal(logistic.intercept_, [0.0])


@pytest.mark.parametrize("name", ["BilevelRidge", "BilevelLogisticRegression"])
def test_infinite_shrinkage_is_the_common_penalty(name):
    X, y, groups = blocks()
    y = y > 0 if "Logistic" in name else y
    model = getattr(bl, name)(groups, shrinkage=np.inf).fit(X, y)
    common = getattr(bl, name)().fit(X, y)
    attribute = "penalties_" if "Logistic" in name else "alphas_"
    found, expected = getattr(model, attribute), getattr(common, attribute)
    np.testing.assert_allclose(found, np.full(2, expected[0]), rtol=1e-9)
    np.testing.assert_allclose(model.coef_, common.coef_, atol=1e-6)
    assert model.cv_loss_ == model.cv_loss_common_
    assert model.boundary_.size == 0


@pytest.mark.parametrize("cv", [4, None])
def test_shrinkage_brings_penalties_together(cv):
    X, y, groups = blocks(n=60)
    spreads = []
    for shrinkage in (0.0, 0.1, 10.0):
        model = bl.BilevelRidge(groups, cv=cv, shrinkage=shrinkage).fit(X, y)
        spreads.append(np.log(model.alphas_[1] / model.alphas_[0]))
    assert spreads[0] > spreads[1] > spreads[2] > 0
    # The loss that is reported is without the pull.
    assert model.cv_loss_ < model.cv_loss_common_


@pytest.mark.parametrize("part", [0, 1])
@pytest.mark.parametrize("name", ["BilevelRidge", "BilevelLogisticRegression"])
def test_folds_need_weight(name, part):
    X, y, _ = blocks(n=30)
    even = np.flatnonzero(np.arange(30) % 2 == 0)
    odd = np.setdiff1d(np.arange(30), even)
    weights = np.ones(30)
    weights[even[1:]] = 0.0
    some = even[1:]
    split = (some, odd) if part == 0 else (odd, some)
    model = getattr(bl, name)(cv=[split])
    with pytest.raises(ValueError, match="no row with a positive sample weight"):
        model.fit(X, y > 0, sample_weight=weights)


@pytest.mark.parametrize("name", ["BilevelRidge", "BilevelLogisticRegression"])
def test_weights_are_not_all_zero(name):
    X, y, _ = blocks(n=30)
    with pytest.raises(ValueError, match=r"non-zero number|positive sample weight"):
        getattr(bl, name)().fit(X, y > 0, sample_weight=np.zeros(30))
