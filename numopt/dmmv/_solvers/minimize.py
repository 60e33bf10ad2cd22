# SPDX-License-Identifier: BSD-3-Clause
"""The public functions for one problem: minimise, evaluate, bound."""

import contextlib
import warnings
from typing import Any

import numpy as np

import numopt._kernels.threads as threads
from numopt import _validation as v
from numopt._array.random import as_generator
from numopt._iterate.loop import iterate
from numopt._iterate.stopping import _stacklevel
from numopt.dmmv._problem.bounds import attainable_bound
from numopt.dmmv._problem.core import make_core
from numopt.dmmv._problem.data import MinMaxProblem, host_array
from numopt.dmmv._problem.levels import Levels
from numopt.dmmv._solvers.relaxation import (
    least_squares_relaxation,
    lp_relaxation,
)
from numopt.dmmv._solvers.result import MinMaxResult
from numopt.dmmv._solvers.rounds import METHODS
from numopt.dmmv._solvers.state import Options, SearchSolver
from numopt.typing import Array, Callback

__all__ = ["max_violation", "minimize_max_violation", "violation_lower_bound"]

#: Rounds when neither `max_iter` nor `time_limit` is given.
DEFAULT_ROUNDS = 20
EXPONENTS = {8: 3, 16: 4, 32: 5}


