# SPDX-License-Identifier: BSD-3-Clause
"""Proof by enumeration: all better points lie in a sphere that may hold few.

Where the worst violation is below V, each row i with the ends ``l_i, u_i`` has
``|(Ax)_i - (l_i + u_i)/2| < (u_i - l_i)/2 + V``, and the squares of these add up to a
sphere around the middles. Its points are found depth first in a triangular factor
(Fincke and Pohst 1985), nearest levels first (Schnorr and Euchner 1994).
"""

import math

import numpy as np
from scipy.linalg import qr
from scipy.special import gammaln

from numopt.dmmv._kernels import sphere_search
from numopt.dmmv._problem.core import FAR, Core
from numopt.dmmv._solvers.beam import column_order

__all__ = ["enumerate_sphere"]

#: Nodes that are visited at most, and expected at most where a search is started.
MAX_NODES, EXPECTED_NODES = 4_000_000, 1_000_000
#: Level sets up to this size are listed.
MOST_LEVELS = 4096
#: Columns whose part of the factor is below this share of the largest depend on others.
DEPENDENT = 1e-9
#: Room for rounding in the square of the radius.
ROUNDING = 1e-9


def enumerate_sphere(core: Core, violation: float) -> tuple[np.ndarray | None, bool]:
    """Look for points below ``violation``; return the best, and whether it is proved.

    The point is None where none was found. Nothing is proved, at little cost, where an
    end is missing, columns are dependent, or the sphere holds too many points.
    """
    both = (np.abs(core.lower) < FAR) & (np.abs(core.upper) < FAR)
    counts = core.k_high - core.k_low + 1
    if core.sparse or core.m < core.n or counts.max() > MOST_LEVELS or not both.all():
        return None, False
    order = column_order(core)
    D, levels = core.At[order], _levels(core)[order]
    half = 0.5 * (core.upper - core.lower)
    R = qr(np.vstack([D, core.target()]).T, mode="r")[0][: core.n + 1]
    diagonal = np.abs(np.diagonal(R)[: core.n])
    if not diagonal.min() > DEPENDENT * diagonal.max():
        return None, False
    # Rows of the factor beyond the columns hold what no point can reach.
    c, rest = R[: core.n, -1], float(np.sum(R[core.n :, -1] ** 2))
    square = np.array([float(half @ half) - rest, 2.0 * float(half.sum()), core.m])
    square[0] += ROUNDING * float(c @ c + rest)
    radius = square[0] + violation * (square[1] + violation * square[2])
    if _expected(diagonal, counts[order], radius) > EXPECTED_NODES:
        return None, False
    x, better, complete = sphere_search(
        R[: core.n, : core.n], c, D, levels, counts[order],
        core.lower, core.upper, square, violation, MAX_NODES,
    )  # fmt: skip
    if not better:
        return None, bool(complete)
    index = np.argmin(np.abs(levels - x[:, None]), axis=1)
    k = np.empty(core.n, np.int64)
    k[order] = index
    return k + core.k_low, bool(complete)


def _levels(core: Core) -> np.ndarray:
    """Values of each variable, ascending; infinite ones fill the rows up."""
    if not core.even:
        return core.table
    counts = core.k_high - core.k_low + 1
    steps = np.arange(counts.max())
    values = core.k_low[:, None] + steps[None, :].astype(np.float64)
    return np.where(steps[None, :] < counts[:, None], values, np.inf)


def _expected(diagonal: np.ndarray, counts: np.ndarray, radius: float) -> float:
    """Number of partial points in the sphere by volumes, at most those of the box."""
    if radius <= 0:
        return 0.0
    depth = np.arange(1, diagonal.size + 1)
    ball = 0.5 * depth * math.log(math.pi * radius) - gammaln(0.5 * depth + 1.0)
    logs = ball - np.cumsum(np.log(diagonal[::-1]))
    box = np.cumsum(np.log(counts[::-1].astype(np.float64)))
    return float(np.sum(np.exp(np.minimum(np.minimum(logs, box), 100.0))))
