# SPDX-License-Identifier: BSD-3-Clause
"""Penalties as the Newton solver sees them: scores of columns, models on a few.

A unit is what enters or leaves a working set: a coordinate, or a group of them.
"""

import abc
import dataclasses
import functools
import itertools

import numpy as np

from numopt.coordinate._kernels.newton import RULES
from numopt.coordinate._problem.data import LinearData
from numopt.coordinate._problem.datafits import Datafit
from numopt.coordinate._problem.duality import (
    group_dual,
    group_ratios,
    loss_dual,
    scalar_value,
    separable_dual,
)
from numopt.coordinate._problem.group_penalties import group_value
from numopt.coordinate._problem.groups import GroupTerms, ScalarTerms, group_index
from numopt.coordinate._solvers.inner import minimise_gram
from numopt.coordinate._solvers.stored_groups import StoredGroups, largest_eigenvalues

__all__ = ["GroupUnits", "ScalarUnits", "Units"]

#: Further shifts of models of several outputs, which rounding can make indefinite.
MORE_DAMPING = (1e-9, 1e-6)


class Units(abc.ABC):
    """A penalty over units."""

    #: Unit of every coordinate.
    owner: np.ndarray

    @abc.abstractmethod
    def value(self, coef: np.ndarray) -> float:
        """Penalty of all coefficients, of shape (p,) or (K, p)."""

    @abc.abstractmethod
    def nearest(self, coef: np.ndarray) -> np.ndarray:
        """The nearest allowed coefficients."""

    @abc.abstractmethod
    def scores(self, slope: np.ndarray) -> np.ndarray:
        """How far each unit at 0 is pushed, 1 being its threshold."""

    @functools.cached_property
    @abc.abstractmethod
    def free(self) -> np.ndarray:
        """Which units are not penalised."""

    @abc.abstractmethod
    def used(self, coef: np.ndarray) -> np.ndarray:
        """Which units hold coefficients that are not 0."""

    def limits(self) -> np.ndarray | None:
        """Largest slopes of coordinates at 0 where nothing else counts, or None."""
        return None

    @abc.abstractmethod
    def members(self, units: np.ndarray) -> np.ndarray:
        """Coordinates of some units, unit by unit."""

    @abc.abstractmethod
    def on(self, index: np.ndarray, *, outputs: int, intercept: bool) -> "Part":
        """The penalty of some coordinates and an intercept last, for each output."""

    @abc.abstractmethod
    def dual(
        self,
        data: LinearData,
        datafit: Datafit,
        coef: np.ndarray,
        theta: np.ndarray,
        rho: np.ndarray,
    ) -> float:
        """Dual value of theta, scaled by 1/S."""


class Part(abc.ABC):
    """A penalty of the coordinates of a model."""

    @abc.abstractmethod
    def value(self, x: np.ndarray) -> float:
        """Penalty of the coordinates."""

    @abc.abstractmethod
    def minimise(
        self, G: np.ndarray, slope: np.ndarray, x: np.ndarray, unit: float, share: float
    ) -> np.ndarray:
        """Minimise ``slope^T d + d^T G d / 2 + value(x + d)``; returns ``x + d``.

        The absolute gap is ``unit * share``. ``G`` may be overwritten.
        """


