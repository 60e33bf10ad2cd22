# SPDX-License-Identifier: BSD-3-Clause
"""Balancing: signs of least discrepancy, and vectors spread evenly over bins."""

import dataclasses
import time
from typing import Any

import numpy as np

from numopt import _validation as v
from numopt._iterate.loop import Solver, iterate
from numopt._iterate.result import SolverResult
from numopt._iterate.stopping import Stop
from numopt.dmmv._problem.data import check_matrix, host_array
from numopt.dmmv._solvers.minimize import minimize_max_violation, seed_of
from numopt.dmmv._solvers.result import MinMaxResult
from numopt.dmmv._solvers.state import relative_gap
from numopt.typing import Array, Callback

__all__ = ["BalanceResult", "balance_vectors", "discrepancy"]

#: Power of the tie-breaking sum of loads.
POWER = 8
#: Relative improvement that counts.
STEP = 1e-12
#: Item pairs whose exchange is evaluated at once.
BLOCK = 400_000
#: Rounds without improvement after which the search ends.
PATIENCE = 60


def discrepancy(
    V: Array,
    *,
    weights: Any = None,
    x0: Any = None,
    method: str = "auto",
    tol: float = 1e-6,
    max_iter: int | None = None,
    time_limit: float | None = None,
    random_state: Any = None,
    callback: Callback | None = None,
    verbose: int = 0,
    warn: bool = False,
) -> MinMaxResult:
    r"""Colour columns with two signs so that all row sums are small.

    .. math:: \min_{x \in \{-1, 1\}^n} \| w \circ V x \|_\infty

    Parameters
    ----------
    V : array-like of shape (m, n), or scipy.sparse matrix
        One row a measure to balance, one column an item: for two groups of an
        experiment the transposed table of covariates, centred.
    weights : array-like of shape (m,), default=None
        Weights of the rows.
    x0 : array-like of shape (n,), default=None
        Start.
    method : str, default="auto"
        As in ``minimize_max_violation``.
    tol : float, default=1e-6
        Relative gap at which to stop.
    max_iter : int, default=None
        Largest number of rounds; None means 20 without a time limit.
    time_limit : float, default=None
        Seconds.
    random_state : int, Generator, RandomState or None, default=None
        Seed; None is the fixed seed 0.
    callback : callable, default=None
        Called after each round; a true value stops.
    verbose : int, default=0
        0 silent, 1 progress bar, 2 log lines.
    warn : bool, default=False
        Whether an open gap at the end issues a ConvergenceWarning.

    Returns
    -------
    MinMaxResult
        Signs ``x``, discrepancy ``violation`` and a lower bound. Of integer data the
        bound respects the parity of row sums.

    Raises
    ------
    TypeError, ValueError
        As ``minimize_max_violation``.

    See Also
    --------
    balance_vectors : More than two bins, loads instead of differences.

    References
    ----------
    Spencer, "Six standard deviations suffice", Trans. AMS 289, 1985.

    Examples
    --------
    >>> from numopt.dmmv import discrepancy
    >>> result = discrepancy([[1, 1, 1], [1, 1, 0], [0, 1, 1]])
    >>> result.x.tolist() in ([1, -1, 1], [-1, 1, -1]), result.violation
    (True, 1.0)
    """
    matrix = check_matrix(V, "V")
    return minimize_max_violation(
        matrix,
        np.zeros(matrix.shape[0]),
        [-1.0, 1.0],
        weights=weights,
        x0=x0,
        method=method,
        tol=tol,
        max_iter=max_iter,
        time_limit=time_limit,
        random_state=random_state,
        callback=callback,
        verbose=verbose,
        warn=warn,
    )


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class BalanceResult(SolverResult):
    """An assignment of items to bins and a lower bound on the largest load.

    Parameters
    ----------
    n_iter : int
        Number of rounds.
    converged : bool
        Whether ``gap <= tol``.
    message : str
        Why the search stopped.
    status : str
        "converged", "max_iter" (also the time limit), "callback" or "stalled".
    history : dict of str to ndarray
        One entry a round: "n_iter", "time", "objective" (the load), "residual" (gap).
    assignment : ndarray of shape (n,), int64
        Bin of each item.
    loads : ndarray of shape (n_bins, d)
        Load of each bin in each resource, before division by the capacity.
    violation : float
        Largest load divided by capacity.
    lower_bound : float
        No assignment has a smaller largest load.
    gap : float
        ``(violation - lower_bound) / violation``.

    See Also
    --------
    balance_vectors : The function that makes it.

    Examples
    --------
    >>> from numopt.dmmv import balance_vectors
    >>> result = balance_vectors([[3.0], [3.0], [2.0], [2.0], [2.0]], 2)
    >>> result.violation, result.lower_bound, result.converged
    (6.0, 6.0, True)
    """

    assignment: np.ndarray
    loads: np.ndarray
    violation: float
    lower_bound: float
    gap: float


