# SPDX-License-Identifier: BSD-3-Clause
"""
Jobs on machines with three resources
=====================================

Sixty jobs need processors, memory and network. They go to five machines, of which one
is twice as large. The fullest resource of the fullest machine decides what is left.
"""

import matplotlib.pyplot as plt
import numpy as np

from numopt.dmmv import balance_vectors

rng = np.random.default_rng(0)
jobs = rng.gamma(2.0, 1.0, (60, 3))
capacities = 25.0 * np.array([1.0, 1.0, 1.0, 1.0, 2.0])[:, None] * np.ones(3)
result = balance_vectors(jobs, 5, capacities=capacities, max_iter=60)

# %%
# The bound is the average load: no assignment can be below it.
print(f"fullest {result.violation:.3f}, bound {result.lower_bound:.3f}")

# %%
loads = result.loads / capacities
for r, name in enumerate(("processors", "memory", "network")):
    plt.bar(np.arange(5) + 0.25 * (r - 1), loads[:, r], 0.25, label=name)
plt.axhline(result.lower_bound, color="0.5", linestyle="--")
plt.xlabel("machine")
plt.ylabel("load / capacity")
plt.legend(loc="lower right")
plt.show()
