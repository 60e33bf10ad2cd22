# SPDX-License-Identifier: BSD-3-Clause
"""Certificates for anybody's coefficients: duality gap and the largest penalty."""

from typing import Any

import numpy as np

from numopt import _validation as v
from numopt._array.namespace import to_numpy
from numopt.coordinate._problem.data import LinearData
from numopt.coordinate._problem.datafits import Datafit
from numopt.coordinate._problem.duality import certify, group_dual_norm
from numopt.coordinate._problem.groups import ScalarTerms
from numopt.coordinate._problem.null import NullModel
from numopt.coordinate._problem.penalties import FoldedPenalty, Penalty

__all__ = ["alpha_max", "dual_gap", "free_columns"]


def dual_gap(
    X: Any,
    y: Any,
    coef: Any,
    datafit: Datafit,
    penalty: Penalty,
    *,
    intercept: Any = 0.0,
    sample_weight: Any = None,
) -> float:
    r"""Return the relative duality gap of any coefficients.

    .. math:: \frac{F(w, b) - D(\theta)}{F(0)} \ge \frac{F(w, b) - F^*}{F(0)},

    where :math:`\theta` is the residual made feasible. An intercept other than 0 means
    that the model has one. Losses count from their least value, which is 0 for all but
    ``Poisson``; where data need no coefficients, so that F(0) is 0, the loss without an
    intercept takes its place.

    Parameters
    ----------
    X : array_like or sparse matrix of shape (n, p)
        Design.
    y : array_like of shape (n,)
        Targets; for ``Logistic`` -1, 1 or 0, 1, for ``Multinomial`` 0..K-1.
    coef : array_like of shape (p,) or (K, p)
        Coefficients of any solver.
    datafit : Datafit
        Loss.
    penalty : Penalty
        Convex penalty, in the scaling of scikit-learn's ``Lasso``.
    intercept : float or array_like of shape (K,), default=0.0
        Intercept.
    sample_weight : array_like of shape (n,), default=None
        Non-negative weights, None for ones.

    Returns
    -------
    float
        The relative gap; NaN where no dual is known (non-convex penalties).

    Raises
    ------
    ValueError
        When shapes do not fit or values are not finite.

    Notes
    -----
    Two passes over X. A gap of ``tol`` proves that the objective is within
    ``tol * F(0)`` of the optimum. Coefficients without a penalty want slopes of 0:
    below 1e-10 of the largest at 0 (1e-6 in float32) they are taken for rounding.

    References
    ----------
    Fercoq, Gramfort & Salmon (2015), "Mind the duality gap", eq. (8); Ndiaye et al.
    (2017), "Gap safe screening rules for sparsity enforcing penalties".

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.coordinate import L1, Quadratic, dual_gap
    >>> X, y = np.eye(2), np.array([3.0, 1.0])
    >>> round(dual_gap(X, y, [1.0, 0.0], Quadratic(), L1(1.0)), 12)
    0.0
    """
    data = LinearData.from_arrays(X, y, datafit, sample_weight)
    coef = _check_coef(coef, data, datafit)
    units = data.units
    datafit, penalty = units.datafit(datafit), units.penalty(penalty)
    b = np.asarray(to_numpy(v.float_arrays(intercept=intercept)[1][0]), np.float64)
    b = b / units.target
    v.check_values("intercept", b)
    if b.ndim:
        v.check_shape("intercept", b, coef.shape[:-1], why="one an output")
    with_intercept = bool(np.any(b != 0))
    columns = free_columns(penalty, data.shape[1])
    null = NullModel.fit(data, datafit, with_intercept, columns)
    if not (datafit.has_dual and penalty.convex):
        return float("nan")
    return float(certify(data, datafit, penalty, null, coef, b).gap)


