# SPDX-License-Identifier: BSD-3-Clause
"""Exact solves on forests, by message passing without recursion."""

from typing import Any

import numpy as np

from numopt._array.sparse import as_csr
from numopt._validation import check_numpy, check_values, message
from numopt.coordinate._kernels import graph as kernels
from numopt.coordinate._problem.graph import as_graph
from numopt.exceptions import ArgumentTypeError
from numopt.typing import Array

__all__ = ["forest_solve", "is_forest"]

_SOLVED, _CYCLE, _ASYMMETRIC, _INDEFINITE = range(4)


def forest_solve(A: Any, b: Array) -> np.ndarray:
    r"""Solve a positive definite system whose graph is a forest, exactly.

    .. math:: A x = b

    Gaussian elimination from the leaves to the roots and back causes no fill on a
    forest; it is the belief propagation of a Gaussian model and costs O(n) for each
    right-hand side.

    Parameters
    ----------
    A : sparse or dense matrix of shape (n, n)
        Symmetric and positive definite; off-diagonal entries are the edges.
    b : array of shape (n,) or (n, K)
        Right-hand sides; they share the elimination.

    Returns
    -------
    ndarray of shape (n,) or (n, K)
        The solution, in the dtype of ``b`` (float64 for integers).

    Raises
    ------
    ValueError
        When the graph has a cycle, ``A`` is not symmetric or not positive definite, or
        shapes do not fit.

    See Also
    --------
    is_forest : Whether a matrix qualifies.
    label_propagation : Solves on general graphs.

    Notes
    -----
    The acyclicity and the symmetry are checked inside the elimination itself. Deep
    trees are no problem: nothing recurses. Arithmetic is float64.

    References
    ----------
    Nutini, Laradji and Schmidt (2022), "Let's make block coordinate descent converge
    faster", JMLR 23(131), section 5. Shental et al. (2008), "Gaussian belief
    propagation solver for systems of linear equations".

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.coordinate import forest_solve
    >>> A = np.array([[2.0, -1.0, 0.0], [-1.0, 3.0, -1.0], [0.0, -1.0, 2.0]])
    >>> forest_solve(A, A @ np.array([1.0, 2.0, 3.0]))
    array([1., 2., 3.])
    """
    matrix = as_csr(A) if _is_csr(A) else as_graph("A", A)
    if matrix.shape[0] != matrix.shape[1] or matrix.shape[0] == 0:
        raise ValueError(
            message("A", "a square, non-empty matrix", f"shape {matrix.shape}")
        )
    check_values("A", matrix.data)
    rhs, sides = _right_hand_sides(b, matrix.shape[0])
    x, status, node = kernels.forest_sweep(
        matrix.data, matrix.indices, matrix.indptr, sides
    )
    if status == _ASYMMETRIC:
        # Mirrored entries differ: by rounding (averaged here) or in earnest.
        matrix = as_graph("A", A)
        x, status, node = kernels.forest_sweep(
            matrix.data, matrix.indices, matrix.indptr, sides
        )
    if status == _CYCLE:
        raise ValueError(message("A", "a matrix whose graph is a forest", "a cycle"))
    if status == _INDEFINITE:
        raise ValueError(
            message("A", "positive definite", f"a pivot <= 0 at node {int(node)}")
        )
    return np.asarray(x.reshape(rhs.shape), rhs.dtype)


def is_forest(A: Any) -> bool:
    """Return whether the graph of a symmetric sparse matrix has no cycle.

    Parameters
    ----------
    A : sparse or dense matrix of shape (n, n)
        Symmetric; off-diagonal entries other than zero are the edges.

    Returns
    -------
    bool
        True for a forest; the diagonal does not matter.

    Raises
    ------
    ValueError
        When ``A`` is not square or not symmetric.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.coordinate import is_forest
    >>> is_forest(np.diag([1.0, 1.0], 1) + np.diag([1.0, 1.0], -1))
    True
    >>> is_forest(np.ones((3, 3)))
    False
    """
    graph = as_graph("A", A)
    return int(kernels.peel_leaves(graph.data, graph.indices, graph.indptr)) == 0


def _is_csr(A: Any) -> bool:
    """Whether a matrix needs no conversion."""
    return getattr(A, "format", None) == "csr" and A.ndim == 2


def _right_hand_sides(b: Array, n: int) -> tuple[np.ndarray, np.ndarray]:
    """The right-hand side as given (a float array) and as float64 columns."""
    check_numpy("b", b)
    rhs = np.asarray(b)
    if rhs.dtype.kind not in "fiub":
        raise ArgumentTypeError(
            message("b", "an array of real numbers", f"dtype {rhs.dtype}")
        )
    if rhs.ndim not in (1, 2) or rhs.shape[0] != n or rhs.size == 0:
        raise ValueError(
            message("b", f"of shape ({n},) or ({n}, K)", f"shape {rhs.shape}")
        )
    if rhs.dtype not in (np.float32, np.float64):
        rhs = rhs.astype(np.float64)
    check_values("b", rhs)
    sides = rhs[:, None] if rhs.ndim == 1 else rhs
    return rhs, np.ascontiguousarray(sides, np.float64)
