# SPDX-License-Identifier: BSD-3-Clause
"""Frequency responses of integer filters, sorted residuals, reconstructed images."""

from typing import Any, Self

import numpy as np

from numopt.plotting._axes import figure_and_axes

__all__ = [
    "FrequencyResponseDisplay",
    "ReconstructionDisplay",
    "ResidualProfileDisplay",
]

#: Points a tap that are drawn.
DENSITY = 16


class FrequencyResponseDisplay:
    """Amplitude of a filter over its bands, with the ripple that was promised.

    Parameters
    ----------
    coefficients : ndarray of shape (numtaps,)
        Impulse response.
    bands : ndarray of shape (2 B,)
        Band edges, 1 being Nyquist.
    desired : ndarray of shape (B,) or (2 B,)
        Amplitude of each band, or at each edge.
    ripple : ndarray of shape (B,)
        Largest deviation in each band.
    bound : ndarray of shape (B,), default=None
        Deviation in each band that no taps undercut in all.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes drawn on.
    figure_ : matplotlib Figure
        Figure of the axes.
    lines_ : list of Line2D
        The response.
    bound_lines_ : list of Line2D
        The bound, two lines a band.

    Examples
    --------
    >>> from numopt.dmmv import design_fir
    >>> from numopt.plotting import FrequencyResponseDisplay
    >>> bands, desired = [0, 0.3, 0.7, 1], [1, 0]
    >>> result = design_fir(7, bands, desired, word_length=6)
    >>> display = FrequencyResponseDisplay.from_result(result, bands, desired)
    >>> display.ax_.get_xlabel()
    'frequency / Nyquist'
    """

    def __init__(
        self,
        coefficients: np.ndarray,
        bands: np.ndarray,
        desired: np.ndarray,
        ripple: np.ndarray,
        bound: np.ndarray | None = None,
    ) -> None:
        self.coefficients = np.asarray(coefficients)
        self.bands = np.asarray(bands, dtype=np.float64).reshape(-1, 2)
        count = len(self.bands)
        ends = np.asarray(desired, dtype=np.float64).reshape(count, -1)
        self.desired = np.broadcast_to(ends, (count, 2))
        self.ripple = np.asarray(ripple, dtype=np.float64)
        self.bound = None if bound is None else np.asarray(bound, dtype=np.float64)

    @classmethod
    def from_result(
        cls,
        result: Any,
        bands: Any,
        desired: Any,
        *,
        weight: Any = None,
        fs: float = 2.0,
        ax: Any = None,
        **line_kw: Any,
    ) -> Self:
        """Draw the response of a designed filter.

        Parameters
        ----------
        result : FIRResult
            Result of ``design_fir``.
        bands : array-like of shape (2 B,)
            Band edges of the design.
        desired : array-like of shape (B,) or (2 B,)
            Amplitudes of the design.
        weight : array-like of shape (B,), default=None
            Weights of the design.
        fs : float, default=2.0
            Sampling frequency of the design.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes new ones.
        **line_kw : dict
            Passed to matplotlib's plot.

        Returns
        -------
        FrequencyResponseDisplay
            The display, drawn.
        """
        edges = np.asarray(bands, dtype=np.float64) * 2 / fs
        weights = np.ones(edges.size // 2)
        if weight is not None:
            weights = np.asarray(weight, dtype=np.float64)
        ripple = np.asarray(result.ripple_bands) / weights
        coefficients = result.coefficients / result.gain
        bound = result.lower_bound / weights
        return cls(coefficients, edges, np.asarray(desired), ripple, bound).plot(
            ax=ax, **line_kw
        )

    def plot(self, ax: Any = None, **line_kw: Any) -> Self:
        """Draw the amplitude, the ripple around the desired values, and the bound.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes new ones.
        **line_kw : dict
            Passed to matplotlib's plot.

        Returns
        -------
        FrequencyResponseDisplay
            The display itself.
        """
        self.figure_, self.ax_ = figure_and_axes(ax)
        count = self.coefficients.size
        frequency = np.linspace(0, 1, DENSITY * count + 1)
        turn = np.exp(-1j * np.pi * np.outer(frequency, np.arange(count)))
        amplitude = np.abs(turn @ self.coefficients)
        self.lines_ = self.ax_.plot(frequency, amplitude, **line_kw)
        self.bound_lines_ = []
        for i, (band, value) in enumerate(zip(self.bands, self.desired, strict=True)):
            low, high = value - self.ripple[i], value + self.ripple[i]
            self.ax_.fill_between(band, low, high, alpha=0.3, color="C1")
            if self.bound is not None:
                for side in (value - self.bound[i], value + self.bound[i]):
                    style = {"color": "0.5", "linestyle": "--", "linewidth": 0.8}
                    self.bound_lines_ += self.ax_.plot(band, side, **style)
        self.ax_.set_xlabel("frequency / Nyquist")
        self.ax_.set_ylabel("amplitude")
        return self


class ResidualProfileDisplay:
    """Violations of all rows in descending order, with the lower bound.

    Parameters
    ----------
    residual : ndarray of shape (m,)
        Residuals.
    violation : float
        Largest weighted violation.
    lower_bound : float
        Lower bound on it.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes drawn on.
    figure_ : matplotlib Figure
        Figure of the axes.
    lines_ : list of Line2D
        The profile.

    Examples
    --------
    >>> from numopt.dmmv import minimize_max_violation
    >>> from numopt.plotting import ResidualProfileDisplay
    >>> result = minimize_max_violation([[2.0, 1.0], [1.0, 3.0]], [3.2, 4.1], (0, 3))
    >>> display = ResidualProfileDisplay.from_result(result)
    >>> display.ax_.get_ylabel()
    'absolute residual'
    """

    def __init__(
        self, residual: np.ndarray, violation: float, lower_bound: float
    ) -> None:
        self.residual = np.asarray(residual)
        self.violation = violation
        self.lower_bound = lower_bound

    @classmethod
    def from_result(cls, result: Any, *, ax: Any = None, **line_kw: Any) -> Self:
        """Draw the residuals of a result.

        Parameters
        ----------
        result : MinMaxResult
            Result of ``minimize_max_violation``.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes new ones.
        **line_kw : dict
            Passed to matplotlib's plot.

        Returns
        -------
        ResidualProfileDisplay
            The display, drawn.
        """
        display = cls(result.residual, result.violation, result.lower_bound)
        return display.plot(ax=ax, **line_kw)

    def plot(self, ax: Any = None, **line_kw: Any) -> Self:
        """Draw sorted absolute residuals and the bound.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes new ones.
        **line_kw : dict
            Passed to matplotlib's plot.

        Returns
        -------
        ResidualProfileDisplay
            The display itself.
        """
        self.figure_, self.ax_ = figure_and_axes(ax)
        profile = -np.sort(-np.abs(self.residual))
        self.lines_ = self.ax_.plot(profile, **line_kw)
        self.ax_.axhline(self.lower_bound, color="0.5", linestyle="--")
        self.ax_.set_xlabel("row, by size")
        self.ax_.set_ylabel("absolute residual")
        self.ax_.set_ylim(bottom=0)
        return self


class ReconstructionDisplay:
    """An image of few levels, with the pixels that differ from the true one.

    Parameters
    ----------
    image : ndarray of shape (rows, columns)
        Reconstruction.
    truth : ndarray of shape (rows, columns), default=None
        True image, where it is known.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes drawn on.
    figure_ : matplotlib Figure
        Figure of the axes.
    image_ : AxesImage
        The reconstruction.
    wrong_ : PathCollection or None
        Marks of the pixels that differ.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.plotting import ReconstructionDisplay
    >>> display = ReconstructionDisplay(np.eye(3), truth=np.ones((3, 3))).plot()
    >>> len(display.wrong_.get_offsets())
    6
    """

    def __init__(self, image: np.ndarray, truth: np.ndarray | None = None) -> None:
        self.image = np.asarray(image)
        self.truth = None if truth is None else np.asarray(truth)

    @classmethod
    def from_estimator(
        cls, estimator: Any, *, truth: Any = None, ax: Any = None, **image_kw: Any
    ) -> Self:
        """Draw the reconstruction of an estimator.

        Parameters
        ----------
        estimator : DiscreteTomography
            Fitted estimator.
        truth : array-like of shape (rows, columns), default=None
            True image.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes new ones.
        **image_kw : dict
            Passed to matplotlib's imshow.

        Returns
        -------
        ReconstructionDisplay
            The display, drawn.
        """
        return cls(estimator.image_, truth).plot(ax=ax, **image_kw)

    def plot(self, ax: Any = None, **image_kw: Any) -> Self:
        """Draw the image and mark wrong pixels.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes new ones.
        **image_kw : dict
            Passed to matplotlib's imshow.

        Returns
        -------
        ReconstructionDisplay
            The display itself.
        """
        self.figure_, self.ax_ = figure_and_axes(ax)
        self.image_ = self.ax_.imshow(self.image, **{"cmap": "gray", **image_kw})
        self.wrong_ = None
        if self.truth is not None:
            rows, columns = np.nonzero(self.image != self.truth)
            self.wrong_ = self.ax_.scatter(columns, rows, marker="x", color="tab:red")
        self.ax_.set_axis_off()
        return self
