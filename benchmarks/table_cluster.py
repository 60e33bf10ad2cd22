# SPDX-License-Identifier: BSD-3-Clause
"""Measure the clustering rows: ``python -m benchmarks.table_cluster``."""

import argparse
import json
import statistics
import time
from pathlib import Path

import numpy as np

from benchmarks import bench_cluster as bench
from benchmarks import experiments_cluster as experiments
from benchmarks import peers
from benchmarks.table import save
from numopt.cluster import kmeans_certificate, kmeans_sdp, nlr_kmeans


def seconds(run):
    """CPU time of one call, in seconds."""
    start = time.process_time()
    run()
    return time.process_time() - start


def median(ratios):
    """The ratio ours/peer and half its range relative to it."""
    ratio = statistics.median(ratios)
    spread = 0.5 * (max(ratios) - min(ratios)) / ratio
    return {"ratio": float(f"{ratio:.3g}"), "spread": float(f"{spread:.2g}")}


def alternate(ours, peer, pairs):
    """Ratios of CPU times, ours and the peer's in turn."""
    return median([seconds(ours) / seconds(peer) for _ in range(pairs)])


def certificate(pairs=3, cases=tuple(bench.CERTIFICATES)):
    """The closed-form certificate against ten restarts of KMeans."""
    from sklearn.cluster import KMeans

    for name in cases:
        X, K = bench.problem(name)
        model = KMeans(K, n_init=10, random_state=0).fit(X)
        labels = model.labels_

        def ours(X=X, labels=labels):
            return kmeans_certificate(X, labels, method="lowrank")

        gap = ours().gap
        yield {
            "workload": f"certificate, {name}",
            "peer": "KMeans n_init=10",
            "version": peers.version("sklearn"),
            **alternate(ours, lambda model=model, X=X: model.fit(X), pairs),
            "gap": float(f"{gap:.2g}"),
        }


def million():
    """The certificate of a million rows, once."""
    yield from certificate(1, tuple(bench.LARGE))


def relaxation(pairs=5):
    """A rigorous bound within 1e-4 of the relaxation against SCS."""
    for eps in (1e-4, 1e-5):
        for name in list(bench.RELAXATIONS)[:4]:
            result = bench.solve_relaxation(name)
            X, K = bench.problem(name)

            def peer(X=X, K=K, eps=eps):
                solver = bench.scs_solver(X, K, eps)
                return seconds(lambda: solver.solve(warm_start=False))

            ratios = [
                seconds(lambda name=name: bench.solve_relaxation(name)) / peer()
                for _ in range(pairs)
            ]
            yield {
                "workload": f"relaxation, {name}",
                "peer": f"SCS, eps {eps:g}",
                "version": peers.version("scs"),
                **median(ratios),
                "iterations": result.n_iter,
            }


def interior_point():
    """The same at small orders against an interior-point method."""
    for name, pairs in (("spherical n=50 D=5", 3), ("spherical n=100 D=5", 1)):
        bench.solve_relaxation(name)
        solver = bench.clarabel_solver(*bench.problem(name))
        peer = seconds(solver.solve)
        ours = [
            seconds(lambda name=name: bench.solve_relaxation(name))
            for _ in range(3 * pairs)
        ]
        yield {
            "workload": f"relaxation, {name}",
            "peer": "Clarabel",
            "version": peers.version("clarabel"),
            **median([one / peer for one in ours]),
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


def primal(pairs=3):
    """The partition alone against twenty restarts of KMeans."""
    from sklearn.cluster import KMeans
    from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine

    loaders = {
        "digits": (load_digits, 10),
        "wine": (load_wine, 3),
        "iris": (load_iris, 3),
        "breast cancer": (load_breast_cancer, 2),
    }
    for name, (load, K) in loaders.items():
        X = load().data
        model = KMeans(K, n_init=20, random_state=0)

        def ours(X=X, K=K):
            return kmeans_sdp(
                X,
                K,
                method="certificate",
                return_membership=False,
                random_state=0,
            )

        excess = ours().inertia / model.fit(X).inertia_ - 1
        yield {
            "workload": f"partition and certificate, {name} K={K}",
            "peer": "KMeans n_init=20",
            "version": peers.version("sklearn"),
            **alternate(ours, lambda model=model, X=X: model.fit(X), pairs),
            "inertia above the peer's": float(f"{excess:.2g}"),
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
            "ratio": float(f"{ours / eigh:.3g}"),
            "spread": None,
            "iterations": result.n_iter,
            "gap": float(f"{result.gap:.2g}"),
        }


def lowrank():
    """Nonnegative low-rank factors against ten restarts of KMeans."""
    from sklearn.cluster import KMeans

    X, K = bench.mixture(20_000, 8, 20, 8.0)
    model = KMeans(K, n_init=10, random_state=0)
    peer = seconds(lambda: model.fit(X))
    start = time.process_time()
    result = nlr_kmeans(X, K, random_state=0, warn=False)
    ours = time.process_time() - start
    yield {
        "workload": "low-rank factors, spherical n=20000 K=8",
        "peer": "KMeans n_init=10",
        "version": peers.version("sklearn"),
        "ratio": float(f"{ours / peer:.3g}"),
        "spread": None,
        "inertia above the peer's": float(f"{result.inertia / model.inertia_ - 1:.2g}"),
    }


def unequal():
    """Clusters of unequal shapes, rotated and (as a control) not."""
    for rotate in (True, False):
        for p in (4, 8):
            yield from experiments.unequal(p, rotate)


GROUPS = {
    one.__name__: one
    for one in (
        certificate,
        million,
        relaxation,
        interior_point,
        admm,
        primal,
        scale,
        lowrank,
        unequal,
    )
}
GROUPS["recovery"] = experiments.recovery


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.table_cluster")
    parser.add_argument("--out", type=Path, default=Path("docs/benchmarks"))
    parser.add_argument("--groups", nargs="*", default=tuple(GROUPS), choices=GROUPS)
    options = parser.parse_args()
    path = options.out / "cluster.json"
    stored = json.loads(path.read_text()) if path.exists() else {}
    kept = stored.get("rows", []) + stored.get("experiments", [])
    with peers.threads(1):
        for group in options.groups:
            kept = [row for row in kept if row.get("group") != group]
            for row in GROUPS[group]():
                kept.append({"group": group, **row})
                print(kept[-1], flush=True)
                save(
                    path,
                    (row for row in kept if "ratio" in row),
                    experiments=[row for row in kept if "ratio" not in row],
                )


if __name__ == "__main__":
    main()
