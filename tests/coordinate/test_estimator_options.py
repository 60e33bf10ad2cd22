# SPDX-License-Identifier: BSD-3-Clause
"""Options of the estimators that the main tests leave at their defaults."""

import numpy as np
import pytest
import scipy.sparse as sp
import sklearn.svm
from sklearn.base import clone
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.model_selection import PredefinedSplit

from numopt.coordinate import (
    BCDClassifier,
    ElasticNet,
    LabelPropagation,
    LassoCV,
    LinearSVC,
    Poisson,
    Ridge,
    SparseLogisticRegressionCV,
    SquaredHinge,
    bcd_solve,
    warmup,
)


@pytest.fixture
def data(rng):
    X = rng.standard_normal((60, 6))
    return X, X[:, 0] - X[:, 1] + 0.5 * rng.standard_normal(60)


def test_warmup_compiles_its_own_kernels_in_both_precisions(monkeypatch):
    seen = []

    class Fake:
        def make_example(self, rng, dtype, size):
            return dtype, size

        def __call__(self, dtype, size):
            seen.append((np.dtype(dtype).name, size))

    names = ("numopt.coordinate._kernels.a.f", "numopt.ot._kernels.b.g")
    monkeypatch.setattr(
        "numopt._kernels.dispatch.all_kernels", lambda: [(n, Fake()) for n in names]
    )
    assert warmup() == 1
    assert seen == [("float64", 3), ("float32", 3)]


def test_folds_without_weight(data):
    X, y = data
    weights = np.r_[np.zeros(20), np.ones(40)]
    split = PredefinedSplit(np.repeat([0, 1, 2], 20))
    with pytest.raises(ValueError, match="positive somewhere in both sides"):
        LassoCV(cv=split, n_alphas=3).fit(X, y, weights)


def test_grids_of_the_classifier(data):
    X, y = data
    labels = (y > 0).astype(int)
    model = SparseLogisticRegressionCV(Cs=3, cv=2).fit(X, labels)
    np.testing.assert_allclose(model.Cs_, [1e-4, 1.0, 1e4])
    assert model.C_ > 1e-4
    for bad in ([0.1, -1.0], [], [[1.0]]):
        with pytest.raises(ValueError, match="`Cs` must be positive numbers"):
            SparseLogisticRegressionCV(Cs=bad, cv=2).fit(X, labels)
    three = np.r_[np.zeros(20), np.ones(20), np.full(20, 2)]
    split = PredefinedSplit(three.astype(int))
    with pytest.raises(ValueError, match="leave every class in the training side"):
        SparseLogisticRegressionCV(Cs=2, cv=split).fit(X, three)


def test_elastic_net_estimator_as_a_penalty_without_a_dual(data):
    """Its distance to stationarity is that of the penalty, by coordinate and index."""
    X, y = data
    counts = np.floor(np.exp(np.clip(0.5 * y, -2, 2)))
    net = ElasticNet(0.05, 0.5)
    result = bcd_solve(X, counts, Poisson(), net, tol=1e-9)
    slope = X.T @ Poisson().gradient(counts, X @ result.coef) / y.size
    assert net.subdiff_distance(result.coef, slope).max() <= 1e-6
    some = np.array([0, 3])
    np.testing.assert_allclose(
        net.subdiff_distance(np.ones(2), slope[some], some),
        net.subdiff_distance(np.ones(6), slope)[some],
    )


def test_classifier_of_any_loss(data):
    X, y = data
    labels = np.where(y > 0, "up", "down")
    model = BCDClassifier(SquaredHinge(), Ridge(0.1), tol=1e-9).fit(X, labels)
    codes = np.where(y > 0, 1.0, -1.0)
    expected = bcd_solve(
        X, codes, SquaredHinge(), Ridge(0.1), fit_intercept=True, tol=1e-9
    )
    np.testing.assert_allclose(model.coef_[0], expected.coef, atol=1e-4)
    assert set(model.predict(X)) == {"up", "down"}


def test_svm_without_intercept_and_with_a_random_state(data):
    X, y = data
    labels = y > 0
    options = {"C": 0.5, "fit_intercept": False, "loss": "squared_hinge"}
    seed = np.random.RandomState(0)
    model = LinearSVC(tol=1e-10, random_state=seed, **options).fit(X, labels)
    peer = sklearn.svm.LinearSVC(tol=1e-10, max_iter=10**5, **options).fit(X, labels)
    np.testing.assert_allclose(model.coef_, peer.coef_, atol=1e-5)
    assert model.intercept_ == 0


@pytest.mark.parametrize("kernel", ["precomputed", "rbf", "callable"])
def test_labels_of_new_samples(kernel, rng):
    """They get the weighted mean of the scores of the training samples."""
    X = np.r_[rng.normal(-1, 0.3, (15, 2)), rng.normal(1, 0.3, (15, 2))]
    new = np.array([[-1.0, -1.0], [1.0, 1.0]])
    y = np.full(30, -1)
    y[[0, 20]] = 0, 1
    W, T = rbf_kernel(X, gamma=2.0), rbf_kernel(new, X, gamma=2.0)
    given = kernel == "precomputed"
    choice = kernel
    if kernel == "callable":

        def choice(A, B):
            return rbf_kernel(A, B, gamma=2.0)

    model = LabelPropagation(choice, gamma=2.0).fit(W if given else X, y)
    scores = model.predict_proba(T if given else new)
    means = T @ model.label_distributions_
    np.testing.assert_allclose(scores, means / means.sum(axis=1, keepdims=True))
    np.testing.assert_array_equal(model.predict(T if given else new), [0, 1])
    if given:
        sparse = LabelPropagation(choice).fit(sp.csr_array(W), y)
        np.testing.assert_allclose(sparse.predict_proba(sp.csr_array(T)), scores)


@pytest.mark.parametrize("routing", [False, True])
def test_groups_of_samples_reach_the_splitter(data, routing):
    """As an argument of ``fit``, and through scikit-learn's routing of metadata."""
    import sklearn
    from sklearn.model_selection import GroupKFold, cross_validate

    X, y = data
    groups = np.arange(y.size) % 6
    splits = list(GroupKFold(3).split(X, y, groups))
    for model, target in (
        (LassoCV(n_alphas=5), y),
        (SparseLogisticRegressionCV(Cs=[0.01, 0.1]), y > np.median(y)),
    ):
        given = clone(model).set_params(cv=splits).fit(X, target)
        grouped = clone(model).set_params(cv=GroupKFold(3))
        np.testing.assert_array_equal(
            grouped.fit(X, target, groups=groups).coef_, given.coef_
        )
        with pytest.raises(ValueError, match="groups"):
            grouped.fit(X, target)
        with pytest.raises(ValueError, match="inconsistent"):
            grouped.fit(X, target, groups=groups[:-1])
        if routing:
            with sklearn.config_context(enable_metadata_routing=True):
                nested = cross_validate(
                    grouped.set_fit_request(groups=True),
                    X,
                    target,
                    params={"groups": groups},
                    cv=GroupKFold(2),
                )
            assert np.all(np.isfinite(nested["test_score"]))
