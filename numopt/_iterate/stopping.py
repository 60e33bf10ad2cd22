# SPDX-License-Identifier: BSD-3-Clause
"""Why a solver stops, in one word and one sentence."""

import math
import sys
import warnings
from typing import Any, NamedTuple

__all__ = ["STATUSES", "Stop", "check_stop", "warn_not_converged"]

STATUSES = ("converged", "max_iter", "callback", "stalled", "diverged", "infeasible")


class Stop(NamedTuple):
    """The reason to stop: a status word and a plain sentence."""

    status: str
    message: str


def check_stop(
    residual: float, n_iter: int, *, tol: float, max_iter: int
) -> Stop | None:
    """Return the reason to stop that every solver shares, or None."""
    if math.isnan(residual):
        return Stop(
            "diverged",
            f"the residual became NaN after {n_iter} iterations; the last finite "
            "iterate is returned",
        )
    if residual <= tol:
        return Stop("converged", f"residual {residual:.2e} <= tol {tol:.2e}")
    if n_iter >= max_iter:
        return Stop(
            "max_iter",
            f"residual {residual:.2e} > tol {tol:.2e} after max_iter={max_iter} "
            "iterations; increase `max_iter` or `tol`",
        )
    return None


def warn_not_converged(name: str, message: str) -> None:
    """Issue one ConvergenceWarning that points at the caller outside numopt."""
    from numopt.exceptions import ConvergenceWarning

    warnings.warn(
        f"{name} did not converge: {message}",
        ConvergenceWarning,
        stacklevel=_stacklevel(),
    )


def _stacklevel() -> int:
    """Depth of the first frame outside the package, as ``warnings`` counts."""
    frame: Any = sys._getframe(1)
    level = 1
    while frame is not None and frame.f_globals.get("__name__", "").startswith(
        "numopt."
    ):
        frame = frame.f_back
        level += 1
    return level
