# SPDX-License-Identifier: BSD-3-Clause
"""Progressive partial transport: the published scaling, duality, the graph term."""

import math

import numpy as np
import pytest
from scipy.sparse import csr_array

from numopt._array.namespace import to_numpy
from numopt.exceptions import ConvergenceWarning
from numopt.ot import progressive_partial_ot
from numopt.ot._solvers.progressive import mass_ramp


@pytest.fixture
def scores(rng):
    z = 2 * rng.standard_normal((60, 4))
    return np.log(np.exp(z).sum(axis=1, keepdims=True)) - z


def _published_sweep(C, rho, reg, price, v):
    """One iteration of Zhang, Ren & He (2024), algorithm 1: the plan and the next v."""
    n, k = C.shape
    kernel = np.exp(-np.column_stack([C, np.zeros(n)]) / reg)
    beta = np.append(np.full(k, rho / k), 1 - rho)
    power = np.append(np.full(k, price / (price + reg)), 1.0)
    u = 1 / n / (kernel @ v)
    return (u[:, None] * kernel * v)[:, :k], (beta / (kernel.T @ u)) ** power


@pytest.mark.parametrize("rho", [0.1, 0.6, 0.95])
@pytest.mark.parametrize("price", [0.1, 1.0, 10.0])
def test_fixed_point_of_the_published_scaling(scores, rho, price):
    result = progressive_partial_ot(scores, rho, reg_kl=price, tol=1e-12)
    assert result.converged
    v = np.exp(np.append(result.g, result.g_rest) / 0.1)
    plan, new = _published_sweep(scores, rho, 0.1, price, v)
    np.testing.assert_allclose(new, v, rtol=1e-9)
    np.testing.assert_allclose(result.plan, plan, atol=1e-13)
    np.testing.assert_allclose(result.dual_value, result.value, atol=1e-9)


def test_constraints_and_formula(scores):
    n, rho, reg = 60, 0.7, 0.05
    result = progressive_partial_ot(scores, rho, reg=reg, tol=1e-11)
    plan = result.plan
    np.testing.assert_allclose(plan.sum(), rho, atol=1e-9)
    assert plan.sum(axis=1).max() <= 1 / n + 1e-12
    z = (result.f[:, None] + result.g - scores) / reg
    np.testing.assert_allclose(plan, np.exp(z) / n, atol=1e-13)
    rest = np.exp((result.f + result.g_rest) / reg) / n
    np.testing.assert_allclose(plan.sum(axis=1) + rest, 1 / n, atol=1e-12)
    sizes = rho / 4 * np.exp(-result.g)  # reg_kl = 1
    np.testing.assert_allclose(plan.sum(axis=0), sizes, atol=1e-9)


def test_equal_and_free_sizes(scores):
    equal = progressive_partial_ot(scores, 0.8, reg_kl=math.inf)
    np.testing.assert_allclose(equal.plan.sum(axis=0), 0.2, atol=1e-8)
    free = progressive_partial_ot(scores, 1.0, reg_kl=0.0)
    weights = np.exp(-scores / 0.1)
    weights /= 60 * weights.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(free.plan, weights, atol=1e-10)
    assert free.g_rest == -math.inf


def test_sure_samples_come_first(scores):
    result = progressive_partial_ot(scores, 0.3, reg=0.01)
    sure = scores.min(axis=1)
    taken = result.plan.sum(axis=1) > 0.5 / 60
    assert sure[taken].mean() < sure[~taken].mean()


def test_graph_pulls_neighbours_together(rng):
    # two groups; the scores of one sample are wrong, its neighbours are right
    C = np.tile([0.0, 1.0], (20, 1))
    C[10:] = [1.0, 0.0]
    C[0] = [0.6, 0.4]
    A = np.zeros((20, 20))
    A[:10, :10] = A[10:, 10:] = 1.0
    alone = progressive_partial_ot(C, 1.0)
    assert alone.plan[0].argmax() == 1
    for graph in (A, csr_array(A)):
        result = progressive_partial_ot(C, 1.0, graph=graph, graph_weight=1.0)
        assert result.plan[0].argmax() == 0
        assert result.converged
        assert result.n_outer >= 2


def test_graph_objective_descends(scores, rng):
    A = (rng.random((60, 60)) < 0.1).astype(float)
    A = np.maximum(A, A.T)
    weight = 20.0
    start = progressive_partial_ot(scores, 0.7)
    result = progressive_partial_ot(
        scores, 0.7, graph=A, graph_weight=weight, warn=False
    )
    before = start.value - weight * np.sum(A * (start.plan @ start.plan.T))
    assert result.value < before
    np.testing.assert_allclose(result.plan.sum(), 0.7, atol=1e-8)


def test_ramp():
    assert mass_ramp(10, 10, 0.1) == 1.0
    np.testing.assert_allclose(mass_ramp(0, 10, 0.1), 0.1 + 0.9 * math.exp(-5))
    values = [mass_ramp(t, 10, 0.1, 0.8) for t in range(12)]
    assert np.all(np.diff(values) >= 0)
    assert values[-1] == 0.8
    assert mass_ramp(0, 0, 0.1) == 1.0


def test_warm_start(scores):
    first = progressive_partial_ot(scores, 0.7)
    assert progressive_partial_ot(scores, 0.7, warmstart=first).n_iter <= 2
    assert progressive_partial_ot(scores, 0.75, warmstart=first.g).converged


def test_every_array_library(backend, scores):
    expected = progressive_partial_ot(scores, 0.7, tol=1e-11)
    result = progressive_partial_ot(backend.asarray(scores), 0.7, tol=1e-11)
    assert type(result.plan) is type(backend.asarray(scores))
    np.testing.assert_allclose(to_numpy(result.plan), expected.plan, atol=1e-10)


def test_float32_and_warning(scores):
    result = progressive_partial_ot(scores.astype(np.float32), 0.7)
    assert result.plan.dtype == np.float32
    with pytest.warns(ConvergenceWarning, match="progressive_partial_ot"):
        progressive_partial_ot(scores, 0.7, reg=1e-3, max_iter=2)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"rho": 0.0}, "`rho` must be"),
        ({"rho": 1.1}, "`rho` must be"),
        ({"reg": 0.0}, "`reg` must be"),
        ({"reg_kl": -1.0}, "`reg_kl` must be"),
        ({"C": [[0.0, math.inf]]}, "`C` must be finite"),
        ({"C": [1.0]}, "`C` must"),
        ({"graph_weight": 1.0}, "`graph` must be given"),
        ({"graph": np.ones((2, 3)), "graph_weight": 1.0}, "`graph` must be of shape"),
        ({"graph": [[0, 1], [0, 0]], "graph_weight": 1.0}, "`graph` must be symmetric"),
        ({"graph": -np.ones((2, 2)), "graph_weight": 1.0}, "`graph` must be"),
        ({"warmstart": [0.0]}, "`warmstart` must be of shape"),
    ],
)
def test_bad_input(change, match):
    given = {"C": [[0.0, 1.0], [1.0, 0.0]], "rho": 0.5}
    with pytest.raises(ValueError, match=match):
        progressive_partial_ot(**(given | change))
