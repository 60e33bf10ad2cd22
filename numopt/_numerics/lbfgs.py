# SPDX-License-Identifier: BSD-3-Clause
"""L-BFGS by SciPy for objectives on any array library."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from numopt._array.namespace import array_namespace, device, to_numpy
from numopt.typing import Array

__all__ = ["LBFGSResult", "lbfgs"]


class LBFGSResult(NamedTuple):
    """Minimiser (in the caller's library), value, gradient norm and counts."""

    x: Array
    value: float
    gradient_norm: float
    n_iter: int
    n_evaluations: int


def lbfgs(
    value_and_gradient: Callable[[Array], tuple[Any, Array]],
    x0: Array,
    *,
    tol: float,
    max_iter: int,
    bounds: tuple[float | None, float | None] | None = None,
) -> LBFGSResult:
    """Minimise a smooth function to ``max |projected gradient| <= tol``.

    Vectors travel to the host once an evaluation: SciPy's L-BFGS-B keeps the (short)
    recursion there, the objective stays on its device.
    """
    from scipy.optimize import minimize

    xp = array_namespace(x0)
    shape, dtype, where = x0.shape, x0.dtype, device(x0)

    def on_host(x: np.ndarray) -> tuple[float, np.ndarray]:
        moved = xp.reshape(xp.asarray(x, dtype=dtype, device=where), shape)
        value, gradient = value_and_gradient(moved)
        return float(value), np.asarray(to_numpy(gradient), np.float64).ravel()

    start = np.asarray(to_numpy(x0), np.float64).ravel()
    solution = minimize(
        on_host,
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=None if bounds is None else [bounds] * start.size,
        options={"gtol": tol, "ftol": 0.0, "maxiter": max_iter, "maxcor": 20},
    )
    return LBFGSResult(
        xp.reshape(xp.asarray(solution.x, dtype=dtype, device=where), shape),
        float(solution.fun),
        float(np.max(np.abs(solution.jac), initial=0.0)),
        int(solution.nit),
        int(solution.nfev),
    )
