# SPDX-License-Identifier: BSD-3-Clause
"""Transport on grids, barycenters, divergences: time to equal accuracy.

``python -m benchmarks.bench_ot_means N REG`` prints work and peak memory of transport
between two photographs of N x N pixels.
"""

import argparse
import functools
import json
import warnings

import numpy as np

from benchmarks import peers
from benchmarks.bench_ot_points import account, peak_memory
from benchmarks.common import ThreadedBenchmark

#: L1 marginal error on grids; L1 distance of barycenters from the exact one; absolute
#: error of divergences (of the order of 0.1).
TOL = 1e-8
MEAN_TOL = 1e-6
VALUE_TOL = 1e-7

#: Iterations that peers get.
BUDGET = 20_000


def photographs(n):
    """Return two photographs as block means on an n x n grid, of sum 1."""
    from numopt.datasets import load_photographs

    made = []
    for image in load_photographs():
        grey = np.asarray(image).mean(axis=-1)
        size = min(grey.shape) // n
        blocks = grey[: n * size, : n * size].reshape(n, size, n, size)
        made.append(blocks.mean(axis=(1, 3)) / blocks.mean(axis=(1, 3)).sum())
    return made


def digits(label, count, factor=4):
    """Return images of one digit, enlarged, of sum 1."""
    from sklearn.datasets import load_digits

    data = load_digits()
    images = data.images[data.target == label][:count] + 1e-2
    images = images.repeat(factor, axis=1).repeat(factor, axis=2)
    return images / images.sum(axis=(1, 2), keepdims=True)


def grid_and_dense(n, reg, p=2):
    """Return the separable solver and our own solver on the cost matrix."""
    from numopt.ot import sinkhorn, sinkhorn_grid

    a, b = photographs(n)
    x = np.linspace(0, 1, n)
    X = np.stack(np.meshgrid(x, x, indexing="ij"), axis=-1).reshape(-1, 2)
    M = sum(np.abs(X[:, k][:, None] - X[:, k]) ** p for k in range(2))
    ours = functools.partial(sinkhorn_grid, a, b, reg, p=p, tol=TOL)
    theirs = functools.partial(sinkhorn, a.ravel(), b.ravel(), M, reg, tol=TOL)
    np.testing.assert_allclose(ours().value, theirs().value, atol=10 * TOL)
    return ours, theirs


def _accurate(make, exact, thresholds=(1e-6, 1e-8, 1e-10, 1e-13)):
    """Return the loosest of the peer's settings that is accurate enough."""
    error = np.inf
    for threshold in thresholds:
        solve = functools.partial(make, threshold)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            error = np.abs(solve() - exact).sum()
        if error <= MEAN_TOL:
            return solve
    raise NotImplementedError(f"stops at an L1 error of {error:.0e}")


def histogram_mean(reg, method, n=400, count=10):
    """Return our mean of Gaussians on the line and POT's."""
    from numopt.ot import barycenter

    ot = peers.require("ot")
    x = np.linspace(0, 1, n)
    means = np.random.default_rng(0).uniform(0.2, 0.8, count)
    A = np.exp(-0.5 * ((x[:, None] - means) / 0.05) ** 2) + 1e-8
    A /= A.sum(axis=0)
    M = (x[:, None] - x) ** 2
    exact = barycenter(A, M, reg, tol=1e-12, warn=False).barycenter
    ours = functools.partial(barycenter, A, M, reg, tol=MEAN_TOL / 10)

    def make(threshold):
        return ot.bregman.barycenter(
            A, M, reg, method=method, numItermax=BUDGET, stopThr=threshold, warn=False
        )

    assert np.abs(ours().barycenter - exact).sum() <= MEAN_TOL
    return ours, _accurate(make, exact)


def image_mean(reg, method):
    """Return our mean of images of a digit and POT's."""
    from numopt.ot import barycenter_grid

    ot = peers.require("ot")
    images = digits(3, 6)
    exact = barycenter_grid(images, reg, tol=1e-12, warn=False).barycenter
    ours = functools.partial(barycenter_grid, images, reg, tol=MEAN_TOL / 10)

    def make(threshold):
        return ot.bregman.convolutional_barycenter2d(
            images,
            reg,
            method=method,
            numItermax=BUDGET,
            stopThr=threshold,
            warn=False,
        )

    assert np.abs(ours().barycenter - exact).sum() <= MEAN_TOL
    return ours, _accurate(make, exact)


