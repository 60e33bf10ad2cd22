# SPDX-License-Identifier: BSD-3-Clause
"""Preconditioners of softmax Hessians: symmetric, positive, near the inverse."""

import numpy as np
import pytest

import numopt.bilevel as bl
from numopt._array.namespace import to_numpy
from numopt._array.sparse import is_sparse
from numopt.bilevel._problem.preconditioners import ClassBlocks, balanced
from tests.bilevel.problems import table


def softmax(groups, n=300, p=12, dense=True):
    """A problem of three classes with correlated features."""
    X, y = table(3, n, p)
    X[:, 1:] += 2 * X[:, :1]
    three = np.digitize(y, [-0.7, 0.7])
    half = n // 2
    if not dense:
        from scipy.sparse import csr_array

        return bl.LogisticProblem(
            csr_array(X[:half]), three[:half], csr_array(X[half:]), three[half:], groups
        )
    return bl.LogisticProblem(X[:half], three[:half], X[half:], three[half:], groups)


def matrix(apply, shape):
    """The dense matrix of a linear map."""
    size = shape[0] * shape[1]
    return np.stack([apply(one.reshape(shape)).ravel() for one in np.eye(size)], axis=1)


@pytest.mark.parametrize("groups", ["features", "weights"])
@pytest.mark.parametrize("dense", [True, False])
def test_symmetric_positive_and_near_the_inverse(groups, dense):
    problem = softmax(groups, dense=dense)
    assert is_sparse(problem.lower.X) != dense
    rng = np.random.default_rng(0)
    theta = rng.uniform(-6, -1, size=problem.theta0.shape)
    x = rng.normal(size=problem.lower.shape)
    H = matrix(problem.lower.hessian(x, theta), x.shape)
    M = matrix(problem.lower.preconditioner(x, theta), x.shape)
    scale = np.abs(M).max()
    np.testing.assert_allclose(M, M.T, rtol=0, atol=1e-10 * scale)
    values = np.linalg.eigvals(M @ H).real
    assert values.min() > 0
    # Three classes: blocks see each class against the others.
    condition = values.max() / values.min()
    assert condition < (20 if dense else 0.2 * np.linalg.cond(H))


def test_shifts_of_all_logits_are_solved_exactly():
    problem = softmax("weights")
    rng = np.random.default_rng(1)
    theta = rng.uniform(-6, -1, size=problem.theta0.shape)
    x = rng.normal(size=problem.lower.shape)
    shift = np.repeat(rng.normal(size=(x.shape[0], 1)), 3, axis=1)
    found = problem.lower.preconditioner(x, theta)(
        problem.lower.hessian(x, theta)(shift)
    )
    np.testing.assert_allclose(found, shift, atol=1e-8 * np.abs(shift).max())


def test_blocks_are_kept_while_they_are_near(backend):
    rng = np.random.default_rng(2)
    X, r = rng.normal(size=(30, 12)), rng.normal(size=(12, 3))
    w, c = rng.uniform(0.1, 1.0, size=(30, 3)), rng.uniform(0.1, 1.0, size=(12, 3))
    blocks = ClassBlocks(backend.asarray(X))

    def solved(w, c):
        apply = blocks.inverse(backend.asarray(w), backend.asarray(c))
        return to_numpy(apply(backend.asarray(r)))

    def exact(w, c):
        hessians = ((X.T * w[:, k]) @ X + np.diag(c[:, k]) for k in range(3))
        columns = [np.linalg.solve(H, r[:, k]) for k, H in enumerate(hessians)]
        return np.stack(columns, axis=1)

    np.testing.assert_allclose(solved(w, c), exact(w, c), atol=1e-10)
    first, grams = blocks.work, blocks._grams
    assert first > 0
    # A factor of a whole class costs nothing and is exact.
    factors = np.array([0.5, 1.0, 3.0])
    scaled = solved(factors * w, factors * c)
    assert blocks.work == first
    np.testing.assert_allclose(scaled, exact(factors * w, factors * c), atol=1e-10)
    # Other weights are taken for the old ones until these have been used enough.
    other = rng.uniform(0.1, 1.0, size=w.shape)
    solved(other, c)
    assert blocks._grams is grams
    for _ in range(20):
        found = solved(other, c)
    assert blocks._grams is not grams
    np.testing.assert_allclose(found, exact(other, c), atol=1e-10)


def test_balancing_of_the_exact_inverse_changes_nothing():
    rng = np.random.default_rng(3)
    p, K = 5, 3
    c = rng.uniform(0.1, 1.0, size=(p, K))
    P = rng.dirichlet(np.ones(K), size=20)
    X = rng.normal(size=(20, p))

    def hessian(u):
        U = X @ u
        return X.T @ (P * (U - (P * U).sum(axis=1, keepdims=True))) + c * u

    H = matrix(hessian, (p, K))
    exact = balanced(lambda r: np.linalg.solve(H, r.ravel()).reshape(r.shape), c)
    r = rng.normal(size=(p, K))
    np.testing.assert_allclose(hessian(exact(r)), r, atol=1e-10)


def test_runs_repeat_and_count_the_set_up():
    problem = softmax("features")
    runs = [bl.maid(problem, problem.theta0, max_iter=3, warn=False) for _ in range(2)]
    np.testing.assert_array_equal(runs[0].theta, runs[1].theta)
    assert runs[0].n_hvp == runs[1].n_hvp
    assert problem.lower.setup_work > 0
    assert runs[0].n_hvp > problem.lower.setup_work
