# SPDX-License-Identifier: BSD-3-Clause
"""Sparse linear models with known truth, shared by the tests of the family."""

import numpy as np


def normal(rng, shape, complex_):
    x = rng.standard_normal(shape)
    if complex_:
        x = (x + 1j * rng.standard_normal(shape)) / np.sqrt(2)
    return x


def sparse_model(n, p, k, *, seed=0, snr_db=20.0, rho=0.0, complex_=False, L=None):
    """Return ``A, y, x, noise_var`` with k nonzero coefficients of scale 2."""
    rng = np.random.default_rng(seed)
    A = normal(rng, (n, p), complex_)
    for j in range(1, p if rho else 0):
        A[:, j] = rho * A[:, j - 1] + np.sqrt(1 - rho**2) * A[:, j]
    x = np.zeros((p, L or 1), A.dtype)
    x[rng.choice(p, k, replace=False)] = 2 * normal(rng, (k, L or 1), complex_)
    clean = A @ x
    noise_var = float(np.mean(np.abs(clean) ** 2) / 10 ** (snr_db / 10))
    y = clean + np.sqrt(noise_var) * normal(rng, clean.shape, complex_)
    if L is None:
        return A, y[:, 0], x[:, 0], noise_var
    return A, y, x, noise_var


def relative_error(estimate, truth):
    return np.linalg.norm(estimate - truth) / np.linalg.norm(truth)
