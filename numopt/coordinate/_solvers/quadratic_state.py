# SPDX-License-Identifier: BSD-3-Clause
"""Squares with separable penalties, and what a solver knows of them."""

import dataclasses
import functools
from typing import Any, Protocol

import numpy as np

from numopt.coordinate._problem.data import LinearData
from numopt.coordinate._problem.groups import ScalarTerms
from numopt.coordinate._problem.null import NullModel
from numopt.coordinate._solvers.columns import GramCache
from numopt.coordinate._solvers.screening import Screened

__all__ = [
    "QuadraticProblem",
    "QuadraticState",
    "SquaresProblem",
    "centred_targets",
]


class SquaresProblem(Protocol):
    """What all problems with squares have, whatever their penalty."""

    @property
    def data(self) -> LinearData:
        """Design, targets and weights."""

    @property
    def fit_intercept(self) -> bool:
        """Whether columns and targets are centred."""

    @property
    def target(self) -> np.ndarray:
        """The targets, centred with an intercept."""

    @property
    def limits(self) -> np.ndarray:
        """Limits of the products, coordinate by coordinate or group by group."""

    @property
    def simple(self) -> bool:
        """Whether products that stay below their limits may be left out on a path."""

    def start_screening(
        self, vector: np.ndarray, products: np.ndarray
    ) -> Screened | None:
        """Screening from products of all columns with a vector."""


def centred_targets(
    data: LinearData, fit_intercept: bool, start: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Targets without their mean, and products with them unless ``start`` holds those.

    Without an intercept the mean stays.
    """
    target = data.y
    if fit_intercept:
        target = target - float(data.weighted(target).sum()) / data.total
    return target, data.correlate(data.weighted(target)) if start is None else start


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class QuadraticProblem:
    """Squares with a separable penalty; ``terms`` in the scaling of F.

    ``target`` holds the centred targets, ``start`` the product of the design with
    them.
    """

    data: LinearData
    terms: ScalarTerms
    null: NullModel
    fit_intercept: bool
    target: np.ndarray
    start: np.ndarray
    tol: float
    simple: bool

    @functools.cached_property
    def limits(self) -> np.ndarray:
        """The L1 terms times the sum of weights: limits of the products."""
        return self.data.total * self.terms.l1

    @functools.cached_property
    def thresholded(self) -> bool:
        """Whether every coordinate has an L1 term."""
        return self.simple or bool(np.all(self.terms.l1 > 0))

    @functools.cached_property
    def squares(self) -> float:
        """The weighted squared norm of the targets."""
        return float(self.data.weighted(self.target) @ self.target)

    def start_screening(
        self, vector: np.ndarray, products: np.ndarray
    ) -> Screened | None:
        """Screening from products of all columns with a vector."""
        return Screened.start(self.data, vector, products)

    @classmethod
    def build(
        cls,
        data: LinearData,
        terms: ScalarTerms,
        null: NullModel,
        fit_intercept: bool,
        tol: float,
        start: np.ndarray | None = None,
    ) -> "QuadraticProblem":
        """Centre the targets and correlate them with the design."""
        target, start = centred_targets(data, fit_intercept, start)
        return cls(
            data=data,
            terms=terms,
            null=null,
            fit_intercept=fit_intercept,
            target=target,
            start=start,
            tol=tol,
            simple=terms.plain,
        )


@dataclasses.dataclass
class QuadraticState:
    """The cache, the residual ``target - X w`` and its correlation with the design."""

    cache: GramCache
    residual: np.ndarray
    correlation: np.ndarray
    primal: float = np.inf
    dual: float = -np.inf
    gap: float = np.inf
    epochs: int = 0
    stalled: int = 0
    #: How many coordinates outside the working set are beyond their limits.
    beyond: int = 0
    #: Those that are to enter it.
    entering: Any = None
    #: On a path: which products with the residual are left out.
    screened: Screened | None = None
