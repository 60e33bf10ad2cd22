# SPDX-License-Identifier: BSD-3-Clause
"""Objective, dual points and relative duality gaps of any vector.

The problem, unscaled: ``min sum_i s_i loss(y_i, z_i) + S g(w)``, ``z = X w + b``. For
``theta`` with ``X^T (s theta)`` in the domain of ``g*`` and orthogonal to all
unpenalised columns,

    D(theta) = -sum_i s_i loss*(y_i, -theta_i) - S g*(X^T (s theta) / S).
"""

import dataclasses

import numpy as np

from numopt._numerics.prox import soft_threshold
from numopt.coordinate._problem.data import LinearData
from numopt.coordinate._problem.datafits import Datafit, Quadratic
from numopt.coordinate._problem.group_penalties import group_norms
from numopt.coordinate._problem.groups import GroupTerms, ScalarTerms
from numopt.coordinate._problem.null import NullModel
from numopt.coordinate._problem.penalties import Penalty

__all__ = [
    "Certificate",
    "certify",
    "group_dual",
    "group_dual_norm",
    "group_ratios",
    "kkt_violation",
    "loss_dual",
    "primal_value",
    "scalar_value",
    "separable_dual",
]


#: Largest scale of a dual point that is tried.
LONGER = 1.5
#: Slope relative to that at 0 which is put down to rounding, by bytes an entry.
ROUNDING = {4: 1e-6, 8: 1e-10}


@dataclasses.dataclass(frozen=True)
class Certificate:
    """Objective and dual value in F's scaling, and what was computed on the way.

    ``gap`` is relative to ``F(0)``; ``correlation`` is ``X^T (s theta)`` of the
    unscaled dual candidate.
    """

    primal: float
    dual: float
    gap: float
    correlation: np.ndarray


def primal_value(
    data: LinearData, datafit: Datafit, penalty: Penalty, coef: np.ndarray, z
) -> float:
    """Return F, given ``z = X coef + b``."""
    losses = data.weighted(datafit.value(data.y, z))
    return float(losses.sum()) / data.total + penalty.value(coef)


def certify(
    data: LinearData,
    datafit: Datafit,
    penalty: Penalty,
    null: NullModel,
    coef: np.ndarray,
    intercept,
) -> Certificate:
    """Return the best gap that the residual at (coef, intercept) gives."""
    z = data.predict(coef, intercept)
    primal = primal_value(data, datafit, penalty, coef, z)
    theta = null.feasible(-datafit.gradient(data.y, z), datafit)
    rho = data.correlate(data.weighted(theta))
    terms = penalty.terms(data.shape[1])
    if terms is not None:
        dual = separable_dual(data, datafit, terms, coef, theta, rho, data.y)
    else:
        groups = penalty.group_terms(data.shape[1])
        dual = group_dual(data, datafit, groups, theta, rho, data.y)
    gap = (primal - dual) / null.scale if np.isfinite(dual) else np.nan
    return Certificate(primal, dual, gap, rho)


def scalar_value(terms: ScalarTerms, w: np.ndarray) -> float:
    """Return a separable penalty at coefficients within its bounds."""
    used = np.nonzero(w != 0)
    # Terms of one row serve all outputs.
    l1, l2 = (t[used[-t.ndim :]] for t in (terms.l1, terms.l2))
    return float(l1 @ np.abs(w[used]) + 0.5 * ((l2 * w[used]) @ w[used]))


def separable_dual(
    data: LinearData,
    datafit: Datafit,
    terms: ScalarTerms,
    coef: np.ndarray,
    theta: np.ndarray,
    rho: np.ndarray,
    y: np.ndarray,
) -> float:
    """Return the best dual value of ``theta``, scaled by 1/S; -inf without any."""
    return max(_separable_duals(data, datafit, terms, coef, theta, rho, y))


def group_dual(
    data: LinearData,
    datafit: Datafit,
    groups: GroupTerms | None,
    theta: np.ndarray,
    rho: np.ndarray,
    y: np.ndarray,
    top: float | None = None,
) -> float:
    """Return the dual value of ``theta`` for a group penalty, scaled by 1/S.

    ``top`` is the dual norm of ``rho / S`` or a bound of it, where that is known.
    """
    values = _group_duals(data, datafit, groups, theta, rho, y, top)
    return max(values, default=-np.inf)


