# SPDX-License-Identifier: BSD-3-Clause
"""
How few entries suffice
=======================

Exact recovery of ill-conditioned matrices from few entries: Gauss-Newton with a
growing rank against alternating least squares. An oversampling of 1 is the limit of
information: as many entries as degrees of freedom.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np

from numopt.completion import complete
from numopt.datasets import make_low_rank
from numopt.plotting import PhaseTransitionDisplay

ranks = (2, 4)
oversampling = (1.25, 2.0, 3.0)
methods = {
    "Gauss-Newton": {"alpha": 0.0},
    "alternating least squares": {"alpha": 1e-8, "method": "als", "max_iter": 60},
}


def recovered(rank, rho, seed, options):
    rows, cols, values, U, V = make_low_rank(
        80, 70, rank, oversampling=rho, condition=100, random_state=seed
    )
    result = complete(
        (rows, cols, values),
        rank,
        shape=(80, 70),
        warn=False,
        random_state=0,
        **options,
    )
    truth = U @ V.T
    return np.linalg.norm(result.to_dense() - truth) < 1e-4 * np.linalg.norm(truth)


# %%
# The share of three random matrices that each method recovers.
fig, axes = plt.subplots(1, 2, figsize=(10, 3.5), layout="constrained")
for ax, (name, options) in zip(axes, methods.items(), strict=True):
    success = [
        [
            np.mean([recovered(k, rho, s, options) for s in range(3)])
            for rho in oversampling
        ]
        for k in ranks
    ]
    print(name, np.round(success, 2).tolist())
    PhaseTransitionDisplay(success, x=oversampling, y=ranks).plot(ax=ax)
    ax.set_title(name)
