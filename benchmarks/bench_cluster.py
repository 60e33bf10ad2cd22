# SPDX-License-Identifier: BSD-3-Clause
"""Certified clustering: the relaxation against SCS, the certificate against KMeans."""

import functools

import numpy as np

from benchmarks import peers
from benchmarks.common import PeerBenchmark
from numopt.cluster import kmeans_certificate, kmeans_sdp, nlr_kmeans
from numopt.datasets import make_spherical_mixture


def _iris():
    from sklearn.datasets import load_iris

    return load_iris().data, 3


def _wine():
    from sklearn.datasets import load_wine

    X = load_wine().data
    return (X - X.mean(axis=0)) / X.std(axis=0), 3


def mixture(n, K, p, distance):
    return make_spherical_mixture(n, K, p, distance=distance, random_state=0)[0], K


RELAXATIONS = {
    "iris K=3": _iris,
    "wine standardised K=3": _wine,
    "spherical n=200 D=5": lambda: mixture(200, 4, 10, 5.0),
    "spherical n=300 D=6": lambda: mixture(300, 4, 10, 6.0),
    "spherical n=50 D=5": lambda: mixture(50, 4, 10, 5.0),
    "spherical n=100 D=5": lambda: mixture(100, 4, 10, 5.0),
}
LARGE = {"spherical n=1000000 K=8": lambda: mixture(1_000_000, 8, 20, 10.0)}
CERTIFICATES = {
    "spherical n=20000 K=4": lambda: mixture(20_000, 4, 10, 8.0),
    "spherical n=200000 K=8": lambda: mixture(200_000, 8, 20, 10.0),
}


@functools.cache
def problem(name):
    return {**RELAXATIONS, **CERTIFICATES, **LARGE}[name]()


def conic_data(X, K):
    """The relaxation over a scaled triangle: (A, b, c) and the number of rows n."""
    import scipy.sparse as sp

    X = X - X.mean(axis=0)
    G = X @ X.T
    G /= np.linalg.norm(G, 2)
    n = len(G)
    columns, rows = np.triu_indices(n)
    m = rows.size
    index, off = np.arange(m), rows != columns
    weight = np.where(off, np.sqrt(2), 1.0)
    sums = sp.csc_array(
        (
            np.concatenate([1 / weight, 1 / weight[off]]),
            (
                np.concatenate([rows, columns[off]]),
                np.concatenate([index, index[off]]),
            ),
        ),
        (n, m),
    )
    trace = sp.csc_array((np.ones(n), (np.zeros(n, int), index[~off])), (1, m))
    A = sp.vstack([sums, trace, -sp.eye_array(m), -sp.eye_array(m)]).tocsc()
    b = np.concatenate([np.ones(n), [K], np.zeros(2 * m)])
    return sp.csc_matrix(A), b, -G[rows, columns] * weight, n


def scs_solver(X, K, eps):
    """SCS on the relaxation."""
    scs = peers.require("scs")
    A, b, c, n = conic_data(X, K)
    return scs.SCS(
        {"A": A, "b": b, "c": c},
        {"z": n + 1, "l": A.shape[1], "s": [n]},
        eps_abs=eps,
        eps_rel=eps,
        max_iters=50_000,
        verbose=False,
    )


def clarabel_solver(X, K):
    """Clarabel, an interior-point method, on the relaxation."""
    import scipy.sparse as sp

    clarabel = peers.require("clarabel")
    A, b, c, n = conic_data(X, K)
    # Clarabel reads the upper triangle by columns.
    i, j = np.triu_indices(n)
    m = i.size
    order = np.concatenate([np.arange(n + 1 + m), n + 1 + m + np.lexsort((i, j))])
    A = sp.csc_matrix(A.tocsr()[order])
    cones = [
        clarabel.ZeroConeT(n + 1),
        clarabel.NonnegativeConeT(A.shape[1]),
        clarabel.PSDTriangleConeT(n),
    ]
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.max_threads = 1
    none = sp.csc_matrix((A.shape[1], A.shape[1]))
    return clarabel.DefaultSolver(none, c, A, b, cones, settings)


