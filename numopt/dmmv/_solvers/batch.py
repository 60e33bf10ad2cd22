# SPDX-License-Identifier: BSD-3-Clause
"""Many right-hand sides of one matrix, as array expressions on any device."""

import time
from typing import Any

import numpy as np

from numopt import _validation as v
from numopt._array.linalg import solve_triangular
from numopt._array.namespace import device, to_numpy
from numopt.dmmv._kernels import k_best
from numopt.dmmv._problem.levels import Levels
from numopt.dmmv._solvers.minimize import thread_context
from numopt.dmmv._solvers.result import MinMaxBatchResult
from numopt.typing import Array, Namespace

__all__ = ["damped_factor", "minimize_max_violation_batch"]

#: Entries of one block of responses.
BLOCK = 2**22
WIDTH = 3
LARGEST_DAMPING = 1.0
#: Sharpness of the multipliers read off the residual.
SHARPNESS = 15


def damped_factor(xp: Namespace, gram: Array, damping: float) -> tuple[Array, float]:
    """Return upper R with ``R^T R = gram + damping mean(diag) I`` and the damping.

    The damping grows tenfold until the factor exists.
    """
    n = gram.shape[0]
    eye = xp.eye(n, dtype=gram.dtype, device=device(gram))
    mean = float(to_numpy(xp.mean(xp.linalg.diagonal(gram))))
    mean = mean if mean > 0 else 1.0
    while True:
        try:
            L = xp.linalg.cholesky(gram + (damping * mean) * eye)
            finite = bool(xp.all(xp.isfinite(L)))
        except Exception as error:
            if "LinAlg" not in type(error).__name__:
                raise
            finite = False
        if finite:
            return xp.matrix_transpose(L), damping * mean
        damping = max(10 * damping, 1e-12)
        if damping > LARGEST_DAMPING:
            raise ValueError(
                "`A` must have a Gram matrix that damping makes positive definite, got "
                f"none up to {LARGEST_DAMPING:g} times its mean diagonal"
            )


def minimize_max_violation_batch(
    A: Array,
    B: Array,
    levels: Any,
    *,
    scale: Any = None,
    weights: Any = None,
    method: str = "beam",
    beam_width: int = 64,
    damping: float = 1e-6,
    tol: float = 1e-6,
    n_jobs: int | None = None,
) -> MinMaxBatchResult:
    r"""Find discrete points for many right-hand sides of one matrix.

    .. math:: \min_{x_c \in S} \max_i w_i |s_c (A x_c)_i - B_{ic}|, \quad c = 1..C

    Parameters
    ----------
    A : array of shape (m, n)
        Rows, on any array-API library; the answer stays on its device.
    B : array of shape (m, C)
        One right-hand side a column.
    levels : pair of int, array-like, or list of n array-likes
        Level sets, as in ``minimize_max_violation``.
    scale : array of shape (C,), default=None
        Positive scale of x for each right-hand side; None means 1.
    weights : array of shape (m,), default=None
        Weights of the rows.
    method : {"beam", "babai", "round"}, default="beam"
        K-best search, its special case K = 1, or nearest levels of the least-squares
        solution.
    beam_width : int, default=64
        Partial points kept.
    damping : float, default=1e-6
        Added to the Gram matrix, relative to the mean of its diagonal.
    tol : float, default=1e-6
        Relative gap that counts as converged.
    n_jobs : int, default=None
        Number of threads; None leaves numopt's setting.

    Returns
    -------
    MinMaxBatchResult
        Points, violations and dual bounds.

    Raises
    ------
    ValueError
        When shapes disagree or values are not finite.

    See Also
    --------
    minimize_max_violation : One right-hand side, with polishing and annealing.

    Notes
    -----
    The Gram matrix is factored once. Each search costs O(n^2 K) and all final points
    are evaluated by one matrix product; the best in the maximum norm is taken, so the
    answer is never worse than rounding or Babai's nearest plane.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.dmmv import minimize_max_violation_batch
    >>> rng = np.random.default_rng(0)
    >>> A, X = rng.standard_normal((30, 6)), rng.integers(0, 4, (6, 5))
    >>> result = minimize_max_violation_batch(A, A @ X, (0, 3))
    >>> bool(np.all(result.x == X))
    True
    """
    started = time.perf_counter()
    xp, (A, B, scale, weights) = v.float_arrays(A=A, B=B, scale=scale, weights=weights)
    v.check_ndim("A", A, 2)
    v.check_ndim("B", B, 2)
    v.check_values("A", A)
    v.check_values("B", B)
    m, n = A.shape
    channels = B.shape[1]
    v.check_shape("B", B, (m, channels), why="as `A` has rows")
    v.check_choice("method", method, ("beam", "babai", "round"))
    keep = v.check_int("beam_width", beam_width, low=1)
    damping = v.check_real("damping", damping, low=0)
    sets = Levels.parse(levels, n)
    if weights is not None:
        v.check_shape("weights", weights, (m,), why="as `A` has rows")
        v.check_values("weights", weights, nonnegative=True)
        A, B = A * weights[:, None], B * weights[:, None]
    if scale is not None:
        v.check_shape("scale", scale, (channels,), why="as `B` has columns")
        low, _ = v.check_values("scale", scale, nonnegative=True)
        if low == 0:
            raise ValueError(v.message("scale", "positive", 0.0))
        B = B / scale
    with thread_context(n_jobs):
        x, worst = _search(xp, A, B, sets, method, keep, damping)
    bound = _bounds(xp, A, B, x, sets)
    if scale is not None:
        worst, bound = worst * scale, bound * scale
    bound = xp.minimum(bound, worst)
    gap = xp.where(worst > 0, (worst - bound) / xp.where(worst > 0, worst, 1.0), 0.0)
    largest = float(to_numpy(xp.max(gap)))
    converged = largest <= v.check_real("tol", tol, low=0)
    return MinMaxBatchResult(
        n_iter=1,
        converged=converged,
        status="converged" if converged else "stalled",
        message=f"one pass over {channels} right-hand sides; largest gap {largest:.2e}",
        history={
            "n_iter": np.array([1]),
            "time": np.array([time.perf_counter() - started]),
            "objective": np.array([float(to_numpy(xp.max(worst)))]),
            "residual": np.array([largest]),
        },
        x=x,
        violation=worst,
        lower_bound=bound,
        gap=gap,
        bound_kind="dual",
        method=method,
    )


