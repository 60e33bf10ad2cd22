# SPDX-License-Identifier: BSD-3-Clause
"""Paths: grids, certificates, and single fits at their points."""

import numpy as np
import pytest
import scipy.sparse as sp

from numopt.coordinate import (
    L1,
    ElasticNet,
    GroupL2,
    Logistic,
    Quadratic,
    alpha_max,
    dual_gap,
    enet_path,
    group_lasso_path,
    lasso_path,
    logistic_path,
)
from numopt.coordinate._problem.data import LinearData
from numopt.coordinate._solvers.screening import FLOOR, Screened
from numopt.coordinate._solvers.working_set import solve_auto
from numopt.exceptions import ConvergenceWarning
from tests.backends import assert_xp_close
from tests.coordinate.problems import correlated


@pytest.fixture(scope="module")
def data():
    return correlated(50, 200, 0.7, 10, 3, 0)


def test_points_are_single_fits(data):
    X, y = data
    path = lasso_path(X, y, n_alphas=20, eps=0.01, fit_intercept=True, tol=1e-11)
    assert path.converged
    assert path.coefs.shape == (200, 20)
    assert path.dual_gaps.max() <= 1e-11
    assert not path.coefs[:, 0].any()
    assert np.all(np.diff(path.alphas) < 0)
    for k in (3, 10, 19):
        one = solve_auto(
            X, y, Quadratic(), L1(path.alphas[k]), fit_intercept=True, tol=1e-12
        )
        np.testing.assert_allclose(path.coefs[:, k], one.coef, atol=1e-6)
        assert path.intercepts[k] == pytest.approx(one.intercept, abs=1e-8)


def test_elastic_net_path_changes_the_ridge(data):
    X, y = data
    path = enet_path(X, y, l1_ratio=0.3, n_alphas=6, eps=0.05, tol=1e-13)
    for k, alpha in enumerate(path.alphas):
        one = solve_auto(X, y, Quadratic(), ElasticNet(alpha, 0.3), tol=1e-12)
        np.testing.assert_allclose(path.coefs[:, k], one.coef, atol=1e-6)


def test_sparse_weighted_positive(data):
    X, y = data
    X = np.where(np.abs(X) > 1, X, 0.0)
    s = np.random.default_rng(0).random(50)
    options = {
        "positive": True,
        "fit_intercept": True,
        "sample_weight": s,
        "n_alphas": 8,
        "eps": 0.05,
        "tol": 1e-11,
    }
    dense = lasso_path(X, y, **options)
    sparse = lasso_path(sp.csc_array(X), y, **options)
    assert dense.coefs.min() >= 0
    np.testing.assert_allclose(sparse.coefs, dense.coefs, atol=1e-7)


def test_group_and_logistic_paths(data):
    X, y = data
    grouped = group_lasso_path(X, y, 10, n_alphas=6, eps=0.1, tol=1e-9)
    assert grouped.converged
    blocks = (grouped.coefs.reshape(20, 10, 6) != 0).sum(axis=1)
    assert set(np.unique(blocks)) <= {0, 10}
    labels = (y > 0).astype(int)
    logistic = logistic_path(X, labels, n_alphas=6, eps=0.1, tol=1e-9)
    assert logistic.converged
    top = alpha_max(X, labels, Logistic(), L1())
    assert logistic.alphas[0] == pytest.approx(top)
    assert logistic_path(X, np.digitize(y, [-1, 1]), n_alphas=3).coefs.shape == (
        3,
        200,
        3,
    )


def test_given_alphas_are_sorted(data):
    X, y = data
    path = lasso_path(X, y, alphas=[0.1, 0.5, 0.2])
    np.testing.assert_array_equal(path.alphas, [0.5, 0.2, 0.1])
    with pytest.raises(ValueError, match="`alphas` must be finite and non-negative"):
        lasso_path(X, y, alphas=[-1.0])
    with pytest.raises(ValueError, match="`eps` must be"):
        lasso_path(X, y, eps=0.0)


