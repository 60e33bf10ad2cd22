# SPDX-License-Identifier: BSD-3-Clause
"""Transport between clouds of points, in memory of the size of the clouds."""

import dataclasses
import math
from typing import Any

import numpy as np

from numopt import _validation as v
from numopt._array.namespace import array_namespace, device, to_numpy
from numopt._iterate.stopping import warn_not_converged
from numopt.ot._problem import CoreProblem
from numopt.ot._problem.points import PointsProblem
from numopt.ot._problem.weights import NEGLIGIBLE
from numopt.ot._solvers.driver import (
    check_control,
    check_options,
    core_start,
    parse_dtype,
    run,
    whole_dual_value,
)
from numopt.ot._solvers.log_domain import log_domain_rounds
from numopt.ot._solvers.multiscale import multiscale_rounds
from numopt.ot._solvers.points_result import PointsResult, extended_potential
from numopt.ot._solvers.state import Rounds, host
from numopt.typing import Array, Callback, Namespace

__all__ = ["sinkhorn_points"]

_ALGORITHMS: dict[str, Rounds] = {
    "newton": multiscale_rounds,
    "sinkhorn": log_domain_rounds,
}

METHODS = ("auto", *_ALGORITHMS)

#: Largest truncated support, unless asked for otherwise.
MAX_SUPPORT = 200_000_000


def sinkhorn_points(
    X: Array,
    Y: Array,
    reg: float,
    *,
    a: Array | None = None,
    b: Array | None = None,
    metric: str = "sqeuclidean",
    method: str = "auto",
    tol: float = 1e-6,
    batch_size: int | None = None,
    max_iter: int = 1000,
    warmstart: Any = None,
    scaling: float = 4.0,
    tau: float | None = None,
    max_support: int | None = None,
    dtype: Any = None,
    n_threads: int | None = None,
    callback: Callback | None = None,
    verbose: int = 0,
    return_plan: bool = False,
    warn: bool = True,
) -> PointsResult:
    r"""Solve entropic transport between two clouds, without a cost matrix.

    .. math::
        \min_{P \ge 0,\ P 1 = a,\ P^T 1 = b} \sum_{ij} P_{ij}\, c(x_i, y_j)
        + \varepsilon\, \mathrm{KL}(P \,|\, a b^T)

    where :math:`\varepsilon` is ``reg`` and KL(P|Q) = sum P log(P/Q) - P + Q.

    Parameters
    ----------
    X : array of shape (n, d)
        Source points.
    Y : array of shape (m, d)
        Target points.
    reg : float
        Regularisation, positive, in the units of the cost.
    a : array of shape (n,), default=None
        Source weights, non-negative; None means uniform of total 1. Points of zero
        weight get no mass and a finite potential.
    b : array of shape (m,), default=None
        Target weights, with the sum of ``a`` (to 1e-6 relative; the rest is put down
        to rounding and both are scaled to the mean).
    metric : str, default="sqeuclidean"
        Cost c: "sqeuclidean", "euclidean", "cityblock" or "cosine".
    method : str, default="auto"
        - "newton": annealed semi-dual Newton, begun on coarser clouds and finished on
          a truncated support, certified by passes over all pairs;
        - "sinkhorn": log-domain Sinkhorn with over-relaxation and annealing;
        - "auto": "newton" where ``tol <= 1e-4`` or ``reg`` is below 2% of the range
          of the cost, otherwise 50 sweeps of "sinkhorn", then "newton" if needed.
    tol : float, default=1e-6
        L1 marginal error, summed over both sides and all pairs, relative to the total
        mass, at which the solver stops.
    batch_size : int, default=None
        Rows whose costs array expressions make at once; None means about four million
        entries. NumPy arrays run compiled loops, which make none.
    max_iter : int, default=1000
        Bound on full passes plus Newton steps.
    warmstart : result or tuple (f, g), default=None
        Potentials to start from.
    scaling : float, default=4.0
        Factor between successive regularisations of the annealing; 1 turns it off.
    tau : float, default=None
        Entries below ``a_i b_j exp(-tau)`` leave the last truncated support; None
        means 22. It changes the speed, never the answer.
    max_support : int, default=None
        Most entries of a truncated support; None means 2e8, and at most 30% of all
        pairs. Above it products with the plan are streamed, not stored.
    dtype : str, default=None
        "float32" or "float64", the dtype of the answer; None keeps that of the input.
    n_threads : int, default=None
        Threads for this call; None means ``numopt.get_num_threads()``.
    callback : callable, default=None
        Called with an ``IterationInfo`` after every level; a true answer stops.
    verbose : int, default=0
        0 silent, 1 progress bar, 2 log lines.
    return_plan : bool, default=False
        Build the matrix ``result.plan`` now rather than on first use.
    warn : bool, default=True
        Issue a ConvergenceWarning when ``tol`` was not reached.

    Returns
    -------
    PointsResult
        Potentials, values, certificate, and on demand: the map ``barycentric`` and its
        extension ``transport``, gradients in the points, products with the plan, its
        large entries, the plan itself.

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
    sinkhorn : A cost that is a matrix.
    sinkhorn_divergence : A distance of clouds that is zero for equal ones.

    Notes
    -----
    Costs are computed from coordinates inside every pass. Both clouds are ordered by
    recursive median splits; a pass leaves out pairs of leaves whose boxes are so far
    apart that all of them together hold at most ``0.02 tol`` of the mass, which the
    marginal error includes. The annealing begins on the centroids of nodes of about 4
    points (recursively), goes on to all points where ``reg`` resolves the nodes, and
    truncates where at most 5% of the pairs matter. Passes of the coarse clouds are not
    counted. In more than a few dimensions leaves overlap, and passes cost O(n m d).

    Memory: O((n + m) d), and the support: about 32 bytes an entry. Squared distances
    are sums of squared differences up to three dimensions, else expanded around the
    common mean. Arithmetic that the certificate depends on is float64. CuPy and torch
    arrays run batched array expressions without truncation.

    References
    ----------
    Schmitzer (2019), Stabilized sparse scaling algorithms for entropy regularized
    transport problems, SIAM J. Sci. Comput. 41(3). Feydy, Glaunès, Charlier & Bronstein
    (2020), Fast geometric learning with symbolic matrices, NeurIPS. Tang et al. (2024),
    Accelerating Sinkhorn algorithm with sparse Newton iterations, ICLR.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.ot import sinkhorn_points
    >>> rng = np.random.default_rng(0)
    >>> X, Y = rng.random((300, 2)), rng.random((200, 2)) + 1.0
    >>> result = sinkhorn_points(X, Y, reg=1e-2)
    >>> result.converged, result.barycentric(Y).shape
    (True, (300, 2))
    >>> bool(np.all(result.transport(X) == result.barycentric(Y)))
    True
    """
    v.check_choice("method", method, METHODS)
    options = check_options(
        tol=tol,
        max_iter=max_iter,
        scaling=scaling,
        tau=tau,
        max_support=MAX_SUPPORT if max_support is None else max_support,
    )
    control = check_control(callback, verbose, n_threads)
    problem = PointsProblem.from_arrays(
        X, Y, a, b, reg, metric=metric, batch_size=batch_size
    )
    core = problem.core(options.tol)
    shapes = (problem.X.shape[0],), (problem.Y.shape[0],)
    start = core_start(warmstart, core, problem.X, shapes)
    name, fields = run(core, method, _ALGORITHMS, options, start, control)
    if warn and fields["status"] not in ("converged", "callback"):
        warn_not_converged(f"sinkhorn_points (method={name!r})", fields["message"])
    result = _result(problem, core, fields | {"method": name}, dtype)
    if return_plan:
        _ = result.plan
    return result


