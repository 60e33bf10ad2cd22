# SPDX-License-Identifier: BSD-3-Clause
"""
A digits network in two to four bits
====================================

The first layer of a small network is quantised with 300 calibration digits. Nearest
rounding treats weights one by one; the K-best search looks at the outputs they make
together. K = 1 is the method known as GPTQ.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from numopt.dmmv import MinMaxQuantizer

X, y = load_digits(return_X_y=True)
X = X / 16.0
network = MLPClassifier((32,), random_state=0, max_iter=40)
with warnings.catch_warnings():
    warnings.simplefilter("ignore", ConvergenceWarning)
    network.fit(X[:1200], y[:1200])
W, fresh = network.coefs_[0], X[1200:]

# %%
# Worst output error on digits that were not used for calibration.
methods = {"rounding": "round", "GPTQ (K=1)": "babai", "K-best": "beam"}
bits = [2, 3, 4]
curves = {name: [] for name in methods}
for name, method in methods.items():
    for b in bits:
        model = MinMaxQuantizer(bits=b, method=method).fit(W, X=X[:300])
        error = np.abs(fresh @ (W - model.weights_)).max(axis=0).mean()
        curves[name].append(error)
        print(f"{name:12} {b} bits: {error:.4f}")

# %%
for name, values in curves.items():
    plt.semilogy(bits, values, "o-", label=name)
plt.xticks(bits)
plt.xlabel("bits a weight")
plt.ylabel("worst output error, mean over outputs")
plt.legend()
plt.show()
