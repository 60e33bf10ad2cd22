# SPDX-License-Identifier: BSD-3-Clause
"""Violations given by any vectorised function, or by complex linear rows."""

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from numopt import _validation as v
from numopt._iterate.loop import Solver, iterate
from numopt._iterate.stopping import Stop
from numopt.dmmv._problem.data import host_array
from numopt.dmmv._problem.levels import Levels
from numopt.dmmv._solvers.minimize import minimize_max_violation, seed_of
from numopt.dmmv._solvers.result import MinMaxResult
from numopt.dmmv._solvers.state import relative_gap
from numopt.exceptions import ArgumentTypeError
from numopt.typing import Callback

__all__ = ["minimize_max_violation_general"]

DEFAULT_ROUNDS = 20
#: Pairs of moves that a round tries when no single move helps.
PAIRS = 2000
#: Levels up to which all of them are tried for a variable.
FEW_LEVELS = 4
#: Power of the sum that orders points of equal maximum.
POWER = 8
STEP = 1e-12
#: Levels of a variable that construction tries.
TRIED = 64


def minimize_max_violation_general(
    fun: Any,
    levels: Any,
    *,
    n: int | None = None,
    x0: Any = None,
    complex_polygon: int = 16,
    tol: float = 1e-6,
    max_iter: int | None = None,
    time_limit: float | None = None,
    random_state: Any = None,
    callback: Callback | None = None,
    verbose: int = 0,
    warn: bool = False,
) -> MinMaxResult:
    r"""Choose discrete variables so that the worst value of a function is least.

    .. math:: \min_{x_j \in S_j} \max\{0, \max_i |f_i(x)| \text{ or } f_i(x)\}

    Parameters
    ----------
    fun : callable, or pair of array-likes
        ``fun(X)`` takes points of shape (batch, n) and returns violations of shape
        (batch, m), real, or complex whose absolute values count. A pair ``(A, b)``
        stands for the rows of ``A x - b``, complex or real, in absolute value.
    levels : pair of int, array-like, or list of n array-likes
        Level sets, as in ``minimize_max_violation``.
    n : int, default=None
        Number of variables; needed where ``levels`` does not tell.
    x0 : array-like of shape (n,), default=None
        Start; None means the middle levels.
    complex_polygon : int, default=16
        Half-planes, an even number of at least 4, that stand for a disc in the search
        over complex rows ``(A, b)``: radii are off by ``1 - cos(pi / complex_polygon)``
        at most (1.9% for 16). The answer reports true absolute values.
    tol : float, default=1e-6
        Stop when the relative gap is at most this. A callable has no bound but 0.
    max_iter : int, default=None
        Largest number of rounds; None means 20 without a time limit.
    time_limit : float, default=None
        Seconds, checked between rounds.
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
        The best point found; ``residual`` holds the values of its rows.

    Raises
    ------
    TypeError
        When ``fun`` is neither callable nor a pair.
    ValueError
        When ``fun`` returns a wrong shape or NaN, or the number of variables is
        unknown.

    See Also
    --------
    minimize_max_violation : Real linear rows, much faster.

    Notes
    -----
    A callable is searched by best-improvement descent over batches of single moves,
    then of random pairs. It starts from a greedy construction, which sets variable by
    variable to its best level, then in turn from disturbed copies of the best point
    and from constructions in random order.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.dmmv import minimize_max_violation_general
    >>> def ripple(X):
    ...     return np.abs(X**2 - 10.0)
    >>> result = minimize_max_violation_general(ripple, (0, 9), n=2)
    >>> result.x.tolist(), result.violation
    ([3, 3], 1.0)
    """
    options = {
        "tol": v.check_real("tol", tol, low=0),
        "max_iter": max_iter,
        "time_limit": time_limit,
        "random_state": random_state,
        "callback": callback,
        "verbose": verbose,
        "warn": warn,
    }
    if isinstance(fun, tuple | list) and len(fun) == 2:
        A, b = fun
        return _linear(A, b, levels, x0, complex_polygon, options)
    if not callable(fun):
        raise ArgumentTypeError(
            v.message("fun", "callable or a pair (A, b)", type(fun))
        )
    return _search(fun, levels, n, x0, options)


