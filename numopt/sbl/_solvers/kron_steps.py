# SPDX-License-Identifier: BSD-3-Clause
"""Steps of Kronecker sparse Bayesian learning: majorisation, SVD, alternation."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from numopt._array.namespace import array_namespace, device, to_numpy
from numopt.sbl._problem import abs2, adjoint, indices_where
from numopt.sbl._solvers.kron_algebra import (
    Spectrum,
    eigenbasis,
    evidence_of,
    outer,
    posterior,
    spectrum,
)
from numopt.typing import Array

__all__ = ["KronModel", "am_step", "mm_sweep", "prune", "svd_step"]

AM_INNER_TOL, AM_INNER_MAX = 1e-5, 30


@dataclasses.dataclass(slots=True)
class KronModel:
    """Hyper-parameters on the surviving atoms and the eigenbasis they give."""

    H: list[Array]
    h: list[Array]  # hyper-parameters; gamma_i = K_i h_i
    K: list[Array | None]
    index: list[Array]  # surviving columns of h, in the caller's numbering
    Y: Array
    noise: float
    floor: float
    learn: bool
    spec: Spectrum
    power: Array  # mean over snapshots of |Yt|^2

    def gamma(self, i: int) -> Array:
        """Prior variances of factor i."""
        return self.h[i] if self.K[i] is None else self.K[i] @ self.h[i]

    @property
    def gammas(self) -> list[Array]:
        """Prior variances of all factors."""
        return [self.gamma(i) for i in range(len(self.h))]

    def refresh(self) -> None:
        """Decompose all factors afresh."""
        xp = array_namespace(self.Y)
        self.spec = spectrum(self.H, self.gammas, self.Y)
        self.power = xp.mean(abs2(self.spec.Yt), axis=1)

    def refresh_mode(self, i: int) -> None:
        """Decompose factor i afresh and turn the data along its axis only."""
        xp = array_namespace(self.Y)
        s, U = eigenbasis(self.H[i], self.gamma(i))
        turn = adjoint(U) @ self.spec.vectors[i]
        self.spec.Yt = along(turn, self.spec.Yt, i, self.sizes)
        self.spec.values[i], self.spec.vectors[i] = s, U
        self.power = xp.mean(abs2(self.spec.Yt), axis=1)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Rows of each factor."""
        return tuple(H.shape[0] for H in self.H)

    @property
    def terms(self) -> float:
        """``log det C + y^H C^-1 y``, mean over snapshots."""
        return evidence_of(self.spec.values, self.power, self.noise)


def split(sizes: Sequence[int], i: int) -> tuple[int, int, int]:
    """Sizes before, at and after axis i."""
    return math.prod(sizes[:i]), sizes[i], math.prod(sizes[i + 1 :])


def along(F: Array, X: Array, i: int, sizes: Sequence[int]) -> Array:
    """Multiply a flat tensor (M, L) by a square F along axis i."""
    xp = array_namespace(X)
    pre, at, post = split(sizes, i)
    L = X.shape[1]
    if i == 0:
        return xp.reshape(F @ xp.reshape(X, (at, post * L)), X.shape)
    if post * L == 1:
        return xp.reshape(xp.reshape(X, (pre, at)) @ F.mT, X.shape)
    return xp.reshape(F[None, :, :] @ xp.reshape(X, (pre, at, post * L)), X.shape)


def _others(values: Sequence[Array], i: int) -> tuple[Array, Array]:
    """Outer products of the eigenvalues before and after factor i."""
    xp = array_namespace(*values)
    one = xp.ones(1, dtype=values[0].dtype, device=device(values[0]))
    before = outer(values[:i]) if i else one
    after = outer(values[i + 1 :]) if i + 1 < len(values) else one
    return before, after


def mm_factor(model: KronModel, i: int) -> float:
    """Exact block majorisation of the evidence in gamma_i; returns the change.

    ``gamma_i *= sqrt(q / t)`` where t and q are the linear terms of the two convex
    bounds of log det C and of y^H C^-1 y (Wipf and Nagarajan 2010) along factor i.
    """
    xp = array_namespace(model.Y)
    pre, at, post = split(model.sizes, i)
    before, after = _others(model.spec.values, i)
    total = model.noise + outer(model.spec.values)
    D = 1.0 / xp.reshape(total, (pre, at, post))
    r = before[:, None] * after[None, :]
    d = xp.sum(xp.sum(D * r[:, None, :], axis=2), axis=0)
    L = model.Y.shape[1]
    weight = D * xp.sqrt(r)[:, None, :]
    W = xp.reshape(model.spec.Yt, (pre, at, post, L)) * weight[..., None]
    W = xp.reshape(xp.permute_dims(W, (1, 0, 2, 3)), (at, -1))
    HU = adjoint(model.H[i]) @ model.spec.vectors[i]
    t = abs2(HU) @ d
    moment = (W @ adjoint(W)) / L
    product = HU @ moment
    q = xp.sum(xp.real(product * xp.conj(HU)) if _complex(HU) else product * HU, axis=1)
    K = model.K[i]
    if K is not None:
        q, t = K.mT @ q, K.mT @ t
    tiny = xp.full_like(t, float(xp.finfo(t.dtype).smallest_normal))
    old = model.h[i]
    new = old * xp.sqrt(xp.clip(q, 0.0, None) / xp.maximum(t, tiny))
    top = float(to_numpy(xp.max(new)))
    if top <= 0:
        model.h[i] = new
        model.refresh_mode(i)
        return 0.0
    change = float(to_numpy(xp.max(xp.abs(new - old)))) / top
    last = len(model.h) - 1
    model.h[i] = new if i == last else new / top
    if i != last:
        model.h[last] = model.h[last] * top
        model.spec.values[last] = model.spec.values[last] * top
    model.refresh_mode(i)
    return change