@pytest.mark.parametrize("l1_ratio", [1.0, 0.6])
@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_one_gram_matrix_gives_what_passes_give(l1_ratio, positive, weighted):
    X, y = correlated(90, 30, 0.5, 6, 2, 1)
    rng = np.random.default_rng(0)
    options = {
        "l1_ratio": l1_ratio,
        "positive": positive,
        "weights": rng.uniform(0.5, 2.0, 30),
        "sample_weight": rng.random(90) if weighted else None,
        "fit_intercept": True,
        "n_alphas": 12,
        "tol": 1e-12,
    }
    # Sparse designs take the passes.
    dense = enet_path(X + 1.0, y, **options)
    passes = enet_path(sp.csc_array(X + 1.0), y, **options)
    assert set(dense.n_iters) == {1}
    assert dense.dual_gaps.max() <= 1e-12
    np.testing.assert_allclose(dense.alphas, passes.alphas)
    np.testing.assert_allclose(dense.coefs, passes.coefs, atol=1e-7)
    np.testing.assert_allclose(dense.intercepts, passes.intercepts, atol=1e-7)
    np.testing.assert_allclose(dense.history["objective"], passes.history["objective"])
    np.testing.assert_array_equal(
        dense.history["n_support"], (dense.coefs != 0).sum(axis=0)
    )


@pytest.mark.parametrize("positive", [False, True])
def test_strengths_that_start_on_a_line_are_certified(positive):
    """Steps of all sizes: some strengths are equal, some nearly."""
    X, y = correlated(250, 210, 0.6, 20, 3, 3)
    model = Quadratic(), L1(positive=positive)
    steps = np.tile([0.0, 0.4, 1e-6, 0.1], 5)
    alphas = alpha_max(X, y, *model) * np.exp(-np.cumsum(steps))
    path = lasso_path(X, y, alphas=alphas, positive=positive, tol=1e-9)
    assert set(path.n_iters) == {1}
    for k, alpha in enumerate(path.alphas):
        penalty = L1(alpha, positive=positive)
        assert dual_gap(X, y, path.coefs[:, k], Quadratic(), penalty) <= 1.01e-9


def test_gaps_of_the_gram_path_are_those_of_the_data():
    X, y = correlated(60, 20, 0.9, 5, 2, 2)
    path = enet_path(X, y, l1_ratio=0.5, n_alphas=10, tol=1e-3)
    for k, alpha in enumerate(path.alphas):
        gap = dual_gap(X, y, path.coefs[:, k], Quadratic(), ElasticNet(alpha, 0.5))
        # The path adds a bound of the rounding in its Gram matrix.
        assert gap - 1e-12 <= path.dual_gaps[k] <= gap + 1e-9


def test_what_the_gram_matrix_cannot_certify_is_solved_on_the_data():
    rng = np.random.default_rng(0)
    base = rng.standard_normal((60, 1))
    # Nearly the same column ten times: X^T X cannot tell them apart.
    X = base + 1e-9 * rng.standard_normal((60, 10))
    y = 1e3 * (X[:, 0] - X[:, 1]) * 1e6 + base[:, 0]
    path = lasso_path(X, y, n_alphas=30, eps=1e-4, tol=1e-9)
    assert path.converged
    for k, alpha in enumerate(path.alphas):
        assert dual_gap(X, y, path.coefs[:, k], Quadratic(), L1(alpha)) <= 1e-9


def test_callback_sees_each_strength_and_ends_the_path(data):
    X, y = data
    seen = []

    def stop_at_five(info):
        seen.append((info.n_iter, None if info.x is None else info.x.copy()))
        return info.n_iter == 5

    path = lasso_path(X, y, n_alphas=20, callback=stop_at_five)
    assert [k for k, _ in seen] == [0, 1, 2, 3, 4, 5]
    assert path.status == "callback"
    assert not path.converged
    assert path.alphas.size == path.coefs.shape[1] == path.dual_gaps.size == 5
    np.testing.assert_array_equal(seen[-1][1], path.coefs[:, -1])
    nothing = lasso_path(X, y, n_alphas=20, callback=lambda info: True)
    assert nothing.coefs.shape == (200, 0)


@pytest.mark.parametrize("columns", [20, 200])
def test_verbose_shows_every_strength(columns, data, caplog, capfd):
    X, y = data
    with caplog.at_level("INFO"):
        lasso_path(X[:, :columns], y, n_alphas=6, verbose=2)
    assert sum("n_support" in line for line in caplog.messages) == 7
    lasso_path(X[:, :columns], y, n_alphas=6, verbose=1)
    assert "6/6" in capfd.readouterr().err


def test_history_has_one_entry_a_strength(data):
    X, y = data
    for path in (
        lasso_path(X, y, n_alphas=7),
        lasso_path(X[:, :20], y, n_alphas=7),
        group_lasso_path(X, y, 10, n_alphas=7, eps=0.1),
    ):
        assert {values.size for values in path.history.values()} == {7}
        np.testing.assert_array_equal(path.history["residual"], path.dual_gaps)
        np.testing.assert_array_equal(path.history["n_iter"], path.n_iters)
        assert path.n_iter == path.n_iters.sum()
        assert np.all(np.diff(path.history["time"]) >= 0)


