# SPDX-License-Identifier: BSD-3-Clause
"""
Equations from noisy data: the Lorenz system
============================================

The right-hand sides of the Lorenz equations are found among all 56 monomials of degree
five or less, from derivatives with noise of standard deviation five. The monomials
differ in scale by eight orders of magnitude, which does not matter here.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.integrate import solve_ivp
from sklearn.preprocessing import PolynomialFeatures

from numopt.sbl import SBLRegressor


def lorenz(_, u):
    x, y, z = u
    return [10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z]


times = np.linspace(0, 20, 2000)
states = solve_ivp(lorenz, (0, 20), [-8, 8, 27], t_eval=times, rtol=1e-9).y.T
clean = np.array([lorenz(0, u) for u in states])
noisy = clean + 5 * np.random.default_rng(0).standard_normal(clean.shape)

# %%
# One regression an equation; each term comes with its standard deviation.
library = PolynomialFeatures(5)
monomials = library.fit_transform(states)
names = library.get_feature_names_out(["x", "y", "z"])
for k, left in enumerate("xyz"):
    model = SBLRegressor(fit_intercept=False).fit(monomials, noisy[:, k])
    std = np.sqrt(np.diag(model.sigma_))
    terms = [
        f"({model.coef_[j]:.2f} ± {s:.2f}) {names[j]}"
        for j, s in zip(model.active_, std, strict=True)
    ]
    print(f"d{left}/dt =", " + ".join(terms))

# %%
# The data of the first equation and the clean derivative.
figure, ax = plt.subplots()
ax.plot(times[:300], noisy[:300, 0], ".", markersize=3, label="measured derivative")
ax.plot(times[:300], clean[:300, 0], label="truth")
ax.set_xlabel("time")
ax.legend()
plt.show()
