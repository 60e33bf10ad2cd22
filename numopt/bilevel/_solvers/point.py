# SPDX-License-Identifier: BSD-3-Clause
"""An evaluation of the outer problem: value, hypergradient, and how wrong they are."""

import dataclasses
import math
from collections.abc import Callable

from numopt._array.namespace import array_namespace
from numopt.bilevel._problem.arrays import dot, norm
from numopt.bilevel._solvers.adjoint import conjugate_gradients
from numopt.bilevel._solvers.lower import LowerPoint, factor, resolve, solve_point
from numopt.bilevel._solvers.oracle import Oracle
from numopt.typing import Array

__all__ = ["Evaluator", "Point"]


@dataclasses.dataclass
class Point:
    """Everything known at one theta.

    ``g, gx, gt`` are the upper value and gradients at the inexact x; ``q`` the adjoint
    with residual ``s``; ``value`` the corrected value ``g - <q, r>`` with its bound.
    """

    theta: Array
    low: LowerPoint
    g: float
    gx: Array
    gt: Array
    product: Callable[[Array], Array]
    q: Array
    s: Array | None
    s_norm: float = math.inf
    variation: float = 0.0
    value: float = math.nan
    bound: float = math.inf
    z: Array | None = None

    @property
    def x(self) -> Array:
        """Lower-level iterate."""
        return self.low.x

    @property
    def e(self) -> float:
        """Distance of x from the minimiser."""
        return self.low.e


