# SPDX-License-Identifier: BSD-3-Clause
import numpy as np
import pytest
import scipy.sparse as sp

from numopt._array.linalg import (
    cho_factor,
    cho_solve,
    inv_posdef,
    logsumexp,
    lstsq,
)
from numopt._array.namespace import array_namespace, namespace_key, to_numpy
from numopt._array.random import as_generator, standard_normal
from numopt._array.segment import segment_sum
from numopt._array.sparse import CSR, as_csr, is_sparse
from tests.backends import assert_xp_close


def test_lists_are_numpy():
    assert namespace_key(array_namespace([1.0], None, 3.0)) == "numpy"


def test_mixed_libraries_are_refused():
    strict = pytest.importorskip("array_api_strict")
    with pytest.raises(TypeError, match="array_api_strict and numpy"):
        array_namespace(np.ones(2), strict.ones(2))


def test_mixed_devices_are_refused():
    strict = pytest.importorskip("array_api_strict")
    other = strict.ones(2, device=strict.Device("device1"))
    with pytest.raises(TypeError, match="one device"):
        array_namespace(strict.ones(2), other)


def test_to_numpy_round_trip(backend, rng):
    host = rng.standard_normal((3, 4))
    np.testing.assert_array_equal(to_numpy(backend.asarray(host)), host)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_cholesky_solves(backend, rng, dtype):
    A = rng.standard_normal((6, 6))
    A = A @ A.T + 6 * np.eye(6)
    B = rng.standard_normal((6, 2))
    matrix, right = backend.arrays(A, B, dtype=dtype)
    solution = cho_solve(cho_factor(matrix), right)
    rtol = 1e-3 if dtype == "float32" else 1e-10
    assert_xp_close(solution, np.linalg.solve(A, B), like=right, rtol=rtol, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_inverse_of_a_positive_definite_matrix(backend, rng, dtype):
    A = rng.standard_normal((6, 6))
    A = A @ A.T + 6 * np.eye(6)
    matrix = backend.asarray(A, dtype=dtype)
    rtol = 1e-3 if dtype == "float32" else 1e-10
    assert_xp_close(
        inv_posdef(matrix), np.linalg.inv(A), like=matrix, rtol=rtol, atol=1e-6
    )


def test_inverse_of_an_indefinite_matrix_is_refused():
    with pytest.raises(np.linalg.LinAlgError, match="positive definite"):
        inv_posdef(np.diag([1.0, -1.0]))


def test_lstsq_is_minimum_norm(backend, rng):
    A, b = rng.standard_normal((3, 5)), rng.standard_normal(3)
    desired = np.linalg.lstsq(A, b)[0]
    matrix, right = backend.arrays(A, b)
    assert_xp_close(lstsq(matrix, right), desired, like=right, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("axis", [0, 1])
def test_logsumexp(backend, rng, axis):
    from scipy.special import logsumexp as oracle

    x = 800 * rng.standard_normal((4, 5))
    x[:, 0] = -np.inf
    x[2, :] = -np.inf
    array = backend.asarray(x)
    assert_xp_close(logsumexp(array, axis=axis), oracle(x, axis=axis), like=array)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_segment_sum(backend, rng, dtype):
    if dict(backend.flags):
        pytest.skip("searchsorted is data-dependent in the standard's sense")
    ids = rng.integers(0, 5, 40)
    ids[ids == 3] = 4
    values = rng.random(40).astype(dtype)
    desired = np.zeros(6)
    np.add.at(desired, ids, values)
    array = backend.asarray(values)
    total = segment_sum(array, backend.asarray(ids), 6)
    assert_xp_close(total, desired, like=array, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("make", [sp.coo_matrix, sp.csc_array, sp.csr_matrix])
def test_csr_of_any_sparse_input(make):
    dense = np.array([[0.0, 2.0, 0.0], [1.0, 0.0, 3.0]])
    A = as_csr(make(dense))
    assert is_sparse(A)
    assert A.indices.dtype == np.int32
    np.testing.assert_array_equal(A.to_scipy().toarray(), dense)


def test_csr_sums_duplicates_without_touching_input():
    A = sp.csr_array(
        (np.array([1.0, 2.0]), np.array([1, 1]), np.array([0, 2])), shape=(1, 3)
    )
    B = as_csr(A)
    assert isinstance(B, CSR)
    assert as_csr(B) is B
    assert B.nnz == 1
    assert A.nnz == 2


def test_same_seed_same_numbers_everywhere(backend):
    array = standard_normal(
        as_generator(3),
        (4,),
        xp=backend.xp,
        dtype=backend.xp.float64,
        device=backend.device,
    )
    np.testing.assert_array_equal(
        to_numpy(array), np.random.default_rng(3).standard_normal(4)
    )


def test_legacy_random_state_is_accepted():
    assert as_generator(np.random.RandomState(0)).random() < 1
