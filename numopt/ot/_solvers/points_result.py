# SPDX-License-Identifier: BSD-3-Clause
"""The result for clouds: products with the plan, maps and gradients without it."""

import dataclasses
import functools
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from numopt import _validation as v
from numopt._array.namespace import namespace_key, numpy_namespace, to_numpy
from numopt.ot._kernels.clouds import (
    cloud_apply,
    cloud_cost,
    cloud_count,
    cloud_entries,
    cloud_gradient,
    cloud_pass,
)
from numopt.ot._problem.clouds import Cloud, Coupling
from numopt.ot._problem.points import PointsProblem, kept_cloud
from numopt.ot._problem.weights import NEGLIGIBLE
from numopt.ot._solvers.result import SinkhornResult
from numopt.typing import Array

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["PointsResult", "extended_potential"]

#: Pairs of leaves with less than exp(NOTHING) of the mass of a row are left out.
NOTHING = -42.0


class _Side(NamedTuple):
    """Points of one side in the order of their leaves, with g / eps + log b."""

    cloud: Cloud
    order: Array | None
    gamma: Array
    log_weights: Array

    def sort(self, x: Array, xp: Any) -> Array:
        """Bring rows of the caller into the order of the leaves."""
        return x if self.order is None else xp.take(x, self.order, axis=0)


def _side(
    problem: PointsProblem,
    points: Array,
    g: Array,
    b: Array,
    *,
    negligible: float = NEGLIGIBLE,
) -> _Side:
    """The points of a side whose weight matters, with its potential."""
    xp = problem.xp
    cloud, b, order = kept_cloud(problem, points, b, negligible=negligible)
    g = g if order is None else xp.take(g, order)
    g, b = (xp.astype(x, xp.float64, copy=False) for x in (g, b))
    log_b = xp.log(b)
    return _Side(cloud, order, g / problem.reg + log_b, log_b)


class _Map:
    """Rows of any points against the weighted points of a side.

    Rows have the density P_ij / a_i = b_j exp((f_i + g_j - M_ij) / eps), which exists
    where the weight is zero, and off the sample.
    """

    def __init__(self, problem: PointsProblem, points: Array, side: _Side) -> None:
        self.problem, self.side, self.xp = problem, side, problem.xp
        cloud, order = Cloud.from_points(problem.coordinates(points))
        self.order = order
        log_a = self.xp.zeros_like(cloud.points[:, 0])
        self.coupling = Coupling(
            cloud,
            side.cloud,
            problem.metric_number,
            problem.batch,
            log_a,
            side.log_weights,
            NOTHING,
        )

    def _sort(self, x: Array) -> Array:
        return x if self.order is None else self.xp.take(x, self.order, axis=0)

    def _unsort(self, x: Array) -> Array:
        if self.order is None:
            return x
        return self.xp.take(x, self.xp.argsort(self.order), axis=0)

    def scaled_potential(self) -> Array:
        """Closed form of f / eps, in the order of the leaves."""
        guess = self.xp.zeros_like(self.coupling.log_a)
        return self._run(cloud_pass, guess, 1.0)[0]

    def _run(self, kernel: Any, phi: Array, *more: Any) -> Any:
        inv_eps = 1.0 / self.problem.reg
        return self.coupling.run(kernel, self.side.gamma, phi, inv_eps, *more)

    def potential(self) -> Array:
        """Closed form of the potential at the points."""
        return self._unsort(self.problem.reg * self.scaled_potential())

    def sums(self, V: Array, f: Array | None = None) -> Array:
        """Sums of V over the rows; without f they are means."""
        phi = self.scaled_potential() if f is None else self._scaled(f)
        V = self.side.sort(self.xp.astype(V, self.xp.float64, copy=False), self.xp)
        return self._unsort(self._run(cloud_apply, phi, V))

    def costs(self, f: Array) -> Array:
        """Mean cost of every row."""
        return self._unsort(self._run(cloud_cost, self._scaled(f)))

    def gradients(self, f: Array) -> Array:
        """Mean gradient of the cost in the point of every row, as kernels see it."""
        return self._unsort(self._run(cloud_gradient, self._scaled(f)))

    def entries(self, f: Array, log_a: Array, threshold: float) -> tuple[Any, ...]:
        """Rows, columns and logarithms of entries of the plan above a threshold."""
        scaled = self._scaled(f) + self._sort(log_a)
        pair = self.coupling.pair(scaled)
        bound = math.log(max(threshold, 5e-324))
        arguments = (*pair, self.side.gamma, scaled - bound, 1.0 / self.problem.reg)
        count = cloud_count.for_namespace(numpy_namespace)(*arguments)
        take = cloud_entries.for_namespace(numpy_namespace)
        _, _, columns, cost = take(*arguments, count)
        rows = np.repeat(np.arange(scaled.size), count)
        logs = scaled[rows] + self.side.gamma[columns] - cost / self.problem.reg
        if self.side.order is not None:
            columns = self.side.order[columns]
        rows = rows if self.order is None else self.order[rows]
        return rows, columns, logs

    def _scaled(self, f: Array) -> Array:
        xp = self.xp
        return self._sort(xp.astype(f, xp.float64, copy=False)) / self.problem.reg


