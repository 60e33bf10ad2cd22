# SPDX-License-Identifier: BSD-3-Clause
"""Several outputs under a group penalty: a group enters all of them or none."""

import numpy as np
import pytest

from numopt.coordinate import (
    GroupL2,
    Multinomial,
    SparseGroup,
    alpha_max,
    bcd_solve,
    dual_gap,
)

TOL = 1e-9
PENALTIES = [
    lambda a: GroupL2(a, 4),
    lambda a: GroupL2(a, 1),
    lambda a: GroupL2(a, 4, weights=[1.0, 2.0, 0.5, 1.0, np.inf]),
    lambda a: SparseGroup(a, 0.4, 4),
]


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((90, 20))
    scores = X[:, :3] @ rng.standard_normal((3, 3)) + 0.7 * rng.standard_normal((90, 3))
    return X, scores.argmax(axis=1)


def _reference(X, y, penalty, steps=6000):
    """Accelerated proximal gradient with the bound 1/2 of the softmax."""
    n, p = X.shape
    K = y.max() + 1
    step = n / (0.5 * np.linalg.norm(X, 2) ** 2)
    w = np.zeros((K, p))
    v, t = w.copy(), 1.0
    for _ in range(steps):
        slope = Multinomial().gradient(y, X @ v.T).T @ X / n
        new = penalty.prox(v - step * slope, step)
        if np.abs(new - v).max() <= 1e-13:
            break
        if np.sum((v - new) * (new - w)) > 0:
            t = 1.0
        again = 0.5 * (1 + np.sqrt(1 + 4 * t * t))
        v, w, t = new + (t - 1) / again * (new - w), new, again
    return Multinomial().value(y, X @ w.T).mean() + penalty.value(w), w


@pytest.mark.parametrize("make", PENALTIES)
def test_softmax_with_groups(data, make):
    X, y = data
    top = alpha_max(X, y, Multinomial(), make(1.0))
    penalty = make(0.2 * top)
    result = bcd_solve(X, y, Multinomial(), penalty, tol=TOL)
    assert result.converged
    assert dual_gap(X, y, result.coef, Multinomial(), penalty) <= TOL + 1e-13
    value, coef = _reference(X, y, penalty)
    # The reference is above the minimum, which is at most the gap below ours.
    assert result.objective <= value + TOL * np.log(3)
    assert abs(result.objective - value) <= 1e-7
    assert np.abs(result.coef - coef).max() <= 1e-2 * np.abs(coef).max()
    used = result.coef.any(axis=0)
    if not isinstance(penalty, SparseGroup):
        size = 20 // (20 if penalty.groups == 1 else 5)
        assert np.all(used.reshape(-1, size).sum(axis=1) % size == 0)
    assert 0 < used.sum() < 20


@pytest.mark.parametrize("make", PENALTIES)
def test_alpha_max_of_groups_of_outputs(data, make):
    X, y = data
    top = alpha_max(X, y, Multinomial(), make(1.0), fit_intercept=True)
    options = {"fit_intercept": True, "tol": 1e-10}
    assert not bcd_solve(X, y, Multinomial(), make(top), **options).coef.any()
    assert bcd_solve(X, y, Multinomial(), make(0.99 * top), **options).coef.any()
