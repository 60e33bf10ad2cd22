# SPDX-License-Identifier: BSD-3-Clause
"""Discrete min-max violation: filters, random instances, layers and moves."""

import functools

import numpy as np

from benchmarks import peers
from benchmarks.common import PeerBenchmark

#: name: (bands, desired, weight) of the fquantizer test suite.
FILTERS = {
    "A": ([0, 0.4, 0.5, 1], [1, 0], [1, 1]),
    "B": ([0, 0.4, 0.5, 1], [1, 0], [1, 10]),
    "C": ([0, 0.24, 0.4, 0.68, 0.84, 1], [1, 0, 1], [1, 1, 1]),
    "D": ([0, 0.24, 0.4, 0.68, 0.84, 1], [1, 0, 1], [1, 10, 1]),
    "E": ([0.02, 0.42, 0.52, 0.98], [1, 0], [1, 1]),
}
#: "m n high" of fits by integers from 0 to high.
FITS = ("30 10 3", "60 20 3", "100 40 3", "60 30 15")
#: Half width of the integer box that the mixed-integer program gets.
BOX = 8


def filter_problem(name, density=8):
    """Return (A, b, weights, lo, hi) of a filter such as "A35/8" on a grid."""
    bands, desired, weight = FILTERS[name[0]]
    numtaps, bits = (int(part) for part in name[1:].split("/"))
    half = (numtaps + 1) // 2
    rows, ends, weights = [], [], []
    lags = np.arange(half)[::-1]
    width = sum(b - a for a, b in zip(bands[::2], bands[1::2], strict=True))
    for i, (low, high) in enumerate(zip(bands[::2], bands[1::2], strict=True)):
        count = max(5, int(np.ceil(density * half * (high - low) / width)))
        omega = np.pi * np.linspace(low, high, count)
        rows.append(np.cos(omega[:, None] * lags) * np.where(lags == 0, 1, 2))
        ends.append(np.full(count, float(desired[i])))
        weights.append(np.full(count, float(weight[i])))
    A = np.concatenate(rows) * 2.0 ** (1 - bits)
    b, w = np.concatenate(ends), np.concatenate(weights)
    centre = np.rint(np.linalg.lstsq(A * w[:, None], b * w)[0])
    return A, b, w, centre - BOX, centre + BOX


def random_problem(name):
    """Return (A, b, levels) of an instance "gauss m n high" or "uniform m n high"."""
    kind, m, n, high = name.split()
    rng = np.random.default_rng(0)
    shape = int(m), int(n)
    A = rng.standard_normal(shape) if kind == "gauss" else rng.random(shape)
    return A, A @ rng.uniform(0, int(high), shape[1]), (0, int(high))


def solve_milp(A, b, low, high, weights=None, time_limit=None):
    """Return the violation that ``scipy.optimize.milp`` reaches."""
    from scipy.optimize import Bounds, LinearConstraint, milp

    m, n = A.shape
    w = np.ones(m) if weights is None else weights
    rows, ones = A * w[:, None], np.ones((m, 1))
    answer = milp(
        np.append(np.zeros(n), 1.0),
        constraints=[
            LinearConstraint(np.hstack([rows, -ones]), -np.inf, b * w),
            LinearConstraint(np.hstack([rows, ones]), b * w, np.inf),
        ],
        bounds=Bounds(
            np.append(np.broadcast_to(low, n), 0.0),
            np.append(np.broadcast_to(high, n), np.inf),
        ),
        integrality=np.append(np.ones(n), 0.0),
        options={} if time_limit is None else {"time_limit": time_limit},
    )
    if answer.x is None:
        return np.inf
    return float(np.max(np.abs(rows @ np.rint(answer.x[:n]) - b * w)))


def optimum(name, rounds=1):
    """Return ours and the program, which reach the same ripple on the grid."""
    from numopt.dmmv import minimize_max_violation

    A, b, w, low, high = filter_problem(name)

    def ours():
        return minimize_max_violation(
            A, b, (low, high), weights=w, max_iter=rounds
        ).violation

    peer = functools.partial(solve_milp, A, b, low, high, w)
    if ours() > peer() * (1 + 1e-4):
        raise NotImplementedError(f"needs more than {rounds} rounds")
    return ours, peer


def integer_fit(name):
    """Return both with a proof: coefficients "m n high" of rows with noise."""
    from numopt.dmmv import minimize_max_violation

    m, n, high = (int(part) for part in name.split())
    rng = np.random.default_rng(0)
    A = rng.standard_normal((m, n))
    b = A @ rng.integers(0, high + 1, n) + 0.5 * rng.standard_normal(m)

    def ours():
        result = minimize_max_violation(A, b, (0, high))
        if not result.converged:
            raise NotImplementedError(f"a gap of {result.gap:.0e} stays open")
        return result.violation

    peer = functools.partial(solve_milp, A, b, 0, high)
    if ours() > peer() * (1 + 1e-6):
        raise NotImplementedError("the peer's point is better")
    return ours, peer


