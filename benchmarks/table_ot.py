# SPDX-License-Identifier: BSD-3-Clause
"""Measure the rows of transport: ``python -m benchmarks.table --family ot``."""

import functools
import json
import subprocess
import sys
import time
from unittest import mock

import numpy as np

from benchmarks import bench_ot as bench
from benchmarks import peers
from benchmarks.bench_ot_points import TOL, account, peak_memory
from benchmarks.bench_ot_points import clouds as clouds_of
from numopt.ot._solvers import oracles

#: (points, reg) in the plane: the tenth of a matrix, two cores, the largest.
CLOUDS = ((20_000, 2e-4), (100_000, 1e-4), (250_000, 2e-5))

#: (pixels a side, reg) of photographs.
IMAGES = ((128, 1e-3), (256, 1e-3), (256, 1e-4))


class _Plain:
    """Newton systems without groups of columns, and how many iterations they took."""

    def __init__(self, solve):
        self.solve, self.n_iter = solve, 0

    def for_namespace(self, _):
        return self

    def __call__(self, *arguments):
        *system, _, tol, _ = arguments
        none = np.empty(0, np.int32)
        d, n_iter = self.solve(*system, none, tol, oracles.MAX_CG)
        self.n_iter += n_iter
        return d, 0


def iterations():
    """Conjugate gradient iterations, with and without groups of columns."""
    for name, reg in (*bench.PROBLEMS, ("img32_L1", 1e-4)):
        solve = bench.ours(bench.problem(name), reg)
        result = solve()
        plain = _Plain(oracles.laplacian_solve)
        with mock.patch.object(oracles, "laplacian_solve", plain):
            dense = solve().n_cg
        yield {
            "workload": f"iterations, {name}, reg {reg:.1e}",
            "full passes": result.n_passes,
            "Newton steps": result.n_newton,
            "CG iterations": result.n_cg,
            "per Newton step": float(f"{result.n_cg / result.n_newton:.3g}"),
            "without groups": dense + plain.n_iter,
        }


def clouds(workloads=CLOUDS):
    """Work and peak memory of large clouds, each in a process of its own."""
    for n, reg in workloads:
        yield _measured_alone("bench_ot_points", n, reg)


def _measured_alone(module, n, reg):
    """The row that a module prints: memory that is free would serve the next."""
    command = [sys.executable, "-m", f"benchmarks.{module}", str(n), str(reg)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    return json.loads(done.stdout)


def _cloud(n, reg):
    return functools.partial(clouds, ((n, reg),))


def warm(frames=5, reg=1e-3):
    """Work of a cloud that moves a little, each frame started from the last one."""
    from numopt.ot import sinkhorn_points

    X, Y = clouds_of(1000, 2)
    rng = np.random.default_rng(0)
    result, passes = sinkhorn_points(X, Y, reg, tol=TOL), []
    for _ in range(frames):
        X = X + 1e-3 * rng.standard_normal(X.shape)
        result = sinkhorn_points(X, Y, reg, tol=TOL, warmstart=result)
        passes.append(result.n_passes)
    yield {
        "workload": f"warm starts of moving clouds, reg {reg:.0e}",
        "status": result.status,
        "full passes": max(passes),
        "Newton steps": result.n_newton,
    }


def features(n=10_000, d=50):
    """Work of clouds with many features, as principal components have them."""
    from scipy.spatial.distance import cdist

    from numopt.ot import sinkhorn_points

    rng = np.random.default_rng(1)
    scales = 1 / np.sqrt(1 + np.arange(d))
    X = scales * rng.standard_normal((n, d))
    Y = scales * (1.1 * rng.standard_normal((n, d)) + 0.2)
    reg = 0.05 * float(np.median(cdist(X[:500], Y[:500], "sqeuclidean")))
    solve = functools.partial(sinkhorn_points, X, Y, reg, tol=TOL, warn=False)
    # compiles what the large solve needs
    sinkhorn_points(X[:1500], Y[:1500], reg, tol=TOL)
    result, grown = peak_memory(solve)
    yield {
        "workload": f"clouds {d}-D n {n}, reg 0.05 of the median cost",
        **account(result, grown),
        "memory over that of the matrix": float(f"{grown / (8 * n * n):.2g}"),
    }


def images():
    """Work and peak memory between two photographs, each in a process of its own."""
    for n, reg in IMAGES:
        yield _measured_alone("bench_ot_means", n, reg)


def _gain(solve, repeat):
    """Best wall time on one thread over that on two."""
    best = {1: np.inf, 2: np.inf}
    for k in range(2 + 2 * repeat):
        threads = 1 + k % 2
        start = time.perf_counter()
        solve(n_threads=threads)
        if k > 1:
            best[threads] = min(best[threads], time.perf_counter() - start)
    return float(f"{best[1] / best[2]:.3g}")


def threads():
    """Gain by a second thread; the machine must be idle, as the clock is the wall's."""
    from numopt.ot import sinkhorn, sinkhorn_points

    if peers.all_threads() < 2:
        return
    for n, reg in ((2000, 1e-2), (4000, 1e-2), (4000, 1e-3), (4000, 1e-4)):
        data = bench.problem("pts2d", n)
        solve = functools.partial(
            sinkhorn, data.a, data.b, data.M, reg, tol=bench.TOL, warn=False
        )
        workload = f"two threads, pts2d n {n}, reg {reg:.0e}"
        yield {"workload": workload, "one over two threads": _gain(solve, 5)}
    for n, reg, repeat in ((20_000, 2e-4, 3), (100_000, 1e-4, 1)):
        X, Y = clouds_of(n, 2)
        solve = functools.partial(sinkhorn_points, X, Y, reg, tol=TOL, warn=False)
        workload = f"two threads, clouds 2-D n {n}, reg {reg:.0e}"
        yield {"workload": workload, "one over two threads": _gain(solve, repeat)}


GROUPS = {
    "iterations": iterations,
    "warm": warm,
    "features": features,
    "images": images,
    "threads": threads,
    **{f"clouds{n}": _cloud(n, reg) for n, reg in CLOUDS},
}
