# SPDX-License-Identifier: BSD-3-Clause
"""Sparse Bayesian regression against its peers: time ratios and coefficient errors."""

import functools
import warnings
from typing import NamedTuple

import numpy as np

from benchmarks import peers
from benchmarks.common import PeerBenchmark


class Workload(NamedTuple):
    A: np.ndarray
    y: np.ndarray
    x: np.ndarray | None  # true coefficients, where there is a truth


def sparse_linear(n, p, k, *, rho=0.0, snr_db=20.0, seed=0):
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((n, p))
    for j in range(1, p if rho else 0):
        A[:, j] = rho * A[:, j - 1] + np.sqrt(1 - rho**2) * A[:, j]
    x = np.zeros(p)
    x[rng.choice(p, k, replace=False)] = 2 * rng.standard_normal(k)
    noise = np.sqrt(np.var(A @ x) / 10 ** (snr_db / 10))
    return Workload(A, A @ x + noise * rng.standard_normal(n), x)


def diabetes(degree):
    from sklearn.datasets import load_diabetes
    from sklearn.preprocessing import PolynomialFeatures

    X, y = load_diabetes(return_X_y=True)
    return Workload(
        PolynomialFeatures(degree, include_bias=False).fit_transform(X), y, None
    )


WORKLOADS = {
    "n=2000 p=100 AR(.5)": functools.partial(sparse_linear, 2000, 100, 15, rho=0.5),
    "n=1000 p=200 AR(.9)": functools.partial(sparse_linear, 1000, 200, 15, rho=0.9),
    "n=300 p=300 AR(.5)": functools.partial(sparse_linear, 300, 300, 20, rho=0.5),
    "n=100 p=1000": functools.partial(sparse_linear, 100, 1000, 10),
    "n=200 p=2000": functools.partial(sparse_linear, 200, 2000, 20),
    "diabetes degree 2": lambda seed: diabetes(2),
    "diabetes degree 3": lambda seed: diabetes(3),
}


@functools.cache
def problem(name, seed=0):
    return WORKLOADS[name](seed=seed)


def peer(name):
    linear = peers.require("sklearn.linear_model")
    return {
        "ARDRegression": linear.ARDRegression,
        "LassoCV": functools.partial(linear.LassoCV, cv=5),
        "OrthogonalMatchingPursuitCV": linear.OrthogonalMatchingPursuitCV,
    }[name]()


PEERS = ("ARDRegression", "LassoCV", "OrthogonalMatchingPursuitCV")


def error(coef, x):
    return float(np.linalg.norm(coef - x) / np.linalg.norm(x))


class Regression(PeerBenchmark):
    """``SBLRegressor().fit`` against scikit-learn's estimators."""

    params = [tuple(WORKLOADS)]
    param_names = ("workload",)

    def setup(self, workload):
        warnings.simplefilter("ignore")
        self.data = problem(workload)

    def fit(self):
        from numopt.sbl import SBLRegressor

        return SBLRegressor().fit(self.data.A, self.data.y)

    def _ratio(self, name):
        other = peer(name)
        return self.ratio(self.fit, lambda: other.fit(self.data.A, self.data.y))

    def track_ratio_ard(self, workload):
        return self._ratio("ARDRegression")

    def track_ratio_lasso_cv(self, workload):
        return self._ratio("LassoCV")

    def track_ratio_omp_cv(self, workload):
        return self._ratio("OrthogonalMatchingPursuitCV")

    def track_error(self, workload):
        if self.data.x is None:
            raise NotImplementedError("no true coefficients")
        return error(self.fit().coef_, self.data.x)


class Overhead(PeerBenchmark):
    """The estimator against its solver on data that are centred already."""

    params = [tuple(WORKLOADS)]
    param_names = ("workload",)

    def track_ratio_solver(self, workload):
        from numopt.sbl import SBLRegressor, sbl

        A, y, _ = problem(workload)
        A, y = A - A.mean(axis=0), y - y.mean()
        return self.ratio(lambda: SBLRegressor().fit(A, y), lambda: sbl(A, y))
