# SPDX-License-Identifier: BSD-3-Clause
"""What a transport solver returns: potentials, values, and the plan on demand."""

import dataclasses
import functools
from typing import TYPE_CHECKING

from numopt import _validation as v
from numopt._array.namespace import array_namespace, device, to_numpy
from numopt._iterate.result import SolverResult
from numopt.ot._kernels.dense import transport_cost
from numopt.ot._problem import TransportProblem
from numopt.ot._problem.potentials import plan_entries
from numopt.ot._solvers.sensitivity import PlanGradient, plan_vector_jacobian
from numopt.typing import Array

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["HistogramsResult", "SinkhornResult"]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class SinkhornResult(SolverResult):
    r"""Solution of an entropic transport problem.

    Potentials are relative to the product of the marginals,

    .. math:: P_{ij} = a_i b_j \exp((f_i + g_j - M_{ij}) / \varepsilon),

    so that they extend to new points, and ``value`` equals ``<a, f> + <b, g>`` at the
    solution when the mass is 1. The minimiser is that of the negative-entropy
    convention (POT's ``ot.sinkhorn``); only the value differs, by
    ``reg * (<a, log a> + <b, log b>)``.

    Parameters
    ----------
    n_iter : int
        Full passes over the cost plus Newton steps.
    converged : bool
        Whether ``marginal_error <= tol``.
    message : str
        Why the solver stopped and, on failure, what to try.
    status : str
        "converged", "max_iter", "callback", "stalled", "diverged" or "infeasible".
    history : dict of str to ndarray
        One entry a full pass: "n_iter", "time", "time_fraction", "objective",
        "residual", "marginal_error", "dual_value", "eps", "stage", "passes".
    f, g : array of shape (n,) and (m,)
        Dual potentials. Unique up to ``f + t, g - t``.
    dual_value : float
        Value of the dual problem, a lower bound on ``value`` up to round-off.
    marginal_error : float
        L1 error of both marginals over all entries, relative to the total mass.
    reg : float
        Regularisation.
    method : str
        Algorithm that gave the answer.
    n_passes, n_newton, n_cg : int
        Full passes over the cost, Newton steps, conjugate gradient iterations.
    nnz : int
        Entries of the last truncated support; n * m when it was not truncated.
    problem : TransportProblem
        The validated data.

    See Also
    --------
    sinkhorn : The function that makes it.

    Examples
    --------
    >>> from numopt.ot import sinkhorn
    >>> result = sinkhorn(None, None, [[0.0, 1.0], [1.0, 0.0]], reg=0.5)
    >>> result.plan.round(3).tolist()
    [[0.44, 0.06], [0.06, 0.44]]
    """

    f: Array
    g: Array
    dual_value: float
    marginal_error: float
    reg: float
    method: str
    n_passes: int
    n_newton: int
    n_cg: int
    nnz: int
    problem: TransportProblem

    @functools.cached_property
    def plan(self) -> Array:
        """Transport plan (n, m), built on first use and kept."""
        return self._entries(a=self.problem.a, b=self.problem.b)

    @functools.cached_property
    def value_linear(self) -> float:
        """Transport cost ``<P, M>``, by one fused pass."""
        p = self.problem
        xp = p.xp
        kernel = transport_cost.for_namespace(xp)
        phi, gamma = self.f / self.reg, self.g / self.reg
        rows = kernel(phi, gamma, p.b, p.M, 1.0 / self.reg)
        return float(to_numpy(xp.sum(p.a * rows)))

    @property
    def value(self) -> float:
        """Objective ``<P, M> + reg * KL(P | a b^T)`` of the returned plan."""
        p = self.problem
        # <P1, f> = <a, f> after a row update; the column part is bounded by the error.
        mass_term = self.reg * (
            float(to_numpy(p.xp.sum(self._column_sums))) - p.mass**2
        )
        rows = float(to_numpy(p.xp.sum(p.a * self.f)))
        columns = float(to_numpy(p.xp.sum(self._column_sums * self.g)))
        return rows + columns - mass_term

    @functools.cached_property
    def _column_sums(self) -> Array:
        return self.apply_t(self.problem.xp.ones_like(self.f))

    def plan_sparse(self, threshold: float = 1e-12) -> "csr_array":
        """Return the plan as a sparse array on the host.

        Parameters
        ----------
        threshold : float, default=1e-12
            Entries up to this fraction of the total mass are left out.

        Returns
        -------
        scipy.sparse.csr_array of shape (n, m)
            The plan without its small entries.

        Raises
        ------
        ValueError
            When ``threshold`` is negative.
        """
        from scipy.sparse import csr_array

        threshold = v.check_real("threshold", threshold, low=0)
        plan = to_numpy(self.plan)
        rows, columns = (plan > threshold * self.problem.mass).nonzero()
        return csr_array((plan[rows, columns], (rows, columns)), shape=plan.shape)

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
        return self.plan @ v.float_arrays(V=V, like=self.f)[1][0]

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
        xp = array_namespace(self.f)
        return xp.matrix_transpose(self.plan) @ v.float_arrays(V=V, like=self.f)[1][0]

    def barycentric(self, Y: Array) -> Array:
        """Return the barycentric projection ``diag(1 / P1) P Y``.

        Parameters
        ----------
        Y : array of shape (m, d)
            Target points.

        Returns
        -------
        array of shape (n, d)
            Mean target point of every source point. Points of zero weight get the
            limit of their conditional distribution.
        """
        xp = self.problem.xp
        (Y,) = v.float_arrays(Y=Y, like=self.f)[1][:1]
        weights = self._entries(b=self.problem.b)
        return weights @ Y / xp.sum(weights, axis=1, keepdims=True)

    def _entries(self, **weights: Array) -> Array:
        """``P_ij / (a_i b_j)`` times the weights that are given."""
        return plan_entries(self.f, self.g, self.problem.M, self.reg, **weights)

    @property
    def grad_a(self) -> Array:
        """Gradient of the optimal value in ``a``, tangent to the simplex."""
        p = self.problem
        return self.f - p.xp.sum(p.a * self.f) / p.mass

    @property
    def grad_b(self) -> Array:
        """Gradient of the optimal value in ``b``, tangent to the simplex."""
        p = self.problem
        return self.g - p.xp.sum(p.b * self.g) / p.mass

    @property
    def grad_M(self) -> Array:
        """Gradient of the optimal value in ``M``: the plan (envelope theorem)."""
        return self.plan

    def plan_vjp(self, G: Array) -> PlanGradient:
        """Differentiate a function of the plan, given its gradient in the plan.

        Parameters
        ----------
        G : array of shape (n, m)
            Gradient of the function in the plan, at ``self.plan``.

        Returns
        -------
        PlanGradient
            ``grad_M``, ``grad_a`` and ``grad_b``, by one linear system (implicit
            differentiation), exact as far as ``marginal_error`` is small.

        Raises
        ------
        ValueError
            When ``G`` is not of the shape of the plan, or not finite.

        Warns
        -----
        ConvergenceWarning
            When the system is too ill-conditioned for conjugate gradients.
        """
        (G,) = v.float_arrays(G=G, like=self.f)[1][:1]
        v.check_shape("G", G, tuple(self.problem.M.shape), why="(that of the plan)")
        v.check_values("G", G)
        p = self.problem
        rows, columns = self._entries(b=p.b), self._entries(a=p.a)
        return plan_vector_jacobian(p, self.plan, rows, columns, G)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class HistogramsResult(SolverResult):
    """Solutions for k targets on the same points, solved together.

    ``result[h]`` is the SinkhornResult of target h, with its own certificate.

    Parameters
    ----------
    n_iter : int
        Sweeps and passes; a sweep serves all targets.
    converged : bool
        Whether the marginal errors of all targets are at most ``tol``.
    message : str
        Why the solver stopped and, on failure, what to try.
    status : str
        "converged", "max_iter", "callback", "stalled", "diverged" or "infeasible".
    history : dict of str to ndarray
        As in SinkhornResult; "dual_value" is the sum and "marginal_error" the largest
        over the targets.
    reg : float
        Regularisation.
    method : str
        Algorithm that gave the answer.
    results : tuple of SinkhornResult
        The targets one by one.

    See Also
    --------
    sinkhorn : The function that makes it, when ``b`` has two dimensions.

    Examples
    --------
    >>> from numopt.ot import sinkhorn
    >>> M = [[0.0, 1.0], [1.0, 0.0]]
    >>> targets = [[0.5, 0.9], [0.5, 0.1]]
    >>> result = sinkhorn(None, targets, M, reg=0.1, method="sinkhorn")
    >>> result.value_linear.round(4).tolist()
    [0.0, 0.4]
    >>> result[1].plan.sum(axis=0).round(6).tolist()
    [0.9, 0.1]
    """

    reg: float
    method: str
    results: tuple[SinkhornResult, ...]

    def __len__(self) -> int:
        """Return the number of targets."""
        return len(self.results)

    def __getitem__(self, h: int) -> SinkhornResult:
        """Return the result of one target."""
        return self.results[h]

    @property
    def f(self) -> Array:
        """Potentials of the source (n, k)."""
        return self._stack([result.f for result in self.results])

    @property
    def g(self) -> Array:
        """Potentials of the targets (m, k)."""
        return self._stack([result.g for result in self.results])

    @property
    def plan(self) -> Array:
        """Transport plans (n, m, k)."""
        return self._stack([result.plan for result in self.results])

    @property
    def value(self) -> Array:
        """Objectives (k,)."""
        return self._numbers([result.value for result in self.results])

    @property
    def value_linear(self) -> Array:
        """Transport costs (k,)."""
        return self._numbers([result.value_linear for result in self.results])

    @property
    def dual_value(self) -> Array:
        """Dual values (k,)."""
        return self._numbers([result.dual_value for result in self.results])

    @property
    def marginal_error(self) -> float:
        """Largest L1 marginal error of the targets, relative to the total mass."""
        return max(result.marginal_error for result in self.results)

    def _stack(self, arrays: list[Array]) -> Array:
        """Put the targets on the last axis."""
        return array_namespace(arrays[0]).stack(arrays, axis=-1)

    def _numbers(self, values: list[float]) -> Array:
        """Return numbers as an array of the library, device and dtype of the input."""
        like = self.results[0].f
        xp = array_namespace(like)
        return xp.asarray(values, dtype=like.dtype, device=device(like))
