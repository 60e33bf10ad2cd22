# SPDX-License-Identifier: BSD-3-Clause
"""Data sets with known optima, brute force, and an independent dual bound."""

import functools
import itertools

import numpy as np
from sklearn.datasets import load_breast_cancer, load_iris, load_wine

#: Optimal inertia by number of clusters: du Merle, Hansen, Jaumard and Mladenovic
#: (SIAM J. Sci. Comput. 21, 2000); Aloise, Hansen and Liberti (Math. Program. 131,
#: 2012); Piccialli, Sudoso and Wiegele (INFORMS J. Comput. 34, 2022).
OPTIMA = {
    "iris": {
        2: 152.347952,
        3: 78.851441,
        4: 57.228473,
        5: 46.446182,
        6: 39.039987,
        7: 34.298230,
        8: 29.988944,
    },
    "ruspini": {
        2: 89337.8321,
        3: 51063.4750,
        4: 12881.0512,
        5: 10126.7198,
        6: 8575.406876,
    },
    "wine": {3: 2370689.6868},
    "breast": {2: 77943099.8783},
    "wine-standard": {3: 1277.928489},
    "breast-standard": {2: 11595.461474},
}


def _standardised(X):
    return (X - X.mean(axis=0)) / X.std(axis=0)


@functools.cache
def load(name):
    if name == "ruspini":
        from numopt.datasets import load_ruspini

        return load_ruspini()
    base, _, standard = name.partition("-")
    X = {"iris": load_iris, "wine": load_wine, "breast": load_breast_cancer}[
        base
    ]().data
    return _standardised(X) if standard else X


def inertia(X, labels):
    return sum(
        np.sum((X[labels == a] - X[labels == a].mean(axis=0)) ** 2)
        for a in np.unique(labels)
    )


def brute_force(X, K):
    """Smallest inertia over all partitions into exactly K clusters."""
    n = len(X)
    best = np.inf
    for rest in itertools.product(range(K), repeat=n - 1):
        labels = np.array((0, *rest))
        if len(set(labels.tolist())) == K:
            best = min(best, inertia(X, labels))
    return best


def dense_dual_value(X, B, K):
    """T - UB(B) by a dense eigensolver and nothing else."""
    X = X - X.mean(axis=0)
    n = len(X)
    A = X @ X.T + B
    # A basis of the complement of the ones vector.
    basis = np.linalg.qr(np.column_stack([np.ones(n), np.eye(n)[:, :-1]]))[0][:, 1:]
    values = np.linalg.eigvalsh(basis.T @ A @ basis)[::-1]
    return np.sum(X * X) - A.sum() / n - values[: K - 1].sum()
