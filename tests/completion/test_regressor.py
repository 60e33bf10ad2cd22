# SPDX-License-Identifier: BSD-3-Clause
import pickle

import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score

from numopt.completion import MatrixCompletionRegressor
from numopt.datasets import make_low_rank

SHAPE = (200, 120)


def _ratings(seed=0, **options):
    options = {"n_obs": 9000, "noise": 0.3, "power_law": 0.5, **options}
    rows, cols, values = make_low_rank(*SHAPE, 3, random_state=seed, **options)[:3]
    values = values + 3.0 + np.linspace(-1, 1, SHAPE[0])[rows]
    return np.column_stack([rows, cols]), values


def _split(seed=0):
    X, y = _ratings(seed)
    held = np.random.default_rng(seed).random(y.size) < 0.2
    return X[~held], y[~held], X[held], y[held]


@pytest.mark.parametrize(
    "options",
    [
        {"alpha": "auto"},
        {"alpha": 0.02},
        {"alpha": 0.5, "alpha_scaling": "constant"},
        {"alpha": 0.02, "inner": "cg"},
    ],
)
def test_held_out_error_is_near_the_noise(options):
    X, y, X_test, y_test = _split()
    model = MatrixCompletionRegressor(rank=5, random_state=0, max_iter=60, **options)
    error = np.sqrt(np.mean((model.fit(X, y).predict(X_test) - y_test) ** 2))
    assert error < 0.5 * y_test.std()
    assert model.score(X_test, y_test) > 0.75


@pytest.mark.parametrize("alpha", ["auto", 0.02])
def test_attributes_give_the_predictions(alpha):
    X, y = _ratings()
    model = MatrixCompletionRegressor(rank=4, alpha=alpha, random_state=0).fit(X, y)
    assert model.row_factors_.shape == (SHAPE[0], 4)
    assert model.col_factors_.shape == (SHAPE[1], 4)
    assert model.n_features_in_ == 2
    assert model.shape_ == SHAPE
    assert model.rank_ == 4
    assert model.intercept_ == pytest.approx(y.mean())
    assert model.noise_variance_ > 0
    i, j = X[:50].T
    expected = (
        model.intercept_
        + model.row_bias_[i]
        + model.col_bias_[j]
        + (model.row_factors_[i] * model.col_factors_[j]).sum(axis=1)
    )
    np.testing.assert_allclose(model.predict(X[:50]), expected)
    np.testing.assert_allclose(model.predict(X[:50]), model.result_.predict(i, j))


@pytest.mark.parametrize("alpha", ["auto", 0.02])
def test_unseen_pairs_get_intercept_and_known_bias(alpha):
    X, y = _ratings()
    model = MatrixCompletionRegressor(rank=4, alpha=alpha, shape=(250, 130))
    model.fit(X, y)
    new_row, new_col = model.predict([[220, 5], [7, 500]])
    assert new_row == pytest.approx(model.intercept_ + model.col_bias_[5])
    assert new_col == pytest.approx(model.intercept_ + model.row_bias_[7])
    assert model.predict([[10**9, 10**9]])[0] == pytest.approx(model.intercept_)
    _, std = model.predict([[220, 5], [7, 500], [10**9, 10**9]], return_std=True)
    assert np.isfinite(std).all()
    assert np.all(std > 0)


def test_bias_none_has_zero_biases():
    X, y = _ratings()
    model = MatrixCompletionRegressor(rank=4, alpha=0.02, bias="none").fit(X, y)
    assert not model.row_bias_.any()
    assert not model.col_bias_.any()


def test_weights_equal_repetition_and_zero_removes():
    X, y = _ratings(n_obs=4000)
    options = {
        "rank": 3,
        "alpha": 0.02,
        "tol": 1e-11,
        "max_iter": 2000,
        "random_state": 0,
    }
    weights = np.random.default_rng(1).integers(0, 3, y.size)
    weighted = MatrixCompletionRegressor(shape=SHAPE, **options)
    weighted.fit(X, y, sample_weight=weights)
    repeat = np.repeat(np.arange(y.size), weights)
    repeated = MatrixCompletionRegressor(shape=SHAPE, **options).fit(
        X[repeat], y[repeat]
    )
    np.testing.assert_allclose(weighted.predict(X), repeated.predict(X), atol=1e-4)


