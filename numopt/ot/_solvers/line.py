# SPDX-License-Identifier: BSD-3-Clause
"""Transport on the line, where sorting solves it."""

from typing import Any

from numopt import _validation as v
from numopt._array.namespace import device, to_numpy
from numopt.typing import Array, Namespace

__all__ = ["check_order", "line_weights", "monotone_plan", "wasserstein_1d"]


def wasserstein_1d(
    x: Array,
    y: Array,
    *,
    a: Array | None = None,
    b: Array | None = None,
    p: float = 1,
) -> float:
    r"""Return the p-Wasserstein distance of two samples on the line.

    .. math:: W_p = \Bigl( \int_0^1 |F_x^{-1}(q) - F_y^{-1}(q)|^p \, dq \Bigr)^{1/p}

    Parameters
    ----------
    x : array of shape (n,)
        First sample.
    y : array of shape (m,)
        Second sample.
    a : array of shape (n,), default=None
        Weights of ``x``, non-negative; None means uniform.
    b : array of shape (m,), default=None
        Weights of ``y``. Both are scaled to total 1.
    p : float, default=1
        Order, at least 1.

    Returns
    -------
    float
        The distance, in the units of ``x``: the p-th root is taken.

    Raises
    ------
    ValueError
        When a value is not finite, a weight is negative or ``p`` is below 1.

    See Also
    --------
    sliced_wasserstein : Several dimensions, by projections.

    Notes
    -----
    O((n + m) log(n + m)): two sorts, and the merged levels of both distribution
    functions.

    References
    ----------
    Peyré & Cuturi (2019), Computational optimal transport, section 2.6.

    Examples
    --------
    >>> from numopt.ot import wasserstein_1d
    >>> wasserstein_1d([0.0, 1.0, 3.0], [5.0, 6.0, 8.0])
    5.0
    >>> wasserstein_1d([0.0, 1.0], [0.0, 1.0], a=[0.75, 0.25])
    0.25
    """
    p = check_order(p)
    xp, (x, y, a, b) = v.float_arrays(x=x, y=y, a=a, b=b)
    for name, points in (("x", x), ("y", y)):
        v.check_ndim(name, points, 1)
        v.check_values(name, points)
    a, b = line_weights("a", a, x, xp), line_weights("b", b, y, xp)
    i, j, mass = monotone_plan(x, y, a, b, xp)
    distances = xp.abs(xp.take(x, i) - xp.take(y, j))
    farthest = xp.max(distances)  # of which the powers neither overflow nor vanish
    if farthest == 0:
        return 0.0
    mean = float(to_numpy(xp.sum(mass * (distances / farthest) ** p)))
    return float(to_numpy(farthest)) * mean ** (1.0 / p)


def check_order(p: Any) -> float:
    """Return the order of a Wasserstein distance."""
    return v.check_real("p", p, low=1)


def line_weights(name: str, w: Array | None, points: Array, xp: Namespace) -> Array:
    """Return weights of total 1 for the points, uniform ones for None."""
    n = points.shape[0]
    if w is None:
        return xp.full((n,), 1.0 / n, dtype=points.dtype, device=device(points))
    v.check_shape(name, w, (n,), why="(one a point)")
    _, high = v.check_values(name, w, nonnegative=True)
    if high == 0:
        raise ValueError(v.message(name, "positive somewhere", "all zeros"))
    return w / xp.sum(w)


def monotone_plan(
    x: Array, y: Array, a: Array, b: Array, xp: Namespace
) -> tuple[Array, Array, Array]:
    """Return the plan (i, j, mass) that keeps the order; it is optimal on the line.

    The levels of both distribution functions cut the unit interval into n + m pieces;
    on each, one point of either sample is the quantile.
    """
    order_x, order_y = xp.argsort(x), xp.argsort(y)
    levels_x = xp.cumulative_sum(xp.take(a, order_x))
    levels_y = xp.cumulative_sum(xp.take(b, order_y))
    levels = xp.sort(xp.concat([levels_x, levels_y]))
    zero = xp.zeros((1,), dtype=levels.dtype, device=device(levels))
    mass = xp.diff(levels, prepend=zero)
    middle = levels - 0.5 * mass
    places = []
    for inner, order in ((levels_x, order_x), (levels_y, order_y)):
        rank = xp.searchsorted(inner, middle)
        # rounding may leave the last level a digit below 1
        places.append(xp.take(order, xp.clip(rank, 0, order.shape[0] - 1)))
    return places[0], places[1], mass
