# SPDX-License-Identifier: BSD-3-Clause
"""Transport between clouds without a matrix: time against matrices, and memory.

``python -m benchmarks.bench_ot_points N REG`` prints work and peak memory of one solve,
on as many threads as ``NUMOPT_NUM_THREADS`` says.
"""

import argparse
import functools
import json
import threading
import time
from pathlib import Path

import numpy as np

import numopt
from benchmarks import peers

TOL = 1e-6

#: (points, dimension, reg); all clouds are in the unit cube.
PROBLEMS = ((4000, 2, 1e-3), (4000, 2, 2e-4), (4000, 3, 1e-3))


def clouds(n, d):
    """Return uniform points, and points whose density falls off along every axis."""
    rng = np.random.default_rng(1)
    return rng.random((n, d)), rng.random((n, d)) ** 1.5


def ours(X, Y, reg, tol=TOL):
    """Return a callable that solves the problem to ``tol``."""
    from numopt.ot import sinkhorn_points

    return functools.partial(sinkhorn_points, X, Y, reg, tol=tol, warn=False)


def _matrix(X, Y):
    from scipy.spatial.distance import cdist

    return cdist(X, Y, "sqeuclidean")


def stored(X, Y, reg):
    """Return our own solver on the matrix, which is made first."""
    from numopt.ot import sinkhorn

    return lambda: sinkhorn(None, None, _matrix(X, Y), reg, tol=TOL, warn=False)


def network_simplex(X, Y, reg):
    """Return POT's exact solver on the matrix, which is made first."""
    ot = peers.require("ot")
    uniform = np.full(len(X), 1 / len(X))
    return lambda: ot.emd(uniform, uniform, _matrix(X, Y), numItermax=10_000_000)


PEERS = {"numopt, matrix": ("numopt", stored), "emd": ("ot", network_simplex)}


def cases():
    """Return the rows of the performance page."""
    for n, d, reg in PROBLEMS:
        for rival in PEERS:
            yield _case(n, d, reg, rival)


def _case(n, d, reg, rival):
    package, make_peer = PEERS[rival]

    def make():
        X, Y = clouds(n, d)
        return ours(X, Y, reg), make_peer(X, Y, reg)

    return peers.Case(f"clouds {d}-D n {n}, reg {reg:.0e}", rival, package, make)


def peak_memory(solve):
    """Return what a call returns and the growth of the resident memory, in bytes."""
    statm, page = Path("/proc/self/statm"), 4096

    def resident():
        return int(statm.read_text().split()[1]) * page

    before = peak = resident()
    done = threading.Event()

    def watch():
        nonlocal peak
        while not done.wait(0.002):
            peak = max(peak, resident())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        result = solve()
    finally:
        done.set()
        watcher.join()
    return result, max(peak, resident()) - before


class Clouds:
    """Memory relative to the matrix of costs in float64, and work."""

    params = [(4000, 20_000)]
    param_names = ("n",)
    timeout = 300

    def setup(self, n):
        self.solve = ours(*clouds(n, 2), 2e-4)
        ours(*clouds(1500, 2), 2e-4)()

    def track_memory_of_matrix(self, n):
        _, grown = peak_memory(self.solve)
        return grown / (8 * n * n)

    track_memory_of_matrix.unit = "fraction of the matrix"

    def track_passes(self, n):
        return self.solve().n_passes

    track_passes.unit = "full passes"

    def time_clouds(self, n):
        self.solve()


def account(result, grown):
    """Return the entries of a row that count work and memory."""
    return {
        "status": result.status,
        "marginal error": float(f"{result.marginal_error:.1e}"),
        "full passes": result.n_passes,
        "Newton steps": result.n_newton,
        "CG iterations": result.n_cg,
        "memory in MiB": round(grown / 2**20),
    }


def work(n, reg, *, d=2, tol=TOL):
    """Return what one solve took, as a row of a table."""
    # compiles what the large solve needs
    ours(*clouds(1500, d), max(reg, 2e-4), tol)()
    cpu, wall = time.process_time(), time.perf_counter()
    X, Y = clouds(n, d)
    result, grown = peak_memory(ours(X, Y, reg, tol))
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return {
        "workload": f"clouds {d}-D n {n}, reg {reg:.0e}",
        **account(result, grown),
        "support over all pairs": float(f"{result.nnz / n**2:.2g}"),
        "memory over that of the matrix": float(f"{grown / (8 * n * n):.2g}"),
        "threads": numopt.get_num_threads(),
        "CPU time over wall time": float(f"{cpu / wall:.2g}"),
    }


def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench_ot_points")
    parser.add_argument("n", type=int)
    parser.add_argument("reg", type=float)
    parser.add_argument("--dimension", type=int, default=2)
    parser.add_argument("--tol", type=float, default=TOL)
    options = parser.parse_args(argv)
    row = work(options.n, options.reg, d=options.dimension, tol=options.tol)
    print(json.dumps(row))


if __name__ == "__main__":
    main()
