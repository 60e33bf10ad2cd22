# SPDX-License-Identifier: BSD-3-Clause
"""Rare branches: weighted steps, given starts, scripted validation, odd data."""

import math

import numpy as np
import pytest
from scipy.sparse import csr_array

from numopt._iterate.loop import iterate
from numopt.completion import (
    LowRankImputer,
    complete,
    completion_path,
    estimate_rank,
    spectral_init,
)
from numopt.completion._estimators.pairs import Triplets
from numopt.completion._estimators.update import with_solved_rows
from numopt.completion._problem import Penalty, observations
from numopt.completion._problem.factor_analysis import IncompleteTable
from numopt.completion._solvers import factor_analysis, gauss_newton, robust
from numopt.completion._solvers.als import ALS, rebalance
from numopt.completion._solvers.altmin import AltMin
from numopt.completion._solvers.gauss_newton import GaussNewton
from numopt.completion._solvers.gradient import ScaledGD, SubGM
from numopt.completion._solvers.robust import RobustGaussNewton
from numopt.completion._solvers.soft_impute import SoftImpute
from numopt.completion._solvers.spectral import clip_rows
from numopt.completion._solvers.vb import PATIENCE, VariationalBayes
from numopt.datasets import make_low_rank

NAN = np.nan
SHAPE = (9, 7)


@pytest.fixture
def weighted(rng):
    """A full matrix, its weights, and both as observations."""
    Y, W = rng.standard_normal(SHAPE), rng.uniform(0.5, 2.0, SHAPE)
    return Y, W, observations(Y, weights=W)


def _truncated(A, rank):
    U, s, Vt = np.linalg.svd(A, full_matrices=False)
    return (U[:, :rank] * s[:rank]) @ Vt[:rank]


# ---------------------------------------------------------------- weights


def test_spectral_starts_weigh_the_entries(weighted):
    Y, W, problem = weighted
    x = GaussNewton(2, False, 0, 1e-10, 5, 0).init(problem, None).x
    np.testing.assert_allclose((x.Qu * x.s) @ x.Qv.T, _truncated(W * Y, 2), atol=1e-10)
    state = ScaledGD(2, 0.0, 0).init(problem, None)
    np.testing.assert_allclose(state.U @ state.V.T, _truncated(W * Y, 2), atol=1e-10)


def test_weighted_steps(weighted):
    Y, W, problem = weighted
    solver = SoftImpute(7, 0.3)
    state = solver.step(problem, solver.init(problem, None))
    U, s, Vt = np.linalg.svd(W * Y / W.max(), full_matrices=False)
    expected = (U * np.maximum(s - 0.3 / W.max(), 0)) @ Vt
    np.testing.assert_allclose((state.U * state.s) @ state.V.T, expected, atol=1e-10)

    solver = SubGM(2, 1e-6, 0)
    state = solver.init(problem, None)
    U, V = state.U, state.V
    along = (W * np.sign(Y - U @ V.T)) @ V
    moved = solver.step(problem, state).U - U
    cosine = np.sum(moved * along) / np.linalg.norm(moved) / np.linalg.norm(along)
    assert cosine == pytest.approx(1.0)


@pytest.mark.parametrize("loss", ["l1", "huber"])
def test_robust_weights_multiply_those_given(weighted, loss, monkeypatch):
    _, W, problem = weighted
    seen = []

    def give_up(_self, weighted, state):
        seen.append(weighted.by_row.weights)
        state.damping, state.gave_up = 1e9, True

    monkeypatch.setattr(GaussNewton, "_gauss_newton", give_up)
    solver = RobustGaussNewton(loss, 2, False, 0, 1e-10, 20, 0)
    state = solver.init(problem, None)
    r = np.abs(state.gn.r)
    level = robust.HUBER * robust.MAD_SCALE * np.median(r)
    size = np.where(r <= level, r**2, 2 * level * r - level**2)
    if loss == "l1":
        level, size = np.quantile(r, robust.QUANTILE), r
    state = solver.step(problem, state)
    expected = W.ravel() * level / np.maximum(r, level)
    assert len(seen) == robust.STEPS_PER_WEIGHT
    np.testing.assert_allclose(seen[0], expected, rtol=1e-10)
    assert solver.total(problem, r) == pytest.approx(np.sum(W.ravel() * size))
    # Steps that gave up begin again with the first damping.
    assert (state.gn.damping, state.gn.gave_up) == (gauss_newton.DAMPING_START, False)