def _search(
    xp: Namespace,
    A: Array,
    B: Array,
    sets: Levels,
    method: str,
    keep: int,
    damping: float,
) -> tuple[Array, Array]:
    """Return the best points (n, C) and their violations."""
    where, dtype = device(A), A.dtype
    norms = xp.sum(A * A, axis=0)
    order = xp.argsort(norms)
    sorted_A = xp.take(A, order, axis=1)
    gram = xp.matrix_transpose(sorted_A) @ sorted_A
    R, added = damped_factor(xp, gram, damping)
    host_order = to_numpy(order)
    step, first = sets.step[host_order], sets.first[host_order]

    def put(x: np.ndarray) -> Array:
        return xp.asarray(x, dtype=dtype, device=where)

    shift, size = put(first), put(step)
    uneven = sets.table is not None
    if uneven:
        assert sets.table is not None
        shift, size = put(np.zeros(sets.n)), put(np.ones(sets.n))
        table = put(sets.table[host_order])
    else:
        table = put(np.zeros((sets.n, 0)))
    low, high = put(np.zeros(sets.n)), put(sets.count[host_order] - 1.0)
    middle = put(0.5 * (sets.low + sets.high)[host_order])
    right = xp.matrix_transpose(sorted_A) @ B + added * middle[:, None]
    half = solve_triangular(xp.matrix_transpose(R), right, lower=True)
    solution = solve_triangular(R, half, lower=False)
    rounded = _nearest(xp, solution, sets, host_order, put)
    points = rounded[None, :, :]
    if method != "round":
        target = xp.matrix_transpose(half) - R @ shift
        scaled = R * size[None, :]
        kernel = k_best.for_namespace(xp)
        runs = [kernel(scaled, target, table, low, high, 1, 1, 1)]
        if method == "beam":
            runs.append(kernel(scaled, target, table, low, high, keep, WIDTH, keep))
        found = xp.concat([run[0] for run in runs], axis=1) * size + shift
        costs = xp.concat([run[1] for run in runs], axis=1)
        first_point = found[:, :1, :]
        found = xp.where(xp.isfinite(costs)[:, :, None], found, first_point)
        found = xp.permute_dims(found, (1, 2, 0))
        points = xp.concat([points, found], axis=0)
    back = xp.argsort(order)
    return _best(xp, A, B, xp.take(points, back, axis=1))


def _nearest(
    xp: Namespace, x: Array, sets: Levels, order: np.ndarray, put: Any
) -> Array:
    """Return the levels nearest to x (n, C), rows in the given order."""
    if sets.table is None:
        first, step = put(sets.first[order])[:, None], put(sets.step[order])[:, None]
        top = put(sets.count[order] - 1.0)[:, None]
        k = xp.minimum(xp.maximum(xp.round((x - first) / step), 0.0 * top), top)
        return first + step * k
    table = put(sets.table[order])
    gaps = xp.abs(x[:, :, None] - table[:, None, :])
    best = xp.argmin(gaps, axis=2)
    return xp.take_along_axis(table, best, axis=1)


def _best(xp: Namespace, A: Array, B: Array, points: Array) -> tuple[Array, Array]:
    """Evaluate points (K, n, C) by matrix products; return the best of each column."""
    count, n, channels = points.shape
    block = max(1, BLOCK // max(A.shape[0] * count, 1))
    chosen, worst = [], []
    for start in range(0, channels, block):
        stop = min(start + block, channels)
        part = points[:, :, start:stop]
        width = stop - start
        flat = xp.reshape(xp.permute_dims(part, (1, 0, 2)), (n, count * width))
        y = xp.reshape(A @ flat, (A.shape[0], count, width))
        error = xp.max(xp.abs(y - B[:, None, start:stop]), axis=0)
        at = xp.argmin(error, axis=0)
        index = xp.broadcast_to(at[None, None, :], (1, n, width))
        chosen.append(xp.take_along_axis(part, index, axis=0)[0, :, :])
        worst.append(xp.min(error, axis=0))
    return xp.concat(chosen, axis=1), xp.concat(worst)


def _bounds(xp: Namespace, A: Array, B: Array, x: Array, sets: Levels) -> Array:
    """Return the dual value of multipliers read off the residuals, one a column."""
    residual = A @ x - B
    top = xp.max(xp.abs(residual), axis=0)
    y = residual / xp.where(top > 0, top, 1.0)
    y = y * xp.abs(y) ** (SHARPNESS - 1)
    mass = xp.sum(xp.abs(y), axis=0)
    y = y / xp.where(mass > 0, mass, 1.0)
    slope = xp.matrix_transpose(A) @ y
    low = xp.asarray(sets.low, dtype=A.dtype, device=device(A))[:, None]
    high = xp.asarray(sets.high, dtype=A.dtype, device=device(A))[:, None]
    value = xp.sum(xp.minimum(slope * low, slope * high), axis=0)
    return xp.maximum(value - xp.sum(y * B, axis=0), 0.0 * value)
