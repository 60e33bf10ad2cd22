# SPDX-License-Identifier: BSD-3-Clause
"""Kronecker generators: shapes, noise level, seeds, bad input."""

import functools

import numpy as np
import pytest

from numopt.datasets import make_irs_mimo, make_kronecker_sparse


@pytest.mark.parametrize("complex_", [False, True])
def test_kronecker_sparse_has_the_stated_noise(complex_):
    data = make_kronecker_sparse(
        (10, 20), (12, 13), (2, 3), snr_db=10, complex=complex_, random_state=1
    )
    assert np.count_nonzero(data.coef) == 6
    A = functools.reduce(np.kron, data.factors)
    noise = data.y - A @ data.coef.ravel()
    assert np.mean(np.abs(noise) ** 2) == pytest.approx(data.noise_var, rel=0.3)
    again = make_kronecker_sparse(
        (10, 20), (12, 13), (2, 3), snr_db=10, complex=complex_, random_state=1
    )
    np.testing.assert_array_equal(data.y, again.y)


def test_radio_channel():
    data = make_irs_mimo(snr_db=10, random_state=0)
    assert [F.shape for F in data.factors] == [(6, 18), (3, 18), (16, 18)]
    assert data.nmse(data.coef) == 0.0
    assert data.nmse(np.zeros_like(data.coef)) == pytest.approx(1.0)
    assert np.count_nonzero(data.coef) == 9


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: make_kronecker_sparse((3,), (4, 5), 2), "one entry a factor"),
        (lambda: make_kronecker_sparse((3, 3), (4, 5), 5), "`n_nonzero` must be"),
        (lambda: make_irs_mimo(snr_db=10, spread=19), "`spread` must be"),
        (lambda: make_irs_mimo(snr_db=np.inf), "`snr_db` must be"),
    ],
)
def test_bad_input(call, match):
    with pytest.raises(ValueError, match=match):
        call()
