# SPDX-License-Identifier: BSD-3-Clause
"""
Two groups that agree in every measure
======================================

A randomised trial splits its patients in two. With thirty measures a patient, some
measure differs by chance. Choosing the split with the least worst difference balances
all of them.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.preprocessing import StandardScaler

from numopt.dmmv import discrepancy

covariates = StandardScaler().fit_transform(load_breast_cancer().data[:200])
rows = np.vstack([covariates.T, np.ones(200)])  # the last row asks for equal sizes
result = discrepancy(rows, max_iter=2)

# %%
# Differences of group sums, in standard deviations, against a thousand random splits.
rng = np.random.default_rng(0)
random = np.abs(rows @ rng.choice([-1, 1], (200, 1000))).max(axis=0)
print(f"best of 1000 random splits {random.min():.2f}, chosen {result.violation:.3f}")

# %%
chance = np.sort(np.abs(rows @ rng.choice([-1, 1], 200)))
plt.semilogy(chance, ".", label="one random split")
plt.semilogy(np.sort(np.abs(result.residual)), ".", label="chosen")
plt.xlabel("measure, by size")
plt.ylabel("difference of the groups")
plt.legend()
plt.show()
