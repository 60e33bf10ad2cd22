# SPDX-License-Identifier: BSD-3-Clause
"""Branches that ordinary data seldom take, each against what it must give."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp

from numopt._array.namespace import array_namespace
from numopt.cluster import (
    SDPKMeans,
    ila_sdp,
    kmeans_certificate,
    kmeans_sdp,
    kmeans_sdp_path,
    nlr_kmeans,
)
from numopt.cluster._problem import DenseRows, KMeansProblem
from numopt.cluster._solvers import blas, blocks, dual, nlr, path, primal, spectral
from numopt.cluster._solvers.groups import check_weights
from numopt.cluster._solvers.likelihood import GroupProblem
from numopt.cluster._solvers.projection import fantope_weights
from numopt.cluster._solvers.rankone import RankOneProblem
from numopt.datasets import make_spherical_mixture
from numopt.exceptions import ConvergenceWarning
from tests.cluster.problems import inertia

FAR, TRUTH = make_spherical_mixture(60, 3, 4, distance=12.0, random_state=0)
NEAR, MIXED = make_spherical_mixture(60, 3, 3, distance=2.0, random_state=0)


def test_similarities_have_neither_rows_nor_centres():
    G = FAR @ FAR.T
    model = SDPKMeans(3, affinity="precomputed", random_state=np.random.RandomState(0))
    model.fit(G)
    np.testing.assert_array_equal(model.labels_, TRUTH)
    with pytest.raises(AttributeError, match="a similarity has no centres"):
        model.predict(G)
    problem = KMeansProblem.from_similarity(G)
    with pytest.raises(TypeError, match="a similarity has no rows"):
        _ = problem.data
    # Relative to an inertia of zero no distance is small.
    assert problem.gap(0.0, -1.0) == math.inf
    assert problem.gap(0.0, 0.0) == 0.0


def test_large_matrices_keep_the_threads_of_blas(monkeypatch):
    calls = []
    limited = SimpleNamespace(limit=lambda **how: calls.append(how) or _Nothing())
    monkeypatch.setattr(blas, "_controller", lambda: limited)
    with blas.calm_blas(blas.SMALL_ORDER):
        pass
    assert calls == []
    with blas.calm_blas(blas.SMALL_ORDER - 1):
        pass
    assert calls == [{"limits": 1, "user_api": "blas"}]


class _Nothing:
    """A context that does nothing."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None


def test_blocks_of_sparse_rows_and_their_trivial_cases(rng):
    index = np.sort(rng.choice(60, 40, replace=False))
    dense = KMeansProblem.from_data(FAR)
    sparse = KMeansProblem.from_data(sp.csr_array(FAR))
    found = [
        blocks._bound_of_block(problem, index, TRUTH[index], 3, rng)
        for problem in (dense, sparse)
    ]
    exact = inertia(FAR[index], TRUTH[index]) / dense.unit
    for bound in found:
        assert (1 - blocks.BLOCK_GAP) * exact <= bound.value <= exact * (1 + 1e-9)
    deal = [np.arange(0, 60, 2), np.arange(1, 60, 2)]
    assert blocks.swap_rows(sparse, TRUTH, deal, rng) is deal
    assert blocks.swap_rows(dense, TRUTH, deal[:1], rng) == deal[:1]
    # Too few clusters, too few rows, and rows that coincide prove nothing.
    two = np.flatnonzero(TRUTH < 2)
    same = KMeansProblem.from_data(np.repeat([[0.0], [1.0], [5.0]], 4, axis=0))
    for problem, rows, labels in (
        (dense, two, TRUTH[two]),
        (dense, np.array([0, 1, 2]), np.arange(3)),
        (same, np.arange(12), np.repeat(np.arange(3), 4)),
    ):
        assert blocks._bound_of_block(problem, rows, labels, 3, rng).value == 0.0


