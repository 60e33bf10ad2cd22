# SPDX-License-Identifier: BSD-3-Clause
"""The evidence against its definition, on every array library."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from numopt._array.namespace import is_array
from numopt.sbl import log_evidence
from tests.sbl.data import normal, sparse_model


@pytest.mark.parametrize(("n", "p"), [(5, 3), (4, 9), (1, 1)])
def test_log_evidence_is_the_log_density(n, p, rng):
    A, y = rng.standard_normal((n, p)), rng.standard_normal(n)
    gamma = rng.random(p)
    gamma[0] = 0.0
    C = 0.3 * np.eye(n) + (A * gamma) @ A.T
    exact = multivariate_normal.logpdf(y, cov=C)
    assert log_evidence(A, y, gamma, 0.3) == pytest.approx(exact, rel=1e-10)


@pytest.mark.parametrize(("n", "p"), [(5, 3), (4, 9)])
def test_complex_log_evidence_is_circular(n, p, rng):
    A, Y = normal(rng, (n, p), True), normal(rng, (n, 2), True)
    gamma = rng.random(p)
    C = 0.3 * np.eye(n) + (A * gamma) @ A.conj().T
    quadratic = np.einsum("il,ij,jl->", Y.conj(), np.linalg.inv(C), Y).real
    exact = -2 * (np.linalg.slogdet(C)[1] + n * np.log(np.pi)) - quadratic
    assert log_evidence(A, Y, gamma, 0.3) == pytest.approx(exact, rel=1e-10)


def test_log_evidence_on_every_library(backend):
    A, y, x, noise = sparse_model(8, 5, 2)
    gamma = np.abs(x) + 0.1
    value = log_evidence(*backend.arrays(A, y, gamma), noise)
    assert not is_array(value)
    assert value == pytest.approx(log_evidence(A, y, gamma, noise), rel=1e-9)


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"y": np.ones(4)}, ValueError, "`y` must be of length 3"),
        ({"gamma": -np.ones(2)}, ValueError, "`gamma` must be non-negative"),
        ({"gamma": np.ones(3)}, ValueError, "`gamma` must be of shape"),
        ({"noise_var": 0.0}, ValueError, "`noise_var` must be"),
        ({"A": np.full((3, 2), np.nan)}, ValueError, "`A` must be finite"),
        ({"A": "text"}, TypeError, "`A` must be an array of numbers"),
        ({"A": [[1.0, 2.0], [3.0]]}, ValueError, "`A` must be a rectangular array"),
    ],
)
def test_bad_input(change, error, match):
    good = {"A": np.eye(3)[:, :2], "y": np.ones(3), "gamma": np.ones(2)}
    call = {**good, "noise_var": 1.0, **change}
    with pytest.raises(error, match=match):
        log_evidence(call["A"], call["y"], call["gamma"], call["noise_var"])
