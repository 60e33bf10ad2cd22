# SPDX-License-Identifier: BSD-3-Clause
"""Sinkhorn's iteration in the log domain, over-relaxed, one fused pass an iteration."""

import itertools
import math
from collections.abc import Iterator

from numopt.ot._problem import CoreProblem
from numopt.ot._solvers.state import (
    LEVEL_TOL,
    Options,
    TransportState,
    log_ratio,
    next_eps,
)

__all__ = ["log_domain_rounds"]

#: Passes over which the contraction must be steady before it is trusted.
STEADY = 4
#: omega = 2 / (1 + sqrt(1 - theta)) is unstable where theta is over-estimated.
LARGEST_OMEGA = 1.97


def log_domain_rounds(
    problem: CoreProblem, state: TransportState, options: Options
) -> Iterator[None]:
    """Over-relaxed Sinkhorn (Thibault, Chizat, Dossal & Papadakis 2021) with annealing.

    Both potentials move by omega times their update. omega = 1 until the contraction
    theta of the error is steady, then the optimum 2 / (1 + sqrt(1 - theta)); a rise of
    the error (their Lyapunov test, in its practical form) returns to omega = 1.
    """
    while True:
        state.stage = "sinkhorn"
        yield from _level(problem, state)
        state.move_to(problem, next_eps(state.eps, problem.eps, options.scaling))


def _level(problem: CoreProblem, state: TransportState) -> Iterator[None]:
    """Iterate at one eps: for ever at the last, to LEVEL_TOL before."""
    last = state.eps <= problem.eps
    omega, errors = 1.0, []
    state.full_pass(problem)
    while True:
        yield
        if not last and state.error < LEVEL_TOL:
            return
        errors.append(state.error)
        omega = _over_relaxation(errors, omega)
        if omega == 1.0:
            state.gamma = state.gamma + log_ratio(problem, state.c)
            state.full_pass(problem)
        else:
            _relaxed_sweeps(problem, state, omega)


def _relaxed_sweeps(
    problem: CoreProblem, state: TransportState, omega: float, sweeps: int = 8
) -> None:
    """A few over-relaxed sweeps, closed by an exact pass that certifies."""
    start = state.gamma, state.phi, state.error
    for _ in range(sweeps):
        state.gamma = state.gamma + omega * log_ratio(problem, state.c)
        state.phi, state.c = problem.cost.relaxed_pass(
            state.gamma, state.phi, problem.log_a, 1.0 / state.eps, omega
        )
        state.n_passes += 1
    state.gamma = state.gamma + log_ratio(problem, state.c)
    state.full_pass(problem)
    if not state.error <= start[2]:
        state.gamma, state.phi, _ = start
        state.full_pass(problem)
        state.gamma = state.gamma + log_ratio(problem, state.c)
        state.full_pass(problem)


def _over_relaxation(errors: list[float], omega: float) -> float:
    """Choose omega from the errors of exact passes at this eps."""
    if len(errors) < STEADY + 1:
        return 1.0
    recent = errors[-STEADY - 1 :]
    ratios = [new / max(old, 1e-300) for old, new in itertools.pairwise(recent)]
    if omega > 1.0:
        return omega if ratios[-1] < 1.0 else 1.0
    theta = ratios[-1]
    if not 0.5 < theta < 1.0 or max(ratios) - min(ratios) > 0.1 * (1.0 - theta) + 0.02:
        return 1.0
    return min(2.0 / (1.0 + math.sqrt(1.0 - theta)), LARGEST_OMEGA)
