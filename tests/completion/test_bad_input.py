# SPDX-License-Identifier: BSD-3-Clause
"""Wrong input is refused by name, odd but legal input works."""

import numpy as np
import pytest
from scipy.sparse import csr_array

from numopt.completion import (
    LowRankImputer,
    MatrixCompletionRegressor,
    complete,
    completion_path,
    estimate_rank,
    heldout_rmse,
    incoherence,
    spectral_init,
    weighted_low_rank,
)
from numopt.datasets import make_low_rank
from numopt.exceptions import ConvergenceWarning

NAN = np.nan


def _triplets(**options):
    defaults = {"oversampling": 4.0, "random_state": 0}
    return make_low_rank(30, 25, 2, **{**defaults, **options})[:3]


def _dense():
    X = np.full((30, 25), NAN)
    rows, cols, values = _triplets()
    X[rows, cols] = values
    return X


@pytest.mark.parametrize("bad", [np.inf, -np.inf])
def test_infinity_is_refused_everywhere(bad):
    rows, cols, values = _triplets()
    values[3] = bad
    with pytest.raises(ValueError, match=r"`X.*infinite"):
        complete((rows, cols, values), 2)
    with pytest.raises(ValueError, match=r"`X.*infinite"):
        complete(csr_array((values, (rows, cols))), 2)
    X = _dense()
    X[0, 0] = bad
    with pytest.raises(ValueError, match=r"`X.*infinite"):
        complete(X, 2)


def test_nan_in_triplets_and_sparse_data_is_refused():
    rows, cols, values = _triplets()
    values[3] = NAN
    with pytest.raises(ValueError, match=r"`X.*NaN"):
        complete((rows, cols, values), 2)
    with pytest.raises(ValueError, match=r"`X.*NaN"):
        complete(csr_array((values, (rows, cols))), 2)


@pytest.mark.parametrize(
    "X",
    [
        np.full((4, 3), NAN),
        (np.array([], dtype=int), np.array([], dtype=int), np.array([])),
        csr_array((4, 3)),
    ],
)
def test_no_observation_at_all(X):
    options = {"shape": (4, 3)} if isinstance(X, tuple) else {}
    with pytest.raises(ValueError, match="`X` must be"):
        complete(X, 1, **options)


@pytest.mark.parametrize(
    ("rank", "error"),
    [
        (0, ValueError),
        (-1, ValueError),
        (26, ValueError),
        (2.0, TypeError),
        ("2", TypeError),
        (True, TypeError),
        (None, TypeError),
    ],
)
def test_rank(rank, error):
    with pytest.raises(error, match="`rank` must be"):
        complete(_dense(), rank)


def test_rank_message_gives_the_range():
    with pytest.raises(ValueError, match=r"in 1\.\.min\(m, n\)=25, got 26"):
        complete(_dense(), 26)


@pytest.mark.parametrize("bad", [-1.0, NAN, np.inf])
def test_weights_must_be_finite_and_not_negative(bad):
    rows, cols, values = _triplets()
    weights = np.ones(values.size)
    weights[2] = bad
    with pytest.raises(ValueError, match="`weights` must be"):
        complete((rows, cols, values), 2, weights=weights)


def test_weights_of_a_wrong_shape():
    rows, cols, values = _triplets()
    with pytest.raises(ValueError, match="`weights` must be of shape"):
        complete((rows, cols, values), 2, weights=np.ones(values.size + 1))
    with pytest.raises(ValueError, match="`weights` must be of shape"):
        complete(_dense(), 2, weights=np.ones((25, 30)))


def test_zero_weights_mean_unobserved():
    rows, cols, values = _triplets(oversampling=6.0)
    weights = np.ones(values.size)
    weights[::7] = 0
    spoiled = np.where(weights == 0, 1e3, values)
    options = {"shape": (30, 25), "alpha": 0.1, "tol": 1e-10, "max_iter": 500}
    masked = complete((rows, cols, spoiled), 2, weights=weights, **options)
    keep = weights > 0
    left_out = complete((rows[keep], cols[keep], values[keep]), 2, **options)
    np.testing.assert_allclose(masked.to_dense(), left_out.to_dense(), atol=1e-6)


@pytest.mark.parametrize(
    ("rows", "cols", "values", "text"),
    [
        ([0, -1], [0, 1], [1.0, 2.0], "`rows` must be"),
        ([0, 1], [0, -1], [1.0, 2.0], "`cols` must be"),
        ([0, 4], [0, 1], [1.0, 2.0], r"`rows` must be indices in 0\.\.3, got 4"),
        ([0, 1], [0, 3], [1.0, 2.0], r"`cols` must be indices in 0\.\.2, got 3"),
        ([0.5, 1], [0, 1], [1.0, 2.0], r"`rows` must be integers, got 0\.5"),
        ([0, 1], [0, NAN], [1.0, 2.0], "`cols` must be integers"),
        ([0, 1, 2], [0, 1], [1.0, 2.0], "`rows` must be of length 2"),
        ([0, 1], [0], [1.0, 2.0], "`cols` must be of length 2"),
    ],
)
def test_indices(rows, cols, values, text):
    data = (np.array(rows), np.array(cols), np.array(values))
    with pytest.raises(ValueError, match=text):
        complete(data, 1, shape=(4, 3))


