# SPDX-License-Identifier: BSD-3-Clause
"""minimize_max_violation: brute force, closed forms, guarantees, bounds."""

import numpy as np
import pytest
import scipy.sparse as sp

from numopt import config_context
from numopt.dmmv import (
    max_violation,
    minimize_max_violation,
    violation_lower_bound,
)
from tests.dmmv.problems import brute_force, gaussian, violation

METHODS = ("round", "babai", "beam", "anneal", "polish", "milp", "exhaustive", "auto")


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("method", ["exhaustive", "auto", "milp"])
def test_brute_force(seed, method):
    A, b = gaussian(seed, 9, 5)
    best = brute_force(A, b, [range(4)] * 5)
    result = minimize_max_violation(A, b, (0, 3), method=method)
    assert result.violation == pytest.approx(best, rel=1e-9)
    assert result.lower_bound == pytest.approx(best, rel=1e-5)
    assert result.converged
    assert result.violation == pytest.approx(violation(A, result.x, b, b))


@pytest.mark.parametrize("method", ["beam", "anneal", "polish"])
def test_heuristics_reach_binary_optima(method):
    for seed in range(3):
        A, b = gaussian(seed, 12, 9, high=1)
        best = brute_force(A, b, [(0, 1)] * 9)
        result = minimize_max_violation(
            A, b, (0, 1), method=method, x0=np.zeros(9), max_iter=2
        )
        assert result.violation <= 1.1 * best + 1e-12
        assert result.violation >= best - 1e-12


@pytest.mark.parametrize("sense", ["le", "ge", "interval", "mixed"])
def test_one_sided_rows(sense, rng):
    A = rng.standard_normal((10, 5))
    u = rng.standard_normal(10) - 1.5
    l = u - 0.1
    weights = rng.uniform(0.5, 2, 10)
    far = np.full(10, np.inf)
    if sense == "mixed":
        words = np.array(["le", "ge"] * 5)
        b = u
        lower = np.where(words == "ge", u, -far)
        upper = np.where(words == "le", u, far)
    else:
        words = sense
        b = {"le": u, "ge": l, "interval": (l, u)}[sense]
        lower = -far if sense == "le" else l
        upper = far if sense == "ge" else u
    best = brute_force(A, None, [range(-1, 2)] * 5, weights, lower, upper)
    result = minimize_max_violation(
        A, b, (-1, 1), sense=words, weights=weights, method="auto"
    )
    assert result.violation == pytest.approx(best, abs=1e-12)
    heuristic = minimize_max_violation(
        A, b, (-1, 1), sense=words, weights=weights, method="beam", max_iter=3
    )
    assert best - 1e-12 <= heuristic.violation <= 1.3 * best + 1e-12
    assert heuristic.lower_bound <= best + 1e-9
    assert max_violation(A, result.x, b, weights=weights, sense=words) == (
        pytest.approx(result.violation, abs=1e-15)
    )


def test_uneven_levels():
    rng = np.random.default_rng(3)
    A = rng.standard_normal((8, 4))
    sets = [[-2.0, 0.3, 0.5], [0.0, 1.0, 5.0, 6.5], [1.5], [-1.0, 1.0, 1.7]]
    b = rng.standard_normal(8)
    best = brute_force(A, b, sets)
    for method in ("auto", "milp", "beam", "anneal"):
        result = minimize_max_violation(A, b, sets, method=method, max_iter=4)
        assert result.violation == pytest.approx(best, rel=1e-9), method
        assert all(x in s for x, s in zip(result.x, sets, strict=True))
        assert result.x.dtype == np.float64


def test_identity_and_diagonal_closed_form(rng):
    b = rng.uniform(-1, 5, 30)
    levels = np.array([0.0, 1.0, 3.5])
    distance = np.abs(b[:, None] - levels).min(axis=1)
    result = minimize_max_violation(np.eye(30), b, levels, max_iter=2)
    assert result.violation == pytest.approx(distance.max())
    d = rng.uniform(0.5, 2, 30)
    distance = np.abs(b[:, None] - d[:, None] * levels).min(axis=1)
    result = minimize_max_violation(np.diag(d), b, levels, max_iter=2)
    assert result.violation == pytest.approx(distance.max())


