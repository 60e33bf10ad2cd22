# SPDX-License-Identifier: BSD-3-Clause
"""Small problems and oracles that share no code with the library."""

import itertools

import numpy as np


def violation(A, x, lower, upper, weights=1.0):
    """Worst weighted violation, by the definition."""
    y = np.asarray(A) @ x
    return float(np.max(weights * np.maximum(np.maximum(y - upper, lower - y), 0.0)))


def brute_force(A, b, sets, weights=1.0, lower=None, upper=None):
    """Least worst violation over all points."""
    lower = b if lower is None else lower
    upper = b if upper is None else upper
    return min(
        violation(A, np.array(x), lower, upper, weights)
        for x in itertools.product(*sets)
    )


def gaussian(seed, m, n, high=3):
    """Rows of normal numbers and a target that a real point in the box meets."""
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((m, n))
    return A, A @ rng.uniform(0, high, n)


def nearest_plane(A, t):
    """Babai's nearest plane by back substitution, columns in the given order."""
    Q, R = np.linalg.qr(A)
    c = Q.T @ t
    z = np.zeros(A.shape[1])
    for j in range(A.shape[1] - 1, -1, -1):
        z[j] = np.rint((c[j] - R[j, j + 1 :] @ z[j + 1 :]) / R[j, j])
    return z
