# SPDX-License-Identifier: BSD-3-Clause
"""Unregularised transport: a linear program on the entries that matter, certified."""

import dataclasses
from typing import Any

import numpy as np

from numopt import _validation as v
from numopt._iterate.loop import Solver, iterate
from numopt._iterate.result import SolverResult
from numopt._iterate.stopping import Stop, warn_not_converged
from numopt.exceptions import InfeasibleError
from numopt.ot._problem import CoreProblem, TransportProblem
from numopt.ot._solvers.programs import transport_program
from numopt.ot._solvers.reduction import (
    host_arrays,
    like_input,
    marginal_error,
    on_host,
    whole_solution,
)
from numopt.ot._solvers.sinkhorn import sinkhorn
from numopt.typing import Array, Callback

__all__ = ["ExactResult", "ot_exact"]

METHODS = ("annealing", "network_simplex")

#: Problems up to this many entries go to the linear program whole.
SMALL = 10_000
#: Regularisation and error of the entropic start, in units of the range of the cost.
START_REG, START_TOL = 3e-5, 1e-4
#: Entries start in the program when their reduced cost is below START_GAP
#: regularisations, or when it is among the NEAREST of their row or column.
START_GAP, NEAREST = 8.0, 3
#: Most violated entries added for each row between two programs.
ADDED = 5


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ExactResult(SolverResult):
    """Solution of an unregularised transport problem, with a proof of its quality.

    Parameters
    ----------
    n_iter : int
        Linear programs solved.
    converged : bool
        Whether the relative gap is at most ``tol``.
    message : str
        Why the solver stopped and, on failure, what to try.
    status : str
        "converged", "max_iter", "callback", "stalled" or "infeasible".
    history : dict of str to ndarray
        One entry a program: "n_iter", "time", "objective", "residual" and "nnz", the
        entries in the program.
    plan : array of shape (n, m)
        Transport plan; a vertex has at most n + m - 1 positive entries.
    value : float
        Its cost ``<P, M>``.
    f, g : array of shape (n,) and (m,)
        Dual potentials: ``f_i + g_j <= M_ij`` for every pair, to rounding.
    dual_value : float
        ``<a, f> + <b, g>``, a lower bound on the cost of every plan.
    gap : float
        ``value - dual_value``: no plan is cheaper than ``value - gap``.
    marginal_error : float
        L1 error of both marginals, relative to the total mass.
    method : str
        Algorithm that gave the answer.

    See Also
    --------
    ot_exact : The function that makes it.

    Examples
    --------
    >>> from numopt.ot import ot_exact
    >>> result = ot_exact(None, None, [[0.0, 1.0], [1.0, 0.5]])
    >>> result.plan.tolist(), result.value, result.gap
    ([[0.5, 0.0], [0.0, 0.5]], 0.25, 0.0)
    """

    plan: Array
    value: float
    f: Array
    g: Array
    dual_value: float
    gap: float
    marginal_error: float
    method: str