@pytest.mark.parametrize("alpha", ["auto", 0.02])
def test_fold_in_gives_a_training_row_again(alpha):
    X, y = _ratings()
    model = MatrixCompletionRegressor(
        rank=3, alpha=alpha, max_iter=300, tol=1e-7, random_state=0
    ).fit(X, y)
    mine = X[:, 0] == 11
    factor, bias = model.fold_in(X[mine, 1], y[mine])
    np.testing.assert_allclose(factor, model.row_factors_[11], atol=1e-3)
    assert bias == pytest.approx(model.row_bias_[11], abs=1e-3)


@pytest.mark.parametrize("alpha", ["auto", 0.02])
def test_update_rows(alpha):
    X, y = _ratings()
    late = X[:, 0] >= 190
    known = late & (np.random.default_rng(2).random(y.size) < 0.7)
    model = MatrixCompletionRegressor(rank=3, alpha=alpha, max_iter=60, random_state=0)
    model.fit(X[~late], y[~late])
    before = model.row_factors_[:100].copy()
    new = late & ~known
    cold = np.mean((model.predict(X[new]) - y[new]) ** 2)
    model.update_rows(X[known], y[known])
    warm = np.mean((model.predict(X[new]) - y[new]) ** 2)
    assert warm < 0.5 * cold
    assert model.shape_ == SHAPE
    np.testing.assert_array_equal(model.row_factors_[:100], before)
    again = model.row_factors_.copy()
    model.update_rows(X[known], y[known])
    np.testing.assert_allclose(model.row_factors_, again, atol=1e-10)
    model.update_rows([[0, 140], [230, 140]], [3.0, 3.0])
    assert model.shape_ == (231, 141)
    assert np.isfinite(model.predict([[230, 140], [230, 3]])).all()
    _, std = model.predict(X[:5], return_std=True)
    assert np.isfinite(std).all()


def test_recommend():
    X, y = _ratings()
    model = MatrixCompletionRegressor(rank=3, alpha=0.02).fit(X, y)
    ids, scores = model.recommend([3, 10**6], n=7)
    assert ids.shape == scores.shape == (2, 7)
    assert np.all(np.diff(scores, axis=1) <= 0)
    seen = X[X[:, 0] == 3, 1]
    assert not np.isin(ids[0], seen).any()
    np.testing.assert_allclose(model.predict([[3, j] for j in ids[0]]), scores[0])
    best = np.argsort(-model.col_bias_)[:7]
    np.testing.assert_array_equal(ids[1], best)
    whole, _ = model.recommend([3], n=500, exclude_seen=False)
    assert sorted(whole[0]) == list(range(SHAPE[1]))
    short, scores = model.recommend([3], n=500)
    assert (short[0] == -1).sum() == np.unique(seen).size
    assert np.isneginf(scores[0][short[0] == -1]).all()
    with pytest.raises(ValueError, match="`rows` must be"):
        model.recommend([-1])
    with pytest.raises(ValueError, match="`n` must be"):
        model.recommend([1], n=0)


def test_standard_deviation_of_the_evidence_model_covers():
    X, y, X_test, y_test = _split()
    model = MatrixCompletionRegressor(rank=6, random_state=0, max_iter=60).fit(X, y)
    values, std = model.predict(X_test, return_std=True)
    covered = np.mean(np.abs(values - y_test) < 1.645 * std)
    assert 0.85 < covered < 0.95


