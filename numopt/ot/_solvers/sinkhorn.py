# SPDX-License-Identifier: BSD-3-Clause
"""The public entry: validate, choose an algorithm, iterate, report."""

import dataclasses
import math
from typing import Any

from numopt import _validation as v
from numopt._iterate.stopping import warn_not_converged
from numopt.ot._problem import (
    CoreProblem,
    TransportProblem,
    column_potentials,
    row_potentials,
)
from numopt.ot._solvers.annealing import direct_newton_rounds, newton_rounds
from numopt.ot._solvers.driver import (
    check_control,
    check_options,
    core_start,
    parse_dtype,
    run,
    whole_dual_value,
)
from numopt.ot._solvers.histograms import histogram_rounds
from numopt.ot._solvers.kernel_domain import kernel_domain_rounds
from numopt.ot._solvers.log_domain import log_domain_rounds
from numopt.ot._solvers.result import HistogramsResult, SinkhornResult
from numopt.ot._solvers.sns import sns_rounds, ssns_rounds
from numopt.ot._solvers.state import Rounds, host
from numopt.typing import Array, Callback, Namespace

__all__ = ["METHODS", "sinkhorn", "sinkhorn2"]

_ALGORITHMS: dict[str, Rounds] = {
    "newton": newton_rounds,
    "newton_direct": direct_newton_rounds,
    "sinkhorn": log_domain_rounds,
    "sinkhorn_stabilized": kernel_domain_rounds,
    "sns": sns_rounds,
    "ssns": ssns_rounds,
}

METHODS = ("auto", *_ALGORITHMS)


