# SPDX-License-Identifier: BSD-3-Clause
"""Newton methods with sparse Hessians as published, for comparison with the default."""

import math
from collections.abc import Callable, Iterator

import numpy as np

from numopt import _validation as v
from numopt._array.namespace import namespace_key, namespace_name
from numopt._iterate.stopping import Stop
from numopt._numerics.cg import cg
from numopt._numerics.line_search import backtrack
from numopt.exceptions import ArgumentTypeError
from numopt.ot._problem import CoreProblem
from numopt.ot._solvers.state import Options, TransportState, log_ratio

__all__ = ["sns_rounds", "ssns_rounds"]

#: Of the gradient's norm: the mass that "ssns" drops from a row or column.
DROPPED = 0.01
#: Steps along a direction of "ssns", the first of which that descends is taken.
STEPS = (1.0, 0.5, 0.25, 0.1)
#: Ratios of actual to predicted descent below and above which the shift changes.
POOR, GOOD = 0.25, 0.75
GROWTH, DECAY, LEAST_SHIFT = 4.0, 0.5, 1e-3
#: Refused steps in a row after which rounding leaves nothing to gain.
MOST_REFUSED = 20


def sns_rounds(
    problem: CoreProblem, state: TransportState, options: Options
) -> Iterator[None]:
    """Algorithm 1 of Tang et al. (2024): warm-up sweeps, then sparse Newton steps.

    Both scaled potentials (phi, gamma) are unknowns. The Hessian keeps the
    ``density * n * m`` largest entries of P; there is no annealing. NumPy only.
    """
    _check_numpy(problem, "sns")
    state.eps = problem.eps
    state.stage = "sinkhorn"
    state.full_pass(problem)
    yield
    for _ in range(options.n_warmup):
        state.gamma = state.gamma + log_ratio(problem, state.c)
        state.full_pass(problem)
        yield
    state.stage = "newton"
    density = 2.0 / problem.a.size if options.density is None else options.density
    kept = max(1, math.ceil(density * problem.M.size))
    while _newton_step(problem, state, min(kept, problem.M.size)):
        # Their error is that of both marginals: a row update certifies the columns.
        state.full_pass(problem)
        yield
    state.stopped = Stop(
        "stalled",
        f"no step of sparse Newton was accepted at marginal error {state.error:.2e}; "
        "raise `n_warmup` or `density`, or use method='newton'",
    )


def ssns_rounds(
    problem: CoreProblem,
    state: TransportState,
    options: Options,  # noqa: ARG001 - one signature for all methods
) -> Iterator[None]:
    """Safe and sparse Newton of Tang & Qiu (2024): a shift where steps disappoint.

    Dropped entries of P sum to at most ``DROPPED |gradient|`` in every row and column;
    the shift, ``mu |gradient|``, follows the ratio of actual to predicted descent.
    Unknowns are (phi, gamma) but its last entry. NumPy only.
    """
    _check_numpy(problem, "ssns")
    state.eps = problem.eps
    state.stage = "newton"
    state.full_pass(problem)
    yield
    mu, refused = 1.0, 0
    while refused < MOST_REFUSED:
        ratio = _safe_step(problem, state, mu)
        if ratio < POOR:
            mu *= GROWTH
        elif ratio > GOOD:
            mu = max(DECAY * mu, LEAST_SHIFT)
        refused = 0 if ratio > 0.0 else refused + 1
        state.full_pass(problem)
        yield
    state.stopped = Stop(
        "stalled",
        f"{MOST_REFUSED} steps of safe Newton in a row did not descend at marginal "
        f"error {state.error:.2e}; use method='newton'",
    )


def _check_numpy(problem: CoreProblem, method: str) -> None:
    """Refuse arrays of other libraries."""
    if namespace_key(problem.xp) != "numpy":
        expected = f"other than '{method}' for these arrays"
        got = namespace_name(problem.xp)
        raise ArgumentTypeError(v.message("method", expected, got))


def _plan(problem: CoreProblem, state: TransportState) -> np.ndarray:
    return np.exp(state.phi[:, None] + state.gamma - problem.M / state.eps)


