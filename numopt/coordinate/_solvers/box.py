# SPDX-License-Identifier: BSD-3-Clause
"""Bound-constrained quadratics and non-negative least squares."""

import dataclasses
from typing import Any

import numpy as np

from numopt import _validation as v
from numopt._array.sparse import is_sparse
from numopt._iterate.loop import Solver, iterate
from numopt.coordinate._kernels.descent import BALANCE
from numopt.coordinate._problem.data import LinearData, sized_design
from numopt.coordinate._problem.datafits import Quadratic
from numopt.coordinate._problem.penalties import NonNegative
from numopt.coordinate._problem.units import check_size, unit_of
from numopt.coordinate._solvers.inner import minimise_gram
from numopt.coordinate._solvers.pivoting import BoxProblem, BoxState, exchange, pivot
from numopt.coordinate._solvers.rescaled import Rescaled
from numopt.coordinate._solvers.results import CoordinateResult
from numopt.coordinate._solvers.working_set import solve_data

__all__ = ["nnls", "solve_quadratic"]

#: Up to this size a sparse matrix is worked on densely.
DENSE_SIZE = 1000


def nnls(
    A: Any, b: Any, *, max_iter: int | None = None, tol: float = 1e-10
) -> CoordinateResult:
    r"""Non-negative least squares, ``min ||A x - b||`` over ``x >= 0``.

    Parameters
    ----------
    A : array_like or sparse matrix of shape (n, p)
        Matrix.
    b : array_like of shape (n,)
        Right-hand side.
    max_iter : int, default=None
        Limit of passes over A, None for 1000.
    tol : float, default=1e-10
        Duality gap relative to the objective at 0.

    Returns
    -------
    CoordinateResult
        ``coef`` is x, ``objective`` is ``||A x - b||^2 / (2 n)``.

    Notes
    -----
    Working sets, coordinate descent and Newton steps on the positive coordinates with
    an updatable factor.

    References
    ----------
    Lawson & Hanson (1974), "Solving least squares problems", chapter 23.

    Examples
    --------
    >>> from numopt.coordinate import nnls
    >>> nnls([[1.0, 0.0], [0.0, 1.0]], [2.0, -1.0]).coef
    array([2., 0.])
    """
    tol = v.check_real("tol", tol, low=0, include_low=False)
    passes = 1000 if max_iter is None else v.check_int("max_iter", max_iter, low=1)
    v.check_numpy("A", A)
    data = LinearData.from_arrays(A, b, Quadratic(), names=("A", "b"))
    options = {
        "max_iter": passes,
        "tol": tol,
        "callback": None,
        "verbose": 0,
        "warn": True,
    }
    return solve_data(data, Quadratic(), NonNegative(), False, None, None, options)


