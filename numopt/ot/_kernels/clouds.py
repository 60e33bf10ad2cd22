# SPDX-License-Identifier: BSD-3-Clause
"""Passes over the costs between two clouds, computed from coordinates on the way.

A pair of clouds is (X, X_bounds, X_low, X_high, Y, Y_bounds, Y_low, Y_high, metric,
batch): points X (n, d) and Y (d, m) in leaves bounds[I]:bounds[I + 1] with their boxes,
the number of the metric in METRICS, and the rows of a batch for bodies that make
temporaries (0: as many as are cheap). A coupling is (gamma, phi, log_a, log_b, inv_eps,
skip): pairs of leaves whose density P_ij / (a_i b_j), times the larger mass of both
leaves, stays below exp(skip) may be left out.
"""

import numpy as np

from numopt._array.namespace import array_namespace, device
from numopt._kernels.dispatch import kernel, sequential_kernel

__all__ = [
    "METRICS",
    "cloud_apply",
    "cloud_cost",
    "cloud_count",
    "cloud_entries",
    "cloud_gradient",
    "cloud_pass",
    "cloud_product",
    "pair_costs",
]

#: Cosine costs are squared distances of scaled points.
METRICS = ("sqeuclidean", "euclidean", "cityblock")
#: Entries of a temporary, unless a batch is given.
BATCH_ENTRIES = 2**22
#: Up to this dimension squared distances are sums of squared differences.
DIFFERENCES = 3

_CPU = "numopt.ot._kernels_cpu.clouds"
_GPU = "numopt.ot._kernels_gpu.clouds"


@kernel(numpy=f"{_CPU}:cloud_pass", cupy=f"{_GPU}:cloud_pass")
def cloud_pass(*arguments):
    """Row update and column sums: (*pair, *coupling, omega) -> phi, c.

    phi_i <- phi_i + omega (phi*_i - phi_i), phi* exact for gamma; c_j = sum_i P_ij.
    """
    *pair, gamma, phi, log_a, _, inv_eps, _, omega = arguments
    xp = array_namespace(gamma)
    phis, c = [], xp.zeros_like(gamma)
    for rows, costs in _batches(pair):
        z = gamma[None, :] - costs * inv_eps
        top = xp.max(z, axis=1)
        total = xp.sum(xp.exp(z - top[:, None]), axis=1)
        exact = log_a[rows] - top - xp.log(total)
        phis.append(phi[rows] + omega * (exact - phi[rows]))
        c = c + xp.sum(xp.exp(phis[-1][:, None] + z), axis=0)
    return _concat(phis, phi), c


@kernel(numpy=f"{_CPU}:cloud_product", cupy=f"{_GPU}:cloud_product")
def cloud_product(*arguments):
    """P^T diag(weight) P x: (*pair, *coupling, weight, x) -> (m,)."""
    *coupling, weight, x = arguments
    xp = array_namespace(x)
    out = xp.zeros_like(x)
    for rows, P, _ in _plans(coupling):
        out = out + xp.matrix_transpose(P) @ (weight[rows] * (P @ x))
    return out


@kernel(numpy=f"{_CPU}:cloud_apply", cupy=f"{_GPU}:cloud_apply")
def cloud_apply(*arguments):
    """P V: (*pair, *coupling, V) -> (n, k)."""
    *coupling, V = arguments
    return _concat([P @ V for _, P, _ in _plans(coupling)], V)


@kernel(numpy=f"{_CPU}:cloud_cost", cupy=f"{_GPU}:cloud_cost")
def cloud_cost(*coupling):
    """Row costs sum_j P_ij M_ij: (*pair, *coupling) -> (n,)."""
    like = coupling[11]
    xp = array_namespace(like)
    rows = [xp.sum(P * costs, axis=1) for _, P, costs in _plans(coupling)]
    return _concat(rows, like)


@kernel(numpy=f"{_CPU}:cloud_gradient", cupy=f"{_GPU}:cloud_gradient")
def cloud_gradient(*coupling):
    """sum_j P_ij of the gradient of M_ij in x_i: (*pair, *coupling) -> (n, d).

    A distance has gradient 0 where it vanishes, and so has each of its coordinates for
    "cityblock".
    """
    X, Y, metric = coupling[0], coupling[4], METRICS[coupling[8]]
    xp = array_namespace(X)
    out = []
    for rows, P, costs in _plans(coupling):
        if metric == "euclidean":
            P = P / xp.where(costs > 0, costs, xp.ones_like(costs))
        slopes = []
        for k in range(X.shape[1]):
            difference = X[rows, k][:, None] - Y[k, :][None, :]
            if metric == "cityblock":
                difference = xp.sign(difference)
            slopes.append(xp.sum(P * difference, axis=1))
        out.append(xp.stack(slopes, axis=1))
    return (2.0 if metric == "sqeuclidean" else 1.0) * _concat(out, X)