def _complex(x: Array) -> bool:
    return bool(array_namespace(x).isdtype(x.dtype, "complex floating"))


def mm_sweep(model: KronModel) -> float:
    """All factors once, then the noise; returns the largest relative change."""
    xp = array_namespace(model.Y)
    change = max(mm_factor(model, i) for i in range(len(model.h)))
    if model.learn:
        D = 1.0 / (model.noise + outer(model.spec.values))
        dual = float(to_numpy(xp.sum(D * D * model.power)))
        trace = float(to_numpy(xp.sum(D)))
        model.noise = max(model.noise * math.sqrt(dual / trace), model.floor)
    return change


def prune(model: KronModel, tol: float) -> None:
    """Drop hyper-parameters below ``tol`` times the largest of their factor."""
    changed = False
    for i, h in enumerate(model.h):
        xp = array_namespace(h)
        keep = indices_where(h >= tol * xp.max(h))
        if keep.shape[0] == h.shape[0]:
            continue
        changed = True
        model.h[i] = xp.take(h, keep)
        model.index[i] = xp.take(model.index[i], keep)
        if model.K[i] is None:
            model.H[i] = xp.take(model.H[i], keep, axis=1)
        else:
            model.K[i] = xp.take(model.K[i], keep, axis=1)
    if changed:
        model.refresh()


def _second_moments(model: KronModel) -> Array:
    """``|mean|^2 + diag Sigma`` as a tensor (N_1, ..., N_I)."""
    xp = array_namespace(model.Y)
    mean, var = posterior(model.H, model.gammas, model.noise, model.spec)
    total = xp.mean(abs2(mean), axis=1) + var
    return xp.reshape(total, tuple(H.shape[1] for H in model.H))


def _em_noise(model: KronModel) -> None:
    """``(||y - A x||^2 + noise sum_j (1 - Sigma_jj / gamma_j)) / M`` in closed form."""
    if not model.learn:
        return
    xp = array_namespace(model.Y)
    total = model.noise + outer(model.spec.values)
    misfit = model.noise**2 * float(to_numpy(xp.sum(model.power / total**2)))
    used = float(to_numpy(xp.sum(1.0 - model.noise / total)))
    model.noise = max((misfit + model.noise * used) / total.shape[0], model.floor)


def _finish_em(model: KronModel, new: list[Array]) -> float:
    """Take the new factors; relative change of their outer product, not formed."""
    old = model.h
    xp = array_namespace(new[0])

    def dot(a: list[Array], b: list[Array]) -> float:
        return math.prod(
            float(to_numpy(xp.sum(u * v))) for u, v in zip(a, b, strict=True)
        )

    base = dot(old, old)
    squared = dot(new, new) - 2 * dot(new, old) + base
    _em_noise(model)
    model.h = new
    model.refresh()
    return math.sqrt(max(squared, 0.0) / max(base, 1e-300))


def svd_step(model: KronModel) -> float:
    """Rank-one factorisation of the second moments, one axis after the other."""
    rest = _second_moments(model)
    xp = array_namespace(rest)
    sizes, new = rest.shape, []
    for size in sizes[:-1]:
        unfolded = xp.reshape(rest, (size, -1))
        # The top left vector comes from a small matrix, whatever the long side.
        u = xp.linalg.eigh(unfolded @ unfolded.mT)[1][:, -1]
        new.append(xp.abs(u))
        rest = xp.abs(u @ unfolded)
    new.append(xp.reshape(rest, (-1,)))
    return _finish_em(model, new)


def am_step(model: KronModel) -> float:
    """Alternating minimisation of the expected log prior over the factors."""
    moments = to_numpy(_second_moments(model))
    new = [np.array(to_numpy(h)) for h in model.h]
    sizes = moments.shape
    for _ in range(AM_INNER_MAX):
        before = [g.copy() for g in new]
        for i in range(len(new)):
            rest = moments
            for k in reversed(range(len(new))):
                if k != i:
                    rest = np.tensordot(rest, 1.0 / new[k], axes=([k], [0]))
            new[i] = rest * sizes[i] / moments.size
            if i < len(new) - 1:
                new[i] /= np.linalg.norm(new[i])
        dots = [
            math.prod(float(a @ b) for a, b in zip(u, v, strict=True))
            for u, v in ((new, new), (new, before), (before, before))
        ]
        if max(dots[0] - 2 * dots[1] + dots[2], 0.0) < AM_INNER_TOL**2:
            break
    xp, like = array_namespace(model.Y), model.h[0]
    moved = [xp.asarray(g, dtype=like.dtype, device=device(like)) for g in new]
    return _finish_em(model, moved)