def alpha_max(
    X: Any,
    y: Any,
    datafit: Datafit,
    penalty: Penalty,
    *,
    sample_weight: Any = None,
    fit_intercept: bool = False,
) -> float:
    """Return the smallest strength at which all penalised coefficients are 0.

    Parameters
    ----------
    X : array_like or sparse matrix of shape (n, p)
        Design.
    y : array_like of shape (n,)
        Targets.
    datafit : Datafit
        Loss.
    penalty : Penalty
        Penalty with a positive ``alpha`` and an L1 or group part; its strength is
        ignored, its weights and ratio count.
    sample_weight : array_like of shape (n,), default=None
        Non-negative weights, None for ones.
    fit_intercept : bool, default=False
        Whether the model has an intercept.

    Returns
    -------
    float
        The critical strength.

    Raises
    ------
    ValueError
        When the penalty has no sparsity-inducing part.

    Notes
    -----
    One pass over X at the optimum of the unpenalised coefficients.

    References
    ----------
    Ndiaye et al. (2017), "Gap safe screening rules for sparsity enforcing penalties".

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.coordinate import L1, Quadratic, alpha_max
    >>> alpha_max(np.eye(2), [3.0, 1.0], Quadratic(), L1())
    1.5
    """
    data = LinearData.from_arrays(X, y, datafit, sample_weight)
    datafit, penalty = data.units.datafit(datafit), data.units.penalty(penalty)
    fit_intercept = v.check_flag("fit_intercept", fit_intercept)
    columns = free_columns(penalty, data.shape[1])
    null = NullModel.fit(data, datafit, fit_intercept, columns)
    theta = null.feasible(null.theta, datafit)
    slope = data.correlate(data.weighted(theta)) / data.total
    return critical_alpha(penalty, slope)


def critical_alpha(penalty: Penalty, slope: np.ndarray) -> float:
    """Return alpha_max from ``X^T (s theta) / S`` at the null model."""
    alpha = float(getattr(penalty, "alpha", 0.0))
    p = slope.shape[-1]
    terms = penalty.terms(p)
    groups = None if terms is not None else penalty.group_terms(p)
    if alpha > 0 and groups is not None:
        return alpha * group_dual_norm(slope, groups)
    if alpha > 0 and not penalty.convex:
        steep = alpha
        if isinstance(penalty, FoldedPenalty):
            steep = float(penalty.slope(np.zeros(1))[0])
        return alpha * float(np.abs(slope).max()) / steep
    if alpha == 0 or terms is None or not np.any(terms.l1 > 0):
        raise ValueError(
            v.message(
                "penalty", "of positive alpha with an L1 or group part", repr(penalty)
            )
        )
    used = (terms.l1 > 0) & np.isfinite(terms.l1)
    push = np.where(terms.lower < 0, np.abs(slope), np.maximum(slope, 0.0))
    ratios = (push / np.where(used, terms.l1, 1.0))[..., used]
    return alpha * float(np.max(ratios, initial=0.0))


def free_columns(
    penalty: Penalty, p: int, terms: ScalarTerms | None = None
) -> np.ndarray:
    """Return the indices of coordinates without any penalty or bound.

    ``terms`` are those of the penalty, where they are at hand.
    """
    terms = penalty.terms(p) if terms is None else terms
    if terms is None:
        groups = penalty.group_terms(p)
        if groups is None:
            return np.empty(0, dtype=np.int64)
        free = np.repeat(groups.weights == 0, np.diff(groups.indptr))
        indices = groups.indices[free]
        return indices[(groups.l1[indices] == 0) & (groups.lower[indices] < 0)]
    found = (terms.l1 == 0) & (terms.l2 == 0)
    if not found.any():
        return np.flatnonzero(found)
    found &= np.isinf(terms.lower) & np.isinf(terms.upper)
    # Without any penalised coordinate there is nothing to separate.
    return np.flatnonzero(found) if not found.all() else np.empty(0, dtype=np.int64)


def _check_coef(coef: Any, data: LinearData, datafit: Datafit) -> np.ndarray:
    """Validate coefficients of anybody; in the units of the data."""
    coef = np.asarray(to_numpy(v.float_arrays(coef=coef)[1][0]), dtype=np.float64)
    p = data.shape[1]
    shape = (int(data.y.max()) + 1, p) if datafit.multi_output else (p,)
    v.check_shape("coef", coef, shape)
    with np.errstate(over="ignore"):
        coef = coef / data.units.coef
    v.check_values("coef", coef)
    return coef
