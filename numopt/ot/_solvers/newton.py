# SPDX-License-Identifier: BSD-3-Clause
"""Newton's method on the semi-dual at one eps, with Sinkhorn sweeps as a safeguard."""

import dataclasses
import math

from numopt.ot._problem import CoreProblem
from numopt.ot._solvers.oracles import Oracle
from numopt.ot._solvers.state import host
from numopt.typing import Array

__all__ = ["Point", "solve_level"]

#: The Hessian keeps P_ij > KEEP a_i b_j min(1, error / KEEP_FROM).
KEEP, KEEP_FROM = 1.0, 1e-2
#: Newton steps need an error below, and no column emptier than, these.
GATE, EMPTIEST = 0.5, 1e-2
MAX_SWEEPS, MAX_STEPS = 60, 40
#: Trials of the line search; a full pass each is dear on a certified oracle.
MAX_TRIALS, FEW_TRIALS = 12, 6
#: Longest step, in units of eps: beyond it the quadratic model says nothing.
LONGEST = 20.0
#: Factor by which such a step grows while that helps.
LONGER = 4.0
#: From this error gains of the dual value may be round-off, at most this fraction of
#: it; then the error itself must decrease.
VALUE_FLOOR, VALUE_NOISE = 1e-6, 1e-12


@dataclasses.dataclass(frozen=True)
class Point:
    """Potentials with exact rows, column sums and error."""

    gamma: Array
    phi: Array
    c: Array
    error: float


def evaluate(oracle: Oracle, gamma: Array, phi: Array) -> Point:
    """Return the point at gamma."""
    phi, c = oracle.evaluate(gamma, phi)
    return Point(gamma, phi, c, oracle.problem.residual(c))


def solve_level(
    oracle: Oracle, point: Point, tol: float, keep: float = KEEP, patience: int = 2
) -> tuple[Point, str]:
    """Raise the semi-dual until the error of the columns is below tol.

    Returns the best point met and a word: "solved", "outside" (the support is no longer
    valid), "slow" (``patience`` steps did not help: the truncated Hessian lacks
    something) or "stalled".
    """
    problem = oracle.problem
    sweeps = steps = poor = 0
    best, before = point, math.inf
    while True:
        best = point if point.error < best.error else best
        if point.error < tol:
            return point, "solved"
        if oracle.state.spent:
            return best, "stalled"
        if oracle.margin(point.gamma, point.phi) < 0.0:
            return point, "outside"
        poor = poor + 1 if point.error > 0.3 * before else 0
        if oracle.truncated and oracle.certified and poor >= patience:
            return best, "slow"
        before = point.error
        if _ready(problem, point):
            if steps >= MAX_STEPS:
                return best, "stalled"
            steps += 1
            trial = _newton_step(oracle, point, keep, tol)
            if trial is not None:
                point = trial
                continue
            if not oracle.exact:
                oracle.exact = True
                continue
            if oracle.truncated and oracle.certified:
                return best, "slow"
            if point.error < 1e-9:
                return best, "stalled"
        for _ in range(5 if _ready(problem, point) else 1):
            if sweeps >= MAX_SWEEPS:
                return best, "stalled"
            sweeps += 1
            point = _sweep(oracle, point)


def _ready(problem: CoreProblem, point: Point) -> bool:
    """Whether the quadratic model can be trusted."""
    emptiest = problem.xp.min(point.c / problem.b)
    return point.error <= GATE and host(emptiest) >= EMPTIEST


def _sweep(oracle: Oracle, point: Point) -> Point:
    """One Sinkhorn update of the columns."""
    gamma = oracle.sweep(point.gamma, point.phi, point.c)
    return evaluate(oracle, gamma, point.phi)


def _newton_step(
    oracle: Oracle, point: Point, keep: float, goal: float
) -> Point | None:
    """Inexact Newton step and line search; None when no step was accepted.

    ``diag(c)`` holds the full column sums while the plan drops entries, so the matrix
    is diagonally dominant whatever is dropped; the shift by the error keeps it definite
    and vanishes at the solution, where convergence is quadratic.
    """
    problem, xp = oracle.problem, oracle.problem.xp
    keep = keep * max(min(1.0, point.error / KEEP_FROM), 1e-8)
    shift = 0.01 * point.error * problem.b
    rhs = problem.b - point.c
    # Quadratic convergence, but no more accuracy than the goal needs.
    tol = min(0.1, max(point.error**0.5, 0.03 * goal / point.error))
    d, n_cg = oracle.solve(point.gamma, point.phi, keep, point.c, shift, rhs, tol)
    oracle.state.n_newton += 1
    oracle.state.n_cg += n_cg
    slope = host(xp.sum(rhs * d))
    # NaN, infinity and ascent in the wrong direction all fail this.
    if not 0.0 < slope < math.inf:  # pragma: no cover - rounding
        return None
    d = d - xp.sum(problem.b * d)
    return _line_search(oracle, point, d, slope)


def _line_search(oracle: Oracle, point: Point, d: Array, slope: float) -> Point | None:
    """Armijo on <a, phi> + <b, gamma>; at its round-off, decrease of the error."""
    problem = oracle.problem
    xp = problem.xp
    value = _value(problem, point)
    noise = VALUE_NOISE * (1.0 + abs(value))
    # On a support a step may bring outside entries at most to the surface.
    room = min(max(oracle.margin(point.gamma, point.phi), 2.0), LONGEST)
    first = t = min(1.0, room / max(host(xp.max(d) - xp.min(d)), 1e-300))
    for _ in range(FEW_TRIALS if oracle.certified else MAX_TRIALS):
        trial = evaluate(oracle, point.gamma + t * d, point.phi)
        gain = _value(problem, trial) - value
        accepted = gain >= 1e-4 * t * slope
        if point.error < VALUE_FLOOR and gain < noise:
            accepted = trial.error < 0.9 * point.error
        if accepted:
            if t == first < 1.0 and not oracle.truncated:
                trial, t = _lengthened(oracle, point, d, trial, t)
            shortened = t < 1.0 and oracle.margin(trial.gamma, trial.phi) >= 0.0
            return _sweep(oracle, trial) if shortened else trial
        t *= 0.5 if t == first else 0.25
    return None


def _lengthened(
    oracle: Oracle, point: Point, d: Array, reached: Point, t: float
) -> tuple[Point, float]:
    """Go on along a step that was cut to be safe, as long as the value rises.

    Parts of a plan that hardly exchange mass have far to go until they do, along a
    value that is linear.
    """
    problem = oracle.problem
    value = _value(problem, reached)
    while not oracle.state.spent:
        trial = evaluate(oracle, point.gamma + LONGER * t * d, point.phi)
        raised = _value(problem, trial)
        if not raised > value + VALUE_NOISE * (1.0 + abs(value)):
            break
        reached, value, t = trial, raised, LONGER * t
    return reached, t


def _value(problem: CoreProblem, point: Point) -> float:
    """Scaled semi-dual value."""
    xp = problem.xp
    return host(xp.sum(problem.a * point.phi) + xp.sum(problem.b * point.gamma))
