# SPDX-License-Identifier: BSD-3-Clause
"""Transport that keeps mass of different classes apart."""

from typing import cast

import numpy as np

from numopt.ot._solvers.result import SinkhornResult
from numopt.ot._solvers.sinkhorn import sinkhorn

__all__ = ["class_penalty", "class_regularised"]

#: Smallest share of a class that its square root is differentiated at.
LEAST_SHARE = 1e-3
#: Tangents at most, and the L1 change of the plan at which they stop.
TANGENTS, SETTLED = 10, 1e-3


def class_penalty(plan: np.ndarray, labels: np.ndarray) -> float:
    """Return ``sum_j b_j sum_c sqrt(s_cj)``, s_cj the share of class c in column j."""
    b = plan.sum(axis=0)
    return float(np.sum(b * np.sqrt(_shares(plan, labels) + LEAST_SHARE)))


def class_regularised(
    result: SinkhornResult, labels: np.ndarray, weight: float, tol: float, max_iter: int
) -> SinkhornResult:
    """Solve with the class penalty by tangents, from a solution without it.

    ``labels`` are the classes 0, 1, .. of the rows; both marginals must be positive.
    """
    p = result.problem
    for _ in range(TANGENTS):
        before = result.plan
        shares = _shares(before, labels)
        tangent = 0.5 * weight / np.sqrt(shares + LEAST_SHARE)
        solved = sinkhorn(
            p.a,
            p.b,
            p.M + tangent[labels],
            p.reg,
            tol=tol,
            max_iter=max_iter,
            warmstart=(result.f, result.g),
        )
        result = cast(SinkhornResult, solved)
        if np.abs(result.plan - before).sum() <= SETTLED * p.mass:
            break
    return result


def _shares(plan: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Shares of the classes (n_classes, m) in the columns of a plan."""
    members = np.eye(labels.max() + 1)[labels]
    return members.T @ plan / plan.sum(axis=0)
