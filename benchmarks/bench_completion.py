# SPDX-License-Identifier: BSD-3-Clause
"""Completion: ratings against cmfrec, imputation against scikit-learn, scaling."""

import functools
import time

import numpy as np

from benchmarks import peers
from benchmarks.common import PeerBenchmark

#: Ratings: shape, ridge, and sweeps of the peer (its default).
SHAPE, ALPHA, SWEEPS = (10_000, 3_000), 5.0, 10
PEERS = {
    "cmfrec Cholesky": {"use_cg": False},
    "cmfrec CG": {"use_cg": True, "max_cg_steps": 3},
}
RANKS = (10, 32, 64)
DTYPES = ("float32", "float64")
#: Tables: rank and share of the entries removed.
TABLES = {"breast_cancer": (15, 0.2), "digits": (30, 0.3)}
IMPUTERS = ("IterativeImputer", "KNNImputer")
#: Penalty of the nuclear norm for the photograph, in grey levels of 0..1.
THRESHOLD = 0.8


@functools.cache
def truth(n_obs=1_000_000, shape=SHAPE, seed=0):
    """Entries with power-law counts of a rank-16 matrix plus noise, and its factors."""
    from numopt.datasets import make_low_rank

    rows, cols, values, U, V = make_low_rank(
        *shape, 16, n_obs=n_obs, noise=0.5, power_law=0.8, min_per_line=0,
        random_state=seed,
    )  # fmt: skip
    return rows.astype(np.int32), cols.astype(np.int32), values, U, V


def ratings(n_obs=1_000_000, dtype="float32", shape=SHAPE):
    """Triplets of ``truth`` in a dtype."""
    rows, cols, values, _, _ = truth(n_obs, shape)
    return rows, cols, values.astype(dtype)


def fit(entries, k, *, sweeps=100, target=0.0, shape=SHAPE, **options):
    """Fit until the objective is at the target."""
    from numopt.completion import complete

    return complete(
        entries, k, shape=shape, alpha=ALPHA, bias="both", method="als",
        max_iter=sweeps, tol=1e-12, random_state=0, warn=False,
        callback=lambda info: info.objective <= target, **options,
    )  # fmt: skip


def fit_cmfrec(entries, k, sweeps, *, use_cg, **options):
    """Fit cmfrec's model with the same objective and return it."""
    import pandas as pd

    cmfrec = peers.require("cmfrec")
    rows, cols, values = entries
    frame = pd.DataFrame({"UserId": rows, "ItemId": cols, "Rating": values})
    model = cmfrec.CMF(
        k=k, lambda_=ALPHA, method="als", use_cg=use_cg, niter=sweeps, nthreads=1,
        use_float=values.dtype == np.float32, finalize_chol=False, verbose=False,
        precompute_for_predictions=False, random_state=1, **options,
    )  # fmt: skip
    return model.fit(frame)


def factors_of(model):
    """[U, b], [V, c] and the mean of cmfrec's model; zeros where it has no data."""
    P = np.zeros((SHAPE[0], model.A_.shape[1] + 1))
    Q = np.zeros((SHAPE[1], model.B_.shape[1] + 1))
    users, items = np.asarray(model.user_mapping_), np.asarray(model.item_mapping_)
    P[users, :-1], P[users, -1] = model.A_, model.user_bias_
    Q[items, :-1], Q[items, -1] = model.B_, model.item_bias_
    return P, Q, model.glob_mean_


def predict(P, Q, mean, rows, cols):
    """Predictions of [U, b] and [V, c] at places."""
    parts = []
    for lo in range(0, rows.size, 1 << 17):
        p, q = P[rows[lo : lo + (1 << 17)]], Q[cols[lo : lo + (1 << 17)]]
        dots = np.einsum("ij,ij->i", p[:, :-1], q[:, :-1])
        parts.append(mean + dots + p[:, -1] + q[:, -1])
    return np.concatenate(parts)


def cmfrec_objective(entries, model):
    """Objective of cmfrec's factors, in our terms."""
    P, Q, mean = factors_of(model)
    left = entries[2].astype(np.float64) - predict(P, Q, mean, *entries[:2])
    return np.sum(left**2) + ALPHA * (np.sum(P**2) + np.sum(Q**2))


def error(P, Q, mean):
    """Root mean square error against the noiseless matrix at random places."""
    rng = np.random.default_rng(7)
    rows, cols = (rng.integers(0, extent, 100_000) for extent in SHAPE)
    U, V = truth()[3:]
    exact = np.einsum("ij,ij->i", U[rows], V[cols])
    return float(np.sqrt(np.mean((predict(P, Q, mean, rows, cols) - exact) ** 2)))


def our_factors(result):
    """[U, b], [V, c] and the mean of a result."""
    return (
        np.column_stack([result.row_factors, result.row_bias]),
        np.column_stack([result.col_factors, result.col_bias]),
        result.intercept,
    )


