# SPDX-License-Identifier: BSD-3-Clause
"""Spanning trees of transport programs: a first one from a plan, pivots, flows.

Nodes are the n rows, the m columns and, last, a root. Arc k goes from rows[k] to column
columns[k]; mass that is left over goes from a row to the root, or from the root to a
column, at the price ``left_over``: arc -1 of that node. A tree is (parent, arc, flow):
the parent of every node but the root, the arc between both and its flow.
"""

import numpy as np

from numopt._kernels.dispatch import sequential_kernel

__all__ = ["reduced_minima", "tree_flows", "tree_of_plan", "tree_pivots"]

_CPU = "numopt.ot._kernels_cpu.simplex"

tree_of_plan = sequential_kernel(
    "tree_of_plan",
    """A spanning tree with flows of no greater cost than a plan's.

    (cost, rows, columns, mass, order, spare, left_over, n) -> (parent, arc, flow). Arcs
    are added in ``order``; mass is shifted around each cycle that one closes, in the
    cheaper direction, until an arc is empty. ``spare`` (n + m,) is what the plan leaves
    over.
    """,
    numpy=f"{_CPU}:tree_of_plan",
)

tree_pivots = sequential_kernel(
    "tree_pivots",
    """Network simplex from a tree, which changes in place.

    (cost, rows, columns, left_over, tol, most, n, parent, arc, flow) -> (potentials
    (n + m,), pivots), with f_i + g_j = cost on the arcs of the tree, f_0 = 0 and,
    unless ``most`` pivots were made, f_i + g_j <= cost + tol on all arcs. Flows must be
    positive or of random digits, else pivots may cycle.
    """,
    numpy=f"{_CPU}:tree_pivots",
)

tree_flows = sequential_kernel(
    "tree_flows",
    """Flows of a tree for weights of the nodes: (parent, weights) -> (n + m,).""",
    numpy=f"{_CPU}:tree_flows",
)

reduced_minima = sequential_kernel(
    "reduced_minima",
    """Smallest M_ij - f_i - g_j of each row, and up to ``most`` entries below -tol.

    (M, f, g, tol, most) -> (minima (n,), entries (n, most)); places that are not needed
    hold -1.
    """,
    numpy=f"{_CPU}:reduced_minima",
)


def _example(rng, size):
    """A program over a few arcs of each row, and a plan on them."""
    n, m = max(size, 1), size // 2 + 1
    rows = np.repeat(np.arange(n), 3)
    columns = rng.integers(0, m, 3 * n)
    mass = rng.random(3 * n) / (3 * n)
    spare = 1e-3 * rng.random(n + m)
    order = np.argsort(-mass, kind="stable")
    return (rng.random(3 * n), rows, columns), mass, order, spare, n


@tree_of_plan.example
def _(rng, _, size):
    arcs, mass, order, spare, n = _example(rng, size)
    return *arcs, mass, order, spare, 2.0, n


def _tree(spare):
    """Every node hangs at the root, by what is left over."""
    root = spare.size
    parent = np.append(np.full(root, root), -1)
    return parent, np.full(root + 1, -1), np.append(spare, 0.0)


@tree_pivots.example
def _(rng, _, size):
    arcs, _, _, spare, n = _example(rng, size)
    return *arcs, 2.0, 1e-12, 10_000, n, *_tree(spare)


@tree_flows.example
def _(rng, _, size):
    *_, spare, _ = _example(rng, size)
    return _tree(spare)[0], spare


@reduced_minima.example
def _(rng, _, size):
    m = size // 2 + 1
    return rng.random((size, m)), rng.random(size), rng.random(m), 1e-9, 4
