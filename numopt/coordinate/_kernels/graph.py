# SPDX-License-Identifier: BSD-3-Clause
"""Graph kernels: forests, partitions, partial elimination, preconditioned solves.

All are one compiled walk over a graph by nature, so they have no array-API body.
Matrices come as plain CSR arrays (data, indices, indptr) with sorted rows.
"""

from typing import Any

import numpy as np

from numopt._kernels.dispatch import sequential_kernel

__all__ = [
    "clustering",
    "colour_labels",
    "eliminate_low_degrees",
    "eliminate_nodes",
    "forest_sweep",
    "greedy_forest_members",
    "jacobi_cg",
    "mic_cg",
    "peel_leaves",
    "reach",
    "reduce_to_unlabelled",
    "restore_eliminated",
    "restore_nodes",
    "symmetry_defect",
    "tree_labels",
    "two_colours",
]

_GRAPH = "numopt.coordinate._kernels_cpu.graph"
_ELIMINATION = "numopt.coordinate._kernels_cpu.elimination"
_MINIMUM_DEGREE = "numopt.coordinate._kernels_cpu.minimum_degree"

forest_sweep = sequential_kernel(
    "forest_sweep",
    """Solve A x = b by elimination from the leaves and back substitution:
    P_i = A_ii - sum_children A_ik^2 / P_k, u_i = b_i - sum_children A_ik u_k / P_k,
    then x_i = (u_i - A_i,parent x_parent) / P_i. Degrees are peeled; each node keeps
    the exclusive or of its remaining neighbours and weights, so that the last edge of
    a leaf is known without a search. Returns x, a status (0 solved, 1 cycle, 2 not
    symmetric, 3 not positive definite) and the node of a bad pivot.""",
    numpy=f"{_GRAPH}:forest_sweep",
)
peel_leaves = sequential_kernel(
    "peel_leaves",
    "Off-diagonal entries that remain after removing leaves; 0 exactly on a forest.",
    numpy=f"{_GRAPH}:peel_leaves",
)
tree_labels = sequential_kernel(
    "tree_labels",
    """First forest, for each node in order, in which its neighbours lie in distinct
    trees; returns labels and their number.""",
    numpy=f"{_GRAPH}:tree_labels",
)
greedy_forest_members = sequential_kernel(
    "greedy_forest_members",
    "Mask of the nodes that, taken in order, close no cycle.",
    numpy=f"{_GRAPH}:greedy_forest_members",
)
colour_labels = sequential_kernel(
    "colour_labels",
    "Least used colour that no neighbour has, for each node in order.",
    numpy=f"{_GRAPH}:colour_labels",
)
two_colours = sequential_kernel(
    "two_colours",
    "Labels 0 and 1 by breadth-first search, and whether no edge joins equal ones.",
    numpy=f"{_GRAPH}:two_colours",
)
symmetry_defect = sequential_kernel(
    "symmetry_defect",
    "Signed sum of hashed entries that is zero when A equals its transpose exactly.",
    numpy=f"{_ELIMINATION}:symmetry_defect",
)
reach = sequential_kernel(
    "reach",
    "Mask of the nodes connected to a seed.",
    numpy=f"{_ELIMINATION}:reach",
)
reduce_to_unlabelled = sequential_kernel(
    "reduce_to_unlabelled",
    "Off-diagonal, diagonal and sides of (D - W + ridge I) restricted to nodes.",
    numpy=f"{_ELIMINATION}:reduce_to_unlabelled",
)
eliminate_low_degrees = sequential_kernel(
    "eliminate_low_degrees",
    "Partial Cholesky: nodes of degree at most two are eliminated, repeatedly.",
    numpy=f"{_ELIMINATION}:eliminate_low_degrees",
)
restore_eliminated = sequential_kernel(
    "restore_eliminated",
    "Back substitution through the steps of ``eliminate_low_degrees``.",
    numpy=f"{_ELIMINATION}:restore_eliminated",
)
clustering = sequential_kernel(
    "clustering",
    "Share of the pairs of neighbours of some nodes that are neighbours themselves.",
    numpy=f"{_MINIMUM_DEGREE}:clustering",
)
eliminate_nodes = sequential_kernel(
    "eliminate_nodes",
    """Partial Cholesky: the node of fewest neighbours next, up to a limit of them
    (minimum degree, Tinney and Walker 1967), numbers and graph together.""",
    numpy=f"{_MINIMUM_DEGREE}:eliminate_nodes",
)
restore_nodes = sequential_kernel(
    "restore_nodes",
    "Back substitution through the steps of ``eliminate_nodes``.",
    numpy=f"{_MINIMUM_DEGREE}:restore_nodes",
)
mic_cg = sequential_kernel(
    "mic_cg",
    """Conjugate gradients on (I + L)^-1 B (I + L^T)^-1 with B = d^-1/2 A d^-1/2 and
    pivots d that keep the row sums (Gustafsson 1978); the product with B is folded
    into the two triangular sweeps (Eisenstat 1981).""",
    numpy="numopt.coordinate._kernels_cpu.mic_cg:mic_cg",
)
jacobi_cg = sequential_kernel(
    "jacobi_cg",
    "Conjugate gradients on D^-1/2 A D^-1/2 with D the diagonal of A.",
    numpy="numopt.coordinate._kernels_cpu.jacobi_cg:jacobi_cg",
)


