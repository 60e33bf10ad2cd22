# SPDX-License-Identifier: BSD-3-Clause
"""Sinkhorn divergence: entropic transport without its bias, and gradients of it."""

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any

from numopt import _validation as v
from numopt._array.namespace import array_namespace, device, to_numpy
from numopt._iterate.result import SolverResult
from numopt._iterate.stopping import warn_not_converged
from numopt._numerics.distances import METRICS, pairwise_distances
from numopt.exceptions import ArgumentTypeError
from numopt.ot._problem import CoreProblem
from numopt.ot._problem.points import PointsProblem
from numopt.ot._solvers.driver import check_control, check_options, core_start, run
from numopt.ot._solvers.points import sinkhorn_points
from numopt.ot._solvers.points_result import PointsResult
from numopt.ot._solvers.state import LEVEL_TOL, Options, TransportState, next_eps
from numopt.ot._solvers.unbalanced import UnbalancedResult, sinkhorn_unbalanced
from numopt.typing import Array, Callback

__all__ = ["DivergenceResult", "sinkhorn_divergence"]

#: Sweeps of a cloud with itself at one eps, before Newton steps take over.
SWEEPS = 30
#: A sweep takes errors to -lambda times themselves, 0 <= lambda <= 1: the best fixed
#: step and momentum (heavy ball) for curvatures 1 + lambda between 1 and 2.
STEP, MOMENTUM = 4 / (1 + 2**0.5) ** 2, ((2**0.5 - 1) / (2**0.5 + 1)) ** 2

Part = PointsResult | UnbalancedResult


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class DivergenceResult(SolverResult):
    """Divergence of two clouds, the three transport problems behind it, gradients.

    Parameters
    ----------
    n_iter : int
        Iterations of the three problems together.
    converged : bool
        Whether all three reached ``tol``.
    message : str
        That of the problem with the largest error.
    status : str
        Likewise.
    history : dict of str to ndarray
        That of the transport from ``X`` to ``Y``.
    value : float
        The divergence: not negative, and zero for equal clouds, up to ``tol``.
    value_xy, value_xx, value_yy : float
        Optimal values of the three transport problems.
    marginal_error : float
        Largest error of the three.
    reg : float
        Regularisation.
    metric : str
        Cost.
    X, Y : array of shape (n, d) and (m, d)
        The clouds.
    xy, xx, yy : PointsResult or UnbalancedResult
        The transport problems. Their plans, maps and potentials are at hand.

    See Also
    --------
    sinkhorn_divergence : The function that makes it.

    Examples
    --------
    >>> from numopt.ot import sinkhorn_divergence
    >>> result = sinkhorn_divergence([[0.0], [1.0]], [[3.0], [4.0]], reg=0.1)
    >>> round(result.value, 6)
    9.0
    >>> result.grad_X.round(6).tolist()
    [[-3.0], [-3.0]]
    """

    value: float
    value_xy: float
    value_xx: float
    value_yy: float
    marginal_error: float
    reg: float
    metric: str
    X: Array
    Y: Array
    xy: Part
    xx: Part
    yy: Part

    @functools.cached_property
    def grad_X(self) -> Array:
        """Gradient of the divergence in ``X`` (n, d), by the envelope theorem."""
        return self._gradient(self.xx, self.X, 0)

    @functools.cached_property
    def grad_Y(self) -> Array:
        """Gradient of the divergence in ``Y`` (m, d)."""
        return self._gradient(self.yy, self.Y, 1)

    def _gradient(self, own: Part, x: Array, side: int) -> Array:
        """Gradient of the cross term less half of those of a cloud with itself."""
        cross = _gradient(self.xy, self.X, self.Y, self.metric, side)
        both = (_gradient(own, x, x, self.metric, k) for k in (0, 1))
        return cross - 0.5 * sum(both)