def test_blocks_beyond_the_dense_limit_serve_kmeans():
    result = kmeans_sdp(NEAR, 3, max_dense=50, random_state=0)
    plain = kmeans_sdp(NEAR, 3, max_dense=50, bound="lowrank", random_state=0)
    assert result.certificate.method == "blocks"
    assert plain.lower_bound < result.lower_bound <= result.inertia


def test_early_ends_warn():
    with pytest.warns(ConvergenceWarning, match="kmeans_certificate"):
        kmeans_certificate(NEAR, MIXED, method="admm", max_iter=1, random_state=0)
    with pytest.warns(ConvergenceWarning, match="nlr_kmeans"):
        nlr_kmeans(NEAR, 3, max_iter=1, n_init=1, random_state=0)


def test_scale_of_the_scatter_of_wide_rows():
    X = np.hstack([FAR[:12], np.zeros((12, 20))])
    problem = KMeansProblem.from_data(X)
    labels = np.arange(12) % 3
    found = dual.ClippedDual(problem, labels, 3).scatter
    within = X - np.stack([X[labels == k].mean(axis=0) for k in range(3)])[labels]
    norm = np.linalg.norm(within, 2) ** 2 / problem.unit
    assert norm * (1 - 1e-12) <= found <= 12 * norm


def test_few_clusters_of_many_features_have_no_pair_with_themselves(monkeypatch):
    monkeypatch.setattr(dual, "LARGEST_ORDER", 1)
    pairs = dual.ClippedDual(KMeansProblem.from_data(FAR), TRUTH, 3).columns
    assert pairs == [(a, b) for a in range(3) for b in range(3) if a != b]


def test_climb_halves_the_wider_side_where_nothing_bends():
    flat = SimpleNamespace(
        scatter=1.0, bound=lambda lambda_: dual.DualBound(0.0, 0.0, lambda_)
    )
    search = dual._Climb(flat, 1.0)
    start = search.points[0]
    search.evaluate(start + 1.0)
    search.evaluate(start + 4.0)
    assert search.vertex() == (pytest.approx(start + 2.5), 0.0)
    search.evaluate(start - 8.0)
    assert search.vertex() == (pytest.approx(start - 4.0), 0.0)


def test_shares_of_clusters_enter_both_likelihoods_alike(rng):
    X, S = rng.standard_normal((7, 2)), np.stack([np.eye(2), 3 * np.eye(2)])
    shares = check_weights([1, 3], 2)
    np.testing.assert_allclose(shares, [0.25, 0.75])
    with_, without = (GroupProblem.from_covariances(X, S, p) for p in (shares, None))
    added = np.broadcast_to(2 * np.log(shares)[:, None, None], with_.C.shape)
    np.testing.assert_allclose(with_.C - without.C, added, rtol=1e-10)
    u = rng.random((2, 7))
    products = RankOneProblem.from_covariances(X, S, shares).products(u)
    np.testing.assert_allclose(products, (with_.C @ u[:, :, None])[:, :, 0], rtol=1e-10)


def test_starts_from_mixtures_alone():
    result = ila_sdp(FAR, 3, init="gmm", n_init=1, max_outer=2, random_state=0)
    assert list(result.history["start"]) == ["gmm-full", "gmm-diag"]
    np.testing.assert_array_equal(result.labels, TRUTH)


def test_low_rank_solver_without_descent(rng):
    problem = KMeansProblem.from_data(FAR)
    solver = nlr.LowRankSolver(3, problem.data, 1.0, math.sqrt(60))
    state = solver.init(problem, rng.random((60, 6)))
    U, state.value = state.U, -math.inf
    for stuck in range(1, nlr.STUCK_STEPS + 1):
        state.value = -math.inf
        assert solver.stop(problem, state) is None
        state = solver.step(problem, state)
        assert state.stuck == stuck
        np.testing.assert_array_equal(state.U, U)
    assert solver.stop(problem, state).status == "stalled"


