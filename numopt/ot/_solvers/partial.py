# SPDX-License-Identifier: BSD-3-Clause
"""Partial transport: marginals are upper bounds, and the mass is given."""

import dataclasses
import functools
from typing import Any

from numopt import _validation as v
from numopt._array.namespace import device
from numopt._iterate.loop import iterate
from numopt._iterate.result import SolverResult
from numopt._iterate.stopping import warn_not_converged
from numopt._numerics.cg import cg
from numopt.exceptions import ArgumentTypeError
from numopt.ot._kernels.dense import gibbs_plan, normal_product
from numopt.ot._kernels.partial import capped_pass
from numopt.ot._problem.partial import PartialProblem
from numopt.ot._solvers.semi_dual import MAX_CG, Point, SemiDualSolver
from numopt.ot._solvers.state import host
from numopt.typing import Array, Callback

__all__ = ["PartialResult", "partial_sinkhorn"]

#: Mass that is as good as none, with a finite logarithm.
TINY = 1e-300


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class PartialResult(SolverResult):
    r"""Solution of a partial transport problem.

    Parameters
    ----------
    n_iter : int
        Full passes over the cost plus Newton steps.
    converged : bool
        Whether ``marginal_error <= tol``.
    message : str
        Why the solver stopped and, on failure, what to try.
    status : str
        "converged", "max_iter", "callback" or "stalled".
    history : dict of str to ndarray
        One entry a step: "n_iter", "time", "objective" (the dual value), "residual"
        and "eps".
    f, g : array of shape (n,) and (m,)
        Dual potentials of the bounds, at most 0; 0 where a point has mass to spare.
    shift : float
        Multiplier of the mass: the plan is
        ``P_ij = a_i b_j exp((f_i + g_j + shift - M_ij) / reg)``, and pairs dearer than
        about ``shift`` are not worth their transport.
    dual_value : float
        Value of the dual problem, a lower bound on ``value``.
    marginal_error : float
        Violation of the optimality conditions of columns and mass, relative to the
        mass: columns that exceed their bound or, with a negative potential, miss it,
        and the difference of the mass from ``m``. Rows satisfy theirs exactly.
    reg : float
        Entropic regularisation.
    m : float
        Mass that was to be transported.
    n_newton, n_cg : int
        Newton steps, conjugate gradient iterations.
    problem : object
        The validated data.

    See Also
    --------
    partial_sinkhorn : The function that makes it.

    Examples
    --------
    >>> from numopt.ot import partial_sinkhorn
    >>> result = partial_sinkhorn(None, None, [[0.0, 9.0], [9.0, 5.0]], 0.1, 0.5)
    >>> result.plan.round(3).tolist(), round(result.mass, 6)
    ([[0.5, 0.0], [0.0, 0.0]], 0.5)
    """

    f: Array
    g: Array
    shift: float
    dual_value: float
    marginal_error: float
    reg: float
    m: float
    n_newton: int
    n_cg: int
    problem: PartialProblem

    @functools.cached_property
    def plan(self) -> Array:
        """Transport plan (n, m), built on first use and kept."""
        p, xp = self.problem, self.problem.xp
        if self.m == 0.0:
            return xp.zeros_like(p.M)
        potentials = self.f[:, None] + (self.g + self.shift)[None, :]
        log_weights = p.log_a[:, None] + p.log_b[None, :]
        return xp.exp((potentials - p.M) / p.eps + log_weights)

    @property
    def mass(self) -> float:
        """Mass of the plan."""
        return host(self.problem.xp.sum(self.plan))

    @functools.cached_property
    def value_linear(self) -> float:
        """Transport cost ``<P, M>``."""
        p, xp = self.problem, self.problem.xp
        cost = xp.where(xp.isfinite(p.M), p.M, xp.zeros_like(p.M))
        return host(xp.sum(self.plan * cost))

    @property
    def value(self) -> float:
        """Objective ``<P, M> + reg KL(P | a b^T)`` of the plan."""
        p, xp = self.problem, self.problem.xp
        # KL(P | a b^T) without 0 log 0: log(P / a b) = (f + g + shift - M) / eps.
        rows, columns = xp.sum(self.plan, axis=1), xp.sum(self.plan, axis=0)
        linear = xp.sum(rows * self.f) + xp.sum(columns * (self.g + self.shift))
        reference = xp.sum(p.a) * xp.sum(p.b)
        return host(linear - p.eps * (xp.sum(rows) - reference))