@functools.cache
def relaxation_value(name):
    """Value of the relaxation, from a solve far beyond the accuracy compared."""
    X, K = problem(name)
    return kmeans_sdp(
        X, K, method="admm", gap_tol=1e-6, max_iter=3000, random_state=0, warn=False
    ).lower_bound


def solve_relaxation(name, accuracy=1e-4, n_init=3):
    """Ours: restarts, closed form and ADMM until the rigorous bound is near the value.

    The relaxation's value is known from a longer solve, so that what is timed is the
    time to the accuracy itself, not to a stopping rule.
    """
    X, K = problem(name)
    value = relaxation_value(name)
    return kmeans_sdp(
        X,
        K,
        method="admm",
        n_init=n_init,
        return_membership=False,
        random_state=0,
        callback=lambda info: info.lower_bound >= value - accuracy * info.inertia,
    )


def interior_point(name):
    """The same, and Clarabel."""
    relaxation_value(name)
    data = problem(name)
    peers.require("clarabel")
    return lambda: solve_relaxation(name), lambda: clarabel_solver(*data).solve()


def certificate(name):
    """The closed-form certificate, and KMeans with ten restarts."""
    from sklearn.cluster import KMeans

    X, K = problem(name)
    model = KMeans(K, n_init=10, random_state=0)
    labels = model.fit(X).labels_
    return (
        lambda: kmeans_certificate(X, labels, method="lowrank"),
        lambda: model.fit(X),
    )


PARTITIONS = {
    "digits": ("load_digits", 10),
    "wine": ("load_wine", 3),
    "iris": ("load_iris", 3),
    "breast cancer": ("load_breast_cancer", 2),
}


def partition(name):
    """A partition with its certificate, and KMeans with twenty restarts."""
    from sklearn import datasets
    from sklearn.cluster import KMeans

    loader, K = PARTITIONS[name]
    X = getattr(datasets, loader)().data
    model = KMeans(K, n_init=20, random_state=0)
    options = {"method": "certificate", "return_membership": False}
    return (
        lambda: kmeans_sdp(X, K, random_state=0, **options),
        lambda: model.fit(X),
    )


def factors(n):
    """Nonnegative low-rank factors, and KMeans with ten restarts."""
    from sklearn.cluster import KMeans

    X, K = mixture(n, 8, 20, 8.0)
    model = KMeans(K, n_init=10, random_state=0)
    return (
        lambda: nlr_kmeans(X, K, random_state=0, warn=False),
        lambda: model.fit(X),
    )


def cases():
    """Return the rows of the performance page."""
    name = "spherical n=50 D=5"
    yield peers.Case(
        f"relaxation, {name}",
        "Clarabel",
        "clarabel",
        lambda: interior_point("spherical n=50 D=5"),
    )
    for name in CERTIFICATES:
        yield peers.Case(
            f"certificate, {name}",
            "KMeans n_init=10",
            "sklearn",
            lambda name=name: certificate(name),
        )
    for name, (_, K) in PARTITIONS.items():
        yield peers.Case(
            f"partition and certificate, {name} K={K}",
            "KMeans n_init=20",
            "sklearn",
            lambda name=name: partition(name),
        )
    yield peers.Case(
        "low-rank factors, spherical n=2000 K=8",
        "KMeans n_init=10",
        "sklearn",
        lambda: factors(2000),
    )


class Relaxation(PeerBenchmark):
    """Time to a bound within 1e-4 of the relaxation, over the solve time of SCS."""

    params = [tuple(RELAXATIONS), (1e-4, 1e-5)]
    param_names = ("data", "eps")

    def track_ratio_scs(self, data, eps):
        return self.ratio(
            lambda: solve_relaxation(data),
            lambda: scs_solver(*problem(data), eps).solve(warm_start=False),
        )


class Certificate(PeerBenchmark):
    """Time of the closed-form certificate over that of KMeans with ten restarts."""

    params = [tuple(CERTIFICATES)]
    param_names = ("data",)

    def track_ratio_sklearn(self, data):
        return self.ratio(*certificate(data))

    def track_gap(self, data):
        return certificate(data)[0]().gap
