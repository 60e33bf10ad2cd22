# SPDX-License-Identifier: BSD-3-Clause
"""
Two moons by a similarity
=========================

Any symmetric similarity can take the place of scalar products: here the heat kernel of
a neighbourhood graph, for which k-means on the rows would be the wrong model.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_moons
from sklearn.neighbors import kneighbors_graph

from numopt.cluster import kmeans_sdp, misclustering_error

X, truth = make_moons(150, noise=0.06, random_state=0)
graph = kneighbors_graph(X, 8).toarray()
graph = np.maximum(graph, graph.T)
degrees = graph.sum(axis=1)
laplacian = np.eye(150) - graph / np.sqrt(np.outer(degrees, degrees))
w, Q = np.linalg.eigh(laplacian)
similarity = (Q * np.exp(-40 * w)) @ Q.T
similarity /= np.sqrt(np.outer(np.diag(similarity), np.diag(similarity)))

fig, axes = plt.subplots(1, 2, layout="constrained", figsize=(8, 3.2))
for ax, (name, data, affinity) in zip(
    axes,
    [("rows", X, "linear"), ("heat kernel", similarity, "precomputed")],
    strict=True,
):
    result = kmeans_sdp(
        data, 2, affinity=affinity, gap_tol=1e-4, random_state=0, max_iter=200
    )
    ax.scatter(*X.T, c=result.labels, s=10)
    error = misclustering_error(truth, result.labels)
    ax.set_title(f"{name}: error {error:.2f}, gap {result.gap:.1e}")
plt.show()
