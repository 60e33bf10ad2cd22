# SPDX-License-Identifier: BSD-3-Clause
"""Clustering: how far scikit-learn's k-means labels are from the best partition."""

from pathlib import Path

import numpy as np

from numopt._demo._report import Row, write
from numopt._validation import import_optional
from numopt.cluster import kmeans_certificate, kmeans_sdp_path
from numopt.plotting import GapDisplay

#: Bundled data sets with the number of clusters asked for.
DATA = {"iris": 3, "wine": 3, "digits": 10}
#: Digits whose partition into as many clusters is nearly proved.
THREE = (0, 6, 7)


def section(out: Path) -> list[Row]:
    """Certify KMeans on three bundled data sets."""
    datasets = import_optional("sklearn.datasets", extra="demo")
    cluster = import_optional("sklearn.cluster", extra="demo")
    rows = []
    for name, K in DATA.items():
        X = getattr(datasets, f"load_{name}")().data
        if name == "wine":
            X = (X - X.mean(axis=0)) / X.std(axis=0)
        labels = cluster.KMeans(K, n_init=10, random_state=0).fit(X).labels_
        method = "lowrank" if name == "digits" else "admm"
        found = kmeans_certificate(
            X, labels, method=method, gap_tol=1e-3, random_state=0
        )
        write(f"{name}: at most {100 * found.gap:.2g}% above the best partition")
        rows.append(
            Row(
                "cluster",
                f"{name}, KMeans labels, {K} clusters",
                f"inertia {found.inertia:.6g}",
                f"best is above {found.lower_bound:.6g} (gap {100 * found.gap:.2g}%)",
                "none gives a bound",
                "-",
            )
        )
    digits = datasets.load_digits()
    path = kmeans_sdp_path(
        digits.data[np.isin(digits.target, THREE)], range(2, 7), gap_tol=1e-4
    )
    display = GapDisplay.from_path(path)
    display.figure_.savefig(
        out / "cluster_gap_of_digits_0_6_7.png", dpi=110, bbox_inches="tight"
    )
    return rows
