# SPDX-License-Identifier: BSD-3-Clause
"""The model without penalised coefficients: intercept and unpenalised columns only."""

import bisect
import dataclasses
from typing import Any, Self

import numpy as np

from numopt.coordinate._problem.data import LinearData
from numopt.coordinate._problem.datafits import Datafit, Multinomial, Quadratic

__all__ = ["NullModel"]

#: Newton steps for the free coefficients; quadratic convergence needs about six.
MAX_STEPS = 100
#: Below this step length parabolas above the loss replace its curvature.
SHORT_STEP = 0.2
#: Relative rounding errors of predictions, with some reserve.
ROUNDING = 1e-13
#: Shares of the null model's point that bring a dual point into the domain.
BLENDS = (0.0, *(1e-16 * 4.0**k for k in range(27)))


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class NullModel:
    """Optimum over the free columns, which gives alpha_max and an interior dual point.

    ``free`` (n, u) holds the unpenalised ``columns``, scaled to a largest entry of 1,
    and the ones of an intercept last; ``coef`` those of the columns as they are;
    ``theta`` is minus the loss gradient there, orthogonal to them; ``scale`` is F(0)
    with its optimal intercept, above the least loss: the unit of all gaps.
    """

    columns: np.ndarray
    free: np.ndarray
    coef: np.ndarray
    theta: np.ndarray
    intercept: Any
    scale: float
    data: LinearData

    @classmethod
    def fit(
        cls,
        data: LinearData,
        datafit: Datafit,
        fit_intercept: bool,
        columns: np.ndarray | None = None,
    ) -> Self:
        """Fit the intercept alone (for the scale), then with the free columns."""
        n = data.shape[0]
        ones = np.ones((n, 1)) if fit_intercept else np.empty((n, 0))
        start, z = _intercept_alone(data, datafit, ones)
        scale = _unit(data, datafit, z)
        free = ones
        coef = start
        if columns is None:
            columns = np.empty(0, dtype=np.int64)
        if columns.size:
            found = data.dense_columns(columns)
            size = np.abs(found).max(axis=0)
            size[size == 0] = 1.0
            free = np.hstack([found / size, ones])
            coef, z = _newton(data, datafit, free)
            coef[: columns.size] = (coef[: columns.size].T / size).T
        theta = -datafit.gradient(data.y, z)
        intercept: Any = 0.0
        if datafit.multi_output:
            intercept = coef[-1] if fit_intercept else np.zeros(z.shape[1])
        elif fit_intercept:
            intercept = float(coef[-1])
        return cls(
            columns=columns,
            free=free,
            coef=coef,
            theta=theta,
            intercept=intercept,
            scale=scale,
            data=data,
        )

    def start(self) -> np.ndarray:
        """Return the coefficients of the optimum, of shape (p,) or (K, p)."""
        coef = np.zeros((*self.theta.shape[1:], self.data.shape[1]))
        coef[..., self.columns] = self.coef[: self.columns.size].T
        return coef

    def feasible(self, theta: np.ndarray, datafit: Datafit) -> np.ndarray:
        """Make ``theta`` orthogonal to the free columns, within the loss's domain."""
        if self.free.shape[1] == 0:
            return theta
        s = self.data.weights
        weighted = self.free if s is None else self.free * s[:, None]
        gram = weighted.T @ self.free

        def orthogonal(vector: np.ndarray) -> np.ndarray:
            along = np.linalg.lstsq(gram, weighted.T @ vector, rcond=1e-13)[0]
            return np.asarray(vector - self.free @ along)

        moved = orthogonal(theta)
        if isinstance(datafit, Quadratic):
            # What a second projection takes away was rounding, and the rest is too: a
            # dual point may be much longer than the vector.
            again = orthogonal(moved)
            squares = [float(self.data.weighted(v * v).sum()) for v in (moved, again)]
            return again if squares[1] > 0.25 * squares[0] else np.zeros_like(again)

        def blended(k: int) -> np.ndarray:
            # Half the null model's point is interior.
            return (1.0 - BLENDS[k]) * moved + BLENDS[k] * 0.5 * self.theta

        def is_inside(k: int) -> bool:
            inside = np.isfinite(datafit.conjugate(self.data.y, -blended(k)))
            return bool((inside if s is None else inside | (s == 0)).all())

        # The domain is convex: from the first blend inside it all are.
        first = 0
        if not is_inside(0):
            first = bisect.bisect_left(range(len(BLENDS)), True, key=is_inside)
        return blended(first) if first < len(BLENDS) else self.theta


