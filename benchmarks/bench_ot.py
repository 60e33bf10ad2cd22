# SPDX-License-Identifier: BSD-3-Clause
"""Entropic optimal transport: time to an L1 marginal error of 1e-8, against peers."""

import functools
import os
import warnings

import numpy as np

from benchmarks import peers
from benchmarks.common import PeerBenchmark, ThreadedBenchmark

TOL = 1e-8

#: (workload, reg); the costs have maximum 1.
PROBLEMS = (
    ("pts2d", 1e-2),
    ("pts2d", 1e-3),
    ("pts2d", 1e-4),
    ("pts10d", 1e-2),
    ("pts10d", 1e-3),
    ("grid1d", 1e-2),
    ("grid1d", 1e-3),
    ("img32_L2", 1e-2),
    ("img32_L2", 1e-3),
    ("img32_L1", 1e-2),
    ("img32_L1", 1e-3),
    ("dig32_L2", 1e-3),
    ("dig32_L1", 1e-3),
    ("assignment", 1 / 1200),
)

#: Large problems for the solver without regularisation.
LARGE_EXACT = (("pts2d", 2000), ("pts10d", 2000), ("pts2d", 4000))

#: Only these are within reach of plain sweeps.
LARGE_REG = ("pts2d", "pts10d", "grid1d", "img32_L2")


def problem(name, n=None):
    from numopt.datasets import make_transport_problem

    return make_transport_problem(name, n)


def ours(data, reg, tol=TOL):
    """Return a callable that solves the problem to ``tol``."""
    from numopt.ot import sinkhorn

    return lambda: sinkhorn(data.a, data.b, data.M, reg, tol=tol, warn=False)


def marginal_error(data, plan):
    """Return the L1 marginal error of a plan, rows and columns."""
    rows = np.abs(plan.sum(axis=1) - data.a).sum()
    return float(rows + np.abs(plan.sum(axis=0) - data.b).sum())


def _sinkhorn_log(data, reg, threshold):
    ot = peers.require("ot")
    # POT stops on the L2 norm of the column error, looked at every tenth sweep
    return lambda: ot.bregman.sinkhorn_log(
        data.a, data.b, data.M, reg, numItermax=5000, stopThr=threshold, warn=False
    )


def _regot(name):
    def make(data, reg, threshold):
        solve = getattr(peers.require("regot"), name)
        return lambda: (
            solve(data.M, data.a, data.b, reg, tol=threshold, max_iter=300).plan
        )

    return make


def _emd(data, reg, threshold):
    ot = peers.require("ot")
    return lambda: ot.emd(data.a, data.b, data.M, numItermax=10_000_000)


def _ott(data, reg, threshold):
    # read when XLA starts: one thread, as for the others
    os.environ.setdefault(
        "XLA_FLAGS",
        "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
    )
    jax = peers.require("jax")
    geometry = peers.require("ott.geometry.geometry")
    problems = peers.require("ott.problems.linear.linear_problem")
    solvers = peers.require("ott.solvers.linear.sinkhorn")
    jax.config.update("jax_enable_x64", True)
    solver = solvers.Sinkhorn(threshold=threshold, max_iterations=5000)

    @jax.jit
    def plan(a, b, M):
        cost = geometry.Geometry(cost_matrix=M, epsilon=reg)
        return solver(problems.LinearProblem(cost, a, b)).matrix

    return lambda: plan(data.a, data.b, data.M).block_until_ready()


#: Display name -> (module, factory). ``emd`` is exact: it ignores the regularisation.
PEERS = {
    "SSNS": ("regot", _regot("sinkhorn_ssns")),
    "SPLR": ("regot", _regot("sinkhorn_splr")),
    "sinkhorn_log": ("ot", _sinkhorn_log),
    "OTT-JAX": ("ott", _ott),
    "emd": ("ot", _emd),
}


def peer(name, data, reg, tol=TOL):
    """Return a callable that brings a peer to the L1 marginal error ``tol``.

    The peers stop on norms of their own: the loosest threshold that meets our
    residual is taken. One that never does raises NotImplementedError.
    """
    _, make = PEERS[name]
    error = np.inf
    for threshold in (tol / 3, tol / 30, tol / 1000):
        solve = make(data, reg, threshold)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            error = marginal_error(data, np.asarray(solve()))
        if error <= tol:
            return solve
        if error > 1e3 * tol:
            break  # it ran out of iterations: a smaller threshold cannot help
    raise NotImplementedError(f"stops at a marginal error of {error:.0e}")


