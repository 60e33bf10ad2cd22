# SPDX-License-Identifier: BSD-3-Clause
"""Unbalanced transport: Newton's method on the strictly concave semi-dual."""

import dataclasses
import functools
import math
from typing import Any

from numopt import _validation as v
from numopt._iterate.loop import iterate
from numopt._iterate.result import SolverResult
from numopt._iterate.stopping import warn_not_converged
from numopt._numerics.cg import cg
from numopt.exceptions import ArgumentTypeError
from numopt.ot._kernels.dense import gibbs_plan, normal_product, relaxed_pass
from numopt.ot._problem import (
    UnbalancedProblem,
    column_potentials,
    row_potentials,
)
from numopt.ot._problem.potentials import plan_entries
from numopt.ot._problem.semi_relaxed import SemiRelaxedProblem
from numopt.ot._problem.weights import NEGLIGIBLE
from numopt.ot._solvers.semi_dual import MAX_CG, Point, SemiDualSolver
from numopt.ot._solvers.state import host
from numopt.typing import Array, Callback

__all__ = ["UnbalancedResult", "UnbalancedSolver", "sinkhorn_unbalanced"]

PenalisedProblem = UnbalancedProblem | SemiRelaxedProblem

#: Newton steps see columns that hold less than this part of their target as if full.
LEAST_FILL = 0.1
#: exp(-LARGEST) is as good as zero.
LARGEST = 700.0


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class UnbalancedResult(SolverResult):
    r"""Solution of an unbalanced transport problem.

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
        Dual potentials, ``P_ij = a_i b_j exp((f_i + g_j - M_ij) / reg)``.
    dual_value : float
        Value of the dual problem, a lower bound on ``value``.
    marginal_error : float
        L1 violation of the optimality conditions ``P 1 = a exp(-f / reg_m)`` and
        ``P^T 1 = b exp(-g / reg_m)``, relative to the transported mass. With an
        infinite ``reg_m`` it is the error of that marginal.
    reg : float
        Entropic regularisation.
    reg_m : tuple of two float
        Penalties of the marginals.
    n_newton, n_cg : int
        Newton steps, conjugate gradient iterations.
    problem : object
        The validated data.

    See Also
    --------
    sinkhorn_unbalanced : The function that makes it.

    Examples
    --------
    >>> from numopt.ot import sinkhorn_unbalanced
    >>> result = sinkhorn_unbalanced([1.0], [2.0], [[0.5]], 0.1, 1.0)
    >>> round(result.mass, 4), result.converged
    (1.1331, True)
    """

    f: Array
    g: Array
    dual_value: float
    marginal_error: float
    reg: float
    reg_m: tuple[float, float]
    n_newton: int
    n_cg: int
    problem: UnbalancedProblem

    @functools.cached_property
    def plan(self) -> Array:
        """Transport plan (n, m), built on first use and kept."""
        p = self.problem
        return plan_entries(self.f, self.g, p.M, p.eps, a=p.a, b=p.b)

    @property
    def mass(self) -> float:
        """Mass that is transported."""
        return host(self.problem.xp.sum(self.plan))

    @functools.cached_property
    def value_linear(self) -> float:
        """Transport cost ``<P, M>``."""
        p, xp = self.problem, self.problem.xp
        cost = xp.where(xp.isfinite(p.M), p.M, xp.zeros_like(p.M))
        return host(xp.sum(self.plan * cost))

    @property
    def value(self) -> float:
        """Objective of the returned plan; an infinite ``reg_m`` adds nothing."""
        p, xp = self.problem, self.problem.xp
        rows, columns = xp.sum(self.plan, axis=1), xp.sum(self.plan, axis=0)
        # KL(P | a b^T) without 0 log 0: log(P / a b) = (f + g - M) / eps.
        linear = host(xp.sum(rows * self.f) + xp.sum(columns * self.g))
        total = host(xp.sum(p.a)) * host(xp.sum(p.b))
        entropy = linear - p.eps * (self.mass - total)
        penalties = (
            rho * _divergence(sums, weights, xp)
            for sums, weights, rho in zip(
                (rows, columns), (p.a, p.b), self.reg_m, strict=True
            )
            if math.isfinite(rho)
        )
        return entropy + sum(penalties)


def _divergence(x: Array, y: Array, xp: Any) -> float:
    """KL(x | y), where points of no weight have no mass."""
    safe = x > 0
    ratio = xp.where(safe, x / xp.where(safe, y, xp.ones_like(y)), xp.ones_like(x))
    return host(xp.sum(x * xp.log(ratio) - x + y))


