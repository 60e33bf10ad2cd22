# SPDX-License-Identifier: BSD-3-Clause
"""Sparse columns: responses by brute force, duality, limits, peers, hostile input."""

import itertools
import math

import numpy as np
import pytest

from numopt._array.namespace import to_numpy
from numopt.exceptions import ConvergenceWarning, InfeasibleError
from numopt.ot import ot_exact, sparse_ot
from numopt.ot._kernels.sparse import (
    sparse_hessian_product,
    sparse_response,
    sparse_sweep,
)
from numopt.ot._solvers.sparse_supports import feasible_supports


def _problem(rng, n, m):
    X, Y = rng.random((n, 2)), rng.random((m, 2)) ** 1.5
    a, b = rng.random(n) + 0.2, rng.random(m) + 0.2
    return a / a.sum(), b / b.sum(), ((X[:, None] - Y) ** 2).sum(axis=-1)


def _respond(alpha, M, b, reg, k):
    m = M.shape[1]
    buffers = (
        np.zeros((m, k), np.int32),
        np.zeros((m, k)),
        np.zeros(m, np.int32),
        np.zeros(m),
    )
    rows = sparse_response(alpha, np.ascontiguousarray(M.T), b, reg, *buffers)
    plan = np.zeros(M.shape)
    for j, size in enumerate(buffers[2]):
        plan[buffers[0][j, :size], j] = buffers[1][j, :size]
    return rows, plan, buffers[3], buffers


def _project_simplex(x, total):
    ordered = np.sort(x)[::-1]
    thresholds = (np.cumsum(ordered) - total) / np.arange(1, x.size + 1)
    return np.maximum(x - thresholds[ordered > thresholds][-1], 0.0)


@pytest.mark.parametrize("k", [1, 2, 3, 6])
@pytest.mark.parametrize("reg", [0.01, 1.0, 50.0])
def test_response_is_the_best_of_all_supports(rng, k, reg):
    _, b, M = _problem(rng, 6, 5)
    alpha = 0.1 * rng.standard_normal(6)
    rows, plan, value, _ = _respond(alpha, M, b, reg, k)
    np.testing.assert_allclose(plan.sum(axis=0), b, rtol=1e-13)
    np.testing.assert_allclose(plan.sum(axis=1), rows, atol=1e-14)
    assert ((plan > 0).sum(axis=0) <= k).all()
    for j in range(5):
        best = -math.inf
        for support in itertools.combinations(range(6), k):
            score = (alpha - M[:, j])[list(support)]
            t = _project_simplex(score / reg, b[j])
            best = max(best, score @ t - reg / 2 * t @ t)
        np.testing.assert_allclose(value[j], best, atol=1e-13)


def test_response_breaks_ties_by_index():
    b = np.array([1.0])
    _, plan, _, _ = _respond(np.zeros(7), np.zeros((7, 1)), b, 3.0, 2)
    assert plan[:, 0].tolist() == [0.5, 0.5, 0, 0, 0, 0, 0]


def test_sweep_descends_column_by_column(rng):
    a, b, M = _problem(rng, 7, 5)
    alpha, reg, penalty, k = 0.1 * rng.standard_normal(7), 1.0, 0.7, 3
    _, before, _, (index, mass, size, _) = _respond(alpha, M, b, reg, k)

    def lagrangian(plan):
        missing = a - plan.sum(axis=1)
        linear = np.sum(plan * (M - alpha[:, None]))
        return linear + reg / 2 * np.sum(plan**2) + penalty / 2 * missing @ missing

    cost_t = np.ascontiguousarray(M.T)
    missing = a - before.sum(axis=1)
    values = [lagrangian(before)]
    for _ in range(3):
        missing = sparse_sweep(
            alpha, cost_t, b, reg, penalty, missing, index, mass, size
        )
        plan = np.zeros(M.shape)
        for j in range(5):
            plan[index[j, : size[j]], j] = mass[j, : size[j]]
        np.testing.assert_allclose(missing, a - plan.sum(axis=1), atol=1e-14)
        values.append(lagrangian(plan))
    assert np.all(np.diff(values) <= 1e-14)
    # The last column is the best of all supports, given the others.
    others = a - plan[:, :-1].sum(axis=1)
    best = math.inf
    for support in map(list, itertools.combinations(range(7), k)):
        wish = (alpha + penalty * others - M[:, -1])[support] / (reg + penalty)
        trial = plan.copy()
        trial[:, -1] = 0.0
        trial[support, -1] = _project_simplex(wish, b[-1])
        best = min(best, lagrangian(trial))
    np.testing.assert_allclose(values[-1], best, atol=1e-13)


