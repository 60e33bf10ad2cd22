# SPDX-License-Identifier: BSD-3-Clause
"""Regularisation paths: decreasing strengths, warm starts, one Gram cache."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from numopt import _validation as v
from numopt._iterate.stopping import check_stop, warn_not_converged
from numopt.coordinate._problem.data import LinearData
from numopt.coordinate._problem.datafits import (
    Datafit,
    Logistic,
    Multinomial,
    Quadratic,
)
from numopt.coordinate._problem.group_penalties import GroupL2
from numopt.coordinate._problem.null import NullModel
from numopt.coordinate._problem.penalties import L1, ElasticNet, Penalty
from numopt.coordinate._solvers.audit import critical_alpha, free_columns
from numopt.coordinate._solvers.group_working_set import GroupProblem, GroupWorkingSet
from numopt.coordinate._solvers.prox_newton import ModelProblem, ProxNewtonWorkingSet
from numopt.coordinate._solvers.quadratic import (
    QuadraticProblem,
    QuadraticState,
    QuadraticWorkingSet,
)
from numopt.coordinate._solvers.results import PathResult
from numopt.coordinate._solvers.working_set import effective_tol

__all__ = [
    "enet_path",
    "group_lasso_path",
    "lasso_path",
    "logistic_path",
    "solve_path",
]

MakePenalty = Callable[[float], Penalty]


def lasso_path(
    X: Any,
    y: Any,
    *,
    alphas: Any = None,
    eps: float = 1e-3,
    n_alphas: int = 100,
    weights: Any = None,
    positive: bool = False,
    fit_intercept: bool = False,
    sample_weight: Any = None,
    max_iter: int = 1000,
    tol: float = 1e-6,
    verbose: int = 0,
) -> PathResult:
    r"""Lasso coefficients along a decreasing grid of penalties.

    .. math:: \min_w \frac{1}{2S} \sum_i s_i (y_i - x_i^T w - b)^2
        + \alpha \sum_j \omega_j |w_j|.

    Parameters
    ----------
    X : array_like or sparse matrix of shape (n, p)
        Design.
    y : array_like of shape (n,)
        Targets.
    alphas : array_like of shape (A,), default=None
        Strengths; None for ``n_alphas`` geometric steps from alpha_max.
    eps : float, default=1e-3
        Last strength of the default grid relative to the first.
    n_alphas : int, default=100
        Length of the default grid.
    weights : array_like of shape (p,), default=None
        Penalty weights, None for ones.
    positive : bool, default=False
        Whether coefficients must not be negative.
    fit_intercept : bool, default=False
        Whether to fit an unpenalised intercept.
    sample_weight : array_like of shape (n,), default=None
        Non-negative weights, None for ones.
    max_iter : int, default=1000
        Limit of passes over the design at each strength.
    tol : float, default=1e-6
        Relative duality gap at every point.
    verbose : int, default=0
        Reserved for progress; 0 is silent.

    Returns
    -------
    PathResult
        Coefficients (p, A) and a certificate for every strength.

    Notes
    -----
    The Gram matrix of all columns ever used is kept along the path; a point whose
    support equals that of its neighbour costs one pass over X.

    References
    ----------
    Tibshirani et al. (2012), "Strong rules for discarding predictors in lasso-type
    problems", eq. (7).

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.coordinate import lasso_path
    >>> path = lasso_path(np.eye(2), [4.0, 2.0], alphas=[1.0, 0.5])
    >>> path.coefs.round(6)
    array([[2., 3.],
           [0., 1.]])
    """
    return enet_path(
        X,
        y,
        l1_ratio=1.0,
        alphas=alphas,
        eps=eps,
        n_alphas=n_alphas,
        weights=weights,
        positive=positive,
        fit_intercept=fit_intercept,
        sample_weight=sample_weight,
        max_iter=max_iter,
        tol=tol,
        verbose=verbose,
    )


def enet_path(
    X: Any,
    y: Any,
    *,
    l1_ratio: float = 0.5,
    alphas: Any = None,
    eps: float = 1e-3,
    n_alphas: int = 100,
    weights: Any = None,
    positive: bool = False,
    fit_intercept: bool = False,
    sample_weight: Any = None,
    max_iter: int = 1000,
    tol: float = 1e-6,
    verbose: int = 0,
) -> PathResult:
    """Elastic-net coefficients along a decreasing grid of penalties.

    Parameters
    ----------
    X : array_like or sparse matrix of shape (n, p)
        Design.
    y : array_like of shape (n,)
        Targets.
    l1_ratio : float, default=0.5
        Share of the L1 norm, between 0 and 1; positive for the default grid.
    alphas : array_like of shape (A,), default=None
        Strengths; None for ``n_alphas`` geometric steps from alpha_max.
    eps : float, default=1e-3
        Last strength of the default grid relative to the first.
    n_alphas : int, default=100
        Length of the default grid.
    weights : array_like of shape (p,), default=None
        Penalty weights, None for ones.
    positive : bool, default=False
        Whether coefficients must not be negative.
    fit_intercept : bool, default=False
        Whether to fit an unpenalised intercept.
    sample_weight : array_like of shape (n,), default=None
        Non-negative weights, None for ones.
    max_iter : int, default=1000
        Limit of passes over the design at each strength.
    tol : float, default=1e-6
        Relative duality gap at every point.
    verbose : int, default=0
        Reserved for progress; 0 is silent.

    Returns
    -------
    PathResult
        Coefficients (p, A) and a certificate for every strength.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.coordinate import enet_path
    >>> enet_path(np.eye(2), [4.0, 2.0], alphas=[1.0]).coefs.round(6)
    array([[1.5],
           [0.5]])
    """

    def make(alpha: float) -> Penalty:
        if l1_ratio == 1.0:
            return L1(alpha, weights, positive)
        return ElasticNet(alpha, l1_ratio, weights, positive)

    data = LinearData.from_arrays(X, y, Quadratic(), sample_weight)
    return solve_path(
        data,
        Quadratic(),
        make,
        fit_intercept,
        alphas=alphas,
        eps=eps,
        n_alphas=n_alphas,
        max_iter=max_iter,
        tol=tol,
        verbose=verbose,
    )


def group_lasso_path(
    X: Any,
    y: Any,
    groups: Any,
    *,
    alphas: Any = None,
    eps: float = 1e-3,
    n_alphas: int = 100,
    weights: Any = None,
    fit_intercept: bool = False,
    sample_weight: Any = None,
    max_iter: int = 1000,
    tol: float = 1e-6,
    verbose: int = 0,
) -> PathResult:
    """Group-lasso coefficients along a decreasing grid of penalties.

    Parameters
    ----------
    X : array_like or sparse matrix of shape (n, p)
        Design.
    y : array_like of shape (n,)
        Targets.
    groups : int, list of index lists or array_like of shape (p,)
        Size of consecutive groups, the groups, or a label for each coordinate.
    alphas : array_like of shape (A,), default=None
        Strengths; None for ``n_alphas`` geometric steps from alpha_max.
    eps : float, default=1e-3
        Last strength of the default grid relative to the first.
    n_alphas : int, default=100
        Length of the default grid.
    weights : array_like of shape (n_groups,), default=None
        Group weights, None for ones.
    fit_intercept : bool, default=False
        Whether to fit an unpenalised intercept.
    sample_weight : array_like of shape (n,), default=None
        Non-negative weights, None for ones.
    max_iter : int, default=1000
        Limit of passes over the design at each strength.
    tol : float, default=1e-6
        Relative duality gap at every point.
    verbose : int, default=0
        Reserved for progress; 0 is silent.

    Returns
    -------
    PathResult
        Coefficients (p, A) and a certificate for every strength.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.coordinate import group_lasso_path
    >>> group_lasso_path(np.eye(2), [6.0, 8.0], 2, alphas=[2.5]).coefs.round(6)
    array([[3.],
           [4.]])
    """
    data = LinearData.from_arrays(X, y, Quadratic(), sample_weight)
    return solve_path(
        data,
        Quadratic(),
        lambda alpha: GroupL2(alpha, groups, weights),
        fit_intercept,
        alphas=alphas,
        eps=eps,
        n_alphas=n_alphas,
        max_iter=max_iter,
        tol=tol,
        verbose=verbose,
    )


def logistic_path(
    X: Any,
    y: Any,
    *,
    alphas: Any = None,
    l1_ratio: float = 1.0,
    eps: float = 1e-3,
    n_alphas: int = 100,
    weights: Any = None,
    fit_intercept: bool = False,
    sample_weight: Any = None,
    max_iter: int = 1000,
    tol: float = 1e-6,
    verbose: int = 0,
) -> PathResult:
    """Sparse logistic coefficients along a decreasing grid of penalties.

    Parameters
    ----------
    X : array_like or sparse matrix of shape (n, p)
        Design.
    y : array_like of shape (n,)
        Labels: -1, 1 or 0, 1 for the logistic loss, 0..K-1 for the softmax.
    alphas : array_like of shape (A,), default=None
        Strengths; None for ``n_alphas`` geometric steps from alpha_max.
    l1_ratio : float, default=1.0
        Share of the L1 norm, between 0 and 1; positive for the default grid.
    eps : float, default=1e-3
        Last strength of the default grid relative to the first.
    n_alphas : int, default=100
        Length of the default grid.
    weights : array_like of shape (p,), default=None
        Penalty weights, None for ones.
    fit_intercept : bool, default=False
        Whether to fit an unpenalised intercept.
    sample_weight : array_like of shape (n,), default=None
        Non-negative weights, None for ones.
    max_iter : int, default=1000
        Limit of passes over the design at each strength.
    tol : float, default=1e-6
        Relative duality gap at every point.
    verbose : int, default=0
        Reserved for progress; 0 is silent.

    Returns
    -------
    PathResult
        Coefficients (p, A), or (K, p, A), and a certificate for every strength.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.coordinate import logistic_path
    >>> path = logistic_path(np.eye(4), [0, 1, 0, 1], n_alphas=3)
    >>> path.converged
    True
    """
    datafit: Datafit = Logistic() if np.unique(y).size <= 2 else Multinomial()
    data = LinearData.from_arrays(X, y, datafit, sample_weight)
    return solve_path(
        data,
        datafit,
        lambda alpha: ElasticNet(alpha, l1_ratio, weights),
        fit_intercept,
        alphas=alphas,
        eps=eps,
        n_alphas=n_alphas,
        max_iter=max_iter,
        tol=tol,
        verbose=verbose,
    )


def solve_path(
    data: LinearData,
    datafit: Datafit,
    make_penalty: MakePenalty,
    fit_intercept: bool,
    *,
    alphas: Any = None,
    eps: float = 1e-3,
    n_alphas: int = 100,
    max_iter: int = 1000,
    tol: float = 1e-6,
    verbose: int = 0,
    warn: bool = True,
) -> PathResult:
    """Solve for every strength of a grid; validated data."""
    tol = v.check_real("tol", tol, low=0, include_low=False)
    tol = effective_tol(data, tol)
    max_iter = v.check_int("max_iter", max_iter, low=1)
    fit_intercept = v.check_flag("fit_intercept", fit_intercept)
    v.check_int("verbose", verbose, low=0)
    unit = make_penalty(1.0)
    columns = free_columns(unit, data.shape[1])
    null = NullModel.fit(data, datafit, fit_intercept, columns)
    alphas = check_alphas(alphas, eps, n_alphas, data, datafit, unit, null)
    run = _Runner(data, datafit, make_penalty, fit_intercept, null, tol, max_iter)
    rows = [run.solve(float(alpha)) for alpha in alphas]
    gaps = np.array([row["dual_gap"] for row in rows])
    late = int(np.sum(~(gaps <= tol)))
    message = (
        f"relative gap <= {tol:.2e} at all {len(rows)} strengths"
        if late == 0
        else f"{late} of {len(rows)} strengths ended above tol {tol:.2e} (largest "
        f"relative gap {np.max(gaps):.2e}); increase `max_iter` or `tol`"
    )
    if late and warn:
        warn_not_converged("path", message)
    keys = ("n_iter", "time", "objective", "dual_gap", "n_working_set", "n_support")
    history = {key: np.array([row[key] for row in rows]) for key in keys}
    history["residual"] = gaps
    return PathResult(
        alphas=alphas,
        coefs=np.stack([row["coef"] for row in rows], axis=-1),
        intercepts=np.stack([np.asarray(row["intercept"]) for row in rows], axis=-1),
        dual_gaps=gaps,
        n_iters=history["n_iter"],
        n_iter=int(history["n_iter"].sum()),
        converged=late == 0,
        status="converged" if late == 0 else "max_iter",
        message=message,
        history=history,
    )


class _Runner:
    """Solves one strength after the other, keeping the state."""

    def __init__(
        self, data, datafit, make_penalty, fit_intercept, null, tol, max_iter
    ) -> None:
        self.data, self.datafit = data, datafit
        self.make_penalty, self.fit_intercept = make_penalty, fit_intercept
        self.null, self.tol, self.max_iter = null, tol, max_iter
        self.start: np.ndarray | None = None
        self.state: Any = None
        self.previous: np.ndarray | None = None
        self.began = time.perf_counter()

    def solve(self, alpha: float) -> dict[str, Any]:
        problem, solver = self._build(self.make_penalty(alpha))
        if isinstance(self.state, QuadraticState) and isinstance(
            problem, QuadraticProblem
        ):
            self._strong_rule(problem)
        state = solver.init(problem, self.state)
        passes = 0
        while (
            check_stop(state.gap, passes, tol=self.tol, max_iter=self.max_iter) is None
            and solver.stop(problem, state) is None
        ):
            state = solver.step(problem, state)
            passes += 1
        self.state = state
        row = solver.measure(problem, state) | solver.finish(problem, state)
        row["coef"] = np.array(row["coef"])
        row["intercept"] = np.array(row["intercept"])
        return row | {"n_iter": passes, "time": time.perf_counter() - self.began}

    def _build(self, penalty: Penalty) -> tuple[Any, Any]:
        terms = penalty.terms(self.data.shape[1])
        common = (self.null, self.fit_intercept, self.tol, self.start)
        if isinstance(self.datafit, Quadratic):
            problem: Any
            solver: Any
            if terms is not None:
                problem = QuadraticProblem.build(self.data, terms, *common)
                solver = QuadraticWorkingSet()
            else:
                problem = GroupProblem.build(self.data, penalty, *common)
                solver = GroupWorkingSet()
            self.start = problem.start
            return problem, solver
        problem = ModelProblem(
            data=self.data,
            datafit=self.datafit,
            penalty=penalty,
            terms=terms,
            null=self.null,
            fit_intercept=self.fit_intercept,
            tol=self.tol,
        )
        return problem, ProxNewtonWorkingSet()

    def _strong_rule(self, problem: QuadraticProblem) -> None:
        """Add what the strong rule expects at the new strength."""
        new = problem.terms.l1
        old = new if self.previous is None else self.previous
        self.previous = new
        rho = np.abs(self.state.correlation) / problem.data.total
        with np.errstate(invalid="ignore"):
            expected = (rho >= 2.0 * new - old) & (rho > 0) & np.isfinite(new)
        if problem.terms.lower.max() >= 0:
            expected &= self.state.correlation > 0
        cache = self.state.cache
        found = np.flatnonzero(expected & ~cache.member)
        limit = max(64, int(np.count_nonzero(cache.w[: cache.size])))
        if found.size > limit:
            found = found[np.argpartition(-rho[found], limit)[:limit]]
        if found.size:
            cache.extend(found, problem.start[found])


def check_alphas(
    alphas: Any,
    eps: float,
    n_alphas: int,
    data: LinearData,
    datafit: Datafit,
    unit: Penalty,
    null: NullModel,
) -> np.ndarray:
    """Return the grid, decreasing."""
    if alphas is not None:
        grid = np.array(alphas, dtype=np.float64)
        v.check_ndim("alphas", grid, 1)
        v.check_values("alphas", grid, nonnegative=True)
        return np.sort(grid)[::-1]
    eps = v.check_real("eps", eps, low=0, high=1, include_low=False)
    n_alphas = v.check_int("n_alphas", n_alphas, low=1)
    theta = null.feasible(null.theta, datafit)
    top = critical_alpha(unit, data.correlate(data.weighted(theta)) / data.total)
    if top <= 0:
        top = np.finfo(np.float64).tiny ** 0.5
    if n_alphas == 1:
        return np.array([top])
    return np.geomspace(top, top * eps, n_alphas)