@functools.cache
def table_with_holes(name):
    """Return a table, the same with holes, and where they are."""
    from sklearn import datasets

    _, share = TABLES[name]
    X = getattr(datasets, f"load_{name}")().data
    if name == "breast_cancer":
        X = (X - X.mean(axis=0)) / X.std(axis=0)
    lost = np.random.default_rng(0).random(X.shape) < share
    return X, np.where(lost, np.nan, X), lost


@functools.cache
def photograph_with_holes():
    """Return a photograph in grey, the same with half its pixels lost, and where."""
    from numopt.datasets import load_photograph

    X = load_photograph("china").mean(axis=2)[::3, ::3]
    lost = np.random.default_rng(0).random(X.shape) < 0.5
    return X, np.where(lost, np.nan, X), lost


def complete_photograph(holes):
    """Alternating ridge regressions: their ridge is the nuclear norm."""
    from numopt.completion import complete

    mean = np.nanmean(holes)
    found = complete(
        holes - mean, 40, method="als", alpha=THRESHOLD, tol=1e-5, random_state=0
    )
    return found.to_dense() + mean


def soft_impute(holes, tol=1e-4):
    """Mazumder, Hastie & Tibshirani 2010, algorithm 1, at one penalty."""
    seen, mean = ~np.isnan(holes), np.nanmean(holes)
    known = np.where(seen, holes - mean, 0.0)
    filled, change = known, np.inf
    while change >= tol:
        U, s, Vt = np.linalg.svd(filled, full_matrices=False)
        low = (U * np.maximum(s - THRESHOLD, 0.0)) @ Vt
        new = np.where(seen, known, low)
        change = np.linalg.norm(new - filled) / np.linalg.norm(filled)
        filled = new
    return low + mean


def imputer(name, table):
    """Ours or one of scikit-learn's, with defaults but the rank."""
    if name == "numopt":
        from numopt.completion import LowRankImputer

        return LowRankImputer(rank=TABLES[table][0])
    impute = peers.require("sklearn.impute")
    peers.require("sklearn.experimental.enable_iterative_imputer")
    options = {"random_state": 0} if name == "IterativeImputer" else {}
    return getattr(impute, name)(**options)


def imputation_error(name, table):
    """Root mean square error of the entries removed."""
    X, holes, lost = table_with_holes(table)
    filled = imputer(name, table).fit_transform(holes)
    return float(np.sqrt(np.mean((filled - X)[lost] ** 2)))


def alternate(ours, peer, pairs):
    """CPU-time ratios of a few alternating pairs, for runs of minutes."""
    samples = []
    for k in range(pairs):
        taken = {}
        for f in (ours, peer) if k % 2 == 0 else (peer, ours):
            start = time.process_time()
            f()
            taken[f] = time.process_time() - start
        samples.append(taken[ours] / taken[peer])
    return peers.Ratio(tuple(samples))


class ToObjective(PeerBenchmark):
    """Time to the objective that ten sweeps of cmfrec reach, ingest included."""

    params = [RANKS, DTYPES]
    param_names = ("rank", "dtype")

    def _against(self, name, rank, dtype):
        peers.require("cmfrec")
        entries, options = ratings(dtype=dtype), PEERS[name]
        target = cmfrec_objective(entries, fit_cmfrec(entries, rank, SWEEPS, **options))
        return self.ratio(
            lambda: fit(entries, rank, target=target),
            lambda: fit_cmfrec(entries, rank, SWEEPS, **options),
        )

    def track_ratio_cmfrec_cholesky(self, rank, dtype):
        return self._against("cmfrec Cholesky", rank, dtype)

    def track_ratio_cmfrec_cg(self, rank, dtype):
        return self._against("cmfrec CG", rank, dtype)


class Imputation(PeerBenchmark):
    """Fit and fill a table with holes, defaults but the rank."""

    params = [tuple(TABLES)]
    param_names = ("table",)

    def _against(self, name, table):
        holes = table_with_holes(table)[1]
        return self.ratio(
            lambda: imputer("numopt", table).fit_transform(holes),
            lambda: imputer(name, table).fit_transform(holes),
        )

    def track_ratio_iterative(self, table):
        return self._against("IterativeImputer", table)

    def track_ratio_knn(self, table):
        return self._against("KNNImputer", table)

    def track_error(self, table):
        return imputation_error("numopt", table)


class Sweep:
    """Ten sweeps as data and rank grow."""

    params = [(500_000, 1_000_000, 2_000_000), (16, 32, 64)]
    param_names = ("n_obs", "rank")
    timeout = 900.0

    def setup(self, n_obs, rank):
        self.entries = ratings(n_obs)
        fit(self.entries, rank, sweeps=1)

    def time_ten_sweeps(self, n_obs, rank):
        fit(self.entries, rank, sweeps=10)
