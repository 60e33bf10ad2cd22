# SPDX-License-Identifier: BSD-3-Clause
"""Coefficients along a regularisation path, and block rules compared."""

from typing import Any, Self

import numpy as np

from numopt.plotting._axes import figure_and_axes

__all__ = ["BlockRulesDisplay", "PathDisplay"]


class PathDisplay:
    """Coefficients against the strength of the penalty.

    It is recommended to use `from_result` to create the display.

    Parameters
    ----------
    alphas : ndarray of shape (A,)
        Strengths.
    coefs : ndarray of shape (p, A)
        Coefficients.
    chosen : float, default=None
        A strength to mark.
    feature_names : sequence of str, default=None
        Names for the legend, which then lists the ``n_labels`` largest coefficients.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes drawn on.
    figure_ : matplotlib Figure
        Figure of the axes.
    lines_ : list of matplotlib Line2D
        One line a coefficient that is ever nonzero.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.coordinate import lasso_path
    >>> from numopt.plotting import PathDisplay
    >>> path = lasso_path(np.eye(3), [3.0, 0.1, -3.0], n_alphas=5)
    >>> len(PathDisplay.from_result(path).lines_)
    3
    """

    def __init__(
        self,
        alphas: np.ndarray,
        coefs: np.ndarray,
        *,
        chosen: float | None = None,
        feature_names: Any = None,
    ) -> None:
        self.alphas = alphas
        self.coefs = coefs
        self.chosen = chosen
        self.feature_names = feature_names

    @classmethod
    def from_result(
        cls,
        result: Any,
        *,
        chosen: float | None = None,
        feature_names: Any = None,
        output: int = 0,
        ax: Any = None,
        **line_kw: Any,
    ) -> Self:
        """Draw a path.

        Parameters
        ----------
        result : PathResult
            A path.
        chosen : float, default=None
            A strength to mark.
        feature_names : sequence of str, default=None
            Names for the legend.
        output : int, default=0
            Which class of a path with several.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes new ones.
        **line_kw : dict
            Passed to matplotlib's plot.

        Returns
        -------
        PathDisplay
            The display, drawn.
        """
        coefs = result.coefs if result.coefs.ndim == 2 else result.coefs[output]
        display = cls(result.alphas, coefs, chosen=chosen, feature_names=feature_names)
        return display.plot(ax=ax, **line_kw)

    def plot(self, ax: Any = None, *, n_labels: int = 8, **line_kw: Any) -> Self:
        """Draw the lines.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes new ones.
        n_labels : int, default=8
            Entries of the legend, with feature names.
        **line_kw : dict
            Passed to matplotlib's plot.

        Returns
        -------
        PathDisplay
            The display itself.
        """
        self.figure_, self.ax_ = figure_and_axes(ax)
        sizes = np.max(np.abs(self.coefs), axis=1)
        order = np.argsort(-sizes, kind="stable")
        labelled = set(order[:n_labels].tolist())
        self.lines_ = []
        for j in order[sizes[order] > 0]:
            label = None
            if self.feature_names is not None and int(j) in labelled:
                label = str(self.feature_names[j])
            style = {"linewidth": 1.0, "label": label, **line_kw}
            self.lines_ += self.ax_.plot(self.alphas, self.coefs[j], **style)
        self.ax_.set_xscale("log")
        self.ax_.invert_xaxis()
        self.ax_.set_xlabel("alpha")
        self.ax_.set_ylabel("coefficient")
        if self.chosen is not None:
            self.ax_.axvline(self.chosen, color="0.4", linestyle="--")
        if self.feature_names is not None:
            self.ax_.legend(fontsize="small")
        return self


class BlockRulesDisplay:
    """Suboptimality of block methods against their steps, one curve a rule.

    It is recommended to use `from_results` to create the display.

    Parameters
    ----------
    excess : dict of str to ndarray
        Relative suboptimality after each step, by name of the rule.
    floor : float, default=1e-12
        Smaller values are drawn here, where rounding begins.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes drawn on.
    figure_ : matplotlib Figure
        Figure of the axes.
    lines_ : list of matplotlib Line2D
        One line a rule.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.coordinate import Null, Quadratic, bcd_solve
    >>> from numopt.plotting import BlockRulesDisplay
    >>> X, y = np.eye(3) + 0.1, np.array([3.0, 1.0, -3.0])
    >>> results = {
    ...     rule: bcd_solve(
    ...         X,
    ...         y,
    ...         Quadratic(),
    ...         Null(),
    ...         selection=rule,
    ...         max_iter=9,
    ...         partition="order",
    ...         update="gradient",
    ...         warn=False,
    ...     )
    ...     for rule in ("cyclic", "GS")
    ... }
    >>> len(BlockRulesDisplay.from_results(results).lines_)
    2
    """

    def __init__(self, excess: dict[str, np.ndarray], *, floor: float = 1e-12) -> None:
        self.excess = excess
        self.floor = floor

    @classmethod
    def from_results(
        cls,
        results: dict[str, Any],
        *,
        optimum: float | None = None,
        ax: Any = None,
        **line_kw: Any,
    ) -> Self:
        """Draw results of `bcd_solve` with literal rules on one problem.

        Parameters
        ----------
        results : dict of str to CoordinateResult
            Results by name of their rule; all start at the same objective.
        optimum : float, default=None
            Smallest objective; None for the best of the results.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes new ones.
        **line_kw : dict
            Passed to matplotlib's plot.

        Returns
        -------
        BlockRulesDisplay
            The display, drawn.
        """
        curves = {name: one.history["objective"] for name, one in results.items()}
        low = min(float(curve.min()) for curve in curves.values())
        low = low if optimum is None else optimum
        high = max(float(curve[0]) for curve in curves.values())
        scale = high - low if high > low else 1.0
        excess = {name: (curve - low) / scale for name, curve in curves.items()}
        return cls(excess).plot(ax=ax, **line_kw)

    def plot(self, ax: Any = None, **line_kw: Any) -> Self:
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes new ones.
        **line_kw : dict
            Passed to matplotlib's plot.

        Returns
        -------
        BlockRulesDisplay
            The display itself.
        """
        self.figure_, self.ax_ = figure_and_axes(ax)
        self.lines_ = []
        for name, curve in self.excess.items():
            style = {"linewidth": 1.2, "label": name, **line_kw}
            self.lines_ += self.ax_.plot(np.maximum(curve, self.floor), **style)
        self.ax_.set_yscale("log")
        self.ax_.set_xlabel("block steps")
        self.ax_.set_ylabel("relative suboptimality")
        self.ax_.legend(fontsize="small")
        return self
