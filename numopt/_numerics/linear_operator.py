# SPDX-License-Identifier: BSD-3-Clause
"""Matrix-free linear maps with an adjoint, on any array library."""

import dataclasses
from collections.abc import Callable

import numpy as np

from numopt._array.namespace import array_namespace, device, to_numpy
from numopt.typing import Array

__all__ = ["LinearOperator", "as_operator", "dottest"]


@dataclasses.dataclass(frozen=True)
class LinearOperator:
    """The map ``x -> A x`` and its adjoint, given by two functions.

    ``symmetric`` operators may omit ``rmatvec``.
    """

    shape: tuple[int, int]
    matvec: Callable[[Array], Array]
    rmatvec: Callable[[Array], Array] | None = None
    symmetric: bool = False

    def __matmul__(self, x: Array) -> Array:
        """Return A x."""
        return self.matvec(x)

    @property
    def T(self) -> "LinearOperator":
        """The adjoint operator."""
        adjoint = self.matvec if self.symmetric else self.rmatvec
        if adjoint is None:
            raise TypeError("this operator has no adjoint: `rmatvec` was not given")
        return LinearOperator(self.shape[::-1], adjoint, self.matvec, self.symmetric)


def as_operator(A: Array | LinearOperator) -> LinearOperator:
    """Return an operator of a dense matrix (an operator is returned as it is)."""
    if isinstance(A, LinearOperator):
        return A
    xp = array_namespace(A)
    return LinearOperator(
        tuple(A.shape), lambda x: A @ x, lambda y: xp.matrix_transpose(A) @ y
    )


def dottest(operator: LinearOperator, like: Array, *, seed: int = 0) -> float:
    """Return the relative error of ``<y, A x> = <A^T y, x>`` for random x and y.

    ``like`` gives the library, dtype and device of the vectors.
    """
    xp = array_namespace(like)
    rng = np.random.default_rng(seed)
    m, n = operator.shape
    x, y = (
        xp.asarray(rng.standard_normal(k), dtype=like.dtype, device=device(like))
        for k in (n, m)
    )
    left = float(to_numpy(xp.sum(y * (operator @ x))))
    right = float(to_numpy(xp.sum((operator.T @ y) * x)))
    return abs(left - right) / max(abs(left), abs(right), 1e-300)
