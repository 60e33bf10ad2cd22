# SPDX-License-Identifier: BSD-3-Clause
"""Coefficients of a sparse Bayesian model with error bars; evidence along the way."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from numopt._array.namespace import to_numpy
from numopt.plotting._axes import figure_and_axes

__all__ = ["EvidenceDisplay", "RelevanceDisplay"]


class RelevanceDisplay:
    """Relevance profile: active coefficients with error bars.

    Parameters
    ----------
    coef : ndarray of shape (m,)
        Coefficients of the active features.
    std : ndarray of shape (m,)
        Their posterior standard deviations.
    labels : sequence of str
        Their names.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes drawn on.
    figure_ : matplotlib Figure
        Figure of the axes.
    bars_ : matplotlib ErrorbarContainer
        The points and bars.

    Examples
    --------
    >>> from numopt.plotting import RelevanceDisplay
    >>> from numopt.sbl import sbl
    >>> result = sbl([[1.0, 0.0], [0.0, 1.0], [1.0, 0.1]], [1.0, 0.1, 1.1])
    >>> display = RelevanceDisplay.from_result(result)
    >>> display.ax_.get_xlabel()
    'coefficient'
    """

    def __init__(
        self, coef: np.ndarray, std: np.ndarray, labels: Sequence[str]
    ) -> None:
        self.coef = coef
        self.std = std
        self.labels = list(labels)

    @classmethod
    def from_result(
        cls,
        result: Any,
        *,
        names: Sequence[str] | None = None,
        ax: Any = None,
        **kw: Any,
    ) -> Self:
        """Draw the active coefficients of a result, sizes for complex ones.

        Parameters
        ----------
        result : SBLResult
            Anything with ``coef``, ``active`` and ``posterior_var``.
        names : sequence of str, default=None
            Names of all atoms; None numbers them.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes new ones.
        **kw : dict
            Passed to matplotlib's errorbar.

        Returns
        -------
        RelevanceDisplay
            The display, drawn.
        """
        active = to_numpy(result.active)
        coef = to_numpy(result.coef)[active]
        if coef.ndim == 2:
            coef = np.sqrt(np.mean(np.abs(coef) ** 2, axis=1))
        coef = np.abs(coef) if np.iscomplexobj(coef) else coef
        std = np.sqrt(to_numpy(result.posterior_var)[active])
        labels = [str(j) if names is None else str(names[j]) for j in active]
        return cls(coef, std, labels).plot(ax=ax, **kw)

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        names: Sequence[str] | None = None,
        ax: Any = None,
        **kw: Any,
    ) -> Self:
        """Draw the coefficients of a fitted estimator.

        Parameters
        ----------
        estimator : SBLRegressor
            Fitted estimator with ``result_``.
        names : sequence of str, default=None
            Names of the features; None takes ``feature_names_in_`` where there are.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes new ones.
        **kw : dict
            Passed to matplotlib's errorbar.

        Returns
        -------
        RelevanceDisplay
            The display, drawn.
        """
        names = (
            getattr(estimator, "feature_names_in_", None) if names is None else names
        )
        return cls.from_result(estimator.result_, names=names, ax=ax, **kw)

    def plot(self, ax: Any = None, **kw: Any) -> Self:
        """Draw points with bars of two standard deviations.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes new ones.
        **kw : dict
            Passed to matplotlib's errorbar.

        Returns
        -------
        RelevanceDisplay
            The display itself.
        """
        self.figure_, self.ax_ = figure_and_axes(ax)
        place = np.arange(len(self.coef))[::-1]
        style = {"fmt": "o", "capsize": 2, **kw}
        self.bars_ = self.ax_.errorbar(self.coef, place, xerr=2 * self.std, **style)
        self.ax_.axvline(0.0, color="0.7", linewidth=0.8)
        self.ax_.set_yticks(place, self.labels)
        self.ax_.set_xlabel("coefficient")
        return self


class EvidenceDisplay:
    """Log evidence along the iterations, with the number of active atoms.

    Parameters
    ----------
    traces : dict of str to tuple of three ndarray
        Iterations, log evidence in nats and active atoms of equal length, by label.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes of the evidence.
    ax_active_ : matplotlib Axes
        Axes of the numbers of active atoms, on the right.
    figure_ : matplotlib Figure
        Figure of the axes.
    lines_ : list of matplotlib Line2D
        One line of evidence a trace.

    Examples
    --------
    >>> from numopt.plotting import EvidenceDisplay
    >>> from numopt.sbl import sbl
    >>> result = sbl([[1.0, 0.0], [0.0, 1.0], [1.0, 0.1]], [1.0, 0.1, 1.1])
    >>> EvidenceDisplay.from_results({"fast": result}).ax_.get_ylabel()
    'log evidence (nats)'
    """

    def __init__(
        self, traces: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]
    ) -> None:
        self.traces = traces

    @classmethod
    def from_results(
        cls, results: dict[str, Any], *, ax: Any = None, **line_kw: Any
    ) -> Self:
        """Draw the evidence of several results on the same axes.

        Parameters
        ----------
        results : dict of str to result
            Results of ``sbl``, ``block_sbl`` or ``kronecker_sbl`` by label.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes new ones.
        **line_kw : dict
            Passed to matplotlib's plot.

        Returns
        -------
        EvidenceDisplay
            The display, drawn.
        """
        traces = {}
        for label, result in results.items():
            history = result.history
            if "log_evidence" not in history:
                raise ValueError(f"the history of {label!r} has no log evidence")
            traces[label] = tuple(
                history[key] for key in ("n_iter", "log_evidence", "n_active")
            )
        return cls(traces).plot(ax=ax, **line_kw)

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Any = None, **line_kw: Any) -> Self:
        """Draw the evidence along the fit of an estimator.

        Parameters
        ----------
        estimator : SBLRegressor
            Fitted estimator with ``result_``.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes new ones.
        **line_kw : dict
            Passed to matplotlib's plot.

        Returns
        -------
        EvidenceDisplay
            The display, drawn.
        """
        results = {type(estimator).__name__: estimator.result_}
        return cls.from_results(results, ax=ax, **line_kw)

    def plot(self, ax: Any = None, **line_kw: Any) -> Self:
        """Draw the evidence, and the active atoms as thin dotted lines.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes new ones.
        **line_kw : dict
            Passed to matplotlib's plot.

        Returns
        -------
        EvidenceDisplay
            The display itself.
        """
        self.figure_, self.ax_ = figure_and_axes(ax)
        self.ax_active_ = self.ax_.twinx()
        self.lines_ = []
        for label, (n_iter, evidence, active) in self.traces.items():
            style = {"label": label, "marker": ".", **line_kw}
            (line,) = self.ax_.plot(n_iter, evidence, **style)
            self.ax_active_.plot(n_iter, active, ":", color=line.get_color(), lw=0.8)
            self.lines_.append(line)
        self.ax_.set_xlabel("iteration")
        self.ax_.set_ylabel("log evidence (nats)")
        self.ax_active_.set_ylabel("active atoms (dotted)")
        if len(self.traces) > 1:
            self.ax_.legend()
        return self
