# SPDX-License-Identifier: BSD-3-Clause
"""
Linear and quadratic features with penalties of their own: diabetes
===================================================================

Ten measurements have ten linear features and fifty-five products. One penalty must
shrink both alike; with one penalty per degree the products, which help little, are held
back harder than the measurements. A penalty for every single feature is tried as well:
without a safeguard it fits the folds rather than the patients.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from numopt.bilevel import BilevelRidge

X, y = load_diabetes(return_X_y=True)
polynomials = PolynomialFeatures(2, include_bias=False).fit(X)
groups = polynomials.powers_.sum(axis=1) - 1

# %%
# Five splits; the coefficient of determination on the part that is left out.
models = {
    "one penalty": RidgeCV(np.geomspace(1e-2, 1e5, 50), cv=5),
    "one per degree": BilevelRidge(groups),
    "one per feature, safeguarded": BilevelRidge("features", random_state=0),
    "one per feature, none": BilevelRidge("features", shrinkage=0.0),
}
scores = {name: [] for name in models}
for seed in range(5):
    A, B, a, b = train_test_split(X, y, test_size=0.4, random_state=seed)
    for name, model in models.items():
        pipe = make_pipeline(StandardScaler(), polynomials, StandardScaler(), model)
        scores[name].append(pipe.fit(A, a).score(B, b))
for name, values in scores.items():
    print(f"{name}: R2 {np.mean(values):.3f}")
print("penalties per degree:", models["one per degree"].alphas_.round(1))

# %%
# Splits are joined by lines.
fig, ax = plt.subplots(layout="constrained")
ax.plot(list(scores), np.array(list(scores.values())), "o-", color="0.6")
ax.plot(list(scores), [np.mean(values) for values in scores.values()], "_", ms=30)
ax.tick_params(axis="x", rotation=15)
ax.set_ylabel("R2 on the part left out")
plt.show()