@pytest.mark.parametrize(
    ("X", "options", "text"),
    [
        ("entries", {"shape": (30, 25, 1)}, r"`shape` must be a pair \(m, n\)"),
        ("entries", {"shape": 30}, r"`shape` must be a pair \(m, n\)"),
        ("values", {}, r"`values` must be 1-D"),
        ("entries", {"weights": [[1.0]]}, "`weights` must be 1-D"),
        ("entries", {"weights": 0.0}, "`weights` must be positive somewhere"),
        ("words", {}, "`rows` must be integers, got dtype bool"),
    ],
)
def test_triplets(X, options, text):
    rows, cols, values = _triplets()
    if options.get("weights") == 0.0:
        options = {"weights": np.zeros(values.size)}
    rows = rows > 1 if X == "words" else rows
    values = values[:, None] if X == "values" else values
    error = TypeError if X == "words" else ValueError
    with pytest.raises(error, match=text):
        complete((rows, cols, values), 2, **options)


def test_places_and_new_rows_of_a_model():
    model = complete(np.outer([1.0, 2.0, 3.0], [1.0, 1.0]), 1)
    for rows, cols, text in (
        ([0, 1], [0], r"`cols` must be of shape \(2,\)"),
        ([[0, 1]], [0], "`rows` must be a vector of integers"),
        ([0], [0.0], "`cols` must be a vector of integers"),
        ([-1], [0], r"`rows` must be indices in 0\.\.2, got -1"),
        ([0], [2], r"`cols` must be indices in 0\.\.1, got 2"),
    ):
        with pytest.raises(ValueError, match=text):
            model.predict(rows, cols)
    assert model.predict(np.zeros(0, int), np.zeros(0, int)).shape == (0,)
    with pytest.raises(ValueError, match="`return_std` must be False unless"):
        model.predict([0], [0], return_std=True)
    with pytest.raises(ValueError, match="`X_new` must be of 2 columns"):
        model.fold_in(np.ones((1, 3)))


def test_integral_float_indices_are_taken():
    rows, cols, values = _triplets()
    plain = complete((rows, cols, values), 2, random_state=0)
    as_floats = (rows.astype(float), cols.astype(float), values)
    floats = complete(as_floats, 2, random_state=0)
    np.testing.assert_array_equal(plain.to_dense(), floats.to_dense())


@pytest.mark.parametrize(
    ("X", "text"),
    [
        (
            np.zeros((5, 3)),
            r"X must hold \(row, col\) integer pairs, got shape \(5, 3\)",
        ),
        (np.array([[0, -1], [1, 2]]), "integer pairs.*-1"),
        (np.array([[0, 0.5], [1, 2]]), r"integer pairs.*0\.5"),
        (np.array([["a", "x"], ["b", "y"]], dtype=object), "OrdinalEncoder"),
    ],
)
def test_pairs_of_the_regressor(X, text):
    with pytest.raises(ValueError, match=text):
        MatrixCompletionRegressor().fit(X, np.ones(len(X)))


