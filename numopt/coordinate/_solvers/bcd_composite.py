# SPDX-License-Identifier: BSD-3-Clause
"""The non-smooth part of a block problem: values, prox and decreases on blocks."""

import abc
from typing import Any

import numpy as np

from numopt._numerics.prox import soft_threshold
from numopt.coordinate._problem.groups import GroupTerms, ScalarTerms

__all__ = ["Composite", "Folded", "Grouped", "Separable", "composite_of"]


class Composite(abc.ABC):
    """A non-smooth part; ``smooth`` where it is none at all."""

    smooth = False

    @abc.abstractmethod
    def value(self, b: np.ndarray, x: np.ndarray) -> float:
        """Penalty of the entries ``b`` when they are ``x``."""

    @abc.abstractmethod
    def prox(self, b: np.ndarray, x: np.ndarray, step: Any) -> np.ndarray:
        """Minimise ``(v - x)^2 / (2 step) + penalty(v)`` over the entries."""

    @abc.abstractmethod
    def values(self, b: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Penalty of each entry, or of its group spread over the group."""


class Separable(Composite):
    """``l1 |w|`` within bounds."""

    def __init__(self, terms: ScalarTerms, outputs: int) -> None:
        self.l1 = np.tile(terms.l1, outputs)
        self.lower = np.tile(terms.lower, outputs)
        self.upper = np.tile(terms.upper, outputs)
        free = np.isinf(self.lower) & np.isinf(self.upper)
        self.smooth = bool(np.all(free) and not np.any(self.l1))

    def values(self, b: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Penalty of each entry."""
        l1 = self.l1[b]
        return np.where(x == 0.0, 0.0, np.abs(x) * np.where(x == 0.0, 0.0, l1))

    def value(self, b: np.ndarray, x: np.ndarray) -> float:
        """Penalty of the entries."""
        return float(np.sum(self.values(b, x)))

    def prox(self, b: np.ndarray, x: np.ndarray, step: Any) -> np.ndarray:
        """Soft threshold, then clip."""
        return np.clip(
            soft_threshold(x, step * self.l1[b]), self.lower[b], self.upper[b]
        )


class Folded(Composite):
    """A non-convex penalty that acts on single coordinates through its own prox."""

    def __init__(self, penalty: Any) -> None:
        self.penalty = penalty

    def values(self, b: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Penalty of each entry."""
        return np.asarray([self.penalty.value(x[i : i + 1]) for i in range(x.size)])

    def value(self, b: np.ndarray, x: np.ndarray) -> float:
        """Penalty of the entries."""
        return float(self.penalty.value(x))

    def prox(self, b: np.ndarray, x: np.ndarray, step: Any) -> np.ndarray:
        """Prox of the penalty."""
        return self.penalty.prox(x, step)


class Grouped(Composite):
    """``weights_g ||w_g|| + l1 |w|`` above a bound: blocks hold whole groups."""

    def __init__(self, terms: GroupTerms) -> None:
        self.terms = terms
        self.owner = np.empty(terms.indices.size, np.int64)
        counts = np.diff(terms.indptr)
        self.owner[terms.indices] = np.repeat(np.arange(counts.size), counts)

    def blocks(self) -> list[np.ndarray]:
        """The groups."""
        return np.split(self.terms.indices, self.terms.indptr[1:-1])

    def _norms(self, b: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Number of the group of each entry, and the norms of all groups."""
        owner = self.owner[b]
        squares = np.bincount(owner, x * x, self.terms.weights.size)
        return owner, np.sqrt(squares)

    def value(self, b: np.ndarray, x: np.ndarray) -> float:
        """Penalty of the entries."""
        _, norms = self._norms(b, x)
        used = norms > 0
        total = float(np.sum(self.terms.weights[used] * norms[used]))
        return total + float(np.sum(self.terms.l1[b] * np.abs(x)))

    def values(self, b: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Penalty of each group, spread evenly over its entries."""
        owner, norms = self._norms(b, x)
        sizes = np.diff(self.terms.indptr)
        weights = np.where(norms > 0, self.terms.weights, 0.0)
        return (weights * norms / sizes)[owner] + self.terms.l1[b] * np.abs(x)

    def prox(self, b: np.ndarray, x: np.ndarray, step: Any) -> np.ndarray:
        """Soft threshold, then shrink each group; the step is constant in a group."""
        steps = np.broadcast_to(np.asarray(step, np.float64), x.shape)
        x = soft_threshold(x, steps * self.terms.l1[b])
        x = np.maximum(x, self.terms.lower[b])
        owner, norms = self._norms(b, x)
        with np.errstate(divide="ignore", invalid="ignore"):
            shrink = 1.0 - steps * self.terms.weights[owner] / norms[owner]
        return x * np.where(shrink > 0, shrink, 0.0)


def composite_of(penalty: Any, p: int, outputs: int) -> tuple[Composite, np.ndarray]:
    """The non-smooth part of a penalty and its ridge terms (p,)."""
    terms = penalty.terms(p)
    if terms is not None:
        return Separable(terms, outputs), np.asarray(terms.l2, np.float64)
    groups = penalty.group_terms(p)
    if groups is not None:
        if outputs > 1:
            raise ValueError(
                "group penalties with block rules need one output; use the default "
                "partition, selection and update for Multinomial()"
            )
        return Grouped(groups), np.zeros(p)
    return Folded(penalty), np.zeros(p)
