# SPDX-License-Identifier: BSD-3-Clause
"""Numba bodies: sequential evidence ascent on lazy Gram rows, fused set-up passes."""

import math

import numpy as np

from numopt._kernels.jit import jit_kernel

__all__ = ["centre_columns", "column_energies", "evidence_ascent"]

# Why the ascent returned.
ROUND_DONE, NEEDS_ROW, NEEDS_SPACE, NOT_DEFINITE = 0, 1, 2, 3

# Entries of `work_control` (float64): inputs, then outputs.
(
    BETA,  # noise precision, updated
    ROWS,  # effective number of rows n
    ENERGY,  # ||y||^2, mean over the columns of Y
    FACTOR,  # c L: half the number of real measurements a row holds
    PENALTY,  # log prior odds of an atom; negative: Beta(1,1) prior on the rate
    TOL,
    LEARN_NOISE,  # 1 when beta is unknown
    NOISE_LOW,
    NOISE_HIGH,
    GAIN,  # out: best gain found last
    NOISE_MOVE,  # out: |change of log noise| of the last update
    EVIDENCE,  # out: log evidence without its constant
    BEST,  # scratch: atom that waits for its Gram row
) = range(13)

# Entries of `work_count` (int64).
ACTIVE, POOL, ACTIONS = range(3)

_NEVER = -math.inf


@jit_kernel
def _square(z):
    return z.real * z.real + z.imag * z.imag


@jit_kernel
def column_energies(A):
    """Sums of squared moduli of the columns."""
    out = np.zeros(A.shape[1])
    for i in range(A.shape[0]):
        for j in range(A.shape[1]):
            out[j] += _square(A[i, j])
    return out


@jit_kernel
def centre_columns(X, Y, w, centre):
    """Weighted centring in two passes."""
    n, p = X.shape
    L = Y.shape[1]
    x_mean, raw, y_mean = np.zeros(p), np.zeros(p), np.zeros(L)
    total = 0.0
    for i in range(n):
        total += w[i]
        for j in range(p):
            x_mean[j] += w[i] * X[i, j]
            raw[j] += w[i] * X[i, j] * X[i, j]
        for k in range(L):
            y_mean[k] += w[i] * Y[i, k]
    inverse = 1.0 / total if total > 0 else 0.0
    keep = inverse if centre else 0.0
    for j in range(p):
        x_mean[j] *= keep
        raw[j] *= inverse
    for k in range(L):
        y_mean[k] *= keep
    Z, R = np.empty((n, p)), np.empty((n, L))
    for i in range(n):
        root = math.sqrt(w[i])
        for j in range(p):
            Z[i, j] = root * (X[i, j] - x_mean[j])
        for k in range(L):
            R[i, k] = root * (Y[i, k] - y_mean[k])
    return Z, R, x_mean, y_mean, raw


@jit_kernel
def _penalties(control, m, p):
    """Log odds against one atom more, and in favour of one atom fewer."""
    fixed = control[PENALTY]
    if fixed >= 0:
        return fixed, fixed
    to_add = max(0.0, math.log((p - m) / (m + 1.0))) if p > m else 0.0
    to_delete = max(0.0, math.log((p - m + 1.0) / m)) if m > 0 else 0.0
    return to_add, to_delete


@jit_kernel
def _best_addition(S, Q, position, floor):
    """Inactive atom of the largest |q|^2/s, which is also that of the largest gain."""
    best, found = 1.0, -1
    if Q.shape[0] == 1:
        for j in range(S.size):
            s = S[j]
            qq = _square(Q[0, j])
            if qq > best * s and s > floor and position[j] < 0:
                best, found = qq / s, j
        return best, found
    for j in range(S.size):
        if position[j] >= 0 or not S[j] > floor:
            continue
        qq = 0.0
        for k in range(Q.shape[0]):
            qq += _square(Q[k, j])
        qq /= Q.shape[0]
        if qq > best * S[j]:
            best, found = qq / S[j], j
    return best, found


