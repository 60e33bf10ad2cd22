# SPDX-License-Identifier: BSD-3-Clause
"""Ratings-like completion to a common objective, against cmfrec; scaling of a sweep."""

import functools

import numpy as np

from benchmarks import peers
from benchmarks.common import PeerBenchmark

#: Both are run until their objective is within this of the best known.
GAP = 1e-2
ALPHA = 5.0
PEERS = {
    "cmfrec-cholesky": ("cmfrec", {"use_cg": False}),
    "cmfrec-cg": ("cmfrec", {"use_cg": True, "max_cg_steps": 3}),
}
RANKS = (10, 32, 64)


@functools.cache
def ratings(n_obs=1_000_000, dtype="float32", seed=0):
    """Return 10 000 x 3 000 entries with power-law counts: rank 16 plus noise."""
    from numopt.datasets import make_low_rank

    rows, cols, values, _, _ = make_low_rank(
        10_000, 3_000, 16, n_obs=n_obs, noise=0.5, power_law=0.8, min_per_line=0,
        random_state=seed,
    )  # fmt: skip
    return rows.astype(np.int32), cols.astype(np.int32), values.astype(dtype)


def objective(entries, P, Q, mean):
    """Squared loss plus ridge for factors with the bias in the last column."""
    from numopt.completion._kernels_cpu.sparse import predict_entries

    rows, cols, values = entries
    order = np.argsort(rows, kind="stable")
    indptr = np.searchsorted(rows[order], np.arange(P.shape[0] + 1))
    P, Q = (np.ascontiguousarray(a, np.float64) for a in (P, Q))
    guess = predict_entries(indptr, cols[order], P, Q)
    left = values[order].astype(np.float64) - mean - guess
    return np.sum(left**2) + ALPHA * (np.sum(P**2) + np.sum(Q**2))


def fit(entries, k, *, sweeps=100, target=0.0, inner="auto"):
    """Fit until the objective is at the target."""
    from numopt.completion import complete

    return complete(
        entries, k, shape=(10_000, 3_000), alpha=ALPHA, bias="both", method="als",
        max_iter=sweeps, tol=1e-9, inner=inner, random_state=0, warn=False,
        callback=lambda info: info.objective <= target,
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


def cmfrec_objective(entries, model):
    """Objective of cmfrec's factors, in our terms."""
    P, Q = np.zeros((10_000, model.A_.shape[1] + 1)), np.zeros((3_000, 0))
    Q = np.zeros((3_000, model.B_.shape[1] + 1))
    users, items = np.asarray(model.user_mapping_), np.asarray(model.item_mapping_)
    P[users, :-1], P[users, -1] = model.A_, model.user_bias_
    Q[items, :-1], Q[items, -1] = model.B_, model.item_bias_
    return objective(entries, P, Q, model.glob_mean_)


def sweeps_needed(entries, k, target, limit=60, **options):
    """Fewest sweeps after which cmfrec is at the target (doubling, then halving)."""
    low, high = 0, 4
    while True:
        model = fit_cmfrec(entries, k, high, **options)
        if cmfrec_objective(entries, model) <= target:
            break
        if high >= limit:
            return None
        low, high = high, min(2 * high, limit)
    while high - low > 1:
        middle = (low + high) // 2
        model = fit_cmfrec(entries, k, middle, **options)
        if cmfrec_objective(entries, model) <= target:
            high = middle
        else:
            low = middle
    return high


class ToObjective(PeerBenchmark):
    """Time to the same objective, preparation of the data included, one thread."""

    params = [RANKS, ("float32", "float64")]
    param_names = ("rank", "dtype")

    def setup(self, rank, dtype):
        self.entries = ratings(dtype=dtype)
        best = fit(self.entries, rank, sweeps=60).objective
        self.target = (1 + GAP) * best

    def _against(self, name, rank):
        module, options = PEERS[name]
        peers.require(module)
        sweeps = sweeps_needed(self.entries, rank, self.target, **options)
        if sweeps is None:
            raise NotImplementedError(f"{name} does not reach the objective")
        return self.ratio(
            lambda: fit(self.entries, rank, target=self.target),
            lambda: fit_cmfrec(self.entries, rank, sweeps, **options),
        )

    def track_ratio_cmfrec_cholesky(self, rank, dtype):
        return self._against("cmfrec-cholesky", rank)

    def track_ratio_cmfrec_cg(self, rank, dtype):
        return self._against("cmfrec-cg", rank)


class Sweep:
    """Ten exact or conjugate-gradient sweeps as data and rank grow."""

    params = [(500_000, 1_000_000, 2_000_000), (16, 32, 64)]
    param_names = ("n_obs", "rank")
    timeout = 900.0

    def setup(self, n_obs, rank):
        self.entries = ratings(n_obs)
        fit(self.entries, rank, sweeps=1)

    def time_ten_sweeps(self, n_obs, rank):
        fit(self.entries, rank, sweeps=10)
