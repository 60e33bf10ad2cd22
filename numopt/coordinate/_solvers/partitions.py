# SPDX-License-Identifier: BSD-3-Clause
"""Partitions of a graph into blocks that are solved cheaply: colours and forests."""

from typing import Any

import numpy as np

from numopt._array.sparse import CSR
from numopt._validation import (
    check_numpy,
    check_shape,
    check_values,
    float_arrays,
    message,
)
from numopt.coordinate._kernels import graph as kernels
from numopt.coordinate._problem.graph import as_graph
from numopt.typing import Array

__all__ = ["color_partition", "greedy_forest", "tree_partition"]


def tree_partition(A: Any, order: Array | None = None) -> list[np.ndarray]:
    """Partition the nodes into blocks that each induce a forest.

    Nodes are taken in order; each goes to the first block in which its neighbours lie
    in distinct trees, so that it joins them without closing a cycle.

    Parameters
    ----------
    A : sparse or dense matrix of shape (n, n)
        Symmetric; off-diagonal entries other than zero are the edges.
    order : array of int of shape (n,), default=None
        Permutation of the nodes; None takes them by descending diagonal entry.

    Returns
    -------
    list of ndarray of int
        Sorted node indices of each block; together they cover all nodes once.

    Raises
    ------
    ValueError
        When ``A`` is not square or not symmetric, or ``order`` no permutation.

    Notes
    -----
    With union-find the cost is nearly linear in the number of edges. A grid needs
    two blocks.

    References
    ----------
    Nutini, Laradji and Schmidt (2022), JMLR 23(131), section 5.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.coordinate import tree_partition
    >>> [block.tolist() for block in tree_partition(np.ones((4, 4)))]
    [[0, 1], [2, 3]]
    """
    graph = as_graph("A", A)
    labels, count = kernels.tree_labels(
        graph.data, graph.indices, graph.indptr, _order(graph, order)
    )
    return _blocks(labels, count)


def color_partition(A: Any, order: Array | None = None) -> list[np.ndarray]:
    """Partition the nodes into independent sets (blocks without an inner edge).

    A bipartite graph gives two blocks ("red-black"). Otherwise nodes are taken in
    order, and each gets the least used colour that no neighbour has.

    Parameters
    ----------
    A : sparse or dense matrix of shape (n, n)
        Symmetric; off-diagonal entries other than zero are the edges.
    order : array of int of shape (n,), default=None
        Permutation of the nodes, which also skips the test for bipartite graphs; None
        takes them by descending diagonal entry.

    Returns
    -------
    list of ndarray of int
        Sorted node indices of each block; together they cover all nodes once.

    Raises
    ------
    ValueError
        When ``A`` is not square or not symmetric, or ``order`` no permutation.

    References
    ----------
    Nutini, Laradji and Schmidt (2022), JMLR 23(131), section 5.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.coordinate import color_partition
    >>> path = np.diag([1.0, 1.0, 1.0], 1) + np.diag([1.0, 1.0, 1.0], -1)
    >>> [block.tolist() for block in color_partition(path)]
    [[0, 2], [1, 3]]
    """
    graph = as_graph("A", A)
    arrays = graph.data, graph.indices, graph.indptr
    if order is None:
        labels, bipartite = kernels.two_colours(*arrays)
        if bipartite:
            return _blocks(labels, int(np.max(labels)) + 1)
    labels, count = kernels.colour_labels(*arrays, _order(graph, order))
    return _blocks(labels, count)


def greedy_forest(A: Any, scores: Array) -> np.ndarray:
    """Return a block of nodes with high scores that induces a forest.

    Nodes are taken by descending score and added when they close no cycle: the
    variable block of the greedy tree rule.

    Parameters
    ----------
    A : sparse or dense matrix of shape (n, n)
        Symmetric; off-diagonal entries other than zero are the edges.
    scores : array of shape (n,)
        For example squared gradient entries, divided by the diagonal.

    Returns
    -------
    ndarray of int
        Sorted indices of the nodes of the block.

    Raises
    ------
    ValueError
        When ``A`` is not square or not symmetric, or ``scores`` does not fit it.

    References
    ----------
    Nutini, Laradji and Schmidt (2022), JMLR 23(131), section 5.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.coordinate import greedy_forest
    >>> greedy_forest(np.ones((3, 3)), [0.1, 3.0, 2.0])
    array([1, 2])
    """
    graph = as_graph("A", A)
    check_numpy("scores", scores)
    values = np.asarray(float_arrays(scores=scores)[1][0])
    check_shape("scores", values, (graph.shape[0],), why="to match `A`")
    check_values("scores", values)
    return np.flatnonzero(
        kernels.greedy_forest_members(
            graph.data,
            graph.indices,
            graph.indptr,
            np.argsort(-values, kind="stable"),
        )
    )


def _order(graph: CSR, order: Array | None) -> np.ndarray:
    """The given permutation, or nodes by descending diagonal entry."""
    n = graph.shape[0]
    if order is None:
        return np.argsort(-graph.to_scipy().diagonal(), kind="stable").astype(np.int64)
    nodes = np.asarray(order)
    if nodes.shape != (n,) or not np.array_equal(np.sort(nodes), np.arange(n)):
        raise ValueError(
            message("order", f"a permutation of 0..{n - 1}", f"shape {nodes.shape}")
        )
    return nodes.astype(np.int64)


def _blocks(labels: np.ndarray, count: int) -> list[np.ndarray]:
    """Node indices of each label, ascending."""
    ranked = np.argsort(labels, kind="stable")
    bounds = np.searchsorted(labels[ranked], np.arange(count + 1))
    return [ranked[bounds[k] : bounds[k + 1]] for k in range(count)]
