# SPDX-License-Identifier: BSD-3-Clause
"""One theta: the lower-level solution and the hypergradient, with certificates."""

from typing import Any

from numopt import _validation as v
from numopt._array.namespace import array_namespace, device
from numopt.bilevel._problem.arrays import norm
from numopt.bilevel._problem.protocols import BilevelProblem
from numopt.bilevel._solvers.lower import SOLVERS, solve_point
from numopt.bilevel._solvers.oracle import Oracle
from numopt.bilevel._solvers.point import Evaluator
from numopt.bilevel._solvers.result import HypergradientResult, LowerLevelResult
from numopt.typing import Array

__all__ = ["ACCURACIES", "check_problem_type", "check_theta", "hypergradient"]
__all__ += ["solve_lower"]

ACCURACIES = ("certified", "estimate")


def check_problem_type(problem: Any) -> BilevelProblem:
    """Return the problem, or say what was expected."""
    if not isinstance(problem, BilevelProblem):
        raise ValueError(
            v.message("problem", "a BilevelProblem", type(problem).__name__)
        )
    return problem


def check_theta(problem: BilevelProblem, theta: Any, name: str = "theta") -> Array:
    """Return theta as a float64 array inside the bounds."""
    xp, (theta,) = v.float_arrays(**{name: theta})
    if theta is None or 0 in theta.shape:
        raise ValueError(v.message(name, "a non-empty array", "none or an empty one"))
    v.check_values(name, theta)
    if problem.theta0 is not None:
        v.check_shape(name, theta, tuple(problem.theta0.shape), why="as problem.theta0")
    theta = xp.asarray(theta, dtype=xp.float64, copy=True, device=device(theta))
    low, high = problem.box(theta)
    if low is not None and bool(xp.any((theta < low) | (theta > high))):
        raise ValueError(
            v.message(name, "inside the bounds of the problem", "a point outside")
        )
    return theta


def solve_lower(
    problem: BilevelProblem,
    theta: Array,
    *,
    x0: Array | None = None,
    tol: float = 1e-6,
    solver: str = "auto",
    max_iter: int = 10_000,
    warn: bool = True,
) -> LowerLevelResult:
    r"""Solve the lower level to a certified distance from its minimiser.

    By strong convexity :math:`\|x - x^*\| \le \|\nabla_x h(x, \theta)\| / \mu(\theta)`.

    Parameters
    ----------
    problem : BilevelProblem
        The problem.
    theta : array
        Hyper-parameters.
    x0 : array, default=None
        Start; None takes the problem's own.
    tol : float, default=1e-6
        Bound on the distance (not on the gradient).
    solver : str, default="auto"
        "newton-cg", "agd", "lbfgs", "direct", or "auto": the problem's choice.
    max_iter : int, default=10_000
        Bound on gradient steps or conjugate gradient iterations.
    warn : bool, default=True
        Issue a ConvergenceWarning when ``tol`` was not reached.

    Returns
    -------
    LowerLevelResult
        Solution, bound and counts.

    Raises
    ------
    ValueError
        When an argument is wrong, or the lower level returns a number that is not
        finite or constants that contradict strong convexity.

    See Also
    --------
    hypergradient : Also the gradient in theta.

    Notes
    -----
    The bound uses the true modulus. Rounding limits it to about the machine precision
    times the condition number.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.bilevel import QuadraticProblem, solve_lower
    >>> rng = np.random.default_rng(0)
    >>> A = rng.uniform(size=(20, 3))
    >>> problem = QuadraticProblem(A, A @ np.ones(3), A, A, np.ones(20))
    >>> solve_lower(problem, np.zeros(3), tol=1e-9).error_bound <= 1e-9
    True
    """
    problem = check_problem_type(problem)
    theta = check_theta(problem, theta)
    v.check_choice("solver", solver, SOLVERS)
    tol = v.check_real("tol", tol, low=0, include_low=False)
    max_iter = v.check_int("max_iter", max_iter, low=1)
    oracle = Oracle(problem, "certified")
    x = oracle.start(x0, theta)
    low = solve_point(oracle, x, theta, tol, solver=solver, max_iter=max_iter)
    xp = array_namespace(low.x)
    if warn and low.e > tol:
        from numopt._iterate.stopping import warn_not_converged

        warn_not_converged("solve_lower", f"distance bound {low.e:.1e} > tol {tol:.1e}")
    return LowerLevelResult(
        x=xp.asarray(low.x, copy=True),
        grad_norm=norm(low.r),
        error_bound=low.e,
        n_grad=oracle.n_grad,
        n_hvp=oracle.n_hvp,
        converged=low.e <= tol,
    )


