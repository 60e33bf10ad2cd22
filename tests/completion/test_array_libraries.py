# SPDX-License-Identifier: BSD-3-Clause
"""``complete`` on every array library: the same model, where the data live."""

import warnings

import numpy as np
import pytest
from sklearn import config_context

from numopt.completion import (
    LowRankImputer,
    complete,
    incoherence,
    spectral_init,
    weighted_low_rank,
)
from numopt.datasets import make_low_rank
from numopt.exceptions import ConvergenceWarning
from tests.backends import assert_xp_close

#: Options of each method, and how far rounding may separate two libraries.
METHODS = {
    "als": ({"alpha": 1.0, "bias": "both", "method": "als"}, 1e-6),
    "als-cg": ({"alpha": 1.0, "bias": "row", "method": "als", "inner": "cg"}, 1e-6),
    "als-count": ({"alpha": 0.1, "alpha_scaling": "count", "method": "als"}, 1e-6),
    "nonnegative": ({"alpha": 0.5, "nonnegative": True}, 1e-6),
    "vb": ({"alpha": "auto", "bias": "both"}, 1e-6),
    "gauss_newton": ({}, 1e-6),
    "irls_gauss_newton": ({"loss": "l1"}, 1e-6),
    "altmin_sketch": ({"method": "altmin_sketch"}, 1e-6),
    "altmin_sketch-sketch": ({"method": "altmin_sketch", "precond": "sketch"}, 1e-6),
    "altmin_sketch-resample": (
        {"method": "altmin_sketch", "resample": True, "tol": 0.25, "alpha": 1.0},
        1e-6,
    ),
    "soft_impute": ({"method": "soft_impute", "alpha": 0.5}, 1e-6),
    "scaled_gd": ({"method": "scaled_gd"}, 1e-6),
    "subgradient": ({"loss": "l1", "method": "subgradient"}, 1e-6),
}


@pytest.fixture(scope="module")
def entries():
    rows, cols, values, U, V = make_low_rank(24, 18, 2, n_obs=300, random_state=0)
    return rows, cols, values, U @ V.T


@pytest.mark.parametrize("name", METHODS)
def test_triplets(name, entries, backend):
    options, tolerance = METHODS[name]
    if name == "nonnegative":
        entries = (*entries[:2], np.abs(entries[2]), entries[3])
    if name == "vb":
        # Without noise its variance falls for ever; a little keeps the map stable.
        noise = np.random.default_rng(0).standard_normal(300)
        entries = (*entries[:2], entries[2] + 0.1 * noise, entries[3])
    rows, cols, values, _ = entries
    options = {"max_iter": 6, "random_state": 0, "warn": False, **options}
    desired = complete((rows, cols, values), 2, shape=(24, 18), **options)
    given = tuple(backend.asarray(a, a.dtype) for a in (rows, cols, values))
    result = complete(given, 2, shape=(24, 18), **options)
    like = backend.asarray(values[:1], values.dtype)
    scale = float(np.abs(values).max())
    assert_xp_close(
        result.to_dense(), desired.to_dense(), like=like, atol=tolerance * scale
    )
    assert result.objective == pytest.approx(desired.objective, rel=1e-5, abs=1e-9)
    at = backend.asarray(np.asarray([0, 5]))
    assert_xp_close(
        result.predict(at, at), desired.predict([0, 5], [0, 5]), like=like,
        atol=tolerance * scale,
    )  # fmt: skip


def test_dense_with_holes_and_new_rows(entries, backend):
    rows, cols, values, truth = entries
    dense = np.full(truth.shape, np.nan)
    dense[rows, cols] = values
    X = backend.asarray(dense)
    result = complete(X, 2, alpha=0.5, bias="both", random_state=0, max_iter=20)
    again = result.fold_in(X)
    assert_xp_close(again.to_dense(), result.to_dense(), like=X, atol=1e-8)


def test_full_matrix(entries, backend):
    truth = entries[3]
    result = complete(backend.asarray(truth), 2)
    assert_xp_close(result.to_dense(), truth, like=backend.asarray(truth), atol=1e-10)


def test_weighted_low_rank(entries, backend):
    truth = entries[3] + np.random.default_rng(1).standard_normal(entries[3].shape)
    weights = np.random.default_rng(2).random(truth.shape[0]) + 0.1
    M = backend.asarray(truth)
    result = weighted_low_rank(M, backend.asarray(weights), 2)
    desired = weighted_low_rank(truth, weights, 2)
    assert_xp_close(result.to_dense(), desired.to_dense(), like=M, atol=1e-10)


def test_spectral_start(entries, backend):
    rows, cols, values, truth = entries
    given = tuple(backend.asarray(a, a.dtype) for a in (rows, cols, values))
    U, s, V = spectral_init(given, 2, shape=truth.shape, random_state=0)
    A, t, B = spectral_init((rows, cols, values), 2, shape=truth.shape, random_state=0)
    like = given[2]
    assert_xp_close((U * s) @ V.T, (A * t) @ B.T, like=like, atol=1e-8)
    assert incoherence(U) == pytest.approx(incoherence(A), rel=1e-8)


@pytest.mark.parametrize("options", [{}, {"alpha": 1.0}], ids=["em", "ridge"])
def test_imputer(options, entries, backend):
    """EM and the ridge model fit, fill and fold in where the table lives."""
    if dict(backend.flags):
        pytest.skip("scikit-learn's validation needs boolean indexing")
    rows, cols, values, truth = entries
    table = np.full(truth.shape, np.nan)
    table[rows, cols] = values
    table += 0.1 * np.random.default_rng(0).standard_normal(table.shape)
    options = {"rank": 2, "max_iter": 10, "tol": 1e-12, "random_state": 0, **options}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        desired = LowRankImputer(**options).fit(table)
        with config_context(array_api_dispatch=True):
            X = backend.asarray(table)
            model = LowRankImputer(**options).fit(X)
            filled, std = model.transform(X, return_std=True)
    scale = float(np.abs(values).max())
    expected = desired.transform(table, return_std=True)
    assert_xp_close(filled, expected[0], like=X, atol=1e-6 * scale)
    assert_xp_close(std, expected[1], like=X, atol=1e-6 * scale)
    assert_xp_close(
        model.noise_variance_, desired.noise_variance_, like=X, atol=1e-6 * scale**2
    )
