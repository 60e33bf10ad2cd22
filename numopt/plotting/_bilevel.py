# SPDX-License-Identifier: BSD-3-Clause
"""The run of a bilevel solver: certified values, accuracies and steps against work."""

from typing import Any, Self

import numpy as np

from numopt._validation import import_optional

__all__ = ["BilevelResultDisplay"]


class BilevelResultDisplay:
    """Value with its certified band, accuracies and steps, against work.

    Parameters
    ----------
    history : dict of str to ndarray
        Columns "work", "value", "value_bound", "eps", "delta" and "step".

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes
        The axes of the values and of the accuracies.
    figure_ : matplotlib Figure
        Figure of the axes.
    lines_ : list of matplotlib Line2D
        Value, eps, delta, step.
    band_ : matplotlib PolyCollection
        The interval that contains the true value.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.bilevel import QuadraticProblem, maid
    >>> from numopt.plotting import BilevelResultDisplay
    >>> eye, one = np.eye(2), np.ones(2)
    >>> result = maid(QuadraticProblem(eye, one, eye, eye, 3 * one), [0.0, 0.0])
    >>> display = BilevelResultDisplay.from_result(result)
    >>> display.axes_[0].get_ylabel()
    'upper-level value'
    """

    def __init__(self, history: dict[str, np.ndarray]) -> None:
        self.history = history

    @classmethod
    def from_result(cls, result: Any, *, axes: Any = None, **line_kw: Any) -> Self:
        """Draw the history of a result.

        Parameters
        ----------
        result : BilevelResult
            What ``maid`` or ``hoag`` returned.
        axes : sequence of two matplotlib Axes, default=None
            Axes to draw on; None makes new ones.
        **line_kw : dict
            Passed to matplotlib's plot.

        Returns
        -------
        BilevelResultDisplay
            The display, drawn.
        """
        return cls(result.history).plot(axes=axes, **line_kw)

    def plot(self, *, axes: Any = None, **line_kw: Any) -> Self:
        """Draw both panels.

        Parameters
        ----------
        axes : sequence of two matplotlib Axes, default=None
            Axes to draw on; None makes new ones.
        **line_kw : dict
            Passed to matplotlib's plot.

        Returns
        -------
        BilevelResultDisplay
            The display itself.
        """
        pyplot = import_optional("matplotlib.pyplot", extra="plot")
        if axes is None:
            _, axes = pyplot.subplots(2, 1, sharex=True)
        top, bottom = self.axes_ = np.asarray(axes)
        self.figure_ = top.figure
        h = self.history
        work, value, bound = h["work"], h["value"], h["value_bound"]
        style = {"marker": ".", **line_kw}
        self.lines_ = list(top.plot(work, value, **style))
        self.band_ = top.fill_between(work, value - bound, value + bound, alpha=0.3)
        top.set_ylabel("upper-level value")
        labels = {"eps": "distance of x", "delta": "adjoint residual", "step": "step"}
        for name, label in labels.items():
            positive = np.where(h[name] > 0, h[name], np.nan)
            self.lines_ += bottom.plot(work, positive, label=label, **style)
        bottom.set_yscale("log")
        bottom.set_xlabel("lower gradients and Hessian products")
        bottom.legend()
        return self
