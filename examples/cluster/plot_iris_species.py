# SPDX-License-Identifier: BSD-3-Clause
"""
Species of iris by their shapes
===============================

Two of the three species of iris overlap, and their clouds are long. The k-means
partition may be optimal and still be wrong about them. Every start of the
likelihood-adjusted relaxation is shown before and after it, beside mixtures with
restarts, which are the rivals to beat.
"""

import matplotlib.pyplot as plt
from sklearn.cluster import KMeans, SpectralClustering
from sklearn.datasets import load_iris
from sklearn.mixture import GaussianMixture

from numopt.cluster import ila_sdp, misclustering_error

X, species = load_iris(return_X_y=True)


def mixture(kind):
    """Labels of a Gaussian mixture with ten restarts."""
    return GaussianMixture(
        3, covariance_type=kind, n_init=10, random_state=0
    ).fit_predict(X)


starts = {
    "KMeans": KMeans(3, n_init=10, random_state=0).fit(X).labels_,
    "full mixture": mixture("full"),
    "diagonal mixture": mixture("diag"),
    "SpectralClustering": SpectralClustering(3, random_state=0).fit(X).labels_,
}
before = {name: misclustering_error(species, labels) for name, labels in starts.items()}
after = {
    name: misclustering_error(
        species, ila_sdp(X, 3, init=labels, random_state=0, warn=False).labels
    )
    for name, labels in starts.items()
}
before["all its starts"] = None
after["all its starts"] = misclustering_error(
    species, ila_sdp(X, 3, random_state=0, warn=False).labels
)

# %%
# A start that already has the right shapes gains nothing.
fig, ax = plt.subplots(layout="constrained", figsize=(7, 3))
for row, (name, error) in enumerate(after.items()):
    ax.plot(error, row, "o", color="C1", label="after" if row == 0 else None)
    if before[name] is not None:
        ax.plot(before[name], row, "x", color="C0", label=None if row else "before")
    print(f"{name:20} before {before[name]}, after {error:.3f}")
ax.set_yticks(range(len(after)), list(after))
ax.set_xlabel("share of flowers in the wrong species")
ax.set_xlim(left=0)
ax.legend()
plt.show()
