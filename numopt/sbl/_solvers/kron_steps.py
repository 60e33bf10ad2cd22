# SPDX-License-Identifier: BSD-3-Clause
"""Steps of Kronecker sparse Bayesian learning: majorisation, SVD, alternation."""

from numopt._array.namespace import to_numpy
from numopt.sbl._solvers.kron_model import KronModel, host_max
from numopt.typing import Array, Namespace

__all__ = ["am_step", "mm_sweep", "prune", "svd_step"]

AM_INNER_TOL, AM_INNER_MAX = 1e-5, 30


def mm_factor(model: KronModel, i: int, prune_tol: float) -> Array:
    """Exact block majorisation of the evidence in gamma_i; returns the changes.

    ``gamma_i *= sqrt(q / t)`` where t and q are the linear terms of the two convex
    bounds of log det C and of y^H C^-1 y (Wipf and Nagarajan 2010) along factor i,
    which must be in front.
    """
    xp, V, K, last = model.xp, model.V[i], model.K[i], model.order - 1
    rest = model.rest(i)
    D = 1.0 / model.total(i, rest)
    d = D @ rest[:, :, None]
    W = model.Yt * (D * xp.sqrt(rest)[:, None, :])[:, None, ...]
    moment = W @ model.ct(W)
    L = W.shape[1]
    moment = moment[:, 0, ...] if L == 1 else xp.mean(moment, axis=1)
    t = (model.abs2(V) @ d)[:, :, 0]
    product = V @ moment
    q = xp.sum(xp.real(product * xp.conj(V)) if model.complex_ else product * V, axis=2)
    if K is not None:
        q, t = q @ K, t @ K
    tiny = float(xp.finfo(t.dtype).smallest_normal)
    old = model.h[i]
    new = old * xp.sqrt(xp.maximum(q, 0.0) / xp.maximum(t, tiny))
    top = xp.maximum(xp.max(new, axis=1), tiny)[:, None]
    change = xp.max(xp.abs(new - old), axis=1) / top[:, 0]
    kept = xp.where(new >= prune_tol * top, new, xp.zeros_like(new))
    if i == last:
        model.h[i] = kept
    else:
        model.h[i] = kept / top
        model.h[last] = model.h[last] * top
        model.s[last] = model.s[last] * top
    model.drop_unused(i)
    model.turn(i, model.gamma(i))
    return change


def mm_sweep(model: KronModel, prune_tol: float) -> float:
    """All factors once, then the noise; returns the largest relative change."""
    xp = model.xp
    changes = [mm_factor(model, i, prune_tol) for i in range(model.order)]
    if model.learn:
        D = 1.0 / model.total(0, model.rest(0))
        dual = xp.sum(xp.sum(D * D * model.power, axis=2), axis=1)
        trace = xp.sum(xp.sum(D, axis=2), axis=1)
        model.noise = xp.maximum(model.noise * xp.sqrt(dual / trace), model.floor)
    return host_max(xp.stack(changes))


def prune(model: KronModel, tol: float) -> None:
    """Zero hyper-parameters below ``tol`` times the largest of their factor."""
    xp, changed = model.xp, False
    for i, h in enumerate(model.h):
        keep = h >= tol * xp.max(h, axis=1, keepdims=True)
        if bool(to_numpy(xp.all(keep | (h == 0)))):
            continue
        model.h[i] = xp.where(keep, h, xp.zeros_like(h))
        model.drop_unused(i)
        changed = True
    if changed:
        model.refresh()


def _second_moments(model: KronModel) -> Array:
    """``|mean|^2 + diag Sigma`` as a tensor (b, N_1, ..., N_I)."""
    mean, var = model.posterior()
    return model.xp.mean(model.abs2(mean), axis=1) + var


def _em_noise(model: KronModel) -> None:
    """``(||y - A x||^2 + noise sum_j (1 - Sigma_jj / gamma_j)) / M`` in closed form."""
    if not model.learn:
        return
    xp = model.xp
    total = model.total(0, model.rest(0))
    part = model.noise[:, None, None] / total
    both = part * part * model.power + model.noise[:, None, None] * (1.0 - part)
    mean = xp.mean(xp.mean(both, axis=2), axis=1)
    model.noise = xp.maximum(mean, model.floor)


