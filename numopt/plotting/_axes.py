# SPDX-License-Identifier: BSD-3-Clause
"""Matplotlib is imported here, on use."""

from typing import Any

from numopt._validation import import_optional

__all__ = ["figure_and_axes"]


def figure_and_axes(ax: Any = None) -> tuple[Any, Any]:
    """Return the figure and axes to draw on; new ones when ``ax`` is None."""
    pyplot = import_optional("matplotlib.pyplot", extra="plot")
    if ax is None:
        return pyplot.subplots()
    return ax.figure, ax