@jit_kernel
def _best_change(S, Q, act, alpha, m, to_delete, factor):
    """Best re-estimation or deletion: gain, place, new alpha (inf deletes)."""
    best, where, alpha_best = _NEVER, -1, 0.0
    L = Q.shape[0]
    for r in range(m):
        j = act[r]
        qq = 0.0
        for k in range(L):
            qq += _square(Q[k, j])
        qq /= L
        a, s_in = alpha[r], S[j]
        rest = max(a - s_in, 1e-12 * a)
        gain = factor * (-qq / rest - math.log(rest / a)) + to_delete
        if gain > best:
            best, where, alpha_best = gain, r, math.inf
        s = a * s_in / rest
        theta = qq * (a / rest) ** 2 - s
        if theta > 0:
            a_new = s * s / theta
            d = 1.0 / a_new - 1.0 / a
            change = 1.0 + s_in * d
            if change > 0:
                gain = factor * (qq * d / change - math.log(change))
                if gain > best:
                    best, where, alpha_best = gain, r, a_new
    return best, where, alpha_best


@jit_kernel
def _gram_row(A, d, j, out):
    """Scaled inner products ``a_j^H a_k`` of one column with all."""
    column = np.empty(A.shape[0], A.dtype)
    for i in range(A.shape[0]):
        column[i] = A[i, j].conjugate()
    product = np.dot(column, A)
    for k in range(out.size):
        out[k] = product[k] * (d[k] * d[j])


@jit_kernel
def _add(j, alpha_new, G, slot, position, act, alpha, mu, Sigma, S, Q, beta, m):
    row = G[slot[j]]
    u = np.zeros(m, G.dtype)
    for r in range(m):
        g = G[slot[act[r]], j] * beta
        for i in range(m):
            u[i] += Sigma[i, r] * g
    e = np.empty(row.size, row.dtype)
    for i in range(row.size):
        e[i] = row[i]
    for r in range(m):
        _subtract_row(e, u[r].conjugate(), G[slot[act[r]]])
    var = 1.0 / (alpha_new + S[j])
    p, L = S.size, Q.shape[0]
    scale = var * beta * beta
    mean = np.empty(L, G.dtype)
    for k in range(L):
        mean[k] = var * Q[k, j]
    for i in range(p):
        S[i] -= scale * _square(e[i])
    for k in range(L):
        step = mean[k] * beta
        for i in range(p):
            Q[k, i] -= step * e[i].conjugate()
        for i in range(m):
            mu[k, i] -= mean[k] * u[i]
        mu[k, m] = mean[k]
    for i in range(m):
        for r in range(m):
            Sigma[i, r] += var * u[i] * u[r].conjugate()
        Sigma[i, m] = -var * u[i]
        Sigma[m, i] = Sigma[i, m].conjugate()
    Sigma[m, m] = var
    act[m], alpha[m], position[j] = j, alpha_new, m


@jit_kernel
def _subtract_row(e, factor, row):
    for i in range(e.size):
        e[i] -= factor * row[i]


@jit_kernel
def _change(r, alpha_new, G, slot, position, act, alpha, mu, Sigma, S, Q, beta, m):
    """Re-estimate the atom at place r, or take it out when alpha_new is infinite."""
    p, L = S.size, Q.shape[0]
    t = np.empty(m, Sigma.dtype)
    for i in range(m):
        t[i] = Sigma[i, r]
    var = Sigma[r, r].real
    if math.isinf(alpha_new):
        kappa = 1.0 / var
    else:
        kappa = (alpha_new - alpha[r]) / (1.0 + var * (alpha_new - alpha[r]))
    v = np.zeros(p, G.dtype)
    for i in range(m):
        _subtract_row(v, -t[i].conjugate(), G[slot[act[i]]])
    scale = kappa * beta * beta
    for i in range(p):
        S[i] += scale * _square(v[i])
    for k in range(L):
        step = kappa * mu[k, r]
        for i in range(p):
            Q[k, i] += step * beta * v[i].conjugate()
        for i in range(m):
            mu[k, i] -= step * t[i]
    for i in range(m):
        for q in range(m):
            Sigma[i, q] -= kappa * t[i] * t[q].conjugate()
    alpha[r] = alpha_new
    if math.isinf(alpha_new):
        _drop(r, position, act, alpha, mu, Sigma, m)


@jit_kernel
def _drop(r, position, act, alpha, mu, Sigma, m):
    """Move the last active atom to place r."""
    last = m - 1
    position[act[r]] = -1
    if r != last:
        act[r], alpha[r] = act[last], alpha[last]
        position[act[r]] = r
        for k in range(mu.shape[0]):
            mu[k, r] = mu[k, last]
        for i in range(m):
            Sigma[r, i] = Sigma[last, i]
        for i in range(m):
            Sigma[i, r] = Sigma[i, last]
        Sigma[r, r] = Sigma[last, last]


