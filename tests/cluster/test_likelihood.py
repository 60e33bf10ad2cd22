# SPDX-License-Identifier: BSD-3-Clause
"""Likelihood-adjusted clustering: bounds, special cases, and the controls."""

import numpy as np
import pytest
from sklearn.cluster import KMeans, SpectralClustering
from sklearn.mixture import GaussianMixture

from numopt._array.namespace import array_namespace, to_numpy
from numopt.cluster import (
    LikelihoodAdjustedSDP,
    ila_sdp,
    kmeans_sdp,
    la_sdp,
    misclustering_error,
)
from numopt.cluster._solvers import mixture
from numopt.cluster._solvers.likelihood import GroupProblem, partition_groups
from numopt.cluster._solvers.rankone import RankOneProblem
from numopt.datasets import make_spherical_mixture, make_unequal_mixture


def test_equal_covariances_give_the_value_of_k_means():
    X, truth = make_spherical_mixture(40, 3, 4, distance=5.0, random_state=0)
    result = la_sdp(X, np.stack([np.eye(4)] * 3), tol=1e-5, max_iter=2000)
    relaxation = kmeans_sdp(X, 3, method="admm", random_state=0)
    assert -result.upper_bound == pytest.approx(relaxation.lower_bound, rel=1e-4)
    assert -result.objective == pytest.approx(relaxation.lower_bound, rel=1e-3)
    assert misclustering_error(truth, result.labels) == 0
    np.testing.assert_allclose(result.memberships.sum(axis=0), 1.0)


def test_every_array_library(backend):
    X, truth = make_spherical_mixture(30, 3, 3, distance=7.0, random_state=0)
    S = np.stack([np.eye(3)] * 3)
    options = {"tol": 1e-3, "max_iter": 60, "random_state": 0, "warn": False}
    host = la_sdp(X, S, **options)
    result = la_sdp(backend.asarray(X), backend.asarray(S), **options)
    assert array_namespace(result.labels) is backend.xp or backend.library == "numpy"
    assert misclustering_error(truth, to_numpy(result.labels)) == 0
    np.testing.assert_allclose(
        to_numpy(result.memberships), host.memberships, atol=1e-6
    )
    assert result.upper_bound == pytest.approx(host.upper_bound, rel=1e-8)
    assert result.objective <= result.upper_bound


def test_upper_bound_holds_for_every_partition(rng):
    X, truth = make_unequal_mixture(45, 3, distance=6.0, random_state=0)
    S = np.stack([np.cov(X[truth == k].T) for k in range(3)])
    result = la_sdp(X, S, init=truth, max_iter=300, warn=False)
    problem = GroupProblem.from_covariances(X, S)
    for labels in (truth, result.labels, *(rng.integers(0, 3, 45) for _ in range(20))):
        if np.bincount(labels, minlength=3).min() > 0:
            value = problem.value(partition_groups(labels, 3))
            assert value <= result.upper_bound + 1e-9 * abs(result.upper_bound)


def test_cost_of_a_partition_is_its_likelihood():
    X, truth = make_unequal_mixture(30, 3, random_state=1)
    S = np.stack([np.cov(X[truth == k].T) + 0.1 * np.eye(3) for k in range(3)])
    value = GroupProblem.from_covariances(X, S).value(partition_groups(truth, 3))
    expected = 0.0
    for k in range(3):
        D = X[truth == k] - X[truth == k].mean(axis=0)
        expected -= np.sum(D * np.linalg.solve(S[k], D.T).T)
        expected -= len(D) * np.linalg.slogdet(S[k])[1]
    assert value == pytest.approx(expected, rel=1e-10)
    u = np.eye(3)[truth].T / np.sqrt(np.bincount(truth))[:, None]
    rank_one = RankOneProblem.from_covariances(X, S)
    assert rank_one.value(u) == pytest.approx(expected, rel=1e-10)


def test_covariances_of_hard_memberships():
    X, truth = make_unequal_mixture(60, 3, random_state=0)
    weights, means, S = mixture.fitted(X, truth, 3, "full", 0.0)
    for k in range(3):
        np.testing.assert_allclose(S[k], np.cov(X[truth == k].T, bias=True), rtol=1e-10)
        np.testing.assert_allclose(means[k], X[truth == k].mean(axis=0))
    assert weights.sum() == 60
    diagonal = mixture.fitted(X, truth, 3, "diag", 0.0)[2]
    np.testing.assert_allclose(diagonal[0], np.diag(np.diag(S[0])), rtol=1e-10)


def test_perfect_labels_stay():
    X, truth = make_unequal_mixture(90, 2, distance=14.0, random_state=0)
    result = ila_sdp(X, 3, init=truth, random_state=0)
    assert misclustering_error(truth, result.labels) == 0


