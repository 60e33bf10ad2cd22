# SPDX-License-Identifier: BSD-3-Clause
"""Certified clustering: the relaxation against SCS, the certificate against KMeans."""

import functools
import statistics
import time

import numpy as np

from benchmarks import peers
from benchmarks.common import PeerBenchmark
from numopt.cluster import kmeans_certificate, kmeans_sdp
from numopt.datasets import make_spherical_mixture


def _iris():
    from sklearn.datasets import load_iris

    return load_iris().data, 3


def _wine():
    from sklearn.datasets import load_wine

    X = load_wine().data
    return (X - X.mean(axis=0)) / X.std(axis=0), 3


def _mixture(n, K, p, distance):
    return make_spherical_mixture(n, K, p, distance=distance, random_state=0)[0], K


RELAXATIONS = {
    "iris K=3": _iris,
    "wine standardised K=3": _wine,
    "spherical n=200 D=5": lambda: _mixture(200, 4, 10, 5.0),
    "spherical n=300 D=6": lambda: _mixture(300, 4, 10, 6.0),
}
CERTIFICATES = {
    "spherical n=20000 K=4": lambda: _mixture(20_000, 4, 10, 8.0),
    "spherical n=200000 K=8": lambda: _mixture(200_000, 8, 20, 10.0),
}


@functools.cache
def problem(name):
    return {**RELAXATIONS, **CERTIFICATES}[name]()


def scs_solver(X, K, eps):
    """The relaxation as SCS takes it: lower triangle by columns, scaled by sqrt 2."""
    import scipy.sparse as sp

    scs = peers.require("scs")
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
    return scs.SCS(
        {"A": sp.csc_matrix(A), "b": b, "c": -G[rows, columns] * weight},
        {"z": n + 1, "l": m, "s": [n]},
        eps_abs=eps,
        eps_rel=eps,
        max_iters=50_000,
        verbose=False,
    )


def solve_relaxation(name):
    """Ours: restarts, closed form and ADMM to a rigorous relative gap of 1e-4."""
    X, K = problem(name)
    return kmeans_sdp(
        X, K, method="admm", gap_tol=1e-4, return_membership=False, random_state=0
    )


class Relaxation(PeerBenchmark):
    """Time to a rigorous 1e-4 of the relaxation, over the solve time of SCS."""

    params = [tuple(RELAXATIONS), (1e-4, 1e-5)]
    param_names = ("data", "eps")

    def track_ratio_scs(self, data, eps):
        solver = scs_solver(*problem(data), eps)
        return self.ratio(
            lambda: solve_relaxation(data), lambda: solver.solve(warm_start=False)
        )


class Certificate(PeerBenchmark):
    """Time of the closed-form certificate over that of KMeans with ten restarts."""

    params = [tuple(CERTIFICATES)]
    param_names = ("data",)

    def setup(self, data):
        cluster = peers.require("sklearn.cluster")
        self.X, K = problem(data)
        self.model = cluster.KMeans(K, n_init=10, random_state=0).fit(self.X)

    def track_ratio_sklearn(self, data):
        return self.ratio(
            lambda: kmeans_certificate(self.X, self.model.labels_, method="lowrank"),
            lambda: self.model.fit(self.X),
        )

    def track_gap(self, data):
        return kmeans_certificate(self.X, self.model.labels_, method="lowrank").gap


def _seconds(run):
    start = time.process_time()
    run()
    return time.process_time() - start


def _relaxation_row(name, eps, pairs):
    # A new SCS object each time: a second solve would start from a tuned scale.
    ratios = []
    for _ in range(pairs):
        ours = _seconds(lambda name=name: solve_relaxation(name))
        solver = scs_solver(*problem(name), eps)
        ratios.append(ours / _seconds(lambda s=solver: s.solve(warm_start=False)))
    return {
        "workload": f"relaxation, {name}",
        "peer": f"SCS, eps {eps:g}",
        **_median(ratios),
        "iterations": solve_relaxation(name).n_iter,
    }


def _median(ratios):
    """Return the ratio ours/peer and half its range relative to it."""
    ratio = statistics.median(ratios)
    return {"ratio": ratio, "spread": 0.5 * (max(ratios) - min(ratios)) / ratio}


def _certificate_row(name, pairs):
    bench = Certificate()
    bench.setup(name)
    X, model = bench.X, bench.model
    ratios = []
    for _ in range(pairs):
        peer = _seconds(lambda: model.fit(X))
        ours = _seconds(lambda: kmeans_certificate(X, model.labels_, method="lowrank"))
        ratios.append(ours / peer)
    return {
        "workload": f"certificate, {name}",
        "peer": "KMeans, n_init=10",
        **_median(ratios),
        "gap": float(f"{bench.track_gap(name):.2g}"),
    }


def table(pairs=3):
    """Yield measured rows: CPU time of ours over the peer's, alternating."""
    for name in CERTIFICATES:
        yield _certificate_row(name, pairs)
    for eps in (1e-4, 1e-5):
        for name in RELAXATIONS:
            yield _relaxation_row(name, eps, pairs)