def sinkhorn_divergence(
    X: Array,
    Y: Array,
    reg: float,
    *,
    a: Array | None = None,
    b: Array | None = None,
    metric: str = "sqeuclidean",
    reg_m: float | None = None,
    tol: float = 1e-8,
    max_iter: int = 1000,
    warmstart: DivergenceResult | None = None,
    n_threads: int | None = None,
    callback: Callback | None = None,
    verbose: int = 0,
    warn: bool = True,
) -> DivergenceResult:
    r"""Measure how far two clouds are apart, by debiased entropic transport.

    .. math::
        S(a, b) = W(a, b) - \tfrac12 W(a, a) - \tfrac12 W(b, b)
        + \tfrac\varepsilon2 \bigl( |a| - |b| \bigr)^2

    where W is the optimal value of ``sinkhorn_points``, or of ``sinkhorn_unbalanced``
    when ``reg_m`` is given, :math:`\varepsilon` is ``reg`` and :math:`|a|` is the mass.

    Parameters
    ----------
    X : array of shape (n, d)
        First cloud.
    Y : array of shape (m, d)
        Second cloud.
    reg : float
        Regularisation, positive, in the units of the cost.
    a : array of shape (n,), default=None
        Weights of the first cloud, non-negative; None means uniform of total 1.
    b : array of shape (m,), default=None
        Weights of the second cloud; of the sum of ``a`` unless ``reg_m`` is given.
    metric : str, default="sqeuclidean"
        Cost: "sqeuclidean", "euclidean", "cityblock" or "cosine".
    reg_m : float, default=None
        Penalty of the marginals, in the units of the cost; None keeps them exactly.
    tol : float, default=1e-8
        Marginal error of the three problems, relative to the mass.
    max_iter : int, default=1000
        Bound on the iterations of each.
    warmstart : DivergenceResult, default=None
        Result for similar clouds of the same sizes to start from.
    n_threads : int, default=None
        Threads for this call; None means ``numopt.get_num_threads()``. Balanced
        problems only.
    callback : callable, default=None
        Called with an ``IterationInfo`` while transport from ``X`` to ``Y`` is solved;
        a true answer stops that.
    verbose : int, default=0
        0 silent, 1 progress bar, 2 log lines.
    warn : bool, default=True
        Issue a ConvergenceWarning when ``tol`` was not reached.

    Returns
    -------
    DivergenceResult
        ``value`` with its three parts, and ``grad_X``, ``grad_Y``.

    Raises
    ------
    TypeError
        When an argument is of the wrong kind, or libraries are mixed.
    ValueError
        When a value is invalid, or shapes, dimensions or sums do not match.

    Warns
    -----
    ConvergenceWarning
        When ``tol`` was not reached; the result is finite all the same.

    See Also
    --------
    sinkhorn_points : The transport between the clouds.
    sliced_wasserstein : A cheaper distance.

    Notes
    -----
    The divergence goes from the transport cost (``reg`` to 0) to a kernel distance
    (``reg`` to infinity) and is zero only for equal clouds; the transport value alone
    is smallest for a shrunk copy. A cloud with itself has one potential: steps
    towards its update, with momentum, on levels of decreasing ``reg`` converge in a
    few passes; Newton steps follow where they do not. Values are those of the dual,
    whose errors are of the second order in the marginal error. Balanced problems store
    no matrix; unbalanced ones store the costs.

    References
    ----------
    Feydy, Séjourné, Vialard, Amari, Trouvé & Peyré (2019), Interpolating between
    optimal transport and MMD using Sinkhorn divergences, AISTATS. Séjourné, Feydy,
    Vialard, Trouvé & Peyré (2019), Sinkhorn divergences for unbalanced optimal
    transport, arXiv 1910.12958. Polyak (1964), Some methods of speeding up the
    convergence of iteration methods, USSR Comput. Math. Math. Phys. 4.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.ot import sinkhorn_divergence
    >>> rng = np.random.default_rng(0)
    >>> X = rng.random((100, 2))
    >>> sinkhorn_divergence(X, X, reg=0.1).value
    0.0
    >>> round(sinkhorn_divergence(X, X + [1.0, 0.0], reg=0.1).value, 6)
    1.0
    """
    options = check_options(tol=tol, max_iter=max_iter, scaling=4.0)
    control = check_control(callback, verbose, n_threads)
    former = _check_warmstart(warmstart)
    if reg_m is not None:
        clouds, parts = _unbalanced_parts(
            X, Y, reg, a, b, metric, reg_m, options, former, control
        )
    else:
        # Validates once for all three problems.
        problem = PointsProblem.from_arrays(
            X, Y, a, b, reg, metric=metric, batch_size=None
        )
        clouds = problem.X, problem.Y
        parts = _balanced_parts(problem, options, former, control)
    xy, xx, yy = parts
    worst = max(parts, key=lambda part: part.marginal_error)
    if warn and worst.status not in ("converged", "callback"):
        warn_not_converged("sinkhorn_divergence", worst.message)
    value_xy, value_xx, value_yy = (part.dual_value for part in parts)
    value = value_xy - 0.5 * (value_xx + value_yy)
    if isinstance(xy, UnbalancedResult):
        xp = array_namespace(xy.f)
        gap = float(xp.sum(xy.problem.a)) - float(xp.sum(xy.problem.b))
        value += 0.5 * xy.reg * gap**2
    return DivergenceResult(
        n_iter=sum(part.n_iter for part in parts),
        converged=all(part.converged for part in parts),
        message=worst.message,
        status=worst.status,
        history=xy.history,
        value=value,
        value_xy=value_xy,
        value_xx=value_xx,
        value_yy=value_yy,
        marginal_error=worst.marginal_error,
        reg=xy.reg,
        metric=metric,
        X=clouds[0],
        Y=clouds[1],
        xy=xy,
        xx=xx,
        yy=yy,
    )


