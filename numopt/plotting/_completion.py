# SPDX-License-Identifier: BSD-3-Clause
"""Singular values, residuals and recovery rates of completed matrices."""

from typing import Any, Self

import numpy as np

from numopt._array.namespace import to_numpy
from numopt._validation import message
from numopt.exceptions import ArgumentTypeError
from numopt.plotting._axes import figure_and_axes

__all__ = ["PhaseTransitionDisplay", "ResidualMapDisplay", "SingularValueDisplay"]


class SingularValueDisplay:
    """Singular values of one or several fitted models.

    It is recommended to use `from_result` or `from_results` to create the display.

    Parameters
    ----------
    spectra : dict of str to ndarray
        Singular values by label.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes drawn on.
    figure_ : matplotlib Figure
        Figure of the axes.
    lines_ : list of matplotlib Line2D
        One line a spectrum.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.plotting import SingularValueDisplay
    >>> display = SingularValueDisplay({"model": np.array([3.0, 1.0, 0.1])}).plot()
    >>> display.ax_.get_ylabel()
    'singular value'
    """

    def __init__(self, spectra: dict[str, np.ndarray]) -> None:
        self.spectra = spectra

    @classmethod
    def from_result(cls, result: Any, *, ax: Any = None, **line_kw: Any) -> Self:
        """Draw the spectrum of one result or fitted estimator.

        Parameters
        ----------
        result : CompletionResult or LowRankImputer
            Anything with ``singular_values`` or ``singular_values_``.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes new ones.
        **line_kw : dict
            Passed to matplotlib's plot.

        Returns
        -------
        SingularValueDisplay
            The display, drawn.
        """
        return cls.from_results({type(result).__name__: result}, ax=ax, **line_kw)

    @classmethod
    def from_results(
        cls, results: dict[str, Any], *, ax: Any = None, **line_kw: Any
    ) -> Self:
        """Draw several spectra on the same axes.

        Parameters
        ----------
        results : dict of str to CompletionResult or LowRankImputer
            Models by label.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes new ones.
        **line_kw : dict
            Passed to matplotlib's plot.

        Returns
        -------
        SingularValueDisplay
            The display, drawn.
        """
        spectra = {label: _spectrum(result) for label, result in results.items()}
        return cls(spectra).plot(ax=ax, **line_kw)

    def plot(self, ax: Any = None, **line_kw: Any) -> Self:
        """Draw the spectra on a logarithmic axis.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes new ones.
        **line_kw : dict
            Passed to matplotlib's plot.

        Returns
        -------
        SingularValueDisplay
            The display itself.
        """
        self.figure_, self.ax_ = figure_and_axes(ax)
        self.lines_ = []
        for label, values in self.spectra.items():
            places = np.arange(1, values.size + 1)
            (line,) = self.ax_.plot(
                places, values, **{"label": label, "marker": "o", **line_kw}
            )
            self.lines_.append(line)
        if all(np.all(values > 0) for values in self.spectra.values()):
            self.ax_.set_yscale("log")
        self.ax_.set_xlabel("component")
        self.ax_.set_ylabel("singular value")
        if len(self.spectra) > 1:
            self.ax_.legend()
        return self


class ResidualMapDisplay:
    """Residuals of the known entries, at their places in the matrix.

    It is recommended to use `from_result` to create the display.

    Parameters
    ----------
    rows, cols : ndarray of shape (N,)
        Places of the known entries.
    residuals : ndarray of shape (N,)
        Known values less those of the model.
    shape : tuple of int
        Shape of the matrix.
    outliers : ndarray of bool of shape (N,), default=None
        Entries to mark.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes drawn on.
    figure_ : matplotlib Figure
        Figure of the axes.
    image_ : matplotlib AxesImage
        The map; unknown entries are blank.
    marks_ : matplotlib PathCollection or None
        The marked entries.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.plotting import ResidualMapDisplay
    >>> i = np.array([0, 1])
    >>> display = ResidualMapDisplay(i, i, np.array([0.1, -0.2]), (2, 2)).plot()
    >>> int(display.image_.get_array().count())
    2
    """

    def __init__(
        self,
        rows: np.ndarray,
        cols: np.ndarray,
        residuals: np.ndarray,
        shape: tuple[int, int],
        *,
        outliers: np.ndarray | None = None,
    ) -> None:
        self.rows = rows
        self.cols = cols
        self.residuals = residuals
        self.shape = shape
        self.outliers = outliers

    @classmethod
    def from_result(cls, result: Any, X: Any, *, ax: Any = None, **kw: Any) -> Self:
        """Draw the residuals of a result on the data that it was fitted to.

        Parameters
        ----------
        result : CompletionResult
            A fitted model; its ``outlier_mask`` is marked when there is one.
        X : array with NaN, sparse matrix or tuple of arrays
            The data, as `numopt.completion.complete` takes them.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes new ones.
        **kw : dict
            Passed to matplotlib's imshow.

        Returns
        -------
        ResidualMapDisplay
            The display, drawn.
        """
        rows, cols, values = _known_entries(X)
        residuals = values - to_numpy(result.predict(rows, cols))
        outliers = (
            None if result.outlier_mask is None else to_numpy(result.outlier_mask)
        )
        display = cls(rows, cols, residuals, result.shape, outliers=outliers)
        return display.plot(ax=ax, **kw)

    def plot(self, ax: Any = None, **kw: Any) -> Self:
        """Draw the map with 0 in the middle of the colours.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes new ones.
        **kw : dict
            Passed to matplotlib's imshow.

        Returns
        -------
        ResidualMapDisplay
            The display itself.
        """
        self.figure_, self.ax_ = figure_and_axes(ax)
        image = np.full(self.shape, np.nan)
        image[self.rows, self.cols] = self.residuals
        inliers = self.residuals
        if self.outliers is not None and not np.all(self.outliers):
            inliers = self.residuals[~self.outliers]
        top = float(np.max(np.abs(inliers), initial=0.0)) or 1.0
        style = {"cmap": "RdBu", "vmin": -top, "vmax": top, "aspect": "auto", **kw}
        self.image_ = self.ax_.imshow(np.ma.masked_invalid(image), **style)
        self.marks_ = None
        if self.outliers is not None:
            self.marks_ = self.ax_.scatter(
                self.cols[self.outliers],
                self.rows[self.outliers],
                s=12,
                facecolors="none",
                edgecolors="k",
                label="outlier",
            )
        self.figure_.colorbar(self.image_, ax=self.ax_, label="residual")
        self.ax_.set_xlabel("column")
        self.ax_.set_ylabel("row")
        return self


