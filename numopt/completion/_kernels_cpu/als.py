# SPDX-License-Identifier: BSD-3-Clause
"""Half sweeps of alternating ridge regressions in register tiles."""

import numpy as np

from numopt._kernels.jit import jit_kernel
from numopt._kernels.threads import run_blocks
from numopt.completion._kernels_cpu.lines import (
    AHEAD,
    balanced_blocks,
    chunk_rows,
    gather,
    gram,
    line_gram,
    packed_factors,
    padded_width,
    solve_in_place,
)
from numopt.completion._kernels_cpu.vector import add_squares, normal_pass

__all__ = ["cg_lines", "ridge_lines"]

#: As in the definition: keeps a singular system definite.
FLOOR_EPS = 10.0


@jit_kernel
def _damping(ridge, bias_ridge, k, d, out):
    """Ridge of each unknown of a line; returns the sum."""
    for c in range(d):
        out[c] = ridge if c < k else bias_ridge
    return d * ridge if d == k else k * ridge + bias_ridge


@jit_kernel
def _primal(G, width, d, damping, total, floor, x):
    """Solve the d x d normal equations in the Gram matrix; return the minimum."""
    for c in range(d):
        total += G[c * width + c]
    level = max(floor * total, np.finfo(x.dtype).tiny)
    for c in range(d):
        G[c * width + c] += damping[c] + level
    return solve_in_place(G, width, d, level, x)


@jit_kernel
def _dual(rows, n, width, d, damping, total, floor, columns, K, z, x):
    """Solve a line of n < d entries through its n x n system; return the minimum.

    With D the damping and A = F D^-1/2 the solution is D^-1/2 A^T (A A^T + I)^-1 t.
    """
    narrow = padded_width(n)
    for e in range(n):
        for c in range(d):
            total += rows[e * width + c] * rows[e * width + c]
    level = max(floor * total, np.finfo(x.dtype).tiny)
    for c in range(d):
        x[c] = 1 / np.sqrt(damping[c] + level)
        for e in range(n):
            columns[c * narrow + e] = x[c] * rows[e * width + c]
        for e in range(n, narrow):
            columns[c * narrow + e] = 0
    K[: narrow * narrow] = 0
    gram(columns, d, narrow, K)
    for e in range(n):
        K[e * narrow + e] += 1
        K[e * narrow + n] = rows[e * width + d]
    least = -solve_in_place(K, narrow, n, x.dtype.type(0), z)
    for c in range(d):
        part = x.dtype.type(0)
        for e in range(n):
            part += columns[c * narrow + e] * z[e]
        x[c] *= part
    return least


