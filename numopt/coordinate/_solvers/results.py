# SPDX-License-Identifier: BSD-3-Clause
"""What the coordinate solvers return."""

import dataclasses
from typing import Any

import numpy as np

from numopt._docstring import fill_docstring
from numopt._iterate.result import SolverResult

__all__ = ["RUN", "CoordinateResult", "PathResult"]

#: Documentation of the fields of `SolverResult`.
RUN = """
    n_iter : int
        Number of iterations.
    converged : bool
        Whether the stopping measure reached ``tol``.
    message : str
        Why the solver stopped and, on failure, what to try.
    status : str
        "converged", "max_iter", "callback", "stalled", "diverged" or "infeasible".
    history : dict of str to ndarray
        Equal-length arrays, one entry a check.
    """


@fill_docstring(run=RUN)
@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class CoordinateResult(SolverResult):
    """A solution with its certificate.

    ``history`` holds "objective", "dual_gap", "n_working_set", "n_support" and "time".

    Parameters
    ----------
    {run}
    coef : ndarray of shape (p,) or (K, p)
        Coefficients.
    intercept : float or ndarray of shape (K,)
        Intercept, 0.0 without one.
    objective : float
        Datafit plus penalty at the solution.
    dual_gap : float
        Relative duality gap, NaN where no dual is known.
    support : ndarray of int
        Indices of coefficients that are not zero (for any output).

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.coordinate import L1, Quadratic, bcd_solve
    >>> result = bcd_solve(np.eye(3), [3.0, 0.1, -3.0], Quadratic(), L1(1 / 3))
    >>> result.support
    array([0, 2])
    """

    coef: np.ndarray
    intercept: Any
    objective: float
    dual_gap: float
    support: np.ndarray


@fill_docstring(run=RUN)
@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class PathResult(SolverResult):
    """Solutions along a decreasing grid of penalties.

    ``history`` holds the objective, relative gap and seconds at every grid point.

    Parameters
    ----------
    {run}
    alphas : ndarray of shape (A,)
        Penalty strengths, decreasing.
    coefs : ndarray of shape (p, A) or (K, p, A)
        Coefficients.
    intercepts : ndarray of shape (A,) or (K, A)
        Intercepts.
    dual_gaps : ndarray of shape (A,)
        Relative duality gaps.
    n_iters : ndarray of shape (A,)
        Outer passes at each grid point.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.coordinate import lasso_path
    >>> path = lasso_path(np.eye(3), [3.0, 0.1, -3.0], n_alphas=5)
    >>> path.coefs.shape
    (3, 5)
    """

    alphas: np.ndarray
    coefs: np.ndarray
    intercepts: np.ndarray
    dual_gaps: np.ndarray
    n_iters: np.ndarray
