# SPDX-License-Identifier: BSD-3-Clause
"""How the plan changes with the data: implicit differentiation at the solution."""

from typing import NamedTuple

from numopt._array.namespace import to_numpy
from numopt._iterate.stopping import warn_not_converged
from numopt._numerics.cg import cg
from numopt.ot._kernels.dense import normal_product
from numopt.ot._problem import TransportProblem
from numopt.typing import Array

__all__ = ["PlanGradient", "plan_vector_jacobian"]

#: Residual of the linear system, relative to the terms that its right-hand side sums.
CG_TOL = 1e-12


class PlanGradient(NamedTuple):
    """Gradient of a function of the plan in the data of the problem.

    Parameters
    ----------
    grad_M : array of shape (n, m)
        In the cost.
    grad_a : array of shape (n,)
        In the source weights, tangent to the simplex.
    grad_b : array of shape (m,)
        In the target weights, tangent to the simplex.

    See Also
    --------
    SinkhornResult.plan_vjp : What makes it.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.ot import sinkhorn
    >>> result = sinkhorn(None, None, [[0.0, 1.0], [1.0, 0.0]], reg=0.5)
    >>> gradient = result.plan_vjp(np.eye(2))  # of the trace of the plan
    >>> gradient.grad_M.round(3).tolist()
    [[-0.105, 0.105], [0.105, -0.105]]
    """

    grad_M: Array
    grad_a: Array
    grad_b: Array


def plan_vector_jacobian(
    problem: TransportProblem, plan: Array, rows: Array, columns: Array, G: Array
) -> PlanGradient:
    """Differentiate ``<G, P(a, b, M)>`` by the implicit function theorem.

    ``rows`` are P_ij / a_i and ``columns`` P_ij / b_j, which exist for empty points.
    With W = P * G / eps the adjoints (u, v) of the potentials solve

        a u + P v = W 1,    P^T u + b v = W^T 1,

    one system with the matrix of Newton's method on the semi-dual once u is
    eliminated; the gradients are P * (u + v) - W, eps u and eps v.
    """
    xp, eps = problem.xp, problem.reg
    a, b = problem.a, problem.b
    inv_a = xp.where(a > 0, 1.0 / xp.where(a > 0, a, xp.ones_like(a)), 0.0 * a)
    W = plan * G / eps
    mean = xp.sum(rows * G, axis=1) / eps
    rhs = xp.sum(W, axis=0) - xp.matrix_transpose(plan) @ mean
    # Constant parts of G cancel, up to rounding that no potential can cancel.
    norm = xp.linalg.vector_norm
    terms = float(to_numpy(norm(xp.sum(xp.abs(W), axis=0))))
    cancelled = float(to_numpy(norm(rhs))) / terms if terms else 1.0
    product = normal_product.for_namespace(xp)
    # Sums of the plan at hand, not b: the system stays solvable at any marginal error.
    sums = xp.sum(plan, axis=0)
    diagonal = xp.where(sums > 0, sums, xp.ones_like(sums))
    solved = cg(
        lambda x: diagonal * x - product(plan, inv_a, x),
        rhs,
        tol=CG_TOL / cancelled if cancelled > CG_TOL else 1.0,
        max_iter=10 * b.shape[0] + 100,
        diagonal=diagonal,
    )
    residual = solved.residual * cancelled
    if not residual <= 1e3 * CG_TOL:
        warn_not_converged(
            "plan_vjp",
            f"relative residual {residual:.1e} of the linear system; parts of "
            "the plan are hardly coupled at this `reg`",
        )
    u = mean - rows @ solved.x
    # The closed form extends v to empty points and leaves it alone elsewhere.
    v = xp.sum(columns * (G / eps - u[:, None]), axis=0)
    grad_M = plan * (u[:, None] + v[None, :]) - W
    return PlanGradient(
        grad_M, eps * _tangent(u, a, problem), eps * _tangent(v, b, problem)
    )


def _tangent(x: Array, weights: Array, problem: TransportProblem) -> Array:
    """Remove the constant, which moves no mass."""
    mean = float(to_numpy(problem.xp.sum(weights * x))) / problem.mass
    return x - mean