def sinkhorn(
    a: Array | None,
    b: Array | None,
    M: Array,
    reg: float,
    *,
    method: str = "auto",
    tol: float = 1e-9,
    max_iter: int = 1000,
    warmstart: Any = None,
    scaling: float = 4.0,
    n_warmup: int = 3,
    density: float | None = None,
    tau: float | None = None,
    max_support: int | None = None,
    dtype: Any = None,
    n_threads: int | None = None,
    callback: Callback | None = None,
    verbose: int = 0,
    return_plan: bool = False,
    warn: bool = True,
) -> SinkhornResult | HistogramsResult:
    r"""Solve entropic optimal transport with certified marginals.

    .. math::
        \min_{P \ge 0,\ P 1 = a,\ P^T 1 = b} \langle P, M \rangle
        + \varepsilon\, \mathrm{KL}(P \,|\, a b^T)

    where :math:`\varepsilon` is ``reg`` and KL(P|Q) = sum P log(P/Q) - P + Q.

    Parameters
    ----------
    a : array of shape (n,) or None
        Source weights, non-negative; None means uniform of total 1. Points of zero
        weight get no mass and a finite potential.
    b : array of shape (m,) or None
        Target weights, with the sum of ``a`` (to 1e-6 relative; the rest is put down
        to rounding and both are scaled to the mean). Methods "sinkhorn" and
        "sinkhorn_stabilized" also take k targets on the same points, the columns of
        an array of shape (m, k), and iterate them together by matrix products.
    M : array of shape (n, m)
        Cost; negative entries are allowed, ``inf`` forbids a pair.
    reg : float
        Regularisation, positive, in the units of ``M``.
    method : str, default="auto"
        - "newton": annealed semi-dual Newton on a truncated support, certified by
          passes over all entries; the fastest at small ``reg`` or small ``tol``;
        - "newton_direct": the same with a dense Cholesky factorisation, for small m;
        - "sinkhorn": log-domain Sinkhorn with over-relaxation and annealing;
        - "sinkhorn_stabilized": scaling on a stored kernel with absorption;
        - "sns" and "ssns": Sinkhorn-Newton-Sparse (Tang et al. 2024) and the safe and
          sparse Newton method (Tang & Qiu 2024), for comparison;
        - "auto": "newton" where ``tol <= 1e-4`` or ``reg`` is below 2% of the range
          of the cost, otherwise 50 sweeps of "sinkhorn", then "newton" if needed.
    tol : float, default=1e-9
        L1 marginal error, summed over both sides and all entries, relative to the
        total mass, at which the solver stops.
    max_iter : int, default=1000
        Bound on full passes plus Newton steps.
    warmstart : SinkhornResult or tuple (f, g), default=None
        Potentials to start from.
    scaling : float, default=4.0
        Factor between successive regularisations of the annealing; 1 turns it off.
    n_warmup : int, default=3
        Sinkhorn sweeps before Newton steps at each level ("sns": in all; the paper
        uses 20, and 700 for L1 costs).
    density : float, default=None
        "sns" only: fraction of plan entries kept in the Hessian; None means 2 / n.
    tau : float, default=None
        "newton" only: entries below ``a_i b_j exp(-tau)`` leave the last truncated
        support; None means 22. It changes the speed, never the answer.
    max_support : int, default=None
        "newton" only: most entries of a truncated support, and at most a quarter of
        n * m. Above it the Hessian is dense.
    dtype : str, default=None
        "float32" or "float64", the dtype of the answer; None keeps that of the input.
        Arithmetic that the certificate depends on is always float64.
    n_threads : int, default=None
        Threads for this call; None means ``numopt.get_num_threads()``.
    callback : callable, default=None
        Called with an ``IterationInfo`` after every full pass: ``n_iter``, ``eps``,
        ``stage``, ``marginal_error``, ``dual_value``; a true answer stops.
    verbose : int, default=0
        0 silent, 1 progress bar, 2 log lines.
    return_plan : bool, default=False
        Build ``result.plan`` now rather than on first use.
    warn : bool, default=True
        Issue a ConvergenceWarning when ``tol`` was not reached.

    Returns
    -------
    SinkhornResult
        Potentials, values, certificate and the plan on demand, as arrays of the
        library, device and dtype of the input. A HistogramsResult when ``b`` is 2-D.

    Raises
    ------
    TypeError
        When an argument is of the wrong kind, or libraries are mixed.
    ValueError
        When a value is invalid, shapes or sums do not match, or a point with positive
        weight has only infinite costs (``InfeasibleError``).

    Warns
    -----
    ConvergenceWarning
        When ``tol`` was not reached; the result is finite all the same.

    See Also
    --------
    sinkhorn2 : Only the transport cost.
    round_plan : Exact marginals from any plan.
    SinkhornTransport : Estimator with out-of-sample maps.

    Notes
    -----
    The dual in g alone (row potentials eliminated) is smooth and concave; its negative
    Hessian is the Laplacian of the weighted graph of the plan. Newton steps use its
    entries on a truncated support, which stays diagonally dominant whatever is
    dropped, and conjugate gradients (Tang et al. 2024 started from sparse Newton steps
    on both potentials). Truncation never enters the answer: only a pass over all
    entries can declare convergence.

    A full pass reads M once and takes one exponential an entry. Memory: M and the
    support. CuPy and torch arrays use dense Newton steps (no truncation). float32
    input is solved in float64 and returned in float32, so ``f`` and ``plan`` carry
    its rounding of about 6e-8.

    References
    ----------
    Tang, Shavlovsky, Rahmanian, Tardini, Thekumparampil, Xiao & Ying (2024),
    Accelerating Sinkhorn algorithm with sparse Newton iterations, ICLR.
    Tang & Qiu (2024), Safe and sparse Newton method for entropic-regularized optimal
    transport, NeurIPS. Schmitzer (2019), Stabilized sparse scaling algorithms for
    entropy regularized transport problems, SIAM J. Sci. Comput. 41(3).
    Peyré & Cuturi (2019), Computational optimal transport, sections 4.2-4.4.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.ot import sinkhorn
    >>> x = np.linspace(0, 1, 5)
    >>> M = (x[:, None] - x[None, :]) ** 2
    >>> result = sinkhorn(None, [0.4, 0.3, 0.1, 0.1, 0.1], M, reg=1e-2)
    >>> result.converged, result.marginal_error < 1e-9
    (True, True)
    >>> result.plan.sum(axis=1).round(6).tolist()
    [0.2, 0.2, 0.2, 0.2, 0.2]
    """
    v.check_choice("method", method, METHODS)
    options = check_options(
        tol=tol,
        max_iter=max_iter,
        scaling=scaling,
        n_warmup=n_warmup,
        density=density,
        tau=tau,
        max_support=max_support,
    )
    control = check_control(callback, verbose, n_threads)
    problem, core, targets = _problem(a, b, M, reg, method)
    start = _core_start(warmstart, problem, core)
    algorithms = (
        dict.fromkeys(METHODS, histogram_rounds) if core.b.ndim == 2 else _ALGORITHMS
    )
    name, fields = run(core, method, algorithms, options, start, control)
    if not core.finite and fields["status"] in ("max_iter", "stalled"):
        fields["message"] += "; infinite costs may leave an infeasible support"
    if warn and fields["status"] not in ("converged", "callback"):
        warn_not_converged(f"sinkhorn (method={name!r})", fields["message"])
    fields |= {"reg": problem.reg, "method": name}
    result: SinkhornResult | HistogramsResult = (
        _result(problem, core, fields, dtype)
        if targets is None
        else _histograms_result(problem, targets, core, fields, dtype)
    )
    if return_plan:
        _ = result.plan
    return result


