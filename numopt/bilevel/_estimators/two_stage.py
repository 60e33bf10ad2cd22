# SPDX-License-Identifier: BSD-3-Clause
"""One common penalty first, then one per block, kept only where it holds up."""

import dataclasses
import numbers
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from numopt._estimator.sklearn_compat import Interval, StrOptions
from numopt._iterate.stopping import _stacklevel, warn_not_converged
from numopt.bilevel._problem.modifiers import ShrunkUpper, TiedLower, TiedUpper
from numopt.bilevel._problem.protocols import BilevelProblem
from numopt.bilevel._solvers.maid import METHODS, maid
from numopt.bilevel._solvers.result import BilevelResult
from numopt.bilevel._solvers.single import hypergradient

__all__ = [
    "CONSTRAINTS",
    "Learner",
    "Penalties",
    "check_interval",
    "learn",
    "total_weight",
    "warn_boundary",
    "warn_if_unconverged",
]

#: Shrinkages that "auto" tries, and the samples per block above which it takes none.
CANDIDATES, FEW = (1e-2, 1e-1, 1.0), 50
#: Held-out parts that choose the shrinkage.
OUTER_FOLDS = 3

CONSTRAINTS: dict[str, Any] = {
    "groups": [
        Interval(numbers.Integral, 1, None, closed="left"),
        list,
        "array-like",
        StrOptions({"features"}),
        None,
    ],
    "cv": ["cv_object", None],
    "shrinkage": [
        StrOptions({"auto"}),
        Interval(numbers.Real, 0, None, closed="both"),
    ],
    "bounds": [tuple, list],
    "fit_intercept": ["boolean"],
    "method": [StrOptions(set(METHODS))],
    "tol": [Interval(numbers.Real, 0, None, closed="left")],
    "max_iter": [Interval(numbers.Integral, 1, None, closed="left")],
    "random_state": ["random_state"],
    "verbose": ["verbose"],
}


@dataclasses.dataclass(frozen=True)
class Penalties:
    """Log-penalties per block and in common, their losses, and the last run."""

    theta: np.ndarray
    common: float
    loss: float
    loss_common: float
    shrinkage: float
    result: BilevelResult


@dataclasses.dataclass(frozen=True)
class Learner:
    """Options of both stages; ``range`` bounds the common log-penalty."""

    bounds: tuple[float, float]
    range: tuple[float, float]
    options: dict[str, Any]

    def common(self, problem: BilevelProblem, n_groups: int, start: float) -> Any:
        """Stage 1: one log-penalty for all blocks."""
        lower = TiedLower(problem.lower, n_groups)
        upper = TiedUpper(problem.upper, lower)
        tied = BilevelProblem(lower, upper, bounds=self.range)
        theta0 = [min(max(start, self.range[0]), self.range[1])]
        return maid(tied, theta0, **self.options)

    def blocks(
        self, problem: BilevelProblem, n_groups: int, first: Any, weight: float
    ) -> Any:
        """Stage 2: one log-penalty per block, from the common one."""
        common = float(first.theta[0])
        box = common + self.bounds[0], common + self.bounds[1]
        upper: Any = problem.upper
        if weight > 0:
            upper = ShrunkUpper(upper, weight * max(first.value, 1e-300))
        shrunk = BilevelProblem(problem.lower, upper, bounds=box)
        theta0 = np.full(n_groups, common)
        return maid(shrunk, theta0, x0=first.x, **self.options)


