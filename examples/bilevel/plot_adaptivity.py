# SPDX-License-Identifier: BSD-3-Clause
"""
When adaptive accuracy pays
===========================

The same quadratic problem with lower levels of growing condition. The published method
adapts accuracy and step; a schedule fixes the accuracies beforehand; ``maid-qn`` adds
quasi-Newton directions and corrected values. Work is counted in lower gradients and
Hessian products until the value is within 0.5 % of the start's distance to the minimum.
"""

import matplotlib.pyplot as plt
import numpy as np

from numopt.bilevel import QuadraticProblem, hoag, hypergradient, maid

conditions = (2, 5, 10, 20, 30)


def problem_of(condition, n=80, d=4, seed=0):
    """A quadratic lower level whose Hessian has the given condition."""
    rng = np.random.default_rng(seed)
    Q = np.linalg.qr(rng.standard_normal((n, d)))[0]
    A2 = Q * np.sqrt(np.geomspace(1, condition, d))
    A1, A3 = rng.uniform(size=(2, n, d)) / np.sqrt(n)
    return QuadraticProblem(A1, A1 @ np.ones(d), A2, A3, rng.uniform(size=n))


# %%
# ``f_target`` stops at a value proved to be reached; work is limited to 20,000.
methods = {
    "maid-qn": lambda p, **kw: maid(p, p.theta0, solver="agd", **kw),
    "maid": lambda p, **kw: maid(p, p.theta0, method="maid", solver="agd", **kw),
    "hoag, quadratic": lambda p, **kw: hoag(p, p.theta0, solver="agd", **kw),
}
work = {name: [] for name in methods}
for condition in conditions:
    problem = problem_of(condition)
    start = hypergradient(problem, problem.theta0, tol=1e-9).value
    goal = problem.f_star + 5e-3 * (start - problem.f_star)
    for name, solve in methods.items():
        result = solve(
            problem,
            f_target=goal,
            ftol=0.0,
            gtol=0.0,
            max_iter=2000,
            max_work=20_000,
            warn=False,
        )
        reached = result.value + result.value_bound <= goal
        total = result.n_lower_grad + result.n_hvp
        work[name].append(total if reached else np.nan)

# %%
# A missing point did not get there.
fig, ax = plt.subplots()
for name, counts in work.items():
    ax.loglog(conditions, counts, marker="o", label=name)
    print(name, counts)
ax.set_xlabel("condition of the lower level")
ax.set_ylabel("gradients and products")
ax.legend()
plt.show()
