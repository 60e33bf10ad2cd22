# SPDX-License-Identifier: BSD-3-Clause
"""
Which pixels tell digits apart
==============================

One softmax with an L1 penalty on the ten digits: how many pixels each class needs, and
how accuracy grows with them.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from numopt.coordinate import SparseLogisticRegression

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X / 16, y, random_state=0)

# %%
# Weaker and weaker penalties, each fit started at the last one.
model = SparseLogisticRegression(tol=1e-4, warm_start=True)
used, accuracy = [], []
strengths = (0.03, 0.06, 0.1, 0.3, 1.0)
for C in strengths:
    model.set_params(C=C).fit(X_train, y_train)
    used.append(np.count_nonzero(np.any(model.coef_ != 0, axis=0)))
    accuracy.append(model.score(X_test, y_test))
    print(f"C={C}: {used[-1]} pixels, accuracy {accuracy[-1]:.3f}")

# %%
# Weights of each digit at the last strength.
fig, axes = plt.subplots(2, 5, figsize=(8, 3.5), layout="constrained")
limit = np.abs(model.coef_).max()
for digit, ax in enumerate(axes.flat):
    image = model.coef_[digit].reshape(8, 8)
    ax.imshow(image, cmap="RdBu", vmin=-limit, vmax=limit)
    ax.set_title(str(digit))
    ax.set_axis_off()

# %%
fig, ax = plt.subplots(layout="constrained")
ax.plot(used, accuracy, marker="o")
ax.set(xlabel="pixels used", ylabel="test accuracy")