def solve_quadratic(
    A: Any,
    c: Any,
    *,
    bounds: Any = None,
    partition: str = "auto",
    selection: str = "auto",
    update: str = "auto",
    block_size: int = 1,
    x0: Any = None,
    max_iter: int = 1000,
    tol: float = 1e-8,
    random_state: Any = None,
    callback: Any = None,
    verbose: int = 0,
    warn: bool = True,
) -> CoordinateResult:
    r"""Minimise ``x^T A x / 2 - c^T x``, with or without bounds.

    Parameters
    ----------
    A : array_like or sparse matrix of shape (N, N)
        Symmetric positive semi-definite matrix.
    c : array_like of shape (N,) or (N, K)
        Linear terms; K problems share the matrix.
    bounds : tuple of two floats or array_like, default=None
        (lower, upper), each a scalar or of shape (N,); None for no bounds.
    partition : str, default="auto"
        Block rule of ``bcd_solve``, or "auto".
    selection : str, default="auto"
        Selection rule of ``bcd_solve``, or "auto".
    update : str, default="auto"
        Update rule of ``bcd_solve``, or "auto".
    block_size : int, default=1
        Coordinates in a block, for literal rules.
    x0 : array_like of shape (N,) or (N, K), default=None
        Start, None for the point of the bounds nearest 0.
    max_iter : int, default=1000
        Limit of passes ("auto") or of block steps.
    tol : float, default=1e-8
        Projected gradient relative to the norm of ``c``.
    random_state : int or Generator, default=None
        Seed of random rules.
    callback : callable, default=None
        Called with an ``IterationInfo`` after each pass; true stops.
    verbose : int, default=0
        Shows progress when positive.
    warn : bool, default=True
        Whether to warn when not converged.

    Returns
    -------
    CoordinateResult
        ``coef`` is x, of the shape of c; ``dual_gap`` is relative to the size of the
        objective, inf where the slope pushes to an infinite bound.

    Raises
    ------
    ValueError
        When shapes do not fit, A is not symmetric or lower exceeds upper.

    Notes
    -----
    Block principal pivoting, with a sparse factor of the free variables where the
    matrix is large and sparse. On other matrices it is given up where it gets nowhere
    or a factor is singular; descent and Newton steps on the free variables follow.

    References
    ----------
    Bertsekas (1982), "Projected Newton methods"; Kim & Park (2011), "Fast nonnegative
    matrix factorization: an active-set-like method", algorithm 2.

    Examples
    --------
    >>> from numopt.coordinate import solve_quadratic
    >>> solve_quadratic([[2.0, 0.0], [0.0, 2.0]], [2.0, -2.0], bounds=(0, 3)).coef
    array([1., 0.])
    """
    (A, unit), (c, target) = _check_matrix(A), _check_linear(c)
    units = {"coef": target / unit, "intercept": 1.0, "objective": target**2 / unit}
    if not 0 < units["objective"] < np.inf:
        expected = "of a size whose square over that of `A` is a number"
        raise ValueError(v.message("c", expected, f"{target:.1e} and {unit:.1e}"))
    N = A.shape[0]
    v.check_shape("A", A, (c.shape[0], c.shape[0]), why="(len(c), len(c))")
    tol = v.check_real("tol", tol, low=0, include_low=False)
    max_iter = v.check_int("max_iter", max_iter, low=1)
    lower, upper = (bound / units["coef"] for bound in _check_bounds(bounds, N))
    start = np.clip(np.zeros(c.shape), _like(lower, c), _like(upper, c))
    if x0 is not None:
        start = np.array(v.float_arrays(x0=x0)[1][0], dtype=np.float64)
        v.check_shape("x0", start, c.shape, why="(the shape of c)")
        v.check_values("x0", start)
        start = np.clip(start / units["coef"], _like(lower, c), _like(upper, c))
    shared: dict[str, Any] = {
        "max_iter": max_iter,
        "tol": tol,
        "verbose": verbose,
        "warn": warn,
    }
    shared["callback"] = v.check_callback(callback)

    def solve(c: np.ndarray, start: np.ndarray) -> CoordinateResult:
        solver: Any = BoxSolver()
        problem: Any = BoxProblem(A, c, lower, upper)
        if (partition, selection, update) != ("auto", "auto", "auto"):
            from numopt.coordinate._solvers.bcd_steps import Strategy, quadratic_rules

            solver, problem = quadratic_rules(
                A,
                c,
                lower,
                upper,
                Strategy(partition, selection, update),
                block_size=block_size,
                x0=start,
                random_state=random_state,
            )
        solver = Rescaled(solver, **units)
        return CoordinateResult(**iterate(solver, problem, warm_start=start, **shared))

    if c.ndim == 1:
        return solve(c, start)
    results = [solve(c[:, k], start[:, k]) for k in range(c.shape[1])]
    worst = max(results, key=lambda r: r.history["residual"][-1])
    coef = np.stack([r.coef for r in results], axis=1)
    return dataclasses.replace(
        worst,
        coef=coef,
        n_iter=max(r.n_iter for r in results),
        objective=float(sum(r.objective for r in results)),
        dual_gap=float(np.max([r.dual_gap for r in results])),
        support=np.flatnonzero(coef.any(axis=1)),
    )


@dataclasses.dataclass(frozen=True)
class BoxSolver(Solver[BoxProblem, BoxState]):
    """Newton on the free variables, densely or by principal pivoting."""

    name = "bounded quadratic"

    def init(self, problem: BoxProblem, warm_start: Any) -> BoxState:
        """Start at a feasible point."""
        x = np.array(warm_start)
        side = np.where(x >= problem.upper, 1, np.where(x <= problem.lower, -1, 0))
        return BoxState(x, problem.A @ x - problem.c, side, x.size + 1)

    def step(self, problem: BoxProblem, state: BoxState) -> BoxState:
        """Solve densely at once, or exchange variables once."""
        if not isinstance(problem.A, np.ndarray):
            exchange(problem, state)
        elif state.started or not pivot(problem, state):
            _descend(problem, state)
        return state

    def measure(self, problem: BoxProblem, state: BoxState) -> dict[str, Any]:
        """Objective and the relative projected gradient."""
        x, g = np.clip(state.x, problem.lower, problem.upper), state.gradient
        outside = float(np.max(np.abs(state.x - x), initial=0.0))
        size = max(float(np.linalg.norm(problem.c)), 1e-300)
        active = ((x <= problem.lower) & (g > 0)) | ((x >= problem.upper) & (g < 0))
        rest = float(np.linalg.norm(np.where(active, 0.0, g))) / size
        return {
            "objective": float(0.5 * x @ (g - problem.c)),
            "residual": rest + outside,
            "dual_gap": _box_gap(problem, x, g),
            "n_support": int(np.count_nonzero(~active)),
            "n_working_set": x.size,
        }

    def finish(self, problem: BoxProblem, state: BoxState) -> dict[str, Any]:
        """The point and its certificate."""
        x = np.clip(state.x, problem.lower, problem.upper)
        g = problem.A @ x - problem.c
        return {
            "coef": x,
            "intercept": 0.0,
            "objective": float(0.5 * x @ (g - problem.c)),
            "dual_gap": _box_gap(problem, x, g),
            "support": np.flatnonzero(x),
        }

    def current(self, state: BoxState) -> Any:
        """The point."""
        return state.x