def _linear(
    A: Any, b: Any, levels: Any, x0: Any, polygon: int, options: dict[str, Any]
) -> MinMaxResult:
    """Search over the half-planes; report the absolute values of the rows."""
    polygon = v.check_int("complex_polygon", polygon, low=4)
    if polygon % 2:
        raise ValueError(v.message("complex_polygon", "even", polygon))
    matrix, target = np.asarray(A), np.asarray(b)
    turns = np.exp(-2j * np.pi * np.arange(polygon // 2) / polygon)
    if not (np.iscomplexobj(matrix) or np.iscomplexobj(target)):
        turns = np.ones(1)
    rows = np.concatenate([np.real(turn * matrix) for turn in turns])
    ends = np.concatenate([np.real(turn * target) for turn in turns])
    result = minimize_max_violation(rows, ends, levels, x0=x0, **options)
    size = np.abs(matrix @ result.x - target)
    worst = float(np.max(size, initial=0.0))
    gap = relative_gap(worst, min(result.lower_bound, worst))
    return dataclasses.replace(
        result,
        violation=worst,
        residual=size,
        gap=gap,
        converged=gap <= options["tol"],
        active=np.flatnonzero(size >= worst * (1 - 1e-9)),
    )


@dataclasses.dataclass(frozen=True, slots=True)
class GeneralProblem:
    """The function and the level sets."""

    fun: Callable[[np.ndarray], Any]
    levels: Levels

    def rows(self, k: np.ndarray) -> np.ndarray:
        """Return violations (batch, m) of index vectors (batch, n), at least 0."""
        values = np.asarray(self.fun(self.levels.values(k)))
        if values.ndim != 2 or values.shape[0] != k.shape[0]:
            raise ValueError(
                v.message("fun(X)", f"of shape ({k.shape[0]}, m)", values.shape)
            )
        size = np.abs(values) if np.iscomplexobj(values) else np.maximum(values, 0.0)
        if np.any(np.isnan(size)):
            raise ValueError(v.message("fun(X)", "free of NaN", "NaN"))
        return size

    def rank(self, k: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the maxima, and power sums relative to the smallest maximum."""
        rows = self.rows(k)
        worst = np.max(rows, axis=1, initial=0.0)
        scale = max(float(worst.min()), 1e-300)
        return worst, np.sum(np.minimum(rows / scale, 1e30) ** POWER, axis=1)


@dataclasses.dataclass
class GeneralState:
    """Best index vector and its violation."""

    k: np.ndarray
    violation: float
    rng: np.random.Generator
    rounds: int = 0


@dataclasses.dataclass(frozen=True)
class GeneralSolver(Solver[GeneralProblem, GeneralState]):
    """Descent, disturbance, descent."""

    seed: int
    time_limit: float | None
    started: float
    name: str = "minimize_max_violation_general"
    interruptible = True

    def init(self, problem: GeneralProblem, warm_start: Any) -> GeneralState:
        """Evaluate the start."""
        worst, _ = problem.rank(warm_start[None, :])
        return GeneralState(
            warm_start, float(worst[0]), np.random.default_rng(self.seed)
        )

    def step(self, problem: GeneralProblem, state: GeneralState) -> GeneralState:
        """Descend from the best point, and from a construction or a disturbed copy."""
        build = _disturb if state.rounds % 2 else _construct
        for start in (state.k, build(problem, state)):
            k = _descend(problem, start, state.rng)
            worst, _ = problem.rank(k[None, :])
            if worst[0] < state.violation:
                state.k, state.violation = k, float(worst[0])
        state.rounds += 1
        return state

    def measure(self, problem: GeneralProblem, state: GeneralState) -> dict[str, Any]:
        """Return the violation; the only bound is 0."""
        return {
            "objective": state.violation,
            "residual": relative_gap(state.violation, 0.0),
            "violation": state.violation,
            "lower_bound": 0.0,
            "method": "descent",
        }

    def current(self, state: GeneralState) -> np.ndarray:
        """Return the level indices."""
        return state.k

    def stop(self, problem: GeneralProblem, state: GeneralState) -> Stop | None:
        """Stop at the time limit."""
        if self.time_limit is None:
            return None
        if time.perf_counter() - self.started <= self.time_limit:
            return None
        return Stop("max_iter", f"time_limit={self.time_limit:g} s reached")

    def finish(self, problem: GeneralProblem, state: GeneralState) -> dict[str, Any]:
        """Return the fields of MinMaxResult."""
        x = problem.levels.values(state.k)
        rows = problem.rows(state.k[None, :])[0]
        active = np.flatnonzero(rows >= state.violation * (1 - 1e-9))
        return {
            "x": np.rint(x).astype(np.int64) if problem.levels.integral else x,
            "violation": state.violation,
            "lower_bound": 0.0,
            "gap": relative_gap(state.violation, 0.0),
            "residual": rows,
            "active": active if state.violation > 0 else active[:0],
            "bound_kind": "trivial",
            "method": "descent",
        }


def _singles(levels: Levels, k: np.ndarray) -> np.ndarray:
    """Return all points one move away."""
    points = []
    for j in range(levels.n):
        few = levels.count[j] <= FEW_LEVELS
        reach = range(levels.count[j]) if few else (k[j] - 1, k[j] + 1)
        for new in reach:
            if new != k[j] and 0 <= new < levels.count[j]:
                point = k.copy()
                point[j] = new
                points.append(point)
    return np.array(points, np.int64).reshape(-1, levels.n)


def _pairs(levels: Levels, k: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return random points two moves away."""
    points = np.repeat(k[None, :], PAIRS, axis=0)
    for _ in range(2):
        which = rng.integers(0, levels.n, PAIRS)
        change = rng.choice([-1, 1], PAIRS)
        points[np.arange(PAIRS), which] += change
    return np.unique(np.clip(points, 0, levels.count - 1), axis=0)


def _descend(
    problem: GeneralProblem, k: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Take the best single move, or the best of random pairs, while that helps."""
    while True:
        improved = False
        for candidates in (_singles, _pairs):
            more = (rng,) if candidates is _pairs else ()
            points = candidates(problem.levels, k, *more)
            worst, sums = problem.rank(np.concatenate([k[None, :], points]))
            best = int(np.lexsort((sums, worst))[0])
            lower = worst[best] < worst[0] * (1 - STEP)
            if lower or (worst[best] <= worst[0] and sums[best] < sums[0] * (1 - 1e-9)):
                k = points[best - 1]
                improved = True
                break
        if not improved:
            return k


def _construct(problem: GeneralProblem, state: GeneralState) -> np.ndarray:
    """Set one variable after the other to its best level.

    The first construction refines the start in order; later ones begin at random.
    """
    levels, k = problem.levels, state.k.copy()
    order = np.arange(levels.n)
    if state.rounds:
        k = state.rng.integers(0, levels.count)
        order = state.rng.permutation(levels.n)
    for j in order:
        count = int(levels.count[j])
        tried = np.unique(np.linspace(0, count - 1, min(count, TRIED)).astype(np.int64))
        points = np.repeat(k[None, :], tried.size, axis=0)
        points[:, j] = tried
        worst, sums = problem.rank(points)
        k[j] = tried[np.lexsort((sums, worst))[0]]
    return k


def _disturb(problem: GeneralProblem, state: GeneralState) -> np.ndarray:
    """Change a few variables of the best point at random."""
    levels, k = problem.levels, state.k.copy()
    which = state.rng.random(levels.n) < min(0.5, 3.0 / levels.n)
    k[which] = state.rng.integers(0, levels.count)[which]
    return k


def _search(
    fun: Callable[[np.ndarray], Any],
    levels: Any,
    n: int | None,
    x0: Any,
    options: dict[str, Any],
) -> MinMaxResult:
    started = time.perf_counter()
    count = _variables(levels, n, x0)
    sets = Levels.parse(levels, count)
    start = (sets.count - 1) // 2
    if x0 is not None:
        point = host_array("x0", x0)
        v.check_shape("x0", point, (count,), why="as there are variables")
        v.check_values("x0", point)
        start = sets.nearest(point)
    limit = options["time_limit"]
    if limit is not None:
        limit = v.check_real("time_limit", limit, low=0, include_low=False)
    rounds = options["max_iter"]
    if rounds is None:
        rounds = DEFAULT_ROUNDS if limit is None else 2**62
    fields = iterate(
        GeneralSolver(seed_of(options["random_state"]), limit, started),
        GeneralProblem(fun, sets),
        tol=options["tol"],
        max_iter=v.check_int("max_iter", rounds, low=1),
        callback=v.check_callback(options["callback"]),
        verbose=v.check_int("verbose", options["verbose"], low=0, high=2),
        warm_start=start,
        warn=v.check_flag("warn", options["warn"]),
    )
    return MinMaxResult(**fields)


def _variables(levels: Any, n: int | None, x0: Any) -> int:
    """Return the number of variables from whatever tells it."""
    if n is not None:
        return v.check_int("n", n, low=1)
    if x0 is not None:
        return int(np.size(x0))
    if isinstance(levels, tuple):
        sizes = [np.size(end) for end in levels if np.ndim(end) == 1]
        if sizes:
            return int(sizes[0])
    elif isinstance(levels, list) and levels and np.ndim(levels[0]) == 1:
        return len(levels)
    raise ValueError(v.message("n", "given where `levels` is common to all", None))
