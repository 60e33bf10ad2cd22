# SPDX-License-Identifier: BSD-3-Clause
"""The relaxation without levels: where to start, and a bound that is verified."""

import dataclasses

import numpy as np
import scipy.sparse as sp
from scipy.optimize import OptimizeResult, linprog
from scipy.sparse.linalg import lsqr

from numopt.dmmv._problem.bounds import dual_value, exact_multiplier
from numopt.dmmv._problem.core import FAR, Core

__all__ = ["LARGEST_LP", "Relaxation", "least_squares_relaxation", "lp_relaxation"]

#: Entries of the matrix up to which the linear program is solved by default.
LARGEST_LP = 2_000_000
#: Reweighted least-squares steps (Lawson 1961).
LAWSON_STEPS = 30


@dataclasses.dataclass(frozen=True)
class Relaxation:
    """A point of the box, and the lower bound (core units) that multipliers prove."""

    x: np.ndarray
    bound: float
    kind: str


def lp_relaxation(core: Core, *, time_limit: float | None = None) -> Relaxation:
    """Minimise the violation over the box by a linear program.

    The bound is the dual value of the program's multipliers, evaluated here: the
    objective that the code reports is trusted for nothing.
    """
    result = _solve_lp(core, time_limit)
    if result.x is None or result.status not in (0, 1):
        return least_squares_relaxation(core)
    low, high = core.bounds()
    x = np.clip(result.x[: core.n], low, high)
    multipliers = getattr(result.ineqlin, "marginals", None)
    if multipliers is None:
        return Relaxation(x, 0.0, "dual")
    y = np.zeros(core.m)
    above, below = core.upper < FAR, core.lower > -FAR
    split = np.count_nonzero(above)
    y[above] -= multipliers[:split]
    y[below] += multipliers[split:]
    width = high - low
    interior = (x > low + 1e-9 * width) & (x < high - 1e-9 * width)
    bound = max(
        dual_value(core, y), dual_value(core, exact_multiplier(core, y, interior))
    )
    return Relaxation(x, bound, "lp")


def _solve_lp(core: Core, time_limit: float | None) -> OptimizeResult:
    """Hand ``min t, -t <= Ax - b <= t`` to HiGHS."""
    A = core.At.T
    above, below = core.upper < FAR, core.lower > -FAR
    ones = -np.ones((int(above.sum() + below.sum()), 1))
    if core.sparse:
        rows = sp.vstack([sp.csr_array(A)[above], -sp.csr_array(A)[below]])
        constraints = sp.hstack([rows, ones]).tocsc()
    else:
        constraints = np.hstack([np.vstack([A[above], -A[below]]), ones])
    limits = np.concatenate([core.upper[above], -core.lower[below]])
    low, high = core.bounds()
    options = {} if time_limit is None else {"time_limit": max(time_limit, 0.05)}
    return linprog(
        np.append(np.zeros(core.n), 1.0),
        A_ub=constraints,
        b_ub=limits,
        bounds=np.column_stack([np.append(low, 0.0), np.append(high, np.inf)]),
        method="highs",
        options=options,
    )


def least_squares_relaxation(core: Core) -> Relaxation:
    """Approach the minimax point by Lawson's reweighting; bound from its weights.

    In a weighted least-squares solution the weighted residual is orthogonal to the
    columns, so it serves as a multiplier whose slopes vanish.
    """
    low, high = core.bounds()
    target = core.target()
    weights = np.full(core.m, 1.0 / max(core.m, 1))
    best, best_value, bound = np.clip(np.zeros(core.n), low, high), np.inf, 0.0
    for _ in range(LAWSON_STEPS if not core.sparse else 1):
        x = np.clip(weighted_least_squares(core, target, weights), low, high)
        y = x @ core.At
        excess = np.maximum(y - core.upper, core.lower - y)
        value = float(np.max(excess, initial=0.0))
        if value < best_value:
            best, best_value = x, value
        signed = weights * (y - np.clip(y, core.lower, core.upper))
        total = np.sum(np.abs(signed))
        if total == 0:
            break
        bound = max(bound, dual_value(core, signed / total))
        weights = np.abs(signed) / total + 1e-12
    return Relaxation(best, bound, "dual")


def weighted_least_squares(
    core: Core, target: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Return ``argmin sum_i weights_i (Ax - target)_i^2``, of least norm."""
    root = np.sqrt(weights)
    if core.sparse:
        return lsqr(sp.diags_array(root) @ core.At.T, root * target, iter_lim=300)[0]
    return np.linalg.lstsq(core.At.T * root[:, None], root * target, rcond=1e-13)[0]
