# SPDX-License-Identifier: BSD-3-Clause
"""A transport plan as an image or as lines between points."""

from typing import Any, Self

import numpy as np

from numopt._array.namespace import to_numpy
from numopt.plotting._axes import figure_and_axes

__all__ = ["TransportPlanDisplay"]


class TransportPlanDisplay:
    """Picture of a transport plan.

    Parameters
    ----------
    plan : ndarray of shape (n, m)
        Transported mass.
    source, target : ndarray of shape (n, 2) and (m, 2), default=None
        Points of the plane. With both, mass is drawn as lines between them;
        otherwise the plan is shown as an image.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes drawn on.
    figure_ : matplotlib Figure
        Figure of the axes.
    image_ : matplotlib AxesImage
        The image, when no points are given.
    lines_ : matplotlib LineCollection
        The lines, when points are given.

    Examples
    --------
    >>> from numopt.ot import sinkhorn
    >>> from numopt.plotting import TransportPlanDisplay
    >>> result = sinkhorn([0.5, 0.5], [0.5, 0.5], [[0.0, 1.0], [1.0, 0.0]], reg=0.1)
    >>> display = TransportPlanDisplay.from_result(result)
    >>> display.ax_.get_xlabel()
    'target'
    """

    def __init__(
        self,
        plan: np.ndarray,
        *,
        source: np.ndarray | None = None,
        target: np.ndarray | None = None,
    ) -> None:
        self.plan = plan
        self.source = source
        self.target = target

    @classmethod
    def from_result(
        cls,
        result: Any,
        *,
        source: Any = None,
        target: Any = None,
        ax: Any = None,
        **kw: Any,
    ) -> Self:
        """Draw the plan of an optimal transport result.

        Parameters
        ----------
        result : SinkhornResult
            Anything with a ``plan``.
        source, target : array of shape (n, 2) and (m, 2), default=None
            Points of the plane.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes new ones.
        **kw : dict
            Passed to matplotlib's imshow or LineCollection.

        Returns
        -------
        TransportPlanDisplay
            The display, drawn.
        """
        points = [None if p is None else to_numpy(p) for p in (source, target)]
        display = cls(to_numpy(result.plan), source=points[0], target=points[1])
        return display.plot(ax=ax, **kw)

    def plot(self, ax: Any = None, **kw: Any) -> Self:
        """Draw the plan.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes new ones.
        **kw : dict
            Passed to matplotlib's imshow or LineCollection.

        Returns
        -------
        TransportPlanDisplay
            The display itself.
        """
        self.figure_, self.ax_ = figure_and_axes(ax)
        if self.source is None or self.target is None:
            self.image_ = self.ax_.imshow(self.plan, **{"cmap": "magma_r", **kw})
            self.ax_.set_xlabel("target")
            self.ax_.set_ylabel("source")
        else:
            self._plot_lines(self.source, self.target, **kw)
        return self

    def _plot_lines(self, source: np.ndarray, target: np.ndarray, **kw: Any) -> None:
        from matplotlib.collections import LineCollection

        # Lines thinner than 1% of the widest would only blur the picture.
        rows, columns = np.nonzero(self.plan > 0.01 * np.max(self.plan))
        segments = np.stack([source[rows], target[columns]], axis=1)
        mass = self.plan[rows, columns]
        widths = 2.0 * mass / np.max(mass, initial=1e-300)
        style = {"linewidths": widths, "colors": "0.6", "zorder": 0, **kw}
        self.lines_ = self.ax_.add_collection(LineCollection(list(segments), **style))
        for points, label in ((source, "source"), (target, "target")):
            self.ax_.plot(points[:, 0], points[:, 1], "o", markersize=4, label=label)
        self.ax_.legend()