@jit_kernel
def _cholesky(H):
    """Lower factor in place; the smallest pivot is returned."""
    m = H.shape[0]
    smallest = math.inf
    for i in range(m):
        for j in range(i + 1):
            total = H[i, j]
            for k in range(j):
                total -= H[i, k] * H[j, k].conjugate()
            if i == j:
                pivot = total.real
                smallest = min(smallest, pivot)
                if not pivot > 0:
                    return pivot
                H[i, i] = math.sqrt(pivot)
            else:
                H[i, j] = total / H[j, j].real
        for j in range(i + 1, m):
            H[i, j] = 0
    return smallest


@jit_kernel
def _invert_lower(T):
    """Inverse of a lower triangular matrix."""
    m = T.shape[0]
    out = np.zeros((m, m), T.dtype)
    for i in range(m):
        for k in range(i):
            f = -T[i, k]
            for j in range(k + 1):
                out[i, j] += f * out[k, j]
        inverse = 1.0 / T[i, i].real
        for j in range(i):
            out[i, j] *= inverse
        out[i, i] = inverse
    return out


@jit_kernel
def _covariance(inverse, Sigma, m):
    """``T^-H T^-1`` from the inverse of the Cholesky factor T."""
    for i in range(m):
        for j in range(m):
            Sigma[i, j] = 0
        for k in range(i, m):
            f = inverse[k, i].conjugate()
            for j in range(k + 1):
                Sigma[i, j] += f * inverse[k, j]


@jit_kernel
def _subtract_energies(inverse, rows, factor, S):
    """``S -= factor * (column energies of T^-1 rows)``, one row at a time."""
    m, p = rows.shape
    w = np.empty(p, rows.dtype)
    for r in range(m):
        for i in range(p):
            w[i] = inverse[r, r] * rows[r, i]
        for s in range(r):
            _subtract_row(w, -inverse[r, s], rows[s])
        for i in range(p):
            S[i] -= factor * _square(w[i])


@jit_kernel
def _factor(small, alpha, beta, m):
    """Cholesky factor of ``beta G + diag(alpha)``; a jitter rescues lost digits."""
    jitter = 0.0
    for _attempt in range(4):
        H = np.empty((m, m), small.dtype)
        trace = 0.0
        for r in range(m):
            for s in range(m):
                H[r, s] = beta * small[r, s]
            H[r, r] = H[r, r].real + alpha[r] + jitter
            trace += H[r, r].real
        if _cholesky(H) > 0:
            return H, True
        jitter = max(10 * jitter, 1e-10 * trace / m)
    return small, False


@jit_kernel
def _update_noise(control, small, B, act, alpha, mu, Sigma, m):
    """MacKay's noise update; the residual comes from the Gram matrix alone."""
    L = B.shape[0]
    residual = control[ENERGY]
    for k in range(L):
        for r in range(m):
            residual -= 2.0 * (mu[k, r].conjugate() * B[k, act[r]]).real / L
            total = B[0, 0] * 0
            for s in range(m):
                total += small[r, s] * mu[k, s]
            residual += (mu[k, r].conjugate() * total).real / L
    freedom = control[ROWS]
    for r in range(m):
        freedom -= 1.0 - alpha[r] * Sigma[r, r].real
    noise = max(residual, 0.0) / max(freedom, 1e-12 * control[ROWS])
    noise = min(max(noise, control[NOISE_LOW]), control[NOISE_HIGH])
    control[NOISE_MOVE] = abs(math.log(noise * control[BETA]))
    control[BETA] = 1.0 / noise


