# SPDX-License-Identifier: BSD-3-Clause
"""The table of bad input and edge cases, for functions and estimators."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from numopt.coordinate import (
    L1,
    Box,
    ElasticNet,
    GroupL2,
    GroupLasso,
    Lasso,
    LinearSVC,
    Logistic,
    NonNegative,
    Quadratic,
    SparseLogisticRegression,
    alpha_max,
    bcd_solve,
    dual_gap,
    nnls,
)
from numopt.exceptions import ConvergenceWarning


@pytest.fixture
def data(rng):
    X = rng.standard_normal((30, 8))
    return X, X[:, 0] - 2 * X[:, 3] + 0.1 * rng.standard_normal(30)


def broken(array, value):
    out = array.copy()
    out.flat[3] = value
    return out


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["X", "y", "sample_weight"])
def test_not_finite(name, value, data):
    arguments = {"X": data[0], "y": data[1], "sample_weight": np.ones(30)}
    arguments[name] = broken(arguments[name], value)
    X, y, weights = arguments.values()
    with pytest.raises(ValueError, match=f"`{name}` must be finite"):
        bcd_solve(X, y, Quadratic(), L1(0.1), sample_weight=weights)
    if name == "X":
        with pytest.raises(ValueError, match="`X` must be finite"):
            bcd_solve(sp.csr_array(X), y, Quadratic(), L1(0.1))
    with pytest.raises(ValueError, match=r"NaN|infinity|finite"):
        Lasso(0.1).fit(X, y, weights)


def test_wrong_kinds_and_shapes(data):
    X, y = data
    with pytest.raises(TypeError, match="`X` must be"):
        bcd_solve(np.asarray([["a", "b"]] * 30), y, Quadratic(), L1(0.1))
    with pytest.raises(ValueError, match=r"`y` must be of shape \(30,\).*\(29,\)"):
        bcd_solve(X, y[:-1], Quadratic(), L1(0.1))
    with pytest.raises(ValueError, match="`X` must be non-empty"):
        bcd_solve(X[:, :0], y, Quadratic(), L1(0.1))
    with pytest.raises(ValueError, match="`sample_weight` must be of shape"):
        bcd_solve(X, y, Quadratic(), L1(0.1), sample_weight=np.ones(3))
    with pytest.raises(ValueError, match="non-negative"):
        bcd_solve(X, y, Quadratic(), L1(0.1), sample_weight=-np.ones(30))
    with pytest.raises(ValueError, match="positive somewhere"):
        bcd_solve(X, y, Quadratic(), L1(0.1), sample_weight=np.zeros(30))


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: L1(-1.0), "`alpha` must be .*got -1.0"),
        (lambda: L1(1.0, weights=[-1.0]), "`weights` must be .*non-negative"),
        (lambda: Box(1.0, 0.0), "lower"),
        (lambda: GroupL2(-1.0, 2), "`alpha`"),
        (lambda: NonNegative(-1.0), "`alpha`"),
    ],
)
def test_bad_penalties(make, match):
    with pytest.raises(ValueError, match=match):
        make()


@pytest.mark.parametrize(
    ("estimator", "match"),
    [
        (Lasso(alpha=-1.0), "alpha"),
        (Lasso(tol=0.0), "tol"),
        (Lasso(max_iter=0), "max_iter"),
        (ElasticNet(l1_ratio=1.5), "l1_ratio"),
        (SparseLogisticRegression(C=0.0), "C"),
        (LinearSVC(C=-1.0), "C"),
    ],
)
def test_bad_parameters_of_estimators(estimator, match, data):
    X, y = data
    with pytest.raises(ValueError, match=match):
        estimator.fit(X, (y > 0).astype(int))


@pytest.mark.parametrize(
    "groups", [3, [[0, 1], [2]], [[0, 1, 2, 3], [3, 4, 5, 6, 7]], [0, 1, 1]]
)
def test_groups_that_are_no_partition(groups, data):
    with pytest.raises(ValueError, match="`groups` must be"):
        GroupLasso(groups).fit(*data)


@pytest.mark.parametrize("options", [{"tol": 0.0}, {"tol": -1.0}])
def test_bad_tolerance(options, data):
    with pytest.raises(ValueError, match="`tol` must be"):
        bcd_solve(*data, Quadratic(), L1(0.1), **options)
    with pytest.raises(ValueError, match="`tol` must be"):
        bcd_solve(*data, Quadratic(), L1(0.1), selection="cyclic", **options)


def test_one_class():
    X = np.eye(4)
    for model in (SparseLogisticRegression(), LinearSVC()):
        with pytest.raises(ValueError, match="class"):
            model.fit(X, np.ones(4))


@pytest.mark.parametrize("weight", [0.0, np.inf])
@pytest.mark.parametrize("datafit", [Quadratic(), Logistic()])
def test_penalty_weights_zero_and_infinite(weight, datafit, data):
    X, y = data
    y = np.sign(y) if isinstance(datafit, Logistic) else y
    weights = np.ones(8)
    weights[0] = weight
    penalty = L1(0.1, weights=weights)
    result = bcd_solve(X, y, datafit, penalty, tol=1e-9)
    gradient = X.T @ datafit.gradient(y, X @ result.coef) / 30
    if weight == 0:
        assert abs(gradient[0]) < 1e-4
        assert result.coef[0] != 0
    else:
        rest = bcd_solve(X[:, 1:], y, datafit, L1(0.1), tol=1e-9)
        assert result.coef[0] == 0
        np.testing.assert_allclose(result.coef[1:], rest.coef, atol=1e-6)


@pytest.mark.parametrize("fit_intercept", [True, False])
def test_degenerate_columns(fit_intercept, data):
    X, y = data
    X = np.column_stack([X, np.zeros(30), np.ones(30), X[:, 0], X[:, 0]])
    result = bcd_solve(X, y, Quadratic(), L1(0.05), fit_intercept=fit_intercept)
    assert result.converged
    assert result.coef[8] == 0
    assert np.all(np.isfinite(result.coef))
    if fit_intercept:
        assert abs(result.coef[9]) < 1e-8
    clean = bcd_solve(X[:, :8], y, Quadratic(), L1(0.05), fit_intercept=fit_intercept)
    if fit_intercept:
        assert result.objective == pytest.approx(clean.objective, rel=1e-5)


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (5, 1), (2, 2)])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_tiny_shapes(shape, fit_intercept, rng):
    X, y = rng.standard_normal(shape), rng.standard_normal(shape[0])
    result = bcd_solve(X, y, Quadratic(), L1(0.01), fit_intercept=fit_intercept)
    assert result.converged
    assert np.all(np.isfinite(result.coef))


def test_constant_target_and_large_alpha(data):
    X, y = data
    constant = bcd_solve(X, np.full(30, 3.0), Quadratic(), L1(0.1), fit_intercept=True)
    top = alpha_max(X, y, Quadratic(), L1(), fit_intercept=True)
    large = bcd_solve(X, y, Quadratic(), L1(top), fit_intercept=True)
    for result, mean in ((constant, 3.0), (large, y.mean())):
        assert result.converged
        assert result.n_iter == 0
        np.testing.assert_array_equal(result.coef, 0.0)
        assert result.intercept == pytest.approx(mean)
    below = bcd_solve(X, y, Quadratic(), L1(0.999 * top), fit_intercept=True, tol=1e-9)
    assert np.count_nonzero(below.coef) >= 1
    positive = L1(0.1, positive=True)
    result = bcd_solve(X, np.zeros(30), Quadratic(), positive, fit_intercept=True)
    assert np.all(result.coef == 0)


def test_zero_sample_weights_are_dropped_rows(data):
    X, y = data
    weights = np.r_[np.zeros(10), np.ones(20)]
    for datafit, targets in ((Quadratic(), y), (Logistic(), np.sign(y))):
        options = {"fit_intercept": True, "tol": 1e-10}
        one = bcd_solve(X, targets, datafit, L1(0.05), sample_weight=weights, **options)
        two = bcd_solve(X[10:], targets[10:], datafit, L1(0.05), **options)
        np.testing.assert_allclose(one.coef, two.coef, atol=1e-6)


def test_separable_logistic_does_not_overflow():
    X = np.r_[np.full(10, -1.0), np.full(10, 1.0)][:, None]
    y = np.r_[np.zeros(10), np.ones(10)]
    with np.errstate(over="raise", invalid="raise"):
        result = bcd_solve(X * 1e3, y, Logistic(), L1(1e-8), warn=False)
    assert np.all(np.isfinite(result.coef))
    assert np.isfinite(result.objective)


FORMS = {
    "int": lambda X: np.round(4 * X).astype(int),
    "bool": lambda X: X > 0,
    "float16": lambda X: np.round(4 * X).astype(np.float16),
    "C order": np.ascontiguousarray,
    "F order": np.asfortranarray,
    "strided": lambda X: np.repeat(np.repeat(X, 2, axis=0), 2, axis=1)[::2, ::2],
    "frame": pd.DataFrame,
    "csr": sp.csr_array,
    "coo": sp.coo_array,
    "csc": sp.csc_matrix,
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_design(form, data):
    X, y = data
    given = FORMS[form](X)
    dense = given.toarray() if sp.issparse(given) else np.asarray(given)
    expected = Lasso(0.05, tol=1e-6).fit(np.asarray(dense, float), y).coef_
    np.testing.assert_allclose(Lasso(0.05).fit(given, y).coef_, expected, atol=2e-3)
    if form != "frame":
        result = bcd_solve(given, y, Quadratic(), L1(0.05), fit_intercept=True)
        np.testing.assert_allclose(result.coef, expected, atol=2e-3)


def test_inputs_are_read_only_and_stay(data, tmp_path):
    X, y = data
    path = tmp_path / "X.bin"
    mapped = np.memmap(path, dtype=X.dtype, mode="w+", shape=X.shape)
    mapped[:] = X
    mapped.flush()
    frozen = np.memmap(path, dtype=X.dtype, mode="r", shape=X.shape)
    weights = np.ones(30)
    for array in (y, weights):
        array.flags.writeable = False
    for rule in ({}, {"selection": "cyclic", "update": "prox"}):
        result = bcd_solve(
            *(frozen, y, Quadratic(), L1(0.05)),
            sample_weight=weights,
            fit_intercept=True,
            **rule,
        )
        assert result.converged
    np.testing.assert_array_equal(frozen, X)


def test_float32_stays_close(data):
    X, y = data
    one = bcd_solve(X.astype(np.float32), y, Quadratic(), L1(0.05), tol=1e-6)
    two = bcd_solve(X, y, Quadratic(), L1(0.05), tol=1e-10)
    np.testing.assert_allclose(one.coef, two.coef, atol=1e-3)


@pytest.mark.parametrize("rule", [{}, {"selection": "cyclic", "update": "prox"}])
def test_not_converged_says_what_to_change(rule, rng):
    X = rng.standard_normal((60, 200))
    y = X @ rng.standard_normal(200)
    with pytest.warns(ConvergenceWarning, match="increase `max_iter` or `tol`"):
        result = bcd_solve(X, y, Quadratic(), L1(1e-3), max_iter=1, tol=1e-14, **rule)
    assert not result.converged
    assert result.status == "max_iter"
    # The solver keeps the best dual point that it met; the audit knows the last.
    audited = dual_gap(X, y, result.coef, Quadratic(), L1(1e-3))
    assert 1e-14 < result.dual_gap <= audited * (1 + 1e-9)


def test_alpha_zero_is_least_squares(data):
    X, y = data
    result = bcd_solve(X, y, Quadratic(), L1(0.0), tol=1e-10)
    np.testing.assert_allclose(
        result.coef, np.linalg.lstsq(X, y, rcond=None)[0], atol=1e-6
    )


def test_nnls_refuses_what_scipy_refuses():
    with pytest.raises(ValueError, match=r"must be of shape \(3,\)"):
        nnls(np.eye(3), np.ones(2))
