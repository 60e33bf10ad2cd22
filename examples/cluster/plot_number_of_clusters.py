# SPDX-License-Identifier: BSD-3-Clause
"""
Choosing the number of clusters with certified inertias
=======================================================

An elbow in the inertia curve may be an artefact of bad restarts. With a lower bound for
every number of clusters, the elbow of Ruspini's points is a fact.
"""

import matplotlib.pyplot as plt

from numopt.cluster import kmeans_sdp
from numopt.datasets import load_ruspini
from numopt.plotting import CertifiedInertiaDisplay

X = load_ruspini()
results = {f"{K}": kmeans_sdp(X, K, gap_tol=1e-4, random_state=0) for K in range(2, 8)}
for K, result in results.items():
    print(K, result)
display = CertifiedInertiaDisplay.from_results(results)
display.ax_.set_xlabel("number of clusters")
display.ax_.set_yscale("log")
plt.show()
