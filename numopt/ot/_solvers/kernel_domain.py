# SPDX-License-Identifier: BSD-3-Clause
"""Sinkhorn's iteration on a stored kernel, stabilised by absorbing the scalings."""

from collections.abc import Iterator

from numopt.ot._kernels.dense import scaling_sweep
from numopt.ot._problem import CoreProblem
from numopt.ot._solvers.state import (
    LEVEL_TOL,
    Options,
    TransportState,
    host,
    next_eps,
)

__all__ = ["kernel_domain_rounds"]

#: Scalings beyond exp(+-50) are absorbed into the potentials.
ABSORB = 50.0
#: Sweeps between two certified passes, at most.
SWEEPS = 100


def kernel_domain_rounds(
    problem: CoreProblem, state: TransportState, options: Options
) -> Iterator[None]:
    """Scaling with absorption (Schmitzer 2019, Algorithm 2) and annealing of eps.

    ``K = exp(phi + gamma - M / eps)`` is read once a full sweep u = a / (K v),
    v = b / (K^T u). The scalings are absorbed, and K is rebuilt, before they leave
    exp(+-50); each rebuild is a fused pass, which certifies.
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
        _sweeps_on_kernel(problem, state, tol)
        state.full_pass(problem)


def _sweeps_on_kernel(problem: CoreProblem, state: TransportState, tol: float) -> None:
    """Sweep on one kernel until solved, about to overflow, or SWEEPS are done."""
    xp = problem.xp
    K = xp.exp(state.phi[:, None] + state.gamma[None, :] - problem.M / state.eps)
    sweep = scaling_sweep.for_namespace(xp)
    tiny = 1e-300
    c, v = state.c, xp.ones_like(state.gamma)
    for _ in range(SWEEPS):
        v = v * problem.b / xp.where(c > tiny, c, xp.full_like(c, tiny))
        log_v = xp.log(v)
        u, columns = sweep(K, v, problem.a)
        c = columns * v
        state.n_passes += 1
        largest = xp.maximum(xp.max(xp.abs(log_v)), xp.max(xp.abs(xp.log(u))))
        error = problem.residual(c)
        if error < 0.5 * tol or not host(largest) <= ABSORB:
            break
    # A scaling that is no longer finite keeps the old potential of its column.
    finite = xp.isfinite(log_v)
    state.gamma = state.gamma + xp.where(
        finite, xp.clip(log_v, -2 * ABSORB, 2 * ABSORB), xp.zeros_like(log_v)
    )
