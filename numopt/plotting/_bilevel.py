# SPDX-License-Identifier: BSD-3-Clause
"""The run of a bilevel solver with its certified values, and learned filters."""

from typing import Any, Self

import numpy as np

from numopt._validation import import_optional

__all__ = ["BilevelResultDisplay", "FiltersDisplay"]


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


class FiltersDisplay:
    """Learned filters as small images, titled by their weights.

    Parameters
    ----------
    filters : ndarray of shape (K, k, k)
        The filters.
    weights : ndarray of shape (K,), default=None
        Their weights; None leaves the titles out.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes
        One for each filter.
    figure_ : matplotlib Figure
        Figure of the axes.
    images_ : list of matplotlib AxesImage
        The drawn filters.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.plotting import FiltersDisplay
    >>> display = FiltersDisplay(np.eye(9).reshape(9, 3, 3)).plot()
    >>> len(display.images_)
    9
    """

    def __init__(self, filters: np.ndarray, weights: np.ndarray | None = None) -> None:
        self.filters = filters
        self.weights = weights

    @classmethod
    def from_estimator(cls, estimator: Any, **image_kw: Any) -> Self:
        """Draw the filters of a fitted estimator.

        Parameters
        ----------
        estimator : FoEDenoiser
            Fitted.
        **image_kw : dict
            Passed to matplotlib's imshow.

        Returns
        -------
        FiltersDisplay
            The display, drawn.
        """
        return cls(estimator.filters_, estimator.weights_).plot(**image_kw)

    def plot(self, *, axes: Any = None, **image_kw: Any) -> Self:
        """Draw each filter on its own scale, zero in the middle.

        Parameters
        ----------
        axes : sequence of matplotlib Axes, default=None
            At least one for each filter; None makes a grid of new ones.
        **image_kw : dict
            Passed to matplotlib's imshow.

        Returns
        -------
        FiltersDisplay
            The display itself.
        """
        pyplot = import_optional("matplotlib.pyplot", extra="plot")
        count = len(self.filters)
        if axes is None:
            columns = int(np.ceil(np.sqrt(2 * count)))
            rows = -(-count // columns)
            _, axes = pyplot.subplots(
                rows, columns, squeeze=False, figsize=(columns, 1.3 * rows)
            )
        flat = np.asarray(axes).ravel()
        self.axes_, self.figure_ = flat[:count], flat[0].figure
        for ax in flat:
            ax.axis("off")
        self.images_ = []
        for k, (ax, one) in enumerate(zip(self.axes_, self.filters, strict=True)):
            limit = np.max(np.abs(one))
            style = {"cmap": "RdBu", "vmin": -limit, "vmax": limit, **image_kw}
            self.images_.append(ax.imshow(one, **style))
            if self.weights is not None:
                ax.set_title(f"{self.weights[k]:.2g}", fontsize=8)
        return self
