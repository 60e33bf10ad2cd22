# SPDX-License-Identifier: BSD-3-Clause
"""Sequential evidence ascent on lazy Gram rows."""

import math

import numpy as np

from numopt._kernels.jit import jit_finite, jit_kernel
from numopt.sbl._kernels_cpu.products import MADE, WIDTH, gram_rows, multiply, square

__all__ = ["evidence_ascent"]

# Additions of a round; movement of log noise in a round that counts as none; the last
# one of several where atoms may follow; updates of the noise that suffice for either.
ROUND, SETTLED, MOVING, UPDATES = 10, 1e-4, 1e-2, 100

# Gram rows made at a time: their product is bound by reading the dictionary. Atoms that
# are nearly parallel on a sample of rows are not likely to enter one after the other.
AHEAD, SAMPLE, PARALLEL = 4, 64, 0.6

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
    GAIN,  # out: best gain found in the last round after its additions
    NOISE_MOVE,  # out: |change of log noise| of the last round
    EVIDENCE,  # out: log evidence without its constant
    QUADRATIC,  # y^H C^-1 y, mean over the columns of Y
    ATOMS,  # number of atoms that the prior counts
) = range(14)

# Entries of `work_count` (int64); ADDED counts the additions of a round.
ACTIVE, ACTIONS, ADDED = range(3)


@jit_kernel
def _best_scores(score, slot, count):
    """The atoms of the highest positive scores among those without a Gram row."""
    chosen, values = np.empty(count, np.int64), np.zeros(count)
    found = 0
    for j in range(score.size):
        if slot[j] < 0 and score[j] > values[count - 1]:
            i = min(found, count - 1)
            while i > 0 and values[i - 1] < score[j]:
                values[i], chosen[i] = values[i - 1], chosen[i - 1]
                i -= 1
            values[i], chosen[i] = score[j], j
            found = min(found + 1, count)
    return chosen[:found]


