# SPDX-License-Identifier: BSD-3-Clause
"""Sinkhorn-Newton-Sparse as published, for comparison with the default."""

import math
from collections.abc import Iterator

import numpy as np

from numopt import _validation as v
from numopt._array.namespace import namespace_key, namespace_name
from numopt._iterate.stopping import Stop
from numopt._numerics.cg import cg
from numopt._numerics.line_search import backtrack
from numopt.exceptions import ArgumentTypeError
from numopt.ot._problem import CoreProblem
from numopt.ot._solvers.state import Options, TransportState, log_ratio

__all__ = ["sns_rounds"]


def sns_rounds(
    problem: CoreProblem, state: TransportState, options: Options
) -> Iterator[None]:
    """Algorithm 1 of Tang et al. (2024): warm-up sweeps, then sparse Newton steps.

    Both scaled potentials (phi, gamma) are unknowns. The Hessian keeps the
    ``density * n * m`` largest entries of P; there is no annealing. NumPy only.
    """
    if namespace_key(problem.xp) != "numpy":
        raise ArgumentTypeError(
            v.message(
                "method",
                "other than 'sns' for these arrays",
                namespace_name(problem.xp),
            )
        )
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


def _newton_step(problem: CoreProblem, state: TransportState, kept: int) -> bool:
    """One step on (phi, gamma); False when the line search finds none."""
    from scipy.sparse import csr_array

    n = problem.a.size
    P = np.exp(state.phi[:, None] + state.gamma - problem.M / state.eps)
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
    if not 0.0 < slope < math.inf:
        return False

    def negative_dual(t: float) -> float:
        phi, gamma = state.phi + t * d[:n], state.gamma + t * d[n:]
        with np.errstate(over="ignore"):
            mass = np.exp(phi[:, None] + gamma - problem.M / state.eps).sum()
        return float(mass - problem.a @ phi - problem.b @ gamma)

    found = backtrack(negative_dual, negative_dual(0.0), -slope)
    state.gamma = state.gamma + found.step * d[n:]
    state.phi = state.phi + found.step * d[:n]
    return found.step > 0.0