def test_weights_of_sparse_data():
    X = csr_array(np.array([[1.0, 0.0, 2.0], [0.0, 3.0, 4.0]]))
    given = np.array([1.0, 2.0, 3.0, 4.0])
    spread = np.array([[1.0, 9.0, 2.0], [9.0, 3.0, 4.0]])
    for weights in (given, spread):
        problem = observations(X, weights=weights)
        np.testing.assert_array_equal(problem.by_row.weights, given)
    with pytest.raises(ValueError, match=r"`weights` must be of shape \(2, 3\)"):
        observations(X, weights=spread.T)


def test_outliers_are_flagged_where_they_were_given():
    truth = np.outer(np.arange(1.0, 13), np.arange(1.0, 11))
    rows, cols = (a.ravel()[::-1] for a in np.indices(truth.shape))
    values, weights = truth[rows, cols], np.ones(rows.size)
    values[[5, 40]] += 500.0
    weights[7] = 0.0
    again = np.array([5, 9])  # an outlier and an inlier, both given twice
    data = [np.append(a, a[again]) for a in (rows, cols, values)]
    result = complete(
        tuple(data), 1, loss="l1", weights=np.append(weights, [1.0, 1.0]),
        random_state=0,
    )  # fmt: skip
    np.testing.assert_array_equal(np.flatnonzero(result.outlier_mask), [5, 40, 120])


def test_outliers_of_a_search_that_was_stopped(weighted):
    Y, _, _ = weighted
    Y[2, 3] = 1e3
    result = complete(Y, 1, loss="l1", callback=lambda _: True, random_state=0)
    assert result.status == "callback"
    r = np.abs(Y - result.to_dense()).ravel()
    expected = r > robust.CUT * robust.MAD_SCALE * np.median(r)
    np.testing.assert_array_equal(result.outlier_mask, expected)
    assert expected[2 * SHAPE[1] + 3]


# ---------------------------------------------------------------- given starts


@pytest.mark.parametrize(
    "solver",
    [
        GaussNewton(2, True, 0, 1e-10, 5, 0),
        RobustGaussNewton("l1", 2, True, 0, 1e-10, 20, 0),
        ScaledGD(2, 0.1, 0),
        SubGM(2, 1e-6, 0),
        SoftImpute(2, 0.1),
        AltMin(Penalty(0.1, 0.1, "constant"), 2, None, 0),
        VariationalBayes(2, "none", 4.0, 0),
    ],
    ids=lambda s: s.name,
)
def test_a_given_start_is_taken(solver, rng, weighted):
    _, _, problem = weighted
    P, Q = (np.pad(rng.standard_normal((n, 2)), ((0, 0), (0, 1))) for n in SHAPE)
    state = solver.init(problem, (P, Q))
    if solver.name == "vb":  # its first step solves for the rows
        np.testing.assert_allclose(state.Q * math.sqrt(solver.scale), Q)
        return
    found = solver.current(state)
    if solver.name == "soft_impute":
        U, s, V = found
        found = U * s, V
    np.testing.assert_allclose(found[0] @ found[1].T, P @ Q.T, atol=1e-10)


def test_rebalancing_keeps_products_of_tiny_factors():
    P = np.zeros((4, 3))
    P[:, 0] = 1e-160  # the squares are no normal numbers, those of the next column 0
    Q = np.ones((5, 3))
    U, V = rebalance(P, Q)
    np.testing.assert_array_equal(U[:, -1], P[:, -1])
    np.testing.assert_array_equal(V[:, -1], Q[:, -1])
    np.testing.assert_allclose(1e160 * (U[:, :-1] @ V[:, :-1].T), 1.0, rtol=1e-6)