def _box_gap(problem: BoxProblem, x: np.ndarray, g: np.ndarray) -> float:
    """Gap of the Lagrangian dual, relative to the size of the objective."""
    rounding = 1e-13 * float(np.max(np.abs(problem.c), initial=0.0))
    push, pull = np.maximum(g, 0.0), np.maximum(-g, 0.0)
    down, up = x - problem.lower, problem.upper - x
    if np.any((push > rounding) & np.isinf(down)) or np.any(
        (pull > rounding) & np.isinf(up)
    ):
        return float("inf")  # no dual point here: nothing is bounded
    gap = np.sum(push * np.where(np.isinf(down), np.abs(x), down)) + np.sum(
        pull * np.where(np.isinf(up), np.abs(x), up)
    )
    return float(gap) / max(abs(float(0.5 * x @ (g - problem.c))), 1e-300)


def _descend(problem: BoxProblem, state: BoxState) -> None:
    """Descent and Newton steps on the whole matrix."""
    N = problem.c.size
    zero = np.zeros(N)
    scale = float(np.abs(problem.c) @ np.abs(state.x)) + 1e-300
    minimise_gram(
        np.array(problem.A, order="C"),
        state.x,
        state.gradient.copy(),
        problem.c,
        zero,
        problem.lower,
        problem.upper,
        squares=0.0,
        target=1e-16 * scale,
        max_epochs=200,
        balance=3.0 * BALANCE,
    )
    state.gradient = problem.A @ state.x - problem.c


def _check_matrix(A: Any) -> tuple[Any, float]:
    """A symmetric matrix in float64, over its unit: CSR where large and sparse."""
    A, unit = sized_design("A", A)
    if A.shape[0] != A.shape[1]:
        raise ValueError(v.message("A", "square", f"shape {A.shape}"))
    difference = abs(A - A.T).max()
    if difference > 1e-10 * abs(A).max():
        raise ValueError(v.message("A", "symmetric", f"asymmetry {difference:.2e}"))
    if is_sparse(A):
        from scipy.sparse import csr_array

        small = A.shape[0] <= DENSE_SIZE
        return (A.toarray() if small else csr_array(A, dtype=np.float64)), unit
    return np.asarray(A, dtype=np.float64), unit


def _check_linear(c: Any) -> tuple[np.ndarray, float]:
    """The linear term in float64, a vector or columns, over its unit."""
    _, (c,) = v.float_arrays(c=c)
    c = np.asarray(c, dtype=np.float64)
    if c.ndim not in (1, 2):
        raise ValueError(v.message("c", "1-D or 2-D", f"shape {c.shape}"))
    v.check_ndim("c", c, c.ndim)
    size = max(map(abs, v.check_values("c", c)))
    check_size("c", size)
    unit = unit_of(size)
    return (c if unit == 1.0 else c / unit), unit


def _check_bounds(bounds: Any, N: int) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper bounds of shape (N,)."""
    if bounds is None:
        return np.full(N, -np.inf), np.full(N, np.inf)
    if not isinstance(bounds, tuple | list) or len(bounds) != 2:
        raise ValueError(v.message("bounds", "a pair (lower, upper)", repr(bounds)))
    made = []
    for name, bound in zip(("lower", "upper"), bounds, strict=True):
        bound = v.float_arrays(**{f"{name} bound": bound})[1][0]
        v.check_present(f"{name} bound", bound)
        assert bound is not None
        if bound.ndim:
            v.check_shape(f"{name} bound", bound, (N,), why="(one a variable)")
        full = np.broadcast_to(np.asarray(bound, dtype=np.float64), (N,)).copy()
        if np.isnan(full).any():
            raise ValueError(v.message(f"{name} bound", "free of NaN", "NaN"))
        made.append(full)
    if np.any(made[0] > made[1]):
        worst = int(np.flatnonzero(made[0] > made[1])[0])
        raise ValueError(
            f"`bounds` must have lower <= upper, got {made[0][worst]} > "
            f"{made[1][worst]} at index {worst}"
        )
    return made[0], made[1]


def _like(bound: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Bounds in the number of dimensions of the linear term."""
    return bound if c.ndim == 1 else bound[:, None]