def _check_warmstart(warmstart: Any) -> tuple[Any, Any, Any]:
    """Return the three results to start from, None without any."""
    if warmstart is None:
        return None, None, None
    if not isinstance(warmstart, DivergenceResult):
        kind = type(warmstart).__name__
        raise ArgumentTypeError(v.message("warmstart", "a DivergenceResult", kind))
    return warmstart.xy, warmstart.xx, warmstart.yy


def _same(x: Array, y: Array) -> bool:
    """Whether two arrays are equal in every entry."""
    xp = array_namespace(x)
    return x.shape == y.shape and bool(xp.all(x == y))


def _balanced_parts(
    problem: PointsProblem, options: Options, former: Any, control: Any
) -> tuple[Part, Part, Part]:
    """Solve for X to Y, X to itself and Y to itself; equal clouds only once."""
    X, Y, a, b = problem.X, problem.Y, problem.a, problem.b
    xx = _with_itself(X, a, problem, options, former[1], control)
    if _same(X, Y) and _same(a, b):
        return xx, xx, xx
    yy = _with_itself(Y, b, problem, options, former[2], control)
    xy = sinkhorn_points(
        X,
        Y,
        problem.reg,
        a=a,
        b=b,
        metric=problem.metric,
        tol=options.tol,
        max_iter=options.max_iter,
        warmstart=former[0],
        n_threads=control.n_threads,
        callback=control.callback,
        verbose=control.verbose,
        warn=False,
    )
    return xy, xx, yy


def _with_itself(
    X: Array, a: Array, like: PointsProblem, options: Options, former: Any, control: Any
) -> PointsResult:
    """Sweeps with momentum on one potential, then a certificate, or Newton steps."""
    problem = PointsProblem.from_arrays(
        X, X, a, a, like.reg, metric=like.metric, batch_size=None
    )
    core = problem.core(options.tol)
    n = (X.shape[0],)
    quiet = control._replace(callback=None)
    algorithms = {"symmetric": symmetric_rounds}
    start = core_start(former, core, X, (n, n))
    _, fields = run(core, "symmetric", algorithms, options, start, quiet)
    f = _whole(core, 0.5 * (fields["f"] + fields["g"]), a)
    return sinkhorn_points(
        X,
        X,
        like.reg,
        a=a,
        b=a,
        metric=like.metric,
        tol=options.tol,
        max_iter=options.max_iter,
        warmstart=(f, f),
        n_threads=control.n_threads,
        verbose=control.verbose,
        warn=False,
    )


