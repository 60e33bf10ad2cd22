# SPDX-License-Identifier: BSD-3-Clause
"""Transport by columns of few nonzeros: the public function and its result."""

import dataclasses
from typing import Any

import numpy as np

from numopt import _validation as v
from numopt._array.namespace import to_numpy
from numopt._iterate.loop import iterate
from numopt._iterate.result import SolverResult
from numopt._iterate.stopping import warn_not_converged
from numopt.ot._problem import CoreProblem, TransportProblem
from numopt.ot._solvers.reduction import (
    host_arrays,
    like_input,
    marginal_error,
    on_host,
    whole_solution,
)
from numopt.ot._solvers.sparse_ascent import SparseSolver
from numopt.typing import Array, Callback

__all__ = ["SparseResult", "sparse_ot"]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class SparseResult(SolverResult):
    """A transport plan with few nonzeros in every column.

    Parameters
    ----------
    n_iter : int
        Evaluations of the semi-dual, each one pass over the cost.
    converged : bool
        Whether ``marginal_error <= tol``.
    message : str
        Why the solver stopped and, on failure, what to try.
    status : str
        "converged", "max_iter", "callback" or "stalled".
    history : dict of str to ndarray
        One entry a step: "n_iter", "time", "objective" (the dual value), "residual",
        "reg" and "stage": "continuation", "dual" or "fixed supports".
    plan : array of shape (n, m)
        Transport plan; columns have at most ``max_nz`` nonzeros and exact sums.
    value : float
        ``<P, M> + reg / 2 |P|^2`` of the plan.
    value_linear : float
        Transport cost ``<P, M>``.
    dual_value : float
        Lower bound on ``value`` of every plan with both marginals exact.
    gap : float
        ``value - dual_value``; zero proves the plan optimal where its rows are exact.
    f, g : array of shape (n,) and (m,)
        Dual potentials: at a gap of zero a nonzero is ``(f_i + g_j - M_ij) / reg``.
    marginal_error : float
        L1 error of both marginals relative to the mass, that is of the rows.
    reg : float
        Quadratic regularisation.
    max_nz : int
        Bound on the nonzeros of a column.
    nnz : int
        Nonzeros of the plan.
    n_newton : int
        Newton steps.

    See Also
    --------
    sparse_ot : The function that makes it.

    Examples
    --------
    >>> from numopt.ot import sparse_ot
    >>> sparse_ot(None, None, [[0.0, 1.0], [1.0, 0.0]], 0.1, 1).nnz
    2
    """

    plan: Array
    value: float
    value_linear: float
    dual_value: float
    gap: float
    f: Array
    g: Array
    marginal_error: float
    reg: float
    max_nz: int
    nnz: int
    n_newton: int


