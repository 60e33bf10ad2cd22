# SPDX-License-Identifier: BSD-3-Clause
"""Forest solves and partitions: exactness, depth, structure of the blocks."""

import numpy as np
import pytest
import scipy.sparse as sp

from numopt.coordinate import (
    color_partition,
    forest_solve,
    greedy_forest,
    is_forest,
    tree_partition,
)


def random_tree(n, rng, *, parents=None):
    """Positive definite matrix of a randomly relabelled tree."""
    if parents is None:
        parents = (rng.random(n - 1) * np.arange(1, n)).astype(int)
    names = rng.permutation(n)
    i, j = names[1:], names[parents]
    W = sp.coo_array((rng.lognormal(size=n - 1), (i, j)), shape=(n, n))
    W = (W + W.T).tocsr()
    return (sp.diags_array(W.sum(axis=1) + 0.1) - W).tocsr()


def grid(rows, columns, weights=None):
    n = rows * columns
    at = np.arange(n).reshape(rows, columns)
    i = np.r_[at[:, :-1].ravel(), at[:-1].ravel()]
    j = np.r_[at[:, 1:].ravel(), at[1:].ravel()]
    w = np.ones(i.size) if weights is None else weights(i.size)
    W = sp.coo_array((w, (i, j)), shape=(n, n))
    return (W + W.T).tocsr()


