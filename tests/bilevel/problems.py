# SPDX-License-Identifier: BSD-3-Clause
"""Problems that several test modules share."""

import numpy as np

import numopt.bilevel as bl
from numopt.datasets import load_photograph

#: A blur that is not symmetric.
BLUR = np.array([[0.0, 0.2, 0.1], [0.1, 0.3, 0.1], [0.0, 0.1, 0.1]])


def published_quadratic(seed, n=1000, m=10):
    """The quadratic problem of the paper's numerical section, fixed draws."""
    rng = np.random.default_rng(seed)
    A1, A2, A3 = (rng.uniform(size=(n, m)) for _ in range(3))
    x1, x2, theta = (rng.uniform(size=m) for _ in range(3))
    b1 = A1 @ x1 + 0.01 * rng.standard_normal(n)
    b2 = A2 @ x2 + A3 @ theta + 0.01 * rng.standard_normal(n)
    return bl.QuadraticProblem(A1, b1, A2, A3, b2)


def table(seed=0, n=60, p=5):
    """Features and a linear target with noise."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p))
    return X, X[:, 0] - 0.5 * X[:, 1] + rng.normal(size=n)


def ready_problems():
    """One small problem of every kind by name."""
    X, y = table()
    three = np.digitize(y, [-0.5, 0.5])
    halves = slice(None, 40), slice(40, None)
    (a, b), groups = halves, [0, 0, 1, 1, 2]
    ridge = bl.RidgeProblem(X[a], y[a], X[b], y[b], groups)
    noisy, clean = photograph(12, 14)
    small = noisy[:7, :8], clean[:7, :8]
    return {
        "tv": bl.TVDenoisingProblem(noisy, clean),
        "tv-anisotropic": bl.TVDenoisingProblem(noisy, clean, isotropic=False),
        "tv-blurred": bl.TVDenoisingProblem(noisy, clean, blur=BLUR, ridge=0.1),
        "foe": bl.FoEDenoisingProblem(*small, n_filters=3, filter_size=3),
        "foe-blurred": bl.FoEDenoisingProblem(
            *small, n_filters=2, filter_size=4, blur=BLUR, ridge=0.1
        ),
        "quadratic": published_quadratic(0, n=30, m=4),
        "ridge": ridge,
        "ridge-dual": bl.RidgeProblem(X[:4], y[:4], X[b], y[b], groups),
        "logistic": bl.LogisticProblem(X[a], y[a] > 0, X[b], y[b] > 0, "features"),
        "softmax": bl.LogisticProblem(X[a], three[a], X[b], three[b], "weights"),
        "cleaning": bl.HyperCleaningProblem(X[a], three[a], X[b], three[b], alpha=0.1),
        "folds": bl.CrossValidated(
            [ridge, bl.RidgeProblem(X[b], y[b], X[a], y[a], groups)]
        ),
    }


def photograph(height, width, noise=0.1, seed=0):
    """A noisy and a clean piece of a photograph, grey."""
    rng = np.random.default_rng(seed)
    clean = load_photograph("china").mean(axis=2)[100 : 100 + height, 200 : 200 + width]
    return clean + noise * rng.normal(size=clean.shape), clean


def near_start(problem, seed=0):
    """Hyper-parameters near the start of a problem."""
    rng = np.random.default_rng(seed)
    return problem.theta0 + 0.1 * rng.normal(size=problem.theta0.shape)


class Plain:
    """A lower level with the five required methods only, nothing else."""

    def __init__(self, lower):
        for name in ("value_grad", "hessian", "cross_vjp"):
            setattr(self, name, getattr(lower, name))
        self.strong_convexity, self.lipschitz = lower.strong_convexity, lower.lipschitz
        self.x_init = lower.x_init
