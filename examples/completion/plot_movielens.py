# SPDX-License-Identifier: BSD-3-Clause
"""
Film ratings without tuning
===========================

100 000 ratings of 9 066 films by 671 people, four fifths for training. The evidence
model learns its penalties; a ridge needs a grid.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np

from numopt.completion import MatrixCompletionRegressor, heldout_rmse
from numopt.datasets import load_movielens

ratings = load_movielens()
X, y = np.column_stack([ratings.rows, ratings.cols]), ratings.values
held = np.random.default_rng(0).random(y.size) < 0.2

# %%
# Errors on the ratings held out; the standard error allows for people whose ratings
# are all easy or all hard. Biases alone leave about 0.889.
models = {
    f"ridge {alpha:g}": MatrixCompletionRegressor(
        rank=10, alpha=alpha, alpha_scaling="constant", random_state=0
    )
    for alpha in (3.0, 6.0, 12.0, 24.0)
}
models["evidence"] = MatrixCompletionRegressor(
    rank=10, random_state=0, clip_range=(0.5, 5.0)
)
errors = {}
for name, model in models.items():
    predicted = model.fit(X[~held], y[~held]).predict(X[held])
    errors[name] = heldout_rmse(y[held], predicted, groups=X[held, 0])
    print(f"{name:9} RMSE {errors[name].rmse:.4f} +- {errors[name].se:.4f}")

fig, ax = plt.subplots(layout="constrained")
centre = [error.rmse for error in errors.values()]
spread = [1.96 * error.se for error in errors.values()]
ax.errorbar(list(errors), centre, yerr=spread, fmt="o")
ax.set_ylabel("held-out RMSE, 95 % interval")

# %%
# Standard deviations know who has been seen often: errors are in proportion.
model = models["evidence"]
predicted, std = model.predict(X[held], return_std=True)
for part in np.array_split(np.argsort(std), 4):
    actual = np.sqrt(np.mean((predicted - y[held])[part] ** 2))
    print(f"predicted deviation {std[part].mean():.2f}, error {actual:.2f}")

# %%
# What to recommend to somebody, and to a newcomer who liked two films.
ids, scores = model.recommend([3], n=5)
for film, score in zip(ids[0], scores[0], strict=True):
    print(f"{score:.2f}  {ratings.titles[film]}")

liked = [np.flatnonzero(ratings.titles == t)[0] for t in ("Alien", "Aliens")]
newcomer = model.shape_[0]
model.update_rows([[newcomer, film] for film in liked], [5.0, 5.0])
ids, _ = model.recommend([newcomer], n=5)
print(", ".join(ratings.titles[ids[0]]))
