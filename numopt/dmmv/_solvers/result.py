# SPDX-License-Identifier: BSD-3-Clause
"""What the min-max solvers return."""

import dataclasses

import numpy as np

from numopt._iterate.result import SolverResult
from numopt.typing import Array

__all__ = ["MinMaxBatchResult", "MinMaxResult"]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class MinMaxResult(SolverResult):
    """A discrete point, its worst violation and a proven lower bound.

    Parameters
    ----------
    n_iter : int
        Number of rounds.
    converged : bool
        Whether ``gap <= tol``: optimal within the tolerance.
    message : str
        Why the search stopped.
    status : str
        "converged", "max_iter" (also the time limit), "callback" or "stalled".
    history : dict of str to ndarray
        One entry a round: "n_iter", "time", "objective", "residual" (the gap),
        "violation", "lower_bound", "method".
    x : ndarray of shape (n,)
        The point; int64 when all levels are integers.
    violation : float
        ``V(x)``, recomputed from ``x`` in float64.
    lower_bound : float
        No point of the level sets has a smaller violation.
    gap : float
        ``(violation - lower_bound) / violation``, 0 when both vanish.
    residual : ndarray of shape (m,)
        Signed distances of ``Ax`` to the intervals; ``Ax - b`` for sense "abs".
    active : ndarray of int
        Rows whose weighted violation is within 1e-9 of the maximum, relatively.
    bound_kind : str
        "lp", "dual", "integrality", "milp", "exhaustive" or "trivial" (0).
    method : str
        Method that found ``x``.

    See Also
    --------
    minimize_max_violation : The function that makes it.

    Examples
    --------
    >>> from numopt.dmmv import minimize_max_violation
    >>> result = minimize_max_violation([[2.0, 1.0], [1.0, 3.0]], [3.2, 4.1], (0, 3))
    >>> result.x.tolist(), round(result.violation, 6), result.converged
    ([1, 1], 0.2, True)
    """

    x: np.ndarray
    violation: float
    lower_bound: float
    gap: float
    residual: np.ndarray
    active: np.ndarray
    bound_kind: str
    method: str


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class MinMaxBatchResult(SolverResult):
    """Discrete points for many right-hand sides of one matrix.

    Parameters
    ----------
    n_iter : int
        Number of rounds.
    converged : bool
        Whether every gap is at most ``tol``.
    message : str
        Why the search stopped.
    status : str
        "converged" or "max_iter".
    history : dict of str to ndarray
        "n_iter", "time", "objective" (largest violation), "residual" (largest gap).
    x : array of shape (n, C)
        One point a column, in the library of the input.
    violation : array of shape (C,)
        Worst violations.
    lower_bound : array of shape (C,)
        Proven lower bounds (weak duality).
    gap : array of shape (C,)
        Relative gaps.
    bound_kind : str
        "dual".
    method : str
        "round", "babai" or "beam".

    See Also
    --------
    minimize_max_violation_batch : The function that makes it.

    Examples
    --------
    >>> from numopt.dmmv import minimize_max_violation_batch
    >>> A = [[2.0, 1.0], [1.0, 3.0]]
    >>> result = minimize_max_violation_batch(A, [[3.2, 0.1], [4.1, 0.0]], (0, 3))
    >>> result.x.tolist()
    [[1.0, 0.0], [1.0, 0.0]]
    """

    x: Array
    violation: Array
    lower_bound: Array
    gap: Array
    bound_kind: str
    method: str