def _result(
    problem: PointsProblem, core: CoreProblem, fields: dict[str, Any], dtype: Any
) -> PointsResult:
    """Undo the reduction: sides, order, empty points, mass, dtype."""
    xp, f, g = problem.xp, fields["f"], fields["g"]
    if core.swapped:
        f, g = g, f
    # P = a b exp(...) / mass in core units: shift the potentials by eps log(mass).
    shift = 0.5 * core.eps * math.log(problem.mass)
    f, g = f - shift, g - shift
    f, g = _whole_potentials(problem, (core.rows, core.columns), (f, g))
    wanted = problem.X.dtype if dtype is None else parse_dtype(dtype, xp)
    f, g = (xp.astype(x, wanted) for x in (f, g))
    if wanted != problem.X.dtype:
        names = ("X", "Y", "a", "b")
        cast = {k: xp.astype(getattr(problem, k), wanted) for k in names}
        problem = dataclasses.replace(problem, **cast)
    dual = whole_dual_value(problem.mass, problem.reg, host(fields["dual_value"]))
    own = {
        "f": f,
        "g": g,
        "dual_value": dual,
        "marginal_error": host(fields["marginal_error"]),
        "reg": problem.reg,
        "problem": problem,
    }
    return PointsResult(**(fields | own))


def _whole_potentials(
    problem: PointsProblem, kept: tuple[Any, Any], inner: tuple[Array, Array]
) -> list[Array]:
    """Potentials in the order of the caller; closed forms at the points left out.

    Those of f, the last, see all weights that are not zero: no pair exceeds its row.
    """
    xp = problem.xp
    points = problem.X, problem.Y
    empty = [_left_out(k, x) for k, x in zip(kept, points, strict=True)]
    zeros = [
        xp.zeros(empty[k].shape, dtype=inner[k].dtype, device=device(inner[k]))
        for k in (0, 1)
    ]
    whole = [_assembled(kept[k], empty[k], inner[k], zeros[k], xp) for k in (0, 1)]
    for side, negligible in ((1, NEGLIGIBLE), (0, 0.0)):
        if empty[side].shape[0] > 0:
            lonely = xp.take(points[side], empty[side], axis=0)
            closed = extended_potential(
                problem, lonely, whole[1 - side], side=side, negligible=negligible
            )
            whole[side] = _assembled(kept[side], empty[side], inner[side], closed, xp)
    return whole


def _left_out(kept: Array | None, points: Array) -> Array:
    """Indices of the points whose weights count as zero."""
    left_out = np.full(points.shape[0], kept is not None)
    if kept is not None:
        left_out[to_numpy(kept)] = False
    xp = array_namespace(points)
    return xp.asarray(left_out.nonzero()[0], device=device(points))


def _assembled(
    kept: Array | None, empty: Array, inner: Array, closed: Array, xp: Namespace
) -> Array:
    """Put values at kept and at empty points together."""
    if kept is None:
        return inner
    order = xp.concat([kept, empty])
    return xp.take(xp.concat([inner, closed]), xp.argsort(order))
