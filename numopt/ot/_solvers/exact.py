# SPDX-License-Identifier: BSD-3-Clause
"""Unregularised transport: the network simplex on entries that matter, certified."""

import dataclasses
from typing import Any, TypeVar

import numpy as np

from numopt import _validation as v
from numopt._array.namespace import numpy_namespace
from numopt._iterate.loop import Solver, iterate
from numopt._iterate.result import SolverResult
from numopt._iterate.stopping import Stop, warn_not_converged
from numopt.exceptions import InfeasibleError
from numopt.ot._kernels.simplex import reduced_minima
from numopt.ot._kernels.support import support_pass
from numopt.ot._problem import CoreProblem, TransportProblem
from numopt.ot._solvers.annealing import newton_rounds
from numopt.ot._solvers.driver import check_control, check_options, run
from numopt.ot._solvers.reduction import (
    host_arrays,
    like_input,
    on_host,
    whole_entries,
    whole_potentials,
)
from numopt.ot._solvers.simplex import Arcs, TransportTree
from numopt.typing import Array, Callback

__all__ = ["ExactResult", "ot_exact"]

METHODS = ("annealing", "network_simplex")

#: Problems up to this many entries go to the network simplex whole.
SMALL = 10_000
#: Regularisation and error of the entropic start, in units of the range of the cost.
START_REG, START_TOL = 1e-4, 1e-2
#: Entries are there from the start when P_ij > a_i b_j exp(-START_TAU); the exponent
#: grows by WIDER until there are FEW for each point, so that few programs are needed.
START_TAU, FEW, WIDER, WIDENINGS = 4.0, 5, 1.7, 12
#: Violated entries added for each row between two programs, and the reduced cost that
#: violates, in units of the size of the cost.
ADDED, VIOLATED = 5, 2e-13
#: Gaps below are rounding, in the same units: an optimal value may be zero.
ROUNDING = 1e-14


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ExactResult(SolverResult):
    """Solution of an unregularised transport problem, with a proof of its quality.

    Parameters
    ----------
    n_iter : int
        Programs solved.
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
        - "annealing": an entropic solution tells which entries matter and is a first
          plan; the network simplex goes on from it on these entries, those that
          violate its dual are added until none does;
        - "network_simplex": the solver of POT, where that package is installed.
    tol : float, default=1e-9
        Duality gap at which to stop, relative to the excess of the value over
        ``min(M)`` times the mass, so that adding a constant to ``M`` changes nothing.
    max_iter : int, default=50
        Bound on the programs.
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
    ``dual_value`` is a lower bound whatever the program did. The simplex starts from a
    tree: each entry of the entropic plan that closes a cycle shifts mass around it, in
    the cheaper direction, until one is empty. Pivots are made for weights with random
    digits at 1e-12, which keeps them from cycling; the plan is computed from the last
    tree for the weights themselves. Memory: a few arrays of the size of ``M``.

    References
    ----------
    Schmitzer (2016), A sparse multiscale algorithm for dense optimal transport, J.
    Math. Imaging Vis. 56. Ahuja, Magnanti & Orlin (1993), Network flows, chapter 11.
    Peyré & Cuturi (2019), Computational optimal transport, sections 2.5 and 3.

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
    solver: _Certified[Any] = _NetworkSimplex()
    if method == "annealing":
        solver = _Programs()
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


@dataclasses.dataclass(kw_only=True)
class _State:
    """Entries (i, j) as i m + j with their masses, and the dual made feasible.

    ``low`` is the smallest cost; ``violated`` are entries that the program lacks.
    """

    entries: np.ndarray
    mass: np.ndarray
    f: np.ndarray
    g: np.ndarray
    low: float
    unmet: float = 0.0
    programs: int = 1
    violated: np.ndarray = dataclasses.field(default_factory=lambda: np.empty(0, int))
    value: float = np.inf
    dual: float = -np.inf
    stopped: Stop | None = None


@dataclasses.dataclass(kw_only=True)
class _TreeState(_State):
    """The entries as arcs, and the tree of the last program on them."""

    arcs: Arcs
    tree: TransportTree


AnyState = TypeVar("AnyState", bound=_State)


class _Certified(Solver[CoreProblem, AnyState]):
    """A plan with few entries and a dual that is feasible for all."""

    name = "ot_exact"

    def measure(self, problem: CoreProblem, state: AnyState) -> dict[str, Any]:
        """Return value and relative gap; mass that is not moved counts as a gap."""
        excess = max(state.value - state.low, 1e-12 * problem.cost_range, 1e-300)
        gap = state.value - state.dual - ROUNDING * problem.cost_size
        gap = max(gap, 0.0) / excess
        return {
            "objective": state.value,
            "residual": gap if state.unmet <= 1e-9 else max(gap, 1.0),
            "n_iter": state.programs,
            "nnz": state.entries.size,
        }

    def current(self, state: AnyState) -> np.ndarray:
        """Return the masses of the entries in the program."""
        return state.mass

    def stop(self, problem: CoreProblem, state: AnyState) -> Stop | None:
        """Return why no further program helps."""
        return state.stopped

    def finish(self, problem: CoreProblem, state: AnyState) -> dict[str, Any]:
        """Return the entries of the plan and the potentials of the reduced problem."""
        used = np.flatnonzero(state.mass)
        plan = state.entries[used], state.mass[used]
        return {"plan": plan, "f": state.f, "g": state.g}


class _Programs(_Certified[_TreeState]):
    """Transport programs on growing sets of entries (column generation)."""

    def init(self, problem: CoreProblem, warm_start: Any) -> _TreeState:
        """Choose the first entries, solve the first program."""
        low = float(problem.M.min())
        entries, plan = _first_plan(problem)
        arcs = _arcs(problem, entries, low)
        # More than a plan pays for moving the same mass.
        dear = 2.0 if problem.finite else float(sum(problem.M.shape))
        tree = TransportTree(problem.a, problem.b, dear, arcs, plan)
        state = _TreeState(
            entries=entries,
            mass=plan,
            f=problem.a,
            g=problem.b,
            low=low,
            programs=0,
            arcs=arcs,
            tree=tree,
        )
        return self._solve(problem, state)

    def step(self, problem: CoreProblem, state: _TreeState) -> _TreeState:
        """Add the entries that violate the dual, solve again."""
        if state.violated.size > 0:
            state.entries = np.concatenate([state.entries, state.violated])
            more = _arcs(problem, state.violated, state.low)
            state.arcs = state.arcs.joined(more)
            return self._solve(problem, state)
        if state.unmet > 1e-9:
            raise InfeasibleError(
                "`M` must leave a plan with the given marginals: infeasible support, "
                f"{state.unmet:.3g} of the mass has no finite cost"
            )
        # Rounding of the tree's sums can leave a gap that no entry explains.
        reason = "no entry violates the dual any more; the gap is round-off"
        state.stopped = Stop("stalled", reason)
        return state

    def _solve(self, problem: CoreProblem, state: _TreeState) -> _TreeState:
        """Solve the program on the entries and close its dual over all entries."""
        unit = problem.cost_range or 1.0
        f, g = state.tree.solve(state.arcs)
        state.f, state.g = unit * f + state.low, unit * g
        state.mass, state.unmet = state.tree.masses(state.entries.size)
        state.programs += 1
        return _closed(problem, state)


class _NetworkSimplex(_Certified[_State]):
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
        low = float(problem.M.min())
        mass = plan.ravel()[entries]
        state = _State(entries=entries, mass=mass, f=log["u"], g=log["v"], low=low)
        return _closed(problem, state)

    def step(self, problem: CoreProblem, state: _State) -> _State:
        """Nothing is left to do."""
        state.stopped = Stop("stalled", "the network simplex stopped at this gap")
        return state


def _first_plan(problem: CoreProblem) -> tuple[np.ndarray, np.ndarray]:
    """Entries that an entropic plan makes likely, and their masses there."""
    if problem.M.size <= SMALL or problem.cost_range == 0.0:
        entries = np.flatnonzero(np.isfinite(problem.M))
        return entries, np.zeros(entries.size)
    smooth = dataclasses.replace(problem, eps=START_REG * problem.cost_range)
    options = check_options(tol=START_TOL, max_iter=1000, scaling=4.0)
    control = check_control(None, 0, None)
    algorithm = {"newton": newton_rounds}
    _, fields = run(smooth, "newton", algorithm, options, None, control)
    s, h = fields["f"] / smooth.eps, fields["g"] / smooth.eps
    inv_eps, limit, tau = 1.0 / smooth.eps, problem.M.size, START_TAU
    for _ in range(WIDENINGS):
        nnz, found = problem.cost.support(h + tau, s, inv_eps, limit)
        if nnz >= FEW * sum(problem.M.shape):
            break
        tau *= WIDER
    start, stop, columns, _ = found
    plan = np.empty(columns.size)
    support_pass.for_namespace(numpy_namespace)(
        *found, h + problem.log_b, s + problem.log_a, problem.log_a, inv_eps, plan
    )
    rows = np.repeat(np.arange(start.size), stop - start)
    return rows * problem.M.shape[1] + columns, plan


def _arcs(problem: CoreProblem, entries: np.ndarray, low: float) -> Arcs:
    """Entries as arcs, their costs in units of the range."""
    rows, columns = np.divmod(entries, problem.M.shape[1])
    unit = problem.cost_range or 1.0
    return Arcs((problem.M.ravel()[entries] - low) / unit, rows, columns)


def _closed(problem: CoreProblem, state: AnyState) -> AnyState:
    """Make the dual feasible for all entries, value both sides, find what violates."""
    minima, worst = reduced_minima.for_namespace(numpy_namespace)(
        problem.M, state.f, state.g, VIOLATED * problem.cost_size, ADDED
    )
    state.violated = worst[worst >= 0]
    state.f = state.f + minima
    state.value = float(problem.M.ravel()[state.entries] @ state.mass)
    state.dual = float(problem.a @ state.f + problem.b @ state.g)
    return state


def _whole(
    problem: TransportProblem, core: CoreProblem, fields: dict[str, Any]
) -> dict[str, Any]:
    """Undo the reduction; values and errors of the whole problem."""
    a, b, M = host_arrays(problem)
    entries, mass = fields["plan"]
    rows, columns = whole_entries(core, entries)
    mass = problem.mass * mass
    plan = np.zeros(M.shape)
    plan[rows, columns] = mass
    error = np.abs(np.bincount(rows, mass, a.size) - a).sum()
    error += np.abs(np.bincount(columns, mass, b.size) - b).sum()
    f, g = whole_potentials(problem, core, fields["f"], fields["g"])
    value, dual = float(mass @ M[rows, columns]), float(a @ f + b @ g)
    return {
        "plan": like_input(problem, plan),
        "f": like_input(problem, f),
        "g": like_input(problem, g),
        "value": value,
        "dual_value": dual,
        "gap": max(value - dual, 0.0),
        "marginal_error": float(error / a.sum()),
    }
