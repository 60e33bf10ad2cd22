# SPDX-License-Identifier: BSD-3-Clause
"""Generators shared by the coordinate tests."""

import numpy as np


def correlated(n, p, rho, k, snr, seed):
    """AR(1) columns, k true coefficients, centred."""
    rng = np.random.default_rng(seed)
    Z = rng.standard_normal((n, p))
    X = np.empty((n, p), order="F")
    X[:, 0] = Z[:, 0]
    for j in range(1, p):
        X[:, j] = rho * X[:, j - 1] + np.sqrt(1 - rho**2) * Z[:, j]
    w = np.zeros(p)
    chosen = rng.choice(p, k, replace=False)
    w[chosen] = rng.uniform(0.5, 1.5, k) * rng.choice([-1, 1], k)
    signal, noise = X @ w, rng.standard_normal(n)
    y = signal + noise * np.linalg.norm(signal) / np.linalg.norm(noise) / snr
    return X - X.mean(axis=0), y - y.mean()
