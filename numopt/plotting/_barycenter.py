# SPDX-License-Identifier: BSD-3-Clause
"""A mean of histograms, images or clouds, with what it is the mean of."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from numopt._array.namespace import to_numpy
from numopt.plotting._axes import figure_and_axes

__all__ = ["BarycenterDisplay"]


class BarycenterDisplay:
    """Picture of a barycenter.

    Parameters
    ----------
    mean : ndarray of shape (m,), (n_1, n_2) or (n, 2)
        A histogram, an image, or points of the plane.
    inputs : sequence of ndarrays, default=()
        Histograms on the points of the mean, or clouds of the plane.
    x : ndarray of shape (m,), default=None
        Points of a histogram; None means their indices.
    masses : ndarray of shape (n,), default=None
        Weights of points: with them ``mean`` is a cloud.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes drawn on.
    figure_ : matplotlib Figure
        Figure of the axes.
    lines_ : list of matplotlib Line2D
        The inputs and the mean, for histograms.
    image_ : matplotlib AxesImage
        The mean, for images.
    points_ : list of matplotlib PathCollection
        The inputs and the mean, for clouds.

    Examples
    --------
    >>> from numopt.ot import barycenter
    >>> from numopt.plotting import BarycenterDisplay
    >>> A = [[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]]
    >>> M = [[0.0, 1.0, 4.0], [1.0, 0.0, 1.0], [4.0, 1.0, 0.0]]
    >>> display = BarycenterDisplay.from_result(barycenter(A, M, reg=0.1))
    >>> len(display.lines_)
    1
    """

    def __init__(
        self,
        mean: np.ndarray,
        *,
        inputs: Sequence[np.ndarray] = (),
        x: np.ndarray | None = None,
        masses: np.ndarray | None = None,
    ) -> None:
        self.mean = mean
        self.inputs = inputs
        self.x = x
        self.masses = masses

    @classmethod
    def from_result(
        cls,
        result: Any,
        *,
        inputs: Any = (),
        x: Any = None,
        ax: Any = None,
        **kw: Any,
    ) -> Self:
        """Draw the barycenter of a result.

        Parameters
        ----------
        result : BarycenterResult or FreeSupportResult
            Mean of histograms, images or clouds.
        inputs : array of shape (m, k) or list of k arrays of shape (m_k, 2), default=()
            The histograms, as columns, or the clouds.
        x : array of shape (m,), default=None
            Points of a histogram; None means their indices.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes new ones.
        **kw : dict
            Passed to the plot, imshow or scatter that draws the mean.

        Returns
        -------
        BarycenterDisplay
            The display, drawn.
        """
        x = None if x is None else to_numpy(x)
        if hasattr(result, "X"):
            clouds = [to_numpy(cloud) for cloud in inputs]
            mean, masses = to_numpy(result.X), to_numpy(result.a)
            return cls(mean, inputs=clouds, masses=masses).plot(ax=ax, **kw)
        histograms = list(to_numpy(inputs).T) if len(inputs) else []
        mean = to_numpy(result.barycenter)
        return cls(mean, inputs=histograms, x=x).plot(ax=ax, **kw)

    def plot(self, ax: Any = None, **kw: Any) -> Self:
        """Draw the barycenter.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes new ones.
        **kw : dict
            Passed to the plot, imshow or scatter that draws the mean.

        Returns
        -------
        BarycenterDisplay
            The display itself.

        Raises
        ------
        ValueError
            When the mean is not of one of the shapes that can be drawn.
        """
        in_plane = self.mean.ndim == 2 and self.mean.shape[1] == 2
        if self.masses is not None and not in_plane:
            raise ValueError(
                f"points must be of shape (n, 2) to be drawn, got {self.mean.shape}"
            )
        if self.mean.ndim not in (1, 2):
            raise ValueError(
                "a mean must have one axis or two to be drawn, got shape "
                f"{self.mean.shape}"
            )
        self.figure_, self.ax_ = figure_and_axes(ax)
        if self.masses is not None:
            self._plot_clouds(self.masses, **kw)
        elif self.mean.ndim == 2:
            self.image_ = self.ax_.imshow(self.mean, **{"cmap": "magma_r", **kw})
        else:
            self._plot_lines(**kw)
        return self

    def _plot_lines(self, **kw: Any) -> None:
        """Histograms as curves."""
        x = np.arange(self.mean.size) if self.x is None else self.x
        self.lines_ = []
        for histogram in self.inputs:
            self.lines_ += self.ax_.plot(x, histogram, color="0.7", linewidth=1)
        style = {"color": "C0", "linewidth": 2, "label": "barycenter", **kw}
        self.lines_ += self.ax_.plot(x, self.mean, **style)
        self.ax_.set_ylabel("mass")
        self.ax_.legend()

    def _plot_clouds(self, masses: np.ndarray, **kw: Any) -> None:
        """Clouds as dots, those of the mean as large as their mass."""
        self.points_ = [
            self.ax_.scatter(cloud[:, 0], cloud[:, 1], s=6, color="0.7")
            for cloud in self.inputs
        ]
        area = 30.0 * masses / np.mean(masses)
        style = {"s": area, "color": "C0", "label": "barycenter", **kw}
        self.points_.append(self.ax_.scatter(*self.mean.T, **style))
        self.ax_.set_aspect("equal")
        self.ax_.legend()