SHAPES = {
    "random": None,
    "path": lambda n: np.arange(n - 1),
    "star": lambda n: np.zeros(n - 1, int),
    "caterpillar": lambda n: np.where(
        np.arange(n - 1) % 2, np.arange(n - 1) - 1, np.arange(n - 1)
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_large_trees_are_solved_to_rounding(shape, rng):
    n = 100_000
    make = SHAPES[shape]
    A = random_tree(n, rng, parents=None if make is None else make(n))
    b = rng.standard_normal((n, 3))
    residual = A @ forest_solve(A, b) - b
    assert np.linalg.norm(residual) <= 1e-12 * np.linalg.norm(b)


def test_depth_of_a_million_does_not_recurse():
    n = 1_000_000
    ones = np.full(n - 1, -1.0)
    A = sp.diags_array([ones, np.full(n, 2.5), ones], offsets=[-1, 0, 1]).tocsr()
    x = forest_solve(A, np.ones(n))
    assert np.max(np.abs(A @ x - 1)) <= 1e-12


@pytest.mark.parametrize("columns", [1, 2, 3, 4, 5, 9])
def test_agrees_with_a_dense_solve(columns, rng):
    forest = sp.block_diag([random_tree(n, rng) for n in (1 + 1, 7, 40)]).tocsr()
    b = rng.standard_normal((forest.shape[0], columns))
    expected = np.linalg.solve(forest.toarray(), b)
    np.testing.assert_allclose(forest_solve(forest, b), expected, rtol=1e-9)
    np.testing.assert_allclose(
        forest_solve(forest.toarray(), b[:, 0]), expected[:, 0], rtol=1e-9
    )


def test_isolated_nodes_formats_and_dtypes(rng):
    A = sp.diags_array([2.0, 4.0]).tocoo()
    np.testing.assert_array_equal(forest_solve(A, [2, 2]), [1.0, 0.5])
    x = forest_solve(A.astype(np.float32).tocsc(), np.ones(2, np.float32))
    assert x.dtype == np.float32
    tree = random_tree(20, rng)
    unsorted = tree.copy()
    unsorted.indices = unsorted.indices.copy()
    first = slice(unsorted.indptr[3], unsorted.indptr[4])
    unsorted.indices[first] = unsorted.indices[first][::-1]
    unsorted.data[first] = unsorted.data[first][::-1]
    unsorted.has_sorted_indices = False
    b = rng.standard_normal(20)
    np.testing.assert_allclose(forest_solve(unsorted, b), forest_solve(tree, b))


def test_rounding_asymmetry_is_averaged_and_real_asymmetry_refused(rng):
    A = random_tree(30, rng).tolil()
    other = next(j for j in A.rows[3] if j != 3)
    A[3, other] *= 1 + 1e-15
    x = forest_solve(A.tocsr(), np.ones(30))
    assert np.max(np.abs(A @ x - 1)) < 1e-10
    A[3, other] *= 1.5
    with pytest.raises(ValueError, match="`A` must be symmetric"):
        forest_solve(A.tocsr(), np.ones(30))


def test_equal_wrong_pairs_do_not_hide_each_other():
    """Exclusive or cancels equal pairs; the checksum must not."""
    A = np.diag([4.0] * 4)
    for i, j in ((0, 1), (2, 3)):
        A[i, j], A[j, i] = 1.0, 0.5
    with pytest.raises(ValueError, match="symmetric"):
        forest_solve(sp.csr_array(A), np.ones(4))


def test_cycles_and_indefinite_matrices_are_refused():
    W = grid(2, 2)
    A = sp.diags_array(W.sum(axis=1) + 1.0) - W
    assert not is_forest(A)
    with pytest.raises(ValueError, match="forest, got a cycle"):
        forest_solve(A, np.ones(4))
    with pytest.raises(ValueError, match="positive definite"):
        forest_solve(np.diag([1.0, -1.0]), np.ones(2))
    with pytest.raises(ValueError, match="positive definite"):
        forest_solve(np.array([[1.0, 2.0], [2.0, 1.0]]), np.ones(2))


@pytest.mark.parametrize(
    ("A", "b", "match"),
    [
        (np.ones((2, 3)), np.ones(2), "square"),
        (sp.csr_array((2, 3)), np.ones(2), "square"),
        (np.eye(2) * np.nan, np.ones(2), "finite"),
        (np.eye(2), np.ones(3), "shape"),
        (np.eye(2), [1.0, np.inf], "`b` must be finite"),
    ],
)
def test_bad_input(A, b, match):
    with pytest.raises(ValueError, match=match):
        forest_solve(A, b)


def test_zero_entries_are_no_edges():
    A = sp.csr_array(np.ones((3, 3)))
    A.data[:] = [1, 0, 0, 0, 1, 0, 0, 0, 1]
    assert is_forest(A)


def _check_cover(blocks, n):
    assert np.array_equal(np.sort(np.concatenate(blocks)), np.arange(n))


@pytest.mark.parametrize("seed", range(3))
def test_tree_partition_blocks_are_forests(seed):
    rng = np.random.default_rng(seed)
    G = sp.random_array((200, 200), density=0.03, random_state=rng)
    A = (G + G.T + sp.eye_array(200)).tocsr()
    for order in (None, rng.permutation(200)):
        blocks = tree_partition(A, order)
        _check_cover(blocks, 200)
        for block in blocks:
            assert is_forest(A[block][:, block])


def test_grid_needs_two_forests_and_two_colours():
    A = grid(12, 9)
    assert len(tree_partition(A)) == 2
    red, black = color_partition(A)
    assert abs(red.size - black.size) <= 1
    for block in (red, black):
        assert A[block][:, block].nnz == 0


@pytest.mark.parametrize("seed", range(3))
def test_colours_are_independent_sets(seed):
    rng = np.random.default_rng(seed)
    G = sp.random_array((150, 150), density=0.05, random_state=rng)
    A = (G + G.T).tocsr()
    blocks = color_partition(A)
    _check_cover(blocks, 150)
    for block in blocks:
        inner = A[block][:, block]
        assert (inner - sp.diags_array(inner.diagonal())).count_nonzero() == 0


def test_greedy_forest_takes_high_scores_and_is_maximal(rng):
    A = grid(10, 10)
    scores = rng.random(100)
    block = greedy_forest(A, scores)
    assert is_forest(A[block][:, block])
    assert int(np.argmax(scores)) in block
    for extra in np.setdiff1d(np.arange(100), block):
        larger = np.append(block, extra)
        assert not is_forest(A[larger][:, larger])


def test_order_must_be_a_permutation():
    with pytest.raises(ValueError, match="`order` must be a permutation"):
        tree_partition(np.eye(3), [0, 0, 1])
    with pytest.raises(ValueError, match="`scores` must be of shape"):
        greedy_forest(np.eye(3), [1.0])
