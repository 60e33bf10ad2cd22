# SPDX-License-Identifier: BSD-3-Clause
"""Progressive partial transport of samples to clusters, with a graph of samples."""

import dataclasses
import math
from typing import Any

import numpy as np

from numopt import _validation as v
from numopt._iterate.loop import iterate
from numopt._iterate.result import SolverResult
from numopt._iterate.stopping import warn_not_converged
from numopt.exceptions import ArgumentTypeError
from numopt.ot._problem.semi_relaxed import SemiRelaxedProblem
from numopt.ot._solvers.state import host
from numopt.ot._solvers.unbalanced import UnbalancedSolver
from numopt.typing import Array, Callback

__all__ = ["ProgressiveResult", "mass_ramp", "progressive_partial_ot"]

#: Steps of the majorisation, the L1 change relative to ``rho`` at which it stops, and
#: halvings of a step that does not descend.
MAX_OUTER, OUTER_TOL, HALVINGS = 50, 1e-4, 20
#: Steepness of the ramp.
STEEPNESS = 5.0


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ProgressiveResult(SolverResult):
    """Assignment of a part of the samples to clusters.

    Parameters
    ----------
    n_iter : int
        Full passes over the costs plus Newton steps.
    converged : bool
        Whether ``marginal_error <= tol`` and, with a graph, the plan has settled.
    message : str
        Why the solver stopped and, on failure, what to try.
    status : str
        "converged", "max_iter", "callback" or "stalled".
    history : dict of str to ndarray
        One entry a step of the last transport problem: "n_iter", "time", "objective"
        (its dual value), "residual" and "eps".
    plan : array of shape (N, K)
        Soft assignment; rows sum to at most 1 / N, the whole to ``rho``.
    f : array of shape (N,)
        Potentials of the samples.
    g : array of shape (K,)
        Potentials of the clusters: a cluster that is in demand has a negative one.
    g_rest : float
        Potential of the mass left out; -inf where ``rho`` is 1. Without a graph the
        plan is ``exp((f_i + g_k - C_ik) / reg) / N``, and ``exp((f_i + g_rest) / reg)
        / N`` of sample i is left out.
    value : float
        Objective of the plan, with the entropy of the mass left out.
    dual_value : float
        Its lower bound without a graph; that of the last majorisation with one.
    marginal_error : float
        L1 violation of the optimality conditions of the cluster sizes.
    reg, rho : float
        Entropic regularisation and mass.
    n_outer : int
        Steps of the majorisation; 1 without a graph.
    n_newton : int
        Newton steps.

    See Also
    --------
    progressive_partial_ot : The function that makes it.

    Examples
    --------
    >>> from numopt.ot import progressive_partial_ot
    >>> C = [[0.0, 3.0], [0.1, 3.0], [3.0, 0.0], [9.0, 9.0]]
    >>> progressive_partial_ot(C, 0.75, reg=0.1).plan.sum(axis=1).round(2).tolist()
    [0.25, 0.25, 0.25, 0.0]
    """

    plan: Array
    f: Array
    g: Array
    g_rest: float
    value: float
    dual_value: float
    marginal_error: float
    reg: float
    rho: float
    n_outer: int
    n_newton: int


def mass_ramp(step: int, steps: int, start: float, end: float = 1.0) -> float:
    """Mass at a step of a progressive fit: from ``start`` to ``end``, slowly first.

    ``start + (end - start) exp(-5 (1 - step / steps)^2)``, Zhang et al. (2024).
    """
    phase = 1.0 - min(step / steps, 1.0) if steps > 0 else 0.0
    return start + (end - start) * math.exp(-STEEPNESS * phase * phase)


