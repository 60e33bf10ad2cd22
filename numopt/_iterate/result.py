# SPDX-License-Identifier: BSD-3-Clause
"""The base of every result object."""

import dataclasses
from typing import Any

import numpy as np

from numopt._array.namespace import is_array

__all__ = ["SolverResult"]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class SolverResult:
    """What every solver reports; families add their own fields.

    Parameters
    ----------
    n_iter : int
        Number of iterations.
    converged : bool
        Whether the stopping measure of the solver reached ``tol``.
    message : str
        Why the solver stopped and, on failure, what to try.
    status : str
        "converged", "max_iter", "callback", "stalled", "diverged" or "infeasible".
    history : dict of str to ndarray
        Host arrays of equal length, one entry a check: always "n_iter", "time"
        (seconds), "objective" and "residual"; plus the family's own.

    Examples
    --------
    >>> from numopt.ot import sinkhorn
    >>> result = sinkhorn([0.5, 0.5], [0.5, 0.5], [[0.0, 1.0], [1.0, 0.0]], reg=0.1)
    >>> result.converged, result.status
    (True, 'converged')
    """

    n_iter: int
    converged: bool
    message: str
    status: str
    history: dict[str, np.ndarray]

    def __repr__(self) -> str:
        """Status, iterations, last residual and the shapes of arrays, never values."""
        parts = [f"status={self.status!r}", f"n_iter={self.n_iter}"]
        residuals = self.history.get("residual")
        if residuals is not None and len(residuals):
            parts.append(f"residual={residuals[-1]:.2e}")
        for field in dataclasses.fields(self):
            value: Any = self.__dict__.get(field.name)
            if is_array(value):
                parts.append(f"{field.name}: {tuple(value.shape)}")
        return f"{type(self).__name__}({', '.join(parts)})"