def _product_distance(new: list[Array], old: list[Array]) -> tuple[Array, Array]:
    """Squared norms of the change of an outer product and of the old one."""

    def dot(a: list[Array], b: list[Array]) -> Array:
        out = (a[0][:, None, :] @ b[0][:, :, None])[:, 0, 0]
        for u, v in zip(a[1:], b[1:], strict=True):
            out = out * (u[:, None, :] @ v[:, :, None])[:, 0, 0]
        return out

    base = dot(old, old)
    return dot(new, new) - 2.0 * dot(new, old) + base, base


def _finish_em(model: KronModel, new: list[Array]) -> float:
    """Take the new factors; relative change of their outer product, not formed."""
    xp = model.xp
    squared, base = _product_distance(new, model.h)
    _em_noise(model)
    model.h = new
    model.refresh()
    tiny = float(xp.finfo(base.dtype).smallest_normal)
    return host_max(xp.sqrt(xp.maximum(squared, 0.0) / xp.maximum(base, tiny)))


def svd_step(model: KronModel) -> float:
    """Rank-one factorisation of the second moments, one axis after the other."""
    rest = _second_moments(model)
    xp, sizes, new = model.xp, rest.shape[1:], []
    for size in sizes[:-1]:
        unfolded = xp.reshape(rest, (rest.shape[0], size, -1))
        # The top left vector comes from a small matrix, whatever the long side.
        u = xp.linalg.eigh(unfolded @ unfolded.mT)[1][:, :, -1]
        new.append(xp.abs(u))
        rest = xp.abs(u[:, None, :] @ unfolded)[:, 0, :]
    new.append(xp.reshape(rest, (rest.shape[0], -1)))
    return _finish_em(model, new)


def am_step(model: KronModel) -> float:
    """Alternating minimisation of the expected log prior over the factors."""
    xp, moments, new = model.xp, _second_moments(model), list(model.h)
    real = moments.dtype
    sizes = [xp.sum(xp.astype(g > 0, real), axis=1)[:, None] for g in new]
    moving = sizes[0] > 0  # each problem stops on its own
    for _ in range(AM_INNER_MAX):
        before = list(new)
        for i in range(len(new)):
            g = _mean_ratio(model, moments, new, sizes, i)
            if i < len(new) - 1:
                g = g * _reciprocal(xp, xp.sqrt(xp.sum(g * g, axis=1)))[:, None]
            new[i] = xp.where(moving, g, new[i])
        distance = _product_distance(new, before)[0]
        moving = moving & (distance >= AM_INNER_TOL**2)[:, None]
        if not bool(to_numpy(xp.any(moving))):
            break
    return _finish_em(model, new)


def _mean_ratio(
    model: KronModel, moments: Array, new: list[Array], sizes: list[Array], i: int
) -> Array:
    """Mean over the other axes of the moments divided by the other factors."""
    xp, count = model.xp, len(new)
    out = xp.reshape(moments, (moments.shape[0], -1))
    # Later axes are contracted from the end, earlier ones from the front.
    for k in (*range(count - 1, i, -1), *range(i)):
        inverse = _reciprocal(xp, new[k]) / sizes[k]
        size = inverse.shape[1]
        if k > i:
            shaped = xp.reshape(out, (out.shape[0], -1, size))
            out = (shaped @ inverse[:, :, None])[:, :, 0]
        else:
            shaped = xp.reshape(out, (out.shape[0], size, -1))
            out = (inverse[:, None, :] @ shaped)[:, 0, :]
    return out


def _reciprocal(xp: Namespace, x: Array) -> Array:
    """``1 / x`` where x is positive, zero elsewhere."""
    one = xp.ones_like(x)
    return xp.where(x > 0, one / xp.where(x > 0, x, one), xp.zeros_like(x))
