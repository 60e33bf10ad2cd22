# SPDX-License-Identifier: BSD-3-Clause
"""Passes over a dense cost; every body reads it once.

Costs may be +inf (no mass there); every row has a finite cost.
"""

import numpy as np

from numopt._array.namespace import array_namespace
from numopt._kernels.dispatch import kernel

__all__ = [
    "fused_pass",
    "gibbs_plan",
    "normal_product",
    "relaxed_pass",
    "scaling_sweep",
    "soft_average",
    "transport_cost",
]

_CPU = "numopt.ot._kernels_cpu.dense"
_GPU = "numopt.ot._kernels_gpu.dense"


@kernel(numpy=f"{_CPU}:fused_pass", cupy=f"{_GPU}:fused_pass")
def fused_pass(M, gamma, phi, log_a, inv_eps):
    """Row update and column sums: a full Sinkhorn iteration in one read of M.

    phi_i = log a_i - log sum_j exp(gamma_j - M_ij / eps);  c_j = sum_i exp(S_ij).
    The phi given is where the row maximum is expected: it steers the arithmetic only.
    """
    xp = array_namespace(M)
    z = gamma[None, :] - M * inv_eps
    top = xp.max(z, axis=1, keepdims=True)
    e = xp.exp(z - top)
    total = xp.sum(e, axis=1)
    new_phi = log_a - top[:, 0] - xp.log(total)
    return new_phi, xp.sum(e * (xp.exp(log_a) / total)[:, None], axis=0)


@kernel(numpy=f"{_CPU}:relaxed_pass")
def relaxed_pass(M, gamma, phi, log_a, inv_eps, omega):
    """Over-relaxed row update and the column sums it leads to.

    phi_i <- phi_i + omega (phi*_i - phi_i) with the exact phi* of ``fused_pass``.
    """
    xp = array_namespace(M)
    z = gamma[None, :] - M * inv_eps
    top = xp.max(z, axis=1, keepdims=True)
    e = xp.exp(z - top)
    total = xp.sum(e, axis=1)
    exact = log_a - top[:, 0] - xp.log(total)
    new_phi = phi + omega * (exact - phi)
    scale = xp.exp(log_a + (new_phi - exact)) / total
    return new_phi, xp.sum(e * scale[:, None], axis=0)


@kernel(numpy=f"{_CPU}:scaling_sweep")
def scaling_sweep(K, v, a):
    """u_i = a_i / sum_j K_ij v_j and c_j = sum_i K_ij u_i, in one read of K."""
    xp = array_namespace(K)
    u = a / (K @ v)
    return u, xp.matrix_transpose(K) @ u


@kernel(numpy=f"{_CPU}:transport_cost")
def transport_cost(phi, gamma, weights, M, inv_eps):
    """Row costs sum_j weight_j exp(S_ij) M_ij, where 0 * inf counts as 0."""
    xp = array_namespace(M)
    plan = xp.exp(phi[:, None] + gamma[None, :] - M * inv_eps)
    cost = xp.where(xp.isfinite(M), M, xp.zeros_like(M))
    return xp.sum(plan * cost * weights[None, :], axis=1)


@kernel(numpy=f"{_CPU}:soft_average")
def soft_average(M, gamma, Y, inv_eps):
    """Weighted means sum_j w_ij Y_j with w_i = softmax_j(gamma_j - M_ij / eps)."""
    xp = array_namespace(M)
    z = gamma[None, :] - M * inv_eps
    e = xp.exp(z - xp.max(z, axis=1, keepdims=True))
    return (e @ Y) / xp.sum(e, axis=1)[:, None]


@kernel(numpy=f"{_CPU}:gibbs_plan")
def gibbs_plan(M, gamma, phi, inv_eps):
    """Dense plan P_ij = exp(S_ij)."""
    xp = array_namespace(M)
    return xp.exp(phi[:, None] + gamma[None, :] - M * inv_eps)


@kernel(numpy=f"{_CPU}:normal_product")
def normal_product(P, inv_a, x):
    """P^T diag(1/a) P x, in one read of P."""
    xp = array_namespace(P)
    return xp.matrix_transpose(P) @ (inv_a * (P @ x))


def _example(rng, dtype, size):
    m = size // 2 + 1
    M = rng.random((size, m)).astype(dtype)
    gamma = rng.standard_normal(m).astype(dtype)
    phi = rng.standard_normal(size).astype(dtype)
    log_a = np.log(rng.random(size) + 0.1).astype(dtype)
    return M, gamma, phi, log_a


@fused_pass.example
def _(rng, dtype, size):
    return *_example(rng, dtype, size), 20.0


@relaxed_pass.example
def _(rng, dtype, size):
    return *_example(rng, dtype, size), 20.0, 1.5


@scaling_sweep.example
def _(rng, dtype, size):
    M, gamma, phi, _ = _example(rng, dtype, size)
    return np.exp(-M), np.exp(gamma), np.exp(phi)


@transport_cost.example
def _(rng, dtype, size):
    M, gamma, phi, _ = _example(rng, dtype, size)
    return phi, gamma, np.exp(gamma), M, 2.0


@soft_average.example
def _(rng, dtype, size):
    M, gamma, _, _ = _example(rng, dtype, size)
    return M, gamma, rng.random((gamma.size, 3)).astype(dtype), 20.0


@gibbs_plan.example
def _(rng, dtype, size):
    M, gamma, phi, _ = _example(rng, dtype, size)
    return M, gamma, phi, 20.0


@normal_product.example
def _(rng, dtype, size):
    M, gamma, phi, _ = _example(rng, dtype, size)
    return M, np.exp(phi), gamma
