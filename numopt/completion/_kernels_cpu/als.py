# SPDX-License-Identifier: BSD-3-Clause
"""Half sweeps of alternating ridge regressions in register tiles."""

import numpy as np

from numopt._kernels.jit import jit_kernel
from numopt._kernels.threads import run_blocks
from numopt.completion._kernels_cpu.vector import axpy, copy, gram_tile, padded

__all__ = [
    "balanced_blocks",
    "line_sums",
    "nonnegative_lines",
    "predict_entries",
    "ridge_lines",
]

#: Numbers gathered at a time: they stay in the first-level cache.
CHUNK = 6144

#: As in the definition: keeps a singular system definite.
FLOOR_EPS = 10.0


def balanced_blocks(indptr, per_line):
    """Cut the lines into blocks of equal work; depends on the pattern only."""
    lines = indptr.shape[0] - 1
    blocks = int(max(1, min(64, lines)))
    work = indptr + per_line * np.arange(lines + 1)
    cuts = np.searchsorted(work, work[-1] * np.arange(1, blocks) / blocks)
    return np.concatenate([[0], cuts, [lines]]).astype(np.int64)


@jit_kernel
def gram(rows, n, width, out):
    """Add the upper block triangle of rows^T rows to ``out``."""
    for i in range(0, width, 8):
        j = i
        while j + 16 <= width:
            gram_tile(rows, n, width, i, j, out, 16)
            j += 16
        if j < width:
            gram_tile(rows, n, width, i, j, out, 8)


@jit_kernel
def gather(other, indices, values, weights, at, n, width, k, d, rows):
    """Rows (f_j, t) of ``n`` entries from position ``at``, times sqrt(weight)."""
    for e in range(n):
        base = e * width
        copy(rows, base, other, indices[at + e] * width, width)
        target = values[at + e] - rows[base + k]
        # Without a bias of this side d == k: the target takes the bias's place.
        rows[base + k] = 1
        rows[base + d] = target
        if weights.shape[0]:
            root = np.sqrt(weights[at + e])
            for c in range(d + 1):
                rows[base + c] *= root


@jit_kernel
def solve_in_place(G, width, d, out):
    """Eliminate the augmented upper triangle G (d + 1 lines); return the minimum.

    Column d holds the right-hand side and G[d, d] the squared target; after the
    elimination G[d, d] is the attained minimum. ``out`` (d,) is the solution.
    """
    for p in range(d):
        inverse = 1 / G[p * width + p]
        for i in range(p + 1, d + 1):
            start = i & ~7
            axpy(
                G,
                i * width + start,
                -G[p * width + i] * inverse,
                G,
                p * width + start,
                width - start,
            )
    for p in range(d - 1, -1, -1):
        total = G[p * width + d]
        for j in range(p + 1, d):
            total -= G[p * width + j] * out[j]
        out[p] = total / G[p * width + p]
    return G[d * width + d]


