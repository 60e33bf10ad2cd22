# SPDX-License-Identifier: BSD-3-Clause
"""Hostile input: a clear error, or a finite and valid result."""

import math

import numpy as np
import pytest
import scipy.sparse as sp

from numopt.exceptions import InfeasibleError
from numopt.ot import sinkhorn

A = np.array([0.5, 0.5])
M = np.array([[0.0, 1.0], [1.0, 0.0]])


@pytest.mark.parametrize("reg", [0, -1.0, math.nan, math.inf])
def test_reg_value(reg):
    with pytest.raises(ValueError, match="`reg` must be a positive finite number"):
        sinkhorn(A, A, M, reg)


@pytest.mark.parametrize("reg", [None, "1", [0.1, 0.2]])
def test_reg_kind(reg):
    with pytest.raises(TypeError, match="`reg` must be"):
        sinkhorn(A, A, M, reg)


@pytest.mark.parametrize(
    "bad",
    [[-0.5, 1.5], [math.nan, 1], [math.inf, 1], [0, 0], [[0.5, 0.5]]],
)
@pytest.mark.parametrize("side", ["a", "b"])
def test_weights(bad, side):
    weights = {"a": A, "b": A, side: bad}
    with pytest.raises(ValueError, match=f"`{side}` must be"):
        sinkhorn(weights["a"], weights["b"], M, 0.1)


def test_shapes_are_named():
    with pytest.raises(ValueError, match=r"\(3, 2\), got shape \(2, 2\)"):
        sinkhorn([0.2, 0.3, 0.5], A, M, 0.1)


def test_sums_are_named():
    with pytest.raises(ValueError, match=r"same sum.*1\.1.*normalise"):
        sinkhorn([0.5, 0.6], A, M, 0.1)


def test_nan_cost():
    with pytest.raises(ValueError, match=r"`M` must be finite or \+inf, got nan"):
        sinkhorn(A, A, [[0, math.nan], [1, 0]], 0.1)
    with pytest.raises(ValueError, match="-inf"):
        sinkhorn(A, A, [[0, -math.inf], [1, 0]], 0.1)


@pytest.mark.parametrize("method", ["newton", "newton_direct", "sinkhorn"])
def test_infinite_cost_forbids_a_pair(rng, method):
    cost = rng.random((6, 6))
    cost[np.triu_indices(6, 1)] = math.inf
    cost[0, 1] = 0.3
    w = np.array([3.0, 1, 1, 1, 1, 3])
    a, b = w[::-1] / w.sum(), w / w.sum()
    a[0], a[-1] = a[-1], a[0]
    result = sinkhorn(
        a, b, cost, 0.1, method=method, tol=1e-8, max_iter=9999, warn=False
    )
    assert np.all(result.plan[~np.isfinite(cost)] == 0)
    assert np.all(np.isfinite(result.plan))
    assert math.isfinite(result.value_linear)


def test_unreachable_point_is_infeasible():
    with pytest.raises(InfeasibleError, match="infeasible support"):
        sinkhorn(A, A, [[math.inf, math.inf], [0, 1]], 0.1)


def test_infeasible_pattern_is_reported():
    cost = np.array([[0, math.inf, math.inf], [0, math.inf, math.inf], [0, 1, 1.0]])
    result = sinkhorn(None, None, cost, 0.1, warn=False, max_iter=300)
    assert not result.converged
    assert "infeasible support" in result.message
    assert np.all(np.isfinite(result.f))
    assert np.all(np.isfinite(result.plan))


def test_negative_costs(rng):
    cost = rng.random((4, 5))
    one = sinkhorn(None, None, cost, 0.1).plan
    np.testing.assert_allclose(sinkhorn(None, None, cost - 9, 0.1).plan, one, atol=1e-9)


@pytest.mark.parametrize("method", ["newton", "sinkhorn", "sinkhorn_stabilized", "sns"])
def test_zero_weights(rng, method):
    a, b = np.array([0.0, 0.4, 0.6, 0.0]), np.array([0.3, 0.0, 0.7])
    cost = rng.random((4, 3))
    result = sinkhorn(a, b, cost, 0.1, method=method, n_warmup=20)
    assert np.all(result.plan[[0, 3]] == 0)
    assert np.all(result.plan[:, 1] == 0)
    assert np.all(np.isfinite(result.f))
    assert np.all(np.isfinite(result.g))
    # Potentials of empty points are the limits of small weights.
    eps = 1e-9
    near = sinkhorn(
        np.array([eps, 0.4, 0.6 - 2 * eps, eps]),
        [0.3, eps, 0.7 - eps],
        cost,
        0.1,
        tol=1e-15,
        warn=False,
    )
    shift = near.f[1] - result.f[1]
    np.testing.assert_allclose(result.f + shift, near.f, atol=1e-6)
    np.testing.assert_allclose(result.g - shift, near.g, atol=1e-6)