def test_hessian_is_the_derivative_of_the_row_sums(rng):
    _, b, M = _problem(rng, 12, 9)
    alpha, d, h = 0.1 * rng.standard_normal(12), rng.standard_normal(12), 1e-7
    reg = 1.0
    _, _, _, (index, _, size, _) = _respond(alpha, M, b, reg, 4)
    product = sparse_hessian_product(index, size, d) / reg
    moved = [_respond(alpha + s * h * d, M, b, reg, 4)[0] for s in (1, -1)]
    np.testing.assert_allclose(product, (moved[0] - moved[1]) / (2 * h), atol=1e-6)


@pytest.mark.parametrize(("k", "reg"), [(40, 1.0), (40, 0.05), (6, 1.0), (8, 20.0)])
def test_certificate(rng, k, reg):
    a, b, M = _problem(rng, 40, 30)
    result = sparse_ot(a, b, M, reg, k, tol=1e-9)
    P = result.plan
    assert result.converged
    np.testing.assert_allclose(P.sum(axis=0), b, rtol=1e-12)
    np.testing.assert_allclose(P.sum(axis=1), a, atol=2e-9)
    assert ((P > 0).sum(axis=0) <= k).all()
    assert (P >= 0).all()
    value = np.sum(P * M) + reg / 2 * np.sum(P**2)
    np.testing.assert_allclose(result.value, value, rtol=1e-12)
    np.testing.assert_allclose(result.gap, value - result.dual_value, atol=1e-12)
    assert -1e-8 <= result.gap <= 0.05 * value
    assert result.nnz == np.count_nonzero(P)


@pytest.mark.parametrize(("k", "reg"), [(3, 0.1), (3, 1.0), (3, 20.0), (4, 20.0)])
@pytest.mark.parametrize("seed", range(5))
def test_narrow_columns_meet_the_rows(seed, k, reg):
    # A plan in general position needs n + m - 1 = 69 of the at most 90 nonzeros.
    a, b, M = _problem(np.random.default_rng(seed), 40, 30)
    result = sparse_ot(a, b, M, reg, k)
    assert result.converged
    P = result.plan
    assert ((P > 0).sum(axis=0) <= k).all()
    np.testing.assert_allclose(P.sum(axis=0), b, rtol=1e-9)
    np.testing.assert_allclose(P.sum(axis=1), a, atol=2e-9)
    assert result.gap >= -1e-8


def test_supports_are_exchanged_until_a_plan_fits():
    # Both columns want the first row only; with one entry each there is one plan.
    score = np.array([[1.0, 0.0], [1.0, 0.5]])
    found = feasible_supports(score, np.array([0.5, 0.5]), np.array([0.5, 0.5]), 1)
    assert found.feasible
    assert found.index[:, 0].tolist() == [0, 1]
    np.testing.assert_allclose(found.plan(2), [[0.5, 0.0], [0.0, 0.5]])


def test_supports_say_what_they_miss():
    score = np.zeros((1, 3))
    found = feasible_supports(score, np.array([0.5, 0.3, 0.2]), np.array([1.0]), 2)
    assert not found.feasible
    # The column leaves out what the third row wanted, on both sides of the program.
    assert found.unmet == pytest.approx(0.4)


def test_all_rows_allowed_is_quadratic_transport(rng):
    a, b, M = _problem(rng, 25, 20)
    reg = 2.0
    result = sparse_ot(a, b, M, reg, 25, tol=1e-11)
    f, g = result.f, result.g
    # KKT: P = max(f + g - M, 0) / reg, and no gap
    formula = np.maximum(f[:, None] + g - M, 0.0) / reg
    np.testing.assert_allclose(result.plan, formula, atol=1e-9)
    assert abs(result.gap) < 1e-9


def test_quadratic_transport_equals_pot(rng):
    ot = pytest.importorskip("ot")
    a, b, M = _problem(rng, 25, 20)
    theirs = ot.smooth.smooth_ot_semi_dual(a, b, M, 2.0, stopThr=1e-12)
    ours = sparse_ot(a, b, M, 2.0, 25)
    np.testing.assert_allclose(ours.plan, theirs, atol=1e-4)


def test_bound_of_pot_is_not_better(rng):
    smooth = pytest.importorskip("ot.smooth")
    a, b, M = _problem(rng, 25, 20)
    ours = sparse_ot(a, b, M, 20.0, 5)
    regul = smooth.SparsityConstrained(5, 20.0)
    value, _ = smooth.semi_dual_obj_grad(ours.f, a, b, M, regul)
    np.testing.assert_allclose(value, ours.dual_value, rtol=1e-9)
    best, _ = smooth.solve_semi_dual(a, b, M, regul, tol=1e-12)
    value, _ = smooth.semi_dual_obj_grad(best, a, b, M, regul)
    assert ours.dual_value >= value - 1e-4 * abs(value)


