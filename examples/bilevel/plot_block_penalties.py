# SPDX-License-Identifier: BSD-3-Clause
"""
One penalty per block: breast cancer with columns of noise
==========================================================

Thirty measurements are joined by a hundred columns of noise. One common penalty must
serve both; two penalties, learned by hypergradients of the cross-validated loss, switch
the noise off.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from numopt.bilevel import BilevelLogisticRegression

X, y = load_breast_cancer(return_X_y=True)
noise = np.random.default_rng(0).standard_normal((len(X), 100))
X = np.hstack([X, noise])
groups = np.repeat([0, 1], [30, 100])
X, Xt, y, yt = train_test_split(X, y, test_size=0.4, random_state=0, stratify=y)

# %%
# Fit with one and with two penalties.
models = {
    "one penalty": BilevelLogisticRegression(),
    "two penalties": BilevelLogisticRegression(groups),
}
fig, ax = plt.subplots()
for name, model in models.items():
    pipe = make_pipeline(StandardScaler(), model).fit(X, y)
    loss = log_loss(yt, pipe.predict_proba(Xt))
    print(f"{name}: penalties {model.penalties_.round(4)}, test log-loss {loss:.3f}")
    ax.plot(np.abs(model.coef_[0]), ".", label=name)
ax.axvline(29.5, color="0.7")
ax.set(xlabel="feature (noise to the right)", ylabel="size of the coefficient")
ax.legend()
plt.show()
