# SPDX-License-Identifier: BSD-3-Clause
"""
Is my k-means optimal?
======================

Labels of scikit-learn's ``KMeans`` are certified on three data sets. The bar runs from
a rigorous lower bound to the inertia: the best possible partition lies inside it.
"""

import matplotlib.pyplot as plt
from sklearn.cluster import KMeans
from sklearn.datasets import load_iris, load_wine
from sklearn.preprocessing import StandardScaler

from numopt.cluster import kmeans_certificate
from numopt.datasets import load_ruspini

data = {
    "iris, 3": (load_iris().data, 3),
    "wine, 3": (StandardScaler().fit_transform(load_wine().data), 3),
    "Ruspini, 4": (load_ruspini(), 4),
}

# %%
# Ruspini's four clusters are proved optimal at once. The clusters of iris and wine
# overlap: there the relaxation itself leaves a gap, and the bound says how large.
fig, axes = plt.subplots(1, 3, layout="constrained", figsize=(8, 3))
for ax, (name, (X, K)) in zip(axes, data.items(), strict=True):
    labels = KMeans(K, n_init=10, random_state=0).fit(X).labels_
    certificate = kmeans_certificate(X, labels, gap_tol=1e-4, random_state=0)
    print(name, certificate)
    bounds = [certificate.lower_bound, certificate.inertia]
    ax.bar(["bound", "inertia"], bounds, color=["C1", "C0"])
    ax.set_ylim(0.9 * bounds[0], 1.02 * bounds[1])
    ax.set_title(f"{name}: gap {100 * certificate.gap:.2g}%")
plt.show()
