# SPDX-License-Identifier: BSD-3-Clause
"""kmeans_sdp: known values, feasibility of Z, exact recovery, every array library."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.cluster import KMeans

from numopt._array.namespace import array_namespace, to_numpy
from numopt._iterate.loop import iterate
from numopt.cluster import (
    SDPKMeans,
    kmeans_certificate,
    kmeans_sdp,
    kmeans_sdp_path,
    misclustering_error,
    nlr_kmeans,
)
from numopt.cluster._problem import KMeansProblem
from numopt.cluster._solvers.nlr import LowRankSolver
from numopt.cluster._solvers.projection import fantope_weights
from numopt.datasets import make_spherical_mixture
from numopt.exceptions import ConvergenceWarning
from tests.cluster.problems import OPTIMA, brute_force, inertia, load

#: Values of the Peng-Wei relaxation, from an independent implementation in double
#: precision (1e-4 relative).
RELAXATIONS = {
    ("iris", 2): 150.683,
    ("iris", 3): 75.5371,
    ("wine-standard", 3): 1266.924,
    ("ruspini", 3): 47660.0,
    ("ruspini", 4): 12881.0512,
}


@pytest.mark.parametrize(
    ("name", "K"), [(name, K) for name, optima in OPTIMA.items() for K in optima]
)
def test_restarts_find_the_known_optimum(name, K):
    # Three seeds: a single one misses the optimum of iris, K = 8, once in ten.
    results = [
        kmeans_sdp(load(name), K, method="certificate", n_init=30, random_state=seed)
        for seed in range(3)
    ]
    result = min(results, key=lambda one: one.inertia)
    assert result.inertia == pytest.approx(OPTIMA[name][K], rel=1e-6)
    assert result.lower_bound <= OPTIMA[name][K] * (1 + 1e-8)
    assert result.inertia == pytest.approx(inertia(load(name), result.labels))


@pytest.mark.parametrize(("name", "K"), RELAXATIONS)
def test_value_of_the_relaxation(name, K):
    result = kmeans_sdp(
        load(name), K, gap_tol=2e-5, max_iter=600, random_state=0, warn=False
    )
    assert result.lower_bound == pytest.approx(RELAXATIONS[name, K], rel=1e-4)
    assert result.lower_bound <= OPTIMA[name][K] * (1 + 1e-8)
    assert result.inertia == pytest.approx(OPTIMA[name][K], rel=1e-6)
    assert result.certificate.optimal == (K == 4)


def test_feasibility_of_a_converged_solve():
    X, _ = make_spherical_mixture(90, 3, 4, distance=3.5, random_state=0)
    result = kmeans_sdp(X, 3, gap_tol=0.0, tol=1e-6, max_iter=3000, random_state=0)
    assert result.status == "sdp_solved"
    Z = result.membership
    assert np.abs(Z.sum(axis=1) - 1).max() <= 1e-10
    assert abs(np.trace(Z) - 3) <= 1e-10
    assert np.linalg.eigvalsh(Z)[0] >= -1e-12
    assert Z.min() >= -1e-5 / np.sqrt(90)
    assert result.primal_residual <= 1e-6
    assert abs(result.sdp_value - result.lower_bound) <= 1e-5 * result.inertia
    np.testing.assert_allclose(result.factor @ result.factor.T, Z, atol=1e-12)
    assert np.all(np.diff(result.history["lower_bound"]) >= 0)
    assert {"iteration", "inertia", "rho", "rank"} <= set(result.history)


@pytest.mark.parametrize("n", [5, 7])
def test_optimal_means_optimal(n):
    proved = 0
    for seed in range(6):
        X = np.random.default_rng(seed).standard_normal((n, 2))
        # Every other data set has two clusters that are far apart.
        X[: n // 2] += 20.0 * (seed % 2)
        result = kmeans_sdp(X, 2, max_iter=300, random_state=0, warn=False)
        best = brute_force(X, 2)
        assert result.lower_bound <= best * (1 + 1e-9)
        if result.certificate.optimal:
            proved += 1
            assert result.inertia == pytest.approx(best, rel=2e-6)
    assert proved >= 3


@pytest.mark.parametrize("n", [2, 3, 4, 5])
def test_tiny_data_and_trivial_numbers_of_clusters(n):
    X = np.random.default_rng(n).standard_normal((n, 3))
    one = kmeans_sdp(X, 1)
    assert one.gap == 0
    assert one.inertia == pytest.approx(inertia(X, np.zeros(n)))
    every = kmeans_sdp(X, n)
    assert (every.inertia, every.gap) == (0.0, 0.0)
    assert every.labels.tolist() == list(range(n))
    two = kmeans_sdp(X, 2, max_iter=200, random_state=0, warn=False)
    assert two.inertia == pytest.approx(brute_force(X, 2), rel=1e-9, abs=1e-12)


def test_weights_of_the_fantope(rng):
    for trace in (1, 3, 7):
        w = np.sort(rng.standard_normal(12))[::-1] * 2
        theta, f = fantope_weights(w, trace)
        assert f.sum() == pytest.approx(trace, rel=1e-12)
        np.testing.assert_array_equal(f, np.clip(w - theta, 0, 1))


def test_early_multipliers_are_bounded_at_the_end():
    X, _ = make_spherical_mixture(150, 4, 8, distance=5.0, random_state=0)
    options = {"max_iter": 5, "check_every": 1, "random_state": 0, "warn": False}
    result = kmeans_sdp(X, 4, method="admm", **options)
    history = result.history
    assert (history["dual_residual"][1:] > 1e-2).all()
    np.testing.assert_array_equal(history["lower_bound"], history["lower_bound"][0])
    assert result.lower_bound > history["lower_bound"][0]
    assert np.isfinite(history["objective"]).all()
    patient = kmeans_sdp(X, 4, method="admm", gap_tol=1e-2, **options)
    assert patient.history["lower_bound"][-1] > history["lower_bound"][0]


def test_same_seed_same_labels_and_first_appearance():
    X, _ = make_spherical_mixture(200, 4, 5, distance=4.0, random_state=0)
    runs = [kmeans_sdp(X, 4, method="certificate", random_state=3) for _ in range(2)]
    np.testing.assert_array_equal(runs[0].labels, runs[1].labels)
    _, first = np.unique(runs[0].labels, return_index=True)
    assert np.all(np.diff(first) > 0)


def test_similarity_matrices():
    X, truth = make_spherical_mixture(60, 3, 4, distance=8.0, random_state=0)
    linear = kmeans_sdp(X, 3, random_state=0)
    for affinity, data in (
        ("precomputed", X @ X.T),
        (lambda rows: rows @ rows.T, X),
    ):
        other = kmeans_sdp(data, 3, affinity=affinity, random_state=0)
        assert other.centers is None
        assert other.status == "optimal"
        assert other.inertia == pytest.approx(linear.inertia, rel=1e-9)
        np.testing.assert_array_equal(other.labels, linear.labels)
    # Not positive semidefinite: the bound needs no definiteness.
    indefinite = X @ X.T - 5 * np.eye(60)
    result = kmeans_sdp(indefinite, 3, affinity="precomputed", random_state=0)
    np.testing.assert_array_equal(result.labels, truth)
    assert result.lower_bound <= result.inertia


def test_similarity_bound_against_brute_force():
    rng = np.random.default_rng(0)
    A = rng.standard_normal((7, 7))
    G = A + A.T
    result = kmeans_sdp(
        G, 2, affinity="precomputed", max_iter=200, random_state=0, warn=False
    )
    best = np.inf
    for code in range(1, 64):
        labels = np.array([0] + [(code >> i) & 1 for i in range(6)])
        H = np.eye(2)[labels] / np.sqrt(np.bincount(labels))
        best = min(best, np.trace(G) - np.sum(H * (G @ H)))
    assert result.lower_bound <= best + 1e-9
    assert result.inertia >= best - 1e-9


def test_value_of_scs():
    """An independent conic solver at 1e-7 gives the same value of the relaxation."""
    pytest.importorskip("scs")
    from benchmarks.bench_cluster import scs_solver

    X, _ = make_spherical_mixture(40, 3, 4, distance=3.0, random_state=0)
    solution = scs_solver(X, 3, 1e-7).solve()
    centred = X - X.mean(axis=0)
    G = centred @ centred.T
    value = np.trace(G) + np.linalg.norm(G, 2) * solution["info"]["pobj"]
    ours = kmeans_sdp(X, 3, gap_tol=1e-6, random_state=0)
    assert ours.gap > 1e-3  # the relaxation is loose here: its value is what is tested
    assert ours.lower_bound == pytest.approx(value, rel=1e-4)
    assert ours.sdp_value == pytest.approx(value, rel=1e-4)


def test_path_is_monotone_and_repeats():
    X = load("ruspini")
    path, again = (kmeans_sdp_path(X, [5, 2, 3, 4], gap_tol=1e-4) for _ in range(2))
    assert list(path) == [2, 3, 4, 5]
    for K, result in path.items():
        assert result.inertia == pytest.approx(OPTIMA["ruspini"][K], rel=1e-6)
        assert result.lower_bound == again[K].lower_bound
        np.testing.assert_array_equal(result.labels, again[K].labels)
    assert path[4].certificate.optimal
    with pytest.raises(TypeError, match="init"):
        kmeans_sdp_path(X, [2], init=np.zeros(75, int))
    with pytest.raises(ValueError, match="n_clusters"):
        kmeans_sdp_path(X, [])


def test_inertia_belongs_to_the_returned_labels():
    """Also when clusters run empty on the way (many duplicates, many clusters)."""
    rng = np.random.default_rng(0)
    X = rng.integers(0, 3, (120, 2)).astype(float) + 1e-3 * rng.random((120, 2))
    for seed in range(5):
        result = kmeans_sdp(X, 12, method="certificate", random_state=seed)
        assert result.inertia == pytest.approx(inertia(X, result.labels), rel=1e-9)
        assert np.bincount(result.labels, minlength=12).min() > 0


def test_sparse_data():
    rng = np.random.default_rng(0)
    X = rng.poisson(0.5, (200, 10)).astype(float)
    X[:100, :3] += 5
    dense = kmeans_sdp(X, 2, method="certificate", random_state=0)
    sparse = kmeans_sdp(sp.csr_array(X), 2, method="certificate", random_state=0)
    np.testing.assert_array_equal(dense.labels, sparse.labels)
    assert sparse.lower_bound == pytest.approx(dense.lower_bound, rel=1e-6)
    np.testing.assert_allclose(sparse.centers, dense.centers, rtol=1e-9)


def test_every_array_library(backend):
    X, truth = make_spherical_mixture(40, 3, 3, distance=9.0, random_state=0)
    data = backend.asarray(X)
    result = kmeans_sdp(data, 3, n_init=3, random_state=0)
    assert array_namespace(result.labels) is array_namespace(data)
    np.testing.assert_array_equal(to_numpy(result.labels), truth)
    assert result.certificate.optimal
    assert result.centers.dtype == data.dtype
    overlapping, ids = make_spherical_mixture(40, 3, 3, distance=3.0, random_state=0)
    certificate = kmeans_certificate(
        backend.asarray(overlapping), ids, max_iter=20, random_state=0, warn=False
    )
    host = kmeans_certificate(overlapping, ids, max_iter=20, random_state=0, warn=False)
    assert certificate.lower_bound == pytest.approx(host.lower_bound, rel=1e-6)


def test_filtered_relaxation_of_every_array_library(backend):
    """Orders at which subspaces, single precision and proofs by factors are used."""
    X, ids = make_spherical_mixture(96, 3, 3, distance=4.0, random_state=0)
    options = {"gap_tol": 1e-3, "max_iter": 400, "random_state": 0, "warn": False}
    host = kmeans_certificate(X, ids, method="admm", **options)
    result = kmeans_certificate(backend.asarray(X), ids, method="admm", **options)
    assert host.status == result.status == "sdp_solved"
    # Each bound is within gap_tol of the value of the relaxation.
    assert abs(result.lower_bound - host.lower_bound) <= 1e-3 * host.inertia
    assert array_namespace(result.dual_matrix) is backend.xp or (
        backend.library == "numpy"
    )


def test_float32_labels_and_float64_bounds():
    X, truth = make_spherical_mixture(100, 3, 4, distance=8.0, random_state=0)
    result = kmeans_sdp(X.astype(np.float32), 3, random_state=0)
    assert result.centers.dtype == np.float32
    assert isinstance(result.lower_bound, float)
    np.testing.assert_array_equal(result.labels, truth)
    integers = kmeans_sdp(np.arange(12).reshape(6, 2), 2, random_state=0)
    assert integers.centers.dtype == np.float64


def test_fewer_distinct_points_than_clusters():
    X = np.repeat([[0.0, 1.0], [2.0, 3.0]], 5, axis=0)
    with pytest.warns(ConvergenceWarning, match="fewer distinct points than clusters"):
        result = kmeans_sdp(X, 4, random_state=0)
    assert (result.inertia, result.gap) == (0.0, 0.0)
    assert set(result.labels.tolist()) == {0, 1}
    assert result.certificate.optimal


@pytest.mark.parametrize("form", ["dense", "float32", "sparse", "precomputed"])
@pytest.mark.parametrize("n_clusters", [6, 9, 40])
def test_copies_of_a_point_share_a_cluster(form, n_clusters, rng):
    X = np.repeat(rng.standard_normal((5, 2)) + 100.0, 8, axis=0)
    options = {}
    if form == "precomputed":
        X = X - X.mean(axis=0)
        X, options = X @ X.T, {"affinity": "precomputed"}
    elif form == "sparse":
        X = sp.csr_array(X)
    elif form == "float32":
        X = X.astype(np.float32)
    with pytest.warns(ConvergenceWarning, match="fewer distinct points than clusters"):
        result = kmeans_sdp(X, n_clusters, random_state=0, **options)
    np.testing.assert_array_equal(result.labels, np.repeat(np.arange(5), 8))
    # A similarity may hold negative eigenvalues: then 0 is no bound.
    assert result.inertia == 0.0
    assert result.lower_bound == pytest.approx(0.0, abs=1e-10)
    assert form == "precomputed" or result.gap == 0.0


def test_identical_rows_and_constant_features():
    same = kmeans_sdp(np.full((10, 3), 0.1), 2, random_state=0, warn=False)
    assert (same.inertia, same.gap) == (0.0, 0.0)
    X, truth = make_spherical_mixture(60, 3, 3, distance=9.0, random_state=0)
    X = np.column_stack([X, np.full(60, 7.0)])
    np.testing.assert_array_equal(kmeans_sdp(X, 3, random_state=0).labels, truth)


def test_callback_stops_and_warning_on_max_iter():
    X, _ = make_spherical_mixture(60, 3, 3, distance=3.0, random_state=0)
    seen = []

    def stop(info):
        seen.append((info.lower_bound, info.inertia))
        return len(seen) == 2

    result = kmeans_sdp(X, 3, callback=stop, random_state=0)
    assert result.status == "callback"
    assert len(seen) == 2
    with pytest.warns(ConvergenceWarning, match="max_iter"):
        short = kmeans_sdp(X, 3, max_iter=3, random_state=0)
    assert (short.status, short.converged) == ("max_iter", False)


def test_warm_start_from_a_result():
    X, _ = make_spherical_mixture(100, 4, 4, distance=5.0, random_state=0)
    first = kmeans_sdp(X, 4, method="certificate", random_state=0)
    again = kmeans_sdp(X, 4, method="certificate", init=first)
    np.testing.assert_array_equal(first.labels, again.labels)


def test_never_worse_than_many_restarts():
    for name, K in (("iris", 3), ("iris", 6), ("wine-standard", 3)):
        ours = kmeans_sdp(load(name), K, method="certificate", random_state=0)
        theirs = KMeans(K, n_init=20, random_state=0).fit(load(name)).inertia_
        assert ours.inertia <= theirs * (1 + 1e-8)


def test_low_rank_factors():
    X, truth = make_spherical_mixture(150, 3, 4, distance=9.0, random_state=0)
    result = nlr_kmeans(X, 3, random_state=0, warn=False)
    np.testing.assert_array_equal(result.labels, truth)
    assert result.certificate.optimal


def test_low_rank_factors_from_random_starts_alone(rng):
    """The first step from noise is too long for any entry to stay positive."""
    X, _ = make_spherical_mixture(300, 4, 6, distance=9.0, random_state=0)
    problem = KMeansProblem.from_data(X)
    scale, root = problem.spectral_norm() ** 0.5, 300**0.5
    solver = LowRankSolver(4, problem.data, scale, root)
    noise = rng.random((300, 8))
    fields = iterate(solver, problem, tol=1e-4, max_iter=2000, warm_start=noise)
    factor = fields["factor"]
    assert fields["converged"]
    assert factor.min() >= 0
    assert np.linalg.norm(factor) == pytest.approx(2.0)
    sums = factor @ factor.sum(axis=0)
    assert np.sqrt(np.mean((sums - 1) ** 2)) <= 1e-2


@pytest.mark.slow
def test_exact_recovery_above_the_threshold_and_not_below():
    n, K, p = 400, 4, 10
    threshold = 2 * np.sqrt((1 + np.sqrt(1 + K * p / (n * np.log(n)))) * np.log(n))
    exact = {}
    for factor in (1.2, 0.6):
        exact[factor] = 0
        for seed in range(20):
            X, truth = make_spherical_mixture(
                n, K, p, distance=factor * threshold, random_state=seed
            )
            result = kmeans_sdp(
                X, K, gap_tol=1e-4, max_iter=150, random_state=0, warn=False
            )
            found = misclustering_error(truth, result.labels) == 0
            exact[factor] += found and (factor < 1 or result.gap <= 1e-4)
    assert exact[1.2] >= 19
    assert exact[0.6] <= 2


def test_estimator_attributes_and_new_data():
    X, _ = make_spherical_mixture(90, 3, 4, distance=8.0, random_state=0)
    model = SDPKMeans(3, random_state=0).fit(X)
    assert model.converged_
    assert model.certificate_.optimal
    assert model.inertia_ == pytest.approx(inertia(X, model.labels_))
    np.testing.assert_array_equal(model.predict(X), model.labels_)
    assert model.score(X) == pytest.approx(-model.inertia_)
    assert model.transform(X).shape == (90, 3)
    np.testing.assert_array_equal(model.predict(sp.csr_array(X)), model.labels_)
    assert list(model.get_feature_names_out()) == [f"sdpkmeans{k}" for k in range(3)]
