# SPDX-License-Identifier: BSD-3-Clause
"""
Choosing the number of clusters with certified inertias
=======================================================

An elbow in the inertia curve may be an artefact of bad restarts. With a lower bound for
every number of clusters, the elbow of Ruspini's points is a fact.
"""

import matplotlib.pyplot as plt

from numopt.cluster import kmeans_sdp_path
from numopt.datasets import load_ruspini
from numopt.plotting import CertifiedInertiaDisplay, GapDisplay

path = kmeans_sdp_path(load_ruspini(), range(2, 8), gap_tol=1e-4)
for K, result in path.items():
    print(K, result)
display = CertifiedInertiaDisplay.from_results(
    {f"{K}": result for K, result in path.items()}
)
display.ax_.set_xlabel("number of clusters")
display.ax_.set_yscale("log")

# %%
# Four clusters are proved optimal: the gap falls below what is drawn.
GapDisplay.from_path(path)
plt.show()
