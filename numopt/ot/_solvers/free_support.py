# SPDX-License-Identifier: BSD-3-Clause
"""Barycenters of clouds whose points move: maps and supports in turn."""

import dataclasses
from typing import Any, cast

from numopt import _validation as v
from numopt._array.namespace import array_namespace
from numopt._iterate.loop import Solver, iterate
from numopt._iterate.result import SolverResult
from numopt._iterate.stopping import warn_not_converged
from numopt._numerics.anderson import Anderson
from numopt._numerics.distances import pairwise_distances
from numopt.exceptions import ArgumentTypeError
from numopt.ot._problem.weights import check_weights
from numopt.ot._solvers.result import SinkhornResult
from numopt.ot._solvers.sinkhorn import sinkhorn
from numopt.ot._solvers.state import host
from numopt.typing import Array, Callback, Namespace

__all__ = ["FreeSupportResult", "free_support_barycenter"]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class FreeSupportResult(SolverResult):
    """Cloud that is closest to several clouds on average.

    Parameters
    ----------
    n_iter : int
        Steps of the points.
    converged : bool
        Whether the last step was at most ``tol``.
    message : str
        Why the solver stopped and, on failure, what to try.
    status : str
        "converged", "max_iter" or "callback".
    history : dict of str to ndarray
        One entry a step: "n_iter", "time", "objective" (the mean of the values of the
        transport problems), "residual" (the step).
    X : array of shape (n, d)
        Points of the barycenter.
    a : array of shape (n,)
        Their weights.
    value : float
        Mean of the values of the entropic transport problems from ``X``.
    weights : array of shape (k,)
        Coefficients of the clouds, of sum 1.
    plans : tuple of SinkhornResult
        Transport from ``X`` to each of the clouds.

    See Also
    --------
    free_support_barycenter : The function that makes it.

    Examples
    --------
    >>> from numopt.ot import free_support_barycenter
    >>> clouds = [[[0.0], [1.0]], [[4.0], [5.0]]]
    >>> result = free_support_barycenter(clouds, None, [[0.0], [2.0]], reg=0.01)
    >>> result.X.round(3).tolist()
    [[2.0], [3.0]]
    """

    X: Array
    a: Array
    value: float
    weights: Array
    plans: tuple[SinkhornResult, ...]


