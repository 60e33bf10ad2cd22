# SPDX-License-Identifier: BSD-3-Clause
"""Exact methods: enumeration in two halves, and a mixed-integer program."""

import dataclasses

import numpy as np
import scipy.sparse as sp
from scipy.optimize import Bounds, LinearConstraint, milp

from numopt.dmmv._problem.core import FAR, Core

__all__ = ["LARGEST_ENUMERATION", "MilpAnswer", "enumerate_all", "solve_milp"]

#: Points that "exhaustive" agrees to enumerate.
LARGEST_ENUMERATION = 2**22
#: Entries of one block of responses.
BLOCK = 2**20
#: HiGHS takes a solution within this of integral and feasible.
TOLERANCE = 1e-6


def all_points(core: Core, columns: np.ndarray) -> np.ndarray:
    """Return every index vector of some variables, the first varying slowest."""
    ranges = [np.arange(core.k_low[j], core.k_high[j] + 1) for j in columns]
    if not ranges:
        return np.zeros((1, 0), np.int64)
    grids = np.meshgrid(*ranges, indexing="ij")
    return np.stack([grid.ravel() for grid in grids], axis=1)


def enumerate_all(core: Core) -> np.ndarray:
    """Return the best index vector: responses of two halves, added in all pairs."""
    sizes = np.cumsum(np.log(core.k_high - core.k_low + 1.0))
    split = int(np.searchsorted(sizes, 0.5 * sizes[-1])) + 1 if core.n > 1 else 1
    left, right = np.arange(split), np.arange(split, core.n)
    centre = np.zeros(core.n, np.int64)
    halves = []
    for part in (left, right):
        points = all_points(core, part)
        full = np.repeat(centre[None, :], len(points), axis=0)
        full[:, part] = points
        halves.append(full)
    y_left, y_right = (core.response(half) for half in halves)
    best, best_value = centre, np.inf
    block = max(1, BLOCK // max(core.m * len(y_right), 1))
    for start in range(0, len(y_left), block):
        y = y_left[start : start + block, None, :] + y_right
        excess = np.maximum(y - core.upper, core.lower - y)
        worst = np.max(excess, axis=2, initial=0.0)
        at = int(np.argmin(worst))
        if worst.flat[at] < best_value:
            a, b = divmod(at, len(y_right))
            best_value = float(worst.flat[at])
            best = halves[0][start + a] + halves[1][b]
    return best


@dataclasses.dataclass(frozen=True)
class MilpAnswer:
    """The program's point, None when it found none, and its bound in core units."""

    k: np.ndarray | None
    bound: float
    proven: bool
    message: str


def solve_milp(
    core: Core, *, cutoff: float, gap: float, time_limit: float | None
) -> MilpAnswer:
    """Solve ``min t, -t <= Ax - b <= t, t <= cutoff`` in integers by HiGHS."""
    above, below = core.upper < FAR, core.lower > -FAR
    n = core.n
    lift = sp.eye_array(n, format="csr")
    low, high = core.bounds()
    integrality = np.ones(n)
    choice: list[LinearConstraint] = []
    if not core.even:
        counts = core.k_high - core.k_low + 1
        extra = int(np.sum(counts))
        owner = np.repeat(np.arange(n), counts)
        index = np.concatenate([np.arange(c) for c in counts])
        values = core.table[owner, index]
        lift = sp.csr_array((values, (owner, np.arange(extra))), shape=(n, extra))
        low, high = np.zeros(extra), np.ones(extra)
        integrality = np.ones(extra)
        one = sp.csr_array(
            (np.ones(extra), (owner, np.arange(extra))), shape=(n, extra + 1)
        )
        choice = [LinearConstraint(one, 1.0, 1.0)]
    rows = sp.csr_array(core.At.T) @ lift
    ones = sp.csr_array(np.ones((core.m, 1)))
    size = rows.shape[1]
    over = sp.csr_array(sp.hstack([rows, -ones]))[above]
    under = sp.csr_array(sp.hstack([rows, ones]))[below]
    upper = LinearConstraint(over, -np.inf, core.upper[above])
    lower = LinearConstraint(under, core.lower[below], np.inf)
    options: dict[str, float] = {"mip_rel_gap": gap}
    if time_limit is not None:
        options["time_limit"] = max(time_limit, 0.05)
    answer = milp(
        np.append(np.zeros(size), 1.0),
        constraints=[upper, lower, *choice],
        bounds=Bounds(np.append(low, 0.0), np.append(high, cutoff)),
        integrality=np.append(integrality, 0.0),
        options=options,
    )
    bound = getattr(answer, "mip_dual_bound", None)
    bound = 0.0 if bound is None or not np.isfinite(bound) else float(bound)
    if answer.status == 2:  # nothing below the cutoff: the incumbent is optimal
        return MilpAnswer(None, cutoff - TOLERANCE, True, "no better point exists")
    k = None
    if answer.x is not None:
        values = answer.x[:size]
        if core.even:
            k = np.clip(np.rint(values), core.k_low, core.k_high).astype(np.int64)
        else:
            k = core.nearest(lift @ np.rint(values))
    return MilpAnswer(
        k, max(bound - TOLERANCE, 0.0), answer.status == 0, answer.message
    )
