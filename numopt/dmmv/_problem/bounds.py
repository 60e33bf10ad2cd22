# SPDX-License-Identifier: BSD-3-Clause
"""Lower bounds: the dual value of any multiplier, and what integrality adds.

For ``y = up - down`` with ``up, down >= 0`` and ``sum(up + down) <= 1``, every x in the
box satisfies ``V(x) >= up (Ax - u) + down (l - Ax)``, whose minimum over the box is
a closed form. It holds for whatever y a solver hands over, up to rounding.
"""

import math

import numpy as np

from numopt.dmmv._problem.core import FAR, Core
from numopt.dmmv._problem.data import MinMaxProblem

__all__ = ["attainable_bound", "dual_value", "exact_multiplier"]

#: Integers up to here are exact in float64, with room for sums.
EXACT = 2.0**50


def dual_value(core: Core, y: np.ndarray) -> float:
    """Return the lower bound on the core's violation that multipliers ``y`` (m,) prove.

    Entries on absent ends are dropped and the rest scaled to unit l1 norm if larger.
    """
    up = np.where(core.upper < FAR, np.maximum(y, 0.0), 0.0)
    down = np.where(core.lower > -FAR, np.maximum(-y, 0.0), 0.0)
    mass = float(np.sum(up) + np.sum(down))
    if mass > 1.0:
        up, down = up / mass, down / mass
    slope = core.At @ (up - down)
    low, high = core.bounds()
    box = np.sum(np.minimum(slope * low, slope * high))
    ends = np.sum(down * np.where(down > 0, core.lower, 0.0)) - np.sum(
        up * np.where(up > 0, core.upper, 0.0)
    )
    return max(float(box + ends), 0.0)


def exact_multiplier(core: Core, y: np.ndarray, interior: np.ndarray) -> np.ndarray:
    """Make ``A^T y`` vanish on variables inside their box, on the support of ``y``.

    A linear programming code leaves slopes of about 1e-9, which a wide box multiplies.
    """
    support = np.flatnonzero(y)
    if support.size == 0 or not np.any(interior) or core.sparse:
        return y
    part = core.At[np.ix_(np.flatnonzero(interior), support)]
    change = np.linalg.lstsq(part, part @ y[support], rcond=1e-12)[0]
    fixed = y.copy()
    moved = y[support] - change
    fixed[support] = np.where(moved * y[support] > 0, moved, 0.0)
    return fixed


def attainable_bound(problem: MinMaxProblem, bound: float) -> float:
    """Return the smallest value >= ``bound`` that integer data let V take.

    Row i of integer data takes values in a coset ``c_i + g_i Z`` only, so V is at least
    the least absolute value of each row, and is the absolute value of some row.
    """
    if not _integer_data(problem):
        return bound
    A, levels = problem.A, problem.levels
    base = A @ levels.first - problem.lower
    steps = np.where(levels.count > 1, levels.step, 0.0)
    rows = np.gcd.reduce((A * steps).astype(np.int64), axis=1)
    least, reachable = 0.0, math.inf
    for c, g, w in zip(base, rows, problem.weights, strict=True):
        if w == 0:
            continue
        offsets = (abs(c),) if g == 0 else (c % g, (-c) % g)
        least = max(least, w * min(offsets))
        for offset in offsets:
            lifted = offset
            if g > 0:
                lifted += g * max(0, math.ceil((bound / w - offset) / g - 1e-9))
            if w * lifted >= bound * (1 - 1e-9):
                reachable = min(reachable, w * lifted)
    return float(max(bound, least, reachable if reachable < math.inf else 0.0))


def _integer_data(problem: MinMaxProblem) -> bool:
    """Whether all rows are equalities with integer data of exact size."""
    if not isinstance(problem.A, np.ndarray) or problem.levels.table is not None:
        return False
    arrays = (problem.A, problem.lower, problem.levels.first)
    whole = all(
        np.all(np.isfinite(x)) and np.all(x == np.rint(x)) and np.all(abs(x) < EXACT)
        for x in (*arrays, problem.levels.step)
    )
    if not whole or not np.array_equal(problem.lower, problem.upper):
        return False
    sizes = abs(problem.A) @ np.maximum(
        abs(problem.levels.low), abs(problem.levels.high)
    )
    return bool(np.all(sizes + abs(problem.lower) < EXACT))
