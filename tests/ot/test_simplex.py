# SPDX-License-Identifier: BSD-3-Clause
"""Transport programs by the network simplex against a general solver of programs."""

import numpy as np
import pytest

from numopt.ot._kernels.simplex import reduced_minima
from numopt.ot._solvers.programs import transport_program
from numopt.ot._solvers.simplex import Arcs, TransportTree

DEAR = 2.0


def _program(rng, n, m, fill, *, uniform):
    """Weights and some of the arcs; costs of few digits have many ties."""
    a, b = (np.ones(k) if uniform else rng.random(k) + 0.1 for k in (n, m))
    rows, columns = np.nonzero(rng.random((n, m)) < fill)
    cost = rng.random(rows.size)
    cost = np.round(cost, 1) if uniform else cost
    return a / a.sum(), b / b.sum(), Arcs(cost, rows, columns)


def _value(arcs, mass, unmet):
    return float(arcs.cost @ mass + DEAR * unmet)


def _check(a, b, arcs, mass, f, g, unmet):
    """Marginals, but for what is left over, and a dual of the same value."""
    assert np.all(mass >= 0)
    left_a = a - np.bincount(arcs.rows, mass, a.size)
    left_b = b - np.bincount(arcs.columns, mass, b.size)
    assert min(left_a.min(), left_b.min()) >= -1e-13
    np.testing.assert_allclose(left_a.sum() + left_b.sum(), unmet, atol=1e-13)
    assert np.all(f[arcs.rows] + g[arcs.columns] <= arcs.cost + 1e-11)
    dual = a @ f + b @ g
    np.testing.assert_allclose(dual, _value(arcs, mass, unmet), atol=1e-11)


@pytest.mark.parametrize("uniform", [False, True])
@pytest.mark.parametrize(
    ("n", "m", "fill"), [(1, 1, 1.0), (30, 20, 0.5), (25, 25, 0.1)]
)
def test_optimal_from_any_plan(rng, n, m, fill, uniform):
    a, b, arcs = _program(rng, n, m, fill, uniform=uniform)
    expected = transport_program(arcs.cost, arcs.rows, arcs.columns, a, b, DEAR)
    product = a[arcs.rows] * b[arcs.columns]
    for plan in (np.zeros(arcs.cost.size), product, 10 * product):
        tree = TransportTree(a, b, DEAR, arcs, plan)
        f, g = tree.solve(arcs)
        mass, unmet = tree.masses(arcs.cost.size)
        _check(a, b, arcs, mass, f, g, unmet)
        best = _value(arcs, expected.mass, expected.unmet)
        # the general solver stops at 1e-10 in both feasibilities
        np.testing.assert_allclose(_value(arcs, mass, unmet), best, atol=1e-8)


def test_first_tree_costs_no_more_than_the_plan(rng):
    a, b, arcs = _program(rng, 40, 30, 0.6, uniform=False)
    plan = a[arcs.rows] * b[arcs.columns]
    tree = TransportTree(a, b, DEAR, arcs, plan)
    assert np.all(tree.flow >= 0)
    mass, unmet = tree.masses(arcs.cost.size)
    left_over = 2.0 * (1.0 - plan.sum())
    assert _value(arcs, mass, unmet) <= _value(arcs, plan, left_over) + 1e-10


def test_arcs_are_added_to_a_solved_program(rng):
    a, b, arcs = _program(rng, 30, 30, 0.8, uniform=False)
    few = arcs.cost < 0.3
    first = Arcs(arcs.cost[few], arcs.rows[few], arcs.columns[few])
    rest = Arcs(arcs.cost[~few], arcs.rows[~few], arcs.columns[~few])
    tree = TransportTree(a, b, DEAR, first, np.zeros(first.cost.size))
    tree.solve(first)
    whole = first.joined(rest)
    f, g = tree.solve(whole)
    mass, unmet = tree.masses(whole.cost.size)
    _check(a, b, whole, mass, f, g, unmet)


def test_reduced_minima(rng):
    M, f, g = rng.random((50, 40)), rng.random(50), rng.random(40)
    minima, entries = reduced_minima(M, f, g, 1e-9, 4)
    reduced = M - f[:, None] - g
    np.testing.assert_allclose(minima, reduced.min(axis=1), atol=1e-14)
    for i in range(50):
        found = entries[i][entries[i] >= 0]
        assert np.all(found // 40 == i)
        assert np.all(reduced.ravel()[found] <= 0.5 * minima[i] + 1e-14)
        assert (found.size > 0) == (minima[i] < -1e-9)