# ---------------------------------------------------------------- when to stop


class _Scripted:
    """A validation set whose errors are written down beforehand."""

    def __init__(self, errors):
        self.errors = iter(errors)

    def rmse(self, _P, _Q):
        return next(self.errors)


def test_evidence_returns_the_sweep_that_validates_best(rng):
    problem = observations(rng.standard_normal(SHAPE))
    found = [
        iterate(
            VariationalBayes(2, "none", 2.0, 0, holdout),
            problem, tol=1e-12, max_iter=sweeps, warn=False,
        )
        for holdout, sweeps in ((_Scripted([5, 3, 1, *[2] * 40]), 40), (None, 3))
    ]  # fmt: skip
    assert "did not improve" in found[0]["message"]
    assert found[0]["n_iter"] == 3 + PATIENCE
    errors = found[0]["history"]["validation_rmse"]
    np.testing.assert_array_equal(errors[~np.isnan(errors)][:3], [10.0, 6.0, 2.0])
    for name in ("P", "Q", "noise_variance"):
        np.testing.assert_array_equal(found[0][name], found[1][name])


def test_an_objective_that_overflows_is_divergence(rng):
    problem = observations(rng.standard_normal(SHAPE))
    penalty = Penalty(0.1, 0.1, "constant")
    for solver in (
        ALS(penalty, 2, "none", "random", "auto", 5, None, None, 0),
        SubGM(2, 1e-6, 0),
    ):
        state = solver.init(problem, None)
        assert solver.stop(problem, state) is None
        state.objective = math.inf
        assert solver.stop(problem, state).status == "diverged"


@pytest.mark.parametrize("method", ["als", "subgradient"])
def test_zeros_are_fitted_by_zeros(method):
    X = np.zeros(SHAPE)
    X[0, 0] = NAN
    loss = "l1" if method == "subgradient" else "squared"
    result = complete(X, 2, method=method, loss=loss, random_state=0)
    assert result.converged
    np.testing.assert_array_equal(result.to_dense(), 0.0)


# ---------------------------------------------------------------- choices by data


def test_ridge_of_zeros_and_by_counts():
    X = np.zeros(SHAPE)
    X[0, 0] = NAN
    result = complete(X, 1, alpha="auto", nonnegative=True)
    np.testing.assert_array_equal(result.to_dense(), 0.0)
    X[1:, 1:] = 1.0
    options = {"alpha": "auto", "nonnegative": True, "max_iter": 20, "warn": False}
    options["random_state"] = 0
    plain = complete(X, 1, **options)
    counted = complete(X, 1, alpha_scaling="count", **options)
    unit = np.nanvar(X)
    ratios = plain.alpha / unit, counted.alpha / unit / (sum(SHAPE) / 2 / (X.size - 1))
    for ratio in ratios:  # a power of two each
        assert math.log2(ratio) == pytest.approx(round(math.log2(ratio)), abs=1e-9)


def test_rank_search_ends_after_worse_ranks():
    rows, cols, values, *_ = make_low_rank(
        25, 20, 1, n_obs=300, noise=1.0, random_state=0
    )
    result = complete(
        (rows, cols, values), "auto", shape=(25, 20), max_iter=10, random_state=0,
        warn=False,
    )  # fmt: skip
    assert len(result.rank_path) < 20
    best = min(result.rank_path, key=result.rank_path.get)
    assert max(result.rank_path) == best + 3


def test_path_and_rank_of_almost_nothing():
    with pytest.raises(ValueError, match="`alphas` must be non-empty"):
        completion_path(np.ones((3, 2)), [], 1)
    assert estimate_rank(np.ones((1, 4)), method="spectral") == 1


# ---------------------------------------------------------------- clipped starts


