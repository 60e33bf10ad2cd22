# SPDX-License-Identifier: BSD-3-Clause
"""Solvers of harmonic problems: elimination, direct, preconditioned gradients."""

import abc
import dataclasses
from typing import Any

import numpy as np

from numopt._array.sparse import CSR, as_csr
from numopt._iterate.loop import Solver
from numopt._iterate.stopping import Stop
from numopt.coordinate._kernels import graph as kernels
from numopt.coordinate._problem.graph import HarmonicProblem

__all__ = ["ConjugateGradients", "Direct", "Eliminate"]

#: Elimination pays when this share of the nodes has degree two or less.
LOW_DEGREE_SHARE = 0.05
#: Nodes of so many neighbours are eliminated where neighbours know each other, which is
#: the case when this share of their pairs is joined, seen on a sample of this size.
FEW_NEIGHBOURS, CLUSTERED, SAMPLE = 12, 0.3, 200
#: ... and where fewer rows than this share are held by a label or a ridge: otherwise
#: conjugate gradients need few iterations.
HELD = 0.1
#: Where a random walk stops at each step with more than this probability on average,
#: the diagonal is preconditioner enough, for so many iterations.
ABSORBED, QUICK = 0.03, 200
#: Excess of the diagonal over its row that counts as rounding.
ROUNDING = 1e-9
#: Cores up to this size are factored as dense matrices.
DENSE_SIZE = 300
#: Iterations of conjugate gradients, in units of n^(1/2), before a factorisation.
PATIENCE = 1.0
HIDDEN = (
    "`W` joins some unlabelled nodes to the labels only by weights that vanish beside "
    "their others in float64; leave such edges out, set `ridge`, or use a wider kernel"
)
#: Reorder when it brings entries this much closer to the diagonal.
REORDER_GAIN = 0.5


@dataclasses.dataclass(slots=True)
class SystemState:
    """Iterate (m, K) with its product and residual, iterations, and if more help."""

    x: np.ndarray
    product: np.ndarray
    residual: float
    n_iter: int = 0
    stalled: bool = False


class _GraphSolver(Solver[HarmonicProblem, SystemState]):
    """A solver whose one step solves the whole system; a second step refines."""

    name = "label_propagation"

    def init(self, problem: HarmonicProblem, warm_start: Any) -> SystemState:
        """Start at zero."""
        zero = np.zeros_like(problem.rhs)
        return SystemState(zero, zero, problem.residual(zero, zero))

    def step(self, problem: HarmonicProblem, state: SystemState) -> SystemState:
        """Solve for the residual and add."""
        before = state.residual
        correction, taken = self.correct(problem, problem.rhs - state.product, state)
        state.x = state.x + correction
        state.product = problem.product(state.x)
        state.residual = problem.residual(state.x, state.product)
        state.n_iter += max(taken, 1)
        state.stalled = not state.residual < 0.5 * before
        return state

    @abc.abstractmethod
    def correct(
        self, problem: HarmonicProblem, rhs: np.ndarray, state: SystemState
    ) -> tuple[np.ndarray, int]:
        """Solve with another right-hand side; also the iterations it took."""

    def measure(self, problem: HarmonicProblem, state: SystemState) -> dict[str, Any]:
        """Objective, largest relative residual of a column, iterations."""
        return {
            "objective": problem.objective(state.x, state.product),
            "residual": state.residual,
            "n_iter": state.n_iter,
        }

    def stop(self, problem: HarmonicProblem, state: SystemState) -> Stop | None:
        """Stop when refinement gains nothing any more."""
        if state.stalled:
            return Stop("stalled", "rounding: `tol` is below what the graph allows")
        return None

    def current(self, state: SystemState) -> np.ndarray:
        """Return the iterate."""
        return state.x

    def finish(self, problem: HarmonicProblem, state: SystemState) -> dict[str, Any]:
        """Return the scores of the unknown nodes."""
        return {"x": state.x}


@dataclasses.dataclass(frozen=True)
class Direct(_GraphSolver):
    """Sparse factorisation with a symmetric ordering, and iterative refinement."""

    def correct(
        self, problem: HarmonicProblem, rhs: np.ndarray, state: SystemState
    ) -> tuple[np.ndarray, int]:
        """Factor and solve."""
        return solve_direct(problem.off, problem.diagonal, rhs), 1