def sinkhorn2(
    a: Array | None, b: Array | None, M: Array, reg: float, **options: Any
) -> float | Array:
    """Return the transport cost ``<P, M>`` of the entropic plan.

    Parameters
    ----------
    a, b : array of shape (n,) and (m,), or None
        Weights; None means uniform. For k targets ``b`` is (m, k).
    M : array of shape (n, m)
        Cost.
    reg : float
        Regularisation, positive.
    **options : dict
        Passed to ``sinkhorn``.

    Returns
    -------
    float, or array of shape (k,)
        The linear part of the objective, as POT's function of the same name; one for
        each target when ``b`` is 2-D.

    See Also
    --------
    sinkhorn : The full result.

    Examples
    --------
    >>> from numopt.ot import sinkhorn2
    >>> round(sinkhorn2(None, None, [[0.0, 1.0], [1.0, 0.0]], reg=0.1), 6)
    4.5e-05
    """
    return sinkhorn(a, b, M, reg, **options).value_linear


def _problem(
    a: Array | None, b: Array | None, M: Array, reg: float, method: str
) -> tuple[TransportProblem, CoreProblem, Array | None]:
    """Return the problem, its core, and the targets when there are several."""
    (weights,) = v.float_arrays(b=b)[1]
    if weights is None or weights.ndim != 2 or not method.startswith("sinkhorn"):
        problem = TransportProblem.from_arrays(a, b, M, reg)
        return problem, CoreProblem.from_problem(problem), None
    problem, targets = TransportProblem.from_histograms(a, b, M, reg)
    core = CoreProblem.from_problem(problem, swap=False).with_histograms(targets)
    return problem, core, targets


def _core_start(
    warmstart: Any, problem: TransportProblem, core: CoreProblem
) -> tuple[Array, Array] | None:
    """Potentials of a warm start in the order of the core problem."""
    targets = tuple(core.b.shape[1:])
    n, m = problem.M.shape
    shapes = (n, *targets), (m, *targets)
    return core_start(warmstart, core, problem.M, shapes)


def _result(
    problem: TransportProblem, core: CoreProblem, fields: dict[str, Any], dtype: Any
) -> SinkhornResult:
    """Undo the reduction of one target and give the arrays their dtype."""
    f, g = _full_potentials(problem, core, fields["f"], fields["g"])
    problem, f, g = _cast(problem, f, g, dtype)
    dual_value = whole_dual_value(problem.mass, problem.reg, host(fields["dual_value"]))
    error = host(fields["marginal_error"])
    own = {"f": f, "g": g, "dual_value": dual_value, "marginal_error": error}
    return SinkhornResult(problem=problem, **(fields | own))


def _histograms_result(
    problem: TransportProblem,
    targets: Array,
    core: CoreProblem,
    fields: dict[str, Any],
    dtype: Any,
) -> HistogramsResult:
    """Return the results of the targets, one by one."""
    results = []
    for h in range(targets.shape[1]):
        own = {"f": fields["f"][:, h], "g": fields["g"][:, h]}
        own |= {key: fields[key][h] for key in ("dual_value", "marginal_error")}
        one = dataclasses.replace(problem, b=targets[:, h])
        results.append(_result(one, core, fields | own, dtype))
    names = ("n_iter", "converged", "message", "status", "history", "reg", "method")
    return HistogramsResult(
        results=tuple(results), **{name: fields[name] for name in names}
    )


def _full_potentials(
    problem: TransportProblem, core: CoreProblem, f: Array, g: Array
) -> tuple[Array, Array]:
    """Undo the reduction: order, points of zero weight, total mass."""
    xp = problem.xp
    if core.swapped:
        f, g = g, f
    # P = a b exp(...) / mass in core units: shift the potentials by eps log(mass).
    shift = 0.5 * core.eps * math.log(problem.mass)
    f, g = f - shift, g - shift
    a, b, M = (
        xp.astype(x, xp.float64, copy=False) for x in (problem.a, problem.b, problem.M)
    )
    # An update of one side does not raise the L1 error of the other: it is certified.
    if core.columns is not None or not bool(xp.all(b > 0)):
        kept_M, kept_a = _take_rows(M, a, core.rows, xp)
        g = column_potentials(f, kept_a, kept_M, core.eps)
    if core.rows is not None:
        f = row_potentials(g, b, M, core.eps)
    return f, g


def _take_rows(
    M: Array, a: Array, rows: Array | None, xp: Namespace
) -> tuple[Array, Array]:
    """Leave out the rows of zero weight."""
    if rows is None:
        return M, a
    return xp.take(M, rows, axis=0), xp.take(a, rows)


def _cast(
    problem: TransportProblem, f: Array, g: Array, dtype: Any
) -> tuple[TransportProblem, Array, Array]:
    """Give the arrays of the answer the dtype of the input, or the one asked for."""
    xp = problem.xp
    wanted = problem.M.dtype if dtype is None else parse_dtype(dtype, xp)
    f, g = (xp.astype(x, wanted) for x in (f, g))
    if wanted != problem.M.dtype:
        cast = {k: xp.astype(getattr(problem, k), wanted) for k in ("a", "b", "M")}
        problem = dataclasses.replace(problem, **cast)
    return problem, f, g
