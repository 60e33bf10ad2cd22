# SPDX-License-Identifier: BSD-3-Clause
"""Work of the solvers on named problems: ``python -m tests.product.work`` stores it.

Iterations and products, unlike times, are the same on every machine up to the rounding
of its arithmetic; what they cost is measured by the benchmarks.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["STORED", "WORKLOADS", "measure"]

STORED = Path(__file__).with_suffix(".json")

#: {name: builder of a result from a generator}
WORKLOADS: dict[str, Callable[[np.random.Generator], Any]] = {}

#: Fields of results that count work.
COUNTS = ("n_iter", "n_newton", "n_cg", "n_passes")


def _workload(build: Callable[[np.random.Generator], Any]) -> Any:
    """Register a problem under the name of its function."""
    WORKLOADS[build.__name__.strip("_").replace("_", " ")] = build
    return build


def measure(name: str) -> dict[str, int]:
    """Return the counts of a solved problem."""
    result = WORKLOADS[name](np.random.default_rng(0))
    assert result.converged, f"{name}: {result.message}"
    return {field: getattr(result, field) for field in COUNTS if hasattr(result, field)}


@_workload
def _sinkhorn(rng):
    from numopt.ot import sinkhorn

    X, Y = rng.random((150, 2)), rng.random((150, 2)) ** 1.5
    return sinkhorn(None, None, ((X[:, None] - Y) ** 2).sum(-1), 1e-3)


@_workload
def _unbalanced_transport(rng):
    from numopt.ot import sinkhorn_unbalanced

    X, Y = rng.random((150, 2)), rng.random((150, 2)) ** 1.5
    return sinkhorn_unbalanced(None, None, ((X[:, None] - Y) ** 2).sum(-1), 1e-2, 1.0)


@_workload
def _transport_on_a_grid(rng):
    from numopt.ot import sinkhorn_grid

    a, b = rng.dirichlet(np.ones(256), size=2).reshape(2, 16, 16)
    return sinkhorn_grid(a, b, 1.0)


def _regression(rng):
    """Design, response and the largest useful penalty of a lasso."""
    X = rng.standard_normal((150, 300))
    y = X[:, :10].sum(axis=1) + 0.1 * rng.standard_normal(150)
    return X, y, float(np.abs(X.T @ y).max()) / 150


@_workload
def _lasso(rng):
    from numopt.coordinate import L1, Quadratic, bcd_solve

    X, y, alpha_max = _regression(rng)
    return bcd_solve(X, y, datafit=Quadratic(), penalty=L1(0.05 * alpha_max))


@_workload
def _cyclic_descent(rng):
    from numopt.coordinate import L1, Quadratic, bcd_solve

    X, y, alpha_max = _regression(rng)
    model = {"datafit": Quadratic(), "penalty": L1(0.2 * alpha_max)}
    return bcd_solve(X, y, **model, selection="cyclic", update="prox", max_iter=5000)


@_workload
def _ratings(rng):
    from numopt.completion import complete

    M = rng.standard_normal((80, 3)) @ rng.standard_normal((3, 60))
    X = np.where(rng.random(M.shape) < 0.5, M, np.nan)
    return complete(X, rank=3, alpha=0.1, max_iter=500, random_state=0)


@_workload
def _sparse_bayes(rng):
    from numopt.sbl import sbl

    A = rng.standard_normal((60, 150))
    return sbl(A, A[:, :6].sum(axis=1) + 0.05 * rng.standard_normal(60))


@_workload
def _kronecker_bayes(rng):
    from numopt.datasets import make_kronecker_sparse
    from numopt.sbl import kronecker_sbl

    data = make_kronecker_sparse((8, 8), (12, 12), 6, random_state=0)
    return kronecker_sbl(data.factors, data.y, max_iter=2000)


@_workload
def _relaxed_clustering(rng):
    from sklearn.datasets import load_wine
    from sklearn.preprocessing import scale

    from numopt.cluster import kmeans_sdp

    # How many iterations digits beyond these take is up to rounding.
    return kmeans_sdp(scale(load_wine().data), 3, gap_tol=1e-4, random_state=0)


@_workload
def _learned_penalties(rng):
    from numopt.bilevel import RidgeProblem, maid

    X = rng.standard_normal((80, 12))
    y = X @ rng.standard_normal(12) + rng.standard_normal(80)
    problem = RidgeProblem(X[:50], y[:50], X[50:], y[50:])
    return maid(problem, np.zeros(1), max_iter=200)


if __name__ == "__main__":
    stored = {name: measure(name) for name in sorted(WORKLOADS)}
    STORED.write_text(json.dumps(stored, indent=1) + "\n")
