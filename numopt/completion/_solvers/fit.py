# SPDX-License-Identifier: BSD-3-Clause
"""From checked options to the fitted model: run a method, assemble the result."""

import dataclasses
import math
from typing import Any

import numpy as np

from numopt._array.namespace import array_namespace, to_numpy
from numopt._iterate.stopping import warn_not_converged
from numopt.completion._problem import Observations
from numopt.completion._solvers.factors import singular_values, split
from numopt.completion._solvers.heldout import split_entries
from numopt.completion._solvers.methods import RUNNERS, direct
from numopt.completion._solvers.options import Options
from numopt.completion._solvers.result import CompletionResult, short_lines

__all__ = ["HELD", "fit", "start_from"]

#: Share of the entries kept back to choose a rank or a ridge.
HELD = 0.1
#: Ridges tried, in units of the variance of the values.
RIDGES: tuple[float, ...] = (64.0, 32.0, 16.0, 8.0, 4.0, 2.0, 1.0, 0.5, 0.25, 0.125)
#: An error above this multiple of the least counts as a rise.
RISEN = 1.001


def fit(problem: Observations, options: Options) -> CompletionResult:
    """Run the chosen method on validated data."""
    if options.method != "vb" and math.isnan(options.alpha):
        return _fit_best_ridge(problem, options)
    if problem.full and options.closed_form:
        return _make_result(problem, options, 0.0, direct(problem, options))
    _warn_short(problem, options)
    intercept = problem.weighted_mean() if options.bias != "none" else 0.0
    centred = problem
    if intercept:
        centred = problem.shifted(intercept)
    fields = RUNNERS[options.method](centred, options, intercept)
    return _make_result(problem, options, intercept, fields)


def _fit_best_ridge(problem: Observations, options: Options) -> CompletionResult:
    """Fit with the ridge that predicts a tenth of the entries best.

    The candidates fall from a multiple of the variance of the values, each fit
    starting from the last, until the error has risen twice. Those that shrink all
    factors to zero are passed over.
    """
    kept, held = split_entries(problem, HELD, options.random_state)
    values = to_numpy(problem.by_row.values).astype(np.float64)
    unit = float(values.var()) or 1.0
    if options.alpha_scaling == "count":
        unit *= sum(problem.shape) / (2 * problem.n_observed)
    errors: list[tuple[float, float]] = []
    start, waited = None, 0
    for factor in RIDGES:
        trial = _with_ridge(options, factor * unit)
        trial = dataclasses.replace(
            trial, warm_start=start, warn=False, callback=None, verbose=0
        )
        found = fit(kept, trial)
        start = start_from(found)
        if start is None:
            continue
        guess = to_numpy(found.predict(held.rows, held.cols))
        error = float(np.mean((to_numpy(held.values) - guess) ** 2))
        errors.append((error, factor * unit))
        waited = waited + 1 if error > RISEN * min(errors)[0] else 0
        if waited == 2:
            break
    chosen = min(errors)[1] if errors else RIDGES[-1] * unit
    result = fit(problem, _with_ridge(options, chosen))
    reason = f"ridge {result.alpha:.3g} chosen on entries kept back"
    return dataclasses.replace(result, message=f"{result.message}; {reason}")


def _with_ridge(options: Options, alpha: float) -> Options:
    """Options with a numeric ridge; a bias ridge that follows it moves along."""
    bias = alpha if math.isnan(options.alpha_bias) else options.alpha_bias
    return dataclasses.replace(options, alpha=alpha, alpha_bias=bias)


def start_from(result: CompletionResult) -> Any:
    """[U, b] and [V, c] for a warm start; None where all is shrunk to zero."""
    xp = array_namespace(result.row_factors)
    if not float(to_numpy(result.singular_values[0])) > 0:
        return None
    return (
        xp.concat([result.row_factors, result.row_bias[:, None]], axis=1),
        xp.concat([result.col_factors, result.col_bias[:, None]], axis=1),
    )


def _warn_short(problem: Observations, options: Options) -> None:
    """Warn when a fit sees fewer observations than unknowns and no penalty."""
    m, n = problem.shape
    freedom = options.rank * (m + n - options.rank)
    seen = problem.n_observed // options.parts
    if options.alpha == 0 and seen < freedom and options.warn:
        part = "" if options.parts == 1 else f" in each of {options.parts} parts"
        warn_not_converged(
            options.method,
            f"fewer observations than degrees of freedom{part} "
            f"(N={seen}, dof={freedom})",
        )


def _make_result(
    problem: Observations, options: Options, intercept: float, fields: dict[str, Any]
) -> CompletionResult:
    """Assemble the public result from the factors of a method."""
    P, Q = fields.pop("P"), fields.pop("Q")
    U, b = split(P)
    V, c = split(Q)
    mask = fields.pop("outlier_mask", None)
    if mask is not None and problem.given is not None:
        mask = problem.given.spread(mask)
    history = fields["history"]
    if history and np.isnan(history.get("validation_rmse", np.zeros(1))).all():
        history.pop("validation_rmse")
    return CompletionResult(
        row_factors=U,
        col_factors=V,
        singular_values=singular_values(U, V),
        intercept=intercept,
        row_bias=b,
        col_bias=c,
        rank=U.shape[1],
        outlier_mask=mask,
        underdetermined_rows=short_lines(problem.by_row, U.shape[1]),
        underdetermined_cols=short_lines(problem.by_col, U.shape[1]),
        alpha=options.alpha,
        alpha_bias=options.alpha_bias,
        alpha_scaling=options.alpha_scaling,
        bias=options.bias,
        nonnegative=options.nonnegative,
        **fields,
    )
