# SPDX-License-Identifier: BSD-3-Clause
"""Literal rules on bare quadratics: graphs, singular blocks, drawn coordinates."""

import numpy as np
import pytest
import scipy.sparse as sp

from numopt.coordinate import (
    L1,
    MCP,
    GroupL2,
    Huber,
    Logistic,
    Multinomial,
    Null,
    Poisson,
    Quadratic,
    Ridge,
    bcd_solve,
    dual_gap,
    solve_quadratic,
)
from numopt.coordinate._solvers import bcd_model, bcd_updates
from numopt.exceptions import ConvergenceWarning
from tests.coordinate.test_forest import grid


def lattice(rows=5, columns=6, ridge=0.5):
    """Laplacian of a grid plus a ridge, whose inverse is known to NumPy."""
    W = grid(rows, columns)
    return (sp.diags_array(np.asarray(W.sum(axis=1)) + ridge) - W).tocsr()


@pytest.mark.parametrize("partition", ["trees", "red_black"])
@pytest.mark.parametrize("selection", ["cyclic", "lipschitz", "GSL", "GSD", "GSQ"])
def test_message_passing_solves_lattices(partition, selection, rng):
    """Each step is the exact minimiser over a forest, so it falls by g' H^-1 g / 2."""
    A, c = lattice(), rng.standard_normal(30)
    exact = np.linalg.solve(A.toarray(), c)
    options = {"partition": partition, "selection": selection, "random_state": 0}
    passed = solve_quadratic(A, c, update="message_passing", tol=1e-10, **options)
    np.testing.assert_allclose(passed.coef, exact, atol=1e-8)
    # A block drawn twice leaves it to rounding how the run goes on.
    steps = 1 if selection == "lipschitz" else 5
    options |= {"max_iter": steps, "warn": False}
    whole = solve_quadratic(A, c, update="matrix", **options)
    first = passed.history["objective"][: steps + 1]
    np.testing.assert_allclose(first, whole.history["objective"], rtol=1e-12)


@pytest.mark.parametrize("partition", ["trees", "red_black"])
@pytest.mark.parametrize("update", ["prox", "prox_newton", "tmp", "line_search"])
def test_boxes_on_graph_blocks(partition, update, rng):
    A, c = lattice(3, 4), rng.standard_normal(12)
    rule = {"partition": partition, "selection": "GS", "update": update}
    result = solve_quadratic(A, c, bounds=(-0.2, 0.3), tol=1e-10, **rule)
    moved = np.clip(result.coef - (A @ result.coef - c), -0.2, 0.3)
    np.testing.assert_allclose(moved, result.coef, atol=1e-9)
    at_bound = (result.coef == -0.2) | (result.coef == 0.3)
    assert 0 < np.count_nonzero(at_bound) < 12


@pytest.mark.parametrize("method", ["auto", "cyclic"])
def test_starts_and_several_columns(method, rng):
    A, C = lattice(3, 4), rng.standard_normal((12, 2))
    exact = np.linalg.solve(A.toarray(), C)
    options = {"selection": method, "tol": 1e-9}
    near = solve_quadratic(A, C, x0=exact, **options)
    assert near.n_iter == 0
    np.testing.assert_allclose(near.coef, exact)
    clipped = solve_quadratic(A, C, bounds=(0.0, 9.0), x0=exact, **options)
    assert clipped.coef.min() >= 0
    with pytest.raises(ValueError, match=r"`x0` must be of shape \(12, 2\)"):
        solve_quadratic(A, C, x0=np.ones(12))
    with pytest.raises(ValueError, match="a pair"):
        solve_quadratic(A, C, bounds=1.0)
    with pytest.raises(ValueError, match="upper bound` must be free of NaN"):
        solve_quadratic(A, C, bounds=(0.0, np.nan))


@pytest.mark.parametrize("selection", ["cyclic", "shuffle", "random", "lipschitz"])
def test_variable_blocks_that_are_drawn(selection, rng):
    """Blocks without repetition; columns of zeros are never drawn by their size."""
    X = rng.standard_normal((40, 9))
    X[:, 5:] = 0.0
    y = X @ rng.standard_normal(9) + rng.standard_normal(40)
    for size in (2, 7, 20):
        result = bcd_solve(
            *(X, y, Quadratic(), L1(0.05)),
            partition="variable",
            selection=selection,
            update="prox",
            block_size=size,
            tol=1e-8,
            random_state=0,
        )
        assert dual_gap(X, y, result.coef, Quadratic(), L1(0.05)) <= 1e-8