@jit_kernel
def _likely(A, mean, d, score, slot):
    """Atoms of high scores that are far from parallel, as a sample of rows has it."""
    best = _best_scores(score, slot, min(score.size, 3 * AHEAD))
    n = A.shape[0]
    rows, step = min(n, SAMPLE), max(1, n // SAMPLE)
    Z, kept = np.empty((AHEAD, rows), A.dtype), np.empty(AHEAD, np.int64)
    count = 0
    for j in best:
        for r in range(rows):
            Z[count, r] = (A[r * step, j] - mean[j]) * d[j]
        alone = True
        for i in range(count):
            z = 0 * Z[0, 0]
            for r in range(rows):
                z += Z[i, r].conjugate() * Z[count, r]
            alone &= square(z) < (PARALLEL * rows) ** 2
        if alone:
            kept[count] = j
            count += 1
            if count == AHEAD:
                break
    return kept[:count]


@jit_kernel
def _mean_square(Q, j):
    """``|Q_j|^2``, mean over the measurements."""
    total = 0.0
    for k in range(Q.shape[0]):
        total += square(Q[k, j])
    return total / Q.shape[0]


@jit_finite
def _best_addition(S, Q, position, floor, score):
    """Inactive atom of the largest |q|^2/s, which is also that of the largest gain."""
    p, L = S.size, Q.shape[0]
    for j in range(p):
        score[j] = square(Q[0, j])
    for k in range(1, L):
        for j in range(p):
            score[j] += square(Q[k, j])
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
def _best_change(alpha, mu, Sigma, m, to_delete, factor):
    """Best re-estimation or deletion: gain, place, new alpha (inf deletes).

    The model without the atom at place r has ``s = 1/Sigma_rr - alpha_r`` and
    ``q = mu_r/Sigma_rr``.
    """
    best, where, alpha_best = -math.inf, -1, 0.0
    for r in range(m):
        a, var = alpha[r], Sigma[r, r].real
        qq = _mean_square(mu, r) / (var * var)
        s = max(1.0 / var - a, 0.0)
        has = qq / (s + a) - math.log1p(s / a)  # what the atom adds now
        gain = to_delete - factor * has
        if gain > best:
            best, where, alpha_best = gain, r, math.inf
        if qq > s > 0:
            gain = factor * (qq / s - 1.0 - math.log(qq / s) - has)
            if gain > best:
                best, where, alpha_best = gain, r, s * s / (qq - s)
    return best, where, alpha_best


@jit_kernel
def _penalties(control, m):
    """Log prior odds against an addition, and in favour of a deletion."""
    if control[PENALTY] >= 0:
        return control[PENALTY], control[PENALTY]
    rest = control[ATOMS] - m
    to_add = max(0.0, math.log(rest / (m + 1.0))) if rest > 0 else 0.0
    to_delete = max(0.0, math.log((rest + 1.0) / m)) if m > 0 else 0.0
    return to_add, to_delete


@jit_kernel
def _move(t, m, w, s, mu, Sigma):
    """``Sigma += w t t^H`` and ``mu_k += s_k t``."""
    for r in range(m):
        f = w * t[r]
        for q in range(m):
            Sigma[r, q] += f * t[q].conjugate()
    for k in range(mu.shape[0]):
        for r in range(m):
            mu[k, r] += s[k] * t[r]


@jit_kernel
def _insert(j, alpha_new, G, slot, act, alpha, mu, Sigma, S, Q, control, m):
    """Atom j becomes the last of m + 1, which changes S and Q of all atoms.

    With ``e = beta A^H A_act t`` for the direction ``t`` of the new atom beside the
    others, ``S -= var |e|^2`` and ``Q_k -= s_k conj(e)``.
    """
    beta, L, p = control[BETA], mu.shape[0], S.size
    t, g = np.zeros(m + 1, G.dtype), np.empty(m, G.dtype)
    t[m] = 1.0
    for r in range(m):
        g[r] = beta * G[slot[act[r]], j]
    for i in range(m):
        for r in range(m):
            t[i] -= Sigma[i, r] * g[r]
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
    _move(t, m + 1, var, s, mu, Sigma)
    e = np.zeros(p, G.dtype)
    # Three rows a pass: loads and stores of e would bind otherwise.
    for r in range(0, m + 1, 3):
        b, c = min(r + 1, m), min(r + 2, m)
        f = beta * t[r].conjugate()
        g1 = beta * t[b].conjugate() if r + 1 <= m else 0 * f
        g2 = beta * t[c].conjugate() if r + 2 <= m else 0 * f
        x, y, z = slot[act[r]], slot[act[b]], slot[act[c]]
        for i in range(p):
            e[i] += f * G[x, i] + g1 * G[y, i] + g2 * G[z, i]
    for i in range(p):
        S[i] -= var * square(e[i])
    for k in range(L):
        for i in range(p):
            Q[k, i] -= s[k] * e[i].conjugate()


@jit_kernel
def _change(r, alpha_new, alpha, mu, Sigma, control, m):
    """Re-estimate the atom at place r; an infinite alpha frees it of all influence."""
    L, var = mu.shape[0], Sigma[r, r].real
    t, s = np.empty(m, Sigma.dtype), np.empty(L, Sigma.dtype)
    if math.isinf(alpha_new):
        kappa = 1.0 / var
    else:
        kappa = (alpha_new - alpha[r]) / (1.0 + var * (alpha_new - alpha[r]))
    control[QUADRATIC] += kappa * _mean_square(mu, r)
    for i in range(m):
        t[i] = Sigma[i, r]
    for k in range(L):
        s[k] = -kappa * mu[k, r]
    _move(t, m, -kappa, s, mu, Sigma)
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
    """MacKay's noise update; ``y^H C^-1 y`` holds the residual. How far log moved."""
    used, prior = 0.0, 0.0
    for r in range(m):
        used += 1.0 - alpha[r] * Sigma[r, r].real
        prior += alpha[r] * _mean_square(mu, r)
    residual = max((control[QUADRATIC] - prior) / control[BETA], 0.0)
    noise = residual / max(control[ROWS] - used, 1e-12 * control[ROWS])
    noise = min(max(noise, control[NOISE_LOW]), control[NOISE_HIGH])
    move = abs(math.log(noise * control[BETA]))
    control[BETA] = 1.0 / noise
    return move


@jit_kernel
def _posterior(control, G, slot, B, act, alpha, mu, Sigma, W, v, m):
    """Everything about the active atoms afresh from the Gram rows.

    ``W`` becomes the inverse of the lower Cholesky factor of ``beta A_act^H A_act +
    diag(alpha)``, ``Sigma = W^H W``, ``v_k = beta W A_act^H y_k``, ``mu_k = W^H v_k``.
    """
    beta = control[BETA]
    log_det = -control[ROWS] * math.log(beta)
    L = np.empty((m, m), G.dtype)
    Sigma[:m, :m] = 0.0
    mu[:, :m] = 0.0
    for r in range(m):
        row = slot[act[r]]
        rest = beta * control[ROWS]
        for q in range(r):
            z = beta * G[row, act[q]]
            for k in range(q):
                z -= L[r, k] * L[q, k].conjugate()
            L[r, q] = z / L[q, q].real
            rest -= square(L[r, q])
        pivot = alpha[r] + max(rest, 0.0)
        log_det += math.log(pivot / alpha[r])
        L[r, r] = math.sqrt(pivot)
        W[r, :m] = 0.0
        W[r, r] = 1.0 / math.sqrt(pivot)
        for k in range(r):
            f = L[r, k] / math.sqrt(pivot)
            for q in range(k + 1):
                W[r, q] -= f * W[k, q]
        for i in range(r + 1):
            f = W[r, i].conjugate()
            for q in range(r + 1):
                Sigma[i, q] += f * W[r, q]
    control[QUADRATIC] = beta * control[ENERGY]
    for k in range(B.shape[0]):
        for r in range(m):
            z = 0 * B[k, act[r]]
            for q in range(r + 1):
                z += W[r, q] * B[k, act[q]]
            v[k, r] = beta * z
            for q in range(r + 1):
                mu[k, q] += W[r, q].conjugate() * v[k, r]
            control[QUADRATIC] -= square(v[k, r]) / B.shape[0]
    control[EVIDENCE] = -control[FACTOR] * (log_det + control[QUADRATIC])


@jit_kernel
def _settle(control, count, G, slot, B, position, act, alpha, mu, Sigma, W, v, limit):
    """Change and delete active atoms, and learn the noise, until neither pays.

    All atoms but these are left alone: an action costs O(m^2), an update of the noise
    O(m^3).
    """
    m, before = count[ACTIVE], control[BETA]
    enough = 0.1 * SETTLED if count[ADDED] < ROUND else MOVING
    for _update in range(UPDATES):
        move = 0.0
        if control[LEARN_NOISE] > 0:
            move = _update_noise(control, alpha, mu, Sigma, m)
        _posterior(control, G, slot, B, act, alpha, mu, Sigma, W, v, m)
        taken = 0
        while count[ACTIONS] < limit:
            gain, place, alpha_new = _best_change(
                alpha, mu, Sigma, m, _penalties(control, m)[1], control[FACTOR]
            )
            if not gain > control[TOL]:
                break
            control[GAIN] = max(control[GAIN], gain)
            _change(place, alpha_new, alpha, mu, Sigma, control, m)
            if math.isinf(alpha_new):
                _drop(place, position, act, alpha, mu, Sigma, m)
                m -= 1
            count[ACTIONS] += 1
            taken += 1
        if move <= enough and taken == 0:
            break
    else:
        _posterior(control, G, slot, B, act, alpha, mu, Sigma, W, v, m)
    control[NOISE_MOVE] = abs(math.log(control[BETA] / before))
    count[ACTIVE] = m


@jit_kernel
def _refresh(control, G, slot, B, d, act, W, v, S, Q, m):
    """``S`` and ``Q`` of all atoms from the posterior of the active ones.

    With ``E = beta W A_act^H A``: ``S = beta n - sum_r |E_r|^2`` and ``Q_k = beta B_k
    - sum_r v_kr conj(E_r)``.
    """
    beta, p = control[BETA], S.size
    full = beta * control[ROWS]
    for i in range(p):
        S[i] = full if d[i] > 0 else 0.0
    for k in range(Q.shape[0]):
        for i in range(p):
            Q[k, i] = beta * B[k, i]
    if m == 0:
        return
    size = m + -m % 4
    weights, rows = np.zeros((size, size), G.dtype), np.empty((m, WIDTH), G.dtype)
    tile = np.empty((size, WIDTH), G.dtype)
    weights[:m, :m] = beta * W[:m, :m]
    for lo in range(0, p, WIDTH):
        hi = min(lo + WIDTH, p)
        for r in range(m):
            rows[r, : hi - lo] = G[slot[act[r]], lo:hi]
        if np.iscomplexobj(G):
            tile[:m] = np.dot(weights[:m, :m].copy(), rows)
        else:
            multiply(weights, rows, 0, hi - lo, tile, True)
        for r in range(m):
            E, s = tile[r], S[lo:hi]
            for i in range(hi - lo):
                s[i] -= square(E[i])
            for k in range(Q.shape[0]):
                z, q = v[k, r], Q[k, lo:hi]
                for i in range(hi - lo):
                    q[i] -= z * E[i].conjugate()


@jit_kernel
def evidence_ascent(
    A,
    mean,
    d,
    B,
    work_G,
    work_slot,
    work_made,
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
    """One round: additions, then the active atoms alone; see the kernel's formula."""
    p, control, count = work_S.size, work_control, work_count
    most = min(p, math.ceil(control[ROWS]))
    limit = count[ACTIONS] + max_actions
    control[GAIN] = 0.0
    while count[ADDED] < ROUND and count[ACTIONS] < limit and count[ACTIVE] < most:
        m = count[ACTIVE]
        floor = 1e-13 * control[BETA] * control[ROWS]
        ratio, add = _best_addition(work_S, work_Q, work_position, floor, work_score)
        gain = control[FACTOR] * (ratio - 1.0 - math.log(ratio))
        gain -= _penalties(control, m)[0]
        if add < 0 or not gain > control[TOL]:
            break
        if m == work_act.size:
            return NEEDS_SPACE
        if work_slot[add] < 0:
            if A.size == 0 or min(work_made[MADE] + AHEAD, p) > work_G.shape[0]:
                return NEEDS_ROW
            chosen = _likely(A, mean, d, work_score, work_slot)
            gram_rows(A, mean, d, chosen, work_G, work_slot, work_made)
        control[GAIN] = gain
        _insert(
            add, work_S[add] / (ratio - 1.0), work_G, work_slot, work_act,
            work_alpha, work_mu, work_Sigma, work_S, work_Q, control, m,
        )  # fmt: skip
        work_position[add] = m
        count[ACTIVE] += 1
        count[ADDED] += 1
        count[ACTIONS] += 1
    m, L, before = count[ACTIVE], B.shape[0], count[ACTIONS]
    W, v = np.empty((m, m), work_G.dtype), np.empty((L, m), work_G.dtype)
    _settle(
        control, count, work_G, work_slot, B, work_position, work_act, work_alpha,
        work_mu, work_Sigma, W, v, limit,
    )  # fmt: skip
    still = count[ADDED] < ROUND and count[ACTIONS] == before
    # What nobody looks at again stays as it is.
    if not (still and control[NOISE_MOVE] <= SETTLED):
        _refresh(
            control, work_G, work_slot, B, d, work_act, W, v, work_S, work_Q,
            count[ACTIVE],
        )  # fmt: skip
    count[ADDED] = 0
    return ROUND_DONE
