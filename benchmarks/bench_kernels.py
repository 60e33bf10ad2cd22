# SPDX-License-Identifier: BSD-3-Clause
"""How loops run: our pool against Numba's threads, our exp and log against NumPy's."""

import functools
import itertools
import math

import numpy as np

from benchmarks import peers
from benchmarks.common import THREADS, PeerBenchmark, num_threads

SIZES = (300, 1500)


@functools.cache
def soft_min_bodies():
    """Return one body under both schedulers: serial blocks, and numba prange."""
    import numba

    from numopt._kernels.jit import jit_kernel
    from numopt._kernels.simd import exp

    @jit_kernel
    def row(C, g, inv_eps, out, i):
        top = -np.inf
        for j in range(C.shape[1]):
            top = max(top, (g[j] - C[i, j]) * inv_eps)
        total = 0.0
        for j in range(C.shape[1]):
            total += exp((g[j] - C[i, j]) * inv_eps - top)
        out[i] = -(top + math.log(total)) / inv_eps

    @jit_kernel
    def blocks(C, g, inv_eps, out, lo, hi):
        for i in range(lo, hi):
            row(C, g, inv_eps, out, i)

    @numba.njit(parallel=True, nogil=True, error_model="numpy")
    def prange(C, g, inv_eps, out):
        for i in numba.prange(C.shape[0]):
            row(C, g, inv_eps, out, i)

    return blocks, prange


def blocks_and_prange(n):
    """Return the same rows on our pool and on Numba's, at the current thread count."""
    import numba

    from numopt._kernels.threads import get_num_threads, run_blocks

    blocks, prange = soft_min_bodies()
    rng = np.random.default_rng(1)
    args = rng.random((n, n)), rng.random(n), 20.0, np.empty(n)
    numba.set_num_threads(min(get_num_threads(), numba.config.NUMBA_NUM_THREADS))
    return (
        lambda: run_blocks(blocks, n, args, work=4 * n * n),
        lambda: prange(*args),
    )


class RunBlocks(PeerBenchmark):
    """Rows of log-sum-exp; the pool stays as long as it loses by less than 15%."""

    params = [SIZES, THREADS]
    param_names = ("n", "threads")

    def track_ratio_prange(self, n, threads):
        with peers.threads(num_threads(threads)):
            pair = blocks_and_prange(n)
        return self.ratio(*pair, threads=threads)


@functools.cache
def elementwise(name):
    """Return a compiled loop ``out[:] = f(x)`` over our own scalar function."""
    from numopt._kernels import simd
    from numopt._kernels.jit import jit_kernel

    f = getattr(simd, name)

    @jit_kernel
    def loop(x, out):
        for i in range(x.size):
            out[i] = f(x[i])

    return loop


def elementwise_and_numpy(name, dtype):
    """Return our scalar function in a loop and NumPy's, on a vector in fast cache."""
    x = arguments(dtype)
    out = np.empty_like(x)
    loop, peer = elementwise(name), getattr(np, name)
    return lambda: loop(x, out), lambda: peer(x, out=out)


def arguments(dtype):
    """Return the arguments of the elementwise functions."""
    return (10 * np.random.default_rng(1).random(1024) + 0.1).astype(dtype)


class Simd(PeerBenchmark):
    """Arrays that fit in the first-level cache."""

    params = [("exp", "log"), ("float64", "float32")]
    param_names = ("function", "dtype")

    def track_ratio_numpy(self, function, dtype):
        return self.ratio(*elementwise_and_numpy(function, dtype))

    def track_max_relative_error(self, function, dtype):
        x = arguments(dtype)
        out = np.empty_like(x)
        elementwise(function)(x, out)
        exact = getattr(np, function)(x.astype(np.longdouble))
        scale = np.maximum(np.abs(exact), np.finfo(dtype).tiny)
        return float(np.max(np.abs(out - exact) / scale) / np.finfo(dtype).eps)

    track_max_relative_error.unit = "machine epsilon"


class SoftMinRows(PeerBenchmark):
    """One fused log-sum-exp sweep against the same sweep in array expressions."""

    params = [(100, 500, 2000)]
    param_names = ("n",)

    def setup(self, n):
        rng = np.random.default_rng(1)
        self.args = rng.random((n, n)), rng.random(n), 20.0, np.empty(n)

    def track_ratio_scipy(self, n):
        logsumexp = peers.require("scipy.special").logsumexp
        C, g, inv_eps, out = self.args
        blocks, _ = soft_min_bodies()
        return self.ratio(
            lambda: blocks(C, g, inv_eps, out, 0, n),
            lambda: -logsumexp((g - C) * inv_eps, axis=1) / inv_eps,
        )


def cases():
    """Return the rows of the performance page."""
    for n in SIZES:
        make = functools.partial(blocks_and_prange, n)
        yield peers.Case(f"rows of log-sum-exp, n {n}", "prange", "numba", make)
    for name, dtype in itertools.product(("exp", "log"), ("float64", "float32")):
        make = functools.partial(elementwise_and_numpy, name, dtype)
        yield peers.Case(f"{name}, 1024 {dtype}", "NumPy", "numpy", make)
