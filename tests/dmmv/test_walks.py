# SPDX-License-Identifier: BSD-3-Clause
"""Walks, paths between points, sparse columns, and interrupts of every search."""

import numpy as np
import pytest
import scipy.sparse as sp

from numopt.dmmv import (
    DiscreteTomography,
    balance_vectors,
    max_violation,
    minimize_max_violation,
    minimize_max_violation_general,
)
from numopt.dmmv._kernels import polish_sparse, record_walk
from numopt.dmmv._problem import core as core_room
from numopt.dmmv._problem.core import make_core
from numopt.dmmv._problem.data import MinMaxProblem
from numopt.dmmv._solvers import walks
from tests.dmmv.problems import brute_force, gaussian

METHODS = ("auto", "round", "babai", "beam", "anneal", "record", "tabu", "polish")


def sparse_problem(m=30, n=40):
    rng = np.random.default_rng(0)
    A = sp.random_array((m, n), density=0.15, random_state=rng, format="csc")
    return A, A @ rng.integers(0, 2, n) + rng.uniform(-0.05, 0.05, m)


@pytest.mark.parametrize("tabu", [False, True])
def test_record_walk_keeps_the_best_it_saw(tabu):
    A, b = gaussian(0, 12, 6)
    core = make_core(MinMaxProblem.from_arrays(A, b, (0, 3)))
    k = core.k_low.copy()
    start = float(core.violations(k))
    unit, table = np.eye(6, dtype=np.int64), np.zeros((6, 0))
    found, value = record_walk(
        core.At, unit, table, core.k_low, core.k_high, core.lower, core.upper, k,
        core.response(k), 0.6, 0.003, tabu, 20_000, 3,
    )  # fmt: skip
    assert value == pytest.approx(float(core.violations(found)))
    assert value < start
    assert np.all((found >= core.k_low) & (found <= core.k_high))


@pytest.mark.parametrize("method", ["record", "tabu"])
def test_record_and_tabu_methods_reach_binary_optima(method):
    A, b = gaussian(1, 12, 9, high=1)
    best = brute_force(A, b, [(0, 1)] * 9)
    result = minimize_max_violation(A, b, (0, 1), method=method, max_iter=3)
    assert best - 1e-12 <= result.violation <= 1.1 * best + 1e-12


def test_path_stays_between_its_ends_and_takes_what_the_sum_prefers():
    core = make_core(MinMaxProblem.from_arrays(np.eye(4), [0.6] * 4, (0, 1)))
    rng = np.random.default_rng(0)
    low, high = core.k_low, core.k_high
    between = walks._best_between(core, low, high, rng)
    assert 0 < np.count_nonzero(between != low) < 4
    assert walks._best_between(core, low, low, rng) is None
    one_step = low.copy()
    one_step[0] = high[0]
    assert walks._best_between(core, low, one_step, rng) is None


def test_path_tries_a_part_where_a_table_of_all_is_too_large(monkeypatch):
    A, b = gaussian(0, 20, 30, high=1)
    core = make_core(MinMaxProblem.from_arrays(A, b, (0, 1)))
    monkeypatch.setattr(walks, "LARGEST_TABLE", 5 * core.m)
    rng, low, high = np.random.default_rng(0), core.k_low, core.k_high
    between = walks._best_between(core, low, high, rng)
    assert 0 < np.count_nonzero(between != low) < np.count_nonzero(high != low)
    assert np.all((between == low) | (between == high))


def test_stalled_search_follows_a_path(monkeypatch):
    from numopt.dmmv._solvers import rounds

    calls = []
    inner = rounds.relink_round

    def spy(*args):
        calls.append(args)
        inner(*args)

    monkeypatch.setattr(rounds, "relink_round", spy)
    # Fewer rows than variables: nothing is proved before the search stalls.
    A, b = gaussian(0, 10, 12)
    minimize_max_violation(A, b, (0, 3), max_iter=12, beam_width=50)
    assert calls


def test_sparse_descent_is_strict_and_ends_where_no_move_or_mend_helps():
    A, b = sparse_problem()
    n = A.shape[1]
    by_row = A.tocsr()
    index = [x.astype(np.int64) for x in (A.indptr, A.indices)]
    rows = [x.astype(np.int64) for x in (by_row.indptr, by_row.indices)]
    low, high = np.zeros(n, np.int64), np.ones(n, np.int64)

    def descend(k, goal, moves):
        args = (*index, A.data, *rows, np.zeros((n, 0)), low, high, b, b, k, 4)
        return polish_sparse(*args, True, goal, moves)[0]

    def value(k):
        return np.abs(A @ k - b).max()

    k = np.zeros(n, np.int64)
    values = [value(k)]
    for _ in range(200):
        k = descend(k, 0.0, 1)
        values.append(value(k))
        if values[-1] == values[-2]:
            break
    assert np.all(np.diff(values) <= 1e-12)
    assert values[-1] < 0.8 * values[0]
    for j in range(n):  # no single move is left that lowers the maximum
        other = k.copy()
        other[j] = 1 - other[j]
        assert value(other) >= values[-1] * (1 - 1e-9)
    assert value(descend(np.zeros(n, np.int64), 0.9 * values[0], 1000)) >= values[-1]


