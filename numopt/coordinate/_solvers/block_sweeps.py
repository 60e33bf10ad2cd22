# SPDX-License-Identifier: BSD-3-Clause
"""Block coordinate descent on harmonic problems: trees, colours, greedy forests."""

import dataclasses
from typing import Any

import numpy as np

from numopt._array.random import as_generator
from numopt._array.sparse import as_csr
from numopt._iterate.loop import Solver
from numopt.coordinate._kernels import graph as kernels
from numopt.coordinate._problem.graph import HarmonicProblem
from numopt.coordinate._solvers.partitions import (
    color_partition,
    greedy_forest,
    tree_partition,
)

__all__ = ["GREEDY", "PARTITIONS", "SELECTIONS", "BlockSweeps"]

PARTITIONS = ("trees", "red_black", "order", "sorted", "average", "variable")
SELECTIONS = ("cyclic", "shuffle", "random", "lipschitz", "GS", "GSL", "GSD", "GSQ")
#: Selections that score single nodes, so that a forest can be grown by them.
GREEDY = ("GS", "GSL", "GSD")


@dataclasses.dataclass(slots=True)
class Block:
    """One block: its nodes, columns of A, inner matrix and how it is solved."""

    nodes: np.ndarray
    columns: Any
    inner: Any
    forest: bool
    factor: Any


@dataclasses.dataclass(slots=True)
class SweepState:
    """Iterate, gradient ``Ax - C``, matrix and blocks."""

    x: np.ndarray
    gradient: np.ndarray
    matrix: Any
    blocks: list[Block]
    rng: np.random.Generator


@dataclasses.dataclass(frozen=True)
class BlockSweeps(Solver[HarmonicProblem, SweepState]):
    """Exact minimisation over one block after another; a step is one sweep."""

    partition: str
    selection: str
    random_state: Any = None
    name = "label_propagation"

    def init(self, problem: HarmonicProblem, warm_start: Any) -> SweepState:
        """Start at zero; partition the unknown nodes."""
        from scipy.sparse import csr_array, diags_array

        A = csr_array(problem.off.to_scipy() + diags_array(problem.diagonal))
        A.sort_indices()
        blocks = []
        if self.partition != "variable" and problem.size:
            blocks = [_block(A, nodes) for nodes in _partition(A, self.partition)]
        x = np.zeros_like(problem.rhs)
        rng = as_generator(self.random_state)
        return SweepState(x, -problem.rhs, A, blocks, rng)

    def step(self, problem: HarmonicProblem, state: SweepState) -> SweepState:
        """One sweep: as many block steps as there are blocks (variable: one)."""
        if self.partition == "variable":
            scores = self._node_scores(problem, state)
            _solve(state, _block(state.matrix, greedy_forest(state.matrix, scores)))
            return state
        for k in self._sequence(problem, state):
            _solve(state, state.blocks[k if k >= 0 else self._greediest(state)])
        return state

    def _sequence(self, problem: HarmonicProblem, state: SweepState) -> Any:
        """Block numbers of a sweep; -1 asks for the greedy choice."""
        count = len(state.blocks)
        if self.selection == "cyclic":
            return range(count)
        if self.selection == "shuffle":
            return state.rng.permutation(count)
        if self.selection == "random":
            return state.rng.integers(count, size=count)
        if self.selection == "lipschitz":
            weights = np.asarray(
                [np.max(problem.diagonal[b.nodes]) for b in state.blocks]
            )
            return state.rng.choice(count, size=count, p=weights / weights.sum())
        return np.full(count, -1)

    def _greediest(self, state: SweepState) -> int:
        """Block of the largest score."""
        return int(np.argmax([self._score(state, b) for b in state.blocks]))

    def _score(self, state: SweepState, block: Block) -> float:
        """Score of each block by the rule."""
        g = state.gradient[block.nodes]
        squares = np.sum(g * g, axis=1)
        if self.selection == "GS":
            return float(np.sum(squares))
        if self.selection == "GSQ":
            return float(np.sum(g * _inner_solve(block, g)))
        row_sums = abs(block.inner).sum(axis=1)
        if self.selection == "GSL":
            return float(np.sum(squares) / np.max(row_sums))
        return float(np.sum(squares / row_sums))

    def _node_scores(self, problem: HarmonicProblem, state: SweepState) -> np.ndarray:
        """Score of each node by the rule."""
        squares = np.sum(state.gradient**2, axis=1)
        if self.selection == "GS":
            return squares
        if self.selection == "GSD":
            return squares / abs(state.matrix).sum(axis=1)
        return squares / problem.diagonal

    def measure(self, problem: HarmonicProblem, state: SweepState) -> dict[str, Any]:
        """Objective and largest relative residual of a column."""
        return {
            "objective": problem.objective(state.x),
            "residual": problem.residual(state.x),
        }

    def current(self, state: SweepState) -> np.ndarray:
        """Return the iterate."""
        return state.x

    def finish(self, problem: HarmonicProblem, state: SweepState) -> dict[str, Any]:
        """Return the scores of the unknown nodes."""
        return {"x": state.x}


def _partition(A: Any, partition: str) -> list[np.ndarray]:
    """Blocks of nodes: two kinds follow the graph, the others the diagonal."""
    if partition == "trees":
        return tree_partition(A)
    if partition == "red_black":
        return color_partition(A)
    n = A.shape[0]
    size = max(1, int(np.ceil(np.sqrt(n))))
    order = np.arange(n)
    if partition != "order":
        order = np.argsort(A.diagonal(), kind="stable")
    if partition == "average":
        half = (n + 1) // 2
        mixed = np.empty(n, np.int64)
        mixed[0::2], mixed[1::2] = order[:half], order[half:][::-1]
        order = mixed
    return [order[lo : lo + size] for lo in range(0, n, size)]


def _block(A: Any, nodes: np.ndarray) -> Block:
    """Prepare a block: message passing on forests, a factor otherwise."""
    nodes = np.sort(nodes)
    columns = A[:, nodes]
    inner = columns[nodes]
    inner.sort_indices()
    plain = as_csr(inner)
    left = kernels.peel_leaves(plain.data, plain.indices, plain.indptr)
    forest, factor = int(left) == 0, None
    if not forest:
        from scipy.sparse.linalg import splu

        factor = splu(
            inner.tocsc(),
            permc_spec="MMD_AT_PLUS_A",
            diag_pivot_thresh=0.0,
            options={"SymmetricMode": True},
        )
    return Block(nodes, columns, inner, forest, factor)


def _inner_solve(block: Block, rhs: np.ndarray) -> np.ndarray:
    """Solve with the inner matrix of the block."""
    if not block.forest:
        return block.factor.solve(rhs)
    plain = as_csr(block.inner)
    sides = np.ascontiguousarray(rhs)
    return kernels.forest_sweep(plain.data, plain.indices, plain.indptr, sides)[0]


def _solve(state: SweepState, block: Block) -> None:
    """Minimise over the block and keep the gradient."""
    step = -_inner_solve(block, state.gradient[block.nodes])
    state.x[block.nodes] += step
    state.gradient += block.columns @ step