@dataclasses.dataclass(frozen=True, eq=False)
class ScalarUnits(Units):
    """Separable penalties: every coordinate is a unit.

    L1 terms may be of shape (K, p), one for each output.
    """

    terms: ScalarTerms

    @functools.cached_property
    def owner(self) -> np.ndarray:  # type: ignore[override]
        """Unit of every coordinate."""
        return np.arange(self.terms.lower.size)

    @functools.cached_property
    def simple(self) -> bool:
        """Whether it is a plain weighted L1 norm."""
        return self.terms.plain

    def value(self, coef: np.ndarray) -> float:
        """Penalty of all coefficients."""
        return scalar_value(self.terms, coef)

    def nearest(self, coef: np.ndarray) -> np.ndarray:
        """The nearest allowed coefficients."""
        return self.terms.nearest(coef)

    def scores(self, slope: np.ndarray) -> np.ndarray:
        """How far each coordinate is pushed, 1 being its threshold."""
        terms = self.terms
        if self.simple and slope.ndim == 1:
            return np.abs(slope) / terms.l1
        up = np.where(terms.upper > 0, slope, 0.0)
        down = np.where(terms.lower < 0, -slope, 0.0)
        push = np.maximum(up, down)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(push > 0, push / terms.l1, 0.0)
        return np.atleast_2d(ratio).max(axis=0)

    @functools.cached_property
    def free(self) -> np.ndarray:
        """Which coordinates have no L1 term."""
        return np.asarray(np.atleast_2d(self.terms.l1 == 0).any(axis=0))

    def used(self, coef: np.ndarray) -> np.ndarray:
        """Which coordinates are not 0, for any output."""
        return np.asarray(coef != 0 if coef.ndim == 1 else coef.any(axis=0))

    def limits(self) -> np.ndarray | None:
        """The L1 terms of a plain weighted L1 norm."""
        return self.terms.l1 if self.simple else None

    def members(self, units: np.ndarray) -> np.ndarray:
        """Coordinates of some units."""
        return units

    def on(self, index: np.ndarray, *, outputs: int, intercept: bool) -> "Part":
        """The penalty of some coordinates and an intercept last, for each output."""
        if outputs == 1 and not intercept:
            return ScalarPart(*(term.take(index, -1).ravel() for term in self.terms))
        parts = []
        for term, fill in zip(self.terms, (0.0, 0.0, -np.inf, np.inf), strict=True):
            full = np.full((outputs, index.size + int(intercept)), fill)
            full[:, : index.size] = term[..., index]
            parts.append(full.ravel())
        return ScalarPart(*parts)

    def dual(
        self,
        data: LinearData,
        datafit: Datafit,
        coef: np.ndarray,
        theta: np.ndarray,
        rho: np.ndarray,
    ) -> float:
        """Dual value of theta, scaled by 1/S."""
        if not self.simple:
            return separable_dual(data, datafit, self.terms, coef, theta, rho, data.y)
        top = float(np.max(np.abs(rho) / self.terms.l1)) / data.total
        scaled = theta if top <= 1 else theta / top
        return loss_dual(data, datafit, scaled, data.y) / data.total


@dataclasses.dataclass(frozen=True, eq=False)
class ScalarPart(Part):
    """A separable penalty of the coordinates of a model."""

    l1: np.ndarray
    l2: np.ndarray
    lower: np.ndarray
    upper: np.ndarray

    @functools.cached_property
    def sparse(self) -> bool:
        """Whether there is more than ridge terms."""
        bounds = (self.lower, self.upper)
        return bool(self.l1.any() or any(np.isfinite(b).any() for b in bounds))

    def value(self, x: np.ndarray) -> float:
        """Penalty of the coordinates."""
        used = np.where(x != 0, self.l1, 0.0)
        return float(used @ np.abs(x) + 0.5 * ((self.l2 * x) @ x))

    def minimise(
        self, G: np.ndarray, slope: np.ndarray, x: np.ndarray, unit: float, share: float
    ) -> np.ndarray:
        """Minimise the model plus the penalty."""
        diagonal = np.einsum("ii->i", G)
        diagonal += self.l2
        q = slope + self.l2 * x
        for damping in (RULES.damping, *MORE_DAMPING):
            diagonal *= 1.0 + damping
            if not self.sparse:
                step = _newton_step(G, q)
                if step is not None:
                    return x + step
            new, c = x.copy(), G @ x - q
            try:
                minimise_gram(
                    G,
                    new,
                    q.copy(),
                    c,
                    self.l1,
                    self.lower,
                    self.upper,
                    squares=float(x @ (c - q)) + 2.0 * unit,
                    target=unit * share,
                    max_epochs=RULES.max_epochs,
                )
            except np.linalg.LinAlgError:
                # Rounding made a singular model indefinite.
                continue
            # A model without a minimum gives no step.
            return new if np.abs(new).max() < RULES.unbounded else x
        return x


def _newton_step(H: np.ndarray, slope: np.ndarray) -> np.ndarray | None:
    """The minimiser of a quadratic by a Cholesky factor; None where it is singular."""
    from scipy.linalg import LinAlgError, cho_factor, cho_solve

    try:
        factor = cho_factor(H, lower=True, check_finite=False)
    except LinAlgError:
        return None
    step = -cho_solve(factor, slope, check_finite=False)
    return step if np.abs(step).max(initial=0.0) < RULES.unbounded else None


