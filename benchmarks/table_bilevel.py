# SPDX-License-Identifier: BSD-3-Clause
"""Measure the bilevel rows: ``python -m benchmarks.table --family bilevel``.

Times against peers come first, counts of work and errors after them.
"""

import statistics

import numpy as np

from benchmarks import bench_bilevel as bench
from benchmarks import experiments_bilevel as experiments
from benchmarks import peers
from benchmarks.rows import measure, seconds


def times(kind):
    """Times of one kind of the benchmark's cases."""
    for case in bench.CASES[kind]():
        yield measure(case, num_threads=1, max_seconds=20.0)


def banded_ridge(draws=400):
    """Five penalties against a long random search, the losses by one formula."""
    ridge = peers.require("himalaya.ridge")
    from numopt.bilevel import BilevelRidge

    X, y, groups = bench.banded()
    ours = BilevelRidge(groups).fit(X, y)
    peer = ridge.GroupRidgeCV(
        groups=groups,
        cv=5,
        random_state=0,
        solver_params={
            "n_iter": draws,
            "alphas": np.geomspace(1e-1, 1e5, 25),
            "progress_bar": False,
        },
    )
    theirs = seconds(lambda: peer.fit(X, y))
    each = [seconds(lambda: BilevelRidge(groups).fit(X, y)) for _ in range(5)]
    alphas = float(peer.best_alphas_[0]) / np.exp(peer.deltas_)
    yield {
        "workload": "banded ridge, p 300",
        "peer": f"himalaya, random search of {draws}",
        "version": peers.version("himalaya"),
        "threads": 1,
        "ratio": statistics.median(each) / theirs,
        "spread": 0.5 * (max(each) - min(each)) / statistics.median(each),
        "pairs": 1,
        "loss": experiments.ridge_loss(X, y, groups, ours.alphas_),
        "loss_peer": experiments.ridge_loss(X, y, groups, alphas),
    }


GROUPS = {f"{kind}_times": lambda kind=kind: times(kind) for kind in bench.CASES}
GROUPS |= {one.__name__: one for one in (banded_ridge, *experiments.GROUPS)}
