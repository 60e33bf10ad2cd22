# SPDX-License-Identifier: BSD-3-Clause
"""Sparse linear models: time to a verified relative duality gap, against peers."""

import functools
import warnings

import numpy as np

from benchmarks import peers
from benchmarks.common import PeerBenchmark

TOL = 1e-7

#: (workload, strength relative to alpha_max).
CASES = (
    ("leukemia-like", 0.1),
    ("leukemia-like", 0.01),
    ("n500p10k", 0.1),
    ("n500p10k", 0.02),
    ("tall", 0.1),
    ("tall", 0.005),
    ("text", 0.1),
    ("text", 0.02),
    ("logistic", 0.1),
)

#: n, p, correlation, true coefficients, signal to noise.
DENSE = {
    "leukemia-like": (72, 7129, 0.9, 20, 3),
    "n500p10k": (500, 10_000, 0.8, 60, 3),
    "tall": (5000, 500, 0.5, 60, 1),
    "logistic": (72, 7129, 0.9, 20, 3),
}


@functools.cache
def problem(name):
    """Return (X, y) of a workload."""
    if name == "text":
        return _text(5000, 40_000, 2e-3)
    X, y = _correlated(*DENSE[name])
    return (X, np.where(y > 0, 1.0, -1.0)) if name == "logistic" else (X, y)


def _correlated(n, p, rho, k, snr):
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


def _model(data, share):
    from numopt.coordinate import L1, Logistic, Quadratic, alpha_max

    X, y = data
    datafit = Logistic() if np.unique(y).size == 2 else Quadratic()
    return datafit, L1(share * alpha_max(X, y, datafit, L1()))


def ours(data, share, tol=TOL):
    """Return a callable that solves to ``tol``."""
    from numopt.coordinate import bcd_solve

    X, y = data
    datafit, penalty = _model(data, share)
    return lambda: bcd_solve(X, y, datafit, penalty, tol=tol)


def _is_logistic(datafit):
    return datafit.lipschitz == 0.25


def _celer(X, y, datafit, alpha, tol):
    celer = peers.require("celer")
    if _is_logistic(datafit):
        return celer.LogisticRegression(
            C=1 / (alpha * y.size), fit_intercept=False, tol=tol * y.size * np.log(2)
        )
    return celer.Lasso(alpha, fit_intercept=False, tol=tol, max_iter=200)


def _skglm(X, y, datafit, alpha, tol):
    skglm = peers.require("skglm")
    if _is_logistic(datafit):
        return skglm.SparseLogisticRegression(alpha, fit_intercept=False, tol=tol)
    # It stops on the violation of the optimality conditions, of the size of alpha.
    return skglm.Lasso(alpha, fit_intercept=False, tol=100 * tol * alpha)


def _sklearn(X, y, datafit, alpha, tol):
    linear = peers.require("sklearn.linear_model")
    if _is_logistic(datafit):
        return linear.LogisticRegression(
            C=1 / (alpha * y.size),
            l1_ratio=1.0,
            fit_intercept=False,
            solver="liblinear",
            tol=tol,
        )
    return linear.Lasso(alpha, fit_intercept=False, tol=tol, max_iter=100_000)


#: Display name -> (module, factory).
PEERS = {
    "celer": ("celer", _celer),
    "skglm": ("skglm", _skglm),
    "scikit-learn": ("sklearn", _sklearn),
}


def peer(name, data, share, tol=TOL):
    """Return a callable that brings a peer to the verified gap ``tol``.

    The loosest tolerance of its own that meets it is taken; a peer that never does
    raises NotImplementedError.
    """
    from numopt.coordinate import dual_gap

    X, y = data
    datafit, penalty = _model(data, share)
    _, make = PEERS[name]
    gap = np.inf
    for own in (tol, tol / 10, tol / 100, tol / 1000):
        model = make(X, y, datafit, penalty.alpha, own)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            coef = np.ravel(model.fit(X, y).coef_)
        gap = dual_gap(X, y, coef, datafit, penalty)
        if gap <= tol:
            return lambda: model.fit(X, y)
    raise NotImplementedError(f"{name} stops at a relative gap of {gap:.0e}")


class Lasso(PeerBenchmark):
    """Each workload against each peer, to the same verified gap."""

    params = [CASES]
    param_names = ("case",)

    def setup(self, case):
        self.data = problem(case[0])

    def track_ratio_celer(self, case):
        return self.ratio(ours(self.data, case[1]), peer("celer", self.data, case[1]))

    def track_ratio_skglm(self, case):
        return self.ratio(ours(self.data, case[1]), peer("skglm", self.data, case[1]))

    def track_ratio_sklearn(self, case):
        return self.ratio(
            ours(self.data, case[1]), peer("scikit-learn", self.data, case[1])
        )

    def track_gap(self, case):
        return ours(self.data, case[1])().dual_gap

    track_gap.unit = "relative duality gap"


class Path(PeerBenchmark):
    """Lasso paths of 30 strengths to a tenth of alpha_max."""

    params = [("leukemia-like", "tall")]
    param_names = ("workload",)

    def setup(self, workload):
        self.X, self.y = problem(workload)

    def track_ratio_celer(self, workload):
        from numopt.coordinate import lasso_path

        celer = peers.require("celer")
        X, y = self.X, self.y
        path = lasso_path(X, y, n_alphas=30, eps=0.1)
        return self.ratio(
            lambda: lasso_path(X, y, n_alphas=30, eps=0.1),
            lambda: celer.celer_path(X, y, "lasso", alphas=path.alphas, tol=1e-6),
        )
