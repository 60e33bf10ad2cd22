# SPDX-License-Identifier: BSD-3-Clause
"""Groups along the eigenvectors of their blocks."""

import itertools

import numpy as np
import pytest
import scipy.sparse as sp

from numopt.coordinate import GroupL2, Quadratic, bcd_solve, dual_gap
from numopt.coordinate._kernels.descent import descend_groups
from numopt.coordinate._problem.data import LinearData
from numopt.coordinate._solvers import group_columns
from numopt.coordinate._solvers.group_columns import GroupColumns
from tests.coordinate.problems import correlated


@pytest.fixture
def data(rng):
    """Groups of several sizes; one holds an empty column, one twins."""
    X, y = correlated(60, 40, 0.7, 8, 3, 0)
    X[:, 5] = 0.0
    X[:, 9] = X[:, 8]
    groups = np.repeat([0, 1, 2, 3, 4, 5], [4, 8, 1, 8, 15, 4])
    return np.asfortranarray(X), y, rng.permutation(groups)


def test_a_group_is_minimised_in_one_step(rng):
    X, y = rng.standard_normal((30, 6)), rng.standard_normal(30)
    values, vectors = np.linalg.eigh(X.T @ X)
    rows = np.ascontiguousarray((X @ vectors).T)
    lam = 0.3 * np.linalg.norm(X.T @ y)
    w, r, c = np.zeros(6), y.copy(), rows @ y
    terms = (np.array([lam]), np.zeros(6), np.full(6, -np.inf), values)
    run = descend_groups.for_namespace(np)
    start = np.array([0, 6])
    # One cycle: the first step is exact, and the others have nothing to do.
    gap, _, flips = run(rows, start, w, r, -c, c, *terms, float(y @ y), 0.0, 6)
    assert gap <= 1e-9 * (y @ y)
    assert flips == 0
    slope = rows @ r
    np.testing.assert_allclose(slope, lam * w / np.linalg.norm(w), atol=1e-5 * lam)


def test_rotated_columns_are_those_of_the_design(data):
    X, y, labels = data
    problem = LinearData.from_arrays(X, y, Quadratic())
    terms = GroupL2(1.0, labels).group_terms(40)
    columns = GroupColumns(problem, terms, center=False)
    for new in ([4, 0, 2], [], [5, 1, 3]):
        columns.extend(np.array(new, np.int64), X.T @ y)
    cache = columns.cache
    assert cache.size == 40
    coef = np.sin(np.arange(40.0))
    columns.start(coef)
    np.testing.assert_allclose(cache.predict(cache.w[:40]), X @ coef, atol=1e-12)
    np.testing.assert_allclose(cache.c[:40] @ cache.w[:40], y @ X @ coef, rtol=1e-10)
    back = columns.scatter()
    assert back[5] == 0.0
    kept = np.arange(40) != 5
    np.testing.assert_allclose(back[kept], coef[kept], atol=1e-12)
    cache.promote()
    starts = columns.starts
    for lo, hi in itertools.pairwise(starts):
        block = cache.G[lo:hi, lo:hi]
        top = np.linalg.eigvalsh(block)[-1]
        off = block - np.diag(np.diag(block))
        assert np.abs(off).max() <= 1e-12 * top
        assert np.all(np.diag(block) <= columns.curvature[lo:hi] + 1e-12 * top)


@pytest.mark.parametrize("centred", [False, True])
def test_solutions_do_not_depend_on_the_rotation(data, centred, monkeypatch):
    X, y, labels = data
    penalty, options = GroupL2(0.03, labels), {"tol": 1e-10, "fit_intercept": centred}
    turned = bcd_solve(X, y, Quadratic(), penalty, **options)
    sparse = bcd_solve(sp.csc_array(X), y, Quadratic(), penalty, **options)
    monkeypatch.setattr(group_columns, "LARGEST", 0)
    plain = bcd_solve(X, y, Quadratic(), penalty, **options)
    # Equal columns: coefficients need not be unique, objectives are.
    scale = 0.5 * np.mean(y**2)
    for result in (turned, sparse, plain):
        assert result.converged
        assert result.coef[5] == 0.0
        assert abs(result.objective - plain.objective) <= 2e-10 * scale
        audit = dual_gap(
            *(X, y, result.coef, Quadratic(), penalty), intercept=result.intercept
        )
        assert audit <= 2e-10