def divergence(reg, n=1000):
    """Return our divergence with gradients and POT's, of the transport costs."""
    from numopt.ot import sinkhorn_divergence

    ot = peers.require("ot")
    rng = np.random.default_rng(0)
    X, Y = rng.random((n, 2)), rng.random((n, 2)) ** 1.5
    ours = functools.partial(sinkhorn_divergence, X, Y, reg)
    exact = sinkhorn_divergence(X, Y, reg, tol=1e-11, warn=False)
    parts = (exact.xy, exact.xx, exact.yy)
    linear = np.asarray([part.value_linear for part in parts]) @ [1.0, -0.5, -0.5]
    error = np.inf
    for threshold in (1e-6, 1e-8, 1e-10):
        solve = functools.partial(
            ot.bregman.empirical_sinkhorn_divergence,
            X,
            Y,
            reg,
            numIterMax=BUDGET,
            stopThr=threshold,
            warn=False,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            error = abs(float(solve()) - linear)
        if error <= VALUE_TOL:
            return ours, solve
    raise NotImplementedError(f"stops at an error of {error:.0e}")


def gaussian(n=5000, d=20):
    """Return our affine map and POT's."""
    from numopt.ot import gaussian_transport

    ot = peers.require("ot")
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, d)) @ rng.standard_normal((d, d))
    Y = rng.standard_normal((n, d)) @ rng.standard_normal((d, d)) + 1.0
    theirs = functools.partial(
        ot.gaussian.empirical_bures_wasserstein_mapping, X, Y, reg=0.0
    )
    ours = functools.partial(gaussian_transport, X, Y)
    np.testing.assert_allclose(ours().A, theirs()[0], rtol=1e-2, atol=1e-2)
    return ours, theirs


def cases():
    """Return the rows of the performance page."""
    for n, reg in ((32, 1e-3), (64, 1e-3)):
        make = functools.partial(grid_and_dense, n, reg)
        yield peers.Case(f"grid {n}x{n}, reg {reg:.0e}", "own matrix", "numopt", make)
    for reg in (1e-2, 1e-3):
        for method in ("sinkhorn", "sinkhorn_log"):
            make = functools.partial(histogram_mean, reg, method)
            name = f"barycenter n 400, reg {reg:.0e}"
            yield peers.Case(name, f"barycenter {method}", "ot", make)
    for reg, method in (
        (1e-2, "sinkhorn"),
        (2e-3, "sinkhorn"),
        (1e-2, "sinkhorn_log"),
    ):
        make = functools.partial(image_mean, reg, method)
        name = f"mean of 32x32, reg {reg:.0e}"
        yield peers.Case(name, f"convolutional {method}", "ot", make)
    for reg in (1e-1, 1e-2):
        make = functools.partial(divergence, reg)
        yield peers.Case(f"divergence n 1000, reg {reg:.0e}", "empirical", "ot", make)
    yield peers.Case("Gaussians n 5000, d 20", "bures mapping", "ot", gaussian)


class SinkhornGrid(ThreadedBenchmark):
    """Times and memory of image transport, to compare our own commits."""

    params = [(64, 128, 256), *ThreadedBenchmark.params]
    param_names = ("n", "threads")

    def prepare(self, n):
        from numopt.ot import sinkhorn_grid

        self.solve = functools.partial(sinkhorn_grid, *photographs(n), 1e-3, tol=TOL)

    def time_sinkhorn_grid(self, n, threads):
        self.solve()

    def peakmem_sinkhorn_grid(self, n, threads):
        self.solve()


def work(n, reg):
    """Return what one solve took, as a row of a table."""
    from numopt.ot import sinkhorn_grid

    # compiles what the large solve needs
    sinkhorn_grid(*photographs(32), max(reg, 1e-3), tol=TOL)
    images = photographs(n)
    result, grown = peak_memory(
        functools.partial(sinkhorn_grid, *images, reg, tol=TOL, warn=False)
    )
    return {
        "workload": f"photographs {n}x{n}, reg {reg:.0e}",
        **account(result, grown),
    }


def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench_ot_means")
    parser.add_argument("n", type=int)
    parser.add_argument("reg", type=float)
    options = parser.parse_args(argv)
    print(json.dumps(work(options.n, options.reg)))


if __name__ == "__main__":
    main()