def test_one_variable_closed_form(rng):
    a, b = rng.standard_normal(200), rng.standard_normal(200)
    best = min(np.max(np.abs(a * v - b)) for v in range(-5000, 5001))
    result = minimize_max_violation(a[:, None], b, (-5000, 5000))
    assert result.violation == pytest.approx(best, rel=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_never_worse_than_start_rounding_and_babai(method):
    A, b = gaussian(5, 24, 8)
    relaxed = np.clip(np.rint(np.linalg.lstsq(A, b)[0]), 0, 3)
    x0 = np.array([1.0, 0, 3, 2, 1, 0, 2, 1])
    result = minimize_max_violation(A, b, (0, 3), x0=x0, method=method, max_iter=2)
    assert result.violation <= max_violation(A, relaxed, b) + 1e-12
    assert result.violation <= max_violation(A, x0, b) + 1e-12
    assert result.lower_bound <= result.violation
    assert np.all(np.diff(result.history["violation"]) <= 0)
    assert np.all(np.diff(result.history["lower_bound"]) >= 0)


def test_auto_is_not_worse_than_babai():
    for seed in range(3):
        A, b = gaussian(seed, 30, 25)
        babai = minimize_max_violation(A, b, (0, 3), method="babai")
        auto = minimize_max_violation(A, b, (0, 3), max_iter=1)
        assert auto.violation <= babai.violation


@pytest.mark.parametrize("kind", ["lp", "dual"])
def test_lower_bounds_hold_and_are_weak_duality(kind, rng):
    A = rng.standard_normal((20, 3))
    b = 5 * rng.standard_normal(20)
    best = brute_force(A, b, [range(-2, 3)] * 3)
    bound = violation_lower_bound(A, b, (-2, 2), kind=kind)
    assert 0.3 * best < bound <= best + 1e-9
    from scipy.optimize import linprog

    rows = np.hstack([np.vstack([A, -A]), -np.ones((40, 1))])
    exact = linprog(
        [0, 0, 0, 1], rows, np.concatenate([b, -b]), bounds=[(-2, 2)] * 3 + [(0, None)]
    ).fun
    assert bound <= exact * (1 + 1e-9)
    if kind == "lp":
        assert bound == pytest.approx(exact, rel=1e-7)


def test_bound_of_tiny_scales_is_not_lost():
    rng = np.random.default_rng(0)
    A = rng.standard_normal((60, 4))
    b = rng.standard_normal(60)
    big = violation_lower_bound(A, b * 2**22, (-(2**24), 2**24))
    tiny = violation_lower_bound(A * 2.0**-22, b, (-(2**24), 2**24))
    assert tiny == pytest.approx(big * 2.0**-22, rel=1e-9)
    assert tiny > 0.1


def test_equivariance():
    A, b = gaussian(2, 10, 5)
    rng = np.random.default_rng(1)
    one = minimize_max_violation(A, b, (0, 3), method="exhaustive")
    rows, columns = rng.permutation(10), rng.permutation(5)
    other = minimize_max_violation(
        A[np.ix_(rows, columns)], b[rows], (0, 3), method="exhaustive"
    )
    assert other.violation == pytest.approx(one.violation, rel=1e-12)
    np.testing.assert_array_equal(other.x, one.x[columns])
    scaled = minimize_max_violation(7 * A, 7 * b, (0, 3), method="exhaustive")
    assert scaled.violation == pytest.approx(7 * one.violation)
    weighted = minimize_max_violation(
        A, b, (0, 3), weights=np.full(10, 7.0), method="exhaustive"
    )
    assert weighted.violation == pytest.approx(7 * one.violation)


def test_violation_is_convex_and_moves_change_it_by_their_columns(rng):
    A, b = gaussian(6, 15, 5)
    weights = rng.uniform(0.5, 2, 15)

    def value(x):
        return max_violation(A, x, b, weights=weights)

    for _ in range(50):
        x, y = rng.uniform(-4, 4, (2, 5))
        share = rng.random()
        mixed = value(share * x + (1 - share) * y)
        assert mixed <= share * value(x) + (1 - share) * value(y) + 1e-12
        j, amount = rng.integers(5), rng.uniform(-1, 1)
        moved = x.copy()
        moved[j] += amount
        reach = np.max(weights * np.abs(A[:, j] * amount))
        assert abs(value(moved) - value(x)) <= reach + 1e-12
        # a move that does not lower the active row cannot lower the maximum
        residual = weights * (A @ x - b)
        top = int(np.argmax(np.abs(residual)))
        if np.sign(residual[top]) * A[top, j] * amount >= 0:
            assert value(moved) >= value(x) - 1e-12


def test_permuted_problems_have_the_same_optimum():
    A, b = gaussian(7, 14, 6)
    rng = np.random.default_rng(2)
    rows, columns = rng.permutation(14), rng.permutation(6)
    one = minimize_max_violation(A, b, (0, 3), method="milp")
    other = minimize_max_violation(
        A[np.ix_(rows, columns)], b[rows], (0, 3), method="milp"
    )
    assert other.violation == pytest.approx(one.violation, rel=1e-5)


def test_rows_and_columns_that_decide_nothing():
    A, b = gaussian(4, 8, 4)
    plain = minimize_max_violation(A, b, (0, 3))
    wide = np.zeros((11, 6))
    wide[:8, :4] = A
    wide[10] = 1e3
    b_wide = np.concatenate([b, [0.01, -0.02, 7.0]])
    weights = np.array([1.0] * 10 + [0.0])
    result = minimize_max_violation(wide, b_wide, (0, 3), weights=weights)
    assert result.violation == pytest.approx(plain.violation)
    assert result.x[4:].tolist() == [0, 0]
    high = b_wide.copy()
    high[8] = 50.0  # a zero row: its violation is a floor that nothing changes
    result = minimize_max_violation(wide, high, (0, 3), weights=weights)
    assert result.violation == 50.0
    assert result.converged
    assert result.active.tolist() == [8]


def test_infinite_ends_are_inactive():
    A, b = gaussian(4, 8, 4)
    lower, upper = b - 0.1, b + 0.1
    lower[0], upper[0] = -np.inf, np.inf
    result = minimize_max_violation(A, (lower, upper), (0, 3), sense="interval")
    best = brute_force(A[1:], None, [range(4)] * 4, 1.0, lower[1:], upper[1:])
    assert result.violation == pytest.approx(best)


def test_zero_violation_at_the_start_takes_no_round():
    result = minimize_max_violation(
        [[1.0, 1.0]], [3.0], (0, 5), sense="le", x0=[1, 1], method="anneal"
    )
    assert (result.violation, result.n_iter, result.converged) == (0.0, 0, True)
    assert result.gap == 0.0
    assert result.active.size == 0


def test_no_rows():
    result = minimize_max_violation(np.zeros((0, 3)), np.zeros(0), [-3.0, -1.0, 2.0])
    assert result.x.tolist() == [-1.0, -1.0, -1.0]
    assert result.violation == 0.0
    assert result.converged


def test_reproducible_for_any_number_of_threads():
    A, b = gaussian(0, 40, 30)
    answers = []
    for count in (1, 2):
        with config_context(num_threads=count):
            answers.append(
                minimize_max_violation(A, b, (0, 3), max_iter=2, random_state=3).x
            )
    answers.append(
        minimize_max_violation(A, b, (0, 3), max_iter=2, random_state=3, n_jobs=2).x
    )
    for other in answers[1:]:
        np.testing.assert_array_equal(answers[0], other)


def test_inputs_of_any_layout_are_not_modified(rng):
    A, b = gaussian(1, 12, 5)
    plain = minimize_max_violation(A, b, (0, 3))
    for variant in (np.asfortranarray(A), np.repeat(A, 2, axis=0)[::2]):
        variant.flags.writeable = False
        b.flags.writeable = False
        kept = variant.copy()
        result = minimize_max_violation(variant, b, (0, 3))
        np.testing.assert_array_equal(result.x, plain.x)
        np.testing.assert_array_equal(variant, kept)
    whole = minimize_max_violation([[1, 2], [3, 5]], [4, 9], (0, 3))
    assert whole.x.dtype == np.int64


@pytest.mark.parametrize("make", [sp.csr_matrix, sp.csc_array, sp.coo_array])
def test_sparse_input_matches_dense(make):
    rng = np.random.default_rng(0)
    A = rng.standard_normal((15, 6)) * (rng.random((15, 6)) < 0.5)
    A[:, 2] = 0.0
    b = rng.standard_normal(15)
    dense = minimize_max_violation(A, b, (0, 3))
    sparse = minimize_max_violation(make(A), b, (0, 3))
    assert sparse.violation == pytest.approx(dense.violation)
    assert sparse.converged


def test_large_sparse_search_improves_on_rounding(monkeypatch):
    from numopt.dmmv._problem import core

    monkeypatch.setattr(core, "LARGEST_DENSE", 0)
    rng = np.random.default_rng(0)
    A = sp.csc_array(rng.random((60, 300)) * (rng.random((60, 300)) < 0.05))
    b = A @ rng.integers(0, 2, 300) + rng.uniform(-0.05, 0.05, 60)
    rounded = minimize_max_violation(A, b, (0, 1), method="round")
    result = minimize_max_violation(A, b, (0, 1), max_iter=2)
    assert result.violation < 0.7 * rounded.violation
    assert result.violation == pytest.approx(max_violation(A, result.x, b))


def test_time_limit_and_callback_return_the_best_so_far():
    A, b = gaussian(0, 40, 30)
    result = minimize_max_violation(A, b, (0, 3), time_limit=0.05)
    assert result.status == "max_iter"
    assert "time_limit" in result.message
    assert not result.converged
    seen = []

    def stop(info):
        seen.append(info.violation)
        return len(seen) >= 2

    result = minimize_max_violation(A, b, (0, 3), callback=stop)
    assert result.status == "callback"
    assert result.violation == pytest.approx(min(seen))


def test_keyboard_interrupt_returns_the_best_so_far(monkeypatch):
    from numopt.dmmv._solvers import rounds

    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(rounds, "beam_round", interrupted)
    A, b = gaussian(0, 40, 30)
    result = minimize_max_violation(A, b, (0, 3), method="beam")
    assert result.status == "callback"
    assert "interrupted" in result.message
    assert np.isfinite(result.violation)


def test_open_gap_warns_on_request():
    from numopt.exceptions import ConvergenceWarning

    A, b = gaussian(0, 40, 30)
    with pytest.warns(ConvergenceWarning, match="gap"):
        minimize_max_violation(A, b, (0, 3), method="babai", warn=True)


def test_rank_deficient_and_wide_matrices(rng):
    A = rng.standard_normal((5, 3)) @ rng.standard_normal((3, 20))
    A[:, 7] = A[:, 3]
    b = A @ rng.integers(0, 4, 20) + 0.01
    one = minimize_max_violation(A, b, (0, 3), max_iter=2)
    other = minimize_max_violation(A, b, (0, 3), max_iter=2)
    np.testing.assert_array_equal(one.x, other.x)
    assert one.violation < 0.2
