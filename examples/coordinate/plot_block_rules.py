# SPDX-License-Identifier: BSD-3-Clause
"""
Which block next: rules compared
================================

Block coordinate descent on a least-squares problem with badly scaled columns. How
blocks are cut, how the next one is picked and what is done with it all matter; the
order of the rules is that of Nutini, Laradji and Schmidt (2022).
"""

# %%
# Dataset A of the paper, smaller.
import matplotlib.pyplot as plt
import numpy as np

from numopt.coordinate import Null, Quadratic, bcd_solve
from numopt.plotting import BlockRulesDisplay

random = np.random.RandomState(0)
n, p = 200, 1000
X = (random.randn(n, p) + 1) * 10 * random.randn(p)
X *= random.rand(n, p) < 10 * np.log(n) / n
y = X @ (random.randn(p) * (random.rand(p) < 0.1)) + random.randn(n)
best = np.linalg.lstsq(X, y, rcond=None)[0]
low = 0.5 * np.mean((y - X @ best) ** 2)

# %%
# Fixed blocks in order, sorted by Lipschitz constants, and variable blocks.
rules = [
    ("order", "random"),
    ("order", "cyclic"),
    ("sorted", "GS"),
    ("sorted", "GSL"),
    ("variable", "GS"),
    ("variable", "GSL"),
]
fig, axes = plt.subplots(1, 2, figsize=(10, 4), sharey=True, layout="constrained")
for ax, update in zip(axes, ("gradient", "matrix"), strict=True):
    results = {
        f"{partition} {selection}": bcd_solve(
            *(X, y, Quadratic(), Null()),
            partition=partition,
            selection=selection,
            update=update,
            block_size=5,
            max_iter=300,
            tol=1e-12,
            random_state=0,
            warn=False,
        )
        for partition, selection in rules
    }
    display = BlockRulesDisplay.from_results(results, optimum=low, ax=ax)
    for name, excess in display.excess.items():
        print(f"{update:8} {name:16} {excess[-1]:.1e}")
    ax.set_title(f"{update} update")