def learn(
    make: Callable[[np.ndarray | None], BilevelProblem],
    loss: Callable[[np.ndarray, np.ndarray, np.ndarray], float],
    n_samples: int,
    n_groups: int,
    start: float,
    learner: Learner,
    shrinkage: float | str,
    rng: np.random.RandomState,
) -> Penalties:
    """Learn log-penalties.

    ``make(rows)`` is the cross-validated problem on some rows (None for all),
    ``loss(theta, train, test)`` the loss on the rows ``test`` of a fit to ``train``.
    """
    problem = make(None)
    first = learner.common(problem, n_groups, start)
    common = float(first.theta[0])
    if n_groups == 1:
        return Penalties(first.theta, common, first.value, first.value, 0.0, first)
    if shrinkage == "auto":
        few = n_groups <= n_samples / FEW
        chosen = (
            0.0
            if few
            else _choose(make, loss, n_samples, n_groups, start, learner, rng)
        )
    else:
        chosen = float(shrinkage)
    if not np.isfinite(chosen):
        theta = np.full(n_groups, common)
        return Penalties(theta, common, first.value, first.value, chosen, first)
    second = learner.blocks(problem, n_groups, first, chosen)
    theta = second.theta
    plain = BilevelProblem(problem.lower, problem.upper)
    value = second.value if chosen == 0 else _value(plain, theta, second.x)
    return Penalties(theta, common, value, first.value, chosen, second)


def _value(problem: BilevelProblem, theta: np.ndarray, x: Any) -> float:
    return hypergradient(problem, theta, x0=x, tol=1e-3, accuracy="estimate").value


def _choose(
    make: Callable[[np.ndarray | None], BilevelProblem],
    loss: Callable[[np.ndarray, np.ndarray, np.ndarray], float],
    n_samples: int,
    n_groups: int,
    start: float,
    learner: Learner,
    rng: np.random.RandomState,
) -> float:
    """The best shrinkage on rows that no fold has seen; infinite: the common one."""
    part = rng.permutation(n_samples) % OUTER_FOLDS
    totals = np.zeros(len(CANDIDATES) + 1)
    for k in range(OUTER_FOLDS):
        train, test = np.flatnonzero(part != k), np.flatnonzero(part == k)
        problem = make(train)
        first = learner.common(problem, n_groups, start)
        tied = np.full(n_groups, float(first.theta[0]))
        totals[0] += loss(tied, train, test)
        for i, candidate in enumerate(CANDIDATES):
            second = learner.blocks(problem, n_groups, first, candidate)
            totals[i + 1] += loss(second.theta, train, test)
    best = int(np.argmin(totals))
    return np.inf if best == 0 else CANDIDATES[best - 1]


def check_interval(bounds: Any) -> tuple[float, float]:
    """Return the bounds relative to the common log-penalty."""
    from numopt import _validation as v

    values = tuple(bounds)
    if len(values) != 2:
        raise ValueError(v.message("bounds", "a pair (low, high)", bounds))
    low, high = (v.check_real("bounds", one) for one in values)
    if not low < high or not low <= 0 <= high:
        raise ValueError(v.message("bounds", "low <= 0 <= high, low < high", bounds))
    return low, high


def total_weight(weights: np.ndarray) -> float:
    """Sum of the weights of a fold's rows, which is to be positive."""
    total = float(weights.sum())
    if not total > 0:
        raise ValueError("a fold has no row with a positive sample weight")
    return total


def warn_boundary(
    found: Penalties, bounds: tuple[float, float], name: str
) -> np.ndarray:
    """Blocks whose penalty ended at a bound; they are worth a warning."""
    if found.theta.size == 1:
        return np.empty(0, np.int64)
    moved = found.theta - found.common
    at = np.flatnonzero((moved <= bounds[0] + 1e-9) | (moved >= bounds[1] - 1e-9))
    if at.size:
        shown = ", ".join(str(g) for g in at[:5]) + (", ..." if at.size > 5 else "")
        warnings.warn(
            f"{name}: the penalty of {at.size} of {found.theta.size} groups ended at a "
            f"bound (groups {shown}); widen `bounds`",
            UserWarning,
            stacklevel=_stacklevel(),
        )
    return at


def warn_if_unconverged(found: Penalties, name: str) -> None:
    """A ConvergenceWarning when the last stage did not converge."""
    if not found.result.converged:
        warn_not_converged(name, found.result.message)
