# SPDX-License-Identifier: BSD-3-Clause
"""
Where clustering becomes possible
=================================

Below a certain distance of the centres no method recovers the labels of a Gaussian
mixture; above it the relaxation does, with a proof (Chen and Yang 2021). The gap of the
certificate, computed without knowing the labels, shows on which side the data are.
"""

import matplotlib.pyplot as plt
import numpy as np

from numopt.cluster import kmeans_sdp, misclustering_error
from numopt.datasets import make_spherical_mixture

n, K, p = 120, 3, 6
limit = 2 * np.sqrt((1 + np.sqrt(1 + K * p / (n * np.log(n)))) * np.log(n))
factors = np.linspace(0.4, 1.3, 7)
gaps, errors = [], []
for factor in factors:
    X, truth = make_spherical_mixture(n, K, p, distance=factor * limit, random_state=0)
    result = kmeans_sdp(
        X, K, gap_tol=1e-4, max_iter=100, n_init=3, random_state=0, warn=False
    )
    gaps.append(result.gap)
    errors.append(misclustering_error(truth, result.labels))
    print(f"{factor:.2f} of the limit: error {errors[-1]:.3f}, gap {gaps[-1]:.1e}")

fig, ax = plt.subplots(layout="constrained")
points = ax.scatter(factors, errors, c=np.log10(np.maximum(gaps, 1e-6)), s=60)
fig.colorbar(points, label="log10 of the gap")
ax.axvline(1.0, color="grey", linestyle=":")
ax.set_xlabel("distance of the centres / information limit")
ax.set_ylabel("share of wrong labels")
plt.show()
