# SPDX-License-Identifier: BSD-3-Clause
"""Images of few levels from few projections: SIRT, then annealing with a Potts prior.

Under bounded noise every image whose residual stays within the bound is equally likely,
so a prior must choose among them: the number of unequal neighbours.
"""

import dataclasses
import time
from typing import Any

import numpy as np
import scipy.sparse as sp

from numopt._iterate.loop import Solver
from numopt._iterate.stopping import Stop
from numopt.dmmv._kernels import anneal_sparse, polish_sparse

__all__ = ["Tomography", "TomographySolver", "dart", "neighbours", "sirt"]

#: Exponents q of the data term |r / tau|^(2^q).
EXPONENTS = {"l2": 1, "max": 2}
HOT, COLD = 2.0, 0.02
#: Proposals a pixel in one annealing round, and rounds from a wide noise bound to the
#: given one. The walk starts where a single wrong pixel costs FLIP; the higher power
#: comes last.
PROPOSALS = 400
ROUNDS, LAST = 5, 2
FLIP = 3.0
SIRT_STEPS = 800
#: Levels up to which polishing tries all, and moves it makes.
FEW_LEVELS = 4
POLISHING = 10_000
#: Price of an unequal pair in units of a squared residual as large as the noise bound:
#: 1 and 1.7 are the best of 0.6, 1, 1.7, 3 and 5 on random blobs
#: (`python -m benchmarks.table --family dmmv --groups smoothness`).
STRENGTH = 1.7


@dataclasses.dataclass(frozen=True)
class Tomography:
    """Rays ``A`` (CSC), measurements, levels, neighbour lists and noise bound."""

    A: sp.csc_array
    b: np.ndarray
    levels: np.ndarray
    start: np.ndarray
    end: np.ndarray
    noise: float

    def violation(self, x: np.ndarray) -> float:
        """Return the largest absolute residual."""
        return float(np.max(np.abs(self.A @ x - self.b), initial=0.0))

    def table(self) -> np.ndarray:
        """Return the levels of each pixel."""
        return np.repeat(self.levels[None, :], self.A.shape[1], axis=0)

    @property
    def flip(self) -> float:
        """Mean squared change of the projections by one pixel and one level."""
        gap = float(np.mean(np.diff(self.levels)))
        return gap**2 * float(np.sum(self.A.data**2)) / self.A.shape[1]


