# SPDX-License-Identifier: BSD-3-Clause
"""
Sinkhorn, Sinkhorn-Newton-Sparse and annealed Newton
====================================================

How the marginal error falls while the regularisation shrinks. Sweeps slow down in
proportion to ``1 / reg``; Newton's method does not, provided that it starts close
enough: the published method starts from a few sweeps, ours from a larger ``reg``.
"""

# %%
# Points of the unit square, squared distances divided by the largest.
import matplotlib.pyplot as plt

from numopt.datasets import make_transport_problem
from numopt.ot import sinkhorn
from numopt.plotting import ConvergenceDisplay

a, b, M, *_ = make_transport_problem("pts2d", 300)
methods = {
    "Sinkhorn": {"method": "sinkhorn", "max_iter": 300},
    "SNS (Tang et al. 2024)": {"method": "sns", "max_iter": 100},
    "annealed Newton": {"method": "newton"},
}
regs = (1e-2, 1e-3, 1e-4)

# %%
# ``warn=False``: that some do not arrive is the point. The error is over all entries
# of the plan, and an iteration is a pass over the costs or a Newton step.
results = {
    reg: {
        name: sinkhorn(a, b, M, reg, tol=1e-9, warn=False, **options)
        for name, options in methods.items()
    }
    for reg in regs
}

fig, axes = plt.subplots(1, 3, figsize=(12, 4), sharey=True, layout="constrained")
for ax, (reg, found) in zip(axes, results.items(), strict=True):
    ConvergenceDisplay.from_results(found, x="n_iter", y="marginal_error", ax=ax)
    ax.set_title(f"reg = {reg:g}")
axes[0].set_ylabel("L1 marginal error")

# %%
# Each level of the annealing shows as a tooth: the error is that of the current
# ``reg``, and rises when ``reg`` falls. Only the last level counts.
for reg, found in results.items():
    print(f"reg = {reg:g}")
    for name, result in found.items():
        print(
            f"  {name:24} {result.n_iter:5d} iterations, "
            f"error {result.marginal_error:.0e}"
        )