@jit_kernel
def _exact(
    bounds, indptr, indices, values, weights, other, shifts, ridge, bias_ridge, k, d,
    floor, out, out_loss, lo, hi,
):  # fmt: skip
    """Exact solves of some blocks of lines."""
    width = padded_width(d)
    chunk = chunk_rows(width, other.itemsize)
    short = min(chunk, d // 2)
    rows = np.zeros(chunk * width, other.dtype)
    G = np.empty(width * width, other.dtype)
    columns = np.empty(d * padded_width(short), other.dtype)
    x = np.empty(width, other.dtype)
    z = np.empty(width, other.dtype)
    damping = np.empty(d, other.dtype)
    asked = indptr[bounds[lo]]
    for i in range(bounds[lo], bounds[hi]):
        begin, end = indptr[i], indptr[i + 1]
        n = end - begin
        if n == 0:
            continue
        total = _damping(ridge[i], bias_ridge[i], k, d, damping)
        if n <= short:
            gather(
                other, shifts, indices, values, weights, begin, n, width, k, d, rows,
                AHEAD,
            )  # fmt: skip
            out_loss[i] = _dual(
                rows, n, width, d, damping, total, floor, columns, G, z, x
            )
        else:
            asked = line_gram(
                other, shifts, indices, values, weights, begin, end, width, chunk,
                k, d, rows, G, asked,
            )  # fmt: skip
            out_loss[i] = _primal(G, width, d, damping, total, floor, x)
        for c in range(d):
            out[i, c] = x[c]


@jit_kernel
def _apply(rows, n, width, p, out):
    """Put rows^T (rows p) into ``out``; return |rows p|^2."""
    out[:] = 0
    square = out.dtype.type(0)
    whole = n & ~3
    for e in range(0, whole, 4):
        square += normal_pass(rows, e, 4, width, p, out)
    for e in range(whole, n):
        square += normal_pass(rows, e, 1, width, p, out)
    return square


@jit_kernel
def _add_squares(rows, n, width, out):
    """Add the squares of each column to ``out``, four rows at a time."""
    whole = n & ~3
    for e in range(0, whole, 4):
        add_squares(rows, e, 4, width, out)
    for e in range(whole, n):
        add_squares(rows, e, 1, width, out)


@jit_kernel
def _cg_line(rows, n, width, d, damping, x, work, steps):
    """Take ``steps`` Jacobi-preconditioned steps from ``x``; return the objective."""
    r, z, p, q, diagonal = work[0], work[1], work[2], work[3], work[4]
    tiny = np.finfo(x.dtype).tiny
    eps = np.finfo(x.dtype).eps
    # The target is the last column: with p = (-x, 1) one pass gives F^T (t - F x).
    p[:] = 0
    p[d] = 1
    diagonal[:] = 0
    for c in range(d):
        p[c] = -x[c]
        diagonal[c] = damping[c]
    _add_squares(rows, n, width, diagonal)
    loss = _apply(rows, n, width, p, r)
    p[d] = 0
    rz = x.dtype.type(0)
    for c in range(d):
        loss += damping[c] * x[c] * x[c]
        diagonal[c] = 1 / max(diagonal[c], tiny)
        r[c] -= damping[c] * x[c]
        p[c] = r[c] * diagonal[c]
        rz += r[c] * p[c]
    small = eps * eps * rz
    for _ in range(steps):
        _apply(rows, n, width, p, q)
        curvature = x.dtype.type(0)
        for c in range(d):
            q[c] += damping[c] * p[c]
            curvature += p[c] * q[c]
        if not (curvature > tiny and rz > small):
            break
        step = rz / curvature
        loss -= step * rz
        new = x.dtype.type(0)
        for c in range(d):
            x[c] += step * p[c]
            r[c] -= step * q[c]
            z[c] = r[c] * diagonal[c]
            new += r[c] * z[c]
        beta = new / rz
        rz = new
        for c in range(d):
            p[c] = z[c] + beta * p[c]
    return loss


@jit_kernel
def _by_cg(
    bounds, indptr, indices, values, weights, other, shifts, ridge, bias_ridge, k, d,
    steps, start, out, out_loss, lo, hi,
):  # fmt: skip
    """Conjugate gradient steps of some blocks of lines."""
    width = padded_width(d)
    longest = 0
    for i in range(bounds[lo], bounds[hi]):
        longest = max(longest, indptr[i + 1] - indptr[i])
    rows = np.zeros(longest * width, other.dtype)
    work = np.empty((5, width), other.dtype)
    damping = np.empty(d, other.dtype)
    x = np.empty(d, other.dtype)
    for i in range(bounds[lo], bounds[hi]):
        n = indptr[i + 1] - indptr[i]
        if n == 0:
            continue
        gather(
            other, shifts, indices, values, weights, indptr[i], n, width, k, d, rows,
            AHEAD,
        )  # fmt: skip
        _damping(ridge[i], bias_ridge[i], k, d, damping)
        for c in range(d):
            x[c] = start[i, c]
        out_loss[i] = _cg_line(rows, n, width, d, damping, x, work, steps)
        for c in range(d):
            out[i, c] = x[c]


def _run(
    body, indptr, indices, values, weights, other, ridge, bias_ridge, with_bias,
    extra, *, per_line, work,
):  # fmt: skip
    """Run a body over blocks of lines of equal work."""
    columns = other.shape[1]
    lines = indptr.shape[0] - 1
    k = columns - 1
    d = k + 1 if with_bias else k
    out = np.zeros((lines, columns), other.dtype)
    loss = np.zeros(lines)
    if lines == 0:
        return out, loss
    bounds = balanced_blocks(indptr, per_line)
    run_blocks(
        body,
        bounds.shape[0] - 1,
        (
            bounds, indptr, indices, values, weights, *packed_factors(other), ridge,
            bias_ridge, k, d, *extra, out, loss,
        ),
        work=work,
    )  # fmt: skip
    return out, loss


def ridge_lines(indptr, indices, values, weights, other, ridge, bias_ridge, with_bias):
    """One ridge regression a line, by Cholesky factorisation."""
    d = other.shape[1] if with_bias else other.shape[1] - 1
    floor = other.dtype.type(FLOOR_EPS * np.finfo(other.dtype).eps / d)
    return _run(
        _exact, indptr, indices, values, weights, other, ridge, bias_ridge,
        with_bias, (floor,), per_line=max(1, d // 3),
        work=indices.shape[0] * d * d // 16 + indptr.shape[0] * d**3 // 24,
    )  # fmt: skip


def cg_lines(
    indptr, indices, values, weights, other, ridge, bias_ridge, start, with_bias,
    steps,
):  # fmt: skip
    """Some steps of conjugate gradients for each line."""
    return _run(
        _by_cg, indptr, indices, values, weights, other, ridge, bias_ridge,
        with_bias, (steps, start), per_line=8,
        work=indices.shape[0] * other.shape[1] * (steps + 2) // 2,
    )  # fmt: skip
