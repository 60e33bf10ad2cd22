# SPDX-License-Identifier: BSD-3-Clause
"""Measure the rows of transport: ``python -m benchmarks.table --family ot``."""

import functools
import json
import subprocess
import sys
from unittest import mock

import numpy as np

from benchmarks import bench_ot as bench
from numopt.ot._solvers import oracles

#: (points, reg) in the plane: the tenth of a matrix, two cores, the largest.
CLOUDS = ((20_000, 2e-4), (100_000, 1e-4), (250_000, 2e-5))


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
        command = [sys.executable, "-m", "benchmarks.bench_ot_points", str(n), str(reg)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
        yield json.loads(done.stdout)


def _cloud(n, reg):
    return functools.partial(clouds, ((n, reg),))


GROUPS = {
    "iterations": iterations,
    **{f"clouds{n}": _cloud(n, reg) for n, reg in CLOUDS},
}
