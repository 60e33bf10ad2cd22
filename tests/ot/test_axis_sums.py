# SPDX-License-Identifier: BSD-3-Clause
"""Products with the kernels of axes: those of all pairs where float64 holds them."""

import numpy as np
import pytest
from scipy.special import logsumexp

from numopt.ot._problem.axis_sums import LEAST, SPAN, TOP
from numopt.ot._problem.grid import GridProblem, grid_cost
from tests.backends import assert_xp_close

#: Fall of the logarithms of sums that float64 holds, from the largest weight on.
DEPTH = TOP - LEAST


def _problem(rng, backend, reg, p):
    """A problem on a grid with an empty pixel on each side, and its costs over reg."""
    shape = (6, 1, 5)
    a, b = rng.random(shape) + 0.1, rng.random(shape) + 0.1
    a[0, 0, 3] = b[2, 0, 1] = 0.0
    arrays = backend.arrays(a / a.sum(), b / b.sum())
    problem = GridProblem.from_arrays(*arrays, reg, p, (0.2, 1.0, 0.25))
    x = np.stack(np.meshgrid(np.arange(6) / 5, np.arange(5) / 4, indexing="ij"), -1)
    x = x.reshape(-1, 2)
    M = (np.abs(x[:, None] - x) ** p).sum(axis=-1) / reg
    return problem.core(), M[a.ravel() > 0][:, b.ravel() > 0]


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("reg", [1.0, 0.01, 2.0 / (0.95 * DEPTH)])
def test_sums_and_averages_are_those_of_all_pairs(backend, rng, reg, p):
    problem, M = _problem(rng, backend, reg, p)
    cost = grid_cost(problem)
    columns = 3 * rng.standard_normal(M.shape[1])
    columns[0] -= 5 * SPAN  # no mass: it is cut
    values = rng.standard_normal(M.shape[1])
    x, y = backend.arrays(columns, values)
    made = cost.scaled_sums(x, 1, 1.0 / reg)
    S = columns - M
    exact = logsumexp(S, axis=1)
    # Exponents carry their own rounding into everything.
    tol = 1e-13 * np.ptp(M) + 1e-12
    assert_xp_close(made.logarithms, exact, like=x, rtol=0, atol=tol)
    assert_xp_close(cost.logsums(x, 1, 1.0 / reg), exact, like=x, rtol=0, atol=tol)
    means = np.exp(S - exact[:, None]) @ values
    assert_xp_close(made.average(y), means, like=x, rtol=0, atol=10 * tol)
    rows = rng.standard_normal(M.shape[0])
    (z,) = backend.arrays(rows)
    exact = logsumexp(rows[:, None] - M, axis=0)
    assert_xp_close(cost.logsums(z, 0, 1.0 / reg), exact, like=x, rtol=0, atol=tol)


def test_out_of_range_is_left_to_the_log_domain(backend, rng):
    """All mass in one corner: sums in the other are out of the range of float64."""
    reg = 2.0 / (1.2 * DEPTH)
    problem, M = _problem(rng, backend, reg, 2)
    cost, inv_eps = grid_cost(problem), 1.0 / reg
    columns = np.full(M.shape[1], -2.0 * SPAN)
    columns[0] = 0.0
    (x,) = backend.arrays(columns)
    assert cost.scaled_sums(x, 1, 0.5 * inv_eps) is not None
    assert cost.scaled_sums(x, 1, inv_eps) is None
    # Smaller eps are not tried any more, larger ones are.
    (flat,) = backend.arrays(np.zeros(M.shape[1]))
    assert cost.scaled_sums(flat, 1, 2.0 * inv_eps) is None
    assert cost.scaled_sums(flat, 1, 0.5 * inv_eps) is not None
    exact = logsumexp(columns - M, axis=1)
    sums = cost.logsums(x, 1, inv_eps)
    assert_xp_close(sums, exact, like=x, rtol=0, atol=1e-10 * DEPTH)