@jit_kernel
def _refresh(control, G, slot, B, d, act, alpha, mu, Sigma, S, Q, m):
    """Update the noise, then mean, covariance, S and Q from scratch."""
    p, L = S.size, B.shape[0]
    rows = np.empty((m, p), G.dtype)
    small = np.empty((m, m), G.dtype)
    for r in range(m):
        source = G[slot[act[r]]]
        for i in range(p):
            rows[r, i] = source[i]
        for s in range(m):
            small[r, s] = rows[r, act[s]]
    control[NOISE_MOVE] = 0.0
    if control[LEARN_NOISE] > 0:
        _update_noise(control, small, B, act, alpha, mu, Sigma, m)
    beta = control[BETA]
    full = beta * control[ROWS]
    for i in range(p):
        S[i] = full if d[i] > 0 else 0.0
    fit = 0.0
    log_det = -control[ROWS] * math.log(beta)
    if m == 0:
        for k in range(L):
            for i in range(p):
                Q[k, i] = beta * B[k, i]
        control[EVIDENCE] = -control[FACTOR] * (log_det + beta * control[ENERGY])
        return True
    T, definite = _factor(small, alpha, beta, m)
    if not definite:
        return False
    inverse = _invert_lower(T)
    for r in range(m):
        log_det += 2.0 * math.log(T[r, r].real) - math.log(alpha[r])
    _covariance(inverse, Sigma, m)
    _subtract_energies(inverse, rows, beta * beta, S)
    for k in range(L):
        half = np.zeros(m, G.dtype)
        for r in range(m):
            for s in range(r + 1):
                half[r] += inverse[r, s] * B[k, act[s]]
            fit += beta * _square(half[r]) / L
        for r in range(m):
            total = half[0] * 0
            for s in range(r, m):
                total += inverse[s, r].conjugate() * half[s]
            mu[k, r] = beta * total
        for i in range(p):
            Q[k, i] = beta * B[k, i]
        for r in range(m):
            step = beta * mu[k, r]
            for i in range(p):
                Q[k, i] -= step * rows[r, i].conjugate()
    quadratic = beta * (control[ENERGY] - fit)
    control[EVIDENCE] = -control[FACTOR] * (log_det + quadratic)
    return True


@jit_kernel
def evidence_ascent(
    A,
    d,
    B,
    work_G,
    work_slot,
    work_position,
    work_act,
    work_alpha,
    work_mu,
    work_Sigma,
    work_S,
    work_Q,
    work_control,
    work_count,
    max_actions,
):
    """One round of actions, then the noise update; see the kernel's formula."""
    p, control = work_S.size, work_control
    most = min(p, math.ceil(control[ROWS]))
    taken = 0
    while taken < max_actions:
        m, beta = work_count[ACTIVE], control[BETA]
        to_add, to_delete = _penalties(control, m, p)
        gain, place, alpha_new = _best_change(
            work_S, work_Q, work_act, work_alpha, m, to_delete, control[FACTOR]
        )
        add = -1
        if m < most:
            floor = 1e-13 * beta * control[ROWS]
            ratio, found = _best_addition(work_S, work_Q, work_position, floor)
            if found >= 0:
                gain_add = control[FACTOR] * (ratio - 1.0 - math.log(ratio)) - to_add
                if gain_add > gain:
                    gain, add = gain_add, found
        control[GAIN] = max(gain, 0.0)
        if not gain > control[TOL]:
            break
        if add < 0:
            _change(
                place, alpha_new, work_G, work_slot, work_position, work_act,
                work_alpha, work_mu, work_Sigma, work_S, work_Q, beta, m,
            )  # fmt: skip
            if math.isinf(alpha_new):
                work_count[ACTIVE] = m - 1
        else:
            if work_slot[add] < 0:
                if work_count[POOL] == work_G.shape[0]:
                    return NEEDS_SPACE
                control[BEST] = add
                if A.shape[0] == 0:
                    return NEEDS_ROW
                work_slot[add] = work_count[POOL]
                work_count[POOL] += 1
                _gram_row(A, d, add, work_G[work_slot[add]])
            if m == work_act.size:
                return NEEDS_SPACE
            alpha_add = work_S[add] / (ratio - 1.0)
            _add(
                add, alpha_add, work_G, work_slot, work_position, work_act,
                work_alpha, work_mu, work_Sigma, work_S, work_Q, beta, m,
            )  # fmt: skip
            work_count[ACTIVE] = m + 1
        taken += 1
        work_count[ACTIONS] += 1
    if _refresh(
        control, work_G, work_slot, B, d, work_act, work_alpha, work_mu, work_Sigma,
        work_S, work_Q, work_count[ACTIVE],
    ):  # fmt: skip
        return ROUND_DONE
    return NOT_DEFINITE