def test_short_of_passes_warns_and_says_so(data):
    X, y = data
    with pytest.warns(ConvergenceWarning, match="of 5 strengths ended above tol"):
        path = lasso_path(X, y, n_alphas=5, tol=1e-15, max_iter=1)
    assert path.status == "max_iter"
    assert not path.converged
    again = lasso_path(X, y, n_alphas=5, tol=1e-15, max_iter=1, warn=False)
    np.testing.assert_array_equal(again.dual_gaps, path.dual_gaps)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"alphas": []}, "`alphas` must be non-empty"),
        ({"alphas": [[1.0]]}, "`alphas` must"),
        ({"alphas": [-1.0]}, "`alphas` must"),
        ({"alphas": [np.nan]}, "`alphas` must"),
        ({"eps": 0.0}, "`eps` must"),
        ({"n_alphas": 0}, "`n_alphas` must"),
        ({"tol": 0.0}, "`tol` must"),
        ({"max_iter": 0}, "`max_iter` must"),
        ({"verbose": -1}, "`verbose` must"),
        ({"l1_ratio": 1.5}, "`l1_ratio` must"),
        ({"weights": [-1.0, 1.0]}, "`weights` must"),
        ({"sample_weight": [0.0, 0.0, 0.0]}, "`sample_weight` must"),
    ],
)
def test_bad_options_of_paths(options, match):
    X, y = np.eye(3)[:, :2], np.array([3.0, 1.0, 2.0])
    with pytest.raises(ValueError, match=match):
        enet_path(X, y, **options)
    if set(options) <= {"alphas", "eps", "n_alphas", "tol", "max_iter", "verbose"}:
        for path in (
            lambda **o: group_lasso_path(X, y, 1, **o),
            lambda **o: logistic_path(X, [0, 1, 0], **o),
        ):
            with pytest.raises(ValueError, match=match):
                path(**options)


def test_callback_of_paths_must_be_callable(data):
    X, y = data
    with pytest.raises(TypeError, match="`callback` must"):
        lasso_path(X, y, callback=3)


def test_paths_answer_in_the_library_of_the_design(backend):
    X, y = correlated(40, 12, 0.5, 4, 3, 0)
    here = lasso_path(X, y, n_alphas=5, eps=0.05, fit_intercept=True, tol=1e-10)
    design = backend.asarray(X)
    there = lasso_path(
        design,
        backend.asarray(y),
        n_alphas=5,
        eps=0.05,
        fit_intercept=True,
        tol=1e-10,
    )
    assert there.converged
    assert_xp_close(there.coefs, here.coefs, like=design, atol=1e-7)
    assert_xp_close(there.intercepts, here.intercepts, like=design, atol=1e-8)


@pytest.mark.parametrize("sparse", [False, True])
def test_screened_products_are_within_their_slack(sparse, rng):
    """Near vectors, one in the span of those before, and none at all."""
    X = np.asfortranarray(rng.standard_normal((30, 200)))
    X *= rng.random((30, 200)) < 0.3
    design = sp.csc_array(X) if sparse else X
    data = LinearData.from_arrays(design, np.ones(30), Quadratic())
    u = rng.standard_normal(30)
    screened = Screened.start(data, u, X.T @ u)
    nobody = np.zeros(200, bool)
    vectors = [u]
    for k in range(12):
        last = vectors[-1] + 0.1 * rng.standard_normal(30)
        vectors.append(vectors[0] - 2.0 * vectors[1] if k == 5 else last)
    kinds = set()
    vectors += [1e-8 * u, np.zeros(30), vectors[3]]
    for u in vectors:
        truth = X.T @ u
        limits = np.full(200, 0.9 * np.abs(truth).max() + 1e-3)
        products = screened.move(u, limits, nobody)
        assert np.all(np.abs(products - truth) <= screened.slack + 1e-9 * limits)
        left_out = screened.slack > 0
        assert not left_out[screened.near].any()
        elsewhere = np.ones(200, bool)
        elsewhere[screened.near] = False
        assert np.all(np.abs(truth[elsewhere]) < FLOOR * limits[elsewhere] + 1e-9)
        kinds.add(bool(left_out.any()))
    assert kinds == {False, True}


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_screened_paths_keep_their_certificates(sparse, weighted):
    # Many more columns than any strength wants: most products are left out.
    X, y = correlated(50, 1500, 0.6, 6, 3, 2)
    if sparse:
        X = np.where(np.abs(X) > 1.2, X, 0.0)
    design = sp.csc_array(X) if sparse else np.asfortranarray(X)
    rng = np.random.default_rng(3)
    weights = rng.uniform(0.5, 2.0, 50) if weighted else None
    path = lasso_path(
        *(design, y),
        n_alphas=20,
        eps=0.05,
        tol=1e-8,
        fit_intercept=True,
        sample_weight=weights,
    )
    assert path.converged
    for k, alpha in enumerate(path.alphas):
        gap = dual_gap(
            *(design, y, path.coefs[:, k], Quadratic(), L1(alpha)),
            intercept=path.intercepts[k],
            sample_weight=weights,
        )
        # The audit knows all columns: nothing that matters was left out.
        assert gap <= 1e-8 + 1e-12
        assert gap <= path.dual_gaps[k] + 1e-12


