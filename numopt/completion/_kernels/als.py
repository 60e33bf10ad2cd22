# SPDX-License-Identifier: BSD-3-Clause
"""Half sweeps of alternating ridge regressions: definitions in array expressions."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from numopt._array.namespace import array_namespace, device, to_numpy
from numopt._kernels.dispatch import kernel
from numopt.typing import Array

__all__ = [
    "cg_lines",
    "gather_rows",
    "line_sums",
    "nonnegative_lines",
    "padded_lines",
    "predict_entries",
    "ridge_lines",
    "scatter_rows",
]

_CPU, _GPU = "numopt.completion._kernels_cpu", "numopt.completion._kernels_gpu"

#: Numbers in one batch of gathered factors.
BATCH = 1 << 24


def padded_lines(indptr: Array, width: int) -> Iterator[tuple[Array, Array, Array]]:
    """Yield batches of lines of similar length: lines (b,), positions and mask (b, L).

    ``width`` is the number of values gathered for an entry. Lines without entries
    are left out. L is at most twice the length of the shortest line of a batch.
    """
    xp, where = array_namespace(indptr), device(indptr)
    starts = to_numpy(indptr)
    counts = np.diff(starts)
    size = np.zeros_like(counts)
    size[counts > 0] = np.ceil(np.log2(counts[counts > 0])).astype(np.int64) + 1
    for s in np.unique(size[size > 0]):
        every = np.flatnonzero(size == s)
        L = int(counts[every].max())
        step = max(1, BATCH // (L * width))
        for at in range(0, every.shape[0], step):
            lines = every[at : at + step]
            along = np.arange(L)[None, :]
            mask = along < counts[lines, None]
            positions = np.where(mask, starts[lines, None] + along, starts[lines, None])
            yield (
                xp.asarray(lines, device=where),
                xp.asarray(positions, device=where),
                xp.asarray(mask, device=where),
            )


def gather_rows(a: Array, index: Array) -> Array:
    """Take rows (or entries) of ``a`` at a matrix of indices."""
    xp = array_namespace(a)
    taken = xp.take(a, xp.reshape(index, (-1,)), axis=0)
    return xp.reshape(taken, (*index.shape, *a.shape[1:]))


def scatter_rows(out: Array, lines: Array, rows: Array) -> Array:
    """Return ``out`` with ``rows`` at ``lines``, without assignment by index."""
    xp = array_namespace(out)
    n = out.shape[0]
    source = np.arange(n)
    source[to_numpy(lines)] = n + np.arange(rows.shape[0])
    every = xp.concat([out, rows], axis=0)
    return xp.take(every, xp.asarray(source, device=device(out)), axis=0)


@kernel(numpy=f"{_CPU}.als:ridge_lines")
def ridge_lines(
    indptr: Array,
    indices: Array,
    values: Array,
    weights: Array,
    other: Array,
    ridge: Array,
    bias_ridge: Array,
    with_bias: bool,
) -> tuple[Array, Array]:
    """x_i = argmin sum_j w_ij (t_ij - f_j . x)^2 + ridge_i |u|^2 + bias_ridge_i b^2.

    x = (u, b), f_j = (other_j without its last entry, 1), t_ij = values_ij - the last
    entry of other_j. ``weights`` is (N,) or empty; ``other`` (n, k + 1) and the answer
    (lines, k + 1). Lines without entries become 0. Also returns the minimum, (lines,)
    in float64.
    """
    xp = array_namespace(values)
    start = xp.zeros(
        (indptr.shape[0] - 1, other.shape[1]), dtype=other.dtype, device=device(other)
    )
    return _solve_lines(
        indptr, indices, values, weights, other, ridge, bias_ridge, start, with_bias,
        lambda system, right, damping, _: _solve_exactly(system, right, damping),
    )  # fmt: skip


@kernel(numpy=f"{_CPU}.als:cg_lines", cupy=f"{_GPU}:cg_lines")
def cg_lines(
    indptr: Array,
    indices: Array,
    values: Array,
    weights: Array,
    other: Array,
    ridge: Array,
    bias_ridge: Array,
    start: Array,
    with_bias: bool,
    steps: int,
) -> tuple[Array, Array]:
    """Steps of Jacobi-preconditioned conjugate gradients towards ``ridge_lines``.

    ``start`` and the answer are (lines, k + 1); a line stops early once its residual
    has fallen to rounding. Also returns the objective of each line, in float64.
    """
    return _solve_lines(
        indptr, indices, values, weights, other, ridge, bias_ridge, start, with_bias,
        lambda system, right, damping, first: _solve_by_cg(
            system, right, damping, first, steps
        ),
    )  # fmt: skip


def _solve_lines(
    indptr: Array, indices: Array, values: Array, weights: Array, other: Array,
    ridge: Array, bias_ridge: Array, start: Array, with_bias: bool,
    solve: Callable[..., Array],
) -> tuple[Array, Array]:  # fmt: skip
    """Solve the regressions of all lines, in batches of lines of similar length."""
    xp = array_namespace(values)
    k = other.shape[1] - 1
    d = k + 1 if with_bias else k
    x = xp.zeros_like(start)
    loss = xp.zeros((start.shape[0],), dtype=xp.float64, device=device(values))
    for lines, at, mask in padded_lines(indptr, d):
        found = gather_rows(other, gather_rows(indices, at))
        seen = xp.astype(mask, values.dtype)
        w = seen * gather_rows(weights, at) if weights.shape[0] else seen
        F = found[..., :d]
        if with_bias:
            F = xp.concat([F[..., :k], xp.ones_like(F[..., :1])], axis=-1)
        t = gather_rows(values, at) - found[..., k]
        damping = xp.broadcast_to(xp.take(ridge, lines)[:, None], (lines.shape[0], k))
        if with_bias:
            damping = xp.concat([damping, xp.take(bias_ridge, lines)[:, None]], axis=1)
        FW = F * w[..., None]
        system = xp.matmul(xp.matrix_transpose(FW), F)
        right = xp.matmul(xp.matrix_transpose(FW), t[..., None])[..., 0]
        first = xp.take(start, lines, axis=0)[:, :d]
        solution = solve(system, right, damping, first)
        r = xp.astype(t - xp.matmul(F, solution[..., None])[..., 0], xp.float64)
        value = xp.sum(xp.astype(w, xp.float64) * r * r, axis=1) + xp.sum(
            xp.astype(damping, xp.float64) * xp.astype(solution, xp.float64) ** 2,
            axis=1,
        )
        if d <= k:
            solution = xp.concat([solution, xp.zeros_like(solution[:, :1])], axis=1)
        x = scatter_rows(x, lines, solution)
        loss = scatter_rows(loss, lines, value)
    return x, loss


def _solve_exactly(system: Array, right: Array, damping: Array) -> Array:
    """Solve the damped normal equations; a tiny diagonal keeps them definite."""
    xp = array_namespace(system)
    d = right.shape[1]
    eye = xp.eye(d, dtype=system.dtype, device=device(system))
    diagonal = xp.sum(system * eye, axis=-1)
    level = xp.mean(diagonal + damping, axis=-1, keepdims=True)
    limits = xp.finfo(system.dtype)
    # Without any data and penalty the level is 0.
    least = xp.full_like(level, float(limits.smallest_normal))
    floor = xp.maximum(FLOOR_EPS * float(limits.eps) * level, least)
    damped = system + eye * (damping + floor)[..., None]
    return xp.linalg.solve(damped, right[..., None])[..., 0]


def _solve_by_cg(
    system: Array, right: Array, damping: Array, first: Array, steps: int
) -> Array:
    """Jacobi-preconditioned conjugate gradients on all lines at once."""
    xp = array_namespace(system)
    d = right.shape[1]
    eye = xp.eye(d, dtype=system.dtype, device=device(system))
    damped = system + eye * damping[..., None]
    tiny = float(xp.finfo(system.dtype).smallest_normal)
    diagonal = xp.maximum(xp.sum(damped * eye, axis=-1), xp.full_like(right, tiny))
    x = first
    r = right - xp.matmul(damped, x[..., None])[..., 0]
    z = r / diagonal
    p = z
    rz = xp.sum(r * z, axis=1, keepdims=True)
    stop = float(xp.finfo(system.dtype).eps) ** 2 * rz
    for _ in range(steps):
        Ap = xp.matmul(damped, p[..., None])[..., 0]
        curvature = xp.sum(p * Ap, axis=1, keepdims=True)
        go = (curvature > tiny) & (rz > stop)
        safe = xp.where(go, curvature, xp.ones_like(curvature))
        step = xp.where(go, rz / safe, xp.zeros_like(rz))
        x = x + step * p
        r = r - step * Ap
        z = r / diagonal
        new = xp.sum(r * z, axis=1, keepdims=True)
        beta = xp.where(go, new / xp.where(go, rz, xp.ones_like(rz)), xp.zeros_like(rz))
        p = z + beta * p
        rz = new
    return x


#: Multiple of the rounding unit, relative to the mean diagonal, that keeps a singular
#: system definite.
FLOOR_EPS = 10.0


@kernel(numpy=f"{_CPU}.sparse:predict_entries", cupy=f"{_GPU}:predict_entries")
def predict_entries(indptr: Array, indices: Array, P: Array, Q: Array) -> Array:
    """u_i . v_j + b_i + c_j of the entries, for P = [U, b] (m, k+1), Q = [V, c]."""
    xp = array_namespace(P)
    k = P.shape[1] - 1
    out = xp.zeros((indices.shape[0],), dtype=P.dtype, device=device(P))
    N = indices.shape[0]
    places = xp.arange(N, dtype=indptr.dtype, device=device(P))
    rows = xp.searchsorted(indptr, places, side="right") - 1
    step = max(1, BATCH // max(k, 1))
    parts = []
    for at in range(0, N, step):
        end = min(at + step, N)
        A = xp.take(P, rows[at:end], axis=0)
        B = xp.take(Q, indices[at:end], axis=0)
        parts.append(xp.sum(A[:, :k] * B[:, :k], axis=1) + A[:, k] + B[:, k])
    return xp.concat(parts) if parts else out


def _pattern(rng: Any, lines: int, n: int) -> tuple[Any, Any]:
    """Random lines of up to forty entries, the first without any."""
    counts = rng.integers(0, min(n, 40) + 1, lines)
    if lines:
        counts[0] = 0
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    indices = [np.sort(rng.choice(n, c, replace=False)) for c in counts]
    flat = np.concatenate([*indices, np.zeros(0)])
    return indptr, flat.astype(np.int32)


def _regressions(rng: Any, dtype: Any, size: int) -> tuple[Any, ...]:
    """Pattern, values, weights, other side and ridges of some lines."""
    n, k = 50, 5
    indptr, indices = _pattern(rng, size, n)
    N = indices.shape[0]
    real = [
        rng.standard_normal(N),
        rng.random(N) + 0.1,
        rng.standard_normal((n, k + 1)),
        rng.random(size) + 0.5,
        rng.random(size) + 0.5,
    ]
    return indptr, indices, *(a.astype(dtype) for a in real)


@ridge_lines.example
def _(rng: np.random.Generator, dtype: np.dtype, size: int) -> tuple[Any, ...]:
    return *_regressions(rng, dtype, size), True


@cg_lines.example
def _(rng: np.random.Generator, dtype: np.dtype, size: int) -> tuple[Any, ...]:
    given = _regressions(rng, dtype, size)
    start = rng.standard_normal((size, given[4].shape[1])).astype(dtype)
    return *given, start, True, 3


@predict_entries.example
def _(rng: np.random.Generator, dtype: np.dtype, size: int) -> tuple[Any, ...]:
    indptr, indices = _pattern(rng, size, 50)
    P, Q = rng.standard_normal((size, 6)), rng.standard_normal((50, 6))
    return indptr, indices, P.astype(dtype), Q.astype(dtype)


@kernel(numpy=f"{_CPU}.sparse:line_sums", cupy=f"{_GPU}:line_sums")
def line_sums(indptr: Array, indices: Array, values: Array, X: Array) -> Array:
    """out_i = sum_j values_ij X_j for X (n, k): a sparse matrix times a dense one."""
    xp = array_namespace(X)
    out = xp.zeros((indptr.shape[0] - 1, X.shape[1]), dtype=X.dtype, device=device(X))
    for lines, at, mask in padded_lines(indptr, X.shape[1]):
        w = xp.astype(mask, X.dtype) * gather_rows(values, at)
        found = gather_rows(X, gather_rows(indices, at))
        out = scatter_rows(out, lines, xp.matmul(w[:, None, :], found)[:, 0, :])
    return out


@line_sums.example
def _(rng: np.random.Generator, dtype: np.dtype, size: int) -> tuple[Any, ...]:
    indptr, indices = _pattern(rng, size, 50)
    values = rng.standard_normal(indices.shape[0]).astype(dtype)
    return indptr, indices, values, rng.standard_normal((50, 6)).astype(dtype)


@kernel(numpy=f"{_CPU}.nonnegative:nonnegative_lines")
def nonnegative_lines(
    indptr: Array,
    indices: Array,
    values: Array,
    weights: Array,
    other: Array,
    ridge: Array,
    start: Array,
    passes: int,
) -> tuple[Array, Array]:
    """u_i = argmin over u >= 0 of sum_j w_ij (y_ij - v_j . u)^2 + ridge_i |u|^2.

    ``passes`` rounds of coordinate descent from ``start`` on the Gram matrix of a
    line. ``other`` (n, k + 1) and ``start`` (lines, k + 1) end with a column of zeros.
    Lines without entries become 0. Also returns the objective, (lines,) in float64.
    """
    xp = array_namespace(values)
    k = other.shape[1] - 1
    x = xp.zeros_like(start)
    loss = xp.zeros((start.shape[0],), dtype=xp.float64, device=device(values))
    eye = xp.eye(k, dtype=values.dtype, device=device(values))
    for lines, at, mask in padded_lines(indptr, k):
        seen = xp.astype(mask, values.dtype)
        w = seen * gather_rows(weights, at) if weights.shape[0] else seen
        F = gather_rows(other, gather_rows(indices, at))[..., :k]
        y = gather_rows(values, at)
        FW = F * w[..., None]
        G = xp.matmul(xp.matrix_transpose(FW), F)
        G = G + eye * xp.take(ridge, lines)[:, None, None]
        h = xp.matmul(xp.matrix_transpose(FW), y[..., None])[..., 0]
        u = xp.take(start, lines, axis=0)[:, :k]
        for _ in range(passes):
            for c in range(k):
                unit, pivot = eye[c, :], G[:, c, c]
                left = h[:, c] - xp.sum(G[:, c, :] * u, axis=1) + pivot * u[:, c]
                safe = xp.where(pivot > 0, pivot, xp.ones_like(pivot))
                new = xp.maximum(left, xp.zeros_like(left)) / safe
                new = xp.where(pivot > 0, new, xp.zeros_like(new))
                u = u + unit * (new - u[:, c])[:, None]
        Gu = xp.matmul(G, u[..., None])[..., 0]
        value = xp.sum(w * y * y, axis=1) - 2 * xp.sum(h * u, axis=1)
        value = value + xp.sum(u * Gu, axis=1)
        x = scatter_rows(x, lines, xp.concat([u, xp.zeros_like(u[:, :1])], axis=1))
        loss = scatter_rows(loss, lines, xp.astype(value, xp.float64))
    return x, loss


@nonnegative_lines.example
def _(rng: np.random.Generator, dtype: np.dtype, size: int) -> tuple[Any, ...]:
    n, k = 50, 4
    indptr, indices = _pattern(rng, size, n)
    N = indices.shape[0]
    other, start = rng.random((n, k + 1)), rng.random((size, k + 1))
    other[:, -1] = start[:, -1] = 0
    real = [rng.random(N), rng.random(N) + 0.1, other, rng.random(size) + 0.5, start]
    return indptr, indices, *(a.astype(dtype) for a in real), 5
