# SPDX-License-Identifier: BSD-3-Clause
"""How each method is run: one function a method, from problem to fields."""

import math
from typing import Any

import numpy as np

from numopt._array.namespace import to_numpy
from numopt._array.random import as_generator
from numopt.completion._problem import Observations
from numopt.completion._solvers.als import ALS
from numopt.completion._solvers.altmin import AltMin
from numopt.completion._solvers.factors import (
    join,
    relative_residual,
    residuals,
    weighted_square,
)
from numopt.completion._solvers.gauss_newton import GaussNewton
from numopt.completion._solvers.gradient import ScaledGD, SubGM
from numopt.completion._solvers.heldout import Holdout, split_entries
from numopt.completion._solvers.options import Options
from numopt.completion._solvers.robust import RobustGaussNewton
from numopt.completion._solvers.soft_impute import SoftImpute
from numopt.completion._solvers.vb import VariationalBayes

__all__ = ["RUNNERS", "direct"]


def direct(problem: Observations, options: Options) -> dict[str, Any]:
    """Closed form of a full matrix: soft-thresholded singular values."""
    xp = problem.xp
    m, n = problem.shape
    k = options.rank
    Y = xp.reshape(problem.by_row.values, (m, n))
    A, s, Bt = xp.linalg.svd(Y, full_matrices=False)
    kept = xp.maximum(s[:k] - options.alpha, xp.zeros_like(s[:k]))
    root = xp.sqrt(kept)
    P, Q = join(A[:, :k] * root), join(Bt[:k, :].T * root)
    left = weighted_square(problem, residuals(problem, P, Q))
    objective = left + float(to_numpy(options.penalty.total(problem, P, Q)))
    return {
        "P": P,
        "Q": Q,
        "objective": objective,
        "relative_residual": relative_residual(problem, P, Q),
        "n_iter": 1,
        "converged": True,
        "status": "converged",
        "message": "full matrix: closed form by the singular value decomposition",
        "history": {
            "n_iter": np.asarray([1]),
            "time": np.asarray([0.0]),
            "objective": np.asarray([objective]),
            "residual": np.asarray([0.0]),
        },
    }


def _run_als(
    problem: Observations, options: Options, intercept: float
) -> dict[str, Any]:
    """Alternating ridge regressions."""
    problem, holdout = _split(problem, options)
    solver = ALS(
        penalty=options.penalty,
        rank=options.rank,
        bias=options.bias,
        init_method=options.init,
        inner=options.inner,
        cg_steps=options.cg_steps,
        acceleration=options.acceleration,
        clip_incoherence=options.clip_incoherence,
        random_state=options.random_state,
        holdout=holdout,
        intercept=intercept,
        nonnegative=options.nonnegative,
    )
    return options.run(solver, problem)


def _run_vb(
    problem: Observations, options: Options, intercept: float
) -> dict[str, Any]:
    """Evidence model, on values of unit size."""
    values = problem.by_row.values
    xp = problem.xp
    scale = math.sqrt(float(to_numpy(xp.mean(values * values)))) or 1.0
    problem, holdout = _split(problem.with_values(values / scale), options)
    solver = VariationalBayes(
        rank=options.rank,
        bias=options.bias,
        scale=scale,
        random_state=options.random_state,
        holdout=holdout,
        intercept=intercept,
    )
    return options.run(solver, problem)


def _run_gauss_newton(
    problem: Observations, options: Options, _: float
) -> dict[str, Any]:
    """Exact recovery."""
    solver = GaussNewton(
        rank=options.rank,
        continuation=options.rank_schedule != "plain",
        n_restarts=options.n_restarts,
        tol=options.tol,
        max_steps=options.max_iter,
        random_state=_fixed_seed(options.random_state),
    )
    return options.run(solver, problem, max_iter=solver.total_steps)


def _run_irls(problem: Observations, options: Options, _: float) -> dict[str, Any]:
    """Corrupted entries."""
    solver = RobustGaussNewton(
        loss=options.loss,
        rank=options.rank,
        continuation=options.rank_schedule != "plain",
        n_restarts=options.n_restarts,
        tol=options.tol,
        max_steps=options.max_iter,
        random_state=_fixed_seed(options.random_state),
    )
    return options.run(solver, problem, max_iter=solver.total_steps)


def _run_altmin(problem: Observations, options: Options, _: float) -> dict[str, Any]:
    """Alternating minimisation on subspaces."""
    solver = AltMin(
        penalty=options.penalty,
        rank=options.rank,
        clip_incoherence=options.clip_incoherence,
        random_state=options.random_state,
        precond=options.precond,
        fresh_rounds=options.fresh_rounds,
        warn=options.warn,
    )
    if options.fresh_rounds is None:
        return options.run(solver, problem)
    # The solver itself stops when its entries run out, and says so.
    return options.run(solver, problem, max_iter=options.fresh_rounds + 1)


def _run_soft_impute(
    problem: Observations, options: Options, _: float
) -> dict[str, Any]:
    """Nuclear norm."""
    return options.run(SoftImpute(options.rank, options.alpha), problem)


def _run_scaled_gd(problem: Observations, options: Options, _: float) -> dict[str, Any]:
    """Scaled gradients."""
    solver = ScaledGD(options.rank, options.alpha, options.random_state)
    return options.run(solver, problem)


def _run_subgradient(
    problem: Observations, options: Options, _: float
) -> dict[str, Any]:
    """Subgradients of the absolute loss."""
    solver = SubGM(options.rank, options.tol, options.random_state)
    return options.run(solver, problem)


def _fixed_seed(random_state: Any) -> int:
    """One integer, so that every draw of a solver can be made again."""
    return int(as_generator(random_state).integers(2**31))


RUNNERS = {
    "als": _run_als,
    "vb": _run_vb,
    "gauss_newton": _run_gauss_newton,
    "irls_gauss_newton": _run_irls,
    "altmin_sketch": _run_altmin,
    "soft_impute": _run_soft_impute,
    "scaled_gd": _run_scaled_gd,
    "subgradient": _run_subgradient,
}


def _split(
    problem: Observations, options: Options
) -> tuple[Observations, Holdout | None]:
    """Keep the validation share back, where there is one."""
    if options.validation_fraction == 0.0 or problem.n_observed < 2:
        return problem, None
    return split_entries(problem, options.validation_fraction, options.random_state)
