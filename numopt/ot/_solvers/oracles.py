# SPDX-License-Identifier: BSD-3-Clause
"""Where a Newton solve gets gradients and Hessians from: all entries, or a support.

The support of a level holds the entries with ``P_ij > a_i b_j exp(-tau)``. It stays
valid while the potentials have not risen by more than its margin: only a rise of
f_i + g_j can bring an outside entry in.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from numopt._array.linalg import cho_factor, cho_solve
from numopt._array.namespace import device, numpy_namespace, to_numpy
from numopt._numerics.cg import cg
from numopt.ot._kernels.dense import gibbs_plan
from numopt.ot._kernels.laplacian import column_groups, laplacian_solve
from numopt.ot._kernels.support import (
    support_filter,
    support_pass,
    support_prune,
)
from numopt.ot._problem import CoreProblem
from numopt.ot._solvers.state import FEW_CG, TransportState, host, log_ratio
from numopt.typing import Array

__all__ = [
    "CertifiedOracle",
    "DenseOracle",
    "Oracle",
    "Support",
    "SupportOracle",
    "fill_columns",
]

#: Iterations of a solve at most, and with groups of columns from an earlier one.
MAX_CG, MANY_CG = 500, 40
#: The number of groups balances the cost of factoring their matrix and of a product,
#: (GROUPS nnz)^(1/3), with at least SMALLEST columns each.
GROUPS, SMALLEST = 100.0, 8
#: Least margin, in units of eps, that a support needs to serve the next level.
MARGIN = 7.0
#: Supports below FEW (n + m) entries are nearly forests: entries are cheap there and
#: steps long, so the support is widened.
FEW, WIDENINGS = 5, 6
#: Column sums below this fraction of b are out of the range of exp.
LOST = 1e-20
#: max |M| / eps up to which float32 exponents are good enough for a Hessian, and the
#: entries from which its smaller plan is worth it.
SINGLE_RANGE, SINGLE_SIZE = 2e4, 250_000
#: Smallest and largest eps whose costs and inverse float32 holds.
SINGLE_LEAST, SINGLE_MOST = 1e-30, 1e30


class Support(NamedTuple):
    """Row i holds the entries start[i]:stop[i] of ``columns`` and ``cost``."""

    start: np.ndarray
    stop: np.ndarray
    columns: np.ndarray
    cost: np.ndarray

    @property
    def nnz(self) -> int:
        """Number of entries in use."""
        return int(np.sum(self.stop - self.start))


def fits_single(problem: CoreProblem, eps: float) -> bool:
    """Whether exponents are good enough in float32, away from the certificate."""
    near = problem.cost_size <= SINGLE_RANGE * eps
    return near and SINGLE_LEAST < eps < SINGLE_MOST


class DenseOracle:
    """Gradient over all entries; Hessian from a dense plan.

    ``single`` passes run in float32: good enough for an intermediate level, they
    certify nothing. ``direct`` solves by Cholesky instead of conjugate gradients.
    ``exact`` says that the Hessian is in float64: modes of the potentials that little
    mass couples need it.
    """

    truncated = False

    def __init__(
        self,
        problem: CoreProblem,
        state: TransportState,
        *,
        single: bool = False,
        direct: bool = False,
    ) -> None:
        self.problem, self.state, self.eps = problem, state, state.eps
        self.certified = not single
        large = problem.cost.entries >= SINGLE_SIZE
        self.exact = not (large and fits_single(problem, state.eps))
        self._direct = direct

    def evaluate(self, gamma: Array, phi: Array) -> tuple[Array, Array]:
        """Row potentials and column sums at gamma."""
        p, xp = self.problem, self.problem.xp
        self.state.n_passes += 1
        if self.certified:
            return p.cost.fused_pass(gamma, phi, p.log_a, 1 / self.eps)
        gamma, phi, log_a = (xp.astype(x, xp.float32) for x in (gamma, phi, p.log_a))
        phi, c = p.cost.fused_pass(gamma, phi, log_a, 1 / self.eps)
        return xp.astype(phi, xp.float64), xp.astype(c, xp.float64)

    def margin(self, gamma: Array, phi: Array) -> float:
        """All entries are always there."""
        return math.inf

    def sweep(self, gamma: Array, phi: Array, c: Array) -> Array:
        """One Sinkhorn update; columns out of the range of exp by their maximum."""
        p, xp = self.problem, self.problem.xp
        new = gamma + log_ratio(p, c)
        lost = c < LOST * p.b
        if not bool(to_numpy(xp.any(lost))):
            return new
        exact = p.cost.column_update(phi, p.log_b, 1 / self.eps)
        return xp.where(lost, exact, new)

    def solve(
        self,
        gamma: Array,
        phi: Array,
        keep: float,
        c: Array,
        shift: Array,
        rhs: Array,
        tol: float,
    ) -> tuple[Array, int]:
        """Solve ``(diag(c + shift) - P^T diag(1/a) P) d = rhs``; nothing is dropped."""
        p, xp = self.problem, self.problem.xp
        inv_a = 1.0 / p.a
        if self._direct:
            plan = gibbs_plan.for_namespace(xp)(p.M, gamma, phi, 1 / self.eps)
            return _cholesky_solve(plan, inv_a, shift, rhs, xp), 1
        dtype = xp.float64 if self.exact else xp.float32
        gamma, phi, inv_a = (xp.astype(x, dtype) for x in (gamma, phi, inv_a))
        product = p.cost.normal_operator(gamma, phi, 1 / self.eps, inv_a)
        # Column sums of this very matrix instead of c: a Laplacian up to float64
        # round-off, so that the shift keeps it definite although P is in float32.
        ones = xp.ones(c.shape, dtype=dtype, device=device(c))
        diagonal = xp.astype(product(ones), xp.float64) + shift

        # Products in float32 need numbers in its range.
        scale = xp.max(xp.abs(rhs / diagonal))

        def matvec(d: Array) -> Array:
            small = product(xp.astype(d, dtype))
            return diagonal * d - xp.astype(small, xp.float64)

        result = cg(matvec, rhs / scale, tol=tol, max_iter=MAX_CG, diagonal=diagonal)
        return scale * result.x, result.n_iter


class SupportOracle:
    """Gradient and Hessian on a stored support, valid near its reference potentials.

    ``plan`` holds what the last evaluation found; supports that are narrowed from one
    another share its memory.
    """

    truncated = True
    certified = False
    exact = True

    def __init__(
        self,
        problem: CoreProblem,
        state: TransportState,
        support: Support,
        reference: tuple[np.ndarray, np.ndarray],
        radius: float,
        plan: np.ndarray | None = None,
    ) -> None:
        self.problem, self.state, self.eps = problem, state, state.eps
        self.support, self.reference, self.radius = support, reference, radius
        nnz = support.columns.size
        self.plan = np.empty(nnz) if plan is None else plan[:nnz]
        state.nnz = support.nnz

    @classmethod
    def scan(
        cls,
        problem: CoreProblem,
        state: TransportState,
        tau: float,
        max_support: int,
        *,
        single: bool,
    ) -> "SupportOracle | None":
        """Find the support at the state's potentials; None when it is too large."""
        dtype = np.float32 if single else np.float64
        s = (state.phi - problem.log_a).astype(dtype)
        for _ in range(WIDENINGS + 1):
            h = (state.gamma - problem.log_b + tau).astype(dtype)
            nnz, entries = problem.cost.support(h, s, 1 / state.eps, max_support)
            if entries is None:
                return None
            if nnz > FEW * sum(problem.cost.shape):
                break
            tau *= 2
        support = Support(*entries)
        return cls(problem, state, support, (state.gamma, state.phi), tau)

    def narrow(self, tau: float) -> "SupportOracle | None":
        """Filter for the state's smaller eps; None when the margin does not suffice."""
        p, state = self.problem, self.state
        ratio = self.eps / state.eps
        reference = tuple(
            (x - log_weight) * ratio + log_weight
            for x, log_weight in zip(self.reference, (p.log_b, p.log_a), strict=True)
        )
        radius = self.radius * ratio
        wide = SupportOracle(p, state, self.support, reference, radius, self.plan)
        if wide.margin(state.gamma, state.phi) < MARGIN:
            return None
        state.gamma, state.phi, _ = fill_columns(wide, state.gamma, state.phi)
        radius = wide.margin(state.gamma, state.phi)
        if radius < MARGIN:  # pragma: no cover - rounding
            return None
        return wide._filtered(min(tau, radius), radius)

    def _filtered(self, tau: float, radius: float) -> "SupportOracle":
        p, state = self.problem, self.state
        keep = support_filter.for_namespace(numpy_namespace)
        s = state.phi - p.log_a
        for _ in range(WIDENINGS):
            h = state.gamma - p.log_b + tau
            support = Support(*keep(*self.support, h, s, 1 / state.eps))
            if tau >= radius or support.nnz > FEW * (p.a.size + p.b.size):
                break
            tau = min(2 * tau, radius)
        reference = state.gamma, state.phi
        return SupportOracle(p, state, support, reference, tau, self.plan)

    def evaluate(self, gamma: Array, phi: Array) -> tuple[Array, Array]:
        """Row potentials and column sums over the support."""
        one_pass = support_pass.for_namespace(numpy_namespace)
        log_a = self.problem.log_a
        return one_pass(*self.support, gamma, phi, log_a, 1 / self.eps, self.plan)

    def margin(self, gamma: Array, phi: Array) -> float:
        """How far, in units of eps, entries outside are below the support's surface."""
        rise = (gamma - self.reference[0]).max() + (phi - self.reference[1]).max()
        return self.radius - max(0.0, float(rise))

    def sweep(self, gamma: Array, phi: Array, c: Array) -> Array:
        """One Sinkhorn update on the support."""
        return gamma + log_ratio(self.problem, c)

    def solve(
        self,
        gamma: Array,
        phi: Array,
        keep: float,
        c: Array,
        shift: Array,
        rhs: Array,
        tol: float,
    ) -> tuple[Array, int]:
        """Solve with the entries P_ij > keep a_i b_j of the last evaluation."""
        p = self.problem
        prune = support_prune.for_namespace(numpy_namespace)
        pruned = prune(*self.support[:3], self.plan, keep * p.a, p.b)
        system = (*pruned, 1.0 / p.a, c + shift, rhs)
        solve = laplacian_solve.for_namespace(numpy_namespace)
        groups, most = self.state.groups
        d, spent = solve(*system, groups, tol, most)
        if spent < most:
            return d, spent
        groups = _groups(pruned, rhs.size)
        d, n_cg = solve(*system, groups, tol, MAX_CG)
        self.state.groups = groups, min(max(FEW_CG, 2 * n_cg), MANY_CG)
        return d, spent + n_cg


