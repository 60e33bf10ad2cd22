# SPDX-License-Identifier: BSD-3-Clause
"""The compiled inner solver as the solvers call it: quadratics on a Gram matrix."""

import dataclasses

import numpy as np

from numopt._array.namespace import numpy_namespace
from numopt.coordinate._kernels.descent import BALANCE, solve_gram, solve_residual

__all__ = ["MAX_EPOCHS", "PADDING", "Factor", "minimise_columns", "minimise_gram"]

MAX_EPOCHS = 20_000
#: Row length of a factor beyond its size, so that rows do not share cache sets.
PADDING = 8


@dataclasses.dataclass
class Factor:
    """An updatable Cholesky factor ``U`` of the Gram matrix of the last support."""

    U: np.ndarray
    order: np.ndarray
    inside: np.ndarray
    size: np.ndarray

    @classmethod
    def empty(cls, largest: int, columns: int) -> "Factor":
        """Room for supports of a size, out of a number of columns."""
        return cls(
            np.empty((largest, largest + PADDING)),
            np.zeros(max(largest, columns), np.int64),
            np.zeros(columns, np.int64),
            np.zeros(1, np.int64),
        )

    def reset(self) -> None:
        """Forget the factor."""
        self.size[0] = 0
        self.inside[:] = 0

    def grown(self, largest: int, columns: int) -> "Factor":
        """Return a factor with more room that holds the same."""
        new = Factor.empty(max(largest, self.U.shape[0]), columns)
        k = int(self.size[0])
        new.U[:k, :k] = self.U[:k, :k]
        new.order[:k] = self.order[:k]
        new.inside[: self.inside.size] = self.inside[:columns]
        new.size[0] = k
        return new

    def renamed(self, position: np.ndarray, columns: int) -> "Factor":
        """Return the factor with column ``j`` called ``position[j]``.

        It is empty where a column has no new name (-1). Both share ``U``.
        """
        k = int(self.size[0])
        new = Factor(
            self.U,
            np.zeros(max(self.order.size, columns), np.int64),
            *(np.zeros(columns, np.int64), np.zeros(1, np.int64)),
        )
        names = position[self.order[:k]]
        if k and names.min() >= 0:
            new.order[:k], new.inside[names], new.size[0] = names, 1, k
        return new


def minimise_gram(
    G: np.ndarray,
    w: np.ndarray,
    q: np.ndarray,
    c: np.ndarray,
    l1: np.ndarray,
    lower: np.ndarray,
    upper: np.ndarray,
    *,
    squares: float,
    target: float,
    max_epochs: int = MAX_EPOCHS,
    factor: Factor | None = None,
    balance: float = BALANCE,
) -> tuple[float, int]:
    """Minimise ``squares/2 - c^T w + w^T G w / 2 + sum l1 |w|`` within bounds.

    Writes ``w`` and ``q = G w - c``, until the absolute gap is at most ``target``;
    returns (gap, epochs). ``G`` may be larger than ``w``.
    """
    m = w.size
    factor = Factor.empty(m, m) if factor is None else factor
    return solve_gram.for_namespace(numpy_namespace)(
        G,
        w,
        q,
        c,
        l1,
        lower,
        upper,
        squares,
        target,
        max_epochs,
        factor.U,
        factor.order,
        factor.inside,
        factor.size,
        balance,
    )


def minimise_columns(
    columns: np.ndarray,
    active: np.ndarray,
    w: np.ndarray,
    residual: np.ndarray,
    slope: np.ndarray,
    squares: np.ndarray,
    c: np.ndarray,
    ridge: np.ndarray,
    l1: np.ndarray,
    lower: np.ndarray,
    upper: np.ndarray,
    *,
    targets: float,
    target: float,
    max_epochs: int,
) -> tuple[float, int]:
    """Minimise the same over active ``columns`` by descent, without a Gram matrix.

    Writes ``w``, ``residual`` and ``slope``, minus its product with the columns, where
    they are active; ``targets`` is the squared norm of the targets. Returns (gap,
    epochs).
    """
    return solve_residual.for_namespace(numpy_namespace)(
        columns.T,
        active,
        w,
        residual,
        slope,
        squares,
        c,
        ridge,
        l1,
        lower,
        upper,
        targets,
        target,
        max_epochs,
    )