@dataclasses.dataclass(frozen=True, eq=False)
class GroupUnits(Units):
    """Group penalties."""

    terms: GroupTerms
    owner: np.ndarray

    @classmethod
    def of(cls, terms: GroupTerms) -> "GroupUnits":
        """Units of a canonical form."""
        return cls(terms, group_index(terms.indptr, terms.indices))

    def value(self, coef: np.ndarray) -> float:
        """Penalty of all coefficients."""
        return group_value(coef, self.terms)

    def nearest(self, coef: np.ndarray) -> np.ndarray:
        """The nearest allowed coefficients."""
        return self.terms.nearest(coef)

    def scores(self, slope: np.ndarray) -> np.ndarray:
        """How far each group is pushed, 1 being its threshold."""
        return group_ratios(slope, self.terms)

    @functools.cached_property
    def free(self) -> np.ndarray:
        """Which groups have no penalty at all."""
        sparse = np.bincount(self.owner, self.terms.l1) > 0
        return (self.terms.weights == 0) & ~sparse

    def used(self, coef: np.ndarray) -> np.ndarray:
        """Which groups hold coefficients that are not 0."""
        found = np.zeros(self.terms.weights.size, bool)
        found[self.owner[np.atleast_2d(coef).any(axis=0)]] = True
        return found

    def members(self, units: np.ndarray) -> np.ndarray:
        """Coordinates of some groups, group by group."""
        indptr, indices = self.terms.indptr, self.terms.indices
        parts = [indices[indptr[g] : indptr[g + 1]] for g in units]
        return np.concatenate(parts) if parts else np.empty(0, np.int64)

    def on(self, index: np.ndarray, *, outputs: int, intercept: bool) -> "Part":
        """The penalty of whole groups and an intercept last, for each output."""
        owner, m = self.owner[index], index.size
        first = np.flatnonzero(np.diff(owner, prepend=-1))
        flat = np.arange(outputs * (m + int(intercept))).reshape(outputs, -1)
        parts = [flat[:, lo:hi].ravel() for lo, hi in _pairs(first, m)]
        parts += list(flat[:, m:].reshape(-1, 1))
        free = len(parts) - first.size
        l1, lower = np.zeros(flat.shape), np.full(flat.shape, -np.inf)
        l1[:, :m], lower[:, :m] = self.terms.l1[index], self.terms.lower[index]
        order = np.concatenate(parts) if parts else np.empty(0, np.int64)
        return GroupPart(
            np.cumsum([0, *(part.size for part in parts)]),
            np.concatenate((self.terms.weights[owner[first]], np.zeros(free))),
            l1.ravel()[order],
            lower.ravel()[order],
            order,
        )

    def dual(
        self,
        data: LinearData,
        datafit: Datafit,
        coef: np.ndarray,
        theta: np.ndarray,
        rho: np.ndarray,
    ) -> float:
        """Dual value of theta, scaled by 1/S."""
        return group_dual(data, datafit, self.terms, theta, rho, data.y)


@dataclasses.dataclass(frozen=True, eq=False)
class GroupPart(Part):
    """A group penalty of the coordinates of a model.

    Group g holds the coordinates ``order[starts[g]:starts[g + 1]]``; ``l1`` and
    ``lower`` follow that order.
    """

    starts: np.ndarray
    lam: np.ndarray
    l1: np.ndarray
    lower: np.ndarray
    order: np.ndarray

    def value(self, x: np.ndarray) -> float:
        """Penalty of the coordinates."""
        x = x[self.order]
        norms = np.sqrt(np.add.reduceat(x * x, self.starts[:-1]))
        return float(self.lam @ norms + self.l1 @ np.abs(x))

    def minimise(
        self, G: np.ndarray, slope: np.ndarray, x: np.ndarray, unit: float, share: float
    ) -> np.ndarray:
        """Minimise the model plus the penalty."""
        order = self.order
        G, slope, x = G[np.ix_(order, order)], slope[order], x[order]
        G.flat[:: G.shape[0] + 1] *= 1.0 + RULES.damping
        new, q = x.copy(), slope.copy()
        c = G @ x - slope
        blocks = [G[lo:hi, lo:hi] for lo, hi in itertools.pairwise(self.starts)]
        stored = StoredGroups(
            starts=self.starts,
            lam=self.lam,
            l1=self.l1,
            lower=self.lower,
            curvature=np.repeat(largest_eigenvalues(blocks), np.diff(self.starts)),
            targets=float(x @ (c - slope)) + 2.0 * unit,
            target=unit * share,
        )
        stored.solve(G, new, q, c)
        back = np.empty_like(new)
        back[order] = new
        return back


def _pairs(starts: np.ndarray, end: int) -> list[tuple[int, int]]:
    """Bounds of consecutive parts up to an end."""
    return list(itertools.pairwise([*starts.tolist(), end]))
