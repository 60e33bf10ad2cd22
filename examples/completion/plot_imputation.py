# SPDX-License-Identifier: BSD-3-Clause
"""
Imputing a table before a classifier
====================================

Thirty percent of the pixels of handwritten digits are missing, in the training rows
and in the test rows. The imputer is fitted inside the pipeline, so no test row leaks
into it.
"""

# %%
import time

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from numopt.completion import LowRankImputer

truth, digit = load_digits(return_X_y=True)
lost = np.random.default_rng(0).random(truth.shape) < 0.3
X = np.where(lost, np.nan, truth)
rows = np.arange(len(X))
train, test = train_test_split(rows, random_state=0, stratify=digit)

# %%
# The error of the imputed pixels of the test rows, and the accuracy of what follows.
imputers = {
    "mean": SimpleImputer(keep_empty_features=True),
    "neighbours": KNNImputer(keep_empty_features=True),
    "low rank": LowRankImputer(rank=30, keep_empty_features=True),
}
for name, imputer in imputers.items():
    started = time.process_time()
    filled = imputer.fit(X[train]).transform(X[test])
    taken = time.process_time() - started
    error = np.sqrt(np.mean((filled - truth[test])[lost[test]] ** 2))
    classifier = LogisticRegression(C=0.05, max_iter=2000)
    model = make_pipeline(imputer, StandardScaler(), classifier)
    score = model.fit(X[train], digit[train]).score(X[test], digit[test])
    print(f"{name:11} RMSE {error:.2f}  accuracy {score:.3f}  {taken:.2f} s")

# %%
# Neighbours win here: digits lie near a curved surface, which copies of whole images
# follow better than any linear model. The low-rank model also says how sure it is.
imputer = imputers["low rank"]
filled, std = imputer.transform(X[test], return_std=True)
error = np.abs(filled - truth[test])[lost[test]]
inside = np.mean(error < 1.645 * std[lost[test]])
print(f"within the 90 % interval: {inside:.1%}")

# %%
fig, axes = plt.subplots(3, 8, figsize=(9, 3.6), layout="constrained")
for column, images in enumerate(
    zip(truth[test][:8], X[test][:8], filled[:8], strict=True)
):
    for ax, image in zip(axes[:, column], images, strict=True):
        ax.imshow(image.reshape(8, 8), cmap="gray_r", vmin=0, vmax=16)
        ax.set_xticks([])
        ax.set_yticks([])
for ax, name in zip(axes[:, 0], ("truth", "seen", "imputed"), strict=True):
    ax.set_ylabel(name)
