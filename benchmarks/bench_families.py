# SPDX-License-Identifier: BSD-3-Clause
"""Time and peak memory of one main workload of every family."""

import functools

import numpy as np

from benchmarks.common import ThreadedBenchmark
from numopt import FAMILIES


def _transport():
    """Two clouds of 20,000 points, whose matrix of costs would hold 3.2 GB."""
    from numopt.ot import sinkhorn_points

    rng = np.random.default_rng(0)
    X, Y = rng.random((20_000, 2)), rng.random((20_000, 2)) ** 1.5
    return functools.partial(sinkhorn_points, X, Y, reg=2e-4)


def _ratings():
    """A million ratings, rank 32."""
    from numopt.completion import complete, make_low_rank

    triplets = make_low_rank(
        6000, 4000, 32, n_obs=1_000_000, noise=0.1, random_state=0
    )[:3]
    options = {"shape": (6000, 4000), "method": "als", "alpha": 1.0, "warn": False}
    return functools.partial(complete, triplets, 32, max_iter=10, **options)


def _lasso():
    """Wide dense data, a tenth of the largest penalty."""
    from numopt.coordinate import L1, Quadratic, bcd_solve

    rng = np.random.default_rng(0)
    X = rng.standard_normal((500, 10_000))
    y = X[:, :20].sum(axis=1) + rng.standard_normal(500)
    alpha = 0.1 * float(np.abs(X.T @ y).max()) / y.size
    return functools.partial(bcd_solve, X, y, Quadratic(), L1(alpha))


def _evidence():
    """A dictionary of 2000 atoms."""
    from numopt.sbl import sbl

    rng = np.random.default_rng(0)
    A = rng.standard_normal((1000, 2000))
    y = A[:, :20].sum(axis=1) + rng.standard_normal(1000)
    return functools.partial(sbl, A, y)


def _certificate():
    """A certificate of 200,000 points."""
    from numopt.cluster import kmeans_certificate

    rng = np.random.default_rng(0)
    labels = np.arange(200_000) % 10
    X = 10 * rng.standard_normal((10, 10))[labels] + rng.standard_normal((200_000, 10))
    return functools.partial(kmeans_certificate, X, labels)


def _filter():
    """A filter of 45 integer taps."""
    from numopt.dmmv import design_fir

    return functools.partial(design_fir, 45, [0, 0.4, 0.5, 1], [1, 0], word_length=9)


def _penalties():
    """Three penalties by cross-validation."""
    from numopt.bilevel import BilevelRidge

    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((300, 600)), rng.standard_normal(300)
    return functools.partial(BilevelRidge(200).fit, X, y + X[:, :20].sum(axis=1))


WORKLOADS = {
    "ot": _transport,
    "completion": _ratings,
    "coordinate": _lasso,
    "sbl": _evidence,
    "cluster": _certificate,
    "dmmv": _filter,
    "bilevel": _penalties,
}


class Families(ThreadedBenchmark):
    """One workload of each family; the data count towards the peak of memory."""

    params = [FAMILIES, *ThreadedBenchmark.params]
    param_names = ("family", *ThreadedBenchmark.param_names)
    timeout = 600.0

    def prepare(self, family):
        self.solve = WORKLOADS[family]()

    def time_solve(self, family, threads):
        self.solve()

    def peakmem_solve(self, family, threads):
        self.solve()
