# SPDX-License-Identifier: BSD-3-Clause
"""Transport programs over few arcs by the network simplex, from a nearly optimal plan.

Mass may be left over on both sides at a price, so programs are feasible whatever the
arcs are. Arcs may be added later: the tree stays a tree.
"""

import dataclasses

import numpy as np

from numopt._array.namespace import numpy_namespace
from numopt.ot._kernels.simplex import tree_flows, tree_of_plan, tree_pivots

__all__ = ["Arcs", "TransportTree", "exact_potentials"]

#: Relative size of the random digits that weights get while pivots are made, so that no
#: flow is empty and no sequence of pivots comes back to where it was.
SPREAD = 1e-12
#: Reduced costs above minus this are optimal; costs are in units of their range.
TOL = 1e-13
#: Pivots for each node after which something must be wrong.
MOST_PIVOTS = 10_000


@dataclasses.dataclass(frozen=True)
class Arcs:
    """Arc k goes from row rows[k] to column columns[k] at cost[k]."""

    cost: np.ndarray
    rows: np.ndarray
    columns: np.ndarray

    def joined(self, other: "Arcs") -> "Arcs":
        """These arcs, then others."""
        names = [field.name for field in dataclasses.fields(self)]
        pairs = ((getattr(self, name), getattr(other, name)) for name in names)
        return Arcs(*map(np.concatenate, pairs))


class TransportTree:
    """Basis of a transport program between weights a (n,) and b (m,)."""

    def __init__(
        self,
        a: np.ndarray,
        b: np.ndarray,
        left_over: float,
        arcs: Arcs,
        plan: np.ndarray,
    ) -> None:
        """Start from a plan on the arcs; what it exceeds the weights by is cut off."""
        self.n, self.left_over, self.weights = a.size, left_over, np.r_[a, b]
        spread = SPREAD * np.random.default_rng(0).random(self.weights.size)
        a, b = np.split(self.weights * (1.0 + spread), [a.size])
        plan = _within(plan, arcs.rows, a)
        plan = _within(plan, arcs.columns, b)
        spare = np.r_[
            a - np.bincount(arcs.rows, plan, a.size),
            b - np.bincount(arcs.columns, plan, b.size),
        ]
        order = np.argsort(-plan, kind="stable")
        grow = tree_of_plan.for_namespace(numpy_namespace)
        self.parent, self.arc, self.flow = grow(
            arcs.cost, arcs.rows, arcs.columns, plan, order,
            np.maximum(spare, 0.0), left_over, a.size,
        )  # fmt: skip

    def solve(self, arcs: Arcs) -> tuple[np.ndarray, np.ndarray]:
        """Pivot until the tree is optimal for the arcs; potentials f and g."""
        pivot = tree_pivots.for_namespace(numpy_namespace)
        most = MOST_PIVOTS * self.parent.size
        potentials, pivots = pivot(
            arcs.cost, arcs.rows, arcs.columns, self.left_over, TOL, most, self.n,
            self.parent, self.arc, self.flow,
        )  # fmt: skip
        if pivots >= most:  # pragma: no cover - a safeguard
            raise RuntimeError(f"the network simplex did not end in {most} pivots")
        return potentials[: self.n], potentials[self.n :]

    def masses(self, size: int) -> tuple[np.ndarray, float]:
        """Masses of ``size`` arcs for the exact weights, and what is left over."""
        flow = tree_flows.for_namespace(numpy_namespace)(self.parent, self.weights)
        used = self.arc[:-1] >= 0
        mass = np.zeros(size)
        mass[self.arc[:-1][used]] = np.maximum(flow[used], 0.0)
        return mass, float(np.abs(flow[~used]).sum())


def exact_potentials(
    a: np.ndarray, b: np.ndarray, M: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Optimal potentials without regularisation, of a small problem of finite costs."""
    low, unit = M.min(), np.ptp(M) or 1.0
    rows, columns = np.divmod(np.arange(M.size), M.shape[1])
    arcs = Arcs((M.ravel() - low) / unit, rows, columns)
    tree = TransportTree(a, b, 2.0, arcs, np.zeros(M.size))
    f, g = tree.solve(arcs)
    return unit * f + low, unit * g


def _within(plan: np.ndarray, nodes: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The plan with the sums at the nodes scaled down to at most their weights."""
    sums = np.bincount(nodes, plan, weights.size)
    return plan * np.minimum(1.0, weights / np.maximum(sums, 1e-300))[nodes]