def test_clusters_of_one_point_do_not_crash():
    """Sample covariances are singular here; the relative regularisation is not."""
    X, truth = make_unequal_mixture(40, 6, distance=6.0, random_state=0)
    X[0] = 200.0
    start = np.where(np.arange(40) == 0, 2, truth % 2)
    result = ila_sdp(X, 3, init=start, max_outer=2, max_iter=50, warn=False)
    assert np.all(np.isfinite(result.covariances))
    assert np.linalg.eigvalsh(result.covariances).min() > 0
    repeated = np.repeat(X[:3], 6, axis=0)
    model = LikelihoodAdjustedSDP(3, max_iter=50, max_outer=2, random_state=0)
    assert set(model.fit(repeated).labels_.tolist()) == {0, 1, 2}


def test_best_likelihood_of_all_starts():
    X, _ = make_unequal_mixture(45, 4, random_state=31)
    options = {"max_iter": 60, "max_outer": 4, "random_state": 0, "warn": False}
    auto = ila_sdp(X, 3, **options)
    kmeans = ila_sdp(X, 3, init="kmeans", **options)
    assert auto.log_likelihood >= kmeans.log_likelihood - 1e-9
    assert auto.start in ("kmeans", "gmm-full", "gmm-diag")
    start = KMeans(3, n_init=10, random_state=0).fit(X).labels_
    reg = mixture.regularisation(X, 1e-3)
    before = mixture.profile_likelihood(X, start, 3, "full", reg)
    after = ila_sdp(X, 3, init=start, **options)
    assert after.log_likelihood >= before - 1e-6 * abs(before)


@pytest.mark.parametrize("kind", ["full", "diag", "spherical", "tied"])
def test_low_rank_path_and_covariance_types(kind):
    X, truth = make_spherical_mixture(120, 3, 3, distance=8.0, random_state=0)
    result = ila_sdp(
        X, 3, solver="lowrank", covariance_type=kind, random_state=0, warn=False
    )
    assert misclustering_error(truth, result.labels) == 0
    assert np.linalg.eigvalsh(result.covariances).min() > 0


def test_units_do_not_matter():
    X, _ = make_unequal_mixture(60, 2, distance=9.0, random_state=1)
    options = {"init": "kmeans", "max_outer": 3, "max_iter": 60}
    base = ila_sdp(X, 3, **options, random_state=0, warn=False)
    other = ila_sdp(1024.0 * X + 3.0, 3, **options, random_state=0, warn=False)
    np.testing.assert_array_equal(base.labels, other.labels)
    size = np.abs(base.covariances).max()
    np.testing.assert_allclose(
        other.covariances / 1024.0**2, base.covariances, atol=1e-6 * size
    )
    change = 60 * 2 * np.log(1024.0)
    assert other.log_likelihood == pytest.approx(base.log_likelihood - change, rel=1e-8)


def test_estimator_densities():
    X, truth = make_unequal_mixture(90, 2, distance=9.0, random_state=1)
    model = LikelihoodAdjustedSDP(3, init="kmeans", random_state=0).fit(X)
    assert misclustering_error(truth, model.predict(X)) < 0.1
    np.testing.assert_allclose(model.predict_proba(X).sum(axis=1), 1.0)
    assert model.bic(X) > -2 * 90 * model.score(X)
    assert model.certificate_["gap"] < 0.1


@pytest.mark.slow
@pytest.mark.parametrize(("p", "factor"), [(4, 1.0), (8, 0.75)])
def test_control_on_rotated_clusters(p, factor):
    """Rotated, so that no axis-aligned rival is the true model; 20 seeds."""
    errors = {name: [] for name in ("ila", "kmeans", "gmm", "sdp", "spectral")}
    for seed in range(31, 51):
        X, truth = make_unequal_mixture(105, p, random_state=seed)
        labels = {
            "ila": ila_sdp(X, 3, random_state=0, warn=False).labels,
            "kmeans": KMeans(3, n_init=10, random_state=0).fit(X).labels_,
            "gmm": GaussianMixture(3, n_init=10, random_state=0).fit(X).predict(X),
            "sdp": kmeans_sdp(
                X, 3, gap_tol=1e-3, max_iter=200, random_state=0, warn=False
            ).labels,
            "spectral": SpectralClustering(3, random_state=0).fit(X).labels_,
        }
        for name, found in labels.items():
            errors[name].append(misclustering_error(truth, found))
    mean = {name: np.mean(values) for name, values in errors.items()}
    assert mean["ila"] <= factor * mean["gmm"] + 1e-12
    assert mean["ila"] < min(mean["kmeans"], mean["sdp"], mean["spectral"])
