# SPDX-License-Identifier: BSD-3-Clause
"""Half sweeps of variational Bayes: definition in array expressions."""

from typing import Any

import numpy as np

from numopt._array.namespace import array_namespace, device
from numopt._kernels.dispatch import kernel
from numopt.completion._kernels.als import (
    _pattern,
    gather_rows,
    padded_lines,
    scatter_rows,
)
from numopt.typing import Array

__all__ = ["posterior_lines"]


@kernel(numpy="numopt.completion._kernels_cpu.bayes:posterior_lines")
def posterior_lines(
    indptr: Array,
    indices: Array,
    values: Array,
    weights: Array,
    mean: Array,
    cov: Array,
    precision: Array,
    noise: float,
    with_bias: bool,
) -> tuple[Array, Array, Array]:
    """Gaussian posterior of x_i = (u_i, b_i) given the posterior of the other side.

    y_ij ~ N(u.v_j + b + c_j, noise / w_ij) with (v_j, c_j) ~ N(mean_j, cov_j), prior
    x ~ N(0, diag(1/precision)): S_i = (diag(precision) + M_i / noise)^-1,
    m_i = S_i h_i / noise with M_i = sum_j w (E[v v'], E v; E v', 1),
    h_i = sum_j w ((y - E c_j) (E v_j, 1) - (Cov(v_j, c_j), 0)). Returns m (lines, d),
    S (lines, d, d) and sum_j w E(y - u.v - b - c)^2 (lines,) in float64.
    """
    xp, where = array_namespace(values), device(values)
    lines_all = indptr.shape[0] - 1
    k = mean.shape[1] - 1
    d = k + 1
    keep = xp.ones((d,), dtype=values.dtype, device=where)
    if not with_bias:
        keep = xp.concat([keep[:k], xp.zeros_like(keep[:1])])
    prior = keep / precision
    factor_only = xp.concat([keep[:k], xp.zeros_like(keep[:1])])
    eye = xp.eye(d, dtype=values.dtype, device=where)
    S = xp.zeros((lines_all, d, d), dtype=values.dtype, device=where) + eye * prior
    m = xp.zeros((lines_all, d), dtype=values.dtype, device=where)
    loss = xp.zeros((lines_all,), dtype=xp.float64, device=where)
    for lines, at, mask in padded_lines(indptr, d * d):
        seen = xp.astype(mask, values.dtype)
        w = seen * gather_rows(weights, at) if weights.shape[0] else seen
        j = gather_rows(indices, at)
        found = gather_rows(mean, j)
        F = xp.concat([found[..., :k], xp.ones_like(found[..., :1])], axis=-1) * keep
        t = gather_rows(values, at) - found[..., k]
        T = xp.sum(gather_rows(cov, j) * w[..., None, None], axis=1)
        FW = F * w[..., None]
        M = xp.matmul(xp.matrix_transpose(FW), F) + T * (
            factor_only[:, None] * factor_only[None, :]
        )
        h = xp.matmul(xp.matrix_transpose(FW), t[..., None])[..., 0]
        h = h - T[:, :, k] * factor_only
        system = M / noise + eye * precision
        cov_lines = xp.linalg.inv(system) * keep[:, None] * keep[None, :]
        mean_lines = xp.matmul(cov_lines, (h / noise)[..., None])[..., 0]
        expected = (
            xp.sum(w * t * t, axis=1)
            + T[:, k, k]
            - 2 * xp.sum(h * mean_lines, axis=1)
            + xp.sum(mean_lines * xp.matmul(M, mean_lines[..., None])[..., 0], axis=1)
            + xp.sum(cov_lines * M, axis=(1, 2))
        )
        S = scatter_rows(S, lines, cov_lines)
        m = scatter_rows(m, lines, mean_lines)
        loss = scatter_rows(loss, lines, xp.astype(expected, xp.float64))
    return m, S, loss


@posterior_lines.example
def _(rng: np.random.Generator, dtype: np.dtype, size: int) -> tuple[Any, ...]:
    n, d = 50, 4
    indptr, indices = _pattern(rng, size, n)
    N = indices.shape[0]
    half = rng.standard_normal((n, d, d)) / 3
    real = [
        rng.standard_normal(N),
        rng.random(N) + 0.1,
        rng.standard_normal((n, d)),
        half @ half.transpose(0, 2, 1),
        rng.random(d) + 0.5,
    ]
    return indptr, indices, *(a.astype(dtype) for a in real), 0.7, True