@dataclasses.dataclass(frozen=True, slots=True)
class Balance:
    """Items (n, d), capacities (bins, d), and the bound they imply."""

    items: np.ndarray
    capacities: np.ndarray
    lower_bound: float

    @property
    def bins(self) -> int:
        """Number of bins."""
        return self.capacities.shape[0]

    def loads(self, assignment: np.ndarray) -> np.ndarray:
        """Return loads (bins, d)."""
        return np.stack(
            [
                np.bincount(assignment, column, minlength=self.bins)
                for column in self.items.T
            ],
            axis=1,
        )

    def relative(self, loads: np.ndarray) -> np.ndarray:
        """Return the largest relative load of each bin."""
        return np.max(loads / self.capacities, axis=-1)


def _lower_bound(items: np.ndarray, capacities: np.ndarray) -> float:
    """Average load, largest item, and two items that must share a bin."""
    bins = capacities.shape[0]
    average = np.max(items.sum(axis=0) / capacities.sum(axis=0))
    single = np.max(np.min(np.max(items[:, None] / capacities, axis=2), axis=1))
    shared = 0.0
    if items.shape[0] > bins:
        largest = -np.sort(-items, axis=0)[: bins + 1]
        shared = np.max((largest[-1] + largest[-2]) / capacities.max(axis=0))
    return float(max(average, single, shared))


@dataclasses.dataclass
class BalanceState:
    """The best assignment and the one that the walk is at."""

    best: np.ndarray
    violation: float
    rng: np.random.Generator
    idle: int = 0


@dataclasses.dataclass(frozen=True)
class BalanceSolver(Solver[Balance, BalanceState]):
    """Greedy start, descent by moves and exchanges, repeated from disturbed points."""

    tol: float
    time_limit: float | None
    seed: int
    started: float
    name: str = "balance_vectors"
    interruptible = True

    def init(self, problem: Balance, warm_start: Any) -> BalanceState:
        """Assign large items first, each where the largest load stays least."""
        assignment = _greedy(problem)
        assignment = _descend(problem, assignment)
        worst = float(problem.relative(problem.loads(assignment)).max())
        return BalanceState(assignment, worst, np.random.default_rng(self.seed))

    def step(self, problem: Balance, state: BalanceState) -> BalanceState:
        """Disturb the best assignment and descend."""
        n = state.best.size
        candidate = state.best.copy()
        count = int(state.rng.integers(2, max(3, min(n, 12)) + 1))
        which = state.rng.choice(n, min(count, n), replace=False)
        candidate[which] = state.rng.integers(0, problem.bins, which.size)
        candidate = _descend(problem, candidate)
        worst = float(problem.relative(problem.loads(candidate)).max())
        better = worst < state.violation * (1 - STEP)
        state.idle = 0 if better else state.idle + 1
        if worst <= state.violation:
            state.best, state.violation = candidate, worst
        return state

    def measure(self, problem: Balance, state: BalanceState) -> dict[str, Any]:
        """Return load and gap."""
        gap = relative_gap(state.violation, problem.lower_bound)
        return {
            "objective": state.violation,
            "residual": gap if gap > 1e-12 else 0.0,
            "violation": state.violation,
            "lower_bound": problem.lower_bound,
        }

    def current(self, state: BalanceState) -> np.ndarray:
        """Return the assignment."""
        return state.best

    def stop(self, problem: Balance, state: BalanceState) -> Stop | None:
        """Stop at the time limit, or when many rounds gained nothing."""
        if self.time_limit is not None:
            if time.perf_counter() - self.started > self.time_limit:
                return Stop("max_iter", f"time_limit={self.time_limit:g} s reached")
        elif state.idle >= PATIENCE:
            return Stop("stalled", f"{PATIENCE} rounds without a smaller load")
        return None

    def finish(self, problem: Balance, state: BalanceState) -> dict[str, Any]:
        """Return the fields of BalanceResult."""
        bound = min(problem.lower_bound, state.violation)
        return {
            "assignment": state.best,
            "loads": problem.loads(state.best),
            "violation": state.violation,
            "lower_bound": bound,
            "gap": relative_gap(state.violation, bound),
        }


