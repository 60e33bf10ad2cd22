# SPDX-License-Identifier: BSD-3-Clause
"""
Balanced and imbalanced clusters
================================

Sizes of clusters may be equal, priced or free, and outliers may stay out.
"""

# %%
# Wine: three cultivars of similar size, standardised, and a few absurd bottles.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_wine
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score
from sklearn.preprocessing import StandardScaler

from numopt.ot import OTKMeans

X, y = load_wine(return_X_y=True)
X = StandardScaler().fit_transform(X)
rng = np.random.default_rng(0)
absurd = 7.0 * rng.choice([-1.0, 1.0], (9, X.shape[1]))
data = np.concatenate([X, absurd])
mass = len(X) / len(data)

# %%
# ``balance`` 0 is soft k-means, which spends a cluster on the absurd bottles. With
# ``mass`` the part that fits no cluster is labelled -1.
models = {
    "free sizes": OTKMeans(3, balance=0.0, n_init=5, random_state=0),
    "free, outliers": OTKMeans(
        3, balance=0.0, mass=mass, mass_start=0.5, n_init=5, random_state=0
    ),
    "priced, outliers": OTKMeans(
        3, balance=0.5, mass=mass, mass_start=0.5, n_init=5, random_state=0
    ),
    "equal, outliers": OTKMeans(
        3, balance=1.0, mass=mass, mass_start=0.5, n_init=5, random_state=0
    ),
}
plane = PCA(2).fit(X).transform(data)
figure, axes = plt.subplots(1, 4, figsize=(13, 3.2), sharey=True)
for ax, (name, model) in zip(axes, models.items(), strict=True):
    labels = model.fit_predict(data)
    sizes = np.bincount(labels[labels >= 0])
    score = adjusted_rand_score(y, labels[: len(X)])
    print(f"{name:18} sizes {sizes}, agreement with the cultivars {score:.2f}")
    kept = labels >= 0
    ax.scatter(*plane[kept].T, c=labels[kept], s=8, cmap="viridis", vmin=0, vmax=2)
    ax.scatter(*plane[~kept].T, c="red", marker="x", s=20)
    ax.set_title(f"{name}: {score:.2f}")
figure.tight_layout()
plt.show()
