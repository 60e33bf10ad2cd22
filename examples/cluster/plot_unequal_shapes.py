# SPDX-License-Identifier: BSD-3-Clause
"""
Elongated clusters
==================

k-means cuts long clusters. The likelihood-adjusted relaxation estimates their shapes
without ever estimating a centre.
"""

import matplotlib.pyplot as plt
from sklearn.cluster import KMeans
from sklearn.mixture import GaussianMixture

from numopt.cluster import LikelihoodAdjustedSDP, misclustering_error
from numopt.datasets import make_unequal_mixture

X, truth = make_unequal_mixture(90, 2, distance=5.0, random_state=2)
labels = {
    "KMeans": KMeans(3, n_init=10, random_state=0).fit(X).labels_,
    "GaussianMixture": GaussianMixture(3, n_init=10, random_state=0).fit_predict(X),
    "LikelihoodAdjustedSDP": LikelihoodAdjustedSDP(3, random_state=0).fit(X).labels_,
}

fig, axes = plt.subplots(1, 3, layout="constrained", figsize=(9, 3), sharey=True)
for ax, (name, found) in zip(axes, labels.items(), strict=True):
    ax.scatter(*X.T, c=found, s=8)
    ax.set_title(f"{name}: error {misclustering_error(truth, found):.2f}")
plt.show()