class PhaseTransitionDisplay:
    """Share of successful recoveries on a grid of two quantities.

    Parameters
    ----------
    success : ndarray of shape (p, q)
        Shares in [0, 1].
    x : ndarray of shape (q,)
        First quantity, e.g. the oversampling.
    y : ndarray of shape (p,)
        Second quantity, e.g. the rank.
    x_name, y_name : str, default="oversampling", "rank"
        Names of the axes.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes drawn on.
    figure_ : matplotlib Figure
        Figure of the axes.
    image_ : matplotlib QuadMesh
        The picture.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.plotting import PhaseTransitionDisplay
    >>> display = PhaseTransitionDisplay(
    ...     np.array([[0.0, 1.0]]), x=np.array([1.0, 2.0]), y=np.array([5])
    ... ).plot()
    >>> display.ax_.get_xlabel()
    'oversampling'
    """

    def __init__(
        self,
        success: np.ndarray,
        *,
        x: np.ndarray,
        y: np.ndarray,
        x_name: str = "oversampling",
        y_name: str = "rank",
    ) -> None:
        self.success = np.asarray(success)
        self.x = np.asarray(x)
        self.y = np.asarray(y)
        self.x_name = x_name
        self.y_name = y_name
        if self.success.shape != (self.y.size, self.x.size):
            raise ValueError(
                message(
                    "success",
                    f"of shape (len(y), len(x)) = {(self.y.size, self.x.size)}",
                    f"shape {self.success.shape}",
                )
            )

    def plot(self, ax: Any = None, **kw: Any) -> Self:
        """Draw the grid, white where every recovery succeeded.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes new ones.
        **kw : dict
            Passed to matplotlib's pcolormesh.

        Returns
        -------
        PhaseTransitionDisplay
            The display itself.
        """
        self.figure_, self.ax_ = figure_and_axes(ax)
        style = {"cmap": "gray", "vmin": 0.0, "vmax": 1.0, **kw}
        x, y = np.arange(self.x.size), np.arange(self.y.size)
        self.image_ = self.ax_.pcolormesh(x, y, self.success, **style)
        self.ax_.set_xticks(x, [f"{value:g}" for value in self.x])
        self.ax_.set_yticks(y, [f"{value:g}" for value in self.y])
        self.ax_.set_xlabel(self.x_name)
        self.ax_.set_ylabel(self.y_name)
        self.figure_.colorbar(self.image_, ax=self.ax_, label="share recovered")
        return self


def _spectrum(result: Any) -> np.ndarray:
    for name in ("singular_values", "singular_values_"):
        if hasattr(result, name):
            return to_numpy(getattr(result, name))
    raise ArgumentTypeError(
        message("result", "a model with singular values", type(result).__name__)
    )


def _known_entries(X: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows, columns and values of dense, sparse or triplet data."""
    if isinstance(X, tuple):
        rows, cols, values = X
        return to_numpy(rows), to_numpy(cols), to_numpy(values)
    if hasattr(X, "tocoo"):
        coo = X.tocsr().tocoo()
        return coo.row, coo.col, coo.data
    table = to_numpy(X)
    rows, cols = np.nonzero(~np.isnan(table))
    return rows, cols, table[rows, cols]