def test_draws_follow_the_constants(rng):
    """The larger a column, the more often its coordinate is taken."""
    X = rng.standard_normal((30, 4)) * np.sqrt([1.0, 1.0, 1.0, 17.0])
    y = rng.standard_normal(30)
    for partition in ("variable", "order"):
        taken = [
            bcd_solve(
                *(X, y, Quadratic(), L1(0.0)),
                partition=partition,
                selection="lipschitz",
                update="prox",
                max_iter=8,
                random_state=seed,
                warn=False,
            ).history["block"][1:]
            for seed in range(15)
        ]
        # 0.85 in expectation, of standard deviation 0.03 over 120 draws.
        assert 0.65 < np.mean(np.concatenate(taken) == 3) < 0.99


@pytest.mark.parametrize("update", ["matrix", "newton"])
def test_singular_blocks_are_solved_on_their_range(update, rng):
    """Duplicate and nearly duplicate columns within one block."""
    X = rng.standard_normal((30, 4))
    X = np.column_stack([X, X[:, 0], X[:, 1] * (1 + 1e-9), np.zeros(30)])
    y = rng.standard_normal(30)
    result = bcd_solve(X, y, Quadratic(), Null(), update=update, block_size=7)
    best = 0.5 * np.mean((y - X @ np.linalg.lstsq(X, y, rcond=None)[0]) ** 2)
    assert result.objective <= best * (1 + 1e-9)
    assert np.abs(result.coef).max() < 10.0
    zero = bcd_updates.solve_psd(np.zeros((2, 2)), np.ones(2))
    np.testing.assert_array_equal(zero, 0.0)


@pytest.mark.parametrize(
    ("datafit", "sparse", "selection"),
    [
        (Quadratic(), False, "GSQ"),
        (Quadratic(), True, "GSD"),
        (Multinomial(), False, "GSD"),
        (Multinomial(), True, "cyclic"),
    ],
)
def test_rules_without_a_stored_matrix(monkeypatch, datafit, sparse, selection, rng):
    """Beyond the limit of stored coordinates blocks are formed when they are used."""
    X = rng.standard_normal((40, 6))
    y = rng.integers(3, size=40) if datafit.multi_output else X[:, 0] + 1.0
    X = sp.csc_array(X) if sparse else X
    options = {
        "partition": "variable" if selection == "GSD" else "order",
        "selection": selection,
        "update": "prox_newton",
        "block_size": 3,
        "tol": 1e-6,
    }
    stored = bcd_solve(X, y, datafit, L1(0.05), **options)
    monkeypatch.setattr(bcd_model, "GRAM_LIMIT", 0)
    formed = bcd_solve(X, y, datafit, L1(0.05), **options)
    assert formed.converged
    # Both are within the gap of the optimum, relative to an objective at 0 below 2.
    assert abs(formed.objective - stored.objective) <= 2e-6


@pytest.mark.parametrize("datafit", [Poisson(), Logistic(), Huber(0.5)])
def test_intercepts_of_literal_rules(datafit, rng):
    """Starts given or far away; losses without a bound need shorter steps."""
    X = rng.standard_normal((60, 5))
    y = np.floor(np.exp(1.0 + 0.3 * X[:, 0] + 0.3 * rng.standard_normal(60)))
    y = np.sign(y - 2.5) if isinstance(datafit, Logistic) else y
    best = bcd_solve(X, y, datafit, L1(0.02), fit_intercept=True, tol=1e-10)
    for start in (None, best.intercept, -6.0):
        rule = {"selection": "cyclic", "tol": 1e-5, "max_iter": 20_000}
        result = bcd_solve(
            *(X, y, datafit, L1(0.02)),
            fit_intercept=True,
            intercept_init=start,
            **rule,
        )
        assert result.converged
        assert np.all(np.diff(result.history["objective"]) <= 1e-12)
        # The objective at 0 is below 10.
        assert abs(result.objective - best.objective) <= 1e-4
    assert result.history["objective"][0] > best.objective


def test_shorter_steps_of_the_intercept():
    """Far below its optimum the exponential loss is flat: a full step overshoots."""
    X, y = np.ones((4, 1)), np.array([5.0, 6.0, 7.0, 6.0])
    result = bcd_solve(
        *(X, y, Poisson(), L1(100.0)),
        fit_intercept=True,
        intercept_init=-3.0,
        selection="cyclic",
        tol=1e-9,
    )
    assert result.intercept == pytest.approx(np.log(6.0), abs=1e-4)


