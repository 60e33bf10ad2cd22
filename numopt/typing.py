# SPDX-License-Identifier: BSD-3-Clause
"""Names for type annotations: an array argument is never tied to one library."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from numopt._iterate.callback import IterationInfo

__all__ = ["Array", "Callback", "Namespace"]

#: An array of any supported library (NumPy, CuPy, torch, array-api-strict).
Array: TypeAlias = Any

#: An array-API namespace as returned by ``array_api_compat.array_namespace``.
Namespace: TypeAlias = Any

#: Called after every check; a true return value stops the solver.
Callback: TypeAlias = Callable[["IterationInfo"], Any]
