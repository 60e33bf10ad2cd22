# SPDX-License-Identifier: BSD-3-Clause
"""Completion: what the machine allows, two threads on registers and a peer's core."""

import time

import numpy as np

from benchmarks import bench_completion as bench
from benchmarks import peers
from numopt._kernels.jit import jit_kernel
from numopt._kernels.threads import run_blocks
from numopt.completion._kernels.als import cg_lines
from numopt.completion._kernels_cpu.lines import chunk_rows, gram, padded_width
from numopt.completion._problem import observations

#: Blocks of the register loop, and Gram matrices of each.
BLOCKS, REPEATS = 64, 500


@jit_kernel
def _tiles(rows, n, width, repeats, out, lo, hi):
    """Gram matrices of one chunk of rows in the first-level cache, over and over."""
    for b in range(lo, hi):
        G = np.zeros(width * width, rows.dtype)
        for _ in range(repeats):
            gram(rows, n, width, G)
        out[b] = G[0]


def tiles(rank):
    """Arithmetic of the half sweeps of a rank: no gathers, no serial part."""
    width = padded_width(rank + 1)
    n = chunk_rows(width, 4)
    rows = np.random.default_rng(0).random(n * width, dtype=np.float32)
    out = np.zeros(BLOCKS, np.float32)
    run_blocks(
        _tiles, BLOCKS, (rows, n, width, REPEATS, out),
        work=BLOCKS * REPEATS * n * width * width // 64,
    )  # fmt: skip


def elapsed_ratio(run, pairs=5):
    """Elapsed time on two threads over that on one, in alternation."""
    run()
    samples = []
    for _ in range(pairs):
        taken = {}
        for n in (1, 2):
            with peers.threads(n):
                start = time.perf_counter()
                run()
                taken[n] = time.perf_counter() - start
        samples.append(taken[2] / taken[1])
    return peers.Ratio(tuple(samples))


def half_sweeps(rank, steps=3):
    """Callables: three gradient steps for each row, by our kernel and by implicit's.

    Implicit solves another model, with a Gram matrix of all columns in every row.
    """
    from scipy.sparse import csr_matrix

    core = peers.require("implicit.cpu._als")
    entries = bench.ratings()
    side = observations(entries, shape=bench.SHAPE).by_row
    confidence = csr_matrix(
        (np.abs(side.values), side.indices, side.indptr), shape=bench.SHAPE
    )
    rng = np.random.default_rng(0)
    P, Q = (
        rng.standard_normal((extent, rank + 1)).astype(np.float32)
        for extent in bench.SHAPE
    )
    ridge = np.full(bench.SHAPE[0], bench.ALPHA, np.float32)
    U, V = np.ascontiguousarray(P[:, :rank]), np.ascontiguousarray(Q[:, :rank])

    def ours():
        cg_lines(
            side.indptr, side.indices, side.values, side.weights, Q, ridge, ridge, P,
            True, steps,
        )  # fmt: skip

    def theirs():
        core.least_squares_cg(
            confidence, U.copy(), V, bench.ALPHA, num_threads=1, cg_steps=steps
        )

    return ours, theirs
