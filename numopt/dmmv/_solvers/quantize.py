# SPDX-License-Identifier: BSD-3-Clause
"""Few-bit weights of a linear layer with a small worst error on calibration data."""

import dataclasses
from typing import Any

import numpy as np

from numopt import _validation as v
from numopt.dmmv._kernels import k_best, polish
from numopt.dmmv._problem.data import host_array
from numopt.dmmv._solvers.batch import damped_factor
from numopt.dmmv._solvers.minimize import thread_context

__all__ = ["Grid", "QuantResult", "Quantization", "quantize_layer"]

OBJECTIVES = ("max", "mse", "mix")
METHODS = ("beam", "babai", "round")
WIDTH = 3
#: Shrinkage of the range that the clip search tries.
SHRINKAGE = (1.0, 0.95, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5)
#: Mean-square error that "mix" allows, relative to the best of the search.
MIX_MARGIN = 1.05
#: Entries of X up to which final codes are polished, and of a block of responses.
LARGEST_POLISH = 4_000_000
BLOCK = 2**22
#: Inputs up to which polishing tries pairs.
PAIR_INPUTS = 128


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class QuantResult:
    """Codes of a layer, the grid they live on, and the errors they make.

    Parameters
    ----------
    codes : ndarray of shape (n_in, n_out), uint8
        Integers from 0 to ``2**bits - 1``.
    scales : ndarray of shape (n_groups, n_out)
        Step of each grid.
    zeros : ndarray of shape (n_groups, n_out)
        Code of the value 0.
    weights : ndarray of shape (n_in, n_out)
        Dequantised weights ``scales * (codes - zeros)``.
    violation : ndarray of shape (n_out,)
        Largest absolute output error over the calibration rows.
    mean_square : ndarray of shape (n_out,)
        Mean squared output error over the calibration rows.
    lower_bound : ndarray of shape (n_out,)
        No codes on the same grid have a smaller violation: the distance of the nearest
        values on rows with one nonzero input, else 0.

    See Also
    --------
    quantize_layer : The function that makes it.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.dmmv import quantize_layer
    >>> result = quantize_layer([[0.0], [0.3], [1.0]], np.eye(3), bits=2)
    >>> result.codes.ravel().tolist()
    [0, 1, 3]
    """

    codes: np.ndarray
    scales: np.ndarray
    zeros: np.ndarray
    weights: np.ndarray
    violation: np.ndarray
    mean_square: np.ndarray
    lower_bound: np.ndarray


