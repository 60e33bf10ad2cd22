# SPDX-License-Identifier: BSD-3-Clause
"""Partial and sparse transport, clusters of given sizes: time to equal accuracy."""

import contextlib
import functools
import io
import warnings

import numpy as np

from benchmarks import peers
from benchmarks.common import PeerBenchmark

#: Error of the rows (sparse), of columns and mass (partial), of cluster sizes.
SPARSE_TOL, PARTIAL_TOL, SCALING_TOL = 1e-4, 1e-6, 1e-8


@contextlib.contextmanager
def quiet():
    """No warnings, and no shapes printed by POT."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


def clouds(n, m):
    """Return uniform weights and the cost of two clouds, of maximum 1."""
    rng = np.random.default_rng(1)
    X, Y = rng.random((n, 2)), rng.random((m, 2)) ** 1.5
    M = ((X[:, None] - Y) ** 2).sum(axis=-1)
    return np.full(n, 1 / n), np.full(m, 1 / m), M / M.max()


def sparse(n, m, reg, k):
    """Return our solver and POT's L-BFGS on the same semi-dual.

    Both are stopped at the same row error; a peer that does not reach it within 2000
    iterations raises NotImplementedError.
    """
    from numopt.ot import sparse_ot

    ot = peers.require("ot")
    a, b, M = clouds(n, m)
    kind = {"reg_type": "l2"} if k == n else {"reg_type": "sparsity_constrained"}

    def theirs(threshold=1e-10):
        with quiet():
            return ot.smooth.smooth_ot_semi_dual(
                a, b, M, reg, max_nz=k, numItermax=2000, stopThr=threshold, **kind
            )

    ours = functools.partial(sparse_ot, a, b, M, reg, k, tol=SPARSE_TOL, warn=False)
    _check(np.abs(ours().plan.sum(axis=1) - a).sum(), SPARSE_TOL)
    for threshold in (1e-6, 1e-8, 1e-10, 1e-12):
        error = np.abs(theirs(threshold).sum(axis=1) - a).sum()
        if error <= SPARSE_TOL:
            return ours, functools.partial(theirs, threshold)
    raise NotImplementedError(f"rows missed by {error:.0e}; ours meets {SPARSE_TOL:g}")


def partial(n, m, reg, part):
    """Return our solver and POT's iterated projections, at the same error."""
    from numopt.ot import partial_sinkhorn

    ot = peers.require("ot")
    a, b, M = clouds(n, m)
    ours = functools.partial(partial_sinkhorn, a, b, M, reg, part, tol=PARTIAL_TOL)
    exact = partial_sinkhorn(a, b, M, reg, part, tol=1e-11).plan
    _check(np.abs(ours().plan - exact).sum(), 10 * PARTIAL_TOL)

    def theirs(sweeps):
        return ot.partial.entropic_partial_wasserstein(
            a, b, M, reg, part, numItermax=sweeps, stopThr=0.0
        )

    for sweeps in (10, 30, 100, 300, 1000, 3000):
        with quiet():
            error = np.abs(theirs(sweeps) - exact).sum()
        if error <= 10 * PARTIAL_TOL:
            return ours, functools.partial(theirs, sweeps)
    raise NotImplementedError(f"plan off by {error:.0e} after {sweeps} sweeps")


def progressive(n, k, reg):
    """Return our Newton steps and the published scaling, to the same cluster sizes."""
    from numopt.ot import progressive_partial_ot

    rng = np.random.default_rng(0)
    z = 2 * rng.standard_normal((n, k))
    C = np.log(np.exp(z).sum(axis=1, keepdims=True)) - z
    rho, price = 0.5, 1.0
    exact = progressive_partial_ot(C, rho, reg=reg, tol=1e-12, warn=False).plan
    ours = functools.partial(progressive_partial_ot, C, rho, reg=reg, tol=SCALING_TOL)
    _check(np.abs(ours().plan - exact).sum(), 10 * SCALING_TOL)

    def theirs(sweeps):
        kernel = np.exp(-np.column_stack([C, np.zeros(n)]) / reg)
        beta = np.append(np.full(k, rho / k), 1 - rho)
        power = np.append(np.full(k, price / (price + reg)), 1.0)
        v = np.ones(k + 1)
        for _ in range(sweeps):
            u = 1 / n / (kernel @ v)
            v = (beta / (kernel.T @ u)) ** power
        return (u[:, None] * kernel * v)[:, :k]

    for sweeps in (10, 30, 100, 300, 1000, 3000):
        if np.abs(theirs(sweeps) - exact).sum() <= 10 * SCALING_TOL:
            return ours, functools.partial(theirs, sweeps)
    raise NotImplementedError(f"not there after {sweeps} sweeps")


def balanced_clusters():
    """Return our equal clusters of digits and assignments by scipy's solver."""
    from scipy.optimize import linear_sum_assignment
    from sklearn.datasets import load_digits

    from numopt._numerics.distances import pairwise_distances
    from numopt.ot import OTKMeans

    X = load_digits().data / 16
    init = X[:10]
    ours = OTKMeans(10, init=init)
    steps = ours.fit(X).n_iter_
    slots = np.arange(len(X)) % 10

    def theirs():
        centers = init
        for _ in range(steps):
            costs = pairwise_distances(X, centers, "sqeuclidean")
            _, chosen = linear_sum_assignment(costs[:, slots])
            labels = slots[chosen]
            centers = np.stack([X[labels == c].mean(axis=0) for c in range(10)])
        return labels

    return functools.partial(ours.fit, X), theirs


def _check(error, tol):
    """Assert that we are as accurate as the comparison says."""
    if not error <= tol:
        raise AssertionError(f"our error is {error:.1e}, above {tol:.0e}")


def cases():
    """Return the rows of the performance page."""
    for n, m, reg, k in (
        (500, 500, 10.0, 500),
        (500, 500, 1.0, 500),
        (500, 500, 1.0, 8),
        (16, 2000, 1.0, 2),
        (16, 2000, 10.0, 2),
    ):
        make = functools.partial(sparse, n, m, reg, k)
        size = "full" if k == n else f"k {k}"
        yield peers.Case(f"sparse {n}x{m}, {size}, reg {reg:g}", "smooth", "ot", make)
    for reg in (1e-1, 1e-2, 3e-3):
        make = functools.partial(partial, 500, 500, reg, 0.7)
        yield peers.Case(f"partial n 500, reg {reg:.0e}", "projections", "ot", make)
    for reg in (0.1, 0.02):
        make = functools.partial(progressive, 5000, 20, reg)
        name = f"clusters 5000x20, reg {reg:g}"
        yield peers.Case(name, "published scaling", "numpy", make)
    yield peers.Case(
        "equal clusters of digits", "assignment", "scipy", balanced_clusters
    )


class SparseTransport(PeerBenchmark):
    """Columns of few nonzeros against POT."""

    params = [((500, 500, 1.0, 500), (16, 2000, 1.0, 2))]
    param_names = ("problem",)

    def track_ratio_pot_smooth(self, problem):
        return self.ratio(*sparse(*problem))


class PartialTransport(PeerBenchmark):
    """A part of the mass against POT."""

    params = [(1e-1, 1e-2)]
    param_names = ("reg",)

    def track_ratio_pot_projections(self, reg):
        return self.ratio(*partial(500, 500, reg, 0.7))
