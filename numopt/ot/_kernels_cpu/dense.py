# SPDX-License-Identifier: BSD-3-Clause
"""Numba bodies of the passes over a dense cost; see ``_kernels`` for the formulas."""

import numpy as np

from numopt._kernels.jit import jit_finite, jit_kernel
from numopt._kernels.simd import exp, log
from numopt._kernels.threads import reduce_blocks, run_blocks

#: Least exponent kept (products of denormals are slow), and the range of row sums
#: outside which a row is computed anew from its true maximum.
SAFE_SUMS = {
    np.dtype(np.float64): (-500.0, 1e-150, 1e200),
    np.dtype(np.float32): (-60.0, 1e-15, 1e25),
}


# +inf costs give -inf exponents, which exp clamps to zero mass: infinities keep their
# meaning here, so the flags for finite input are not used.
@jit_kernel
def exponentials(row, gamma, inv_eps, shift, least, low, high, out_work):
    """Write e_j = exp(gamma_j - M_j / eps + shift); return a safe (shift, sum)."""
    total = gamma.dtype.type(0)
    for j in range(gamma.size):
        e = exp(max((gamma[j] + shift) - row[j] * inv_eps, least))
        out_work[j] = e
        total += e
    if not (low < total < high):
        top = gamma[0] - row[0] * inv_eps
        for j in range(gamma.size):
            top = max(top, gamma[j] - row[j] * inv_eps)
        shift = -top
        total = gamma.dtype.type(0)
        for j in range(gamma.size):
            e = exp(max((gamma[j] + shift) - row[j] * inv_eps, least))
            out_work[j] = e
            total += e
    return shift, total


@jit_kernel
def _fused_pass(
    M, gamma, phi, log_a, inv_eps, least, low, high, out_phi, part, lo, hi, block
):
    c = part[block]
    work = np.empty(gamma.size, gamma.dtype)
    for i in range(lo, hi):
        shift, total = exponentials(
            M[i], gamma, inv_eps, phi[i], least, low, high, work
        )
        out_phi[i] = log_a[i] + shift - log(total)
        scale = exp(log_a[i]) / total
        for j in range(gamma.size):
            c[j] += work[j] * scale


@jit_kernel
def _relaxed_pass(
    M, gamma, phi, log_a, inv_eps, omega, least, low, high, out_phi, part, lo, hi, block
):
    c = part[block]
    work = np.empty(gamma.size, gamma.dtype)
    for i in range(lo, hi):
        shift, total = exponentials(
            M[i], gamma, inv_eps, phi[i], least, low, high, work
        )
        exact = log_a[i] + shift - log(total)
        relaxed = phi[i] + omega * (exact - phi[i])
        out_phi[i] = relaxed
        scale = exp(log_a[i] + (relaxed - exact)) / total
        for j in range(gamma.size):
            c[j] += work[j] * scale


@jit_finite
def _scaling_sweep(K, v, a, out_u, part, lo, hi, block):
    c = part[block]
    for i in range(lo, hi):
        row = K[i]
        total = a.dtype.type(0)
        for j in range(v.size):
            total += row[j] * v[j]
        u = a[i] / total
        out_u[i] = u
        for j in range(v.size):
            c[j] += row[j] * u


@jit_kernel
def _transport_cost(phi, gamma, weights, M, inv_eps, out, lo, hi):
    for i in range(lo, hi):
        row = M[i]
        total = gamma.dtype.type(0)
        for j in range(gamma.size):
            mass = exp((phi[i] + gamma[j]) - row[j] * inv_eps)
            if row[j] < np.inf:
                total += weights[j] * mass * row[j]
        out[i] = total


@jit_kernel
def _soft_average(M, gamma, Y, inv_eps, least, low, high, out, lo, hi):
    work = np.empty(gamma.size, gamma.dtype)
    for i in range(lo, hi):
        guess = M[i, 0] * inv_eps - gamma[0]
        _, total = exponentials(M[i], gamma, inv_eps, guess, least, low, high, work)
        for k in range(Y.shape[1]):
            out[i, k] = 0
        for j in range(gamma.size):
            weight = work[j] / total
            for k in range(Y.shape[1]):
                out[i, k] += weight * Y[j, k]


@jit_kernel
def _gibbs_plan(M, gamma, phi, inv_eps, least, out, lo, hi):
    for i in range(lo, hi):
        row, target, shift = M[i], out[i], phi[i]
        for j in range(gamma.size):
            target[j] = exp(max((gamma[j] + shift) - row[j] * inv_eps, least))


@jit_kernel
def _normal_product(P, inv_a, x, part, lo, hi, block):
    out = part[block]
    for i in range(lo, hi):
        row = P[i]
        total = x.dtype.type(0)
        for j in range(x.size):
            total += row[j] * x[j]
        total *= inv_a[i]
        for j in range(x.size):
            out[j] += row[j] * total


def _pass(body, M, gamma, phi, log_a, *scalars):
    """Run a pass that writes phi by row and adds up c over blocks of rows."""
    kind = M.dtype.type
    out_phi = np.empty(M.shape[0], M.dtype)
    scalars = tuple(kind(x) for x in (*scalars, *SAFE_SUMS[M.dtype]))
    c = reduce_blocks(
        body,
        M.shape[0],
        (M, gamma, phi, log_a, *scalars, out_phi),
        2 * M.size,
        shape=gamma.shape,
        dtype=M.dtype,
    )
    return out_phi, c


def fused_pass(M, gamma, phi, log_a, inv_eps):
    """Row update and column sums."""
    return _pass(_fused_pass, M, gamma, phi, log_a, inv_eps)


def relaxed_pass(M, gamma, phi, log_a, inv_eps, omega):
    """Over-relaxed row update and the column sums it leads to."""
    return _pass(_relaxed_pass, M, gamma, phi, log_a, inv_eps, omega)


def scaling_sweep(K, v, a):
    """One full scaling sweep on a stored kernel."""
    out_u = np.empty_like(a)
    c = reduce_blocks(
        _scaling_sweep, a.size, (K, v, a, out_u), K.size, shape=v.shape, dtype=K.dtype
    )
    return out_u, c


def transport_cost(phi, gamma, weights, M, inv_eps):
    """Transport cost by row."""
    out = np.empty_like(phi)
    args = (phi, gamma, weights, M, M.dtype.type(inv_eps), out)
    run_blocks(_transport_cost, phi.size, args, 2 * M.size)
    return out


def soft_average(M, gamma, Y, inv_eps):
    """Softmax-weighted means of Y."""
    out = np.empty((M.shape[0], Y.shape[1]), M.dtype)
    kind = M.dtype.type
    scalars = (kind(x) for x in (inv_eps, *SAFE_SUMS[M.dtype]))
    args = (M, gamma, Y, *scalars)
    run_blocks(_soft_average, M.shape[0], (*args, out), (2 + Y.shape[1]) * M.size)
    return out


def gibbs_plan(M, gamma, phi, inv_eps):
    """Dense plan."""
    out = np.empty_like(M)
    kind = M.dtype.type
    args = (M, gamma, phi, kind(inv_eps), kind(SAFE_SUMS[M.dtype][0]), out)
    run_blocks(_gibbs_plan, M.shape[0], args, M.size)
    return out


def normal_product(P, inv_a, x):
    """Product with P^T diag(1/a) P."""
    return reduce_blocks(
        _normal_product,
        P.shape[0],
        (P, inv_a, x),
        P.size // 2,
        shape=x.shape,
        dtype=P.dtype,
    )
