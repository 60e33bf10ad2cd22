# SPDX-License-Identifier: BSD-3-Clause
"""Starts without atoms, products of every kind of dictionary, known noise, refusals."""

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse.linalg import aslinearoperator

from numopt.sbl import (
    KroneckerSBL,
    SBLRegressor,
    kron_log_evidence,
    kron_matvec,
    kronecker_sbl,
    log_evidence,
    sbl,
)
from numopt.sbl._problem import jittered_cholesky, make_problem
from numopt.sbl._solvers import cofem, fast
from numopt.sbl._solvers.kronecker import _price
from tests.sbl.data import normal, sparse_model


@pytest.mark.parametrize("prior", ["beta", "none"])
@pytest.mark.parametrize("method", ["mm", "mackay", "em", "cofem"])
@pytest.mark.parametrize("noise", [None, 0.25])
def test_a_start_without_atoms_stays_so_and_learns_the_noise(method, prior, noise):
    A, y, _, _ = sparse_model(12, 6, 2)
    result = sbl(
        A, y, method=method, gamma0=np.zeros(6), sparsity_prior=prior, noise_var=noise
    )
    assert result.converged
    assert result.active.size == 0
    assert not result.coef.any()
    expected = np.mean(y**2) if noise is None else noise
    assert result.noise_var == pytest.approx(expected, rel=1e-3)
    exact = log_evidence(A, y, np.zeros(6), result.noise_var)
    assert result.log_evidence == pytest.approx(exact, rel=1e-9)


@pytest.mark.parametrize("method", ["mm", "cofem"])
def test_data_that_no_atom_explains(method):
    result = sbl([[1.0], [0.0]], [0.0, 3.0], method=method, sparsity_prior="none")
    assert result.converged
    assert result.coef.tolist() == [0.0]
    assert result.noise_var == pytest.approx(4.5, rel=1e-3)


@pytest.mark.parametrize("method", ["mm", "mackay", "em", "cofem"])
def test_atoms_without_variance_at_the_start_stay_out(method):
    A, y, x, noise = sparse_model(40, 12, 3, snr_db=30)
    start = np.where(np.arange(12) % 4 == 1, 0.0, np.abs(x) + 0.1)
    with_start = sbl(A, y, method=method, gamma0=start, noise_var=noise, max_iter=300,
                     sparsity_prior="none", warn=False)  # fmt: skip
    left = np.flatnonzero(start)
    alone = sbl(A[:, left], y, method=method, noise_var=noise, max_iter=300,
                sparsity_prior="none", warn=False)  # fmt: skip
    assert not with_start.gamma[start == 0].any()
    assert with_start.log_evidence == pytest.approx(alone.log_evidence, abs=1e-3)


class _Vectors:
    """The least that a matrix-free dictionary offers."""

    def __init__(self, A):
        self.shape, self.dtype = A.shape, A.dtype
        self.matvec, self.rmatvec = lambda x: A @ x, lambda y: A.conj().T @ y


@pytest.mark.parametrize("kind", [np.asarray, sp.csc_array, aslinearoperator, _Vectors])
def test_products_with_some_columns(kind, rng):
    A, keep = normal(rng, (7, 9), True), np.array([0, 3, 8])
    X, Y = normal(rng, (3, 2), True), normal(rng, (7, 2), True)
    some = cofem.products(kind(A), keep)
    np.testing.assert_allclose(some.forward(X), A[:, keep] @ X, rtol=1e-12)
    np.testing.assert_allclose(some.back(Y), A[:, keep].conj().T @ Y, rtol=1e-12)


def test_conjugate_gradients_of_a_complex_system(rng):
    A = normal(rng, (20, 8), True)
    H = np.eye(8) + A.conj().T @ A
    right = normal(rng, (8, 3), True)
    found = cofem._conjugate_gradients(
        lambda W: H @ W, right, np.diag(H).real[:, None], np.zeros_like(right)
    )
    # The relative residual is CG_TOL; the smallest eigenvalue of H is at least one.
    error = np.linalg.norm(found - np.linalg.solve(H, right), axis=0)
    assert np.all(error <= 2 * cofem.CG_TOL * np.linalg.norm(right, axis=0))


