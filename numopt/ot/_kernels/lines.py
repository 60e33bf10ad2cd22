# SPDX-License-Identifier: BSD-3-Clause
"""Transforms along the lines of a grid, from which separable costs are built.

A line has n equidistant points; the cost between two of them, divided by eps, is
``unit |i - j|^power``. Inputs hold lines as rows, (lines, n); outputs hold them as
columns, (n, lines), so that d transforms of a d-dimensional grid visit every axis
once and end in its original order. Empty points have the logarithm LOG_ZERO.
"""

from numopt._array.linalg import logsumexp
from numopt._array.namespace import array_namespace, device
from numopt._kernels.dispatch import kernel

__all__ = [
    "line_average",
    "line_distance",
    "line_logsum",
    "line_products",
    "line_weights",
]

_CPU = "numopt.ot._kernels_cpu.lines"


@kernel(numpy=f"{_CPU}:line_logsum")
def line_logsum(X, unit, power):
    """S_il = log sum_j exp(X_lj - unit |i - j|^power)."""
    xp = array_namespace(X)
    rows = [logsumexp(X - cost, axis=1) for cost in _line_costs(X, unit, power)]
    return xp.stack(rows, axis=0)


@kernel(numpy=f"{_CPU}:line_average")
def line_average(X, S, Y, unit, power):
    """Weighted means sum_j exp(X_lj - unit |i - j|^power - S_il) Y_lj."""
    xp = array_namespace(X)
    costs = _line_costs(X, unit, power)
    rows = [
        xp.sum(xp.exp(X - cost - S[i, :][:, None]) * Y, axis=1)
        for i, cost in enumerate(costs)
    ]
    return xp.stack(rows, axis=0)


@kernel(numpy=f"{_CPU}:line_distance")
def line_distance(X, S, unit):
    """Mean distances sum_j exp(X_lj - unit |i - j| - S_il) unit |i - j|."""
    xp = array_namespace(X)
    rows = [
        xp.sum(xp.exp(X - cost - S[i, :][:, None]) * cost, axis=1)
        for i, cost in enumerate(_line_costs(X, unit, 1))
    ]
    return xp.stack(rows, axis=0)


@kernel(numpy=f"{_CPU}:line_weights")
def line_weights(X, S, unit, power, single):
    """W_lij = exp(X_lj - unit |i - j|^power - S_il), in float32 if ``single``."""
    xp = array_namespace(X)
    costs = _line_costs(X, unit, power)
    rows = [xp.exp(X - cost - S[i, :][:, None]) for i, cost in enumerate(costs)]
    weights = xp.stack(rows, axis=1)
    return xp.astype(weights, xp.float32) if single else weights


@kernel(numpy=f"{_CPU}:line_products")
def line_products(W, Y):
    """sum_j W_lij Y_lj, in the precision of W."""
    xp = array_namespace(W)
    products = (W @ xp.astype(Y, W.dtype)[:, :, None])[:, :, 0]
    return xp.astype(xp.matrix_transpose(products), Y.dtype)


def _line_costs(X, unit, power):
    """Costs from every point of the line to all others, one (1, n) array each."""
    xp = array_namespace(X)
    index = xp.arange(X.shape[1], dtype=X.dtype, device=device(X))[None, :]
    return (unit * xp.abs(index - float(i)) ** power for i in range(X.shape[1]))


def _example(rng, dtype, size):
    """Lines with an empty point, and values on them."""
    n = 37
    X = (4.0 * rng.standard_normal((size, n))).astype(dtype)
    X[:, 5] = -1e30
    return X, rng.standard_normal((size, n)).astype(dtype)


@line_logsum.example
def _(rng, dtype, size):
    return _example(rng, dtype, size)[0], 0.05, 2


@line_average.example
def _(rng, dtype, size):
    X, Y = _example(rng, dtype, size)
    return X, line_logsum(X, 0.05, 2), Y, 0.05, 2


@line_distance.example
def _(rng, dtype, size):
    X, _ = _example(rng, dtype, size)
    return X, line_logsum(X, 0.5, 1), 0.5


@line_weights.example
def _(rng, dtype, size):
    X, _ = _example(rng, dtype, size)
    return X, line_logsum(X, 0.05, 2), 0.05, 2, False


@line_products.example
def _(rng, dtype, size):
    X, Y = _example(rng, dtype, size)
    return line_weights(X, line_logsum(X, 0.05, 2), 0.05, 2, False), Y