def _greedy(problem: Balance) -> np.ndarray:
    size = np.max(problem.items / problem.capacities.max(axis=0), axis=1)
    assignment = np.zeros(size.size, np.int64)
    loads = np.zeros_like(problem.capacities)
    for item in np.argsort(-size, kind="stable"):
        after = problem.relative(loads + problem.items[item])
        bin_ = int(np.argmin(after))
        assignment[item] = bin_
        loads[bin_] += problem.items[item]
    return assignment


def _descend(problem: Balance, assignment: np.ndarray) -> np.ndarray:
    """Move an item out of the fullest bin, or exchange it, while that helps.

    Only these can lower the maximum. Equal maxima are ordered by a power sum of loads.
    """
    assignment = assignment.copy()
    loads = problem.loads(assignment)
    for _ in range(50 * assignment.size):
        relative = loads / problem.capacities
        by_bin = relative.max(axis=1)
        full = int(np.argmax(by_bin))
        top = by_bin[full]
        if top <= 0:
            break
        inside = np.flatnonzero(assignment == full)
        outside = np.flatnonzero(assignment != full)
        choice = _best_change(problem, assignment, loads, full, inside, outside, top)
        if choice is None:
            break
        i, j, bin_ = choice
        assignment[i] = bin_
        if j >= 0:
            assignment[j] = full
        loads = problem.loads(assignment)
    return assignment


