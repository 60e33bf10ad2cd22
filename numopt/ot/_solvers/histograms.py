# SPDX-License-Identifier: BSD-3-Clause
"""Sinkhorn's iteration for several targets on the same points, by matrix products."""

from collections.abc import Iterator

from numopt.ot._problem import CoreProblem
from numopt.ot._solvers.state import (
    LEVEL_TOL,
    Options,
    TransportState,
    host,
    log_ratio,
    next_eps,
)
from numopt.typing import Array, Namespace

__all__ = ["histogram_rounds"]

#: Largest logarithm of a scaling: products with the kernel stay in range.
LARGEST = 250.0
#: Sweeps between two certified passes, at most.
SWEEPS = 100


def histogram_rounds(
    problem: CoreProblem, state: TransportState, options: Options
) -> Iterator[None]:
    """Scaling (Cuturi 2013) of k targets with one kernel, and annealing of eps.

    The kernel holds the potentials in the middle of the k targets, each target scales
    it by U and V: U = a / (K V), V = B / (K^T U) are two matrix products a sweep.
    Where the targets differ by more than double precision can scale, and between the
    stretches of sweeps, the log-domain pass over every target goes on (and certifies).
    """
    state.stage = "kernel"
    state.full_pass(problem)
    while True:
        yield
        last = state.eps <= problem.eps
        tol = options.tol if last else LEVEL_TOL
        if not last and state.error < tol:
            state.move_to(problem, next_eps(state.eps, problem.eps, options.scaling))
            state.full_pass(problem)
        state.gamma = state.gamma + log_ratio(problem, state.c)
        _sweeps_on_kernel(problem, state, 0.5 * tol)
        state.full_pass(problem)


def _sweeps_on_kernel(problem: CoreProblem, state: TransportState, tol: float) -> None:
    """Sweep on one kernel until solved, near overflow, or SWEEPS are done."""
    xp, b = problem.xp, problem.b
    present = b > 0
    phi = _middle(state.phi, None, xp)
    gamma = _middle(state.gamma, present, xp)
    log_V = state.gamma - gamma
    if not _largest(log_V, present, xp) + _largest(state.phi - phi, None, xp) < LARGEST:
        return
    K = xp.exp(phi + xp.matrix_transpose(gamma) - problem.M / state.eps)
    V = xp.where(present, xp.exp(log_V), xp.zeros_like(log_V))
    Kt = xp.matrix_transpose(K)
    accepted = V
    for _ in range(SWEEPS):
        U = problem.a / (K @ V)
        sums = Kt @ U
        state.n_passes += 1
        error = problem.residual(V * sums)
        scales = _largest(xp.log(U), None, xp)
        if not scales < LARGEST:  # NaN and infinity too
            break
        accepted = V
        if error < tol:
            break
        V = xp.where(present, b / sums, xp.zeros_like(b))
    log_V = xp.log(xp.where(accepted > 0, accepted, xp.ones_like(accepted)))
    state.gamma = xp.where(accepted > 0, gamma + log_V, state.gamma)


def _middle(x: Array, present: Array | None, xp: Namespace) -> Array:
    """Middle of each row over the targets where it is present, as a column."""
    low = high = x
    if present is not None:
        infinite = xp.full_like(x, float("inf"))
        low, high = xp.where(present, x, infinite), xp.where(present, x, -infinite)
    low, high = xp.min(low, axis=1), xp.max(high, axis=1)
    return (0.5 * (low + high))[:, None]


def _largest(x: Array, present: Array | None, xp: Namespace) -> float:
    """Largest magnitude among the entries that are present."""
    x = xp.abs(x)
    return host(
        xp.max(x if present is None else xp.where(present, x, xp.zeros_like(x)))
    )