def partial_sinkhorn(
    a: Array | None,
    b: Array | None,
    M: Array,
    reg: float,
    m: float,
    *,
    tol: float = 1e-9,
    max_iter: int = 1000,
    warmstart: Any = None,
    callback: Callback | None = None,
    verbose: int = 0,
    warn: bool = True,
) -> PartialResult:
    r"""Solve entropic transport of a given part of the mass.

    .. math::
        \min_{P \ge 0} \langle P, M \rangle + \varepsilon\,\mathrm{KL}(P \,|\, a b^T)
        \quad \text{subject to} \quad P 1 \le a,\; P^T 1 \le b,\; 1^T P 1 = m

    where :math:`\varepsilon` is ``reg``. The points that are dearest to serve, such as
    outliers, are left out.

    Parameters
    ----------
    a : array of shape (n,) or None
        Source weights, non-negative, of any total; None means uniform of total 1.
    b : array of shape (m,) or None
        Target weights, likewise.
    M : array of shape (n, m)
        Cost; negative entries are allowed, ``inf`` forbids a pair.
    reg : float
        Entropic regularisation, positive, in the units of ``M``.
    m : float
        Mass to transport, from 0 to the smaller sum of ``a`` and ``b``.
    tol : float, default=1e-9
        Violation of the optimality conditions, relative to ``m``, at which the solver
        stops.
    max_iter : int, default=1000
        Bound on full passes plus Newton steps.
    warmstart : PartialResult or tuple (g, shift), default=None
        Potentials to start from.
    callback : callable, default=None
        Called with an ``IterationInfo`` after every step; a true answer stops.
    verbose : int, default=0
        0 silent, 1 progress bar, 2 log lines.
    warn : bool, default=True
        Issue a ConvergenceWarning when ``tol`` was not reached.

    Returns
    -------
    PartialResult
        Potentials, values, certificate and the plan on demand.

    Raises
    ------
    InfeasibleError
        When too few points have a finite cost.
    ValueError
        When a value is invalid or shapes do not match.

    Warns
    -----
    ConvergenceWarning
        When ``tol`` was not reached; the result is finite all the same.

    See Also
    --------
    sinkhorn_unbalanced : A price of missing mass instead of a given mass.

    Notes
    -----
    Entropy is relative to :math:`a b^T`, as everywhere in this family; for uniform
    weights the plan is that of POT's ``entropic_partial_wasserstein``. For given column
    potentials g <= 0 and mass multiplier the best row potentials have a closed form.
    What is left is concave; it is solved by projected Newton-CG on the columns that
    are not at their bound, on levels of decreasing ``reg``.

    References
    ----------
    Benamou, Carlier, Cuturi, Nenna & Peyré (2015), Iterative Bregman projections for
    regularized transportation problems, section 5. Chapel, Alaya & Gasso (2020),
    Partial optimal transport with applications on positive-unlabeled learning,
    NeurIPS. Bertsekas (1982), Projected Newton methods, SIAM J. Control Optim. 20.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.ot import partial_sinkhorn
    >>> x, y = np.array([0.0, 1.0]), np.array([0.1, 5.0])  # an outlier at 5
    >>> result = partial_sinkhorn(None, None, (x[:, None] - y) ** 2, 0.05, 0.5)
    >>> result.plan.sum(axis=0).round(6).tolist()
    [0.5, 0.0]
    """
    tol = v.check_real("tol", tol, low=0)
    max_iter = v.check_int("max_iter", max_iter, low=1)
    v.check_callback(callback)
    verbose = v.check_int("verbose", verbose, low=0, high=2)
    problem, dtype = PartialProblem.from_arrays(a, b, M, reg, m)
    fields = iterate(
        PartialSolver("partial_sinkhorn"),
        problem,
        tol=tol,
        max_iter=max_iter,
        callback=callback,
        verbose=verbose,
        warm_start=_start(warmstart, problem),
        warn=False,
    )
    if warn and fields["status"] not in ("converged", "callback"):
        warn_not_converged("partial_sinkhorn", fields["message"])
    xp, point = problem.xp, fields.pop("point")
    cast = {
        key: xp.astype(getattr(problem, key), dtype, copy=False)
        for key in ("a", "b", "M", "log_a", "log_b")
    }
    return PartialResult(
        f=xp.astype(point.f, dtype, copy=False),
        g=xp.astype(point.x[:-1], dtype, copy=False),
        shift=host(point.x[-1]),
        dual_value=point.value,
        reg=problem.eps,
        m=problem.m,
        problem=dataclasses.replace(problem, **cast),
        **fields,
    )


def _start(warmstart: Any, problem: PartialProblem) -> Array | None:
    """Column potentials and multiplier of a warm start, in one array."""
    if warmstart is None:
        return None
    if isinstance(warmstart, PartialResult):
        warmstart = warmstart.g, warmstart.shift
    try:
        g, shift = warmstart
    except (TypeError, ValueError) as error:
        kind = type(warmstart).__name__
        raise ArgumentTypeError(
            v.message("warmstart", "a PartialResult or (g, shift)", kind)
        ) from error
    xp, (g, _) = v.float_arrays(g=g, M=problem.M)
    v.check_shape("warmstart", g, (problem.M.shape[1],), why="(its g)")
    v.check_values("warmstart", g)
    shift = v.check_real("warmstart", shift)
    return _joined(xp.astype(g, xp.float64, copy=False), shift, xp)


