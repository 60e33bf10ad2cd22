# SPDX-License-Identifier: BSD-3-Clause
"""Accuracy experiments of clustering over many seeds: recovery, unequal shapes."""

import time

import numpy as np

from numopt.cluster import ila_sdp, kmeans_sdp, misclustering_error
from numopt.cluster._solvers import mixture
from numopt.datasets import make_spherical_mixture, make_unequal_mixture

SEEDS = range(31, 51)


def recovery(n=400, K=4, p=10, seeds=20):
    """Exact recovery around the information limit of Chen and Yang (2021)."""
    limit = 2 * np.sqrt((1 + np.sqrt(1 + K * p / (n * np.log(n)))) * np.log(n))
    for factor in (1.2, 0.6):
        exact, gaps = 0, []
        for seed in range(seeds):
            X, truth = make_spherical_mixture(
                n, K, p, distance=factor * limit, random_state=seed
            )
            result = kmeans_sdp(
                X,
                K,
                gap_tol=1e-4,
                max_iter=150,
                return_membership=False,
                random_state=0,
                warn=False,
            )
            exact += misclustering_error(truth, result.labels) == 0
            gaps.append(result.gap)
        yield {
            "workload": f"recovery at {factor} of the limit, n={n}, K={K}, p={p}",
            "exact": f"{exact} of {seeds}",
            "largest gap": float(f"{max(gaps):.2g}"),
        }


def _starts(X, K):
    """The rivals, some of which are the starts of ``ila_sdp``."""
    from sklearn.cluster import KMeans, SpectralClustering
    from sklearn.mixture import GaussianMixture

    def mixture_labels(kind):
        model = GaussianMixture(K, covariance_type=kind, n_init=10, random_state=0)
        return model.fit_predict(X)

    return {
        "KMeans n_init=10": lambda: KMeans(K, n_init=10, random_state=0).fit(X).labels_,
        "GaussianMixture full n_init=10": lambda: mixture_labels("full"),
        "GaussianMixture diag n_init=10": lambda: mixture_labels("diag"),
        "SpectralClustering": lambda: (
            SpectralClustering(K, random_state=0).fit(X).labels_
        ),
        "relaxation of k-means": lambda: (
            kmeans_sdp(
                X, K, gap_tol=1e-3, max_iter=200, random_state=0, warn=False
            ).labels
        ),
        "ila_sdp": lambda: ila_sdp(X, K, random_state=0, warn=False).labels,
        "ila_sdp from k-means": lambda: (
            ila_sdp(X, K, init="kmeans", random_state=0, warn=False).labels
        ),
        "ila_sdp from GaussianMixture full": lambda: (
            ila_sdp(X, K, init=mixture_labels("full"), warn=False).labels
        ),
        "ila_sdp from GaussianMixture diag": lambda: (
            ila_sdp(X, K, init=mixture_labels("diag"), warn=False).labels
        ),
    }


def unequal(p, rotate, seeds=SEEDS, n=105, K=3):
    """Mean share of wrong labels of every method, and the time of a fit."""
    errors, seconds, likely = {}, {}, {}
    for seed in seeds:
        X, truth = make_unequal_mixture(n, p, rotate=rotate, random_state=seed)
        reg = mixture.regularisation(X, 1e-3)
        for name, run in _starts(X, K).items():
            began = time.process_time()
            labels = run()
            seconds.setdefault(name, []).append(time.process_time() - began)
            errors.setdefault(name, []).append(misclustering_error(truth, labels))
            likely.setdefault(name, []).append(
                mixture.profile_likelihood(X, labels, K, "full", reg)
            )
    base = np.median(seconds["GaussianMixture full n_init=10"])
    kind = "rotated" if rotate else "not rotated (control)"
    for name, values in errors.items():
        yield {
            "workload": f"unequal shapes, p={p}, {kind}, {len(values)} seeds: {name}",
            "error": round(float(np.mean(values)), 4),
            "standard error": round(float(np.std(values) / len(values) ** 0.5), 4),
            "time over GaussianMixture full": float(
                f"{np.median(seconds[name]) / base:.2g}"
            ),
        }
