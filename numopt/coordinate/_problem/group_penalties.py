# SPDX-License-Identifier: BSD-3-Clause
"""Penalties on groups of coordinates."""

import abc
import dataclasses
from typing import Any

import numpy as np

from numopt import _validation as v
from numopt._numerics.prox import soft_threshold
from numopt.coordinate._problem.groups import GroupTerms, parse_groups
from numopt.coordinate._problem.penalties import Index, Penalty, floats

__all__ = ["GroupL2", "SparseGroup"]


@dataclasses.dataclass(frozen=True, eq=False)
class GroupPenalty(Penalty):
    """Penalties with a canonical form ``weights_g ||w_g|| + l1_j |w_j|``.

    Coefficients of K outputs, of shape (K, p), share the groups: ``w_g`` holds those
    of all outputs, so that a group enters all of them or none.
    """

    @abc.abstractmethod
    def group_terms(self, p: int) -> GroupTerms:
        """Return the canonical form."""

    def value(self, w: np.ndarray) -> float:
        """Return the penalty."""
        terms = self.group_terms(w.shape[-1])
        return group_value(w, terms) if np.all(w >= terms.lower) else np.inf

    def prox(self, w: np.ndarray, step: Any, index: Index = None) -> np.ndarray:
        """Return ``argmin_x ||x - w||^2 / 2 + step * penalty(x)``.

        ``index`` must hold whole groups; ``step`` is a scalar or constant in a group.
        """
        if index is None:
            terms = self.group_terms(w.shape[-1])
            index = np.arange(w.shape[-1])
        else:
            terms = self.group_terms(self._size())
        position = np.full(terms.indices.size, -1)
        position[index] = np.arange(len(index))
        steps = np.broadcast_to(np.asarray(step, dtype=np.float64), w.shape)
        out = soft_threshold(w, steps * terms.l1[index])
        out = np.maximum(out, terms.lower[index])
        for g in _groups_of(index, terms):
            where = position[terms.indices[terms.indptr[g] : terms.indptr[g + 1]]]
            norm = float(np.linalg.norm(out[..., where]))
            limit = float(steps[..., where[0]].flat[0]) * terms.weights[g]
            out[..., where] *= 1.0 - limit / norm if norm > limit else 0.0
        return out

    def subdiff_distance(
        self, w: np.ndarray, grad: np.ndarray, index: Index = None
    ) -> np.ndarray:
        """Return the distance of ``-grad`` to the subdifferential, per group."""
        p = w.shape[-1]
        terms = self.group_terms(self._size() if index is not None else p)
        index = np.arange(p) if index is None else np.asarray(index)
        position = np.full(terms.indices.size, -1)
        position[index] = np.arange(index.size)
        chosen = _groups_of(index, terms)
        out = np.empty(chosen.size)
        for k, g in enumerate(chosen):
            members = terms.indices[terms.indptr[g] : terms.indptr[g + 1]]
            where = position[members]
            x, slope, l1 = w[..., where], grad[..., where], terms.l1[members]
            bounded = terms.lower[members] == 0
            norm = float(np.linalg.norm(x))
            if norm == 0:
                rest = float(np.linalg.norm(_outside(slope, l1, bounded)))
                out[k] = max(rest - terms.weights[g], 0.0)
                continue
            smooth = slope + terms.weights[g] * x / norm
            out[k] = np.linalg.norm(
                np.where(
                    x != 0, smooth + l1 * np.sign(x), _outside(smooth, l1, bounded)
                )
            )
        return out

    def _size(self) -> int:
        """Number of coordinates of the partition."""
        groups = getattr(self, "groups", 1)
        if isinstance(groups, int | np.integer):
            raise ValueError(
                v.message("groups", "a partition where `index` is given", groups)
            )
        nested = all(isinstance(g, list | tuple | np.ndarray | range) for g in groups)
        return sum(len(g) for g in groups) if nested else len(groups)