def test_zero_weight_of_an_unreachable_point():
    cost = np.array([[0.0, 1.0], [math.inf, math.inf], [1.0, 0.0]])
    result = sinkhorn([0.5, 0.0, 0.5], A, cost, 0.1)
    assert result.converged
    assert result.plan[1].tolist() == [0, 0]
    assert np.all(np.isfinite(result.f))


@pytest.mark.parametrize("shape", [(1, 4), (4, 1), (1, 1)])
@pytest.mark.parametrize("method", ["auto", "newton", "newton_direct", "sinkhorn"])
def test_one_point(rng, shape, method):
    cost = rng.random(shape)
    a, b = np.full(shape[0], 2 / shape[0]), np.full(shape[1], 2 / shape[1])
    result = sinkhorn(a, b, cost, 0.01, method=method)
    np.testing.assert_allclose(result.plan, np.outer(a, b) / 2)


def test_constant_cost(rng):
    a = rng.random(5)
    a /= a.sum()
    result = sinkhorn(a, a, np.full((5, 5), 3.0), 0.01)
    np.testing.assert_allclose(result.plan, np.outer(a, a))
    assert result.n_passes <= 3


def test_identical_clouds_and_duplicates(rng):
    X = np.repeat(rng.random((10, 2)), 3, axis=0)
    cost = ((X[:, None] - X) ** 2).sum(-1)
    result = sinkhorn(None, None, cost, 1e-3)
    assert result.converged
    assert np.all(np.isfinite(result.plan))


@pytest.mark.parametrize(
    "bad", [M.astype(complex), M.astype(object), M.astype(str), M.astype(np.float16)]
)
def test_wrong_dtypes(bad):
    with pytest.raises(TypeError, match="`M` must be"):
        sinkhorn(A, A, bad, 0.1)


def test_sparse_cost():
    with pytest.raises(TypeError, match="`M` must be a dense array"):
        sinkhorn(A, A, sp.csr_array(M), 0.1)


def test_integers_and_lists():
    result = sinkhorn([1, 1], [1, 1], [[0, 1], [1, 0]], 1)
    assert result.plan.dtype == np.float64
    assert result.plan.sum() == pytest.approx(2)


def test_empty():
    with pytest.raises(ValueError, match="non-empty"):
        sinkhorn([], [], np.zeros((0, 0)), 0.1)


@pytest.mark.parametrize("order", ["C", "F"])
def test_layouts_are_accepted_and_nothing_is_mutated(rng, order):
    cost = np.array(rng.random((8, 6)), order=order)
    views = [
        cost,
        cost[::2, ::-1],
        np.lib.stride_tricks.as_strided(cost, cost.shape, cost.strides),
    ]
    for view in views:
        before = view.copy()
        view.flags.writeable = False
        result = sinkhorn(None, None, view, 0.1)
        assert result.converged
        np.testing.assert_array_equal(view, before)
        np.testing.assert_allclose(
            result.plan, sinkhorn(None, None, before.copy(), 0.1).plan, atol=1e-12
        )


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"method": "magic"}, ValueError, "one of 'auto', 'newton'"),
        ({"tol": -1.0}, ValueError, "`tol`"),
        ({"max_iter": 0}, ValueError, "`max_iter`"),
        ({"max_iter": 1.5}, TypeError, "`max_iter`"),
        ({"scaling": 0.5}, ValueError, "`scaling`"),
        ({"callback": 3}, TypeError, "`callback`"),
        ({"verbose": 7}, ValueError, "`verbose`"),
        ({"dtype": "int8"}, ValueError, "`dtype`"),
        ({"n_threads": 0}, ValueError, "`n_threads`"),
        ({"warmstart": 3}, TypeError, "`warmstart`"),
        ({"warmstart": ([0.0], [0.0])}, ValueError, "`warmstart`"),
        ({"warmstart": ([0.0, math.nan], [0.0, 0.0])}, ValueError, "`warmstart`"),
        ({"density": 0.0}, ValueError, "`density`"),
        ({"max_support": 0}, ValueError, "`max_support`"),
        ({"tau": 1.0}, ValueError, "`tau`"),
    ],
)
def test_options(options, error, match):
    with pytest.raises(error, match=match):
        sinkhorn(A, A, M, 0.1, **options)


def test_mixed_libraries():
    strict = pytest.importorskip("array_api_strict")
    with pytest.raises(TypeError, match="array_api_strict and numpy"):
        sinkhorn(A, A, strict.asarray(M), 0.1)