def free_support_barycenter(
    Xs: list[Array],
    bs: list[Array | None] | None,
    X_init: Array,
    reg: float,
    *,
    weights: Array | None = None,
    a: Array | None = None,
    tol: float = 1e-6,
    max_iter: int = 100,
    inner_tol: float = 1e-7,
    callback: Callback | None = None,
    verbose: int = 0,
    warn: bool = True,
) -> FreeSupportResult:
    r"""Average clouds of points in the sense of optimal transport.

    .. math::
        \min_X \sum_k w_k\, W_\varepsilon \Bigl( \sum_i a_i \delta_{x_i},
        \sum_j b_{kj} \delta_{y_{kj}} \Bigr)

    for squared Euclidean costs, where :math:`\varepsilon` is ``reg`` and the weights
    ``a`` are given.

    Parameters
    ----------
    Xs : list of k arrays of shape (m_k, d)
        The clouds.
    bs : list of k arrays of shape (m_k,), or None
        Their weights, each of the sum of ``a``; None, for one or for all, means
        uniform of total 1.
    X_init : array of shape (n, d)
        Points to start from; their number is that of the barycenter.
    reg : float
        Entropic regularisation, positive, in the units of squared distances.
    weights : array of shape (k,), default=None
        Coefficients of the clouds, non-negative, scaled to sum 1; None means equal
        ones.
    a : array of shape (n,), default=None
        Weights of the points of the barycenter; None means uniform of total 1.
    tol : float, default=1e-6
        Largest step of a point, relative to the spread of the clouds, at which the
        solver stops.
    max_iter : int, default=100
        Bound on the steps.
    inner_tol : float, default=1e-7
        Marginal error of the transport problems.
    callback : callable, default=None
        Called with an ``IterationInfo`` after every step; a true answer stops.
    verbose : int, default=0
        0 silent, 1 progress bar, 2 log lines.
    warn : bool, default=True
        Issue a ConvergenceWarning when ``tol`` was not reached.

    Returns
    -------
    FreeSupportResult
        The points in ``X``, with the plans to all clouds.

    Raises
    ------
    TypeError
        When an argument is of the wrong kind, or libraries are mixed.
    ValueError
        When a value is invalid, or shapes or sums do not match.

    Warns
    -----
    ConvergenceWarning
        When ``tol`` was not reached; the points are finite all the same.

    See Also
    --------
    barycenter : Points that stay where they are.

    Notes
    -----
    For given plans the best points are the weighted means of their barycentric
    projections (Cuturi & Doucet 2014, section 4.4); plans and points in turn decrease
    the objective at every step. Steps are extrapolated (Anderson) where the objective
    agrees. It is not convex: the answer depends on ``X_init``.
    Every plan starts from the potentials of the last one. Entropy pulls points
    together: the variance of the mean of equal Gaussians shrinks by ``reg / 2``.

    References
    ----------
    Cuturi & Doucet (2014), Fast computation of Wasserstein barycenters, ICML.
    Álvarez-Esteban, del Barrio, Cuesta-Albertos & Matrán (2016), A fixed-point approach
    to barycenters in Wasserstein space, J. Math. Anal. Appl. 441.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.ot import free_support_barycenter
    >>> rng = np.random.default_rng(0)
    >>> cloud = rng.standard_normal((50, 2))
    >>> result = free_support_barycenter([cloud, cloud + 4.0], None, cloud, reg=0.1)
    >>> bool(np.allclose(result.X.mean(axis=0), cloud.mean(axis=0) + 2.0, atol=1e-5))
    True
    """
    problem = _Problem.from_arrays(Xs, bs, X_init, reg, weights, a)
    fields = iterate(
        _Alternation(v.check_real("inner_tol", inner_tol, low=0)),
        problem,
        tol=v.check_real("tol", tol, low=0),
        max_iter=v.check_int("max_iter", max_iter, low=1),
        callback=v.check_callback(callback),
        verbose=v.check_int("verbose", verbose, low=0, high=2),
        warn=False,
    )
    if warn and fields["status"] not in ("converged", "callback"):
        warn_not_converged("free_support_barycenter", fields["message"])
    return FreeSupportResult(a=problem.a, weights=problem.w, **fields)


@dataclasses.dataclass(frozen=True)
class _Problem:
    """Clouds, their weights and coefficients, and the start."""

    clouds: list[Array]
    bs: list[Array]
    start: Array
    a: Array
    w: Array
    reg: float
    spread: float

    @classmethod
    def from_arrays(
        cls, Xs: Any, bs: Any, X_init: Any, reg: Any, weights: Any, a: Any
    ) -> "_Problem":
        """Validate."""
        reg = v.check_real("reg", reg, low=0, include_low=False)
        Xs = _check_list("Xs", Xs)
        bs = [None] * len(Xs) if bs is None else _check_list("bs", bs)
        if len(bs) != len(Xs):
            expected = f"None or {len(Xs)} arrays, one for each cloud"
            raise ValueError(v.message("bs", expected, len(bs)))
        named = {f"Xs[{k}]": X for k, X in enumerate(Xs)}
        named_b = {f"bs[{k}]": b for k, b in enumerate(bs)}
        arrays: list[Any]
        xp, arrays = v.float_arrays(
            X_init=X_init, weights=weights, a=a, **named, **named_b
        )
        X_init, weights, a = arrays[:3]
        clouds, bs = arrays[3 : 3 + len(Xs)], arrays[3 + len(Xs) :]
        d = _check_cloud("X_init", X_init)
        for name, X in zip(named, clouds, strict=True):
            _check_cloud(name, X)
            v.check_shape(name, X, (X.shape[0], d), why="(as many columns as `X_init`)")
        bs = [
            check_weights(name, b, X.shape[0], X, xp)
            for name, b, X in zip(named_b, bs, clouds, strict=True)
        ]
        for name, b, X in zip(named_b, bs, clouds, strict=True):
            v.check_shape(name, b, (X.shape[0],), why="(one for each point)")
        a = check_weights("a", a, X_init.shape[0], X_init, xp)
        v.check_shape("a", a, (X_init.shape[0],), why="(one for each point)")
        w = check_weights("weights", weights, len(Xs), X_init, xp)
        v.check_shape("weights", w, (len(Xs),), why="(one for each cloud)")
        w = w / xp.sum(w)
        return cls(clouds, bs, X_init, a, w, reg, _spread(clouds, xp))


