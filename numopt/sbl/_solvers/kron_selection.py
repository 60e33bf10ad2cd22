# SPDX-License-Identifier: BSD-3-Clause
"""Elimination of factor atoms whose loss of evidence is below a price."""

import math

import numpy as np

from numopt._array.namespace import device, to_numpy
from numopt.sbl._solvers.kron_model import KronModel
from numopt.typing import Array

__all__ = ["changes", "eliminate"]

CANDIDATES = 4  # smallest coupled hyper-parameters of a factor that are looked at


def eliminate(model: KronModel, price: float) -> int:
    """Remove hyper-parameters while the evidence terms rise by less than ``price``.

    In every round each problem loses the one that costs least. Returns how many went.
    """
    removed = 0
    while True:
        losses = []
        for i in range(model.order):
            losses.append(_losses(model, i))
            model.skip(i)
        best = np.stack([np.min(loss, axis=1) for loss in losses])
        factor = np.argmin(best, axis=0)
        chosen = np.min(best, axis=0) < price
        if not np.any(chosen):
            return removed
        for i in range(model.order):
            rows = np.flatnonzero(chosen & (factor == i))
            if rows.size == 0:
                model.skip(i)
                continue
            mask = np.zeros(losses[i].shape, dtype=bool)
            mask[rows, np.argmin(losses[i][rows], axis=1)] = True
            _remove(model, i, mask)
        removed += int(np.sum(chosen))


def _remove(model: KronModel, i: int, mask: np.ndarray) -> None:
    """Zero the masked hyper-parameters of factor i, which is in front."""
    xp, h = model.xp, model.h[i]
    gone = xp.asarray(mask, device=device(h))
    model.h[i] = xp.where(gone, xp.zeros_like(h), h)
    model.drop_unused(i)
    model.turn(i, model.gamma(i))


def _losses(model: KronModel, i: int) -> np.ndarray:
    """Rise of the evidence terms per removed hyper-parameter of factor i, in front.

    Infinite for those that are zero already and for the last one of a problem.
    """
    alive = to_numpy(model.h[i]) > 0
    K = model.K[i]
    if K is None:
        losses = to_numpy(changes(model, i, model.h[i]))
    else:
        losses = _decomposed(model, i, K)
    lonely = np.sum(alive, axis=1, keepdims=True) < 2
    return np.where(alive & ~lonely, losses, math.inf)


def changes(model: KronModel, i: int, gamma: Array) -> Array:
    """Changes of the evidence terms when variances ``gamma`` of factor i, in front, go.

    One atom at a time; negative variances come instead. These are rank-one downdates,
    with no decomposition and one pass over C: with u = U_i^H a_j and s_k the product of
    the eigenvalues of the other factors, each slice of C loses ``gamma_j s_k u u^H``.
    """
    xp, V = model.xp, model.V[i]
    rest = model.rest(i)
    D = 1.0 / model.total(i, rest)
    weight = gamma[:, :, None] * rest[:, None, :]
    inner = V[:, None, ...] @ (D[:, None, ...] * model.Yt)
    energy = model.abs2(inner)
    energy = energy[:, 0, ...] if energy.shape[1] == 1 else xp.mean(energy, axis=1)
    eps = float(xp.finfo(D.dtype).eps)
    left = xp.maximum(1.0 - weight * (model.abs2(V) @ D), eps)
    return xp.sum(xp.log(left) + weight * energy / left, axis=2)


def _decomposed(model: KronModel, i: int, K: Array) -> np.ndarray:
    """Losses of the few smallest coupled hyper-parameters, each by its eigenbasis."""
    xp, h = model.xp, model.h[i]
    host = to_numpy(h)
    order = np.argsort(np.where(host > 0, host, math.inf), axis=1, kind="stable")
    order = order[:, :CANDIDATES]
    reduced = np.repeat(host[:, None, :], order.shape[1], axis=1)
    np.put_along_axis(reduced, order[:, :, None], 0.0, axis=2)
    gamma = xp.asarray(reduced, device=device(h)) @ K.mT
    s, U = model.eigenbasis(i, gamma)  # (b, candidates, M_i), ...
    turn = model.ct(U) @ model.U[i][:, None, ...]
    power = xp.mean(model.abs2(turn[:, :, None, ...] @ model.Yt[:, None, ...]), axis=2)
    rest = model.rest(i)[:, None, None, :]
    total = model.noise[:, None, None, None] + s[..., None] * rest
    terms = xp.sum(xp.sum(xp.log(total) + power / total, axis=3), axis=2)
    base = xp.sum(xp.sum(_base_terms(model, i), axis=2), axis=1)
    losses = np.full(host.shape, math.inf)
    np.put_along_axis(losses, order, to_numpy(terms - base[:, None]), axis=1)
    return losses


def _base_terms(model: KronModel, i: int) -> Array:
    """Summands of the evidence terms with factor i in front."""
    total = model.total(i, model.rest(i))
    return model.xp.log(total) + model.power / total