def sinkhorn_unbalanced(
    a: Array | None,
    b: Array | None,
    M: Array,
    reg: float,
    reg_m: float | tuple[float, float],
    *,
    tol: float = 1e-9,
    max_iter: int = 1000,
    warmstart: Any = None,
    callback: Callback | None = None,
    verbose: int = 0,
    warn: bool = True,
) -> UnbalancedResult:
    r"""Solve entropic transport whose marginals may be missed at a price.

    .. math::
        \min_{P \ge 0} \langle P, M \rangle + \varepsilon\,\mathrm{KL}(P \,|\, a b^T)
        + \rho_1 \mathrm{KL}(P 1 \,|\, a) + \rho_2 \mathrm{KL}(P^T 1 \,|\, b)

    where :math:`\varepsilon` is ``reg``, :math:`\rho` is ``reg_m`` and KL(p|q) =
    sum p log(p/q) - p + q.

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
    reg_m : float or tuple of two float
        Penalties of the two marginals, positive, in the units of ``M``; ``inf`` keeps
        a marginal exactly. Mass is not moved further than about the sum of the two.
    tol : float, default=1e-9
        L1 violation of the optimality conditions, relative to the transported mass,
        at which the solver stops.
    max_iter : int, default=1000
        Bound on full passes plus Newton steps.
    warmstart : UnbalancedResult or tuple (f, g), default=None
        Potentials to start from.
    callback : callable, default=None
        Called with an ``IterationInfo`` after every step; a true answer stops.
    verbose : int, default=0
        0 silent, 1 progress bar, 2 log lines.
    warn : bool, default=True
        Issue a ConvergenceWarning when ``tol`` was not reached.

    Returns
    -------
    UnbalancedResult
        Potentials, values, certificate and the plan on demand.

    Raises
    ------
    ValueError
        When a value is invalid or shapes do not match.

    Warns
    -----
    ConvergenceWarning
        When ``tol`` was not reached; the result is finite all the same.

    See Also
    --------
    sinkhorn : Both marginals exact.

    Notes
    -----
    For fixed g the best f is ``rho_1 / (rho_1 + eps)`` times that of balanced
    transport. What is left is strictly concave in g; it is solved by Newton-CG on
    levels of decreasing ``reg``, after a few sweeps with the translation of Séjourné
    et al., which removes their slowest mode. The plan is held densely.

    References
    ----------
    Chizat, Peyré, Schmitzer & Vialard (2018), Scaling algorithms for unbalanced
    optimal transport problems, Math. Comp. 87. Séjourné, Vialard & Peyré (2022),
    Faster unbalanced optimal transport: translation invariant Sinkhorn and 1-D
    Frank-Wolfe, AISTATS, Proposition 2.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.ot import sinkhorn_unbalanced
    >>> x, y = np.array([0.0, 1.0]), np.array([0.1, 5.0])  # an outlier at 5
    >>> result = sinkhorn_unbalanced(None, None, (x[:, None] - y) ** 2, 0.05, 0.5)
    >>> result.plan.sum(axis=0).round(2).tolist()
    [0.53, 0.0]
    """
    tol = v.check_real("tol", tol, low=0)
    max_iter = v.check_int("max_iter", max_iter, low=1)
    v.check_callback(callback)
    verbose = v.check_int("verbose", verbose, low=0, high=2)
    problem, dtype = UnbalancedProblem.from_arrays(a, b, M, reg, reg_m)
    fields = iterate(
        UnbalancedSolver("sinkhorn_unbalanced"),
        problem.connected(),
        tol=tol,
        max_iter=max_iter,
        callback=callback,
        verbose=verbose,
        warm_start=_start(warmstart, problem),
        warn=False,
    )
    if warn and fields["status"] not in ("converged", "callback"):
        warn_not_converged("sinkhorn_unbalanced", fields["message"])
    xp = problem.xp
    point = fields.pop("point")
    f, g = _extended(problem, point.x)
    total = xp.sum(point.c)
    fields["dual_value"] = host(problem.dual_value(f, g, problem.eps, total))
    fields["f"], fields["g"] = xp.astype(f, dtype), xp.astype(g, dtype)
    cast = {k: xp.astype(getattr(problem, k), dtype, copy=False) for k in "abM"}
    return UnbalancedResult(
        reg=problem.eps,
        reg_m=problem.rho,
        problem=dataclasses.replace(problem, **cast),
        **fields,
    )


def _start(warmstart: Any, problem: UnbalancedProblem) -> Array | None:
    """Column potentials of a warm start; the row potentials follow from them."""
    if warmstart is None:
        return None
    if isinstance(warmstart, UnbalancedResult):
        warmstart = warmstart.f, warmstart.g
    try:
        _, g = warmstart
    except (TypeError, ValueError) as error:
        kind = type(warmstart).__name__
        raise ArgumentTypeError(
            v.message("warmstart", "an UnbalancedResult or (f, g)", kind)
        ) from error
    xp, (g, _) = v.float_arrays(g=g, M=problem.M)
    v.check_shape("warmstart", g, (problem.M.shape[1],), why="(its g)")
    v.check_values("warmstart", g)
    return xp.astype(g, xp.float64, copy=False)


