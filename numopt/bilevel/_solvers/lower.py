# SPDX-License-Identifier: BSD-3-Clause
"""Inner solvers: from a start to a certified distance from the minimiser."""

import dataclasses
import math
from collections.abc import Callable

from numopt._array.namespace import array_namespace, device
from numopt.bilevel._problem.arrays import dot, norm
from numopt.bilevel._solvers.adjoint import conjugate_gradients
from numopt.bilevel._solvers.directions import two_loop
from numopt.bilevel._solvers.oracle import Oracle
from numopt.typing import Array

__all__ = ["SOLVERS", "LowerPoint", "solve_point"]

SOLVERS = ("auto", "newton-cg", "agd", "lbfgs", "direct")
#: Problems up to this size are solved by a Cholesky factor of their dense Hessian.
DENSE_SIZE = 600
#: Curvature pairs of L-BFGS.
MEMORY = 6
#: Armijo constant, and the rounding that its test forgives.
SUFFICIENT, SLACK = 1e-4, 1e-14


@dataclasses.dataclass
class LowerPoint:
    """A lower-level iterate: value, gradient r and distance e of x at theta."""

    x: Array
    theta: Array
    value: float
    r: Array
    e: float
    n_iter: int = 0
    solve: Callable[[Array], Array] | None = None
    scale: Callable[[Array], Array] | None = None


def solve_point(
    oracle: Oracle,
    x: Array,
    theta: Array,
    eps: float,
    *,
    solver: str,
    max_iter: int = 10_000,
) -> LowerPoint:
    """Solve the lower level until the distance is at most eps, or no progress."""
    oracle.n_solves += 1
    name = resolve(oracle, solver)
    value, r = oracle.gradient(x, theta)
    point = LowerPoint(x, theta, value, r, math.inf)
    if oracle.estimates:
        point.scale = oracle.preconditioner(x, theta)
    point.e = oracle.distance(r, theta, point.scale)
    if point.e <= eps:
        return point
    eps = max(eps, oracle.floor(x, theta) if point.e > 0 else eps)
    return _SOLVERS[name](oracle, point, eps, max_iter)


def resolve(oracle: Oracle, solver: str) -> str:
    """The solver's name behind "auto": the problem's choice, else Newton."""
    if solver != "auto":
        return solver
    return getattr(oracle.lower, "solver", "newton-cg")


# ------------------------------------------------------------------------ Newton
def _newton(
    oracle: Oracle,
    point: LowerPoint,
    eps: float,
    max_iter: int,
    *,
    direct: bool = False,
) -> LowerPoint:
    """Inexact Newton steps with an Armijo search."""
    theta = point.theta
    n_slow = 0
    while point.n_iter < max_iter and point.e > eps and n_slow < 3:
        before = point.e
        if direct:
            point.solve = factor(oracle, point.x, theta)
            step = -point.solve(point.r)
            oracle.n_hvp += 1
            used = 1
        else:
            step, used = _newton_direction(oracle, point, eps, max_iter - point.n_iter)
        point.n_iter += used
        slope = dot(point.r, step)
        if not slope < 0 or not _advance(oracle, point, step, slope):
            break
        # At the level of rounding the distance stops shrinking: enough.
        n_slow = n_slow + 1 if point.e > 0.7 * before and point.e < 1e3 * eps else 0
    return point


def _newton_direction(
    oracle: Oracle, point: LowerPoint, eps: float, max_iter: int
) -> tuple[Array, int]:
    """Conjugate gradients on ``H p = -r``, no further than is needed."""
    product = oracle.hessian(point.x, point.theta)
    M = oracle.preconditioner(point.x, point.theta)
    if oracle.estimates:
        point.scale = M
    size = norm(point.r)
    exact = getattr(oracle.lower, "solver_exact", False)
    forcing = 0.0 if exact else min(0.25, math.sqrt(size)) * size
    # The distance shrinks in proportion to the gradient: what is needed is known.
    target = max(forcing, 0.5 * size * min(1.0, eps / point.e))
    before = oracle.n_hvp
    xp = array_namespace(point.x)
    start = xp.zeros_like(point.x)
    found = conjugate_gradients(
        product,
        start,
        -point.r,
        tol=target,
        max_iter=max(1, min(max_iter, 2 * math.prod(point.x.shape) + 10)),
        precondition=M,
    )
    oracle.saw_curvature(found.ritz)
    return found.q, max(1, oracle.n_hvp - before)


