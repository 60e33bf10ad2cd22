# SPDX-License-Identifier: BSD-3-Clause
"""Proofs by enumeration of a sphere: against all points, and where they are of use."""

import numpy as np
import pytest

from numopt.dmmv import minimize_max_violation
from numopt.dmmv._problem.core import make_core
from numopt.dmmv._problem.data import MinMaxProblem
from numopt.dmmv._solvers.exact import enumerate_all
from numopt.dmmv._solvers.sphere import enumerate_sphere


def draw(rng, form):
    """Return the arguments of a problem with few points."""
    n = int(rng.integers(2, 6))
    m = n + int(rng.integers(0, 12))
    A, options = rng.standard_normal((m, n)), {}
    levels, b = (-1, 2), 2 * rng.standard_normal(m)
    if form == "uneven":
        levels = [
            np.sort(3 * rng.standard_normal(rng.integers(2, 6))) for _ in range(n)
        ]
    elif form == "interval":
        options["sense"], b = "interval", (b, b + rng.random(m))
    elif form == "weights":
        options["weights"] = rng.random(m) * (rng.random(m) > 0.2)
        options["weights"][:n] += 0.1
    return A, b, levels, options


@pytest.mark.parametrize("form", ["even", "uneven", "interval", "weights"])
@pytest.mark.parametrize("seed", range(15))
def test_finds_the_best_of_all_points(form, seed):
    rng = np.random.default_rng(seed)
    A, b, levels, options = draw(rng, form)
    core = make_core(MinMaxProblem.from_arrays(A, b, levels, **options))
    best = float(core.violations(enumerate_all(core)))
    far = 3.0 * best + 1e-3
    k, proved = enumerate_sphere(core, far)
    if core.m < core.n:
        assert (k, proved) == (None, False)
        return
    assert proved
    assert k is not None
    assert float(core.violations(k)) == pytest.approx(best, rel=1e-12, abs=1e-14)
    # Nothing is better than the best one, and that is proved too.
    none, proved = enumerate_sphere(core, best * (1 - 1e-6))
    assert none is None
    assert proved


@pytest.mark.parametrize(("m", "n", "count"), [(60, 40, 4), (100, 40, 16), (50, 50, 3)])
def test_tall_problems_are_proved(m, n, count, rng):
    A, x = rng.standard_normal((m, n)), rng.integers(0, count, n)
    b = A @ x + 0.05 * rng.standard_normal(m)
    result = minimize_max_violation(A, b, (0, count - 1), random_state=0)
    assert (result.gap, result.bound_kind) == (0.0, "exhaustive")
    assert result.converged
    assert result.n_iter <= 1
    assert result.violation <= np.abs(A @ x - b).max() * (1 + 1e-12)


def test_agrees_with_the_proof_of_the_mixed_integer_program(rng):
    A, x = rng.standard_normal((24, 9)), rng.integers(0, 8, 9)
    b = A @ x + 0.4 * rng.standard_normal(24)
    ours = minimize_max_violation(A, b, (0, 7), random_state=0)
    theirs = minimize_max_violation(A, b, (0, 7), method="milp", random_state=0)
    assert ours.bound_kind == "exhaustive"
    assert theirs.converged
    assert ours.violation == pytest.approx(theirs.violation, rel=1e-5)


@pytest.mark.parametrize("case", ["one side", "wide", "dependent", "many points"])
def test_where_nothing_can_be_proved_it_says_so(case, rng):
    A, b, options = rng.standard_normal((12, 6)), rng.standard_normal(12), {}
    levels = (-5, 5)
    if case == "one side":
        options["sense"] = "le"
    elif case == "wide":
        A, b = A[:5], b[:5]
    elif case == "dependent":
        A[:, 5] = A[:, 0]
    else:
        A, b = A @ rng.standard_normal((6, 40)), 20 * b
        A += 0.01 * rng.standard_normal(A.shape)
        A = np.vstack([A, 0.01 * rng.standard_normal((30, 40))])
        b = np.append(b, np.zeros(30))
    core = make_core(MinMaxProblem.from_arrays(A, b, levels, **options))
    assert enumerate_sphere(core, 1.0) == (None, False)
