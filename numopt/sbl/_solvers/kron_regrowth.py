# SPDX-License-Identifier: BSD-3-Clause
"""Crowded factors of a local maximum, emptied and grown again atom by atom."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from numopt._array.namespace import device, to_numpy
from numopt.sbl._solvers.kron_model import KronModel, make_model, scatter
from numopt.sbl._solvers.kron_selection import changes, eliminate
from numopt.sbl._solvers.kron_steps import mm_sweep
from numopt.typing import Array

__all__ = ["Answer", "answer_of", "better", "crowded", "regrown"]

CHAINS = 16  # first atoms that are tried
SCALES = (4.0, 1 / 2, 1 / 16, 1 / 128)  # variances tried; the largest before is one
SWEEPS, PRUNE = 6, 1e-8  # of majorisation, before chains are compared
LIMIT = 2**23  # entries of the array of all changes above which nothing is grown


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """What a batch of models came to; ``cost``, prices included, is minimised.

    The arrays are on the host; they are small beside the data.
    """

    gammas: list[np.ndarray]  # (b, N_i), of all atoms
    noise: np.ndarray  # (b,)
    cost: np.ndarray  # (b,)

    @property
    def arrays(self) -> list[np.ndarray]:
        """All of them, with the problems along the first axis."""
        return [*self.gammas, self.noise, self.cost]

    def model(
        self,
        like: KronModel,
        factors: Sequence[Array],
        problems: np.ndarray,
        whole: int | None = None,
    ) -> KronModel:
        """Model with these variances and the data of some problems of another.

        Atoms that are in no problem are left out, but those of factor ``whole``.
        """
        xp, where = like.xp, device(like.Y)
        made = make_model(
            factors,
            [xp.asarray(g, device=where) for g in self.gammas],
            xp.take(like.Y, xp.asarray(problems, device=where), axis=0),
            xp.asarray(self.noise, device=where),
            floor=like.floor,
            learn=like.learn,
        )
        for i in range(made.order):
            if i != whole:
                made.drop_unused(i)
        made.refresh()
        return made

    def of(self, problems: np.ndarray) -> "Answer":
        """The answers to some problems."""
        return _answer([x[problems] for x in self.arrays])


def _answer(arrays: list[np.ndarray]) -> Answer:
    """Inverse of :attr:`Answer.arrays`."""
    return Answer(arrays[:-2], *arrays[-2:])


def answer_of(model: KronModel, factors: Sequence[Array], price: float) -> Answer:
    """Where a model without coupling stands when an atom costs ``price``."""
    gammas = [
        to_numpy(scatter(h, index, F.shape[1]))
        for h, index, F in zip(model.h, model.index, factors, strict=True)
    ]
    count = sum(np.count_nonzero(g > 0, axis=1) for g in gammas)
    return Answer(gammas, to_numpy(model.noise), to_numpy(model.terms) + price * count)


def better(first: Answer, second: Answer) -> Answer:
    """The answer of lower cost, problem by problem; the first where they are equal."""
    wins = first.cost <= second.cost
    pairs = zip(first.arrays, second.arrays, strict=True)
    return _answer(
        [np.where(wins if a.ndim == 1 else wins[:, None], a, b) for a, b in pairs]
    )


def crowded(model: KronModel) -> np.ndarray:
    """Factors that kept more atoms than half of their rows: (I, b).

    Sparse answers that the rows determine do not. A local maximum that explains by many
    atoms what a few others would explain better does.
    """
    counts = [np.sum(to_numpy(h) > 0, axis=1) for h in model.h]
    return np.stack(
        [2 * k > max(2, H.shape[0]) for k, H in zip(counts, model.H, strict=True)]
    )


def regrown(
    answer: Answer,
    like: KronModel,
    factors: Sequence[Array],
    full: np.ndarray,
    price: float,
) -> Answer:
    """Choose the atoms of the factors ``full`` (I, b) anew, one after the other."""
    arrays = [x.copy() for x in answer.arrays]
    for i in np.flatnonzero(np.any(full, axis=1)).tolist():
        problems = np.flatnonzero(full[i])
        rows, n = factors[i].shape
        cost = problems.size * n * (like.Y.shape[2] // rows)
        chains = min(n, CHAINS, LIMIT // cost)
        if n <= rows or chains == 0:
            continue
        start = _answer(arrays).of(problems)
        grown = _grow(start, like, factors, problems, i, chains, price)
        for x, part in zip(arrays, grown.arrays, strict=True):
            x[problems] = part
    return _answer(arrays)


def _grow(
    start: Answer,
    like: KronModel,
    factors: Sequence[Array],
    problems: np.ndarray,
    i: int,
    chains: int,
    price: float,
) -> Answer:
    """Empty factor i and let atoms enter, the best first, from several first atoms.

    The other factors stay meanwhile. An atom enters that lowers the evidence terms by
    more than ``price``, while at most half as many atoms as rows are in. The chains of
    all problems advance together, and after some majorisation the best one is kept.
    """
    top = np.max(start.gammas[i], axis=1, keepdims=True)
    start.gammas[i][:] = 0.0
    model = start.model(like, factors, problems, whole=i)
    change, value = _entries(model, i, start.gammas[i], top)
    first = np.argsort(change, axis=1, kind="stable")[:, :chains].ravel()
    which = np.repeat(np.arange(problems.size), chains)
    many, top = start.of(which), top[which]
    h, every = many.gammas[i], np.arange(which.size)
    h[every, first] = value[which, first]
    model = many.model(like, factors, problems[which], whole=i)
    growing = np.full(which.size, True)
    for _ in range(factors[i].shape[0] // 2 - 1):
        change, value = _entries(model, i, h, top)
        place = np.argmin(change, axis=1)
        growing = growing & (change[every, place] < -price)
        if not np.any(growing):
            break
        chosen = every[growing], place[growing]
        h[chosen] = value[chosen]
    model = many.model(like, factors, problems[which])
    for _ in range(SWEEPS):
        mm_sweep(model, PRUNE)
    eliminate(model, price)
    ends = answer_of(model, factors, price)
    best = np.argmin(ends.cost.reshape(-1, chains), axis=1)
    return ends.of(np.arange(problems.size) * chains + best)


def _entries(
    model: KronModel, i: int, h: np.ndarray, top: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Changes of the evidence terms by the entry of each atom, and its variance.

    ``h`` (b, N) are the variances of factor i; atoms that are in cannot enter.
    """
    where = device(model.Y)
    model.h[i] = model.xp.asarray(h, device=where)
    model.refresh()
    for k in range(i):
        model.skip(k)
    best, value = np.full(h.shape, math.inf), np.zeros_like(h)
    for scale in SCALES:
        added = np.broadcast_to(scale * top, h.shape).astype(h.dtype)
        change = to_numpy(changes(model, i, -model.xp.asarray(added, device=where)))
        value = np.where(change < best, added, value)
        best = np.minimum(best, change)
    return np.where(h > 0, math.inf, best), value
