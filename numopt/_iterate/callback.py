# SPDX-License-Identifier: BSD-3-Clause
"""What a callback sees."""

import dataclasses
from typing import Any

__all__ = ["IterationInfo"]


@dataclasses.dataclass(frozen=True)
class IterationInfo:
    """State of a solver at one check, passed to ``callback(info)``.

    Every entry of ``metrics`` can also be read as an attribute, for example
    ``info.objective``.

    Parameters
    ----------
    n_iter : int
        Iterations so far.
    time : float
        Seconds since the start.
    metrics : dict
        The measures of this check: "objective", "residual" and the family's own.
    x : array or tuple of arrays
        The current iterate, read-only; copy it to keep it.

    Examples
    --------
    >>> from numopt import IterationInfo
    >>> info = IterationInfo(3, 0.1, {"objective": 2.0, "residual": 1e-3}, None)
    >>> info.objective
    2.0
    """

    n_iter: int
    time: float
    metrics: dict[str, Any]
    x: Any

    def __getattr__(self, name: str) -> Any:
        """Return the metric of that name."""
        metrics = object.__getattribute__(self, "__dict__").get("metrics", {})
        if name in metrics:
            return metrics[name]
        raise AttributeError(
            f"no attribute {name!r}; metrics are {', '.join(sorted(metrics))}"
        )
