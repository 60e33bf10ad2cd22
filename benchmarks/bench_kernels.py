# SPDX-License-Identifier: BSD-3-Clause
"""How loops run: our pool against Numba's threads, our exp and log against NumPy's."""

import functools
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


class RunBlocks(PeerBenchmark):
    """Rows of log-sum-exp; the pool stays as long as it loses by less than 15%."""

    params = [SIZES, THREADS]
    param_names = ("n", "threads")

    def setup(self, n, threads):
        rng = np.random.default_rng(1)
        self.args = rng.random((n, n)), rng.random(n), 20.0, np.empty(n)

    def track_ratio_prange(self, n, threads):
        import numba

        from numopt._kernels.threads import run_blocks

        blocks, prange = soft_min_bodies()
        numba.set_num_threads(min(num_threads(threads), numba.config.NUMBA_NUM_THREADS))
        return self.ratio(
            lambda: run_blocks(blocks, n, self.args, work=4 * n * n),
            lambda: prange(*self.args),
            threads=threads,
        )

    def track_ratio_serial(self, n, threads):
        from numopt._kernels.threads import run_blocks

        blocks, _ = soft_min_bodies()
        return self.ratio(
            lambda: run_blocks(blocks, n, self.args, work=4 * n * n),
            lambda: blocks(*self.args, 0, n),
            threads=threads,
        )


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


class Simd(PeerBenchmark):
    """Arrays that fit in the first-level cache."""

    params = [("exp", "log"), ("float64", "float32")]
    param_names = ("function", "dtype")

    def setup(self, function, dtype):
        rng = np.random.default_rng(1)
        self.x = (10 * rng.random(1024) + 0.1).astype(dtype)
        self.out = np.empty_like(self.x)

    def track_ratio_numpy(self, function, dtype):
        loop, peer = elementwise(function), getattr(np, function)
        return self.ratio(
            lambda: loop(self.x, self.out), lambda: peer(self.x, out=self.out)
        )

    def track_max_relative_error(self, function, dtype):
        elementwise(function)(self.x, self.out)
        exact = getattr(np, function)(self.x.astype(np.longdouble))
        scale = np.maximum(np.abs(exact), np.finfo(dtype).tiny)
        return float(np.max(np.abs(self.out - exact) / scale) / np.finfo(dtype).eps)

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
