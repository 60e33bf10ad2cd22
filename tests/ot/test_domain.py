# SPDX-License-Identifier: BSD-3-Clause
"""Domain adaptation: gains where a classifier alone fails, the class penalty."""

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from numopt.ot import OTDAClassifier, SinkhornTransport, sinkhorn
from numopt.ot._solvers.classes import class_penalty, class_regularised


@pytest.fixture
def domains(rng):
    """Two classes, turned and shifted in the target."""
    y = np.repeat([0, 1], 60)
    source = rng.standard_normal((120, 2)) + np.outer(y, [5.0, 0.0])
    angle = np.pi / 12
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    target = (rng.standard_normal((120, 2)) + np.outer(y, [5.0, 0.0])) @ turn.T
    return source, y, target + np.array([4.0, 1.0])


def test_transport_beats_no_adaptation(domains):
    source, y, target = domains
    plain = KNeighborsClassifier(1).fit(source, y).score(target, y)
    model = OTDAClassifier().fit(source, y, X_target=target)
    assert model.score(target, y) > max(0.93, plain + 0.1)
    assert model.classes_.tolist() == [0, 1]
    assert model.result_.converged


def test_default_is_nearest_neighbour_on_the_images(domains):
    source, y, target = domains
    model = OTDAClassifier(reg=0.02).fit(source, y, X_target=target)
    moved = SinkhornTransport(0.02).fit(source, X_target=target).transform(source)
    theirs = KNeighborsClassifier(1).fit(moved, y)
    np.testing.assert_array_equal(model.predict(target), theirs.predict(target))
    np.testing.assert_allclose(model.transport_.transform(source), moved, atol=1e-8)


def test_without_target_it_is_the_classifier(domains):
    source, y, target = domains
    model = OTDAClassifier(LogisticRegression()).fit(source, y)
    plain = LogisticRegression().fit(source, y)
    np.testing.assert_allclose(model.predict_proba(target), plain.predict_proba(target))
    assert model.transport_ is None


def test_probabilities_only_where_the_classifier_has_them(domains):
    source, y, target = domains
    model = OTDAClassifier(LogisticRegression()).fit(source, y, X_target=target)
    np.testing.assert_allclose(model.predict_proba(target).sum(axis=1), 1.0)
    assert not hasattr(OTDAClassifier(LinearSVC()), "predict_proba")
    assert hasattr(OTDAClassifier(), "predict_proba")


def _by_groups(rng):
    """Classes that overlap in the source, and a target of two close groups."""
    y = np.repeat([0, 1], 25)
    X = rng.standard_normal((50, 2)) + np.outer(y, [1.5, 0.0])
    target = rng.standard_normal((40, 2)) + np.outer(np.repeat([0, 1], 20), [1.5, 1.0])
    M = ((X[:, None] - target) ** 2).sum(axis=-1)
    return M / np.median(M), y


def test_class_penalty_descends_and_unmixes_columns(rng):
    M, y = _by_groups(rng)
    start = sinkhorn(None, None, M, 0.05, tol=1e-10)
    weight = 1.0
    result = class_regularised(start, y, weight, 1e-9, 1000)

    def objective(plan):
        positive = plan[plan > 0]
        ab = plan.size * positive
        entropy = np.sum(positive * np.log(ab)) - plan.sum() + 1
        return np.sum(plan * M) + 0.05 * entropy + weight * class_penalty(plan, y)

    assert objective(result.plan) < objective(start.plan) - 1e-4
    assert class_penalty(result.plan, y) < class_penalty(start.plan, y)
    np.testing.assert_allclose(result.plan.sum(axis=0), 1 / 40, atol=1e-8)


def test_tangent_of_the_penalty(rng):
    """The cost that is added is its gradient, for columns of fixed sums."""
    _, y = _by_groups(rng)
    plan = rng.random((50, 40))
    step = rng.standard_normal((50, 40))
    step -= step.mean(axis=0)
    h = 1e-6
    slope = class_penalty(plan + h * step, y) - class_penalty(plan - h * step, y)
    shares = np.stack([plan[y == c].sum(axis=0) for c in (0, 1)]) / plan.sum(axis=0)
    gradient = (0.5 / np.sqrt(shares + 1e-3))[y]
    np.testing.assert_allclose(slope / (2 * h), np.sum(gradient * step), rtol=1e-5)


def test_class_penalty_as_an_option(domains):
    source, y, target = domains
    model = OTDAClassifier(reg_cl=0.5).fit(source, y, X_target=target)
    assert model.score(target, y) > 0.93
    plain = OTDAClassifier().fit(source, y, X_target=target)
    mixed = [class_penalty(m.result_.plan, y) for m in (model, plain)]
    assert mixed[0] <= mixed[1] + 1e-9


def test_inverted_digits():
    X, y = load_digits(n_class=5, return_X_y=True)
    X = X / 16
    source, labels, target, truth = X[::2], y[::2], X[1::2], y[1::2]
    shifted = np.clip(0.6 * target + 0.3, 0, 1)  # a brighter, flatter camera
    plain = KNeighborsClassifier(1).fit(source, labels).score(shifted, truth)
    model = OTDAClassifier(reg=0.01).fit(source, labels, X_target=shifted)
    assert model.score(shifted, truth) > max(0.95, plain - 0.02)


def test_pipeline_grid_search_pickle_clone(domains):
    source, y, target = domains
    pipeline = make_pipeline(StandardScaler(), OTDAClassifier())
    search = GridSearchCV(pipeline, {"otdaclassifier__reg": [0.02, 0.2]}, cv=3)
    search.fit(source, y)
    assert search.best_score_ > 0.9
    model = OTDAClassifier().fit(source, y, X_target=target)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict(target), model.predict(target))
    assert clone(model).get_params() == model.get_params()


def test_strings_and_data_frames(domains):
    source, y, target = domains
    labels = np.array(["cat", "dog"])[y]
    frame, other = (pd.DataFrame(x, columns=["u", "v"]) for x in (source, target))
    model = OTDAClassifier(reg_cl=0.1).fit(frame, labels, X_target=other)
    assert set(model.predict(other)) == {"cat", "dog"}
    with pytest.raises(ValueError, match="feature names"):
        model.predict(other[["v", "u"]])


def test_random_state_reaches_the_classifier(domains):
    source, y, _ = domains
    inner = LogisticRegression(solver="saga", max_iter=1000)
    model = OTDAClassifier(inner, random_state=7).fit(source, y)
    assert model.estimator_.random_state == 7


def test_bad_input(domains):
    source, y, target = domains
    with pytest.raises(ValueError, match="features"):
        OTDAClassifier().fit(source, y, X_target=target[:, :1])
    with pytest.raises(ValueError, match="'reg_cl' parameter"):
        OTDAClassifier(reg_cl=-1.0).fit(source, y)
    with pytest.raises(ValueError, match="Unknown label type"):
        OTDAClassifier().fit(source, y + 0.5)
