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
    X, r = rng.normal(size=(30, 4)), rng.normal(size=(4, 3))
    w, c = rng.uniform(0.1, 1.0, size=(30, 3)), rng.uniform(0.1, 1.0, size=(4, 3))
    blocks = ClassBlocks(backend.asarray(X))
    apply = blocks.inverse(backend.asarray(w), backend.asarray(c))
    expected = np.stack(
        [
            np.linalg.solve((X.T * w[:, k]) @ X + np.diag(c[:, k]), r[:, k])
            for k in range(3)
        ],
        axis=1,
    )
    found = to_numpy(apply(backend.asarray(r)))
    np.testing.assert_allclose(found, expected, atol=1e-10)
    first = blocks.work
    assert first > 0
    near = to_numpy(
        blocks.inverse(backend.asarray(1.1 * w), backend.asarray(1.1 * c))(
            backend.asarray(r)
        )
    )
    assert blocks.work == first
    np.testing.assert_allclose(near, expected, atol=1e-10)
    far = to_numpy(
        blocks.inverse(backend.asarray(2 * w), backend.asarray(2 * c))(
            backend.asarray(r)
        )
    )
    assert blocks.work > first
    np.testing.assert_allclose(far, 0.5 * expected, atol=1e-10)


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