@pytest.mark.parametrize(("sparse", "weighted"), [(False, True), (True, False)])
def test_screened_logistic_paths_keep_their_certificates(sparse, weighted, monkeypatch):
    X, y = correlated(60, 1500, 0.6, 6, 3, 2)
    if sparse:
        X = np.where(np.abs(X) > 1.2, X, 0.0)
    design = sp.csc_array(X) if sparse else np.asfortranarray(X)
    y = np.sign(y + 0.3)
    s = np.random.default_rng(3).uniform(0.5, 2.0, 60) if weighted else None
    passes, whole = [], LinearData.correlate

    def correlate(self, residual):
        passes.append(residual.size)
        return whole(self, residual)

    monkeypatch.setattr(LinearData, "correlate", correlate)
    options = {"fit_intercept": True, "sample_weight": s}
    path = logistic_path(design, y, n_alphas=40, eps=0.1, tol=1e-8, **options)
    assert path.converged
    # Each strength certifies twice at least; most products were left out.
    assert len(passes) < 40
    for k in range(0, 40, 4):
        gap = dual_gap(
            *(design, y, path.coefs[:, k], Logistic(), L1(path.alphas[k])),
            intercept=path.intercepts[k],
            sample_weight=s,
        )
        # A path keeps the best dual point that it met; the audit knows the last.
        assert gap <= 5e-8
    single = solve_auto(design, y, Logistic(), L1(path.alphas[-1]), tol=1e-8, **options)
    assert abs(single.objective - path.history["objective"][-1]) <= 2e-8


@pytest.mark.parametrize(("sparse", "weighted"), [(False, True), (True, False)])
def test_screened_group_paths_keep_their_certificates(sparse, weighted, monkeypatch):
    X, y = correlated(60, 1500, 0.6, 6, 3, 2)
    if sparse:
        X = np.where(np.abs(X) > 1.2, X, 0.0)
    design = sp.csc_array(X) if sparse else np.asfortranarray(X)
    rng = np.random.default_rng(3)
    s = rng.uniform(0.5, 2.0, 60) if weighted else None
    omega = rng.uniform(0.5, 1.5, 300)
    omega[7] = np.inf
    passes, whole = [], LinearData.correlate

    def correlate(self, residual):
        passes.append(residual.size)
        return whole(self, residual)

    monkeypatch.setattr(LinearData, "correlate", correlate)
    path = group_lasso_path(
        *(design, y, 5),
        weights=omega,
        n_alphas=40,
        eps=0.1,
        tol=1e-8,
        fit_intercept=True,
        sample_weight=s,
    )
    assert path.converged
    # Each strength certifies twice at least; most products were left out.
    assert len(passes) < 40
    for k in range(0, 40, 4):
        gap = dual_gap(
            *(design, y, path.coefs[:, k], Quadratic()),
            GroupL2(path.alphas[k], 5, omega),
            intercept=path.intercepts[k],
            sample_weight=s,
        )
        # A path keeps the best dual point that it met; the audit knows the last.
        assert gap <= 5e-8


@pytest.mark.parametrize("ratio", [1.0, 0.7])
@pytest.mark.parametrize("twins", [0.0, 1e-9])
def test_gaps_from_a_gram_matrix_hold_on_the_data(ratio, twins):
    """Also for columns that are nearly the same: their products cannot tell."""
    X, y = correlated(120, 12, 0.5, 4, 3, 0)
    X[:, 6:] = X[:, :6] + twins * X[:, 6:] if twins else X[:, 6:]
    for tol in (1e-5, 1e-10):
        path = enet_path(X, y, l1_ratio=ratio, n_alphas=20, eps=1e-3, tol=tol)
        assert path.converged
        for k, alpha in enumerate(path.alphas):
            penalty = ElasticNet(alpha, ratio)
            gap = dual_gap(X, y, path.coefs[:, k], Quadratic(), penalty)
            assert gap <= path.dual_gaps[k] + 1e-13
            assert path.dual_gaps[k] <= tol
