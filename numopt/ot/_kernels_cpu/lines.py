# SPDX-License-Identifier: BSD-3-Clause
"""Numba bodies of the transforms along lines; see ``_kernels.lines``.

Squared distances: a line is cut into blocks. Within a block the exponentials are
relative to its largest entry, between two blocks the kernel is relative to its value
at their closest points; what is left is one product a pair of points, with a fixed
matrix. Pairs of blocks whose mass is below rounding are skipped. Entries that this
scaling cannot hold in the range of exp are computed from all points directly, and so
are those of few or very long lines.

Distances: a two-sided recursion (Liao et al. 2022), with a running reference that
keeps every sum between 1 and n.

float32 lines are transformed in float64.
"""

import functools
import math

import numpy as np

from numopt._kernels.jit import jit_kernel
from numopt._kernels.simd import exp, log
from numopt._kernels.threads import run_blocks

#: Points of a block, and lines that are scanned together.
BLOCK, LANES = 16, 8
#: The matrix is stored for lines up to this long, when there are at least so many.
LONGEST, FEWEST = 1024, 4
#: Exponents below -CUT are dropped; sums below SMALL = exp(-LARGEST) are computed
#: anew, as what was dropped could matter there; blocks below exp(-SKIP) of a sum are
#: skipped.
CUT, LARGEST, SKIP = 330.0, 280.0, 45.0
SMALL = math.exp(-LARGEST)
#: Stored weights below exp(-FAINT) are zero.
FAINT = 40.0
#: Reference of an empty sum.
NOTHING = -2e30


@jit_kernel
def _prepare(x, out_top, out_place, out_e):
    """Block maxima, their places, and exponentials relative to them."""
    # Slices instead of offsets: an index that might be negative is not vectorised.
    out_e[x.size :] = 0.0
    for J in range(out_top.size):
        block = x[J * BLOCK : (J + 1) * BLOCK]
        e = out_e[J * BLOCK : (J + 1) * BLOCK]
        top = block[0]
        for j in range(block.size):
            top = max(top, block[j])
        best = 0
        for j in range(block.size):
            best = j if block[j] == top else best
            z = block[j] - top
            e[j] = exp(max(z, -CUT)) if z > -CUT else 0.0
        out_top[J], out_place[J] = top, J * BLOCK + best


@jit_kernel
def _squared_gap(I, J):
    """Square of the least number of steps between points of two blocks."""
    gap = (abs(I - J) - 1) * BLOCK + 1 if I != J else 0
    return float(gap * gap)


@jit_kernel
def _visible(I, top, place, unit):
    """Bounds of the sums of block I: (upper reference, least sum, range of J)."""
    first, last = I * BLOCK, I * BLOCK + BLOCK - 1
    upper = lower = -1e308
    for J in range(top.size):
        far = max(abs(place[J] - first), abs(place[J] - last))
        lower = max(lower, top[J] - unit * float(far * far))
        upper = max(upper, top[J] - unit * _squared_gap(I, J))
    start, stop = top.size, 0
    for J in range(top.size):
        if top[J] - unit * _squared_gap(I, J) >= lower - SKIP:
            start, stop = min(start, J), J + 1
    return upper, lower, start, stop


