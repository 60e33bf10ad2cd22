# SPDX-License-Identifier: BSD-3-Clause
"""Costs between two sets, as solvers see them: passes over all entries.

Passes run in the precision of gamma; see ``_kernels`` for their formulas. A pass may
leave out what is less than a fraction ``dropped`` of the mass.
"""

import abc
import functools
import math
from collections.abc import Callable
from typing import Any

from numopt._array.linalg import logsumexp
from numopt._array.namespace import array_namespace, numpy_namespace
from numopt.ot._kernels.dense import (
    fused_pass,
    gibbs_plan,
    normal_product,
    relaxed_pass,
)
from numopt.ot._kernels.support import support_count, support_entries
from numopt.typing import Array

__all__ = ["Cost", "DenseCost"]


class Cost(abc.ABC):
    """Cost of n rows and m columns."""

    #: Bound on the mass that a pass leaves out.
    dropped = 0.0
    #: Supports with more than these fractions of all entries are not stored: on an
    #: intermediate level, and on the last.
    max_fractions = (0.25, 0.25)

    @property
    @abc.abstractmethod
    def shape(self) -> tuple[int, int]:
        """Number of rows and columns."""

    @property
    def entries(self) -> int:
        """Number of entries."""
        return math.prod(self.shape)

    @abc.abstractmethod
    def fused_pass(
        self, gamma: Array, phi: Array, log_a: Array, inv_eps: float
    ) -> tuple[Array, Array]:
        """Exact row update and column sums."""

    @abc.abstractmethod
    def relaxed_pass(
        self, gamma: Array, phi: Array, log_a: Array, inv_eps: float, omega: float
    ) -> tuple[Array, Array]:
        """Over-relaxed row update and column sums."""

    @abc.abstractmethod
    def column_update(self, phi: Array, log_b: Array, inv_eps: float) -> Array:
        """Exact column update, for columns that passes do not reach."""

    @abc.abstractmethod
    def normal_operator(
        self, gamma: Array, phi: Array, inv_eps: float, inv_a: Array
    ) -> Callable[[Array], Array]:
        """Return the map x -> P^T diag(1/a) P x."""

    @abc.abstractmethod
    def support(
        self, h: Array, s: Array, inv_eps: float, limit: int
    ) -> tuple[int, Any]:
        """Count the entries with h_j + s_i > M_ij / eps, and return them up to a limit.

        The second is None above the limit, else (start, stop, index, cost).
        """


class DenseCost(Cost):
    """A stored matrix; a float32 copy is made on first use."""

    def __init__(self, M: Array) -> None:
        self.M = M

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and columns."""
        return tuple(self.M.shape)

    @functools.cached_property
    def _single(self) -> Array:
        xp = array_namespace(self.M)
        return xp.astype(self.M, xp.float32)

    def _like(self, x: Array) -> Array:
        """The matrix in the precision of an array."""
        return self.M if x.dtype == self.M.dtype else self._single

    def fused_pass(
        self, gamma: Array, phi: Array, log_a: Array, inv_eps: float
    ) -> tuple[Array, Array]:
        """One read of the matrix."""
        one_pass = fused_pass.for_namespace(array_namespace(self.M))
        return one_pass(self._like(gamma), gamma, phi, log_a, inv_eps)

    def relaxed_pass(
        self, gamma: Array, phi: Array, log_a: Array, inv_eps: float, omega: float
    ) -> tuple[Array, Array]:
        """One read of the matrix."""
        one_pass = relaxed_pass.for_namespace(array_namespace(self.M))
        return one_pass(self._like(gamma), gamma, phi, log_a, inv_eps, omega)

    def column_update(self, phi: Array, log_b: Array, inv_eps: float) -> Array:
        """Array expressions: rarely needed."""
        return log_b - logsumexp(phi[:, None] - self.M * inv_eps, axis=0)

    def normal_operator(
        self, gamma: Array, phi: Array, inv_eps: float, inv_a: Array
    ) -> Callable[[Array], Array]:
        """Products with a stored plan."""
        xp, M = array_namespace(self.M), self._like(gamma)
        plan = gibbs_plan.for_namespace(xp)(M, gamma, phi, inv_eps)
        return functools.partial(normal_product.for_namespace(xp), plan, inv_a)

    def support(
        self, h: Array, s: Array, inv_eps: float, limit: int
    ) -> tuple[int, Any]:
        """Two reads of the matrix: entries are counted first."""
        M = self._like(h)
        count = support_count.for_namespace(numpy_namespace)(M, h, s, inv_eps)
        nnz = int(count.sum())
        if nnz > limit:
            return nnz, None
        entries_of = support_entries.for_namespace(numpy_namespace)
        return nnz, entries_of(M, h, s, inv_eps, count)
