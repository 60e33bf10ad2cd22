# SPDX-License-Identifier: BSD-3-Clause
"""What the Newton solver works on: a loss with a penalty, and where it stands."""

import dataclasses
import functools
from typing import Any

import numpy as np

from numopt.coordinate._problem.data import LinearData
from numopt.coordinate._problem.datafits import Datafit
from numopt.coordinate._problem.groups import GroupTerms, ScalarTerms
from numopt.coordinate._problem.null import NullModel
from numopt.coordinate._problem.penalties import Penalty
from numopt.coordinate._solvers.newton_model import CurvedGram
from numopt.coordinate._solvers.newton_penalty import GroupUnits, ScalarUnits, Units
from numopt.coordinate._solvers.screening import Screened

__all__ = ["ModelProblem", "ModelState", "expand"]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ModelProblem:
    """A loss with a separable (``terms``) or a group penalty, in the scaling of F."""

    data: LinearData
    datafit: Datafit
    penalty: Penalty
    terms: ScalarTerms | None
    null: NullModel
    fit_intercept: bool
    tol: float

    @functools.cached_property
    def units(self) -> Units:
        """The penalty over its units."""
        if self.terms is not None:
            return ScalarUnits(self.terms)
        groups = self.penalty.group_terms(self.data.shape[1])
        assert isinstance(groups, GroupTerms)
        return GroupUnits.of(groups)

    @functools.cached_property
    def shares(self) -> np.ndarray:
        """Weights of the samples relative to their sum."""
        if self.data.weights is None:
            return np.full(self.data.shape[0], 1.0 / self.data.total)
        return self.data.weights / self.data.total

    @functools.cached_property
    def steepest(self) -> float:
        """Largest slope of the null model: the unit of violations without a dual."""
        rho = self.data.correlate(self.data.weighted(self.null.theta))
        return max(float(np.abs(rho).max()) / self.data.total, 1e-300)


@dataclasses.dataclass
class ModelState:
    """Coefficients, intercept, predictions and the gathered working set."""

    coef: np.ndarray
    intercept: Any
    z: np.ndarray
    index: np.ndarray
    columns: Any
    correlation: np.ndarray
    gram: CurvedGram
    #: Mean loss at z; derivatives of every sample in its prediction.
    losses: float = np.inf
    gradient: np.ndarray = dataclasses.field(default_factory=lambda: np.empty(0))
    curvature: np.ndarray = dataclasses.field(default_factory=lambda: np.empty(0))
    primal: float = np.inf
    dual: float = -np.inf
    gap: float = np.inf
    stalled: int = 0
    #: Share of an upper bound in the curvature of models.
    bound: float = 0.0
    #: Whether Gram matrices may be in single precision while the gap is large.
    rough: bool = True
    #: Share of its threshold from which a unit enters; below 1 by the strong rule.
    entry: float = 1.0
    #: On a path: which products with the dual candidate are left out.
    screened: Screened | None = None

    def predict(self) -> np.ndarray:
        """Predictions from scratch, which removes drift."""
        z = np.zeros(self.z.shape) + self.intercept
        if self.index.size:
            z += self.columns @ self.coef[..., self.index].T
        return z


def expand(
    problem: ModelProblem, z: np.ndarray
) -> tuple[float, np.ndarray, np.ndarray]:
    """Mean loss at predictions, and the derivatives of every sample."""
    data = problem.data
    value, gradient, curvature = problem.datafit.expand(data.y, z)
    return float(data.weighted(value).sum()) / data.total, gradient, curvature