def progressive_partial_ot(
    C: Array,
    rho: float,
    *,
    reg: float = 0.1,
    reg_kl: float = 1.0,
    graph: Any = None,
    graph_weight: float = 0.0,
    tol: float = 1e-9,
    max_iter: int = 1000,
    warmstart: Any = None,
    callback: Callback | None = None,
    verbose: int = 0,
    warn: bool = True,
) -> ProgressiveResult:
    r"""Assign the mass ``rho`` of the samples to clusters that may differ in size.

    .. math::
        \min_{Q \ge 0} \langle Q, C \rangle
        + \lambda\,\mathrm{KL}(Q^T 1 \,|\, \tfrac{\rho}{K} 1)
        - \mu \langle A, Q Q^T \rangle + \varepsilon\,\mathrm{entropy}
        \quad \text{subject to} \quad Q 1 \le \tfrac1N 1,\; 1^T Q 1 = \rho

    Parameters
    ----------
    C : array of shape (N, K)
        Cost of a sample in a cluster, such as minus the log-probability of a
        classifier, finite.
    rho : float
        Mass to assign, in (0, 1]. Training ramps it up from 0.1 to 1, so that the
        samples that are easy to assign come first.
    reg : float, default=0.1
        Entropic regularisation :math:`\varepsilon`, in the units of ``C``.
    reg_kl : float, default=1.0
        Price :math:`\lambda` of unequal sizes, in the units of ``C``; ``inf`` makes
        them equal, 0 leaves them free.
    graph : array or sparse array of shape (N, N), default=None
        Symmetric non-negative similarities A of samples, such as a nearest neighbour
        graph.
    graph_weight : float, default=0.0
        Reward :math:`\mu` of similar samples in the same cluster. Q is of order 1 / N,
        so a useful weight is of order N over the number of neighbours.
    tol : float, default=1e-9
        L1 violation of the optimality conditions at which the solver stops.
    max_iter : int, default=1000
        Bound on full passes plus Newton steps of each transport problem.
    warmstart : ProgressiveResult or array of shape (K,), default=None
        Cluster potentials to start from.
    callback : callable, default=None
        Called with an ``IterationInfo`` after every step; a true answer stops.
    verbose : int, default=0
        0 silent, 1 progress bar, 2 log lines.
    warn : bool, default=True
        Issue a ConvergenceWarning when ``tol`` was not reached.

    Returns
    -------
    ProgressiveResult
        Soft assignment, potentials and certificate.

    Raises
    ------
    ValueError
        When a value is invalid or shapes do not match.

    Warns
    -----
    ConvergenceWarning
        When ``tol`` was not reached.

    See Also
    --------
    OTKMeans : Clustering that alternates this with means.

    Notes
    -----
    A column of cost 0 and exact mass ``1 - rho`` takes what is left out. Entropy is
    that of the publication, ``KL(Q | 1 / N)`` over all columns. The semi-dual in the
    K + 1 cluster potentials is solved by Newton's method on levels of decreasing
    ``reg``, where the publication scales: a pass costs O(NK) and the error is that of
    the optimality conditions. The graph term is replaced by its tangent, ``C - 2
    graph_weight A Q``, until the plan settles; for a positive semi-definite A each step
    is a majorisation, for others it is shortened until the objective descends.

    References
    ----------
    Zhang, Ren & He (2024), P2OT: Progressive partial optimal transport for deep
    imbalanced clustering, ICLR; their code has ``reg = 0.1``, ``reg_kl = 1`` and a ramp
    from 0.1. Zhang, Ren & He (2024), SP2OT, arXiv 2404.03446, for the graph.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.ot import progressive_partial_ot
    >>> C = np.array([[0.0, 2.0], [0.0, 2.0], [0.0, 2.0], [1.0, 1.2]])
    >>> progressive_partial_ot(C, 1.0, reg_kl=10.0).plan.sum(axis=0).round(2).tolist()
    [0.55, 0.45]
    """
    tol = v.check_real("tol", tol, low=0)
    max_iter = v.check_int("max_iter", max_iter, low=1)
    graph_weight = v.check_real("graph_weight", graph_weight, low=0)
    v.check_callback(callback)
    verbose = v.check_int("verbose", verbose, low=0, high=2)
    problem, dtype = SemiRelaxedProblem.from_arrays(C, rho, reg, reg_kl)
    A = None if graph_weight == 0.0 else _check_graph(graph, problem)
    options: dict[str, Any] = {
        "tol": tol,
        "max_iter": max_iter,
        "callback": callback,
        "verbose": verbose,
        "warn": False,
    }
    fields = iterate(
        UnbalancedSolver("progressive_partial_ot"),
        problem,
        warm_start=_start(warmstart, problem),
        **options,
    )
    plan, n_outer = _plan(problem, fields["point"]), 1
    if A is not None:
        plan, fields, n_outer = _majorise(problem, A, graph_weight, fields, options)
    if warn and fields["status"] not in ("converged", "callback"):
        warn_not_converged("progressive_partial_ot", fields["message"])
    return _result(problem, dtype, plan, fields, n_outer, (A, graph_weight))


def _start(warmstart: Any, problem: SemiRelaxedProblem) -> Array | None:
    """Potentials of a warm start, with one for the mass left out."""
    if warmstart is None:
        return None
    rest = 0.0
    if isinstance(warmstart, ProgressiveResult):
        rest = warmstart.g_rest if math.isfinite(warmstart.g_rest) else 0.0
        warmstart = warmstart.g
    xp, (g, _) = v.float_arrays(warmstart=warmstart, M=problem.M)
    v.check_shape("warmstart", g, (problem.n_clusters,), why="(one a cluster)")
    v.check_values("warmstart", g)
    g = xp.astype(g, xp.float64, copy=False)
    extra = xp.full_like(problem.b[problem.n_clusters :], rest)
    return xp.concat([g, extra])