def hypergradient(
    problem: BilevelProblem,
    theta: Array,
    *,
    x0: Array | None = None,
    q0: Array | None = None,
    tol: float = 1e-6,
    linear_tol: float | None = None,
    solver: str = "auto",
    accuracy: str = "certified",
) -> HypergradientResult:
    r"""Value and gradient of the outer problem at one theta, with error bounds.

    .. math:: \nabla f = \nabla_\theta g - J^T q, \qquad H q = \nabla_x g, \qquad
              H = \partial^2_{xx} h, \quad J = \partial^2_{x\theta} h

    by the implicit function theorem, both systems solved inexactly.

    Parameters
    ----------
    problem : BilevelProblem
        The problem.
    theta : array
        Hyper-parameters.
    x0, q0 : array, default=None
        Starts for the lower level and for the adjoint.
    tol : float, default=1e-6
        Bound on the distance of x from the lower-level minimiser.
    linear_tol : float, default=None
        Bound on the residual of the adjoint system; None takes ``tol``.
    solver : str, default="auto"
        "newton-cg", "agd", "lbfgs", "direct", or "auto": the problem's choice.
    accuracy : str, default="certified"
        "certified" measures distances by the modulus of strong convexity, "estimate"
        by the curvature that conjugate gradients met.

    Returns
    -------
    HypergradientResult
        Value, gradient, bounds and counts.

    Raises
    ------
    ValueError
        When an argument is wrong, or the levels return numbers that are not finite.

    See Also
    --------
    maid : Minimise over theta.

    Notes
    -----
    The value is corrected by the adjoint: ``g(x) - <q, grad_x h>`` is wrong by a
    second-order term only. With ``s = grad_x g - H q``, ``e`` the distance of x and M a
    bound on the third derivative of h along q, its error is at most
    ``||s|| e + (L_g + M) e^2 / 2``.

    References
    ----------
    Ehrhardt & Roberts (2024), Analyzing inexact hypergradients for bilevel learning,
    IMA J. Appl. Math. 89. Becker & Rannacher (2001), An optimal control approach to
    a posteriori error estimation, Acta Numerica 10.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.bilevel import QuadraticProblem, hypergradient
    >>> rng = np.random.default_rng(0)
    >>> A = rng.uniform(size=(20, 3))
    >>> problem = QuadraticProblem(A, A @ np.ones(3), A, A, np.ones(20))
    >>> at_minimum = hypergradient(problem, problem.theta_star, tol=1e-9)
    >>> bool(np.linalg.norm(at_minimum.gradient) < 1e-6)
    True
    """
    problem = check_problem_type(problem)
    theta = check_theta(problem, theta)
    v.check_choice("solver", solver, SOLVERS)
    v.check_choice("accuracy", accuracy, ACCURACIES)
    tol = v.check_real("tol", tol, low=0, include_low=False)
    delta = (
        tol
        if linear_tol is None
        else v.check_real("linear_tol", linear_tol, low=0, include_low=False)
    )
    oracle = Oracle(problem, accuracy)
    x = oracle.start(x0, theta)
    if q0 is not None:
        _, (q0,) = v.float_arrays(q0=q0)
        v.check_values("q0", q0)
        v.check_shape("q0", q0, tuple(x.shape), why="(as x)")
    point = Evaluator(oracle, solver).evaluate(theta, x, q0, tol, delta)
    z = Evaluator(oracle, solver).gradient(point)
    error = Evaluator(oracle, solver).gradient_error(point)
    xp = array_namespace(point.x)
    return HypergradientResult(
        value=point.value,
        value_bound=point.bound,
        gradient=z,
        gradient_bound=error,
        x=xp.asarray(point.x, copy=True),
        q=xp.asarray(point.q, copy=True),
        n_lower_grad=oracle.n_grad,
        n_hvp=oracle.n_hvp,
        certified=accuracy == "certified" and oracle.knows_cross,
    )
