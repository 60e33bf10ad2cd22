# SPDX-License-Identifier: BSD-3-Clause
import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from numopt._array.namespace import to_numpy
from numopt._numerics.distances import METRICS, pairwise_distances
from numopt.exceptions import ConvergenceWarning
from numopt.ot import SinkhornTransport
from tests.backends import assert_xp_close


@pytest.fixture
def clouds(rng):
    return rng.standard_normal((40, 3)), 2.0 + 0.5 * rng.standard_normal((30, 3))


@pytest.mark.parametrize("metric", METRICS)
def test_training_points_go_to_their_barycentric_projection(clouds, metric):
    X, Y = clouds
    model = SinkhornTransport(metric=metric, tol=1e-12).fit(X, X_target=Y)
    np.testing.assert_allclose(
        model.transform(X), model.result_.barycentric(Y), atol=1e-10
    )
    np.testing.assert_allclose(
        model.inverse_transform(Y),
        (model.result_.plan.T @ X) / model.result_.plan.sum(axis=0)[:, None],
        atol=1e-8,
    )


def test_mean_is_transported(clouds):
    X, Y = clouds
    moved = SinkhornTransport(reg=0.02, tol=1e-10).fit_transform(X, X_target=Y)
    np.testing.assert_allclose(moved.mean(axis=0), Y.mean(axis=0), atol=1e-8)


def test_score_is_minus_a_divergence(clouds):
    X, Y = clouds
    good = SinkhornTransport(reg=0.02).fit(X, X_target=Y)
    poor = SinkhornTransport(reg=5.0).fit(X, X_target=Y)
    assert poor.score(X) < good.score(X) <= 1e-6
    assert SinkhornTransport(reg=0.02).fit(X).score(X) <= 1e-6


def test_weights_mean_repetition(clouds, rng):
    X, Y = clouds
    w = rng.integers(0, 3, X.shape[0])
    options = {"tol": 1e-12}
    one = SinkhornTransport(**options).fit(X, X_target=Y, sample_weight=w)
    many = SinkhornTransport(**options).fit(np.repeat(X, w, axis=0), X_target=Y)
    np.testing.assert_allclose(one.transform(X), many.transform(X), atol=1e-9)
    assert one.cost_scale_ == many.cost_scale_


def test_target_weights(clouds):
    X, Y = clouds
    w = np.zeros(30)
    w[:10] = 1
    one = SinkhornTransport(tol=1e-12).fit(X, X_target=Y, target_weight=w)
    few = SinkhornTransport(tol=1e-12).fit(X, X_target=Y[:10])
    np.testing.assert_allclose(one.transform(X), few.transform(X), atol=1e-9)


def test_pipeline_grid_search_pickle_clone(clouds):
    X, _ = clouds
    y = (X[:, 0] > 0).astype(int)
    pipeline = make_pipeline(StandardScaler(), SinkhornTransport())
    search = GridSearchCV(pipeline, {"sinkhorntransport__reg": [0.05, 0.5]}, cv=3)
    search.fit(X, y)
    assert search.best_params_["sinkhorntransport__reg"] in (0.05, 0.5)
    model = search.best_estimator_
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.transform(X), model.transform(X))
    assert clone(model[-1]).get_params() == model[-1].get_params()


def test_data_frames(clouds):
    X = pd.DataFrame(clouds[0], columns=["r", "g", "b"])
    Y = pd.DataFrame(clouds[1], columns=["r", "g", "b"])
    model = SinkhornTransport().fit(X, X_target=Y)
    assert list(model.feature_names_in_) == ["r", "g", "b"]
    np.testing.assert_allclose(model.transform(X), model.transform(X.copy()))
    with pytest.raises(ValueError, match="feature names"):
        model.transform(X[["b", "g", "r"]])
    moved = model.set_output(transform="pandas").transform(X)
    assert list(moved.columns) == ["r", "g", "b"]


def test_many_points_are_mapped_in_chunks(clouds, monkeypatch):
    X, Y = clouds
    model = SinkhornTransport().fit(X, X_target=Y)
    whole = model.transform(X)
    monkeypatch.setattr("numopt.ot._estimators.transport.CHUNK", 100)
    np.testing.assert_allclose(model.transform(X), whole, rtol=1e-12)


def test_array_api_input(backend, clouds):
    if dict(backend.flags):
        pytest.skip("scikit-learn's validation needs boolean indexing")
    X, Y = clouds
    desired = SinkhornTransport(tol=1e-10).fit(X, X_target=Y).transform(X)
    with sklearn.config_context(array_api_dispatch=True):
        source, target = backend.arrays(X, Y)
        model = SinkhornTransport(tol=1e-10).fit(source, X_target=target)
        assert_xp_close(model.transform(source), desired, like=source, atol=1e-8)


def test_float32(clouds):
    X, Y = (x.astype(np.float32) for x in clouds)
    moved = SinkhornTransport().fit(X, X_target=Y).transform(X)
    assert moved.dtype == np.float32
    exact = SinkhornTransport().fit(clouds[0], X_target=clouds[1]).transform(clouds[0])
    np.testing.assert_allclose(moved, exact, atol=1e-4)


def test_cost_scale(clouds):
    X, Y = clouds
    raw = SinkhornTransport(normalize_cost=False).fit(X, X_target=Y)
    assert raw.cost_scale_ == 1.0
    scaled = SinkhornTransport().fit(1000 * X, X_target=1000 * Y)
    same = SinkhornTransport().fit(X, X_target=Y)
    np.testing.assert_allclose(
        scaled.transform(1000 * X), 1000 * same.transform(X), rtol=1e-4
    )


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"reg": 0.0}, "'reg' parameter"),
        ({"metric": "taxi"}, "'metric' parameter"),
        ({"method": "magic"}, "'method' parameter"),
    ],
)
def test_bad_parameters(clouds, options, match):
    with pytest.raises(ValueError, match=match):
        SinkhornTransport(**options).fit(clouds[0])


def test_bad_data(clouds):
    X, Y = clouds
    with pytest.raises(ValueError, match="features"):
        SinkhornTransport().fit(X, X_target=Y[:, :2])
    with pytest.raises(ValueError, match="reshape"):
        SinkhornTransport().fit(X[:, 0])
    with pytest.raises(ValueError, match="non-negative"):
        SinkhornTransport().fit(X, sample_weight=-np.ones(40))
    with pytest.raises(ValueError, match=r"non-zero|all zeros"):
        SinkhornTransport().fit(X, sample_weight=np.zeros(40))


def test_warning_names_the_solver(clouds):
    X, Y = clouds
    with pytest.warns(ConvergenceWarning, match="sinkhorn"):
        SinkhornTransport(max_iter=2, tol=1e-12).fit(X, X_target=Y)
    SinkhornTransport(max_iter=2, tol=1e-12, warn=False).fit(X, X_target=Y)


@pytest.mark.parametrize("metric", METRICS)
def test_distances_agree_everywhere(backend, rng, metric):
    from scipy.spatial.distance import cdist

    X, Y = rng.random((5, 3)), rng.random((4, 3))
    arrays = backend.arrays(X, Y)
    distances = pairwise_distances(*arrays, metric)
    assert_xp_close(distances, cdist(X, Y, metric), like=arrays[0], atol=1e-12)
    assert to_numpy(distances).min() >= -1e-15