@jit_kernel
def _exact(
    bounds, indptr, indices, values, weights, other, ridge, bias_ridge, k, d,
    floor, out, out_loss, lo, hi,
):  # fmt: skip
    width = padded_width(d)
    chunk = max(32, CHUNK // width)
    rows = np.empty(chunk * width, other.dtype)
    G = np.empty(width * width, other.dtype)
    x = np.empty(d, other.dtype)
    for i in range(bounds[lo], bounds[hi]):
        begin, end = indptr[i], indptr[i + 1]
        if begin == end:
            continue
        G[:] = 0
        at = begin
        while at < end:
            n = min(chunk, end - at)
            gather(other, indices, values, weights, at, n, width, k, d, rows)
            gram(rows, n, width, G)
            at += n
        level = G.dtype.type(0)
        for c in range(d):
            G[c * width + c] += ridge[i] if c < k else bias_ridge[i]
            level += G[c * width + c]
        level *= floor
        for c in range(d):
            G[c * width + c] += level
        out_loss[i] = solve_in_place(G, width, d, x)
        for c in range(d):
            out[i, c] = x[c]


@jit_kernel
def padded_width(d):
    """Columns of a gathered row: features, target, zeros up to a multiple of eight."""
    return (d + 8) & ~7


@jit_kernel
def _apply(rows, n, width, d, p, out):
    """Out = rows^T rows p, four rows at a time; the target column is left out."""
    for c in range(width):
        out[c] = 0
    e = 0
    while e + 4 <= n:
        b0 = e * width
        b1, b2, b3 = b0 + width, b0 + 2 * width, b0 + 3 * width
        s0 = s1 = s2 = s3 = out.dtype.type(0)
        for c in range(d):
            s0 += rows[b0 + c] * p[c]
            s1 += rows[b1 + c] * p[c]
            s2 += rows[b2 + c] * p[c]
            s3 += rows[b3 + c] * p[c]
        for c in range(d):
            out[c] += (
                s0 * rows[b0 + c]
                + s1 * rows[b1 + c]
                + s2 * rows[b2 + c]
                + s3 * rows[b3 + c]
            )
        e += 4
    while e < n:
        b0 = e * width
        s0 = out.dtype.type(0)
        for c in range(d):
            s0 += rows[b0 + c] * p[c]
        for c in range(d):
            out[c] += s0 * rows[b0 + c]
        e += 1


@jit_kernel
def _cg_line(rows, n, width, d, damping, x, work, steps):
    """Take ``steps`` Jacobi-preconditioned steps from ``x``."""
    r, z, p, q, diagonal = work[0], work[1], work[2], work[3], work[4]
    tiny = np.finfo(x.dtype).tiny
    eps = np.finfo(x.dtype).eps
    for c in range(d):
        diagonal[c] = damping[c]
        r[c] = 0
    for e in range(n):
        base = e * width
        t = rows[base + d]
        for c in range(d):
            diagonal[c] += rows[base + c] * rows[base + c]
            r[c] += t * rows[base + c]
    _apply(rows, n, width, d, x, q)
    rz = size = x.dtype.type(0)
    for c in range(d):
        diagonal[c] = max(diagonal[c], tiny)
        size += r[c] * r[c] / diagonal[c]
        r[c] -= q[c] + damping[c] * x[c]
        p[c] = r[c] / diagonal[c]
        rz += r[c] * p[c]
    for _ in range(steps):
        _apply(rows, n, width, d, p, q)
        curvature = x.dtype.type(0)
        for c in range(d):
            q[c] += damping[c] * p[c]
            curvature += p[c] * q[c]
        if not (curvature > tiny and rz > eps * eps * size):
            break
        step = rz / curvature
        new = x.dtype.type(0)
        for c in range(d):
            x[c] += step * p[c]
            r[c] -= step * q[c]
            z[c] = r[c] / diagonal[c]
            new += r[c] * z[c]
        beta = new / rz
        rz = new
        for c in range(d):
            p[c] = z[c] + beta * p[c]


@jit_kernel
def _by_cg(
    bounds, indptr, indices, values, weights, other, ridge, bias_ridge, k, d,
    steps, start, out, out_loss, lo, hi,
):  # fmt: skip
    width = padded_width(d)
    longest = 0
    for i in range(bounds[lo], bounds[hi]):
        longest = max(longest, indptr[i + 1] - indptr[i])
    rows = np.empty(longest * width, other.dtype)
    work = np.empty((5, width), other.dtype)
    damping = np.empty(d, other.dtype)
    x = np.empty(d, other.dtype)
    for i in range(bounds[lo], bounds[hi]):
        n = indptr[i + 1] - indptr[i]
        if n == 0:
            continue
        gather(other, indices, values, weights, indptr[i], n, width, k, d, rows)
        for c in range(d):
            damping[c] = ridge[i] if c < k else bias_ridge[i]
            x[c] = start[i, c]
        _cg_line(rows, n, width, d, damping, x, work, steps)
        total = 0.0
        for e in range(n):
            left = rows[e * width + d]
            for c in range(d):
                left -= rows[e * width + c] * x[c]
            total += left * left
        for c in range(d):
            total += damping[c] * x[c] * x[c]
            out[i, c] = x[c]
        out_loss[i] = total


def ridge_lines(
    indptr, indices, values, weights, other, ridge, bias_ridge, start, with_bias,
    cg_steps,
):  # fmt: skip
    """One ridge regression a line, exactly or by conjugate gradients."""
    n, columns = other.shape
    lines = start.shape[0]
    k = columns - 1
    d = k + 1 if with_bias else k
    width = padded(d + 1)
    wide = np.zeros((n, width), other.dtype)
    wide[:, :columns] = other
    out = np.zeros((lines, columns), other.dtype)
    loss = np.zeros(lines)
    if lines == 0:
        return out, loss
    N = indices.shape[0]
    flat = wide.reshape(-1)
    if cg_steps == 0:
        per_line = max(1, d // 3)
        work = N * d * d // 16 + lines * d**3 // 24
        floor = other.dtype.type(FLOOR_EPS * np.finfo(other.dtype).eps / d)
        body, extra = _exact, (floor,)
    else:
        per_line = 8
        work = N * d * (cg_steps + 2) // 2
        body, extra = _by_cg, (cg_steps, start)
    bounds = balanced_blocks(indptr, per_line)
    run_blocks(
        body,
        bounds.shape[0] - 1,
        (
            bounds, indptr, indices, values, weights, flat, ridge, bias_ridge,
            k, d, *extra, out, loss,
        ),
        work=work,
    )  # fmt: skip
    return out, loss


@jit_kernel
def _predict(bounds, indptr, indices, P, Q, out, lo, hi):
    k = P.shape[1] - 1
    for i in range(bounds[lo], bounds[hi]):
        for t in range(indptr[i], indptr[i + 1]):
            j = indices[t]
            total = P[i, k] + Q[j, k]
            for c in range(k):
                total += P[i, c] * Q[j, c]
            out[t] = total


def predict_entries(indptr, indices, P, Q):
    """u_i . v_j + b_i + c_j of the entries."""
    out = np.empty(indices.shape[0], P.dtype)
    if P.shape[0]:
        bounds = balanced_blocks(indptr, 4)
        run_blocks(
            _predict,
            bounds.shape[0] - 1,
            (bounds, indptr, indices, P, Q, out),
            work=indices.shape[0] * P.shape[1],
        )
    return out


@jit_kernel
def _line_sums(bounds, indptr, indices, values, wide, width, out, lo, hi):
    for i in range(bounds[lo], bounds[hi]):
        for t in range(indptr[i], indptr[i + 1]):
            axpy(out, i * width, values[t], wide, indices[t] * width, width)


def line_sums(indptr, indices, values, X):
    """Sum of values times rows of X along each line."""
    lines, k = indptr.shape[0] - 1, X.shape[1]
    width = padded(k)
    wide = np.zeros((X.shape[0], width), X.dtype)
    wide[:, :k] = X
    out = np.zeros((lines, width), X.dtype)
    if lines:
        bounds = balanced_blocks(indptr, 4)
        run_blocks(
            _line_sums,
            bounds.shape[0] - 1,
            (
                bounds, indptr, indices, values, wide.reshape(-1), width,
                out.reshape(-1),
            ),
            work=indices.shape[0] * width // 4,
        )  # fmt: skip
    return np.ascontiguousarray(out[:, :k])


@jit_kernel
def _nonnegative(
    bounds, indptr, indices, values, weights, flat, ridge, k, start, passes,
    out, out_loss, lo, hi,
):  # fmt: skip
    width = padded_width(k)
    chunk = max(32, CHUNK // width)
    rows = np.empty(chunk * width, flat.dtype)
    G = np.empty(width * width, flat.dtype)
    zero = flat.dtype.type(0)
    for i in range(bounds[lo], bounds[hi]):
        if indptr[i] == indptr[i + 1]:
            continue
        G[:] = 0
        at = indptr[i]
        while at < indptr[i + 1]:
            n = min(chunk, indptr[i + 1] - at)
            gather(flat, indices, values, weights, at, n, width, k, k, rows)
            gram(rows, n, width, G)
            at += n
        for a in range(k):
            G[a * width + a] += ridge[i]
            out[i, a] = start[i, a]
            for c in range(a):
                G[a * width + c] = G[c * width + a]
        for _ in range(passes):
            for a in range(k):
                pivot = G[a * width + a]
                left = G[a * width + k] + pivot * out[i, a]
                for c in range(k):
                    left -= G[a * width + c] * out[i, c]
                out[i, a] = max(left, zero) / pivot if pivot > 0 else zero
        total = G[k * width + k]
        for a in range(k):
            left = -2 * G[a * width + k]
            for c in range(k):
                left += G[a * width + c] * out[i, c]
            total += left * out[i, a]
        out_loss[i] = total


def nonnegative_lines(indptr, indices, values, weights, other, ridge, start, passes):
    """Coordinate descent on the Gram matrix of each line."""
    n, columns = other.shape
    k, lines = columns - 1, start.shape[0]
    wide = np.zeros((n, padded(k + 1)), other.dtype)
    wide[:, :columns] = other
    out, loss = np.zeros((lines, columns), other.dtype), np.zeros(lines)
    if lines:
        bounds = balanced_blocks(indptr, k)
        run_blocks(
            _nonnegative,
            bounds.shape[0] - 1,
            (
                bounds, indptr, indices, values, weights, wide.reshape(-1), ridge, k,
                start, passes, out, loss,
            ),
            work=indices.shape[0] * k * k // 16 + lines * passes * k * k,
        )  # fmt: skip
    return out, loss