def _check_list(name: str, values: Any) -> list[Any]:
    """Check a non-empty list or tuple."""
    if not isinstance(values, list | tuple):
        kind = type(values).__name__
        raise ArgumentTypeError(v.message(name, "a list of arrays", kind))
    if not values:
        raise ValueError(v.message(name, "non-empty", "an empty list"))
    return list(values)


def _check_cloud(name: str, X: Array) -> int:
    """Check points and return their dimension."""
    v.check_ndim(name, X, 2, hint="points of the line are X.reshape(-1, 1)")
    v.check_values(name, X)
    return X.shape[1]


def _spread(clouds: list[Array], xp: Namespace) -> float:
    """Largest extent of the clouds along an axis; 1 for a single point."""
    extents = [xp.max(X, axis=0) - xp.min(X, axis=0) for X in clouds]
    return max(host(xp.max(extent)) for extent in extents) or 1.0


@dataclasses.dataclass
class _State:
    """Points, the plans from them, and the last step."""

    X: Array
    plans: list[SinkhornResult]
    moved: Array
    step: float
    value: float
    memory: Anderson = dataclasses.field(default_factory=Anderson)


@dataclasses.dataclass(frozen=True)
class _Alternation(Solver[_Problem, _State]):
    """Plans for the points, points for the plans."""

    inner_tol: float
    name: str = "free_support_barycenter"

    def init(self, problem: _Problem, warm_start: Any) -> _State:
        """Solve from the given points."""
        return self._planned(problem, problem.start, [None] * len(problem.clouds))

    def step(self, problem: _Problem, state: _State) -> _State:
        """Extrapolate the motion of the points; where that ascends, just move them."""
        memory = state.memory
        memory.push(state.X, state.moved)
        ahead = self._planned(problem, memory.extrapolate(), state.plans)
        if ahead.value > state.value:
            memory.clear()
            ahead = self._planned(problem, state.moved, state.plans)
        ahead.memory = memory
        return ahead

    def _planned(self, problem: _Problem, X: Array, former: list[Any]) -> _State:
        """Return the plans of points, and where they move the points."""
        xp = array_namespace(X)
        plans, moved = [], xp.zeros_like(X)
        data = zip(problem.clouds, problem.bs, former, strict=True)
        weights = [problem.w[k] for k in range(len(problem.clouds))]
        for w, (Y, b, start) in zip(weights, data, strict=True):
            M = pairwise_distances(X, Y, "sqeuclidean")
            plan = sinkhorn(
                problem.a,
                b,
                M,
                problem.reg,
                tol=self.inner_tol,
                warmstart=start,
                warn=False,
            )
            # One target at a time: never the result of several.
            plans.append(cast("SinkhornResult", plan))
            moved = moved + w * plans[-1].barycentric(Y)
        step = host(xp.max(xp.abs(moved - X))) / problem.spread
        values = [host(w) * plan.value for w, plan in zip(weights, plans, strict=True)]
        return _State(X, plans, moved, step, sum(values))

    def measure(self, problem: _Problem, state: _State) -> dict[str, Any]:
        """Return the mean value and the length of the next step."""
        return {"objective": state.value, "residual": state.step}

    def current(self, state: _State) -> Array:
        """Return the points."""
        return state.X

    def finish(self, problem: _Problem, state: _State) -> dict[str, Any]:
        """Return the points and their plans."""
        return {"X": state.X, "value": state.value, "plans": tuple(state.plans)}