def minimize_max_violation(
    A: Array,
    b: Any,
    levels: Any,
    *,
    weights: Any = None,
    sense: Any = "abs",
    x0: Any = None,
    method: str = "auto",
    lattice: Any = "auto",
    beam_width: int | None = None,
    moves: str = "pair",
    p: int = 16,
    bound: str = "auto",
    tol: float = 1e-6,
    max_iter: int | None = None,
    time_limit: float | None = None,
    n_jobs: int | None = None,
    random_state: Any = None,
    callback: Callback | None = None,
    verbose: int = 0,
    warn: bool = False,
) -> MinMaxResult:
    r"""Choose discrete variables so that the worst row violation is least.

    .. math::

       V(x) = \max_i w_i \max\{(Ax)_i - u_i,\; l_i - (Ax)_i,\; 0\},
       \qquad x_j \in S_j,

    where the interval :math:`[l_i, u_i]` is :math:`\{b_i\}`, :math:`(-\infty, b_i]`,
    :math:`[b_i, \infty)` or given.

    Parameters
    ----------
    A : array-like of shape (m, n), or scipy.sparse matrix
        Rows to satisfy; computed in float64.
    b : array-like of shape (m,), or a pair of them
        Right-hand side; the pair (l, u) for sense "interval". Infinite ends are
        allowed except for sense "abs".
    levels : pair of int, array-like, or list of n array-likes
        A tuple ``(lo, hi)`` of scalars or arrays is a range of integers; a 1-D array
        holds the levels of all variables; a list holds one array a variable.
    weights : array-like of shape (m,), default=None
        Weights of the rows; a row of weight 0 is dropped. None means 1.
    sense : {"abs", "le", "ge", "interval"} or array of these, default="abs"
        What each row asks for.
    x0 : array-like of shape (n,), default=None
        Start; values off the levels are moved to the nearest with a warning.
    method : str, default="auto"
        "auto" (constructors, a proof by enumeration where few points can be better,
        else K-best searches and annealing in turn), "round",
        "babai", "beam", "anneal", "record" (walk on the maximum itself below a falling
        bar), "tabu" (the same, recent moves are not taken back), "polish", "milp"
        (HiGHS, proves optimality) or "exhaustive" (up to 2**22 points).
    lattice : bool or "auto", default="auto"
        Whether moves follow a reduced basis of the lattice ``A k``, k integer. Useful
        for evenly spaced levels that are many, and ill-conditioned columns.
    beam_width : int, default=None
        Partial points that a K-best search keeps; None chooses by size and time.
    moves : {"pair", "single"}, default="pair"
        Moves that polishing tries.
    p : {8, 16, 32}, default=16
        Power of the sum that annealing lowers.
    bound : {"auto", "lp", "dual"}, default="auto"
        Relaxation: a linear program, or reweighted least squares. "auto" takes the
        first up to two million entries.
    tol : float, default=1e-6
        Stop when ``(V - lower_bound) / V`` is at most this.
    max_iter : int, default=None
        Largest number of rounds. None means 20 without a time limit.
    time_limit : float, default=None
        Seconds; checked between rounds.
    n_jobs : int, default=None
        Number of threads; None leaves numopt's setting. Answers do not depend on it.
    random_state : int, Generator, RandomState or None, default=None
        Seed. None is the fixed seed 0 here, so that answers repeat.
    callback : callable, default=None
        Called with an IterationInfo after each round; a true value stops.
    verbose : int, default=0
        0 silent, 1 progress bar, 2 log lines.
    warn : bool, default=False
        Whether an open gap at the end issues a ConvergenceWarning. It is the normal
        end: the problem is NP-hard, and the bound of the relaxation is often weak.

    Returns
    -------
    MinMaxResult
        The best point found, its violation and a lower bound.

    Raises
    ------
    TypeError
        When ``A`` is complex, boolean or text.
    ValueError
        When shapes disagree, values are not finite, or options are unknown.

    See Also
    --------
    violation_lower_bound : The bound alone.
    discrepancy, balance_vectors, design_fir : Uses.

    Notes
    -----
    The problem is centred at the rounded least-squares solution and scaled by its
    violation. K-best search looks for points with small ``|A x - A x_relaxed|_2`` in
    O(n^2 K); polishing lowers the maximum itself by single moves and pairs; annealing
    lowers a power sum at O(m) a move. The answer is never worse than the rounded
    relaxation, ``x0`` and (for "auto") Babai's nearest plane. The lower bound is the
    value of dual multipliers, evaluated here, raised to the next value that integer
    data allow. V is recomputed from x.

    References
    ----------
    The problem class: Ahmed, Mostajabdaveh, Aref, Zhou, arXiv 2508.13437, 2025. The
    algorithms here are not theirs. Fincke, Pohst 1985 and Schnorr, Euchner 1994
    (enumeration); Lawson 1961 (reweighting); Babai 1986 (nearest plane).

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.dmmv import minimize_max_violation
    >>> rng = np.random.default_rng(0)
    >>> A = rng.standard_normal((20, 8))
    >>> b = A @ rng.uniform(0, 3, 8)
    >>> result = minimize_max_violation(A, b, levels=(0, 3))
    >>> result.bound_kind, round(result.violation, 4) == round(result.lower_bound, 4)
    ('exhaustive', True)
    """
    problem = MinMaxProblem.from_arrays(A, b, levels, weights=weights, sense=sense)
    v.check_choice("method", method, METHODS)
    if not isinstance(lattice, bool | np.bool_) and lattice != "auto":
        raise ValueError(v.message("lattice", "True, False or 'auto'", repr(lattice)))
    if beam_width is not None:
        beam_width = v.check_int("beam_width", beam_width, low=1)
    v.check_choice("moves", moves, ("pair", "single"))
    v.check_choice("bound", bound, ("auto", "lp", "dual"))
    if v.check_int("p", p) not in EXPONENTS:
        raise ValueError(v.message("p", "8, 16 or 32", p))
    if time_limit is not None:
        time_limit = v.check_real("time_limit", time_limit, low=0, include_low=False)
    if method == "polish" and x0 is None:
        raise ValueError(v.message("x0", "given for method 'polish'", None))
    options = Options(
        lattice=lattice,
        beam_width=beam_width,
        pairs=moves == "pair",
        exponent=EXPONENTS[p],
        bound=bound,
        tol=v.check_real("tol", tol, low=0),
        time_limit=time_limit,
        seed=seed_of(random_state),
    )
    start = None if x0 is None else _check_start(problem, x0)
    with thread_context(n_jobs):
        fields = iterate(
            SearchSolver(METHODS[method], options, "minimize_max_violation"),
            problem,
            tol=options.tol,
            max_iter=_rounds(max_iter, time_limit),
            callback=v.check_callback(callback),
            verbose=v.check_int("verbose", verbose, low=0, high=2),
            warm_start=start,
            warn=v.check_flag("warn", warn),
        )
    fields["converged"] = fields["converged"] or fields["gap"] <= options.tol
    return MinMaxResult(**fields)


def _rounds(max_iter: int | None, time_limit: float | None) -> int:
    if max_iter is not None:
        return v.check_int("max_iter", max_iter, low=1)
    return DEFAULT_ROUNDS if time_limit is None else 2**62


def seed_of(random_state: Any) -> int:
    """Return an integer seed for the kernels, 0 for None."""
    if random_state is None:
        return 0
    return int(as_generator(random_state).integers(2**31))


def thread_context(n_jobs: int | None) -> Any:
    """Return a context with that many threads; None changes nothing."""
    if n_jobs is None:
        return contextlib.nullcontext()
    count = v.check_int("n_jobs", n_jobs)
    if count == 0:
        raise ValueError(v.message("n_jobs", "not 0", 0))
    if count < 0:
        count = max(1, threads.get_num_threads() + 1 + count)
    return threads.config_context(num_threads=count)


