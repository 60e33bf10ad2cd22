# SPDX-License-Identifier: BSD-3-Clause
"""Step lengths."""

from collections.abc import Callable
from typing import NamedTuple

__all__ = ["StepLength", "backtrack"]


class StepLength(NamedTuple):
    """Accepted step length (0 when none was found), its value and the trials."""

    step: float
    value: float
    n_trials: int


def backtrack(
    value_at: Callable[[float], float],
    value: float,
    slope: float,
    *,
    step: float = 1.0,
    shrink: float = 0.5,
    sufficient: float = 1e-4,
    max_trials: int = 30,
) -> StepLength:
    """Armijo backtracking for minimisation along a descent direction.

    Accepts the first ``t = step * shrink^k`` with
    ``value_at(t) <= value + sufficient * t * slope`` (Armijo 1966), ``slope < 0``.
    """
    for trial in range(1, max_trials + 1):
        new = value_at(step)
        if new <= value + sufficient * step * slope:
            return StepLength(step, new, trial)
        step *= shrink
    return StepLength(0.0, value, max_trials)
