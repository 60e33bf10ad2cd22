# SPDX-License-Identifier: BSD-3-Clause
"""Block principal pivoting for quadratics with bounds: sets of variables change sides.

Kim & Park (2011), "Fast nonnegative matrix factorization: an active-set-like method and
comparisons", algorithm 2, with upper bounds.
"""

import copy
import dataclasses
from typing import Any

import numpy as np

__all__ = ["BoxProblem", "BoxState", "exchange", "pivot"]

#: Exchanges without fewer violations before single exchanges, or before giving up.
FULL_EXCHANGES = 3
#: Most exchanges of a dense start; each costs a factor of the free variables.
MOST_EXCHANGES = 30
#: Gradients and bounds are missed by this share of their size where only rounding is.
ROUNDING = 1e-13
#: Below this ratio of its pivots a dense factor is no proof of a minimum.
SINGULAR = 1e-12


@dataclasses.dataclass(frozen=True, eq=False)
class BoxProblem:
    """A quadratic ``x^T A x / 2 - c^T x`` with bounds; A is dense or CSR."""

    A: Any
    c: np.ndarray
    lower: np.ndarray
    upper: np.ndarray


@dataclasses.dataclass
class BoxState:
    """The point, its gradient and the sides: -1 and 1 at a bound, 0 for free ones."""

    x: np.ndarray
    gradient: np.ndarray
    side: np.ndarray
    fewest: int
    patience: int = FULL_EXCHANGES
    #: Whether a dense start was tried.
    started: bool = False


def wrong_sides(problem: BoxProblem, state: BoxState) -> np.ndarray:
    """Free variables outside of the bounds, and those that push off their bound."""
    x, g, side = state.x, state.gradient, state.side
    slack = ROUNDING * float(np.max(np.abs(problem.c), initial=0.0))
    margin = ROUNDING * float(np.max(np.abs(x), initial=0.0))
    outside = (x < problem.lower - margin) | (x > problem.upper + margin)
    return np.asarray(
        ((side == 0) & outside)
        | ((side == -1) & (g < -slack))
        | ((side == 1) & (g > slack))
    )


def exchange(problem: BoxProblem, state: BoxState) -> None:
    """Change sides where they are wrong, and solve for the free variables.

    All at once while that brings fewer of them, later one at a time.
    """
    x, side = state.x, state.side
    wrong = wrong_sides(problem, state)
    count = int(np.count_nonzero(wrong))
    if count < state.fewest:
        state.fewest, state.patience = count, FULL_EXCHANGES
    elif state.patience > 0:
        state.patience -= 1
    else:
        last = int(np.flatnonzero(wrong)[-1:].sum())
        wrong &= np.arange(x.size) == last
    entering = wrong & (side != 0)
    low = wrong & (side == 0) & (x < problem.lower)
    high = wrong & (side == 0) & (x > problem.upper)
    side[entering], side[low], side[high] = 0, -1, 1
    x = np.where(side == -1, problem.lower, np.where(side == 1, problem.upper, 0.0))
    free = np.flatnonzero(side == 0)
    if free.size:
        rows = problem.A[free]
        x[free] = _solve(rows[:, free], problem.c[free] - rows @ x)
    state.x = x
    state.gradient = problem.A @ x - problem.c


def pivot(problem: BoxProblem, state: BoxState) -> bool:
    """Exchange to the end, on a dense matrix; whether that found the minimum.

    Where it did not, the state stays as it was.
    """
    from scipy.linalg import LinAlgError

    trial = copy.deepcopy(state)
    state.started = True
    for _ in range(MOST_EXCHANGES):
        try:
            exchange(problem, trial)
        except LinAlgError:
            return False
        if not wrong_sides(problem, trial).any():
            state.side = trial.side
            state.x = np.clip(trial.x, problem.lower, problem.upper)
            state.gradient = problem.A @ state.x - problem.c
            return True
        if trial.patience == 0:
            return False
    return False


def _solve(A: Any, b: np.ndarray) -> np.ndarray:
    """Solve with a sparse matrix, or with a dense one that is positive definite."""
    from scipy.linalg import LinAlgError, cho_factor, cho_solve

    if not isinstance(A, np.ndarray):
        from scipy.sparse.linalg import spsolve

        return np.asarray(spsolve(A.tocsc(), b))
    factor = cho_factor(A, lower=True, check_finite=False)
    pivots = np.diagonal(factor[0]) ** 2
    if pivots.min() <= SINGULAR * pivots.max():
        raise LinAlgError("the free variables have no unique minimum")
    return np.asarray(cho_solve(factor, b, check_finite=False))