def test_starts_that_the_penalty_forbids(rng):
    X, y = rng.standard_normal((10, 3)), rng.standard_normal(10)
    with pytest.raises(ValueError, match="`coef_init` must be allowed by `penalty`"):
        bcd_solve(
            *(X, y, Quadratic(), L1(0.1, positive=True)),
            coef_init=-np.ones(3),
            selection="cyclic",
        )


@pytest.mark.parametrize(
    ("datafit", "penalty", "options", "match"),
    [
        (Quadratic(), GroupL2(0.1, 2), {"update": "tmp"}, "other than 'tmp'"),
        (Quadratic(), MCP(0.1), {"update": "prox_newton"}, "'prox' or 'line_search'"),
        (Quadratic(), GroupL2(0.1, 2), {"selection": "GSQ"}, "for a group penalty"),
        (Quadratic(), Ridge(0.1), {"update": "message_passing"}, "a graph's"),
        (Multinomial(), GroupL2(0.1, 2), {"selection": "cyclic"}, "need one output"),
        (Huber(), Ridge(1.0), {"selection": "GSC", "update": "newton"}, "'GSC' is def"),
    ],
)
def test_combinations_that_make_no_sense(datafit, penalty, options, match):
    y = np.array([0.0, 1.0, 2.0, 1.0])
    with pytest.raises(ValueError, match=match):
        bcd_solve(np.eye(4), y, datafit, penalty, **options)


def test_default_update_of_losses_without_a_bound(rng):
    X = 0.3 * rng.standard_normal((50, 4))
    y = np.floor(np.exp(X[:, 0] + 1.0))
    result = bcd_solve(X, y, Poisson(), L1(0.01), selection="cyclic", tol=1e-7)
    assert dual_gap(X, y, result.coef, Poisson(), L1(0.01)) <= 1e-7
    smooth = bcd_solve(X, y, Poisson(), Ridge(0.01), selection="cyclic", tol=1e-7)
    assert smooth.converged


def test_groups_that_vanish_exactly(rng):
    """The secular equation: 0 below the weight, the exact minimiser above."""
    B = rng.standard_normal((6, 3))
    H, c = B.T @ B, rng.standard_normal(3)
    top = float(np.linalg.norm(c))
    np.testing.assert_array_equal(bcd_updates._secular(H, c, 1.01 * top), 0.0)
    x = bcd_updates._secular(H, c, 0.3 * top)
    slope = H @ x - c + 0.3 * top * x / np.linalg.norm(x)
    np.testing.assert_allclose(slope, 0.0, atol=1e-12 * top)


def test_unbounded_quadratics_are_not_certified():
    with pytest.warns(ConvergenceWarning):
        result = solve_quadratic(np.diag([1.0, 0.0]), [1.0, 1.0], update="matrix")
    assert not result.converged
    assert np.all(np.isfinite(result.coef))


@pytest.mark.parametrize("bounds", [None, (-0.2, 0.3)])
@pytest.mark.parametrize("selection", ["GSD", "GSQ"])
def test_blocks_chosen_by_diagonal_majorants(selection, bounds, rng):
    A, c = lattice(3, 4), rng.standard_normal(12)
    rule = {"partition": "variable", "selection": selection, "block_size": 3}
    rule["update"] = "matrix" if bounds is None else "prox"
    result = solve_quadratic(A, c, bounds=bounds, tol=1e-10, max_iter=5000, **rule)
    low, high = (-np.inf, np.inf) if bounds is None else bounds
    moved = np.clip(result.coef - (A @ result.coef - c), low, high)
    np.testing.assert_allclose(moved, result.coef, atol=1e-9)


def test_messages_pass_on_forests_only(rng):
    A, c = lattice(3, 4), rng.standard_normal(12)
    rule = {"partition": "order", "selection": "cyclic", "block_size": 12}
    with pytest.raises(ValueError, match="blocks that are forests, got a block"):
        solve_quadratic(A, c, update="message_passing", **rule)


def test_cubic_bounds_choose_blocks_as_quadratic_ones_do(rng):
    """The Hessian of a quadratic is constant: a cubic bound is exact."""
    A, c = lattice(3, 4), rng.standard_normal(12)
    rule = {"partition": "order", "selection": "GSC", "update": "newton"}
    result = solve_quadratic(A, c, block_size=3, tol=1e-10, **rule)
    np.testing.assert_allclose(A @ result.coef, c, atol=1e-9)