def ot_exact(
    a: Array | None,
    b: Array | None,
    M: Array,
    *,
    method: str = "annealing",
    tol: float = 1e-9,
    max_iter: int = 50,
    callback: Callback | None = None,
    verbose: int = 0,
    warn: bool = True,
) -> ExactResult:
    r"""Solve optimal transport without regularisation, with a dual certificate.

    .. math::
        \min_{P \ge 0,\ P 1 = a,\ P^T 1 = b} \langle P, M \rangle
        \;=\; \max_{f_i + g_j \le M_{ij}} \langle a, f \rangle + \langle b, g \rangle

    Parameters
    ----------
    a : array of shape (n,) or None
        Source weights, non-negative; None means uniform of total 1.
    b : array of shape (m,) or None
        Target weights, with the sum of ``a``.
    M : array of shape (n, m)
        Cost; negative entries are allowed, ``inf`` forbids a pair.
    method : {"annealing", "network_simplex"}, default="annealing"
        - "annealing": an entropic solution tells which entries matter; a linear
          program on these is solved (HiGHS), entries that violate its dual are added
          until none does;
        - "network_simplex": the solver of POT, where that package is installed.
    tol : float, default=1e-9
        Duality gap at which to stop, relative to the excess of the value over
        ``min(M)`` times the mass, so that adding a constant to ``M`` changes nothing.
    max_iter : int, default=50
        Bound on the linear programs.
    callback : callable, default=None
        Called with an ``IterationInfo`` after every program; a true answer stops.
    verbose : int, default=0
        0 silent, 1 progress bar, 2 log lines.
    warn : bool, default=True
        Issue a ConvergenceWarning when ``tol`` was not reached.

    Returns
    -------
    ExactResult
        Plan, value, dual potentials and the gap between them, as arrays of the
        library and device of the input. The program itself is solved on the host.

    Raises
    ------
    InfeasibleError
        When no plan avoids the forbidden pairs.
    ValueError
        When an argument is invalid, shapes or sums do not match.
    ImportError
        When ``method="network_simplex"`` and POT is not installed.

    See Also
    --------
    sinkhorn : The regularised problem, for larger data and smooth losses.

    Notes
    -----
    The potentials are made feasible for all entries by ``f_i = min_j M_ij - g_j``, so
    ``dual_value`` is a lower bound whatever the program did. Memory: a few arrays of
    the size of ``M``.

    References
    ----------
    Schmitzer (2016), A sparse multiscale algorithm for dense optimal transport, J.
    Math. Imaging Vis. 56. Peyré & Cuturi (2019), Computational optimal transport,
    sections 2.5 and 3.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.ot import ot_exact
    >>> x, y = np.array([0.0, 1.0, 3.0]), np.array([0.5, 2.0, 2.5])
    >>> result = ot_exact(None, None, np.abs(x[:, None] - y))
    >>> round(result.value, 12), result.gap < 1e-12
    (0.666666666667, True)
    """
    v.check_choice("method", method, METHODS)
    tol = v.check_real("tol", tol, low=0)
    max_iter = v.check_int("max_iter", max_iter, low=1)
    v.check_callback(callback)
    verbose = v.check_int("verbose", verbose, low=0, high=2)
    problem = TransportProblem.from_arrays(a, b, M, 1.0)
    core = on_host(problem)
    solver = _Programs() if method == "annealing" else _NetworkSimplex()
    fields = iterate(
        solver,
        core,
        tol=tol,
        max_iter=max_iter,
        callback=callback,
        verbose=verbose,
        warn=False,
    )
    if warn and fields["status"] not in ("converged", "callback"):
        warn_not_converged(f"ot_exact (method={method!r})", fields["message"])
    return ExactResult(method=method, **(fields | _whole(problem, core, fields)))


@dataclasses.dataclass
class _State:
    """Entries of the program, its solution, and the dual made feasible."""

    entries: np.ndarray
    mass: np.ndarray
    f: np.ndarray
    g: np.ndarray
    unmet: float = 0.0
    programs: int = 1
    violated: np.ndarray = dataclasses.field(default_factory=lambda: np.empty(0, int))
    value: float = np.inf
    dual: float = -np.inf
    stopped: Stop | None = None


class _Programs(Solver[CoreProblem, _State]):
    """Linear programs on growing sets of entries (column generation)."""

    name = "ot_exact"

    def init(self, problem: CoreProblem, warm_start: Any) -> _State:
        """Choose the first entries, solve the first program."""
        entries = np.flatnonzero(_first_entries(problem))
        return self._solve(problem, entries)

    def step(self, problem: CoreProblem, state: _State) -> _State:
        """Add the entries that violate the dual, solve again."""
        entries = np.union1d(state.entries, state.violated)
        if entries.size > state.entries.size:
            solved = self._solve(problem, entries)
            return dataclasses.replace(solved, programs=state.programs + 1)
        if state.unmet > 1e-9:
            raise InfeasibleError(
                "`M` must leave a plan with the given marginals: infeasible support, "
                f"{state.unmet:.3g} of the mass has no finite cost"
            )
        reason = "no entry violates the dual any more; the gap is round-off"
        state.stopped = Stop("stalled", reason)
        return state

    def _solve(self, problem: CoreProblem, entries: np.ndarray) -> _State:
        """Solve the program on these entries and close its dual over all entries."""
        mass, f, g, unmet = _linear_program(problem, entries)
        violated = _most_violated(problem, f, g)
        return _closed(problem, _State(entries, mass, f, g, unmet, violated=violated))

    def measure(self, problem: CoreProblem, state: _State) -> dict[str, Any]:
        """Return value and relative gap; mass that is not moved counts as a gap."""
        low = problem.M.min()
        excess = max(state.value - low, 1e-12 * problem.cost_range, 1e-300)
        gap = max(state.value - state.dual, 0.0) / excess
        return {
            "objective": state.value,
            "residual": gap if state.unmet <= 1e-9 else max(gap, 1.0),
            "n_iter": state.programs,
            "nnz": state.entries.size,
        }

    def current(self, state: _State) -> np.ndarray:
        """Return the masses of the entries in the program."""
        return state.mass

    def stop(self, problem: CoreProblem, state: _State) -> Stop | None:
        """Return why no further program helps."""
        return state.stopped

    def finish(self, problem: CoreProblem, state: _State) -> dict[str, Any]:
        """Return plan and potentials of the reduced problem."""
        plan = np.zeros(problem.M.size)
        plan[state.entries] = state.mass
        return {"plan": plan.reshape(problem.M.shape), "f": state.f, "g": state.g}