def test_too_few_observations_warn_and_return():
    rows, cols, values = _triplets(n_obs=60, oversampling=None, min_per_line=1)
    n, dof = values.size, 2 * (30 + 25 - 2)
    text = rf"fewer observations than degrees of freedom \(N={n}, dof={dof}\)"
    with (
        pytest.warns(ConvergenceWarning, match="no solution in 1 steps"),
        pytest.warns(ConvergenceWarning, match=text),
    ):
        result = complete((rows, cols, values), 2, shape=(30, 25), max_iter=1)
    assert np.isfinite(result.to_dense()).all()
    assert result.underdetermined_rows.size > 0


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"alpha": -1.0}, "`alpha` must be"),
        ({"alpha": NAN}, "`alpha` must be"),
        ({"alpha_bias": -1.0, "bias": "both"}, "`alpha_bias` must be"),
        ({"tol": 0.0}, "`tol` must be"),
        ({"tol": -1e-3}, "`tol` must be"),
        ({"max_iter": -1}, "`max_iter` must be"),
        ({"method": "magic"}, "`method` must be one of 'auto', 'als'"),
        ({"loss": "cauchy"}, "`loss` must be one of 'squared'"),
        ({"bias": "all"}, "`bias` must be one of 'none', 'row', 'col', 'both'"),
        ({"alpha_scaling": "sqrt"}, "`alpha_scaling` must be one of 'constant'"),
        ({"inner": "qr"}, "`inner` must be one of"),
        ({"cg_steps": 0}, "`cg_steps` must be"),
        ({"acceleration": "nesterov"}, "`acceleration` must be"),
        ({"duplicates": "last"}, "`duplicates` must be one of"),
        ({"n_restarts": -1}, "`n_restarts` must be"),
        ({"validation_fraction": 1.0}, "`validation_fraction` must be"),
        ({"nonnegative": True, "bias": "both", "alpha": 1.0}, "`bias` must be"),
        ({"clip_incoherence": 0.5}, "`clip_incoherence` must be"),
        ({"loss": "l1", "method": "als"}, "`loss` must be 'squared' for method 'als'"),
        ({"method": "subgradient"}, "`loss` must be 'l1' or 'huber' for method"),
        ({"loss": "l1", "bias": "row"}, "`bias` must be 'none' for this"),
        ({"method": "scaled_gd", "bias": "row"}, "`bias` must be 'none' for this"),
        ({"loss": "l1", "alpha": 1.0}, "`alpha` must be 0 for this"),
        ({"method": "gauss_newton", "alpha": 1.0}, "`alpha` must be 0 for this"),
        ({"loss": "huber", "method": "subgradient"}, "`loss` must be 'l1' for method"),
        (
            {"method": "soft_impute", "alpha": 1.0, "alpha_scaling": "count"},
            "`alpha_scaling` must be 'constant'",
        ),
        ({"method": "scaled_gd", "nonnegative": True}, "`method` must be 'als' with"),
    ],
)
def test_options(options, text):
    with pytest.raises(ValueError, match=text):
        complete(np.abs(_dense()), 2, **options)


@pytest.mark.parametrize(
    "options",
    [{"alpha": "big"}, {"alpha": "auto ", "method": "vb"}, {"callback": 3}],
)
def test_options_of_a_wrong_kind(options):
    with pytest.raises((TypeError, ValueError), match=r"`(alpha|callback)` must be"):
        complete(_dense(), 2, **options)


def test_wrong_arrays():
    with pytest.raises(ValueError, match="`X` must be"):
        complete(np.ones(5), 1)
    with pytest.raises(TypeError, match="`X` must be"):
        complete(np.array([["a", "b"], ["c", "d"]], dtype=object), 1)
    with pytest.raises(ValueError, match="`shape` must be"):
        complete(_dense(), 2, shape=(31, 25))


def test_nonnegative_data_with_a_negative_mean():
    with pytest.raises(ValueError, match="`X` must"):
        complete(-np.abs(_dense()), 2, nonnegative=True, alpha=0.1)


@pytest.mark.parametrize("alpha", [0.0, 0.1])
@pytest.mark.parametrize("shape", [(1, 6), (6, 1), (1, 1), (3, 3)])
def test_tiny_matrices(shape, alpha):
    X = np.arange(1.0, 1 + np.prod(shape)).reshape(shape)
    result = complete(X, min(shape), alpha=alpha)
    assert result.to_dense().shape == shape
    if alpha == 0:
        np.testing.assert_allclose(result.to_dense(), X, atol=1e-10)


def test_constant_column_and_full_rank():
    X = _dense()
    X[:, 3] = 5.0
    for options in ({"alpha": 0.1}, {"alpha": 0.1, "bias": "both"}):
        result = complete(X, 25, **options, max_iter=1000, tol=1e-5)
        assert np.isfinite(result.to_dense()).all()


def test_full_matrix_is_the_truncated_svd():
    X = np.random.default_rng(0).standard_normal((20, 15))
    U, s, Vt = np.linalg.svd(X, full_matrices=False)
    result = complete(X, 4)
    np.testing.assert_allclose(
        result.to_dense(), (U[:, :4] * s[:4]) @ Vt[:4], atol=1e-10
    )
    assert result.n_iter == 1
    assert result.converged


def test_duplicates():
    rows, cols, values = _triplets()
    i = np.concatenate([rows, rows[:5]])
    j = np.concatenate([cols, cols[:5]])
    y = np.concatenate([values, values[:5] + 2.0])
    averaged = values.copy()
    averaged[:5] += 1.0
    options = {"alpha": 0.1, "shape": (30, 25), "tol": 1e-10, "max_iter": 500}
    weights = np.ones(values.size)
    weights[:5] = 2.0
    np.testing.assert_allclose(
        complete((i, j, y), 2, **options).to_dense(),
        complete((rows, cols, averaged), 2, weights=weights, **options).to_dense(),
        atol=1e-7,
    )
    with pytest.raises(ValueError, match="more than once"):
        complete((i, j, y), 2, duplicates="raise", **options)