class UnbalancedSolver(SemiDualSolver[PenalisedProblem]):
    """The ascent in the column potentials g; penalties may differ by column."""

    def start(self, problem: PenalisedProblem) -> Array:
        """Return zero potentials."""
        return problem.xp.zeros_like(problem.b)

    def evaluate(self, problem: PenalisedProblem, eps: float, x: Array) -> Point:
        """Best row potentials for g, column sums, dual value and error, in one pass.

        Moving phi from log a (that is f = 0) by the fraction kappa of the way to the
        balanced potential is the unbalanced row update.
        """
        xp = problem.xp
        one_pass = relaxed_pass.for_namespace(xp)
        gamma, kappa = problem.log_b + x / eps, _share(problem.rho[0], eps)
        log_a = problem.log_a
        phi, c = one_pass(problem.M, gamma, log_a, log_a, 1.0 / eps, kappa)
        f = eps * (phi - log_a)
        gradient, total = problem.target(1, x) - c, xp.sum(c)
        error = xp.sum(xp.abs(gradient)) / total
        value = problem.dual_value(f, x, eps, total)
        return Point(x, f, phi, c, gradient, host(error), host(value))

    def sweep(self, problem: PenalisedProblem, eps: float, point: Point) -> Array:
        """Column update, then the translation that is best for both potentials."""
        xp = problem.xp
        ratio = xp.where(point.c > 0, problem.b / point.c, xp.ones_like(point.c))
        present = problem.b > 0
        step = xp.log(xp.where(present, ratio, xp.ones_like(ratio)))
        g = _share(problem.rho[1], eps) * (point.x + eps * step)
        rho_a, rho_b = problem.rho
        if not isinstance(rho_b, float):
            return g
        excess = xp.sum(problem.target(0, point.f)) / xp.sum(problem.target(1, g))
        return g - xp.log(excess) / (1.0 / rho_a + 1.0 / rho_b)

    def direction(
        self, problem: PenalisedProblem, eps: float, point: Point
    ) -> tuple[Array, int]:
        """Solve with the Hessian by preconditioned conjugate gradients.

        Minus the Hessian is ``diag(target / rho_2 + c / eps) - kappa / eps P^T
        diag(1 / P 1) P`` with ``kappa = rho_1 / (rho_1 + eps)``. Columns whose mass is
        below rounding would make it singular; they are left to the sweeps.
        """
        xp = problem.xp
        target = point.gradient + point.c
        size = xp.maximum(target, point.c)
        matters = size > NEGLIGIBLE * xp.mean(size)
        gradient = xp.where(matters, point.gradient, xp.zeros_like(size))
        plan = gibbs_plan.for_namespace(xp)(
            problem.M, problem.log_b + point.x / eps, point.phi, 1.0 / eps
        )
        product = normal_product.for_namespace(xp)
        rows = problem.target(0, point.f)
        positive = rows > 0
        inverse = xp.where(
            positive, 1.0 / xp.where(positive, rows, xp.ones_like(rows)), rows
        )
        # A column that is nearly empty says nothing on the mass it should have.
        diagonal = (
            target / problem.rho[1] + xp.maximum(point.c, LEAST_FILL * target) / eps
        )
        diagonal = xp.where(matters, diagonal, xp.ones_like(diagonal))
        kappa = _share(problem.rho[0], eps)
        solved = cg(
            lambda x: diagonal * x - (kappa / eps) * product(plan, inverse, x),
            gradient,
            tol=min(0.1, max(point.error**0.5, 1e-4)),
            max_iter=MAX_CG,
            diagonal=diagonal,
        )
        return xp.where(matters, solved.x, xp.zeros_like(size)), solved.n_iter


def _share(rho: Any, eps: float) -> Any:
    """Fraction of the balanced potential: rho / (rho + eps), by column if rho is."""
    return 1.0 / (1.0 + eps / rho)


def _extended(problem: UnbalancedProblem, g: Array) -> tuple[Array, Array]:
    """Potentials of all points, by the closed form of each side.

    That of an isolated point is infinite; here it is as large as exp can tell.
    """
    xp, eps, (rho_a, rho_b) = problem.xp, problem.eps, problem.rho
    f = _share(rho_a, eps) * row_potentials(g, problem.b, problem.M, eps)
    closed = column_potentials(f, problem.a, problem.M, eps)
    g = xp.where(problem.b > 0, g, _share(rho_b, eps) * closed)
    return _isolated_filled(problem, 0, f), _isolated_filled(problem, 1, g)


def _isolated_filled(problem: UnbalancedProblem, side: int, potential: Array) -> Array:
    """Put the largest useful potential where a point can reach nothing."""
    xp, rho = problem.xp, problem.rho[side]
    if math.isinf(rho):
        return potential
    filled = xp.full_like(potential, LARGEST * rho)
    return xp.where(problem.isolated(side), filled, potential)
