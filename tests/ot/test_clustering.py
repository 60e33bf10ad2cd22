# SPDX-License-Identifier: BSD-3-Clause
"""Clusters of prescribed sizes: exact counts, outliers, limits, the estimator."""

import itertools
import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits, load_wine, make_blobs
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from numopt.exceptions import ConvergenceWarning
from numopt.ot import OTKMeans
from numopt.ot._solvers.clustering import _equal_sizes


def _sizes(labels, k):
    return np.bincount(labels[labels >= 0], minlength=k)


@pytest.mark.parametrize(("n", "k", "n_out"), [(7, 3, 0), (6, 3, 0), (7, 2, 2)])
def test_rounding_is_the_best_of_all_equal_assignments(rng, n, k, n_out):
    costs = rng.random((n, k))
    labels = _equal_sizes(costs, n_out)
    assert (labels == -1).sum() == n_out
    sizes = _sizes(labels, k)
    assert sizes.max() - sizes.min() <= 1
    padded = np.column_stack([costs, np.zeros(n)])
    floor = (n - n_out) // k
    best = np.inf
    for choice in itertools.product(range(k + 1), repeat=n):
        counts = np.bincount(choice, minlength=k + 1)
        sizes = counts[:k]
        if counts[k] == n_out and sizes.min() >= floor and sizes.max() <= floor + 1:
            best = min(best, padded[np.arange(n), choice].sum())
    np.testing.assert_allclose(padded[np.arange(n), labels].sum(), best, rtol=1e-9)


