# SPDX-License-Identifier: BSD-3-Clause
"""Symmetric sparse matrices as graphs, and the harmonic problem on them."""

import dataclasses
from typing import Any

import numpy as np

from numopt._array.sparse import CSR, as_csr, is_sparse
from numopt._validation import check_numpy, check_values, message
from numopt.coordinate._kernels import graph as kernels
from numopt.typing import Array

__all__ = ["HarmonicProblem", "as_graph"]

#: Largest relative difference of mirrored entries that counts as rounding.
SYMMETRY_TOLERANCE = 1e-10


def as_graph(name: str, A: Any, *, nonnegative: bool = False) -> CSR:
    """Check a square, finite, symmetric matrix and return it as CSR (float64).

    Mirrored entries that differ by rounding are averaged; larger differences raise
    ValueError. Dense arrays are accepted.
    """
    if not is_sparse(A):
        check_numpy(name, A)
        A = np.asarray(A)
        if A.ndim != 2:
            raise ValueError(message(name, "a square matrix", f"shape {A.shape}"))
        if A.dtype.kind not in "fiub":
            raise ValueError(message(name, "a matrix of numbers", f"dtype {A.dtype}"))
    if A.shape[0] != A.shape[1] or A.shape[0] == 0:
        raise ValueError(
            message(name, "a square, non-empty matrix", f"shape {A.shape}")
        )
    graph = as_csr(A)
    check_values(name, graph.data, nonnegative=nonnegative)
    if kernels.symmetry_defect(graph.data, graph.indices, graph.indptr):
        graph = _symmetrised(name, graph)
    return graph


def _symmetrised(name: str, graph: CSR) -> CSR:
    """The average with the transpose, or an error when they differ by more."""
    A = graph.to_scipy()
    T = A.T.tocsr()
    difference = abs(A - T)
    worst = float(difference.max()) if difference.nnz else 0.0
    scale = float(np.max(np.abs(graph.data), initial=0.0))
    if worst > SYMMETRY_TOLERANCE * scale:
        raise ValueError(
            message(
                name,
                "symmetric",
                f"entries that differ from their mirror by {worst:.2e}; "
                "use (A + A.T) / 2",
            )
        )
    return as_csr(0.5 * (A + T))


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class HarmonicProblem:
    r"""Minimise ``1/2 sum_edges w_ij |x_i - x_j|^2 + ridge/2 sum |x_i|^2``.

    The rows of ``known`` are fixed at labelled nodes; on the others, ``nodes``, this
    is ``A x = C`` with ``A = D_uu - W_uu + ridge I`` and ``C = W_ul known``.
    """

    off: CSR
    diagonal: np.ndarray
    rhs: np.ndarray
    nodes: np.ndarray
    rhs_norms: np.ndarray

    @classmethod
    def from_graph(
        cls, W: CSR, labelled: np.ndarray, known: np.ndarray, ridge: float
    ) -> tuple["HarmonicProblem", np.ndarray]:
        """Reduce to the unlabelled nodes that some label reaches; return both."""
        n = W.shape[0]
        reached = kernels.reach(W.data, W.indices, W.indptr, labelled)
        solved = reached.copy()
        solved[labelled] = False
        nodes = np.flatnonzero(solved)
        # Neighbours of reached nodes are reached: every entry has a position.
        position = np.zeros(n, np.int64)
        position[nodes] = np.arange(nodes.size)
        position[labelled] = -1 - np.arange(labelled.size)
        values, cols, ptr, diagonal, rhs = kernels.reduce_to_unlabelled(
            W.data, W.indices, W.indptr, nodes, position, known, float(ridge)
        )
        off = CSR(values, cols, ptr, (nodes.size, nodes.size))
        problem = cls(off, diagonal, rhs, nodes, np.linalg.norm(rhs, axis=0))
        return problem, reached

    @property
    def size(self) -> int:
        """Number of unknown nodes."""
        return self.nodes.size

    def product(self, x: Array) -> Array:
        """A x for x (m, K)."""
        return self.diagonal[:, None] * x + self.off.to_scipy() @ x

    def residual(self, x: Array, product: Array | None = None) -> float:
        """Largest relative residual of a column; ``product`` is A x where known."""
        product = self.product(x) if product is None else product
        norms = np.linalg.norm(self.rhs - product, axis=0)
        return float(np.max(norms / np.where(self.rhs_norms > 0, self.rhs_norms, 1.0)))

    def objective(self, x: Array, product: Array | None = None) -> float:
        """``1/2 x'Ax - C'x``, summed over the columns."""
        product = self.product(x) if product is None else product
        return float(np.sum(x * (0.5 * product - self.rhs)))