def test_rows_above_the_bound_are_clipped():
    U = np.full((100, 1), 1.0)
    U[0] = 3.0
    U /= np.linalg.norm(U)
    clipped = np.abs(clip_rows(U, 1.1))[:, 0]
    assert clipped[0] == pytest.approx(0.0, abs=1e-14)
    np.testing.assert_allclose(clipped[1:], 1 / math.sqrt(99), rtol=1e-10)
    np.testing.assert_array_equal(clip_rows(U, 3.0), U)
    X = np.outer(U[:, 0], np.ones(4))
    assert abs(spectral_init(X, 1, clip_incoherence=1.1)[0][0, 0]) < 1e-12
    with pytest.raises(ValueError, match="`clip_incoherence` must be"):
        spectral_init(X, 1, clip_incoherence=0.5)


# ---------------------------------------------------------------- tables


def test_units_of_a_table():
    X = np.array([[1.0, 10.0], [3.0, NAN], [5.0, 50.0]])
    mask = np.isnan(X)
    by_column = IncompleteTable.centred(X, mask, "column")
    np.testing.assert_allclose(by_column.scale, np.nanstd(X, axis=0))
    np.testing.assert_allclose(np.sum(by_column.Z**2, axis=0), [3.0, 2.0])
    plain = IncompleteTable.centred(X, mask, None)
    np.testing.assert_array_equal(plain.scale, 1.0)
    np.testing.assert_allclose(plain.Z, [[-2, -20], [0, 0], [2, 20]])


def test_start_of_a_large_table_is_near_the_exact_one(monkeypatch, rng):
    Z = rng.standard_normal((60, 3)) @ rng.standard_normal((3, 40))
    s, Vt = factor_analysis._leading(Z, 3, rng)
    monkeypatch.setattr(factor_analysis, "EXACT_START", 10)
    found, Wt = factor_analysis._leading(Z, 3, rng)
    np.testing.assert_allclose(found, s, rtol=1e-9)
    np.testing.assert_allclose(np.abs(Wt @ Vt.T), np.eye(3), atol=1e-9)


def test_deviation_of_a_ridge_is_that_of_the_column(rng):
    X = rng.standard_normal((12, 2)) @ rng.standard_normal((2, 5))
    X[::4, 0] = X[1::4, 3] = NAN
    imputer = LowRankImputer(rank=1, alpha=0.5, random_state=0).fit(X)
    _, std = imputer.transform(X, return_std=True)
    hole = np.isnan(X)
    np.testing.assert_array_equal(std > 0, hole)
    for j in (0, 3):
        expected = math.sqrt(imputer.noise_variance_[j])
        np.testing.assert_allclose(std[hole[:, j], j], expected)


def test_new_entries_have_weight_one():
    pairs = np.array([[0, 0], [0, 1], [1, 0]])
    old = Triplets.sorted_by_row(pairs, np.ones(3), np.array([2.0, 3.0, 4.0]), (2, 2))
    new = old.merged(np.array([[0, 1], [1, 1]]), np.array([5.0, 6.0]), (2, 2))
    np.testing.assert_array_equal(new.pairs(), [[0, 0], [0, 1], [1, 0], [1, 1]])
    np.testing.assert_array_equal(new.values, [1.0, 5.0, 1.0, 6.0])
    np.testing.assert_array_equal(new.weights, [2.0, 1.0, 4.0, 1.0])


def test_rows_known_in_new_columns_only_keep_their_factors(rng):
    result = complete(rng.standard_normal((4, 3)), 1)
    entries = Triplets.sorted_by_row(np.array([[1, 3]]), np.ones(1), None, (4, 4))
    grown = with_solved_rows(result, entries, np.array([1]), (4, 4))
    np.testing.assert_array_equal(grown.row_factors, result.row_factors)
    np.testing.assert_array_equal(grown.to_dense()[:, :3], result.to_dense())
    np.testing.assert_array_equal(grown.to_dense()[:, 3], 0.0)