def cases():
    """Return the rows of the performance page."""
    for name, reg in PROBLEMS:
        for rival in ("emd", "SSNS", "SPLR"):
            yield _case(name, reg, rival)
    for reg in (1e-2, 1e-3, 1e-4):
        yield _case("pts2d", reg, "emd", n=4000)
    for rival in ("sinkhorn_log", "OTT-JAX"):
        for name in LARGE_REG:
            yield _case(name, 1e-2, rival)
    for name in LARGE_REG:
        yield _case(name, 1e-3, "OTT-JAX")
    yield _case("pts2d", 1e-2, "sinkhorn_log", n=450)
    yield _case("pts2d", 5e-2, "sinkhorn_log", n=450)
    for name, n in (("pts2d", None), ("img32_L1", None), *LARGE_EXACT):
        make = functools.partial(exact_and_emd, name, n)
        yield peers.Case(f"{_sized(name, n)}, exact", "emd", "ot", make)
    yield peers.Case("fused pass, n 2000", "NumPy", "numpy", fused_pass)


def _case(name, reg, rival, n=None):
    """Return the row of one problem and one peer."""

    def make():
        data = problem(name, n)
        return ours(data, reg), peer(rival, data, reg)

    workload = f"{_sized(name, n)}, reg {reg:.1e}"
    return peers.Case(workload, rival, PEERS[rival][0], make)


def _sized(name, n):
    """Return the name of a workload, with its size where it is not the usual one."""
    return name if n is None else f"{name} n {n}"


def exact_and_emd(name, n=None):
    """Return our exact solver and POT's, which attain the same value."""
    from numopt.ot import ot_exact

    data = problem(name, n)
    solve = functools.partial(ot_exact, data.a, data.b, data.M)
    theirs = _emd(data, None, None)
    np.testing.assert_allclose(solve().value, np.sum(theirs() * data.M), rtol=1e-9)
    return solve, theirs


def fused_pass(n=2000, reg=1e-2):
    """Return our fused pass and the same sweep in array expressions.

    Both compute the row potentials and the column sums of the plan.
    """
    from scipy.special import logsumexp

    from numopt.ot._kernels.dense import fused_pass

    data = problem("pts2d", n)
    M, log_a, gamma = data.M, np.log(data.a), np.log(data.b)

    def in_numpy():
        S = gamma - M / reg
        phi = log_a - logsumexp(S, axis=1)
        return phi, np.exp(phi[:, None] + S).sum(axis=0)

    phi, c = in_numpy()
    run = functools.partial(fused_pass, M, gamma, phi, log_a, 1 / reg)
    np.testing.assert_allclose(run()[1], c, rtol=1e-9)
    return run, in_numpy


class Sinkhorn(PeerBenchmark):
    """The regularised peers, and the network simplex as the honest rival."""

    params = [("pts2d", "pts10d", "grid1d", "img32_L2"), (1e-2, 1e-3)]
    param_names = ("workload", "reg")

    def setup(self, workload, reg):
        self.data = problem(workload)

    def _track(self, name, reg):
        return self.ratio(ours(self.data, reg), peer(name, self.data, reg))

    def track_ratio_regot_ssns(self, workload, reg):
        return self._track("SSNS", reg)

    def track_ratio_regot_splr(self, workload, reg):
        return self._track("SPLR", reg)

    def track_ratio_pot_emd(self, workload, reg):
        return self._track("emd", reg)

    def track_marginal_error(self, workload, reg):
        return ours(self.data, reg)().marginal_error

    track_marginal_error.unit = "L1"

    def track_passes(self, workload, reg):
        return ours(self.data, reg)().n_passes

    track_passes.unit = "fused passes"


class SinkhornToEqualAccuracy(PeerBenchmark):
    """POT's log-domain sweeps need a smaller problem to get there at all."""

    params = [(5e-2, 1e-2)]
    param_names = ("reg",)

    def setup(self, reg):
        self.data = problem("pts2d", 450)

    def track_ratio_pot_sinkhorn_log(self, reg):
        return self.ratio(ours(self.data, reg), peer("sinkhorn_log", self.data, reg))


class FusedPass(PeerBenchmark):
    """One sweep over the dense cost matrix."""

    params = [(500, 2000)]
    param_names = ("n",)

    def track_ratio_numpy(self, n):
        return self.ratio(*fused_pass(n))


class SinkhornSolve(ThreadedBenchmark):
    """Plain times and memory, to compare our own commits."""

    params = [("pts2d", "img32_L1"), (1e-2, 1e-3), *ThreadedBenchmark.params]
    param_names = ("workload", "reg", "threads")

    def prepare(self, workload, reg):
        self.solve = ours(problem(workload), reg)
        self.solve()

    def time_sinkhorn(self, workload, reg, threads):
        self.solve()

    def peakmem_sinkhorn(self, workload, reg, threads):
        self.solve()
