# SPDX-License-Identifier: BSD-3-Clause
"""Clustering: how far scikit-learn's k-means labels are from the best partition."""

from pathlib import Path

from numopt._demo._report import Row, write
from numopt._validation import import_optional
from numopt.cluster import kmeans_certificate
from numopt.plotting import CertifiedInertiaDisplay

#: Bundled data sets with the number of clusters asked for.
DATA = {"iris": 3, "wine": 3, "digits": 10}


def section(out: Path) -> list[Row]:
    """Certify KMeans on three bundled data sets."""
    datasets = import_optional("sklearn.datasets", extra="demo")
    cluster = import_optional("sklearn.cluster", extra="demo")
    rows, certificates = [], {}
    for name, K in DATA.items():
        X = getattr(datasets, f"load_{name}")().data
        if name == "wine":
            X = (X - X.mean(axis=0)) / X.std(axis=0)
        labels = cluster.KMeans(K, n_init=10, random_state=0).fit(X).labels_
        method = "lowrank" if name == "digits" else "admm"
        found = kmeans_certificate(
            X, labels, method=method, gap_tol=1e-3, random_state=0
        )
        certificates[name] = found
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
    small = {name: certificates[name] for name in ("iris", "wine")}
    display = CertifiedInertiaDisplay.from_results(small)
    display.ax_.set_yscale("log")
    display.figure_.savefig(out / "cluster_certificates.png", dpi=120)
    return rows