def loss_dual(data: LinearData, datafit: Datafit, theta, y) -> float:
    """Return ``-sum_i s_i loss*(y_i, -theta_i)``."""
    losses = datafit.conjugate(y, -theta)
    if data.weights is not None:
        # A sample of weight 0 counts nothing, wherever its dual variable lies.
        losses = np.where(data.weights > 0, losses, 0.0)
    return -float(data.weighted(losses).sum())


def _scales(data: LinearData, datafit: Datafit, theta, ridge: float, limit: float, y):
    """Feasible scales of theta; squares have the best one in closed form.

    Of other losses it is 1, or with coefficients next to the limit.
    """
    squares = 0.0
    if isinstance(datafit, Quadratic):
        squares = float(data.weighted(theta * theta).sum()) + ridge
    if squares == 0:
        return (1.0, limit) if 1.0 < limit <= LONGER else (min(1.0, limit),)
    return (max(0.0, min(limit, float(data.weighted(theta * y).sum()) / squares)),)


def _separable_duals(data, datafit, terms: ScalarTerms, coef, theta, rho, y):
    """Dual values (scaled by 1/S) of the candidates, best last."""
    total = data.total
    slope = rho / total
    # theta = 0 is always feasible and best where the data are fitted exactly.
    yield loss_dual(data, datafit, np.zeros_like(theta), y) / total
    yield _plain_dual(data, datafit, terms, theta, slope, y)
    # Ridge terms as extra rows of squares, then shrink until feasible.
    l1, l2, lower, upper = terms
    bounds = np.concatenate((lower, upper))
    if np.any(np.isfinite(bounds) & (bounds != 0)):
        return
    if np.all(l2 > 0) and not np.any(l1):
        # Scaling could not help: every point is feasible.
        return
    shifted = slope - l2 * np.broadcast_to(coef, slope.shape)
    up = np.where(np.isinf(upper), np.maximum(shifted, 0.0), 0.0)
    down = np.where(np.isinf(lower), np.maximum(-shifted, 0.0), 0.0)
    excess = np.where(np.isinf(l1), 0.0, np.maximum(up, down))
    penalised = np.broadcast_to(l1 > 0, excess.shape)
    # Coordinates without an L1 term allow no slack: rounding is charged at |w|.
    slack = np.where(penalised, 0.0, excess)
    if slack.any() and slack.max() > _rounding(data, datafit, theta):
        return
    limit = 1.0 / max(_ratio(excess, l1, penalised), 1e-300)
    if slack.any():
        # A longer theta would have a longer slack.
        limit = min(limit, 1.0)
    ridge = total * float(np.sum(l2 * coef * coef))
    charge = float(np.sum(slack * np.abs(coef)))
    for t in _scales(data, datafit, theta, ridge, limit, y):
        loss = loss_dual(data, datafit, t * theta, y)
        yield (loss - 0.5 * t * t * ridge) / total - charge


def _rounding(data: LinearData, datafit: Datafit, theta: np.ndarray) -> float:
    """Slopes that are put down to rounding: a share of the largest of the loss at 0."""
    start = datafit.gradient(data.y, np.zeros_like(theta))
    slope = float(np.max(np.abs(data.correlate(data.weighted(start))))) / data.total
    return slope * ROUNDING[data.X.dtype.itemsize]


def _ratio(excess, l1, penalised) -> float:
    """Largest slope relative to its L1 term."""
    safe = np.where(penalised, np.where(l1 > 0, l1, 1.0), 1.0)
    return float(np.max(np.where(penalised, excess / safe, 0.0), initial=0.0))


def _plain_dual(data, datafit, terms: ScalarTerms, theta, slope, y) -> float:
    """Dual value without scaling: ``g*`` is finite with ridge terms or bounds."""
    conjugate = conjugate_terms(terms, slope)
    if not np.isfinite(conjugate):
        return -np.inf
    return loss_dual(data, datafit, theta, y) / data.total - conjugate


