# SPDX-License-Identifier: BSD-3-Clause
"""
Domain adaptation of digits
===========================

A classifier is trained on digits, then the light changes: contrast halves and one side
gets brighter. Transporting the labelled digits to the new, unlabelled ones adapts it.
"""

# %%
# Half of the digits keep their labels, the other half change their light.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier

from numopt.ot import OTDAClassifier

X, y = load_digits(return_X_y=True)
images = X.reshape(-1, 8, 8) / 16
source, labels = images[::2].reshape(-1, 64), y[::2]
light = 0.5 * images[1::2] + np.linspace(0.0, 0.8, 8)
target, truth = light.reshape(-1, 64), y[1::2]

# %%
# No adaptation, transport, and transport that keeps classes apart.
plain = KNeighborsClassifier(1).fit(source, labels)
scores = {"none": plain.score(target, truth)}
for reg_cl in (0.0, 0.3):
    model = OTDAClassifier(reg=0.05, reg_cl=reg_cl)
    model.fit(source, labels, X_target=target)
    scores[f"reg_cl={reg_cl:g}"] = model.score(target, truth)
for name, score in scores.items():
    print(f"{name:12} {score:.3f}")

# %%
# The images of the labelled digits look like those of the new light.
moved = model.result_.barycentric(target)
figure, axes = plt.subplots(3, 8, figsize=(8, 3.2))
for column in range(8):
    for row, shown in enumerate((source, moved, target)):
        axes[row, column].imshow(shown[column].reshape(8, 8), cmap="gray", vmin=0)
        axes[row, column].set_xticks([])
        axes[row, column].set_yticks([])
for row, name in enumerate(("source", "transported", "target")):
    axes[row, 0].set_ylabel(name)
figure.tight_layout()
plt.show()
