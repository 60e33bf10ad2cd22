# SPDX-License-Identifier: BSD-3-Clause
"""Exceptions and warnings raised by numopt."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sklearn.exceptions import ConvergenceWarning

__all__ = ["ArgumentTypeError", "ConvergenceWarning", "InfeasibleError"]


class ArgumentTypeError(TypeError, ValueError):
    """An argument is of the wrong kind, as a list where a number is expected.

    It is both a TypeError, which it is in Python's terms, and a ValueError, so that
    one ``except ValueError`` catches every bad argument.

    Examples
    --------
    >>> from numopt.ot import sinkhorn
    >>> try:
    ...     sinkhorn(None, None, [[0.0, 1.0], [1.0, 0.0]], reg=None)
    ... except ValueError as error:
    ...     print(error)
    `reg` must be a positive finite number, got None
    """


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