def test_low_rank_starts_must_beat_the_incumbent():
    result = kmeans_sdp(FAR, 3, method="nlr", random_state=0)
    np.testing.assert_array_equal(result.labels, TRUTH)
    problem = KMeansProblem.from_data(FAR)
    options = {"n_init": 1, "rng": np.random.default_rng(0), "max_iter": 50}
    found = nlr.nlr_starts(problem, problem.data, TRUTH, 3, **options)
    np.testing.assert_array_equal(found.labels, TRUTH)
    assert found.inertia == pytest.approx(problem.inertia(TRUTH, 3))
    assert found.fields["factor"].shape == (60, 6)


def test_low_rank_factors_that_cannot_be_rounded(monkeypatch):
    monkeypatch.setattr(nlr, "round_factor", lambda *_: None)
    result = nlr_kmeans(FAR, 3, n_init=1, max_iter=20, random_state=0)
    assert len(np.unique(result.labels)) == 3
    assert result.inertia == pytest.approx(inertia(FAR, result.labels))


def test_path_keeps_the_grown_partition_when_restarts_fail(monkeypatch):
    poor = np.arange(60) // 20  # across the clusters
    honest = path.multi_start

    def fail_at_three(problem, rows, K, n_init, rng):
        if K == 3:
            return poor, problem.inertia(poor, 3)
        return honest(problem, rows, K, n_init, rng)

    monkeypatch.setattr(path, "multi_start", fail_at_three)
    seen = []
    monkeypatch.setattr(
        path, "kmeans_sdp", lambda X, K, *, init, **_: seen.append((K, init))
    )
    kmeans_sdp_path(FAR, [2, 3], random_state=0)
    (_, before), (_, grown) = seen
    assert inertia(FAR, grown) < min(inertia(FAR, before), inertia(FAR, poor))


def test_bounds_of_distances_are_not_negative():
    # More clusters than features: nothing can be proved, and slack is taken off that.
    labels = np.arange(60) % 20
    found = kmeans_certificate(FAR, labels, method="lowrank")
    assert found.slack > 0
    assert 0.0 <= found.lower_bound <= 1e-9 * found.inertia


def test_many_rows_are_seeded_from_a_sample_and_polished_once(monkeypatch, rng):
    monkeypatch.setattr(primal, "MANY_ROWS", 100)
    monkeypatch.setattr(primal, "SEED_SAMPLE", 20)
    X, truth = make_spherical_mixture(300, 2, 3, distance=12.0, random_state=0)
    problem = KMeansProblem.from_data(X)
    taken = []
    take = DenseRows.take
    monkeypatch.setattr(
        DenseRows, "take", lambda rows, i: taken.append(i.size) or take(rows, i)
    )
    labels, value = primal.multi_start(problem, problem.data, 2, 3, rng)
    assert taken == [100] * 3
    np.testing.assert_array_equal(primal.canonical_labels(labels), truth)
    assert value == pytest.approx(inertia(X, truth) / problem.unit)
    means = primal._means(problem.data, truth, 3)
    np.testing.assert_allclose(means[:2], problem.means(truth, 2), rtol=1e-12)
    assert not means[2].any()


def test_weights_of_a_full_trace_are_one():
    w = np.array([3.0, -1.0, 0.25])
    theta, weights = fantope_weights(w, 3.0)
    assert theta == -2.0
    np.testing.assert_array_equal(weights, np.ones(3))


def test_results_print_their_numbers():
    result = kmeans_sdp(FAR, 3, random_state=0)
    for one in (result, result.certificate):
        text = repr(one)
        assert text.startswith(type(one).__name__ + "(")
        assert f"inertia={one.inertia:.6g}, lower_bound={one.lower_bound:.6g}" in text
        assert "\n" not in text


def test_definiteness_on_every_library(backend):
    for shift in (0.5, 1.5):
        (S,) = backend.arrays(np.diag([1.0, -1.0]))
        S = array_namespace(S).asarray(S, copy=True)
        assert spectral._positive_definite(S, shift) == (shift > 1)