def test_one_nonzero_has_the_dual_of_unregularised_transport(rng):
    n, m, reg = 8, 400, 0.5
    a, b, M = _problem(rng, n, m)
    result = sparse_ot(a, b, M, reg, 1, warn=False)
    linear = ot_exact(a, b, M).value
    bound = result.dual_value - reg / 2 * np.sum(b**2)
    assert bound <= linear + 1e-9
    np.testing.assert_allclose(bound, linear, rtol=1e-3)
    assert ((result.plan > 0).sum(axis=0) == 1).all()


def test_small_regularisation_is_exact_transport(rng):
    a, b, M = _problem(rng, 30, 30)
    result = sparse_ot(a, b, M, 1e-2, 30, tol=1e-6)
    linear = ot_exact(a, b, M).value
    assert linear - 1e-6 <= result.value_linear <= linear + 1e-2 / 2
    assert result.nnz <= 90


def test_too_few_nonzeros_are_reported(rng):
    a, b, M = _problem(rng, 40, 20)  # 20 nonzeros cannot reach 40 rows
    with pytest.warns(ConvergenceWarning, match="sparse_ot"):
        result = sparse_ot(a, b, M, 1.0, 1)
    assert not result.converged
    assert result.marginal_error > 0.1
    np.testing.assert_allclose(result.plan.sum(axis=0), b, rtol=1e-12)


def test_mass_and_zero_weights(rng):
    a, b, M = _problem(rng, 20, 15)
    a[3] = b[4] = 0.0
    b *= a.sum() / b.sum()
    one = sparse_ot(a, b, M, 1.0, 6)
    assert one.converged
    assert np.all(one.plan[3] == 0)
    assert np.all(one.plan[:, 4] == 0)
    assert np.all(np.isfinite(one.f))
    assert np.all(np.isfinite(one.g))
    # (s a, s b, reg / s) scales the plan
    two = sparse_ot(3 * a, 3 * b, M, 1.0 / 3, 6)
    np.testing.assert_allclose(two.plan, 3 * one.plan, atol=1e-6)
    np.testing.assert_allclose(two.dual_value, 3 * one.dual_value, rtol=1e-6)


def test_forbidden_pairs(rng):
    a, b, M = _problem(rng, 20, 15)
    M[rng.random(M.shape) < 0.2] = math.inf
    result = sparse_ot(a, b, M, 1.0, 6)
    assert result.converged
    assert np.all(result.plan[~np.isfinite(M)] == 0)
    M[:, 2] = math.inf
    with pytest.raises(InfeasibleError, match="infeasible support"):
        sparse_ot(a, b, M, 1.0, 6)


def test_constant_cost_and_single_points():
    flat = sparse_ot(None, None, np.ones((4, 4)), 1.0, 4)
    np.testing.assert_allclose(flat.plan, 1 / 16, atol=1e-9)
    assert sparse_ot([2.0], [0.5, 1.5], [[1.0, 3.0]], 1.0, 1).plan.tolist() == [
        [0.5, 1.5]
    ]


def test_every_array_library(backend, rng):
    a, b, M = _problem(rng, 12, 9)
    expected = sparse_ot(a, b, M, 0.5, 5)
    result = sparse_ot(*map(backend.asarray, (a, b, M)), 0.5, 5)
    assert type(result.plan) is type(backend.asarray(M))
    np.testing.assert_allclose(to_numpy(result.plan), expected.plan, atol=1e-9)


def test_warm_start_and_callback(rng):
    a, b, M = _problem(rng, 40, 30)
    first = sparse_ot(a, b, M, 1.0, 40)
    again = sparse_ot(a, b, M, 1.0, 40, warmstart=first)
    assert again.n_iter <= 3
    seen = []

    def stop_at_two(info):
        seen.append(info.n_iter)
        return len(seen) == 2

    stopped = sparse_ot(a, b, M, 1.0, 40, callback=stop_at_two)
    assert stopped.status == "callback"
    assert len(seen) == 2


def test_float32(rng):
    a, b, M = (x.astype(np.float32) for x in _problem(rng, 20, 15))
    result = sparse_ot(a, b, M, 1.0, 6)
    assert result.plan.dtype == np.float32
    assert result.converged


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"reg": 0}, "`reg` must be"),
        ({"max_nz": 0}, "`max_nz` must be"),
        ({"max_nz": 3}, "`max_nz` must be"),
        ({"a": [-1.0, 2.0]}, "`a` must be"),
        ({"b": [5.0, 5.0]}, "sum"),
        ({"M": [[0.0, 1.0]]}, "`M` must be of shape"),
        ({"warmstart": [0.0]}, "`warmstart` must be of shape"),
    ],
)
def test_bad_input(change, match):
    given = {
        "a": [0.5, 0.5],
        "b": [0.5, 0.5],
        "M": [[0.0, 1.0], [1.0, 0.0]],
        "reg": 0.1,
        "max_nz": 1,
    }
    with pytest.raises(ValueError, match=match):
        sparse_ot(**(given | change))
