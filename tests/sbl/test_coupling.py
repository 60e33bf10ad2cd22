# SPDX-License-Identifier: BSD-3-Clause
"""Patterns that couple neighbouring variances of a Kronecker factor."""

import numpy as np
import pytest

from numopt.datasets import make_kronecker_sparse
from numopt.sbl import kronecker_sbl


@pytest.mark.parametrize("method", ["auto", "mm"])
def test_a_number_is_short_for_a_band(method):
    data = make_kronecker_sparse((8, 9), (12, 12), 2, random_state=0)
    band = np.eye(12) + 0.5 * (np.eye(12, k=1) + np.eye(12, k=-1))
    short, whole = (
        kronecker_sbl(data.factors, data.y, method=method, coupling=[K, None])
        for K in (0.5, band)
    )
    np.testing.assert_allclose(whole.coef, short.coef, atol=1e-12)


def test_a_pattern_that_pools_entries():
    """Sources in pairs share a variance, so both atoms of a pair are found."""
    data = make_kronecker_sparse((8, 9), (12, 12), 2, random_state=0)
    pairs = np.kron(np.eye(6), np.ones((2, 1)))
    result = kronecker_sbl(
        data.factors, data.y, method="mm", coupling=[pairs, None], max_iter=2000
    )
    energy = np.sum(np.abs(result.coef.reshape(12, 12)) ** 2, axis=1)
    active = energy > 1e-12 * energy.max()
    np.testing.assert_array_equal(active[::2], active[1::2])
