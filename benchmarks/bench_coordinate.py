# SPDX-License-Identifier: BSD-3-Clause
"""Sparse linear models: time to a verified relative duality gap, against peers.

A peer runs at the loosest tolerance of its own that meets the gap.
"""

import functools
import time
import warnings

import numpy as np

from benchmarks import (
    bench_coordinate_estimators,
    bench_coordinate_graphs,
    bench_coordinate_more,
    peers,
)
from benchmarks.common import PeerBenchmark

#: n, p, correlation, true coefficients, signal to noise.
DENSE = {
    "leukemia-like": (72, 7129, 0.9, 20, 3),
    "n80p6500": (80, 6500, 0.9, 20, 3),
    "n500p10k": (500, 10_000, 0.8, 60, 3),
    "tall": (5000, 500, 0.5, 60, 1),
    "n1000p3000": (1000, 3000, 0.5, 40, 2),
    "groups-a": (200, 4000, 0.7, 40, 3),
    "groups-b": (180, 3000, 0.7, 35, 3),
}

#: Relative gaps that all are brought to.
GAPS, FINE_GAPS = (1e-4, 1e-5, 1e-6, 1e-7), (1e-4, 1e-6, 1e-8)

#: (penalty, workload, strength relative to alpha_max, gaps).
MODELS = (
    ("lasso", "leukemia-like", 0.1, GAPS),
    ("lasso", "leukemia-like", 0.01, GAPS),
    ("lasso", "n500p10k", 0.1, GAPS),
    ("lasso", "n500p10k", 0.02, GAPS),
    ("lasso", "tall", 0.1, GAPS),
    ("lasso", "tall", 0.005, GAPS),
    ("lasso", "text", 0.1, GAPS),
    ("lasso", "text", 0.02, GAPS),
    ("logistic", "leukemia-like", 0.1, FINE_GAPS),
    ("logistic", "leukemia-like", 0.03, FINE_GAPS),
    ("logistic", "n80p6500", 0.06, FINE_GAPS),
    ("logistic", "breast cancer", 0.01, FINE_GAPS),
    ("logistic", "digits odd-even", 0.01, FINE_GAPS),
    ("logistic", "n1000p3000", 0.05, FINE_GAPS),
    ("group lasso", "groups-a", 0.1, GAPS),
    ("group lasso", "groups-b", 0.12, GAPS),
    ("group lasso", "groups-b", 0.3, GAPS),
)

#: Coordinates in a group.
GROUP = 10
#: A peer is not run where one solve takes longer.
LONGEST_SECONDS = 6.0


@functools.cache
def problem(name):
    """Return (X, y) of a workload."""
    if name == "text":
        return _text(5000, 40_000, 2e-3)
    if name in ("breast cancer", "digits odd-even"):
        return _standardized(name)
    return _correlated(*DENSE[name])