def _path(size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """CSR of the weighted adjacency of a path."""
    rows = [[j for j in (i - 1, i + 1) if 0 <= j < size] for i in range(size)]
    indptr = np.cumsum([0, *map(len, rows)]).astype(np.int32)
    indices = np.asarray([j for row in rows for j in row], np.int32)
    owner = np.repeat(np.arange(size), np.diff(indptr))
    return 1.0 + 0.5 * ((owner + indices) % 7), indices, indptr


def _matrix(size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """CSR of a positive definite path matrix with its diagonal."""
    from scipy.sparse import csr_array, diags_array

    W = csr_array(_path(size), shape=(size, size))
    A = csr_array(diags_array(W.sum(axis=1) + 1.0) - W)
    A.sort_indices()
    return A.data, A.indices.astype(np.int32), A.indptr.astype(np.int32)


@forest_sweep.example
def _forest_example(rng: np.random.Generator, dtype: Any, size: int) -> tuple:
    """A path with right-hand sides."""
    return (*_matrix(size), rng.standard_normal((size, 3)))


@peel_leaves.example
@two_colours.example
@symmetry_defect.example
def _graph_example(rng: np.random.Generator, dtype: Any, size: int) -> tuple:
    """A small graph as plain CSR."""
    return _matrix(size)


@tree_labels.example
@colour_labels.example
@greedy_forest_members.example
def _order_example(rng: np.random.Generator, dtype: Any, size: int) -> tuple:
    """A graph and an order of its nodes."""
    return (*_matrix(size), np.arange(size))


@reach.example
def _reach_example(rng: np.random.Generator, dtype: Any, size: int) -> tuple:
    """A graph and its labelled nodes."""
    return (*_path(size), np.arange(min(size, 1)))


@reduce_to_unlabelled.example
def _reduce_example(rng: np.random.Generator, dtype: Any, size: int) -> tuple:
    """A graph, its unlabelled nodes and their positions."""
    nodes = np.arange(max(size - 1, 0))
    position = np.append(nodes, -1)[:size]
    return (*_path(size), nodes, position, np.ones((1, 2)), 0.0)


def _system(rng: np.random.Generator, size: int) -> tuple:
    """A diagonally dominant system on a graph."""
    values, cols, ptr = _path(size)
    return -values, cols, ptr, np.full(size, 9.0), rng.standard_normal((size, 2))


@eliminate_low_degrees.example
def _eliminate_example(rng: np.random.Generator, dtype: Any, size: int) -> tuple:
    """A system whose nodes of low degree go."""
    return _system(rng, size)


@restore_eliminated.example
def _restore_example(rng: np.random.Generator, dtype: Any, size: int) -> tuple:
    """An elimination to be undone."""
    system = _system(rng, size)
    *_, kept, steps, weights, pivots, sides, _ = eliminate_low_degrees(*system)
    return steps, weights, pivots, sides, np.zeros((kept.size, 2)), kept


@clustering.example
def _clustering_example(rng: np.random.Generator, dtype: Any, size: int) -> tuple:
    """A graph and a sample of its nodes."""
    _, cols, ptr, *_ = _system(rng, size)
    return cols, ptr, np.arange(ptr.size - 1)


@eliminate_nodes.example
def _eliminate_nodes_example(rng: np.random.Generator, dtype: Any, size: int) -> tuple:
    """A system and the most neighbours of a node that goes."""
    return (*_system(rng, size), 2)


@restore_nodes.example
def _restore_nodes_example(rng: np.random.Generator, dtype: Any, size: int) -> tuple:
    """An elimination by minimum degree to be undone."""
    *_, kept, order, first, mates, weights, pivots, sides, _ = eliminate_nodes(
        *_system(rng, size), 2
    )
    core = np.zeros((kept.size, 2))
    return order, first, mates, weights, pivots, sides, core, kept


@jacobi_cg.example
@mic_cg.example
def _cg_example(rng: np.random.Generator, dtype: Any, size: int) -> tuple:
    """A system, a tolerance and a limit."""
    return (*_system(rng, size), 1e-8, 100)