def extended_potential(
    problem: PointsProblem, points: Array, g: Array, *, side: int, negligible: float
) -> Array:
    """Closed form of a potential at any points, given the other one.

    ``side`` 0 extends f by g on Y, 1 extends g by f on X. What is ``negligible`` of
    these is left out.
    """
    others, weights = ((problem.Y, problem.b), (problem.X, problem.a))[side]
    given = _side(problem, others, g, weights, negligible=negligible)
    return _Map(problem, points, given).potential()


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class PointsResult(SinkhornResult):
    """Solution of an entropic transport problem between two clouds.

    Everything but ``plan``, ``grad_M`` and ``plan_vjp``, which are matrices by nature,
    takes a pass over the pairs and O((n + m) d) memory. Fields are those of
    SinkhornResult; ``problem`` holds the clouds.

    Parameters
    ----------
    n_iter : int
        Full passes over the pairs plus Newton steps.
    converged : bool
        Whether ``marginal_error <= tol``.
    message : str
        Why the solver stopped and, on failure, what to try.
    status : str
        "converged", "max_iter", "callback", "stalled" or "diverged".
    history : dict of str to ndarray
        As in SinkhornResult.
    f, g : array of shape (n,) and (m,)
        Dual potentials. Unique up to ``f + t, g - t``.
    dual_value : float
        Value of the dual problem.
    marginal_error : float
        L1 error of both marginals, relative to the total mass; it includes a bound on
        the pairs that were left out.
    reg : float
        Regularisation.
    method : str
        Algorithm that gave the answer.
    n_passes, n_newton, n_cg : int
        Full passes, Newton steps, conjugate gradient iterations.
    nnz : int
        Entries of the last truncated support; n * m when it was not truncated.
    problem : PointsProblem
        The validated data.

    See Also
    --------
    sinkhorn_points : The function that makes it.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.ot import sinkhorn_points
    >>> X = np.array([[0.0], [1.0], [2.0]])
    >>> result = sinkhorn_points(X, X + 5.0, reg=0.01)
    >>> result.transport([[1.0]]).round(3).tolist()
    [[6.0]]
    """

    problem: PointsProblem  # type: ignore[assignment]

    @functools.cached_property
    def _rows(self) -> _Map:
        """X against the weighted Y."""
        p = self.problem
        return _Map(p, p.X, self._targets)

    @functools.cached_property
    def _targets(self) -> _Side:
        p = self.problem
        return _side(p, p.Y, self.g, p.b)

    @functools.cached_property
    def _columns(self) -> _Map:
        """Y against the weighted X."""
        p = self.problem
        return _Map(p, p.Y, _side(p, p.X, self.f, p.a))

    @functools.cached_property
    def value_linear(self) -> float:
        """Transport cost ``<P, M>``."""
        xp = self.problem.xp
        return float(to_numpy(xp.sum(self.problem.a * self._rows.costs(self.f))))

    def plan_sparse(self, threshold: float = 1e-12) -> "csr_array":
        """Return the plan as a sparse array on the host.

        Parameters
        ----------
        threshold : float, default=1e-12
            Entries up to this fraction of the total mass are left out.

        Returns
        -------
        scipy.sparse.csr_array of shape (n, m)
            The plan without its small entries; on NumPy it is made without the others.

        Raises
        ------
        ValueError
            When ``threshold`` is negative.
        """
        if namespace_key(self.problem.xp) != "numpy":
            return super().plan_sparse(threshold)
        from scipy.sparse import csr_array

        p = self.problem
        threshold = v.check_real("threshold", threshold, low=0)
        with np.errstate(divide="ignore"):
            log_a = np.maximum(np.log(p.a, dtype=float), -1e30)
        entries = self._rows.entries(self.f, log_a, threshold * p.mass)
        rows, columns, logs = entries
        plan = np.exp(logs).astype(p.X.dtype)
        shape = p.X.shape[0], p.Y.shape[0]
        return csr_array((plan, (rows, columns)), shape=shape)

    def apply(self, V: Array) -> Array:
        """Return ``P V``.

        Parameters
        ----------
        V : array of shape (m,) or (m, k)
            What to transport back to the source.

        Returns
        -------
        array of shape (n,) or (n, k)
            ``P V``.
        """
        return self._product(self._rows, self.problem.a, self.f, V)

    def apply_t(self, V: Array) -> Array:
        """Return ``P^T V``.

        Parameters
        ----------
        V : array of shape (n,) or (n, k)
            What to transport to the target.

        Returns
        -------
        array of shape (m,) or (m, k)
            ``P^T V``.
        """
        return self._product(self._columns, self.problem.b, self.g, V)

    def _product(self, rows: _Map, weights: Array, f: Array, V: Array) -> Array:
        """Weighted sums of V, a vector or columns."""
        xp = self.problem.xp
        (V,) = v.float_arrays(V=V, like=self.f)[1][:1]
        matrix = V if V.ndim == 2 else V[:, None]
        out = weights[:, None] * xp.astype(rows.sums(matrix, f), V.dtype)
        return out if V.ndim == 2 else out[:, 0]

    def barycentric(self, Y: Array) -> Array:
        """Return the barycentric projection ``diag(1 / P1) P Y``.

        Parameters
        ----------
        Y : array of shape (m, k)
            Target points, or other features of them.

        Returns
        -------
        array of shape (n, k)
            Mean target point of every source point. Points of zero weight get the
            limit of their conditional distribution.
        """
        xp = self.problem.xp
        (Y,) = v.float_arrays(Y=Y, like=self.f)[1][:1]
        return xp.astype(self._rows.sums(Y), Y.dtype)

    def transport(self, X_new: Array) -> Array:
        """Map new points by the softmax means of the target points.

        Parameters
        ----------
        X_new : array of shape (k, d)
            Points of the source space.

        Returns
        -------
        array of shape (k, d)
            ``T(x) = sum_j w_j(x) y_j``, w the softmax of
            ``(g_j - c(x, y_j)) / reg + log b_j``: the barycentric projection, extended
            off the sample.

        Raises
        ------
        ValueError
            When ``X_new`` is empty, does not have d columns, or is not finite.
        """
        p = self.problem
        (X_new,) = v.float_arrays(X_new=X_new, like=self.f)[1][:1]
        v.check_ndim("X_new", X_new, 2)
        d = p.X.shape[1]
        v.check_shape("X_new", X_new, (X_new.shape[0], d), why="(the columns of `X`)")
        v.check_values("X_new", X_new)
        return p.xp.astype(_Map(p, X_new, self._targets).sums(p.Y), X_new.dtype)

    @functools.cached_property
    def grad_X(self) -> Array:
        """Gradient of the optimal value in the source points (n, d)."""
        p = self.problem
        return self._gradient(self._rows, p.X, p.a, self.f)

    @functools.cached_property
    def grad_Y(self) -> Array:
        """Gradient of the optimal value in the target points (m, d)."""
        p = self.problem
        return self._gradient(self._columns, p.Y, p.b, self.g)

    def _gradient(self, rows: _Map, points: Array, weights: Array, f: Array) -> Array:
        """Envelope theorem: the plan is constant, only the costs move."""
        xp = self.problem.xp
        gradient = rows.gradients(f)
        if self.problem.metric == "cosine":
            # The kernel sees x / (sqrt(2) |x|): its derivative is tangent to spheres.
            x = xp.astype(points, xp.float64, copy=False)
            norm = xp.sqrt(xp.sum(x * x, axis=1, keepdims=True))
            unit = x / norm
            radial = xp.sum(unit * gradient, axis=1, keepdims=True)
            gradient = (gradient - unit * radial) / (math.sqrt(2.0) * norm)
        return weights[:, None] * xp.astype(gradient, points.dtype)