cloud_count = sequential_kernel(
    "cloud_count",
    """Entries with h_j + s_i - M_ij / eps > 0: (*pair, h, s, inv_eps) -> int64.""",
    numpy=f"{_CPU}:cloud_count",
)

cloud_entries = sequential_kernel(
    "cloud_entries",
    """Those entries as a support: (*pair, h, s, inv_eps, count) -> support.""",
    numpy=f"{_CPU}:cloud_entries",
)


def pair_costs(X, Y, metric):
    """All costs between points X (r, d) and Y (d, m)."""
    xp = array_namespace(X)
    dimension = X.shape[1]
    if METRICS[metric] == "sqeuclidean" and dimension > DIFFERENCES:
        squares = xp.sum(X**2, axis=1)[:, None] + xp.sum(Y**2, axis=0)[None, :]
        return squares - 2.0 * (X @ Y)
    costs = xp.zeros((X.shape[0], Y.shape[1]), dtype=X.dtype, device=device(X))
    for k in range(dimension):
        difference = X[:, k][:, None] - Y[k, :][None, :]
        if METRICS[metric] == "cityblock":
            costs = costs + xp.abs(difference)
        else:
            costs = costs + difference**2
    return xp.sqrt(costs) if METRICS[metric] == "euclidean" else costs


def _batches(pair):
    """Yield slices of rows and their costs."""
    X, Y, metric, batch = pair[0], pair[4], pair[8], pair[9]
    size = batch or max(1, BATCH_ENTRIES // max(1, Y.shape[1]))
    for first in range(0, X.shape[0], size):
        rows = slice(first, min(first + size, X.shape[0]))
        yield rows, pair_costs(X[rows, :], Y, metric)


def _plans(coupling):
    """Yield slices of rows, their part of the plan and its costs."""
    *pair, gamma, phi, _, _, inv_eps, _ = coupling
    xp = array_namespace(gamma)
    for rows, costs in _batches(pair):
        S = phi[rows][:, None] + gamma[None, :] - costs * inv_eps
        yield rows, xp.exp(S), costs


def _concat(parts, like):
    """Put batches of rows together; no rows give an empty array."""
    xp = array_namespace(like)
    if parts:
        return xp.concat(parts, axis=0)
    return xp.zeros((0, *like.shape[1:]), dtype=like.dtype, device=device(like))


def _boxes(points, leaf=16):
    """Leaves of consecutive points, and their boxes."""
    n = points.shape[0]
    bounds = np.append(np.arange(0, n, leaf), n).astype(np.int64)
    if n == 0:
        return bounds[:1], points, points
    low = np.minimum.reduceat(points, bounds[:-1], axis=0)
    return bounds, low, np.maximum.reduceat(points, bounds[:-1], axis=0)


def _example(rng, dtype, size, metric, d):
    """A pair of clouds, each sorted along an axis so that leaves mean something."""
    m = size // 2 + 1
    X, Y = (np.sort(rng.random((k, d)), axis=0).astype(dtype) for k in (size, m))
    pair = (X, *_boxes(X), np.ascontiguousarray(Y.T), *_boxes(Y), metric, 0)
    log_a, log_b = (np.log(rng.random(k) + 0.1).astype(dtype) for k in (size, m))
    gamma, phi = (rng.standard_normal(k).astype(dtype) for k in (m, size))
    return pair, (gamma, phi, log_a, log_b, 2.0, -40.0)


@cloud_pass.example
def _(rng, dtype, size):
    pair, coupling = _example(rng, dtype, size, 0, 2)
    return *pair, *coupling, 1.5


@cloud_product.example
def _(rng, dtype, size):
    pair, coupling = _example(rng, dtype, size, 0, 11)
    return *pair, *coupling, np.exp(coupling[1]), coupling[0]


@cloud_apply.example
def _(rng, dtype, size):
    pair, coupling = _example(rng, dtype, size, 0, 3)
    return *pair, *coupling, rng.random((coupling[0].size, 3)).astype(dtype)


@cloud_cost.example
def _(rng, dtype, size):
    pair, coupling = _example(rng, dtype, size, 1, 3)
    return *pair, *coupling


@cloud_gradient.example
def _(rng, dtype, size):
    pair, coupling = _example(rng, dtype, size, 2, 5)
    return *pair, *coupling


@cloud_count.example
def _(rng, _, size):
    pair, (gamma, phi, *_) = _example(rng, np.float64, size, 1, 2)
    return *pair, gamma, phi, 2.0


@cloud_entries.example
def _(rng, _, size):
    pair, (gamma, phi, *_) = _example(rng, np.float64, size, 1, 2)
    entries = gamma + phi[:, None] - 2.0 * pair_costs(pair[0], pair[4], 1) > 0
    return *pair, gamma, phi, 2.0, np.sum(entries, axis=1, dtype=np.int64)
