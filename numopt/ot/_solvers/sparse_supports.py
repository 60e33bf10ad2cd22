# SPDX-License-Identifier: BSD-3-Clause
"""Supports of few entries a column on which some plan meets the rows."""

import dataclasses

import numpy as np

from numopt.ot._solvers.programs import transport_program

__all__ = ["Supports", "feasible_supports"]

#: Mass, of a total of 1, below which an entry counts as unused, rows as met.
NOTHING = 1e-13
MET = 1e-11
#: Programs of a start, and in a row without a gain.
MAX_ROUNDS, PATIENCE = 40, 6
#: Starts, from scores that are moved further and further.
ATTEMPTS = 8
#: Reduced cost, in units of the largest, that is round-off.
SLACK = 1e-9


@dataclasses.dataclass(frozen=True)
class Supports:
    """Rows (m, k) of the kept entries; masses there and prices, of the program."""

    index: np.ndarray
    mass: np.ndarray
    unmet: float
    f: np.ndarray
    g: np.ndarray
    rounds: int = 1

    @property
    def feasible(self) -> bool:
        """Whether the masses meet both marginals."""
        return self.unmet <= MET

    def plan(self, n: int) -> np.ndarray:
        """Dense plan (n, m)."""
        plan = np.zeros((self.index.shape[0], n))
        np.put_along_axis(plan, self.index, self.mass, 1)
        return plan.T


def feasible_supports(
    score: np.ndarray, a: np.ndarray, b: np.ndarray, k: int
) -> Supports:
    """Start at the k best entries of every row of ``score`` (m, n); exchange some.

    A linear program over the entries finds the rows that they miss; its prices say
    which entry of a column would help. It replaces one that carries no mass, so that
    no round makes things worse; where every column is full, the exchange that promises
    most is tried, and where none is left, another start. Entries are charged what they
    fall short of their column's best.
    """
    excess = score.max(axis=1, keepdims=True) - score
    excess /= np.max(excess, where=np.isfinite(excess), initial=0.0) or 1.0
    rng = np.random.default_rng(0)
    best = _exchanges(excess, _lowest(excess, k), a, b)
    rounds = best.rounds
    width = float(np.median(np.take_along_axis(excess, _lowest(excess, k), 1)))
    for attempt in range(1, ATTEMPTS):
        if best.feasible:
            break
        moved = excess + attempt * (width + SLACK) * rng.random(excess.shape)
        found = _exchanges(excess, _lowest(moved, k), a, b)
        rounds += found.rounds
        best = min(best, found, key=lambda supports: supports.unmet)
    return dataclasses.replace(best, rounds=rounds)


def _lowest(excess: np.ndarray, k: int) -> np.ndarray:
    """Return the k entries of every row that fall least short."""
    return np.argpartition(excess, k - 1, axis=1)[:, :k]


def _exchanges(
    excess: np.ndarray, index: np.ndarray, a: np.ndarray, b: np.ndarray
) -> Supports:
    """Exchange entries while that lessens what the rows miss."""
    tried: set[tuple[int, int, int]] = set()
    found = best = _solve(excess, index, a, b)
    waited = rounds = 1
    while not found.feasible and waited <= PATIENCE and rounds < MAX_ROUNDS:
        exchanged = _exchanged(excess, found, tried)
        if exchanged is None:
            break
        found = _solve(excess, exchanged, a, b)
        rounds, waited = rounds + 1, waited + 1
        if found.unmet < best.unmet - MET:
            best, waited = found, 0
    return dataclasses.replace(best, rounds=rounds)


def _solve(
    excess: np.ndarray, index: np.ndarray, a: np.ndarray, b: np.ndarray
) -> Supports:
    """Solve the program over the entries."""
    cost = np.take_along_axis(excess, index, 1)
    allowed = np.isfinite(cost)
    columns, slots = np.nonzero(allowed)
    # No path through the entries can cost more than this price.
    program = transport_program(
        cost[columns, slots],
        index[columns, slots],
        columns,
        a,
        b,
        float(a.size + b.size),
    )
    mass = np.zeros(index.shape)
    mass[columns, slots] = program.mass
    return Supports(index, mass, program.unmet, program.f, program.g)


def _exchanged(
    excess: np.ndarray,
    found: Supports,
    tried: set[tuple[int, int, int]],
) -> np.ndarray | None:
    """Supports with entries that the prices ask for; None where they ask for none."""
    index, mass = found.index.copy(), found.mass
    every = np.arange(index.shape[0])
    reduced = excess - found.f - found.g[:, None]
    np.put_along_axis(reduced, index, np.inf, 1)
    gain, enter = -reduced.min(axis=1), reduced.argmin(axis=1)
    # Of the unused entries the worst leaves.
    falls_short = np.take_along_axis(excess, index, 1)
    leave = np.where(mass > NOTHING, -1.0, falls_short).argmax(axis=1)
    free = np.flatnonzero((mass[every, leave] <= NOTHING) & (gain > SLACK))
    if free.size:
        index[free, leave[free]] = enter[free]
        return index
    promise = gain[:, None] * np.minimum(mass, 0.5 * found.unmet)
    for flat in np.argsort(-promise, axis=None):
        column, slot = divmod(int(flat), mass.shape[1])
        if promise[column, slot] <= MET:
            return None
        move = (column, int(enter[column]), int(index[column, slot]))
        if move not in tried:
            tried.add(move)
            index[column, slot] = enter[column]
            return index
    return None