def _check_start(problem: MinMaxProblem, x0: Any) -> np.ndarray:
    """Return level indices of x0; off-level values move, with a warning."""
    x = host_array("x0", x0)
    v.check_shape("x0", x, (problem.n,), why="as `A` has columns")
    v.check_values("x0", x)
    k = problem.levels.nearest(x)
    off = np.abs(problem.levels.values(k) - x)
    if np.any(off > 1e-9 * np.maximum(np.abs(x), 1.0)):
        warnings.warn(
            f"`x0` is off the levels at index {int(np.argmax(off))}; moved to the "
            "nearest levels",
            UserWarning,
            stacklevel=_stacklevel(),
        )
    return k


def max_violation(
    A: Array, x: Any, b: Any, *, weights: Any = None, sense: Any = "abs"
) -> float:
    """Return the worst weighted violation of a given point, which may be off levels.

    Parameters
    ----------
    A : array-like of shape (m, n), or scipy.sparse matrix
        Rows.
    x : array-like of shape (n,)
        Point.
    b : array-like of shape (m,), or a pair of them
        Right-hand side, as in ``minimize_max_violation``.
    weights : array-like of shape (m,), default=None
        Weights of the rows.
    sense : {"abs", "le", "ge", "interval"} or array of these, default="abs"
        What each row asks for.

    Returns
    -------
    float
        ``V(x)``.

    Raises
    ------
    TypeError, ValueError
        As ``minimize_max_violation``.

    Examples
    --------
    >>> from numopt.dmmv import max_violation
    >>> max_violation([[1.0, 2.0]], [1.0, 1.0], [2.5])
    0.5
    """
    problem = MinMaxProblem.from_arrays(
        A, b, _no_levels(A), weights=weights, sense=sense
    )
    point = host_array("x", x)
    v.check_shape("x", point, (problem.n,), why="as `A` has columns")
    v.check_values("x", point)
    return problem.violation(point)


def _no_levels(A: Any) -> Any:
    shape = np.shape(A) if not hasattr(A, "shape") else A.shape
    if len(shape) != 2:
        raise ValueError(v.message("A", "2-D", f"shape {tuple(shape)}"))
    return Levels.parse((0, 0), shape[1])


def violation_lower_bound(
    A: Array,
    b: Any,
    levels: Any,
    *,
    weights: Any = None,
    sense: Any = "abs",
    kind: str = "lp",
) -> float:
    r"""Return a number that no point of the level sets undercuts.

    For multipliers y with :math:`\sum_i |y_i| \le 1`, sign-restricted on one-sided
    rows,

    .. math::

       V^* \ge \sum_j \min_{v \in \{\min S_j, \max S_j\}} (A^T (w \circ y))_j v
       - (w \circ y)^T b.

    Parameters
    ----------
    A : array-like of shape (m, n), or scipy.sparse matrix
        Rows.
    b : array-like of shape (m,), or a pair of them
        Right-hand side, as in ``minimize_max_violation``.
    levels : pair of int, array-like, or list of n array-likes
        Level sets, as in ``minimize_max_violation``.
    weights : array-like of shape (m,), default=None
        Weights of the rows.
    sense : {"abs", "le", "ge", "interval"} or array of these, default="abs"
        What each row asks for.
    kind : {"lp", "dual"}, default="lp"
        Where multipliers come from: a linear program, or reweighted least squares.

    Returns
    -------
    float
        Lower bound, rigorous up to rounding; raised to the next value that the row
        sums of integer data can take.

    Raises
    ------
    TypeError, ValueError
        As ``minimize_max_violation``.

    Examples
    --------
    >>> from numopt.dmmv import violation_lower_bound
    >>> round(violation_lower_bound([[1.0], [1.0]], [0.0, 3.0], (0, 3)), 6)
    2.0
    """
    if kind not in ("lp", "dual"):
        raise ValueError(v.message("kind", "one of 'lp', 'dual'", repr(kind)))
    problem = MinMaxProblem.from_arrays(A, b, levels, weights=weights, sense=sense)
    core = make_core(problem)
    if core.n == 0 or core.m == 0:
        return problem.violation(core.to_x(np.zeros(core.n, np.int64)))
    relax = lp_relaxation if kind == "lp" else least_squares_relaxation
    value = max(relax(core).bound * core.scale, core.floor)
    return attainable_bound(problem, value)