def gptq_loop(W, X, scales, zeros, top, damping=0.01):
    """The published loop: one Cholesky factor, one rank-one update an input."""
    H = X.T @ X / len(X)
    H += damping * np.mean(np.diag(H)) * np.eye(len(H))
    order = np.argsort(-np.diag(H))
    inverse = np.linalg.inv(H[np.ix_(order, order)])
    U = np.linalg.cholesky(inverse).T
    W = W[order].copy()
    codes = np.empty_like(W)
    for j in range(len(W)):
        codes[j] = np.clip(np.rint(W[j] / scales) + zeros, 0, top)
        error = (W[j] - scales * (codes[j] - zeros)) / U[j, j]
        W[j + 1 :] -= np.outer(U[j, j + 1 :], error)
    answer = np.empty_like(codes)
    answer[order] = codes
    return answer


def layer(n_in, n_out, samples=512):
    """Return weights and correlated inputs."""
    rng = np.random.default_rng(0)
    mixing = rng.standard_normal((n_in, n_in)) * rng.uniform(0.2, 1.0, n_in)
    X = rng.standard_normal((samples, n_in)) @ mixing / np.sqrt(n_in)
    return rng.standard_normal((n_in, n_out)), X


def quantisation(size, keep):
    """Return the K-best search and the loop on one layer, both for the mean square."""
    from numopt.dmmv import quantize_layer

    W, X = layer(size, size)
    options = {"bits": 3, "clip_search": False, "objective": "mse"}

    def ours():
        return quantize_layer(W, X, beam_width=keep, **options)

    start = quantize_layer(W, X, method="round", **options)
    return ours, functools.partial(gptq_loop, W, X, start.scales[0], start.zeros[0], 7)


def moves(m, steps=2000):
    """Return the annealing kernel and the same number of moves in NumPy."""
    from numopt.dmmv._kernels import anneal

    rng = np.random.default_rng(0)
    n = 50
    At, b = rng.standard_normal((n, m)), rng.standard_normal(m)
    low, high = np.full(n, -4), np.full(n, 4)
    k, y = np.zeros(n, np.int64), np.zeros(m)
    unit, table = np.eye(n, dtype=np.int64), np.zeros((n, 0))

    def ours():
        return anneal(At, unit, table, low, high, b, b, k, y, 4, 0.05, 1e-3, steps, 1)

    def peer():
        z, power = y.copy(), np.sum(np.abs(y - b) ** 16)
        which = rng.integers(0, n, (steps, 2))
        for i, j in which:
            new = z + At[i] - At[j]
            value = np.sum((new - b) ** 16)
            if value < power:
                z, power = new, value
        return z

    return ours, peer


def cases():
    """Return the rows of the performance page."""
    for name, rounds in (("A35/8", 1), ("C35/8", 1), ("E35/8", 1), ("D35/9", 2)):
        yield peers.Case(
            f"optimum of filter {name}",
            "milp with proof",
            "scipy",
            functools.partial(optimum, name, rounds),
        )
    for name in FITS:
        m, n, high = name.split()
        yield peers.Case(
            f"integer fit {m}x{n}, levels 0 to {high}, both proved",
            "milp with proof",
            "scipy",
            functools.partial(integer_fit, name),
        )
    for size, keep in ((256, 1), (256, 64), (512, 1), (512, 64)):
        yield peers.Case(
            f"layer {size}x{size}, 3 bits, K={keep}",
            "GPTQ loop",
            "numpy",
            functools.partial(quantisation, size, keep),
        )
    yield peers.Case("annealing moves, m=500", "NumPy", "numpy", lambda: moves(500))


class Filters(PeerBenchmark):
    """The proved optimum of short filters."""

    params = [("A35/8", "C35/8", "E35/8")]
    param_names = ("filter",)

    def track_ratio_scipy_milp(self, name):
        return self.ratio(*optimum(name))


class Fits(PeerBenchmark):
    """Proved fits by integers."""

    params = [FITS]
    param_names = ("size",)

    def track_ratio_scipy_milp(self, name):
        return self.ratio(*integer_fit(name))


class Quality:
    """Violation over HiGHS' at four times our limit: below 1 is a win."""

    params = [("gauss 100 50 3", "gauss 400 100 7", "uniform 60 120 1")]
    param_names = ("instance",)
    timeout = 300.0
    unit = "violation ratio (ours/peer)"

    def track_violation_scipy_milp(self, name):
        from numopt.dmmv import minimize_max_violation

        A, b, levels = random_problem(name)
        ours = minimize_max_violation(A, b, levels, time_limit=2.0).violation
        return ours / solve_milp(A, b, *levels, time_limit=8.0)


class Layers(PeerBenchmark):
    """Cost of a K-best search over a plain loop."""

    params = [(128, 512), (1, 64)]
    param_names = ("size", "beam_width")

    def track_ratio_numpy_gptq(self, size, keep):
        return self.ratio(*quantisation(size, keep))


class Moves(PeerBenchmark):
    """Annealing moves a second over plain NumPy."""

    params = [(100, 500)]
    param_names = ("m",)

    def track_ratio_numpy(self, m):
        return self.ratio(*moves(m))
