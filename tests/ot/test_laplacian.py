# SPDX-License-Identifier: BSD-3-Clause
"""Newton systems on supports: the answer, and what groups of columns are worth."""

import numpy as np
import pytest

import numopt
from numopt.datasets import make_transport_problem
from numopt.ot import sinkhorn
from numopt.ot._kernels.laplacian import column_groups, laplacian_solve

NONE = np.empty(0, np.int32)


def _clusters(rng, count, size, link):
    """A plan of blocks that exchange little: each with the next."""
    m = count * size
    P = np.zeros((m, m))
    for k in range(count):
        block = slice(k * size, (k + 1) * size)
        P[block, block] = 0.5 + rng.random((size, size))
        if k:
            P[k * size, k * size - 1] = link
    return P


def _system(P, shift):
    """Its support, and the Laplacian with a multiple of the columns added."""
    rows, columns = np.nonzero(P)
    bounds = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(P)))])
    support = bounds[:-1], bounds[1:], columns.astype(np.int32), P[rows, columns]
    a, d = P.sum(axis=1), (1.0 + shift) * P.sum(axis=0)
    return support, 1.0 / a, d, np.diag(d) - P.T @ (P / a[:, None])


@pytest.mark.parametrize("size", [1, 5])
def test_solution(rng, size):
    support, inv_a, d, H = _system(_clusters(rng, 7, 4, 1e-3), 1e-3)
    labels = column_groups(*support, d.size, size)
    rhs = rng.standard_normal(d.size)
    x, n_iter = laplacian_solve(*support, inv_a, d, rhs, labels, 1e-12, 500)
    expected = np.linalg.solve(H, rhs)
    np.testing.assert_allclose(x, expected, atol=1e-8 * np.abs(expected).max())
    assert n_iter < 500


def test_large_systems_are_cut_into_blocks(rng):
    """Half a million entries: the same answer, to the last bit, on any threads."""
    P = rng.random((1000, 600)) * (rng.random((1000, 600)) < 0.85)
    support, inv_a, d, H = _system(P, 1e-3)
    labels = column_groups(*support, d.size, 50)
    rhs = rng.standard_normal(d.size)
    answers = []
    for threads in (1, 2):
        with numopt.config_context(num_threads=threads):
            solution = laplacian_solve(*support, inv_a, d, rhs, labels, 1e-12, 500)
        answers.append(solution)
    (x, n_iter), (again, n_again) = answers
    np.testing.assert_allclose(x, np.linalg.solve(H, rhs), rtol=1e-8)
    np.testing.assert_array_equal(x, again)
    assert n_iter == n_again < 500


def test_negative_curvature_ends_a_solve(rng):
    """Small and large systems stop where they are."""
    for m in (4, 700):
        support, inv_a, d, _ = _system(rng.random((m, m)), 0.0)
        rhs = np.ones(m)
        x, n_iter = laplacian_solve(*support, inv_a, 0.5 * d, rhs, NONE, 1e-12, 500)
        assert n_iter == 0
        assert not x.any()


def test_groups_are_the_clusters(rng):
    support, _, d, _ = _system(_clusters(rng, 6, 4, 1e-3), 0.0)
    labels = column_groups(*support, d.size, 4)
    np.testing.assert_array_equal(labels, np.arange(24) // 4)


def test_no_group_is_made_of_what_clusters_leave_over(rng):
    """Groups of at most three cut clusters of four, and stay within them."""
    support, _, d, _ = _system(_clusters(rng, 20, 4, 1e-3), 0.0)
    labels = column_groups(*support, d.size, 3)
    assert labels.min() == 0
    for group in range(labels.max() + 1):
        assert np.unique(np.flatnonzero(labels == group) // 4).size == 1


def test_single_columns_have_no_group():
    support, inv_a, d, H = _system(np.diag([1.0, 2.0, 3.0]), 0.1)
    labels = column_groups(*support, 3, 2)
    np.testing.assert_array_equal(labels, -1)
    rhs = np.asarray([1.0, 2.0, -3.0])
    x, _ = laplacian_solve(*support, inv_a, d, rhs, labels, 1e-12, 10)
    np.testing.assert_allclose(x, np.linalg.solve(H, rhs), rtol=1e-10)


def test_groups_share_labels_where_there_are_many():
    pairs = np.kron(np.eye(3000), np.ones((1, 2)))
    support, _, d, _ = _system(pairs, 0.0)
    labels = column_groups(*support, d.size, 8)
    np.testing.assert_array_equal(labels, np.arange(6000) // 8)


def test_many_entries_join_by_the_strong_ones(rng):
    """Weak entries everywhere change no group, and light clusters stay whole."""
    P = _clusters(rng, 40, 4, 1e-3) + 1e-4 * rng.random((160, 160))
    P *= 10.0 ** rng.uniform(-3, 0, (40, 1)).repeat(4, axis=0)
    support, _, d, _ = _system(P, 0.0)
    labels = column_groups(*support, d.size, 4)
    np.testing.assert_array_equal(labels, np.arange(160) // 4)


def test_groups_save_iterations(rng):
    """A long chain of clusters: its slow modes are constant on each of them."""
    support, inv_a, d, _ = _system(_clusters(rng, 60, 6, 1e-4), 1e-9)
    rhs = np.repeat(rng.standard_normal(60), 6)
    rhs -= rhs.mean()
    labels = column_groups(*support, d.size, 6)
    system = (*support, inv_a, d, rhs)
    _, plain = laplacian_solve(*system, NONE, 1e-6, 1000)
    _, grouped = laplacian_solve(*system, labels, 1e-6, 1000)
    assert grouped * 5 < plain


@pytest.mark.parametrize(
    ("name", "reg"),
    [("img32_L1", 1e-3), ("dig32_L1", 1e-3), ("pts10d", 1e-3), ("pts2d", 1e-4)],
)
def test_few_iterations_per_newton_step(name, reg):
    data = make_transport_problem(name)
    result = sinkhorn(data.a, data.b, data.M, reg, tol=1e-8)
    assert result.converged
    assert result.n_cg <= 15 * result.n_newton