@pytest.mark.parametrize("alpha", [0.0, 0.1])
def test_dtypes_and_untouched_inputs(alpha):
    rows, cols, values = _triplets()
    for a in (rows, cols, values):
        a.flags.writeable = False
    integers = np.round(100 * values).astype(np.int64)
    assert complete((rows, cols, integers), 2, alpha=alpha).row_factors.dtype == float
    narrow = complete((rows, cols, values.astype(np.float32)), 2, alpha=alpha, tol=1e-4)
    assert narrow.row_factors.dtype == np.float32
    X = _dense()
    before = X.copy()
    complete(X, 2, alpha=alpha)
    np.testing.assert_array_equal(X, before)


@pytest.mark.parametrize("alpha", [0.0, 0.1])
def test_callback_stops(alpha):
    seen = []

    def callback(info):
        seen.append(info.n_iter)
        return len(seen) >= 3

    result = complete(_dense(), 2, alpha=alpha, callback=callback, tol=1e-14)
    assert len(seen) == 3
    assert not result.converged
    assert result.status == "callback"
    assert "stopped by the callback" in result.message


@pytest.mark.parametrize("alpha", [0.0, 0.3, "auto"])
@pytest.mark.parametrize("bias", ["none", "both"])
def test_empty_rows_and_columns_are_legal(alpha, bias):
    rows, cols, values = _triplets()
    shape = (40, 33)
    gaps = (rows + rows // 3, cols + cols // 4, values)
    result = complete(gaps, 2, shape=shape, alpha=alpha, bias=bias, warn=False)
    dense = result.to_dense()
    assert np.isfinite(dense).all()
    empty = np.setdiff1d(np.arange(40), gaps[0])
    assert np.abs(result.row_factors[empty]).max() < 1e-12
    assert np.abs(result.row_bias[empty]).max() < 1e-12


def test_sizes_beyond_32_bits():
    size = 3_000_000
    rng = np.random.default_rng(0)
    rows, cols = rng.integers(0, size, (2, 2000))
    rows[0] = cols[0] = size - 1
    result = complete(
        (rows, cols, np.ones(2000)),
        1,
        shape=(size, size),
        alpha=0.1,
        max_iter=3,
        warn=False,
    )
    assert result.predict([size - 1], [size - 1])[0] == pytest.approx(1.0, abs=0.2)
    assert np.isfinite(result.row_factors).all()


@pytest.mark.parametrize("rank", [8, 20])
def test_many_sweeps_with_short_rows_stay_finite(rank):
    rows, cols, values = make_low_rank(
        60, 50, 3, n_obs=300, power_law=1.0, min_per_line=0, random_state=1
    )[:3]
    for options in ({"alpha": 1e-3}, {"alpha": 1e-3, "alpha_scaling": "count"}):
        result = complete(
            (rows, cols, values.astype(np.float32)),
            rank,
            shape=(60, 50),
            max_iter=500,
            tol=1e-12,
            warn=False,
            **options,
        )
        assert np.isfinite(result.to_dense()).all()


def test_helpers_refuse_by_name():
    X = _dense()
    with pytest.raises(ValueError, match="`rank` must be"):
        spectral_init(X, 99)
    with pytest.raises(ValueError, match="`max_rank` must be"):
        estimate_rank(X, 0)
    with pytest.raises(ValueError, match="`method` must be one of"):
        estimate_rank(X, 3, method="guess")
    with pytest.raises(ValueError, match="`alphas`"):
        completion_path(X, [-1.0], 2)
    with pytest.raises(ValueError, match="`y_pred` must be"):
        heldout_rmse(np.ones(3), np.ones(4))
    with pytest.raises(ValueError, match=r"`groups` must be of shape \(3,\)"):
        heldout_rmse(np.ones(3), np.ones(3), groups=[0, 1])
    with pytest.raises(ValueError, match="`y_true` must be a non-empty vector"):
        heldout_rmse(np.ones(0), np.ones(0))
    with pytest.raises(ValueError, match="`method` must be 'als' or 'auto'"):
        weighted_low_rank(np.ones((3, 2)), np.ones((3, 2)), 1, method="closed")
    with pytest.raises(ValueError, match="`confidence` must be"):
        heldout_rmse(np.ones(3), np.ones(3), confidence=1.0)
    with pytest.raises(ValueError, match="`Q` must be"):
        incoherence(np.ones(3))
    with pytest.raises(ValueError, match="`weights` must be"):
        weighted_low_rank(np.ones((3, 2)), -np.ones(3), 1)
    with pytest.raises(ValueError, match="`M` must be"):
        weighted_low_rank(X, np.ones(30), 1)


def test_all_missing_column_of_the_imputer():
    X = _dense()
    X[:, 1] = NAN
    with pytest.warns(UserWarning, match="without a known entry"):
        assert LowRankImputer(rank=2).fit_transform(X).shape == (30, 24)