class _NetworkSimplex(_Programs):
    """One call of POT's network simplex, certified in the same way."""

    def init(self, problem: CoreProblem, warm_start: Any) -> _State:
        """Solve; forbidden pairs get a cost that no optimal plan pays."""
        ot = v.import_optional("ot", extra="demo")
        dear = 2.0 * (problem.cost_range + 1.0) * max(problem.M.shape)
        M = np.where(np.isfinite(problem.M), problem.M, problem.cost_size + dear)
        plan, log = ot.emd(problem.a, problem.b, M, numItermax=10_000_000, log=True)
        if plan[~np.isfinite(problem.M)].sum() > 1e-9:
            raise InfeasibleError(
                "`M` must leave a plan with the given marginals: infeasible support"
            )
        plan[~np.isfinite(problem.M)] = 0.0
        entries = np.flatnonzero(plan)
        state = _State(entries, plan.ravel()[entries], log["u"], log["v"])
        return _closed(problem, state)

    def step(self, problem: CoreProblem, state: _State) -> _State:
        """Nothing is left to do."""
        state.stopped = Stop("stalled", "the network simplex stopped at this gap")
        return state


def _first_entries(problem: CoreProblem) -> np.ndarray:
    """Mask of the entries that an entropic plan makes likely."""
    finite = np.isfinite(problem.M)
    if problem.M.size <= SMALL or problem.cost_range == 0.0:
        return finite
    reg = START_REG * problem.cost_range
    start = sinkhorn(problem.a, problem.b, problem.M, reg, tol=START_TOL, warn=False)
    reduced = problem.M - start.f[:, None] - start.g
    chosen = reduced <= START_GAP * reg
    for axis in (0, 1):
        nearest = np.argpartition(reduced, NEAREST - 1, axis=axis)
        nearest = np.take(nearest, range(NEAREST), axis=axis)
        np.put_along_axis(chosen, nearest, True, axis=axis)
    return chosen & finite


def _linear_program(
    problem: CoreProblem, entries: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Return masses of the entries, dual potentials, and the mass that has no place.

    What is left over is charged more than an optimal plan pays.
    """
    n, m = problem.M.shape
    rows, columns = np.divmod(entries, m)
    unit, low = problem.cost_range or 1.0, problem.M.min()
    cost = (problem.M.ravel()[entries] - low) / unit
    dear = 2.0 if problem.finite else float(n + m)
    solved = transport_program(cost, rows, columns, problem.a, problem.b, dear)
    return solved.mass, unit * solved.f + low, unit * solved.g, solved.unmet


def _most_violated(problem: CoreProblem, f: np.ndarray, g: np.ndarray) -> np.ndarray:
    """Return entries with negative reduced cost, the worst of every row."""
    reduced = problem.M - f[:, None] - g
    width = min(ADDED, reduced.shape[1])
    worst = np.argpartition(reduced, width - 1, axis=1)[:, :width]
    negative = np.take_along_axis(reduced, worst, 1) < -1e-12 * problem.cost_size
    return (np.arange(len(f))[:, None] * len(g) + worst)[negative]


def _closed(problem: CoreProblem, state: _State) -> _State:
    """Make the dual feasible for all entries and value both sides."""
    state.f = np.min(problem.M - state.g, axis=1)
    state.g = np.min(problem.M - state.f[:, None], axis=0)
    state.value = float(problem.M.ravel()[state.entries] @ state.mass)
    state.dual = float(problem.a @ state.f + problem.b @ state.g)
    return state


def _whole(
    problem: TransportProblem, core: CoreProblem, fields: dict[str, Any]
) -> dict[str, Any]:
    """Undo the reduction; values and errors of the whole problem."""
    a, b, M = host_arrays(problem)
    plan, f, g = whole_solution(problem, core, fields["plan"], fields["f"], fields["g"])
    used = plan > 0
    value, dual = float(plan[used] @ M[used]), float(a @ f + b @ g)
    return {
        "plan": like_input(problem, plan),
        "f": like_input(problem, f),
        "g": like_input(problem, g),
        "value": value,
        "dual_value": dual,
        "gap": max(value - dual, 0.0),
        "marginal_error": marginal_error(plan, a, b),
    }
