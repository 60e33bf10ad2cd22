# SPDX-License-Identifier: BSD-3-Clause
"""
Compressing a classifier by weighted factorisation
==================================================

A weight matrix of a fitted network is replaced by a product of two thin ones. The plain
truncated decomposition treats all rows alike. Row weights ask for accuracy where it
is felt: by the Fisher information of the rows [1]_, or by the power of their inputs.

.. [1] Hsu, Hua, Chang, Lou, Shen and Jin, "Language model compression with weighted
   low-rank factorization", 2022, arXiv:2207.00112.
"""

# %%
# A classifier of handwritten digits with one hidden layer.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

from numopt.completion import weighted_low_rank

X, y = load_digits(return_X_y=True)
train, test, y_train, y_test = train_test_split(X / 16, y, random_state=0)
network = MLPClassifier((64,), max_iter=200, tol=1e-3, random_state=0)
network.fit(train, y_train)
W = network.coefs_[0]

# %%
# Fisher information of the first layer: mean squares of the gradients of the
# log-likelihood, here by hand for one hidden layer of rectified units. A row belongs
# to one pixel; pixels that are always blank carry no information at all.
hidden = np.maximum(train @ W + network.intercepts_[0], 0)
probability = network.predict_proba(train)
error = np.eye(10)[y_train] - probability
back = (error @ network.coefs_[1].T) * (hidden > 0)
fisher = (train**2).T @ back**2 / len(train)
weights = {
    "plain": np.ones(len(W)),
    "Fisher information": fisher.sum(axis=1),
    "power of the inputs": (train**2).mean(axis=0),
}

# %%
# Row weights have a closed form: the truncated decomposition of the scaled matrix.
ranks = (2, 4, 6, 8, 12, 16)


def loss(first_layer):
    """Log loss of the network on the test set with another first layer."""
    network.coefs_[0] = first_layer
    value = log_loss(y_test, network.predict_proba(test))
    network.coefs_[0] = W
    return value


losses = {}
for name, w in weights.items():
    w = w + 1e-3 * w.max()
    losses[name] = [loss(weighted_low_rank(W, w, k).to_dense()) for k in ranks]
    print(f"{name:20}", *(f"{value:.3f}" for value in losses[name]))

# %%
# Below rank 8 the network is broken anyway. From there on, weights by the power of the
# inputs lose least: they bound the change of what the hidden units see. The Fisher
# information is a picture of small changes, and helps at rank 8 alone.
fig, ax = plt.subplots(layout="constrained")
for name, values in losses.items():
    ax.semilogy(ranks, values, "o-", label=name)
ax.axhline(loss(W), color="0.5", linestyle="--", label="full matrix")
ax.set(xlabel="rank", ylabel="log loss on the test set")
ax.legend(title="row weights")
plt.show()