def _whole(core: CoreProblem, f: Array, a: Array) -> Array:
    """Potential in the order of the caller; a start needs none at empty points."""
    if core.rows is None:
        return f
    xp, where = core.xp, device(f)
    empty = xp.asarray((to_numpy(a) == 0).nonzero()[0], device=where)
    order = xp.argsort(xp.concat([core.rows, empty]))
    return xp.take(
        xp.concat([f, xp.zeros(empty.shape, dtype=f.dtype, device=where)]), order
    )


def symmetric_rounds(
    problem: CoreProblem, state: TransportState, options: Options
) -> Iterator[None]:
    """Move the one potential of a cloud towards its update, with momentum."""
    state.stage = "symmetric"
    while True:
        last = state.eps <= problem.eps
        before = state.gamma
        for _ in range(SWEEPS):
            state.full_pass(problem)
            yield
            if state.error <= (options.tol if last else LEVEL_TOL):
                break
            change = STEP * (state.phi - state.gamma)
            change = change + MOMENTUM * (state.gamma - before)
            before, state.gamma = state.gamma, state.gamma + change
        if last:
            return
        state.move_to(problem, next_eps(state.eps, problem.eps, options.scaling))


def _unbalanced_parts(
    X: Any,
    Y: Any,
    reg: float,
    a: Any,
    b: Any,
    metric: str,
    reg_m: float,
    options: Options,
    former: Any,
    control: Any,
) -> tuple[tuple[Array, Array], tuple[Part, Part, Part]]:
    """Solve the three problems with stored costs; equal clouds only once."""
    reg_m = v.check_real("reg_m", reg_m, low=0, include_low=False)
    v.check_choice("metric", metric, METRICS)
    X, Y, a, b = v.float_arrays(X=X, Y=Y, a=a, b=b)[1]
    for name, points in (("X", X), ("Y", Y)):
        v.check_ndim(name, points, 2, hint="points on a line: reshape(-1, 1)")
        v.check_values(name, points)
    v.check_shape("Y", Y, (Y.shape[0], X.shape[1]), why="(as many columns as `X`)")

    def solve(x: Array, y: Array, p: Any, q: Any, start: Any, callback: Any) -> Any:
        return sinkhorn_unbalanced(
            p,
            q,
            pairwise_distances(x, y, metric),
            reg,
            reg_m,
            tol=options.tol,
            max_iter=options.max_iter,
            warmstart=start,
            callback=callback,
            verbose=control.verbose,
            warn=False,
        )

    xx = solve(X, X, a, a, former[1], None)
    same_weights = a is b or (a is not None and b is not None and _same(a, b))
    if _same(X, Y) and same_weights:
        return (X, Y), (xx, xx, xx)
    yy = solve(Y, Y, b, b, former[2], None)
    return (X, Y), (solve(X, Y, a, b, former[0], control.callback), xx, yy)


def _gradient(part: Part, x: Array, y: Array, metric: str, side: int) -> Array:
    """Gradient of a transport value in one of its clouds."""
    if isinstance(part, PointsResult):
        return part.grad_Y if side else part.grad_X
    if side:
        return _plan_gradient(
            array_namespace(x).matrix_transpose(part.plan), y, x, metric
        )
    return _plan_gradient(part.plan, x, y, metric)


def _plan_gradient(plan: Array, x: Array, y: Array, metric: str) -> Array:
    """``sum_j P_ij grad c(x_i, y_j)``, one coordinate at a time."""
    xp = array_namespace(x)
    if metric == "cosine":
        norm, other = (xp.sqrt(xp.sum(z * z, axis=1, keepdims=True)) for z in (x, y))
        unit, inner = x / norm, -(plan @ (y / other))
        return (inner - unit * xp.sum(unit * inner, axis=1, keepdims=True)) / norm
    if metric == "euclidean":
        distance = pairwise_distances(x, y, metric)
        apart = distance > 0
        plan = xp.where(apart, plan / xp.where(apart, distance, 1.0), 0.0 * plan)
    gaps = (x[:, k][:, None] - y[:, k][None, :] for k in range(x.shape[1]))
    factor = 2.0 if metric == "sqeuclidean" else 1.0
    columns = [
        factor * xp.sum(plan * (xp.sign(g) if metric == "cityblock" else g), axis=1)
        for g in gaps
    ]
    return xp.stack(columns, axis=1)