@dataclasses.dataclass(frozen=True)
class ConjugateGradients(_GraphSolver):
    """Conjugate gradients with the incomplete factor of the whole system."""

    tol: float
    max_iter: int

    def correct(
        self, problem: HarmonicProblem, rhs: np.ndarray, state: SystemState
    ) -> tuple[np.ndarray, int]:
        """Run conjugate gradients to the tolerance of the problem."""
        tol = _tolerance(problem, rhs, self.tol)
        left = self.max_iter - state.n_iter
        x, _, taken = solve_cg(problem.off, problem.diagonal, rhs, tol, left)
        return x, taken


@dataclasses.dataclass(frozen=True)
class Eliminate(_GraphSolver):
    """Exact elimination of low degrees; gradients or a factorisation for the core."""

    tol: float
    max_iter: int

    def correct(
        self, problem: HarmonicProblem, rhs: np.ndarray, state: SystemState
    ) -> tuple[np.ndarray, int]:
        """Solve on the core and restore the eliminated nodes."""
        off, diagonal = problem.off, problem.diagonal
        tol = _tolerance(problem, rhs, self.tol)
        left = self.max_iter - state.n_iter
        low = np.count_nonzero(np.diff(off.indptr) <= 2)
        if low < LOW_DEGREE_SHARE * problem.size:
            return solve_core(off, diagonal, rhs, tol, left)
        *core, kept, steps, weights, pivots, sides, _ = kernels.eliminate_low_degrees(
            off.data, off.indices, off.indptr, diagonal, rhs
        )
        values, cols, ptr, core_diagonal, core_rhs = core
        taken, x_core = 0, core_rhs
        if kept.size:
            matrix = _sorted(CSR(values, cols, ptr, (kept.size, kept.size)))
            # Back substitution spreads the core's residual: ask for less of it.
            x_core, taken = solve_core(matrix, core_diagonal, core_rhs, 0.1 * tol, left)
        x = kernels.restore_eliminated(steps, weights, pivots, sides, x_core, kept)
        return x, taken


def solve_core(
    off: CSR, diagonal: np.ndarray, rhs: np.ndarray, tol: float, max_iter: int
) -> tuple[np.ndarray, int]:
    """Solve what elimination of low degrees leaves, by its size and structure."""
    n = diagonal.size
    if n <= DENSE_SIZE:
        return _solve_dense(off, diagonal, rhs), 1
    nodes = np.linspace(0, n - 1, SAMPLE, dtype=np.int64)
    stopped = 1.0 + np.asarray(off.to_scipy().sum(axis=1)) / diagonal
    if (
        np.mean(stopped > ROUNDING) < HELD
        and kernels.clustering(off.indices, off.indptr, nodes) >= CLUSTERED
    ):
        return solve_clustered(off, diagonal, rhs, tol, max_iter)
    if np.mean(stopped) > ABSORBED:
        return solve_absorbed(off, diagonal, rhs, tol, max_iter)
    return solve_open(off, diagonal, rhs, tol, max_iter)


def solve_absorbed(
    off: CSR, diagonal: np.ndarray, rhs: np.ndarray, tol: float, max_iter: int
) -> tuple[np.ndarray, int]:
    """Conjugate gradients that need no factor and no order, while they are quick."""
    x, residuals, taken = kernels.jacobi_cg(
        off.data, off.indices, off.indptr, diagonal, rhs, tol, min(QUICK, max_iter)
    )
    worst = float(np.max(residuals, initial=0.0))
    if worst <= tol or taken >= max_iter:
        return x, taken
    rest = rhs - diagonal[:, None] * x - off.to_scipy() @ x
    more, steps = solve_open(
        off, diagonal, rest, min(0.9, tol / worst), max_iter - taken
    )
    return x + more, taken + steps


def solve_clustered(
    off: CSR, diagonal: np.ndarray, rhs: np.ndarray, tol: float, max_iter: int
) -> tuple[np.ndarray, int]:
    """Eliminate nodes of few neighbours exactly, which causes little fill here."""
    order = _narrow_order(off)
    if order is not None:
        off, diagonal, rhs = _permuted(off, order), diagonal[order], rhs[order]
    *core, kept, steps, ends, mates, weights, pivots, sides, _ = (
        kernels.eliminate_nodes(
            off.data, off.indices, off.indptr, diagonal, rhs, FEW_NEIGHBOURS
        )
    )
    values, cols, ptr, core_diagonal, core_rhs = core
    taken, x = 1, core_rhs
    matrix = _sorted(CSR(values, cols, ptr, (kept.size, kept.size)))
    if kept.size > DENSE_SIZE:
        x, taken = solve_open(matrix, core_diagonal, core_rhs, 0.1 * tol, max_iter)
    elif kept.size:
        x = _solve_dense(matrix, core_diagonal, core_rhs)
    x = kernels.restore_nodes(steps, ends, mates, weights, pivots, sides, x, kept)
    return _unpermuted(x, order), taken


