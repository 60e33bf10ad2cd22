# SPDX-License-Identifier: BSD-3-Clause
"""Designs of other array libraries stay where they are; answers come back there."""

import numpy as np
import pytest

from numopt._array.namespace import to_numpy
from numopt.coordinate import (
    L1,
    ElasticNet,
    GroupL2,
    Logistic,
    Multinomial,
    Quadratic,
    alpha_max,
    bcd_solve,
    dual_gap,
)
from tests.backends import assert_xp_close
from tests.coordinate.problems import correlated

MODELS = [
    (Quadratic(), L1(0.1), False),
    (Quadratic(), ElasticNet(0.1, 0.5), True),
    (Quadratic(), L1(0.1, np.r_[0.0, np.ones(39)]), False),
    (Quadratic(), GroupL2(0.2, 5), True),
    (Logistic(), L1(0.05), True),
    (Multinomial(), L1(0.05), False),
]


def _targets(y, datafit):
    if isinstance(datafit, Logistic):
        return np.where(y > 0, 1.0, -1.0)
    if isinstance(datafit, Multinomial):
        return np.digitize(y, [-1.0, 1.0]).astype(float)
    return y


@pytest.mark.parametrize(("datafit", "penalty", "weighted"), MODELS)
def test_same_answer_as_numpy(backend, datafit, penalty, weighted):
    X, y = correlated(30, 40, 0.5, 6, 2, 0)
    y = _targets(y, datafit)
    s = np.random.default_rng(0).random(30) + 0.1 if weighted else None
    options = {"fit_intercept": True, "tol": 1e-11}
    host = bcd_solve(X, y, datafit, penalty, sample_weight=s, **options)
    there = [backend.asarray(a) if a is not None else None for a in (X, y, s)]
    result = bcd_solve(
        there[0], there[1], datafit, penalty, sample_weight=there[2], **options
    )
    assert result.converged
    assert_xp_close(result.coef, host.coef, like=there[0], atol=1e-6)
    gap = dual_gap(
        there[0],
        there[1],
        to_numpy(result.coef),
        datafit,
        penalty,
        intercept=to_numpy(result.intercept),
        sample_weight=there[2],
    )
    assert gap <= 1e-10
    assert alpha_max(there[0], there[1], datafit, L1()) == pytest.approx(
        alpha_max(X, y, datafit, L1())
    )


def test_float32_says_what_it_can(backend):
    X, y = correlated(30, 40, 0.5, 6, 2, 0)
    wide = bcd_solve(X, y, Quadratic(), L1(0.1), tol=1e-9)
    narrow = bcd_solve(
        backend.asarray(X, dtype=np.float32),
        backend.asarray(y, dtype=np.float32),
        Quadratic(),
        L1(0.1),
        tol=1e-9,
    )
    assert "`tol` was raised from 1.0e-09 to 1.0e-06" in narrow.message
    assert narrow.converged
    np.testing.assert_allclose(to_numpy(narrow.coef), wide.coef, atol=1e-4)


def test_literal_rules_are_for_numpy(backend):
    if backend.library == "numpy":
        pytest.skip("NumPy runs them")
    X = backend.asarray(np.eye(3))
    with pytest.raises(TypeError, match="`X` must be a numpy array"):
        bcd_solve(X, X[0, :], Quadratic(), L1(0.1), selection="cyclic", update="prox")


def test_mixed_libraries_are_refused(backend):
    if backend.library == "numpy":
        pytest.skip("one library cannot be mixed")
    X, y = np.eye(3), np.ones(3)
    with pytest.raises(TypeError, match="arrays of one library"):
        bcd_solve(backend.asarray(X), y, Quadratic(), L1(0.1))