class CertifiedOracle:
    """Gradient over all entries, Hessian from a support."""

    truncated = True
    certified = True
    exact = True

    def __init__(self, base: SupportOracle) -> None:
        self._base = base
        self._dense = DenseOracle(base.problem, base.state)
        self.problem, self.state, self.eps = base.problem, base.state, base.eps

    def evaluate(self, gamma: Array, phi: Array) -> tuple[Array, Array]:
        """Row potentials and column sums over all entries."""
        return self._dense.evaluate(gamma, phi)

    def margin(self, gamma: Array, phi: Array) -> float:
        """Margin of the support."""
        return self._base.margin(gamma, phi)

    def sweep(self, gamma: Array, phi: Array, c: Array) -> Array:
        """One Sinkhorn update over all entries."""
        return self._dense.sweep(gamma, phi, c)

    def solve(
        self,
        gamma: Array,
        phi: Array,
        keep: float,
        c: Array,
        shift: Array,
        rhs: Array,
        tol: float,
    ) -> tuple[Array, int]:
        """Solve on the support, with the plan at these potentials."""
        self._base.evaluate(gamma, phi)
        return self._base.solve(gamma, phi, keep, c, shift, rhs, tol)


Oracle = DenseOracle | SupportOracle | CertifiedOracle


def fill_columns(
    oracle: Oracle, gamma: Array, phi: Array, most: int = 4
) -> tuple[Array, Array, Array]:
    """Sweep until no column is nearly empty, so that a support can reach them all."""
    p, xp = oracle.problem, oracle.problem.xp
    phi, c = oracle.evaluate(gamma, phi)
    for _ in range(most):
        if p.residual(c) < 0.4 and host(xp.min(c / p.b)) > 1e-2:
            break
        gamma = oracle.sweep(gamma, phi, c)
        phi, c = oracle.evaluate(gamma, phi)
    return gamma, phi, c


def _groups(pruned: tuple[np.ndarray, ...], m: int) -> np.ndarray:
    """Groups of columns that exchange much mass, up to 1.5 times the mean size."""
    nnz = pruned[-1].size
    count = max(1.0, min(m / SMALLEST, (GROUPS * nnz) ** (1 / 3)))
    join = column_groups.for_namespace(numpy_namespace)
    return join(*pruned, m, math.ceil(1.5 * m / count))


def _cholesky_solve(
    plan: Array, inv_a: Array, shift: Array, rhs: Array, xp: Any
) -> Array:
    """Solve with the Laplacian of the plan, made definite by a shift."""
    weights = xp.matrix_transpose(plan) @ (plan * inv_a[:, None])
    # Its own sums: at small eps the rows of the plan have the error of its exponents.
    diagonal = xp.sum(weights, axis=1)
    diagonal = diagonal + shift + 1e-14 * xp.sum(diagonal)
    eye = xp.eye(rhs.shape[0], dtype=rhs.dtype, device=device(rhs))
    return cho_solve(cho_factor(eye * diagonal[:, None] - weights), rhs)