def solve_open(
    off: CSR, diagonal: np.ndarray, rhs: np.ndarray, tol: float, max_iter: int
) -> tuple[np.ndarray, int]:
    """Solve by conjugate gradients, or by a factorisation when they are slow."""
    patience = min(max_iter, int(100 + PATIENCE * np.sqrt(diagonal.size)))
    x, residuals, taken = solve_cg(off, diagonal, rhs, tol, patience)
    if np.all(residuals <= tol) or taken < patience:
        return x, taken
    return solve_direct(off, diagonal, rhs), taken + 1


def solve_cg(
    off: CSR, diagonal: np.ndarray, rhs: np.ndarray, tol: float, max_iter: int
) -> tuple[np.ndarray, np.ndarray, int]:
    """Conjugate gradients in an order that keeps neighbours close."""
    order = _narrow_order(off)
    if order is None:
        return kernels.mic_cg(
            off.data, off.indices, off.indptr, diagonal, rhs, tol, max_iter
        )
    ordered = _permuted(off, order)
    x, residuals, taken = kernels.mic_cg(
        ordered.data,
        ordered.indices,
        ordered.indptr,
        diagonal[order],
        rhs[order],
        tol,
        max_iter,
    )
    return _unpermuted(x, order), residuals, taken


def solve_direct(off: CSR, diagonal: np.ndarray, rhs: np.ndarray) -> np.ndarray:
    """Sparse factorisation with pivots on the diagonal."""
    from scipy.sparse import csc_array, diags_array
    from scipy.sparse.linalg import splu

    try:
        factor = splu(
            csc_array(off.to_scipy() + diags_array(diagonal)),
            permc_spec="MMD_AT_PLUS_A",
            diag_pivot_thresh=0.0,
            options={"SymmetricMode": True},
        )
    except RuntimeError as error:
        raise ValueError(HIDDEN) from error
    return factor.solve(rhs)


def _solve_dense(off: CSR, diagonal: np.ndarray, rhs: np.ndarray) -> np.ndarray:
    """Solve as a dense matrix."""
    from scipy.linalg import cho_factor, cho_solve

    A = off.to_scipy().toarray()
    A[np.diag_indices_from(A)] += diagonal
    try:
        factor = cho_factor(A, check_finite=False)
    except np.linalg.LinAlgError as error:
        raise ValueError(HIDDEN) from error
    return cho_solve(factor, rhs, check_finite=False)


def _permuted(off: CSR, order: np.ndarray) -> CSR:
    """The matrix with its nodes in another order."""
    A = off.to_scipy()[order][:, order]
    A.sort_indices()
    return as_csr(A)


def _unpermuted(x: np.ndarray, order: np.ndarray | None) -> np.ndarray:
    """Rows back in the order they came in."""
    if order is None:
        return x
    out = np.empty_like(x)
    out[order] = x
    return out


def _narrow_order(off: CSR) -> np.ndarray | None:
    """Reverse Cuthill-McKee order when it brings neighbours much closer."""
    from scipy.sparse.csgraph import reverse_cuthill_mckee

    if off.nnz == 0:
        return None
    A = off.to_scipy()
    order = reverse_cuthill_mckee(A, symmetric_mode=True)
    rank = np.empty(order.size, np.int64)
    rank[order] = np.arange(order.size)
    rows = np.repeat(np.arange(order.size), np.diff(off.indptr))
    before = np.mean(np.abs(rows - off.indices))
    after = np.mean(np.abs(rank[rows] - rank[off.indices]))
    return order if after < REORDER_GAIN * before else None


def _sorted(matrix: CSR) -> CSR:
    """The same matrix with ascending columns in each row."""
    A = matrix.to_scipy()
    A.has_sorted_indices = False
    A.sort_indices()
    return matrix._replace(data=A.data, indices=A.indices)


def _tolerance(problem: HarmonicProblem, rhs: np.ndarray, tol: float) -> float:
    """Relative to this right-hand side, what ``tol`` asks of the first one."""
    norms = np.linalg.norm(rhs, axis=0)
    open_columns = norms > 0
    ratio = problem.rhs_norms[open_columns] / norms[open_columns]
    return float(min(0.9, tol * np.min(ratio)))