def _joined(g: Array, shift: float, xp: Any) -> Array:
    """Column potentials and the multiplier in one array."""
    last = xp.full((1,), shift, dtype=xp.float64, device=device(g))
    return _normalised(xp.concat([g, last]), xp)


def _normalised(x: Array, xp: Any) -> Array:
    """Move a constant between g and the multiplier so that the largest g is 0.

    The dual grows on the way: its slope is the sum of b minus the mass.
    """
    top = xp.max(x[:-1])
    return xp.concat([x[:-1] - top, x[-1:] + top])


class PartialSolver(SemiDualSolver[PartialProblem]):
    """Projected ascent in the column potentials g <= 0 and the mass multiplier."""

    def start(self, problem: PartialProblem) -> Array:
        """Return zero potentials."""
        xp = problem.xp
        return _joined(xp.zeros_like(problem.b), 0.0, xp)

    def feasible(self, problem: PartialProblem, x: Array) -> Array:
        """Clip g at 0."""
        xp = problem.xp
        g = xp.minimum(x[:-1], xp.zeros_like(x[:-1]))
        return _normalised(xp.concat([g, x[-1:]]), xp)

    def evaluate(self, problem: PartialProblem, eps: float, x: Array) -> Point:
        """Best row potentials, column sums, dual value and error, in one pass."""
        xp = problem.xp
        one_pass = capped_pass.for_namespace(xp)
        g, shift = x[:-1], x[-1]
        gamma = problem.log_b + (g + shift) / eps
        phi, c = one_pass(problem.M, gamma, problem.log_a, 1.0 / eps)
        f, total = eps * (phi - problem.log_a), xp.sum(c)
        missing = problem.m - total
        gradient = xp.concat([problem.b - c, xp.reshape(missing, (1,))])
        error = xp.sum(xp.abs(self._free(problem, x, gradient) * gradient))
        value = problem.dual_value(f, g, shift, eps, total)
        scale = problem.m or 1.0
        return Point(x, f, phi, c, gradient, host(error) / scale, host(value))

    def _free(self, problem: PartialProblem, x: Array, gradient: Array) -> Array:
        """1 where an unknown may move along the gradient, 0 where a bound holds it."""
        xp = problem.xp
        held = (x[:-1] >= 0) & (gradient[:-1] >= 0)
        held = held | (problem.log_b < -1e29)
        free = xp.where(held, xp.zeros_like(problem.b), xp.ones_like(problem.b))
        return xp.concat([free, xp.ones_like(x[-1:])])

    def sweep(self, problem: PartialProblem, eps: float, point: Point) -> Array:
        """Scale columns down to their bounds, then all to the mass."""
        xp = problem.xp
        present = point.c > 0
        ones = xp.ones_like(point.c)
        positive = xp.where(problem.b > 0, problem.b, ones)
        ratio = xp.where(present, positive / xp.where(present, point.c, ones), ones)
        g = point.x[:-1]
        new = xp.minimum(g + eps * xp.log(ratio), xp.zeros_like(g))
        mass = xp.sum(point.c * xp.exp((new - g) / eps))
        shift = point.x[-1:] + eps * xp.log(max(problem.m, TINY) / mass)
        return _normalised(xp.concat([new, shift]), xp)

    def direction(
        self, problem: PartialProblem, eps: float, point: Point
    ) -> tuple[Array, int]:
        """Solve with the Hessian of the unknowns that no bound holds.

        In z = g + shift, minus the Hessian is ``(diag(c) - P^T diag(w) P) / eps``, with
        ``w_i = 1 / a_i`` for the rows at their bound and 0 for the others.
        """
        xp = problem.xp
        gamma = problem.log_b + (point.x[:-1] + point.x[-1]) / eps
        plan = gibbs_plan.for_namespace(xp)(problem.M, gamma, point.phi, 1.0 / eps)
        product = normal_product.for_namespace(xp)
        tight = (point.f < 0) & (problem.a > 0)
        ones = xp.ones_like(problem.a)
        inverse = xp.where(
            tight, 1.0 / xp.where(tight, problem.a, ones), xp.zeros_like(ones)
        )
        free = self._free(problem, point.x, point.gradient)
        total = xp.sum(point.c, keepdims=True)
        diagonal = xp.concat([point.c, total]) / eps + 1e-12 * problem.m / eps

        def matvec(d: Array) -> Array:
            z = free[:-1] * d[:-1] + d[-1]
            y = (point.c * z - product(plan, inverse, z)) / eps
            held = (1.0 - free) * diagonal * d
            return held + xp.concat([free[:-1] * y, xp.sum(y, keepdims=True)])

        solved = cg(
            matvec,
            free * point.gradient,
            tol=min(0.1, max(point.error**0.5, 1e-4)),
            max_iter=MAX_CG,
            diagonal=diagonal,
        )
        return free * solved.x, solved.n_iter