@dataclasses.dataclass(frozen=True)
class Grid:
    """Steps and zero codes (n_groups, n_out), and the group of each input."""

    scales: np.ndarray
    zeros: np.ndarray
    groups: np.ndarray
    top: int

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Return weights (n_in, n_out)."""
        return self.scales[self.groups] * (codes - self.zeros[self.groups])

    def nearest(self, W: np.ndarray) -> np.ndarray:
        """Return the nearest codes, as floats."""
        raw = np.rint(W / self.scales[self.groups]) + self.zeros[self.groups]
        return np.clip(raw, 0, self.top)


@dataclasses.dataclass(frozen=True)
class Quantization:
    """Options; see ``quantize_layer``."""

    bits: int
    group_size: int | None
    symmetric: bool
    objective: str
    method: str
    beam_width: int
    damping: float
    clip_search: bool

    def fit(self, W: np.ndarray, X: np.ndarray | None) -> tuple[Grid, QuantResult]:
        """Choose grids and codes."""
        if X is None:
            return self._without_data(W)
        factor = Factor.of(X, self.damping)
        grid = self._choose_grid(W, factor)
        return grid, self.encode(W, X, grid, factor)

    def _without_data(self, W: np.ndarray) -> tuple[Grid, QuantResult]:
        """Without data every input counts alike: nearest codes on the best grid."""
        best: Grid | None = None
        for shrink in SHRINKAGE if self.clip_search else SHRINKAGE[:1]:
            grid = self.grid(W, shrink)
            best = grid if best is None else _better_grid(best, grid, W, None)
        assert best is not None
        return best, self.encode(W, None, best, None)

    def grid(self, W: np.ndarray, shrink: float) -> Grid:
        """Return grids that span a part of the range of each group."""
        n_in = W.shape[0]
        size = n_in if self.group_size is None else min(self.group_size, n_in)
        groups = np.arange(n_in) // size
        starts = np.arange(0, n_in, size)
        top = 2**self.bits - 1
        high = np.maximum(np.maximum.reduceat(W, starts, axis=0), 0.0) * shrink
        low = np.minimum(np.minimum.reduceat(W, starts, axis=0), 0.0) * shrink
        if self.symmetric:
            reach = np.maximum(high, -low)
            scales = _positive(reach / max(top // 2, 0.5))
            zeros = np.full(scales.shape, float((top + 1) // 2))
        else:
            scales = _positive((high - low) / top)
            zeros = np.clip(np.rint(-low / scales), 0, top)
        return Grid(scales, zeros, groups, top)

    def _choose_grid(self, W: np.ndarray, factor: "Factor") -> Grid:
        """Return the shrunk grids of least quadratic error after Babai rounding."""
        best = self.grid(W, 1.0)
        if not self.clip_search or self.method == "round":
            return best
        for shrink in SHRINKAGE[1:]:
            best = _better_grid(best, self.grid(W, shrink), W, factor)
        return best

    def encode(
        self,
        W: np.ndarray,
        X: np.ndarray | None,
        grid: Grid,
        factor: "Factor | None",
    ) -> QuantResult:
        """Return codes on given grids."""
        codes = grid.nearest(W)
        X = np.eye(W.shape[0]) if X is None else X
        if factor is not None and self.method != "round":
            keep = 1 if self.method == "babai" else self.beam_width
            count = 1 if self.objective == "mse" else keep
            points, costs = factor.search(W, grid, keep, count)
            codes = self._pick(W, X, grid, factor, points, costs, codes)
            if self.method == "beam" and self.objective != "mse":
                codes = self._polish(W, X, grid, factor, codes)
        weights = grid.decode(codes)
        error = X @ (W - weights)
        return QuantResult(
            codes=codes.astype(np.uint8),
            scales=grid.scales,
            zeros=grid.zeros,
            weights=weights,
            violation=np.max(np.abs(error), axis=0, initial=0.0),
            mean_square=np.mean(error**2, axis=0),
            lower_bound=_single_input_bound(W, X, grid),
        )

    def _pick(
        self,
        W: np.ndarray,
        X: np.ndarray,
        grid: Grid,
        factor: "Factor",
        points: np.ndarray,
        costs: np.ndarray,
        rounded: np.ndarray,
    ) -> np.ndarray:
        """Choose among final points (K, n_in, n_out); nearest rounding is one more."""
        if points.shape[0] == 1:
            return points[0]
        points = np.concatenate([points, rounded[None]])
        last = factor.cost(W - grid.decode(rounded))
        costs = np.concatenate([costs, last[None]])
        n_out = W.shape[1]
        codes = np.empty_like(W)
        block = max(1, BLOCK // (X.shape[0] * points.shape[0]))
        for start in range(0, n_out, block):
            part = slice(start, min(start + block, n_out))
            scales = grid.scales[grid.groups][:, part]
            change = W[:, part] - scales * (
                points[:, :, part] - grid.zeros[grid.groups][:, part]
            )
            worst = np.max(np.abs(X @ change), axis=1)
            if self.objective == "mix":
                cost = costs[:, part]
                worst = np.where(cost <= MIX_MARGIN * cost.min(axis=0), worst, np.inf)
            best = np.argmin(worst, axis=0)
            for c, k in enumerate(best):
                codes[:, start + c] = points[k, :, start + c]
        return codes

    def _polish(
        self,
        W: np.ndarray,
        X: np.ndarray,
        grid: Grid,
        factor: "Factor",
        codes: np.ndarray,
    ) -> np.ndarray:
        """Lower the maximum of each output; "mix" refuses what costs mean square."""
        samples, n_in = X.shape
        if samples * n_in > LARGEST_POLISH:
            return codes
        columns = np.ascontiguousarray(X.T)
        unit = np.eye(n_in, dtype=np.int64)
        dirs, amounts = np.repeat(np.arange(n_in), 2), np.tile([-1, 1], n_in)
        low, high = np.zeros(n_in, np.int64), np.full(n_in, grid.top)
        answer = codes.copy()
        for c in range(W.shape[1]):
            scale, zero = grid.scales[grid.groups, c], grid.zeros[grid.groups, c]
            D = columns * scale[:, None]
            target = X @ (W[:, c] + scale * zero)
            k = codes[:, c].astype(np.int64)
            better, _, _ = polish(
                D, unit, np.zeros((n_in, 0)), low, high, target, target, k,
                k.astype(np.float64) @ D, dirs, amounts, n_in <= PAIR_INPUTS, 10_000,
            )  # fmt: skip
            if self.objective == "mix":
                pair = np.stack([k, better]).astype(np.float64)[:, :, None]
                change = (W[:, c] + scale * zero)[:, None] - scale[:, None] * pair
                cost = factor.cost(change)[:, 0]
                if cost[1] > MIX_MARGIN * cost[0]:
                    continue
            answer[:, c] = better
        return answer


def _positive(scales: np.ndarray) -> np.ndarray:
    """Constant groups get the step 1: their only value is the zero code."""
    return np.where(scales > 0, scales, 1.0)


def _better_grid(
    one: Grid, other: Grid, W: np.ndarray, factor: "Factor | None"
) -> Grid:
    """Return the better grid of each output, by quadratic error."""
    costs = []
    for grid in (one, other):
        if factor is None:
            costs.append(np.sum((W - grid.decode(grid.nearest(W))) ** 2, axis=0))
        else:
            change = W - grid.decode(factor.search(W, grid, 1, 1)[0][0])
            costs.append(factor.cost(change))
    better = costs[1] < costs[0]
    return Grid(
        np.where(better, other.scales, one.scales),
        np.where(better, other.zeros, one.zeros),
        one.groups,
        one.top,
    )


@dataclasses.dataclass(frozen=True)
class Factor:
    """Upper factor of the damped Gram matrix, columns by ascending norm."""

    R: np.ndarray
    order: np.ndarray

    @classmethod
    def of(cls, X: np.ndarray, damping: float) -> "Factor":
        """Factor ``X^T X / N + damping mean(diag) I``."""
        order = np.argsort(np.sum(X**2, axis=0), kind="stable")
        part = X[:, order]
        xp: Any = np
        R, _ = damped_factor(xp, part.T @ part / X.shape[0], damping)
        return cls(np.ascontiguousarray(R), order)

    def cost(self, change: np.ndarray) -> np.ndarray:
        """Return the damped quadratic error (...,) of weight changes (..., n, C)."""
        return np.sum((self.R @ change[..., self.order, :]) ** 2, axis=-2)

    def search(
        self, W: np.ndarray, grid: Grid, keep: int, count: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return codes (count, n_in, n_out) of small quadratic error, best first.

        Their errors (count, n_out) come with them. Several candidates are told apart by
        far more than float32 resolves; the nearest plane is that of float64.
        """
        n_in, n_out = W.shape
        dtype, width = (np.float64, 1) if keep == 1 else (np.float32, WIDTH)

        def best(R: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            """Run the search on targets ``R wanted``, one a column."""
            high = np.full(n_in, grid.top, dtype)
            target = np.ascontiguousarray((R @ wanted).T, dtype)
            table, low = np.zeros((n_in, 0), dtype), np.zeros(n_in, dtype)
            return k_best(R.astype(dtype), target, table, low, high, keep, width, count)

        wanted = (W / grid.scales[grid.groups] + grid.zeros[grid.groups])[self.order]
        if grid.scales.shape[0] == 1:
            points, costs = best(self.R, wanted)
            costs = costs * grid.scales[0][:, None] ** 2
        else:
            scales = grid.scales[grid.groups][self.order]
            parts = [
                best(self.R * scales[:, c], wanted[:, c : c + 1]) for c in range(n_out)
            ]
            points = np.concatenate([part[0] for part in parts])
            costs = np.concatenate([part[1] for part in parts])
        filled = np.isfinite(costs)[:, :, None]
        points = np.where(filled, points, points[:, :1])
        answer = np.empty((count, n_in, n_out))
        answer[:, self.order, :] = np.moveaxis(points, 0, 2)
        return answer, costs.T


def _single_input_bound(W: np.ndarray, X: np.ndarray, grid: Grid) -> np.ndarray:
    """A row with one nonzero input errs at least by that input's rounding distance."""
    alone = np.count_nonzero(X, axis=1) == 1
    if not np.any(alone):
        return np.zeros(W.shape[1])
    size = np.max(np.abs(X[alone]), axis=0)
    distance = np.abs(W - grid.decode(grid.nearest(W)))
    return np.max(size[:, None] * distance, axis=0)


def quantize_layer(
    W: Any,
    X: Any,
    *,
    bits: int = 4,
    group_size: int | None = None,
    symmetric: bool = False,
    objective: str = "max",
    damping: float = 0.01,
    method: str = "beam",
    beam_width: int = 64,
    clip_search: bool = True,
    n_jobs: int | None = None,
) -> QuantResult:
    r"""Round the weights of a linear layer to few bits, output by output.

    .. math::

       \min_{q} \| X (w - s \circ (q - z)) \|_\infty ,
       \qquad q \in \{0, \dots, 2^{bits} - 1\}^{n_{in}}

    Parameters
    ----------
    W : array-like of shape (n_in, n_out)
        Weights, as in the ``coefs_`` of scikit-learn's networks.
    X : array-like of shape (samples, n_in), or None
        Calibration inputs of the layer; None means nearest rounding.
    bits : int, default=4
        Bits of a code, 1 to 8.
    group_size : int, default=None
        Inputs that share a grid; None means one grid for each output.
    symmetric : bool, default=False
        Whether grids are symmetric about 0.
    objective : {"max", "mse", "mix"}, default="max"
        Worst error over the calibration rows, mean square, or worst error among codes
        whose mean square is within 5% of the best found.
    damping : float, default=0.01
        Added to the second moments of the inputs, relative to the mean of their
        diagonal; grows when the factor does not exist.
    method : {"beam", "babai", "round"}, default="beam"
        K-best search; nearest plane, which is GPTQ; nearest rounding.
    beam_width : int, default=64
        Partial codes kept.
    clip_search : bool, default=True
        Whether grids that clip the largest weights are tried; the best by the error on
        the calibration inputs is taken, output by output (activation-aware scales).
    n_jobs : int, default=None
        Number of threads; None leaves numopt's setting.

    Returns
    -------
    QuantResult
        Codes, grids, dequantised weights and errors of each output.

    Raises
    ------
    ValueError
        When shapes disagree or options are out of range.

    See Also
    --------
    MinMaxQuantizer : The same as an estimator.

    Notes
    -----
    All outputs share one Cholesky factor; inputs are decided from the largest second
    moment on. With ``beam_width=1`` each is rounded to the nearest level after the
    errors so far are fed back: this is GPTQ (Frantar et al. 2023), which is Babai's
    nearest plane (Chen et al. 2025). A smaller worst error on the calibration rows does
    not imply a smaller one elsewhere, hence "mix".

    References
    ----------
    Frantar, Ashkboos, Hoefler, Alistarh, arXiv 2210.17323, 2023. Chen, Shabanzadeh,
    Crnčević, Hoefler, Alistarh, arXiv 2507.18553, 2025.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.dmmv import quantize_layer
    >>> rng = np.random.default_rng(0)
    >>> W, X = rng.standard_normal((12, 3)), rng.standard_normal((100, 12))
    >>> beam = quantize_layer(W, X, bits=3)
    >>> rounding = quantize_layer(W, X, bits=3, method="round")
    >>> bool(np.all(beam.violation < rounding.violation))
    True
    """
    options = Quantization(
        bits=v.check_int("bits", bits, low=1, high=8),
        group_size=None
        if group_size is None
        else v.check_int("group_size", group_size, low=1),
        symmetric=v.check_flag("symmetric", symmetric),
        objective=v.check_choice("objective", objective, OBJECTIVES),
        method=v.check_choice("method", method, METHODS),
        beam_width=v.check_int("beam_width", beam_width, low=1),
        damping=v.check_real("damping", damping, low=0),
        clip_search=v.check_flag("clip_search", clip_search),
    )
    weights = host_array("W", W)
    v.check_ndim("W", weights, 2)
    v.check_values("W", weights)
    with thread_context(n_jobs):
        return options.fit(weights, check_calibration(X, weights.shape[0]))[1]


def check_calibration(X: Any, n_in: int) -> np.ndarray | None:
    """Return calibration rows as float64, or None."""
    if X is None:
        return None
    rows = host_array("X", X)
    v.check_ndim("X", rows, 2)
    v.check_shape("X", rows, (rows.shape[0], n_in), why="as `W` has rows")
    v.check_values("X", rows)
    return rows
