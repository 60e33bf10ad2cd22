# SPDX-License-Identifier: BSD-3-Clause
"""Several targets at once: the same answers as one by one."""

import numpy as np
import pytest

from numopt._array.namespace import to_numpy
from numopt.ot import sinkhorn, sinkhorn2


@pytest.mark.parametrize("method", ["sinkhorn", "sinkhorn_stabilized"])
@pytest.mark.parametrize("reg", [1e-1, 2e-3])
def test_several_targets(backend, rng, method, reg):
    x, y = rng.random((40, 2)), rng.random((30, 2))
    M = ((x[:, None] - y[None]) ** 2).sum(-1)
    a, B = rng.random(40), rng.random((30, 3))
    a[2] = 0.0
    B[3, 1] = 0.0  # empty in one target
    B[5] = 0.0  # empty in all
    a, B = 2.0 * a / a.sum(), 2.0 * B / B.sum(axis=0)
    result = sinkhorn(
        *map(backend.asarray, (a, B, M)), reg, method=method, tol=1e-9, max_iter=20_000
    )
    assert result.converged
    assert len(result) == 3
    assert result.f.shape == (40, 3)
    assert result.g.shape == (30, 3)
    plans = to_numpy(result.plan)
    assert plans.shape == (40, 30, 3)
    assert np.all(plans[:, 5] == 0)
    for h in range(3):
        single = sinkhorn(a, B[:, h], M, reg, method="newton", tol=1e-11)
        np.testing.assert_allclose(plans[..., h], single.plan, atol=2e-8)
        np.testing.assert_allclose(result[h].value, single.value, rtol=1e-9)
        error = np.abs(plans[..., h].sum(0) - B[:, h]).sum()
        error += np.abs(plans[..., h].sum(1) - a).sum()
        assert error <= 2 * result[h].marginal_error * 1.01 + 1e-14
        assert result[h].marginal_error <= result.marginal_error <= 1e-9
    np.testing.assert_allclose(
        to_numpy(result.dual_value), to_numpy(result.value), rtol=1e-9
    )
    again = sinkhorn(
        *map(backend.asarray, (a, B, M)), reg, method=method, tol=1e-8, warmstart=result
    )
    assert again.n_iter <= 2


def test_targets_too_far_apart_for_one_kernel():
    # One target at each end: their potentials differ by 1 / reg = 5000.
    x = np.linspace(0.0, 1.0, 12)
    M = np.abs(x[:, None] - x)
    B = np.zeros((12, 2))
    B[0, 0] = B[-1, 1] = 1.0
    result = sinkhorn(None, B, M, 2e-4, method="sinkhorn", tol=1e-9)
    assert result.converged
    np.testing.assert_allclose(result.value_linear, [0.5, 0.5], rtol=1e-9)


def test_several_targets_agree_with_pot(rng):
    import ot

    M, a, B = rng.random((20, 15)), rng.random(20), rng.random((15, 4))
    a, B = a / a.sum(), B / B.sum(axis=0)
    theirs = ot.sinkhorn2(a, B, M, 0.1, numItermax=20_000, stopThr=1e-13)
    ours = sinkhorn2(a, B, M, 0.1, method="sinkhorn")
    np.testing.assert_allclose(ours, theirs, rtol=1e-8)
