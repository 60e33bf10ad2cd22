# SPDX-License-Identifier: BSD-3-Clause
"""Products with a stored kernel: passes and Hessians equal those of the plans."""

import numpy as np
import pytest
from scipy.special import logsumexp

from numopt._array.namespace import to_numpy
from numopt.ot._problem.kernel_products import (
    LARGEST_CENTRED,
    LARGEST_EXPONENT,
    LARGEST_POTENTIALS,
    KernelProducts,
)
from numopt.ot._problem.means import MeanProblem
from tests.backends import assert_xp_close


def _problems(rng, backend, exponent):
    """Yield problems on points and on grids with their cost matrices."""
    A, M = rng.random((12, 3)) + 0.01, rng.random((12, 9)) - 0.3
    A[2, 0] = 0.0
    A /= A.sum(axis=0)
    arrays = backend.arrays(A, M)
    reg = np.ptp(M) / exponent
    yield MeanProblem.from_histograms(*arrays, reg, None, False)[0], A.T, M
    if exponent > LARGEST_EXPONENT:
        return
    images = rng.random((3, 4, 5)) + 0.01
    images /= images.sum(axis=(1, 2), keepdims=True)
    pixels = np.stack(np.meshgrid(np.arange(4) / 3, np.arange(5) / 4, indexing="ij"))
    pixels = pixels.reshape(2, -1).T
    (stack,) = backend.arrays(images)
    for p in (1, 2):
        C = (np.abs(pixels[:, None] - pixels) ** p).sum(axis=-1)
        made = MeanProblem.from_images(stack, 2.0 / exponent, None, False, p, None)
        yield made[0], images.reshape(3, -1), C


@pytest.mark.parametrize(
    "exponent", [1.0, 50.0, 0.99 * LARGEST_EXPONENT, 0.99 * LARGEST_CENTRED]
)
def test_same_as_the_plans(backend, rng, exponent):
    for problem, a, C in _problems(rng, backend, exponent):
        inv_eps = 1.0 / problem.eps
        kernel = KernelProducts.make(
            problem.cost, problem.cost_range, inv_eps, problem.a
        )
        gamma, x = 3 * rng.random((3, C.shape[1])), rng.random((3, C.shape[1]))
        like, rows = backend.arrays(gamma, x)
        phi, c, scalings = kernel.pass_over(like, problem.log_a)
        product = kernel.normal_product(scalings, problem.log_a)(rows)
        # Exponents carry their own rounding into everything.
        tol = 1e-13 * exponent + 1e-12
        for k in range(3):
            some = a[k] > 0
            S = gamma[k] - C[some] * inv_eps
            row = np.log(a[k][some]) - logsumexp(S, axis=1)
            plan = np.exp(row[:, None] + S)
            np.testing.assert_allclose(
                to_numpy(phi[k, :])[some], row, rtol=tol, atol=tol
            )
            assert_xp_close(c[k, :], plan.sum(axis=0), like=like, rtol=tol)
            smooth = plan.T @ ((plan @ x[k]) / a[k][some])
            assert_xp_close(product[k, :], smooth, like=like, rtol=tol)
        weights = np.log(a[1])
        sums = kernel.column_logsums(backend.asarray(weights))
        exact = logsumexp(weights[:, None] - C * inv_eps, axis=0)
        assert_xp_close(sums, exact, like=like, rtol=tol, atol=tol)


def test_not_where_the_kernel_would_underflow(rng):
    A, M = np.full((4, 2), 0.25), rng.random((4, 4))
    problem, _ = MeanProblem.from_histograms(A, M, 1e-3, None, False)
    inv_eps = 1.01 * LARGEST_CENTRED / problem.cost_range
    made = KernelProducts.make(problem.cost, problem.cost_range, inv_eps, problem.a)
    assert made is None


def test_a_centred_kernel_refuses_potentials_that_it_would_lose(rng):
    """Of a range wider than float64 the scaling of some columns is zero."""
    A, M = np.full((4, 2), 0.25), rng.random((4, 4))
    problem, _ = MeanProblem.from_histograms(A, M, 1e-3, None, False)
    ranges = np.array([0.9, 1.1]) * LARGEST_POTENTIALS
    for exponent, refused in ((0.9 * LARGEST_EXPONENT, False), (1000.0, True)):
        inv_eps = exponent / problem.cost_range
        kernel = KernelProducts.make(
            problem.cost, problem.cost_range, inv_eps, problem.a
        )
        for width, too_wide in zip(ranges, (False, True), strict=True):
            gamma = np.linspace(-width, 0.0, 4) * np.ones((2, 1))
            assert kernel.covers(gamma) == (not (refused and too_wide))
