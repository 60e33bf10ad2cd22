# SPDX-License-Identifier: BSD-3-Clause
"""Clouds: the same answers as with a matrix, in memory of the size of the clouds."""

import pickle
import tracemalloc

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from numopt._array.namespace import to_numpy
from numopt.exceptions import ConvergenceWarning
from numopt.ot import sinkhorn, sinkhorn_points
from tests.backends import assert_xp_close

METRICS = ("sqeuclidean", "euclidean", "cityblock", "cosine")
TOL = 1e-9


def clouds(n=90, m=70, d=2, seed=0):
    rng = np.random.default_rng(seed)
    X, Y = rng.random((n, d)) + 0.1, rng.random((m, d)) ** 1.5 + 0.2
    a, b = rng.random(n) + 0.2, rng.random(m) + 0.2
    return X, Y, a / a.sum(), b / b.sum()


def assert_same(result, desired, reg):
    """Compare solutions at a marginal error of TOL, up to a shift of potentials."""
    assert result.converged
    np.testing.assert_allclose(result.plan, desired.plan, atol=100 * TOL)
    assert result.value == pytest.approx(desired.value, abs=1e3 * TOL)
    assert result.value_linear == pytest.approx(desired.value_linear, abs=1e3 * TOL)
    assert result.dual_value == pytest.approx(desired.dual_value, abs=1e3 * TOL)
    shift = np.mean(result.f - desired.f)
    np.testing.assert_allclose(result.f - shift, desired.f, atol=1e-5 * reg)
    np.testing.assert_allclose(result.g + shift, desired.g, atol=1e-5 * reg)


