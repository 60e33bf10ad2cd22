# SPDX-License-Identifier: BSD-3-Clause
"""Numba bodies: sequential evidence ascent on lazy Gram rows, column moments."""

import math

import numpy as np

from numopt._kernels.jit import jit_finite, jit_kernel

__all__ = ["column_moments", "evidence_ascent"]

# Why the ascent returned.
ROUND_DONE, NEEDS_ROW, NEEDS_SPACE = 0, 1, 2

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
    WAITING,  # out: atom that waits for its Gram row
    QUADRATIC,  # y^H C^-1 y, mean over the columns of Y
    ATOMS,  # number of atoms that the prior counts
) = range(15)

# Entries of `work_count` (int64).
ACTIVE, ACTIONS = range(2)


@jit_kernel
def _square(z):
    return z.real * z.real + z.imag * z.imag


@jit_kernel
def column_moments(A, shift):
    """Column sums of ``A - shift`` and of its squares, in one pass."""
    n, p = A.shape
    first, second = np.zeros(p), np.zeros(p)
    for i in range(n):
        for j in range(p):
            z = A[i, j] - shift[j]
            first[j] += z
            second[j] += z * z
    return first, second


@jit_kernel
def _mean_square(Q, j):
    """``|Q_j|^2``, mean over the measurements."""
    total = 0.0
    for k in range(Q.shape[0]):
        total += _square(Q[k, j])
    return total / Q.shape[0]


@jit_finite
def _best_addition(S, Q, position, floor, score):
    """Inactive atom of the largest |q|^2/s, which is also that of the largest gain."""
    p, L = S.size, Q.shape[0]
    for j in range(p):
        score[j] = _square(Q[0, j])
    for k in range(1, L):
        for j in range(p):
            score[j] += _square(Q[k, j])
    best = 0.0
    for j in range(p):
        usable = (S[j] > floor) & (position[j] < 0)
        score[j] = score[j] / max(S[j], floor) if usable else 0.0
        best = max(best, score[j])
    if best > L:
        for j in range(p):
            if score[j] == best:
                return best / L, j
    return 1.0, -1


@jit_kernel
def _best_change(S, Q, act, alpha, m, to_delete, factor):
    """Best re-estimation or deletion: gain, place, new alpha (inf deletes)."""
    best, where, alpha_best = -math.inf, -1, 0.0
    for r in range(m):
        a, s_in = alpha[r], S[act[r]]
        qq = _mean_square(Q, act[r])
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
def _rank_one(G, slot, act, t, m, w, s, mu, Sigma, S, Q, beta):
    """``Sigma += w t t^H``, ``mu_k += s_k t``, and what follows for all atoms.

    With ``e = beta A^H A_act t``: ``S -= w |e|^2`` and ``Q_k -= s_k conj(e)``.
    """
    p = S.size
    e = np.zeros(p, G.dtype)
    # Three rows a pass: loads and stores of e would bind otherwise.
    for r in range(0, m, 3):
        b, c = min(r + 1, m - 1), min(r + 2, m - 1)
        f = beta * t[r].conjugate()
        g = beta * t[b].conjugate() if r + 1 < m else 0 * f
        h = beta * t[c].conjugate() if r + 2 < m else 0 * f
        x, y, z = slot[act[r]], slot[act[b]], slot[act[c]]
        for i in range(p):
            e[i] += f * G[x, i] + g * G[y, i] + h * G[z, i]
    for r in range(m):
        for q in range(m):
            Sigma[r, q] += w * t[r] * t[q].conjugate()
    for i in range(p):
        S[i] -= w * _square(e[i])
    for k in range(mu.shape[0]):
        for i in range(p):
            Q[k, i] -= s[k] * e[i].conjugate()
        for r in range(m):
            mu[k, r] += s[k] * t[r]


@jit_kernel
def _insert(j, alpha_new, G, slot, act, alpha, mu, Sigma, S, Q, control, m):
    """Atom j becomes the last of m + 1."""
    beta, L = control[BETA], mu.shape[0]
    t = np.zeros(m + 1, G.dtype)
    t[m] = 1.0
    for r in range(m):
        g = beta * G[slot[act[r]], j]
        for i in range(m):
            t[i] -= Sigma[i, r] * g
    s = np.empty(L, G.dtype)
    var = 1.0 / (alpha_new + max(S[j], 0.0))
    control[QUADRATIC] -= var * _mean_square(Q, j)
    for k in range(L):
        s[k] = var * Q[k, j]
        mu[k, m] = 0.0
    for i in range(m + 1):
        Sigma[i, m] = 0.0
        Sigma[m, i] = 0.0
    act[m], alpha[m] = j, alpha_new
    _rank_one(G, slot, act, t, m + 1, var, s, mu, Sigma, S, Q, beta)


