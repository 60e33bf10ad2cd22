# SPDX-License-Identifier: BSD-3-Clause
"""Bounds are bounds: below every partition, equal to dense algebra, invariant."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.cluster import KMeans

from numopt.cluster import kmeans_certificate, kmeans_lower_bound
from numopt.cluster._kernels import filtered_ritz
from numopt.cluster._problem import KMeansProblem
from numopt.cluster._solvers import dual
from numopt.cluster._solvers.blocks import deal_blocks, swap_rows
from numopt.cluster._solvers.dual import ClippedDual
from numopt.cluster._solvers.spectral import eigenvalue_sum
from numopt.datasets import make_spherical_mixture
from tests.cluster.problems import (
    OPTIMA,
    brute_force,
    dense_dual_value,
    inertia,
    load,
)

CASES = [(name, K) for name, optima in OPTIMA.items() for K in optima]


@pytest.mark.parametrize(("name", "K"), CASES)
def test_bound_stays_below_the_known_optimum(name, K):
    X = load(name)
    labels = KMeans(K, n_init=3, random_state=0).fit(X).labels_
    certificate = kmeans_certificate(X, labels, method="lowrank")
    assert certificate.lower_bound <= OPTIMA[name][K] * (1 + 1e-8)
    assert certificate.lower_bound >= 0
    assert certificate.inertia == pytest.approx(inertia(X, labels), rel=1e-10)
    assert certificate.slack > 0


@pytest.mark.parametrize("seed", range(3))
def test_bound_stays_below_every_partition(seed):
    X, labels = make_spherical_mixture(60, 3, 4, distance=4.0, random_state=seed)
    rng = np.random.default_rng(seed)
    bound = kmeans_certificate(X, labels, max_iter=100, warn=False).lower_bound
    partitions = [KMeans(3, n_init=1, random_state=s).fit(X).labels_ for s in range(10)]
    partitions += [rng.integers(0, 3, 60) for _ in range(100)]
    assert bound <= min(inertia(X, one) for one in partitions)


@pytest.mark.parametrize("n", [4, 6, 8])
@pytest.mark.parametrize("K", [2, 3])
def test_brute_force(n, K):
    for seed in range(4):
        X = np.random.default_rng(seed).standard_normal((n, 2))
        best = brute_force(X, K)
        assert kmeans_lower_bound(X, K, random_state=0, warn=False) <= best * (1 + 1e-9)


@pytest.mark.parametrize("scale", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("distance", [3.0, 8.0])
def test_small_eigenproblem_equals_dense_algebra(distance, scale):
    X, labels = make_spherical_mixture(80, 4, 5, distance=distance, random_state=1)
    problem = KMeansProblem.from_data(X)
    dual = ClippedDual(problem, labels, 4)
    assert dual.low_rank
    lambda_ = scale * dual.scatter
    found = dual.bound(lambda_)
    B = dual.matrix(lambda_)
    assert B.min() >= 0
    dense = dense_dual_value(problem.rows.X, B, 4)
    assert found.value + found.slack == pytest.approx(dense, rel=1e-9)


def test_multiplicity_trap():
    # Equal sizes and a regular simplex: the leading eigenvalue is K-1 fold.
    centers = 10 * np.eye(4)
    noise = np.random.default_rng(0).standard_normal((20, 4))
    noise -= noise.mean(axis=0)
    X = (centers[:, None, :] + noise[None, :, :]).reshape(-1, 4)
    labels = np.repeat(np.arange(4), 20)
    problem = KMeansProblem.from_data(X)
    dual = ClippedDual(problem, labels, 4)
    for lambda_ in dual.scatter * np.array([0.5, 1.0, 1.5]):
        found = dual.bound(lambda_)
        dense = dense_dual_value(problem.rows.X, dual.matrix(lambda_), 4)
        assert found.value + found.slack == pytest.approx(dense, rel=1e-9)
        assert found.value * problem.unit <= inertia(X, labels)
    assert kmeans_certificate(X, labels).optimal


def ritz_pairs(A, basis):
    return filtered_ritz(A, basis, 0.0, 0.0, 0.0, 0)


@pytest.mark.parametrize("count", [1, 3])
def test_proved_eigenvalue_sum(count, rng):
    n = 120
    A = rng.standard_normal((n, n))
    A = A + A.T
    exact = eigenvalue_sum(A, count)
    J = np.eye(n) - 1 / n
    # The ones vector contributes an eigenvalue 0, which is not among the largest here.
    assert exact == pytest.approx(
        np.linalg.eigvalsh(J @ A @ J)[::-1][:count].sum(), rel=1e-12
    )
    vectors = np.linalg.eigh(J @ A @ J)[1][:, ::-1][:, : count + 4]
    for error in (0.0, 1e-6, 1e-3, 1.0):
        basis = vectors + error * rng.standard_normal(vectors.shape)
        bound = eigenvalue_sum(A, count, ritz_pairs(A, basis))
        loose = 1e-6 if error <= 1e-6 else 5.0
        assert exact * (1 - 1e-12) <= bound <= exact * (1 + loose)


def test_bad_vectors_cannot_spoil_the_bound(rng):
    A = np.diag(np.arange(100.0))
    basis = np.eye(100)[:, :4]
    bound = eigenvalue_sum(A, 2, ritz_pairs(A, basis))
    assert bound >= eigenvalue_sum(A, 2) * (1 - 1e-12)
    # Not even claims about the vectors can: the proof is of the matrix.
    claimed = (np.full(4, 50.0), basis, np.zeros(4))
    assert eigenvalue_sum(A, 2, claimed) >= eigenvalue_sum(A, 2) * (1 - 1e-12)


def test_invariances():
    X, labels = make_spherical_mixture(90, 3, 4, distance=5.0, random_state=0)
    rng = np.random.default_rng(1)
    base = kmeans_certificate(X, labels, method="lowrank")
    order = rng.permutation(90)
    Q, _ = np.linalg.qr(rng.standard_normal((4, 4)))
    for other, ids, factor in (
        (X[order], labels[order], 1.0),
        (X @ Q, labels, 1.0),
        (X + 100.0, labels, 1.0),
        (7.0 * X, labels, 49.0),
        (1e8 * X, labels, 1e16),
    ):
        found = kmeans_certificate(other, ids, method="lowrank")
        assert found.lower_bound == pytest.approx(factor * base.lower_bound, rel=1e-8)
        assert found.inertia == pytest.approx(factor * base.inertia, rel=1e-8)
    shifted = kmeans_certificate(X + 1e8, labels, method="lowrank")
    assert shifted.lower_bound == pytest.approx(base.lower_bound, rel=1e-6)


@pytest.mark.parametrize("n", [400, 4000])
def test_separated_clusters_are_proved(n):
    X, labels = make_spherical_mixture(n, 4, 10, distance=12.0, random_state=0)
    certificate = kmeans_certificate(X, labels)
    assert certificate.optimal
    assert certificate.method == "lowrank"
    assert certificate.status == "optimal"
    assert certificate.lower_bound <= certificate.inertia


def test_one_bad_point_does_not_destroy_the_certificate():
    X, labels = make_spherical_mixture(1000, 4, 10, distance=6.0, random_state=0)
    assert kmeans_certificate(X, labels, method="lowrank").gap < 2e-2


def test_admm_improves_and_keeps_the_labels():
    X, labels = make_spherical_mixture(120, 3, 4, distance=4.0, random_state=0)
    first = kmeans_certificate(X, labels, method="lowrank")
    second = kmeans_certificate(X, labels, method="admm", gap_tol=1e-4, random_state=0)
    assert second.inertia == first.inertia
    assert second.gap < first.gap
    assert second.method == "admm"
    B = second.dual_matrix
    assert B.min() >= 0
    np.testing.assert_array_equal(B, B.T)
    independent = dense_dual_value(X, B, 3)
    assert second.lower_bound == pytest.approx(independent, rel=1e-6)
    assert second.lower_bound <= independent * (1 + 1e-10)


def test_swaps_raise_the_inertia_of_blocks():
    X, labels = make_spherical_mixture(600, 4, 4, distance=3.0, random_state=0)
    problem = KMeansProblem.from_data(X)
    blocks = deal_blocks(problem, labels, 4, 3)
    swapped = swap_rows(problem, labels, blocks, np.random.default_rng(0))
    np.testing.assert_array_equal(np.sort(np.concatenate(swapped)), np.arange(600))
    totals = [
        sum(inertia(X[index], labels[index]) for index in one)
        for one in (blocks, swapped)
    ]
    assert totals[0] < totals[1] <= inertia(X, labels)


def test_blocks_bound_large_data():
    X, labels = make_spherical_mixture(600, 4, 4, distance=3.0, random_state=0)
    lowrank = kmeans_certificate(X, labels, method="lowrank")
    blocks = kmeans_certificate(X, labels, method="blocks", random_state=0)
    assert blocks.method == "blocks"
    assert lowrank.lower_bound < blocks.lower_bound < inertia(X, labels)


@pytest.mark.parametrize("kind", [sp.csr_array, sp.csr_matrix, sp.csc_array])
def test_sparse_equals_dense(kind):
    rng = np.random.default_rng(0)
    X = rng.poisson(0.6, (300, 12)).astype(float)
    X[:150, :4] += 6 * rng.random((150, 4))
    labels = (np.arange(300) >= 150).astype(int)
    dense = kmeans_certificate(X, labels, method="lowrank")
    sparse = kmeans_certificate(kind(X), labels, method="lowrank")
    assert sparse.inertia == pytest.approx(dense.inertia, rel=1e-10)
    assert sparse.lower_bound == pytest.approx(dense.lower_bound, rel=1e-8)


def test_label_ids_are_compressed_and_the_input_is_kept():
    X, labels = make_spherical_mixture(60, 3, 3, distance=9.0, random_state=0)
    X.flags.writeable = False
    ids = np.array([40, -7, 11])[labels]
    ids.flags.writeable = False
    assert kmeans_certificate(X, ids).inertia == pytest.approx(inertia(X, labels))


def test_many_clusters_pair_with_neighbours(monkeypatch):
    monkeypatch.setattr(dual, "LARGEST_ORDER", 200)
    X, labels = make_spherical_mixture(700, 20, 20, distance=14.0, random_state=0)
    certificate = kmeans_certificate(X, labels, method="lowrank")
    assert 0 < certificate.lower_bound <= certificate.inertia