@pytest.mark.parametrize("d", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("metric", METRICS)
def test_agrees_with_the_matrix(metric, d):
    X, Y, a, b = clouds(d=d)
    if metric == "cosine" and d == 1:
        X[::2] *= -1.0
    M = cdist(X, Y, metric)
    reg = 0.02 * (M.max() - M.min())
    result = sinkhorn_points(X, Y, reg, a=a, b=b, metric=metric, tol=TOL)
    assert_same(result, sinkhorn(a, b, M, reg, tol=TOL), reg)
    np.testing.assert_allclose(result.problem.M, M, atol=1e-12)


@pytest.mark.parametrize("method", ["newton", "sinkhorn", "auto"])
def test_methods_and_sides(method):
    X, Y, a, b = clouds(60, 150, 3)
    reg = 0.1
    result = sinkhorn_points(X, Y, reg, a=a, b=b, method=method, tol=TOL)
    desired = sinkhorn(a, b, cdist(X, Y, "sqeuclidean"), reg, tol=TOL)
    assert_same(result, desired, reg)


def test_coarse_clouds_and_leaves_change_nothing():
    X, Y, _, _ = clouds(1100, 1000, 2, seed=1)
    reg = 3e-3
    result = sinkhorn_points(X, Y, reg, tol=TOL)
    assert result.nnz < 0.3 * 1.1e6
    desired = sinkhorn(None, None, cdist(X, Y, "sqeuclidean"), reg, tol=TOL)
    assert_same(result, desired, reg)


def test_supports_above_the_cap_are_streamed():
    X, Y, a, b = clouds(600, 550)
    reg = 5e-3
    result = sinkhorn_points(X, Y, reg, a=a, b=b, tol=TOL, max_support=1000)
    assert result.nnz == 600 * 550
    assert_same(result, sinkhorn(a, b, cdist(X, Y) ** 2, reg, tol=TOL), reg)


def test_products_and_maps():
    X, Y, a, b = clouds()
    result = sinkhorn_points(X, Y, 0.01, a=a, b=b, tol=1e-12)
    P = result.plan
    rng = np.random.default_rng(1)
    V, W = rng.random((Y.shape[0], 3)), rng.random(X.shape[0])
    np.testing.assert_allclose(result.apply(V), P @ V, atol=1e-14)
    np.testing.assert_allclose(result.apply(V[:, 0]), P @ V[:, 0], atol=1e-14)
    np.testing.assert_allclose(result.apply_t(W), P.T @ W, atol=1e-14)
    mean = P @ Y / P.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(result.barycentric(Y), mean, atol=1e-11)
    np.testing.assert_allclose(result.transport(X), mean, atol=1e-10)
    np.testing.assert_allclose(result.transport(X[3:5]), mean[3:5], atol=1e-10)
    sparse = result.plan_sparse(1e-6)
    np.testing.assert_allclose(sparse.toarray(), np.where(P > 1e-6, P, 0), atol=1e-14)
    np.testing.assert_allclose(result.plan_sparse(0.0).toarray(), P, atol=1e-14)


@pytest.mark.parametrize("metric", METRICS)
def test_gradients_in_the_points(metric):
    X, Y, a, b = clouds(13, 11, 3, seed=2)
    reg, h = 0.05, 1e-5

    def value(X, Y):
        return sinkhorn_points(X, Y, reg, a=a, b=b, metric=metric, tol=1e-13).value

    result = sinkhorn_points(X, Y, reg, a=a, b=b, metric=metric, tol=1e-13)
    rng = np.random.default_rng(3)
    dX, dY = rng.standard_normal(X.shape), rng.standard_normal(Y.shape)
    slope = (value(X + h * dX, Y) - value(X - h * dX, Y)) / (2 * h)
    scale = np.abs(result.grad_X).sum()
    assert np.sum(result.grad_X * dX) == pytest.approx(slope, abs=1e-5 * scale)
    slope = (value(X, Y + h * dY) - value(X, Y - h * dY)) / (2 * h)
    assert np.sum(result.grad_Y * dY) == pytest.approx(slope, abs=1e-5 * scale)


def test_zero_weights():
    X, Y, a, b = clouds(40, 50)
    a[::3], b[1::4] = 0.0, 0.0
    a, b = 3.0 * a / a.sum(), 3.0 * b / b.sum()
    result = sinkhorn_points(X, Y, 0.02, a=a, b=b, tol=TOL)
    desired = sinkhorn(a, b, cdist(X, Y) ** 2, 0.02, tol=TOL)
    assert_same(result, desired, 0.02)
    assert np.all(result.plan[::3] == 0.0)
    np.testing.assert_allclose(result.barycentric(Y), desired.barycentric(Y), atol=1e-7)
    np.testing.assert_allclose(result.apply_t(X), desired.apply_t(X), atol=1e-7)


def test_tiny_weights_keep_their_potentials():
    X, Y, a, b = clouds(1300, 700, seed=4)
    a[::5] *= 1e-14
    b[::7] *= 1e-12
    a, b = a / a.sum(), b / b.sum()
    reg = 2e-3
    result = sinkhorn_points(X, Y, reg, a=a, b=b, tol=TOL)
    desired = sinkhorn(a, b, cdist(X, Y) ** 2, reg, tol=TOL)
    sums = result.apply_t(np.ones(1300))
    # a column of tiny weight counts little in the error, but must not be lost
    assert np.max(np.abs(np.log(sums / b))) < 0.1
    np.testing.assert_allclose(result.plan, desired.plan, atol=100 * TOL)


def test_warm_start_and_callback():
    X, Y, a, b = clouds(300, 280)
    seen = []
    cold = sinkhorn_points(X, Y, 0.01, a=a, b=b, callback=lambda i: seen.append(i.eps))
    assert seen[-1] == 0.01
    for start in (cold, (cold.f, cold.g)):
        warm = sinkhorn_points(X, Y, 0.01, a=a, b=b, warmstart=start)
        assert warm.n_passes <= 2


def test_sequences_are_cheap():
    X, Y, _, _ = clouds(700, 700)
    result = sinkhorn_points(X, Y, 0.01)
    for _ in range(3):
        X = X + 0.002 * np.sin(7.0 * X[:, ::-1])
        result = sinkhorn_points(X, Y, 0.01, warmstart=result)
        assert result.converged
        assert result.n_passes <= 6


def test_backends(backend):
    X, Y, a, b = clouds(40, 30, 5)
    reg = 0.1
    desired = sinkhorn_points(X, Y, reg, a=a, b=b, tol=TOL)
    result = sinkhorn_points(
        *(backend.asarray(x, x.dtype) for x in (X, Y)),
        reg,
        a=backend.asarray(a, a.dtype),
        b=backend.asarray(b, b.dtype),
        tol=TOL,
        batch_size=7,
    )
    assert result.converged
    like = backend.asarray(X, X.dtype)
    for name in ("plan", "grad_X", "grad_Y"):
        actual = getattr(result, name)
        assert_xp_close(actual, getattr(desired, name), like=like, atol=1e-6)
    actual = result.transport(backend.asarray(X[:3], X.dtype))
    assert_xp_close(actual, desired.transport(X[:3]), like=like, atol=1e-6)
    assert result.value_linear == pytest.approx(desired.value_linear, abs=1e-6)
    dense = to_numpy(result.plan)
    np.testing.assert_allclose(result.plan_sparse().toarray(), dense, atol=1e-12)


def test_float32_in_float32_out():
    X, Y, _, _ = clouds(200, 150)
    desired = sinkhorn_points(X, Y, 0.01)
    result = sinkhorn_points(X.astype("float32"), Y.astype("float32"), 0.01)
    for name in ("f", "g", "plan", "grad_X"):
        actual = getattr(result, name)
        assert actual.dtype == np.float32
        scale = np.max(np.abs(getattr(desired, name)))
        np.testing.assert_allclose(actual, getattr(desired, name), atol=1e-3 * scale)
    assert result.marginal_error <= 1e-6
    assert sinkhorn_points(X, Y, 0.01, dtype="float32").f.dtype == np.float32


@pytest.mark.parametrize("n", [1, 2, 65])
def test_degenerate_clouds(n):
    X = np.ones((n, 2))
    result = sinkhorn_points(X, X[:1] + 1.0, 1e-3)
    np.testing.assert_allclose(result.plan, np.full((n, 1), 1.0 / n))
    same = sinkhorn_points(X, X, 1e-3)
    np.testing.assert_allclose(same.plan, np.full((n, n), 1.0 / n**2))


def test_extreme_regularisation_is_solved_or_says_so():
    X, Y, _, _ = clouds(120, 110)
    result = sinkhorn_points(X, Y, 1e-6, max_iter=60, warn=False)
    assert np.all(np.isfinite(result.f))
    assert np.all(np.isfinite(result.g))
    assert np.isfinite(result.marginal_error)


def test_offsets_far_from_the_origin():
    X, Y, a, b = clouds(100, 90, 6)
    desired = sinkhorn_points(X, Y, 0.05, a=a, b=b, tol=TOL)
    moved = sinkhorn_points(X + 1e5, Y + 1e5, 0.05, a=a, b=b, tol=TOL)
    np.testing.assert_allclose(moved.plan, desired.plan, atol=1e-7)


@pytest.mark.parametrize(
    ("n", "part"), [(3000, 0.5), pytest.param(20_000, 0.1, marks=pytest.mark.slow)]
)
def test_memory_is_that_of_the_support(n, part):
    X, Y, _, _ = clouds(n, n, seed=5)
    sinkhorn_points(X[:600], Y[:600], 2e-3)
    tracemalloc.start()
    result = sinkhorn_points(X, Y, 2e-4)
    result.barycentric(Y)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert result.converged
    assert peak < part * 8 * n * n


def test_threads_change_no_bit():
    X, Y, _, _ = clouds(900, 800)
    one = sinkhorn_points(X, Y, 2e-3, n_threads=1)
    two = sinkhorn_points(X, Y, 2e-3, n_threads=2)
    np.testing.assert_array_equal(one.f, two.f)
    np.testing.assert_array_equal(one.grad_X, two.grad_X)


def test_result_is_pickled():
    X, Y, _, _ = clouds(30, 20)
    result = sinkhorn_points(X, Y, 0.1)
    again = pickle.loads(pickle.dumps(result))
    np.testing.assert_array_equal(again.barycentric(Y), result.barycentric(Y))


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"reg": 0.0}, ValueError, "`reg`"),
        ({"metric": "minkowski"}, ValueError, "`metric` must be one of"),
        ({"method": "sns"}, ValueError, "`method` must be one of"),
        ({"X": np.ones(4)}, ValueError, r"reshape\(-1, 1\)"),
        ({"X": np.ones((4, 3))}, ValueError, "`X` and `Y`"),
        ({"X": np.ones((0, 2))}, ValueError, "`X`"),
        ({"X": np.full((4, 2), np.nan)}, ValueError, "`X`"),
        ({"X": [["a", "b"]]}, TypeError, "`X`"),
        ({"X": np.zeros((4, 2)), "metric": "cosine"}, ValueError, "cosine"),
        ({"a": np.ones(3)}, ValueError, "`a`"),
        ({"a": -np.ones(4)}, ValueError, "`a`"),
        ({"a": np.full(4, 2.0)}, ValueError, "sum"),
        ({"batch_size": 0}, ValueError, "`batch_size`"),
        ({"warmstart": 3}, TypeError, "`warmstart`"),
        ({"warmstart": (np.ones(2), np.ones(3))}, ValueError, "`warmstart`"),
        ({"max_support": 0}, ValueError, "`max_support`"),
    ],
)
def test_bad_input(change, error, words):
    arguments = {"X": np.ones((4, 2)), "Y": np.ones((3, 2)), "reg": 1.0} | change
    with pytest.raises(error, match=words):
        sinkhorn_points(**arguments)


def test_bad_new_points():
    X, Y, _, _ = clouds(10, 12)
    result = sinkhorn_points(X, Y, 0.1)
    with pytest.raises(ValueError, match="`X_new`"):
        result.transport(np.ones((0, 2)))
    with pytest.raises(ValueError, match="`X_new`"):
        result.transport(np.ones((4, 3)))
    with pytest.raises(ValueError, match="`X_new`"):
        result.transport(np.full((4, 2), np.inf))


def test_a_run_that_is_cut_short_warns():
    X, Y, _, _ = clouds(50, 40)
    with pytest.warns(ConvergenceWarning, match="sinkhorn_points"):
        result = sinkhorn_points(X, Y, 1e-3, max_iter=2, method="sinkhorn")
    assert not result.converged
