# SPDX-License-Identifier: BSD-3-Clause
"""Number of factors by the error on entries kept back."""

import dataclasses
from collections.abc import Callable

import numpy as np

from numopt._array.namespace import to_numpy
from numopt._array.random import as_generator
from numopt.completion._problem import Observations
from numopt.completion._solvers.fit import HELD, fit, start_from
from numopt.completion._solvers.heldout import (
    Holdout,
    RMSEResult,
    heldout_rmse,
    split_entries,
)
from numopt.completion._solvers.options import Options
from numopt.completion._solvers.result import CompletionResult

__all__ = ["choose_rank", "search_rank"]

#: Largest rank that "auto" tries, and the one it takes when evidence prunes.
LARGEST, GENEROUS = 50, 30
#: Ranks without a better error before the search by single steps ends.
PATIENCE = 3
#: Gauss-Newton steps at each rank of the search.
STEPS = 20
#: Errors below this share of the median value are rounding: the fit is exact.
RESOLVED = 1e-6
#: A rank this much worse than the best ends the search by doubling.
CLEARLY_WORSE = 1.02
#: Methods whose rank grows one at a time, each fit starting from the last.
GROWING = ("gauss_newton", "irls_gauss_newton")


def choose_rank(
    problem: Observations, options: Options
) -> tuple[Options, dict[int, float]]:
    """Options with the chosen rank, and the held-out error of each rank tried."""
    top = min(LARGEST, *problem.shape)
    if options.method == "vb":
        rank = min(GENEROUS, top)
        return dataclasses.replace(options, rank=rank), {}
    rank, path = search_rank(problem, options, top)
    return dataclasses.replace(options, rank=rank), path


def search_rank(
    problem: Observations, options: Options, top: int
) -> tuple[int, dict[int, float]]:
    """Smallest rank within one standard error of the best, up to ``top``."""
    seed = int(as_generator(options.random_state).integers(2**31))
    kept, held = split_entries(problem, HELD, seed)
    quiet = dataclasses.replace(
        options, random_state=seed, warn=False, verbose=0, callback=None,
        validation_fraction=0.0,
    )  # fmt: skip
    floor = RESOLVED * float(np.median(np.abs(to_numpy(held.values))))
    search = _grow if options.method in GROWING else _double
    errors = search(kept, held, quiet, top, floor)
    return _smallest_good(errors, floor), {r: e.rmse for r, e in sorted(errors.items())}


def _error(result: CompletionResult, held: Holdout, robust: bool) -> RMSEResult:
    """Held-out error; a robust loss is judged by the smaller half of the residuals."""
    truth = to_numpy(held.values)
    guess = to_numpy(result.predict(held.rows, held.cols))
    if robust and truth.size > 1:
        inner = np.argsort(np.abs(truth - guess))[: (truth.size + 1) // 2]
        truth, guess = truth[inner], guess[inner]
    return heldout_rmse(truth, guess)


def _smallest_good(errors: dict[int, RMSEResult], floor: float) -> int:
    """Smallest rank tried whose error is within one standard error of the least."""
    best = min(errors.values(), key=lambda e: e.rmse)
    limit = max(best.rmse + best.se, floor)
    return min(r for r, e in errors.items() if e.rmse <= limit)


def _grow(
    kept: Observations, held: Holdout, options: Options, top: int, floor: float
) -> dict[int, RMSEResult]:
    """Ranks 1, 2, 3, ..., each from the last with a singular pair of its residual."""
    robust = options.loss != "squared"
    errors: dict[int, RMSEResult] = {}
    start, best, waited = None, float("inf"), 0
    for rank in range(1, top + 1):
        step = dataclasses.replace(
            options, rank=rank, warm_start=start, n_restarts=0,
            max_iter=min(STEPS, options.max_iter),
        )  # fmt: skip
        result = fit(kept, step)
        errors[rank] = _error(result, held, robust)
        if errors[rank].rmse <= floor:
            break
        waited = 0 if errors[rank].rmse < best else waited + 1
        best = min(best, errors[rank].rmse)
        if waited == PATIENCE:
            break
        start = start_from(result)
    return errors


def _double(
    kept: Observations, held: Holdout, options: Options, top: int, floor: float
) -> dict[int, RMSEResult]:
    """Ranks 1, 2, 4, ... while the error falls, then halving below the chosen one."""
    errors: dict[int, RMSEResult] = {}

    def error(rank: int) -> float:
        """Held-out error of a rank, fitted once."""
        if rank not in errors:
            result = fit(kept, dataclasses.replace(options, rank=rank))
            errors[rank] = _error(result, held, robust=False)
        return errors[rank].rmse

    rank = 1
    while error(rank) <= CLEARLY_WORSE * min(e.rmse for e in errors.values()):
        if rank == top:
            break
        rank = min(2 * rank, top)
    _halve(error, errors, floor)
    return errors


def _halve(
    error: Callable[[int], float], errors: dict[int, RMSEResult], floor: float
) -> None:
    """Try the ranks between the smallest good one and the one below it."""
    high = _smallest_good(errors, floor)
    low = max((r for r in errors if r < high), default=0)
    while high - low > 1:
        error((low + high) // 2)
        found = _smallest_good(errors, floor)
        if found < high:
            high = found
            low = max((r for r in errors if r < high), default=0)
        else:
            low = (low + high) // 2
