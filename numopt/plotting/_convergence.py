# SPDX-License-Identifier: BSD-3-Clause
"""Residual (or any measure) of one or several solvers against time or iterations."""

from typing import Any, Self

import numpy as np

from numopt._validation import check_choice
from numopt.plotting._axes import figure_and_axes

__all__ = ["ConvergenceDisplay"]


class ConvergenceDisplay:
    """Convergence curves of one or several results.

    It is recommended to use `from_result` or `from_results` to create the display.

    Parameters
    ----------
    curves : dict of str to tuple of ndarray
        Pairs (x, y) of equal length by label.
    x_name, y_name : str, default="time", "residual"
        Names of the axes.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes drawn on.
    figure_ : matplotlib Figure
        Figure of the axes.
    lines_ : list of matplotlib Line2D
        One line a curve.

    Examples
    --------
    >>> from numopt.ot import sinkhorn
    >>> from numopt.plotting import ConvergenceDisplay
    >>> result = sinkhorn([0.5, 0.5], [0.5, 0.5], [[0.0, 1.0], [1.0, 0.0]], reg=0.1)
    >>> display = ConvergenceDisplay.from_result(result, x="n_iter")
    >>> len(display.lines_)
    1
    """

    def __init__(
        self,
        curves: dict[str, tuple[np.ndarray, np.ndarray]],
        *,
        x_name: str = "time",
        y_name: str = "residual",
    ) -> None:
        self.curves = curves
        self.x_name = x_name
        self.y_name = y_name

    @classmethod
    def from_result(
        cls,
        result: Any,
        *,
        x: str = "time",
        y: str = "residual",
        ax: Any = None,
        **line_kw: Any,
    ) -> Self:
        """Draw the history of one result.

        Parameters
        ----------
        result : SolverResult
            Any result of numopt.
        x, y : str, default="time", "residual"
            Keys of ``result.history``.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes new ones.
        **line_kw : dict
            Passed to matplotlib's plot.

        Returns
        -------
        ConvergenceDisplay
            The display, drawn.
        """
        label = getattr(result, "method", type(result).__name__)
        return cls.from_results({label: result}, x=x, y=y, ax=ax, **line_kw)

    @classmethod
    def from_results(
        cls,
        results: dict[str, Any],
        *,
        x: str = "time",
        y: str = "residual",
        ax: Any = None,
        **line_kw: Any,
    ) -> Self:
        """Draw the histories of several results on the same axes.

        Parameters
        ----------
        results : dict of str to SolverResult
            Results by label.
        x, y : str, default="time", "residual"
            Keys of their histories.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes new ones.
        **line_kw : dict
            Passed to matplotlib's plot.

        Returns
        -------
        ConvergenceDisplay
            The display, drawn.
        """
        curves = {}
        for label, result in results.items():
            check_choice("x", x, result.history)
            check_choice("y", y, result.history)
            curves[label] = (result.history[x], result.history[y])
        return cls(curves, x_name=x, y_name=y).plot(ax=ax, **line_kw)

    def plot(self, ax: Any = None, **line_kw: Any) -> Self:
        """Draw the curves; positive ones on a logarithmic axis.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes new ones.
        **line_kw : dict
            Passed to matplotlib's plot.

        Returns
        -------
        ConvergenceDisplay
            The display itself.
        """
        self.figure_, self.ax_ = figure_and_axes(ax)
        self.lines_ = []
        for label, (x, y) in self.curves.items():
            (line,) = self.ax_.plot(x, y, **{"label": label, "marker": ".", **line_kw})
            self.lines_.append(line)
        if all(np.any(y > 0) for _, y in self.curves.values()):
            self.ax_.set_yscale("log")
        unit = " (s)" if self.x_name == "time" else ""
        self.ax_.set_xlabel(self.x_name.replace("_", " ") + unit)
        self.ax_.set_ylabel(self.y_name.replace("_", " "))
        if len(self.curves) > 1:
            self.ax_.legend()
        return self