def _check_graph(graph: Any, problem: SemiRelaxedProblem) -> Any:
    """Check similarities, dense or (on the host) sparse."""
    n = problem.a.shape[0]
    if graph is None:
        raise ValueError(v.message("graph", "given with a `graph_weight`", None))
    if hasattr(graph, "tocsr"):
        if not isinstance(problem.M, np.ndarray):
            raise ArgumentTypeError(
                v.message("graph", "a dense array of the library of `C`", "sparse")
            )
        graph = graph.tocsr()
        v.check_values("graph", np.asarray(graph.data, float), nonnegative=True)
        asymmetry, scale = abs(graph - graph.T).max(), abs(graph).max()
    else:
        xp, (graph, _) = v.float_arrays(graph=graph, C=problem.M)
        v.check_ndim("graph", graph, 2)
        v.check_values("graph", graph, nonnegative=True)
        if graph.shape[0] == graph.shape[1]:
            asymmetry = host(xp.max(xp.abs(graph - xp.matrix_transpose(graph))))
            scale = host(xp.max(graph))
    if tuple(graph.shape) != (n, n):
        raise ValueError(
            f"`graph` must be of shape {(n, n)} (rows of `C`), got {graph.shape}"
        )
    if asymmetry > 1e-9 * scale:
        raise ValueError(v.message("graph", "symmetric", "another matrix"))
    return graph


def _plan(problem: SemiRelaxedProblem, point: Any) -> Array:
    """Plan over all columns."""
    xp = problem.xp
    z = (point.f[:, None] + point.x[None, :] - problem.M) / problem.eps
    return problem.a[:, None] * xp.exp(z)


def _graph_reward(problem: SemiRelaxedProblem, A: Any, Q: Array) -> tuple[Array, Array]:
    """Return ``A Q`` and ``<A, Q Q^T>`` over the clusters."""
    clusters = Q[:, : problem.n_clusters]
    product = A @ clusters
    return product, problem.xp.sum(product * clusters)


def _majorise(
    problem: SemiRelaxedProblem,
    A: Any,
    weight: float,
    fields: dict[str, Any],
    options: dict[str, Any],
) -> tuple[Array, dict[str, Any], int]:
    """Solve with the tangent of the graph term until the plan settles."""
    xp, k = problem.xp, problem.n_clusters
    C, Q = problem.M[:, :k], _plan(problem, fields["point"])
    rho, n_iter, n_newton = host(xp.sum(Q[:, :k])), fields["n_iter"], fields["n_newton"]

    def objective(plan: Array) -> float:
        reward = _graph_reward(problem, A, plan)[1]
        return host(problem.objective(plan, problem.eps) - weight * reward)

    value, settled, n_outer = objective(Q), False, 0
    solver = UnbalancedSolver("progressive_partial_ot")
    while n_outer < MAX_OUTER and not settled and fields["status"] != "callback":
        n_outer += 1
        tangent = problem.with_cost(C - 2.0 * weight * _graph_reward(problem, A, Q)[0])
        start = fields["point"].x
        fields = iterate(solver, tangent, warm_start=start, **options)
        n_iter, n_newton = n_iter + fields["n_iter"], n_newton + fields["n_newton"]
        step = _plan(tangent, fields["point"]) - Q
        t, trial = 1.0, objective(Q + step)
        for _ in range(HALVINGS):
            if trial <= value + 1e-12 * abs(value):
                break
            t *= 0.5
            trial = objective(Q + t * step)
        Q, value = Q + t * step, trial
        settled = t * host(xp.sum(xp.abs(step))) <= OUTER_TOL * rho
    fields |= {"n_iter": n_iter, "n_newton": n_newton}
    if fields["converged"] and not settled:
        message = f"the plan had not settled after {n_outer} steps of the graph"
        fields |= {"converged": False, "status": "max_iter", "message": message}
    return Q, fields, n_outer


def _result(
    problem: SemiRelaxedProblem,
    dtype: Any,
    plan: Array,
    fields: dict[str, Any],
    n_outer: int,
    graph: tuple[Any, float],
) -> ProgressiveResult:
    """Split clusters and the mass left out; value of the plan."""
    xp, k, point = problem.xp, problem.n_clusters, fields.pop("point")
    fields.pop("n_cg")
    value = problem.objective(plan, problem.eps)
    if graph[0] is not None:
        value = value - graph[1] * _graph_reward(problem, graph[0], plan)[1]
    return ProgressiveResult(
        plan=xp.astype(plan[:, :k], dtype, copy=False),
        f=xp.astype(point.f, dtype, copy=False),
        g=xp.astype(point.x[:k], dtype, copy=False),
        g_rest=host(point.x[k]) if point.x.shape[0] > k else -math.inf,
        value=host(value),
        dual_value=point.value,
        reg=problem.eps,
        rho=host(xp.sum(problem.b[:k])),
        n_outer=n_outer,
        **fields,
    )