def test_pruned_exact_steps_keep_the_columns_of_their_atoms():
    A, y, _, noise = sparse_model(60, 20, 3, snr_db=30)
    problem = make_problem(A, y)
    solver = cofem.CofemSolver(4, 0, 1e-2, noise)
    state = solver.init(problem, None)
    for _ in range(30):
        state = solver.step(problem, state)
    assert state.keep.size < 20
    np.testing.assert_array_equal(state.columns, A[:, state.keep])
    gram = state.columns.T @ state.columns
    np.testing.assert_allclose(state.gram, gram, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("complex_", [False, True])
@pytest.mark.parametrize(("n", "p"), [(15, 50), (2, 1100)])
def test_gram_rows_outgrow_their_reserve(n, p, complex_, monkeypatch, rng):
    monkeypatch.setattr(fast, "RESERVED", 0)
    A = normal(rng, (n, p), complex_)
    rows = fast.GramRows(A, float(n))
    rows.make(np.arange(30))
    rows.make(np.arange(30, 49))
    B = A * np.sqrt(n / np.sum(np.abs(A) ** 2, axis=0))
    desired = (B.conj().T @ B)[:49]
    np.testing.assert_allclose(rows.G[:49], desired, rtol=1e-10, atol=1e-10)


def test_rounds_without_actions_come_to_an_end():
    A, y, _, _ = sparse_model(10, 5, 1)
    problem = make_problem(A, y)
    solver = fast.FastSolver(0.0, 0.0, 100)
    state = solver.init(problem, None)
    state.fresh, state.idle = False, 200
    assert solver.stop(problem, state) is None
    state.idle = 201
    assert solver.stop(problem, state).status == "stalled"


def test_lost_digits_and_other_failures_of_cholesky():
    almost = np.diag([1.0, 1.0, -1e-12])
    L = jittered_cholesky(almost)
    np.testing.assert_allclose(L @ L.T, almost, atol=1e-9)
    with pytest.raises(np.linalg.LinAlgError, match="`H` is numerically singular"):
        jittered_cholesky(np.diag([1.0, -1.0]), "H")
    with pytest.raises(TypeError):
        jittered_cholesky(np.eye(2, dtype=object))


def test_sparse_dictionaries_want_numpy_measurements():
    strict = pytest.importorskip("array_api_strict")
    with pytest.raises(
        TypeError, match=r"`y` must be a NumPy array .* array_api_strict"
    ):
        sbl(sp.eye_array(4), strict.ones(4))


FACTORS = [np.array([[1.0, 2.0, 0.0], [0.0, 1.0, 3.0]]), np.array([[2.0, -1.0]])]


def test_tensors_with_snapshots_keep_their_form(rng):
    x = rng.standard_normal((3, 2, 4))
    expected = np.kron(*FACTORS) @ x.reshape(6, 4)
    found = kron_matvec(FACTORS, x)
    assert found.shape == (2, 1, 4)
    np.testing.assert_allclose(found.reshape(2, 4), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("gammas", "match"),
    [
        ([np.ones(3)], "`gammas` must be of length 2, got 1"),
        ([np.ones(2), np.ones(2)], r"`gammas\[0\]` must be of shape \(3,\)"),
        ([np.ones(3), [1.0, -1.0]], r"`gammas\[1\]` must be non-negative"),
    ],
)
def test_variances_of_kronecker_models(gammas, match):
    with pytest.raises(ValueError, match=match):
        kron_log_evidence(FACTORS, np.ones(2), gammas, 0.1)


@pytest.mark.parametrize("method", ["svd", "am"])
def test_known_noise_is_not_learned(method, rng):
    factors = [rng.standard_normal((4, 3)), rng.standard_normal((3, 4))]
    y = rng.standard_normal(12)
    result = kronecker_sbl(
        factors, y, method=method, noise_var=0.125, max_iter=5, warn=False
    )
    assert result.noise_var == pytest.approx(0.125, rel=1e-12)


def test_price_of_an_atom_in_nats():
    assert _price(2, None) == 2.0
    assert _price("none", None) is None


def test_estimators_say_what_they_refuse():
    X = np.arange(12.0).reshape(6, 2) % 5
    with pytest.raises(ValueError, match=r"positive entry|non-zero"):
        SBLRegressor().fit(X, X[:, 0], sample_weight=np.zeros(6))
    with pytest.raises(ValueError, match="`factors` must be real"):
        KroneckerSBL([1j * np.eye(2)]).fit(X)
    coder = KroneckerSBL([np.ones((2, 3)), np.ones((1, 4))]).fit(X)
    assert len(coder.get_feature_names_out()) == 12