def _standardized(name):
    """Real data that ship with scikit-learn."""
    from sklearn.datasets import load_breast_cancer, load_digits

    load = load_digits if name.startswith("digits") else load_breast_cancer
    X, y = load(return_X_y=True)
    spread = X.std(axis=0)
    X = (X - X.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    return np.asfortranarray(X), (y % 2) - 0.5


def _correlated(n, p, rho, k, snr):
    """Centred columns, each correlated with the one before."""
    rng = np.random.default_rng(0)
    X = np.asfortranarray(rng.standard_normal((n, p)))
    for j in range(1, p):
        X[:, j] = rho * X[:, j - 1] + np.sqrt(1 - rho**2) * X[:, j]
    w = np.zeros(p)
    w[rng.choice(p, k, replace=False)] = rng.uniform(0.5, 1.5, k) * rng.choice(
        [-1, 1], k
    )
    signal, noise = X @ w, rng.standard_normal(n)
    y = signal + noise * np.linalg.norm(signal) / np.linalg.norm(noise) / snr
    return np.asfortranarray(X - X.mean(axis=0)), y - y.mean()


def _text(n, p, density):
    """Sparse columns of Zipf's frequencies, rows of length 1."""
    import scipy.sparse as sp

    rng = np.random.default_rng(0)
    share = 1.0 / np.arange(1, p + 1) ** 0.8
    counts = np.clip(share / share.sum() * density * n * p, 1, n).astype(int)
    rows = np.concatenate([rng.choice(n, size, replace=False) for size in counts])
    values = rng.lognormal(0, 0.5, rows.size)
    X = sp.csr_matrix((values, (rows, np.repeat(np.arange(p), counts))), shape=(n, p))
    norms = np.sqrt(np.asarray(X.multiply(X).sum(axis=1)).ravel())
    X = sp.csc_matrix(sp.diags(1.0 / np.where(norms > 0, norms, 1.0)) @ X)
    w = np.zeros(p)
    w[rng.choice(p // 8, 200, replace=False)] = rng.standard_normal(200)
    signal = X @ w
    y = signal + rng.standard_normal(n) * np.std(signal) / 3
    return X, y - y.mean()


@functools.cache
def model(kind, name, share):
    """Return (X, y, datafit, penalty) of a row."""
    from numopt.coordinate import L1, GroupL2, Logistic, Quadratic, alpha_max

    X, y = problem(name)
    datafit = Quadratic()
    if kind == "logistic":
        datafit, y = Logistic(), np.where(y > 0, 1.0, -1.0)
    make = (lambda a: GroupL2(a, GROUP)) if kind == "group lasso" else L1
    return X, y, datafit, make(share * alpha_max(X, y, datafit, make(1.0)))


def ours(kind, name, share, tol):
    """Return a callable that solves to the relative gap ``tol``."""
    from numopt.coordinate import bcd_solve

    X, y, datafit, penalty = model(kind, name, share)
    return lambda: bcd_solve(X, y, datafit, penalty, tol=tol)


def _celer(kind, y, alpha, tol):
    celer = peers.require("celer")
    options = {"fit_intercept": False, "max_iter": 200}
    if kind == "logistic":
        scaled = tol * y.size * np.log(2)
        return celer.LogisticRegression(C=1 / (alpha * y.size), tol=scaled, **options)
    if kind == "group lasso":
        return celer.GroupLasso(GROUP, alpha, tol=tol, **options)
    return celer.Lasso(alpha, tol=tol, **options)


def _skglm(kind, y, alpha, tol):
    skglm = peers.require("skglm")
    # It stops on the violation of the optimality conditions, of the size of alpha.
    own = 100 * tol * alpha
    if kind == "logistic":
        return skglm.SparseLogisticRegression(alpha, fit_intercept=False, tol=own)
    if kind == "group lasso":
        return skglm.GroupLasso(GROUP, alpha, fit_intercept=False, tol=own)
    return skglm.Lasso(alpha, fit_intercept=False, tol=own)


def _sklearn(kind, y, alpha, tol):
    linear = peers.require("sklearn.linear_model")
    if kind == "logistic":
        return linear.LogisticRegression(
            C=1 / (alpha * y.size),
            l1_ratio=1.0,
            fit_intercept=False,
            solver="liblinear",
            tol=tol,
            max_iter=1000,
        )
    return linear.Lasso(alpha, fit_intercept=False, tol=tol, max_iter=100_000)


#: Display name -> (module, factory).
PEERS = {
    "celer": ("celer", _celer),
    "skglm": ("skglm", _skglm),
    "scikit-learn": ("sklearn", _sklearn),
}


def peer(rival, kind, name, share, tol):
    """Return a callable that brings a peer to the verified gap ``tol``.

    A peer that never does raises NotImplementedError.
    """
    from numopt.coordinate import dual_gap

    X, y, datafit, penalty = model(kind, name, share)
    _warm_up(rival, kind, name == "text")
    gap = np.inf
    for own in (tol, tol / 10, tol / 100, tol / 1000, tol / 10_000):
        fitted = PEERS[rival][1](kind, y, penalty.alpha, own)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            start = time.process_time()
            coef = np.ravel(fitted.fit(X, y).coef_)
            taken = time.process_time() - start
        gap = dual_gap(X, y, coef, datafit, penalty)
        if taken > LONGEST_SECONDS:
            raise NotImplementedError(
                f"{rival} is at a relative gap of {gap:.0e} after {taken:.0f} s"
            )
        if gap <= tol:
            return functools.partial(_quietly, fitted, X, y)
    raise NotImplementedError(f"{rival} stops at a relative gap of {gap:.0e}")


@functools.cache
def _warm_up(rival, kind, sparse):
    """Compile a peer on a small problem: its first solve is not its time."""
    import scipy.sparse as sp

    rng = np.random.default_rng(0)
    X = np.asfortranarray(rng.standard_normal((40, 2 * GROUP)))
    y = np.sign(X[:, 0])
    fitted = PEERS[rival][1](kind, y, 0.05, 1e-6)
    _quietly(fitted, sp.csc_matrix(X) if sparse else X, y)


def _quietly(fitted, X, y):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return fitted.fit(X, y)


def cases():
    """Return the rows of the performance page."""
    for kind, name, share, tols in MODELS:
        for tol in tols:
            for rival in PEERS:
                if (kind, rival) != ("group lasso", "scikit-learn"):
                    yield _case(kind, name, share, tol, rival)
    yield from bench_coordinate_more.cases(problem)
    yield from bench_coordinate_graphs.cases()
    yield from bench_coordinate_estimators.cases()


def _case(kind, name, share, tol, rival):
    """Return the row of one model, gap and peer."""

    def make():
        theirs = peer(rival, kind, name, share, tol)
        return ours(kind, name, share, tol), theirs

    label = f"{kind}, {name} {share:g}, gap {tol:.0e}"
    return peers.Case(label, rival, PEERS[rival][0], make)


class Models(PeerBenchmark):
    """Each model against each peer, to the same verified gap."""

    params = [[row[:3] for row in MODELS]]
    param_names = ("model",)

    def _track(self, rival, row):
        tol = 1e-7
        return self.ratio(ours(*row, tol), peer(rival, *row, tol))

    def track_ratio_celer(self, row):
        return self._track("celer", row)

    def track_ratio_skglm(self, row):
        return self._track("skglm", row)

    def track_ratio_sklearn(self, row):
        return self._track("scikit-learn", row)

    def track_gap(self, row):
        return ours(*row, 1e-7)().dual_gap

    track_gap.unit = "relative duality gap"