def neighbours(shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return CSR lists of the four neighbours of each pixel."""
    index = np.arange(shape[0] * shape[1]).reshape(shape)
    pairs = [
        (index[:, :-1], index[:, 1:]),
        (index[:-1, :], index[1:, :]),
    ]
    a = np.concatenate([p.ravel() for p, _ in pairs])
    b = np.concatenate([q.ravel() for _, q in pairs])
    rows, columns = np.concatenate([a, b]), np.concatenate([b, a])
    graph = sp.csr_array(
        (np.ones(rows.size), (rows, columns)), shape=(index.size, index.size)
    )
    graph.sort_indices()
    return graph.indptr.astype(np.int64), graph.indices.astype(np.int64)


def sirt(
    A: Any, b: np.ndarray, low: float, high: float, steps: int = SIRT_STEPS
) -> np.ndarray:
    """Simultaneous iterative reconstruction with a box (Gilbert 1972)."""
    by_row = sp.csr_array(A)
    transposed = sp.csr_array(by_row.T)
    row_sums = np.asarray(abs(by_row).sum(axis=1)).ravel()
    column_sums = np.asarray(abs(by_row).sum(axis=0)).ravel()
    rows = np.where(row_sums > 0, 1.0 / np.where(row_sums > 0, row_sums, 1.0), 0.0)
    columns = np.where(
        column_sums > 0, 1.0 / np.where(column_sums > 0, column_sums, 1.0), 0.0
    )
    x = np.full(by_row.shape[1], np.clip(0.0, low, high))
    for _ in range(steps):
        x += columns * (transposed @ (rows * (b - by_row @ x)))
        np.clip(x, low, high, out=x)
    return x


def dart(
    problem: Tomography,
    x: np.ndarray,
    rng: np.random.Generator,
    *,
    rounds: int = 20,
    free: float = 0.15,
    steps: int = 10,
) -> np.ndarray:
    """Discrete algebraic reconstruction (Batenburg and Sijbers 2011).

    Pixels at edges of the thresholded image, and a random share of the others, are
    solved for again; the rest stay at their levels.
    """
    low, high = problem.levels[0], problem.levels[-1]
    labels = nearest_levels(problem.levels, x)
    owner = np.repeat(np.arange(x.size), np.diff(problem.start))
    by_row = sp.csr_array(problem.A)
    for _ in range(rounds):
        edge = np.zeros(x.size, bool)
        edge[owner[labels[owner] != labels[problem.end]]] = True
        moving = edge | (rng.random(x.size) < free)
        fixed = np.where(moving, 0.0, problem.levels[labels])
        rest = problem.b - by_row @ fixed
        x = problem.levels[labels].copy()
        x[moving] = sirt(sp.csc_array(problem.A)[:, moving], rest, low, high, steps)
        labels = nearest_levels(problem.levels, x)
    return problem.levels[labels]


def nearest_levels(levels: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return indices of the nearest levels."""
    return np.searchsorted(0.5 * (levels[1:] + levels[:-1]), x).astype(np.int64)


def polish_image(problem: Tomography, labels: np.ndarray) -> np.ndarray:
    """Lower the largest residual while it exceeds the noise bound."""
    A, by_row = problem.A, sp.csr_array(problem.A)
    n = labels.size
    better, _ = polish_sparse(
        A.indptr, A.indices, A.data, by_row.indptr.astype(np.int64),
        by_row.indices.astype(np.int64), problem.table(), np.zeros(n, np.int64),
        np.full(n, problem.levels.size - 1), problem.b, problem.b, labels, FEW_LEVELS,
        True, problem.noise, POLISHING,
    )  # fmt: skip
    return better


@dataclasses.dataclass
class TomographyState:
    """Labels of least energy so far, those of the walk, and the rounds that are left.

    ``bounds`` holds the noise bounds of the rounds, the last first.
    """

    labels: np.ndarray
    violation: float
    energy: float
    walk: np.ndarray
    bounds: np.ndarray

    @property
    def left(self) -> int:
        """Rounds that are left."""
        return self.bounds.size


@dataclasses.dataclass(frozen=True)
class TomographySolver(Solver[Tomography, TomographyState]):
    """One annealing run a round, each from the last and with a tighter noise bound.

    Under a tight bound every change of one pixel is a barrier; under a wide one the
    prior decides, and the walk reaches the right shapes first.
    """

    criterion: str
    strength: float
    init_method: str
    seed: int
    time_limit: float | None
    started: float
    rounds: int = ROUNDS
    name: str = "DiscreteTomography"
    interruptible = True

    def energy(self, problem: Tomography, labels: np.ndarray) -> float:
        """Return data term plus prior."""
        residual = problem.A @ problem.levels[labels] - problem.b
        power = 2 ** EXPONENTS[self.criterion]
        owner = np.repeat(np.arange(labels.size), np.diff(problem.start))
        edges = np.count_nonzero(labels[owner] != labels[problem.end]) / 2
        data = np.sum(np.abs(residual / problem.noise) ** power)
        return float(data + self.strength * edges)

    def init(self, problem: Tomography, warm_start: Any) -> TomographyState:
        """Threshold SIRT, or DART from there."""
        rng = np.random.default_rng(self.seed)
        x = sirt(problem.A, problem.b, problem.levels[0], problem.levels[-1])
        if self.init_method == "dart":
            x = dart(problem, x, rng)
        labels = nearest_levels(problem.levels, x)
        violation = problem.violation(problem.levels[labels])
        widest = max(problem.noise, np.sqrt(problem.flip / FLIP))
        bounds = np.geomspace(problem.noise, widest, self.rounds)
        energy = self.energy(problem, labels)
        return TomographyState(labels, violation, energy, labels, bounds)

    def step(self, problem: Tomography, state: TomographyState) -> TomographyState:
        """Anneal, and keep the image when its energy is lower."""
        labels = self._anneal(problem, state)
        if state.left == 1 and self.criterion == "max":
            labels = polish_image(problem, labels)
        energy = self.energy(problem, labels)
        if energy < state.energy:
            state.labels, state.energy = labels, energy
            state.violation = problem.violation(problem.levels[labels])
        state.walk, state.bounds = labels, state.bounds[:-1]
        return state

    def _anneal(self, problem: Tomography, state: TomographyState) -> np.ndarray:
        n = state.walk.size
        criterion = self.criterion if state.left <= LAST else "l2"
        return anneal_sparse(
            problem.A.indptr, problem.A.indices, problem.A.data, problem.table(),
            np.zeros(n, np.int64), np.full(n, problem.levels.size - 1), problem.b,
            problem.b, state.walk, problem.start, problem.end, self.strength,
            float(state.bounds[-1]), EXPONENTS[criterion], HOT, COLD, PROPOSALS * n,
            self.seed + 7919 * state.left,
        )  # fmt: skip

    def measure(self, problem: Tomography, state: TomographyState) -> dict[str, Any]:
        """The energy is the objective; the residual counts the rounds left."""
        return {
            "objective": state.energy,
            "residual": float(state.left),
            "violation": state.violation,
        }

    def current(self, state: TomographyState) -> np.ndarray:
        """Return the labels."""
        return state.labels

    def stop(self, problem: Tomography, state: TomographyState) -> Stop | None:
        """Stop at the time limit."""
        if self.time_limit is None:
            return None
        if time.perf_counter() - self.started <= self.time_limit:
            return None
        return Stop("max_iter", f"time_limit={self.time_limit:g} s reached")

    def finish(self, problem: Tomography, state: TomographyState) -> dict[str, Any]:
        """Return labels and violation."""
        return {"labels": state.labels, "violation": state.violation}