def _advance(oracle: Oracle, point: LowerPoint, step: Array, slope: float) -> bool:
    """Armijo backtracking along a step; False when there is no decrease."""
    t = 1.0
    slack = SLACK * (abs(point.value) + 1e-300)
    size = norm(point.r)
    for _ in range(40):
        x = point.x + t * step
        value, r = oracle.gradient(x, point.theta)
        # Near the minimiser values drown in rounding; the gradient still tells.
        near = value <= point.value + slack and norm(r) < 0.9 * size
        if value <= point.value + SUFFICIENT * t * slope or near:
            moved = norm(x - point.x) > 0
            point.x, point.value, point.r = x, value, r
            point.e = oracle.distance(r, point.theta, point.scale)
            return moved
        t *= 0.5
    return False


def factor(oracle: Oracle, x: Array, theta: Array) -> Callable[[Array], Array]:
    """``b -> H^{-1} b``: the problem's own, or Cholesky of the dense Hessian."""
    if hasattr(oracle.lower, "factorize"):
        return oracle.lower.factorize(x, theta)
    size = math.prod(x.shape)
    if size > DENSE_SIZE:
        raise ValueError(
            "solver='direct' needs lower.factorize(x, theta), or at most "
            f"{DENSE_SIZE} unknowns; there are {size}"
        )
    from numopt._array.linalg import cho_factor, cho_solve

    xp = array_namespace(x)
    product = oracle.hessian(x, theta)
    eye = xp.eye(size, dtype=x.dtype, device=device(x))
    columns = [
        xp.reshape(product(xp.reshape(eye[i, :], x.shape)), (size,))
        for i in range(size)
    ]
    H = xp.stack(columns)
    low = cho_factor(0.5 * (H + xp.matrix_transpose(H)))

    def solve(b: Array) -> Array:
        return xp.reshape(cho_solve(low, xp.reshape(b, (size,))), b.shape)

    return solve


def _direct(oracle: Oracle, point: LowerPoint, eps: float, max_iter: int) -> LowerPoint:
    return _newton(oracle, point, eps, max_iter, direct=True)


# ----------------------------------------------------------------- first order
def _agd(oracle: Oracle, point: LowerPoint, eps: float, max_iter: int) -> LowerPoint:
    """Accelerated gradients for strong convexity, restarted by the gradient test.

    Constant momentum (Nesterov 2004, scheme 2.2.11); restart when the gradient has an
    acute angle with the last move (O'Donoghue & Candès 2015). The best gradient met is
    returned.
    """
    theta = point.theta
    L, mu = oracle.L(theta), oracle.curvature(theta)
    momentum = (math.sqrt(L) - math.sqrt(mu)) / (math.sqrt(L) + math.sqrt(mu))
    if point.scale is None and getattr(oracle.lower, "descends", False):
        return _descend(oracle, point, eps, momentum, max_iter)
    x, y, r = point.x, point.x, point.r
    best, scale = point, point.scale
    n_iter = 0
    while n_iter < max_iter and best.e > eps:
        n_iter += 1
        new = y - r / L
        move = new - x
        beta = 0.0 if dot(r, move) > 0 else momentum
        y, x = new + beta * move, new
        value, r = oracle.gradient(y, theta)
        e = oracle.distance(r, theta, scale)
        if e < best.e:
            best = LowerPoint(y, theta, value, r, e, scale=scale)
    best.n_iter = n_iter
    return best


def _descend(
    oracle: Oracle, point: LowerPoint, eps: float, momentum: float, max_iter: int
) -> LowerPoint:
    """The problem's own compiled loop of the same iteration."""
    theta = point.theta
    tol = eps * oracle.curvature(theta)
    x, r, value, n_grad = oracle.lower.descend(
        point.x, theta, oracle.L(theta), momentum, tol, max_iter
    )
    oracle.n_grad += n_grad
    e = oracle.distance(r, theta, None)
    return LowerPoint(x, theta, value, r, e, n_iter=n_grad) if e < point.e else point


def _lbfgs(oracle: Oracle, point: LowerPoint, eps: float, max_iter: int) -> LowerPoint:
    """L-BFGS with an Armijo search; the first step is one over L."""
    pairs: list[tuple[Array, Array]] = []
    while point.n_iter < max_iter and point.e > eps:
        x, r = point.x, point.r
        step = two_loop(r, pairs) if pairs else -r / oracle.L(point.theta)
        slope = dot(r, step)
        point.n_iter += 1
        if not slope < 0 or not _advance(oracle, point, step, slope):
            if not pairs:
                break
            pairs.clear()
            continue
        s, y = point.x - x, point.r - r
        if dot(s, y) > 1e-10 * norm(s) * norm(y):
            pairs.append((s, y))
            del pairs[:-MEMORY]
    return point


_SOLVERS = {"newton-cg": _newton, "direct": _direct, "agd": _agd, "lbfgs": _lbfgs}