def sparse_ot(
    a: Array | None,
    b: Array | None,
    M: Array,
    reg: float,
    max_nz: int,
    *,
    tol: float = 1e-9,
    max_iter: int = 2000,
    warmstart: Any = None,
    callback: Callback | None = None,
    verbose: int = 0,
    warn: bool = True,
) -> SparseResult:
    r"""Solve transport with at most ``max_nz`` nonzeros in every column.

    .. math::
        \min_{P \ge 0,\ P 1 = a,\ P^T 1 = b} \langle P, M \rangle
        + \tfrac{\gamma}{2} \|P\|^2
        \quad \text{subject to} \quad \|P_{:j}\|_0 \le k

    with :math:`\gamma` = ``reg`` and k = ``max_nz``.

    Parameters
    ----------
    a : array of shape (n,) or None
        Source weights, non-negative; None means uniform of total 1.
    b : array of shape (m,) or None
        Target weights, with the sum of ``a``. The columns are the side that is kept
        exactly and made sparse: for a router, the tokens.
    M : array of shape (n, m)
        Cost; negative entries are allowed, ``inf`` forbids a pair.
    reg : float
        Quadratic regularisation, positive; a column spreads over about the entries
        within ``reg * b_j`` of its best.
    max_nz : int
        Bound on the nonzeros of a column, 1 to n; n gives quadratic regularisation.
    tol : float, default=1e-9
        L1 error of the rows, relative to the mass, at which the solver stops.
    max_iter : int, default=2000
        Bound on the passes over the cost.
    warmstart : SparseResult or array of shape (n,), default=None
        Row potentials f to start from.
    callback : callable, default=None
        Called with an ``IterationInfo`` after every step; a true answer stops.
    verbose : int, default=0
        0 silent, 1 progress bar, 2 log lines.
    warn : bool, default=True
        Issue a ConvergenceWarning when ``tol`` was not reached.

    Returns
    -------
    SparseResult
        Plan, values, potentials and the gap, as arrays of the library and device of
        the input; the problem itself is solved on the host.

    Raises
    ------
    InfeasibleError
        When a point has no finite cost.
    ValueError
        When an argument is invalid, shapes or sums do not match.

    Warns
    -----
    ConvergenceWarning
        When the rows were not met to ``tol``. With a small ``max_nz`` no plan may meet
        them; the columns are exact all the same.

    See Also
    --------
    sinkhorn : Dense plans.
    ot_exact : Plans with n + m - 1 nonzeros in all.

    Notes
    -----
    The semi-dual in f is maximised by L-BFGS from an entropic potential, on levels of
    decreasing ``reg``, and by semi-smooth Newton steps where its gradient is
    continuous. Its maximum bounds all feasible plans from below, but where the bound
    on the nonzeros is active it may lie at a kink, where no column response meets the
    rows. ``max_nz`` entries of every column are then fixed: those of descent, column
    by column, on the augmented Lagrangian, where columns mind what the others leave of
    the rows. Linear programs exchange entries until some plan on them meets the rows,
    and the convex problem on these supports is solved. Its plan, or if that ascent
    stalls the one of the last program, meets both marginals, and
    ``gap`` says how far from optimal it can be at most. ``max_nz=1`` has the dual of
    unregularised transport, up to ``reg / 2 |b|^2``.

    References
    ----------
    Liu, Puigcerver & Blondel (2023), Sparsity-constrained optimal transport, ICLR,
    propositions 2 and 3. Blondel, Seguy & Rolet (2018), Smooth and sparse optimal
    transport, AISTATS, for ``max_nz = n``.

    Examples
    --------
    Eight tokens, each to at most two of four experts of equal load:

    >>> import numpy as np
    >>> from numopt.ot import sparse_ot
    >>> scores = np.random.default_rng(0).random((4, 8))
    >>> result = sparse_ot(None, None, -scores, 0.5, 2)
    >>> (result.plan > 0).sum(axis=0).max() <= 2
    np.True_
    >>> result.plan.sum(axis=1).round(6).tolist()
    [0.25, 0.25, 0.25, 0.25]
    """
    tol = v.check_real("tol", tol, low=0)
    max_iter = v.check_int("max_iter", max_iter, low=1)
    v.check_callback(callback)
    verbose = v.check_int("verbose", verbose, low=0, high=2)
    problem = TransportProblem.from_arrays(a, b, M, reg)
    max_nz = v.check_int("max_nz", max_nz, low=1, high=problem.M.shape[0])
    core = on_host(problem, swap=False)
    fields = iterate(
        SparseSolver(min(max_nz, core.a.size), max_iter),
        dataclasses.replace(core, eps=problem.reg * problem.mass),
        tol=tol,
        max_iter=max_iter,
        callback=callback,
        verbose=verbose,
        warm_start=_start(warmstart, problem, core),
        warn=False,
    )
    if warn and fields["status"] not in ("converged", "callback"):
        warn_not_converged("sparse_ot", fields["message"])
    fields |= _whole(problem, core, fields)
    return SparseResult(reg=problem.reg, max_nz=max_nz, **fields)


def _start(
    warmstart: Any, problem: TransportProblem, core: CoreProblem
) -> np.ndarray | None:
    """Row potentials of a warm start, of the points with weight."""
    if warmstart is None:
        return None
    if isinstance(warmstart, SparseResult):
        warmstart = warmstart.f
    _, (f, _) = v.float_arrays(warmstart=warmstart, M=problem.M)
    v.check_shape("warmstart", f, (problem.M.shape[0],), why="(row potentials)")
    v.check_values("warmstart", f)
    f = np.asarray(to_numpy(f), float)
    return f if core.rows is None else f[core.rows]


def _whole(
    problem: TransportProblem, core: CoreProblem, fields: dict[str, Any]
) -> dict[str, Any]:
    """Undo the reduction; values and errors of the whole problem."""
    a, b, M = host_arrays(problem)
    plan, f, g = whole_solution(problem, core, fields["plan"], fields["f"], fields["g"])
    used = plan > 0
    linear = float(plan[used] @ M[used])
    value = linear + 0.5 * problem.reg * float(np.sum(plan[used] ** 2))
    dual = problem.mass * fields["dual_value"]
    return {
        "plan": like_input(problem, plan),
        "f": like_input(problem, f),
        "g": like_input(problem, g),
        "value": value,
        "value_linear": linear,
        "dual_value": dual,
        "gap": value - dual,
        "marginal_error": marginal_error(plan, a, b),
        "nnz": int(np.count_nonzero(used)),
    }
