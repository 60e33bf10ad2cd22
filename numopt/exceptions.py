# SPDX-License-Identifier: BSD-3-Clause
"""Exceptions and warnings raised by numopt."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sklearn.exceptions import ConvergenceWarning

__all__ = ["ConvergenceWarning", "InfeasibleError"]


class InfeasibleError(ValueError):
    """No feasible point exists for the given data.

    Raised when infeasibility is certain from the input, before any iteration. A
    solver that discovers infeasibility while iterating returns a result with
    ``status="infeasible"`` instead.

    Examples
    --------
    >>> from numopt.exceptions import InfeasibleError
    >>> issubclass(InfeasibleError, ValueError)
    True
    """


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    # scikit-learn's own class, so that users filter one warning; loaded on use only.
    if name == "ConvergenceWarning":
        from sklearn.exceptions import ConvergenceWarning

        return ConvergenceWarning
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
