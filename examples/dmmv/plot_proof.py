# SPDX-License-Identifier: BSD-3-Clause
"""
From a good answer to a proved one
==================================

The search finds good points quickly, but the bound of the relaxation says little for
variables of few levels. With more rows than variables all better points lie in a
sphere, and the default enumerates it: that proves that nothing better exists.
Mixed-integer programming, started below the best point found, proves it too.
"""

import matplotlib.pyplot as plt
import numpy as np

from numopt.dmmv import minimize_max_violation
from numopt.plotting import ResidualProfileDisplay

rng = np.random.default_rng(0)
A = rng.standard_normal((40, 14))
b = A @ rng.uniform(0, 3, 14)

# %%
# Two rounds of one search alone, then both proofs.
search = minimize_max_violation(A, b, (0, 3), method="beam", max_iter=2)
proof = minimize_max_violation(A, b, (0, 3))
program = minimize_max_violation(A, b, (0, 3), x0=search.x, method="milp")
results = {"search": search, "enumeration": proof, "program": program}
for name, result in results.items():
    print(
        f"{name}: {result.violation:.4f} >= {result.lower_bound:.4f}, {result.status}"
    )

# %%
# Many rows share the maximum: lowering one would raise another.
display = ResidualProfileDisplay.from_result(proof, marker=".")
display.ax_.set_title("residuals of the optimum")
plt.show()
