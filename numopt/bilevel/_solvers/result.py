# SPDX-License-Identifier: BSD-3-Clause
"""What the bilevel solvers return."""

import dataclasses

from numopt._iterate.result import SolverResult
from numopt.typing import Array

__all__ = ["BilevelResult", "HypergradientResult", "LowerLevelResult"]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class BilevelResult(SolverResult):
    """Hyper-parameters with a bound on how wrong their value may be.

    Parameters
    ----------
    n_iter : int
        Accepted outer steps.
    converged : bool
        Whether a tolerance or ``f_target`` was reached.
    message : str
        Why the solver stopped and, on failure, what to try.
    status : str
        "converged", "max_iter" (also for ``max_work``), "callback" or "stalled".
    history : dict of str to ndarray
        One entry an accepted iterate: "value", "value_bound", "eps", "delta", "step",
        "gradient_norm", "work", "time", and the house's "n_iter", "objective" (the
        value) and "residual" (projected gradient relative to the first one).
    theta : array
        Hyper-parameters.
    x : array
        Lower-level solution at theta, inexact.
    value : float
        Adjoint-corrected upper-level value at theta (plain for ``method="maid"`` and
        ``hoag``).
    value_bound : float
        Bound on the distance of ``value`` from the true one.
    hypergradient : array of the shape of theta
        Inexact hypergradient at theta.
    hypergradient_bound : float
        Bound on its error, or an estimate.
    certified : bool
        Whether ``value_bound`` is proven: the modulus of strong convexity was used and
        the third derivatives of the lower level are bounded by formula.
    n_lower_grad, n_hvp, n_lower_solves, n_line_search_failures : int
        Lower gradients, Hessian products, lower-level solves, rejected trial steps.

    See Also
    --------
    maid : The function that makes it.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.bilevel import QuadraticProblem, maid
    >>> eye, one = np.eye(2), np.ones(2)
    >>> result = maid(QuadraticProblem(eye, one, eye, eye, 3 * one), [0.0, 0.0])
    >>> result.theta.round(6).tolist()
    [2.0, 2.0]
    """

    theta: Array
    x: Array
    value: float
    value_bound: float
    hypergradient: Array
    hypergradient_bound: float
    certified: bool
    n_lower_grad: int
    n_hvp: int
    n_lower_solves: int
    n_line_search_failures: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class LowerLevelResult:
    """Lower-level solution with a bound on its distance from the minimiser.

    Parameters
    ----------
    x : array
        The solution.
    grad_norm : float
        Norm of the lower-level gradient at x.
    error_bound : float
        ``grad_norm / mu``, never less than the distance of x from the minimiser.
    n_grad, n_hvp : int
        Lower gradients and Hessian products.
    converged : bool
        Whether ``error_bound <= tol``.

    See Also
    --------
    solve_lower : The function that makes it.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.bilevel import QuadraticProblem, solve_lower
    >>> eye, one = np.eye(2), np.ones(2)
    >>> solve_lower(QuadraticProblem(eye, one, eye, eye, one), 0 * one).x.tolist()
    [1.0, 1.0]
    """

    x: Array
    grad_norm: float
    error_bound: float
    n_grad: int
    n_hvp: int
    converged: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class HypergradientResult:
    """Value and gradient of the outer problem with bounds on their errors.

    Parameters
    ----------
    value : float
        Adjoint-corrected upper-level value.
    value_bound : float
        Bound on the distance of ``value`` from the true one.
    gradient : array of the shape of theta
        Hypergradient.
    gradient_bound : float
        Bound on the norm of its error.
    x, q : array
        Lower-level solution and adjoint, for warm starts.
    n_lower_grad, n_hvp : int
        Lower gradients and Hessian products.
    certified : bool
        Whether both bounds are proven; otherwise parts of them are estimates.

    See Also
    --------
    hypergradient : The function that makes it.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.bilevel import QuadraticProblem, hypergradient
    >>> eye, one = np.eye(2), np.ones(2)
    >>> result = hypergradient(QuadraticProblem(eye, one, eye, eye, one), 0 * one)
    >>> result.certified, result.gradient_bound < 1e-4
    (True, True)
    """

    value: float
    value_bound: float
    gradient: Array
    gradient_bound: float
    x: Array
    q: Array
    n_lower_grad: int
    n_hvp: int
    certified: bool
