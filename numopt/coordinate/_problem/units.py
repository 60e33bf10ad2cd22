# SPDX-License-Identifier: BSD-3-Clause
"""Units of data whose products would leave the range of floating point.

Entries of such a design, and its targets, are divided by powers of two, which is exact:
with ``X = d X'`` and ``y = t y'`` coefficients are ``w = (t / d) w'`` and, for losses
in units of the targets, objectives ``F = t^2 F'``.
"""

import dataclasses
from typing import Any

import numpy as np

from numopt import _validation as v
from numopt.coordinate._problem.datafits import Datafit
from numopt.coordinate._problem.group_penalties import group_value
from numopt.coordinate._problem.groups import GroupTerms, ScalarTerms
from numopt.coordinate._problem.penalties import (
    FoldedPenalty,
    Index,
    Penalty,
    separable_value,
)
from numopt.exceptions import ArgumentTypeError

__all__ = ["Units", "check_size", "unit_of"]

#: Sizes between this and its inverse, by bytes an entry, need no other unit: products
#: of eight of them, or four in single precision, hold.
ORDINARY = {4: 1e12, 8: 1e30}
#: Fourth powers of sizes between this and its inverse hold at least once.
LARGEST = float(np.finfo(np.float64).max) ** 0.4


@dataclasses.dataclass(frozen=True)
class Units:
    """Powers of two by which a design and its targets were divided."""

    design: float = 1.0
    target: float = 1.0

    @property
    def plain(self) -> bool:
        """Whether the data are as they were given."""
        return self.design == self.target == 1.0

    @property
    def coef(self) -> float:
        """Unit of coefficients."""
        return self.target / self.design

    @property
    def slope(self) -> float:
        """Unit of slopes, and of the strengths of norms."""
        return self.target * self.design

    @property
    def objective(self) -> float:
        """Unit of objectives."""
        return self.target**2

    def penalty(self, penalty: Penalty) -> Penalty:
        """Return a penalty of given coefficients as one of those in these units."""
        if not isinstance(penalty, Penalty):
            expected = "a penalty, such as L1(0.1)"
            raise ArgumentTypeError(v.message("penalty", expected, repr(penalty)))
        if self.plain:
            return penalty
        folded = isinstance(penalty, FoldedPenalty)
        return (ScaledFolded if folded else ScaledPenalty)(penalty, self)

    def datafit(self, datafit: Datafit) -> Datafit:
        """Return a loss of given targets as one of those in these units."""
        return datafit if self.target == 1.0 else datafit.scaled(self.target)


@dataclasses.dataclass(frozen=True, eq=False)
class ScaledPenalty(Penalty):
    """``penalty(c w) / t^2`` with the units c of coefficients and t of targets."""

    penalty: Penalty
    units: Units

    def __post_init__(self) -> None:
        object.__setattr__(self, "convex", self.penalty.convex)

    @property
    def alpha(self) -> float:
        """Strength of the penalty as it was given."""
        return float(getattr(self.penalty, "alpha", 0.0))

    @property
    def l1_ratio(self) -> float:
        """Share of its L1 norm, 1 where it has no such parameter."""
        return float(getattr(self.penalty, "l1_ratio", 1.0))

    def value(self, w: np.ndarray) -> float:
        """Return the penalty of ``w``."""
        terms, groups = self.terms(w.shape[-1]), self.group_terms(w.shape[-1])
        if terms is not None:
            return separable_value(w, terms)
        if groups is not None:
            return group_value(w, groups) if np.all(w >= groups.lower) else np.inf
        return self.penalty.value(self.units.coef * w) / self.units.objective

    def prox(self, w: np.ndarray, step: Any, index: Index = None) -> np.ndarray:
        """Return ``argmin_x ||x - w||^2 / 2 + step * penalty(x)``."""
        c = self.units.coef
        return self.penalty.prox(c * w, step / self.units.design**2, index) / c

    def subdiff_distance(
        self, w: np.ndarray, grad: np.ndarray, index: Index = None
    ) -> np.ndarray:
        """Return the distance of ``-grad`` to the subdifferential."""
        c, unit = self.units.coef, self.units.slope
        return self.penalty.subdiff_distance(c * w, unit * grad, index) / unit

    def terms(self, p: int) -> ScalarTerms | None:
        """Return the canonical form of a separable convex penalty, or None."""
        terms = self.penalty.terms(p)
        if terms is None:
            return None
        # A strength beyond all numbers excludes its coordinate.
        with np.errstate(over="ignore"):
            l1, l2 = terms.l1 / self.units.slope, terms.l2 / self.units.design**2
            lower, upper = (b / self.units.coef for b in (terms.lower, terms.upper))
        return ScalarTerms(l1, l2, lower, upper)

    def group_terms(self, p: int) -> GroupTerms | None:
        """Return the canonical form of a group penalty, or None."""
        groups = self.penalty.group_terms(p)
        with np.errstate(over="ignore"):
            return None if groups is None else groups.times(1.0 / self.units.slope)


class ScaledFolded(ScaledPenalty, FoldedPenalty):
    """The same of a penalty that is concave in ``|w|``."""

    def slope(self, size: np.ndarray) -> np.ndarray:
        """Return the derivative in ``|w|``."""
        assert isinstance(self.penalty, FoldedPenalty)
        return self.penalty.slope(self.units.coef * size) / self.units.slope


def check_size(name: str, size: float) -> None:
    """Refuse data whose largest entry is too small to be multiplied with itself."""
    if 0 < size < 1.0 / LARGEST:
        expected = f"of entries between {1.0 / LARGEST:.2g} and {LARGEST:.2g} in size"
        raise ValueError(
            v.message(name, expected, f"{size:.2g} as the largest")
            + "; rescale the data"
        )


def unit_of(size: float, itemsize: int = 8) -> float:
    """Return the power of two next below a size, 1 where the size is ordinary."""
    limit = ORDINARY[itemsize]
    if size == 0 or 1.0 / limit <= size <= limit:
        return 1.0
    return float(np.ldexp(0.5, int(np.frexp(size)[1])))