def _negative_dual(
    problem: CoreProblem, state: TransportState, x: np.ndarray, y: np.ndarray
) -> Callable[[float], float]:
    """Minus the dual, scaled by 1 / eps, along the direction (x, y)."""

    def value(t: float) -> float:
        phi, gamma = state.phi + t * x, state.gamma + t * y
        with np.errstate(over="ignore"):
            mass = np.exp(phi[:, None] + gamma - problem.M / state.eps).sum()
        return float(mass - problem.a @ phi - problem.b @ gamma)

    return value


def _newton_step(problem: CoreProblem, state: TransportState, kept: int) -> bool:
    """One step on (phi, gamma); False when the line search finds none."""
    from scipy.sparse import csr_array

    n = problem.a.size
    P = _plan(problem, state)
    rows, columns = P.sum(axis=1), P.sum(axis=0)
    threshold = np.partition(P, P.size - kept, axis=None)[P.size - kept]
    S = csr_array(np.where(threshold <= P, P, 0.0))
    state.nnz = S.nnz
    gradient = np.concatenate([problem.a - rows, problem.b - columns])

    def hessian(d: np.ndarray) -> np.ndarray:
        x, y = d[:n], d[n:]
        return np.concatenate([rows * x + S @ y, columns * y + S.T @ x])

    step = cg(hessian, gradient, tol=1e-8, max_iter=2 * gradient.size)
    state.n_newton += 1
    state.n_cg += step.n_iter
    d = step.x
    slope = float(gradient @ d)
    if not 0.0 < slope < math.inf:  # pragma: no cover - rounding
        return False
    value = _negative_dual(problem, state, d[:n], d[n:])
    found = backtrack(value, value(0.0), -slope)
    state.gamma = state.gamma + found.step * d[n:]
    state.phi = state.phi + found.step * d[:n]
    return found.step > 0.0


def _safe_step(problem: CoreProblem, state: TransportState, mu: float) -> float:
    """One step on (phi, gamma); returns the ratio of actual to predicted descent."""
    from scipy.sparse import csr_array

    n = problem.a.size
    P = _plan(problem, state)
    rows, columns = P.sum(axis=1), P.sum(axis=0)
    gradient = np.concatenate([rows - problem.a, (columns - problem.b)[:-1]])
    size = float(np.linalg.norm(gradient))
    S = csr_array(_without_small(P, DROPPED * size))
    state.nnz = S.nnz
    # Tang & Qiu's potentials are eps times these: their shift of 1 is eps here.
    shift = state.eps * mu * size

    def hessian(d: np.ndarray) -> np.ndarray:
        x, y = d[:n], np.append(d[n:], 0.0)
        return np.concatenate([rows * x + S @ y, (columns * y + S.T @ x)[:-1]])

    solved = cg(
        lambda d: hessian(d) + shift * d,
        -gradient,
        tol=1e-8,
        max_iter=2 * gradient.size,
        diagonal=np.concatenate([rows, columns[:-1]]) + shift,
    )
    state.n_newton += 1
    state.n_cg += solved.n_iter
    x, y = solved.x[:n], np.append(solved.x[n:], 0.0)
    value = _negative_dual(problem, state, x, y)
    before = value(0.0)
    step, after = STEPS[-1], math.inf
    for step in STEPS:
        after = value(step)
        if after < before:
            break
    d = step * solved.x
    predicted = -float(gradient @ d) - 0.5 * float(d @ hessian(d))
    ratio = (before - after) / predicted if predicted > 0.0 else -math.inf
    if ratio > 0.0:
        state.phi, state.gamma = state.phi + step * x, state.gamma + step * y
    return ratio


def _without_small(P: np.ndarray, delta: float) -> np.ndarray:
    """P without entries whose sum is at most delta in each column and each row."""
    dropped = _smallest(P, delta, axis=0)
    dropped = _smallest(np.where(dropped, P, np.inf), delta, axis=1)
    return np.where(dropped, 0.0, P)


def _smallest(P: np.ndarray, delta: float, axis: int) -> np.ndarray:
    """Mask of the smallest entries along an axis that sum to at most delta."""
    order = np.argsort(P, axis=axis, kind="stable")
    sums = np.cumsum(np.take_along_axis(P, order, axis), axis=axis)
    mask = np.zeros(P.shape, bool)
    np.put_along_axis(mask, order, sums <= delta, axis)
    return mask