def conjugate_terms(terms: ScalarTerms, slope: np.ndarray) -> float:
    """Return ``sum_j sup_w slope_j w - g_j(w)``."""
    l1, l2, lower, upper = (np.broadcast_to(t, slope.shape) for t in terms)
    used = ~np.isinf(l1)
    slope, l1, l2 = slope[used], l1[used], l2[used]
    lower, upper = lower[used], upper[used]
    pull = soft_threshold(slope, l1)
    with np.errstate(divide="ignore", invalid="ignore"):
        free = np.where(pull == 0, 0.0, pull / l2)
    best = np.clip(free, lower, upper)
    if not np.all(np.isfinite(best)):
        return np.inf
    return float(np.sum(slope * best - l1 * np.abs(best) - 0.5 * l2 * best * best))


def _group_duals(data, datafit, groups: GroupTerms | None, theta, rho, y, top=None):
    """The dual value (scaled by 1/S) where a dual point is known."""
    if groups is None:
        return
    slope = rho / data.total
    if top is None:
        top = group_dual_norm(slope, groups)
    free = groups.weights == 0
    if free.any() and not np.any(groups.l1 > 0):
        norms = group_norms(pushed(slope, groups), groups)
        worst = float(norms[free].max())
        if worst > 0 and worst > _rounding(data, datafit, theta):
            return
    limit = 1.0 / max(top, 1e-300)
    if free.any():
        # A longer theta would be further from orthogonal to the free columns.
        limit = min(limit, 1.0)
    for t in _scales(data, datafit, theta, 0.0, limit, y):
        yield loss_dual(data, datafit, t * theta, y) / data.total


def group_dual_norm(slope: np.ndarray, groups: GroupTerms) -> float:
    """Return the smallest t with ``slope / t`` in the dual ball of the penalty."""
    return float(np.max(group_ratios(slope, groups), initial=0.0))


def group_ratios(slope: np.ndarray, groups: GroupTerms) -> np.ndarray:
    """Return the dual norm of every group; 0 for those without any penalty."""
    slope = pushed(slope, groups)
    if np.any(groups.l1 > 0):
        return sparse_group_norms(slope, groups)
    norms = group_norms(slope, groups)
    positive = groups.weights > 0
    return np.where(positive, norms / np.where(positive, groups.weights, 1.0), 0.0)


def pushed(slope: np.ndarray, groups: GroupTerms) -> np.ndarray:
    """Return the slopes without those that push against a bound."""
    return np.where((groups.lower < 0) | (slope > 0), slope, 0.0)


def sparse_group_norms(slope: np.ndarray, groups: GroupTerms) -> np.ndarray:
    """Return per group the root t of ``||soft(slope_g, t l1)|| = t weight_g``.

    Bisection on all groups at once, then exact by the sorted closed form would cost
    the same; 60 halvings reach rounding.
    """
    rows = np.atleast_2d(slope)
    owner = np.repeat(np.arange(groups.weights.size), np.diff(groups.indptr))
    owner, l1 = (np.tile(v, rows.shape[0]) for v in (owner, groups.l1[groups.indices]))
    x = np.abs(rows[:, groups.indices]).ravel()
    norms = np.sqrt(np.bincount(owner, x * x, groups.weights.size))
    with np.errstate(divide="ignore", invalid="ignore"):
        tops = np.where(x > 0, x / l1, 0.0)
    by_l1 = np.zeros(groups.weights.size)
    np.maximum.at(by_l1, owner, tops)
    with np.errstate(divide="ignore", invalid="ignore"):
        by_group = np.where(norms > 0, norms / groups.weights, 0.0)
    high = np.where(np.isinf(groups.weights), 0.0, np.minimum(by_l1, by_group))
    low = np.zeros_like(high)
    for _ in range(60):
        middle = 0.5 * (low + high)
        left = np.maximum(x - middle[owner] * l1, 0.0)
        over = np.bincount(owner, left * left, groups.weights.size)
        above = np.sqrt(over) > middle * groups.weights
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return high


def kkt_violation(
    data: LinearData, datafit: Datafit, penalty: Penalty, coef, intercept
) -> float:
    """Return the largest violation of stationarity, relative to the gradient at 0."""
    z = data.predict(coef, intercept)
    grad = data.correlate(data.weighted(datafit.gradient(data.y, z))) / data.total
    worst = float(np.max(penalty.subdiff_distance(coef, grad), initial=0.0))
    start = data.correlate(data.weighted(datafit.gradient(data.y, 0 * z))) / data.total
    return worst / max(float(np.max(np.abs(start), initial=0.0)), 1e-300)
