# SPDX-License-Identifier: BSD-3-Clause
"""Bounds: non-negative least squares, boxed quadratics, support vector machines."""

import numpy as np
import pytest
import scipy.optimize
import scipy.sparse as sp

from numopt.coordinate import nnls, solve_quadratic
from numopt.coordinate._solvers import box, pivoting
from numopt.coordinate._solvers.svm import linear_svc_dual


@pytest.mark.parametrize("shape", [(80, 40), (40, 80)])
@pytest.mark.parametrize("sparse", [False, True])
def test_nnls_is_scipy(rng, shape, sparse):
    pytest.importorskip("scipy", "1.15", reason="SciPy 1.14 cycles on wide systems")
    A = rng.standard_normal(shape)
    b = A @ np.maximum(rng.standard_normal(shape[1]), 0) + 5 * rng.standard_normal(
        shape[0]
    )
    x, norm = scipy.optimize.nnls(A, b)
    result = nnls(sp.csr_matrix(A) if sparse else A, b)
    assert result.converged
    assert result.coef.min() >= 0
    assert result.objective == pytest.approx(0.5 * norm**2 / b.size, abs=1e-12)
    if norm > 1e-6:
        np.testing.assert_allclose(result.coef, x, atol=1e-8)


@pytest.mark.parametrize("size", [30, 1500])
@pytest.mark.parametrize("bounds", [None, (-0.1, 0.2), (0.0, np.inf), (0.05, 0.1)])
def test_boxed_quadratic_satisfies_kkt(rng, size, bounds):
    A = sp.diags_array([np.full(size, 2.01), np.full(size - 1, -1.0)], offsets=[0, 1])
    A = (A + sp.triu(A, 1).T).tocsr()
    c = rng.standard_normal(size)
    result = solve_quadratic(A, c, bounds=bounds, tol=1e-10)
    assert result.converged
    lower, upper = bounds or (-np.inf, np.inf)
    moved = np.clip(result.coef - (A @ result.coef - c), lower, upper)
    np.testing.assert_allclose(moved, result.coef, atol=1e-9)
    if bounds == (-0.1, 0.2):
        assert result.dual_gap <= 1e-8


@pytest.mark.parametrize("rank", [25, 80])
@pytest.mark.parametrize("bounds", [(0.0, np.inf), (-0.02, 0.03), (-np.inf, 0.01)])
def test_dense_boxes_are_pivoted_or_descended(rng, rank, bounds, monkeypatch):
    """Also where the free variables have no unique minimum."""
    B = rng.standard_normal((rank, 40))
    A, c = B.T @ B, B.T @ rng.standard_normal(rank)
    pivoted = solve_quadratic(A, c, bounds=bounds, tol=1e-9)
    monkeypatch.setattr(pivoting, "MOST_EXCHANGES", 0)
    descended = solve_quadratic(A, c, bounds=bounds, tol=1e-9)
    scale = 1e-8 * abs(descended.objective)
    assert abs(pivoted.objective - descended.objective) <= scale
    for result in (pivoted, descended):
        assert result.converged
        moved = np.clip(result.coef - (A @ result.coef - c), *bounds)
        np.testing.assert_allclose(moved, result.coef, atol=1e-8 * np.linalg.norm(c))


@pytest.mark.parametrize("largest", [0, 1000])
def test_exchanges_end(rng, largest, monkeypatch):
    """Single exchanges on sparse matrices, descent on dense ones; from any start."""
    monkeypatch.setattr(pivoting, "FULL_EXCHANGES", 0)
    monkeypatch.setattr(box, "DENSE_SIZE", largest)
    A = sp.diags_array([np.full(60, 2.5), np.full(59, -1.0)], offsets=[0, 1])
    A = (A + sp.triu(A, 1).T).tocsr()
    c = np.cos(np.arange(60) / 10)
    for x0 in (None, rng.uniform(0.0, 0.5, 60)):
        result = solve_quadratic(A, c, bounds=(0.0, 0.5), x0=x0, tol=1e-9)
        assert result.converged
        moved = np.clip(result.coef - (A @ result.coef - c), 0.0, 0.5)
        np.testing.assert_allclose(moved, result.coef, atol=1e-8)


@pytest.mark.parametrize("rule", [{"selection": "cyclic"}, {"update": "newton"}])
def test_rules_on_a_dense_matrix(rng, rule):
    B = rng.standard_normal((12, 8))
    A, c = B.T @ B + np.eye(8), rng.standard_normal(8)
    result = solve_quadratic(A, c, **rule)
    np.testing.assert_allclose(result.coef, np.linalg.solve(A, c), atol=1e-7)


def test_several_right_hand_sides(rng):
    X = rng.standard_normal((20, 10))
    A, C = X.T @ X, rng.standard_normal((10, 3))
    result = solve_quadratic(A, C, tol=1e-12)
    np.testing.assert_allclose(A @ result.coef, C, atol=1e-9)


def test_lattice_reaches_the_published_optimum():
    """Nutini, Laradji & Schmidt (2022), dataset D; value of a sparse direct solve."""
    random = np.random.RandomState(1)
    index = np.arange(2500).reshape(50, 50)
    pairs = np.concatenate(
        [
            np.column_stack([index[:, :-1].ravel(), index[:, 1:].ravel()]),
            np.column_stack([index[:-1].ravel(), index[1:].ravel()]),
        ]
    )
    W = sp.coo_array((np.full(len(pairs), 1e5), pairs.T), shape=(2500, 2500)).tocsr()
    W = (W + W.T).tocsr()
    labelled = random.choice(2500, 100, replace=False)
    y = random.randn(100) * 10
    rest = np.setdiff1d(np.arange(2500), labelled)
    A = (sp.diags_array(W.sum(axis=1)) - W).tocsr()[rest][:, rest]
    b = W[rest][:, labelled] @ y
    result = solve_quadratic(A, b, tol=1e-12)
    assert result.objective == pytest.approx(-1045999575.2270696, rel=1e-12)


def test_bad_matrices():
    with pytest.raises(ValueError, match="`A` must be symmetric"):
        solve_quadratic([[1.0, 2.0], [0.0, 1.0]], [1.0, 1.0])
    with pytest.raises(ValueError, match="lower <= upper"):
        solve_quadratic(np.eye(2), [1.0, 1.0], bounds=(1.0, 0.0))
    with pytest.raises(ValueError, match="`A` must be square"):
        solve_quadratic(np.ones((2, 3)), [1.0, 1.0])


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("loss", ["hinge", "squared_hinge"])
def test_svm_is_scikit_learn(rng, loss, sparse):
    from sklearn.svm import LinearSVC

    X = rng.standard_normal((120, 6))
    y = np.sign(X[:, 0] + 0.7 * rng.standard_normal(120))
    result = linear_svc_dual(sp.csr_matrix(X) if sparse else X, y, 0.5, loss, tol=1e-10)
    assert result.converged
    peer = LinearSVC(
        C=0.5, loss=loss, fit_intercept=False, dual=True, tol=1e-9, max_iter=10**6
    ).fit(X, y)
    np.testing.assert_allclose(result.coef, peer.coef_[0], atol=1e-5)
    with pytest.raises(ValueError, match="`loss` must be one of"):
        linear_svc_dual(X, y, 0.5, "log")