@jit_kernel
def _change(r, alpha_new, G, slot, act, alpha, mu, Sigma, S, Q, control, m):
    """Re-estimate the atom at place r; an infinite alpha frees it of all influence."""
    L, var = mu.shape[0], Sigma[r, r].real
    t, s = np.empty(m, G.dtype), np.empty(L, G.dtype)
    if math.isinf(alpha_new):
        kappa = 1.0 / var
    else:
        kappa = (alpha_new - alpha[r]) / (1.0 + var * (alpha_new - alpha[r]))
    control[QUADRATIC] += kappa * _mean_square(mu, r)
    for i in range(m):
        t[i] = Sigma[i, r]
    for k in range(L):
        s[k] = -kappa * mu[k, r]
    _rank_one(G, slot, act, t, m, -kappa, s, mu, Sigma, S, Q, control[BETA])
    alpha[r] = alpha_new


@jit_kernel
def _drop(r, position, act, alpha, mu, Sigma, m):
    """Move the last active atom to place r."""
    last = m - 1
    position[act[r]] = -1
    if r == last:
        return
    act[r], alpha[r] = act[last], alpha[last]
    position[act[r]] = r
    for k in range(mu.shape[0]):
        mu[k, r] = mu[k, last]
    for i in range(m):
        Sigma[r, i] = Sigma[last, i]
    for i in range(m):
        Sigma[i, r] = Sigma[i, last]


@jit_kernel
def _update_noise(control, alpha, mu, Sigma, m):
    """MacKay's noise update; ``y^H C^-1 y`` holds the residual."""
    used, prior = 0.0, 0.0
    for r in range(m):
        used += 1.0 - alpha[r] * Sigma[r, r].real
        prior += alpha[r] * _mean_square(mu, r)
    residual = max((control[QUADRATIC] - prior) / control[BETA], 0.0)
    noise = residual / max(control[ROWS] - used, 1e-12 * control[ROWS])
    noise = min(max(noise, control[NOISE_LOW]), control[NOISE_HIGH])
    control[NOISE_MOVE] = abs(math.log(noise * control[BETA]))
    control[BETA] = 1.0 / noise


@jit_kernel
def _refresh(control, G, slot, B, d, act, alpha, mu, Sigma, S, Q, m):
    """Everything from the Gram rows: the active atoms enter an empty model again."""
    control[NOISE_MOVE] = 0.0
    if control[LEARN_NOISE] > 0:
        _update_noise(control, alpha, mu, Sigma, m)
    beta = control[BETA]
    full = beta * control[ROWS]
    for i in range(S.size):
        S[i] = full if d[i] > 0 else 0.0
    for k in range(Q.shape[0]):
        for i in range(S.size):
            Q[k, i] = beta * B[k, i]
    control[QUADRATIC] = beta * control[ENERGY]
    log_det = -control[ROWS] * math.log(beta)
    for r in range(m):
        log_det += math.log1p(max(S[act[r]], 0.0) / alpha[r])
        _insert(act[r], alpha[r], G, slot, act, alpha, mu, Sigma, S, Q, control, r)
    control[EVIDENCE] = -control[FACTOR] * (log_det + control[QUADRATIC])


@jit_kernel
def evidence_ascent(
    d,
    B,
    work_G,
    work_slot,
    work_score,
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
    for _action in range(max_actions):
        m = work_count[ACTIVE]
        to_add = to_delete = control[PENALTY]
        if to_add < 0:
            rest = control[ATOMS] - m
            to_add = max(0.0, math.log(rest / (m + 1.0))) if rest > 0 else 0.0
            to_delete = max(0.0, math.log((rest + 1.0) / m)) if m > 0 else 0.0
        gain, place, alpha_new = _best_change(
            work_S, work_Q, work_act, work_alpha, m, to_delete, control[FACTOR]
        )
        add = -1
        if m < most:
            floor = 1e-13 * control[BETA] * control[ROWS]
            ratio, found = _best_addition(
                work_S, work_Q, work_position, floor, work_score
            )
            if found >= 0:
                gain_add = control[FACTOR] * (ratio - 1.0 - math.log(ratio)) - to_add
                if gain_add > gain:
                    gain, add = gain_add, found
        control[GAIN] = max(gain, 0.0)
        if not gain > control[TOL]:
            break
        if add >= 0:
            if m == work_act.size:
                return NEEDS_SPACE
            if work_slot[add] < 0:
                control[WAITING] = add
                return NEEDS_ROW
            _insert(
                add, work_S[add] / (ratio - 1.0), work_G, work_slot, work_act,
                work_alpha, work_mu, work_Sigma, work_S, work_Q, control, m,
            )  # fmt: skip
            work_position[add] = m
            work_count[ACTIVE] = m + 1
        else:
            _change(
                place, alpha_new, work_G, work_slot, work_act, work_alpha, work_mu,
                work_Sigma, work_S, work_Q, control, m,
            )  # fmt: skip
            if math.isinf(alpha_new):
                _drop(
                    place, work_position, work_act, work_alpha, work_mu, work_Sigma, m
                )
                work_count[ACTIVE] = m - 1
        work_count[ACTIONS] += 1
    _refresh(
        control, work_G, work_slot, B, d, work_act, work_alpha, work_mu, work_Sigma,
        work_S, work_Q, work_count[ACTIVE],
    )  # fmt: skip
    return ROUND_DONE
