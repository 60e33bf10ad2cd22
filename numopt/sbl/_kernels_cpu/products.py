# SPDX-License-Identifier: BSD-3-Clause
"""Sums over columns and products of a few columns with all."""

import numpy as np

from numopt._kernels.jit import jit_kernel

__all__ = ["MADE", "WIDTH", "column_moments", "gram_rows", "multiply", "square"]

# A column whose centred energy is below this part of its raw energy is constant.
ROUNDING = 1e-24

# So many columns at once keep the sums of a product in the nearest cache.
WIDTH = 512

# The entry of `work_made` (int64).
MADE = 0


@jit_kernel
def square(z):
    """``|z|^2``."""
    return z.real * z.real + z.imag * z.imag


@jit_kernel
def _sums(A, t, shift):
    """Column sums of ``A - shift``, of its squares and of its products with t."""
    n, p = A.shape
    first, second, cross = np.zeros(p), np.zeros(p), np.zeros(p)
    whole = n - n % 4
    # Four rows a pass: loads and stores of the sums would bind otherwise.
    for i in range(0, whole, 4):
        t0, t1, t2, t3 = t[i], t[i + 1], t[i + 2], t[i + 3]
        for j in range(p):
            s = shift[j]
            a, b, c, d = A[i, j] - s, A[i + 1, j] - s, A[i + 2, j] - s, A[i + 3, j] - s
            first[j] += (a + b) + (c + d)
            second[j] += (a * a + b * b) + (c * c + d * d)
            cross[j] += (a * t0 + b * t1) + (c * t2 + d * t3)
    for i in range(whole, n):
        t0 = t[i]
        for j in range(p):
            a = A[i, j] - shift[j]
            first[j] += a
            second[j] += a * a
            cross[j] += a * t0
    return first, second, cross


@jit_kernel
def column_moments(A, y, centre):
    """Means, energies and products with y (or none) of centred columns, in one pass.

    The last answer holds mean and energy of y, the largest ratio of what centring takes
    away to what it leaves, and a number that is finite when all entries are.
    """
    n, p = A.shape
    shift, t, origin = np.zeros(p), np.zeros(n), 0.0
    if y.size:
        t[:] = y
    if centre:
        shift[:] = A[0]
        origin += t[0]
        t -= origin
    mean, energy, product = _sums(A, t, shift)
    first, second, lost = np.sum(t), np.sum(t * t), 0.0
    total = second + np.sum(energy)
    if not centre:
        return np.zeros(p), energy, product, (0.0, second, lost, total)
    for j in range(p):
        m = mean[j] / n
        mean[j] = shift[j] + m
        product[j] -= m * first
        taken = n * max(mean[j] ** 2, m * m)
        energy[j] -= n * m * m
        if energy[j] <= ROUNDING * taken:
            energy[j] = product[j] = 0.0
        lost = max(lost, taken / energy[j] if taken > 0 else 0.0)
    m = first / n
    taken = n * max((origin + m) ** 2, m * m)
    first, second = origin + m, second - n * m * m
    lost = max(lost, taken / second if taken > 0 else 0.0)
    return mean, energy, product, (first, second, lost, total)


@jit_kernel
def multiply(T, A, lo, hi, out, lower):
    """Columns lo to hi of ``T A`` for real T, whose sizes are multiples of four.

    T has columns of zeros for the rows that A lacks; a lower triangle is as good as
    whole. BLAS packs A first, which takes longer than a few rows of the product. LLVM
    sees that slices of rows do not overlap.
    """
    width, last = hi - lo, A.shape[0] - 1
    for k in range(0, T.shape[0], 4):
        t0, t1, t2, t3 = T[k], T[k + 1], T[k + 2], T[k + 3]
        o0, o1, o2, o3 = out[k], out[k + 1], out[k + 2], out[k + 3]
        for j in range(width):
            o0[j] = o1[j] = o2[j] = o3[j] = 0.0
        for i in range(0, min(last + 1, k + 4) if lower else last + 1, 4):
            a0, a1 = A[i, lo:hi], A[min(i + 1, last), lo:hi]
            a2, a3 = A[min(i + 2, last), lo:hi], A[min(i + 3, last), lo:hi]
            c0, c1, c2, c3 = t0[i], t0[i + 1], t0[i + 2], t0[i + 3]
            d0, d1, d2, d3 = t1[i], t1[i + 1], t1[i + 2], t1[i + 3]
            e0, e1, e2, e3 = t2[i], t2[i + 1], t2[i + 2], t2[i + 3]
            f0, f1, f2, f3 = t3[i], t3[i + 1], t3[i + 2], t3[i + 3]
            for j in range(width):
                w, x, y, z = a0[j], a1[j], a2[j], a3[j]
                o0[j] += (c0 * w + c1 * x) + (c2 * y + c3 * z)
                o1[j] += (d0 * w + d1 * x) + (d2 * y + d3 * z)
                o2[j] += (e0 * w + e1 * x) + (e2 * y + e3 * z)
                o3[j] += (f0 * w + f1 * x) + (f2 * y + f3 * z)


@jit_kernel
def gram_rows(A, mean, d, chosen, work_G, work_slot, work_made):
    """Append the rows of some atoms; centred columns have the same products with all.

    ``mean`` holds what the columns of A are above their centred selves, ``d`` scales
    columns.
    """
    first, k, (n, p) = work_made[MADE], chosen.size, A.shape
    columns = np.zeros((k + -k % 4, n + -n % 4), A.dtype)
    for r in range(n):
        for i in range(k):
            j = chosen[i]
            columns[i, r] = (A[r, j].conjugate() - mean[j]) * d[j]
    if np.iscomplexobj(A):
        work_G[first : first + k] = np.dot(columns[:k, :n].copy(), A)
    else:
        tile = np.empty((columns.shape[0], WIDTH), A.dtype)
        for lo in range(0, p, WIDTH):
            hi = min(lo + WIDTH, p)
            multiply(columns, A, lo, hi, tile, False)
            work_G[first : first + k, lo:hi] = tile[:k, : hi - lo]
    for i in range(k):
        for j in range(p):
            work_G[first + i, j] *= d[j]
        work_slot[chosen[i]] = first + i
    work_made[MADE] = first + k