@pytest.mark.parametrize("n", [300, 301, 308])
def test_balance_one_has_equal_sizes(n):
    X, _ = make_blobs(n, centers=[[0, 0], [4, 0], [0, 4]], random_state=0)
    X = X[np.argsort(X[:, 0])][: n - 20]  # unequal groups
    model = OTKMeans(3, random_state=0).fit(X)
    sizes = _sizes(model.labels_, 3)
    assert set(sizes) <= {len(X) // 3, -(-len(X) // 3)}
    np.testing.assert_allclose(model.result_.plan.sum(axis=0), 1 / 3, atol=1e-5)
    d = X - model.cluster_centers_[model.labels_]
    np.testing.assert_allclose(model.inertia_, np.sum(d**2), rtol=1e-9)


def test_balance_zero_is_k_means():
    X, _ = make_blobs(200, centers=3, cluster_std=1.0, random_state=1)
    init = KMeans(3, n_init=1, random_state=0).fit(X).cluster_centers_
    model = OTKMeans(3, balance=0.0, reg=1e-4, init=init, tol=1e-8).fit(X)
    theirs = KMeans(3, init=init, n_init=1).fit(X)
    # a soft assignment differs from a hard one at the boundaries only
    np.testing.assert_allclose(
        model.cluster_centers_, theirs.cluster_centers_, atol=0.05
    )
    assert adjusted_rand_score(model.labels_, theirs.labels_) > 0.98
    assert np.mean(model.predict(X) == model.labels_) == 1.0


def test_balance_trades_sizes():
    X, _ = make_blobs([270, 30], centers=[[0, 0], [5, 0]], random_state=0)
    spread = [
        np.ptp(_sizes(OTKMeans(2, balance=w, random_state=0).fit(X).labels_, 2))
        for w in (0.0, 0.5, 1.0)
    ]
    assert spread[0] >= spread[1] >= spread[2]
    assert spread[0] > 200
    assert spread[2] == 0


def test_mass_leaves_out_outliers(rng):
    X, y = make_blobs(200, centers=[[0, 0], [6, 0]], random_state=0)
    noise = rng.uniform(30, 60, (10, 2)) * rng.choice([-1, 1], (10, 2))
    X = np.concatenate([X, noise])
    for balance in (0.0, 0.5, 1.0):
        model = OTKMeans(
            2, balance=balance, mass=200 / 210, mass_start=0.5, init=[[0, 1], [5, 0]]
        ).fit(X)
        assert (model.labels_[200:] == -1).all()
        assert (model.labels_[:200] >= 0).all()
        assert adjusted_rand_score(y, model.labels_[:200]) > 0.9
        assert (model.predict(noise) == -1).all()
        assert (model.predict([[0.0, 0.0]]) >= 0).all()
    assert _sizes(model.labels_, 2).tolist() == [100, 100]


def test_ramp_starts_small_and_ends_at_mass():
    X, _ = make_blobs(120, centers=3, random_state=0)
    model = OTKMeans(3, balance=0.5, mass=0.9, mass_start=0.1, random_state=0).fit(X)
    assert model.n_iter_ > 10
    np.testing.assert_allclose(model.result_.rho, 0.9, atol=1e-9)
    assert (model.labels_ == -1).sum() == 12


def test_graph_smooths_labels(rng):
    X, y = make_blobs(150, centers=[[0, 0], [2.5, 0]], random_state=3)
    init = [[0.0, 0.0], [2.5, 0.0]]
    model = OTKMeans(2, n_neighbors=10, graph_weight=1.0, init=init).fit(X)
    alone = OTKMeans(2, init=init).fit(X)
    changes = []
    for labels in (model.labels_, alone.labels_):
        order = np.argsort(((X[:, None] - X) ** 2).sum(axis=-1), axis=1)[:, 1:6]
        changes.append(np.mean(labels[order] != labels[:, None]))
    assert changes[0] <= changes[1] + 0.01
    assert adjusted_rand_score(y, model.labels_) > 0.5
    assert _sizes(model.labels_, 2).tolist() == [75, 75]


def test_digits_at_their_true_sizes():
    X, y = load_digits(n_class=4, return_X_y=True)
    model = OTKMeans(4, n_init=5, random_state=0).fit(X / 16)
    assert adjusted_rand_score(y, model.labels_) > 0.75
    assert np.ptp(_sizes(model.labels_, 4)) <= 1


def test_pipeline_grid_search_pickle_clone():
    X, y = load_wine(return_X_y=True)
    pipeline = make_pipeline(StandardScaler(), OTKMeans(3, random_state=0))
    search = GridSearchCV(pipeline, {"otkmeans__balance": [0.0, 0.5, 1.0]}, cv=3)
    search.fit(X)
    model = search.best_estimator_
    assert adjusted_rand_score(y, model.predict(X)) > 0.6
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    assert clone(model[-1]).get_params() == model[-1].get_params()
    assert model.transform(X).shape == (178, 3)
    names = model[-1].get_feature_names_out()
    assert list(names) == ["otkmeans0", "otkmeans1", "otkmeans2"]


def test_several_starts_and_random_centres():
    X, y = make_blobs(120, centers=4, cluster_std=0.3, random_state=5)
    one = OTKMeans(4, init="random", n_init=1, random_state=3).fit(X)
    many = OTKMeans(4, init="random", n_init=8, random_state=3).fit(X)
    assert many.result_.value <= one.result_.value + 1e-6
    assert adjusted_rand_score(y, many.labels_) > 0.9


def test_scale_does_not_matter_and_float32():
    X, _ = make_blobs(90, centers=3, random_state=0)
    one = OTKMeans(3, random_state=0).fit(X)
    two = OTKMeans(3, random_state=0).fit(1000 * X)
    np.testing.assert_array_equal(one.labels_, two.labels_)
    small = OTKMeans(3, random_state=0).fit(X.astype(np.float32))
    assert small.cluster_centers_.dtype == np.float32
    assert small.transform(X.astype(np.float32)).dtype == np.float32


def test_bad_input():
    X = np.random.default_rng(0).random((10, 2))
    with pytest.raises(ValueError, match="n_clusters"):
        OTKMeans(11).fit(X)
    with pytest.raises(ValueError, match="`init` must be of shape"):
        OTKMeans(2, init=[[0.0, 0.0]]).fit(X)
    for change in ({"balance": 1.5}, {"mass": 0.0}, {"reg": 0.0}, {"init": "best"}):
        with pytest.raises(ValueError, match="parameter of OTKMeans"):
            OTKMeans(2, **change).fit(X)
    with pytest.warns(ConvergenceWarning, match="centres still move"):
        OTKMeans(3, max_iter=1, tol=0.0, random_state=0).fit(X)


def test_constant_data():
    model = OTKMeans(2, random_state=0).fit(np.ones((6, 2)))
    assert _sizes(model.labels_, 2).tolist() == [3, 3]
    assert model.inertia_ == 0.0
