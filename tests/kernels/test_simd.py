# SPDX-License-Identifier: BSD-3-Clause
import re

import numba
import numpy as np
import pytest

from numopt._kernels import simd
from numopt._kernels.jit import jit_finite, jit_kernel


@jit_kernel
def exp_all(x, out):
    for i in range(x.size):
        out[i] = simd.exp(x[i])


# The most aggressive flags in use: the range reduction must survive them.
@jit_finite
def exp_all_finite(x, out):
    for i in range(x.size):
        out[i] = simd.exp(x[i])


@jit_kernel
def log_all(x, out):
    for i in range(x.size):
        out[i] = simd.log(x[i])


@pytest.mark.parametrize("body", [exp_all, exp_all_finite])
@pytest.mark.parametrize(("dtype", "low", "high"), [("f8", -708, 709), ("f4", -87, 88)])
def test_exp_within_two_ulp(rng, body, dtype, low, high):
    x = rng.uniform(low, high, 100_001).astype(dtype)
    x[:4] = 0, low, high, np.log(2) / 2
    out = np.empty_like(x)
    body(x, out)
    exact = np.exp(x.astype(np.longdouble))
    assert np.max(np.abs(out - exact) / exact) <= 2 * np.finfo(dtype).eps
    assert out[0] == 1.0


@pytest.mark.parametrize("dtype", ["f8", "f4"])
def test_log_within_two_ulp(rng, dtype):
    big = 300 if dtype == "f8" else 37
    x = np.concatenate(
        [10.0 ** rng.uniform(-big, big, 50_000), rng.uniform(0.5, 2, 50_000)]
    )
    x = x.astype(dtype)
    x[0] = 1
    out = np.empty_like(x)
    log_all(x, out)
    exact = np.log(x.astype(np.longdouble))
    error = np.abs(out - exact) / np.maximum(np.abs(exact), np.finfo(dtype).tiny)
    assert np.max(error) <= 2 * np.finfo(dtype).eps
    assert out[0] == 0.0


def test_exp_clamps_and_passes_nan():
    x = np.array([np.nan, np.inf, -np.inf, 1e9, -1e9])
    out = np.empty_like(x)
    exp_all(x, out)
    assert np.isnan(out[0])
    assert np.all(np.isfinite(out[1:]))
    assert out[2] == out[4] < 1e-307


def test_from_python_they_are_numpy():
    assert simd.exp(1.0) == np.exp(1.0)
    assert simd.log(2.0) == np.log(2.0)


@pytest.mark.slow
@pytest.mark.parametrize("body", [exp_all, log_all])
def test_loops_are_vectorised(body):
    # Cached machine code cannot be inspected: compile anew without the cache.
    fresh = numba.njit(**{**body.targetoptions, "cache": False})(body.py_func)
    fresh(np.ones(8), np.ones(8))
    (code,) = fresh.inspect_asm().values()
    assert re.search(r"v?(mul|fmadd\d*)pd\s", code)