@dataclasses.dataclass(frozen=True, eq=False)
class GroupL2(GroupPenalty):
    """Group lasso, ``alpha sum_g weights_g ||w_g||_2``.

    Parameters
    ----------
    alpha : float, default=1.0
        Strength, at least 0.
    groups : int, list of index lists or array_like of shape (p,), default=1
        Size of consecutive groups, the groups, or a label for each coordinate.
    weights : array_like of shape (n_groups,), default=None
        Non-negative weights, None for ones; 0 leaves a group unpenalised, inf
        excludes it.
    positive : bool, default=False
        Whether coefficients must not be negative.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.coordinate import GroupL2
    >>> GroupL2(1.0, groups=2).prox(np.array([3.0, 4.0, 0.3, 0.4]), 1.0)
    array([2.4, 3.2, 0. , 0. ])
    """

    alpha: float = 1.0
    groups: Any = 1
    weights: Any = None
    positive: bool = False

    def __post_init__(self) -> None:
        v.check_real("alpha", self.alpha, low=0)
        v.check_flag("positive", self.positive)
        if self.weights is not None:
            weights = floats("weights", self.weights)
            v.check_ndim("weights", weights, 1)
            v.check_values("weights", weights, nonnegative=True, allow_posinf=True)
            object.__setattr__(self, "weights", weights)

    def group_terms(self, p: int) -> GroupTerms:
        """Return the canonical form."""
        indptr, indices = parse_groups(self.groups, p)
        n_groups = indptr.size - 1
        weights = np.ones(n_groups) if self.weights is None else self.weights
        v.check_shape("weights", weights, (n_groups,), why="(one a group)")
        finite = np.where(np.isinf(weights), 0.0, weights)
        scaled = np.where(np.isinf(weights), np.inf, self.alpha * finite)
        lower = _lowest(self.positive, p)
        return GroupTerms(indptr, indices, scaled, np.zeros(p), lower)


@dataclasses.dataclass(frozen=True, eq=False)
class SparseGroup(GroupPenalty):
    """Sparse group lasso, ``alpha (l1_ratio ||w||_1 + (1-l1_ratio) sum_g ||w_g||)``.

    Parameters
    ----------
    alpha : float, default=1.0
        Strength, at least 0.
    l1_ratio : float, default=0.5
        Share of the L1 norm, between 0 and 1.
    groups : int, list of index lists or array_like of shape (p,), default=1
        Size of consecutive groups, the groups, or a label for each coordinate.
    positive : bool, default=False
        Whether coefficients must not be negative.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.coordinate import SparseGroup
    >>> SparseGroup(2.0, 0.5, groups=2).prox(np.array([5.0, 0.5]), 1.0)
    array([3., 0.])
    """

    alpha: float = 1.0
    l1_ratio: float = 0.5
    groups: Any = 1
    positive: bool = False

    def __post_init__(self) -> None:
        v.check_real("alpha", self.alpha, low=0)
        v.check_real("l1_ratio", self.l1_ratio, low=0, high=1)
        v.check_flag("positive", self.positive)

    def group_terms(self, p: int) -> GroupTerms:
        """Return the canonical form."""
        indptr, indices = parse_groups(self.groups, p)
        weights = np.full(indptr.size - 1, self.alpha * (1.0 - self.l1_ratio))
        l1 = np.full(p, self.alpha * self.l1_ratio)
        return GroupTerms(indptr, indices, weights, l1, _lowest(self.positive, p))


def _lowest(positive: bool, p: int) -> np.ndarray:
    """Lower bounds of the coefficients."""
    return np.full(p, 0.0 if positive else -np.inf)


def _outside(slope: np.ndarray, l1: np.ndarray, bounded: np.ndarray) -> np.ndarray:
    """What the L1 term and a bound at 0 leave of the slope of coordinates at 0."""
    return np.where(bounded, np.minimum(slope + l1, 0.0), soft_threshold(slope, l1))


def group_value(w: np.ndarray, terms: GroupTerms) -> float:
    """Return the penalty of a canonical form."""
    norms = group_norms(w, terms)
    used = norms > 0
    total = float(np.sum(terms.weights[used] * norms[used]))
    return total + float(np.sum(terms.l1 * np.abs(w)))


def group_norms(w: np.ndarray, terms: GroupTerms) -> np.ndarray:
    """Return the Euclidean norm of every group, over all outputs of (K, p)."""
    squares = np.sum(np.atleast_2d(w) ** 2, axis=0)
    return np.sqrt(np.add.reduceat(squares[terms.indices], terms.indptr[:-1]))


def _groups_of(index: np.ndarray, terms: GroupTerms) -> np.ndarray:
    """Numbers of the groups that some coordinates belong to."""
    owner = np.empty(terms.indices.size, dtype=np.int64)
    owner[terms.indices] = np.repeat(
        np.arange(terms.indptr.size - 1), np.diff(terms.indptr)
    )
    return np.unique(owner[index])
