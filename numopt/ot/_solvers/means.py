# SPDX-License-Identifier: BSD-3-Clause
"""How entropic means are found: Bregman projections, then Newton steps, annealed.

Plans are P_k = exp(phi_k + gamma_k - M / eps) in scaled potentials. With exact rows a
mean has equal column sums c_k of all plans and ``sum_k w_k gamma_k = log d`` (d = 1, or
the debiasing field). On this subspace the dual ``sum_k w_k <a_k, phi_k>`` is
concave, with gradient ``mean(c) - c_k`` in the inner product weighted by w.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

from numopt._array.namespace import device
from numopt._iterate.loop import Solver
from numopt._iterate.stopping import Stop
from numopt._numerics.anderson import Anderson
from numopt._numerics.cg import cg
from numopt.ot._problem.kernel_products import KernelProducts
from numopt.ot._problem.means import MeanProblem
from numopt.ot._solvers.state import LEVEL_TOL, first_eps, host, next_eps
from numopt.typing import Array

__all__ = ["MeanSolver"]

FACTOR = 4.0
#: Newton steps start after this many sweeps of a level, below this error. With a
#: stored kernel a sweep costs no more than a product of Newton's method, and
#: extrapolated sweeps converge as conjugate gradients do: they get more time.
SWEEPS, EXTRAPOLATED, GATE = 5, 30, 0.3
MAX_TRIALS, MAX_CG = 10, 500
#: Longest step of Newton's method in units of eps; relative noise of the dual value.
LONGEST, NOISE = 20.0, 1e-13
#: Column sums below are out of the range of exp.
LOST = 1e-250
#: Steps that extrapolated sweeps remember, the least weight of a potential there, as a
#: fraction of the largest mass, and the factor by which one may grow the error.
MEMORY, LEAST_SCALE, WORSE = 4, 1e-10, 3.0
#: Momentum starts again when a step grows the error by this factor.
GROWTH = 1.05


@dataclasses.dataclass
class _State:
    """Potentials at one eps (a row for each input), column sums, and counts of work."""

    eps: float
    gamma: Array
    phi: Array
    c: Array
    log_d: Array
    error: float = math.inf
    spread: float = math.inf
    value: float = -math.inf
    n_passes: int = 0
    n_newton: int = 0
    n_cg: int = 0
    sweeps: int = 0
    stopped: Stop | None = None
    memory: Anderson | None = None
    blurred: Array | None = None
    image: Array | None = None
    momentum: float = 1.0
    kernel: KernelProducts | None = None
    scalings: tuple[Array, Array] | None = None

    def use_kernel(self, problem: MeanProblem) -> None:
        """Store exp(-M / eps) of the present eps where that is possible."""
        self.kernel = KernelProducts.make(
            problem.cost, problem.cost_range, 1.0 / self.eps, problem.a
        )


@dataclasses.dataclass(frozen=True)
class MeanSolver(Solver[MeanProblem, _State]):
    """Levels of decreasing eps; sweeps, then Newton steps.

    Without ``newton`` these are taken only where they need not store the plans.
    """

    newton: bool
    name: str

    def init(self, problem: MeanProblem, warm_start: Any) -> _State:
        """Start at a large eps from zero, or at eps from potentials g (k, m)."""
        xp = problem.xp
        if warm_start is None:
            eps = first_eps(problem.eps, problem.cost_range, FACTOR)
            shape = (problem.a.shape[0], problem.cost.shape[1])
            place = device(problem.a)
            gamma = xp.zeros(shape, dtype=xp.float64, device=place)
        else:
            eps, gamma = problem.eps, warm_start / problem.eps
        log_d = problem.mean(gamma)
        if not problem.debiased:
            gamma, log_d = gamma - log_d, 0.0 * log_d
        state = _State(eps, gamma, 0.0 * problem.log_a, gamma, log_d)
        state.use_kernel(problem)
        _evaluate(problem, state, gamma)
        return state

    def step(self, problem: MeanProblem, state: _State) -> _State:
        """Go to the next eps, or take a Newton step, or a sweep."""
        last = state.eps <= problem.eps
        if not last and state.error < LEVEL_TOL:
            self._move(problem, state, next_eps(state.eps, problem.eps, FACTOR))
            return state
        possible = self.newton or state.kernel is not None
        extrapolated = state.kernel is not None and not problem.debiased
        sweeps = EXTRAPOLATED if extrapolated else SWEEPS
        ready = possible and state.sweeps >= sweeps and state.error < GATE
        if problem.debiased:
            # Newton steps hold the field: they mend the plans only.
            ready = ready and 2.0 * state.spread > state.error
        if ready and self._newton_step(problem, state):
            if problem.debiased:
                state.sweeps, state.image, state.momentum = 0, None, 1.0
            return state
        if ready:
            state.sweeps, state.memory = 0, None
            if state.error < 1e-13:
                state.stopped = Stop("stalled", "the error is round-off")
        state.sweeps += 1
        if problem.debiased:
            _debiased_sweep(problem, state)
        elif extrapolated:
            _extrapolated_sweep(problem, state)
        else:
            _evaluate(problem, state, _swept(problem, state))
        return state

    def _move(self, problem: MeanProblem, state: _State, eps: float) -> None:
        """Keep the unscaled potentials, change eps."""
        ratio = state.eps / eps
        state.eps, state.sweeps, state.memory = eps, 0, None
        state.image, state.momentum = None, 1.0
        state.use_kernel(problem)
        state.log_d = state.log_d * ratio
        state.phi = state.phi * ratio
        _evaluate(problem, state, state.gamma * ratio)

    def _newton_step(self, problem: MeanProblem, state: _State) -> bool:
        """Inexact Newton step in the subspace; False when none was accepted."""
        xp, w = problem.xp, problem.w
        direction, n_cg = _newton_direction(problem, state)
        state.n_newton += 1
        state.n_cg += n_cg
        slope = -host(xp.sum(w[:, None] * state.c * direction))
        if not 0.0 < slope < math.inf:
            return False
        start = dataclasses.replace(state)
        t = min(1.0, LONGEST / max(host(xp.max(xp.abs(direction))), 1e-300))
        noise = NOISE * (1.0 + abs(start.value))
        for _ in range(MAX_TRIALS):
            _evaluate(problem, state, start.gamma + t * direction)
            gain = state.value - start.value
            accepted = gain >= 1e-4 * t * slope
            if gain < noise and start.error < 1e-6:
                accepted = state.error < 0.9 * start.error
            if accepted:
                return True
            t *= 0.25
        _return_to(state, start)
        return False

    def measure(self, problem: MeanProblem, state: _State) -> dict[str, Any]:
        """Return dual value and error; before the last eps the error counts as 2."""
        last = state.eps <= problem.eps
        return {
            "objective": state.eps * state.value,
            "residual": state.error if last else max(2.0, state.error),
            "n_iter": state.n_passes + state.n_newton,
            "eps": state.eps,
        }

    def current(self, state: _State) -> tuple[Array, Array]:
        """Return the scaled potentials."""
        return state.phi, state.gamma

    def stop(self, problem: MeanProblem, state: _State) -> Stop | None:
        """Return the reason the solver gave up for, if it did."""
        return state.stopped

    def finish(self, problem: MeanProblem, state: _State) -> dict[str, Any]:
        """Return the mean, the potentials of all plans, and counts."""
        if state.eps > problem.eps:
            self._move(problem, state, problem.eps)
        return {
            "barycenter": problem.mass * problem.mean(state.c),
            "f": problem.eps * state.phi,
            "g": problem.eps * state.gamma,
            "value": problem.mass * problem.eps * state.value,
            "marginal_error": state.error,
            "n_passes": state.n_passes,
            "n_newton": state.n_newton,
            "n_cg": state.n_cg,
        }


def _evaluate(problem: MeanProblem, state: _State, gamma: Array) -> None:
    """Exact rows for gamma, column sums, dual value and error: one pass an input.

    The last potentials without their weights tell where the largest exponent of a
    row is expected.
    """
    xp = problem.xp
    if state.kernel is not None and not state.kernel.covers(gamma):
        state.kernel = None
    if state.kernel is None:
        state.phi, state.c = _plan_by_plan(problem, state, gamma)
    else:
        passed = state.kernel.pass_over(gamma, problem.log_a)
        state.phi, state.c, state.scalings = passed
    state.gamma = gamma
    state.n_passes += 1
    rows = xp.sum(problem.a * state.phi, axis=1)
    state.value = host(xp.sum(problem.w * rows))
    mean = problem.mean(state.c)
    error = xp.sum(problem.mean(xp.abs(state.c - mean)))
    state.spread = host(error)
    if problem.debiased:
        state.blurred = _blurred(problem, state)
        error = error + xp.sum(xp.abs(xp.exp(state.blurred) - mean))
    state.error = host(error)


def _plan_by_plan(
    problem: MeanProblem, state: _State, gamma: Array
) -> tuple[Array, Array]:
    """Row potentials and column sums, from one pass over the cost for each input."""
    xp = problem.xp
    passes = [
        problem.cost.fused_pass(
            xp.asarray(gamma[k, :], copy=True),
            state.phi[k, :] - problem.log_a[k, :],
            problem.log_a[k, :],
            1.0 / state.eps,
        )
        for k in range(problem.a.shape[0])
    ]
    phis, sums = zip(*passes, strict=True)
    return xp.stack(phis), xp.stack(sums)


def _blurred(problem: MeanProblem, state: _State) -> Array:
    """``log (d * K d)``, which is the mean where d is right."""
    if state.kernel is not None and state.kernel.covers(state.log_d):
        return state.log_d + state.kernel.column_logsums(state.log_d)
    zero = problem.xp.zeros_like(state.log_d)
    sums = -problem.cost.column_update(state.log_d, zero, 1.0 / state.eps)
    return state.log_d + sums


def _debiased_sweep(problem: MeanProblem, state: _State) -> None:
    """Sweep, move log d half of the way to ``log (mean / K d)``, and go on further.

    The field is deconvolved by what amounts to gradient steps. Their error falls like
    1 / k, and like 1 / k^2 with Nesterov's momentum, restarted when it grows.
    """
    log_sums = _log_sums(problem, state)
    log_mean = state.log_d + problem.mean(log_sums)
    image = log_mean - log_sums + 0.5 * (log_mean - state.blurred)
    before, former, t = state.error, state.image, state.momentum
    state.image, state.momentum = image, 0.5 * (1.0 + math.sqrt(1.0 + 4.0 * t * t))
    if former is not None:
        image = image + (t - 1.0) / state.momentum * (image - former)
    state.log_d = problem.mean(image)
    _evaluate(problem, state, image)
    if not state.error < GROWTH * before:
        state.momentum = 1.0


def _extrapolated_sweep(problem: MeanProblem, state: _State) -> None:
    """A sweep, extrapolated from former ones; by itself where that makes it worse."""
    before, swept = state.error, _swept(problem, state)
    state.memory = state.memory or Anderson(MEMORY)
    state.memory.push(state.gamma, swept)
    mass = problem.mean(state.c)
    mass = mass + LEAST_SCALE * problem.xp.max(mass)
    weights = problem.xp.broadcast_to(mass, swept.shape)
    _evaluate(problem, state, state.memory.extrapolate(weights))
    if not state.error < WORSE * before:
        state.memory = None
        _evaluate(problem, state, swept)


def _return_to(state: _State, former: _State) -> None:
    """Undo an evaluation, but not the count of work."""
    for name in ("gamma", "phi", "c", "error", "spread", "value", "scalings"):
        setattr(state, name, getattr(former, name))


def _swept(problem: MeanProblem, state: _State) -> Array:
    """Project on equal column sums: their geometric mean (Benamou et al. 2015)."""
    log_sums = _log_sums(problem, state)
    return problem.mean(log_sums) - log_sums


def _log_sums(problem: MeanProblem, state: _State) -> Array:
    """Logarithms of the column sums without the factors exp(gamma)."""
    xp = problem.xp
    floor = xp.full_like(state.c, LOST)
    log_sums = xp.log(xp.maximum(state.c, floor)) - state.gamma
    if bool(xp.any(state.c <= LOST)):
        zero = xp.zeros_like(state.gamma[0, :])
        exact = [
            -problem.cost.column_update(state.phi[k, :], zero, 1.0 / state.eps)
            for k in range(problem.a.shape[0])
        ]
        log_sums = xp.where(state.c <= LOST, xp.stack(exact), log_sums)
    return log_sums


def _newton_direction(problem: MeanProblem, state: _State) -> tuple[Array, int]:
    """Solve with the projected Hessian by conjugate gradients.

    In the variables ``sqrt(w_k) d_k`` its inner product is the usual one. The blocks
    are the Laplacians ``diag(c_k) - P_k^T diag(1/a_k) P_k``.
    """
    xp, w = problem.xp, problem.w
    root = xp.sqrt(w)[:, None]
    product = _normal_product(problem, state)
    mean = problem.mean(state.c)
    # Columns without mass must not lengthen the step: they do not matter.
    shift = 0.01 * state.error * (mean + 0.1 / mean.shape[0])
    shape = state.c.shape

    def matvec(flat: Array) -> Array:
        d = xp.reshape(flat, shape) / root
        out = (state.c + shift) * d - product(d)
        return xp.reshape(root * (out - problem.mean(out)), (-1,))

    rhs = root * (mean - state.c)
    tiny = xp.full_like(mean, 1e-300)
    diagonal = xp.broadcast_to(xp.maximum(mean + shift, tiny), shape)
    solved = cg(
        matvec,
        xp.reshape(rhs, (-1,)),
        tol=min(0.1, max(state.error**0.5, 1e-4)),
        max_iter=MAX_CG,
        diagonal=xp.reshape(diagonal, (-1,)),
    )
    direction = xp.reshape(solved.x, shape) / root
    return direction - problem.mean(direction), solved.n_iter


def _normal_product(problem: MeanProblem, state: _State) -> Callable[[Array], Array]:
    """Return the map of rows x_k to P_k^T diag(1/a_k) P_k x_k."""
    if state.kernel is not None and state.scalings is not None:
        return state.kernel.normal_product(state.scalings, problem.log_a)
    xp = problem.xp
    products = [
        problem.cost.normal_operator(
            xp.asarray(state.gamma[k, :], copy=True),
            state.phi[k, :],
            1.0 / state.eps,
            xp.exp(-problem.log_a[k, :]),
        )
        for k in range(problem.a.shape[0])
    ]
    return lambda x: xp.stack([p(x[k, :]) for k, p in enumerate(products)])
