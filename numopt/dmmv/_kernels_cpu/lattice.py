# SPDX-License-Identifier: BSD-3-Clause
"""Lattice reduction with deep insertions, in Numba."""

import numpy as np

from numopt._kernels.jit import jit_exact

__all__ = ["lattice_reduction"]


@jit_exact
def _project(B, star, norms, mu, k):
    """Gram-Schmidt of row k against the rows before it."""
    d = B.shape[1]
    star[k] = B[k]
    for j in range(k):
        if norms[j] <= 0.0:
            mu[k, j] = 0.0
            continue
        s = 0.0
        for i in range(d):
            s += star[k, i] * star[j, i]
        mu[k, j] = s / norms[j]
        for i in range(d):
            star[k, i] -= mu[k, j] * star[j, i]
    s = 0.0
    for i in range(d):
        s += star[k, i] * star[k, i]
    norms[k] = s


@jit_exact
def _size_reduce(B, U, mu, k):
    """Subtract integer multiples of the rows before from row k."""
    changed = False
    for j in range(k - 1, -1, -1):
        q = np.rint(mu[k, j])
        if q != 0.0:
            changed = True
            for i in range(B.shape[1]):
                B[k, i] -= q * B[j, i]
            for i in range(U.shape[1]):
                U[k, i] -= q * U[j, i]
            for i in range(j):
                mu[k, i] -= q * mu[j, i]
            mu[k, j] -= q
    return changed


@jit_exact
def _insert(X, source, place):
    """Move row ``source`` to ``place``, shifting those between."""
    row = X[source].copy()
    for i in range(source, place, -1):
        X[i] = X[i - 1]
    X[place] = row


@jit_exact
def _lattice_reduction(B, U, delta, depth, max_steps):
    n, d = B.shape
    star = np.zeros((n, d))
    norms = np.zeros(n)
    mu = np.zeros((n, n))
    _project(B, star, norms, mu, 0)
    k = 1
    steps = 0
    while k < n:
        steps += 1
        if steps > max_steps:
            break
        for _ in range(2):
            _project(B, star, norms, mu, k)
            if not _size_reduce(B, U, mu, k):
                break
        _project(B, star, norms, mu, k)
        length = norms[k]
        place = k
        for i in range(k - 1, max(k - depth, 0) - 1, -1):
            length += mu[k, i] * mu[k, i] * norms[i]
            if delta * norms[i] > length:
                place = i
        if place == k:
            k += 1
            continue
        _insert(B, k, place)
        _insert(U, k, place)
        _project(B, star, norms, mu, place)
        k = max(place, 1)
        if place == 0:
            _project(B, star, norms, mu, 0)
    return steps


def lattice_reduction(B, delta, depth, max_steps):
    """Reduced basis and the unimodular transform; see ``_kernels``."""
    B = np.array(B, np.float64)
    U = np.eye(B.shape[0])
    steps = _lattice_reduction(B, U, delta, depth, max_steps)
    return B, U, np.array(steps)
