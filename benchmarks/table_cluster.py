# SPDX-License-Identifier: BSD-3-Clause
"""Measure the clustering rows: ``python -m benchmarks.table --family cluster``."""

import statistics
import time
import tracemalloc

import numpy as np

from benchmarks import bench_cluster as bench
from benchmarks import experiments_cluster as experiments
from benchmarks import peers
from benchmarks.rows import seconds, significant
from numopt.cluster import kmeans_certificate, kmeans_sdp


def relaxation(pairs=5):
    """A rigorous bound within 1e-4 of the relaxation against the solve time of SCS.

    SCS keeps the scale that it has learned: every solve gets a solver of its own, whose
    set-up is not counted.
    """
    for eps in (1e-4, 1e-5):
        for name in list(bench.RELAXATIONS)[:4]:
            X, K = bench.problem(name)
            iterations = bench.solve_relaxation(name).n_iter
            ratios = []
            for _ in range(pairs):
                solver = bench.scs_solver(X, K, eps)
                taken = seconds(lambda name=name: bench.solve_relaxation(name))
                peer = seconds(lambda solver=solver: solver.solve(warm_start=False))
                ratios.append(taken / peer)
            result = peers.Ratio(tuple(ratios))
            yield {
                "workload": f"relaxation, {name}",
                "peer": f"SCS, eps {eps:g}",
                "version": peers.version("scs"),
                "ratio": float(f"{result.median:.3g}"),
                "spread": float(f"{result.spread:.2g}"),
                "threads": 1,
                "iterations": iterations,
            }


def gaps():
    """What the closed form leaves open."""
    for name in bench.CERTIFICATES:
        gap = bench.certificate(name)[0]().gap
        yield {"workload": f"certificate, {name}", "gap": float(f"{gap:.2g}")}


def million():
    """The certificate of a million rows, once, and its memory."""
    for name in bench.LARGE:
        ours, peer = bench.certificate(name)
        gap = ours().gap  # compiles
        taken = seconds(ours)
        tracemalloc.start()
        ours()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        yield {
            "workload": f"certificate, {name}",
            "peer": "KMeans n_init=10",
            "version": peers.version("sklearn"),
            "ratio": significant(taken / seconds(peer)),
            "spread": None,
            "threads": 1,
            "gap": float(f"{gap:.2g}"),
            "memory over that of the data": float(
                f"{peak / bench.problem(name)[0].nbytes:.2g}"
            ),
        }


def interior_point():
    """The same at small orders against an interior-point method."""
    name = "spherical n=100 D=5"
    ours, peer = bench.interior_point(name)
    ours()
    taken = statistics.median(seconds(ours) for _ in range(5))
    yield {
        "workload": f"relaxation, {name}",
        "peer": "Clarabel",
        "version": peers.version("clarabel"),
        "ratio": significant(taken / seconds(peer)),
        "spread": None,
    }


def admm():
    """What 150 iterations add to the closed form."""
    X, K = bench.mixture(1000, 4, 10, 6.0)
    start = kmeans_sdp(X, K, method="certificate", random_state=0)
    for iterations in (50, 150):
        result = kmeans_certificate(
            X,
            start.labels,
            method="admm",
            max_iter=iterations,
            random_state=0,
            warn=False,
        )
        yield {
            "workload": f"gap after {iterations} iterations, spherical n=1000 D=6",
            "closed form": float(f"{start.gap:.2g}"),
            "gap": float(f"{result.gap:.2g}"),
        }


def scale(orders=(600, 3000)):
    """Large relaxations to a rigorous gap, in full eigendecompositions."""
    bench.solve_relaxation("spherical n=100 D=5")  # compiles
    for n in orders:
        X, K = bench.mixture(n, 5, 8, 6.0)
        G = (X - X.mean(axis=0)) @ (X - X.mean(axis=0)).T
        eigh = seconds(lambda G=G: np.linalg.eigh(G))
        start = time.process_time()
        result = kmeans_sdp(
            X,
            K,
            method="admm",
            gap_tol=1e-3,
            n_init=3,
            max_iter=150,
            return_membership=False,
            random_state=0,
            warn=False,
        )
        ours = time.process_time() - start
        yield {
            "workload": f"relaxation to a gap of 1e-3, spherical n={n} K={K}",
            "peer": "one full numpy.linalg.eigh of order n",
            "version": peers.version("numpy"),
            "ratio": significant(ours / eigh),
            "spread": None,
            "threads": 1,
            "iterations": result.n_iter,
            "gap": float(f"{result.gap:.2g}"),
        }


def unequal():
    """Clusters of unequal shapes, rotated at random."""
    for p in (4, 8):
        yield from experiments.unequal(p, rotate=True)


def control():
    """The same not rotated, where the diagonal mixture is the true model."""
    for p in (4, 8):
        yield from experiments.unequal(p, rotate=False)


GROUPS = {
    one.__name__: one
    for one in (
        relaxation,
        gaps,
        million,
        interior_point,
        admm,
        scale,
        unequal,
        control,
    )
}
GROUPS["recovery"] = experiments.recovery