def _best_change(
    problem: Balance,
    assignment: np.ndarray,
    loads: np.ndarray,
    full: int,
    inside: np.ndarray,
    outside: np.ndarray,
    top: float,
) -> tuple[int, int, int] | None:
    """Return (item, item back or -1, bin) of least power sum, None without gain."""
    items, capacity = problem.items, problem.capacities
    size = items.shape[1]
    sums = np.sum((loads / capacity / top) ** POWER, axis=1)
    best, choice = -1e-9, None
    others = np.setdiff1d(np.arange(problem.bins), [full])
    partners = [(others, np.zeros((others.size, size)), -np.ones_like(others))]
    per_block = max(1, BLOCK // max(inside.size * size, 1))
    for start in range(0, outside.size, per_block):
        part = outside[start : start + per_block]
        partners.append((assignment[part], items[part], part))
    for bins, back, names in partners:
        change = back[None, :, :] - items[inside][:, None, :]
        here = (loads[full] + change) / capacity[full] / top
        there = (loads[bins] - change) / capacity[bins] / top
        here, there = np.maximum(here, 0.0), np.maximum(there, 0.0)
        gain = np.sum(here**POWER, axis=2) + np.sum(there**POWER, axis=2)
        gain = gain - sums[full] - sums[bins]
        gain[np.maximum(here.max(axis=2), there.max(axis=2)) > 1 - STEP] = 0.0
        if gain.size and gain.min() < best:
            best = float(gain.min())
            a, b = np.unravel_index(int(np.argmin(gain)), gain.shape)
            choice = int(inside[a]), int(names[b]), int(bins[b])
    return choice


def balance_vectors(
    items: Array,
    n_bins: int,
    *,
    capacities: Any = None,
    tol: float = 1e-6,
    max_iter: int | None = None,
    time_limit: float | None = None,
    random_state: Any = None,
    callback: Callback | None = None,
    verbose: int = 0,
    warn: bool = False,
) -> BalanceResult:
    r"""Spread items with several resources over bins so that the fullest is least full.

    .. math::

       \min_{a \in \{1..B\}^n} \max_{b, r}
       \frac{1}{c_{br}} \sum_{i: a_i = b} \text{items}_{ir}

    Parameters
    ----------
    items : array-like of shape (n, d) or (n,)
        Non-negative demand of each item for each resource.
    n_bins : int
        Number of bins (machines, groups).
    capacities : float or array-like of shape (n_bins,), (d,) or (n_bins, d)
        Positive capacities, default 1. A 1-D array of n_bins entries is one a bin.
    tol : float, default=1e-6
        Relative gap at which to stop.
    max_iter : int, default=None
        Largest number of rounds; None means 1000, or no bound with a time limit.
    time_limit : float, default=None
        Seconds. None stops after 60 rounds without a smaller load.
    random_state : int, Generator, RandomState or None, default=None
        Seed; None is the fixed seed 0.
    callback : callable, default=None
        Called after each round; a true value stops.
    verbose : int, default=0
        0 silent, 1 progress bar, 2 log lines.
    warn : bool, default=False
        Whether an open gap at the end issues a ConvergenceWarning.

    Returns
    -------
    BalanceResult
        Assignment, loads, largest relative load and a lower bound.

    Raises
    ------
    ValueError
        When items are negative or not finite, or capacities are not positive.

    See Also
    --------
    discrepancy : Two groups, signed measures.

    Notes
    -----
    Large items go first (Graham 1969); then items leave the fullest bin or are
    exchanged with items of other bins, all such changes being evaluated together; then
    the best assignment is disturbed and improved again. The bound is the largest of
    the average load, the largest item, and the two smallest of the B+1 largest items.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.dmmv import balance_vectors
    >>> jobs = np.random.default_rng(0).random((40, 3))
    >>> result = balance_vectors(jobs, 4)
    >>> bool(result.gap < 0.05)
    True
    """
    matrix = host_array("items", items)
    matrix = matrix[:, None] if matrix.ndim == 1 else matrix
    v.check_ndim("items", matrix, 2)
    v.check_values("items", matrix, nonnegative=True)
    bins = v.check_int("n_bins", n_bins, low=1)
    shape = (bins, matrix.shape[1])
    limits = np.ones(shape)
    if capacities is not None:
        given = host_array("capacities", capacities)
        if given.shape == (bins,):
            given = given[:, None]
        if given.shape not in ((), (bins, 1), (shape[1],), shape):
            raise ValueError(
                v.message("capacities", f"to fit {shape}", f"shape {given.shape}")
            )
        limits = np.broadcast_to(given, shape).astype(np.float64)
        v.check_values("capacities", limits)
        if np.any(limits <= 0):
            raise ValueError(v.message("capacities", "positive", limits.min()))
    if time_limit is not None:
        time_limit = v.check_real("time_limit", time_limit, low=0, include_low=False)
    if max_iter is None:
        max_iter = 1000 if time_limit is None else 2**62
    tol = v.check_real("tol", tol, low=0)
    problem = Balance(matrix, limits, _lower_bound(matrix, limits))
    solver = BalanceSolver(tol, time_limit, seed_of(random_state), time.perf_counter())
    fields = iterate(
        solver,
        problem,
        tol=tol,
        max_iter=v.check_int("max_iter", max_iter, low=1),
        callback=v.check_callback(callback),
        verbose=v.check_int("verbose", verbose, low=0, high=2),
        warn=v.check_flag("warn", warn),
    )
    return BalanceResult(**fields)
