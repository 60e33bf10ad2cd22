# SPDX-License-Identifier: BSD-3-Clause
"""
A problem of one's own
======================

A lower level needs five methods and an upper level two members. Here a ridge
regression learns the weights of its rows' noise levels: two sensors, one of them bad.
"""

import matplotlib.pyplot as plt
import numpy as np

from numopt.bilevel import BilevelProblem, check_problem, maid
from numopt.plotting import BilevelResultDisplay

rng = np.random.default_rng(0)
w_true = rng.normal(size=5)
X, sensor = rng.normal(size=(80, 5)), np.arange(80) % 2
y = X @ w_true + np.where(sensor == 1, 2.0, 0.2) * rng.normal(size=80)
Xv = rng.normal(size=(40, 5))
yv = Xv @ w_true + 0.2 * rng.normal(size=40)


class WeightedRidge:
    """``sum_i exp(theta_sensor(i)) r_i^2 / 2 + 0.1 ||w||^2 / 2``."""

    def value_grad(self, w, theta):
        s, r = np.exp(theta)[sensor], X @ w - y
        return 0.5 * np.sum(s * r**2) + 0.05 * w @ w, X.T @ (s * r) + 0.1 * w

    def hessian(self, w, theta):
        s = np.exp(theta)[sensor]
        return lambda u: X.T @ (s * (X @ u)) + 0.1 * u

    def cross_vjp(self, w, theta, q):
        each = np.exp(theta)[sensor] * (X @ w - y) * (X @ q)
        return np.bincount(sensor, each, minlength=2)

    def strong_convexity(self, theta):
        return 0.1

    def lipschitz(self, theta):
        return np.exp(theta.max()) * np.linalg.norm(X, 2) ** 2 + 0.1

    def hessian_lipschitz(self, theta):
        return 0.0

    def x_init(self, theta):
        return np.zeros(5)


class Validation:
    lipschitz = np.linalg.norm(Xv, 2) ** 2 / 40

    def value_grad(self, w, theta):
        r = Xv @ w - yv
        return 0.5 * r @ r / 40, Xv.T @ r / 40, None


# %%
# Check the derivatives first.
problem = BilevelProblem(WeightedRidge(), Validation(), bounds=(-8.0, 4.0))
for name, error in check_problem(problem, np.zeros(2)).items():
    print(f"{name}: {error:.0e}")

# %%
# The bad sensor is weighted down; the bounds on the value are proven.
result = maid(problem, np.zeros(2))
print(f"weights {np.exp(result.theta).round(3)}, certified {result.certified}")
BilevelResultDisplay.from_result(result)
plt.show()