@jit_kernel
def _block_sums(I, top, e, unit, upper, lower, K, out_w, out_sums):
    """Sums over blocks in range at the points of block I, relative to ``upper``."""
    for J in range(top.size):
        bound = top[J] - unit * _squared_gap(I, J)
        scale = exp(bound - upper) if bound >= lower - SKIP else 0.0
        source, target = e[J * BLOCK :], out_w[J * BLOCK :]
        for j in range(BLOCK):
            target[j] = scale * source[j]
    for i in range(BLOCK):
        out_sums[i] = 0.0
    # Four points a turn: each turn reads and writes the sums once.
    for q in range(out_w.size // 4):
        w0, w1 = out_w[4 * q], out_w[4 * q + 1]
        w2, w3 = out_w[4 * q + 2], out_w[4 * q + 3]
        for i in range(BLOCK):
            out_sums[i] += (K[4 * q, i] * w0 + K[4 * q + 1, i] * w1) + (
                K[4 * q + 2, i] * w2 + K[4 * q + 3, i] * w3
            )


@jit_kernel
def _one_logsum(x, i, unit):
    """Logarithm of a sum, seen from the point i (which may be outside)."""
    top = -1e308
    for j in range(x.size):
        step = float(i - j)
        top = max(top, x[j] - unit * (step * step))
    total = 0.0
    for j in range(x.size):
        step = float(i - j)
        total += exp((x[j] - top) - unit * (step * step))
    return top + log(total)


@jit_kernel
def _one_average(x, s, y, i, unit):
    """Weighted mean, seen from the point i."""
    total = 0.0
    for j in range(x.size):
        step = float(i - j)
        total += exp((x[j] - s) - unit * (step * step)) * y[j]
    return total


@jit_kernel
def _square_logsum(X, K, unit, out, lo, hi):
    n = X.shape[1]
    blocks = (n + BLOCK - 1) // BLOCK
    top, place = np.empty(blocks), np.empty(blocks, np.int64)
    e, w, sums = np.empty(blocks * BLOCK), np.empty(blocks * BLOCK), np.empty(BLOCK)
    for line in range(lo, hi):
        x = X[line]
        _prepare(x, top, place, e)
        for I in range(blocks):
            upper, lower, start, stop = _visible(I, top, place, unit)
            first, last = start * BLOCK, stop * BLOCK
            size = min(BLOCK, n - I * BLOCK)
            if K.size == 0:
                near = x[first:last]
                for i in range(I * BLOCK, I * BLOCK + size):
                    out[i, line] = _one_logsum(near, i - first, unit)
                continue
            part = slice(start, stop)
            _block_sums(
                I - start,
                top[part],
                e[first:last],
                unit,
                upper,
                lower,
                K[I, first:last],
                w[first:last],
                sums,
            )
            target = out[I * BLOCK :, line]
            for i in range(size):
                if sums[i] > SMALL:
                    target[i] = upper + log(sums[i])
                else:
                    target[i] = _one_logsum(x, I * BLOCK + i, unit)


@jit_kernel
def _square_average(X, S, Y, K, unit, out, lo, hi):
    n = X.shape[1]
    blocks = (n + BLOCK - 1) // BLOCK
    top, place = np.empty(blocks), np.empty(blocks, np.int64)
    e, w, sums = np.empty(blocks * BLOCK), np.empty(blocks * BLOCK), np.empty(BLOCK)
    for line in range(lo, hi):
        x, y = X[line], Y[line]
        _prepare(x, top, place, e)
        for j in range(n):
            e[j] *= y[j]
        for I in range(blocks):
            upper, lower, start, stop = _visible(I, top, place, unit)
            first, last = start * BLOCK, stop * BLOCK
            size = min(BLOCK, n - I * BLOCK)
            if K.size == 0:
                near, values = x[first:last], y[first:last]
                for i in range(I * BLOCK, I * BLOCK + size):
                    s = S[i, line]
                    out[i, line] = _one_average(near, s, values, i - first, unit)
                continue
            part = slice(start, stop)
            _block_sums(
                I - start,
                top[part],
                e[first:last],
                unit,
                upper,
                lower,
                K[I, first:last],
                w[first:last],
                sums,
            )
            target, scale = out[I * BLOCK :, line], S[I * BLOCK :, line]
            for i in range(size):
                if upper - scale[i] < LARGEST:
                    target[i] = sums[i] * exp(upper - scale[i])
                else:
                    i_line = I * BLOCK + i
                    target[i] = _one_average(x, scale[i], y, i_line, unit)


@jit_kernel
def _load(X, line, width, column, out_work):
    """Put a few lines side by side, at their points 1 to n."""
    for k in range(width):
        row = X[line + k]
        for i in range(row.size):
            out_work[i + 1, column + k] = row[i]


@jit_kernel
def _scan(W, unit, drift, column, step):
    """Sums over one side of every point, itself included, with their references.

    Reads x and y from the columns 0 and 1 of W (each is LANES wide) and writes sum,
    reference and weighted sum of y to those from ``column`` on. The reference is the
    largest exponent met, so that sums stay between 1 and n. With ``drift`` y is
    the distance itself, which grows by it at every step.
    """
    n = W.shape[0] - 2
    state = np.zeros(3 * LANES)
    state[LANES : 2 * LANES] = NOTHING
    for k in range(3 * LANES):
        W[0, column * LANES + k] = W[n + 1, column * LANES + k] = state[k]
    for q in range(n):
        row = W[q + 1] if step > 0 else W[n - q]
        for k in range(LANES):
            total, moment = state[k], state[2 * LANES + k]
            moment += drift * total
            x, y, down = row[k], row[LANES + k], state[LANES + k] - unit
            decay = exp(-abs(x - down))
            old, new = (decay, 1.0) if x > down else (1.0, decay)
            state[k] = total * old + new
            state[LANES + k] = max(x, down)
            state[2 * LANES + k] = moment * old + y * new
        target = row[column * LANES :]
        for k in range(3 * LANES):
            target[k] = state[k]


@jit_kernel
def _distance_logsum(X, unit, out, lo, hi):
    n = X.shape[1]
    W = np.zeros((n + 2, 8 * LANES))
    for line in range(lo, hi, LANES):
        width = min(LANES, hi - line)
        _load(X, line, width, 0, W)
        _scan(W, unit, 0.0, 2, 1)
        _scan(W, unit, 0.0, 5, -1)
        for i in range(n):
            left, right = W[i + 1], W[i + 2]
            for k in range(LANES):
                near = left[3 * LANES + k]
                far = right[6 * LANES + k] - unit
                decay = exp(-abs(near - far))
                one, other = (1.0, decay) if near > far else (decay, 1.0)
                total = left[2 * LANES + k] * one + right[5 * LANES + k] * other
                left[k] = max(near, far) + log(total)
            for k in range(width):
                out[i, line + k] = left[k]


@jit_kernel
def _distance_average(X, S, Y, drift, unit, out, lo, hi):
    n = X.shape[1]
    W = np.zeros((n + 2, 8 * LANES))
    s = np.zeros(LANES)
    for line in range(lo, hi, LANES):
        width = min(LANES, hi - line)
        _load(X, line, width, 0, W)
        _load(Y, line, width, LANES, W)
        _scan(W, unit, drift, 2, 1)
        _scan(W, unit, drift, 5, -1)
        for i in range(n):
            left, right = W[i + 1], W[i + 2]
            for k in range(width):
                s[k] = S[i, line + k]
            for k in range(LANES):
                near = left[3 * LANES + k]
                far = right[6 * LANES + k] - unit
                moment = right[7 * LANES + k] + drift * right[5 * LANES + k]
                one, other = exp(min(near - s[k], 0.0)), exp(min(far - s[k], 0.0))
                left[k] = left[4 * LANES + k] * one + moment * other
            for k in range(width):
                out[i, line + k] = left[k]


@jit_kernel
def _line_weights(X, S, cost, out, lo, hi):
    n = X.shape[1]
    for line in range(lo, hi):
        x = X[line]
        for i in range(n):
            row, near, s = out[line, i], cost[n - 1 - i :], S[i, line]
            for j in range(n):
                # Nothing below rounding: its products would be denormal, and slow.
                z = x[j] - near[j] - s
                weight = exp(out.dtype.type(max(z, -FAINT)))
                row[j] = weight if z > -FAINT else out.dtype.type(0.0)


@jit_kernel
def _line_products(W, Y, out, lo, hi):
    n = Y.shape[1]
    y = np.empty(n, W.dtype)
    for line in range(lo, hi):
        source = Y[line]
        for j in range(n):
            y[j] = source[j]
        # Two points a turn share the reads of y.
        for i in range(0, n - 1, 2):
            row, other = W[line, i], W[line, i + 1]
            total = second = W.dtype.type(0)
            for j in range(n):
                total += row[j] * y[j]
                second += other[j] * y[j]
            out[i, line], out[i + 1, line] = total, second
        if n % 2:
            row = W[line, n - 1]
            total = W.dtype.type(0)
            for j in range(n):
                total += row[j] * y[j]
            out[n - 1, line] = total


@functools.lru_cache(maxsize=4)
def _matrix(n, unit):
    """Kernel K[I, j, i] from point j to point i of block I, in blocks.

    It is relative to the kernel between the closest points of the blocks.
    """
    blocks = -(-n // BLOCK)
    j, i = np.arange(blocks * BLOCK)[:, None], np.arange(BLOCK)
    tiles = np.empty((blocks, blocks * BLOCK, BLOCK))
    for I in range(blocks):
        between = abs(I - j // BLOCK)
        gap = np.where(between > 0, (between - 1) * BLOCK + 1, 0)
        exponent = unit * ((I * BLOCK + i - j) ** 2 - gap**2).astype(np.float64)
        tiles[I] = np.where(exponent < CUT, np.exp(-np.minimum(exponent, CUT)), 0.0)
    return tiles


def _run(bodies, arrays, unit, power):
    """Transform float64 lines; the answer has the dtype of the input."""
    lines, n = arrays[0].shape
    dtype = arrays[0].dtype
    arrays = [np.ascontiguousarray(x, dtype=np.float64) for x in arrays]
    out = np.empty((n, lines))
    unit = float(unit)
    if power == 1:
        run_blocks(bodies[1], lines, (*arrays, unit, out), 8 * n * lines)
    else:
        stored = n <= LONGEST and lines >= FEWEST
        K = _matrix(n, unit) if stored else np.empty((0, 0, 0))
        run_blocks(bodies[2], lines, (*arrays, K, unit, out), n * n * lines // 8)
    return out.astype(dtype, copy=False)


def line_logsum(X, unit, power):
    """Logarithms of sums of exponentials."""
    return _run({1: _distance_logsum, 2: _square_logsum}, (X,), unit, power)


def line_average(X, S, Y, unit, power):
    """Weighted means."""
    return _run({1: _average_only, 2: _square_average}, (X, S, Y), unit, power)


def line_distance(X, S, unit):
    """Mean distances."""
    return _run({1: _distance_only}, (X, S, np.zeros_like(X)), unit, 1)


def _average_only(X, S, Y, unit, out, lo, hi):
    _distance_average(X, S, Y, 0.0, unit, out, lo, hi)


def _distance_only(X, S, zero, unit, out, lo, hi):
    _distance_average(X, S, zero, unit, unit, out, lo, hi)


def line_weights(X, S, unit, power, single):
    """Normalised weights of every line."""
    dtype = np.float32 if single else X.dtype
    lines, n = X.shape
    X, S = (np.ascontiguousarray(x, dtype=np.float64) for x in (X, S))
    # Entry n - 1 + d is the cost of d steps.
    cost = float(unit) * abs(np.arange(1 - n, n)).astype(np.float64) ** power
    out = np.empty((lines, n, n), dtype)
    run_blocks(_line_weights, lines, (X, S, cost, out), n * n * lines // 2)
    return out


def line_products(W, Y):
    """Products of every line with its weights."""
    lines, n = Y.shape
    out = np.empty((n, lines), Y.dtype)
    args = (W, np.ascontiguousarray(Y), out)
    run_blocks(_line_products, lines, args, n * n * lines // 8)
    return out
