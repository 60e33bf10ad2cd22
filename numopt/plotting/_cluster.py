# SPDX-License-Identifier: BSD-3-Clause
"""Displays of clustering: certified inertia by number of clusters, memberships."""

from typing import Any, Self

import numpy as np

from numopt._array.namespace import to_numpy
from numopt.plotting._axes import figure_and_axes

__all__ = ["CertifiedInertiaDisplay", "GapDisplay", "MembershipDisplay"]


class CertifiedInertiaDisplay:
    """Inertia and its rigorous lower bound for several partitions.

    It is recommended to use `from_results` to create the display.

    Parameters
    ----------
    names : list of str
        One name a partition, for example its number of clusters.
    inertia, lower_bound : array_like of shape (n_partitions,)
        Inertia, and the bound that no partition falls below.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes drawn on.
    figure_ : matplotlib Figure
        Figure of the axes.
    bars_ : matplotlib BarContainer
        Bars from the bound to the inertia.

    Examples
    --------
    >>> from numopt.cluster import kmeans_sdp
    >>> from numopt.plotting import CertifiedInertiaDisplay
    >>> X = [[0.0], [0.1], [5.0], [5.1]]
    >>> results = {"K = 2": kmeans_sdp(X, 2, random_state=0)}
    >>> display = CertifiedInertiaDisplay.from_results(results)
    >>> len(display.bars_)
    1
    """

    def __init__(self, names: list[str], inertia: Any, lower_bound: Any) -> None:
        self.names = list(names)
        self.inertia = np.asarray(inertia, dtype=float)
        self.lower_bound = np.asarray(lower_bound, dtype=float)

    @classmethod
    def from_results(cls, results: dict[str, Any], *, ax: Any = None) -> Self:
        """Draw results or certificates by name.

        Parameters
        ----------
        results : dict of str to KMeansSDPResult or ClusterCertificate
            Results by name.
        ax : matplotlib Axes, default=None
            Axes to draw on.

        Returns
        -------
        CertifiedInertiaDisplay
            The display, drawn.
        """
        display = cls(
            list(results),
            [result.inertia for result in results.values()],
            [result.lower_bound for result in results.values()],
        )
        return display.plot(ax=ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw the bars.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on.

        Returns
        -------
        CertifiedInertiaDisplay
            The display itself.
        """
        self.figure_, self.ax_ = figure_and_axes(ax)
        place = np.arange(len(self.names))
        height = np.maximum(self.inertia - self.lower_bound, 0.0)
        self.bars_ = self.ax_.bar(place, height, bottom=self.lower_bound, alpha=0.5)
        self.ax_.plot(place, self.inertia, "o", label="inertia")
        self.ax_.plot(place, self.lower_bound, "_", label="lower bound")
        self.ax_.set_xticks(place, self.names)
        self.ax_.set_ylabel("inertia of the best partition lies in the bar")
        self.ax_.legend()
        return self


class GapDisplay:
    """Relative gap between inertia and bound against the number of clusters.

    It is recommended to use `from_path` to create the display.

    Parameters
    ----------
    n_clusters : array_like of int, shape (n_results,)
        Numbers of clusters.
    gap : array_like of shape (n_results,)
        Relative gaps; where one is at most ``floor`` the partition counts as proved.
    floor : float, default=1e-6
        Smallest gap drawn.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes drawn on.
    figure_ : matplotlib Figure
        Figure of the axes.
    lines_ : list of matplotlib Line2D
        The curve of the gaps, and the marks of proved partitions.

    Examples
    --------
    >>> from numopt.cluster import kmeans_sdp_path
    >>> from numopt.plotting import GapDisplay
    >>> path = kmeans_sdp_path([[0.0], [0.1], [5.0], [5.1]], [1, 2])
    >>> len(GapDisplay.from_path(path).lines_)
    2
    """

    def __init__(self, n_clusters: Any, gap: Any, *, floor: float = 1e-6) -> None:
        self.n_clusters = np.asarray(n_clusters)
        self.gap = np.asarray(gap, dtype=float)
        self.floor = floor

    @classmethod
    def from_path(cls, path: dict[int, Any], *, ax: Any = None) -> Self:
        """Draw what `kmeans_sdp_path` returns.

        Parameters
        ----------
        path : dict of int to KMeansSDPResult
            Results by number of clusters.
        ax : matplotlib Axes, default=None
            Axes to draw on.

        Returns
        -------
        GapDisplay
            The display, drawn.
        """
        return cls(list(path), [result.gap for result in path.values()]).plot(ax=ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw the gaps on a logarithmic axis.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on.

        Returns
        -------
        GapDisplay
            The display itself.
        """
        self.figure_, self.ax_ = figure_and_axes(ax)
        height = np.maximum(self.gap, self.floor)
        proved = self.gap <= self.floor
        # A name with an underscore stays out of the legend.
        label = "proved" if proved.any() else "_proved"
        self.lines_ = [
            *self.ax_.plot(self.n_clusters, height, "o-", label="gap"),
            *self.ax_.plot(
                self.n_clusters[proved], height[proved], "*", ms=12, label=label
            ),
        ]
        self.ax_.set_yscale("log")
        self.ax_.set_xticks(self.n_clusters)
        self.ax_.set_xlabel("number of clusters")
        self.ax_.set_ylabel("gap relative to the inertia")
        self.ax_.legend()
        return self


class MembershipDisplay:
    """Membership matrix of the relaxation as a heat map, rows sorted by label.

    It is recommended to use `from_result` to create the display.

    Parameters
    ----------
    membership : array_like of shape (n_samples, n_samples)
        Membership matrix.
    labels : array_like of shape (n_samples,)
        Labels that sort the rows.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes drawn on.
    figure_ : matplotlib Figure
        Figure of the axes.
    image_ : matplotlib AxesImage
        The heat map.

    Examples
    --------
    >>> from numopt.cluster import kmeans_sdp
    >>> from numopt.plotting import MembershipDisplay
    >>> result = kmeans_sdp([[0.0], [0.1], [5.0], [5.1]], 2, random_state=0)
    >>> MembershipDisplay.from_result(result).image_.get_array().shape
    (4, 4)
    """

    def __init__(self, membership: Any, labels: Any) -> None:
        self.membership = np.asarray(to_numpy(membership))
        self.labels = np.asarray(to_numpy(labels))

    @classmethod
    def from_result(cls, result: Any, *, ax: Any = None) -> Self:
        """Draw the membership matrix of a result.

        Parameters
        ----------
        result : KMeansSDPResult
            Result with a membership matrix.
        ax : matplotlib Axes, default=None
            Axes to draw on.

        Returns
        -------
        MembershipDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            When the result holds no membership matrix.
        """
        if result.membership is None:
            raise ValueError(
                "the result has no membership matrix; solve with "
                "`return_membership`=True"
            )
        return cls(result.membership, result.labels).plot(ax=ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw the heat map.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on.

        Returns
        -------
        MembershipDisplay
            The display itself.
        """
        self.figure_, self.ax_ = figure_and_axes(ax)
        order = np.argsort(self.labels, kind="stable")
        self.image_ = self.ax_.imshow(self.membership[np.ix_(order, order)])
        self.ax_.set_xlabel("rows, sorted by cluster")
        self.figure_.colorbar(self.image_, ax=self.ax_)
        return self