@dataclasses.dataclass
class Evaluator:
    """Makes and refines points; one for a whole run.

    With the adjoint-corrected value ``F = g(x) - <q, r>`` and
    ``s = grad g(x) - H q`` a Taylor expansion of g and of the gradient of h gives

    ``|F - f| <= ||s|| e + (L_g + M) e^2 / 2``,

    where M bounds the third derivative of h in the direction q (the dual-weighted
    residual of Becker & Rannacher 2001, with its remainder).
    """

    oracle: Oracle
    solver: str
    max_iter: int = 10_000

    def evaluate(
        self, theta: Array, x0: Array, q0: Array | None, eps: float, delta: float
    ) -> Point:
        """Solve both systems: distance at most eps, adjoint residual at most delta."""
        point = self.trial(theta, x0, q0, eps)
        self.solve_adjoint(point, delta)
        return point

    def trial(
        self,
        theta: Array,
        x0: Array,
        q0: Array | None,
        eps: float,
        *,
        measure: bool = True,
    ) -> Point:
        """Solve the lower level; measure the given adjoint, without solving it.

        Without ``measure`` the Hessian product that this takes is put off.
        """
        low = solve_point(
            self.oracle, x0, theta, eps, solver=self.solver, max_iter=self.max_iter
        )
        if measure and low.x is not x0 and q0 is not None:
            self.oracle.saw_secant(x0, low.x, theta, q0)
        return self._measured(theta, low, q0, measure=measure)

    def _measured(
        self, theta: Array, low: LowerPoint, q0: Array | None, *, measure: bool = True
    ) -> Point:
        oracle = self.oracle
        g, gx, gt = oracle.objective(low.x, theta)
        product = oracle.hessian(low.x, theta)
        xp = array_namespace(low.x)
        if q0 is None:
            q, s = xp.zeros_like(low.x), gx
        else:
            q, s = q0, gx - product(q0) if measure else None
        point = Point(theta, low, g, gx, gt, product, q, s)
        if s is not None:
            point.s_norm = norm(s)
            self._bound(point)
        return point

    def refine(self, point: Point, eps: float) -> Point:
        """Bring x closer; the adjoint is kept and measured anew."""
        if point.e <= eps:
            return point
        low = solve_point(
            self.oracle,
            point.x,
            point.theta,
            eps,
            solver=self.solver,
            max_iter=self.max_iter,
        )
        self.oracle.saw_secant(point.x, low.x, point.theta, point.q)
        return self._measured(point.theta, low, point.q)

    def solve_adjoint(self, point: Point, tol: float) -> None:
        """Continue the adjoint system until its residual is at most tol."""
        oracle = self.oracle
        if point.s is None:
            point.s = point.gx - point.product(point.q)
            point.s_norm = norm(point.s)
        if point.s_norm > tol:
            point.z = None
            if resolve(oracle, self.solver) == "direct":
                self._factored(point)
            if point.s_norm > tol:
                self._iterated(point, tol)
        self._bound(point)

    def _factored(self, point: Point) -> None:
        """Solve with the factor of the last Newton step, then measure."""
        low = point.low
        exact = getattr(self.oracle.lower, "solver_exact", False)
        if low.solve is None or not exact:
            low.solve = factor(self.oracle, low.x, point.theta)
        self.oracle.n_hvp += 1
        point.q = point.q + low.solve(point.s)
        point.s = point.gx - point.product(point.q)
        point.s_norm = norm(point.s)

    def _iterated(self, point: Point, tol: float) -> None:
        found = conjugate_gradients(
            point.product,
            point.q,
            point.s,
            tol=tol,
            max_iter=self.max_iter,
            precondition=self.oracle.preconditioner(point.x, point.theta),
        )
        self.oracle.saw_curvature(found.ritz)
        point.q, point.s, point.s_norm = found.q, found.residual, found.residual_norm

    def _bound(self, point: Point) -> None:
        """Corrected value and its bound."""
        oracle, low = self.oracle, point.low
        correction = dot(point.q, low.r)
        point.variation = oracle.variation(low.x, point.theta, point.q, low.e)
        point.value = point.g - correction
        eps = float(array_namespace(low.x).finfo(low.x.dtype).eps)
        rounding = 8 * eps * (abs(point.g) + abs(correction))
        point.bound = (
            point.s_norm * low.e
            + 0.5 * (oracle.L_g + point.variation) * low.e**2
            + rounding
        )

    def gradient(self, point: Point) -> Array:
        """Inexact hypergradient ``grad_theta g - J^T q``."""
        if point.z is None:
            point.z = point.gt - self.oracle.cross_vjp(point.x, point.theta, point.q)
        return point.z

    def adjoint_error(self, point: Point) -> float:
        """Bound (or estimate) of ``||H^-1 s||``, by which q misses the adjoint at x."""
        assert point.s is not None
        return self.oracle.distance(point.s, point.theta, point.low.scale)

    def adjoint_share(self, point: Point) -> float:
        """What the adjoint's residual may change in ``J^T q``: ``||J|| ||H^-1 s||``.

        With a preconditioner M in place of the inverse the error is seen itself, not
        only its size: it is large where there is hardly any curvature, to which theta
        is blind.
        """
        oracle, apply = self.oracle, point.low.scale
        if apply is None:
            return oracle.cross_norm_seen * self.adjoint_error(point)
        moved = oracle.cross_vjp(point.x, point.theta, apply(point.s))
        return norm(moved) / oracle.scaled_curvature

    def solution_share(self, point: Point) -> float:
        """What the error of x may change in J: ``L_J e ||q||``, or seen as above."""
        oracle, apply = self.oracle, point.low.scale
        x, theta, q = point.x, point.theta, point.q
        if apply is None:
            return oracle.cross_lipschitz(theta) * point.e * norm(q)
        near = oracle.cross_vjp(x - apply(point.low.r), theta, q)
        return norm(near - oracle.cross_vjp(x, theta, q)) / oracle.scaled_curvature

    def gradient_error(self, point: Point) -> float:
        """Bound (or estimate) of the error of the hypergradient.

        The exact adjoint differs from q by at most
        ``k = ||H^-1 s|| + (L_g + M) e / mu``, the mixed derivative from J by at most
        ``L_J e``; hence ``||J|| k + L_J e (||q|| + k)``, plus what g depends on theta.
        """
        oracle = self.oracle
        J = oracle.cross_norm(point.x, point.theta)
        L_J = oracle.cross_lipschitz(point.theta)
        mu = oracle.curvature(point.theta)
        k = (oracle.L_g + point.variation) * point.e / mu + self.adjoint_error(point)
        direct = getattr(oracle.upper, "cross_lipschitz", None) or 0.0
        return J * k + L_J * point.e * (norm(point.q) + k) + direct * point.e