@pytest.mark.parametrize("alpha", ["auto", 0.02])
@pytest.mark.parametrize("level", [0.5, 0.9])
def test_intervals_cover(alpha, level):
    X, y, X_test, y_test = _split()
    model = MatrixCompletionRegressor(rank=5, alpha=alpha, tol=2e-3, random_state=0)
    values, interval = model.fit(X, y).predict(X_test, return_interval=level)
    assert interval.shape == (y_test.size, 2)
    assert np.all((interval[:, 0] <= values) & (values <= interval[:, 1]))
    inside = (interval[:, 0] <= y_test) & (y_test <= interval[:, 1])
    assert level - 0.06 < inside.mean() < level + 0.06
    with pytest.raises(ValueError, match="`return_interval` must be"):
        model.predict(X_test, return_interval=1.0)


def test_clip_range_holds():
    X, y = _ratings()
    model = MatrixCompletionRegressor(rank=3, alpha=0.01, clip_range=(2.5, 3.5))
    values, interval = model.fit(X, y).predict(X, return_interval=0.9)
    assert values.min() == 2.5
    assert values.max() == 3.5
    assert interval.min() >= 2.5


def test_early_stopping_keeps_a_validation_history():
    X, y = _ratings()
    model = MatrixCompletionRegressor(
        rank=20, alpha=1e-4, early_stopping=True, random_state=0, max_iter=100
    ).fit(X, y)
    assert "validation_rmse" in model.history_
    assert model.n_iter_ < 100


def test_single_precision_and_pickle():
    X, y = _ratings()
    model = MatrixCompletionRegressor(rank=3, alpha=0.02).fit(X, y.astype(np.float32))
    assert model.row_factors_.dtype == np.float32
    assert model.predict(X).dtype == np.float32
    copy = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copy.predict(X), model.predict(X))


def test_model_selection():
    X, y = _ratings(n_obs=5000)
    scores = cross_val_score(
        MatrixCompletionRegressor(rank=3, alpha=0.02),
        X,
        y,
        cv=KFold(3, shuffle=True, random_state=0),
    )
    assert scores.min() > 0.5
    grid = GridSearchCV(
        MatrixCompletionRegressor(rank=3),
        {"alpha": [0.02, 50.0]},
        scoring="neg_root_mean_squared_error",
        cv=KFold(2, shuffle=True, random_state=0),
    ).fit(X, y)
    assert grid.best_params_ == {"alpha": 0.02}


def test_rank_is_clipped_to_the_shape():
    X = np.array([[0, 0], [0, 1], [1, 0], [2, 1]])
    model = MatrixCompletionRegressor(rank=20).fit(X, [1.0, 2.0, 3.0, 4.0])
    assert model.rank_ == 2
    assert np.isfinite(model.predict(X)).all()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"rank": 0}, "'rank' parameter"),
        ({"alpha": -0.1}, "'alpha' parameter"),
        ({"bias": "all"}, "'bias' parameter"),
        ({"loss": "l2"}, "'loss' parameter"),
        ({"method": "magic"}, "'method' parameter"),
        ({"nonnegative": True, "alpha": 0.1}, "`bias` must be"),
    ],
)
def test_bad_options(options, text):
    X, y = _ratings()
    with pytest.raises(ValueError, match=text):
        MatrixCompletionRegressor(**options).fit(X, y)


def test_bad_data():
    X, y = _ratings()
    with pytest.raises(ValueError, match="`rows` must be"):
        MatrixCompletionRegressor(shape=(10, 10)).fit(X, y)
    with pytest.raises(ValueError, match="NaN"):
        MatrixCompletionRegressor().fit(X, np.where(y > 3, np.nan, y))
    with pytest.raises(ValueError, match="Negative values"):
        MatrixCompletionRegressor().fit(X, y, sample_weight=-np.ones(y.size))
    model = MatrixCompletionRegressor(rank=2, alpha=0.1).fit(X, y)
    with pytest.raises(ValueError, match="integer pairs"):
        model.predict([[0.5, 1]])
    with pytest.raises(ValueError, match="integer pairs"):
        model.predict([[-1, 1]])