@pytest.mark.parametrize("method", ["auto", "polish", "babai", "beam", "milp"])
def test_methods_on_large_sparse_matrices(method, monkeypatch):
    A, b = sparse_problem()
    dense = minimize_max_violation(A, b, (0, 1), method="round")
    monkeypatch.setattr(core_room, "LARGEST_DENSE", 0)
    limit = {"time_limit": 1.0} if method == "milp" else {"max_iter": 2}
    x0 = np.zeros(A.shape[1]) if method == "polish" else None
    result = minimize_max_violation(A, b, (0, 1), method=method, x0=x0, **limit)
    assert result.violation == pytest.approx(max_violation(A, result.x, b))
    assert result.violation <= dense.violation * (1 + 1e-9)
    assert result.lower_bound <= result.violation


def test_sparse_beam_is_the_dense_one(monkeypatch):
    rng = np.random.default_rng(0)
    A, b = rng.standard_normal((30, 8)), rng.standard_normal(30)
    dense = minimize_max_violation(A, b, (-2, 2), method="babai")
    monkeypatch.setattr(core_room, "LARGEST_DENSE", 0)
    sparse = minimize_max_violation(sp.csc_array(A), b, (-2, 2), method="babai")
    assert sparse.violation == pytest.approx(dense.violation)


def test_what_sparse_matrices_cannot_do_is_said(monkeypatch):
    from numopt.dmmv._solvers import beam

    A, b = sparse_problem()
    monkeypatch.setattr(core_room, "LARGEST_DENSE", 0)
    monkeypatch.setattr(beam, "LARGEST_FACTOR", 10)
    with pytest.raises(ValueError, match="at most 10 variables"):
        minimize_max_violation(A, b, (0, 1), method="beam")
    with pytest.raises(ValueError, match="fit in dense form"):
        minimize_max_violation(A, b, (0, 1), method="record")


@pytest.mark.parametrize("method", METHODS)
def test_every_method_returns_its_best_when_stopped(method):
    A, b = gaussian(0, 30, 20)
    options = {"method": method, "x0": np.ones(20), "max_iter": 3}
    start = max_violation(A, np.ones(20), b)
    result = minimize_max_violation(A, b, (0, 3), callback=lambda info: True, **options)
    assert (result.status, result.converged) == ("callback", False)
    assert result.violation <= start


def interrupted(*args, **options):
    raise KeyboardInterrupt


@pytest.mark.parametrize("method", METHODS)
def test_every_method_survives_an_interrupt(method, monkeypatch):
    from numopt.dmmv._solvers import rounds

    A, b = gaussian(0, 30, 20)
    monkeypatch.setattr(rounds, "relax", interrupted)
    result = minimize_max_violation(A, b, (0, 3), method=method, x0=np.ones(20))
    assert result.status == "callback"
    assert "interrupted" in result.message
    assert result.violation == pytest.approx(max_violation(A, result.x, b))


def test_other_searches_survive_an_interrupt(monkeypatch):
    from numopt.dmmv._solvers import balance, general, tomography

    items = np.random.default_rng(0).random((30, 2))
    monkeypatch.setattr(balance.BalanceSolver, "step", interrupted)
    result = balance_vectors(items, 3)
    assert result.status == "callback"
    assert result.loads.sum() == pytest.approx(items.sum())
    monkeypatch.setattr(general, "_descend", interrupted)
    found = minimize_max_violation_general(lambda X: np.abs(X - 3.2), (0, 9), n=2)
    assert found.status == "callback"
    monkeypatch.setattr(tomography, "anneal_sparse", interrupted)
    model = DiscreteTomography(theta=[0.0, 90.0]).fit(np.ones((9, 2)))
    assert model.n_iter_ == 0
    assert set(np.unique(model.image_)) <= {0.0, 1.0}


def test_construction_finds_separable_optima_in_one_round():
    target = np.array([0.0, 63.0, 20.0, 41.0])
    result = minimize_max_violation_general(
        lambda X: np.abs(X - target), (0, 63), n=4, max_iter=1
    )
    np.testing.assert_array_equal(result.x, target)
    assert result.violation == 0