def _intercept_alone(data: LinearData, datafit: Datafit, ones: np.ndarray):
    """Minimise over the intercept, by its formula where there is one."""
    if ones.shape[1]:
        weights = np.ones(data.y.size) if data.weights is None else data.weights
        with np.errstate(divide="ignore"):
            best = datafit.best_constant(data.y, weights)
        if best is not None and np.all(np.isfinite(best)):
            coef = np.array([best], dtype=np.float64)
            return coef, ones @ coef
    return _newton(data, datafit, ones)


def _unit(data: LinearData, datafit: Datafit, z: np.ndarray) -> float:
    """The mean loss of the null model above the least loss.

    Where that is rounding, the data are fitted without coefficients: the loss at
    z = 0 takes its place, and 1 where that is zero as well.
    """
    fitted, start = (
        float(data.weighted(datafit.excess(data.y, at)).sum()) / data.total
        for at in (z, np.zeros_like(z))
    )
    if fitted > ROUNDING**2 * start:
        return fitted
    return start if start > 0 else 1.0


def _newton(data: LinearData, datafit: Datafit, free: np.ndarray):
    """Minimise over free columns; returns (coefficients, predictions)."""
    n, u = free.shape
    outputs = int(data.y.max()) + 1 if isinstance(datafit, Multinomial) else 1
    shape = (n, outputs) if datafit.multi_output else (n,)
    coef = np.zeros((u, *shape[1:]))
    z = np.zeros(shape)
    if u == 0:
        return coef, z
    value = data.weighted(datafit.value(data.y, z)).sum()
    for _ in range(MAX_STEPS):
        grad = free.T @ data.weighted(datafit.gradient(data.y, z))
        for bound in _curvatures(datafit):
            step = _newton_step(data, datafit, bound, free, z, grad)
            t = 1.0
            while t > 1e-10:
                trial = coef - t * step
                z_trial = free @ trial
                value_trial = data.weighted(datafit.value(data.y, z_trial)).sum()
                if value_trial <= value:
                    break
                t *= 0.5
            if t >= SHORT_STEP and step.any():
                break
        if t <= 1e-10:
            # Only rounding hides every decrease along a Newton direction.
            break
        settled = np.abs(t * step).max() <= 1e-15 * (1.0 + np.abs(coef).max())
        coef, z, value = trial, z_trial, value_trial
        if settled:
            break
    return coef, z


def _curvatures(datafit: Datafit) -> tuple[Any, ...]:
    """The curvature of a loss, then that of parabolas above it, where it has these."""
    if datafit.multi_output or datafit.lipschitz is None:
        return (datafit.hessian_diag,)
    return datafit.hessian_diag, datafit.majorant_diag


def _newton_step(data, datafit, bound, free, z, grad) -> np.ndarray:
    """Newton direction of the free coefficients, of least norm where singular."""
    if not datafit.multi_output:
        curvature = data.weighted(bound(data.y, z))
        hessian = (free * curvature[:, None]).T @ free
        hessian.flat[:: hessian.shape[0] + 1] *= 1.0 + 1e-12
        return np.linalg.lstsq(hessian, grad, rcond=1e-13)[0]
    u, outputs = grad.shape
    share = datafit.probabilities(z)
    hessian = np.zeros((u, outputs, u, outputs))
    for k in range(outputs):
        for m in range(outputs):
            d = data.weighted(share[:, k] * ((k == m) - share[:, m]))
            hessian[:, k, :, m] = (free * d[:, None]).T @ free
    flat = hessian.reshape(u * outputs, u * outputs)
    return np.linalg.lstsq(flat, grad.ravel(), rcond=1e-12)[0].reshape(grad.shape)
